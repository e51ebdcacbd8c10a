# SPDX-License-Identifier: GPL-2.0-or-later
"""A steady load of numbered mails, and what became of each."""

import asyncio
import itertools
import socket
import struct

from mail import ERROR, LEFT, MIXED, NONE, REFUSED, UNSCANNED, VERDICT, Mail

numbers = itertools.count(1)		# each is used once in a run


async def connect(address, receive_buffer=None):
	"""A connected, non-blocking socket.  address: port, or path of a socket."""
	sock = socket.socket(socket.AF_INET if isinstance(address, int) else socket.AF_UNIX)
	sock.setblocking(False)
	if receive_buffer:
		sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
	try:
		while True:
			try:
				await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", address) if isinstance(address, int) else str(address))
				return sock
			except BlockingIOError:
				await asyncio.sleep(0.01)	# a unix socket's queue is full
	except BaseException:
		sock.close()
		raise


async def receive(sock):
	"""All until the daemon closes, and whether it was by a reset."""
	parts = []
	while True:
		try:
			data = await asyncio.get_running_loop().sock_recv(sock, 1 << 18)
		except ConnectionError:
			return b"".join(parts), True
		if not data:
			return b"".join(parts), False
		parts.append(data)


def reset(sock):
	"""Close it with a RST."""
	sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
	sock.close()


class Record:
	"""What became of one request.  policy: of its listener, defer or pass.

	unnamed: too little of it was sent for the log to know its queue id.
	"""

	def __init__(self, mail, policy):
		self.number, self.queue_id, self.kind = mail.number, mail.queue_id, mail.kind
		self.action, self.score, self.policy = mail.action, mail.score, policy
		self.fate = self.why = None
		self.failure = None		# the log's word
		self.unnamed = False

	def judge(self, mail, reply, was_reset):
		self.fate, self.why = mail.judge(reply)
		if was_reset:
			self.why += " (reset)"


class Load:
	"""Clients, each with one mail after the other, until stop().

	addresses: {port or path: policy}.  sizes: of the mails, in bytes.
	pause: seconds from a reply to the next mail.
	"""

	def __init__(self, addresses, clients=12, sizes=MIXED, pause=0.004, kinds=None):
		self.addresses = list(addresses.items())
		self.clients, self.sizes, self.pause, self.kinds = clients, sizes, pause, kinds
		self.records = []
		self.tasks = []
		self.stopping = False

	def start(self):
		self.stopping = False
		self.tasks = [asyncio.create_task(self._client()) for _ in range(self.clients)]
		return self

	async def stop(self):
		self.stopping = True
		await asyncio.gather(*self.tasks)

	def under_way(self):
		return sum(record.fate is None for record in self.records)

	def ended(self, *fates):
		"""How many requests have ended, or so."""
		return sum(record.fate in fates if fates else record.fate is not None for record in self.records)

	async def _client(self):
		while not self.stopping:
			await self.one(*self.addresses[len(self.records) % len(self.addresses)])
			await asyncio.sleep(self.pause)

	def mail(self, size=None, kind=None):
		number = next(numbers)
		return Mail(number, size or self.sizes[number % len(self.sizes)],
		            kind or (self.kinds and self.kinds[number % len(self.kinds)]))

	def record(self, mail, policy):
		self.records.append(Record(mail, policy))
		return self.records[-1]

	async def one(self, address, policy, mail=None):
		"""One request from its connection to its end."""
		mail = mail or self.mail()
		record = self.record(mail, policy)
		try:
			sock = await connect(address)
		except OSError as why:
			record.fate, record.why = REFUSED, str(why)
			return record
		with sock:
			await self.talk(sock, mail, record)
		return record

	@staticmethod
	async def talk(sock, mail, record):
		"""Sends the request, and judges the reply."""
		loop = asyncio.get_running_loop()
		try:
			await loop.sock_sendall(sock, mail.request)
			if mail.half_close:
				sock.shutdown(socket.SHUT_WR)
		except OSError:
			pass			# an error may have come meanwhile
		record.judge(mail, *await receive(sock))

	def counts(self):
		"""{fate: number} of those that ended."""
		found = {}
		for record in self.records:
			found[record.fate] = found.get(record.fate, 0) + 1
		return found


ANSWERED = (VERDICT, UNSCANNED, ERROR)
UNANSWERED = (NONE, REFUSED, LEFT)

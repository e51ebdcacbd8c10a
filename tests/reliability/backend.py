# SPDX-License-Identifier: GPL-2.0-or-later
"""A rspamd in this process: it answers as each mail's own header says, and fails on demand."""

import asyncio
import collections
import itertools
import json
import re
import socket
import struct

from mail import FILLER, action_of

OTHER = b'{"is_skipped":false,"score":99.0,"required_score":15.0,"action":"reject","symbols":{},"message-id":"other@mail"}'
PONG = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\npong\r\n"


def response(body, status="200 OK", form="length"):
	"""An HTTP response.  form: how its end is told: length, chunked or close."""
	head = f"HTTP/1.1 {status}\r\nConnection: close\r\nServer: rspamd/3.4\r\nContent-Type: application/json\r\n"
	if form == "length":
		return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
	if form == "close":
		return f"{head}\r\n".encode() + body
	half = len(body) // 2
	return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + b"".join(
		b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:], b""))


class Backend:
	"""Serves 127.0.0.1:port.  fault: None, or what takes over each connection.

	A fault is called as fault(backend, reader, writer) and does as it likes;
	the connection is closed after it.  scanned counts the mails, by number,
	that came whole; damaged are those that came otherwise.
	"""

	def __init__(self):
		self.fault = None
		self.form = "length"
		self.scanned = collections.Counter()
		self.damaged = []
		self.connections = self.pings = self.refused = self.doubled = 0
		self.held = asyncio.Event()		# for hold()
		self.tasks = set()
		self.port = 0
		self.server = None

	async def start(self):
		"""Listen; after go_away() again, at the same port."""
		sock = socket.socket()
		sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		sock.bind(("127.0.0.1", self.port))
		self.port = sock.getsockname()[1]
		self.url = f"http://127.0.0.1:{self.port}"
		self.socket = sock
		self.server = await asyncio.start_server(self._serve, sock=sock, limit=1 << 20, backlog=4096)
		return self

	def go_away(self):
		"""Nobody listens any more: connections are refused."""
		self.server.close()

	async def stop(self):
		self.held.set()
		self.server.close()
		for task in list(self.tasks):
			task.cancel()
		await asyncio.gather(*self.tasks, return_exceptions=True)

	async def _serve(self, reader, writer):
		self.tasks.add(asyncio.current_task())
		self.connections += 1
		try:
			await (self.fault or well)(self, reader, writer)
		except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
			pass
		finally:
			writer.close()
			self.tasks.discard(asyncio.current_task())

	# What faults are made of.

	async def request(self, reader, begun=b""):
		"""(head, body) of a request; None after a ping."""
		head = begun + await reader.readuntil(b"\r\n\r\n")
		if head.startswith(b"GET "):
			self.pings += 1
			return None
		length = int(re.search(rb"\r\nContent-Length: (\d+)\r\n", head)[1])
		return head, await reader.readexactly(length)

	def reply(self, body):
		"""rspamd's response to a message; an error if it is not as it was sent."""
		head, _, text = body.partition(b"\n\n")
		found = re.search(rb"\nMessage-ID: <(.*)>\nX-Test-Id: (\d+)\nX-Test-Score: (.*)\Z", head)
		start = int(found[2]) % 80 if found else 0
		if not found or text != FILLER[start:start + len(text)]:
			self.damaged.append(body[:500])
			return response(b'{"error":"the message is damaged"}', "500 Damaged")
		self.scanned[int(found[2])] += 1
		score = float(found[3])
		verdict = {"is_skipped": False, "score": score, "required_score": 15.0, "action": action_of(score),
		           "symbols": {"TEST_SCORE": {"name": "TEST_SCORE", "score": score, "options": ["opt1"]}},
		           "messages": {}, "message-id": found[1].decode(), "time_real": 0.001}
		return response(json.dumps(verdict).encode(), form=self.form)


async def send(writer, data):
	writer.write(data)
	await writer.drain()


async def well(backend, reader, writer):
	request = await backend.request(reader)
	await send(writer, PONG if request is None else backend.reply(request[1]))


# Faults, to be set as Backend.fault.  /ping is answered well unless it is said otherwise.

def slow(seconds, pieces=1):
	"""It takes so long, and sends its reply in so many pieces."""
	async def fault(backend, reader, writer):
		request = await backend.request(reader)
		if request is None:
			return await send(writer, PONG)
		await asyncio.sleep(seconds)
		reply = backend.reply(request[1])
		step = max(1, len(reply) // pieces)
		for start in range(0, len(reply), step):
			await send(writer, reply[start:start + step])
			await asyncio.sleep(0.001 if pieces > 1 else 0)
	return fault


async def hold(backend, reader, writer):
	"""It answers when backend.held is set."""
	request = await backend.request(reader)
	if request is not None:
		await backend.held.wait()
	await send(writer, PONG if request is None else backend.reply(request[1]))


async def early(backend, reader, writer):
	"""As soon as the head is there it gives a verdict, that on another mail; then it reads what it is sent."""
	head = await reader.readuntil(b"\r\n\r\n")
	if head.startswith(b"GET "):
		backend.pings += 1
		return await send(writer, PONG)
	writer.transport.pause_reading()
	await send(writer, response(OTHER))
	writer.transport.resume_reading()
	while await reader.read(1 << 20):
		pass


async def doubles(backend, reader, writer):
	"""It keeps connections, and says each verdict a second time, when it has the next message, before that one's own."""
	before = None
	while True:
		request = await backend.request(reader)
		if request is None:
			return await send(writer, PONG)
		if before:
			backend.doubled += 1
			await send(writer, before)
		before = backend.reply(request[1]).replace(b"Connection: close", b"Connection: keep-alive")
		await send(writer, before)


async def full(_backend, _reader, _writer):
	"""Each connection is accepted and closed, /ping's too."""


def limited(most, seconds):
	"""As rspamd 4.1.5 it closes at once what comes above so many connections, /ping's too; a mail takes so long."""
	active = 0

	async def fault(backend, reader, writer):
		nonlocal active
		if active >= most:
			backend.refused += 1
			return _close(writer, reset=True)
		active += 1
		try:
			await slow(seconds)(backend, reader, writer)
		finally:
			active -= 1
	return fault


async def resets(_backend, reader, writer):
	"""Each connection is reset once something was sent."""
	await reader.read(1)
	_close(writer, reset=True)


async def deaf(_backend, reader, _writer):
	"""It takes all and never answers, /ping neither."""
	while await reader.read(1 << 16):
		pass


def says(data):
	"""These bytes are its answer; an iterable: one after the other."""
	answers = itertools.cycle([data] if isinstance(data, bytes) else data)

	async def fault(backend, reader, writer):
		request = await backend.request(reader)
		await send(writer, PONG if request is None else next(answers))
	return fault


def _close(writer, reset):
	if reset:
		writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		writer.transport.abort()
	else:
		writer.close()


def whole(request):
	"""Are these all bytes of a request?"""
	head, end, body = request.partition(b"\r\n\r\n")
	return bool(end) and len(body) >= int(re.search(rb"\r\nContent-Length: (\d+)", head)[1])


class CutRequest:
	"""Closes after so many bytes of a request; the next time after step more.

	most: bytes after which it begins anew; done: how often it has closed.
	"""

	def __init__(self, reset, step=1, most=2000):
		self.reset, self.step, self.most, self.done = reset, step, most, 0

	def position(self, most):
		self.done += 1
		return (self.done - 1) * self.step % most

	async def __call__(self, backend, reader, writer):
		got = await reader.readexactly(4)
		if got == b"GET ":
			await backend.request(reader, got)
			return await send(writer, PONG)
		position = self.position(self.most)
		while len(got) < position and not whole(got):
			more = await reader.read(position - len(got))
			if not more:
				break
			got += more
		return _close(writer, self.reset)


class CutReply(CutRequest):
	"""Closes after so many bytes of its reply, of which at least one is missing."""

	async def __call__(self, backend, reader, writer):
		request = await backend.request(reader)
		if request is None:
			return await send(writer, PONG)
		reply = backend.reply(request[1])
		await send(writer, reply[:self.position(len(reply))])
		# what was sent is to arrive before the reset
		if self.reset:
			await asyncio.sleep(0.002)
		return _close(writer, self.reset)

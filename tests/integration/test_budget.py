"""Memory: many large messages at once, slow senders, and how many connections a client may have."""

import contextlib
import os
import re
import select
import socket
import struct
import threading
import zlib

from harness import (Case, FakeRspamd, RspamcReply, Shim, connect, free_port, message, process, receive, rspamc_request,
                     spamc, spamc_request, talk, verdict, wait_until)

MIB = 1 << 20
GOOD = verdict("add header", 7.0)
SMALL = message()
ANSWER = b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 7.0 / 7.0\r\n\r\n"


def large(size, seed=0):
	"""A message of this size; no two of them are alike, and zlib makes little of it smaller."""
	block = b"".join(b"%08x" % ((i * 2654435761 + seed * 40503) % (1 << 32)) + (b"\n" if i % 8 == 7 else b"")
	                 for i in range(4096))
	head = message(X_Number=seed, body="")
	return head + (block * (size // len(block) + 1))[:size - len(head)]


class Base(Case):
	def setUp(self):
		super().setUp()
		self.fake = self.own(FakeRspamd)
		self.fake.answer(GOOD)

	def held_bytes(self):
		page = talk(self.status, b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").decode()
		return int(re.search(r"^rspamd_shim_held_bytes (\d+)", page, re.M)[1])

	def peak(self, shim):
		"""The most memory that the worker ever had, in bytes."""
		worker, = shim.workers()
		with open(f"/proc/{worker}/status") as status:
			return int(re.search(r"^VmHWM:\s+(\d+) kB$", status.read(), re.M)[1]) * 1024

	def stall(self, shim, count, request, sent):
		"""COUNT clients that have sent a part of their request, which the shim has read, and no more."""
		clients = []
		for _ in range(count):
			sock = connect(shim.port)
			self.addCleanup(sock.close)
			sock.sendall(request[:sent])
			clients.append(sock)
		shim.settle()
		return clients


class Many(Base):
	"""Far more mail at once than there is memory for: all of it is scanned, some of it later."""

	COUNT, SIZE, LIMIT = 24, 4 * MIB, 8 * MIB

	def at_once(self, request, receive_reply):
		"""All requests at once, to a rspamd that is slower than they are."""
		gate = threading.Semaphore(2)

		def act(sock, _request):
			with gate:
				self.fake.requests[-1].body = None	# it is not to be kept here
				sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY))
		self.fake.behave(act)
		shim = self.own(Shim, backend=self.fake.url, config=f"max_memory = {self.LIMIT}\nmax_message_size = 5M\n"
		                "timeout_client = 300\ntimeout_request = 300\n")
		measurable = self.measurable(shim)
		idle = self.peak(shim)
		results, threads = [], []

		def one(i):
			results.append(receive_reply(shim, request(i)))
		for i in range(self.COUNT):
			threads.append(threading.Thread(target=one, args=(i,)))
			threads[-1].start()
		for thread in threads:
			thread.join()
		self.assertEqual(results, [True] * self.COUNT)
		self.assertEqual(len(self.fake.requests), self.COUNT)
		peak = self.peak(shim) - idle
		# One message at a time is above the limit; buffers are not filled to the last byte.
		if measurable:
			self.assertLess(peak, 2 * (self.LIMIT + self.SIZE), "the worker took far more memory than it may")

	@staticmethod
	def measurable(shim):
		"""A sanitizer or a wrapper uses memory of its own."""
		with open(f"/proc/{shim.workers()[0]}/status") as status:
			size = int(re.search(r"^VmSize:\s+(\d+) kB$", status.read(), re.M)[1])
		return not os.environ.get("SHIM_WRAPPER") and size < 1 << 30

	def spamc_reply(self, half_close):
		return lambda shim, data: talk(shim.port, data, half_close=half_close) == ANSWER

	def test_spamc_with_length(self):
		self.at_once(lambda i: spamc_request("CHECK", large(self.SIZE, i)), self.spamc_reply(False))

	def test_spamc_without_length(self):
		self.at_once(lambda i: spamc_request("CHECK", large(self.SIZE, i), length=False), self.spamc_reply(True))

	def test_rspamc(self):
		self.at_once(lambda i: rspamc_request(large(self.SIZE, i)),
		             lambda shim, data: RspamcReply(talk(shim.port, data)).action == "add header")

	def test_process(self):
		"""The message is kept until it has gone back."""
		def check(shim, data):
			reply = talk(shim.port, data)
			return reply.startswith(b"SPAMD/1.1 0 EX_OK\r\n") and reply.endswith(data[-1000:])
		self.at_once(lambda i: spamc_request("PROCESS", large(self.SIZE, i)), check)

	def test_compressed(self):
		def request(i):
			return spamc_request("CHECK", zlib.compress(large(self.SIZE, i), 1), Compress="zlib")
		self.at_once(request, self.spamc_reply(False))

	def test_real_spamc(self):
		"""Debian's is built without zlib: as it is."""
		def check(shim, data):
			code, out = spamc(shim.port, data, "-c", "-s", str(10 * MIB), timeout=300)
			return (code, out) == (1, b"7.0/7.0\n")
		self.at_once(lambda i: large(self.SIZE, i), check)


BODY = b'{"action":"add header","score":7.0,"required_score":15.0,"symbols":{},"message-id":"x","time_real":0.1}'


class Heads(Base):
	"""Heads of requests that never end take of the same memory, and no more of it than rspamd can be told."""

	def fill(self, shim, count, line, lines):
		"""COUNT clients with unfinished heads, as much of them as is taken."""
		head = b"CHECK RSPAMC/1.3\r\n" + line * lines
		clients = []
		for _ in range(count):
			sock = connect(shim.port)
			self.addCleanup(sock.close)
			sock.setblocking(False)
			clients.append((sock, memoryview(head)))
		while clients:
			_, ready, _ = select.select([], [sock for sock, _ in clients], [], 1)
			if not ready:
				break		# the rest of them stays with the kernel
			left = []
			for sock, data in clients:
				if sock in ready:
					data = data[sock.send(data):]
				if data:
					left.append((sock, data))
			clients = left
		shim.settle()

	def check(self, limit, line, lines):
		shim = self.own(Shim, backend=self.fake.url, config=f"max_memory = {limit}\nmax_message_size = 1M\n"
		                "timeout_idle = 300\ntimeout_client = 300\ntimeout_request = 300\n")
		measurable = Many.measurable(shim)
		idle = self.peak(shim)
		self.fill(shim, 200, line, lines)
		# what is read ahead of 200 clients, and their streams
		if measurable:
			self.assertLess(self.peak(shim) - idle, limit + 200 * 64 * 1024)
		self.assertEqual(talk(shim.port, spamc_request("CHECK", SMALL)), ANSWER)

	def test_long_recipients(self):
		self.check(4 * MIB, b"Rcpt: <" + b"a" * 4070 + b"@x>\r\n", 1020)

	def test_many_recipients(self):
		self.check(4 * MIB, b"Rcpt: <" + b"a" * 90 + b"@x>\r\n", 1020)

	def test_long_values(self):
		self.check(4 * MIB, b"".join(b"%s: %s\r\n" % (name, b"a" * 8000) for name in
		                             (b"From", b"Helo", b"Hostname", b"User", b"Queue-Id", b"Deliver-To")) * 2, 1)

	def test_who_finds_no_memory_is_told(self):
		"""An overload, never a verdict, whatever the policy."""
		shim = self.own(Shim, backend=self.fake.url, config="max_memory = 1M\nmax_message_size = 1M\n"
		                "timeout_client = 3\non_overload = pass\n")
		head = b"CHECK RSPAMC/1.3\r\n" + (b"Rcpt: <" + b"a" * 90 + b"@x>\r\n") * 800
		clients = [connect(shim.port) for _ in range(20)]
		for sock in clients:
			self.addCleanup(sock.close)
			sock.sendall(head)
		replies = {receive(sock)[:60] for sock in clients}
		self.assertEqual({reply.split(b":")[0] for reply in replies}, {b"RSPAMD/1.3 75 EX_TEMPFAIL overload",
		                 b"RSPAMD/1.3 75 EX_TEMPFAIL timeout"})
		self.assertEqual(self.fake.requests, [])

	def test_a_whole_head_is_served_in_the_end(self):
		shim = self.own(Shim, backend=self.fake.url, config="max_memory = 1M\nmax_message_size = 1M\n"
		                "timeout_idle = 300\ntimeout_client = 300\ntimeout_request = 300\n")
		names = [b"r%04d" % i + b"a" * 60 + b"@x" for i in range(1000)]
		request = rspamc_request(SMALL, headers=[("Rcpt", name.decode()) for name in names])
		clients = [connect(shim.port) for _ in range(40)]
		threads = [threading.Thread(target=sock.sendall, args=(request,)) for sock in clients]
		for thread in threads:
			thread.start()
		for sock, thread in zip(clients, threads):
			self.addCleanup(sock.close)
			self.assertEqual(RspamcReply(receive(sock)).action, "add header")
			thread.join()
		self.assertEqual({len(request.all("Rcpt")) for request in self.fake.requests} , {1000})


class Slow(Base):
	"""Senders that stop in the middle keep the memory of what they have sent, and no more."""

	def test_they_do_not_keep_others_out(self):
		"""Announced is not sent: 400 clients with 20 KB each leave room for others in 32 MiB."""
		shim = self.own(Shim, backend=self.fake.url, config="max_memory = 32M\nmax_message_size = 8M\n"
		                "timeout_client = 300\ntimeout_request = 300\n")
		request = spamc_request("CHECK", large(4 * MIB))
		self.stall(shim, 400, request, 20000)
		for i in range(4):
			mail = large(MIB, i)
			self.assertEqual(talk(shim.port, spamc_request("CHECK", mail)), ANSWER)
			self.assertEqual(self.fake.requests[-1].body, mail)

	def test_compressed_ones(self):
		"""What it may come to is not there yet, either."""
		shim = self.own(Shim, backend=self.fake.url, config="max_memory = 32M\nmax_message_size = 8M\n"
		                "timeout_client = 300\ntimeout_request = 300\n")
		request = spamc_request("CHECK", zlib.compress(large(4 * MIB)), Compress="zlib")
		self.stall(shim, 40, request, 1000)
		for i in range(4):
			self.assertEqual(talk(shim.port, spamc_request("CHECK", large(MIB, i))), ANSWER)
			packed = zlib.compress(large(MIB, i))
			self.assertEqual(talk(shim.port, spamc_request("CHECK", packed, Compress="zlib")), ANSWER)

	def test_small_mail_needs_no_room(self):
		"""Most mail is small, and served while large mail waits."""
		shim = self.own(Shim, backend=self.fake.url, config="max_memory = 2M\nmax_message_size = 2M\n"
		                "timeout_client = 300\ntimeout_request = 300\n")
		self.stall(shim, 8, spamc_request("CHECK", large(2 * MIB - 5000)), MIB)
		for _ in range(5):
			self.assertEqual(talk(shim.port, spamc_request("CHECK", SMALL)), ANSWER)


class Waiting(Base):
	"""What becomes of those for whom there is no memory."""

	def full(self, config=""):
		"""A shim whose memory is taken by a message that rspamd has."""
		self.go = threading.Event()

		def act(sock, request):
			if request.get("Queue-Id") == "first":
				self.go.wait(2 * process.PATIENCE)
			sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY))
		self.fake.behave(act)
		self.status = free_port()
		shim = self.own(Shim, backend=self.fake.url, config="max_memory = 2M\nmax_message_size = 2M\n" + config +
		                f'\nstatus "127.0.0.1:{self.status}" {{}}\n')
		self.addCleanup(self.go.set)
		first = connect(shim.port)
		self.addCleanup(first.close)
		first.sendall(rspamc_request(large(2 * MIB), headers=[("Queue-Id", "first")]))
		self.fake.await_requests(1)
		return shim, first

	def waits(self, shim, request):
		"""A client that has sent what the shim would take, and more."""
		sock = connect(shim.port)
		self.addCleanup(sock.close)
		sock.sendall(request[:60000])
		shim.settle()
		return sock

	def test_their_turn_comes(self):
		shim, first = self.full("timeout_client = 300\ntimeout_request = 300\n")
		request = rspamc_request(large(MIB, 1))
		clients = [self.waits(shim, request) for _ in range(5)]
		self.assertEqual(len(self.fake.requests), 1)
		self.go.set()
		for sock in clients:
			sock.sendall(request[60000:])
			self.assertEqual(RspamcReply(receive(sock)).action, "add header")
		self.assertEqual(RspamcReply(receive(first)).action, "add header")

	def test_who_leaves_is_not_waited_for(self):
		"""By closing or by a reset; those behind it have their turn."""
		shim, _first = self.full("timeout_client = 300\ntimeout_request = 300\n")
		request = rspamc_request(large(MIB, 1))
		clients = [self.waits(shim, request) for _ in range(6)]
		for i, sock in enumerate(clients[:4]):
			if i % 2:
				sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
			sock.close()
		self.go.set()
		for sock in clients[4:]:
			sock.sendall(request[60000:])
			self.assertEqual(RspamcReply(receive(sock)).action, "add header")
			sock.close()
		_first.close()
		wait_until(lambda: self.held_bytes() == 0, "all memory is given back")

	def test_a_reset_is_seen_at_once(self):
		"""While there is no memory still: it frees its place."""
		shim, _first = self.full("timeout_client = 300\ntimeout_request = 300\n")
		sock = self.waits(shim, rspamc_request(large(MIB, 1)))
		sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		sock.close()
		self.assertEqual(shim.await_requests()[-1]["outcome"], "client-gone")

	def test_deadline(self):
		"""An overload, by the policy for that."""
		for word, rspamc, spamd in (("defer", rb"\ARSPAMD/1\.3 75 EX_TEMPFAIL overload: .*max_memory", rb"\ASPAMD/1\.0 75 .*max_memory"),
		                            ("pass", rb"RSPAMD_SHIM_UNSCANNED\(0\.00\); .*max_memory", rb"\ASPAMD/1\.1 0 EX_OK\r\nSpam: False")):
			with self.subTest(word):
				self.fake.forget()
				shim, _first = self.full(f"timeout_client = 0.5\non_overload = {word}\n")
				mail = large(MIB, 1)
				for request, wanted in ((rspamc_request(mail), rspamc), (spamc_request("CHECK", mail), spamd)):
					reply = self.late(shim, request)
					self.assertRegex(reply, wanted)
				# What has not come cannot go back, whatever the policy.
				self.assertRegex(self.late(shim, spamc_request("PROCESS", mail)), rb"\ASPAMD/1\.0 75 .*max_memory")
				self.assertEqual(len(self.fake.requests), 1)
				lines = [line for line in shim.await_requests(3) if line["command"] != "PING"]
				self.assertEqual({line["failure"] for line in lines}, {"overload"})
				self.go.set()

	def late(self, shim, request):
		"""The reply to a client that writes all before it reads, as most do."""
		with connect(shim.port) as sock:
			sock.sendall(request)
			return receive(sock)


class PerClient(Base):
	def connected(self, shim, source):
		"""A connection from SOURCE, or None if it is not served."""
		sock = socket.create_connection(("127.0.0.1", shim.port), source_address=(source, 0), timeout=process.PATIENCE)
		self.addCleanup(sock.close)
		with contextlib.suppress(OSError):
			# A part of a request tells nothing; the daemon must take it, or close.
			sock.sendall(b"PING SPAMC/1.5\r\n")
			sock.settimeout(0.2)
			try:
				if sock.recv(1) == b"":
					return None
			except TimeoutError:
				return sock
		return None

	def test_each_address_by_itself(self):
		shim = self.own(Shim, backend=self.fake.url, config="max_connections_per_client = 3\n")
		wait_until(lambda: self.ping(shim), "the connections of its start are over")
		held = [self.connected(shim, "127.0.0.1") for _ in range(3)]
		self.assertNotIn(None, held)
		self.assertIsNone(self.connected(shim, "127.0.0.1"))
		self.assertIn("turned away: it has max_connections_per_client = 3 connections already", shim.log())
		others = [self.connected(shim, "127.0.0.2") for _ in range(3)]
		self.assertNotIn(None, others)
		self.assertIsNone(self.connected(shim, "127.0.0.2"))
		# unix sockets are not counted
		for _ in range(5):
			sock = connect(shim.unix)
			self.addCleanup(sock.close)
			sock.sendall(b"PING SPAMC/1.5\r\n")
		self.assertEqual(talk(shim.unix, b"PING SPAMC/1.5\r\n\r\n"), b"SPAMD/1.5 0 PONG\r\n")
		# and they are counted down again, those that were turned away too
		for sock in held[:2]:
			sock.close()
		wait_until(lambda: self.ping(shim), "there is room again")
		for _ in range(10):
			wait_until(lambda: self.ping(shim), "a PING is answered")
		self.assertIsNone(self.connected(shim, "127.0.0.2"))

	@staticmethod
	def ping(shim):
		try:
			return talk(shim.port, b"PING SPAMC/1.5\r\n\r\n") == b"SPAMD/1.5 0 PONG\r\n"
		except OSError:
			return False

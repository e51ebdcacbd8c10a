"""A client that counts too few bytes gets no verdict on a part of its mail."""

import zlib

from harness import Case, FakeRspamd, RspamcReply, Shim, connect, message, receive, rspamc_request, spamc_request, talk
from harness import free_port, verdict
from harness.process import wait_until

MAIL = message()
COMMANDS = ("CHECK", "SYMBOLS", "REPORT", "REPORT_IFSPAM", "PROCESS", "HEADERS")
# What may come behind the last byte that was announced, and what may not.
ENDS = (b"", b"\n", b"\r\n")
SURPLUS = (b"\r", b"\n\n", b"\r\n\n", b"\n\r\n", b"\r\n\r\n", b"\r\r", b" ", b"x", b"\nx", b"\r\nmore\r\n", b"\0", b"more\n" * 100000)


class Surplus(Case):
	@classmethod
	def setUpClass(cls):
		cls.fake = cls.shared(FakeRspamd)
		cls.shim = cls.shared(Shim, config=f'backend "{cls.fake.url}" {{}}\ncontroller "{cls.fake.url}" {{}}\n'
		                      f'listen "127.0.0.1:{free_port()}" {{ tell = true }}\n')

	def setUp(self):
		self.fake.forget()
		self.fake.answer(verdict("add header", 7.0))
		self.shim.settle()

	def refused(self, reply, expected, got):
		words = b"Content-Length mismatch: Expected %d bytes, got %d bytes" % (expected, got)
		if reply.startswith(b"RSPAMD"):
			self.assertEqual(reply, b"RSPAMD/1.3 75 EX_TEMPFAIL bad-request: " + words + b"\r\n")
		else:
			self.assertEqual(reply, b"SPAMD/1.0 76 Bad header line: (" + words + b")\r\n")

	def requests(self):
		for command in COMMANDS:
			yield command, spamc_request(command, MAIL)
		yield "REPORT 1.2", spamc_request("REPORT", MAIL, "1.2")
		yield "RSPAMC", rspamc_request(MAIL)

	def test_line_end(self):
		for name, request in self.requests():
			for end in ENDS:
				with self.subTest(name, end=end):
					reply = talk(self.shim.port, request + end, half_close=True)
					self.assertRegex(reply, rb"\A\w+/1\.\d 0 EX_OK\r\n")

	def test_more(self):
		for name, request in self.requests():
			for end in SURPLUS:
				with self.subTest(name, end=end[:20]):
					self.fake.silent()
					self.refused_for(request, end)
					self.assertEqual(self.shim.await_requests()[-1]["failure"], "bad-request")
					self.shim.settle()

	def refused_for(self, request, end):
		"""rspamd says nothing: only what came behind the message can end it, but for a CR, which is told when rspamd answers."""
		if end == b"\r":
			self.fake.answer(verdict("add header", 7.0))
		reply = talk(self.shim.port, request + end, half_close=False)
		got = int(reply.split(b"got ")[1].split()[0])
		self.refused(reply, len(MAIL), got)
		# one large surplus is not waited for
		self.assertTrue(len(MAIL) < got <= len(MAIL) + len(end), got)

	def test_while_the_scan_runs(self):
		for name, request in self.requests():
			with self.subTest(name):
				self.fake.forget()
				self.fake.silent()
				sock = connect(self.shim.port)
				self.addCleanup(sock.close)
				sock.sendall(request)
				self.fake.await_requests(1)
				sock.sendall(b"\r")
				sock.sendall(b"\nmore")
				self.refused(receive(sock), len(MAIL), len(MAIL) + 6)
				wait_until(lambda: self.fake.gone, "the scan is cancelled")

	def test_silent_client(self):
		"""It is not waited for."""
		sock = connect(self.shim.port)
		self.addCleanup(sock.close)
		sock.sendall(rspamc_request(MAIL))
		self.assertEqual(RspamcReply(receive(sock)).action, "add header")

	def test_issue(self):
		mail = b"Subject: x\n\nline one\nline two, and more\n"
		request = b"PROCESS SPAMC/1.2\r\nContent-length: 25\r\n\r\n" + mail
		self.refused(talk(self.shim.port, request, half_close=True), 25, len(mail))
		self.assertEqual([body for body in (r.body for r in self.fake.requests) if body == mail[:25]], [])

	def test_behind_a_line_end(self):
		"""spamd does not see that one."""
		for cut in (MAIL.index(b"\n\n") + 1, MAIL.index(b"\n\n") + 2, MAIL.index(b"\n") + 1, 0):
			with self.subTest(cut):
				request = b"CHECK SPAMC/1.2\r\nContent-length: %d\r\n\r\n" % cut + MAIL
				self.refused(talk(self.shim.port, request, half_close=True), cut, len(MAIL))

	def test_too_large(self):
		"""Nor is a part of one passed unscanned."""
		shim = self.own(Shim, backend=self.fake.url, config="max_message_size = 1000\n")
		mail = MAIL + b"x" * 2000
		for request in (spamc_request("CHECK", mail), rspamc_request(mail)):
			self.refused(talk(shim.port, request + b"more", half_close=True), len(mail), len(mail) + 4)

	def test_not_compressed(self):
		"""The end of the stream is that of the message."""
		data = zlib.compress(MAIL)
		request = spamc_request("CHECK", data, Compress="zlib")
		self.assertIn(b"Spam: True", talk(self.shim.port, request + b"more", half_close=True))

	def test_learning(self):
		self.fake.silent()
		shim = self.own(Shim, config=f'backend "{self.fake.url}" {{}}\ncontroller "{self.fake.url}" {{}}\n')
		request = spamc_request("TELL", MAIL, Message_class="spam", Set="local")
		self.refused(talk(shim.port, request + b"more", half_close=False), len(MAIL), len(MAIL) + 4)

"""The request that Exim sends to rspamd, and to which server it sends it."""

import re
import time

from harness import Case, Exim, free_port, message

import claims
from fake_spamd import HALF_CLOSE_PATIENCE, FakeSpamd, rspamd_reply, spamd_reply

BY_SEMICOLON = """
	warn
		spam = <;nobody;true
		acl = acl_seen
	accept
"""


class RequestCase(Case):
	topics = ()

	@classmethod
	def setUpClass(cls):
		cls.probe = Exim(cls.folder("probe"))
		claims.need(cls.probe, *cls.topics)

	def fake(self, **options):
		server = self.own(FakeSpamd, **options)
		server.answer(rspamd_reply())
		return server

	def assert_score(self, exim, score):
		self.assertEqual([seen["spam_score"] for seen in exim.seen()], [score])


class Head(RequestCase):
	topics = ("variant", "request")

	def check_recipients(self, unix):
		server = self.fake(small_buffer=True)
		exim = self.own(Exim, server.address("variant=rspamd", unix=unix))
		names = [f"recipient-{i:05}-{'n' * 40}@{'d' * 50}.example" for i in range(2000)]
		self.assertEqual(exim.send(message(), recipients=names).code, 250)
		request, = server.await_requests(1)
		self.assertEqual(request.all(b"Rcpt"), [f"<{name}>".encode() for name in names])
		self.assertEqual(request.all(b"Recipient-Number"), [b"2000"])
		self.assertEqual(request.lines[0], b"CHECK RSPAMC/1.3")
		self.assert_score(exim, b"1.0")

	def test_2000_recipients(self):
		self.check_recipients(False)

	def test_2000_recipients_unix(self):
		self.check_recipients(True)

	def test_control_characters(self):
		server = self.fake()
		exim = self.own(Exim, server.address("variant=rspamd"))
		with exim.connect(extended=False) as connection:		# no search for options
			for text in (b'MAIL FROM:<"a\rb"@client.example>', b'RCPT TO:<"c\rUser: root\rd"@mx.example>',
			             b'RCPT TO:<"e\x01\x7ff"@mx.example>'):
				reply = connection.command(text)
				if reply.code != 250:
					self.skipTest(f"this Exim refuses such an address: {reply}")
			self.assertEqual(connection.command("DATA").code, 354)
			connection.sock.sendall(message().replace(b"\n", b"\r\n") + b".\r\n")
			self.assertEqual(connection.read().code, 250)
		request, = server.await_requests(1)
		self.assertFalse(re.search(rb"[\x00-\x1f\x7f]", request.head.replace(b"\r\n", b"")), request.head)
		self.assertEqual(len(request.all(b"Rcpt")), 2)
		self.assertEqual(request.all(b"User"), [])

	def test_envelope(self):
		server = self.fake()
		exim = self.own(Exim, server.address("variant=rspamd"))
		with exim.connect() as connection:
			connection.login("alice")
			connection.send(message(), sender="", recipients=("u1@mx.example", "u2@mx.example"))
		request, = server.await_requests(1)
		self.assertEqual([request.all(name) for name in (b"From", b"Rcpt", b"Recipient-Number", b"Helo", b"IP", b"User")],
		                 [[b"<>"], [b"<u1@mx.example>", b"<u2@mx.example>"], [b"2"], [b"client.example"], [b"127.0.0.1"],
		                  [b"alice"]])
		self.assertEqual(len(request.all(b"Queue-Id")), 1)

	def test_large_message(self):
		server = self.fake(small_buffer=True)
		exim = self.own(Exim, server.address("variant=rspamd"))
		body = "".join(f"line {i}\n" for i in range(300000))
		self.assertEqual(exim.send(message(body)).code, 250)
		request, = server.await_requests(1)
		self.assertTrue(request.body.endswith(body.encode()[-100000:]))
		self.assertEqual(request.body.count(b"\nline "), 300000)


class Shutdown(RequestCase):
	topics = ("variant", "shutdown")

	def test_rspamd(self):
		server = self.fake()
		server.patience = HALF_CLOSE_PATIENCE
		exim = self.own(Exim, server.address("variant=rspamd"))
		self.assertEqual(exim.send(message()).code, 250)
		self.assertFalse(server.await_requests(1)[0].half_closed)

	def test_spamd(self):
		server = self.fake()
		server.patience = 60
		server.answer(spamd_reply())
		exim = self.own(Exim, server.address())
		self.assertEqual(exim.send(message()).code, 250)
		self.assertTrue(server.await_requests(1)[0].half_closed)


class Servers(RequestCase):
	"""Lists of servers, and what their options do."""

	topics = ("addresses", "reply_safety")

	def two(self, first="", second="", unix=False):
		servers = [self.fake(), self.fake()]
		servers[1].answer(rspamd_reply(score="2.00"))
		addresses = [server.address(f"variant=rspamd {options}", unix=unix)
		             for server, options in zip(servers, (first, second))]
		return servers, self.own(Exim, " : ".join(addresses))

	def test_switched_off(self):
		# Exims of the tests live in UTC.
		other_time = "time=20-21" if time.gmtime().tm_hour < 12 else "time=1-2"
		for options in ("weight=0", other_time):
			with self.subTest(options=options):
				servers, exim = self.two(options)
				for _ in range(5):
					exim.send(message())
				self.assertEqual([s.connections for s in servers], [0, 5])

	def test_all_weight_0(self):
		servers, exim = self.two("weight=0", "weight=0")
		self.assertEqual(exim.send(message()).code, 250)
		self.assertEqual([s.connections for s in servers], [0, 0])
		self.assertEqual(exim.seen(), [])
		self.assertEqual(exim.send(message()).code, 250)

	def test_only_server_has_weight_0(self):
		server = self.fake()
		exim = self.own(Exim, server.address("variant=rspamd weight=0"))
		self.assertEqual(exim.send(message()).code, 250)
		self.assertEqual((server.connections, exim.seen()), (0, []))

	def test_both_are_used(self):
		# One in 2^59 that chance alone fails this.
		servers, exim = self.two()
		for _ in range(60):
			exim.send(message())
		self.assertEqual(sum(s.connections for s in servers), 60)
		for server in servers:
			self.assertGreater(server.connections, 0)

	def test_priority(self):
		servers, exim = self.two("pri=1", "pri=2")
		for _ in range(5):
			exim.send(message())
		self.assertEqual([s.connections for s in servers], [0, 5])

	def test_next_server(self):
		server = self.fake()
		exim = self.own(Exim, f"127.0.0.1 {free_port()} variant=rspamd : {server.address('variant=rspamd')}")
		for _ in range(5):
			self.assertEqual(exim.send(message()).code, 250)
		self.assertEqual(len(exim.seen()), 5)

	def test_all_gone(self):
		exim = self.own(Exim, f"127.0.0.1 {free_port()} variant=rspamd : 127.0.0.1 {free_port()}")
		self.assertEqual(exim.send(message()).code, 250)
		self.assertEqual(exim.seen(), [])

	def test_options_in_any_place(self):
		server = self.fake()
		for unix in (False, True):
			for options in ("variant=rspamd", "tmo=5s variant=rspamd", "variant=rspamd tmo=5s", "pri=3 variant=rspamd weight=2"):
				with self.subTest(unix=unix, options=options):
					exim = self.own(Exim, server.address(options, unix=unix))
					self.assertEqual(exim.send(message()).code, 250)
					self.assert_score(exim, b"1.0")

	def test_mixed_list(self):
		servers = [self.fake(), self.fake()]
		servers[0].answer(spamd_reply(score="3.0"))
		exim = self.own(Exim, f"{servers[0].address('weight=0')} : {servers[1].address('variant=rspamd', unix=True)}")
		exim.send(message())
		self.assert_score(exim, b"1.0")
		exim = self.own(Exim, f"{servers[0].address()} : {servers[1].address('variant=rspamd weight=0', unix=True)}")
		exim.send(message())
		self.assert_score(exim, b"3.0")

	def test_host_name(self):
		server = self.fake()
		exim = self.own(Exim, f"scanner.example {server.port} variant=rspamd", hosts={"127.0.0.1": "scanner.example"})
		self.assertEqual(exim.send(message()).code, 250)
		self.assert_score(exim, b"1.0")


class Lists(RequestCase):
	topics = ("reply_safety",)

	def test_separator_of_the_users(self):
		server = self.fake()
		server.answer(spamd_reply(score="9.0"))		# where Exim takes "true" for another option
		exim = self.own(Exim, f"127.0.0.1 {free_port()} : {server.address()}", acl_data=BY_SEMICOLON)
		for _ in range(6):
			exim.send(message())
		self.assertEqual(len(exim.seen()), 6)

"""Every shape of request that a spamd client may send, byte by byte."""

from harness import (Case, FakeRspamd, RspamcReply, Shim, check_report, connect, message, receive, rspamc_request,
                     spamc_request, talk, verdict)

MAIL = message()
TABLE = (b" pts rule name              description\r\n"
         b"---- ---------------------- --------------------------------------------------\r\n")
REPORT = (b"Action: add header\r\n" + TABLE
          + b" 7.0 A_RULE                 what it is\r\n"
          + b" 0.0 B_RULE\r\n"
          + b"Message-ID: test@client.example\r\nReport-End: complete\r\n")
# Many clients read the table to the end, and its lines end with LF.
NEW_REPORT = (b"Action: add header\nMessage-ID: test@client.example\nReport-End: complete\n" + TABLE.replace(b"\r", b"")
              + b" 7.0 A_RULE                 what it is\n 0.0 B_RULE\n")
HAM_REPORT = b"Action: no action\r\n" + TABLE + b"Message-ID: undef\r\nReport-End: complete\r\n"


class Requests(Case):
	@classmethod
	def setUpClass(cls):
		cls.fake = cls.shared(FakeRspamd)
		cls.shim = cls.shared(Shim, backend=cls.fake.url)

	def setUp(self):
		self.fake.forget()
		self.fake.answer(verdict("add header", 7.0, symbols={"A_RULE": {"score": 7.0, "description": "what it is"},
		                                                    "B_RULE": 0.0}, message_id="test@client.example"))
		self.shim.settle()

	def ask(self, data, **options):
		return talk(self.shim.port, data, **options)

	def judged(self):
		"""The only message that rspamd has been asked about."""
		self.assertEqual(len(self.fake.requests), 1)
		return self.fake.requests[0].body

	def test_check(self):
		for version in ("1.0", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6"):
			with self.subTest(version):
				# Headers are read above 1.0 only.
				plain = version == "1.0"
				data = f"CHECK SPAMC/{version}\r\n".encode() + MAIL if plain else spamc_request("CHECK", MAIL, version)
				self.fake.forget()
				self.assertEqual(self.ask(data, half_close=True),
				                 b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 7.0 / 7.0\r\n\r\n")
				self.assertEqual(self.judged(), MAIL)

	def test_spamc_1_0_has_no_headers(self):
		self.ask(spamc_request("CHECK", MAIL, "1.0"), half_close=True)
		self.assertEqual(self.judged(), f"Content-length: {len(MAIL)}\r\n\r\n".encode() + MAIL)

	def test_symbols(self):
		self.assertEqual(self.ask(spamc_request("SYMBOLS", MAIL, "1.2")),
		                 b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 7.0 / 7.0\r\n\r\nA_RULE,B_RULE\r\n")
		self.assertEqual(self.ask(spamc_request("SYMBOLS", MAIL, "1.3")),
		                 b"SPAMD/1.1 0 EX_OK\r\nContent-length: 13\r\nSpam: True ; 7.0 / 7.0\r\n\r\nA_RULE,B_RULE")

	def test_report(self):
		self.assertEqual(self.ask(spamc_request("REPORT", MAIL, "1.2")),
		                 b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 7.0 / 7.0\r\n\r\n" + REPORT)
		for version in "1.3", "1.5":
			self.assertEqual(self.ask(spamc_request("REPORT", MAIL, version)),
			                 f"SPAMD/1.1 0 EX_OK\r\nContent-length: {len(NEW_REPORT)}\r\nSpam: True ; 7.0 / 7.0\r\n\r\n".encode()
			                 + NEW_REPORT)

	def test_report_ifspam(self):
		self.assertEqual(self.ask(spamc_request("REPORT_IFSPAM", MAIL, "1.2")),
		                 b"SPAMD/1.1 0 EX_OK\r\nSpam: Yes ; 7.0 / 7.0\r\n\r\n" + REPORT)
		self.fake.answer(verdict(score=-0.5))
		self.assertEqual(self.ask(spamc_request("REPORT_IFSPAM", MAIL, "1.2")),
		                 b"SPAMD/1.1 0 EX_OK\r\nSpam: No ; -0.5 / 15.0\r\n\r\n")
		self.assertEqual(self.ask(spamc_request("REPORT_IFSPAM", MAIL, "1.3")),
		                 b"SPAMD/1.1 0 EX_OK\r\nContent-length: 0\r\nSpam: No ; -0.5 / 15.0\r\n\r\n")

	def test_report_of_ham(self):
		self.fake.answer(verdict())
		self.assertEqual(self.ask(spamc_request("REPORT", MAIL, "1.2")),
		                 b"SPAMD/1.1 0 EX_OK\r\nSpam: False ; 0.0 / 15.0\r\n\r\n" + HAM_REPORT)

	def test_ping_and_skip(self):
		for data in (b"PING SPAMC/1.2\r\n", b"PING SPAMC/1.5\r\n\r\n", b"PING SPAMC/1.5\r\nUser: x\r\n\r\n"):
			with self.subTest(data):
				self.assertEqual(self.ask(data, half_close=True), b"SPAMD/1.5 0 PONG\r\n")
		self.assertEqual(self.ask(b"SKIP SPAMC/1.5\r\n\r\n", half_close=True), b"")
		self.assertEqual(self.fake.connections, 0)

	def test_rspamc(self):
		reply = RspamcReply(self.ask(rspamc_request(MAIL)))
		self.assertEqual((reply.action, reply.flag, reply.score, reply.required), ("add header", True, "7.00", "15.00"))
		self.assertEqual(reply.report, [b"Action: add header", b"Symbol: A_RULE(7.00)", b"Symbol: B_RULE(0.00)",
		                                b"X-Symbol: A_RULE(7.00); what it is", b"X-Symbol: B_RULE(0.00)",
		                                b"Message-ID: test@client.example", b"Report-End: complete"])
		again = RspamcReply(self.ask(rspamc_request(MAIL, "SYMBOLS"), half_close=True))
		self.assertEqual(again.report, reply.report)

	def test_any_split(self):
		for data in (rspamc_request(MAIL, headers=[("From", "<s@x.example>"), ("Rcpt", "<u@y.example>")]),
		             spamc_request("REPORT", MAIL, "1.2", User="nobody")):
			whole = self.ask(data)
			head = len(data) - len(MAIL)
			# Each byte alone would take a while: around each line end and
			# the end of the head is where a split could matter.
			cuts = sorted({i + k for i in range(head) if data[i:i + 1] in b"\r\n" for k in (0, 1)} | {1, head + 1})
			for cut in cuts:
				with self.subTest(data=data[:8], cut=cut):
					self.fake.forget()
					self.assertEqual(self.ask(data, pieces=[cut], pause=0.005), whole)
					self.assertEqual(self.judged(), MAIL)
			self.fake.forget()
			self.assertEqual(self.ask(data, pieces=list(range(1, len(data))), pause=0.0005), whole)
			self.assertEqual(self.judged(), MAIL)

	def test_no_content_length(self):
		self.ask(spamc_request("CHECK", MAIL, "1.2", length=False), half_close=True)
		self.assertEqual(self.judged(), MAIL)
		self.fake.forget()
		RspamcReply(self.ask(rspamc_request(MAIL, length=False), half_close=True))
		self.assertEqual(self.judged(), MAIL)

	def test_content_length_in_any_case(self):
		for name in (b"Content-Length", b"content-length", b"CONTENT-LENGTH", b"Content-length"):
			with self.subTest(name):
				self.fake.forget()
				data = b"CHECK SPAMC/1.2\r\n" + name + b": %d\r\n\r\n" % len(MAIL) + MAIL
				self.assertIn(b"Spam: True", self.ask(data))
				self.assertEqual(self.judged(), MAIL)

	def test_lf_line_ends(self):
		self.assertIn(b"Spam: True", self.ask(spamc_request("CHECK", MAIL, end=b"\n")))
		self.assertEqual(RspamcReply(self.ask(rspamc_request(MAIL, end=b"\n"))).action, "add header")

	def test_message_with_crlf_stays_as_it_is(self):
		mail = MAIL.replace(b"\n", b"\r\n")
		self.ask(spamc_request("CHECK", mail))
		self.assertEqual(self.judged(), mail)

	def test_bytes_after_the_body(self):
		# The Perl and npm clients send a CRLF after the body; the reply must
		# reach them whole, without a reset.
		self.assertEqual(self.ask(spamc_request("CHECK", MAIL) + b"\r\n"),
		                 b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 7.0 / 7.0\r\n\r\n")
		self.assertEqual(self.judged(), MAIL)
		# so must an error, however much comes (test_surplus)
		self.assertRegex(self.ask(spamc_request("CHECK", MAIL) + b"\r\n" * 40000), rb"\ASPAMD/1\.0 76 [^\r\n]+\r\n\Z")

	def test_large_message(self):
		mail = message(b"0123456789abcdef" * 64 + b"\n") + b"0123456789abcdef" * 400000
		self.ask(spamc_request("CHECK", mail))
		self.assertEqual(self.judged(), mail)

	def refused(self, data, dialect=b"SPAMD/1.0 76 ", **options):
		"""One error line, nothing else, and rspamd hears nothing."""
		reply = self.ask(data, **options)
		self.assertTrue(reply.startswith(dialect), reply)
		self.assertTrue(reply.endswith(b"\r\n") and reply.count(b"\n") == 1, reply)
		self.assertEqual(self.fake.requests, [])
		line, = self.shim.await_requests()
		return line

	def test_bad_requests(self):
		for data in (b"CHECK SPAMC/1.2\r\nno colon\r\n\r\n" + MAIL,
		             b"CHECK SPAMC/1.2\r\nContent-length: -5\r\n\r\n" + MAIL,
		             b"CHECK SPAMC/1.2\r\nContent-length: 12x\r\n\r\n" + MAIL,
		             b"CHECK SPAMC/1.2\r\nContent-length: 99999999999999999999999\r\n\r\n" + MAIL,
		             b"CHECK SPAMC/1.2\r\nContent-length: 3\r\nContent-length: 4\r\n\r\n" + MAIL,
		             b"CHECK SPAMC/1.2\r\n" + b"X: y\r\n" * 300 + b"\r\n" + MAIL,
		             b"CHECK SPAMC/1.2\r\nX: " + b"y" * 100000 + b"\r\n\r\n" + MAIL,
		             b"check SPAMC/1.2\r\n\r\n" + MAIL,
		             b"FROB SPAMC/1.2\r\n\r\n" + MAIL,
		             b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		             b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
		             b"\r\n",
		             b"CHECK\r\n\r\n"):
			with self.subTest(data[:50]):
				self.shim.settle()
				self.refused(data, half_close=True)

	def test_bad_rspamc_requests(self):
		for data in (b"CHECK RSPAMC/1.3\r\nno colon\r\n\r\n" + MAIL,
		             b"CHECK RSPAMC/1.3\r\nContent-length: x\r\n\r\n" + MAIL,
		             b"PROCESS RSPAMC/1.3\r\nContent-length: 5\r\n\r\nabcde"):
			with self.subTest(data[:50]):
				self.refused(data, b"RSPAMD/1.3 75 EX_TEMPFAIL ", half_close=True)

	def test_unfinished_requests(self):
		self.refused(b"CHECK SPAMC/1.2\r\nContent-length: 10\r\n", half_close=True)
		self.refused(b"CHECK SPAMC/1.2", half_close=True)
		self.refused(spamc_request("CHECK", MAIL[:-5], length=len(MAIL)), half_close=True)
		self.refused(rspamc_request(MAIL[:-5], length=len(MAIL)), b"RSPAMD/1.3 75 EX_TEMPFAIL ", half_close=True)

	def test_empty_message(self):
		for data in (spamc_request("CHECK", b""), spamc_request("REPORT", b"", length=False)):
			reply = self.ask(data, half_close=True)
			self.assertRegex(reply, rb"\ASPAMD/1\.0 [1-9]\d* [^\r\n]+\r\n\Z")
		self.assertRegex(self.ask(rspamc_request(b""), half_close=True), rb"\ARSPAMD/1\.3 75 EX_TEMPFAIL [^\r\n]+\r\n\Z")
		self.assertEqual(self.fake.requests, [])

	def test_refused_commands(self):
		for command, headers in (("TELL", {"Message_class": "spam", "Set": "local"}),):
			with self.subTest(command):
				self.refused(spamc_request(command, MAIL, **headers), b"SPAMD/1.0 69 Service Unavailable: ")

	def test_refused_command_with_a_large_message(self):
		# The line must arrive although the client is still sending.
		self.refused(spamc_request("TELL", MAIL + b"x" * 3000000), b"SPAMD/1.0 69 Service Unavailable: ")

	def test_refused_while_the_client_sends(self):
		# It learns why, instead of a reset.
		self.refused(b"CHECK SPAMC/1.2\r\nno colon\r\n\r\n" + MAIL + b"x" * 20000000)

	def test_unknown_compression(self):
		self.assertRegex(self.ask(spamc_request("CHECK", MAIL, Compress="lzma")), rb"\ASPAMD/1\.0 [1-9]\d* [^\r\n]+\r\n\Z")
		self.assertEqual(self.fake.requests, [])

	def test_unix_socket(self):
		with connect(self.shim.unix) as sock:
			sock.sendall(rspamc_request(MAIL))
			self.assertEqual(RspamcReply(receive(sock)).action, "add header")

	def test_report_is_in_form(self):
		data = self.ask(spamc_request("REPORT", MAIL, "1.2"))
		check_report(data.split(b"\r\n\r\n", 1)[1].split(b"\r\n")[:-1], data.split(b"\r\n\r\n", 1)[1])

	def test_log_line(self):
		self.ask(rspamc_request(MAIL, headers=[("Queue-Id", "1xVN9B-00063X-1j"), ("From", '<"a b"@x.example>')]))
		line, = self.shim.await_requests()
		self.assertEqual(line["action"], "add header")
		self.assertEqual(line["score"], "7.00")
		self.assertIn("1xVN9B-00063X-1j", line.values())
		self.assertIn('"a b"@x.example', line.values())


class RequestToRspamd(Case):
	"""What rspamd hears."""

	@classmethod
	def setUpClass(cls):
		cls.fake = cls.shared(FakeRspamd)
		cls.shim = cls.shared(Shim, backend=cls.fake.url)

	def setUp(self):
		self.fake.forget()
		self.fake.answer(verdict())

	def test_head(self):
		talk(self.shim.port, rspamc_request(MAIL, headers=[
			("Queue-Id", "q1"), ("From", "<s@x.example>"), ("Recipient-Number", "2"), ("Rcpt", "<u@y.example>"),
			("Rcpt", "<v@y.example>"), ("Helo", "h.example"), ("Hostname", "c.example"), ("IP", "192.0.2.7"),
			("User", "alice")]))
		request, = self.fake.requests
		self.assertEqual(request.line, "POST /checkv2 HTTP/1.1")
		self.assertEqual(request.get("Content-Length"), str(len(MAIL)))
		self.assertEqual({name: request.all(name) for name in ("Queue-Id", "From", "Rcpt", "Helo", "Hostname", "IP", "User")},
		                 {"Queue-Id": ["q1"], "From": ["<s@x.example>"], "Rcpt": ["<u@y.example>", "<v@y.example>"],
		                  "Helo": ["h.example"], "Hostname": ["c.example"], "IP": ["192.0.2.7"], "User": ["alice"]})
		self.assertEqual(self.fake.half_closed, 0)

	def test_never_half_closes(self):
		# Even when the client did.
		talk(self.shim.port, rspamc_request(MAIL, length=False), half_close=True)
		talk(self.shim.port, spamc_request("CHECK", MAIL), half_close=True)
		self.assertEqual((len(self.fake.requests), self.fake.half_closed), (2, 0))

	def test_whitelist(self):
		harmful = ["File", "Path", "Shm", "Shm-Offset", "Shm-Length", "Settings", "Settings-ID", "Compression",
		           "Content-Encoding", "Dictionary", "Transfer-Encoding", "Password", "Flags", "Pass", "X-Any", "Host"]
		talk(self.shim.port, rspamc_request(MAIL, headers=[(name, "/etc/passwd") for name in harmful]))
		request, = self.fake.requests
		self.assertNotIn("/etc/passwd", request.head.decode())
		self.fake.forget()
		talk(self.shim.port, spamc_request("CHECK", MAIL, User="root", **{name.replace("-", "_"): "/etc/passwd" for name in harmful}))
		request, = self.fake.requests
		self.assertNotIn("/etc/passwd", request.head.decode())
		self.assertIsNone(request.get("User"), "SPAMC's User: is ignored by default")

	def test_values_cannot_make_lines(self):
		for value in (b"a\rIP: 127.0.0.1", b"a\0b", b"a\x0bb", b"\x7f\x1b[0m"):
			with self.subTest(value):
				self.fake.forget()
				talk(self.shim.port, rspamc_request(MAIL, headers=[
					("Rcpt", "<" + value.decode("latin-1") + "@y.example>"), ("Helo", value.decode("latin-1"))]))
				request, = self.fake.requests
				self.assertIsNone(request.get("IP"))
				self.assertNotRegex(request.head, rb"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n")

	def test_too_many_recipients(self):
		many = [("Rcpt", f"<{i}@y>") for i in range(2000)]
		RspamcReply(talk(self.shim.port, rspamc_request(MAIL, headers=many)))
		self.assertEqual(self.fake.requests[0].all("Rcpt"), [value for _, value in many[:1024]])
		self.fake.forget()
		many = [("Rcpt", f"<{'u' * 60}{i}@y.example>") for i in range(2000)]
		RspamcReply(talk(self.shim.port, rspamc_request(MAIL, headers=many)))
		request, = self.fake.requests
		self.assertLessEqual(len(request.all("Rcpt")), 1024)
		self.assertGreater(len(request.all("Rcpt")), 500)
		self.assertLess(len(request.head), 80 * 1024)

	def test_bad_ip_is_not_sent(self):
		for ip in ("evil", "127.0.0.1.5", "1.2.3.4 5", "fe80::1%eth0"):
			with self.subTest(ip):
				self.fake.forget()
				talk(self.shim.port, rspamc_request(MAIL, headers=[("IP", ip)]))
				self.assertIsNone(self.fake.requests[0].get("IP"))

	def test_trailing_lines_are_no_second_request(self):
		reply = talk(self.shim.port, rspamc_request(MAIL) + b"POST /checkv2 HTTP/1.1\r\n\r\n")
		self.assertRegex(reply, rb"\ARSPAMD/1\.3 75 EX_TEMPFAIL bad-request: [^\r\n]+\r\n\Z")
		self.assertEqual([request.body for request in self.fake.requests if request.body != MAIL], [])

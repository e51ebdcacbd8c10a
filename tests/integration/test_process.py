"""PROCESS and HEADERS: the message comes back; and compressed messages."""

import base64
import email
import json
import re
import subprocess
import zlib

from harness import Case, FakeRspamd, Shim, common_rspamd, message, packages, process, spamc, talk, verdict

HEAD = b"Received: from a\n\tby b\nSubject: a test\nFrom: a@x.example\nX-Mailer: m\n"
MAIL = HEAD + b"\nbody\n"
SYMBOLS = {"BAYES_SPAM": {"score": 5.1, "description": "Message probably spam"}, "R_SPF_FAIL": 1.5}
OURS = re.compile(rb"X-Spam-(?:Flag|Checker-Version|Level|Status|Action|Report):[^\n]*\n(?:[ \t][^\n]*\n)*")


def request(command, mail, version="1.5", headers=b""):
	return b"%s SPAMC/%s\r\nContent-length: %d\r\n%s\r\n%s" % (command.encode(), version.encode(), len(mail), headers, mail)


class Base(Case):
	config = None

	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		cls.fake = FakeRspamd()
		cls.addClassCleanup(cls.fake.stop)
		cls.shim = cls.shared(Shim, backend=cls.fake.url, config=cls.config,
		                      arguments=[])

	def setUp(self):
		self.fake.forget()
		self.spam()

	def spam(self, **more):
		self.fake.answer(verdict("add header", 6.6, symbols=SYMBOLS, **more), headers=["Server: rspamd/3.4"])

	def process(self, mail, command="PROCESS"):
		"""The message that comes back, its length as announced."""
		reply = talk(self.shim.port, request(command, mail))
		head, message = reply.split(b"\r\n\r\n", 1)
		match = re.fullmatch(rb"SPAMD/1\.1 0 EX_OK\r\nContent-length: (\d+)\r\nSpam: (?:True|False) ; -?\d+\.\d / -?\d+\.\d", head)
		self.assertTrue(match, head)
		self.assertEqual(int(match[1]), len(message))
		return message


class Process(Base):
	def test_every_version(self):
		added = self.process(MAIL)
		self.assertEqual(talk(self.shim.port, request("PROCESS", MAIL, "1.2")),
		                 b"SPAMD/1.1 0 EX_OK\r\nContent-length: %d\r\n\r\n%s" % (len(added), added))
		self.assertEqual(talk(self.shim.port, request("PROCESS", MAIL, "1.1")), b"SPAMD/1.0 0 EX_OK\r\n" + added)
		head = self.process(MAIL, "HEADERS")
		self.assertEqual(head + b"body\n", added)
		self.assertEqual(talk(self.shim.port, request("HEADERS", MAIL, "1.1")), b"SPAMD/1.0 0 EX_OK\r\n" + head)

	def test_spam(self):
		self.assertEqual(self.process(MAIL),
			b"X-Spam-Flag: YES\nX-Spam-Checker-Version: rspamd-shim 0.1.0 (rspamd/3.4)\nX-Spam-Level: ******\n"
			b"X-Spam-Status: Yes, score=6.6 required=6.6 tests=BAYES_SPAM,R_SPF_FAIL\n\tautolearn=disabled version=0.1.0\n"
			b"X-Spam-Action: add header\n" + MAIL)

	def test_ham(self):
		self.fake.answer(verdict("no action", -0.3))
		self.assertEqual(self.process(MAIL),
			b"X-Spam-Checker-Version: rspamd-shim 0.1.0\nX-Spam-Level: \n"
			b"X-Spam-Status: No, score=-0.3 required=15.0 tests=none\n\tautolearn=disabled version=0.1.0\n"
			b"X-Spam-Action: no action\n" + MAIL)

	def test_what_was_added_can_be_taken_off(self):
		"""Line ends, odd heads and bodies of every shape stay."""
		big = b"x" * 3000000
		shapes = [MAIL, MAIL.replace(b"\n", b"\r\n"), b"From a@x Mon Nov 23 06:00:00 2026\n" + MAIL, HEAD, HEAD[:-1],
		          b"\nonly a body\n", b"no head at all\n", b"no line end", b"Subject: x\nnot a header\n\nbody\n",
		          b"Subject: caf\xe9\n\n\xff\x00\xfe\n", b"A: b\n\n" + big, big, b"A: " + big + b"\n\nbody\n", b"\r\n", b"\n",
		          b": no name\n\nbody\n", b"From a@x Mon Nov 23 06:00:00 2026",
		          b"".join(b"X-Header-%d: v\n" % i for i in range(6000)) + b"\nbody\n"]
		for mail in shapes:
			with self.subTest(mail[:40]):
				back = self.process(mail)
				self.assertEqual(self.fake.requests[-1].body, mail)
				self.assertEqual(OURS.sub(b"", back.replace(b"\r\n", b"\n")), mail.replace(b"\r\n", b"\n"))
				if b"\r\n" in mail:
					self.assertNotRegex(back, rb"[^\r]\n")
				self.assertTrue(back.startswith((b"X-Spam-Flag: YES", b"From a@x Mon Nov 23 06:00:00 2026\n")))

	def test_a_first_line_that_looks_like_a_continuation(self):
		back = self.process(b" add: me\n\nbody\n")
		self.assertTrue(back.endswith(b"X-Spam-Action: add header\n\n add: me\n\nbody\n"), back)

	def test_foreign_marks_go(self):
		back = self.process(b"X-Spam-Flag: NO\nA: 1\nx-spam-anything: a\n folded\nX-Spam: no\nX-Spammer: stays\n\nX-Spam-Flag: NO\n")
		self.assertTrue(back.endswith(b"\nA: 1\nX-Spammer: stays\n\nX-Spam-Flag: NO\n"))
		self.assertNotRegex(back, rb"(?i)anything|folded|x-spam: |^X-Spam-Flag: NO\nA")

	def test_hidden_marks_go(self):
		"""Marks behind lines that are no fields, and in the spelling of lax mail programs."""
		for hidden in (b": y\nX-Spam-Flag: NO\n", b"X-A\n : y\nX-Spam-Status: No\n", b"X-\xe9: y\nX-Spam: no\n",
		               b"X\x0b: y\nX-Spam-Flag: NO\n", b"X-Spam-Flag\n : NO\n", b"A: b\rX-Spam-Flag: NO\n", b"X-Spam_score: 1\n",
		               b"B: b\n" * 5000 + b"X-Spam-Flag: NO\n", b"B: " + b"b" * 1200000 + b"\nX-Spam-Flag: NO\n"):
			with self.subTest(hidden=hidden[-40:]):
				back = self.process(b"A: 1\n" + hidden + b"C: 3\n\nX-Spam-Flag: NO\n")
				head, _, body = back.partition(b"\n\n")
				self.assertNotRegex(OURS.sub(b"", head + b"\n"), rb"(?i)x-spam")
				self.assertTrue(head.endswith(b"\nC: 3"))
				self.assertEqual(body, b"X-Spam-Flag: NO\n")

	def test_milter_headers_and_subject(self):
		self.spam(subject="[SPAM]\r\n a test", milter={
			"add_headers": {"X-Last": "z", "X-First": {"value": "a\r\n\tb\r\n\r\nc", "order": 1}, "X-Two": ["1", {"value": "2", "order": 3}],
			                "Bad Name": "x", "X-Evil": "a\nEvil: b"},
			"remove_headers": {"x-mailer": 0, "From": -1, "Received": 2}})
		back = self.process(MAIL)
		self.assertEqual(back.split(b"X-Spam-Action: add header\n")[1],
			b"X-First: a\n\tb\n\tc\nReceived: from a\n\tby b\nSubject: [SPAM]\n\ta test\nX-Two: 2\n"
			b"X-Last: z\nX-Two: 1\nX-Evil: a\n\tEvil: b\n\nbody\n")

	def test_no_verdict(self):
		"""An error and nothing else: spamc then keeps the message as it is."""
		self.fake.answer("{}", status="500 Internal Server Error")
		for command in ("PROCESS", "HEADERS"):
			reply = talk(self.shim.port, request(command, MAIL))
			self.assertRegex(reply, rb"\ASPAMD/1\.0 75 EX_TEMPFAIL: [^\r\n]+\r\n\Z")

	def test_exims_lines_come_back(self):
		lines = b"From MAILER-DAEMON Mon Nov 23 06:00:00 2026\nX-Envelope-From: <a@x.example>\nX-Envelope-To: b@y.example\n"
		back = self.process(lines + MAIL)
		self.assertEqual(self.fake.requests[-1].body, MAIL)
		self.assertTrue(back.startswith(lines + b"X-Spam-Flag: YES\n"))
		self.assertTrue(back.endswith(MAIL))


class OtherHeaders(Base):
	config = f'listen "ADDRESS" {{ headers = rspamc report_header = true }}\n'

	@classmethod
	def setUpClass(cls):
		super(Base, cls).setUpClass()
		cls.fake = FakeRspamd()
		cls.addClassCleanup(cls.fake.stop)
		cls.shim = cls.shared(Shim, backend=cls.fake.url, config="")
		cls.shim.stop()
		cls.shim.write_config(cls.config.replace("ADDRESS", cls.shim.address))
		cls.shim.start()

	def test_rspamcs(self):
		self.assertEqual(self.process(MAIL),
			b"X-Spam-Scanner: rspamd/3.4\nX-Spam-Scan-Time: 0.001\nX-Spam: yes\nX-Spam-Action: add header\n"
			b"X-Spam-Score: 6.60 / 15.00\nX-Spam-Level: *******\nX-Spam-Symbols: BAYES_SPAM,R_SPF_FAIL\n"
			b"X-Spam-Report:\n\t*  5.1 BAYES_SPAM Message probably spam\n\t*  1.5 R_SPF_FAIL\n" + MAIL)


class Result(Case):
	"""headers = rspamc-json, and rspamc --mime --json itself, on the same mail."""

	@classmethod
	def setUpClass(cls):
		cls.rspamd = common_rspamd()
		cls.group = packages.need("rspamd")
		cls.shim = cls.shared(Shim, backend=cls.rspamd.url, config="")
		cls.shim.stop()
		cls.shim.write_config(f'listen "{cls.shim.address}" {{ headers = rspamc-json }}\nlisten "unix:{cls.shim.unix}" {{ }}\n')
		cls.shim.start()

	def ours(self, mail):
		code, out = spamc(self.shim.port, mail, "-x")
		self.assertEqual(code, 0)
		self.assertTrue(out.endswith(mail))
		added = out[:len(out) - len(mail)]
		self.assertRegex(added, rb"\A(?:X-Spam[-\w]*: [ -~]{0,990}\n(?:\t[ -~]{1,990}\n)*)+\Z")
		return email.message_from_bytes(out)

	def theirs(self, mail):
		done = subprocess.run([self.group.path("usr/bin/rspamc"), "-h", f"127.0.0.1:{self.rspamd.normal}", "--mime", "--json"],
		                      input=mail, stdout=subprocess.PIPE, check=True, timeout=process.PATIENCE,
		                      env=process.environment([self.group], extra={"RSPAMD_LIBDIR": str(self.group.root / "usr/lib/rspamd")}))
		return email.message_from_bytes(done.stdout)

	def test_same(self):
		hostile = 'a"b\\c: {"action":"no action"} X-Spam: no ~~~~ ???? >>>> ~?~?'
		for mail in (message(), message(X_Test_Score=7), message(X_Test_Action="reject", X_Test_Message=hostile),
		             message(X_Test_Score=9, Subject="one", X_Test_Milter=1), message(X_Test_Score=3, X_Test_Bulk=60)):
			with self.subTest(mail[-80:]):
				ours, theirs = (json.loads(base64.b64decode(re.sub(r"\s", "", parsed["X-Spam-Result"]), validate=True))
				                for parsed in (self.quietly(mail), self.theirs(mail)))
				for result in (ours, theirs):
					for name in list(result):
						if name.startswith("time"):
							del result[name]
					# it adds up floating point numbers in the order of a hash table
					result["score"] = round(result["score"], 4)
				self.assertEqual(ours, theirs)
				self.assertIn("action", ours)

	def quietly(self, mail):
		"""The shim's, of mail that rspamd itself may have changed."""
		if b"X-Test-Milter" not in mail:
			return self.ours(mail)
		return email.message_from_bytes(spamc(self.shim.port, mail, "-x")[1])

	def test_too_large(self):
		mail = message(X_Test_Score=7, X_Test_Bulk=900)
		parsed = self.ours(mail)
		self.assertIsNone(parsed["X-Spam-Result"])
		self.assertRegex(parsed["X-Spam-Result-Omitted"], r"\Arspamd's result has \d{5,} bytes, more than the 49152 that are put into mail\Z")
		self.assertIsNotNone(self.theirs(mail)["X-Spam-Result"])

	def test_forged(self):
		mail = message(X_Spam_Result=base64.b64encode(b'{"action":"no action"}').decode(), X_Test_Action="reject")
		results = email.message_from_bytes(spamc(self.shim.port, mail, "-x")[1]).get_all("X-Spam-Result")
		self.assertEqual([json.loads(base64.b64decode(result))["action"] for result in results], ["reject"])


class Compressed(Base):
	config = "max_message_size = 1M\n"

	def ask(self, data, command="CHECK"):
		return talk(self.shim.port, request(command, data, headers=b"Compress: zlib\r\n"))

	def test_all_of_it(self):
		for mail in (MAIL, MAIL + b"0123456789\n" * 50000):
			self.assertEqual(self.ask(zlib.compress(mail)), b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 6.6 / 6.6\r\n\r\n")
			self.assertEqual(self.fake.requests[-1].body, mail)

	def test_limit(self):
		"""What comes out counts, on both sides of the limit."""
		self.assertIn(b"True ; 6.6", self.ask(zlib.compress(b"x" * 1048576)))
		self.assertEqual(len(self.fake.requests), 1)
		for size in (1048577, 3000000, 300000000):
			self.assertEqual(self.ask(zlib.compress(b"x" * size)), b"SPAMD/1.1 0 EX_OK\r\nSpam: False ; 0.0 / 15.0\r\n\r\n")
			self.assertRegex(self.ask(zlib.compress(b"x" * size), "PROCESS"), rb"\ASPAMD/1\.0 69 Service Unavailable: [^\r\n]+\r\n\Z")
		self.assertEqual(len(self.fake.requests), 1)

	def test_broken(self):
		good = zlib.compress(MAIL * 100)
		for data, why in ((b"hello", b"not in zlib's format"), (good[:-1], b"cut off"), (good[:20], b"cut off"),
		                  (good[:30] + b"xxxx" + good[34:], b"")):
			with self.subTest(data[:40]):
				self.assertRegex(self.ask(data), rb"\ASPAMD/1\.0 76 Bad header line: \([^\r\n]*" + why + rb"[^\r\n]*\)\r\n\Z")
		self.assertEqual(self.fake.requests, [])

	def test_empty(self):
		self.assertRegex(self.ask(zlib.compress(b"")), rb"\ASPAMD/1\.0 65 ")

"""TELL: clients train rspamd through its controllers."""

import os

from harness import Case, FakeRspamd, Shim, connect, talk

MAIL = b"Subject: a test\n\nbody\n"
DONE = b"SPAMD/1.1 0 EX_OK\r\n"


def tell(mail=MAIL, **headers):
	lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
	return b"TELL SPAMC/1.5\r\nContent-length: %d\r\n%s\r\n%s" % (len(mail), lines.encode(), mail)


SPAM, HAM = {"Message_class": "spam", "Set": "local"}, {"Message_class": "ham", "Set": "local"}
FORGET = {"Remove": "local"}
REPORT, REVOKE = {"Message_class": "spam", "Set": "local,remote"}, {"Message_class": "ham", "Set": "local", "Remove": "remote"}


class Base(Case):
	config = ""
	controllers = 1

	def setUp(self):
		super().setUp()
		self.fakes = [FakeRspamd() for _ in range(self.controllers)]
		for fake in self.fakes:
			self.addCleanup(fake.stop)
			fake.answer('{"success":true}')
		self.fake = self.fakes[0]
		password = self.folder("password") / "password"
		password.write_text("pass word\nnot this\n")
		os.chmod(password, 0o600)
		os.chown(password, *self.owner(password))
		arguments = ["--password-file", password]
		for fake in self.fakes:
			arguments += ["--controller", fake.url]
		self.shim = self.own(Shim, config=self.config, arguments=arguments)

	@staticmethod
	def owner(path):
		status = path.parent.stat()
		return status.st_uid, status.st_gid

	def tell(self, **headers):
		return talk(self.shim.port, tell(**headers))

	def asked(self, fake=None):
		"""What the controller was asked to do."""
		return [request.line.split()[1] for request in (fake or self.fake).requests]

	def refused(self, reply, code, why):
		self.assertRegex(reply, rb"\ASPAMD/1\.0 %d [^\r\n]+\r\n\Z" % code)
		self.assertIn(why, reply)


class Learning(Base):
	def test_spam_and_ham(self):
		self.assertEqual(self.tell(**SPAM), DONE + b"DidSet: local\r\n\r\n\r\n")
		self.assertEqual(self.tell(**HAM), DONE + b"DidSet: local\r\n\r\n\r\n")
		self.assertEqual(self.asked(), ["/learnspam", "/learnham"])
		request = self.fake.requests[0]
		self.assertEqual(request.body, MAIL)
		self.assertEqual(request.get("Password"), "pass word")

	def test_learned_before(self):
		"""No failure, and nothing was set: spamc says that it was learned already."""
		for status, body in (("208 Already Reported", "{}"), ("404 Not Found", '{"error":"<a@b> has been already learned as spam"}')):
			self.fake.answer(body, status=status)
			self.assertEqual(self.tell(**SPAM), DONE + b"\r\n\r\n")
		self.assertIn("learned before", self.shim.await_requests(2)[1]["reason"])

	def test_conditions_not_met(self):
		self.fake.answer("", status="204 No Content")
		self.assertEqual(self.tell(**SPAM), DONE + b"\r\n\r\n")

	def test_failures(self):
		for status, body, code, why in (
				("401 Unauthorized", "{}", 75, b"HTTP status 401, the password was refused"),
				("500 Internal Server Error", '{"error":"no classifier"}', 75, b"no classifier"),
				("404 Not Found", "{}", 75, b"HTTP status 404"), ("429 Too Many Requests", "{}", 75, b"HTTP status 429"),
				("200 OK", '{"error":"inside"}', 75, b"inside"),
				("200 OK", "<html>welcome</html>", 75, b"not that of rspamd's controller"),
				("200 OK", '{"success":false}', 75, b"not that of rspamd's controller")):
			with self.subTest(status):
				self.fake.answer(body, status=status)
				self.refused(self.tell(**SPAM), code, why)
		self.fake.raw(b"")
		self.refused(self.tell(**SPAM), 69, b"closed without a response")
		self.fake.stop()
		self.refused(self.tell(**SPAM), 69, b"Connection refused")

	def test_what_it_cannot_do(self):
		self.refused(self.tell(**FORGET), 69, b"rspamd cannot forget a message")
		self.refused(self.tell(Set="remote", Message_class="spam"), 69, b"set fuzzy_flag")
		self.refused(self.tell(Set="local"), 76, b"Message-class")
		self.refused(self.tell(Message_class="spam"), 76, b"Set: or Remove:")
		self.refused(self.tell(Set="elsewhere"), 76, b"Set: or Remove:")
		self.refused(self.tell(mail=b"", **SPAM), 65, b"empty")
		self.assertEqual(self.asked(), [])

	def test_report_without_fuzzy_storage(self):
		"""What can be done is done, and the reply says no more."""
		self.assertEqual(self.tell(**REPORT), DONE + b"DidSet: local\r\n\r\n\r\n")
		self.assertEqual(self.tell(**REVOKE), DONE + b"DidSet: local\r\n\r\n\r\n")
		self.assertEqual(self.asked(), ["/learnspam", "/learnham"])

	def test_client_leaves(self):
		self.fake.silent()
		sock = connect(self.shim.unix)
		sock.sendall(tell(**SPAM))
		self.fake.await_requests(1)
		sock.close()
		self.assertEqual(self.shim.await_requests()[0]["outcome"], "client-gone")


class Fuzzy(Base):
	config = "fuzzy_flag = 11\nfuzzy_weight = 7\n"

	def test_all(self):
		for headers, reply, asked in (
				(REPORT, b"DidSet: local,remote\r\n", ["/learnspam", "/fuzzyadd"]),
				(REVOKE, b"DidSet: local\r\nDidRemove: remote\r\n", ["/learnham", "/fuzzydel"]),
				(FORGET, b"DidRemove: local\r\n", ["/fuzzydel"]),
				({"Remove": "local, remote"}, b"DidRemove: local,remote\r\n", ["/fuzzydel"])):
			with self.subTest(headers):
				self.fake.forget()
				self.assertEqual(self.tell(**headers), DONE + reply + b"\r\n\r\n")
				self.assertEqual(self.asked(), asked)
				self.assertEqual((self.fake.requests[-1].get("Flag"), self.fake.requests[-1].get("Weight")), ("11", "7"))


class Several(Base):
	controllers = 2

	def test_each_learns(self):
		self.assertEqual(self.tell(**SPAM), DONE + b"DidSet: local\r\n\r\n\r\n")
		self.assertEqual([self.asked(fake) for fake in self.fakes], [["/learnspam"]] * 2)

	def test_one_fails(self):
		"""An error: the client tries again, and the first has learned it before."""
		self.fakes[1].answer("{}", status="500 Internal Server Error")
		self.refused(self.tell(**SPAM), 75, b"HTTP status 500")
		self.fakes[0].answer("{}", status="208 Already Reported")
		self.fakes[1].answer('{"success":true}')
		self.assertEqual(self.tell(**SPAM), DONE + b"DidSet: local\r\n\r\n\r\n")


class NoController(Case):
	def test_refused(self):
		shim = self.own(Shim, backend="http://127.0.0.1:1")
		reply = talk(shim.port, tell(**SPAM))
		self.assertRegex(reply, rb"\ASPAMD/1\.0 69 Service Unavailable: TELL commands are not enabled, [^\r\n]+\r\n\Z")

	def test_password_files(self):
		folder = self.folder("password")
		for mode, text, why in ((0o644, "x\n", "can be read by everybody"), (0o600, "", "is empty"), (0o600, "\n", "is empty"),
		                        (0o600, "x" * 256 + "\n", "longer than 255 bytes"), (None, "", "cannot be read")):
			path = folder / "password"
			if mode is None:
				path = folder / "none"
			else:
				path.write_text(text)
				os.chmod(path, mode)
				os.chown(path, folder.stat().st_uid, -1)
			with self.subTest(why), self.assertRaises(AssertionError) as caught:
				self.own(Shim, arguments=["--controller", "http://127.0.0.1:1", "--password-file", path])
			self.assertIn(why, str(caught.exception))

"""TELL: clients train rspamd through its controllers."""

import concurrent.futures
import os
import signal
import threading

from harness import Case, FakeRspamd, Rspamd, Shim, connect, process, releases, talk, wait_until

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
				("500 Internal Server Error", '{"error":"no classifier"}', 75, b"no classifier"),
				("404 Not Found", "{}", 75, b"HTTP status 404"),
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


class RefusedPassword(Base):
	"""rspamd 4.1 locks out who sends ten wrong passwords in a minute: none is sent again for a while."""

	config = "workers = 4\n"
	refusals = (("401 Unauthorized", b"HTTP status 401, the password was refused"),
	            ("403 Forbidden", b"HTTP status 403, the password was refused"),
	            ("429 Too Many Requests", b"HTTP status 429, too many wrong passwords came from here"))

	def test_none_is_sent_again(self):
		for status, why in self.refusals:
			with self.subTest(status):
				self.setUp()
				self.fake.answer("{}", status=status)
				self.refused(self.tell(**SPAM), 75, why)
				for _ in range(12):
					self.refused(self.tell(**SPAM), 75, b"it has refused the password, which is sent again in ")
				self.assertEqual(self.asked(), ["/learnspam"])
				log = [line for line in self.shim.log().splitlines() if f"(HTTP status {status[:3]}): for 120 s" in line]
				self.assertEqual(len(log), 1, log)
				self.assertRegex(log[0], r"controller 127\.0\.0\.1:\d+ .*; correct /.*/password and reload")

	def test_many_at_once(self):
		"""Whatever the number of workers and clients, below ten are sent before the first answer."""
		answers = threading.Event()

		def refuse(sock, _request):
			answers.wait(process.PATIENCE)
			sock.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}")
		self.fake.behave(refuse)
		with concurrent.futures.ThreadPoolExecutor(24) as pool:
			replies = [pool.submit(self.tell, **SPAM) for _ in range(24)]
			self.fake.await_requests(4)
			answers.set()
			for reply in replies:
				self.refused(reply.result(), 75, b"the password")
		self.assertEqual(self.asked(), ["/learnspam"] * 4)

	def test_many_at_once_with_the_right_one(self):
		"""They wait for the first answers, and all are learned."""
		with concurrent.futures.ThreadPoolExecutor(24) as pool:
			replies = list(pool.map(lambda _: self.tell(**SPAM), range(24)))
		self.assertEqual(replies, [DONE + b"DidSet: local\r\n\r\n\r\n"] * 24)

	def test_reload(self):
		self.fake.answer("{}", status="401 Unauthorized")
		self.refused(self.tell(**SPAM), 75, b"the password was refused")
		self.fake.answer('{"success":true}')
		self.refused(self.tell(**SPAM), 75, b"it has refused the password")
		self.shim.process.send_signal(signal.SIGHUP)
		wait_until(lambda: self.tell(**SPAM) == DONE + b"DidSet: local\r\n\r\n\r\n", "a message is learned after a reload")

	def test_other_failures_say_nothing_of_the_password(self):
		for status in ("500 Internal Server Error", "404 Not Found"):
			self.fake.answer("{}", status=status)
			for _ in range(6):
				self.refused(self.tell(**SPAM), 75, b"HTTP status")
		self.assertEqual(len(self.asked()), 12)


class RealController(Case):
	def started(self, rspamd):
		password = self.folder("password") / "password"
		password.write_text("wrong\n")
		os.chmod(password, 0o600)
		os.chown(password, *Base.owner(password))
		return self.own(Shim, backend=rspamd.url, config="workers = 4\n",
		                arguments=["--password-file", password, "--controller", f"http://127.0.0.1:{rspamd.controller}"])

	def learns(self, rspamd, password):
		return rspamd.http("POST", "/learnham", b"", {"Password": password}, port=rspamd.controller)[0]

	def test_wrong_password(self):
		"""A real controller hears one wrong password, and does not lock us out."""
		rspamd = self.own(Rspamd)
		shim = self.started(rspamd)
		replies = [talk(shim.port, tell(**SPAM)) for _ in range(16)]
		self.assertRegex(replies[0], rb"the password was refused")
		for reply in replies[1:]:
			self.assertRegex(reply, rb"it has refused the password, which is sent again in \d+ s, or after a reload")
		self.assertEqual(self.learns(rspamd, "rwpass"), 400, "the right password is not taken")

	def test_locked_out(self):
		"""Another program has sent ten wrong ones: the reply says what is the matter."""
		rspamd = self.own(Rspamd)
		if not rspamd.facts.locks_out:
			rspamd = self.own(Rspamd, release=releases.newest_other())
		self.assertIn(429, [self.learns(rspamd, "wrong") for _ in range(12)])
		self.assertRegex(talk(self.started(rspamd).port, tell(**SPAM)), rb"too many wrong passwords came from here")


class Fuzzy(Base):
	config = "fuzzy_flag = 11\nfuzzy_weight = 7\n"

	def test_all(self):
		for headers, reply, asked in (
				(REPORT, b"DidSet: local,remote\r\n", ["/learnspam", "/fuzzyadd"]),
				(REVOKE, b"DidSet: local\r\nDidRemove: remote\r\n", ["/learnham", "/fuzzydel"]),
				(FORGET, b"DidRemove: remote\r\n", ["/fuzzydel"]),
				({"Remove": "remote"}, b"DidRemove: remote\r\n", ["/fuzzydel"]),
				({"Remove": "local, remote"}, b"DidRemove: remote\r\n", ["/fuzzydel"])):
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

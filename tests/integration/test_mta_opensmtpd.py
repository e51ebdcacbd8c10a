"""mta-conf/opensmtpd: its smtpd.conf with the real OpenSMTPD, its rspamd filter and rspamd."""

from harness import SOURCE_TREE, Case, FakeRspamd, OpenSmtpd, common_rspamd, free_port, message, verdict, wait_until

# What the README's table says: the action, how to get it, the reply, the folder.
ACTIONS = [("no action", {"X_Test_Score": 1.5}, 250, ""),
           ("greylist", {"X_Test_Score": 5}, 250, ""),
           ("add header", {"X_Test_Score": 7}, 250, "Junk"),
           ("rewrite subject", {"X_Test_Score": 9}, 250, ""),
           ("soft reject", {"X_Test_Action": "soft reject"}, 451, None),
           ("reject", {"X_Test_Score": 20}, 550, None)]


def config(url, port):
	"""The example with rspamd's address, a port and the tests' domain."""
	text = (SOURCE_TREE / "mta-conf/opensmtpd/smtpd.conf").read_text()
	for old, new in (("http://127.0.0.1:11333", url), ("0.0.0.0 port 25", f"127.0.0.1 port {port}"),
	                 ("example.org", "mx.example")):
		assert old in text, f"smtpd.conf does not say {old!r}"
		text = text.replace(old, new)
	return text


class Smtpd(Case):
	@classmethod
	def start(cls, url):
		port = free_port()
		cls.smtpd = cls.shared(OpenSmtpd, config(url, port), port)

	def deliver(self, mail, **options):
		"""(folder, message) of what must be accepted."""
		return self.smtpd.delivered(self.smtpd.send(mail, **options))

	def assert_refused(self, reply, code, text):
		self.assertEqual((reply.code, reply.text), (code, text))


class OpenSmtpdVerdicts(Smtpd):
	@classmethod
	def setUpClass(cls):
		cls.rspamd = common_rspamd()
		cls.start(cls.rspamd.url)

	def setUp(self):
		self.rspamd.seen()

	def test_actions(self):
		"""Reply, folder and header lines of each."""
		for action, headers, code, folder in ACTIONS:
			with self.subTest(action):
				mail = message(**headers)
				self.assertEqual(self.rspamd.scan(mail)["action"], action)
				reply = self.smtpd.send(mail)
				self.assertEqual(reply.code, code, reply)
				if folder is None:
					continue
				where, got = self.smtpd.delivered(reply)
				self.assertEqual(where, folder)
				self.assertEqual(got["Subject"], "[SPAM] a test" if action == "rewrite subject" else "a test")
				marks = {name: value for name, value in got.items() if name.startswith("X-Spam")}
				self.assertEqual(marks, {"X-Spam": "yes", "X-Spam-Score": "7 / 15",
				                         "X-Spam-Status": "Yes, score=7.000 required=15.000\n\ttests=[TEST_SCORE=7.000]"}
				                 if action == "add header" else {})

	def test_words(self):
		"""rspamd's own words are in the reply; without any, the filter's are."""
		for action, code, default in (("soft reject", 451, "try again later"), ("reject", 550, "message rejected")):
			with self.subTest(action):
				self.assert_refused(self.smtpd.send(message(X_Test_Action=action, X_Test_Message="4711 is no number")),
				                    code, "4711 is no number")
			with self.subTest(action, words=None):
				self.assert_refused(self.smtpd.send(message(X_Test_Action=action)), code, default)

	def test_what_rspamd_is_told(self):
		reply = self.smtpd.send(message(X_Test_Id="told"), source="127.0.0.2", helo="mail.client.example",
		                        sender="from@client.example", recipients=["user@mx.example", "postmaster@mx.example"])
		seen = next(s for s in self.rspamd.await_seen() if s["test_id"] == "told")
		self.assertEqual((seen["ip"], seen["helo"], seen["from"]), ("127.0.0.2", "mail.client.example", "from@client.example"))
		self.assertEqual(seen["rcpt"], ["user@mx.example", "postmaster@mx.example"])
		self.assertIn(seen["queue_id"], reply.text)
		self.assertEqual(seen["headers"]["MTA-Name"], "mx.test.example")
		self.assertEqual(seen["headers"]["Hostname"], "<unknown>")		# as it has no name in DNS

	def test_null_sender(self):
		self.smtpd.send(message(X_Test_Id="bounce"), sender="")
		seen = next(s for s in self.rspamd.await_seen() if s["test_id"] == "bounce")
		self.assertEqual(seen["from"], "")

	def test_milter_headers(self):
		"""Lines are added and removed; one that is to stand at a position is left out."""
		where, got = self.deliver(message(X_Test_Milter=1, X_Old="1", X_Older="2"))
		self.assertEqual((where, got["X-Spam-Test"], got["X-Old"], got["X-Older"]), ("", "yes", None, "2"))
		self.assertIsNone(got["X-Folded"])

	def test_no_subject(self):
		_, got = self.deliver(message(X_Test_Score=9, Subject=None))
		self.assertIsNone(got["Subject"])

	def test_gtube(self):
		"""The README's way to see that it works."""
		body = "Hello,\n\nXJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\n"
		self.assert_refused(self.smtpd.send(message(body)), 550, "Gtube pattern")

	def test_senders_own_mark(self):
		where, got = self.deliver(message(X_Test_Score=1, X_Spam="yes"))
		self.assertEqual((where, got["X-Spam"]), ("Junk", "yes"))

	def test_message_stays_whole(self):
		body = b".\n..two\n\xe4\xf6 \xff\n" + b"x" * 900 + b"\n.end|with|bars\n\n"
		_, got = self.deliver(message(body, X_Test_Score=7))
		self.assertEqual((got["X-Spam"], got.get_payload(decode=True)), ("yes", body))


class OpenSmtpdFailures(Smtpd):
	@classmethod
	def setUpClass(cls):
		cls.fake = FakeRspamd()
		cls.addClassCleanup(cls.fake.stop)
		cls.start(cls.fake.url)

	def setUp(self):
		self.fake.forget()

	def test_no_answer(self):
		"""The sender is to try again: it was no verdict, or none that can be read."""
		cases = [("closed", lambda: self.fake.raw(b"")), ("reset", lambda: self.fake.raw(b"", abort=True)),
		         ("no JSON", lambda: self.fake.answer(b"<html>", status="502 Bad Gateway")),
		         ("positions", lambda: self.fake.answer(verdict(milter={"remove_headers": {"X-Old": [1, 2]}}))),
		         ("cut", lambda: self.fake.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"action\": \"rej"))]
		for name, behave in cases:
			with self.subTest(name):
				behave()
				self.assert_refused(self.smtpd.send(message()), 421, "server internal error")

	def test_null_sender_on_the_wire(self):
		self.fake.answer(verdict())
		self.deliver(message(), sender="")
		self.assertEqual([request.get("From") for request in self.fake.requests], [""])

	def test_error_of_rspamd(self):
		"""The filter's fault, of which the README warns: an error in JSON is no action, and so it passes."""
		self.fake.answer({"error": "cannot scan", "error_domain": "task"}, status="500 Internal Server Error")
		where, got = self.deliver(message())
		self.assertEqual((len(self.fake.requests), where, got["X-Spam"]), (1, "", None))

	def test_actions_of_ones_own(self):
		"""What the filter does not know passes, too."""
		for action in ("discard", "quarantine"):
			with self.subTest(action):
				self.fake.answer(verdict(action, 20.0))
				self.assertEqual((self.deliver(message())[0], len(self.fake.requests)), ("", 1))
				self.fake.forget()

	def test_signature(self):
		"""What rspamd signs with is put above the message, one or several."""
		for signatures in (["v=1; a=one"], ["v=1; a=one;\r\n\tb=two", "v=1; a=three"]):
			with self.subTest(signatures):
				self.fake.answer(verdict(**{"dkim-signature": signatures if signatures[1:] else signatures[0]}))
				_, got = self.deliver(message())
				self.assertEqual([s.replace("\r", "") for s in got.get_all("DKIM-Signature")],
				                 [s.replace("\r", "") for s in signatures])


class OpenSmtpdDown(Smtpd):
	def test_down(self):
		"""While rspamd is not there, mail waits with its sender, and the log has the reason."""
		self.start(f"http://127.0.0.1:{free_port()}")
		self.assert_refused(self.smtpd.send(message()), 421, "server internal error")
		wait_until(lambda: "rspamd: failed to receive a response from daemon" in self.smtpd.log(), "the reason in the log")

	def test_words_of_two_lines(self):
		"""The README's warning: what rspamd's text does that is not one line."""
		fake = FakeRspamd()
		self.addCleanup(fake.stop)
		fake.answer(verdict("reject", 20.0, messages={"smtp_message": "one\ntwo"}))
		port = free_port()
		smtpd = self.own(OpenSmtpd, config(fake.url, port), port)
		with smtpd.connect() as connection, self.assertRaises((AssertionError, OSError)):
			connection.send(message())
		smtpd.wait()
		self.assertIn("Invalid filter message type: two", smtpd.log())

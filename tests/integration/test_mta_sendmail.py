"""sendmail: the very lines of mta-conf/sendmail, compiled with Debian's m4 files into Debian's sendmail.mc."""

from harness import SOURCE_TREE, Case, free_port, message, wait_until
from harness.milter import MilterRspamd
from harness.sendmail import Sendmail, queue_id

EXAMPLE = SOURCE_TREE / "mta-conf" / "sendmail" / "rspamd.mc"
ADDRESS = "inet:11332@localhost"
MARKS = ("X-Spam", "X-Spam-Status", "X-Spam-Level", "X-Rspamd-Action")
DOWN = "451 4.3.2 Please try again later"


def example(port, flags="F=T, "):
	"""The example's text, with rspamd on port and these flags."""
	text = EXAMPLE.read_text()
	for old, new in ((ADDRESS, f"inet:{port}@localhost"), ("F=T, ", flags)):
		assert text.count(old) == 1, f"rspamd.mc does not say {old!r}"
		text = text.replace(old, new)
	return text


class Base(Case):
	def send(self, **headers):
		return self.sendmail.send(message(**headers))

	def receive(self, **headers):
		"""The message as it was delivered."""
		return self.sendmail.delivered(queue_id(self.send(**headers)))

	def marks(self, mail):
		"""{name: value} of the lines that tell a verdict; none may be there twice."""
		found = [(name, value) for name, value in mail.items() if name in MARKS]
		self.assertEqual(len(found), len(dict(found)), found)
		return dict(found)


class Milter(Base):
	@classmethod
	def setUpClass(cls):
		cls.rspamd = cls.shared(MilterRspamd)
		cls.sendmail = cls.shared(Sendmail, mc=example(cls.rspamd.milter))

	def test_every_action_that_delivers(self):
		for score, action, subject in ((1.5, "no action", "a test"), (5, "greylist", "a test"), (7, "add header", "a test"),
		                               (9, "rewrite subject", "[SPAM] a test")):
			with self.subTest(action):
				mail = self.receive(X_Test_Score=score)
				spam = "Yes" if score > 6 else "No"
				expected = {"X-Rspamd-Action": action, "X-Spam-Level": "*" * int(score),
				            "X-Spam-Status": f"{spam}, score={score:.2f}"}
				if action == "add header":
					expected["X-Spam"] = "Yes"
				self.assertEqual((self.marks(mail), mail["Subject"]), (expected, subject))
				self.assertEqual(mail.get_payload(), "Hello,\n\nthis is a test.\n")

	def test_reject_and_soft_reject(self):
		for mail, reply in (({"X_Test_Score": 15}, "554 5.7.1 Rejected as spam"),
		                    ({"X_Test_Action": "reject"}, "554 5.7.1 Rejected as spam"),
		                    ({"X_Test_Action": "reject", "X_Test_Message": "Go away"}, "554 5.7.1 Go away"),
		                    ({"X_Test_Action": "soft reject"}, "451 4.7.1 Try again later"),
		                    ({"X_Test_Action": "soft reject", "X_Test_Message": "Come back"}, "451 4.7.1 Come back")):
			with self.subTest(mail):
				self.assertEqual(repr(self.send(**mail)), reply)

	def test_forged_marks(self):
		forged = {"X_Spam": "forged", "X_Spam_Status": "No, score=-99", "X_Spam_Level": "forged",
		          "X_Rspamd_Action": "forged"}
		for score, action, flag in ((1, "no action", None), (7, "add header", "Yes")):
			with self.subTest(action):
				marks = self.marks(self.receive(X_Test_Score=score, **forged))
				self.assertEqual((marks.get("X-Spam"), marks["X-Rspamd-Action"], marks["X-Spam-Level"]),
				                 (flag, action, "*" * score))
				self.assertIn(f"score={score}.00", marks["X-Spam-Status"])

	def test_header_lines_of_rspamds_modules(self):
		mail = self.receive(X_Test_Milter=1, X_Old="gone")
		self.assertEqual((mail["X-Spam-Test"], mail["X-Folded"].split(), mail["X-Old"]), ("yes", ["a", "b"], None))

	def test_subject_beyond_ascii(self):
		mail = self.receive(X_Test_Score=9, X_Test_Subject="caf\u00e9")
		encoded = "caf=?UTF-8?Q?=C3=A9?=" if self.rspamd.facts.encodes_within_words else "=?UTF-8?Q?caf=C3=A9?="
		self.assertEqual(mail.get_all("Subject"), [encoded])

	def test_what_rspamd_is_told(self):
		self.rspamd.seen()
		with self.sendmail.connect(helo="helo.example") as connection:
			reply = connection.send(message(), recipients=["user@mx.example", "mail@mx.example"])
		seen = self.rspamd.await_seen()[0]
		self.assertEqual({key: seen[key] for key in ("ip", "hostname", "helo", "from", "rcpt", "queue_id")},
		                 {"ip": "127.0.0.1", "hostname": "localhost", "helo": "helo.example",
		                  "from": "sender@client.example", "rcpt": ["user@mx.example", "mail@mx.example"], "queue_id": queue_id(reply)})
		self.assertEqual(seen["headers"]["MTA-Name"], "mx.test.example")
		self.assertRegex(seen["headers"]["User-Agent"], r"\A8\.\d+\.")


class RspamdIsDown(Base):
	"""Nobody listens where rspamd should be: every setting of F=."""

	def start(self, flags, port=None):
		self.sendmail = self.own(Sendmail, mc=example(port or free_port(), flags))

	def mail(self):
		"""sendmail's reply to MAIL."""
		with self.sendmail.connect() as connection:
			return repr(connection.command("MAIL FROM:<sender@client.example>"))

	def test_tempfail(self):
		self.start("F=T, ")
		self.assertEqual(self.mail(), DOWN)

	def test_reject(self):
		self.start("F=R, ")
		self.assertEqual(self.mail(), "550 5.0.0 Command rejected")

	def test_passes(self):
		"""With whatever its sender wrote into it."""
		self.start("")
		mail = self.receive(X_Test_Score=20, X_Spam_Status="No, score=-99")
		self.assertEqual(self.marks(mail), {"X-Spam-Status": "No, score=-99"})


class ScannerIsDown(RspamdIsDown):
	"""rspamd's proxy runs, what should scan for it does not: the same, at the end of the message."""

	def start(self, flags, port=None):
		rspamd = self.own(MilterRspamd, changes={"self_scan = yes;": f'hosts = "127.0.0.1:{free_port()}";'})
		super().start(flags, rspamd.milter)

	def mail(self):
		return repr(self.send())

	def test_reject(self):
		self.start("F=R, ")
		self.assertEqual(self.mail(), "554 5.7.1 Command rejected")


class Quarantine(Base):
	def test_held(self):
		"""quarantine_on_reject: it stays in the queue."""
		rspamd = self.own(MilterRspamd, changes={"spam_header =": "quarantine_on_reject = true;\nspam_header ="})
		self.sendmail = self.own(Sendmail, mc=example(rspamd.milter))
		held = queue_id(self.send(X_Test_Score=15))
		wait_until(lambda: (self.sendmail.dir / "queue" / f"hf{held}").exists(), "it is quarantined")

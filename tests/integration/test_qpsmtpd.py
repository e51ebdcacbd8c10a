"""Mail through a real qpsmtpd, whose spamassassin plugin asks rspamd-shim.

The plugin takes the X-Spam- lines of the reply into the message, except a
report, and decides by the score: it knows no actions.
"""

import email
import email.policy
import re

from harness import Case, Shim, Smtp, common_rspamd, free_port, message
from harness import packages, process

BODY = "Hello,\n\n.a line with a dot\nthis is a test.\n"


class Qpsmtpd(process.Party):
	"""qpsmtpd-forkserver on a free port; it puts all mail into a maildir.

	arguments: of its spamassassin plugin.
	"""

	def __init__(self, folder, arguments):
		super().__init__("qpsmtpd", folder)
		self.group = packages.need("qpsmtpd")
		self.port = process.free_port()
		self.users = process.fake_users(self.dir, "qpsmtpd")
		self.mail = process.sub_dir(self.dir, "mail")
		process.sub_dir(self.dir, "spool").chmod(0o700)
		self.conf = process.sub_dir(self.dir, "conf")
		plugins = self.group.path("usr/share/qpsmtpd/plugins")
		for name, text in (("me", "mx.test.example"), ("rcpthosts", "mx.example"), ("loglevel", "6"), ("logging", "logging/warn LOGINFO"),
		                   ("plugin_dirs", plugins), ("spool_dir", self.dir / "spool"),
		                   ("plugins", f"rcpt_ok\nspamassassin {arguments}\nqueue/maildir {self.mail}")):
			(self.conf / name).write_text(f"{text}\n")

	def start(self):
		self.spawn([*self.group.perl(), self.group.path("usr/bin/qpsmtpd-forkserver"), "--listen-address", "127.0.0.1",
		            "--port", self.port, "--user", "qpsmtpd", "--no-rdns"],
		           process.environment([self.group], self.users, extra={"QPSMTPD_CONFIG": str(self.conf)}))
		self.await_ready(self._answers)
		return self

	def _answers(self):
		try:
			Smtp(self.port, helo=None).close()
			return True
		except (OSError, AssertionError):
			return False

	def send(self, mail, **options):
		"""One message in a connection of its own; the last reply."""
		with Smtp(self.port) as connection:
			return connection.send(mail, **options)

	def receive(self, mail):
		"""Send a message, which must be accepted; it as it was delivered, parsed."""
		before = set(self.mail.glob("new/*"))
		reply = self.send(mail)
		assert reply.code == 250, reply
		new = set(self.mail.glob("new/*")) - before
		assert len(new) == 1, f"{len(new)} new messages after {reply}"
		return email.message_from_bytes(new.pop().read_bytes(), policy=email.policy.compat32)

	def log(self):
		return self.output.read_text(errors="replace")


class Base(Case):
	arguments = "reject 15 munge_subject_threshold 5"

	@classmethod
	def setUpClass(cls):
		packages.need("qpsmtpd")
		cls.shim = cls.start_shim()
		cls.qpsmtpd = cls.shared(Qpsmtpd, f"spamd_socket {cls.socket()} {cls.arguments}")

	@classmethod
	def start_shim(cls):
		cls.rspamd = common_rspamd()
		# The plugin marks subjects above the required score: rspamd 3.4 does
		# not tell the threshold of add header.
		return cls.shared(Shim, backend=cls.rspamd.url, config="spam_threshold = 6\n")

	@classmethod
	def socket(cls):
		return cls.shim.address


class Scanned(Base):
	def marks(self, mail):
		found = [(name, re.sub(r"\s+", " ", value)) for name, value in mail.items() if name.startswith("X-Spam-")]
		self.assertEqual(len(found), len(dict(found)), found)
		return dict(found)

	def test_verdicts(self):
		for score in (-2.5, 0, 4.5, 6.7, 9, 14.9):
			with self.subTest(score):
				mail = message(BODY, X_Test_Score=score)
				verdict = self.rspamd.scan(mail)
				spam = verdict["action"] in ("add header", "rewrite subject")
				delivered = self.qpsmtpd.receive(mail)
				marks = self.marks(delivered)
				self.assertEqual(set(marks), {"X-Spam-Checker-Version", "X-Spam-Level", "X-Spam-Status", "X-Spam-Action",
				                              *(["X-Spam-Flag"] if spam else [])})
				self.assertTrue(marks["X-Spam-Status"].startswith(
					f"{'Yes' if spam else 'No'}, score={score:.1f} required=6.0 tests=TEST_SCORE autolearn="), marks)
				self.assertEqual(marks["X-Spam-Action"], verdict["action"])
				self.assertEqual(marks["X-Spam-Level"], "*" * int(max(score, 0)))
				self.assertEqual(delivered.get_payload(), BODY)
				self.assertEqual(delivered["Subject"], "*** SPAM *** a test" if spam else "a test")

	def test_reject(self):
		reply = self.qpsmtpd.send(message(X_Test_Score=15))
		self.assertEqual((reply.code, reply.text), (552, "spam score exceeded threshold"))

	def test_forged_marks(self):
		"""They move aside: the plugin gives them another name where there is one of its own."""
		mail = self.qpsmtpd.receive(message(X_Test_Score=1, X_Spam_Status="forged", X_Spam_Level="forged"))
		self.assertNotIn("forged", " ".join(self.marks(mail).values()))
		self.assertEqual(mail["X-Old-Spam-Status"], "forged")

	def test_what_rspamd_is_told(self):
		self.shim.settle()
		self.rspamd.seen()
		self.qpsmtpd.receive(message(X_Test_Score=1, X_Test_Id="qpsmtpd"))
		seen = self.rspamd.await_seen()[0]
		self.assertEqual((seen["test_id"], seen["from"], seen["user"]), ("qpsmtpd", None, None))
		request = self.shim.await_requests()[0]
		self.assertEqual((request["command"], request["dialect"]), ("HEADERS", "spamc/1.4"))
		self.assertEqual(int(request["size"]), seen["size"])


class UnixSocket(Scanned):
	@classmethod
	def socket(cls):
		return cls.shim.unix


class Unscanned(Base):
	@classmethod
	def start_shim(cls):
		return cls.shared(Shim, backend=f"http://127.0.0.1:{free_port()}")

	def test_passes_unmarked(self):
		"""Only its log tells."""
		mail = self.qpsmtpd.receive(message(X_Test_Score=21))
		self.assertFalse([name for name in mail.keys() if name.startswith("X-Spam-")])
		self.assertRegex(self.qpsmtpd.log(), r"invalid response from spamd: SPAMD/1\.0 69 Service Unavailable: .*Connection refused")

"""Postfix: the very files of mta-conf/postfix, with the real programs.

rspamd as a milter, and rspamd-shim behind spamass-milter and amavisd-new,
whose own behaviour test_spamass_milter and test_amavis show.
"""

import re
import shlex
import socket
import subprocess
import threading

import test_amavis
import test_spamass_milter
from harness import Case, Postfix, Shim, Smtp, common_rspamd, free_port, message, process, wait_until
from harness.milter import EXAMPLES, MilterRspamd
from harness.postfix import queue_id

CLIENT, NAME = "192.0.2.7", "client.example"
PICKUP = "pickup unix n - n 60 1 pickup\n"
# What the command sendmail hands on to postdrop, so that it finds its libraries and wrappers.
EXPORT = ("export_environment = TZ MAIL_CONFIG LD_LIBRARY_PATH LD_PRELOAD UID_WRAPPER UID_WRAPPER_ROOT NSS_WRAPPER_PASSWD "
          "NSS_WRAPPER_GROUP NSS_WRAPPER_HOSTS RESOLV_WRAPPER_HOSTS\n")
MARKS = ("X-Spam", "X-Spam-Flag", "X-Spam-Status", "X-Spam-Level", "X-Rspamd-Action", "X-Spam-Score")
FORGED = {"X_Spam": "forged", "X_Spam_Flag": "forged", "X_Spam_Status": "No, score=-99", "X_Spam_Level": "forged",
          "X_Rspamd_Action": "forged"}
DOWN = "451 4.7.1 Service unavailable - try again later"


def example(name, **words):
	"""The text of a file of mta-conf/postfix; words, {old: new}, must be in it."""
	text = (EXAMPLES / name).read_text()
	for old, new in words.get("words", {}).items():
		assert old in text, f"{name} does not say {old!r}"
		text = text.replace(old, new)
	return text


class ExampleShim(Shim):
	"""A shim with mta-conf/postfix/rspamd-shim.conf; only its address is its own."""

	def __init__(self, folder, backend):
		super().__init__(folder, backend=backend, config="", listen=[])
		text = example("rspamd-shim.conf", words={"127.0.0.1:783": self.address})
		self.write_config(text + f'listen "unix:{self.unix}" {{ }}\n')


class Passwords:
	"""Dovecot's authentication service as far as Postfix needs it: whoever asks is alice."""

	def __init__(self, path):
		self.socket = socket.socket(socket.AF_UNIX)
		self.socket.bind(str(path))
		path.chmod(0o666)
		self.socket.listen()
		threading.Thread(target=self._run, daemon=True).start()

	def _run(self):
		while True:
			try:
				connection = self.socket.accept()[0]
			except OSError:
				return
			threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

	def _serve(self, connection):
		with connection, connection.makefile("rw") as stream:
			stream.write("VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\tx\nDONE\n")
			stream.flush()
			for line in stream:
				if line.startswith("AUTH\t"):
					stream.write(f"OK\t{line.split(chr(9))[1]}\tuser=alice\n")
					stream.flush()

	def close(self):
		self.socket.shutdown(socket.SHUT_RDWR)		# wakes the thread
		self.socket.close()


class Base(Case):
	def send(self, **headers):
		return self.postfix.send(message(**headers), client=CLIENT, name=NAME)

	def receive(self, **headers):
		"""The message as it was delivered."""
		return self.postfix.delivered(queue_id(self.send(**headers)))

	def marks(self, mail):
		"""{name: value} of the lines that tell a verdict; none may be there twice."""
		found = [(name, value) for name, value in mail.items() if name in MARKS]
		self.assertEqual(len(found), len(dict(found)), found)
		return dict(found)


class Milter(Base):
	@classmethod
	def setUpClass(cls):
		cls.rspamd = cls.shared(MilterRspamd)
		text = example("main.cf", words={"127.0.0.1:11332": f"127.0.0.1:{cls.rspamd.milter}"})
		path = cls.folder("auth") / "auth"
		cls.addClassCleanup(Passwords(path).close)
		text += f"{EXPORT}smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = {path}\n"
		cls.postfix = cls.shared(Postfix, options=text, services=PICKUP, hosts={CLIENT: NAME})

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
		for score, action, flag in ((1, "no action", None), (7, "add header", "Yes")):
			with self.subTest(action):
				marks = self.marks(self.receive(X_Test_Score=score, **FORGED))
				self.assertEqual(marks.pop("X-Spam-Flag"), "forged")		# no line of rspamd's
				self.assertEqual((marks.get("X-Spam"), marks["X-Rspamd-Action"]), (flag, action))
				self.assertNotIn("forged", marks.values())

	def test_header_lines_of_rspamds_modules(self):
		mail = self.receive(X_Test_Milter=1, X_Old="gone")
		self.assertEqual((mail["X-Spam-Test"], mail["X-Folded"].split(), mail["X-Old"]), ("yes", ["a", "b"], None))

	def test_subject_beyond_ascii(self):
		mail = self.receive(X_Test_Score=9, X_Test_Subject="caf\u00e9")
		encoded = "caf=?UTF-8?Q?=C3=A9?=" if self.rspamd.facts.encodes_within_words else "=?UTF-8?Q?caf=C3=A9?="
		self.assertEqual(mail.get_all("Subject"), [encoded])

	def test_what_rspamd_is_told(self):
		self.rspamd.seen()
		with self.postfix.connect(CLIENT, NAME, helo="helo.example") as connection:
			connection.login()
			reply = connection.send(message(), recipients=["a@mx.example", "b@mx.example"])
		seen = self.rspamd.await_seen()[0]
		self.assertEqual({key: seen[key] for key in ("ip", "hostname", "helo", "from", "rcpt", "user", "queue_id")},
		                 {"ip": CLIENT, "hostname": NAME, "helo": "helo.example", "from": "sender@client.example",
		                  "rcpt": ["a@mx.example", "b@mx.example"], "user": "alice", "queue_id": queue_id(reply)})

	def submit(self, **headers):
		"""Hand a message to Postfix's command sendmail."""
		postfix = self.postfix
		subprocess.run([postfix.group.path("usr/sbin/sendmail"), "-f", "alice@test.example", "user@mx.example"], check=True,
		               input=message(**headers), env=postfix.environment(), timeout=process.PATIENCE, **process.run_as())

	def in_mailbox(self, *texts):
		"""The mail that has all these texts in it, when it is there."""
		def found():
			mails = [f.read_text(errors="replace") for f in (self.postfix.dir / "mail" / "new").glob("*")]
			return next((mail for mail in mails if all(text in mail for text in texts)), None)
		return wait_until(found, f"a mail with {texts}")

	def test_mail_from_the_command_sendmail(self):
		self.rspamd.seen()
		self.submit(X_Test_Score=7, X_Test_Id="local")
		seen = [s for s in self.rspamd.await_seen() if s["test_id"] == "local"][0]
		self.assertEqual((seen["ip"], seen["from"]), ("127.0.0.1", "alice@test.example"))
		self.assertIn("\nX-Rspamd-Action: add header\n", self.in_mailbox("X-Test-Id: local\n"))

	def test_spam_from_the_command_sendmail(self):
		"""It comes back to its sender."""
		self.submit(X_Test_Score=15, X_Test_Id="bounced")
		self.in_mailbox("X-Test-Id: bounced\n", "\nX-Original-To: alice@test.example\n", "Status: 5.7.1\n",
		                "Rejected as spam")


class RspamdIsDown(Base):
	"""Nobody listens where rspamd should be: every setting of milter_default_action."""

	@classmethod
	def setUpClass(cls):
		milter = f"127.0.0.1:{free_port()}"
		cls.ports = {action: free_port() for action in ("accept", "reject", "quarantine")}
		services = "".join(f"127.0.0.1:{port} inet n - n - - smtpd -o milter_default_action={action}\n"
		                   for action, port in cls.ports.items())
		text = example("main.cf", words={"127.0.0.1:11332": milter})
		cls.postfix = cls.shared(Postfix, options=text, services=services, hosts={})

	def replies(self, action=None):
		"""Replies to MAIL, and to the end of the message if that was accepted."""
		with Smtp(self.ports.get(action, self.postfix.port)) as connection:
			first = connection.command("MAIL FROM:<sender@client.example>")
			if first.code != 250:
				return first, None
			connection.command("RSET")
			return first, connection.send(message(X_Test_Score=20, **FORGED))

	def test_tempfail(self):
		self.assertEqual(repr(self.replies()[0]), DOWN)

	def test_reject(self):
		self.assertEqual(repr(self.replies("reject")[0]), "550 5.5.0 Service unavailable")

	def test_accept(self):
		"""The mail passes with whatever its sender wrote into it."""
		mail = self.postfix.delivered(queue_id(self.replies("accept")[1]))
		self.assertEqual((mail["X-Spam-Status"], mail["X-Spam"]), ("No, score=-99", "forged"))

	def test_quarantine(self):
		held = queue_id(self.replies("quarantine")[1])
		wait_until(lambda: any(f.name == held for f in (self.postfix.dir / "queue" / "hold").rglob("*")), "it is on hold")


class ScannerIsDown(Base):
	"""rspamd's proxy runs, what should scan for it does not: to Postfix that is the same."""

	@classmethod
	def setUpClass(cls):
		cls.rspamd = cls.shared(MilterRspamd, changes={"self_scan = yes;": f'hosts = "127.0.0.1:{free_port()}";'})
		cls.port = free_port()
		text = example("main.cf", words={"127.0.0.1:11332": f"127.0.0.1:{cls.rspamd.milter}"})
		accept = f"127.0.0.1:{cls.port} inet n - n - - smtpd -o milter_default_action=accept\n"
		cls.postfix = cls.shared(Postfix, options=text, services=accept, hosts={CLIENT: NAME})

	def test_tempfail(self):
		self.assertEqual(repr(self.send()), DOWN)

	def test_accept(self):
		with Smtp(self.port) as connection:
			mail = self.postfix.delivered(queue_id(connection.send(message(X_Test_Score=20))))
		self.assertEqual(self.marks(mail), {})


class Hosts(Base):
	"""The proxy gives the mail to a scanner elsewhere."""

	def test_scanned(self):
		rspamd = self.own(MilterRspamd, changes={"self_scan = yes;": f'hosts = "127.0.0.1:{common_rspamd().normal}";'})
		text = example("main.cf", words={"127.0.0.1:11332": f"127.0.0.1:{rspamd.milter}"})
		self.postfix = self.own(Postfix, options=text, hosts={CLIENT: NAME})
		self.assertEqual(self.receive(X_Test_Score=7)["X-Spam"], "Yes")
		self.assertEqual(rspamd.seen(), [])


class Quarantine(Base):
	@classmethod
	def setUpClass(cls):
		"""quarantine_on_reject: what rspamd rejects waits for the postmaster.  And a low limit of rspamd's."""
		cls.rspamd = cls.shared(MilterRspamd, max_message="20kb", changes={
			"spam_header =": "quarantine_on_reject = true;\nspam_header ="})
		text = example("main.cf", words={"127.0.0.1:11332": f"127.0.0.1:{cls.rspamd.milter}"})
		cls.postfix = cls.shared(Postfix, options=text, hosts={CLIENT: NAME})

	def test_held(self):
		held = queue_id(self.send(X_Test_Score=15))
		wait_until(lambda: any(f.name == held for f in (self.postfix.dir / "queue" / "hold").rglob("*")), "it is on hold")

	def test_large_mail(self):
		"""Above rspamd's max_message: scanned as any other, or taken for clean without a look, by the version."""
		self.rspamd.seen()
		reply = self.postfix.send(message("a line\n" * 5000, X_Test_Score=7, X_Test_Id="large"), client=CLIENT, name=NAME)
		marks = self.marks(self.postfix.delivered(queue_id(reply)))
		seen, = self.rspamd.await_seen()
		if self.rspamd.facts.milter_skips_large:
			self.assertEqual(marks, {"X-Rspamd-Action": "no action", "X-Spam-Status": "No, score=0.00"})
			self.assertEqual((seen["test_id"], seen["message_id"]), (None, "undef"))	# it has read no header line
		else:
			self.assertEqual((marks["X-Rspamd-Action"], seen["test_id"]), ("add header", "large"))


class Spamd:
	"""What is true of both ways through rspamd-shim."""

	def test_delivers(self):
		for score, action in ((1, "no action"), (5, "greylist"), (7, "add header"), (9, "rewrite subject")):
			with self.subTest(action):
				mail = self.receive(X_Test_Score=score, **FORGED)
				self.assertEqual(self.flag(mail), "YES" if score > 6 else self.no_flag)
				self.assertIn(f"score={score}", mail["X-Spam-Status"])
				self.assertEqual(len(mail.get_all("X-Spam-Status")), 1)

	def flag(self, mail):
		return mail["X-Spam-Flag"]

	def test_soft_reject(self):
		"""Passes: neither knows of it."""
		self.assertEqual(self.flag(self.receive(X_Test_Action="soft reject")), self.no_flag)

	def test_forced_reject(self):
		"""With no points it passes: both decide by the score."""
		self.assertEqual(self.send(X_Test_Action="reject").code, 250)


class SpamassMilter(Spamd, Base):
	no_flag = None

	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		cls.postfix = cls.start(cls.shared, common_rspamd().url)

	@staticmethod
	def start(run, backend):
		shim = run(ExampleShim, backend)
		script = example("spamass-milter", words={"-p 783": f"-p {shim.port}"})
		options = shlex.split(re.search(r'^OPTIONS="(.*)"$', script, re.M)[1])
		milter = run(test_spamass_milter.SpamassMilter, *options)
		text = example("main.cf.spamass-milter", words={"unix:/spamass/spamass.sock": milter.milter})
		return run(Postfix, options=text, hosts={CLIENT: NAME})

	def test_reject(self):
		self.assertEqual(repr(self.send(X_Test_Score=15)), "550 5.7.1 Blocked by SpamAssassin")

	def test_subject(self):
		self.assertEqual(self.receive(X_Test_Score=9)["Subject"], "[SPAM] a test")

	def test_what_rspamd_is_told(self):
		rspamd = common_rspamd()
		rspamd.seen()
		self.receive(X_Test_Id="spamass-milter")
		seen = [s for s in rspamd.await_seen() if s["test_id"] == "spamass-milter"][0]
		self.assertEqual((seen["ip"], seen["hostname"]), (CLIENT, NAME))

	def test_rspamd_is_down(self):
		"""It passes without a mark, and nothing can be set so that it does not."""
		self.postfix = self.start(self.own, f"http://127.0.0.1:{free_port()}")
		mail = self.receive(X_Test_Score=20, X_Spam_Status="No, score=-99")
		self.assertEqual(self.marks(mail), {})


class ExampleAmavis(test_amavis.Amavis):
	"""amavisd with mta-conf/postfix/50-rspamd in the place of the same settings of the test's."""

	def __init__(self, folder, spamd, back):
		super().__init__(folder, spamd, back)
		names = {"require", "@spam_scanners", "$sa_mail_body_size_limit", "$sa_tag_level_deflt", "$sa_tag2_level_deflt",
		         "$sa_kill_level_deflt", "$final_spam_destiny", "1;"}
		kept = [line for line in self.conf.read_text().splitlines() if line.split(" ")[0] not in names]
		self.conf.write_text("\n".join([*kept, example("50-rspamd")]))


class Amavis(Spamd, Base):
	no_flag = "NO"

	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		cls.postfix, cls.amavis = cls.start(cls.shared, common_rspamd().url)

	@staticmethod
	def start(run, backend):
		back = free_port()
		shim = run(ExampleShim, backend)
		amavis = run(ExampleAmavis, ("127.0.0.1", shim.port), back)
		options = f"smtpd_proxy_filter = 127.0.0.1:{amavis.port}\nsmtpd_milters =\n"
		services = f"127.0.0.1:{back} inet n - n - - smtpd -o smtpd_proxy_filter=\n"
		return run(Postfix, options=options, services=services, hosts={CLIENT: NAME}), amavis

	def test_reject(self):
		self.assertRegex(repr(self.send(X_Test_Score=15)), r"\A554 5\.7\.0 Reject, id=\S+ - spam")

	def test_rspamd_is_down(self):
		"""It passes as a message of no points; amavisd's log alone tells."""
		self.postfix, amavis = self.start(self.own, f"http://127.0.0.1:{free_port()}")
		mail = self.receive(X_Test_Score=20)
		self.assertRegex(mail["X-Spam-Status"], r"\ANo, score=0 ")
		self.assertIn("Failure reported by spamd: SPAMD/1.0 69", amavis.log())

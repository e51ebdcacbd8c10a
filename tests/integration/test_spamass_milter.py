"""Mail through a real Postfix with spamass-milter, which asks rspamd-shim by way of spamc.

All three are Debian's, unpacked.  What spamass-milter passes on to the MTA is
its own choice: of the marks, X-Spam-Flag, -Status, -Level, -Checker-Version
and -Report, and the changed subject; nothing else that the message got.
"""

from harness import Case, Postfix, Shim, common_rspamd, connect, free_port, message
from harness import packages, process
from harness.postfix import queue_id

CLIENT, NAME = "192.0.2.7", "client.example"
BODY = "Hello,\n\n.a line with a dot\nthis is a test.\n"


class SpamassMilter(process.Party):
	"""spamass-milter on a free port.  arguments: its own, and after -- those of spamc.

	The name /usr/bin/spamc is compiled in: the copy that runs here looks for
	spamc in its current folder, where a script notes what it is called with.
	"""

	def __init__(self, folder, *arguments):
		super().__init__("spamass-milter", folder)
		self.group = packages.need("spamass-milter")
		self.spamc = packages.need("spamc")
		self.arguments = arguments
		self.port = process.free_port()
		self.milter = f"inet:127.0.0.1:{self.port}"
		self.calls_file = self.dir / "calls"
		self.users = process.fake_users(self.dir, "spamass-milter")		# spamc wants to know its name
		compiled_in = b"/usr/bin/spamc\0"
		program = self.group.path("usr/sbin/spamass-milter").read_bytes()
		assert program.count(compiled_in) == 1, "another spamass-milter than the one that this was written for"
		self.install("spamass-milter", program.replace(compiled_in, b"./spamc\0".ljust(len(compiled_in), b"\0")))
		self.install("spamc", f"#!/bin/sh\necho \"$*\" >>{self.calls_file}\n"
		                      f"exec {self.spamc.path('usr/bin/spamc')} -F /dev/null \"$@\"\n".encode())

	def install(self, name, data):
		(self.dir / name).write_bytes(data)
		(self.dir / name).chmod(0o755)

	def start(self):
		self.spawn([self.dir / "spamass-milter", "-p", f"inet:{self.port}@127.0.0.1", *self.arguments],
		           process.environment([self.group, self.spamc], self.users))
		self.await_ready(self._answers)
		return self

	def stop(self):
		# SIGTERM is heeded within five seconds only, and there is nothing to tidy up.
		if self.alive():
			self.kill()
		return super().stop()

	def _answers(self):
		"""Does it answer the offer of a version, as an MTA begins?"""
		try:
			with connect(self.port, timeout=5) as sock:
				sock.sendall(b"\0\0\0\x0dO" + b"\0\0\0\6" + b"\0\0\1\xff" + b"\0\x1f\xff\xff")
				return sock.recv(5)[4:] == b"O"
		except OSError:
			return False

	def calls(self):
		"""The arguments of each call of spamc since the last time, as strings."""
		lines = self.calls_file.read_text().splitlines() if self.calls_file.exists() else []
		self.calls_file.unlink(missing_ok=True)
		return lines


class Base(Case):
	arguments = ("-u", "nobody", "-r", "15")		# -u as Debian's /etc/default has it, -r as it suggests
	spamc = ()

	@classmethod
	def setUpClass(cls):
		cls.shim = cls.start_shim()
		cls.spamc = ("-d", "127.0.0.1", "-p", str(cls.shim.port), *cls.spamc)
		cls.milter = cls.shared(SpamassMilter, *cls.arguments, "--", *cls.spamc)
		cls.postfix = cls.shared(Postfix, milters=[cls.milter.milter], hosts={CLIENT: NAME})

	@classmethod
	def start_shim(cls):
		cls.rspamd = common_rspamd()
		return cls.shared(Shim, backend=cls.rspamd.url)

	def setUp(self):
		self.milter.calls()

	def send(self, recipients=("user@mx.example",), source=None, **headers):
		client = {"source": source} if source else {"client": CLIENT, "name": NAME}
		return self.postfix.send(message(BODY, **headers), recipients=recipients, **client)

	def receive(self, **headers):
		"""Send one message, which must be delivered with its body as it was; its headers."""
		mail = self.postfix.delivered(queue_id(self.send(**headers)))
		self.assertEqual(mail.get_payload(), BODY)
		return mail

	def marks(self, mail):
		"""{name: value} of the X-Spam- lines; none may be there twice."""
		found = [(name, value) for name, value in mail.items() if name.startswith("X-Spam-")]
		self.assertEqual(len(found), len(dict(found)), found)
		return dict(found)


class Marks(Base):
	def test_ham(self):
		marks = self.marks(self.receive(X_Test_Score=1))
		self.assertEqual(set(marks), {"X-Spam-Status", "X-Spam-Level", "X-Spam-Checker-Version"})
		self.assertRegex(marks["X-Spam-Status"],
		                 rf"\ANo, score=1\.0 required={self.rspamd.facts.shown_threshold} tests=TEST_SCORE\n\tautolearn=")
		self.assertEqual(marks["X-Spam-Level"], "*")
		self.assertRegex(marks["X-Spam-Checker-Version"], r"\Arspamd-shim \S+ \(rspamd/")

	def test_spam(self):
		mail = self.receive(X_Test_Score=7)
		marks = self.marks(mail)
		self.assertEqual(marks["X-Spam-Flag"], "YES")
		required = self.rspamd.facts.threshold_beside(7.0, spam=True)
		self.assertRegex(marks["X-Spam-Status"], rf"\AYes, score=7\.0 required={required} tests=TEST_SCORE\n")
		self.assertEqual(marks["X-Spam-Level"], "*" * 7)
		self.assertEqual(mail["Subject"], "a test")

	def test_actions(self):
		"""What is not spam passes unflagged whatever its score: this protocol has no other words."""
		for action, flag in (("add header", "YES"), ("rewrite subject", "YES"), ("greylist", None), ("soft reject", None),
		                     ("no action", None)):
			with self.subTest(action):
				self.assertEqual(self.receive(X_Test_Score=4.5, X_Test_Action=action)["X-Spam-Flag"], flag)

	def test_subject(self):
		mail = self.receive(X_Test_Score=9)
		self.assertEqual(mail.get_all("Subject"), ["[SPAM] a test"])
		self.assertEqual(mail["X-Spam-Flag"], "YES")

	def test_reject(self):
		reply = self.send(X_Test_Score=15)
		self.assertEqual((reply.code, reply.text), (550, "5.7.1 Blocked by SpamAssassin"))
		self.assertEqual(self.send(X_Test_Score=14.9).code, 250)

	def test_forged_marks(self):
		forged = {"X_Spam_Flag": "YES", "X_Spam_Status": "No, score=-99 required=5", "X_Spam_Level": "forged",
		          "X_Spam_Checker_Version": "forged", "X_Spam_Report": "forged"}
		for score, flag in ((1, None), (7, "YES")):
			with self.subTest(score):
				marks = self.marks(self.receive(X_Test_Score=score, **forged))
				self.assertEqual(marks.get("X-Spam-Flag"), flag)
				self.assertIn(f"score={score}.0 ", marks["X-Spam-Status"])
				self.assertNotIn("forged", " ".join(marks.values()))

	def test_how_spamc_is_called(self):
		"""-u: of a single recipient its local part, of several the name that was given."""
		place = " ".join(self.spamc)
		self.send(X_Test_Score=1, recipients=["alice@mx.example"])
		self.send(X_Test_Score=1, recipients=["alice@mx.example", "bob@mx.example"])
		self.assertEqual(self.milter.calls(), [f"-u alice {place}", f"-u nobody {place}"])

	def test_what_rspamd_is_told(self):
		"""spamass-milter writes a Received: line for what the MTA has not written yet; rspamd reads it."""
		self.rspamd.seen()
		self.send(X_Test_Score=1, X_Test_Id="milter")
		seen = [record for record in self.rspamd.await_seen() if record["test_id"] == "milter"][0]
		self.assertEqual((seen["ip"], seen["hostname"], seen["user"]), (CLIENT, NAME, None))


class RejectsWhatIsFlagged(Base):
	"""-r -1: the MTA rejects what rspamd-shim calls spam, whatever its score."""

	arguments = ("-r", "-1", "-R", "no thanks", "-C", "5.7.0", "-i", "127.0.0.2")

	def test_rejects(self):
		for score, action in ((7, None), (0, "reject"), (0, "add header")):
			with self.subTest(score, action=action):
				reply = self.send(X_Test_Score=score, X_Test_Action=action)
				self.assertEqual((reply.code, reply.text), (550, "5.7.0 no thanks"))

	def test_accepts(self):
		for score, action in ((1, None), (20, "no action"), (20, "soft reject")):
			with self.subTest(score, action=action):
				self.assertIn("No, score=", self.receive(X_Test_Score=score, X_Test_Action=action)["X-Spam-Status"])

	def test_clients_that_are_not_scanned(self):
		self.assertEqual(self.marks(self.receive(X_Test_Score=21, source="127.0.0.2")), {})
		self.assertEqual(self.milter.calls(), [])


class Unscanned(Base):
	"""Without a verdict spamc gives back the message as it was: the mail passes, and nothing says so."""

	@classmethod
	def start_shim(cls):
		return cls.shared(Shim, backend=f"http://127.0.0.1:{free_port()}")

	def test_passes_unmarked(self):
		"""Not even with the marks that the sender forged."""
		mail = self.receive(X_Test_Score=21, X_Spam_Flag="NO", X_Spam_Status="No, score=-99")
		self.assertEqual(self.marks(mail), {})
		self.assertEqual(self.shim.await_requests()[0]["failure"], "unreachable")


class UnscannedWithX(Unscanned):
	"""spamc's -x makes it give back nothing: spamass-milter heeds no exit code, and changes nothing then."""

	spamc = ("-x",)

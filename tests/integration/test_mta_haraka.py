"""Haraka: the very files of mta-conf/haraka.  test_haraka shows more of what its plugins do."""

from harness import SOURCE_TREE, Case, FakeRspamd, Shim, Smtp, common_rspamd, free_port, message
from harness.haraka import Haraka, headers
from harness.milter import MilterRspamd

EXAMPLES = SOURCE_TREE / "mta-conf" / "haraka"
MARKS = ("X-Spam-Flag", "X-Spam-Status", "X-Spam-Level", "X-Rspamd-Action", "X-Spam-Action", "X-Old-Spam-Status")
FORGED = {"X_Spam_Status": "No, score=-99", "X_Spam_Level": "forged", "X_Rspamd_Action": "forged", "X_Spam_Action": "forged"}


def example(name, words):
	"""The text of a file of mta-conf/haraka; words, {old: new}, must be in it."""
	text = (EXAMPLES / name).read_text()
	for old, new in words.items():
		assert old in text, f"{name} does not say {old!r}"
		text = text.replace(old, new)
	return text


def rspamd_ini(port, **words):
	return {"rspamd.ini": example("rspamd.ini", {"port=11333": f"port={port}", **words})}


def spamassassin_ini(port, **words):
	return {"spamassassin.ini": example("spamassassin.ini", {"127.0.0.1:783": f"127.0.0.1:{port}", **words})}


class ExampleShim(Shim):
	"""A shim with mta-conf/haraka/rspamd-shim.conf; only its address is its own."""

	def __init__(self, folder, backend):
		super().__init__(folder, backend=backend, config="", listen=[])
		text = example("rspamd-shim.conf", {"127.0.0.1:783": self.address})
		self.write_config(text + f'listen "unix:{self.unix}" {{ }}\n')


class LocalHaraka(Haraka):
	"""Haraka with the user alice, whose mail stays here, too, once it is scanned."""

	def __init__(self, folder, plugins, config):
		users = {"auth_flat_file.ini": "[core]\nmethods=PLAIN\n[users]\nalice=secret\n"}
		super().__init__(folder, ["auth/flat_file", *plugins, "test_stays"], {**config, **users})
		(self.dir / "plugins" / "test_stays.js").write_text(
			"exports.hook_data_post = (next, connection) => { connection.relaying = false; next() }\n")


class Base(Case):
	def send(self, **mail):
		return self.haraka.send(message(**mail))

	def receive(self, **mail):
		"""The header lines of the message as it was delivered."""
		return headers(self.haraka.delivered(self.send(**mail))[0])

	def marks(self, mail):
		"""{name: value} of the lines that tell a verdict; none may be there twice."""
		found = [(name, value) for name, value in mail.items() if name in MARKS]
		self.assertEqual(len(found), len(dict(found)), found)
		return dict(found)

	def unmarked(self, **mail):
		"""It passes with what its sender wrote, and nothing else."""
		marks = self.marks(self.receive(X_Spam_Status="No, score=-99", **mail))
		self.assertEqual(marks, {"X-Spam-Status": "No, score=-99"})


class Rspamd(Base):
	@classmethod
	def setUpClass(cls):
		cls.rspamd = cls.shared(MilterRspamd)
		cls.haraka = cls.shared(LocalHaraka, ["rspamd"], rspamd_ini(cls.rspamd.normal))

	def test_every_action_that_delivers(self):
		for score, action, subject in ((1.5, "no action", "a test"), (5, "greylist", "a test"), (7, "add header", "a test"),
		                               (9, "rewrite subject", "[SPAM] a test")):
			with self.subTest(action):
				mail = self.receive(X_Test_Score=score, **{**FORGED, "X_Spam_Action": None})
				spam = "Yes" if score > 6 else "No"
				expected = {"X-Rspamd-Action": action, "X-Spam-Level": "*" * int(score),
				            "X-Spam-Status": f"{spam}, score={score:.2f}"}
				self.assertEqual((self.marks(mail), mail["Subject"]), (expected, subject))

	def test_reject_and_soft_reject(self):
		for mail, reply in (({"X_Test_Score": 15}, "550 Rejected as spam"),
		                    ({"X_Test_Action": "reject"}, "550 Rejected as spam"),
		                    ({"X_Test_Action": "reject", "X_Test_Message": "Go away"}, "550 Go away"),
		                    ({"X_Test_Action": "soft reject"}, "451 4.7.1 Try again later"),
		                    ({"X_Test_Action": "soft reject", "X_Test_Message": "Come back"}, "451 4.7.1 Come back")):
			with self.subTest(mail):
				self.assertEqual(repr(self.send(**mail)), reply)

	def test_header_lines_of_rspamds_modules(self):
		mail = self.receive(X_Test_Milter=1, X_Old="gone")
		self.assertEqual((mail["X-Spam-Test"], mail["X-Folded"].split(), mail["X-Old"]), ("yes", ["a", "b"], None))

	def test_what_rspamd_is_told(self):
		self.rspamd.seen()
		self.receive()
		seen = self.rspamd.await_seen()[0]
		self.assertEqual([seen[key] for key in ("ip", "from", "rcpt", "helo", "hostname")],
		                 ["127.0.0.1", "sender@client.example", ["user@mx.example"], "client.example", "rdns.client.example"])


	def test_user_who_has_logged_in(self):
		"""His mail is scanned, for a signature; a reject is not carried out."""
		self.rspamd.seen()
		with Smtp(self.haraka.port) as connection:
			connection.login()
			reply = connection.send(message(X_Test_Score=15, X_Test_Milter=1))
		self.assertEqual(self.rspamd.await_seen()[0]["user"], "alice")
		self.assertEqual(headers(self.haraka.delivered(reply)[0])["X-Spam-Test"], "yes")


class RspamdIsDown(Base):
	def start(self, port, **words):
		self.haraka = self.own(Haraka, ["rspamd"], rspamd_ini(port, **words))

	def test_deferred(self):
		self.start(free_port())
		self.assertEqual(repr(self.send()), "450 Rspamd scan error")

	def test_passes(self):
		self.start(free_port(), **{"error=true": "error=false"})
		self.unmarked(X_Test_Score=20)

	def test_too_slow(self):
		for defer in (True, False):
			with self.subTest(defer=defer):
				self.start(common_rspamd().normal, **{"add_headers=": "timeout=1\nadd_headers=",
				                                      "timeout=true": f"timeout={str(defer).lower()}"})
				if defer:
					self.assertEqual(repr(self.send(X_Test_Sleep=4)), "450 Rspamd scan timeout")
				else:
					self.unmarked(X_Test_Sleep=4)

	def test_larger_than_rspamd_takes(self):
		self.start(self.own(MilterRspamd, max_message="20kb").normal)
		self.assertEqual(repr(self.haraka.send(message("a line\n" * 5000))), "450 Rspamd scan error")

	def test_no_verdict_in_the_answer(self):
		fake = self.own(FakeRspamd)
		self.start(fake.port)
		for body in (b"busy", b"", b'{"error": "no"}'):
			with self.subTest(body):
				fake.answer(body, status="500 Error")
				self.assertEqual(repr(self.send()), "450 Rspamd scan error")

	def test_an_error_in_rspamds_own_form(self):
		"""The plugin takes it for a verdict without an action: the mail passes, whatever [defer] says."""
		fake = self.own(FakeRspamd)
		self.start(fake.port)
		fake.answer({"error": "cannot parse", "error_domain": "task"}, status="500 Error")
		self.unmarked()


class Spamassassin(Base):
	@classmethod
	def setUpClass(cls):
		cls.shim = cls.shared(ExampleShim, common_rspamd().url)
		cls.haraka = cls.shared(Haraka, ["spamassassin"], spamassassin_ini(cls.shim.port))

	def test_every_action_that_delivers(self):
		for score, action, subject in ((1.5, "no action", "a test"), (5, "greylist", "a test"), (7, "add header", "a test"),
		                               (9, "rewrite subject", "[SPAM] a test")):
			with self.subTest(action):
				mail = self.receive(X_Test_Score=score, X_Test_Subject="of rspamd's",
				                    **{**FORGED, "X_Rspamd_Action": None})
				marks = self.marks(mail)
				self.assertEqual((marks["X-Spam-Action"], marks["X-Spam-Level"], mail["Subject"]),
				                 (action, "*" * int(score), subject))
				self.assertEqual(marks.get("X-Spam-Flag"), "YES" if score > 6 else None)
				self.assertIn(f"{'Yes' if score > 6 else 'No'}, score={score:.1f} ", marks["X-Spam-Status"])

	def test_reject(self):
		self.assertEqual(repr(self.send(X_Test_Score=15)), "550 spam score exceeded threshold")

	def test_what_it_does_not_know(self):
		"""A soft reject, and a reject without the points for it, pass, and a header tells."""
		for action, flag in (("soft reject", None), ("reject", "YES")):
			marks = self.marks(self.receive(X_Test_Action=action))
			self.assertEqual((marks["X-Spam-Action"], marks.get("X-Spam-Flag")), (action, flag))


class SpamassassinIsDown(Base):
	def start(self, port, **words):
		self.haraka = self.own(Haraka, ["spamassassin"], spamassassin_ini(port, **words))

	def test_deferred(self):
		self.start(free_port())
		self.assertEqual(repr(self.send()), "450 spamd scan error")

	def test_passes(self):
		self.start(free_port(), **{"error=true": "error=false"})
		self.unmarked(X_Test_Score=20)

	def test_only_rspamd_is_down(self):
		"""It passes, whatever [defer] says."""
		self.start(self.own(ExampleShim, f"http://127.0.0.1:{free_port()}").port)
		self.unmarked(X_Test_Score=20)

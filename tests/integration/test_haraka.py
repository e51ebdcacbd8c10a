"""Haraka: its plugin spamassassin through rspamd-shim, its plugin rspamd straight to rspamd.

Haraka 3.3 and both plugins come from npm, and so does the Node they run on:
they want Node 22, Debian 12 has 18, and the Harakas that still run on 18 are
not what anybody would install.
"""

import re

from harness import Case, FakeRspamd, Shim, common_rspamd, free_port, message
from harness.haraka import Haraka, headers

# action: headers of the mail that make it
MAILS = {
	"no action": {"X_Test_Score": 1.5},
	"greylist": {"X_Test_Score": 5},
	"add header": {"X_Test_Score": 7.4},
	"rewrite subject": {"X_Test_Score": 9},
	"soft reject": {"X_Test_Action": "soft reject", "X_Test_Message": "Come back"},
	"reject": {"X_Test_Score": 20.5},
}
BODY = b"Hello,\n\n.a dot\n..two\n\x00\xff caf\xe9\n\n" + b"x" * 900 + b"\nX-Spam-Flag: NO\n"
RSPAMD = """
host=127.0.0.1
port={port}
[check]
local_ip=true
private_ip=true
[header]
bar=X-Rspamd-Bar
report=X-Rspamd-Report
score=X-Rspamd-Score
"""


class Base(Case):
	haraka = None

	def marks(self, **mail):
		"""{name: value} of the X-Spam lines and the like that the mail has in the end.

		N stands for every version of a program.
		"""
		reply = self.haraka.send(message(**mail))
		self.assertEqual(reply.code, 250, reply)
		got = headers(self.haraka.delivered(reply)[0])
		return {name: re.sub(r"(rspamd-shim |rspamd/|version=)[\d.]+", r"\1N", value) for name, value in got.items()
		        if name.startswith(("X-Spam", "X-Old", "X-Rspamd", "X-Folded")) or name in ("Subject", "Precedence")}


class SpamAssassin(Base):
	@classmethod
	def setUpClass(cls):
		cls.rspamd = common_rspamd()
		cls.shim = cls.shared(Shim, backend=cls.rspamd.url)
		cls.haraka = cls.shared(Haraka, ["spamassassin"], {"spamassassin.ini":
			f"spamd_socket=127.0.0.1:{cls.shim.port}\nreject_threshold=15\nmunge_subject_threshold=8\n"
			"subject_prefix=[SPAM]\n"})

	def expect(self, action, score, subject="a test", spam=False):
		"""What the plugin makes of the reply: it adds no empty X-Spam-Level."""
		required = self.rspamd.facts.threshold_beside(score, spam)
		marks = {"Subject": subject, "X-Spam-Checker-Version": "rspamd-shim N (rspamd/N)",
		         "X-Spam-Status": f"{'Yes' if spam else 'No'}, score={score:.1f} required={required:.1f} tests="
		                          f"{'TEST_SCORE' if score else 'none'}\n\tautolearn=disabled version=N",
		         "X-Spam-Action": action}
		if score:
			marks["X-Spam-Level"] = "*" * int(score)
		if spam:
			marks.update({"X-Spam-Flag": "YES", "Precedence": "junk"})
		return marks

	def test_ham(self):
		self.assertEqual(self.marks(**MAILS["no action"]), self.expect("no action", 1.5))
		self.assertEqual(self.marks(**MAILS["greylist"]), self.expect("greylist", 5))

	def test_spam(self):
		self.assertEqual(self.marks(**MAILS["add header"]), self.expect("add header", 7.4, spam=True))

	def test_the_subject_is_the_plugins_own(self):
		"""It takes the score, and neither the message that comes back nor rspamd's subject."""
		self.assertEqual(self.marks(**MAILS["rewrite subject"], X_Test_Subject="rspamd's"),
		                 self.expect("rewrite subject", 9, "[SPAM] a test", spam=True))

	def test_soft_reject(self):
		"""The plugin knows no such thing: the mail passes, and a header tells."""
		self.assertEqual(self.marks(**MAILS["soft reject"]), self.expect("soft reject", 0))

	def test_reject(self):
		self.assertEqual(repr(self.haraka.send(message(**MAILS["reject"]))), "550 spam score exceeded threshold")

	def test_reject_without_a_score(self):
		"""The plugin rejects by the score alone; the mail is marked as spam."""
		self.assertEqual(self.marks(X_Test_Action="reject"), self.expect("reject", 0, spam=True))

	def test_foreign_marks(self):
		marks = self.marks(**MAILS["no action"], X_Spam_Status="No, score=-99", X_Spam_Flag="YES")
		# The plugin renames what comes back as ours; no flag came back.
		self.assertEqual(marks.pop("X-Old-Spam-Status"), "No, score=-99")
		self.assertEqual(marks, {**self.expect("no action", 1.5), "X-Spam-Flag": "YES"})

	def test_notes(self):
		reply = self.haraka.send(message(X_Test_Score=1, X_Test_Bulk=40))
		notes = self.haraka.delivered(reply)[1]["spamassassin"]
		tests = {"TEST_SCORE", *(f"TEST_BULK_{i:03d}" for i in range(1, 41))}
		self.assertEqual((notes["score"], notes["required"], set(notes["tests"].split(","))),
		                 (1.4, self.rspamd.facts.shown_threshold, tests))

	def test_body(self):
		"""What rspamd gets: the mail as it came, below two lines of the plugin's."""
		fake = self.own(FakeRspamd)
		shim = self.own(Shim, backend=fake.url)
		haraka = self.own(Haraka, ["spamassassin"], {"spamassassin.ini": f"spamd_socket=127.0.0.1:{shim.port}\n"})
		mail = message(BODY)
		got = haraka.delivered(haraka.send(mail))[0]
		self.assertEqual(got.partition(b"\n\n")[2], BODY)
		scanned = fake.requests[0].body
		self.assertRegex(scanned, rb"\AX-Envelope-From: sender@client\.example\r\nX-Haraka-UUID: [0-9A-F.-]+\r\nReceived: ")
		self.assertTrue(scanned.endswith(b"\r\n" + mail.replace(b"\n", b"\r\n")), scanned)

	def test_what_rspamd_is_told(self):
		"""Nothing: the plugin's X-Envelope-From is a line of the mail, as anybody may write one."""
		self.shim.settle()
		self.marks(X_Test_Id="haraka")
		line, = self.shim.await_requests()
		self.assertEqual((line["dialect"], line["command"], line["envelope"]), ("spamc/1.4", "HEADERS", "none"))
		seen = [s for s in self.rspamd.await_seen() if s["test_id"] == "haraka"]
		self.assertEqual([(s["message_id"], s["from"]) for s in seen], [("test@client.example", None)])


class Rspamd(Base):
	@classmethod
	def setUpClass(cls):
		cls.rspamd = common_rspamd()
		cls.haraka = cls.shared(Haraka, ["rspamd"], {"rspamd.ini": RSPAMD.format(port=cls.rspamd.normal)})

	def test_ham(self):
		for action in ("no action", "greylist"):
			self.assertEqual(self.marks(**MAILS[action]), {"Subject": "a test"})

	def test_add_header(self):
		self.assertEqual(self.marks(**MAILS["add header"]), {"Subject": "a test", "X-Rspamd-Bar": "+" * 7,
		                 "X-Rspamd-Report": "TEST_SCORE(7.4)", "X-Rspamd-Score": "7.4"})

	def test_rewrite_subject(self):
		self.assertEqual(self.marks(**MAILS["rewrite subject"]), {"Subject": "[SPAM] a test"})

	def test_soft_reject(self):
		self.assertEqual(repr(self.haraka.send(message(**MAILS["soft reject"]))), "451 4.7.1 Come back")

	def test_reject(self):
		self.assertEqual(repr(self.haraka.send(message(**MAILS["reject"]))), "550 Detected as spam")
		reply = self.haraka.send(message(X_Test_Action="reject", X_Test_Message="Go away"))
		self.assertEqual(repr(reply), "550 Go away")

	def test_milter_headers(self):
		self.assertEqual(self.marks(X_Test_Milter=1, X_Old="gone"),
		                 {"Subject": "a test", "X-Spam-Test": "yes", "X-Folded": "a\n\tb"})

	def test_what_rspamd_is_told(self):
		self.marks(X_Test_Id="haraka")
		seen, = [s for s in self.rspamd.await_seen() if s["test_id"] == "haraka"]
		self.assertEqual([seen[key] for key in ("ip", "from", "rcpt", "helo", "hostname")],
		                 ["127.0.0.1", "sender@client.example", ["user@mx.example"], "client.example",
		                  "rdns.client.example"])


class NoVerdict(Base):
	"""Where the filter is down the plugins let the mail pass, unless [defer] says otherwise."""

	UNMARKED = {"Subject": "a test", "X-Spam-Status": "No, score=-99"}

	def start(self, plugins, spamd=None, defer=False):
		tail = "\n[defer]\nerror=true\n" if defer else ""
		rspamd = RSPAMD.format(port=free_port())
		self.haraka = self.own(Haraka, plugins, {"rspamd.ini": rspamd + tail, "spamassassin.ini":
			f"spamd_socket=127.0.0.1:{spamd or free_port()}\n{tail}"})

	def test_passes(self):
		self.start(["spamassassin", "rspamd"])
		self.assertEqual(self.marks(X_Spam_Status="No, score=-99"), self.UNMARKED)

	def test_deferred(self):
		for plugin, words in (("spamassassin", "spamd scan error"), ("rspamd", "Rspamd scan error")):
			with self.subTest(plugin):
				self.start([plugin], defer=True)
				self.assertEqual(repr(self.haraka.send(message())), f"450 {words}")

	def test_only_rspamd_is_down(self):
		"""The shim's error is no failed connection: the plugin lets the mail pass either way."""
		shim = self.own(Shim, backend=f"http://127.0.0.1:{free_port()}")
		self.start(["spamassassin"], spamd=shim.port, defer=True)
		self.assertEqual(self.marks(X_Spam_Status="No, score=-99"), self.UNMARKED)
		notes = self.haraka.delivered(self.haraka.send(message()))[1]["spamassassin"]
		self.assertEqual((notes.get("flag"), notes.get("score")), (None, None))
		self.assertEqual(shim.await_requests()[0]["failure"], "unreachable")

"""Mail delivery agents: the very files of mta-conf/lda, run by the real programs."""

import base64
import email
import imaplib
import json
import os
import re
import shlex
import shutil
import ssl
import subprocess
import unittest

from harness import (Case, Exim, FakeRspamd, Postfix, Shim, common_rspamd, free_port, message, process, verdict,
                     wait_until)
from harness.dovecot import ImapServer
from harness.lda import EXAMPLES, Home
from harness.postfix import queue_id

# rspamd's six actions, and where mail goes.  "Seen" is for sieve alone.
ACTIONS = {"no action": "", "greylist": "", "soft reject": "", "add header": "Junk", "rewrite subject": "Junk", "reject": "Junk"}
SPAMC_ADDRESS = "127.0.0.1 -p 783"
EX_TEMPFAIL, EX_NOPERM = 75, 77
DEFER = {"procmailrc": {"WITHOUT_VERDICT = deliver": "WITHOUT_VERDICT = defer"},
         "mailfilter": {'WITHOUT_VERDICT = "deliver"': 'WITHOUT_VERDICT = "defer"'},
         "lda-spamc": {"WITHOUT_VERDICT=deliver": "WITHOUT_VERDICT=defer"},
         "lda-rspamc": {"WITHOUT_VERDICT=deliver": "WITHOUT_VERDICT=defer"}}


def of_action(action, **headers):
	return message(X_Test_Action=action, Subject=f"of {action}", **headers)


class Base(Case):
	"""A shim with the example's configuration before the shared rspamd."""

	headers = "spamassassin"

	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		cls.rspamd = common_rspamd()
		cls.home = cls.shared(Home)
		cls.shim = cls.start_shim(cls.rspamd.url, cls.headers)
		cls.nobody = free_port()

	@classmethod
	def start_shim(cls, backend, headers="spamassassin"):
		shim = cls.shared(ExampleShim, backend, headers)
		return shim

	def setUp(self):
		super().setUp()
		self.home.empty()

	def only(self):
		"""(folder, bytes, flags) of the one mail that was delivered."""
		found = [(name, *entry) for name, entries in self.home.mails().items() for entry in entries]
		self.assertEqual(len(found), 1, found)
		return found[0]

	def is_marked(self, mail, action):
		"""Has it the headers of the action, and the body that was sent?"""
		parsed = email.message_from_bytes(mail)
		self.assertEqual(parsed["X-Spam-Action"], action)
		self.assertEqual(mail.split(b"\n\n", 1)[1], message().split(b"\n\n", 1)[1])
		return parsed

	def is_unchanged(self, mail, original):
		"""Nothing but what delivery itself adds above the message."""
		self.assertTrue(mail.endswith(original), mail)
		self.assertNotIn(b"X-Spam", mail)


def make_certificate(folder):
	"""A certificate for localhost and its key, as files: two paths."""
	if not shutil.which("openssl"):
		raise unittest.SkipTest("the command openssl is not installed: no certificates")
	certificate, key = folder / "server.pem", folder / "server.key"
	subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
	                "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
	               check=True, capture_output=True)
	return certificate, key


class ExampleShim(Shim):
	"""A shim with mta-conf/lda/rspamd-shim.conf; only its address is its own."""

	def __init__(self, folder, backend, headers, arguments=()):
		super().__init__(folder, backend=backend, config="", listen=[], arguments=arguments)
		text = (EXAMPLES / "rspamd-shim.conf").read_text()
		assert "headers = spamassassin" in text and "127.0.0.1:783" in text
		text = text.replace("127.0.0.1:783", self.address).replace("headers = spamassassin", f"headers = {headers}")
		self.write_config(text + f'listen "unix:{self.unix}" {{ }}\n')


class Agents:
	"""What is true of each program that runs spamc or rspamc.  deliver() runs it."""

	def test_every_action(self):
		for action, folder in ACTIONS.items():
			with self.subTest(action):
				self.home.empty()
				self.assertEqual(self.deliver(of_action(action)), 0)
				name, mail, _ = self.only()
				self.assertEqual(name, folder)
				self.is_marked(mail, action)

	def test_rewritten_subject(self):
		self.deliver(of_action("rewrite subject"))
		self.assertEqual(email.message_from_bytes(self.only()[1])["Subject"], self.subject)

	def test_forged_marks(self):
		"""The sender's own marks are neither believed nor left to be believed."""
		for forged, action, folder in (({"X-Spam-Flag": "YES", "X-Spam": "yes", "X-Spam-Action": "reject"}, "no action", ""),
		                               ({"X-Spam-Flag": "NO", "X-Spam": "no", "X-Spam-Action": "soft reject"}, "reject", "Junk")):
			with self.subTest(action):
				self.home.empty()
				self.assertEqual(self.deliver(of_action(action, **forged)), 0)
				name, mail, _ = self.only()
				self.assertEqual(name, folder)
				self.assertEqual(email.message_from_bytes(mail).get_all("X-Spam-Action"), [action])

	def test_filter_is_down(self):
		self.assertEqual(self.deliver(of_action("reject"), port=self.nobody), 0)
		name, mail, _ = self.only()
		self.assertEqual(name, "")
		self.is_unchanged(mail, of_action("reject"))

	def test_filter_is_down_and_mail_is_to_wait(self):
		self.assertEqual(self.deliver(of_action("reject"), port=self.nobody, defer=True), EX_TEMPFAIL)
		self.assertEqual(self.home.mails(), {})
		self.assertEqual(self.deliver(of_action("reject"), defer=True), 0)
		self.assertEqual(self.only()[0], "Junk")

	def test_large_mail(self):
		"""Not scanned, whatever is to become of mail without a verdict."""
		mail = of_action("reject") + b"x" * 5000 + b"\n"
		for defer in (False, True):
			self.home.empty()
			self.assertEqual(self.deliver(mail, defer=defer, size=5000), 0)
			self.is_unchanged(self.only()[1], mail)
			self.home.empty()
			self.assertEqual(self.deliver(mail, defer=defer, size=6000), 0)
			self.assertEqual(self.only()[0], "Junk")

	def test_odd_mail_is_whole(self):
		for mail in (b"Subject: x\n\n" + b"8-bit \xe9\xff\n" * 20000, b"Subject: no body\n\n", b"\nno head\n",
		             b"Subject: no empty line\n", b"Subject: \xe9\n\nno line end"):
			with self.subTest(mail[:30]):
				self.home.empty()
				self.assertEqual(self.deliver(mail), 0)
				delivered = self.only()[1]
				head, _, body = mail.partition(b"\n\n")
				self.assertIn(head.strip(b"\n"), delivered)
				self.assertTrue(delivered.rstrip(b"\n").endswith(body.rstrip(b"\n")), delivered[-200:])


class SpamcAgents(Agents):
	"""Through rspamd-shim."""

	subject = "[SPAM] of rewrite subject"

	def in_front_of(self, fake):
		"""The port that leads to a FakeRspamd."""
		return self.own(ExampleShim, fake.url, self.headers).port

	def spamc_words(self, port, name, defer, size):
		return {SPAMC_ADDRESS: f"127.0.0.1 -p {port or self.shim.port}", "-s 50000000": f"-s {size}",
		        **(DEFER[name] if defer else {})}

	def test_rspamd_is_down(self):
		"""The shim answers, but with an error."""
		shim = self.own(ExampleShim, f"http://127.0.0.1:{self.nobody}", "spamassassin")
		self.assertEqual(self.deliver(of_action("reject"), port=shim.port), 0)
		self.is_unchanged(self.only()[1], of_action("reject"))
		self.home.empty()
		self.assertEqual(self.deliver(of_action("reject"), port=shim.port, defer=True), EX_TEMPFAIL)
		self.assertEqual(self.home.mails(), {})


class Procmail(SpamcAgents, Base):
	def test_lines_that_look_like_exims(self):
		"""Whoever wrote them: in a delivery agent they are no envelope."""
		lines = b"X-Envelope-From: <forged@client.example>\nX-Envelope-To: alice@test.example\n"
		self.rspamd.seen()
		self.assertEqual(self.deliver(b"From MAILER-DAEMON Mon Jun 01 10:00:00 2026\n" + lines + message()), 0)
		self.assertIsNone(self.rspamd.await_seen()[0]["from"])
		self.assertIn(lines, self.only()[1])

	def deliver(self, mail, port=None, defer=False, size=50000000):
		rc = self.home.install("procmailrc", words=self.spamc_words(port, "procmailrc", defer, size))
		# -p: without its environment, nss_wrapper could not tell it who it is.
		return self.home.run("/usr/bin/procmail", "-t", "-p", rc, mail=mail)[0]


class Maildrop(SpamcAgents, Base):
	def deliver(self, mail, port=None, defer=False, size=50000000):
		rc = self.home.install("mailfilter", words=self.spamc_words(port, "mailfilter", defer, size))
		code, self.said = self.home.run("/usr/bin/maildrop", rc, mail=mail)
		return code


class Sieve:
	"""With dovecot-lda and rspamd.sieve."""

	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		cls.home.use_sieve()

	def test_levels(self):
		"""The action decides what is spam; the score only how much of it is shown."""
		fake = self.own(FakeRspamd)
		port = self.in_front_of(fake)
		for action, score, where in (("reject", 0.0, ("Junk", "S")), ("add header", 14.0, ("Junk", "")),
		                             ("add header", 15.0, ("Junk", "S")), ("soft reject", 20.0, ("", "")),
		                             ("no action", 20.0, ("", ""))):
			with self.subTest((action, score)):
				self.home.empty()
				fake.answer(verdict(action, score))
				self.assertEqual(self.deliver(message(), port=port), 0)
				name, _, flags = self.only()
				self.assertEqual((name, flags), where)

	def test_mailbox_is_full(self):
		"""The code of dovecot-lda comes through, and nothing is lost on the way."""
		for tempfail, code in (("yes", EX_TEMPFAIL), ("no", EX_NOPERM)):
			self.home.set_quota(tempfail)
			self.addCleanup(self.home.set_quota, None)
			self.assertEqual(self.deliver(message(body="x" * 5000)), code)
			self.assertEqual(self.home.mails(), {})
		self.home.set_quota(None)
		self.assertEqual(self.deliver(message(body="x" * 5000)), 0)

	def test_no_delivery_program(self):
		self.assertNotEqual(self.deliver(message(), lda="/nonexistent/dovecot-lda"), 0)


class EachHeader(Case):
	"""rspamd.sieve, header by header: also where an action has a name of its own."""

	def test_each(self):
		home = self.own(Home)
		home.use_sieve()
		stars = "*" * 15
		for headers, where in (
				({}, ("", "")), ({"X-Spam-Flag": "YES"}, ("Junk", "")), ({"X-Spam-Flag": "NO"}, ("", "")),
				({"X-Spam": "yes"}, ("Junk", "")), ({"X-Spam": "yes", "X-Spam-Action": "quarantine"}, ("Junk", "")),
				({"X-Spam": "yes", "X-Spam-Action": "soft reject"}, ("", "")),
				({"X-Spam-Status": "Yes, score=7.0 required=6.0"}, ("Junk", "")),
				({"X-Spam-Status": "No, score=1.0 required=6.0"}, ("", "")),
				({"X-Spam-Action": "add header"}, ("Junk", "")), ({"X-Spam-Action": "rewrite subject"}, ("Junk", "")),
				({"X-Spam-Action": "reject"}, ("Junk", "S")), ({"X-Spam-Action": "greylist"}, ("", "")),
				({"X-Spam-Level": stars}, ("", "")), ({"X-Spam-Level": stars, "X-Spam": "yes"}, ("Junk", "S")),
				({"X-Spam-Level": stars[1:], "X-Spam": "yes"}, ("Junk", ""))):
			with self.subTest(headers):
				home.empty()
				code, said = home.run("/usr/lib/dovecot/dovecot-lda", "-e", mail=message(**headers))
				self.assertEqual(code, 0, said)
				self.assertEqual([(name, flags) for name, mails in home.mails().items() for _, flags in mails], [where])


class SpamcAndDovecot(Sieve, SpamcAgents, Base):
	"""dovecot-lda behind spamc, as a mail server runs it."""

	def deliver(self, mail, port=None, defer=False, size=50000000, lda="/usr/lib/dovecot/dovecot-lda"):
		script = self.home.install("lda-spamc", mode=0o755, words=self.spamc_words(port, "lda-spamc", defer, size))
		return self.home.run(script, self.home.paths.get(lda, lda), "-e", mail=mail)[0]


class SpamcAndDovecotWithRspamcsHeaders(SpamcAndDovecot):
	headers = "rspamc"
	# No matter of header lines, and each takes spamc two seconds.
	test_filter_is_down = test_filter_is_down_and_mail_is_to_wait = None


class RspamcAndDovecot(Sieve, Agents, Base):
	"""Without the shim."""

	subject = "of rewrite subject"		# rspamc leaves it

	def in_front_of(self, fake):
		return fake.port

	def deliver(self, mail, port=None, defer=False, size=50000000, lda="/usr/lib/dovecot/dovecot-lda"):
		script = self.home.install("lda-rspamc", mode=0o755, words={
			"127.0.0.1:11333": f"127.0.0.1:{port or self.rspamd.normal}", "MAX_SIZE=50000000": f"MAX_SIZE={size}",
			**(DEFER["lda-rspamc"] if defer else {})})
		return self.home.run(script, self.home.paths.get(lda, lda), "-e", mail=mail)[0]

	def test_rspamd_answers_with_an_error(self):
		fake = self.own(FakeRspamd)
		fake.answer({"error": "no"}, status="500 Internal Server Error")
		self.assertEqual(self.deliver(message(), port=fake.port, defer=True), EX_TEMPFAIL)
		self.assertEqual(self.home.mails(), {})
		self.assertEqual(self.deliver(message(), port=fake.port), 0)
		self.is_unchanged(self.only()[1], message())

	def test_what_rspamc_would_cut_off(self):
		mail = message(body=b"before\0after\n")
		self.assertEqual(self.deliver(mail, defer=True), EX_TEMPFAIL)
		self.assertEqual(self.deliver(mail), 0)
		self.assertIn(b"after\n", self.only()[1])


class Fetched:
	"""fetchmail takes mail from a real IMAP server, over TLS."""

	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		cls.home.use_sieve()
		cls.server_home = cls.shared(Home)
		cls.certificate, key = make_certificate(cls.folder("certificate"))
		cls.imap = cls.shared(ImapServer, cls.server_home.dovecot, cls.certificate, key)

	def setUp(self):
		super().setUp()
		self.server_home.empty()

	def on_server(self):
		return len(self.server_home.mails().get("", []))

	def fetch(self, port=None, defer=True):
		rc = self.home.install(self.example, words={
			"mail.example.org": "localhost", "port 993": f"port {self.imap.port}", **self.words(port, defer)})
		self.said = self.home.run("/usr/bin/fetchmail", "--fetchmailrc", rc, "--pidfile", self.home.home / "fetchmail.pid",
		                          "--nosyslog", "--verbose", env={"SSL_CERT_FILE": str(self.certificate), "LOGNAME": "alice"})[1]

	def deliver(self, mail, port=None, defer=True):
		"""One mail through the server; 0 if it has left it."""
		self.server_home.empty()
		self.server_home.put(mail)
		self.fetch(port, defer)
		return self.on_server()

	def test_every_action(self):
		for action, folder in ACTIONS.items():
			with self.subTest(action):
				self.home.empty()
				self.assertEqual(self.deliver(of_action(action)), 0, "it is still on the server")
				name, mail, _ = self.only()
				self.assertEqual(name, folder)
				self.is_marked(mail, action)

	def test_filter_is_down(self):
		"""Without waiting for a verdict."""
		self.assertEqual(self.deliver(of_action("reject"), port=self.nobody, defer=False), 0)
		name, mail, _ = self.only()
		self.assertEqual(name, "")
		self.is_unchanged(mail, of_action("reject"))

	def test_filter_is_down_and_mail_is_to_wait(self):
		"""It stays on the server until there is a verdict, and comes once."""
		self.assertEqual(self.deliver(of_action("reject"), port=self.nobody), 1)
		self.assertEqual(self.home.mails(), {})
		self.fetch()
		self.assertEqual(self.on_server(), 0)
		self.assertEqual(self.only()[0], "Junk")

	def test_mailbox_is_full(self):
		self.addCleanup(self.home.set_quota, None)
		for tempfail in ("yes", "no"):
			self.home.set_quota(tempfail)
			self.assertEqual(self.deliver(message(body="x\n" * 2500)), 1)
			self.assertEqual(self.home.mails(), {})
		self.home.set_quota(None)
		self.fetch()
		self.assertEqual(self.on_server(), 0)
		self.only()

	def test_large_mail_that_is_refused(self):
		"""More than a pipe holds, to a delivery program that ends without reading it."""
		self.addCleanup(self.home.set_quota, None)
		self.home.set_quota("no")
		self.assertEqual(self.deliver(message(body=("x" * 70 + "\n") * 5000)), 1)
		self.assertEqual(self.home.mails(), {})

	def test_nul(self):
		self.assertEqual(self.deliver(message(body=b"before\0after\n")), 0)
		self.assertIn(b"after", self.only()[1])


class FetchmailAndSpamc(Fetched, Base):
	example = "fetchmailrc"

	def words(self, port, defer=True):
		return {SPAMC_ADDRESS: f"127.0.0.1 -p {port or self.shim.port}", **({} if defer else {"spamc -x ": "spamc "})}

	def test_rspamd_is_down(self):
		shim = self.own(ExampleShim, f"http://127.0.0.1:{self.nobody}", "spamassassin")
		self.assertEqual(self.deliver(of_action("reject"), port=shim.port), 1)
		self.assertEqual(self.home.mails(), {})


class FetchmailAndRspamc(Fetched, Base):
	example = "fetchmailrc.rspamc"

	def words(self, port, defer=True):
		script = self.home.install("lda-rspamc", mode=0o755, words={
			"127.0.0.1:11333": f"127.0.0.1:{port or self.rspamd.normal}", **(DEFER["lda-rspamc"] if defer else {})})
		return {"/usr/local/bin/lda-rspamc": str(script)}


class RspamcAlone(Base):
	"""What README.md says of rspamc --mime --exec, which no example uses, and why."""

	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		cls.home.use_sieve()
		readme = (EXAMPLES / "README.md").read_text()
		cls.command = shlex.split(re.search(r"^rspamc .*--exec .*$", readme, re.M)[0])

	def deliver(self, mail, port=None):
		text = shlex.join(self.command)
		for old, new in {"127.0.0.1:11333": f"127.0.0.1:{port or self.rspamd.normal}", **self.home.paths}.items():
			text = text.replace(old, new)
		return self.home.run("/usr/bin/rspamc", *shlex.split(text)[1:], mail=mail)[0]

	def test_every_action(self):
		for action, folder in ACTIONS.items():
			with self.subTest(action):
				self.home.empty()
				self.assertEqual(self.deliver(of_action(action)), 0)
				name, mail, _ = self.only()
				self.assertEqual(name, folder)
				self.is_marked(mail, action)

	def test_result_as_json(self):
		self.assertEqual(self.deliver(message(X_Test_Score=7)), 0)
		result = json.loads(base64.b64decode(email.message_from_bytes(self.only()[1])["X-Spam-Result"]))
		self.assertEqual((result["action"], result["score"]), ("add header", 7.0))
		self.assertIn("TEST_SCORE", result["symbols"])

	def test_no_verdict_is_delivered_and_called_a_failure(self):
		self.assertEqual(self.deliver(message(), port=self.nobody), 1)
		mail = self.only()[1]
		self.assertIsNotNone(email.message_from_bytes(mail)["X-Spam-Error"])
		self.assertTrue(mail.endswith(message().split(b"\n\n", 1)[1]))

	def test_what_it_loses(self):
		for mail, lost in ((message(body=b"before\0after\n"), b"after"), (b"Subject: no empty line\n", b"Subject")):
			with self.subTest(mail):
				self.home.empty()
				self.assertEqual(self.deliver(mail), 0)
				self.assertNotIn(lost, self.only()[1])

	def test_forged_marks_stay(self):
		self.assertEqual(self.deliver(of_action("no action", X_Spam_Action="reject")), 0)
		self.assertEqual(self.only()[0], "Junk")


class SameHeaders(Base):
	"""headers = rspamc, and rspamc --mime itself, on the same mail."""

	headers = "rspamc"

	def both(self, mail):
		"""The X-Spam lines of rspamd-shim and of rspamc, unfolded: two dicts."""
		rspamc = self.home.run("/usr/bin/rspamc", "-h", f"127.0.0.1:{self.rspamd.normal}", "--mime", mail=mail)
		spamc = self.home.run("/usr/bin/spamc", "-x", "-d", "127.0.0.1", "-p", str(self.shim.port), mail=mail)
		for code, text in (spamc, rspamc):
			self.assertEqual(code, 0, text)
			found = [(name, re.sub(r"\s*\n\s*", "", value)) for name, value in email.message_from_string(text).items()
			         if name.lower().startswith("x-spam")]
			self.assertEqual(len(found), len(dict(found)), found)
			yield dict(found)

	def test_same(self):
		mails = [of_action(action) for action in ACTIONS if action != "soft reject"]
		mails += [message(X_Test_Score=score) for score in ("-1.5", "0.3", "6", "6.4", "7.999", "14.2", "16", "40")]
		mails += [message(X_Test_Bulk=n, X_Test_Score=3) for n in (1, 9, 40)]
		for mail in mails:
			with self.subTest(mail[-80:]):
				ours, theirs = self.both(mail)
				self.assertEqual(list(ours), list(theirs))
				for headers in (ours, theirs):
					headers["X-Spam-Symbols"] = set(headers["X-Spam-Symbols"].split(","))
					self.assertRegex(headers.pop("X-Spam-Scan-Time"), r"\A\d+(\.\d+)?(e-\d+)?\Z")
				self.assertEqual((ours.pop("X-Spam-Scanner")[:7], theirs.pop("X-Spam-Scanner")[:7]), ("rspamd/", "rspamc "))
				self.assertEqual(ours, theirs)

	def test_soft_reject(self):
		"""rspamc calls it spam; it is not."""
		ours, theirs = self.both(of_action("soft reject"))
		self.assertNotIn("X-Spam", ours)
		self.assertEqual(theirs["X-Spam"], "yes")


class Server:
	"""A real mail server hands its mail to lda-spamc and dovecot-lda."""

	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		cls.home.use_sieve()
		cls.script = cls.home.home / "lda-spamc"

	def setUp(self):
		super().setUp()
		self.use(self.shim.port)

	def use(self, port, defer=False):
		"""Where lda-spamc finds the shim from now on."""
		self.home.install("lda-spamc", mode=0o755, words={
			SPAMC_ADDRESS: f"127.0.0.1 -p {port}", **(DEFER["lda-spamc"] if defer else {})})

	def test_every_action(self):
		for action, folder in ACTIONS.items():
			with self.subTest(action):
				self.home.empty()
				self.deliver(of_action(action))
				wait_until(self.home.mails, "the mail is delivered")
				name, mail, _ = self.only()
				self.assertEqual(name, folder)
				parsed = self.is_marked(mail, action)
				self.assertEqual(parsed["Return-Path"], "<sender@client.example>")

	def test_filter_is_down(self):
		self.use(self.nobody)
		self.deliver(of_action("reject"))
		wait_until(self.home.mails, "the mail is delivered")
		name, mail, _ = self.only()
		self.assertEqual(name, "")
		self.assertNotIn(b"X-Spam", mail)

	def test_filter_is_down_and_mail_is_to_wait(self):
		self.use(self.nobody, defer=True)
		number = self.deliver(of_action("reject"))
		self.is_deferred(number)
		self.assertEqual(self.home.mails(), {})
		self.use(self.shim.port, defer=True)
		self.retry(number)
		wait_until(self.home.mails, "the mail is delivered")
		self.assertEqual(self.only()[0], "Junk")

	def test_mailbox_is_full(self):
		self.addCleanup(self.home.set_quota, None)
		self.home.set_quota("yes")
		number = self.deliver(message(body="x\n" * 2500))
		self.is_deferred(number)
		self.home.set_quota(None)
		self.retry(number)
		wait_until(self.home.mails, "the mail is delivered")
		self.only()


	def test_refused(self):
		"""What dovecot-lda refuses, the mail server returns to the sender."""
		self.addCleanup(self.home.set_quota, None)
		self.home.set_quota("no")
		number = self.deliver(message(body="x\n" * 2500))
		self.is_returned(number)
		self.assertEqual(self.home.mails(), {})


class EximAndLdaSpamc(Server, Base):
	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		transport = cls.home.install("exim-transport", mode=0o644, words={"/usr/local/bin/lda-spamc": str(cls.script)})
		cls.exim = cls.shared(Exim, acl_data="accept")
		text = cls.exim.conf.read_text()
		assert "transport = into_file" in text
		text = text.replace("transport = into_file", "transport = lda_spamc").replace(
			"begin transports\n", f"begin transports\n.include {transport}\n")
		cls.exim.conf.write_text(text + "begin retry\n* * F,4d,1h\n")

	def deliver(self, mail):
		number = self.exim.submit(mail, "sender@client.example", "alice@test.example")
		self.retry(number)
		return number

	def retry(self, number):
		self.exim._exim("-M", number)

	def is_deferred(self, number):
		self.assertIn(number, self.exim.queue())
		self.assertRegex(self.exim.main_log(), rf"{number} == alice@test.example .*T=lda_spamc defer")

	def is_returned(self, number):
		self.assertRegex(self.exim.main_log(), rf"{number} \*\* alice@test.example .*T=lda_spamc ?: .*returned 77")


class PostfixAndLdaSpamc(Server, Base):
	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		lines = cls.home.install("main.cf", words={"/usr/local/bin/lda-spamc": str(cls.script)}).read_text()
		cls.postfix = cls.shared(PostfixWithAlice, cls.home.home, options=lines)

	def deliver(self, mail):
		return queue_id(self.postfix.send(mail, recipients=["alice@test.example"]))

	def retry(self, number):
		self.postfix.flush()

	def is_deferred(self, number):
		self.has_tried(number, r"dsn=4\.3\.0, status=deferred")

	def is_returned(self, number):
		self.has_tried(number, r"dsn=5\.7\.0, status=bounced .*Quota exceeded")

	def has_tried(self, number, result):
		tried = f"{number}: to=<alice@test.example>, "
		wait_until(lambda: tried in self.postfix.log(), "Postfix has tried")
		self.assertRegex(self.postfix.log(), tried + f".*{result}")


class PostfixWithAlice(Postfix):
	"""A Postfix with a local user."""

	def __init__(self, folder, home, options):
		self.home = home
		super().__init__(folder, options=f"{options}\nmydestination = test.example\nvirtual_mailbox_domains =\n",
		                 services="local unix - n n - - local\npickup unix n - n 60 1 pickup\n")

	def _users(self):
		folder = super()._users()
		uid, gid = process.server_ids()
		with open(folder / "passwd", "a") as passwd:
			passwd.write(f"alice:x:{uid + 1}:{gid}:test:{self.home}:/bin/sh\n")
		return folder

	def flush(self):
		"""Try all that is deferred again."""
		subprocess.run([self.group.path("usr/sbin/postqueue"), "-c", self.conf, "-f"], env=self.environment(),
		               check=True, **process.run_as())


class Learning(Base):
	"""What users move into Junk and out of it, in a real IMAP session, is learned."""

	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		cls.server, cls.key = make_certificate(cls.folder("certificate"))
		cls.controller = FakeRspamd()
		cls.addClassCleanup(cls.controller.stop)
		cls.controller.answer('{"success":true}')
		password = cls.folder("password") / "password"
		password.write_text("secret\n")
		password.chmod(0o600)
		os.chown(password, *process.server_ids())
		cls.tell = cls.shared(ExampleShim, cls.rspamd.url, "spamassassin",
		                      ["--controller", cls.controller.url, "--password-file", password])
		pipe = process.sub_dir(cls.home.home, "pipe")
		cls.home.install("learn", "pipe/learn", mode=0o755, words={SPAMC_ADDRESS: f"127.0.0.1 -p {cls.tell.port}"})
		scripts = {f"/etc/dovecot/sieve/{name}": str(cls.home.install(name)) for name in ("learn-spam.sieve", "learn-ham.sieve")}
		conf = cls.home.install(cls.home.example("imapsieve.conf"), mode=0o644,
		                        words={"/usr/local/lib/dovecot-pipe": str(pipe), **scripts})
		cls.home.dovecot.configure(f"!include {conf}\n")
		cls.imap = cls.shared(ImapServer, cls.home.dovecot, cls.server, cls.key)

	def setUp(self):
		super().setUp()
		self.controller.forget()
		self.client = imaplib.IMAP4_SSL("localhost", self.imap.port, ssl_context=ssl.create_default_context(cafile=self.server),
		                                timeout=process.PATIENCE)
		self.addCleanup(self.client.logout)
		for name in ("Junk", "Trash", "Work"):
			self.client.create(name)

	def move(self, source, target):
		"""Move a message there in an IMAP session; it."""
		mail = message(Subject=f"from {source} to {target}")
		self.client.append(source, None, None, mail)
		self.client.select(source)
		self.assertEqual(self.client.uid("MOVE", "*", target)[0], "OK")
		return mail.replace(b"\n", b"\r\n")

	def learned(self):
		return [(request.line.split()[1], request.body.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
		        for request in self.controller.requests]

	def test_into_junk(self):
		mail = self.move("INBOX", "Junk")
		self.assertEqual(self.learned(), [("/learnspam", mail)])
		self.assertEqual(self.controller.requests[0].get("Password"), "secret")

	def test_out_of_junk(self):
		for target in ("INBOX", "Work"):
			self.controller.forget()
			mail = self.move("Junk", target)
			self.assertEqual(self.learned(), [("/learnham", mail)])

	def test_what_says_nothing(self):
		self.move("Junk", "Trash")
		self.move("INBOX", "Work")
		self.move("INBOX", "Trash")
		self.assertEqual(self.learned(), [])

	def test_rspamd_does_not_learn(self):
		"""The mail is moved all the same, and Dovecot's log says so."""
		self.controller.answer('{"error":"no"}', status="500 Internal Server Error")
		self.addCleanup(self.controller.answer, '{"success":true}')
		self.move("INBOX", "Junk")
		self.assertEqual(len(self.learned()), 1)
		self.assertEqual(len(self.home.mails()["Junk"]), 1)
		self.assertRegex(self.home.dovecot.log(), r"Error: .*learn")

"""Every rspamd with every Exim of the releases in matrix.conf, with each other's protocols and sockets.

What depends on both is run for each pair, dialect and transport (a cell), what
depends on rspamd alone once for each rspamd.  A usual run has the machine's own
pair and that of the newest other release; MATRIX=full has all.
"""

import concurrent.futures
import email
import email.header
import email.policy
import os
import pathlib
import re
import unittest

import test_actions
import test_bayes
import test_policy
from harness import SOURCE_TREE, Case, Exim, Rspamd, Shim, case, message, packages, process, releases, spamc, spamc_request, talk
from harness.rspamd import version

TABLE = releases.table()
FULL = os.environ.get("MATRIX") == "full"

# rspamd's settings by Settings-ID (spamc -u strict), besides the usual configuration.
SETTINGS = 'settings { strict { id = "strict"; apply { symbols_disabled = ["TEST_MANY"]; actions { reject = 5; } } } }\n'
HOSTS = {"127.0.0.9": "host9.example"}
MACROS = "CHECK_SPAM_RELAY_HOSTS = :\nCHECK_SPAM_AUTHENTICATED =\nCHECK_SPAM_MILTER_REJECT = yes\n"
# Exim scans a message once, so that record and decision are about the same verdict.
DATA = """
	warn    spam = nobody:true
	        acl = acl_seen
	require acl = acl_check_spam
	warn    acl = acl_rspamd_headers
	accept  acl = acl_rspamd_quarantine
"""


class Running:
	"""The rspamd of one release, with a shim for each transport; one release at a time."""

	now = None

	def __init__(self, suite):
		self.suite = suite
		self.folders, self.parties = [], []
		self.rspamd = self._start(Rspamd, extra=SETTINGS, release=suite)
		# by unix: (to the shim and to rspamd alike)
		self.shims = {unix: self._start(Shim, backend=f"unix:{self.rspamd.unix}" if unix else self.rspamd.url)
		              for unix in (False, True)}

	def _start(self, factory, **options):
		self.folders.append(process.temp_dir(f"matrix-{factory.__name__.lower()}"))
		party = factory(self.folders[-1], **options)
		case.active.append(party)
		self.parties.append(party)
		return party.start()

	def end(self):
		for party in reversed(self.parties):
			case.active.remove(party)
			party.stop()
		for folder in self.folders:
			process.remove(folder)

	@classmethod
	def of(cls, suite):
		if cls.now is None:
			unittest.addModuleCleanup(cls.stop)
		if cls.now and cls.now.suite != suite:
			cls.stop()
		if not cls.now:
			packages.need("rspamd", suite)
			cls.now = cls(suite)
		return cls.now

	@classmethod
	def stop(cls):
		ending, cls.now = cls.now, None
		if ending:
			ending.end()


class Cell(test_actions.Through):
	"""One Exim with one rspamd: rspamds and exims are names of releases; variant and unix as in Through.

	The six actions and their reports are those of test_actions.
	"""

	rspamds = exims = None

	@classmethod
	def setUpClass(cls):
		running = Running.of(cls.rspamds)
		cls.rspamd, cls.shim = running.rspamd, running.shims[cls.unix]
		names = ("acl_check_spam", "acl_rspamd_headers", "acl_rspamd_quarantine")
		acls = "".join(f".include {process.reachable(SOURCE_TREE / 'exim-conf' / name)}\n" for name in names)
		cls.exim = cls.shared(Exim, cls.shim.spamd_address(cls.variant, cls.unix), acl_data=DATA, acls=acls, macros=MACROS,
		                      hosts=HOSTS, release=cls.exims)

	def setUp(self):
		super().setUp()
		self.rspamd.seen()
		self.logged = len(self.exim.main_log())

	def log(self):
		return self.exim.main_log()[self.logged:]

	def last(self):
		"""Exim's variables after the last scan, as text."""
		return {name: value.decode() for name, value in self.exim.seen()[-1].items()}

	def test_programs(self):
		"""The cell is what it is called, and no other release has a library in it."""
		self.assertEqual(".".join(map(str, version(self.rspamd.group))), TABLE[self.rspamds].rspamd)
		self.assertRegex(self.exim.command("-bV").stdout.decode(), rf"(?m)^Exim version {re.escape(TABLE[self.exims].exim)} ")
		for party, group in ((self.rspamd, self.rspamd.group), (self.exim, self.exim.groups[0])):
			maps = pathlib.Path(f"/proc/{party.process.pid}/maps").read_text()
			used = set(re.findall(r"(/\S+\.so\S*)$", maps, re.M))
			self.assertIn("libc.so.6", {pathlib.Path(name).name.replace("-2.31.so", ".so.6") for name in used})
			if group.foreign:
				self.assertEqual({name for name in used if not name.startswith(f"{group.foreign}/")}, set())

	def test_envelope(self):
		sender, recipients = "sender@x.example", ["user@mx.example", "a=b/c+d@mx.example", "other@mx.example"]
		with self.exim.connect(source="127.0.0.9", helo="some.example") as smtp:
			smtp.login("alice")
			name = smtp.send(message(X_Test_Id="envelope"), sender=sender, recipients=recipients).message_id()
		seen, = self.rspamd.await_seen()
		self.assertEqual({key: seen[key] for key in ("ip", "helo", "hostname", "user", "queue_id", "test_id")},
		                 {"ip": "127.0.0.9", "helo": "some.example", "hostname": "host9.example",
		                  "user": "alice" if self.variant else None, "queue_id": name, "test_id": "envelope"})
		self.assertEqual(seen["headers"]["From"], f"<{sender}>")
		self.assertEqual(seen["rcpt"], recipients)

	def test_quoted_addresses(self):
		"""rspamd is told them as they are, whatever Exim makes of them."""
		for sender, recipient, options in (('"a b"@x.example', '"c d"@mx.example', ""), ("jörg@bücher.example", "用户@mx.example", " SMTPUTF8")):
			self.exim.send(message(), sender=sender, recipients=[recipient], options=options)
			seen, = self.rspamd.await_seen()
			self.assertEqual([seen["headers"][name] for name in ("From", "Rcpt")], [f"<{sender}>", f"<{recipient}>"])

	def test_mta_name(self):
		"""The name for Authentication-Results is that of the host that Exim receives for."""
		self.exim.send(message())
		self.assertEqual(self.rspamd.await_seen()[0]["headers"].get("MTA-Name"), "mx.test.example")

	def test_null_sender(self):
		self.exim.send(message(), sender="")
		seen, = self.rspamd.await_seen()
		self.assertEqual((seen["headers"]["From"], seen["from"] or "", seen["rcpt"]), ("<>", "", ["user@mx.example"]))

	def test_header_lines(self):
		mail = b"X-Old: 1\nX-Old: 2\n" + message(X_Test_Milter=1, X_Test_Score=7)
		mail = self.exim.delivered(self.exim.send(mail).message_id())
		self.assertEqual([" ".join(value.split()) for value in mail.get_all("X-Folded")], ["a b"])
		self.assertEqual((mail.get_all("X-Spam-Test"), mail.get_all("X-Old")), (["yes"], ["2"]))

	def test_smtp_message(self):
		"""A text for the sender, with a verdict by score."""
		self.exim.send(message(X_Test_Score=7, X_Test_Smtp="Not here, please"))
		self.assertTrue(self.last()["spam_report"].startswith("Action: add header\n Message: Not here, please\n "))

	def kept(self, mail):
		"""Send mail, which Exim must accept; its file in the queue, if it is there."""
		name = self.exim.send(mail).message_id()
		path = self.exim.dir / "spool" / "input" / f"{name}-H"
		return path.read_text(errors="replace") if path.exists() else None

	def test_discard(self):
		self.assertIsNone(self.kept(message(X_Test_Score=20, X_Test_Reject="discard")))
		self.assertIn('rspamd: discarded: action="reject" score=20.0', self.log())

	def test_quarantine(self):
		self.assertIn("-frozen", self.kept(message(X_Test_Score=20, X_Test_Reject="quarantine")))
		self.assertIn("rspamd: quarantined: ", self.log())

	def test_custom_action(self):
		self.assertIsNone(self.kept(message(X_Test_Action="thrown away")))
		self.assertIn('rspamd: discarded: action="thrown away"', self.log())
		self.assertTrue(self.last()["spam_report"].startswith("Action: thrown away\n "))

	def test_900_symbols(self):
		"""The report is cut at the symbols; what rspamd wants done is whole."""
		reply = self.exim.send(message(X_Test_Bulk=900, X_Test_Milter=1))
		lines = self.last()["spam_report"].split("\n ")
		self.assertRegex(lines[-1], r"\AReport-End: cut, \d+ [\w-]+")
		self.assertEqual((lines[0], sum(line.startswith("X-Milter-") for line in lines)), ("Action: rewrite subject", 3))
		self.assertEqual(self.exim.delivered(reply.message_id())["X-Spam-Test"], "yes")


class OneRspamd:
	"""What does not depend on the mail server: suite is the release of rspamd and of spamc."""

	suite = None

	@classmethod
	def setUpClass(cls):
		running = Running.of(cls.suite)
		cls.rspamd, cls.shim = running.rspamd, running.shims[False]

	def spamc(self, shim, mail, *options):
		return spamc(shim.port, mail, *options, release=self.suite)

	def test_ping(self):
		code, out = self.spamc(self.shim, b"", "-K")
		self.assertEqual(code, 0)
		self.assertRegex(out, rb"\ASPAMD/1\.5 0\s")

	def test_threshold(self):
		code, out = self.spamc(self.shim, message(), "-c")
		self.assertEqual((code, out), (0, f"0.0/{self.rspamd.facts.shown_threshold}\n".encode()))
		self.assertEqual(self.spamc(self.shim, message(X_Test_Score=7), "-c")[0], 1)

	def test_settings_id(self):
		"""spamc -u chooses rspamd's settings, which decide."""
		shim = self.own(Shim, config="", start=False)
		shim.write_config(f'listen "{shim.address}" {{ spamc_user = "settings-id" }}\nlisten "unix:{shim.unix}" {{ }}\n'
		                  f'backend "{self.rspamd.url}" {{ }}\n')
		shim.start()
		self.rspamd.seen()
		mail = message(X_Test_Options=1, X_Test_Score=5.5)
		for user, action, many in (("other", "greylist", True), ("strict", "reject", False)):
			report = self.spamc(shim, mail, "-R", "-u", user)[1].decode()
			self.assertEqual(self.rspamd.await_seen()[0]["headers"].get("Settings-ID"), user)
			self.assertEqual(("TEST_MANY" in report, shim.await_requests()[-1]["action"]), (many, action))

	def test_rewritten_subject(self):
		"""Any decoder reads it, however rspamd has encoded it."""
		subject = "Grüße aus Köln, Переписка по поводу договора и 漢字"
		mail = message(X_Test_Score=9, Subject=email.header.Header(subject, "utf-8").encode())
		out = self.spamc(self.shim, mail)[1]
		found = email.message_from_bytes(out, policy=email.policy.default)["Subject"]
		self.assertEqual(found, f"[SPAM] {subject}")

	def test_custom_action_that_is_spam(self):
		shim = self.own(Shim, backend=self.rspamd.url, config='spam_actions = {"reject", "thrown away"}\n')
		mail = message(X_Test_Action="thrown away")
		self.assertEqual([self.spamc(each, mail, "-c")[0] for each in (self.shim, shim)], [0, 1])

	def test_empty(self):
		self.assertRegex(talk(self.shim.port, spamc_request("CHECK", b"")), rb"\ASPAMD/1\.0 \d+ [^\r\n]*empty[^\r\n]*\r\n\Z")
		self.assertRegex(self.spamc(self.shim, b"\n", "-c")[1], rb"\A0\.0/")

	def test_max_tasks(self):
		"""What is above it waits, or is sent again: each has its verdict."""
		rspamd = self.own(Rspamd, worker="max_tasks = 2;", release=self.suite)
		shim = self.own(Shim, backend=rspamd.url, config="timeout_queue = 60\n")
		request = spamc_request("CHECK", message(X_Test_Sleep=1, X_Test_Score=7))
		with concurrent.futures.ThreadPoolExecutor(8) as pool:
			replies = list(pool.map(lambda _: talk(shim.port, request), range(8)))
		self.assertEqual({reply.startswith(b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 7.0 / ") for reply in replies}, {True}, replies)

	def test_too_large(self):
		"""rspamd drops the connection; the client has an error that names the limit, and its mail back."""
		rspamd = self.own(Rspamd, max_message="100000", release=self.suite)
		shim = self.own(Shim, backend=rspamd.url, config="timeout_queue = 30\n")
		large = message(body="line\n" * 40000)
		self.assertEqual(self.spamc(shim, large), (0, large))
		self.assertRegex(talk(shim.port, spamc_request("CHECK", large)), rb"\ASPAMD/1\.0 69 [^\r\n]*max_message[^\r\n]*\r\n\Z")
		self.assertIn(b"X-Spam-Status: Yes", self.spamc(shim, message(X_Test_Score=7))[1])


def chosen():
	"""[(rspamd's release, Exim's release)] of this run."""
	if FULL:
		return [(rspamd, exim) for rspamd in TABLE for exim in TABLE]
	return [(suite, suite) for suite in (releases.own(), releases.newest_other()) if suite in TABLE]


def _name(suite, program):
	return f"{program.capitalize()}_{TABLE[suite].version(program).replace('.', '_')}"


def _make(name, *bases, **members):
	globals()[name] = type(name, bases, {"__module__": __name__, "__qualname__": name, "__doc__": bases[0].__doc__, **members})


def _define():
	"""The classes; a function, for a class in a variable of the module would be a test of its own."""
	for suite in dict.fromkeys(rspamd for rspamd, _ in chosen()):
		_make(_name(suite, "rspamd"), OneRspamd, Case, suite=suite)
		# The machine's own rspamd has these under their own names.
		if FULL or suite != releases.own():
			for base in (test_bayes.Bayes, test_bayes.Fuzzy, test_policy.Real):
				_make(f"{_name(suite, 'rspamd')}_{base.__name__}", base, release=suite)
	for rspamd, exim in chosen():
		for variant in (False, True):
			for unix in (False, True):
				_make(f"{_name(rspamd, 'rspamd')}_{_name(exim, 'exim')}_{'rspamd' if variant else 'plain'}_{'unix' if unix else 'tcp'}",
				      Cell, Case, rspamds=rspamd, exims=exim, variant=variant, unix=unix)


_define()

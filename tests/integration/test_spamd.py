"""SpamAssassin's own spamd beside rspamd-shim: the same requests, the same replies.

Both come to the same verdict of the same messages: spamd by three rules of
this test's own, the shim by a fake rspamd that counts as they do.  So replies
are compared byte for byte.  Where the two differ on purpose, the test says
why, and what each of them does.
"""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import unittest
import zlib

from harness import Case, FakeRspamd, Shim, connect, receive, spamc, talk, verdict
from harness import packages, process
from harness.client import spamc_facts

VERSIONS = ("1.0", "1.1", "1.2", "1.3", "1.4", "1.5")
HEAD = b"Received: from a\n\tby b\nFrom: a@x.example\nSubject: a test\nX-Test-Score: %s\n"
SPAM = HEAD % b"7" + b"\nbody\n"
HAM = HEAD % b"0" + b"\nbody\n"
CRLF = SPAM.replace(b"\n", b"\r\n")

RULES = r"""
required_score 5
report_safe 0
header TEST_HEAVY X-Test-Score =~ /^7/
describe TEST_HEAVY A rule that weighs
score TEST_HEAVY 7.5
header TEST_LIGHT X-Test-Score =~ /^7/
describe TEST_LIGHT A rule that hardly does
score TEST_LIGHT 0.5
use_bayes 1
bayes_path @DIR@/bayes
use_learner 1
bayes_auto_learn 0
util_rb_tld com net org example
"""

# A plugin that takes reports and revocations, as those that ask servers do.
REPORTER = """
package Mail::SpamAssassin::Plugin::TestReporter;
use Mail::SpamAssassin::Plugin;
our @ISA = qw(Mail::SpamAssassin::Plugin);
sub new { my ($class, $main) = @_; return bless($class->SUPER::new($main), $class); }
sub plugin_report { my $r = $_[1]->{report}; $r->{report_available} = $r->{report_return} = 1; return 1; }
sub plugin_revoke { my $r = $_[1]->{revoke}; $r->{revoke_available} = $r->{revoke_return} = 1; return 1; }
1;
"""

PLUGINS = """
loadplugin Mail::SpamAssassin::Plugin::Check
loadplugin Mail::SpamAssassin::Plugin::Bayes
loadplugin Mail::SpamAssassin::Plugin::TestReporter @DIR@/TestReporter.pm
"""


class Spamd(process.Party):
	"""SpamAssassin's spamd, without network tests, on a free port and a unix socket.

	tell: whether clients may train it.
	"""

	def __init__(self, folder, tell=True):
		super().__init__("spamd", folder)
		self.tell = tell
		self.unix = self.dir / "spamd.sock"
		self.group = packages.need("spamd")
		self.port = process.free_port()
		# The stock templates; no rule but this test's own.
		rules = process.sub_dir(self.dir, "rules")
		stock = self.group.path("usr/share/spamassassin/10_default_prefs.cf")
		(rules / stock.name).write_bytes(stock.read_bytes())
		site = process.sub_dir(self.dir, "site")
		for name, text in (("test.cf", RULES), ("test.pre", PLUGINS)):
			(site / name).write_text(text.replace("@DIR@", str(self.dir)))
		(self.dir / "TestReporter.pm").write_text(REPORTER)

	def start(self):
		root = self.group.root
		perl = root / "usr/bin/perl"		# there if the machine's is older
		modules = [p for pattern in ("usr/share/perl5", "usr/lib/*/perl5/5.*", "usr/share/perl/5.*", "usr/lib/*/perl/5.*",
		                             "usr/lib/*/perl-base") for p in sorted(root.glob(pattern)) if p.is_dir()]
		# -T: taint mode, in which Perl does not look at PERL5LIB.
		self.spawn([perl if perl.exists() else "/usr/bin/perl", "-T", *(f"-I{p}" for p in modules),
		            self.group.path("usr/sbin/spamd"), "--local", "--nouser-config", *(["--allow-tell"] if self.tell else []),
		            "--listen", f"127.0.0.1:{self.port}", "--listen", self.unix, "--configpath", self.dir / "rules",
		            "--siteconfigpath", self.dir / "site", "--helper-home-dir", self.dir,
		            "--max-children", "1", "--syslog", "stderr"],
		           process.environment([self.group], extra={"HOME": str(self.dir)}))
		try:
			self.await_ready(lambda: answers(self.port))
		except AssertionError as why:
			raise packages.Unavailable(f"spamd does not run here: {why}") from None
		return self


def answers(address):
	try:
		return talk(address, b"PING SPAMC/1.2\r\n") == b"SPAMD/1.5 0 PONG\r\n"
	except OSError:
		return False


def rspamd_that_counts_alike(fake):
	"""Makes fake judge as RULES do, and learn as SpamAssassin's Bayes does."""
	learned = {}

	def reply(sock, what, status="200 OK"):
		body = json.dumps(what)
		sock.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())

	def act(sock, request):
		path = request.line.split()[1]
		if path == "/checkv2" and b"X-Test-Score: 7" in request.body:
			return reply(sock, verdict("add header", 8.0, thresholds={"add header": 5.0}, symbols={
				"TEST_HEAVY": {"score": 7.5, "description": "A rule that weighs"},
				"TEST_LIGHT": {"score": 0.5, "description": "A rule that hardly does"}}))
		if path == "/checkv2":
			return reply(sock, verdict("no action", 0.0, thresholds={"add header": 5.0}, symbols={}))
		if path.startswith("/learn") and learned.get(request.body) == path:
			return reply(sock, {}, "208 Already Reported")
		if path == "/fuzzydel":
			learned.pop(request.body, None)
		elif path.startswith("/learn"):
			learned[request.body] = path
		return reply(sock, {"success": True})
	fake.behave(act)


def request(command, version, mail, *headers, length=True):
	lines = [b"%s SPAMC/%s" % (command.encode(), version.encode())]
	if version != "1.0" or command == "TELL":
		if length:
			lines.append(b"Content-length: %d" % len(mail))
		lines += [*headers, b""]
	return b"\r\n".join(lines) + b"\r\n" + mail


class Base(Case):
	@classmethod
	def setUpClass(cls):
		packages.need("spamd")
		cls.fake = FakeRspamd()
		cls.addClassCleanup(cls.fake.stop)
		rspamd_that_counts_alike(cls.fake)
		password = cls.folder("password") / "password"
		password.write_text("secret\n")
		password.chmod(0o600)
		os.chown(password, *process.server_ids())
		cls.shim = cls.shared(Shim, backend=cls.fake.url, config="fuzzy_flag = 1\n",
		                      arguments=["--controller", cls.fake.url, "--password-file", password])
		cls.spamd = cls.shared(Spamd)

	def both(self, data, half_close=True):
		"""(spamd's reply, the shim's reply)"""
		return tuple(talk(party.port, data, half_close=half_close) for party in (self.spamd, self.shim))

	def alike(self, data, expected=None, half_close=True):
		theirs, ours = self.both(data, half_close)
		self.assertEqual(ours, theirs, data[:200])
		if expected is not None:
			self.assertRegex(ours, expected)
		return ours


def without_marks(message):
	"""message without the X-Spam- fields of its head."""
	return re.sub(rb"(?mi)^X-Spam-[^\n]*\n(?:[ \t][^\n]*\n)*", b"", message)


def marks(message):
	"""[(name, value)] of the X-Spam- fields, in order."""
	return re.findall(rb"(?m)^(X-Spam-[^:]+): ?((?:[^\n]|\n[ \t])*)", message)


class Replies(Base):
	def test_check_and_symbols(self):
		for command in ("CHECK", "SYMBOLS"):
			for version in VERSIONS:
				for mail in (SPAM, HAM, CRLF):
					with self.subTest(command, version=version):
						self.alike(request(command, version, mail), rb"\ASPAMD/1\.1 0 EX_OK\r\n")

	def test_no_length_no_half_close(self):
		for command in ("CHECK", "SYMBOLS"):
			self.alike(request(command, "1.5", SPAM), half_close=False)
			self.alike(request(command, "1.2", SPAM, length=False))
			self.alike(request(command, "1.2", SPAM) + b"\r\n")

	def split_report(self, reply):
		"""(head of the reply, rows of the table); its length must be right."""
		head, body = reply.split(b"\r\n\r\n", 1)
		length = re.search(rb"Content-length: (\d+)", head)
		if length:
			self.assertEqual(int(length[1]), len(body))
		rows = sorted(re.findall(rb"(?m)^(?: pts rule name|----| *-?\d+\.\d )[^\r\n]*", body))
		return re.sub(rb"(Content-length: )[1-9]\d*", rb"\1N", head), rows

	def test_reports(self):
		"""The text differs: the shim's has rspamd's action first and an end
		line, and CRLF throughout, since Exim copies a bare LF without a
		bound.  The table has the same lines, the weightiest first, since a long
		one is cut at its end.  All before the text is the same."""
		for command in ("REPORT", "REPORT_IFSPAM"):
			for version in VERSIONS:
				for mail in (SPAM, HAM):
					with self.subTest(command, version=version):
						theirs, ours = map(self.split_report, self.both(request(command, version, mail)))
						self.assertEqual(ours, theirs)
						if mail == SPAM:
							self.assertEqual(len(ours[1]), 4)
		self.alike(request("REPORT_IFSPAM", "1.2", HAM), rb"\r\n\r\n\Z")
		self.alike(request("REPORT_IFSPAM", "1.5", HAM), rb"Content-length: 0\r\nSpam: No ; 0\.0 / 5\.0\r\n\r\n\Z")

	def split_message(self, reply, version):
		"""(head of the reply, message); its length must be right."""
		if version < "1.2":
			head, _, message = reply.partition(b"\r\n")
			return head, message
		head, message = reply.split(b"\r\n\r\n", 1)
		length = re.search(rb"Content-length: (\d+)", head)
		self.assertEqual(int(length[1]), len(message))
		return head.replace(length[0], b"Content-length: N"), message

	def test_messages(self):
		"""The same before the message; the message is the same but for the
		text of the marks: versions, autolearn, and rspamd's action."""
		for command in ("PROCESS", "HEADERS"):
			for version in VERSIONS:
				for mail in (SPAM, HAM):
					with self.subTest(command, version=version, mail=mail[:60]):
						(their_head, theirs), (our_head, ours) = (
							self.split_message(reply, version) for reply in self.both(request(command, version, mail)))
						self.assertEqual(our_head, their_head)
						self.assertEqual(without_marks(ours), without_marks(theirs))
						self.assertEqual({name for name, _ in marks(ours)} - {name for name, _ in marks(theirs)},
						                 {b"X-Spam-Action"})
						self.assertEqual({name for name, _ in marks(theirs)} - {name for name, _ in marks(ours)},
						                 {b"X-Spam-Report"} if mail == SPAM else set())
						self.assertEqual(dict(marks(ours))[b"X-Spam-Level"], dict(marks(theirs))[b"X-Spam-Level"])
						status = [re.sub(rb"\s+", b" ", dict(marks(m))[b"X-Spam-Status"]).partition(b" autolearn=")[0]
						          for m in (ours, theirs)]
						self.assertEqual(status[0], status[1])

	def test_line_ends_follow_the_message(self):
		for version in ("1.1", "1.5"):
			theirs, ours = (self.split_message(reply, version)[1] for reply in self.both(request("PROCESS", version, CRLF)))
			self.assertEqual(without_marks(ours), without_marks(theirs))
			for message in (ours, theirs):
				self.assertNotRegex(message, rb"[^\r]\n")

	def test_tell(self):
		"""But for Remove: local, which rspamd's Bayes cannot do (test_tell)."""
		# Bayes tells messages apart by their bodies.
		mail = [b"Subject: x\nFrom: a@x.example\n\nsome words to be learned, %d\n" % i for i in range(len(VERSIONS))]
		spam, ham, report, revoke = (
			(b"Message-class: spam", b"Set: local"), (b"Message-class: ham", b"Set: local"),
			(b"Message-class: spam", b"Set: local,remote"), (b"Message-class: ham", b"Set: local", b"Remove: remote"))
		for version, message in zip(VERSIONS, mail):
			with self.subTest(version):
				for headers in (spam, spam, ham, ham, report, revoke, (b"Message-class: spam", b"Set: local, remote")):
					self.alike(request("TELL", version, message, *headers), rb"\ASPAMD/1\.1 0 EX_OK\r\n(Did[^\r\n]*\r\n)*\r\n\r\n\Z")

	def test_ping_and_skip(self):
		for version in VERSIONS:
			self.alike(f"PING SPAMC/{version}\r\n\r\n".encode(), rb"\ASPAMD/1\.5 0 PONG\r\n\Z")
			self.alike(f"SKIP SPAMC/{version}\r\n\r\n".encode(), rb"\A\Z")
		self.alike(b"PING SPAMC/1.2\r\n", half_close=False)

	def test_compressed(self):
		for mail in (SPAM, HAM):
			data = zlib.compress(mail)
			self.alike(request("CHECK", "1.5", data, b"Compress: zlib"), rb"Spam: ")


class Errors(Base):
	def test_same_code_and_form(self):
		"""One line with the same code, then the end; the words may differ."""
		line = re.compile(rb"SPAMD/1\.0 (\d+) ([A-Z][^\r\n:]*): [^\r\n]*\r\n\Z")
		for data in (b"\r\n\r\n", b"HELLO\r\n\r\n", b"check SPAMC/1.2\r\n\r\n" + SPAM, b"NOP SPAMC/1.2\r\n\r\n",
		             b"GET / HTTP/1.0\r\n\r\n", b"PING SPAMC/1.5\r\nUser: x", b"CHECK SPAMC/1.2\r\nUser: x",
		             b"CHECK SPAMC/1.2\r\nfoo\r\n\r\n" + SPAM, request("CHECK", "1.5", SPAM, b"Compress: gzip"),
		             b"CHECK SPAMC/1.2\r\nContent-length: x\r\n\r\n" + SPAM,
		             b"CHECK SPAMC/1.2\r\nContent-length: -1\r\n\r\n" + SPAM,
		             b"PROCESS SPAMC/1.5\r\nContent-length: 999\r\n\r\n" + SPAM,
		             b"TELL SPAMC/1.5\r\nContent-length: 999\r\nSet: local\r\n\r\n" + SPAM,
		             b"CHECK SPAMC/1.2\r\n" + b"X: 1\r\n" * 256 + b"\r\n" + SPAM):
			with self.subTest(data[:60]):
				theirs, ours = self.both(data)
				self.assertRegex(theirs, line)
				self.assertRegex(ours, line)
				self.assertEqual(line.match(ours).groups(), line.match(theirs).groups())

	def test_same_words(self):
		self.alike(b"CHECK SPAMC/1.2\r\nContent-length: 999\r\n\r\n" + SPAM)

	def differs(self, data, theirs, ours):
		their_reply, our_reply = self.both(data)
		self.assertRegex(their_reply, theirs)
		self.assertRegex(our_reply, ours)

	def test_different_on_purpose(self):
		verdict_of_spam = rb"\ASPAMD/1\.1 0 EX_OK\r\nSpam: True ; 8\.0 / 5\.0\r\n\r\n\Z"
		any_verdict = rb"\ASPAMD/1\.1 0 EX_OK\r\nSpam: "
		refused = rb"\ASPAMD/1\.0 76 Bad header line: [^\r\n]+\r\n\Z"
		# Nothing was asked: a probe of the port.
		self.differs(b"", refused, rb"\A\Z")
		# An empty message has no verdict: a client that lost its mail
		# must not hear that it is clean.
		self.differs(b"CHECK SPAMC/1.2\r\nContent-length: 0\r\n\r\n", any_verdict, rb"\ASPAMD/1\.0 65 [^\r\n]+\r\n\Z")
		# Without a version it is not known what form of reply is due.
		self.differs(b"CHECK SPAMC/x\r\n\r\n" + SPAM, any_verdict, refused)
		# Lines that end in LF alone: as old clients and people send them.
		self.differs(b"CHECK SPAMC/1.2\nUser: x\n\n" + SPAM, refused, verdict_of_spam)
		# A broken stream is the client's fault, and the line is one line.
		self.differs(b"CHECK SPAMC/1.5\r\nCompress: zlib\r\nContent-length: 5\r\n\r\nhello",
		             rb"\ASPAMD/1\.0 69 Service Unavailable: zlib: [^\r\n]+\n\r\n\Z", refused)
		# TELL without a task: an error instead of success with nothing
		# done; and what has no class is not learned as ham.
		for headers in ((b"Set: local",), (b"Message-class: spam",), ()):
			self.differs(request("TELL", "1.5", SPAM, *headers), rb"\ASPAMD/1\.1 0 EX_OK\r\n(DidSet: local\r\n)?\r\n\r\n\Z", refused)

	def test_the_reply_arrives(self):
		"""A server that closes with unread input resets the connection."""
		for party in (self.spamd, self.shim):
			with connect(party.port) as sock:
				sock.sendall(request("CHECK", "1.5", SPAM) + b"\r\n")
				self.assertIn(b"Spam: True", receive(sock))


class Spamc(Base):
	"""The real spamc: its output and exit code with both servers."""

	def run_both(self, mail, options, config=None):
		return tuple(spamc(party.port, mail, *shlex.split(options), config=config) for party in (self.spamd, self.shim))

	def test_alike(self):
		for options in ("-c", "-c -E", "-y", "-y -E", "-c -z", "-c -H", "-c -l", "-c -x", "-c -t 60", "-c -n 60",
		                "-c -u someone", "-c -4", "-K", "-K -l", "-c -s 10", "-s 10", "-x -s 10 -c", "-y -z"):
			for mail in (SPAM, HAM):
				with self.subTest(options, mail=mail[-12:]):
					theirs, ours = self.run_both(mail, options)
					# A PING's reply has no more to say, and how long it took.
					self.assertEqual(re.sub(rb"\d+\.\d+", b"N", ours[1]) if "-K" in options else ours[1],
					                 re.sub(rb"\d+\.\d+", b"N", theirs[1]) if "-K" in options else theirs[1])
					self.assertEqual(ours[0], theirs[0])

	def test_reports(self):
		"""-r and -R: exit code, first line and table; the rest is the report's text."""
		for options in ("-R", "-R -E", "-r", "-r -E", "-R -z"):
			for mail in (SPAM, HAM):
				with self.subTest(options, mail=mail[-12:]):
					(their_code, theirs), (our_code, ours) = self.run_both(mail, options)
					self.assertEqual(our_code, their_code)
					if "-R" in options:
						self.assertEqual(ours.split(b"\n")[0], theirs.split(b"\n")[0])
					self.assertEqual(*(sorted(re.findall(rb"(?m)^ *\d+\.\d [A-Z][^\r\n]*", out)) for out in (ours, theirs)))
					self.assertEqual(ours == b"", theirs == b"")

	def test_filters(self):
		for options in ("", "-E", "-z", "--headers", "--headers -E", "--headers -z", "-t 60", "-x"):
			for mail in (SPAM, HAM, CRLF):
				with self.subTest(options, mail=mail[-12:]):
					(their_code, theirs), (our_code, ours) = self.run_both(mail, options)
					self.assertEqual(our_code, their_code)
					self.assertEqual(without_marks(ours), without_marks(theirs))
					if "-z" in options and not spamc_facts().filters_compressed:
						self.assertEqual((ours, theirs), (b"", b""))
						continue
					self.assertEqual(without_marks(ours), mail)
					self.assertIn(b"X-Spam-Status: " + (b"No" if mail == HAM else b"Yes"), ours)

	def test_learning(self):
		mail = b"Subject: learn\nFrom: a@x.example\n\nby means of spamc\n"
		for options in ("-L spam", "-L spam", "-L ham", "-L ham", "-C report", "-C revoke", "-L spam -x", "-L forget -z"):
			with self.subTest(options):
				theirs, ours = self.run_both(mail, options)
				self.assertEqual(ours, theirs)
		# rspamd's fuzzy storage drops it, but Bayes has nothing that could be taken back
		self.assertEqual(spamc(self.shim.port, mail, "-L", "forget"), (0, b"Message was already un/learned\n"))

	def test_ways_to_the_server(self):
		"""Where it is, what spamc does when it is not there, and where the output goes."""
		file = self.folder("options") / "spamc.conf"
		file.write_text("# as in /etc/spamassassin/spamc.conf\n-t 60\n-E\n")
		for options in ("-U @UNIX@", "-d 127.9.9.9,127.0.0.1", "-4 -d 127.0.0.1", "-d localhost -4 -H", "-f", "-F",
		                "--connect-retries 1 --retry-sleep 1", "--filter-retries 2 --filter-retry-sleep 1",
		                "--timeout=60 --connect-timeout=60", "--username=nobody --max-size=400000", "-x -X"):
			for task in ("-c", "--headers", "-R", "-e /bin/cat"):
				with self.subTest(options, task=task):
					results = []
					for party in (self.spamd, self.shim):
						if options == "-F":
							result = spamc(party.port, SPAM, *shlex.split(task), config=file)
							plain = spamc(party.port, SPAM, "-E", *shlex.split(task))
						else:
							words = shlex.split(options.replace("@UNIX@", str(party.unix)))
							result = spamc(party.port, SPAM, *words, *shlex.split(task))
							plain = spamc(party.port, SPAM, *shlex.split(task))
						self.assertEqual(result, plain)
						results.append((result[0], without_marks(result[1]).split(b"\n")[0]))
					self.assertEqual(results[1], results[0])

	def test_ipv6(self):
		with socket.socket(socket.AF_INET6) as sock:
			try:
				sock.bind(("::1", 0))
			except OSError as why:
				self.skipTest(f"no ::1 on this machine: {why}")
			port = sock.getsockname()[1]
		self.own(Shim, backend=self.fake.url, arguments=["-l", f"[::1]:{port}"])
		self.assertEqual(spamc(("::1", port), SPAM, "-6", "-c"), spamc(self.spamd.port, SPAM, "-c"))

	def test_bsmtp(self):
		"""-B: the message is what stands between DATA and the dot."""
		before, after = b"EHLO x.example\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nDATA\r\n", b".\r\nQUIT\r\n"
		for mail in (SPAM, HAM, SPAM + b"..a dot\n"):
			bsmtp = before + mail.replace(b"\n", b"\r\n") + after
			for options in ("-B", "-B -E", "-B --headers"):
				with self.subTest(options, mail=mail[-12:]):
					(their_code, theirs), (our_code, ours) = self.run_both(bsmtp, options)
					self.assertEqual(our_code, their_code)
					self.assertEqual(without_marks(ours), without_marks(theirs))
					self.assertTrue(ours.startswith(before) and ours.endswith(after), ours)
					self.assertIn(b"X-Spam-Status: ", ours)

	def test_a_line_of_50_mb(self):
		"""spamc gives back what it was given, head and body, whichever is the line."""
		line = b"0123456789" * 4900000
		for mail, options in ((line, ()), (b"Subject: x\n\n" + line, ("--headers",)), (b"X-Long: " + line + b"\n\nbody\n", ())):
			with self.subTest(mail[:20], options=options):
				code, out = spamc(self.shim.port, mail, "-x", "-s", "60000000", *options)
				self.assertEqual(code, 0)
				self.assertTrue(out.startswith(b"X-Spam-Checker-Version: "), out[:80])
				# not assertEqual, which would show them
				self.assertTrue(without_marks(out[:-len(mail)]) == b"" and out.endswith(mail))

	def test_odd_heads_lose_nothing(self):
		"""spamc --headers puts the reply before what follows the first empty
		line of the message: whatever the head is, nothing is lost."""
		many = b"".join(b"X-Field-%d: v\n" % i for i in range(5000))
		for mail in (b"Subject: x\nno field\nA: b\n\nbody\n", many + b"\nbody\n", b"A: " + b"x" * 70000 + b"\n\nbody\n",
		             b"\nbody\n\nmore\n", b"no head\n\nbody\n", b" x\n\nbody\n", b"A: " + b"x" * 1100000 + b"\nB: 1\n\nbody\n",
		             b"From a@x Mon Nov 23 06:00:00 2026\nA: 1\n\nbody\n", b"A: 1\r\nno field\r\n\r\nbody\r\n"):
			with self.subTest(mail[:40], size=len(mail)):
				for options in (("-s", "5000000"), ("-s", "5000000", "--headers")):
					code, out = spamc(self.shim.port, mail, *options)
					# A line that would continue the last mark is set apart.
					self.assertEqual(code, 0)
					self.assertEqual(without_marks(out), b"\n" + mail if mail.startswith(b" ") else mail)
					# And it is no error, which spamc makes up for
					self.assertIn(b"X-Spam-Status: ", out)

	def test_heads_around_64_kib(self):
		"""The same, wherever a first look at the head ends in a field."""
		for more in range(24):
			mail = b"A: " + b"x" * more + b"\n" + b"X-Field: some thirteen\n" * 3000 + b"X-Spam-Flag: NO\n\nbody\n"
			for options in ((), ("--headers",)):
				code, out = spamc(self.shim.port, mail, *options)
				self.assertEqual(code, 0)
				self.assertEqual(without_marks(out), without_marks(mail))
				self.assertNotIn(b"X-Spam-Flag", out)


class SpamcOverTls(Case):
	"""spamc -S with rspamd-shim does what spamc does with a spamd; neither lets it train.

	Not beside a spamd with --ssl: it closes on spamc's close_notify, so that
	the end of its reply is a reset, and spamc takes it for none.
	"""

	OWN = "--ssl-cert=@client@.crt --ssl-key=@client@.key"

	@classmethod
	def setUpClass(cls):
		packages.need("spamd")
		if not shutil.which("openssl"):
			raise unittest.SkipTest("the command openssl is not installed: no certificates")
		cls.fake = FakeRspamd()
		cls.addClassCleanup(cls.fake.stop)
		rspamd_that_counts_alike(cls.fake)
		cls.files = cls.folder("certificates")
		for name in ("server", "client", "stranger"):
			subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
			                "-subj", f"/CN={name}", "-keyout", cls.files / f"{name}.key", "-out", cls.files / f"{name}.crt"],
			               check=True, capture_output=True)
		(cls.files / "authorities").mkdir()
		shutil.copy(cls.files / "server.crt", cls.files / "authorities")
		subprocess.run(["openssl", "rehash", cls.files / "authorities"], check=True, capture_output=True)
		subprocess.run(["chmod", "-R", "a+rX", cls.files], check=True)
		cls.spamd = cls.shared(Spamd, tell=False)
		cls.asking, cls.open = cls.over_tls(f'client_ca = "{cls.files}/client.crt"'), cls.over_tls("")

	@classmethod
	def over_tls(cls, options):
		shim = cls.shared(Shim, backend=cls.fake.url, config="")
		shim.stop()
		shim.write_config(f'listen "{shim.address}" {{ certificate = "{cls.files}/server.crt" key = "{cls.files}/server.key" {options} }}\n')
		shim.start(ready=lambda: answers(shim.unix))
		return shim

	def run_spamc(self, shim, mail, options):
		return spamc(shim.port, mail, "-S", *shlex.split(re.sub(r"@(\w+)@", lambda match: f"{self.files}/{match[1]}", options)))

	def same(self, mail, options, shim, tls=""):
		"""With spamc -S and the options tls, and without at spamd; its exit code and output."""
		theirs = spamc(self.spamd.port, mail, *shlex.split(options))
		ours = self.run_spamc(shim, mail, f"{options} {tls}")
		self.assertEqual(ours[0], theirs[0])
		self.assertEqual(without_marks(ours[1]), without_marks(theirs[1]))	# tuples take ages to compare
		return ours

	def test_verdicts(self):
		for mail, expected in ((SPAM, (1, b"8.0/5.0\n")), (HAM, (0, b"0.0/5.0\n"))):
			for tls in ("", "--ssl-ca-file=@server@.crt", "--ssl-ca-path=@authorities@"):
				with self.subTest(tls):
					self.assertEqual(self.same(mail, "-c", self.open, tls), expected)
					self.assertEqual(self.same(mail, "-x -c", self.asking, f"{self.OWN} {tls}"), expected)
			self.same(mail, "-y", self.open)

	def test_filters(self):
		for mail in (SPAM, HAM, SPAM + b"0123456789abcdef\n" * 20000):
			for options in ("", "-E", "--headers"):
				with self.subTest(options, size=len(mail)):
					out = self.same(mail, options, self.open)[1]
					self.assertEqual(without_marks(out), mail)
					self.assertIn(b"X-Spam-Status: ", out)

	def test_who_is_not_believed(self):
		"""No verdict, and the mail is handed on as it was, or is an error with -x."""
		stranger = "--ssl-cert=@stranger@.crt --ssl-key=@stranger@.key"
		for shim, tls in ((self.open, "--ssl-ca-file=@stranger@.crt"), (self.asking, ""), (self.asking, stranger)):
			with self.subTest(tls):
				self.assertEqual(self.run_spamc(shim, SPAM, tls), (0, SPAM))
				self.assertEqual(self.run_spamc(shim, SPAM, f"-c {tls}"), (0, b"0/0\n"))
				self.assertNotEqual(self.run_spamc(shim, SPAM, f"-x {tls}")[0], 0)

	def test_training_is_refused(self):
		for options in ("-L spam", "-L forget", "-C report", "-L ham -x", "-L spam -x -X"):
			with self.subTest(options):
				code, out = self.same(SPAM, options, self.open)
				# spamc says of -C that it was not done, and ends with 0.
				self.assertEqual(code == 0, "-C" in options)
				self.assertNotIn(b"successfully", out)
		self.assertEqual([request for request in self.fake.requests if "/learn" in request.line], [])

	def test_only_one_speaks_tls(self):
		self.assertEqual(spamc(self.open.port, SPAM), (0, SPAM))
		plain = self.own(Shim, backend=self.fake.url)
		self.assertEqual(self.run_spamc(plain, SPAM, ""), (0, SPAM))

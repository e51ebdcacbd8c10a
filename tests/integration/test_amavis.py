"""Mail through a real Postfix and amavisd-new, whose SpamdClient asks rspamd-shim.

Postfix passes each message through amavisd before it accepts it
(smtpd_proxy_filter), so that the client hears of amavisd's decision.  That is
taken by amavisd's own thresholds, from the score: it knows no actions.
"""

import re

from harness import Case, Postfix, Shim, common_rspamd, free_port, message
from harness import packages, process, smtp
from harness.postfix import queue_id

CLIENT, NAME = "192.0.2.7", "client.example"

CONFIGURATION = """
use strict;
$MYHOME = '@DIR@';
$TEMPBASE = '@DIR@/tmp';
$db_home = $lock_file = undef;
$pid_file = '@DIR@/amavisd.pid';
$QUARANTINEDIR = undef;
$enable_db = $enable_zmq = $nanny_details_level = 0;
$do_syslog = 0;
$log_level = 4;
$mydomain = 'test.example';
$myhostname = 'mx.test.example';
$max_servers = 1;
$inet_socket_bind = '127.0.0.1';
$inet_socket_port = @PORT@;
@inet_acl = qw(127.0.0.1);
$forward_method = $notify_method = 'smtp:[127.0.0.1]:@BACK@';
@local_domains_maps = ([ '.' ]);
@bypass_virus_checks_maps = (1);
@bypass_banned_checks_maps = (1);
$bypass_decode_parts = 1;
$enable_dkim_verification = 0;
require Amavis::IO::RW;		# SpamdClient uses it and relies on others to have loaded it
@spam_scanners = ([ 'spamd', 'Amavis::SpamControl::SpamdClient' ]);
$sa_mail_body_size_limit = 20000;
$sa_tag_level_deflt = undef;		# marks in every message
$sa_tag2_level_deflt = 6;
$sa_kill_level_deflt = 15;
$sa_spam_subject_tag = undef;
$final_spam_destiny = D_REJECT;
1;
"""

STARTER = """#!@PERL@ -T
BEGIN { unshift @INC, qw(@FOLDERS@); }
do '@PROGRAM@';
die $@ || $!;
"""


class Amavis(process.Party):
	"""amavisd on a free port; it gives mail on to the SMTP server on port back.

	The address of spamd is compiled into its SpamdClient: the copy of that
	module which is found first has spamd instead, (host, port).
	"""

	def __init__(self, folder, spamd, back):
		super().__init__("amavis", folder)
		self.group = packages.need("amavis")
		self.port = process.free_port()
		process.sub_dir(self.dir, "tmp")
		self.users = process.fake_users(self.dir, "amavis")
		words = {"DIR": self.dir, "PORT": self.port, "BACK": back}
		self.conf = self.write("amavisd.conf", CONFIGURATION, words)
		lib = process.sub_dir(self.dir, "lib/Amavis/SpamControl")
		addresses = "[ '127.0.0.1:783', '[::1]:783' ]"
		module = self.group.path("usr/share/perl5/Amavis/SpamControl/SpamdClient.pm").read_text()
		assert module.count(addresses) == 1, "another SpamdClient than the one that this was written for"
		(lib / "SpamdClient.pm").write_text(module.replace(addresses, "[ '%s:%d' ]" % spamd))
		perl, _, *folders = self.group.perl()
		words = {"PERL": perl, "PROGRAM": self.group.path("usr/sbin/amavisd"),
		         "FOLDERS": " ".join([f"{self.dir}/lib", *(f.removeprefix("-I") for f in folders)])}
		# amavisd starts itself once more, by its name.
		self.program = self.write("amavisd", STARTER, words)
		self.program.chmod(0o755)

	def write(self, name, text, words):
		for word, value in words.items():
			text = text.replace(f"@{word}@", str(value))
		(self.dir / name).write_text(text)
		return self.dir / name

	def start(self):
		self.spawn([self.program, "-X", "no_conf_file_writable_check", "-c", self.conf, "foreground"],
		           process.environment([self.group], self.users))
		self.await_ready(self._answers)
		return self

	def _answers(self):
		try:
			smtp.Smtp(self.port, helo=None).close()
			return True
		except (OSError, AssertionError):
			return False

	def log(self):
		return self.output.read_text(errors="replace")


class Base(Case):
	@classmethod
	def setUpClass(cls):
		packages.need("amavis")
		cls.shim = cls.start_shim()
		back = free_port()
		cls.amavis = cls.shared(Amavis, ("127.0.0.1", cls.shim.port), back)
		cls.postfix = cls.shared(Postfix, options=f"smtpd_proxy_filter = 127.0.0.1:{cls.amavis.port}\n", hosts={CLIENT: NAME},
		                         services=f"127.0.0.1:{back} inet n - n - - smtpd -o smtpd_proxy_filter=\n")

	@classmethod
	def start_shim(cls):
		cls.rspamd = common_rspamd()
		return cls.shared(Shim, backend=cls.rspamd.url)

	def send(self, mail):
		return self.postfix.send(mail, client=CLIENT, name=NAME)

	def receive(self, mail):
		"""The message as it was delivered; amavisd must have had nothing to complain of."""
		delivered = self.postfix.delivered(queue_id(self.send(mail)))
		self.assertNotRegex(self.amavis.log(), r"\(!+\)")
		return delivered

	def status(self, mail):
		"""(yes or no, score, set of tests) of a delivered message."""
		text = re.sub(r"\s+", " ", mail["X-Spam-Status"])
		found = re.match(r"(Yes|No), score=(\S+) (?:tag\S+ )*required=6 tests=\[(.*?)\]", text)
		self.assertTrue(found, text)
		return found[1], float(found[2]), set(re.findall(r"[A-Z]\w+", found[3]))


class Scanned(Base):
	def test_verdicts(self):
		for score in (-2.5, 0, 4.5, 6, 7.3, 14.9):
			with self.subTest(score):
				mail = message(X_Test_Score=score)
				verdict = self.rspamd.scan(mail)
				delivered = self.receive(mail)
				expected = "Yes" if score >= 6 else "No"
				self.assertEqual(self.status(delivered), (expected, verdict["score"], set(verdict["symbols"])))
				self.assertEqual(delivered["X-Spam-Flag"], expected.upper())
				self.assertEqual(delivered.get_payload(), "Hello,\n\nthis is a test.\n")

	def test_reject(self):
		reply = self.send(message(X_Test_Score=15))
		self.assertEqual(reply.code, 554)
		self.assertRegex(reply.text, r"5\.7\.0 Reject, id=\S+ - spam")

	def test_many_symbols(self):
		"""They come in one line, whatever its length."""
		self.assertEqual(self.status(self.receive(message(X_Test_Bulk=300)))[2], {f"TEST_BULK_{i:03d}" for i in range(1, 301)})

	def test_what_rspamd_is_told(self):
		"""The client's address and the sender come from the lines that amavisd and Postfix wrote."""
		self.rspamd.seen()
		self.receive(message(X_Test_Score=1, X_Test_Id="amavis"))
		seen = self.rspamd.await_seen()[0]
		self.assertEqual((seen["test_id"], seen["ip"], seen["hostname"], seen["from"], seen["user"]),
		                 ("amavis", CLIENT, NAME, "sender@client.example", None))

	def test_large_message(self):
		"""amavisd sends the beginning only, with a length that fits."""
		self.shim.settle()
		mail = self.receive(message("a line of this message\n" * 5000, X_Test_Score=7))
		self.assertEqual(self.status(mail)[:2], ("Yes", 7.0))
		request = self.shim.await_requests()[0]
		self.assertEqual((request["command"], request["dialect"], request["outcome"]), ("SYMBOLS", "spamc/1.3", "verdict"))
		self.assertEqual(int(request["size"]) // 1000, 20)
		self.assertEqual(len(mail.get_payload()), 23 * 5000)


class Unscanned(Base):
	@classmethod
	def start_shim(cls):
		return cls.shared(Shim, backend=f"http://127.0.0.1:{free_port()}")

	def test_passes_with_a_complaint(self):
		"""amavisd takes no verdict for one of no points; its log alone tells."""
		mail = self.postfix.delivered(queue_id(self.send(message(X_Test_Score=21))))
		self.assertEqual(self.status(mail), ("No", 0, set()))
		self.assertRegex(self.amavis.log(), r"\(!\)Failure reported by spamd: SPAMD/1\.0 69 Service Unavailable: .*Connection refused")
		self.assertEqual(self.shim.await_requests()[0]["failure"], "unreachable")

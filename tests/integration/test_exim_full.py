"""exim-conf beyond the verdict: rspamd's header lines, quarantine, submissions, learning, Debian's layout.

$EXIM may name another Exim, of any release from 4.70 on.
"""

import re
import shutil

from harness import SOURCE_TREE, Case, Exim, packages, process, wait_until
from harness.exim import release
from harness.fake_spamd import FakeSpamd, Verdict

HEAD = (b"From: Ann Author <sender@client.example>\nTo: user@mx.example\nSubject: Minutes of the meeting\n"
        b"Date: Mon, 5 Jan 2026 10:00:00 +0000\nMessage-ID: <minutes@client.example>\n")
MAIL = HEAD + b"\nHere they are.\n"

# Calls what exim-conf/README.md says an ACL should call.
DATA = """
acl_full:
	require acl = acl_check_spam
	warn    acl = acl_rspamd_headers
	accept  acl = acl_rspamd_quarantine
"""
ACLS = ("acl_check_spam", "acl_rspamd_headers", "acl_rspamd_quarantine", "acl_check_submission")


class Full(Case):
	"""One fake spamd and one Exim for all tests of a class.

	mode: "" or " variant=rspamd"; before_4_82: do as if Exim were that old.
	"""

	mode = ""
	before_4_82 = False
	macros = ""
	options = ""

	@classmethod
	def setUpClass(cls):
		cls.spamd = FakeSpamd()
		cls.addClassCleanup(cls.spamd.close)
		cls.party = cls.exim(f"127.0.0.1 {cls.spamd.port}{cls.mode}")

	@classmethod
	def exim(cls, spamd_address, **more):
		folder = cls.files()
		macros = cls.macros
		if cls.before_4_82 or release() < (4, 82):
			macros += f"CHECK_SPAM_BEFORE_4_82 = yes\nsystem_filter = {folder}/before-4.82.filter\n"
		if "variant" in spamd_address and release() < (4, 86):
			raise packages.Unavailable("needs Exim 4.86: variant=rspamd")
		acls = "".join(f".include {folder}/{name}\n" for name in ACLS)
		options = "hostlist relay_from_hosts = 127.0.0.77\nacl_smtp_data = acl_full\n" + cls.options
		return cls.shared(Exim, spamd_address, macros=macros, options=options, acls=acls + DATA, **more)

	@classmethod
	def files(cls):
		"""A folder with copies of exim-conf's files that Exim's user can read."""
		folder = cls.folder("files")
		for path in (SOURCE_TREE / "exim-conf").iterdir():
			if path.is_file():
				shutil.copy(path, folder)
				(folder / path.name).chmod(0o755)
		return folder

	def setUp(self):
		self.spamd.requests.clear()
		self.verdict()
		self.logged = len(self.party.main_log())

	def verdict(self, *arguments, **more):
		self.spamd.verdict = Verdict(*arguments, **more)

	def log(self):
		"""What this test has brought into the main log."""
		return self.party.main_log()[self.logged:]

	def deliver(self, message=MAIL, **options):
		return self.party.delivered(self.party.send(message, **options).message_id())

	def head(self, message=MAIL, **options):
		"""The header fields of message as it was delivered: (name, value) pairs."""
		return self.deliver(message, **options).items()


def values(head, name):
	return [value for key, value in head if key.lower() == name.lower()]


class Milter:
	"""acl_rspamd_headers."""

	def operate(self, *lines, mail=MAIL, action="no action"):
		self.verdict(action, milter=[f"X-Milter-{line}" for line in lines])
		return self.head(mail)

	def test_add(self):
		head = self.operate("Add: X-Spamd-Result: default: False [0.00 / 15.00]; A(0.00)[]", "Add: X-One: 1", "Add: X-One: 2",
		                    "Add: X-Empty: ")
		self.assertEqual(values(head, "X-Spamd-Result"), ["default: False [0.00 / 15.00]; A(0.00)[]"])
		self.assertEqual(values(head, "X-One"), ["1", "2"])
		self.assertEqual(values(head, "X-Empty"), [""])
		self.assertEqual([name for name, _ in head][-4:], ["X-Spamd-Result", "X-One", "X-One", "X-Empty"])

	def test_insert(self):
		head = self.operate("Add: Authentication-Results[1]: mx.example; spf=pass", "Add: X-Last: 1")
		names = [name for name, _ in head if name not in ("Return-path", "Envelope-to")]
		self.assertEqual(names[-1] if not self.old() else names[-2:][1], "X-Last")
		self.assertEqual(names[0] if not self.old() else names[-2], "Authentication-Results")

	def old(self):
		return self.before_4_82 or release() < (4, 82)

	def test_remove(self):
		mail = b"X-Old: 1\nx-OLD : 2\nX-Older: 3\nX-Twice: 4\n" + MAIL
		head = self.operate("Del: X-Old", "Add: X-Twice: new", "Del: X-Twice", "Del: X-Absent", mail=mail)
		self.assertEqual(values(head, "X-Old") + values(head, "X-OLD "), [])
		self.assertEqual(values(head, "X-Older"), ["3"])
		self.assertEqual(values(head, "X-Twice"), ["new"])
		self.assertEqual(len(values(head, "Received")), 1)

	FOUR = b"X-A: one\nX-B: b\nx-a : two\n\tfolded: X-A\nX-Aa: no\nX-A:three\n four\n\t\n five\nX-A: six\n" + MAIL

	def nth(self, *lines):
		head = self.operate(*lines, mail=self.FOUR)
		self.assertEqual((values(head, "X-B"), values(head, "X-Aa")), (["b"], ["no"]))
		self.assertEqual(values(head, "Subject"), ["Minutes of the meeting"])
		return ["".join(value.split()) for value in values(head, "X-A")]

	ALL = ["one", "twofolded:X-A", "threefourfive", "six"]

	def test_remove_nth(self):
		for number, kept in ((1, self.ALL[1:]), (2, [self.ALL[0], *self.ALL[2:]]), (4, self.ALL[:3]), (5, self.ALL),
		                     (-1, self.ALL[:3]), (-4, self.ALL[1:]), (-5, self.ALL)):
			self.assertEqual(self.nth(f"Del: X-A[{number}]"), kept, number)

	def test_remove_several(self):
		self.assertEqual(self.nth("Del: x-a[1]", "Del: X-A[-1]", "Del: X-a[3]"), [self.ALL[1]])
		self.assertEqual(self.nth("Del: X-A[1]", "Del: x-a"), [])
		self.assertEqual(self.nth("Del: X-Absent", "Del: X-A[1]", "Del: X-"), self.ALL[1:])
		self.assertEqual(self.nth("Del: X-A[1]", "Del: X-A[2]", "Del: X-A[3]", "Del: X-A[4]"), [])
		self.assertEqual(self.nth("Del: X-A[2]", "Add: X-A: new"), [self.ALL[0], *self.ALL[2:], "new"])
		head = self.operate("Del: X-A[1]", "Del: X-B[1]", mail=self.FOUR)
		self.assertEqual((len(values(head, "X-A")), values(head, "X-B")), (3, []))

	def test_fields_that_stay_are_as_they_were(self):
		"""Those that are put back are the sender's text, and no more than one field each."""
		mine = b"X-A: go\nX-A: ${pid} $h_from: \\n :at_start: 'x'\n\t:at_start:X-Evil: 1\nX-A: :at_end:X-Evil: 2\n"
		mail = mine + b"X-A: \x02X-Evil: 3\x02 x\rX-Evil: 4\n" + MAIL
		head = self.operate("Del: X-A[1]", mail=mail)
		self.assertEqual(values(head, "X-Evil"), [])
		self.assertEqual(values(head, "X-A")[:2], ["${pid} $h_from: \\n :at_start: 'x'\n\t:at_start:X-Evil: 1",
		                                           ":at_end:X-Evil: 2"])

	def test_values_are_text(self):
		hostile = "${run{/bin/true}} $primary_hostname \\n \\x0aX-Evil: 1 $1 :at_start: } { \" ' Спам \x7f"
		head = self.operate(f"Add: X-A: {hostile}", f"Add: X-B[1]: {hostile}", "Add: X-C: :at_start:X-Evil: 1")
		shown = re.sub(r"[^ -~]", "?", hostile.replace("Спам", "????????")).strip()
		self.assertEqual([value.strip() for value in values(head, "X-A") + values(head, "X-B")], [shown, shown])
		self.assertEqual((values(head, "X-Evil"), values(head, "X-C")), ([], [":at_start:X-Evil: 1"]))

	def test_names_that_are_none(self):
		"""They would be patterns, lists or more than one name to Exim."""
		mail = b"X-A: 1\nX-B: 2\n" + MAIL
		head = self.operate("Del: ^.*", "Del: X-A:X-B", "Del: <;X-A", "Del: *", "Del: X-A X-B", "Del: ", "Del: X-A[0]",
		                    "Del: X-B[1000]", "Del: ^X[1]", "Del: .*[1]", "Add: <; : 1", "Add: :at_start:X-Evil: 1",
		                    "Add: ${pid}: 1", "Add: X Y: 1", "Add: no colon", "Del: " + "x" * 100, mail=mail)
		self.assertEqual((values(head, "X-A"), values(head, "X-B")), (["1"], ["2"]))
		self.assertEqual(values(head, "X-Evil"), [])
		plain = [(n, v) for n, v in self.operate(mail=mail) if n not in ("Received", "Envelope-to")]
		self.assertEqual([(n, v) for n, v in head if n not in ("Received", "Envelope-to")], plain)

	def test_only_lines_of_the_report_that_are_whole(self):
		"""Neither other lines that hold them, nor a report without its end."""
		self.verdict(symbols=[("A", 1.0, "X-Milter-Add: X-Evil: 1", ("X-Milter-Add: X-Evil: 1",))],
		             messages=["X-Milter-Add: X-Evil: 1"])
		self.assertEqual(values(self.head(), "X-Evil"), [])
		self.verdict(milter=["X-Milter-Add: X-Evil: 1"], end=None)
		self.assertEqual(values(self.head(), "X-Evil"), [])
		self.verdict(milter=["X-Milter-Add: X-Good: 1"])
		self.assertEqual(values(self.head(), "X-Good"), ["1"])

	def test_report_that_was_cut(self):
		self.verdict(milter=["X-Milter-Add: X-A: 1"], end="Report-End: cut, 3 of 4 milter lines left out")
		self.assertEqual(values(self.head(), "X-A"), ["1"])
		self.assertIn("rspamd: some of its header lines are not in the report", self.log())

	def test_with_marks_and_subject(self):
		self.verdict("rewrite subject", 9.0, subject="[SPAM] x", milter=["X-Milter-Add: X-A: 1", "X-Milter-Del: X-Old"])
		head = self.head(b"X-Old: 1\nX-Spam-Status: theirs\n" + MAIL)
		self.assertEqual([values(head, name) for name in ("Subject", "X-A", "X-Old", "X-Spam-Status")],
		                 [["[SPAM] x"], ["1"], [], ["Yes"]])

	def test_long_values(self):
		head = self.operate("Add: X-A: " + "x" * 890, "Add: X-B: " + "y" * 2000, "Add: " + "N" * 76 + ": 1")
		self.assertEqual(values(head, "X-A"), ["x" * 890])
		self.assertEqual(values(head, "X-B"), ["y" * 900])
		self.assertEqual(values(head, "N" * 76), ["1"])

	def test_big_head(self):
		"""Thousands of fields and of folded lines are no trouble."""
		fields = b"".join(b"X-A: %d%s\n" % (i, b" " * 20 + b"x") for i in range(1500))
		folded = b"X-F: 1\n" + b"\t2\n" * 6000
		head = self.operate("Del: X-A[99]", "Del: X-F[-1]", mail=fields + folded + MAIL)
		if self.old():
			self.assertIn("header lines are left alone", self.log())
			self.assertEqual(len(values(head, "X-A")), 1500)
		else:
			kept = values(head, "X-A")
			self.assertEqual(len(kept), 1499)
			self.assertEqual([value.split()[0] for value in kept[97:99]], ["97", "99"])
			self.assertEqual(values(head, "X-F"), [])
		self.assertEqual(values(head, "Subject"), ["Minutes of the meeting"])


class MilterPlain(Milter, Full):
	pass


class MilterRspamd(Milter, Full):
	mode = " variant=rspamd"


class MilterBefore482(Milter, Full):
	before_4_82 = True


class Quarantine(Full):
	def test_discard(self):
		self.verdict("discard", 20.0)
		reply = self.party.send(MAIL)
		self.assertEqual(reply.code, 250)
		self.assertNotIn(reply.message_id(), self.party.queue())
		self.assertIn('rspamd: discarded: action="discard" score=20.0', self.log())

	def test_quarantine(self):
		self.verdict("quarantine", 20.0)
		name = self.party.send(MAIL).message_id()
		self.assertIn(name, self.party.queue())
		self.assertIn("-frozen", (self.party.dir / "spool" / "input" / f"{name}-H").read_text())
		self.assertIn(f"rspamd: quarantined: {name}", self.log())

	def test_other_mail_is_not_touched(self):
		for action in "no action", "add header", "something else":
			self.verdict(action, 7.0)
			self.deliver()
		self.spamd.verdict = b""
		self.deliver()
		self.verdict("reject", 20.0)
		self.assertEqual(self.party.send(MAIL).code, 550)
		self.assertNotIn("quarantined", self.log())
		self.assertNotIn("discarded", self.log())

"""exim-conf beyond the verdict: rspamd's header lines, quarantine, submissions, learning, Debian's layout.

$EXIM may name another Exim, of any release from 4.70 on.
"""

import base64
import hashlib
import os
import re
import shutil
import subprocess

from harness import SOURCE_TREE, Case, Exim, FakeRspamd, Rspamd, Shim, common_rspamd, packages, process
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
	data = "acl_full"

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
		options = f"hostlist relay_from_hosts = 127.0.0.77\nacl_smtp_data = {cls.data}\n" + cls.options
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


	def test_head_above_64_kib(self):
		"""What Exim does not show is removed, or all stays: never is only the wrong one gone."""
		fields = b"".join(b"X-A: %04d %s\n" % (i, b"x" * 20) for i in range(4000))
		head = self.operate("Del: X-A[1]", mail=fields + MAIL)
		kept = [int(value.split()[0]) for value in values(head, "X-A")]
		self.assertEqual(kept, list(range(4000)) if self.old() else list(range(1, len(kept) + 1)))
		self.assertGreater(len(kept), 1500)
		self.assertEqual(values(head, "Subject"), ["Minutes of the meeting"])


class MilterPlain(Milter, Full):
	pass


class MilterRspamd(Milter, Full):
	mode = " variant=rspamd"


class MilterBefore482(Milter, Full):
	before_4_82 = True


class MilterReal(Full):
	"""From a real rspamd through rspamd-shim."""

	@classmethod
	def setUpClass(cls):
		cls.shim = cls.shared(Shim, backend=common_rspamd().url)
		cls.parties = [cls.exim(cls.shim.spamd_address(variant)) for variant in (False, True) if not variant or
		               release() >= (4, 86)]

	def setUp(self):
		pass

	def test_operations(self):
		mail = b"X-Test-Milter: 1\nX-Old: first\nX-Old: second\n" + MAIL
		for party in self.parties:
			head = party.delivered(party.send(mail).message_id()).items()
			self.assertEqual([values(head, name) for name in ("X-Spam-Test", "X-Folded", "X-Old")],
			                 [["yes"], ["a b"], ["second"]])


class MilterPrdr(Full):
	"""With an answer for each recipient the lines are there once."""

	options = "acl_smtp_data_prdr = acl_full\nprdr_enable = true\n"

	@classmethod
	def setUpClass(cls):
		if release() < (4, 83):
			raise packages.Unavailable("needs Exim 4.83: PRDR")
		super().setUpClass()

	def test_operations(self):
		self.verdict(milter=["X-Milter-Add: X-A: 1", "X-Milter-Add: X-B[1]: 2", "X-Milter-Del: X-Old[1]"])
		with self.party.connect() as connection:
			reply = connection.send(b"X-Old: 1\nX-Old: 2\n" + MAIL, recipients=["a@mx.example", "b@mx.example"],
			                        options=" PRDR")
			self.assertEqual(reply.code, 353)
			self.assertEqual([connection.read().code for _ in range(2)], [250, 250])
			name = re.search(r"id=(\S+)", connection.read().text)[1]
		head = self.party.delivered(name).items()
		self.assertEqual([values(head, name) for name in ("X-A", "X-B", "X-Old")], [["1"], ["2"], ["2"]])


class WithoutShim(Full):
	"""rspamd's own report ends with its lines for milters, from rspamd 4.0 on."""

	macros = "CHECK_SPAM_LAST_LINE = (?:Message-ID|X-Milter-(?:Add|Del))\n"

	def test_last_line(self):
		for end in None, "X-Milter-Add: X-A: 1", "X-Milter-Del: X-B":
			self.verdict("reject", 20.0, end=end)
			self.assertEqual(self.party.send(MAIL).code, 550)
		self.verdict("add header", 7.0, end="X-Milter-Add: X-A: 1")
		self.assertEqual(values(self.head(), "X-A"), ["1"])
		self.verdict("reject", 20.0, end="Symbol: X(1.00)")
		self.assertEqual(self.party.send(MAIL).code, 250)


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


class Actions(Full):
	"""Which of rspamd's actions mean what, by macros."""

	macros = ("CHECK_SPAM_REJECT_ACTIONS = my own reject : other\nCHECK_SPAM_DEFER_ACTIONS = soft reject : wait a bit\n"
	          "CHECK_SPAM_QUARANTINE_ACTIONS = reject : hold\nCHECK_SPAM_DISCARD_ACTIONS =\n")

	def test_rejected(self):
		for action in "my own reject", "other":
			self.verdict(action, 20.0, messages=["Go away"])
			reply = self.party.send(MAIL)
			self.assertEqual((reply.code, reply.text), (550, "5.7.1 Go away"))

	def test_deferred(self):
		for action in "soft reject", "wait a bit":
			self.verdict(action, 5.0)
			self.assertEqual(self.party.send(MAIL).code, 451)

	def test_kept(self):
		for action in "reject", "hold":
			self.verdict(action, 20.0)
			self.assertIn(self.party.send(MAIL).message_id(), self.party.queue())
			self.assertIn("rspamd: quarantined", self.log())

	def test_neither(self):
		for action in "discard", "my own", "ok":
			self.verdict(action, 20.0)
			self.assertEqual(values(self.head(), "X-Spam-Status"), ["Yes"])
		self.assertNotIn("quarantined", self.log())


class Told:
	"""What rspamd tells milters to do in place of a rejection."""

	def discarded(self, message=MAIL, **options):
		reply = self.party.send(message, **options)
		self.assertEqual(reply.code, 250)
		self.assertNotIn(reply.message_id(), self.party.queue())
		return self.log()

	def kept(self, message=MAIL, **options):
		reply = self.party.send(message, **options)
		self.assertEqual(reply.code, 250)
		self.assertIn("-frozen", self.spooled(reply))
		return self.log()

	def spooled(self, reply):
		"""What Exim knows of the mail that is in its queue."""
		return (self.party.dir / "spool" / "input" / f"{reply.message_id()}-H").read_text()


class ToldPlain(Told, Full):
	macros = "CHECK_SPAM_MILTER_REJECT = yes\n"
	options = "strict_acl_vars = true\n"

	def told(self, word, action="reject", **more):
		self.verdict(action, 20.0, milter=[f"X-Milter-Reject: {word}", "X-Milter-Add: X-A: 1"], **more)

	def test_discard(self):
		self.told("discard")
		self.assertIn('rspamd: discarded: action="reject" score=20.0', self.discarded())

	def test_quarantine(self):
		self.told("quarantine")
		self.assertIn("rspamd: quarantined: ", self.kept())
		self.assertNotIn("discarded", self.log())

	def test_an_action_of_any_name(self):
		self.told("discard", "thrown away")
		self.assertIn('rspamd: discarded: action="thrown away"', self.discarded())
		self.told("quarantine", "put away")
		self.assertIn("rspamd: quarantined: ", self.kept())

	def test_rejected_as_ever(self):
		"""Without that line; with another word; where it is no line of the report's own."""
		lines = "X-Milter-Reject: tempfail", "X-Milter-Reject: ", "X-Milter-Reject: discarded", "X-Milter-Add: X: 1"
		for line in lines:
			self.verdict("reject", 20.0, milter=[line])
			self.assertEqual(self.party.send(MAIL).code, 550, line)
		line = "X-Milter-Reject: discard"
		self.verdict("reject", 20.0, messages=[line], symbols=[("A", 1.0, line, (line,))], milter=[f"X-Milter-Add: X: {line}"])
		self.assertEqual(self.party.send(MAIL).code, 550)

	def test_report_that_is_not_whole(self):
		for word in "discard", "quarantine":
			self.told(word, end=None)
			self.assertNotIn("-frozen", self.spooled(self.party.send(MAIL)))

	def test_not_the_word_of_an_earlier_mail(self):
		with self.party.connect() as connection:
			self.told("quarantine")
			self.assertEqual(connection.send(MAIL).code, 250)
			self.spamd.verdict = b""
			self.assertNotIn("-frozen", self.spooled(connection.send(MAIL)))
			self.verdict("reject", 20.0)
			self.assertEqual(connection.send(MAIL).code, 550)

	def test_postmaster(self):
		"""His mail is marked in place of what would be done with it."""
		for word in "discard", "quarantine":
			self.told(word)
			name = self.party.send(MAIL, recipients=["postmaster@mx.example"]).message_id()
			self.assertEqual(self.party.delivered(name)["X-Spam-Status"], "Yes")


class ToldRspamd(ToldPlain):
	mode = " variant=rspamd"


class ToldByDefault(Full):
	"""The mail is rejected, and the sender knows."""

	def test_rejected(self):
		for word in "discard", "quarantine":
			self.verdict("reject", 20.0, milter=[f"X-Milter-Reject: {word}"])
			self.assertEqual(self.party.send(MAIL).code, 550)

	def test_not_in_the_header(self):
		self.verdict("add header", 7.0, milter=["X-Milter-Reject: quarantine"])
		report, = values(self.head(), "X-Spam-Report")
		self.assertNotIn("Milter", report)


class ToldPrdr(Full):
	"""The one who is not postmaster does not get it, and the other does."""

	macros = "CHECK_SPAM_MILTER_REJECT = yes\n"
	options = "acl_smtp_data_prdr = acl_full\nprdr_enable = true\n"

	@classmethod
	def setUpClass(cls):
		if release() < (4, 83):
			raise packages.Unavailable("needs Exim 4.83: PRDR")
		super().setUpClass()

	def test_discard(self):
		self.verdict("reject", 20.0, milter=["X-Milter-Reject: discard"])
		with self.party.connect() as connection:
			reply = connection.send(MAIL, recipients=["user@mx.example", "postmaster@mx.example"], options=" PRDR")
			self.assertEqual(reply.code, 353)
			self.assertEqual([connection.read().code for _ in range(2)], [250, 250])
			name = re.search(r"id=(\S+)", connection.read().text)[1]
		mail = self.party.delivered(name)
		self.assertEqual((mail["Envelope-to"], mail["X-Spam-Status"]), ("postmaster@mx.example", "Yes"))
		self.assertIn("PRDR user@mx.example rspamd: discarded", self.log())


class ToldReal(Told, Full):
	"""By a real rspamd, through rspamd-shim."""

	macros = "CHECK_SPAM_MILTER_REJECT = yes\n"

	@classmethod
	def setUpClass(cls):
		cls.shim = cls.shared(Shim, backend=common_rspamd().url)
		cls.parties = [cls.exim(cls.shim.spamd_address(variant)) for variant in (False, True) if not variant or
		               release() >= (4, 86)]

	def setUp(self):
		pass

	def each(self):
		for self.party in self.parties:
			self.logged = len(self.party.main_log())
			yield self.party

	def test_by_a_rule(self):
		for party in self.each():
			self.assertIn('discarded: action="reject"', self.discarded(b"X-Test-Score: 20\nX-Test-Reject: discard\n" + MAIL))
			self.assertIn("quarantined", self.kept(b"X-Test-Score: 20\nX-Test-Reject: quarantine\n" + MAIL))
			self.assertEqual(party.send(b"X-Test-Score: 20\nX-Test-Reject: no\n" + MAIL).code, 550)

	def test_only_in_place_of_a_rejection(self):
		for party in self.each():
			reply = party.send(b"X-Test-Score: 7\nX-Test-Reject: discard\n" + MAIL)
			self.assertEqual(party.delivered(reply.message_id())["X-Spam-Status"], "Yes")

	def test_by_an_action(self):
		for _ in self.each():
			self.assertIn('discarded: action="thrown away"', self.discarded(b"X-Test-Action: thrown away\n" + MAIL))


class QuarantineFile(Full):
	"""Kept mail goes to a mailbox, all recipients in one copy."""

	macros = "CHECK_SPAM_REJECT_ACTIONS =\nCHECK_SPAM_QUARANTINE_ACTIONS = reject : quarantine\n"

	@classmethod
	def exim(cls, spamd_address, **more):
		folder = cls.files()
		cls.file = cls.folder("quarantine") / "mail"
		cls.macros += f"CHECK_SPAM_QUARANTINE_FILE = {cls.file}\nCHECK_SPAM_QUARANTINE_USER = Debian-exim\n"
		return super().exim(spamd_address, routers=f".include {folder}/router_rspamd_quarantine\n",
		                    transports=f".include {folder}/transport_rspamd_quarantine\n", **more)

	def test_mailbox(self):
		recipients = "a@mx.example", "b@other.example"
		for count, action in enumerate(("quarantine", "reject"), 1):
			self.verdict(action, 20.0)
			name = self.party.send(MAIL, recipients=recipients).message_id()
			self.party.deliver(name)
			text = self.file.read_text()
			self.assertEqual(text.count("\nSubject: Minutes of the meeting\n"), count)
			self.assertEqual(len(re.findall(r"\nEnvelope-to: a@mx\.example,\s+b@other\.example\n", text)), count)
			self.assertNotIn(name, self.party.queue())
		self.verdict("add header", 7.0)
		self.deliver()
		self.assertEqual(self.file.read_text(), text)


class Marks:
	"""X-Spam-* as others know them.  want: {name: value} of spam, and of ham."""

	SYMBOLS = [(f"SYMBOL_{i:02}", 0.5, "Text: Symbol: NO(1.0)", ("X",)) for i in range(12)] + [("LAST.ONE", -1.0, "", ())]

	def marks(self, action, score, symbols):
		self.verdict(action, score, symbols=symbols)
		head = self.head(b"X-Spam-Flag: theirs\nX-Spam-Status: No\nX-Spam-Level: x\nX-Spam: x\n" + MAIL)
		found = [(name, value) for name, value in head if name.lower().startswith("x-spam")]
		self.assertEqual(len(found), len(dict(found)), found)
		self.assertTrue(all(len(line) < 100 for _, value in found for line in value.split("\n")), found)
		return {name: "".join(value.split()) for name, value in found}

	def test_spam(self):
		tests = ",".join(name for name, _, _, _ in self.SYMBOLS)
		for action in "add header", "rewrite subject", "my own":
			self.assertEqual(self.marks(action, 7.3, self.SYMBOLS), self.spam("".join(action.split()), tests))

	def test_ham(self):
		self.assertEqual(self.marks("no action", -1.0, []), self.ham())

	def test_many_symbols(self):
		symbols = [(f"SYMBOL_{i:03}_" + "X" * 60, 0.1, "", ()) for i in range(100)]
		marks = self.marks("add header", 7.0, symbols)
		self.assertIn("SYMBOL_099_", "".join(marks.values()))


class Spamassassin(Marks):
	macros = "CHECK_SPAM_MARKS_SPAMASSASSIN = yes\n"

	def spam(self, action, tests):
		return {"X-Spam-Flag": "YES", "X-Spam-Level": "*******", "X-Spam-Status": f"Yes,score=7.3tests={tests}",
		        "X-Spam-Action": action}

	def ham(self):
		return {"X-Spam-Level": "", "X-Spam-Status": "No,score=-1.0tests=none", "X-Spam-Action": "noaction"}


class SpamassassinPlain(Spamassassin, Full):
	pass


class SpamassassinRspamd(Spamassassin, Full):
	mode = " variant=rspamd"


class Rspamc(Marks, Full):
	macros = "CHECK_SPAM_MARKS_RSPAMC = yes\n"

	def spam(self, action, tests):
		return {"X-Spam-Scanner": "rspamd", "X-Spam": "yes", "X-Spam-Action": action, "X-Spam-Score": "7.3",
		        "X-Spam-Level": "*******", "X-Spam-Symbols": tests}

	def ham(self):
		return {"X-Spam-Scanner": "rspamd", "X-Spam-Action": "noaction", "X-Spam-Score": "-1.0", "X-Spam-Level": "",
		        "X-Spam-Symbols": ""}


class NoMarks(Full):
	macros = "CHECK_SPAM_MARKS_NONE = yes\n"

	def test_only_what_rspamd_asks_for(self):
		self.verdict("add header", 7.0, milter=["X-Milter-Add: X-Spamd-Result: bad"])
		head = self.head(b"X-Spam-Status: theirs\n" + MAIL)
		self.assertEqual([name for name, _ in head if name.lower().startswith("x-spam")], ["X-Spamd-Result"])


class Tries(Full):
	"""A mail that can never be scanned passes after so many tries."""

	macros = "CHECK_SPAM_UNSCANNED = defer\nCHECK_SPAM_TRIES = 5 / 1d\n"

	def test_end(self):
		self.spamd.verdict = b""
		codes = [self.party.send(MAIL).code for _ in range(8)]
		passed = codes.index(250)
		self.assertIn(passed, range(3, 7), codes)
		self.assertEqual(codes, [451] * passed + [250] * (8 - passed))
		self.assertIn("rspamd: not scanned, but tried often enough", self.log())
		# It is that mail's own account, and no way around a verdict.
		self.assertEqual(self.party.send(MAIL.replace(b"<minutes@", b"<other@")).code, 451)
		self.assertEqual(self.party.send(MAIL, sender="other@client.example").code, 451)
		self.verdict("reject", 20.0)
		self.assertEqual(self.party.send(MAIL).code, 550)


class Failover(Full):
	"""Several servers in spamd_address: one that is not there is no harm."""

	def verdicts(self, *servers):
		"""Mail through an Exim with these servers; how many were scanned."""
		self.verdict("add header", 7.0)
		party = self.exim(" : ".join(servers))
		with party.connect() as connection:
			mails = [party.delivered(connection.send(MAIL).message_id()) for _ in range(6)]
		return [mail["X-Spam-Status"] for mail in mails]

	def test_one_is_down(self):
		down = f"127.0.0.1 {process.free_port()}"
		up = f"127.0.0.1 {self.spamd.port}"
		for servers in (down, up), (up, down), (down, down, up):
			self.assertEqual(self.verdicts(*servers), ["Yes"] * 6, servers)

	def test_priority(self):
		if release() < (4, 86):
			self.skipTest("needs Exim 4.86: options of spamd_address")
		second = FakeSpamd()
		self.addCleanup(second.close)
		second.verdict = Verdict("add header", 8.0)
		servers = f"127.0.0.1 {self.spamd.port} pri=2", f"127.0.0.1 {second.port} pri=1"
		self.assertEqual(self.verdicts(*servers), ["Yes"] * 6)
		self.assertEqual(second.requests, [])
		self.assertEqual(self.verdicts(f"127.0.0.1 {process.free_port()} pri=2", servers[1]), ["Yes"] * 6)
		self.assertEqual(len(second.requests), 6)


def signature(mail):
	"""Whether the one DKIM-Signature of mail (bytes, LF) is that of its text: what it covers, as bytes, and b=."""
	head, body = mail.split(b"\n\n", 1)
	fields = [line for line in re.split(rb"\n(?![ \t])", head)]
	named = {}
	for field in fields:
		named.setdefault(field.split(b":", 1)[0].strip().lower(), []).append(field)
	own, = named[b"dkim-signature"]
	tags = dict(tag.strip().split(b"=", 1) for tag in re.sub(rb"\s", b"", own.split(b":", 1)[1]).strip(b";").split(b";"))
	relaxed = re.sub(rb"\n+\Z", b"\n", re.sub(rb"[ \t]+\n", b"\n", re.sub(rb"[ \t]+", b" ", body)))
	digest = base64.b64encode(hashlib.sha256(relaxed.replace(b"\n", b"\r\n")).digest())
	assert digest == tags[b"bh"], (digest, tags)
	covered = []
	for name in tags[b"h"].lower().split(b":"):
		if named.get(name):
			covered.append(canonical(named[name].pop()))
	unsigned = canonical(re.sub(rb"([;:]\s*b\s*=)[^;]*", rb"\1", own))
	return b"\r\n".join([*covered, unsigned]), base64.b64decode(tags[b"b"])


def canonical(field):
	"""A header field in DKIM's relaxed form."""
	name, value = field.split(b":", 1)
	return name.strip().lower() + b":" + re.sub(rb"\s+", b" ", value).strip()


def is_signed(mail, key):
	"""Does mail (bytes) have a DKIM signature by the RSA key (p= of its record) that verifies?"""
	text, sign = signature(mail)
	der = base64.b64decode(key)
	# SubjectPublicKeyInfo of 1024 bits: the modulus and the exponent are at its end.
	modulus, exponent = int.from_bytes(der[-133:-5], "big"), int.from_bytes(der[-3:], "big")
	plain = pow(int.from_bytes(sign, "big"), exponent, modulus).to_bytes(128, "big")
	return plain.startswith(b"\0\1\xff") and plain.endswith(hashlib.sha256(text).digest())


def dkim_key():
	"""A new RSA key of 1024 bits: its PEM text, and p= of its DNS record."""
	if not shutil.which("openssl"):
		raise packages.Unavailable("the command openssl is not installed: no keys")

	def openssl(*arguments, key=None):
		return subprocess.run(["openssl", *arguments], input=key, check=True, capture_output=True).stdout
	key = openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024")
	return key.decode(), base64.b64encode(openssl("pkey", "-pubout", "-outform", "DER", key=key)).decode()


DKIM = """
options {{ filters = "regexp,dkim"; }}
dkim {{ }}
dkim_signing {{
	enabled = true;
	check_pubkey = false;
	use_esld = false;
	sign_local = false;
	allow_username_mismatch = true;
	domain {{ client.example {{ path = "{key}"; selector = "test"; }} }}
}}
"""


class Submissions(Full):
	"""Mail of this host's users is scanned by a real rspamd, which signs it."""

	macros = "CHECK_SPAM_USER = ${if def:sender_host_address {$authenticated_id}{$sender_ident}}\n"
	data = "${if def:sender_host_authenticated {acl_check_submission}{acl_full}}"
	options = "acl_not_smtp = acl_check_submission_local\n"

	@classmethod
	def setUpClass(cls):
		folder = cls.folder("key")
		key, cls.public = dkim_key()
		(folder / "key").write_text(key)
		(folder / "key").chmod(0o644)
		cls.rspamd = cls.shared(Rspamd, extra=DKIM.format(key=folder / "key"))
		cls.shim = cls.shared(Shim, backend=cls.rspamd.url, config="", start=False)
		cls.shim.write_config(f'listen "{cls.shim.address}" {{ spamc_user = "authenticated" }}\n')
		cls.shim.start()
		cls.party = cls.exim(cls.address())

	@classmethod
	def address(cls):
		return cls.shim.spamd_address()

	def setUp(self):
		self.rspamd.seen()

	def user(self):
		return self.rspamd.await_seen()[-1]["user"]

	def login(self, mail=MAIL):
		with self.party.connect() as connection:
			connection.login("alice")
			return connection.send(mail)

	def signed(self, name):
		mail = self.party.delivered_bytes(name)
		self.assertTrue(is_signed(mail, self.public), mail)
		self.assertFalse(is_signed(mail.replace(b"Minutes of", b"Minutes 0f"), self.public))
		self.assertNotIn(b"X-Spam", mail)

	def test_authenticated(self):
		self.signed(self.login().message_id())
		self.assertEqual(self.user(), "alice")

	def test_local(self):
		self.signed(self.party.submit(MAIL, "sender@client.example", "user@mx.example"))
		self.assertEqual(self.user(), "Debian-exim")

	def test_from_outside(self):
		self.assertNotIn(b"DKIM-Signature", self.party.delivered_bytes(self.party.send(MAIL).message_id()))
		self.assertIsNone(self.user())

	def test_folded_head_and_long_body(self):
		mail = HEAD + b"Cc: a@mx.example,\n\tb@mx.example\n\n" + b"line  with \t blanks \n.\n..\n\n" * 300 + b"\n\n\n"
		self.signed(self.login(mail).message_id())

	def test_actions(self):
		steer = b"X-Test-Action: %s\nX-Test-Message: No thanks\n"
		reply = self.login(steer % b"reject" + MAIL)
		self.assertEqual((reply.code, reply.text), (550, "5.7.1 No thanks"))
		self.assertEqual(self.login(steer % b"soft reject" + MAIL).code, 451)
		name = self.party.submit(steer % b"reject" + MAIL, "sender@client.example", "user@mx.example")
		self.assertIn("-frozen", (self.party.dir / "spool" / "input" / f"{name}-H").read_text())
		name = self.party.submit(steer % b"soft reject" + MAIL, "sender@client.example", "user@mx.example")
		self.assertNotIn("-frozen", (self.party.dir / "spool" / "input" / f"{name}-H").read_text())


class SubmissionsRspamd(Submissions):
	"""With variant=rspamd Exim names no user of its own host; without it the ACL can."""

	@classmethod
	def address(cls):
		return (f"${{if def:sender_host_address {{{cls.shim.spamd_address(True)}}}"
		        f"{{{cls.shim.spamd_address()}}}}}")


class SubmissionPolicy(Full):
	"""The macros of acl_check_submission."""

	macros = "CHECK_SUBMISSION_LOCAL_DENY = yes\nCHECK_SUBMISSION_UNSCANNED = defer\nCHECK_SPAM_MAX_SIZE = 100K\n"
	data = "acl_check_submission"
	options = "acl_not_smtp = acl_check_submission_local\n"

	def submit(self, mail=MAIL):
		"""Exim's exit code, and what it said."""
		return self.party.command("-oi", "-oee", "-f", "sender@client.example", "user@mx.example", stdin=mail)

	def test_local_program_gets_the_error(self):
		self.verdict("reject", 20.0, messages=["No thanks ${pid}"])
		done = self.submit()
		self.assertNotEqual(done.returncode, 0)
		self.assertIn('rspamd: action="reject" score=20.0: No thanks ${pid}', self.log())
		self.verdict("soft reject", 5.0)
		self.assertEqual(self.submit().returncode, 0)

	def test_no_verdict(self):
		self.spamd.verdict = b""
		self.assertEqual(self.party.send(MAIL).code, 451)
		self.assertEqual(self.submit().returncode, 0)
		self.assertEqual(self.party.send(MAIL + b"x\n" * 60000).code, 250)
		self.assertRegex(self.log(), r"rspamd: not scanned: 1\d{5} bytes are above 100K")


class Users(Full):
	"""The spam user is what rspamd's settings are chosen by."""

	# What README.md has as examples.
	deliver_to = "${if eq {$recipients_count}{1}{$recipients}{nobody}}"
	settings_id = "${if eq {$sender_address_domain}{client.example}{strict}{nobody}}"

	@classmethod
	def setUpClass(cls):
		cls.fake = cls.shared(FakeRspamd)

	def setUp(self):
		self.fake.forget()

	def told(self, meaning, user, **options):
		"""Deliver-To and Settings-ID of one mail, where the spam user means that."""
		shim = self.own(Shim, backend=self.fake.url, start=False)
		shim.write_config(f'listen "{shim.address}" {{ spamc_user = "{meaning}" }}\n')
		shim.start()
		type(self).macros = f"CHECK_SPAM_USER = {user}\n"
		party = self.exim(shim.spamd_address())
		for each in options.pop("mails"):
			self.assertEqual(party.send(MAIL, **each).code, 250)
		return [(request.get("Deliver-To"), request.get("Settings-ID")) for request in self.fake.requests]

	def test_deliver_to(self):
		mails = [{}, {"recipients": ("a@mx.example", "b@mx.example")}, {"recipients": ('"a/b"@mx.example',)}]
		self.assertEqual(self.told("deliver-to", self.deliver_to, mails=mails),
		                 [("user@mx.example", None), ("nobody", None), ("nobody", None)])

	def test_settings(self):
		mails = [{}, {"sender": "a@other.example"}]
		self.assertEqual(self.told("settings-id", self.settings_id, mails=mails), [(None, "strict"), (None, "nobody")])


class Learning(Full):
	"""What users send to learn-spam@ and learn-ham@, and what is in their folders."""

	@classmethod
	def setUpClass(cls):
		cls.fake = cls.shared(FakeRspamd)
		cls.controller = cls.shared(FakeRspamd)
		password = cls.folder("password") / "password"
		password.write_text("word\n")
		password.chmod(0o600)
		shutil.chown(password, *process.server_ids())
		cls.shim = cls.shared(Shim, backend=cls.fake.url,
		                      arguments=["--controller", cls.controller.url, "--password-file", password])
		group = packages.need("spamc")
		cls.command = f"{group.path('usr/bin/spamc')} -F /dev/null -d 127.0.0.1 -p {cls.shim.port} -s 50000000 -u learner"
		cls.macros = ("CHECK_SPAM_LEARN_DOMAINS = mx.example\nCHECK_SPAM_LEARN_USER = Debian-exim\n"
		              f"CHECK_SPAM_LEARN_COMMAND = {cls.command}\n")
		folder = cls.files()
		cls.party = cls.exim(cls.shim.spamd_address(), routers=f".include {folder}/router_rspamd_learn\n",
		                     transports=f".include {folder}/transport_rspamd_learn\n")

	def setUp(self):
		self.controller.forget()
		self.controller.answer('{"success":true}')

	def learned(self):
		"""What the controller was given: (path, message)."""
		return [(request.line.split()[1], request.body) for request in self.controller.requests]

	def send(self, recipient, user="alice"):
		with self.party.connect() as connection:
			if user:
				connection.login(user)
			name = connection.send(MAIL, recipients=[recipient]).message_id()
		self.party.deliver(name)
		return name

	def test_by_mail(self):
		for recipient, path in ("learn-spam@mx.example", "/learnspam"), ("LEARN-HAM@mx.example", "/learnham"):
			name = self.send(recipient)
			(given, body), = self.learned()
			self.assertEqual(given, path)
			self.assertTrue(body.endswith(MAIL) and body.startswith(b"Received: "), body)
			self.assertNotIn(name, self.party.queue())
			self.controller.forget()

	def test_who_is_not_heard(self):
		for recipient, user in (("learn-spam@mx.example", None), ("learn-spam@other.example", "alice"),
		                        ("learn@mx.example", "alice")):
			self.party.delivered_bytes(self.send(recipient, user))
			self.assertEqual(self.learned(), [])

	def test_controller_that_fails(self):
		"""The mail is tried again: nothing says that it was learned."""
		self.controller.answer('{"error":"no"}', 500)
		name = self.send("learn-spam@mx.example")
		self.assertNotIn(f"{name} =>", self.party.main_log())
		self.assertIn(f"{name} == ", self.party.main_log())

	def mailbox(self, *arguments):
		done = subprocess.run([str(SOURCE_TREE / "exim-conf" / "learn-mailbox"), *map(str, arguments)],
		                      env={"PATH": "/usr/bin:/bin", "SPAMC": self.command, **self.library_path()},
		                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
		return done.returncode, done.stdout

	@staticmethod
	def library_path():
		path = packages.need("spamc").library_path()
		return {"LD_LIBRARY_PATH": path} if path else {}

	def test_mailbox(self):
		folder = self.folder("maildir")
		for name in "new", "cur", "tmp":
			(folder / name).mkdir()
		(folder / "new" / "1.a").write_bytes(HEAD + b"\none\n")
		(folder / "cur" / "2.b:2,S").write_bytes(HEAD + b"\ntwo\n")
		(folder / "tmp" / "3.c").write_bytes(HEAD + b"\nhalf\n")
		self.assertEqual(self.mailbox("spam", folder), (0, ""))
		self.assertEqual(sorted(self.learned()), [("/learnspam", HEAD + b"\none\n"), ("/learnspam", HEAD + b"\ntwo\n")])
		# Read and moved by its owner, it is the same mail; in the other class it is not.
		self.controller.forget()
		(folder / "new" / "1.a").rename(folder / "cur" / "1.a:2,RS")
		(folder / "cur" / "2.b:2,S").unlink()
		(folder / "new" / "4.d").write_bytes(HEAD + b"\nfour\n")
		self.assertEqual(self.mailbox("spam", folder), (0, ""))
		self.assertEqual(self.learned(), [("/learnspam", HEAD + b"\nfour\n")])
		self.controller.forget()
		self.assertEqual(self.mailbox("ham", folder), (0, ""))
		self.assertEqual([path for path, _ in self.learned()], ["/learnham"] * 2)

	def test_mailbox_that_fails(self):
		folder = self.folder("maildir")
		(folder / "cur").mkdir()
		(folder / "cur" / "1.a b\\*:2,S").write_bytes(HEAD + b"\none\n")
		self.controller.answer('{"error":"no"}', 500)
		code, said = self.mailbox("spam", folder)
		self.assertEqual(code, 1)
		self.assertRegex(said, r"1\.a b\\\*:2,S was not learned")
		self.controller.answer('{"success":true}')
		self.assertEqual(self.mailbox("spam", folder, folder), (0, ""))
		self.assertEqual(len(self.learned()), 2)
		self.assertEqual(self.mailbox("spam", folder / "absent")[0], 1)
		self.assertEqual(self.mailbox("junk", folder)[0], 64)


# The Exim of the tests, in Debian's configuration: no privilege, another place.
DEBIAN = """
CONFDIR = {dir}/etc
SPOOLDIR = {dir}/spool
MAIN_HARDCODE_PRIMARY_HOSTNAME = mx.example
exim_user = {uid}
exim_group = {gid}
log_file_path = {dir}/log/%slog
pid_file_path = {dir}/exim.pid
deliver_drop_privilege = true
queue_only = true
MAIN_TRUSTED_USERS = Debian-exim
daemon_smtp_ports = {port}
check_spool_space = 0
"""
ROUTER = "all:\n\tdriver = accept\n\ttransport = into_file\n"
TRANSPORT = ("into_file:\n\tdriver = appendfile\n\tfile = {dir}/delivered/$message_exim_id\n\tcreate_file = anywhere\n"
             "\tuse_lockfile = false\n\tno_check_owner\n")


class Debian:
	"""Debian's configuration, made by its update-exim4.conf."""

	split = "true"

	@classmethod
	def setUpClass(cls):
		if os.environ.get("EXIM"):
			raise packages.Unavailable("needs Debian's Exim")
		cls.spamd = FakeSpamd()
		cls.addClassCleanup(cls.spamd.close)
		cls.party = cls.shared(Exim, start=False)
		cls.etc = process.sub_dir(cls.party.dir, "etc")
		uid, gid = process.server_ids()
		with open(cls.party.users / "passwd", "a") as passwd:
			passwd.write(f"mail:x:{uid}:{gid}::/var/mail:/bin/false\n")
		shutil.copytree(cls.party.groups[0].path("etc/exim4/conf.d"), cls.etc / "conf.d")
		shutil.copy(cls.party.groups[0].path("etc/exim4/exim4.conf.template"), cls.etc)
		(cls.etc / "mailname").write_text("mx.example\n")
		(cls.etc / "update-exim4.conf.conf").write_text(
			"dc_eximconfig_configtype='internet'\ndc_other_hostnames='mx.example'\n"
			f"dc_local_interfaces='127.0.0.1'\ndc_minimaldns='false'\ndc_use_split_config='{cls.split}'\n"
			"dc_hide_mailname='true'\ndc_localdelivery='mail_spool'\n")
		for name in ACLS:
			shutil.copy(SOURCE_TREE / "exim-conf" / name, cls.etc)
		cls.install()
		cls.party.conf.write_text(cls.made())
		cls.party.start()

	@classmethod
	def localmacros(cls):
		uid, gid = process.server_ids()
		return (DEBIAN.format(dir=cls.party.dir, uid=uid, gid=gid, port=cls.party.port)
		        + f"CHECK_DATA_LOCAL_ACL_FILE = {cls.etc}/local_acl_check_data\n"
		          f"spamd_address = 127.0.0.1 {cls.spamd.port}\nCHECK_SPAM_RELAY_HOSTS = :\n"
		          "CHECK_SPAM_MARKS_SPAMASSASSIN = yes\n")

	@classmethod
	def made(cls):
		"""The configuration that a copy of update-exim4.conf makes, with other paths."""
		script, out = cls.party.dir / "update-exim4.conf", cls.party.dir / "autogenerated"
		text = cls.party.groups[0].path("usr/sbin/update-exim4.conf").read_text()
		for old, new in (("/etc/exim4", cls.etc), ("/etc/mailname", cls.etc / "mailname"),
		                 ("/usr/sbin/exim4", cls.party.program)):
			text = text.replace(old, str(new))
		script.write_text(text)
		(cls.etc / "local_acl_check_data").write_text("require acl = acl_check_spam\nwarn    acl = acl_rspamd_headers\n")
		done = subprocess.run(["/bin/sh", str(script), "-o", str(out)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
		                      cwd=cls.party.dir, **process.run_as())
		assert done.returncode == 0, done.stdout
		# What a server without privilege cannot have.
		text = re.sub(r"^keep_environment.*\n", "", out.read_text(), flags=re.M)
		return re.sub(r"^exim_path = .*$", f"exim_path = {cls.party.program}\nkeep_environment = LD_PRELOAD : "
		              f"LD_LIBRARY_PATH : ^NSS_WRAPPER_ : {process.MARK}", text, flags=re.M)

	def test_verdicts(self):
		self.spamd.verdict = Verdict("add header", 7.0, milter=["X-Milter-Add: X-A: 1"])
		mail = self.party.delivered(self.party.send(MAIL).message_id())
		self.assertEqual((mail["X-Spam-Flag"], mail["X-A"]), ("YES", "1"))
		self.spamd.verdict = Verdict("reject", 20.0, messages=["Go away"])
		reply = self.party.send(MAIL)
		self.assertEqual((reply.code, reply.text), (550, "5.7.1 Go away"))
		self.spamd.verdict = b""
		mail = self.party.delivered(self.party.send(MAIL).message_id())
		self.assertIsNone(mail["X-Spam-Flag"])
		self.assertIn("rspamd: not scanned: no answer", self.party.main_log())

	def test_debians_own_checks_stay(self):
		with self.party.connect() as connection:
			connection.command("MAIL FROM:<sender@client.example>")
			self.assertEqual(connection.command("RCPT TO:<us|er@mx.example>").code, 550)
			self.assertEqual(connection.command("RCPT TO:<user@mx.example>").code, 250)


class DebianSplit(Debian, Case):
	@classmethod
	def install(cls):
		conf = cls.etc / "conf.d"
		(conf / "main" / "000_localmacros").write_text(cls.localmacros())
		for name in ACLS:
			shutil.copy(cls.etc / name, conf / "acl" / f"50_{name}")
		(conf / "router" / "010_all").write_text(ROUTER)
		(conf / "transport" / "01_into_file").write_text(TRANSPORT.format(dir=cls.party.dir))


class DebianUnsplit(Debian, Case):
	split = "false"

	@classmethod
	def install(cls):
		(cls.etc / "exim4.conf.localmacros").write_text(cls.localmacros())
		template = cls.etc / "exim4.conf.template"
		includes = "".join(f".include {cls.etc}/{name}\n" for name in ACLS)
		text = template.read_text()
		for section, more in (("acl", includes), ("routers", ROUTER), ("transports", TRANSPORT.format(dir=cls.party.dir))):
			text = re.sub(rf"^begin {section}$", lambda found, more=more: f"{found[0]}\n{more}", text, flags=re.M)
		template.write_text(text)

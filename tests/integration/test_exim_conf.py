"""exim-conf/acl_check_spam in a real Exim, in front of a spamd that says anything.

The fake spamd gives rspamd-shim's replies, and some that the shim never gives.
$EXIM may name another Exim, of any release from 4.70 on.
"""

import email.header
import functools
import re
import shutil

from harness import SOURCE_TREE, Case, Exim, Rspamd, message, process, rspamc_request, talk
from harness.fake_spamd import SYMBOLS, FakeSpamd, Verdict

MAIL = (b"From: Ann Author <sender@client.example>\nTo: user@mx.example\nSubject: Minutes of the meeting\n"
        b"Date: Mon, 5 Jan 2026 10:00:00 +0000\nMessage-ID: <minutes@client.example>\n\nHere they are.\n")


@functools.cache
def release():
	"""Exim's release, as (4, 96)."""
	folder = process.temp_dir("release")
	try:
		return Exim(folder).version()
	finally:
		process.remove(folder)


class Conf(Case):
	"""A fake spamd for each test, and Exims made by exim().

	mode: "" or " variant=rspamd"; before_4_82: do as if Exim were that old.
	"""

	mode = ""
	before_4_82 = False

	def setUp(self):
		self.spamd = FakeSpamd()
		self.addCleanup(self.spamd.close)

	def exim(self, options="", macros="", acls="", relay="127.0.0.77", **more):
		"""An Exim whose DATA ACL is acl_check_spam, or what options name instead."""
		folder = self.files("acl_check_spam", "before-4.82.filter")
		if "acl_smtp_data " not in options:
			options = "acl_smtp_data = acl_check_spam\n" + options
		if self.before_4_82 or release() < (4, 82):
			macros += f"CHECK_SPAM_BEFORE_4_82 = yes\nsystem_filter = {folder}/before-4.82.filter\n"
		party = self.own(Exim, f"127.0.0.1 {self.spamd.port}{self.mode}", macros=macros,
		                 options=f"hostlist relay_from_hosts = {relay}\n{options}",
		                 acls=f".include {folder}/acl_check_spam\n{acls}", **more)
		if self.mode and not party.has_spam_action():
			self.skipTest("this Exim has no variant=rspamd")
		return party

	def files(self, *names):
		"""A folder with copies of exim-conf's files that Exim's user can read."""
		folder = self.folder("files")
		for name in names:
			shutil.copy(SOURCE_TREE / "exim-conf" / name, folder)
			(folder / name).chmod(0o644)
		return folder

	def verdict(self, *arguments, **more):
		self.spamd.verdict = Verdict(*arguments, **more)

	def deliver(self, party, message=MAIL, **options):
		"""Send message, which must be accepted; it, as it was delivered."""
		return party.delivered(party.send(message, **options).message_id())

	def marks(self, mail):
		"""The X-Spam-* header lines of a delivered message, as a dict."""
		found = [(name, value) for name, value in mail.items() if name.lower().startswith("x-spam")]
		self.assertEqual(len(found), len(dict(found)), found)
		return dict(found)


class Actions:
	def test_no_action(self):
		party = self.exim()
		self.verdict("no action", -1.5)
		mail = self.deliver(party)
		self.assertEqual(self.marks(mail), {})
		self.assertEqual(mail["Subject"], "Minutes of the meeting")
		self.assertIn('rspamd: action="no action" score=-1.5', party.main_log())

	def test_no_action_with_a_positive_score(self):
		self.verdict("no action", 3.2)
		self.assertEqual(self.marks(self.deliver(self.exim())), {"X-Spam-Bar": "+++"})

	def test_greylist(self):
		self.verdict("greylist", 4.0)
		self.assertEqual(self.marks(self.deliver(self.exim())), {"X-Spam-Bar": "++++"})

	def test_add_header(self):
		party = self.exim()
		self.verdict("add header", 7.0, milter=["X-Milter-Add: X-Evil: yes", "X-Milter-Del: X-Old[2]"])
		mail = self.deliver(party)
		marks = self.marks(mail)
		self.assertEqual(set(marks), {"X-Spam-Score", "X-Spam-Report", "X-Spam-Status", "X-Spam-Bar"})
		self.assertEqual(marks["X-Spam-Score"], "7.0 (+++++++)")
		self.assertEqual(marks["X-Spam-Status"], "Yes")
		self.assertEqual(marks["X-Spam-Bar"], "+++++++")
		lines = marks["X-Spam-Report"].split("\n")
		self.assertEqual(lines[0], "Action: add header")
		self.assertEqual(lines[-1], " Report-End: complete")
		self.assertIn("BAD_SUBJECT", marks["X-Spam-Report"])
		self.assertNotIn("Milter", mail.as_string())
		self.assertEqual(mail["Subject"], "Minutes of the meeting")

	def test_rewrite_subject(self):
		self.verdict("rewrite subject", 9.0, subject="[spam?] Minutes of the meeting")
		mail = self.deliver(self.exim())
		self.assertEqual(mail.get_all("Subject"), ["[spam?] Minutes of the meeting"])
		self.assertEqual(self.marks(mail), {"X-Spam-Status": "Yes", "X-Spam-Bar": "+++++++++"})

	def test_soft_reject(self):
		party = self.exim()
		self.verdict("soft reject", 5.0)
		reply = party.send(MAIL)
		self.assertEqual((reply.code, reply.text), (451, "4.7.1 Please try again later"))
		self.verdict("soft reject", 5.0, messages=["Greylisted, come back"])
		reply = party.send(MAIL)
		self.assertEqual((reply.code, reply.text), (451, "4.7.1 Greylisted, come back"))
		self.assertRegex(party.main_log(), 
		                 r'temporarily rejected after DATA: rspamd: action="soft reject" score=5.0: Greylisted')

	def test_reject(self):
		party = self.exim()
		self.verdict("reject", 20.0)
		reply = party.send(MAIL)
		self.assertEqual((reply.code, reply.text), (550, "5.7.1 This message was classified as spam"))
		self.verdict("reject", 20.0, messages=["Not here", "not this one"])
		reply = party.send(MAIL)
		self.assertEqual((reply.code, reply.text), (550, "5.7.1 Not here"))
		self.assertRegex(party.main_log(), r'rejected after DATA: rspamd: action="reject" score=20.0: Not here')

	def test_action_decides_not_the_score(self):
		party = self.exim()
		self.verdict("reject", 0.0)
		self.assertEqual(party.send(MAIL).code, 550)
		self.verdict("no action", 20.0)
		self.assertEqual(self.marks(self.deliver(party)), {"X-Spam-Bar": "+" * 20})

	def test_action_that_a_site_made_up(self):
		self.verdict("my custom action", 20.0)
		self.assertEqual(self.marks(self.deliver(self.exim())), {"X-Spam-Status": "Yes", "X-Spam-Bar": "+" * 20})


class ActionsPlain(Actions, Conf):
	pass


class ActionsBefore482(Actions, Conf):
	before_4_82 = True


class ActionsRspamd(Actions, Conf):
	mode = " variant=rspamd"


# Replies without a verdict: what happened, and what spamd says.
FAILURES = {
	"an error": (b"SPAMD/1.0 75 Temporary failure: no answer from rspamd\r\n", b"RSPAMD/1.3 75 EX_TEMPFAIL no answer\r\n"),
	"silence": (b"", b""),
	"garbage": (b"HTTP/1.1 200 OK\r\n\r\n{}", b"HTTP/1.1 200 OK\r\n\r\n{}"),
}


class NoVerdict:
	def fail(self, how):
		self.spamd.verdict = FAILURES[how]["rspamd" in self.mode]

	def test_nothing_is_inherited(self):
		party = self.exim()
		with party.connect() as connection:
			for how in FAILURES:
				for action in "add header", "rewrite subject", "no action":
					self.verdict(action, 7.0, subject="rewritten")
					marked = party.delivered(connection.send(MAIL).message_id())
					self.assertIn("X-Spam-Bar", self.marks(marked))
					self.fail(how)
					mail = party.delivered(connection.send(MAIL).message_id())
					self.assertEqual(self.marks(mail), {})
					self.assertEqual(mail["Subject"], "Minutes of the meeting")
				for action, code in ("reject", 550), ("soft reject", 451):
					self.verdict(action, 7.0)
					self.assertEqual(connection.send(MAIL).code, code)
					self.fail(how)
					mail = party.delivered(connection.send(MAIL).message_id())
					self.assertEqual(self.marks(mail), {})
		log = party.main_log()
		self.assertEqual(log.count("rspamd: not scanned: no answer from spamd_address"), 5 * len(FAILURES))
		self.assertEqual(log.count("rspamd: action="), 5 * len(FAILURES))

	def test_defers_where_told_so(self):
		party = self.exim(macros="CHECK_SPAM_UNSCANNED = defer\n")
		with party.connect() as connection:
			self.verdict("add header", 7.0)
			self.assertEqual(connection.send(MAIL).code, 250)
			for how in FAILURES:
				self.fail(how)
				self.assertEqual(connection.send(MAIL).code, 451, how)
			self.verdict("no action", 0.0, end=None)
			self.assertEqual(connection.send(MAIL).code, 451)
			self.verdict("no action", 0.0)
			self.assertEqual(connection.send(MAIL).code, 250)

	def test_spamd_is_down(self):
		party = self.exim()
		self.spamd.close()
		self.assertEqual(self.marks(self.deliver(party)), {})
		self.assertIn("rspamd: not scanned: no answer", party.main_log())

	def test_report_that_is_not_whole(self):
		party = self.exim()
		whole = Verdict("reject", 20.0, symbols=SYMBOLS * 20).reply("rspamd" in self.mode)
		mark = whole.index(b"Report-End: ")
		self.assertEqual(self.send_raw(party, whole).code, 550)
		for end in whole.index(b"Action: ") + 20, mark - 300, mark - 2, mark, mark + 5:
			self.assertEqual(self.send_raw(party, whole[:end]).code, 250, whole[:end])
		self.assertEqual(party.main_log().count("rspamd: not scanned: the report is not whole"), 5)

	def send_raw(self, party, reply):
		self.spamd.verdict = reply
		return party.send(MAIL)

	def test_report_that_says_what_it_left_out_is_whole(self):
		self.verdict("reject", 20.0, end="Report-End: cut, 757 of 900 symbols left out")
		self.assertEqual(self.exim().send(MAIL).code, 550)

	def test_report_without_an_action(self):
		party = self.exim()
		for reply in Verdict("").reply("rspamd" in self.mode), Verdict().reply(False).replace(b"Action:", b"Fiction:"):
			self.assertEqual(self.send_raw(party, reply).code, 250)
		self.assertEqual(party.main_log().count("rspamd: not scanned"), 2)

	def test_no_mark_can_be_forged_within_the_report(self):
		"""What looks like lines of the report, inside of its lines, is text."""
		party = self.exim()
		forged = "Report-End: complete"
		self.verdict("reject", 20.0, messages=[forged], symbols=[("X", 1.0, forged, (forged,))], end=None)
		self.assertEqual(party.send(MAIL).code, 250)
		cut = Verdict("reject", 20.0, symbols=[("X", 1.0, forged, ())]).reply("rspamd" in self.mode)
		self.assertEqual(self.send_raw(party, cut[:cut.rindex(b"\r\nMessage-ID:") + 2]).code, 250)
		self.assertEqual(self.send_raw(party, cut.replace(b"Action: reject", b"Fiction: x")).code, 250)
		self.assertEqual(party.main_log().count("rspamd: not scanned"), 3)
		forged = Verdict("", 20.0, symbols=[("X", 1.0, "Action: reject", ())]).reply("rspamd" in self.mode)
		self.assertEqual(self.send_raw(party, forged.replace(b"Action: \r\n", b"Fiction: x\r\n")).code, 250)
		self.assertEqual(party.main_log().count("rspamd: not scanned"), 4)
		self.verdict("rewrite subject", 9.0, symbols=[("X", 1.0, "Subject: no", ()), ("Y", 1.0, "Action: reject", ())])
		self.assertEqual(self.deliver(party)["Subject"], "***SPAM*** Minutes of the meeting")
		self.verdict("reject", 9.0, symbols=[("X", 1.0, "Message: no", ())])
		self.assertEqual(party.send(MAIL).text, "5.7.1 This message was classified as spam")

	def test_too_big_for_the_shim(self):
		party = self.exim(macros="CHECK_SPAM_UNSCANNED = defer\n")
		self.verdict(symbols=[("RSPAMD_SHIM_UNSCANNED", 0.0, "60000000 bytes are above the limit", ())])
		self.assertEqual(self.marks(self.deliver(party)), {})
		self.assertIn("rspamd: not scanned: 60000000 bytes are above the limit", party.main_log())
		self.assertNotIn("rspamd: action=", party.main_log())
		# A symbol's options and description are not its name.
		self.verdict(symbols=[("X", 0.0, "y RSPAMD_SHIM_UNSCANNED z", ("RSPAMD_SHIM_UNSCANNED a",))])
		self.deliver(party)
		self.assertEqual(party.main_log().count("not scanned"), 1)


class NoVerdictPlain(NoVerdict, Conf):
	pass


class NoVerdictRspamd(NoVerdict, Conf):
	mode = " variant=rspamd"


# Text of rspamd that came from the mail's author.
HOSTILE = ("${run{/bin/touch /tmp/x}}$primary_hostname \\n\\r\\x0aX-Spam-Evil: 1 \\ \\N $1 %s %n } { \" ' : ; <, ; "
           "~`!@#^&*()[]|?/ ${if")
LONG = 890


class Hostile:
	def test_message(self):
		party = self.exim()
		texts = {HOSTILE: HOSTILE, "250 2.0.0 fine": "250 2.0.0 fine", "451 4.0.0 no": "451 4.0.0 no",
		         "Спам\x7f\x01": "????????" + "??", ":at_start:X: y": ":at_start:X: y"}
		for text, shown in texts.items():
			self.verdict("reject", 20.0, messages=[text])
			reply = party.send(MAIL)
			self.assertEqual(reply.code, 550)
			words = " ".join(line.removeprefix("5.7.1 ") for line in reply.lines)
			self.assertEqual(words.split(), shown.split())
			self.assertTrue(all(line.startswith("5.7.1 ") for line in reply.lines), reply)
			self.verdict("soft reject", 20.0, messages=[text])
			self.assertEqual(party.send(MAIL).code, 451)
		self.assertNotIn("configured error code", party.main_log())

	def test_long_message(self):
		party = self.exim()
		for text in "x" * LONG, "word " * (LONG // 5):
			self.verdict("reject", 20.0, messages=[text])
			reply = party.send(MAIL)
			self.assertEqual(reply.code, 550)
			self.assertLessEqual(max(map(len, reply.raw.split(b"\r\n"))), 510)
		self.assertLess(max(map(len, party.main_log().splitlines())), 800)

	def test_report(self):
		party = self.exim()
		symbols = [("A", 1.0, HOSTILE, (HOSTILE, "Спам")), ("B", 1.0, "x" * (LONG - 100), ())]
		self.verdict("add header", 7.0, symbols=symbols, messages=[HOSTILE, "Спам \udcff\udc80"],
		             milter=["X-Milter-Add: A[1]: x"])
		mail = party.send(MAIL)
		text = party.delivered_bytes(mail.message_id())
		head = text[:text.index(b"\n\n")]
		self.assertIn(HOSTILE.encode(), head)
		self.assertNotIn(b"\nX-Spam-Evil", head)
		self.assertTrue(head.isascii())
		names = self.marks(party.delivered(mail.message_id()))
		self.assertEqual(set(names), {"X-Spam-Score", "X-Spam-Report", "X-Spam-Status", "X-Spam-Bar"})

	def test_report_lines_of_another_server(self):
		"""Lines longer than the shim's, and blank ones, do not harm the header."""
		symbols = [("A", 1.0, "x" * 3000, ()), ("B", 1.0, "y", ())]
		self.verdict("add header", 7.0, symbols=symbols, milter=["", " \t", "X-Last: 1"])
		party = self.exim()
		text = party.delivered_bytes(party.send(MAIL).message_id())
		head = text[:text.index(b"\n\nHere they are.")]
		self.assertNotRegex(head, rb"\n[ \t]*\n")
		self.assertLessEqual(max(map(len, head.split(b"\n"))), 998)
		self.assertIn(b"Report-End: complete", head)

	def test_full_size_report(self):
		self.verdict("add header", 7.0, symbols=[(f"SYMBOL_{i:03}", 0.1, "x" * 60, ()) for i in range(90)])
		mail = self.deliver(self.exim())
		self.assertIn("SYMBOL_089", mail["X-Spam-Report"])
		self.assertIn("Report-End: complete", mail["X-Spam-Report"])

	def test_subject_of_rspamd(self):
		party = self.exim()
		mixed = "*** Спам *** обычное письмо, довольно длинное 日本語の件名 ${pid} \udcff"
		cases = {HOSTILE: HOSTILE, "x" * LONG: "x" * LONG, "=?UTF-8?Q?Sp=C3=A9cial?= x": "Spécial x",
		         mixed: mixed.replace("\udcff", "\ufffd"), ": y": ": y"}
		for subject, shown in cases.items():
			self.verdict("rewrite subject", 9.0, subject=subject)
			mail = self.deliver(party)
			self.assertEqual(len(mail.get_all("Subject")), 1)
			self.assertEqual(set(self.marks(mail)), {"X-Spam-Status", "X-Spam-Bar"})
			self.assertEqual(decoded(mail["Subject"]), shown)
			self.assertTrue(mail["Subject"].isascii())
			self.assertLessEqual(max(map(len, f"Subject: {mail['Subject']}".split("\n"))), 998)

	def test_subject_of_the_mail(self):
		party = self.exim()
		cases = {"Subject: Minutes": "***SPAM*** Minutes",
		         "Subject: =?utf-8?B?0KHQv9Cw0Lw=?=\n =?utf-8?Q?_a?=": "***SPAM*** Спам a",
		         "Subject: one\n\ttwo\n  three": "***SPAM*** one two three",
		         "Subject: one\nSubject:X-Spam-Status: No": "***SPAM*** one X-Spam-Status: No",
		         "Subject: " + HOSTILE: "***SPAM*** " + HOSTILE,
		         "Subject: a" + " " * 10000 + "b": "***SPAM*** a",
		         "Subject: " + "x" * 980: "***SPAM*** " + "x" * 900 + " " + "x" * 80,
		         "Subject:": "***SPAM***", "X-No: subject": "***SPAM***"}
		self.verdict("rewrite subject", 9.0)
		for line, shown in cases.items():
			mail = self.deliver(party, MAIL.replace(b"Subject: Minutes of the meeting", line.encode()))
			self.assertEqual(len(mail.get_all("Subject")), 1)
			self.assertEqual(self.marks(mail), {"X-Spam-Status": "Yes", "X-Spam-Bar": "+" * 9})
			self.assertEqual(" ".join(decoded(mail["Subject"]).split()), " ".join(shown.split()))
			self.assertLessEqual(max(map(len, f"Subject: {mail['Subject']}".split("\n"))), 998)


def decoded(value):
	"""A header's value as a reader sees it: unfolded, RFC 2047 decoded."""
	unfolded = re.sub(r"\n(?=[ \t])", "", value)
	return "".join(part if isinstance(part, str) else part.decode(charset or "ascii", "replace")
	               for part, charset in email.header.decode_header(unfolded))


class HostilePlain(Hostile, Conf):
	pass


class HostileBefore482(Hostile, Conf):
	before_4_82 = True


class HostileRspamd(Hostile, Conf):
	mode = " variant=rspamd"


def spam_line(name, value="No"):
	return f"{name}: {value}\n".encode()


FOREIGN = ("X-Spam", "X-Spam-Action", "X-Spam-Bar", "X-Spam-Checker-Version", "X-Spam-Flag", "X-Spam-Level",
           "x-spam-report", "X-Spam-Result", "X-SPAM-SCORE", "X-Spam-Status", "X-Spam-Subject", "X-Spam-Symbols",
           "X-Spam-Tests", "X-Spam_bar", "X-Spam_report", "X-Spam_score", "X-Spam_score_int")


class WhoIsScanned(Conf):
	def test_relay_hosts(self):
		party = self.exim()
		mail = self.deliver_from(party, "127.0.0.77")
		self.assertEqual(self.spamd.requests, [])
		self.assertEqual(mail["X-Spam-Status"], "theirs")
		mail = self.deliver_from(party, "127.0.0.78")
		self.assertEqual(len(self.spamd.requests), 1)
		self.assertIsNone(mail["X-Spam-Status"])

	def test_relay_hosts_of_the_macro(self):
		for macro, requests in ("127.0.0.78 : 127.0.0.79", 0), ("<; 127.0.0.78", 0), ("", 1), ("! *", 1):
			self.spamd.requests.clear()
			self.deliver_from(self.exim(macros=f"CHECK_SPAM_RELAY_HOSTS = {macro}\n"), "127.0.0.78")
			self.assertEqual(len(self.spamd.requests), requests, macro)

	def deliver_from(self, party, source):
		with party.connect(source=source) as connection:
			return party.delivered(connection.send(spam_line("X-Spam-Status", "theirs") + MAIL).message_id())

	def send_as(self, party, user):
		with party.connect() as connection:
			connection.login(user)
			return connection.send(MAIL)

	def test_authenticated(self):
		self.verdict("reject", 20.0)
		party = self.exim()
		self.assertEqual(self.send_as(party, "alice").code, 250)
		self.assertEqual(self.spamd.requests, [])
		self.assertEqual(party.send(MAIL).code, 550)
		party = self.exim(macros="CHECK_SPAM_AUTHENTICATED = cram_md5\n")
		self.assertEqual(self.send_as(party, "alice").code, 550)
		party = self.exim(macros="CHECK_SPAM_AUTHENTICATED =\n")
		self.assertEqual(self.send_as(party, "alice").code, 550)

	def user(self, party, name):
		"""SPAMC's User: of a message sent by an authenticated name."""
		self.spamd.requests.clear()
		self.assertEqual(self.send_as(party, name).code, 250)
		self.assertEqual(len(self.spamd.requests), 1, f"{name!r} was not scanned")
		head = self.spamd.requests[0]
		self.assertRegex(head, r"\AREPORT SPAMC/1\.2\r\nUser: [^\r\n]*\r\nContent-length: \d+\r\n\r\n\Z")
		return re.search("User: (.*)\r", head)[1]

	def test_user(self):
		self.assertEqual(self.user(self.exim(macros="CHECK_SPAM_AUTHENTICATED =\n"), "alice"), "nobody")
		party = self.exim(macros="CHECK_SPAM_AUTHENTICATED =\nCHECK_SPAM_USER = $authenticated_id\n")
		for name in "alice", "Alice.B+c_d-e=f@example.com", "0000", "falsehood", "a" * 100:
			self.assertEqual(self.user(party, name), name)
		for name in ("0", "false", "FALSE", "a:b", "a/b", "a/defer_ok", "a b", "a\r\nUser: b", "a\n", "\r", "${pid}", "$pid",
		             "<;a", "-a", "a" * 101, "Jürgen", "a;b", "a\x01b"):
			self.assertEqual(self.user(party, name), "nobody", name)
		self.spamd.requests.clear()
		self.assertEqual(party.send(MAIL).code, 250)
		self.assertIn("User: nobody\r\n", self.spamd.requests[0])

	def test_user_with_line_ends(self):
		"""Exim itself makes those of an authenticated name harmless, but not others."""
		party = self.exim(macros="CHECK_SPAM_AUTHENTICATED =\n"
		                         "CHECK_SPAM_USER = ${sg {${sg {$h_X-User:}{CR}{\\r}}}{LF}{\\n}}\n")
		for name, user in ("alice", "alice"), ("aCRLFUser: b", "nobody"), ("aLF", "nobody"), ("aCR", "nobody"):
			self.spamd.requests.clear()
			self.deliver(party, f"X-User: {name}\n".encode() + MAIL)
			self.assertIn(f"\r\nUser: {user}\r\nContent-length: ", self.spamd.requests[0], name)

	def test_skip(self):
		senders = self.folder("senders") / "unscanned"
		party = self.exim(macros="CHECK_SPAM_SKIP = "
		                         f"${{lookup {{$sender_address}}lsearch{{{senders}}}{{yes}}{{no}}}}\n")
		senders.write_text("list@client.example\n")
		self.verdict("reject", 20.0)
		self.assertEqual(party.send(MAIL, sender="list@client.example").code, 250)
		self.assertEqual(party.send(MAIL, sender="tsil@client.example").code, 550)

	def test_size(self):
		self.verdict("reject", 20.0)
		party = self.exim(macros="CHECK_SPAM_MAX_SIZE = 100K\nCHECK_SPAM_UNSCANNED = defer\n")
		self.assertEqual(party.send(MAIL + b"x" * 70 + b"\n").code, 550)
		big = spam_line("X-Spam-Status", "theirs") + MAIL + (b"x" * 70 + b"\n") * 1500
		with party.connect() as connection:
			self.assertEqual(connection.send(MAIL).code, 550)
			self.assertEqual(self.marks(party.delivered(connection.send(big).message_id())), {})
		self.assertRegex(party.main_log(), r"rspamd: not scanned: \d{6} bytes are above 100K")
		self.assertEqual(len(self.spamd.requests), 2)


class ControlCharacters(Conf):
	"""What a sender could make a scan fail with, straight to rspamd."""

	ODD = b'"a\x01b"'

	def send(self, party, sender=b"sender", recipient=b"user", **options):
		with party.connect(**options) as connection:
			for command in b"MAIL FROM:<" + sender + b"@client.example>", b"RCPT TO:<" + recipient + b"@mx.example>":
				self.assertEqual(connection.command(command).code, 250, command)
			self.assertEqual(connection.command("DATA").code, 354)
			connection.sock.sendall(MAIL.replace(b"\n", b"\r\n") + b".\r\n")
			return connection.read()

	def test_rejected(self):
		party = self.exim()
		self.verdict("no action", 0.0)
		for odd in {"sender": self.ODD}, {"recipient": self.ODD}, {"sender": b'"a\x7fb"'}, {"helo": "a\x01b"}:
			reply = self.send(party, **odd)
			self.assertEqual(reply.code, 550, odd)
			self.assertIn("5.5.2 Control characters", reply.text)
		self.assertEqual(self.spamd.requests, [])
		self.assertIn("rspamd: control character in an address", party.main_log())
		self.assertEqual(self.send(party, sender=b'"a b"').code, 250)

	def test_macro(self):
		self.verdict("no action", 0.0)
		party = self.exim(macros="CHECK_SPAM_ALLOW_CONTROL_CHARACTERS = yes\n")
		self.assertEqual(self.send(party, sender=self.ODD).code, 250)
		self.assertEqual(len(self.spamd.requests), 1)


class Foreign:
	def test_foreign_marks(self):
		mail = b"".join(spam_line(name) for name in FOREIGN * 2) + MAIL
		party = self.exim()
		self.assertEqual(self.marks(self.deliver(party, mail)), {})
		self.verdict("add header", 7.0)
		self.assertEqual(set(self.marks(self.deliver(party, mail))),
		                 {"X-Spam-Score", "X-Spam-Report", "X-Spam-Status", "X-Spam-Bar"})
		# The rest of the mail stays.
		self.assertEqual(self.deliver(party, spam_line("X-Spammer") + MAIL)["X-Spammer"], "No")

	def test_foreign_marks_go_from_unscanned_mail(self):
		self.spamd.verdict = b""
		self.assertEqual(self.marks(self.deliver(self.exim(), spam_line("X-Spam-Status") + MAIL)), {})


class ForeignNow(Foreign, Conf):
	def test_foreign_marks_by_pattern(self):
		if release() < (4, 97):
			self.skipTest("needs Exim 4.97: patterns in remove_header")
		self.assertEqual(self.marks(self.deliver(self.exim(), spam_line("x-Spam-Made-Up") + MAIL)), {})


class ForeignBefore482(Foreign, Conf):
	before_4_82 = True


class Texts(Conf):
	def test_macros(self):
		party = self.exim(macros="CHECK_SPAM_REJECT_TEXT = No, $sender_address\nCHECK_SPAM_DEFER_TEXT = Later, {${pid}\\}\n"
		                         "CHECK_SPAM_SUBJECT_TAG = [$acl_m_rspamd_score]\n"
		                         "CHECK_SPAM_FOREIGN = X-Virus\nCHECK_SPAM_LAST_LINE = Message-ID\n")
		self.verdict("reject", 20.0, end=None)
		self.assertEqual(party.send(MAIL).text, "5.7.1 No, sender@client.example")
		self.verdict("soft reject", 20.0, end=None)
		self.assertRegex(party.send(MAIL).text, r"^4\.7\.1 Later, \{\d+\}$")
		self.verdict("rewrite subject", 9.0, end=None)
		mail = self.deliver(party, spam_line("X-Virus") + spam_line("X-Spam-Flag") + MAIL)
		self.assertEqual((mail["Subject"], mail["X-Virus"], mail["X-Spam-Flag"]), ("[9.0] Minutes of the meeting", None, "No"))

	def test_wrong_value_is_no_configuration(self):
		"""A typing error must not quietly become a policy."""
		party = self.exim(macros="CHECK_SPAM_UNSCANNED = deferr\n", start=False)
		with self.assertRaisesRegex(AssertionError, "error in ACL"):
			party.start()


class Postmaster(Conf):
	def codes(self, party, *recipients):
		return party.send(MAIL, recipients=recipients).code

	def test_is_not_rejected(self):
		party = self.exim()
		for action, code in ("reject", 550), ("soft reject", 451):
			self.verdict(action, 20.0)
			for recipients in (("postmaster@mx.example",), ("ABUSE@other.example", "Postmaster@mx.example"), ("postmaster",)):
				self.assertEqual(self.codes(party, *recipients), 250, recipients)
			for recipients in (("user@mx.example",), ("postmaster@mx.example", "user@mx.example"),
			                   ("user@mx.example", "abuse@mx.example"), ('"a, postmaster"@mx.example',),
			                   ('"abuse@x,postmaster@y"@mx.example',), ("postmasters@mx.example",), ("x-abuse@mx.example",)):
				self.assertEqual(self.codes(party, *recipients), code, recipients)

	def test_is_marked(self):
		party = self.exim()
		self.verdict("reject", 20.0)
		marks = self.marks(self.deliver(party, recipients=["postmaster@mx.example"]))
		self.assertEqual(set(marks), {"X-Spam-Score", "X-Spam-Report", "X-Spam-Status", "X-Spam-Bar"})
		self.verdict("soft reject", 5.0)
		marks = self.marks(self.deliver(party, recipients=["postmaster@mx.example"]))
		self.assertEqual(set(marks), {"X-Spam-Bar"})

	def test_macro(self):
		self.verdict("reject", 20.0)
		party = self.exim(macros="CHECK_SPAM_POSTMASTERS = hostmaster\n")
		self.assertEqual(self.codes(party, "postmaster@mx.example"), 550)
		self.assertEqual(self.codes(party, "hostmaster@mx.example"), 250)
		party = self.exim(macros="CHECK_SPAM_POSTMASTERS =\n")
		self.assertEqual(self.codes(party, "postmaster@mx.example"), 550)


class Prdr(Conf):
	def send(self, party, *recipients):
		"""The codes that each recipient got, and the last reply."""
		with party.connect() as connection:
			if "PRDR" not in connection.extensions:
				self.skipTest("this Exim has no PRDR")
			reply = connection.send(MAIL, recipients=recipients, options=" PRDR")
			if len(recipients) == 1:
				return [], reply
			self.assertEqual(reply.code, 353)
			codes = [connection.read().code for _ in recipients]
			return codes, connection.read()

	def prdr(self, **more):
		if release() < (4, 82):
			self.skipTest("needs Exim 4.82: PRDR")
		return self.exim(options="acl_smtp_data_prdr = acl_check_spam\nprdr_enable = true\n", **more)

	def test_each_recipient_is_answered(self):
		party = self.prdr()
		users = "user@mx.example", "postmaster@mx.example", "other@mx.example"
		self.verdict("reject", 20.0)
		codes, last = self.send(party, *users)
		self.assertEqual(codes, [550, 250, 550])
		mail = party.delivered(re.search("id=(\\S+)", last.text)[1])
		self.assertEqual(mail.get_all("Envelope-to"), ["postmaster@mx.example"])
		self.assertEqual(set(self.marks(mail)), {"X-Spam-Score", "X-Spam-Report", "X-Spam-Status", "X-Spam-Bar"})
		self.verdict("add header", 7.0)
		codes, last = self.send(party, *users)
		self.assertEqual(codes, [250, 250, 250])
		self.assertIn("X-Spam-Score", self.marks(party.delivered(re.search("id=(\\S+)", last.text)[1])))
		self.assertEqual(len(self.spamd.requests), 2, "one scan of each message")
		self.assertEqual(party.main_log().count("Warning: rspamd: action="), 2)

	def test_no_verdict(self):
		self.spamd.verdict = b""
		self.assertEqual(self.send(self.prdr(), "a@mx.example", "b@mx.example")[0], [250, 250])
		party = self.prdr(macros="CHECK_SPAM_UNSCANNED = defer\n")
		self.assertEqual(self.send(party, "a@mx.example", "b@mx.example")[0], [450, 450])

	def test_one_recipient(self):
		self.verdict("reject", 20.0)
		self.assertEqual(self.send(self.prdr(), "a@mx.example")[1].code, 550)


OUTER = """
acl_outer:
	require acl = acl_check_spam
	accept condition = ${{if eq{{$acl_m_rspamd_action}}{{{action}}}}}
	       add_header = X-Outer: $acl_m_rspamd_action
	accept
"""


class Ways(Conf):
	"""The ways on which mail reaches the ACL."""

	def test_called_from_another_acl(self):
		party = self.exim(options="acl_smtp_data = acl_outer\n", acls=OUTER.format(action="add header"))
		self.verdict("add header", 7.0)
		mail = self.deliver(party)
		self.assertEqual(mail["X-Outer"], "add header")
		self.assertEqual(mail["X-Spam-Status"], "Yes")
		self.verdict("no action", -1.0)
		self.assertIsNone(self.deliver(party)["X-Outer"])
		self.verdict("reject", 20.0, messages=["Go away"])
		reply = party.send(MAIL)
		self.assertEqual((reply.code, reply.text), (550, "5.7.1 Go away"))
		self.verdict("soft reject", 20.0, messages=["Come back"])
		reply = party.send(MAIL)
		self.assertEqual((reply.code, reply.text), (451, "4.7.1 Come back"))

	def test_deferred_from_another_acl(self):
		party = self.exim(options="acl_smtp_data = acl_outer\n", acls=OUTER.format(action=""),
		                  macros="CHECK_SPAM_UNSCANNED = defer\n")
		self.spamd.verdict = b""
		self.assertEqual(party.send(MAIL).code, 451)
		party = self.exim(options="acl_smtp_data = acl_outer\n", acls=OUTER.format(action=""))
		self.assertIn("X-Outer", self.deliver(party))

	def test_called_from_debians_acl(self):
		"""Debian's acl_check_data includes a file of statements."""
		data = "acl_check_data:\n\t.ifdef LOCAL\n\t.include LOCAL\n\t.endif\n\taccept add_header = X-End: yes\n"
		party = self.exim(options="acl_smtp_data = acl_check_data\n", acls=data, start=False)
		(party.dir / "statements").write_text("require acl = acl_check_spam\n")
		party.conf.write_text(f"LOCAL = {party.dir}/statements\n{party.conf.read_text()}")
		party.start()
		self.verdict("add header", 7.0)
		mail = self.deliver(party)
		self.assertEqual((mail["X-End"], mail["X-Spam-Status"]), ("yes", "Yes"))
		self.verdict("reject", 20.0)
		self.assertEqual(party.send(MAIL).code, 550)

	def test_variables_of_another_acl_are_no_verdict(self):
		names = ("action", "score", "score_int", "bar", "report", "subject", "message", "instead", "spare", "headers",
		         "unscanned", "foreign")
		junk = "".join(f"\t\tset acl_m_rspamd_{name} = Subject\n" for name in names)
		left = "|".join(f"$acl_m_rspamd_{name}" for name in names)
		party = self.exim(options="acl_smtp_data = acl_outer\n",
		                  acls=f"acl_outer:\n\twarn\n{junk}\trequire acl = acl_check_spam\n"
		                       f"\taccept add_header = X-Left: ={left}\n")
		self.spamd.verdict = b""
		mail = self.deliver(party)
		self.assertEqual(self.marks(mail), {})
		self.assertTrue(mail["X-Left"].startswith("=||||"), mail["X-Left"])
		self.assertEqual(mail["Subject"], "Minutes of the meeting")
		# Nor do they stay where nothing was to be scanned.
		with party.connect(source="127.0.0.77") as connection:
			mail = party.delivered(connection.send(MAIL).message_id())
		self.assertEqual(mail["X-Left"], "=" + "|" * (len(names) - 1))
		self.assertEqual(mail["Subject"], "Minutes of the meeting")

	def test_strict_acl_vars(self):
		party = self.exim(options="strict_acl_vars = true\n")
		for action, score in ("no action", 0.0), ("add header", 7.0), ("rewrite subject", 9.0):
			self.verdict(action, score)
			self.deliver(party)
		self.verdict("reject", 20.0)
		self.assertEqual(party.send(MAIL).code, 550)
		self.spamd.verdict = b""
		self.deliver(party)

	DIALOGUE = ("EHLO client.example", "MAIL FROM:<sender@client.example>", "RCPT TO:<user@mx.example>", "DATA",
	            *MAIL.decode().splitlines(), ".")

	def dialogue(self, party, mode, *lines):
		if release() == (4, 70):
			self.skipTest("Exim 4.70 crashes in its DKIM code when a dialogue arrives in one piece")
		return party.dialogue(mode, *lines, "QUIT")

	def test_bs(self):
		party = self.exim(start=False, options="smtp_enforce_sync = false\n")
		self.verdict("add header", 7.0)
		out = self.dialogue(party, "-bs", *self.DIALOGUE)
		mail = party.delivered(re.search(r"250 OK id=(\S+)", out)[1])
		self.assertEqual(mail["X-Spam-Score"], "7.0 (+++++++)")
		self.verdict("reject", 20.0)
		self.assertIn("550 5.7.1 This message was classified", self.dialogue(party, "-bs", *self.DIALOGUE))

	def test_bh(self):
		party = self.exim(start=False, options="smtp_enforce_sync = false\n")
		self.verdict("reject", 20.0, messages=["Not here"])
		out = self.dialogue(party, "-bh 192.0.2.1", *self.DIALOGUE, *self.DIALOGUE[1:])
		self.assertEqual(out.count("550 5.7.1 Not here"), 2, out[-2000:])
		self.spamd.verdict = b""
		out = self.dialogue(party, "-bh 192.0.2.1", *self.DIALOGUE)
		self.assertIn("rspamd: not scanned", out)
		self.assertIn("250 OK id=", out)

	def test_chunking(self):
		party = self.exim()
		self.verdict("add header", 7.0)
		with party.connect() as connection:
			if "CHUNKING" not in connection.extensions:
				self.skipTest("this Exim has no CHUNKING")
			mail = party.delivered(connection.send(MAIL, chunks=[10, 50]).message_id())
		self.assertEqual(mail["X-Spam-Score"], "7.0 (+++++++)")


class SpamAction(Conf):
	"""acl_check_spam_action, the plain file."""

	mode = " variant=rspamd"

	def exim(self, **more):
		folder = self.files("acl_check_spam_action")
		if release() < (4, 86):
			self.skipTest("needs Exim 4.86: $spam_action")
		return self.own(Exim, f"127.0.0.1 {self.spamd.port}{self.mode}", acls=f".include {folder}/acl_check_spam_action\n",
		                options="hostlist relay_from_hosts = 127.0.0.77\nacl_smtp_data = acl_check_spam_action\n", **more)

	def test_actions(self):
		party = self.exim()
		foreign = spam_line("X-Spam-Status", "theirs") + MAIL
		for action, score, names in (("no action", -1.0, []), ("greylist", 4.0, ["X-Spam-Bar"]),
		                             ("add header", 7.0, ["X-Spam-Bar", "X-Spam-Report", "X-Spam-Score", "X-Spam-Status"]),
		                             ("rewrite subject", 9.0, ["X-Spam-Bar", "X-Spam-Status"])):
			self.verdict(action, score)
			self.assertEqual(sorted(self.marks(self.deliver(party, foreign))), names, action)
		for action, code in ("soft reject", 451), ("reject", 550):
			self.verdict(action, 20.0)
			self.assertEqual(party.send(MAIL).code, code)

	def test_nothing_is_inherited(self):
		party = self.exim()
		with party.connect() as connection:
			for action in "add header", "reject", "soft reject", "rewrite subject":
				self.verdict(action, 20.0)
				connection.send(MAIL)
				self.spamd.verdict = b""
				self.assertEqual(self.marks(party.delivered(connection.send(MAIL).message_id())), {})
		self.assertEqual(party.main_log().count("rspamd: not scanned"), 4)


class Toggle(Case):
	"""local.d/options.inc: what rspamd does with a client that half-closes."""

	def reply(self, value):
		"""rspamd's answer to a slow RSPAMC request that ends with a half-close."""
		folder = self.folder("options")
		text = (SOURCE_TREE / "exim-conf" / "local.d" / "options.inc").read_text()
		line = "enable_shutdown_workaround = true;"
		self.assertEqual(text.count(f"\n{line}\n"), 1)
		(folder / "options.inc").write_text(text.replace(line, f"enable_shutdown_workaround = {value};"))
		(folder / "options.inc").chmod(0o644)
		rspamd = self.own(Rspamd, extra=f'options {{ .include "{folder}/options.inc" }}\n')
		return talk(rspamd.normal, rspamc_request(message(X_Test_Sleep=1)), half_close=True)

	def test_true(self):
		self.assertIn(b"0 EX_OK\r\nMetric: default; ", self.reply("true"))

	def test_false(self):
		self.assertEqual(self.reply("false"), b"")

"""exim-conf/acl_check_spam in a real Exim, in front of a spamd that says anything.

The fake spamd gives rspamd-shim's replies, and some that the shim never gives.
$EXIM may name another Exim, of any release from 4.70 on.
"""

import functools
import re
import shutil
import socket
import socketserver
import threading
import unittest

from harness import exim, packages, process

CONF = packages.SOURCE_TREE / "exim-conf"

MAIL = (b"From: Ann Author <sender@client.example>\nTo: user@mx.example\nSubject: Minutes of the meeting\n"
        b"Date: Mon, 5 Jan 2026 10:00:00 +0000\nMessage-ID: <minutes@client.example>\n\nHere they are.\n")

SYMBOLS = (("BAD_SUBJECT", 1.5, "Subject looks bad", ("opt1", "opt2")), ("MIME_GOOD", -0.1, "", ()))


class Verdict:
	"""One reply of rspamd-shim: RSPAMC or SPAMC, as the request asks."""

	def __init__(self, action="no action", score=0.0, required=15.0, subject=None, messages=(), milter=(),
	             symbols=SYMBOLS, end="Report-End: complete"):
		self.action, self.score, self.required = action, score, required
		self.subject, self.messages, self.milter, self.symbols, self.end = subject, messages, milter, symbols, end

	def report(self, rspamc):
		lines = [f"Action: {self.action}"]
		if self.subject is not None:
			lines.append(f"Subject: {self.subject}")
		lines += [f"Message: {text}" for text in self.messages]
		lines += self.milter
		if rspamc:
			lines += [f"Symbol: {name}({score:.2f})" for name, score, _, _ in self.symbols]
			for name, score, description, options in self.symbols:
				more = f" [{', '.join(options)}]" if options else ""
				lines.append(f"X-Symbol: {name}({score:.2f}); {description}{more}")
		else:
			lines += [" pts rule name              description", "---- ---------------------- " + "-" * 50]
			lines += [f"{score:4.1f} {name:22} {description}" for name, score, description, _ in self.symbols]
		lines.append("Message-ID: <minutes@client.example>")
		if self.end is not None:
			lines.append(self.end)
		return "".join(line + "\r\n" for line in lines)

	def reply(self, rspamc):
		if rspamc:
			head = (f"RSPAMD/1.3 0 EX_OK\r\nMetric: default; {self.score >= self.required}; "
			        f"{self.score:.2f} / {self.required:.2f} / 0.0\r\n")
		else:
			head = (f"SPAMD/1.1 0 EX_OK\r\nSpam: {self.score >= self.required} ; "
			        f"{self.score:.1f} / {self.required:.1f}\r\n\r\n")
		return (head + self.report(rspamc)).encode("utf-8", "surrogateescape")


class Spamd:
	"""A spamd on port that gives the same verdict until told otherwise.

	verdict: a Verdict, or the bytes of a reply; requests: heads so far.
	"""

	def __init__(self):
		self.verdict = Verdict()
		self.requests = []
		spamd = self

		class Handler(socketserver.StreamRequestHandler):
			def handle(self):
				spamd.serve(self.rfile, self.wfile, self.request)

		class Server(socketserver.ThreadingTCPServer):
			daemon_threads = True
			allow_reuse_address = True

		self.server = Server(("127.0.0.1", 0), Handler)
		self.port = self.server.server_address[1]
		threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

	def serve(self, rfile, wfile, sock):
		head = b""
		while not head.endswith(b"\r\n\r\n"):
			line = rfile.readline()
			if not line:
				return			# a probe of the port
			head += line
		rfile.read(int(re.search(rb"(?i)content-length: (\d+)", head)[1]))
		self.requests.append(head.decode("utf-8", "surrogateescape"))
		verdict = self.verdict
		wfile.write(verdict if isinstance(verdict, bytes) else verdict.reply(b"RSPAMC" in head))
		sock.shutdown(socket.SHUT_WR)

	def close(self):
		self.server.shutdown()
		self.server.server_close()


@functools.cache
def release():
	"""Exim's release, as (4, 96)."""
	folder = process.temp_dir("conf")
	try:
		return exim.Exim(folder).version()
	finally:
		process.remove(folder)


class Case(unittest.TestCase):
	"""A spamd, and Exims made by exim(); mode is "" or " variant=rspamd"."""

	mode = ""
	before_4_82 = False

	def setUp(self):
		self.parties = []
		self.spamd = Spamd()
		self.addCleanup(self.spamd.close)

	def exim(self, options="", macros="", acls="", start=True, relay="127.0.0.77", file="acl_check_spam", **more):
		"""A running Exim whose DATA ACL is acl_check_spam.

		options and macros are added to its main section; a further
		`acl_smtp_data = ` among the options replaces the ACL.
		"""
		folder = process.temp_dir("conf")
		self.addCleanup(process.remove, folder)
		shutil.copy(CONF / file, folder / "acl_check_spam")
		(folder / "acl_check_spam").chmod(0o644)
		if "acl_smtp_data " not in options:
			options = "acl_smtp_data = acl_check_spam\n" + options
		try:
			party = exim.Exim(folder, f"127.0.0.1 {self.spamd.port}{self.mode}",
			                  options=f"hostlist relay_from_hosts = {relay}\n{options}",
			                  acls=f".include {folder}/acl_check_spam\n{acls}",
			                  macros=self.old(folder) + macros, **more)
		except packages.Unavailable as why:
			self.skipTest(str(why))
		if self.mode and not party.has_spam_action():
			self.skipTest("this Exim has no variant=rspamd")
		self.parties.append(party)
		if start:
			party.start()
			self.addCleanup(party.stop)
		return party

	def old(self, folder):
		"""What is to be set for an Exim without remove_header."""
		if not self.before_4_82 and release() >= (4, 82):
			return ""
		shutil.copy(CONF / "before-4.82.filter", folder)
		(folder / "before-4.82.filter").chmod(0o644)
		return f"CHECK_SPAM_BEFORE_4_82 = yes\nsystem_filter = {folder}/before-4.82.filter\n"

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
		self.assertRegex(party.main_log(), r"temporarily rejected after DATA: rspamd: soft reject, score=5.0")

	def test_reject(self):
		party = self.exim()
		self.verdict("reject", 20.0)
		reply = party.send(MAIL)
		self.assertEqual((reply.code, reply.text), (550, "5.7.1 This message was classified as spam"))
		self.verdict("reject", 20.0, messages=["Not here", "not this one"])
		reply = party.send(MAIL)
		self.assertEqual((reply.code, reply.text), (550, "5.7.1 Not here"))
		self.assertRegex(party.main_log(), r"rejected after DATA: rspamd: reject, score=20.0: Not here")

	def test_action_decides_not_the_score(self):
		party = self.exim()
		self.verdict("reject", 0.0)
		self.assertEqual(party.send(MAIL).code, 550)
		self.verdict("no action", 20.0)
		self.assertEqual(self.marks(self.deliver(party)), {"X-Spam-Bar": "+" * 20})

	def test_action_that_a_site_made_up(self):
		self.verdict("my custom action", 20.0)
		self.assertEqual(self.marks(self.deliver(self.exim())), {"X-Spam-Status": "Yes", "X-Spam-Bar": "+" * 20})


class ActionsPlain(Actions, Case):
	pass


class ActionsBefore482(Actions, Case):
	before_4_82 = True


class ActionsRspamd(Actions, Case):
	mode = " variant=rspamd"


if __name__ == "__main__":
	unittest.main()

# SPDX-License-Identifier: GPL-2.0-or-later
"""Numbered mails: from the number follow the request and the only right verdict."""

import re

FILLER = (b"Numbered mail whose verdict follows from its number, line after line after line.\n" * 52500)[:4 << 20]
SMALL = (1 << 10, 2 << 10, 4 << 10, 8 << 10)		# sizes in bytes
MIXED = SMALL * 6 + (64 << 10, 256 << 10, 1 << 20, 2 << 20)
KINDS = ("REPORT", "RSPAMC", "CHECK", "PROCESS")
THRESHOLDS = ((15.0, "reject"), (8.0, "rewrite subject"), (6.0, "add header"), (4.0, "greylist"))
SPAM = ("reject", "rewrite subject", "add header")
MARK = b"RSPAMD_SHIM_UNSCANNED"

VERDICT, UNSCANNED, ERROR, NONE, REFUSED, LEFT, WRONG = ("verdict", "unscanned", "error", "none", "refused", "left",
                                                         "wrong")
EXIM = (b"From MAILER-DAEMON Mon Nov 23 06:05:49 2026\nX-Envelope-From: <s@client.example>\n"
        b"X-Envelope-To: u@mx.example\nReceived: from [192.0.2.7] (helo=client.example)\n"
        b"\tby mx.example with esmtp (Exim 4.96)\n\t(envelope-from <s@client.example>)\n\tid %s\n"
        b"\tfor u@mx.example;\n\tMon, 23 Nov 2026 06:05:49 +0000\n")


def action_of(score):
	"""What the configuration in tests/rspamd makes of a score."""
	return next((action for least, action in THRESHOLDS if score >= least), "no action")


def queue_id(number):
	return f"1{number // 1000000:05d}-{number % 1000000:06d}-RL"


class Mail:
	"""The mail of this number, as the request of one of four kinds.

	request: its bytes; half_close: whether the client is to say so that it
	is complete.  score is never 0, which is that of a mail not scanned.
	"""

	def __init__(self, number, size=None, kind=None):
		self.number = number
		self.size = size or MIXED[number % len(MIXED)]
		self.kind = kind or KINDS[number * 7 % 31 % 4]
		self.score = (number * 7919 % 399 - 199) / 10 or 19.9
		self.action = action_of(self.score)
		self.queue_id = queue_id(number)
		head = (f"From: s@client.example\nTo: u@mx.example\nSubject: mail {number}\n"
		        "Date: Mon, 01 Jun 2026 10:00:00 +0000\nContent-Type: application/octet-stream\n"
		        f"Message-ID: <{self.queue_id}@load.example>\nX-Test-Id: {number}\nX-Test-Score: {self.score}\n\n").encode()
		self.body = FILLER[number % 80:max(self.size - len(head), 80) + number % 80]
		mail = head + self.body
		if self.kind == "RSPAMC":
			line = (f"CHECK RSPAMC/1.3\r\nContent-length: {len(mail)}\r\nQueue-Id: {self.queue_id}\r\n"
			        "From: <s@client.example>\r\nRecipient-Number: 1\r\nRcpt: <u@mx.example>\r\n"
			        "Helo: client.example\r\nIP: 192.0.2.7\r\n\r\n")
		else:
			mail = EXIM % self.queue_id.encode() + mail
			version = "1.2" if self.kind == "REPORT" else "1.5"
			line = f"{self.kind} SPAMC/{version}\r\nUser: nobody\r\nContent-length: {len(mail)}\r\n\r\n"
		self.request = line.encode() + mail
		self.half_close = self.kind == "REPORT" or number % 3 == 0

	def judge(self, reply):
		"""(fate, why) by all the bytes of a reply."""
		if not reply:
			return NONE, "closed without a byte"
		if self.kind == "RSPAMC":
			return self._rspamc(reply)
		error = re.fullmatch(rb"SPAMD/1\.0 [1-9]\d [^\r\n]+\r\n", reply)
		if error:
			return ERROR, reply.decode().strip()
		found = re.match(rb"SPAMD/1\.1 0 EX_OK\r\n(?:Content-length: (\d+)\r\n)?"
		                 rb"Spam: (True|False) ; (-?\d+\.\d) / (-?\d+\.\d)\r\n\r\n", reply)
		if not found or (found[1] is None) == (self.kind == "PROCESS"):
			return WRONG, f"not a reply: {reply[:200]!r}"
		rest = reply[found.end():]
		if found[1] is not None and int(found[1]) > len(rest):
			return NONE, f"cut after {len(rest)} of {int(found[1])} bytes, as its client can see"
		if found[1] is not None and int(found[1]) < len(rest):
			return WRONG, f"{len(rest)} bytes, announced were {int(found[1])}"
		marked = {"CHECK": lambda: None, "REPORT": lambda: self._report(rest),
		          "PROCESS": lambda: self._processed(rest)}[self.kind]()
		if marked is not None and marked not in (VERDICT, UNSCANNED):
			return WRONG, marked
		return self._numbers(found[2], found[3], found[4], marked)

	def _rspamc(self, reply):
		if re.fullmatch(rb"RSPAMD/1\.3 75 EX_TEMPFAIL [^\r\n]+\r\n", reply):
			return ERROR, reply.decode().strip()
		found = re.match(rb"RSPAMD/1\.3 0 EX_OK\r\nMetric: default; (True|False); (-?\d+\.\d\d) / (-?\d+\.\d\d) / 0\.0\r\n",
		                 reply)
		if not found:
			return WRONG, f"not a reply: {reply[:200]!r}"
		marked = self._report(reply[found.end():])
		if marked not in (VERDICT, UNSCANNED):
			return WRONG, marked
		return self._numbers(found[1], found[2], found[3], marked)

	def _numbers(self, flag, score, required, marked):
		"""A CHECK has no mark: its score tells."""
		fate = marked or (UNSCANNED if float(score) == 0.0 else VERDICT)
		wanted, spam = (0.0, False) if fate == UNSCANNED else (self.score, self.action in SPAM)
		if float(score) != wanted or (flag == b"True") != spam:
			return WRONG, f"score {score.decode()} {flag.decode()}, not {wanted} {spam}"
		if self.kind != "RSPAMC" and (float(score) >= float(required)) != spam:
			return WRONG, f"{flag.decode()} with {score.decode()} / {required.decode()}"
		return fate, ""

	def _report(self, report):
		"""The fate that a whole report tells, or what is wrong with it."""
		lines = report.split(b"\r\n")
		if lines[-2:] != [b"Report-End: complete", b""] or report.count(b"Report-End:") != 1:
			return f"the report is not whole: {report[-200:]!r}"
		if MARK in report:
			return UNSCANNED if lines[0] == b"Action: no action" else f"marked, with {lines[0]!r}"
		if lines[0] != b"Action: " + self.action.encode():
			return f"{lines[0]!r} in place of {self.action!r}"
		if lines[-3] != f"Message-ID: {self.queue_id}@load.example".encode():
			return f"another mail's: {lines[-3]!r}"
		return VERDICT

	def _processed(self, mail):
		head, _, body = mail.partition(b"\n\n")
		if body != self.body:
			return f"the message came back with another body of {len(body)} bytes"
		if f"\nMessage-ID: <{self.queue_id}@load.example>\n".encode() not in head:
			return "another mail came back"
		action = re.findall(rb"^X-Spam-Action: (.*)$", head, re.M)
		if MARK in head:
			return UNSCANNED if action == [b"no action"] else f"marked, with {action}"
		return VERDICT if action == [self.action.encode()] else f"{action} in place of {self.action!r}"

"""Clients of spamd in Java, Perl, Go and Python that no package brings: their exchanges, replayed.

Each class below sends the bytes that the client sends, closes as it closes,
and reads the reply by the client's own rules, from its source: what it looks
for, what it ignores, what it takes for an error.  What it comes to must be
rspamd's verdict.
"""

import contextlib
import email
import os
import re
import socket
import zlib

from harness import Case, FakeRspamd, Shim, common_rspamd, connect, free_port, message, process, talk

SCANS = ("CHECK", "SYMBOLS", "REPORT", "REPORT_IFSPAM", "PROCESS", "HEADERS")


class NoVerdict(Exception):
	"""The client reports an error, or would crash: the text says how."""


class Client:
	half_close = True
	stops_at = None		# it leaves at this, a pattern, instead of reading to the end
	commands = (*SCANS, "PING")
	tells = {}		# task: the header lines it is told with
	minus = True		# it can read a negative score

	def request(self, command, mail):
		raise NotImplementedError

	def read(self, command, reply):
		"""{spam, score, required, symbols, rules, message, set, removed}, as far as it learns them."""
		raise NotImplementedError

	def verb(self, command):
		return "TELL" if command in self.tells else command

	def __str__(self):
		return type(self).__name__


def crlf(*lines):
	return "".join(f"{line}\r\n" for line in lines).encode()


class Lines:
	"""Reads a reply line by line, as most of them do."""

	def __init__(self, reply):
		self.rest = reply

	def next(self):
		"""The next line without its end; None behind the last."""
		if not self.rest:
			return None
		line, _, self.rest = self.rest.partition(b"\n")
		return line.removesuffix(b"\r").decode("utf-8", "surrogateescape")

	def all(self):
		return list(iter(self.next, None))

	def mime_head(self):
		"""{Name: value} up to the empty line; NoVerdict as Go's textproto has it."""
		head = {}
		for line in iter(self.next, ""):
			if line is None:
				raise NoVerdict("unexpected EOF")
			if line[0] in " \t" and head:
				head[list(head)[-1]] += " " + line.strip()
				continue
			name, colon, value = line.partition(":")
			if not colon or name != name.strip():
				raise NoVerdict(f"malformed MIME header line: {line}")
			head["-".join(part.capitalize() for part in name.split("-"))] = value.strip()
		return head


class JamesMailet(Client):
	"""Apache James, SpamAssassinInvoker: words of the line that begins with Spam:."""

	commands = ("CHECK",)
	tells = {task: ("Message-class: " + task.split()[1], "Set: local, remote") for task in ("report spam", "report ham")}

	def request(self, command, mail):
		if command == "CHECK":
			return crlf("CHECK SPAMC/1.2", "User: any@james.example", "") + mail.replace(b"\n", b"\r\n")
		return crlf("TELL SPAMC/1.2", f"Content-length: {len(mail)}", *self.tells[command], "User: any@james.example", "") + mail

	def read(self, command, reply):
		lines = re.split(r"\r\n|\r|\n", reply.decode())
		if command != "CHECK":
			return {"set": ["local", "remote"] if any(line.startswith("DidSet: ") for line in lines) else []}
		for line in lines:
			if line.startswith("Spam:"):
				words = line.split(" ")
				return {"spam": words[1].lower() == "true", "score": float(words[3]), "required": float(words[5])}
		raise NoVerdict("no line begins with Spam:")


class MimeDefang(Client):
	"""MIMEDefang, md_async_spamc_check: stops reading at the first empty line."""

	half_close = False
	stops_at = rb"\r\n\r\n"
	commands = ("CHECK",)
	minus = False

	def request(self, command, mail):
		mail = (b"Return-Path: <sender@client.example>\nReceived: from client.example (client.example [192.0.2.1])\n"
		        b"\tby mx.example (envelope-sender <sender@client.example>) (MIMEDefang) with ESMTP id 4ANabc\n"
		        b"\tfor <user@mx.example>; Mon, 01 Jun 2026 10:00:00 +0000\n" + mail)
		return crlf("CHECK SPAMC/1.5", f"Content-length: {len(mail)}", "User: defang", "") + mail

	def read(self, command, reply):
		match = re.search(r"(?i)(?:^|\r?\n)Spam:\s*(True|False|Yes|No)\s*;\s*([\d.]+)\s*/\s*([\d.]+)", reply.decode())
		if not match:
			raise NoVerdict("unexpected spamd response")
		return {"spam": match[1].lower() in ("true", "yes"), "score": float(match[2]), "required": float(match[3])}


class GoTeamwork(Client):
	"""Go, github.com/teamwork/spamc."""

	tells = {"learn spam": ("Message-class: spam", "Set: local"), "learn ham": ("Message-class: ham", "Set: local"),
	         "report": ("Message-class: spam", "Set: local,remote"), "forget": ("Remove: local",)}

	def request(self, command, mail):
		if command == "PING":
			mail = b""
		more = sorted([f"Content-length: {len(mail)}", "User: go", *self.tells.get(command, ())])
		return crlf(f"{self.verb(command)} SPAMC/1.5", *more, "") + mail

	def read(self, command, reply):
		lines = Lines(reply)
		first = lines.next() or ""
		if len(first) < 11 or not first.startswith("SPAMD/"):
			raise NoVerdict(f"unrecognised response: {first}")
		if first[6:9] not in (("1.5",) if command == "PING" else ("1.0", "1.1")):
			raise NoVerdict(f"unknown server protocol version: {first}")
		if first[10:].split(" ")[0] != "0":
			raise NoVerdict(f"spamd returned code {first[10:]}")
		if command == "PING":
			return {"alive": True}
		head = lines.mime_head()
		if command in self.tells:
			return {"set": head["Didset"].split(",") if "Didset" in head else [],
			        "removed": head["Didremove"].split(",") if "Didremove" in head else []}
		return self.verdict(head) | self.body(command, lines)

	@staticmethod
	def verdict(head):
		flag, score, required = re.split(r"[;/]", head["Spam"])
		return {"spam": {"true": True, "yes": True, "false": False, "no": False}[flag.strip().lower()],
		        "score": float(score), "required": float(required)}

	@staticmethod
	def body(command, lines):
		if command in ("PROCESS", "HEADERS"):
			return {"message": lines.rest}
		text = lines.all()
		if command == "SYMBOLS":
			return {"symbols": [s for s in "".join(text).strip().split(",") if s]}
		rules, table = [], False
		for line in text:
			table = table or line.startswith(" pts rule name")
			row = re.search(r"(-?[0-9.]+)\s+([A-Z0-9_]+)\s+(.+)", line)
			if table and row:
				with contextlib.suppress(ValueError):
					rules.append((float(row[1]), row[2]))
		return {"rules": rules}


class GoBaruwa(Client):
	"""Go, github.com/baruwa-enterprise/spamd-client."""

	tells = {"learn spam": ("Message-class: spam", "Set: local"), "forget": ("Remove: local",),
	         "report": ("Message-class: spam", "Set: local, remote"),
	         "revoke": ("Message-class: ham", "Remove: remote", "Set: local")}
	RULE = re.compile(r"(?m)^\s*(-?[0-9]+\.?[0-9]?)\s+([A-Z0-9_]+)\s+([^\s|\-\d]+.*(?:\n\s{2,}\S.*)?)$")

	def request(self, command, mail):
		if command == "PING":
			return crlf("PING SPAMC/1.5", "")
		return crlf(f"{self.verb(command)} SPAMC/1.5", f"Content-length: {len(mail) + 2}", "User: exim",
		            *self.tells.get(command, ()), "") + mail + b"\r\n"

	def read(self, command, reply):
		lines = Lines(reply)
		first = lines.next() or ""
		match = re.fullmatch(r"SPAMD/([0-9.]+)\s([0-9]+)\s([0-9A-Z_]+)", first)
		if not match:
			raise NoVerdict(f"Invalid server response: {first}")
		if command == "PING":
			return {"alive": match[2] == "0"}
		head = lines.mime_head()
		if command in self.tells:
			return {"set": head.get("Didset", "").split(",") if "Didset" in head else [],
			        "removed": head.get("Didremove", "").split(",") if "Didremove" in head else []}
		match = re.match(r"(True|False|Yes|No)\s;\s(-?[0-9.]+)\s/\s([0-9.]+)", head.get("Spam", ""))
		if not match:
			raise NoVerdict(f"Invalid server response: {head.get('Spam')}")
		return {"spam": match[1] in ("True", "Yes"), "score": float(match[2]), "required": float(match[3]),
		        **self.body(command, lines)}

	def body(self, command, lines):
		if command in ("PROCESS", "HEADERS"):
			rest = lines.rest
			lines.mime_head()		# the message's own, which it must be able to read
			return {"message": rest}
		if command == "SYMBOLS":
			return {"symbols": [s for s in (lines.next() or "").split(",") if s]}
		return {"rules": list(self.table(lines))}

	def table(self, lines):
		"""A line whose second byte is no digit and no dash counts as the end of the one before it."""
		parts = lines.rest.decode().splitlines(keepends=True)
		begun = False
		while parts:
			line = parts.pop(0)
			if line != "\n" and len("".join(parts)) > 2 and not re.match(r"[\d-]", "".join(parts)[1]):
				line += parts.pop(0)
			if not begun:
				begun = line.startswith("----")
				continue
			row = self.RULE.search(line.rstrip("\n"))
			if row:
				yield float(row[1]), row[2]
			elif line != "\n":
				raise NoVerdict(f"Invalid server response: {line}")


class GoSaintienn(Client):
	"""Go, github.com/saintienn/go-spamc: every line has its fixed place.  (Its Ping sends nothing.)"""

	half_close = False
	commands = SCANS
	minus = False
	tells = {"learn spam": ("Set: local", "Message-class: spam"), "learn ham": ("Message-class: ham", "Set: local"),
	         "forget": ("Remove: local",), "report": ("Message-class: spam", "Set: local,remote")}

	def request(self, command, mail):
		return crlf(f"{self.verb(command)} SPAMC/1.5", f"Content-length: {len(mail) + 2}", *self.tells.get(command, ()),
		            "User: go", "") + mail + b"\r\n\r\n"

	def read(self, command, reply):
		lines = Lines(reply)
		first = lines.next() or ""
		match = re.search(r"(?i)SPAMD/([0-9.]+)\s([0-9]+)\s([0-9A-Z_]+)", first)
		if not match or match[2] != "0":
			raise NoVerdict(f"error: {first}")
		if command in self.tells:
			text = lines.all()
			return {"set": any("DidSet" in line for line in text), "removed": any("DidRemove" in line for line in text)}
		second = lines.next() or ""
		spam = second if command == "CHECK" else lines.next() or ""
		match = re.search(r"(?i)Spam:\s(True|False|Yes|No)\s;\s([0-9.]+)\s/\s([0-9.]+)", spam)
		if not match:
			raise NoVerdict(f"no verdict in {spam}")
		return {"spam": match[1][0] in "TtYy", "score": float(match[2]), "required": float(match[3]),
		        **self.body(command, lines)}

	@staticmethod
	def body(command, lines):
		lines.next()
		if command in ("PROCESS", "HEADERS"):
			return {"message": lines.rest}
		if command == "SYMBOLS":
			return {"symbols": [s for s in (lines.next() or "").split(",") if s]}
		rules, table = [], False
		for line in iter(lines.next, None):
			if table and not line:
				break
			if table:
				words = line.split(None, 2)
				if len(words) < 3:
					raise NoVerdict(f"panic: index out of range, at {line}")
				rules.append((float(words[0]), words[1]))
			table = table or line.startswith("----")
		return {"rules": rules}


class PythonSpamc(Client):
	"""Python, spamc of the package index; the file it sends is longer than it says by a CRLF."""

	tells = {"learn spam": ("Message-class: spam", "Set: local"), "learn ham": ("Message-class: ham", "Set: local"),
	         "forget": ("Remove: local",), "report": ("Message-class: spam", "Set: local, remote"),
	         "revoke": ("Message-class: ham", "Set: local", "Remove: remote")}
	RULE = re.compile(r"^(\s|-)([0-9.]+)\s+([A-Z0-9_]+)\s+([^\s|\-\d]+.*(?:\n\s{2,}\S.*)?)$", re.M)

	def request(self, command, mail):
		if command == "PING":
			mail = b""
		return crlf(f"{self.verb(command)} SPAMC/1.5", f"Content-length: {len(mail) + 2}", "User: python",
		            *self.tells.get(command, ()), "") + mail + b"\r\n\r\n"

	def read(self, command, reply):
		lines = reply.decode("latin-1").split("\r\n")
		if not re.match(r"SPAMD/[0-9.]+\s0\s[0-9A-Z_]+$", lines[0]):
			raise NoVerdict(f"spamd unrecognized response: {lines[0]}")
		result = {"set": any(line.startswith("DidSet:") for line in lines),
		          "removed": any(line.startswith("DidRemove:") for line in lines)} if command in self.tells else {}
		for line in filter(str.strip, lines[1:]):
			match = re.match(r"Spam:\s(True|False|Yes|No)\s;\s(-?[0-9.]+)\s/\s([0-9.]+)", line)
			if match:
				result.update(spam=match[1] in ("True", "Yes"), score=float(match[2]), required=float(match[3]))
			elif command == "SYMBOLS":
				result.setdefault("symbols", []).extend(re.findall(r"([A-Z][A-Z0-9_]+),?", line))
			elif command in ("REPORT", "REPORT_IFSPAM") and self.RULE.search(line):
				result["rules"] = [(float(sign.strip() + score), name) for sign, score, name, _ in self.RULE.findall(line)]
		if command in ("REPORT", "REPORT_IFSPAM"):
			result.setdefault("rules", [])
		if command in ("PROCESS", "HEADERS"):
			# process() loses the message's CRLFs, not its LFs.
			result["message"] = "\r\n".join(lines[4:]).encode("latin-1")
		if command == "PING":
			result["alive"] = True
		return result


class AioSpamc(Client):
	"""Python, aiospamc: every line must have its form, and the body the announced length."""

	# It hands a report on as it is.
	tells = {"learn spam": ("Message-class: spam", "Set: local"), "forget": ("Message-class: spam", "Remove: local"),
	         "report": ("Message-class: spam", "Set: local, remote"),
	         "revoke": ("Message-class: ham", "Remove: remote", "Set: local")}
	compress = False

	def request(self, command, mail):
		if command == "PING":
			return crlf("PING SPAMC/1.5", "")
		body = zlib.compress(mail) if self.compress else mail
		return crlf(f"{self.verb(command)} SPAMC/1.5", *self.tells.get(command, ()),
		            *(["Compress: zlib"] if self.compress else []), "User: aio", f"Content-length: {len(body)}", "") + body

	def read(self, command, reply):
		first, delimiter, rest = reply.partition(b"\r\n")
		words = first.decode("ascii").split(" ", 2)
		if len(words) != 3 or not words[0].startswith("SPAMD/") or not delimiter:
			raise NoVerdict(f"not in recognizable format: {first}")
		if int(words[1]):
			raise NoVerdict(f"{words[1]} {words[2]}")
		head, body = self.head(rest)
		if len(body) != int(head.get("Content-length", 0)):
			raise NoVerdict(f"{len(body)} bytes, not {head.get('Content-length', 0)}")
		if command == "PING":
			return {"alive": True}
		if command in self.tells:
			return {key: [part for part in ("local", "remote") if part in head.get(name, "").replace(" ", "").split(",")]
			        for key, name in (("set", "DidSet"), ("removed", "DidRemove"))}
		flag, score, required = re.split("[;/]", head["Spam"].replace(" ", ""))
		result = {"spam": {"true": True, "yes": True, "false": False, "no": False}[flag.lower()],
		          "score": float(score), "required": float(required)}
		if command == "SYMBOLS":
			result["symbols"] = [s for s in body.decode().strip().split(",") if s]
		if command in ("PROCESS", "HEADERS"):
			result["message"] = body
		if command in ("REPORT", "REPORT_IFSPAM"):
			rows = re.findall(r"(?m)^ *(-?\d+\.\d) ([A-Z0-9_]+)", body.decode())
			result["rules"] = [(float(score), name) for score, name in rows]
		return result

	@staticmethod
	def head(rest):
		"""({name: value}, body)"""
		head = {}
		while rest:
			line, delimiter, rest = rest.partition(b"\r\n")
			if not line and delimiter:
				return head, b"" if rest == b"\r\n" else rest
			if not delimiter:
				raise NoVerdict("Header section not in recognizable format")
			name, _, value = line.partition(b":")
			head[name.decode("ascii").strip()] = value.decode()
		return head, b""


class AioSpamcCompressed(AioSpamc):
	compress = True


CLIENTS = [client() for client in (JamesMailet, MimeDefang, GoTeamwork, GoBaruwa, GoSaintienn, PythonSpamc, AioSpamc,
                                   AioSpamcCompressed)]


def ask(client, port, command, mail):
	"""What client comes to.  NoVerdict, or a dict."""
	with connect(port) as sock:
		sock.sendall(client.request(command, mail))
		if client.half_close:
			sock.shutdown(socket.SHUT_WR)
		reply = b""
		while not (client.stops_at and re.search(client.stops_at, reply)):
			data = sock.recv(65536)
			if not data:
				break
			reply += data
	return client.read(command, reply)


class Scanning(Case):
	MAILS = [message(X_Test_Score=1.5, X_Test_Bulk=2), message(X_Test_Score=5), message(X_Test_Score=7, X_Test_Bulk=40),
	         message(X_Test_Score=9), message(X_Test_Action="soft reject"), message(X_Test_Action="reject"),
	         message(X_Test_Score=20.5), message(X_Test_Score=-3)]

	@classmethod
	def setUpClass(cls):
		cls.rspamd = common_rspamd()
		cls.shim = cls.shared(Shim, backend=cls.rspamd.url)
		cls.verdicts = [(mail, cls.rspamd.scan(mail)) for mail in cls.MAILS]

	def cases(self, *commands):
		"""(client, command, mail, rspamd's verdict) of all clients that have the command."""
		for client in CLIENTS:
			for command in commands:
				for mail, verdict in self.verdicts:
					if command in client.commands and (verdict["score"] >= 0 or client.minus):
						yield client, command, mail, verdict

	def case(self, client, command, verdict):
		return self.subTest(f"{client} {command}", action=verdict["action"], score=verdict["score"])

	def test_ping(self):
		for client in CLIENTS:
			if "PING" in client.commands:
				with self.subTest(client):
					self.assertEqual(ask(client, self.shim.port, "PING", b""), {"alive": True})

	def test_verdict(self):
		for client, command, mail, verdict in self.cases("CHECK", "SYMBOLS", "PROCESS", "HEADERS"):
			with self.case(client, command, verdict):
				spam = verdict["action"] in ("add header", "rewrite subject", "reject")
				result = ask(client, self.shim.port, command, mail)
				self.assertEqual((result["spam"], result["score"]), (spam, round(verdict["score"], 1)))
				self.assertEqual(result["score"] >= result["required"], spam)

	def test_symbols(self):
		for client, command, mail, verdict in self.cases("SYMBOLS"):
			with self.case(client, command, verdict):
				result = ask(client, self.shim.port, command, mail)
				self.assertEqual(sorted(result["symbols"]), sorted(verdict["symbols"]))

	def test_message(self):
		"""What was added can be taken off again; who sent a CRLF of his own gets it back with the body."""
		for client, command, mail, verdict in self.cases("PROCESS", "HEADERS"):
			with self.case(client, command, verdict):
				result = ask(client, self.shim.port, command, mail)
				got = email.message_from_bytes(result["message"])
				self.assertEqual(got["X-Spam-Action"], verdict["action"])
				self.assertEqual(got["X-Spam-Flag"], "YES" if result["spam"] else None)
				head, end, body = mail.partition(b"\n\n")
				if verdict["action"] == "rewrite subject":
					head = head.replace(b"Subject: a test", b"Subject: [SPAM] a test")
				if b"Content-length: %d\r\n" % (len(mail) + 2) in client.request(command, mail):
					body += b"\r\n"
				self.assertEqual(re.sub(rb"X-Spam-[^\n]*\n(?:[ \t][^\n]*\n)*", b"", result["message"]),
				                 head + end + (body if command == "PROCESS" else b""))

	def test_report(self):
		"""All of rspamd's symbols, which the table below everything else has."""
		for client, command, mail, verdict in self.cases("REPORT", "REPORT_IFSPAM"):
			# PythonSpamc knows no score of two digits, in spamd's table neither.
			if verdict["score"] > 9.9:
				continue
			with self.case(client, command, verdict):
				result = ask(client, self.shim.port, command, mail)
				rules = {(round(symbol["score"], 1), name) for name, symbol in verdict["symbols"].items()}
				if command == "REPORT_IFSPAM" and not result["spam"]:
					rules = set()
				self.assertEqual(len(result["rules"]), len(rules))
				self.assertEqual(set(result["rules"]), rules)

	def test_no_rspamd(self):
		"""All of them come to an error, never to a verdict."""
		shim = self.own(Shim, backend=f"http://127.0.0.1:{free_port()}")
		for client in CLIENTS:
			for command in SCANS:
				if command in client.commands:
					with self.subTest(f"{client} {command}"), self.assertRaises(NoVerdict):
						ask(client, shim.port, command, self.MAILS[0])

	def test_wrong_length_of_what_is_compressed(self):
		"""GoBaruwa and PythonSpamc can compress, but announce the size before it: an error."""
		mail = message("text\n" * 1000)
		for user in ("exim", "python"):
			head = crlf("CHECK SPAMC/1.5", f"Content-length: {len(mail) + 2}", "Compress: zlib", f"User: {user}", "")
			reply = talk(self.shim.port, head + zlib.compress(mail + b"\r\n") + b"\r\n", half_close=True)
			self.assertRegex(reply, rb"\ASPAMD/1\.0 76 Bad header line: [^\r\n]+\r\n\Z")


class Learning(Case):
	@classmethod
	def setUpClass(cls):
		cls.fake = FakeRspamd()
		cls.addClassCleanup(cls.fake.stop)
		password = cls.folder("password") / "password"
		password.write_text("secret\n")
		password.chmod(0o600)
		os.chown(password, *process.server_ids())
		cls.shim = cls.shared(Shim, backend=cls.fake.url, config="fuzzy_flag = 1\n",
		                      arguments=["--controller", cls.fake.url, "--password-file", password])

	def setUp(self):
		self.fake.answer('{"success":true}')

	@staticmethod
	def cases():
		return [(client, task, " ".join(lines)) for client in CLIENTS for task, lines in client.tells.items()]

	def test_done(self):
		"""The client hears that what it asked for was done, and rspamd got the mail."""
		for client, task, asked in self.cases():
			with self.subTest(f"{client} {task}"):
				self.fake.forget()
				result = ask(client, self.shim.port, task, message())
				for key, name in (("set", "Set"), ("removed", "Remove")):
					wanted = re.findall("local|remote", "".join(re.findall(rf"{name}: [a-z, ]*", asked)))
					if name == "Remove" and wanted:
						wanted = ["remote"]		# rspamd's Bayes, which is local, cannot forget
					got = result.get(key, [])
					self.assertEqual(got, bool(wanted) if isinstance(got, bool) else wanted)
				paths = [request.line.split()[1] for request in self.fake.requests]
				if "Set: local" in asked:
					self.assertEqual(paths[0], "/learnham" if "Message-class: ham" in asked else "/learnspam")
				else:
					self.assertEqual(paths, ["/fuzzydel"])
				self.assertTrue(self.fake.requests[0].body.startswith(message()))

	def test_learned_before(self):
		self.fake.answer("{}", status="208 Already Reported")
		for client, task, asked in self.cases():
			if task.startswith("learn"):
				with self.subTest(f"{client} {task}"):
					self.assertFalse(ask(client, self.shim.port, task, message())["set"])

	def test_failure(self):
		"""JamesMailet hears that nothing was set; it looks at no error."""
		self.fake.answer("{}", status="500 Internal Server Error")
		for client, task, _ in self.cases():
			with self.subTest(f"{client} {task}"):
				if isinstance(client, JamesMailet):
					self.assertEqual(ask(client, self.shim.port, task, message()), {"set": []})
					continue
				with self.assertRaises(NoVerdict):
					ask(client, self.shim.port, task, message())

"""mta-conf/others: what Stalwart and maddy say to rspamd, and how they read the answers.

Neither can be had as a package, so their exchanges are replayed, from their
source (Stalwart 0.5 to 0.16, maddy 0.9.4), with what the example files set.
"""

import http.client
import json
import re
import socket
import struct
import tomllib

from harness import SOURCE_TREE, Case, FakeRspamd, common_rspamd, free_port, message, process, verdict
from harness.milter import MilterRspamd
from test_mta_james import canned, serve

EXAMPLES = SOURCE_TREE / "mta-conf" / "others"
TEMPORARY = "451 4.3.5 Unable to accept message at this time."


class Stalwart:
	"""Its milter client, with stalwart.toml's settings and another port."""

	# Bits of the protocol, as the milter may ask for them: not to be sent these, not to wait for its reply to these.
	UNWANTED = {b"C": 1, b"H": 2, b"M": 4, b"R": 8, b"T": 0x200}
	NO_REPLY = {b"C": 0x1000, b"H": 0x2000, b"M": 0x4000, b"R": 0x8000, b"T": 0x10000, b"L": 0x80, b"N": 0x40000, b"B": 0x80000}

	def __init__(self, port):
		self.settings = tomllib.loads((EXAMPLES / "stalwart.toml").read_text())["session"]["milter"]["rspamd"]
		self.port = port
		self.protocol = 0

	def send(self, mail, client="192.0.2.7", sender="sender@client.example", recipients=("user@mx.example",)):
		"""(SMTP reply, [changes]) for a message."""
		try:
			return self._talk(mail.replace(b"\n", b"\r\n"), client, sender, recipients)
		except (OSError, EOFError):
			return (TEMPORARY if self.settings["options"]["tempfail-on-error"] else "250"), []

	def _talk(self, mail, client, sender, recipients):
		with socket.create_connection(("127.0.0.1", self.port), timeout=process.PATIENCE) as self.sock:
			self._write(b"O", struct.pack(">III", self.settings["options"]["version"], 0xff, 0x42))
			code, data = self._read()
			assert code == b"O"
			self.protocol = struct.unpack(">III", data)[2]
			steps = [(b"C", [b"{daemon_name}", b"Stalwart", b"j", b"mx.test.example", b"{client_addr}", client.encode()],
			          b"mail.client.example\0004" + struct.pack(">H", 4711) + client.encode() + b"\0"),
			         (b"H", [], b"client.example\0"),
			         (b"M", [b"{mail_addr}", sender.encode()], f"<{sender}>\0".encode())]
			steps += [(b"R", [b"{rcpt_addr}", to.encode()], f"<{to}>\0".encode()) for to in recipients]
			steps += [(b"T", None, b"")]
			head = mail[:mail.index(b"\r\n\r\n") + 2]
			for line in re.findall(rb"[^\r\n]+\r\n(?:[ \t][^\r\n]*\r\n)*", head):
				name, _, value = line.partition(b":")
				steps.append((b"L", None, name.strip() + b"\0" + value.strip() + b"\0"))
			# The body that Stalwart sends is the whole message once more.
			steps += [(b"N", None, b"")] + [(b"B", None, mail[at:at + 65535]) for at in range(0, len(mail), 65535)]
			for code, macros, data in steps:
				refused = self._step(code, macros, data)
				if refused:
					return refused, []
			self._write(b"E", b"")
			return self._end()

	def _step(self, code, macros, data):
		"""An SMTP reply if the milter ends it here."""
		if self.protocol & self.UNWANTED.get(code, 0):
			return None
		if macros is not None:
			self._write(b"D", code + b"".join(part + b"\0" for part in macros))
		self._write(code, data)
		if self.protocol & self.NO_REPLY.get(code, 0):
			return None
		return self._reply(*self._read())

	def _end(self):
		changes = []
		while True:
			code, data = self._read()
			if code in b"hi":
				name, value = data[4 * (code == b"i"):].split(b"\0")[:2]
				changes.append((name.decode(), value.decode()))
			elif code == b"m":
				name, value = data[4:].split(b"\0")[:2]
				changes.append((name.decode(), value.decode() or None))
			elif code != b"p":
				refused = self._reply(code, data)
				return (refused, []) if refused else ("250", changes)

	@staticmethod
	def _reply(code, data):
		if code == b"y":
			return data.rstrip(b"\0").decode()
		return {b"r": "503 5.5.3 Message rejected.", b"t": TEMPORARY, b"d": "250", b"a": None, b"c": None}[code]

	def _write(self, code, data):
		self.sock.sendall(struct.pack(">I", len(data) + 1) + code + data)

	def _read(self):
		size = struct.unpack(">I", self._exactly(4))[0]
		frame = self._exactly(size)
		return frame[:1], frame[1:]

	def _exactly(self, count):
		data = b""
		while len(data) < count:
			more = self.sock.recv(count - len(data))
			if not more:
				raise EOFError
			data += more
		return data


class ThroughMilter(Case):
	"""Stalwart and rspamd's proxy worker, configured by mta-conf/postfix's files."""

	@classmethod
	def setUpClass(cls):
		cls.rspamd = cls.shared(MilterRspamd)
		cls.stalwart = Stalwart(cls.rspamd.milter)

	def setUp(self):
		self.rspamd.seen()

	def test_actions(self):
		for headers, reply, mark in (
				({"X_Test_Score": 1.5}, "250", "No, score=1.50"), ({"X_Test_Score": 5}, "250", "No, score=5.00"),
				({"X_Test_Score": 7}, "250", "Yes, score=7.00"), ({"X_Test_Score": 9}, "250", "Yes, score=9.00"),
				({"X_Test_Action": "soft reject"}, "451 4.7.1 Try again later", None),
				({"X_Test_Action": "reject", "X_Test_Message": "4711"}, "554 5.7.1 4711", None),
				({"X_Test_Score": 20}, "554 5.7.1 Rejected as spam", None)):
			with self.subTest(headers):
				said, changes = self.stalwart.send(message(**headers))
				self.assertEqual((said, dict(changes).get("X-Spam-Status")), (reply, mark))
				self.assertEqual(dict(changes).get("Subject"), "[SPAM] a test" if mark == "Yes, score=9.00" else None)

	def test_what_rspamd_is_told(self):
		"""The envelope; and the head twice, which no DKIM signature survives."""
		mail = message(X_Test_Id="stalwart")
		self.stalwart.send(mail)
		seen = self.rspamd.await_seen()[0]
		self.assertEqual((seen["ip"], seen["from"], seen["rcpt"]), ("192.0.2.7", "sender@client.example", ["user@mx.example"]))
		self.assertEqual((seen["test_id"], seen["helo"]), ("stalwart", "client.example"))
		head = mail.partition(b"\n\n")[0]
		self.assertEqual(seen["size"], len((head + b"\n\n" + mail).replace(b"\n", b"\r\n")))

	def test_down(self):
		self.assertEqual(Stalwart(free_port()).send(message()), (TEMPORARY, []))


def maddy_settings():
	"""{directive: value} of maddy.conf's block, and rspamd's address."""
	text = re.sub(r"#.*", "", (EXAMPLES / "maddy.conf").read_text())
	url, block = re.fullmatch(r"\s*rspamd (\S+) \{(.*)\}\s*", text, re.S).groups()
	return url, dict(line.split() for line in block.splitlines() if line.strip())


class Maddy:
	"""Its check.rspamd: what becomes of a message, "" (nothing), quarantine, or an SMTP code."""

	# Before what maddy.conf sets; and the code that goes with reject.
	DEFAULTS = {"io_error_action": "ignore", "error_resp_action": "ignore", "add_header_action": "quarantine",
	            "rewrite_subj_action": "quarantine", "reject_action": "reject", "soft_reject_action": "reject"}
	CODES = {"io_error_action": 451, "error_resp_action": 451, "add_header_action": 450, "rewrite_subj_action": 450,
	         "reject_action": 550, "soft_reject_action": 450}
	ACTIONS = {"add header": "add_header_action", "rewrite subject": "rewrite_subj_action", "soft reject": "soft_reject_action",
	           "reject": "reject_action"}

	def __init__(self, port):
		self.port = port
		self.settings = {**self.DEFAULTS, **maddy_settings()[1]}

	def check(self, mail):
		"""(what becomes of it, header lines that are added)."""
		try:
			status, body = self._ask(mail.replace(b"\n", b"\r\n"))
			if status // 100 != 2:
				return self._apply("error_resp_action"), {}
			reply = json.loads(body)
		except (OSError, http.client.HTTPException, ValueError):
			return self._apply("io_error_action"), {}
		action, score = reply.get("action"), {"X-Spam-Score": f"{reply.get('score', 0):.2f}"}
		if action in ("soft reject", "reject"):
			return self._apply(self.ACTIONS[action]), {}
		if action in self.ACTIONS:
			return self._apply(self.ACTIONS[action]), {"X-Spam-Flag": "Yes", **score}
		return "", score if action == "greylist" else {}

	def _apply(self, directive):
		chosen = self.settings[directive]
		return {"ignore": "", "quarantine": "quarantine", "reject": self.CODES[directive]}[chosen]

	def _ask(self, mail):
		connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=process.PATIENCE)
		headers = {"User-Agent": "maddy", "Pass": "all", "Mta-Tag": "maddy", "Mta-Name": "mx.test.example",
		           "From": "sender@client.example", "Rcpt": "user@mx.example", "Queue-Id": "4711abcd", "Ip": "192.0.2.7",
		           "Helo": "client.example", "Hostname": "mail.client.example"}
		try:
			connection.request("POST", "/checkv2", iter([mail]), headers, encode_chunked=True)
			reply = connection.getresponse()
			return reply.status, reply.read()
		finally:
			connection.close()


class OverHttp(Case):
	"""maddy and rspamd's worker "normal"."""

	def test_settings(self):
		url, settings = maddy_settings()
		self.assertEqual(url, "http://127.0.0.1:11333")
		self.assertEqual(set(settings), set(Maddy.DEFAULTS))

	def test_actions(self):
		maddy = Maddy(common_rspamd().normal)
		for headers, wanted in (
				({"X_Test_Score": 1.5}, ("", {})), ({"X_Test_Score": 5}, ("", {"X-Spam-Score": "5.00"})),
				({"X_Test_Score": 7}, ("quarantine", {"X-Spam-Flag": "Yes", "X-Spam-Score": "7.00"})),
				({"X_Test_Score": 9}, ("quarantine", {"X-Spam-Flag": "Yes", "X-Spam-Score": "9.00"})),
				({"X_Test_Action": "soft reject"}, (450, {})), ({"X_Test_Score": 20}, (550, {}))):
			with self.subTest(headers):
				self.assertEqual(maddy.check(message(**headers)), wanted)

	def test_what_rspamd_is_told(self):
		rspamd = common_rspamd()
		rspamd.seen()
		Maddy(rspamd.normal).check(message())
		seen = rspamd.await_seen()[0]
		self.assertEqual((seen["ip"], seen["helo"], seen["hostname"]), ("192.0.2.7", "client.example", "mail.client.example"))
		self.assertEqual((seen["from"], seen["rcpt"], seen["queue_id"]),
		                 ("sender@client.example", ["user@mx.example"], "4711abcd"))

	def test_no_verdict(self):
		"""With maddy.conf the sender tries again; with its defaults the mail would pass."""
		self.assertEqual(Maddy(free_port()).check(message()), (451, {}))
		fake = FakeRspamd()
		self.addCleanup(fake.stop)
		for name, reply in (("error", canned({"error": "no"}, "500 Internal Server Error")), ("no JSON", canned("<html>")),
		                    ("closed", b""), ("cut", canned(verdict("reject", 20.0))[:-9])):
			with self.subTest(name):
				serve(fake, reply)
				self.assertEqual(Maddy(fake.port).check(message()), (451, {}))

	def test_actions_of_ones_own(self):
		"""What maddy does not know passes."""
		fake = FakeRspamd()
		self.addCleanup(fake.stop)
		serve(fake, canned(verdict("discard", 20.0)))
		self.assertEqual(Maddy(fake.port).check(message()), ("", {}))


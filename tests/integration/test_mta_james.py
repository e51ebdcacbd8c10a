"""mta-conf/james: what Apache James says to rspamd and to rspamd-shim, and how it reads the answers.

James cannot be had as a package, so its exchanges are replayed: the bytes are
those that its source (3.8 and 3.9) sends, and the replies are read by its own
rules.  What the example files configure is taken from these very files.
"""

import http.client
import io
import json
import os
import re
import socket
import urllib.parse
import xml.etree.ElementTree

from harness import SOURCE_TREE, Case, FakeRspamd, Redis, Rspamd, Shim, common_rspamd, free_port, message, process, verdict
import test_bayes
from test_other_clients import JamesMailet, NoVerdict, ask

EXAMPLES = SOURCE_TREE / "mta-conf" / "james"
CHUNK = 16384
ACTIONS = ("no action", "greylist", "add header", "rewrite subject", "soft reject", "reject")

# What each class of James's reads of its configuration.
OPTIONS = {
	"org.apache.james.rspamd.RspamdScanner": {"rewriteSubject", "virusProcessor", "rejectSpamProcessor", "perUserBayes", "rspamdUrl",
	                                          "rspamdPassword", "rspamdTimeout", "onMailetException"},
	"org.apache.james.spamassassin.SpamAssassin": {"onMailetException"},
	"WithStorageDirective": {"targetFolderName"},
	"ToRepository": {"repositoryPath"},
	"LocalDelivery": set(),
}


def properties(name):
	"""A .properties file as a dict."""
	lines = (line.strip() for line in (EXAMPLES / name).read_text().splitlines())
	return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def document(name):
	return xml.etree.ElementTree.parse(EXAMPLES / name).getroot()


class JamesError(Exception):
	"""The mailet fails: onMailetException says what becomes of the mail."""


class Mail:
	"""What James knows of a mail when the mailet sees it."""

	def __init__(self, data, recipients=("user@mx.example",), sender="sender@client.example", **attributes):
		self.data = data.replace(b"\n", b"\r\n")
		self.recipients = recipients
		self.sender = sender
		self.attributes = {"IP": "192.0.2.7", "Hostname": "mail.client.example", "HELO": "client.example", **attributes}


class RspamdHttpClient:
	"""James's class of this name: rspamd.properties, with rspamd's real address and password in it."""

	def __init__(self, port, password="rwpass"):
		known = properties("rspamd/rspamd.properties")
		self.url = urllib.parse.urlsplit(known["rspamdUrl"])
		self.port = port
		self.password = password
		self.per_user = known["perUserBayes"] == "true"

	def exchange(self, method, path, body=None, headers=()):
		"""(status, body); the connection must end with it, for James never tries again on another."""
		lines = [f"{method} {path} HTTP/1.1", "user-agent: ReactorNetty/1.2.9", f"host: {self.url.netloc}", "accept: */*",
		         f"Password: {self.password}", *(f"{name}: {value}" for name, value in headers)]
		if body is not None:
			lines.append("transfer-encoding: chunked")
		data = "".join(f"{line}\r\n" for line in [*lines, ""]).encode()
		try:
			with socket.create_connection(("127.0.0.1", self.port), timeout=process.PATIENCE) as sock:
				sock.sendall(data + (chunked(body) if body is not None else b""))
				reply = b"".join(iter(lambda: sock.recv(65536), b""))
		except ConnectionError as why:
			raise JamesError(str(why)) from None
		return read_reply(reply)

	def check(self, mail, deliver_to=None):
		"""The verdict as AnalysisResult has it."""
		headers = [(name, value) for name, value in mail.attributes.items() if value]
		headers += [("From", mail.sender)] if mail.sender else []
		headers += [("Rcpt", recipient) for recipient in mail.recipients]
		headers += [("Deliver-To", deliver_to)] if deliver_to else []
		status, body = self.exchange("POST", "/checkV2", mail.data, headers)
		if status != 200:
			raise JamesError(f"{status}: {body}")
		try:
			reply = json.loads(body)
			if reply["action"] not in ACTIONS:
				raise JamesError("There is no match deserialized action.")
			return {"action": reply["action"], "score": float(reply["score"]), "required": float(reply["required_score"] or 0),
			        "subject": reply.get("subject"), "virus": "CLAM_VIRUS" in reply["symbols"]}
		except (ValueError, KeyError) as why:
			raise JamesError(f"{type(why).__name__}: {why}") from None

	def learn(self, kind, data, deliver_to=None):
		"""Learned, or learned before; else JamesError."""
		status, body = self.exchange("POST", f"/learn{kind}", data, [("Deliver-To", deliver_to)] if deliver_to else [])
		if status not in (200, 204) and (status == 401 or not re.search(
				" has been already learned as (ham|spam), ignore it|Empty body is not permitted", body)):
			raise JamesError(f"{status}: {body}")
		return status


def chunked(body):
	parts = [body[at:at + CHUNK] for at in range(0, len(body), CHUNK)]
	return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def read_reply(data):
	"""(status, body) of a whole HTTP reply that says that the connection ends."""
	class Received:
		def makefile(self, *_):
			return io.BytesIO(data)
	try:
		reply = http.client.HTTPResponse(Received())
		reply.begin()
		body = reply.read().decode()
	except http.client.HTTPException as why:
		raise JamesError(f"{type(why).__name__}: {why}") from None
	assert reply.getheader("Connection", "").lower() == "close", data
	return reply.status, body


class Processors:
	"""A <processors> of the examples: what becomes of a mail in local-delivery."""

	def __init__(self, name):
		self.states = {processor.get("state"): list(processor) for processor in document(name)}

	def scanner(self):
		return {option.tag: option.text for option in self.states["local-delivery"][0]}

	def deliver(self, client, mail):
		"""(where it ends, its subject if changed, its status line)."""
		options = self.scanner()
		try:
			result = client.check(mail)
		except JamesError:
			return options["onMailetException"], None, None
		status = ("Yes," if result["action"] in ("reject", "add header", "rewrite subject") else "No,") + \
			f" actions={result['action']} score={result['score']} requiredScore={result['required']}"
		subject = result["subject"] if options.get("rewriteSubject") == "true" else None
		state = None
		if result["action"] == "reject":
			state = options.get("rejectSpamProcessor")
		if result["virus"]:
			state = options.get("virusProcessor", state)
		return state or self.folder(f"org.apache.james.rspamd.status: {status}"), subject, status

	def folder(self, line):
		"""What IsMarkedAsSpam and WithStorageDirective make of this line of a recipient's."""
		for mailet in self.states["local-delivery"]:
			if mailet.get("match").startswith("IsMarkedAsSpam"):
				mark = mailet.get("match").partition("=")[2] or "org.apache.james.spamassassin.status"
				if line.lower().startswith(f"{mark}: yes"):
					return mailet.find("targetFolderName").text
		return "INBOX"


class Examples(Case):
	"""The files say only what James reads."""

	def test_rspamd_properties(self):
		known = properties("rspamd/rspamd.properties")
		self.assertEqual(set(known), {"rspamdUrl", "rspamdPassword", "rspamdTimeout", "perUserBayes"})
		self.assertEqual(urllib.parse.urlsplit(known["rspamdUrl"]).port, 11334)
		self.assertGreater(int(known["rspamdTimeout"]), 8)	# rspamd's task_timeout

	def test_other_properties(self):
		self.assertEqual(properties("rspamd/extensions.properties"),
		                 {"guice.extension.module": "org.apache.james.rspamd.module.RspamdModule",
		                  "guice.extension.task": "org.apache.james.rspamd.module.RspamdTaskExtensionModule"})
		self.assertEqual(properties("rspamd/webadmin.properties")["extensions.routes"],
		                 "org.apache.james.rspamd.route.FeedMessageRoute")
		self.assertEqual(properties("rspamd/healthcheck.properties"),
		                 {"additional.healthchecks": "org.apache.james.rspamd.healthcheck.RspamdHealthCheck"})
		self.assertEqual(properties("spamassassin/extensions.properties"),
		                 {"guice.extension.module": "org.apache.james.spamassassin.SpamAssassinModule"})
		self.assertEqual(set(properties("spamassassin/spamassassin.properties")), {"spamassassin.host", "spamassassin.port"})

	def test_listeners(self):
		for name, options in (("rspamd/listeners.xml", {"reportAdded"}), ("spamassassin/listeners.xml", set())):
			with self.subTest(name):
				listener = document(name).find("listener")
				self.assertEqual(listener.find("class").text, {
					"rspamd": "org.apache.james.rspamd.RspamdListener",
					"spamassassin": "org.apache.james.spamassassin.SpamAssassinListener"}[name.split("/")[0]])
				self.assertEqual({option.tag for option in listener.find("configuration") or ()}, options)

	def test_processors(self):
		for name in ("rspamd/processors.xml", "spamassassin/processors.xml"):
			states = Processors(name).states
			for mailet in (mailet for mailets in states.values() for mailet in mailets):
				with self.subTest(name, mailet=mailet.get("class")):
					self.assertLessEqual({option.tag for option in mailet}, OPTIONS[mailet.get("class")])
					for option in mailet:
						if option.tag.endswith("Processor") or option.tag == "onMailetException":
							self.assertIn(option.text, {*states, "ignore", "propagate"})

	def test_handler(self):
		handler = document("spamassassin/handlerchain.xml").findall("handler")[-1]
		self.assertEqual(handler.get("class"), "org.apache.james.spamassassin.SpamAssassinHandler")
		self.assertEqual([option.tag for option in handler], ["spamdRejectionHits"])

	def test_cron(self):
		lines = [line for line in (EXAMPLES / "rspamd/james-feedback").read_text().splitlines() if not line.startswith("#")]
		actions = []
		for line in lines:
			url = urllib.parse.urlsplit(re.fullmatch(r"\d+ \d+ \* \* \* \w+ curl -fsS -X POST '(\S+)'", line)[1])
			asked = urllib.parse.parse_qs(url.query, strict_parsing=True)
			actions += asked["action"]
			self.assertEqual((url.port, url.path), (int(properties("rspamd/webadmin.properties")["port"]), "/rspamd"))
			self.assertLessEqual(set(asked), {"action", "period", "messagesPerSecond", "samplingProbability", "classifiedAsSpam",
			                                  "rspamdTimeout"})
			self.assertRegex(asked["period"][0], r"\A\d+d\Z")
		self.assertEqual(actions, ["reportSpam", "reportHam"])


class Scanner(Case):
	"""The mailet RspamdScanner and rspamd's controller."""

	@classmethod
	def setUpClass(cls):
		cls.rspamd = common_rspamd()
		cls.client = RspamdHttpClient(cls.rspamd.controller)
		cls.processors = Processors("rspamd/processors.xml")

	def setUp(self):
		self.rspamd.seen()

	def test_actions(self):
		"""Where each ends, and the line that says it."""
		for action, headers, where, score in (
				("no action", {"X_Test_Score": 1.5}, "INBOX", "1.5"), ("greylist", {"X_Test_Score": 5}, "INBOX", "5.0"),
				("add header", {"X_Test_Score": 7}, "Spam", "7.0"), ("rewrite subject", {"X_Test_Score": 9}, "Spam", "9.0"),
				("soft reject", {"X_Test_Action": "soft reject"}, "INBOX", "0.0"),
				("reject", {"X_Test_Score": 20}, "rejected", "20.0")):
			with self.subTest(action):
				ended, subject, status = self.processors.deliver(self.client, Mail(message(**headers)))
				self.assertEqual((ended, subject), (where, "[SPAM] a test" if action == "rewrite subject" else None))
				spam = "No" if where == "INBOX" else "Yes"
				self.assertEqual(status, f"{spam}, actions={action} score={score} requiredScore=15.0")

	def test_what_rspamd_is_told(self):
		mail = Mail(message(X_Test_Id="james"), recipients=("user@mx.example", "other@mx.example"), User="alice@mx.example")
		self.client.check(mail)
		seen = self.rspamd.await_seen()[0]
		self.assertEqual((seen["ip"], seen["hostname"], seen["helo"]), ("192.0.2.7", "mail.client.example", "client.example"))
		self.assertEqual((seen["from"], seen["rcpt"], seen["user"]),
		                 ("sender@client.example", ["user@mx.example", "other@mx.example"], "alice@mx.example"))
		self.assertEqual(seen["size"], len(mail.data))

	def test_large(self):
		"""Many chunks."""
		mail = Mail(message("text\n" * 100000, X_Test_Score=7))
		self.assertEqual(self.client.check(mail)["action"], "add header")
		self.assertEqual(self.rspamd.await_seen()[0]["size"], len(mail.data))

	def test_password(self):
		"""One for reading is enough to scan, a wrong one for nothing."""
		reader = RspamdHttpClient(self.rspamd.controller, "ropass")
		self.assertEqual(reader.check(Mail(message(X_Test_Score=7)))["action"], "add header")
		with self.assertRaisesRegex(JamesError, "^401: "):
			reader.learn("spam", message())
		stranger = RspamdHttpClient(self.rspamd.controller, "change-me")
		for act in (lambda: stranger.check(Mail(message())), lambda: stranger.learn("spam", message())):
			with self.assertRaisesRegex(JamesError, "^401: "):
				act()

	def test_other_worker(self):
		"""Why the address is the controller's: the worker that only scans does not learn."""
		client = RspamdHttpClient(self.rspamd.normal)
		self.assertEqual(client.check(Mail(message(X_Test_Score=7)))["action"], "add header")
		with self.assertRaises(JamesError):
			client.learn("spam", message())

	def test_health(self):
		self.assertEqual(self.client.exchange("GET", "/ping"), (200, "pong\r\n"))

	def test_no_verdict(self):
		"""Whatever it is: the mail goes where onMailetException says, and never looks clean."""
		fake = FakeRspamd()
		self.addCleanup(fake.stop)
		client = RspamdHttpClient(fake.port)
		for name, reply in (("error", canned({"error": "no"}, "500 Internal Server Error")), ("no JSON", canned("<html>")),
		                    ("error as 200", canned({"error": "no", "error_domain": "task"})), ("closed", b""),
		                    ("cut", canned(verdict("reject", 20.0))[:-9]),
		                    ("an action of one's own", canned(verdict("discard", 20.0)))):
			with self.subTest(name):
				serve(fake, reply)
				self.assertEqual(self.processors.deliver(client, Mail(message())), ("ignore", None, None))
		with self.subTest("not there"):
			self.assertEqual(self.processors.deliver(RspamdHttpClient(free_port()), Mail(message())), ("ignore", None, None))

	def test_virus(self):
		fake = FakeRspamd()
		self.addCleanup(fake.stop)
		serve(fake, canned(verdict("reject", 20.0, symbols={"CLAM_VIRUS": 4.0})))
		self.assertEqual(self.processors.deliver(RspamdHttpClient(fake.port), Mail(message()))[0], "virus")


def canned(reply, status="200 OK"):
	body = (reply if isinstance(reply, str) else json.dumps(reply)).encode()
	return f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def serve(fake, reply):
	"""Let the fake take a message in chunks and answer with these bytes."""
	def act(sock, _request):
		data = b""
		while not data.endswith(b"\r\n0\r\n\r\n"):
			data += sock.recv(65536)
		sock.sendall(reply)
	fake.behave(act, before_request=True)


# What is learnt, and what shows it: none of these is one of those.
WORDS = {"spam": test_bayes.SPAM, "ham": test_bayes.HAM}
NEW = {"spam": test_bayes.NEW_SPAM, "ham": test_bayes.NEW_HAM}


def lesson(text):
	"""One of the above as a mail; the line ends are those that James has."""
	return test_bayes.mail(text).replace(b"\n", b"\r\n")


class Taught(Case):
	"""The listeners, and what cron starts: what rspamd has learnt shows in the next mail."""

	@classmethod
	def setUpClass(cls):
		cls.redis = cls.shared(Redis)
		cls.rspamd = cls.shared(Rspamd, redis=cls.redis.port, per_user=cls.PER_USER)

	def setUp(self):
		self.redis.forget()

	def assert_known(self, *kinds, **headers):
		symbols = {kind: set(self.rspamd.scan(lesson(text), headers=headers)["symbols"]) for kind, text in NEW.items()}
		self.assertEqual(symbols, {kind: {f"BAYES_{kind.upper()}"} if kind in kinds else set() for kind in NEW})


class LearnsOverHttp(Taught):
	PER_USER = True

	def setUp(self):
		super().setUp()
		self.client = RspamdHttpClient(self.rspamd.controller)

	def learn(self, **options):
		return [self.client.learn(kind, lesson(text), **options)
		        for kind, texts in WORDS.items() for text in texts]

	def test_per_user(self):
		"""perUserBayes: what one user's mailbox taught is nothing to another."""
		self.assertEqual(self.learn(deliver_to="alice@mx.example"), [200] * 6)
		self.assert_known("spam", "ham", **{"Deliver-To": "alice@mx.example"})
		self.assert_known(**{"Deliver-To": "bob@mx.example"})

	def test_again(self):
		"""Cron reports the same mails each night: James takes that for success."""
		self.learn(deliver_to="alice@mx.example")
		self.assertEqual(self.learn(deliver_to="alice@mx.example"), [208] * 6)

	def test_corrected(self):
		"""A mail that was ham for James and is moved into Spam by its user."""
		for text in WORDS["spam"] + WORDS["ham"]:
			self.client.learn("ham", lesson(text), deliver_to="alice@mx.example")
		for text in WORDS["spam"]:
			self.assertEqual(self.client.learn("spam", lesson(text), deliver_to="alice@mx.example"), 200)
		self.assert_known("spam", "ham", **{"Deliver-To": "alice@mx.example"})

	def test_empty(self):
		"""James 3.9 ignores what rspamd says of it."""
		self.assertEqual(self.client.learn("spam", b""), 400)


class Handler(JamesMailet):
	"""SpamAssassinHandler, within SMTP: no recipient is named."""

	def request(self, command, mail):
		return super().request(command, mail).replace(b"User: any@james.example\r\n", b"")


class SpamAssassin(Taught):
	"""The SpamAssassin mailet, handler and listener, through rspamd-shim with the example's configuration."""

	PER_USER = True

	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		cls.processors = Processors("spamassassin/processors.xml")
		password = cls.folder("password") / "password"
		password.write_text("rwpass\n")
		password.chmod(0o600)
		os.chown(password, *process.server_ids())
		cls.password = password
		cls.shim = cls.shared(cls.shim_of_james, cls.rspamd.url)
		cls.port = cls.shim.port

	@classmethod
	def shim_of_james(cls, folder, backend):
		shim = Shim(folder, backend=backend)
		text = (EXAMPLES / "spamassassin/rspamd-shim.conf").read_text()
		for old, new in (("127.0.0.1:783", shim.address), ("127.0.0.1:11334", f"127.0.0.1:{cls.rspamd.controller}"),
		                 ("/etc/rspamd-shim.password", str(cls.password))):
			assert old in text, f"rspamd-shim.conf does not say {old!r}"
			text = text.replace(old, new)
		shim.write_config(text)
		return shim

	def test_actions(self):
		rejection = float(document("spamassassin/handlerchain.xml").find("handler/spamdRejectionHits").text)
		for headers, folder, rejected in (({"X_Test_Score": 1.5}, "INBOX", False), ({"X_Test_Score": 5}, "INBOX", False),
		                                  ({"X_Test_Score": 7}, "Spam", False), ({"X_Test_Score": 9}, "Spam", False),
		                                  ({"X_Test_Action": "soft reject"}, "INBOX", False), ({"X_Test_Score": 20}, "Spam", True),
		                                  ({"X_Test_Action": "reject"}, "Spam", False)):
			with self.subTest(headers):
				result = ask(JamesMailet(), self.port, "CHECK", message(**headers))
				status = f"{'Yes' if result['spam'] else 'No'}, hits={result['score']} required={result['required']}"
				self.assertEqual(self.processors.folder(f"org.apache.james.spamassassin.status: {status}"), folder)
				self.assertEqual(ask(Handler(), self.port, "CHECK", message(**headers))["score"] >= rejection, rejected)

	def test_learning(self):
		"""The listener's TELL: rspamd learns for the user that it names."""
		for kind, texts in WORDS.items():
			for text in texts:
				self.assertTrue(ask(JamesMailet(), self.port, f"report {kind}", lesson(text))["set"])
		self.assert_known("spam", "ham", **{"Deliver-To": "any@james.example"})
		self.assert_known(**{"Deliver-To": "bob@mx.example"})
		self.assertEqual(self.told(message())["headers"]["Deliver-To"], "any@james.example")

	def test_address(self):
		"""rspamd reads the client's address from the Received line that James has written."""
		mail = (b"Received: from 192.0.2.7 (EHLO client.example) ([192.0.2.7])\n          by mx.test.example (JAMES SMTP Server)"
		        b" with ESMTP ID 1234;\n          Mon, 01 Jun 2026 10:00:00 +0000 (UTC)\n"
		        b"Received: from x ([127.0.0.1])\n\tby y\n" + message())
		self.assertEqual(self.told(mail)["ip"], "192.0.2.7")

	def test_no_envelope(self):
		"""What looks like Exim's lines was written by a sender, and is not looked at."""
		self.shim.settle()
		mail = (b"From MAILER-DAEMON Mon Jun 01 10:00:00 2026\nX-Envelope-From: <forged@client.example>\n"
		        b"X-Envelope-To: user@mx.example\n" + message())
		seen = self.told(mail)
		self.assertEqual((seen["from"], seen["rcpt"]), (None, []))
		self.assertEqual(self.shim.await_requests()[-1]["envelope"], "off")

	def told(self, mail):
		self.rspamd.seen()
		ask(JamesMailet(), self.port, "CHECK", mail)
		return self.rspamd.await_seen()[0]

	def test_no_rspamd(self):
		"""No line begins with Spam: James writes "No, hits=?", and the handler lets it pass."""
		shim = self.own(self.shim_of_james, f"http://127.0.0.1:{free_port()}")
		for client in (JamesMailet(), Handler()):
			with self.subTest(client), self.assertRaises(NoVerdict):
				ask(client, shim.port, "CHECK", message(X_Test_Score=7))
		self.assertEqual(self.processors.folder("org.apache.james.spamassassin.status: No, hits=? required=?"), "INBOX")

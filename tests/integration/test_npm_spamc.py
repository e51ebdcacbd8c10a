"""npm's spamd clients, spamc and spamc-stream: what they make of the shim's replies.

Both read a reply in their own way, with regular expressions and no regard to
Content-length.  What they come to is compared with rspamd's verdict, and with
what they come to with SpamAssassin's spamd.
"""

import json

from harness import Case, FakeRspamd, Shim, common_rspamd, free_port, message, npm, verdict
from test_spamd import CRLF, HAM, SPAM, Base as BesideSpamd, without_marks

# Runs jobs, [client, port, method, arguments, text], one after the other and
# prints what each comes to: {error, result}.
DRIVER = """
const jobs = JSON.parse(require('fs').readFileSync(0))
const done = []
const next = () => {
	if (!jobs.length) return console.log(JSON.stringify(done))
	const [name, port, method, more, text] = jobs.shift()
	let called = false
	const end = (error, result) => {
		if (called) return
		called = true
		done.push({ error: error ? `${error.message || error}` : null, result })
		next()
	}
	const client = new (require(name))('127.0.0.1', port, %d)
	if (method === 'ping') return client.ping(end)
	if (name === 'spamc') return client[method](text, ...more, end)
	const stream = client[method]()
	stream.on('report', (result) => end(null, result))
	stream.on('error', end)
	stream.end(text)
}
next()
"""
COMMANDS = ("check", "symbols", "report", "reportIfSpam", "process", "headers")
CLIENTS = ("spamc", "spamc-stream")
# [(method, arguments)], in an order in which each has something to do
LEARNING = {
	"spamc": [("learn", ["spam"]), ("learn", ["spam"]), ("learn", ["ham"]), ("learn", ["forget"]), ("tell", []),
	          ("revoke", [])],
	"spamc-stream": [("spam", []), ("spam", []), ("ham", []), ("forget", []), ("tell", []), ("revoke", [])],
}


def run(jobs):
	"""[(error, result)] of jobs: (client, server, method, arguments, mail as bytes)."""
	node = npm.need("spamc")
	# Both clients give up after so many seconds: never before the test does.
	out = node.run(DRIVER % 3600, stdin=json.dumps(
		[[client, server.port, method, more, mail.decode()] for client, server, method, more, mail in jobs]).encode())
	return [(done["error"], done.get("result")) for done in json.loads(out)]


class Verdicts(Case):
	MAILS = {action: message(**headers) for action, headers in {
		"no action": {"X_Test_Score": 1, "X_Test_Bulk": 3},
		"greylist": {"X_Test_Score": 5},
		"add header": {"X_Test_Score": 7, "X_Test_Bulk": 2},
		"rewrite subject": {"X_Test_Score": 9},
		"soft reject": {"X_Test_Action": "soft reject", "X_Test_Message": "Come back, later"},
		"reject": {"X_Test_Score": 20.5},
	}.items()}

	@classmethod
	def setUpClass(cls):
		npm.need("spamc")
		cls.rspamd = common_rspamd()
		cls.shim = cls.shared(Shim, backend=cls.rspamd.url)

	def test_ping(self):
		self.assertEqual(run([(client, self.shim, "ping", [], b"") for client in CLIENTS]), [(None, True)] * 2)

	def test_every_action(self):
		"""Flag, score and threshold by each command."""
		verdicts = {action: self.rspamd.scan(mail) for action, mail in self.MAILS.items()}
		self.assertEqual({action: truth["action"] for action, truth in verdicts.items()},
		                 {action: action for action in self.MAILS})
		jobs = [(client, self.shim, command, [], mail) for client in CLIENTS for command in COMMANDS
		        for mail in self.MAILS.values()]
		results = iter(run(jobs))
		for client, _, command, _, mail in jobs:
			error, result = next(results)
			truth = next(verdicts[a] for a, m in self.MAILS.items() if m is mail)
			spam = truth["action"] in ("add header", "rewrite subject", "reject")
			with self.subTest(client, command=command, action=truth["action"]):
				self.assertEqual((error, result["responseCode"], result["responseMessage"]), (None, 0, "EX_OK"))
				self.assertEqual((result["isSpam"], result["spamScore"]), (spam, round(truth["score"], 1)))
				self.assertEqual(result["spamScore"] >= result["baseSpamScore"], spam)

	def test_negative_score(self):
		"""spamc knows no minus, and so no verdict: with spamd neither."""
		(_, first), (_, second) = run([(client, self.shim, "check", [], message(X_Test_Score=-3.4)) for client in CLIENTS])
		self.assertEqual(first, {"responseCode": 0, "responseMessage": "EX_OK"})
		self.assertEqual((second["isSpam"], second["spamScore"]), (False, -3.4))

	def test_symbols(self):
		"""The clients take what has a comma behind it: all but the last."""
		mail = message(X_Test_Score=1, X_Test_Bulk=50)
		names = set(self.rspamd.scan(mail)["symbols"])
		self.assertEqual(len(names), 51)
		for error, result in run([(client, self.shim, "symbols", [], mail) for client in CLIENTS]):
			self.assertIsNone(error)
			self.assertEqual(len(result["matches"]), 50)
			self.assertLess(set(result["matches"]), names)

	def test_rules(self):
		"""Rules whose description has a colon: those are all that these clients know."""
		fake = self.own(FakeRspamd)
		shim = self.own(Shim, backend=fake.url)
		fake.answer(verdict("add header", 7.0, symbols={
			"FIRST": {"score": 7.5, "description": "BODY: Weighs"}, "LAST": {"score": -0.5, "description": "URI: Hardly does"}}))
		for error, result in run([(client, shim, "report", [], SPAM) for client in CLIENTS]):
			self.assertIsNone(error)
			self.assertEqual([rule["name"] for rule in result["report"]], ["FIRST", "LAST"])

	def test_no_rspamd(self):
		"""No result of theirs looks like a verdict then."""
		shim = self.own(Shim, backend=f"http://127.0.0.1:{free_port()}")
		results = run([("spamc", shim, command, [], SPAM) for command in COMMANDS])
		self.assertEqual([(error, result["responseCode"], result.get("isSpam")) for error, result in results],
		                 [(None, 69, None)] * len(COMMANDS))
		self.assertEqual({error for error, _ in run([("spamc-stream", shim, c, [], SPAM) for c in COMMANDS])},
		                 {"TELL commands are not enabled, set the --allow-tell switch."})

	def test_learning_is_refused(self):
		jobs = [(client, self.shim, method, more, SPAM) for client in CLIENTS for method, more in LEARNING[client]]
		self.assertEqual({error for error, _ in run(jobs)},
		                 {"TELL commands are not enabled, set the --allow-tell switch."})


class Beside(BesideSpamd):
	"""The same with spamd and with the shim."""

	@classmethod
	def setUpClass(cls):
		npm.need("spamc")
		super().setUpClass()

	def alike_for(self, jobs):
		"""[(job, spamd's result, the shim's)], without an error."""
		theirs = run([(client, self.spamd, *job) for client, *job in jobs])
		ours = run([(client, self.shim, *job) for client, *job in jobs])
		self.assertEqual({error for error, _ in theirs + ours}, {None})
		return [(job, their, our) for job, (_, their), (_, our) in zip(jobs, theirs, ours)]

	def test_verdicts(self):
		jobs = [(client, command, [], mail) for client in CLIENTS
		        for command in ("check", "symbols", "report", "reportIfSpam") for mail in (SPAM, HAM, CRLF)]
		for job, theirs, ours in self.alike_for(jobs):
			with self.subTest(job[:2]):
				self.assertEqual(ours, theirs)

	def test_learning(self):
		"""didSet, didRemove, and neither for what was learned before."""
		for client in CLIENTS:
			mail = SPAM.replace(b"body", b"to be learned by " + client.encode())
			jobs = [(client, method, more, mail) for method, more in LEARNING[client]]
			results = self.alike_for(jobs)
			for job, theirs, ours in results:
				with self.subTest(job[:3]):
					self.assertEqual(ours, theirs)
			self.assertEqual([(r.get("didSet"), r.get("didRemove")) for _, _, r in results[:4]],
			                 [(True, None), (None, None), (True, None), (None, True)])

	def test_messages(self):
		"""process() returns the message, without its empty lines."""
		for job, theirs, ours in self.alike_for([(client, "process", [], CRLF) for client in CLIENTS]):
			with self.subTest(job[:2]):
				theirs, ours = (r.pop("message").replace("\r\n", "\n").encode() for r in (theirs, ours))
				self.assertIn(b"X-Spam-Flag: YES\n", ours)
				self.assertEqual(without_marks(ours), without_marks(theirs))

	def test_headers(self):
		"""headers() returns the lines, unfolded."""
		for job, theirs, ours in self.alike_for([(client, "headers", [], CRLF) for client in CLIENTS]):
			with self.subTest(job[:2]):
				plain = [[line for line in r["headers"] if not line.startswith("X-Spam-")] for r in (theirs, ours)]
				self.assertEqual(plain[1], plain[0])
				self.assertEqual(plain[1], ["Received: from a\tby b", "From: a@x.example", "Subject: a test",
				                            "X-Test-Score: 7"])
				marks = "\n".join(line for line in ours["headers"] if line.startswith("X-Spam-"))
				self.assertIn("X-Spam-Flag: YES\n", marks)
				self.assertIn("X-Spam-Status: Yes, score=8.0 required=5.0 tests=TEST_HEAVY,TEST_LIGHT\t", marks)

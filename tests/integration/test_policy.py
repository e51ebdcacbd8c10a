"""What becomes of a message that could not be scanned: each kind of failure by itself, for each listener."""

import re
import threading

from harness import (Case, FakeRspamd, RspamcReply, Rspamd, Shim, connect, free_port, message, receive, rspamc_request,
                     spamc_request, talk, verdict, wait_until)

MAIL = message()
LARGE = message(body="x" * 20000)
LIMITS = "max_message_size = 16K\nmax_queue = 0\ntask_timeout = 0.5\ntimeout_wait = 0.3\n"
FAILED = {False: rb"\ASPAMD/1\.0 (\d+) [^\r\n]+\r\n\Z", True: rb"\ARSPAMD/1\.3 75 EX_TEMPFAIL [^\r\n]+\r\n\Z"}


def http(body, status="200 OK"):
	return f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


class Faults:
	"""What a FakeRspamd does so that a message fails in a certain way."""

	def __init__(self, fake):
		self.fake = fake

	def unreachable(self):
		self.fake.raw(b"")

	def timeout(self):
		self.fake.silent()

	def rspamd_error(self):
		self.fake.raw(http('{"error":"no memory"}', "500 Internal Server Error"))

	def unreadable_reply(self):
		self.fake.raw(http("<html>no verdict</html>"))

	def incomplete_scan(self):
		self.fake.answer(verdict(time_real=0.51))

	def too_large(self):
		self.fake.answer(verdict())

	overload = too_large


# The key of the configuration, the word in the log, the code of spamd's error line.
KINDS = {
	"unreachable": ("unreachable", 69),
	"timeout": ("timeout", 79),
	"rspamd_error": ("rspamd-error", 75),
	"unreadable_reply": ("unreadable-reply", 75),
	"incomplete_scan": ("incomplete-scan", 75),
	"overload": ("overload", 75),
	"too_large": ("too-large", 69),
}
FAULTS = [kind for kind in KINDS if kind not in ("overload", "too_large")]


class Base(Case):
	def passed(self, reply, rspamc):
		"""The reply is the marked verdict on a message that nobody has scanned."""
		if rspamc:
			reply = RspamcReply(reply)
			self.assertEqual((reply.action, reply.flag, reply.score), ("no action", False, "0.00"))
			marks = [line for line in reply.report if b"RSPAMD_SHIM_UNSCANNED" in line]
			self.assertEqual(marks[0], b"Symbol: RSPAMD_SHIM_UNSCANNED(0.00)")
			self.assertRegex(marks[1], rb"\AX-Symbol: RSPAMD_SHIM_UNSCANNED\(0\.00\); [^ ]+ [^ ]+")
		else:
			self.assertRegex(reply, rb"\ASPAMD/1\.1 0 EX_OK\r\nSpam: False ; 0\.0 / \d+\.\d\r\n\r\nAction: no action\r\n")
			self.assertRegex(reply, rb"\r\n 0\.0 RSPAMD_SHIM_UNSCANNED  [^ ]+ [^ ]+")

	def deferred(self, reply, rspamc, code=None):
		failed = re.search(FAILED[rspamc], reply)
		self.assertTrue(failed, reply)
		if code and not rspamc:
			self.assertEqual(int(failed[1]), code)


class EachKind(Base):
	"""A listener for each kind of failure, which passes that one and defers the others."""

	@classmethod
	def setUpClass(cls):
		cls.fake = cls.shared(FakeRspamd)
		cls.ports = {kind: free_port() for kind in KINDS}
		sections = ""
		for kind, port in cls.ports.items():
			# too_large passes unless it is told otherwise.
			keys = {"too_large": "defer"} | {kind: "pass"}
			text = " ".join(f"on_{key} = {word}" for key, word in keys.items())
			sections += f'listen "127.0.0.1:{port}" {{ {text} }}\n'
		listen = [option for port in cls.ports.values() for option in ("-l", f"127.0.0.1:{port}")]
		cls.shim = cls.shared(Shim, backend=cls.fake.url, arguments=listen, config=LIMITS + sections)

	def everywhere(self, kind, mail=MAIL):
		"""Ask each listener, in both dialects, all at the same time."""
		self.shim.settle()
		replies = {}

		def ask(where, rspamc):
			request = rspamc_request(mail) if rspamc else spamc_request("REPORT", mail, "1.2")
			replies[where, rspamc] = talk(self.ports[where], request)
		threads = [threading.Thread(target=ask, args=(where, rspamc)) for where in KINDS for rspamc in (True, False)]
		for thread in threads:
			thread.start()
		for thread in threads:
			thread.join()
		for (where, rspamc), reply in replies.items():
			with self.subTest(listener=where, rspamc=rspamc):
				if where == kind:
					self.passed(reply, rspamc)
				else:
					self.deferred(reply, rspamc, KINDS[kind][1])
		lines = self.shim.await_requests(len(threads))
		self.assertEqual({line["failure"] for line in lines}, {KINDS[kind][0]})
		self.assertEqual(sorted(line["outcome"] for line in lines), ["error"] * (len(threads) - 2) + ["unscanned"] * 2)
		self.assertTrue(all(line["reason"] for line in lines))

	def test_faults_of_rspamd(self):
		for kind in FAULTS:
			with self.subTest(kind):
				getattr(Faults(self.fake), kind)()
				self.everywhere(kind)

	def test_too_large(self):
		self.fake.answer(verdict())
		self.everywhere("too_large", LARGE)

	def test_a_verdict_is_a_verdict(self):
		"""However bad it looks: a policy is about no verdict."""
		for reply in (verdict("reject", 20.0), verdict(is_skipped=True, message_id="undef"),
		              verdict("soft reject", time_real=9.0), verdict("reject", 16.0, time_real=9.0),
		              verdict(is_skipped=True, time_real=9.0)):
			with self.subTest(reply):
				self.fake.answer(reply)
				for port in self.ports.values():
					seen = RspamcReply(talk(port, rspamc_request(MAIL)))
					self.assertEqual(seen.action, reply["action"])
					self.assertNotIn(b"UNSCANNED", b"\n".join(seen.report))


class Everywhere(Base):
	"""All keys at the top of the file, and a listener that takes them back."""

	@classmethod
	def setUpClass(cls):
		cls.fake = cls.shared(FakeRspamd)
		cls.controller = cls.shared(FakeRspamd)
		cls.strict = free_port()
		cls.config = "\n".join(f"on_{kind} = pass" for kind in KINDS) + "\n" + LIMITS
		defer = " ".join(f"on_{kind} = defer" for kind in KINDS)
		cls.shim = cls.shared(Shim, backend=cls.fake.url, arguments=["-l", f"127.0.0.1:{cls.strict}"], config=
		                      cls.config + f'listen "127.0.0.1:{cls.strict}" {{ {defer} }}\n'
		                      f'controller "{cls.controller.url}" {{}}\n')

	def test_commands(self):
		"""Every command that wants a verdict, in every form of its reply."""
		Faults(self.fake).rspamd_error()
		head = rb"\ASPAMD/1\.1 0 EX_OK\r\n"
		spam, length = rb"Spam: (False|No) ; 0\.0 / \d+\.\d\r\n", rb"Content-length: \d+\r\n"
		back = rb"\r\n(?s:.*)tests=RSPAMD_SHIM_UNSCANNED\n(?s:.*)X-Spam-Action: no action\n" + re.escape(MAIL.split(b"\n\n")[0])
		table = rb" 0\.0 RSPAMD_SHIM_UNSCANNED  (?s:.*)HTTP status 500: no memory"
		for command, version, wanted in (
			("CHECK", "1.2", spam + rb"\r\n\Z"), ("CHECK", "1.5", spam + rb"\r\n\Z"),
			("SYMBOLS", "1.2", spam + rb"\r\nRSPAMD_SHIM_UNSCANNED\r\n\Z"),
			("SYMBOLS", "1.5", length + spam + rb"\r\nRSPAMD_SHIM_UNSCANNED\Z"),
			("REPORT", "1.2", spam + rb"\r\nAction: no action\r\n(?s:.*)" + table),
			("REPORT", "1.5", length + spam + rb"\r\nAction: no action\r?\n(?s:.*)" + table),
			("REPORT_IFSPAM", "1.2", spam + rb"\r\n\Z"), ("REPORT_IFSPAM", "1.5", length + spam + rb"\r\n\Z"),
			("PROCESS", "1.2", length + back), ("PROCESS", "1.5", length + spam + back),
			("HEADERS", "1.2", length + back), ("HEADERS", "1.5", length + spam + back)):
			with self.subTest(command=command, version=version):
				reply = talk(self.shim.port, spamc_request(command, MAIL, version))
				self.assertRegex(reply, head + wanted)
				if command == "PROCESS":
					self.assertTrue(reply.endswith(MAIL))
				self.deferred(talk(self.strict, spamc_request(command, MAIL, version)), False, 75)
		for command in ("CHECK", "SYMBOLS"):
			with self.subTest(command=command, dialect="rspamc"):
				self.passed(talk(self.shim.port, rspamc_request(MAIL, command)), True)
				self.deferred(talk(self.strict, rspamc_request(MAIL, command)), True)

	def test_nobody_there(self):
		"""Refused, and a name that there is not."""
		for url in ("http://127.0.0.1:9", "http://no-such-host.invalid:11333", "unix:/nonexistent/rspamd.sock"):
			with self.subTest(url):
				shim = self.own(Shim, backend=url, config=self.config)
				self.passed(talk(shim.port, rspamc_request(MAIL)), True)
				self.assertEqual(shim.await_requests()[-1]["failure"], "unreachable")

	def test_nothing_is_returned_that_is_not_kept(self):
		"""A message above the limit cannot come back, and its client has it still."""
		self.fake.answer(verdict())
		for command in ("PROCESS", "HEADERS"):
			self.deferred(talk(self.shim.port, spamc_request(command, LARGE)), False, 69)
		self.passed(talk(self.shim.port, spamc_request("REPORT", LARGE, "1.2")), False)

	def test_faults_of_clients(self):
		"""They are told, whatever the policy."""
		self.fake.answer(verdict())
		self.fake.forget()
		for request in (spamc_request("REPORT", b""), spamc_request("REPORT", MAIL, length=len(MAIL) + 1),
		                spamc_request("REPORT", MAIL, length="x"), spamc_request("REPORT", MAIL, Compress="lzma"),
		                spamc_request("REPORT", MAIL, Compress="zlib"), spamc_request("NONSENSE", MAIL),
		                b"REPORT SPAMC/1.5\r\nno colon\r\n\r\n" + MAIL, b"REPORT SPAMC/1.5\r\nUser: x"):
			with self.subTest(request[:60]):
				self.deferred(talk(self.shim.port, request, half_close=True), False)
		for request in (rspamc_request(b""), rspamc_request(MAIL, length=len(MAIL) + 1), rspamc_request(MAIL, "NONSENSE")):
			with self.subTest(request[:60]):
				self.deferred(talk(self.shim.port, request, half_close=True), True)
		self.assertEqual(self.fake.requests, [])

	def test_learning_never_passes(self):
		"""Who trains rspamd is to hear that it has not learned."""
		learn = spamc_request("TELL", MAIL, Message_class="spam", Set="local")
		for kind in ("unreachable", "timeout", "rspamd_error"):
			with self.subTest(kind):
				getattr(Faults(self.controller), kind)()
				reply = talk(self.shim.port, learn)
				self.deferred(reply, False)
				self.assertNotIn(b"DidSet", reply)
		self.deferred(talk(self.shim.port, spamc_request("TELL", LARGE, Message_class="spam", Set="local")), False, 69)


class Overload(Base):
	def test_queue_full(self):
		"""The one place at rspamd is taken, and there is no queue."""
		fake = self.own(FakeRspamd)
		strict = free_port()
		shim = self.own(Shim, arguments=["-l", f"127.0.0.1:{strict}"], config=
		                f'backend "{fake.url}" {{ max_requests = 1 }}\non_overload = pass\nmax_queue = 0\n'
		                f'listen "127.0.0.1:{strict}" {{ on_overload = defer }}\n')
		go = threading.Event()
		fake.behave(lambda sock, _request: (go.wait(60), sock.sendall(http('{"action":"reject","score":20}'))))
		self.addCleanup(go.set)
		with connect(shim.port) as first:
			first.sendall(rspamc_request(MAIL))
			fake.await_requests(1)
			for rspamc, request in ((True, rspamc_request(MAIL)), (False, spamc_request("REPORT", MAIL, "1.2"))):
				self.passed(talk(shim.port, request), rspamc)
				reply = talk(strict, request)
				self.deferred(reply, rspamc, 75)
				self.assertIn(b"max_queue = 0", reply)
			go.set()
			self.assertEqual(RspamcReply(receive(first)).action, "reject")
		self.assertEqual(len(fake.requests), 1, "none of the others reached it")
		self.assertEqual([line["failure"] for line in shim.await_requests(5) if "failure" in line], ["overload"] * 4)


class Real(Base):
	"""rspamd itself, which does not say that it gave up.  release: which one (packages.need())."""

	release = None

	@classmethod
	def setUpClass(cls):
		cls.rspamd = cls.shared(Rspamd, task_timeout="0.5s", release=cls.release)
		cls.lenient = free_port()
		cls.shim = cls.shared(Shim, backend=cls.rspamd.url, arguments=["-l", f"127.0.0.1:{cls.lenient}"], config=
		                      f'task_timeout = 0.5\nlisten "127.0.0.1:{cls.lenient}" {{ on_incomplete_scan = pass }}\n')

	def test_it_says_no_action(self):
		"""Why the shim has to look at the time."""
		reply = self.rspamd.scan(message(X_Test_Sleep=30))
		self.assertEqual((reply["action"], reply["is_skipped"]), ("no action", False))

	def test_task_timeout(self):
		mail = message(X_Test_Sleep=30, X_Test_Score=5)
		for rspamc, request in ((True, rspamc_request(mail)), (False, spamc_request("REPORT", mail, "1.2"))):
			self.shim.settle()
			reply = talk(self.shim.port, request)
			self.deferred(reply, rspamc, 75)
			self.assertRegex(reply, rb'rspamd gave up after 0\.\d s \(its task_timeout\) with action "greylist"')
			self.passed(talk(self.lenient, request), rspamc)
			for line, outcome in zip(self.shim.await_requests(2), ("error", "unscanned")):
				self.assertEqual((line["outcome"], line["failure"]), (outcome, "incomplete-scan"))

	def test_spam_by_then(self):
		"""What was found is enough."""
		for score, action in ((7, "add header"), (20, "reject")):
			reply = RspamcReply(talk(self.shim.port, rspamc_request(message(X_Test_Sleep=30, X_Test_Score=score))))
			self.assertEqual(reply.action, action)

	def test_in_time(self):
		# A busy machine may take half a second for it.
		shim = self.own(Shim, backend=self.rspamd.url, config="task_timeout = 60\n")
		self.assertEqual(RspamcReply(talk(shim.port, rspamc_request(message(X_Test_Score=5)))).action, "greylist")
		# The least that can be called a message.
		self.assertEqual(RspamcReply(talk(shim.port, rspamc_request(b"\n"))).action, "no action")

	def test_an_empty_task(self):
		"""What rspamd says of no message at all is what the shim tells apart."""
		status, nothing = self.rspamd.http("POST", "/checkv2", b"")
		self.assertEqual(status, 200)
		fake = self.own(FakeRspamd)
		fake.answer(nothing)
		shim = self.own(Shim, backend=fake.url, config="")
		reply = talk(shim.port, rspamc_request(MAIL))
		self.deferred(reply, True)
		self.assertIn(b"rspamd saw no message", reply)

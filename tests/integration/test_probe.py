"""--probe: what it says of every kind of server, and that it changes nothing."""

import json
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import threading
import unittest

from harness import Case, FakeRspamd, Rspamd, Shim, free_port, verdict
from harness import process
from harness.shim import TROUBLE, binary

EX_OK, EX_UNAVAILABLE, EX_NOPERM, EX_CONFIG = 0, 69, 77, 78
SECONDS = 100			# against a probe that hangs

LINE = re.compile(r"(ok|note|warning|PROBLEM) +(listener|status|backend|controller) +(\S+) +(\S+) +(\S.*)\Z")


class Finding:
	def __init__(self, line):
		match = LINE.match(line)
		assert match, f"not a finding: {line!r}"
		self.level, self.role, self.where, self.step, self.text = match.groups()
		self.column = match.start(4)

	def __repr__(self):
		return f"{self.level} {self.role} {self.where} {self.step}: {self.text}"


class Result:
	"""What a run of --probe wrote."""

	def __init__(self, done):
		self.code, self.output = done.returncode, done.stdout
		lines = done.stdout.splitlines()
		self.findings = [Finding(line) for line in lines[:-1]]
		self.summary = lines[-1] if lines else ""

	def of(self, where, *steps):
		"""(level, step, text) of each finding at this address."""
		return [(f.level, f.step, f.text) for f in self.findings if f.where == where and (not steps or f.step in steps)]

	def bad(self):
		"""(level, step, text) of what is not well."""
		return [(f.level, f.step, f.text) for f in self.findings if f.level in ("warning", "PROBLEM")]


class Probing(Case):
	def run_probe(self, *arguments, config="", listen=None):
		"""A Result; listen: instead of an address where nobody listens."""
		path = self.folder("conf") / "shim.conf"
		path.write_text("# nothing else\n" if config == "" else config)
		command = [*shlex.split(os.environ.get("SHIM_WRAPPER", "")), str(process.reachable(binary())), "-c", str(path), "--probe"]
		for address in [f"127.0.0.1:{free_port()}"] if listen is None else listen:
			command += ["-l", address]
		done = subprocess.run([*command, *(str(a) for a in arguments)], capture_output=True, text=True, timeout=SECONDS)
		self.assertNotRegex(done.stderr, TROUBLE)
		# valgrind cannot remove what it made with more rights
		self.assertEqual(re.sub(r"==\d+== could not unlink .*\n", "", done.stderr), "")
		return Result(done)

	def password_file(self, password):
		path = self.folder("password") / "password"
		path.write_text(password + "\n")
		path.chmod(0o600)
		return path

	def only_problem(self, result, level, step, pattern, code):
		"""Nothing else is wrong than what pattern matches."""
		self.assertEqual([(found, at) for found, at, _ in result.bad()], [(level, step)], result.output)
		self.assertRegex(result.bad()[0][2], pattern)
		self.assertEqual(result.code, code)
		self.assertEqual(result.summary, "1 problem, 0 warnings" if level == "PROBLEM" else "0 problems, 1 warning")


def url(port):
	return f"http://127.0.0.1:{port}"


class Server:
	"""A server that answers each connection as reply(bytes) says.

	reply gets the first bytes of a client (a whole HTTP request, if it is
	one) and returns the answer; None: it stays silent until the client goes.
	certificate: it speaks TLS.
	"""

	def __init__(self, reply, certificate=None, address=("127.0.0.1", 0), greeting=b"", path=None, family=socket.AF_INET):
		self.reply, self.greeting = reply, greeting
		self.asked = []
		self.context = None
		if certificate:
			self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
			self.context.load_cert_chain(certificate)
		if path:
			self.listener = socket.socket(socket.AF_UNIX)
			self.listener.bind(str(path))
			self.listener.listen(16)
		else:
			self.listener = socket.create_server(address, family=family)
			self.port = self.listener.getsockname()[1]
		threading.Thread(target=self._run, daemon=True).start()

	def _run(self):
		while True:
			try:
				sock = self.listener.accept()[0]
			except OSError:
				return
			threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

	def _serve(self, sock):
		with sock:
			try:
				sock.settimeout(SECONDS)
				if self.context:
					sock = self.context.wrap_socket(sock, server_side=True)
				sock.sendall(self.greeting)
				data = self._request(sock)
				self.asked.append(data)
				answer = self.reply(data)
				if answer is None:
					sock.recv(1)
				else:
					sock.sendall(answer)
				if self.context:
					sock.unwrap()
			except (OSError, ValueError):
				pass

	@staticmethod
	def _request(sock):
		data = sock.recv(65536)
		while data and b"HTTP/1.1\r\n" in data and not Server._whole(data):
			data += sock.recv(65536)
		return data

	@staticmethod
	def _whole(data):
		head, end, body = data.partition(b"\r\n\r\n")
		length = re.search(rb"(?i)\r\nContent-Length: (\d+)", head)
		return bool(end) and (not length or len(body) >= int(length[1]))

	def stop(self):
		try:
			self.listener.shutdown(socket.SHUT_RDWR)
		except OSError:
			pass
		self.listener.close()


def http(body, status="200 OK", server="rspamd/3.4"):
	body = body if isinstance(body, bytes) else json.dumps(body).encode()
	return b"HTTP/1.1 %s\r\nConnection: close\r\nServer: %s\r\nContent-Length: %d\r\n\r\n%s" % (
		status.encode(), server.encode(), len(body), body)


UNKNOWN = http({"error": "invalid command"}, "500 invalid command")


def worker(scan=http(verdict()), ping=http(b"pong\r\n"), other=UNKNOWN):
	"""A reply() for Server: a scan worker, or what differs from one."""
	def reply(data):
		if data.startswith(b"GET /ping "):
			return ping
		return scan if data.startswith(b"POST /checkv2 ") else other
	return reply


class Real(Probing):
	"""Every worker that rspamd has."""

	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		cls.milter, cls.self_scan, cls.trusting, cls.open = (free_port() for _ in range(4))
		extra = f'''
			worker "rspamd_proxy" {{ bind_socket = "127.0.0.1:{cls.milter}"; count = 1; milter = yes;
				upstream "local" {{ default = yes; self_scan = yes; }} }}
			worker "rspamd_proxy" {{ bind_socket = "127.0.0.1:{cls.self_scan}"; count = 1; milter = no;
				upstream "local" {{ default = yes; self_scan = yes; }} }}
			worker "controller" {{ bind_socket = "127.0.0.1:{cls.trusting}"; count = 1; password = "other";
				secure_ip = ["127.0.0.1"]; }}
			worker "controller" {{ bind_socket = "127.0.0.1:{cls.open}"; count = 1; }}
		'''
		cls.rspamd = cls.shared(Rspamd, extra=extra)
		for port in (cls.milter, cls.self_scan, cls.trusting, cls.open):
			process.wait_until(lambda port=port: cls.listens(port), f"rspamd listens on {port}")

	@staticmethod
	def listens(port):
		with socket.socket() as sock:
			return sock.connect_ex(("127.0.0.1", port)) == 0

	def controller(self, port, password=None):
		arguments = ["--password-file", self.password_file(password)] if password else []
		return self.run_probe("-b", self.rspamd.url, "--controller", url(port), *arguments)

	def test_all_is_well(self):
		backends = [self.rspamd.url, url(self.rspamd.proxy), f"unix:{self.rspamd.unix}"]
		controller = url(self.rspamd.controller)
		result = self.run_probe(*(word for b in backends for word in ("-b", b)), "--controller", controller,
		                        "--password-file", self.password_file("rwpass"))
		self.assertEqual((result.bad(), result.summary, result.code), ([], "all is well", EX_OK))
		for backend in backends:
			steps = result.of(backend)
			self.assertEqual([step for _, step, _ in steps], ["connect", "ping", "scan", "half-close"])
			self.assertRegex(steps[0][2], r"\A\d+\.\d ms\Z")
			name = re.escape("rspamd/" + ".".join(map(str, self.rspamd.facts.release)))
			self.assertRegex(steps[1][2], rf"\A\d+\.\d ms, {name}\Z")
			self.assertRegex(steps[2][2], r'\A\d+\.\d ms, "no action", score 0\.00\Z')
			self.assertIn("would be answered", steps[3][2])
		self.assertEqual(result.of(controller, "password"), [("ok", "password", "it is right: learning is allowed")])
		self.assertEqual(result.findings[0].level, "note")
		self.assertIn("the daemon does not run", result.findings[0].text)
		self.assertEqual(len({f.column for f in result.findings}), 1, "not aligned")
		self.assertNotIn("rwpass", result.output)

	def test_nothing_is_counted_or_learned(self):
		def counters():
			stat = json.loads(self.rspamd.http("GET", "/stat", headers={"Password": "ropass"}, port=self.rspamd.controller)[1])
			return stat["scanned"], stat["learned"], stat["actions"]
		before = counters()
		result = self.run_probe("-b", self.rspamd.url, "-b", url(self.rspamd.proxy), "--controller", url(self.rspamd.controller),
		                        "--password-file", self.password_file("rwpass"))
		self.assertEqual(result.code, EX_OK)
		self.assertEqual(counters(), before)
		# which would show it: a mail of no probe counts
		self.rspamd.scan(b"Subject: x\r\n\r\nx\r\n")
		process.wait_until(lambda: counters() != before, "rspamd counted a mail")

	def test_milter(self):
		result = self.run_probe("-b", url(self.milter))
		self.only_problem(result, "PROBLEM", "ping", r"is a milter .*normal worker \(port 11333\)", EX_UNAVAILABLE)

	def test_controller_as_backend(self):
		result = self.run_probe("-b", url(self.rspamd.controller))
		self.only_problem(result, "PROBLEM", "scan", r"rspamd's controller.*normal worker \(port 11333\)", EX_UNAVAILABLE)

	def test_controller_that_scans(self):
		result = self.run_probe("-b", url(self.trusting))
		self.only_problem(result, "warning", "scan", r"rspamd's controller, which scans.*\(port 11333\)", EX_OK)

	def test_self_scanning_proxy(self):
		"""It answers rspamd's text protocol in HTTP: of no use to Exim."""
		result = self.run_probe("-b", url(self.self_scan))
		self.assertEqual((result.bad(), result.code), ([], EX_OK))
		self.assertEqual([(level, "at all" in text) for level, _, text in result.of(url(self.self_scan), "half-close")], [("note", True)])

	def test_https_to_plain(self):
		result = self.run_probe("-b", f"https://127.0.0.1:{self.rspamd.normal}")
		self.only_problem(result, "PROBLEM", "tls", r"does not speak TLS; write http://", EX_UNAVAILABLE)

	def test_passwords(self):
		port = self.rspamd.controller
		for where, password, level, pattern in (
				(port, "rwpass", "ok", r"it is right"),
				(port, "ropass", "PROBLEM", r"for looking only; learning wants its enable_password in /"),
				(port, "nonsense", "PROBLEM", r"it is refused; put rspamd's enable_password"),
				(port, None, "PROBLEM", r"a password is wanted; .*password_file"),
				(self.trusting, "nonsense", "ok", r"from here it needs none"),
				(self.trusting, None, "ok", r"none is needed"),
				(self.open, None, "ok", r"none is needed"),
				(self.open, "nonsense", "PROBLEM", r"rspamd has no password and refuses ours; take password_file away")):
			with self.subTest(f"{pattern} {password}"):
				result = self.controller(where, password)
				if level == "ok":
					self.assertEqual((result.bad(), result.code), ([], EX_OK))
					self.assertRegex(result.of(url(where), "password")[0][2], pattern)
				else:
					self.only_problem(result, level, "password", pattern, EX_NOPERM)
				self.assertNotIn("nonsense", result.output)

	def test_wrong_password_is_sent_once(self):
		"""rspamd 4.1 locks out who sends ten in a minute."""
		fake = self.own(FakeRspamd)

		def answer(sock, request):
			pinged = " /ping " in request.line
			sock.sendall(http(b"pong\r\n") if pinged else http(b'{"error":"Unauthorized"}', status="401 Unauthorized"))
		fake.behave(answer)
		self.only_problem(self.controller(fake.port, "nonsense"), "PROBLEM", "password", r"it is refused", EX_NOPERM)
		self.assertEqual([r.get("Password") for r in fake.requests if r.get("Password")], ["nonsense"])

	def test_no_controller(self):
		for port, step in ((self.rspamd.normal, "password"), (self.rspamd.proxy, "password"), (self.self_scan, "password"),
		                   (self.milter, "ping")):
			with self.subTest(port):
				self.only_problem(self.controller(port, "rwpass"), "PROBLEM", step,
				                  r"a controller is rspamd's worker of that name \(port 11334\)", EX_CONFIG)

	def test_controller_away(self):
		result = self.controller(free_port(), "rwpass")
		self.only_problem(result, "PROBLEM", "connect", r"Connection refused; .*\(port 11334\)", EX_UNAVAILABLE)


class ShutdownWorkaroundOff(Probing):
	def test_half_close(self):
		rspamd = self.own(Rspamd, extra="options { enable_shutdown_workaround = false; }")
		# a scan that is faster than the news of the half-close is answered all the same
		for _ in range(20):
			result = self.run_probe("-b", rspamd.url)
			self.assertEqual((result.bad(), result.code), ([], EX_OK))
			level, _, text = result.of(rspamd.url, "half-close")[0]
			self.assertEqual(level, "note")
			self.assertRegex(text, r"enable_shutdown_workaround is false.*Exim 4\.86 and 4\.87")


class Backends(Probing):
	"""Servers that are none of rspamd's, and rspamds that are not well."""

	def server(self, reply, **options):
		server = Server(reply, **options)
		self.addCleanup(server.stop)
		return server

	def problem(self, reply, step, pattern, config="", **options):
		server = self.server(reply, **options)
		result = self.run_probe("-b", url(server.port), config=config)
		self.only_problem(result, "PROBLEM", step, pattern, EX_UNAVAILABLE)

	def test_request(self):
		"""It is the daemon's, for a mail with a head and a body."""
		server = self.server(worker())
		result = self.run_probe("-b", url(server.port))
		self.assertEqual((result.bad(), result.code), ([], EX_OK))
		head, _, body = next(data for data in server.asked if data.startswith(b"POST /checkv2 ")).partition(b"\r\n\r\n")
		self.assertIn(b"\r\nHost: 127.0.0.1:%d\r\n" % server.port, head)
		self.assertIn(b"\r\nFlags: no_log,no_stat", head)
		self.assertIn(b"\r\nContent-Length: %d\r\n" % len(body), head)
		self.assertRegex(body, rb"(?s)\AFrom: .*\r\nDate: \w{3}, \d\d \w{3} \d{4} .*\r\n\r\n.*probe.*\r\n\Z")

	def test_refused(self):
		result = self.run_probe("-b", url(free_port()))
		self.only_problem(result, "PROBLEM", "connect", r"Connection refused; nobody listens", EX_UNAVAILABLE)

	def test_fuzzy_port(self):
		with socket.socket() as sock:
			if sock.connect_ex(("127.0.0.1", 11335)) == 0:
				self.skipTest("somebody listens on TCP port 11335 here")
		result = self.run_probe("-b", url(11335))
		self.only_problem(result, "PROBLEM", "connect", r"fuzzy storage, which speaks UDP.*port 11333", EX_UNAVAILABLE)

	def test_unix_sockets(self):
		folder = self.folder("sockets")
		result = self.run_probe("-b", f"unix:{folder}/none")
		self.only_problem(result, "PROBLEM", "connect", r"No such file.*there is no such socket", EX_UNAVAILABLE)
		self.server(worker(), path=folder / "gone").stop()
		(folder / "gone").chmod(0o666)
		result = self.run_probe("-b", f"unix:{folder}/gone")
		self.only_problem(result, "PROBLEM", "connect", r"nobody listens on this socket", EX_UNAVAILABLE)

	def test_with_the_rights_of_the_workers(self):
		if os.geteuid() != 0:
			self.skipTest("only root gives up rights")
		path = self.folder("sockets") / "private"
		self.server(worker(), path=path)
		path.chmod(0o600)
		result = self.run_probe("-b", f"unix:{path}", config="user = nobody\n")
		self.only_problem(result, "PROBLEM", "connect", r"Permission denied; give the workers' user access", EX_UNAVAILABLE)
		path.chmod(0o666)
		self.assertEqual(self.run_probe("-b", f"unix:{path}", config="user = nobody\n").code, EX_OK)

	def test_unknown_name(self):
		result = self.run_probe("-b", "http://no-such-host.invalid:11333", config="timeout_connect = 20\n")
		self.assertEqual([(level, step) for level, step, _ in result.bad()], [("PROBLEM", "name")])
		# why, depends on what name servers there are
		self.assertIn("correct the URL, or /etc/resolv.conf", result.bad()[0][2])
		self.assertEqual(result.code, EX_UNAVAILABLE)

	def test_name(self):
		server = self.server(worker())
		result = self.run_probe("-b", f"http://localhost:{server.port}")
		self.assertEqual(result.code, EX_OK)
		names = result.of(f"http://localhost:{server.port}", "name")
		self.assertEqual(len(names), 1)
		self.assertIn(f"127.0.0.1:{server.port}", names[0][2])
		self.assertEqual([step for _, step, _ in result.of(f"127.0.0.1:{server.port}")], ["connect", "ping", "scan", "half-close"])

	def test_second_of_two_addresses(self):
		addresses = {info[4][0] for info in socket.getaddrinfo("localhost", None)}
		if len(addresses) < 2:
			self.skipTest(f"localhost has one address here: {addresses}")
		server = self.server(worker())
		result = self.run_probe("-b", f"http://localhost:{server.port}")
		self.only_problem(result, "warning", "connect", r"Connection refused", EX_OK)

	def test_addresses_that_differ(self):
		"""The daemon asks the first that it can connect to, whatever that is."""
		addresses = {info[4][0] for info in socket.getaddrinfo("localhost", None)}
		if addresses != {"127.0.0.1", "::1"}:
			self.skipTest(f"localhost has other addresses here: {addresses}")
		server = self.server(worker())
		name = f"http://localhost:{server.port}"
		other = Server(lambda data: b"huh?\r\n", address=("::1", server.port), family=socket.AF_INET6)
		self.addCleanup(other.stop)
		self.only_problem(self.run_probe("-b", name), "PROBLEM", "ping", r"does not speak HTTP", EX_UNAVAILABLE)
		result = self.run_probe("-b", f"http://localhost:{free_port()}")
		self.assertEqual([(level, step) for level, step, _ in result.bad()], [("warning", "connect")] * 2 + [("PROBLEM", "connect")])
		self.assertEqual(result.code, EX_UNAVAILABLE)

	def test_no_rspamd(self):
		for greeting, reply, pattern in (
				(b"220 mx.example ESMTP\r\n", None, r'this is a mail server, it says "220 mx\.example ESMTP"; .*port 11333'),
				(b"SSH-2.0-Some\x1b[2J\r\n", None, r'an SSH server, it says "SSH-2\.0-Some\?\[2J"'),
				(b"", b"-ERR unknown command 'GET'\r\n", r"this is Redis"),
				(b"", b"SPAMD/1.0 76 Bad header line: GET /ping HTTP/1.1\r\n", r"this is SpamAssassin's spamd"),
				(b"", b"huh?\r\n", r'does not speak HTTP, it says "huh\?"'),
				(b"", b"", r"closed without an answer")):
			with self.subTest(pattern):
				self.problem(lambda data, reply=reply: reply, "ping", pattern, greeting=greeting)

	def test_web_server(self):
		page = http(b"<html>Not Found</html>", "404 Not Found", "nginx/1.22")
		self.problem(lambda data: page, "scan", r"an HTTP server that is not rspamd \(status 404, nginx/1\.22\); .*port 11333")

	def test_ping_is_not_passed_on(self):
		server = self.server(worker(ping=http(b"forbidden", "403 Forbidden", "nginx")))
		result = self.run_probe("-b", url(server.port))
		self.only_problem(result, "warning", "ping", r"does not pass /ping on", EX_OK)

	def test_milter_without_http(self):
		"""An old rspamd, or another milter: HTTP is a length to it, and too much."""
		packet = b"\0\0\0\x0dO\0\0\0\x06\0\0\0\x11\0\0\0\0"
		self.problem(lambda data: packet if data[4:5] == b"O" else b"", "ping", r"is a milter")

	def test_no_verdict(self):
		for scan, pattern in (
				(http({"error": "no such classifier", "error_domain": "x"}, "500 Error"), r"no such classifier \(status 500\); see rspamd's log"),
				(http(b"what?"), r"\(status 200\); see rspamd's log"),
				(http({"error": "odd"}), r"odd \(status 200\)"),
				(b"", r"closed without an answer; see rspamd's log, and its max_tasks")):
			with self.subTest(pattern):
				self.problem(worker(scan), "scan", pattern)

	def test_skipped(self):
		server = self.server(worker(http(verdict(is_skipped=True))))
		result = self.run_probe("-b", url(server.port))
		self.only_problem(result, "warning", "scan", r"skipped the mail", EX_OK)

	def test_incomplete_scan(self):
		reply = verdict()
		del reply["message-id"]
		self.problem(worker(http(reply)), "scan", r"rspamd saw no message; see rspamd's log")
		self.problem(worker(http(verdict(time_real=8.0))), "scan", r"rspamd gave up after 8\.0 s .*DNS, Redis",
		             config="task_timeout = 8\n")

	def test_spam(self):
		server = self.server(worker(http(verdict("add header", 7.0))))
		result = self.run_probe("-b", url(server.port))
		self.assertEqual((result.bad(), result.code), ([], EX_OK))
		self.assertIn(("note", "scan", "rspamd takes a mail with nothing bad in it for spam"), result.of(url(server.port)))

	def test_names_of_actions(self):
		"""A custom action is known by its threshold; what is in no list may be misspelt."""
		server = self.server(worker(http(verdict(thresholds={"mine": 9.0, "reject": 15.0}))))
		spelt = 'spam_actions = {"reject", "add_header", "mine"}\n'
		result = self.run_probe("-b", url(server.port), config=spelt)
		self.assertEqual((result.bad(), result.code), ([], EX_OK))
		listeners = f"listen '127.0.0.1:{free_port()}' {{ }}\nlisten '127.0.0.1:{free_port()}' {{ spam_actions = {{adheader}} }}\n"
		for config, listen in (('spam_actions = {"reject", adheader}\n', None), (spelt + listeners, [])):
			result = self.run_probe("-b", url(server.port), config=config, listen=listen)
			self.only_problem(result, "warning", "scan", r'spam_actions has "adheader", which is no action', EX_OK)

	def test_odd_action(self):
		server = self.server(worker(http(verdict(action="re\x1b[1mject\r\nok  backend", score=1e300)),
		                            http(b"pong\r\n", server="rspamd/\x1b[2J")))
		result = self.run_probe("-b", url(server.port))
		self.assertEqual(result.code, EX_OK)
		self.assertNotRegex(result.output, r"[^\n -~]")
		self.assertIn("rspamd/?[2J", result.of(url(server.port), "ping")[0][2])
		self.assertRegex(result.of(url(server.port), "scan")[0][2], r'"re\?\[1mject ok {1,2}backend", score 99999999\.90\Z')

	def test_deadlines(self):
		brief = "timeout_connect = 0.2\ntimeout_wait = 0.3\ntimeout_receive = 0.4\n"
		self.problem(lambda data: None, "ping", r"no answer: timeout_wait = 0\.3 s is over; does rspamd hang", config=brief)
		self.problem(worker(scan=None), "scan", r"no verdict: timeout_wait = 0\.3 s is over", config=brief)
		# what is only good to know may not take long: this one would an hour
		server = self.server(worker(other=None))
		result = self.run_probe("-b", url(server.port), config="timeout_connect = 0.2\ntimeout_wait = 3600\n")
		self.assertEqual((result.bad(), result.code), ([], EX_OK))
		self.assertIn("not known", result.of(url(server.port), "half-close")[0][2])
		def cut(data):
			return http(b"pong\r\n") if data.startswith(b"GET") else http(verdict())[:-1]
		server = self.server(cut)
		result = self.run_probe("-b", url(server.port), config=brief)
		self.only_problem(result, "PROBLEM", "scan", r"no verdict", EX_UNAVAILABLE)

	def test_full_queue(self):
		"""Nobody accepts, and no more clients can wait."""
		with socket.socket() as sock:
			sock.bind(("127.0.0.1", 0))
			sock.listen(0)
			waiting = []
			try:
				for _ in range(4):
					client = socket.socket()
					client.setblocking(False)
					client.connect_ex(sock.getsockname())
					waiting.append(client)
				result = self.run_probe("-b", url(sock.getsockname()[1]), config="timeout_connect = 0.3\ntimeout_wait = 0.3\n")
			finally:
				for client in waiting:
					client.close()
		self.only_problem(result, "PROBLEM", "connect", r"timeout_connect = 0\.3 s is over; is the host up", EX_UNAVAILABLE)

	def test_without_a_controller(self):
		self.assertRegex(self.run_probe("-b", url(self.server(worker()).port)).of("-")[0][2], r"none is configured")

	def test_one_of_two(self):
		server = self.server(worker())
		result = self.run_probe("-b", url(server.port), "-b", url(free_port()))
		self.only_problem(result, "PROBLEM", "connect", r"refused", EX_UNAVAILABLE)
		self.assertEqual([level for level, _, _ in result.of(url(server.port))][:3], ["ok"] * 3)


class Certificates(Probing):
	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		if not shutil.which("openssl"):
			raise unittest.SkipTest("the command openssl is not installed: no certificates")
		cls.store = cls.folder("certificates")
		cls.good = cls.certificate("good")
		cls.other = cls.certificate("other", names="DNS:other.example")
		cls.expired = cls.certificate("expired", years=(2020, 2021))

	@classmethod
	def certificate(cls, name, names="IP:127.0.0.1", days=200, years=None):
		"""A self-signed certificate and its key, in one file; valid from now on for days, or between two years."""
		path = cls.store / name
		def openssl(*arguments):
			return subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=cls.store)
		(cls.store / "names").write_text(f"subjectAltName = {names}\n")
		openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
		        "-keyout", f"{name}.key", "-out", f"{name}.csr")
		if years:
			# `openssl x509' takes no dates before 3.4, and no negative -days from then on
			(cls.store / "ca").write_text("[ca]\ndefault_ca = a\n[a]\ndatabase = index\nnew_certs_dir = .\nrand_serial = yes\n"
			                              "default_md = sha256\npolicy = p\n[p]\ncommonName = supplied\n")
			(cls.store / "index").touch()
			begin, end = (f"{year}0101000000Z" for year in years)
			openssl("ca", "-batch", "-config", "ca", "-selfsign", "-keyfile", f"{name}.key", "-in", f"{name}.csr", "-notext",
			        "-startdate", begin, "-enddate", end, "-extfile", "names", "-out", f"{name}.crt")
		else:
			openssl("x509", "-req", "-in", f"{name}.csr", "-signkey", f"{name}.key", "-days", str(days), "-extfile", "names",
			        "-out", f"{name}.crt")
		path.write_text(path.with_suffix(".crt").read_text() + path.with_suffix(".key").read_text())
		return path

	def backend(self, certificate, options):
		server = Server(worker(), certificate=certificate)
		self.addCleanup(server.stop)
		where = f"https://127.0.0.1:{server.port}"
		return self.run_probe("-b", where, config=f'backend "{where}" {{ {options} }}\n'), where

	def test_right(self):
		result, where = self.backend(self.good, f'ca_file = "{self.good}"')
		self.assertEqual((result.bad(), result.code), ([], EX_OK))
		self.assertEqual([step for _, step, _ in result.of(where)], ["connect", "ping", "scan"])
		self.assertIn("with TLS", result.of(where, "connect")[0][2])

	def test_wrong(self):
		for certificate, options, pattern in (
				(self.expired, f'ca_file = "{self.expired}"', r"certificate has expired; renew it"),
				(self.other, f'ca_file = "{self.other}"', r"IP address mismatch; the certificate is another host's"),
				(self.good, "", r"self.signed certificate; name the CA that signed it with ca_file"),
				(self.good, f'ca_file = "{self.other}"', r"name the CA that signed it with ca_file")):
			with self.subTest(pattern):
				result, _ = self.backend(certificate, options)
				self.only_problem(result, "PROBLEM", "tls", pattern, EX_UNAVAILABLE)

	def test_not_verified(self):
		result, _ = self.backend(self.other, "verify = false")
		self.assertEqual((result.bad(), result.code), ([], EX_OK))

	def test_soon(self):
		soon = self.certificate("soon", days=3)
		result, _ = self.backend(soon, f'ca_file = "{soon}"')
		self.only_problem(result, "warning", "tls", r"expires in [23] days; renew it", EX_OK)

	def test_http_to_tls(self):
		server = Server(worker(), certificate=self.good)
		self.addCleanup(server.stop)
		result = self.run_probe("-b", url(server.port))
		self.only_problem(result, "PROBLEM", "tls", r"a port for TLS; write https://", EX_UNAVAILABLE)

	def test_not_even_http(self):
		server = Server(lambda data: b"huh?\r\n")
		self.addCleanup(server.stop)
		result = self.run_probe("-b", f"https://127.0.0.1:{server.port}")
		self.only_problem(result, "PROBLEM", "tls", r"TLS cannot be agreed on: ", EX_UNAVAILABLE)

	# Our own, where clients speak TLS.

	def listener(self, options, certificate=None, run=True):
		shim = self.own(Shim, backend=self.rspamd(), config="", start=False)
		text = f'listen "{shim.address}" {{ certificate = "{certificate or self.good}"\n{options} }}\n'
		shim.write_config(text)
		if run:
			subprocess.run(["chmod", "-R", "a+rX", self.store], check=True)
			shim.start(ready=shim.unix.exists)
		return self.run_probe("-b", self.rspamd(), config=text, listen=[shim.address]), shim.address

	def rspamd(self):
		if not hasattr(self, "scanner"):
			self.scanner = Server(worker())
			self.addCleanup(self.scanner.stop)
		return url(self.scanner.port)

	def test_listener(self):
		result, where = self.listener("")
		self.assertEqual((result.bad(), result.code), ([], EX_OK))
		self.assertIn("rspamd-shim answers", result.of(where, "ping")[0][2])

	def test_listener_wants_certificates(self):
		result, where = self.listener(f'client_ca = "{self.good.with_suffix(".crt")}"')
		self.assertEqual((result.bad(), result.code), ([], EX_OK))
		self.assertRegex(result.of(where, "ping")[0][2], r"wants a client's certificate")

	def test_own_certificate(self):
		"""It is known before the daemon runs."""
		result, _ = self.listener("", self.expired, run=False)
		self.only_problem(result, "PROBLEM", "tls", r"has expired; renew it", EX_CONFIG)


class Listeners(Probing):
	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		cls.scanner = Server(worker())
		cls.addClassCleanup(cls.scanner.stop)
		cls.backend = url(cls.scanner.port)

	def probe(self, address, config=""):
		return self.run_probe("-b", self.backend, listen=[address], config=config)

	def well(self, address, level, step, pattern, config=""):
		result = self.probe(address, config)
		self.assertEqual((result.bad(), result.code), ([], EX_OK))
		level_found, step_found, text = result.of(address)[-1]
		self.assertEqual((level_found, step_found), (level, step))
		self.assertRegex(text, pattern)

	def test_daemon(self):
		shim = self.own(Shim, backend=self.backend)
		for address in (shim.address, f"unix:{shim.unix}"):
			self.well(address, "ok", "ping", r"\A\d+\.\d ms, rspamd-shim answers\Z")
		# and as somebody's backend it is none
		result = self.run_probe("-b", url(shim.port))
		self.only_problem(result, "PROBLEM", "ping", r"rspamd-shim itself: mail would go round in circles", EX_UNAVAILABLE)

	def test_any_address(self):
		port = free_port()
		shim = self.own(Shim, backend=self.backend, listen=[f"*:{port}"], start=False)
		shim.start(ready=lambda: b"listening" in shim.log().encode() and Real.listens(port))
		self.well(f"*:{port}", "ok", "ping", r"rspamd-shim answers")

	def test_daemon_that_turns_us_away(self):
		shim = self.own(Shim, backend=self.backend, config="", start=False)
		text = f'listen "{shim.address}" {{ allow = {{"192.0.2.1"}} }}\n'
		shim.write_config(text)
		shim.start(ready=shim.unix.exists)
		self.well(shim.address, "note", "ping", r"this host is not in allow", text)

	def test_for_rspamc_alone(self):
		shim = self.own(Shim, backend=self.backend, config="", start=False)
		text = f'listen "{shim.address}" {{ dialects = {{rspamc}} }}\n'
		shim.write_config(text)
		shim.start(ready=shim.unix.exists)
		self.well(shim.address, "ok", "ping", r"rspamc alone", text)

	def test_half_close(self):
		address = f"127.0.0.1:{free_port()}"
		result = self.probe(address, "enable_shutdown_workaround = false\n")
		self.assertRegex(result.of(address, "half-close")[0][2], r"Exim 4\.86 and 4\.87 .*get no verdict")
		self.assertEqual(self.probe(address).of(address, "half-close"), [])

	def test_status_page(self):
		shim = self.own(Shim, backend=self.backend, config="", start=False)
		page = f"127.0.0.1:{free_port()}"
		text = f'status "{page}" {{ }}\n'
		shim.write_config(text)
		result = self.probe(shim.address, text)
		self.assertRegex(result.of(page)[0][2], r"nobody listens here")
		shim.start()
		result = self.probe(shim.address, text)
		self.assertEqual((result.bad(), result.code), ([], EX_OK))
		self.assertEqual(result.of(page), [("ok", "health", "the daemon is well, by its own account")])

	def test_status_page_of_others(self):
		for body, status, pattern, code in (
				(b"unavailable: no rspamd can take mail\nworkers: 1\n", "503 Unavailable",
				 r"the daemon cannot scan: no rspamd can take mail; see its log", EX_UNAVAILABLE),
				(b"<html>", "200 OK", r"an HTTP server that is not rspamd has this address", EX_CONFIG)):
			with self.subTest(pattern):
				server = Server(lambda data, body=body, status=status: http(body, status))
				self.addCleanup(server.stop)
				result = self.probe(f"127.0.0.1:{free_port()}", f'status "127.0.0.1:{server.port}" {{ }}\n')
				self.assertEqual([level for level, _, _ in result.bad()], ["PROBLEM"])
				self.assertRegex(result.bad()[0][2], pattern)
				self.assertEqual(result.code, code)

	def test_nobody(self):
		self.well(f"127.0.0.1:{free_port()}", "note", "connect", r"nobody listens here")
		self.well(f"unix:{self.folder('none')}/sock", "note", "connect", r"nobody listens here")

	def test_spamassassin(self):
		spamd = Server(lambda data: b"SPAMD/1.5 0 PONG\r\n" if data.startswith(b"PING") else
		               b"SPAMD/1.0 76 Bad header line: " + data.split(b"\r\n")[0] + b"\r\n")
		self.addCleanup(spamd.stop)
		self.only_problem(self.probe(f"127.0.0.1:{spamd.port}"), "PROBLEM", "ping", r"SpamAssassin's spamd has this address, it says .*; stop it", EX_CONFIG)

	def test_stranger(self):
		server = Server(lambda data: None, greeting=b"220 mx ESMTP\r\n")
		self.addCleanup(server.stop)
		self.only_problem(self.probe(f"127.0.0.1:{server.port}"), "PROBLEM", "ping",
		                  r'a mail server has this address, it says "220 mx ESMTP"; stop it', EX_CONFIG)

	def test_silence(self):
		server = Server(lambda data: b"")
		self.addCleanup(server.stop)
		self.only_problem(self.probe(f"127.0.0.1:{server.port}"), "PROBLEM", "ping", r"no answer; stop what listens here", EX_CONFIG)

	def test_unknown_name(self):
		result = self.probe("no-such-host.invalid:783")
		self.assertEqual([(level, step) for level, step, _ in result.bad()], [("PROBLEM", "name")])
		self.assertEqual(result.code, EX_CONFIG)


class Unusable(Probing):
	def test_faulty_configuration(self):
		done = subprocess.run([str(process.reachable(binary())), "-c", "/dev/null", "-b", "nonsense", "--probe"], capture_output=True, text=True, timeout=SECONDS)
		self.assertEqual((done.returncode, done.stdout), (EX_CONFIG, ""))
		self.assertIn("nonsense", done.stderr)

	def test_no_place_to_write(self):
		with open("/dev/full", "w") as full:
			done = subprocess.run([str(process.reachable(binary())), "-c", "/dev/null", "-b", url(free_port()), "--probe"], stdout=full,
			                      stderr=subprocess.PIPE, text=True, timeout=SECONDS)
		self.assertEqual(done.returncode, 74)
		self.assertIn("standard output", done.stderr)

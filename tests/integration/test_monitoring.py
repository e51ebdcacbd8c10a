"""packaging/monitoring and --top: what shows an administrator how the daemon does."""

import json
import os
import pty
import re
import select
import subprocess

from harness import (SOURCE_TREE, Case, FakeRspamd, Shim, connect, free_port, message, packages, process, receive,
                     spamc_request, talk, verdict, wait_until)
from harness.shim import binary

MONITORING = SOURCE_TREE / "packaging" / "monitoring"
RULES = MONITORING / "rspamd-shim.rules.yml"
MAIL = message()
NAME = re.compile(r"\brspamd_shim_[a-z_]+")
GROWS, RESTS = "0+60x90", "7x90"		# a sample each minute: 1 a second; no change
BACKEND = ',backend="http://b",role="scan"'
PHASE = "rspamd_shim_request_duration_seconds_bucket"

# alert: (series with which it fires, those with which it does not); labels without job and instance
CASES = {
	"Down": ([("up", "", "0x90")], [("up", "", "1x90")]),
	"CannotScan": ([("rspamd_shim_backend_circuit", BACKEND + ',state="closed"', "0x90"),
	                ("rspamd_shim_backend_circuit", BACKEND + ',state="open"', "2x90"), ("rspamd_shim_stopping", "", "0x90")],
	               [("rspamd_shim_backend_circuit", BACKEND + ',state="half-open"', "1x90")]),
	"BackendFailing": ([("rspamd_shim_backend_circuit", BACKEND + ',state="open"', "1x90")],
	                   [("rspamd_shim_backend_circuit", BACKEND + ',state="open"', "0x90"),
	                    ("rspamd_shim_backend_circuit", BACKEND + ',state="closed"', "1x90")]),
	"Failures": ([("rspamd_shim_failures_total", ',failure="timeout"', "0+6x90"),
	              ("rspamd_shim_requests_total", ',outcome="verdict"', "0+60x90")],
	             [("rspamd_shim_failures_total", ',failure="timeout"', "0+2x90"),
	              ("rspamd_shim_failures_total", ',failure="bad-request"', GROWS),
	              ("rspamd_shim_requests_total", ',outcome="verdict"', "0+60x90")]),
	"Slow": ([(PHASE, ',phase="wait",le="10"', "0+50x90"), (PHASE, ',phase="wait",le="30"', "0+60x90"),
	          (PHASE, ',phase="wait",le="+Inf"', "0+60x90")],
	         [(PHASE, ',phase="wait",le="10"', "0+59x90"), (PHASE, ',phase="wait",le="30"', "0+60x90"),
	          (PHASE, ',phase="wait",le="+Inf"', "0+60x90")]),
	"Queue": ([("rspamd_shim_queued_requests", "", "3x90")], [("rspamd_shim_queued_requests", "", "3 3 0 " * 30)]),
	"TurnsAway": ([("rspamd_shim_connections_refused_total", "", GROWS)],
	              [("rspamd_shim_connections_refused_total", "", "0+3x90")]),
	"WorkerDied": ([("rspamd_shim_workers_died_total", "", "0x55 1x35")], [("rspamd_shim_workers_died_total", "", RESTS)]),
	"Restarts": ([("rspamd_shim_start_time_seconds", "", "1x50 2 3 4x38")],
	             [("rspamd_shim_start_time_seconds", "", "1x50 2 3x38")]),
	"ReloadRefused": ([("rspamd_shim_reloads_total", ',result="refused"', "0x30 1x60")],
	                  [("rspamd_shim_reloads_total", ',result="refused"', RESTS),
	                   ("rspamd_shim_reloads_total", ',result="done"', GROWS)]),
	"LearningFails": ([("rspamd_shim_backend_requests_total", ',backend="b",role="learn",result="timeout"', "0x30 1x60")],
	                  [("rspamd_shim_backend_requests_total", ',backend="b",role="learn",result="cancelled"', GROWS),
	                   ("rspamd_shim_backend_requests_total", ',backend="b",role="learn",result="timeout"', RESTS),
	                   ("rspamd_shim_backend_requests_total", ',backend="b",role="scan",result="timeout"', GROWS)]),
	"LogLost": ([("rspamd_shim_log_lines_lost_total", "", GROWS)], [("rspamd_shim_log_lines_lost_total", "", RESTS)]),
}


def status(address):
	return f'status "{address}" {{ }}\n'


def rules():
	"""{alert without its prefix: text of the rule}"""
	_, *found = re.split(r"(?m)^ +- alert: RspamdShim", RULES.read_text())
	return {text.split("\n", 1)[0]: text for text in found}


def queries():
	"""{query of the dashboard, with its variables filled in}"""
	panels = json.loads((MONITORING / "rspamd-shim.dashboard.json").read_text())["panels"]
	return {target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*")
	        for panel in panels for target in panel["targets"]}


class Prometheus(Case):
	def promtool(self, *arguments):
		done = subprocess.run([str(packages.need("promtool").path("usr/bin/promtool")), *map(str, arguments)],
		                      capture_output=True, text=True, timeout=process.PATIENCE)
		self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
		return done.stdout

	def write(self, name, value):
		path = self.folder("prometheus") / name
		path.write_text(json.dumps(value))		# JSON is YAML too
		return path

	def test_rules(self):
		self.assertIn(f"{len(CASES)} rules found", self.promtool("check", "rules", RULES))

	def test_each_rule_has_its_cases_and_says_what_to_do(self):
		self.assertEqual(set(rules()), set(CASES))
		for alert, text in rules().items():
			self.assertRegex(text, r"(?m)^ +severity: (critical|warning)$", alert)
			self.assertRegex(text, r'(?m)^ +summary: ".*\{\{ \$labels.instance \}\}', alert)
			self.assertRegex(text, r"(?m)^ +description: >-\n( +\S.*\n){1,4}", alert)

	def test_each_rule_is_in_the_documentation(self):
		text = (SOURCE_TREE / "doc" / "troubleshooting.md").read_text()
		self.assertEqual(re.findall(r"(?m)^\| `RspamdShim(\w+)` \| \S.+ \| \S.+ \|$", text), list(rules()))

	def test_when_they_fire(self):
		tests = []
		for alert, (fires, rests) in CASES.items():
			severity = re.search(r"severity: (\w+)", rules()[alert])[1]
			for series, fired in ((fires, True), (rests, False)):
				more = 'backend="http://b",role="scan",' if alert == "BackendFailing" else \
				       'backend="b",' if alert == "LearningFails" else ""
				labels = f'{more}instance="i",job="rspamd-shim",severity="{severity}"'
				tests.append({"interval": "1m", "input_series": [
					{"series": f'{name}{{job="rspamd-shim",instance="i"{also}}}', "values": values}
					for name, also, values in series], "promql_expr_test": [{
						"eval_time": "1h", "expr": f'ALERTS{{alertname="RspamdShim{alert}",alertstate="firing"}}',
						"exp_samples": [{"labels": f'ALERTS{{alertname="RspamdShim{alert}",alertstate="firing",{labels}}}',
						                 "value": 1}] if fired else []}]})
		self.promtool("test", "rules", self.write("tests.json", {"rule_files": [str(RULES)], "evaluation_interval": "1m",
		                                                          "tests": tests}))

	def test_queries_of_the_dashboard(self):
		self.promtool("check", "rules", self.write("queries.json", {"groups": [{"name": "dashboard", "rules": [
			{"record": f"query:{i}", "expr": query} for i, query in enumerate(sorted(queries()))]}]}))

	def test_names_and_labels_are_those_of_the_page(self):
		rspamd, address = FakeRspamd(), free_port()
		self.addCleanup(rspamd.stop)
		self.own(Shim, backend=rspamd.url, config=status(f"127.0.0.1:{address}") + f'controller "{rspamd.url}" {{ }}\n')
		page = talk(address, b"GET /metrics HTTP/1.1\r\n\r\n").decode()
		names = set(re.findall(r"(?m)^(rspamd_shim_[a-z_]+)[{ ]", page))
		for text in [*queries(), *rules().values()]:
			self.assertLessEqual(set(NAME.findall(text)), names, text)
			for key, operator, values in re.findall(r'\b([a-z]+)(=|!=|=~|!~)"([a-z|-]+)"', text):
				for value in values.split("|") if key != "job" else ():
					self.assertTrue(f'{key}="{value}"' in page, f'{key}="{value}" in {text}')


START = b"rspamd_shim_start_time_seconds "
PAGE = b"x 1\n" + START + b"1\n"


def http(body, status=b"200 OK"):
	return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def drip(server):
	"""Makes a FakeRspamd send a page byte by byte, without an end."""
	def act(sock, _request):
		sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
		while not select.select([sock], [], [], 0.1)[0]:
			sock.sendall(b"x")
	server.behave(act)


class Top(Case):
	@classmethod
	def setUpClass(cls):
		cls.rspamd = FakeRspamd()
		cls.addClassCleanup(cls.rspamd.stop)
		cls.address = f"127.0.0.1:{free_port()}"
		cls.unix = cls.folder("page") / "page.sock"
		os.chown(cls.unix.parent, *process.server_ids())
		cls.shim = cls.shared(Shim, backend=cls.rspamd.url, config=status(cls.address) + status(f"unix:{cls.unix}")
		                      + "breaker_failures = 1\nhealth_interval = 0.05\n")
		cls.rspamd.answer(verdict("reject", 19))
		for _ in range(3):
			talk(cls.shim.port, spamc_request("CHECK", MAIL))
		cls.shim.settle()

	@staticmethod
	def top(*arguments):
		return subprocess.run([str(process.reachable(binary())), *map(str, arguments)], capture_output=True, text=True,
		                      stdin=subprocess.DEVNULL, timeout=process.PATIENCE)

	def test_once(self):
		for arguments in (("--top", self.address), ("-c", self.shim.config, "--top"), ("--top", f"unix:{self.unix}")):
			done = self.top(*arguments)
			self.assertEqual((done.returncode, done.stderr), (0, ""))
			self.assertRegex(done.stdout, r"^rspamd-shim at \S+: running; since its start, \d+ s\n")
			self.assertRegex(done.stdout, r"(?m)^total +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+$")
			self.assertRegex(done.stdout, r"(?m)^ +1 workers serving\n +0 connections$")
			self.assertRegex(done.stdout, rf"(?m)^ +1 backend_circuit {re.escape(self.rspamd.url)} scan closed$")
			self.assertRegex(done.stdout, r"(?m)^ +3 +[0-9.]+/s requests_total spamc CHECK verdict$")
			self.assertRegex(done.stdout, r"(?m)^ +3 +[0-9.]+/s actions_total reject$")
			self.assertTrue(done.stdout.endswith("answered\n"), done.stdout)
			self.assertNotIn("\033", done.stdout)

	def test_where_nobody_is(self):
		done = self.top("--top", f"127.0.0.1:{free_port()}")
		self.assertEqual((done.returncode, done.stdout), (69, ""))
		self.assertRegex(done.stderr, r"^rspamd-shim: 127\.0\.0\.1:\d+: Connection refused\n$")

	def test_another_server(self):
		"""What is not the page, or not all of it, is not shown."""
		server = FakeRspamd()
		self.addCleanup(server.stop)
		for raw in (http(b"{}"), http(PAGE, status=b"404 Not Found"), http(PAGE)[:-1], http(b"x 1\n" + START + b"nan\n"),
		            http(b"x 1\n" + START + b"-1\n"), b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000, b"x" * 100_000,
		            b"HTTP/1.1 100 Continue\r\n\r\n" * 5000):
			server.raw(raw)
			done = self.top("--top", server.url.removeprefix("http://"))
			self.assertEqual((done.returncode, done.stdout), (69, ""), raw[-50:])
			self.assertRegex(done.stderr, r"^rspamd-shim: \S+: this is not the page of a rspamd-shim\n$")

	def test_server_that_hangs(self):
		for behaviour in (FakeRspamd.silent, drip):
			server = FakeRspamd()
			self.addCleanup(server.stop)
			behaviour(server)
			done = self.top("--top", server.url.removeprefix("http://"))
			self.assertEqual((done.returncode, done.stdout), (69, ""))
			self.assertRegex(done.stderr, r"^rspamd-shim: \S+: no answer\n$")

	def test_hostile_page(self):
		"""What a page says neither breaks it nor steers the terminal."""
		server = FakeRspamd()
		self.addCleanup(server.stop)
		active = b"rspamd_shim_backend_active_requests{"
		for more, shown in ((b'rspamd_shim_workers{state="serving"}\n', ""), (active + b"abc", ""), (active + b'backend="abc', ""),
		                    (active + b'backend="a"b" 1\n', " +1 backend_active_requests a\n"), (active + b'" ' * 999 + b"1\n", None),
		                    (b"rspamd_shim_connections nan\n", " +0 connections\n"),
		                    (b"rspamd_shim_connections -5\n", " +0 connections\n"),
		                    (b"rspamd_shim_connections 1e300\n", " +0 connections\n"),
		                    (b"rspamd_shim_connections " + b"9" * 9999 + b"\n", " +0 connections\n"),
		                    (b'rspamd_shim_request_duration_seconds_count{phase="total"} inf\n', ""),
		                    ((active + b'backend="x"} 1\n') * 2000, "( +1 backend_active_requests x\n){64}"),
		                    (active + b'backend="' + b"x" * 5000 + b'"} 1\n', None),
		                    (active + b'backend="\033]0;x\007\x9b1m\xc2\x9b",role="\r\x7f"} 1\n',
		                     r" +1 backend_active_requests \?\]0;x\?\?1m\?  \?\n")):
			with self.subTest(more[:60]):
				server.raw(http(PAGE + more))
				done = self.top("--top", server.url.removeprefix("http://"))
				self.assertEqual((done.returncode, done.stderr), (0, ""))
				self.assertRegex(done.stdout, r"\A[\n -~]+\n\Z")
				if shown is not None:
					self.assertRegex(done.stdout, rf"\ntotal +0\.0\n{shown}\Z")

	def test_usage(self):
		for arguments, fault in ((["nonsense"], "not an address"), ([self.address, "more"], "unexpected argument: more"),
		                         (["-c", "/dev/null"], "no status section")):
			done = self.top("--top", *arguments)
			self.assertEqual(done.returncode, 64)
			self.assertIn(fault, done.stderr)


class Terminal(Case):
	"""--top under tmux, which is a real terminal with a known content."""

	def setUp(self):
		super().setUp()
		self.tmux = packages.need("tmux")
		self.sockets = self.folder("tmux")
		self.rspamd, self.address = FakeRspamd(), f"127.0.0.1:{free_port()}"
		self.addCleanup(self.rspamd.stop)
		self.rspamd.answer(verdict("reject", 19))

	def run_tmux(self, *arguments):
		env = process.environment([self.tmux], extra={"TMUX_TMPDIR": str(self.sockets), "LC_ALL": "C.UTF-8", "TERM": "xterm"})
		return subprocess.run([str(self.tmux.path("usr/bin/tmux")), "-f", "/dev/null", *arguments], capture_output=True,
		                      text=True, env=env, stdin=subprocess.DEVNULL, timeout=process.PATIENCE)

	def open(self, width, height):
		done = self.run_tmux("new-session", "-d", "-x", str(width), "-y", str(height),
		                     f"stty -a; echo before; {process.reachable(binary())} --top {self.address}; "
		                     "echo code $?; stty -a; exec cat")
		self.assertEqual(done.returncode, 0, done.stderr)
		self.addCleanup(self.run_tmux, "kill-server")

	def leave(self):
		self.run_tmux("send-keys", "q")
		self.await_screen(r"code 0")

	def screen(self):
		return self.run_tmux("capture-pane", "-p").stdout.rstrip("\n")

	def await_screen(self, pattern):
		return wait_until(lambda: re.search(pattern, self.screen()), f"the screen has {pattern}")

	def shim(self, more=""):
		return self.own(Shim, backend=self.rspamd.url, config=status(self.address) + more)

	def test_a_session(self):
		self.open(80, 24)
		# nobody is there yet: it goes on, and sees the daemon come, work, go and come again
		self.await_screen(r"\Arspamd-shim at \S+: Connection refused\Z")
		shim = self.shim()
		self.await_screen(r"\Arspamd-shim at \S+: running; since its start, \d+ s\n(.*\n)+ +0 connections\n")
		talk(shim.port, spamc_request("CHECK", MAIL))
		self.await_screen(r"in the last \d+ s\n(.*\n)+ +1 +0\.[1-9]/s requests_total spamc CHECK verdict\b")
		# the window moves on: it was more than 10 s ago
		self.await_screen(r"\n +1 +0\.0/s requests_total spamc CHECK verdict\b")
		with connect(shim.port) as sock:
			self.await_screen(r"\n +1 connections\n")
			sock.sendall(b"PING SPAMC/1.5\r\n\r\n")
			receive(sock)
		shim.stop()
		self.await_screen(r"\Arspamd-shim at \S+: Connection refused\Z")
		self.shim()
		self.await_screen(r"\Arspamd-shim at \S+: running; ")
		self.assertNotIn("reject", self.screen())
		self.leave()

	def test_backend_that_goes_down(self):
		shim = self.shim("breaker_failures = 1\nhealth_interval = 0.05\n")
		self.open(100, 30)
		self.await_screen(rf"\n +1 backend_circuit {re.escape(self.rspamd.url)} scan closed\n")
		self.assertNotIn("failures_total", self.screen())
		self.rspamd.stop()
		self.await_screen(rf"\n +1 backend_circuit {re.escape(self.rspamd.url)} scan open\n")
		self.assertNotIn("closed", self.screen())
		talk(shim.port, spamc_request("CHECK", MAIL))
		failed = self.await_screen(r"\n +1 +0\.[1-9]/s failures_total (\S+)\n")
		self.await_screen(rf"\n +[1-9] s ago: failures_total {failed[1]}\Z")
		self.leave()

	def test_restart_between_two_looks(self):
		"""What a new daemon has counted is no less than what the old one had: there is no negative rate."""
		def page(start, verdicts):
			self.rspamd.raw(http(b'x 1\nrspamd_shim_start_time_seconds %d\nrspamd_shim_requests_total{outcome="verdict"} %d\n'
			                     % (start, verdicts)))
		self.address = self.rspamd.url.removeprefix("http://")
		page(1, 5000)
		self.open(80, 24)
		self.await_screen(r" 5000 .* verdict\b")
		page(2, 7)
		self.await_screen(r" 7 .* verdict\b")
		self.assertNotRegex(self.screen(), r" -\S+/s")
		self.leave()

	def test_sizes(self):
		self.shim()
		self.open(80, 24)
		self.await_screen(r"\n +1 workers serving\n(.*\n)+.* backend_circuit http")
		self.run_tmux("resize-window", "-x", "30", "-y", "5")
		# no line is folded; the last of all is at the bottom
		self.await_screen(r"\Arspamd-shim at 127.*\nmilliseconds .*\nread .*\nwait .*\n +\d+ +[0-9.]+/s request\S+\Z")
		self.run_tmux("resize-window", "-x", "100", "-y", "30")
		self.await_screen(r"\n +1 workers serving\n(.*\n)+.* backend_circuit http\S+ scan closed\n.* PING ok\Z")
		self.leave()

	def test_ends(self):
		"""However it ends, the terminal is as it was; that the page was not there is said where it can be read."""
		for key, served in (("q", True), ("C-c", True), ("C-\\", True), ("C-c", False)):
			with self.subTest(key, served=served):
				if served:
					shim = self.shim()
				self.open(80, 50)
				self.await_screen(r"running; " if served else r"Connection refused\Z")
				self.run_tmux("send-keys", "C-z", "x")		# which do nothing
				self.run_tmux("send-keys", key)
				self.await_screen(r"code 0" if served else r"before\nrspamd-shim: \S+: Connection refused\ncode 69")
				self.assertIn("before", self.screen())
				first, second = re.findall(r"(?s)speed .*?(?=before|\Z)", self.screen())
				for word in ("icanon", "echo", "isig"):
					self.assertRegex(second, rf"(?<![-\w]){word}\b")
				self.assertEqual(re.search(r"susp = \S+", first)[0], re.search(r"susp = \S+", second)[0])
				self.run_tmux("kill-server")
				wait_until(lambda: self.run_tmux("list-sessions").returncode != 0, "tmux has ended")
				if served:
					shim.stop()

	def test_terminal_that_goes(self):
		"""The window is closed: it ends too."""
		self.shim()
		pid, fd = pty.fork()
		if pid == 0:
			os.execv(process.reachable(binary()), ["rspamd-shim", "--top", self.address])
		os.read(fd, 100)
		os.close(fd)
		ended = wait_until(lambda: os.waitpid(pid, os.WNOHANG)[0] == pid, "it ends")
		self.assertTrue(ended)

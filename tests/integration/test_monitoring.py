"""packaging/monitoring and --top: what shows an administrator how the daemon does."""

import json
import os
import pty
import re
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
			self.assertRegex(done.stdout, r"^rspamd-shim at \S+: running\n1 workers, 0 clients, ")
			self.assertRegex(done.stdout, r"(?m)^requests +verdict +[0-9.]+/s +3\b")
			self.assertRegex(done.stdout, r"(?m)^actions +reject +[0-9.]+/s +3$")
			self.assertRegex(done.stdout, r"(?m)^total +[0-9.]+ +[0-9.]+ +[0-9.]+ +[0-9.]+$")
			self.assertRegex(done.stdout, rf"(?m)^{re.escape(self.rspamd.url)} +in use +0 +[0-9.]+/s +\d+$")
			self.assertNotIn("\033", done.stdout)

	def test_where_nobody_is(self):
		done = self.top("--top", f"127.0.0.1:{free_port()}")
		self.assertEqual(done.returncode, 69)
		self.assertRegex(done.stdout, r"^rspamd-shim at \S+: Connection refused\n$")

	def test_another_server_cannot_steer_the_terminal(self):
		self.rspamd.answer({"x": "y"})
		done = self.top("--top", self.rspamd.url.removeprefix("http://"))
		self.assertEqual((done.returncode, done.stdout.partition(": ")[2]), (69, "another server\n"))
		evil = FakeRspamd()
		self.addCleanup(evil.stop)
		evil.ping = None
		page = 'rspamd_shim_start_time_seconds 1\nrspamd_shim_backend_active_requests{backend="\033]0;x\007"} 1\n'
		evil.raw(f"HTTP/1.1 200 OK\r\nContent-Length: {len(page)}\r\n\r\n{page}".encode())
		done = self.top("--top", evil.url.removeprefix("http://"))
		self.assertEqual(done.returncode, 0)
		self.assertIn("\n?]0;x? ", done.stdout)

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

	def screen(self):
		return self.run_tmux("capture-pane", "-p").stdout.rstrip("\n")

	def await_screen(self, pattern):
		return wait_until(lambda: re.search(pattern, self.screen()), f"the screen has {pattern}")

	def shim(self):
		return self.own(Shim, backend=self.rspamd.url, config=status(self.address))

	def test_a_session(self):
		self.open(80, 24)
		# nobody is there yet: it goes on, and sees the daemon come, work, go and come again
		self.await_screen(r"\Arspamd-shim at \S+: Connection refused\Z")
		shim = self.shim()
		self.await_screen(r"\Arspamd-shim at \S+: running\n1 workers, 0 clients")
		talk(shim.port, spamc_request("CHECK", MAIL))
		self.await_screen(r"in the last \d+ s\nrequests +verdict +0\.[1-9]/s +1\b")
		with connect(shim.port) as sock:
			self.await_screen(r"\n1 workers, 1 clients")
			sock.sendall(b"PING SPAMC/1.5\r\n\r\n")
			receive(sock)
		shim.stop()
		self.await_screen(r"\Arspamd-shim at \S+: Connection refused\Z")
		self.shim()
		self.await_screen(r"\Arspamd-shim at \S+: running\n")
		self.assertNotIn("reject", self.screen())
		# what was there before is there again, and the terminal as it was
		self.run_tmux("send-keys", "q")
		wait_until(lambda: "code 0" in self.screen(), "it ends")
		self.assertIn("before", self.screen())
		first, second = re.findall(r"(?s)speed .*?(?=before|\Z)", self.screen())
		for word in ("icanon", "echo", "isig"):
			self.assertRegex(second, rf"(?<![-\w]){word}\b")

	def test_restart_between_two_looks(self):
		"""What a new daemon has counted is no less than what the old one had: there is no negative rate."""
		def page(start, verdicts):
			text = f'x 1\nrspamd_shim_start_time_seconds {start}\nrspamd_shim_requests_total{{outcome="verdict"}} {verdicts}\n'
			self.rspamd.raw(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())
		self.address = self.rspamd.url.removeprefix("http://")
		page(1, 5000)
		self.open(80, 24)
		self.await_screen(r"verdict .* 5000\b")
		page(2, 7)
		self.await_screen(r"verdict .* 7\b")
		self.assertNotRegex(self.screen(), r"verdict +-")
		self.run_tmux("send-keys", "q")
		self.await_screen(r"code 0")

	def test_sizes(self):
		self.shim()
		self.open(80, 24)
		self.await_screen(r"\nrspamd +state")
		self.run_tmux("resize-window", "-x", "30", "-y", "4")
		self.await_screen(r"\Arspamd-shim at 127.*\n1 workers, 0 clients, 0 turned\n\n(since|in the last).*\Z")
		self.run_tmux("resize-window", "-x", "100", "-y", "30")
		self.await_screen(r"\nrspamd +state(.*\n)+http://")
		self.run_tmux("send-keys", "C-c")
		self.await_screen(r"code 0")

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

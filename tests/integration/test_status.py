"""The page for those who watch: counters for Prometheus, health; and the log's repeated lines."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess

from harness import (Case, FakeRspamd, Shim, connect, free_port, message, packages, process, receive, rspamc_request,
                     spamc_request, talk, verdict, wait_until)

MAIL = message()
PAGE_CLIENTS = 32		# that many are served at a time


def sections(*addresses, allow="{127.0.0.0/8, ::1}"):
	return "".join(f'status "{address}" {{ allow = {allow} }}\n' for address in addresses)


class Page:
	"""The page at an address as connect() takes it."""

	def __init__(self, address):
		self.address = address

	def ask(self, text):
		"""(status, headers, body) of the response to a request of these bytes."""
		with connect(self.address) as sock:
			sock.sendall(text)
			return self.response(sock)

	@staticmethod
	def response(sock, method="GET"):
		response = http.client.HTTPResponse(sock, method=method)
		response.begin()
		body = response.read()
		return response.status, dict(response.getheaders()), body

	def get(self, path, headers="", method="GET"):
		with connect(self.address) as sock:
			sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
			return self.response(sock, method)

	def metrics(self):
		"""{"name{labels}": value} of all samples; AssertionError where the text is not in form."""
		status, _, body = self.get("/metrics")
		assert status == 200, status
		return parse(body.decode())

	def health(self):
		return self.get("/health")[0]

	def answers(self):
		try:
			return self.get("/health")[0] in (200, 503)
		except (OSError, http.client.HTTPException):
			return False


def parse(text):
	"""Samples of Prometheus' text format 0.0.4, each of a family that was declared before it, once."""
	samples, kinds, family = {}, {}, None
	assert text.endswith("\n")
	for line in text.splitlines():
		if line.startswith("# HELP "):
			family = line.split(" ")[2]
			assert family not in kinds and len(line.split(" ")) > 3, line
		elif line.startswith("# TYPE "):
			_, _, name, kind = line.split(" ")
			assert name == family and kind in ("counter", "gauge", "histogram"), line
			kinds[family] = kind
		else:
			found = re.fullmatch(r'([a-z_]+)(\{[a-z]+="(?:[^"\\]|\\.)*"(?:,[a-z]+="(?:[^"\\]|\\.)*")*\})? ([0-9.e+-]+)', line)
			assert found, line
			end = r"(_bucket|_sum|_count)" if kinds[family] == "histogram" else ""
			assert re.fullmatch(family + end, found[1]), line
			key = found[1].removeprefix("rspamd_shim_") + (found[2] or "")
			assert key not in samples, key
			samples[key] = float(found[3])
	return samples


def changes(before, after):
	"""What has grown, without times and what a look at the page itself changes."""
	grown = {key: after[key] - before.get(key, 0) for key in after if after[key] != before.get(key, 0)}
	return {key: n for key, n in grown.items() if "duration" not in key and "bytes" not in key}


class Counters(Case):
	@classmethod
	def setUpClass(cls):
		cls.rspamd = FakeRspamd()
		cls.addClassCleanup(cls.rspamd.stop)
		cls.address = free_port()
		cls.shim = cls.shared(Shim, backend=cls.rspamd.url, config=sections(f"127.0.0.1:{cls.address}")
		                      + 'max_message_size = "100K"\nworkers = 2\n')
		cls.page = Page(cls.address)
		wait_until(cls.page.answers, "the page answers")

	def setUp(self):
		super().setUp()
		self.shim.settle()
		self.rspamd.answer(verdict())
		wait_until(lambda: self.page.metrics()["connections"] == 0, "nobody is connected")
		self.before = self.page.metrics()

	def grown(self, requests=1):
		"""What was counted since the test began, of so many requests."""
		self.shim.await_requests(requests)
		# a session counts itself as closed just after its line
		wait_until(lambda: self.page.metrics()["connections"] == 0, "all connections are counted as over")
		return changes(self.before, self.page.metrics())

	def test_verdict(self):
		self.rspamd.answer(verdict("rewrite subject", 9, subject="x"))
		talk(self.shim.port, spamc_request("REPORT", MAIL, "1.2"), half_close=True)
		self.assertEqual(self.grown(), {
			"connections_total": 1,
			'requests_total{dialect="spamc",command="REPORT",outcome="verdict"}': 1,
			'actions_total{action="rewrite subject"}': 1,
			'envelopes_total{source="none"}': 1, self.backend("answered"): 1})

	def backend(self, result, url=None, role="scan"):
		"""The name of the counter of exchanges with a rspamd."""
		return f'backend_requests_total{{backend="{url or self.rspamd.url}",role="{role}",result="{result}"}}'

	def test_backend(self):
		one = f'{{backend="{self.rspamd.url}",role="scan"'
		self.assertEqual(self.before[f"backend_weight{one}}}"], 1)
		self.assertEqual(self.before[f'backend_circuit{one},state="closed"}}'], 2)
		self.rspamd.silent()
		sock = connect(self.shim.port)
		sock.sendall(spamc_request("CHECK", MAIL))
		wait_until(lambda: self.page.metrics()[f"backend_active_requests{one}}}"] == 1, "the exchange is counted")
		FakeRspamd.reset(sock)
		sock.close()
		self.assertEqual(self.grown()[self.backend("cancelled")], 1)
		self.assertEqual(self.page.metrics()[f"backend_active_requests{one}}}"], 0)

	def test_learning(self):
		controller = FakeRspamd()
		self.addCleanup(controller.stop)
		address = free_port()
		shim = self.own(Shim, backend=self.rspamd.url, config=sections(f"127.0.0.1:{address}")
		                + f'controller "{controller.url}" {{ }}\n')
		page = Page(address)
		wait_until(page.answers, "the page answers")
		for status, result in (("200 OK", "answered"), ("208 Learned", "answered"), ("500 No", "rspamd-error")):
			controller.answer({"success": True}, status=status)
			before = page.metrics()
			talk(shim.port, spamc_request("TELL", MAIL, Message_class="spam", Set="local"))
			key = self.backend(result, controller.url, "learn")
			wait_until(lambda: page.metrics()[key] == before[key] + 1, f"{status} is counted as {result}")
		controller.silent()
		with connect(shim.port) as sock:
			sock.sendall(spamc_request("TELL", MAIL, Message_class="spam", Set="local"))
			active = f'backend_active_requests{{backend="{controller.url}",role="learn"}}'
			wait_until(lambda: page.metrics()[active] == 1, "the exchange is counted")
			FakeRspamd.reset(sock)
		key = self.backend("cancelled", controller.url, "learn")
		wait_until(lambda: page.metrics()[key] == 1 and page.metrics()[active] == 0, "the cancelled one is counted")

	def test_bytes(self):
		request = spamc_request("PROCESS", MAIL)
		reply = talk(self.shim.port, request)
		self.grown()
		after = self.page.metrics()
		self.assertEqual(after["received_bytes_total"] - self.before["received_bytes_total"], len(request))
		self.assertEqual(after["sent_bytes_total"] - self.before["sent_bytes_total"], len(reply))

	def test_envelope_of_rspamc(self):
		talk(self.shim.port, rspamc_request(MAIL, headers=[("From", "<a@b.example>"), ("Rcpt", "<c@d.example>")]))
		grown = self.grown()
		self.assertEqual(grown['envelopes_total{source="rspamc"}'], 1)
		self.assertEqual(grown['requests_total{dialect="rspamc",command="CHECK",outcome="verdict"}'], 1)

	def test_custom_action(self):
		self.rspamd.answer(verdict("to the moon", 9))
		talk(self.shim.port, spamc_request("CHECK", MAIL))
		self.assertEqual(self.grown()['actions_total{action="other"}'], 1)

	def test_failure(self):
		self.rspamd.answer({"error": "no"}, status="500 Internal Server Error")
		talk(self.shim.port, spamc_request("CHECK", MAIL))
		grown = self.grown()
		self.assertEqual(grown['requests_total{dialect="spamc",command="CHECK",outcome="error"}'], 1)
		self.assertEqual(grown['failures_total{failure="rspamd-error"}'], 1)

	def test_unscanned(self):
		talk(self.shim.port, spamc_request("CHECK", MAIL + b"x" * 200_000))
		grown = self.grown()
		self.assertEqual(grown['requests_total{dialect="spamc",command="CHECK",outcome="unscanned"}'], 1)
		self.assertEqual(grown['failures_total{failure="too-large"}'], 1)

	def test_not_a_request(self):
		talk(self.shim.port, b"HELO mx.example\r\n")
		grown = self.grown()
		self.assertEqual(grown['requests_total{dialect="unknown",command="unknown",outcome="error"}'], 1)
		self.assertEqual(grown['failures_total{failure="bad-request"}'], 1)

	def test_ping_and_skip(self):
		talk(self.shim.port, b"PING SPAMC/1.5\r\n\r\n")
		talk(self.shim.port, b"SKIP SPAMC/1.5\r\n\r\n")
		grown = self.grown(2)
		self.assertEqual(grown, {"connections_total": 2,
		                         'requests_total{dialect="spamc",command="PING",outcome="ok"}': 1,
		                         'requests_total{dialect="spamc",command="SKIP",outcome="ok"}': 1})

	def test_client_that_leaves(self):
		with connect(self.shim.port) as sock:
			sock.sendall(spamc_request("CHECK", MAIL)[:60])
			wait_until(lambda: self.page.metrics()["connections"] == 1, "the connection is counted")
			FakeRspamd.reset(sock)
		self.assertEqual(self.grown()['requests_total{dialect="spamc",command="CHECK",outcome="client-gone"}'], 1)

	def test_connections_now(self):
		with connect(self.shim.port):
			wait_until(lambda: self.page.metrics()["connections"] == 1, "the connection is counted")
		wait_until(lambda: self.page.metrics()["connections"] == 0, "and its end")

	def test_histograms(self):
		self.shim.requests()
		talk(self.shim.port, spamc_request("CHECK", MAIL))
		self.shim.await_requests()
		after = self.page.metrics()
		for phase in ("read", "wait", "total"):
			name = f'request_duration_seconds_%s{{phase="{phase}"'
			self.assertEqual(after[name % "count" + "}"] - self.before[name % "count" + "}"], 1, phase)
			self.assertGreater(after[name % "sum" + "}"], self.before[name % "sum" + "}"], phase)
			buckets = [value for key, value in after.items() if key.startswith(name % "bucket")]
			self.assertEqual(buckets, sorted(buckets))
			self.assertEqual(buckets[-1], after[name % "count" + "}"])

	def test_promtool_finds_no_fault(self):
		promtool = packages.need("promtool").path("usr/bin/promtool")
		self.rspamd.answer(verdict("reject", 19))
		talk(self.shim.port, spamc_request("CHECK", MAIL))
		_, headers, body = self.page.get("/metrics")
		self.assertEqual(headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
		done = subprocess.run([str(promtool), "check", "metrics"], input=body, capture_output=True,
		                      timeout=process.PATIENCE)
		self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))


class Http(Case):
	@classmethod
	def setUpClass(cls):
		cls.rspamd = FakeRspamd()
		cls.addClassCleanup(cls.rspamd.stop)
		cls.closed, address = free_port(), free_port()
		cls.unix = cls.folder("page") / "page.sock"
		os.chown(cls.unix.parent, *process.server_ids())
		cls.shim = cls.shared(Shim, backend=cls.rspamd.url, config=sections(f"127.0.0.1:{address}", f"unix:{cls.unix}")
		                      + sections(f"127.0.0.1:{cls.closed}", allow="{192.0.2.0/24}"))
		cls.page = Page(address)
		wait_until(cls.page.answers, "the page answers")

	def test_health(self):
		status, headers, body = self.page.get("/health")
		self.assertEqual((status, headers["Content-Type"]), (200, "text/plain; charset=utf-8"))
		self.assertEqual(body.decode().splitlines()[:2], ["ok", "workers: 1"])
		self.assertIn(f"backend {self.rspamd.url}: in use", body.decode())

	def test_health_as_json(self):
		for path, more in (("/health.json", ""), ("/health", "Accept: application/json\r\n")):
			status, headers, body = self.page.get(path, more)
			self.assertEqual((status, headers["Content-Type"]), (200, "application/json"))
			self.assertEqual(json.loads(body), {"status": "ok", "workers": 1, "backends": [
				{"url": self.rspamd.url, "role": "scan", "usable": True, "circuit": "closed"}]})

	def test_head(self):
		for path in ("/metrics", "/health", "/health.json"):
			_, of_get, body = self.page.get(path)
			status, headers, empty = self.page.get(path, method="HEAD")
			self.assertEqual((status, empty), (200, b""))
			self.assertEqual(headers["Content-Type"], of_get["Content-Type"])
			self.assertGreater(int(headers["Content-Length"]), 0)
			self.assertEqual(int(of_get["Content-Length"]), len(body))

	def test_what_is_not_there(self):
		for path in ("/", "/metrics/", "/etc/passwd", "/../health"):
			self.assertEqual(self.page.get(path)[0], 404, path)
		for method in ("POST", "PUT", "DELETE", "OPTIONS"):
			status, headers, _ = self.page.get("/metrics", "Content-Length: 0\r\n", method)
			self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD"), method)

	def test_bad_requests(self):
		for text, status in ((b"nonsense\r\n\r\n", 400), (b"\x16\x03\x01\x02\x00\n\n", 400),
		                     (b"GET /health HTTP/3.0\r\n\r\n", 505),
		                     (b"GET /health HTTP/1.1\r\nX: " + b"x" * 9000, 431),
		                     (b"x" * 100_000, 431), (b"\0" * 9000, 431), (b"GET /metrics\0/../x HTTP/1.1\r\n\r\n", 400),
		                     (b"GET /\x1b]0;x\x07 HTTP/1.1\r\n\r\n", 400), (b"GET /metrics HTTP/-1\r\n\r\n", 505), (b"\n", 400)):
			with self.subTest(text[:30]):
				self.assertEqual(self.page.ask(text)[0], status)

	def test_request_in_pieces_and_half_closed(self):
		text = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
		reply = talk(self.page.address, text, half_close=True, pieces=range(1, len(text), 7), pause=0.001)
		self.assertTrue(reply.startswith(b"HTTP/1.1 200 OK\r\n"), reply)

	def test_unfinished_request(self):
		self.assertEqual(talk(self.page.address, b"GET /health HTTP/1.1\r\nHo", half_close=True), b"")

	def test_unix_socket(self):
		self.assertEqual(Page(self.unix).health(), 200)

	def test_who_is_not_allowed(self):
		with self.assertRaises((ConnectionError, AssertionError)):
			assert talk(self.closed, b"GET /health HTTP/1.1\r\n\r\n"), "closed without a byte"
		# through another socket of the page all is well
		self.assertTrue(self.page.answers())

	def test_slow_clients_are_cut_off(self):
		"""All places are taken by clients that say nothing: others wait, until those are cut."""
		idle = [connect(self.page.address) for _ in range(PAGE_CLIENTS)]
		try:
			idle[0].sendall(b"GET /hea")
			self.assertTrue(self.page.answers())
			for sock in idle:
				self.assertEqual(receive(sock), b"")
		finally:
			for sock in idle:
				sock.close()

	def test_more_than_was_asked_for(self):
		"""One answer to a connection, whatever follows the request."""
		for text in (b"GET /health HTTP/1.1\r\n\r\n" * 10_000,
		             b"GET /health HTTP/1.1\r\nContent-Length: -9999999999999999999\r\n\r\n" + b"x" * 1_000_000):
			self.assertEqual(talk(self.page.address, text).count(b"HTTP/1.1 200 OK\r\n"), 1)

	def test_clients_that_never_end_are_cut_off(self):
		"""All places are taken by those that have their answer and go on sending: others wait, until those are cut."""
		socks = [connect(self.page.address) for _ in range(PAGE_CLIENTS)]
		for sock in socks:
			sock.sendall(b"GET /health HTTP/1.1\r\n\r\n")
		for sock in socks:
			sock.sendall(b"x")
		self.assertTrue(self.page.answers())
		for sock in socks:
			with sock:
				self.assertTrue(receive(sock).startswith(b"HTTP/1.1 200 OK\r\n"))

	def test_many_clients(self):
		"""More than are served at a time: each has its answer."""
		socks = [connect(self.page.address) for _ in range(PAGE_CLIENTS * 3)]
		for sock in socks:
			sock.sendall(b"GET /health HTTP/1.1\r\n\r\n")
		for sock in socks:
			with sock:
				self.assertTrue(receive(sock).startswith(b"HTTP/1.1 200 OK\r\n"))

	def test_mail_is_not_served(self):
		self.assertEqual(self.page.ask(spamc_request("CHECK", MAIL))[0], 400)


class Life(Case):
	"""The page over the daemon's life."""

	def start(self, *addresses, more="", **options):
		self.rspamd = FakeRspamd()
		self.addCleanup(self.rspamd.stop)
		shim = self.own(Shim, backend=self.rspamd.url, config=sections(*addresses) + more, **options)
		wait_until(Page(int(addresses[0].rpartition(":")[2])).answers, "the page answers")
		return shim

	def test_off_by_default(self):
		rspamd = FakeRspamd()
		self.addCleanup(rspamd.stop)
		shim = self.own(Shim, backend=rspamd.url)
		self.assertEqual(len(shim.workers()), 1)

	def test_counters_survive_a_worker(self):
		port = free_port()
		shim = self.start(f"127.0.0.1:{port}")
		page = Page(port)
		key = 'requests_total{dialect="spamc",command="CHECK",outcome="verdict"}'
		talk(shim.port, spamc_request("CHECK", MAIL))
		wait_until(lambda: page.metrics()[key] == 1, "the request is counted")
		with connect(shim.port) as sock:
			sock.sendall(b"CHECK SPAMC/1.5\r\n")
			wait_until(lambda: page.metrics()["connections"] == 1, "the connection is counted")
			self.kill_worker(shim)
			wait_until(lambda: page.metrics()["connections"] == 0, "the dead worker has no connections")
		wait_until(lambda: page.metrics()['workers{state="serving"}'] == 1 and page.health() == 200, "a new worker serves")
		after = page.metrics()
		self.assertEqual((after[key], after["workers_died_total"], after["workers_started_total"]), (1, 1, 2))
		talk(shim.port, spamc_request("CHECK", MAIL))
		wait_until(lambda: page.metrics()[key] == 2, "the new worker counts on")

	def kill_worker(self, shim):
		os.kill(self.listening(shim, shim.port)[0], signal.SIGKILL)

	@staticmethod
	def files(pid):
		"""What the process has open."""
		try:
			return {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
		except OSError:		# it has ended
			return set()

	def listening(self, shim, port):
		"""Those of the supervisor's children that hold the socket listening on port."""
		with open("/proc/net/tcp") as table:
			rows = [line.split() for line in table][1:]
		inodes = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A"}
		return [pid for pid in shim.workers() if self.files(pid) & inodes]

	def accepted_by(self, shim, sock):
		"""The process that has accepted this connection, once one has."""
		port = sock.getsockname()[1]

		def holder():
			with open("/proc/net/tcp") as table:
				rows = [line.split() for line in table][1:]
			inodes = {f"socket:[{row[9]}]" for row in rows if row[2].endswith(f":{port:04X}") and row[9] != "0"}
			return next((pid for pid in shim.workers() if self.files(pid) & inodes), None)
		return wait_until(holder, "the connection is accepted")

	def test_one_process_has_the_page_and_nothing_else(self):
		port = free_port()
		shim = self.start(f"127.0.0.1:{port}", more="workers = 2\n")
		wait_until(lambda: len(self.listening(shim, port)) == 1, "one process holds the page's socket")
		wait_until(lambda: len(self.listening(shim, shim.port)) == 2, "two workers hold that of mail")
		self.assertFalse(set(self.listening(shim, port)) & set(self.listening(shim, shim.port)))

	def test_no_root(self):
		if os.geteuid() != 0:
			self.skipTest("only root can give up root's rights")
		port = free_port()
		shim = self.start(f"127.0.0.1:{port}", root=True)
		pid, = self.listening(shim, port)
		with open(f"/proc/{pid}/status") as status:
			fields = dict(line.rstrip("\n").split(":\t", 1) for line in status)
		self.assertNotIn("0", fields["Uid"].split() + fields["Gid"].split())
		self.assertEqual(int(fields["CapEff"], 16), 0)

	def test_page_that_dies_is_started_again(self):
		port = free_port()
		shim = self.start(f"127.0.0.1:{port}")
		talk(shim.port, spamc_request("CHECK", MAIL))
		os.kill(self.listening(shim, port)[0], signal.SIGKILL)
		self.assertTrue(talk(shim.port, spamc_request("CHECK", MAIL)).startswith(b"SPAMD/1.1 0 EX_OK\r\n"))
		wait_until(lambda: "the page of status died of signal 9" in shim.log(), "its death is told")
		# clients wait in the socket's queue meanwhile
		metrics = Page(port).metrics()
		self.assertEqual(metrics['requests_total{dialect="spamc",command="CHECK",outcome="verdict"}'], 2)
		self.assertEqual(metrics["workers_died_total"], 0)

	def test_reload(self):
		one, two = free_port(), free_port()
		shim = self.start(f"127.0.0.1:{one}")
		key = 'requests_total{dialect="spamc",command="CHECK",outcome="verdict"}'
		talk(shim.port, spamc_request("CHECK", MAIL))
		wait_until(lambda: Page(one).metrics()[key] == 1, "the request is counted")
		# kept
		shim.signal(signal.SIGHUP)
		wait_until(lambda: Page(one).answers() and Page(one).metrics()['reloads_total{result="done"}'] == 1, "reloaded")
		self.assertEqual(Page(one).metrics()[key], 1)
		# one that was connected before gets its answer
		with connect(one) as sock:
			sock.sendall(b"GET /metrics HTTP/1.1\r\n")
			old = self.accepted_by(shim, sock)
			shim.signal(signal.SIGHUP)
			wait_until(lambda: len(set(self.listening(shim, one)) - {old}) == 1, "another process has the page")
			sock.sendall(b"\r\n")
			status, _, body = Page.response(sock)
			self.assertEqual((status, parse(body.decode())['reloads_total{result="done"}']), (200, 2))
		# refused: all stays
		shim.write_config("nonsense\n")
		shim.signal(signal.SIGHUP)
		wait_until(lambda: Page(one).metrics()['reloads_total{result="refused"}'] == 1, "the reload is refused")
		# moved
		shim.write_config(sections(f"127.0.0.1:{two}"))
		shim.signal(signal.SIGHUP)
		wait_until(Page(two).answers, "the page has moved")
		self.assertEqual(Page(two).metrics()[key], 1)
		wait_until(lambda: not Page(one).answers(), "nothing is where it was")
		# gone
		shim.write_config("")
		shim.signal(signal.SIGHUP)
		wait_until(lambda: not Page(two).answers(), "the page is gone")
		wait_until(lambda: len(shim.workers()) == 1, "its process too")

	def test_health_while_stopping(self):
		port = free_port()
		shim = self.start(f"127.0.0.1:{port}")
		page = Page(port)
		with connect(shim.port) as sock:
			sock.sendall(spamc_request("CHECK", MAIL)[:60])
			wait_until(lambda: page.metrics()["connections"] == 1, "the client is there")
			shim.signal(signal.SIGTERM)
			wait_until(lambda: page.health() == 503, "the page tells of the stop")
			self.assertIn(b"unavailable: the daemon is stopping\n", page.get("/health")[2])
			self.assertEqual(page.metrics()['workers{state="finishing"}'], 1)
			sock.sendall(spamc_request("CHECK", MAIL)[60:])
			self.assertTrue(receive(sock).startswith(b"SPAMD/1.1 0 EX_OK\r\n"))
		self.assertEqual(shim.wait(), 0)

	def test_health_follows_rspamd(self):
		port = free_port()
		shim = self.start(f"127.0.0.1:{port}", more="breaker_failures = 1\nhealth_interval = 0.05\n")
		page = Page(port)
		self.rspamd.alive = False
		self.rspamd.raw(b"nonsense\r\n\r\n")
		talk(shim.port, spamc_request("CHECK", MAIL))
		wait_until(lambda: page.health() == 503, "no rspamd is well")
		status, _, body = page.get("/health.json")
		self.assertEqual((status, json.loads(body)), (503, {
			"status": "unavailable", "reason": "no rspamd can take mail", "workers": 1, "backends": [
				{"url": self.rspamd.url, "role": "scan", "usable": False, "circuit": "open"}]}))
		# it is asked for a sign of life, and then for a scan
		self.rspamd.alive = True
		wait_until(lambda: page.health() == 200, "rspamd shows signs of life")
		self.assertEqual(json.loads(page.get("/health.json")[2])["backends"][0]["circuit"], "half-open")
		self.rspamd.answer(verdict())
		talk(shim.port, spamc_request("CHECK", MAIL))
		self.assertEqual(json.loads(page.get("/health.json")[2])["backends"][0]["circuit"], "closed")

	def test_health_without_workers(self):
		"""One that dies soon after its start is not replaced at once: the page tells."""
		port = free_port()
		shim = self.start(f"127.0.0.1:{port}")
		page = Page(port)

		def nobody_serves():
			deaths = page.metrics()["workers_died_total"]
			self.kill_worker(shim)
			wait_until(lambda: page.metrics()["workers_died_total"] > deaths, "the death is counted")
			return page.get("/health")
		wait_until(lambda: nobody_serves()[0] == 503, "nobody serves")
		wait_until(lambda: page.health() == 200, "a new one serves")

	def test_address_in_use(self):
		with socket.create_server(("127.0.0.1", 0)) as other:
			port = other.getsockname()[1]
			shim = self.own(Shim, backend="http://127.0.0.1:1", config=sections(f"127.0.0.1:{port}"), start=False)
			shim.spawn(shim.command, shim.environment())
			self.assertNotEqual(shim.wait(), 0)
		self.assertRegex(shim.log(), rf"127\.0\.0\.1:{port}.*in use")

	def test_address_of_a_listener(self):
		port = free_port()
		shim = self.own(Shim, listen=[], start=False,
		                config=f'listen "127.0.0.1:{port}" {{ }}\n' + sections(f"127.0.0.1:{port}"))
		done = subprocess.run([*shim.command, "--check-config"], capture_output=True, text=True, env=shim.environment())
		self.assertEqual(done.returncode, 78)
		self.assertIn(f"127.0.0.1:{port}: an address of listen, too", done.stderr)


class RepeatedLines(Case):
	def test_those_turned_away(self):
		rspamd, page, closed = FakeRspamd(), free_port(), free_port()
		self.addCleanup(rspamd.stop)
		shim = self.own(Shim, backend=rspamd.url, config=f'listen "127.0.0.1:{closed}" {{ allow = {{192.0.2.1}} }}\n'
		                f'listen "unix:{self.folder("s")}/x" {{ }}\n' + sections(f"127.0.0.1:{page}"), listen=[], start=False)
		shim.start(ready=Page(page).answers)
		for _ in range(40):
			with connect(closed) as sock:
				self.assertEqual(self.received(sock), b"")
		metrics = Page(page).metrics()
		self.assertEqual((metrics["connections_refused_total"], metrics["connections_total"]), (40, 0))
		self.assertEqual(metrics["log_lines_repeated_total"], 35)
		self.assertEqual(shim.stop(), 0)
		lines = [line for line in shim.log().splitlines() if "turned away" in line]
		self.assertEqual(len(lines), 6, lines)
		self.assertRegex(lines[5], r"repeated 35 times: client=127\.0\.0\.1:\d+ turned away: not in")

	@staticmethod
	def received(sock):
		try:
			return receive(sock)
		except ConnectionError:
			return b""

	def test_requests_are_never_held_back(self):
		rspamd = FakeRspamd()
		self.addCleanup(rspamd.stop)
		shim = self.own(Shim, backend=rspamd.url)
		for _ in range(30):
			talk(shim.port, b"nonsense\r\n")
		self.assertEqual(len(shim.await_requests(30)), 30)

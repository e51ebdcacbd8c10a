"""systemd's protocols: sockets that are handed over, readiness, watchdog; the unit files.

systemd itself does not run here: a notification socket, a parent that holds
the listening sockets and systemd-socket-activate stand in for it.
"""

import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import threading

from harness import (Case, FakeRspamd, RspamcReply, Shim, connect, free_port, message, receive, rspamc_request,
                     talk, verdict, wait_until)
from harness import packages, process, shim as shim_module
from test_reload import Load

MAIL = message()
EX_CONFIG = 78
RESTARTS = 5
PING, PONG = b"PING SPAMC/1.5\r\n\r\n", b"SPAMD/1.5 0 PONG\r\n"
# Puts the descriptors $2 ... to 3 and those after it, $1 of them, and becomes the program.
HAND_OVER = """
n=$1 to=3
shift
while [ "$n" -gt 0 ]; do
	eval "exec $to<&$1 $1<&-"
	shift
	n=$((n - 1)) to=$((to + 1))
done
export LISTEN_PID=${LISTEN_PID:-$$}
exec "$@"
"""


class Notifications:
	"""A notification socket, and what was sent to it."""

	def __init__(self, folder, abstract=False):
		self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		if abstract:
			self.name = f"@exim-rspamd-test-{process.RUN_ID}-{id(self)}"
			self.sock.bind("\0" + self.name[1:])
		else:
			self.name = str(folder / "notify")
			self.sock.bind(self.name)
			os.chmod(self.name, 0o777)
		self.sock.setblocking(False)
		self.lines = []

	def look(self):
		"""All lines so far."""
		while True:
			try:
				self.lines += self.sock.recv(4096).decode().split("\n")
			except BlockingIOError:
				return self.lines

	def find(self, start):
		"""The lines that begin so."""
		return [line for line in self.look() if line.startswith(start)]

	def forget(self):
		self.look()
		self.lines = []


class Supervised(Shim):
	"""A rspamd-shim whose parent hands sockets over and hears of its state.

	sockets: listening ones, which stay the test's; names: what LISTEN_FDNAMES
	says; listen_pid: another process that they are for; notify:
	Notifications; watchdog: seconds; limits: arguments of ulimit.
	"""

	def __init__(self, folder, sockets=(), names=None, listen_pid=None, notify=None, watchdog=None, limits=None,
	             **options):
		super().__init__(folder, **options)
		self.sockets = sockets
		self.more = {}
		if sockets:
			self.more["LISTEN_FDS"] = str(len(sockets))
		if names:
			self.more["LISTEN_FDNAMES"] = ":".join(names)
		if listen_pid:
			self.more["LISTEN_PID"] = str(listen_pid)
		if notify:
			self.more["NOTIFY_SOCKET"] = notify.name
		if watchdog:
			self.more["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
		self.limits = limits

	def spawn(self, command, env):
		# numbers that none of those to be given is among
		fds = [os.dup2(sock.fileno(), 100 + i, inheritable=False) for i, sock in enumerate(self.sockets)]
		script = (f"ulimit {self.limits}\n" if self.limits else "") + HAND_OVER
		try:
			with open(self.output, "ab") as out:
				self.process = subprocess.Popen(
					["bash", "-c", script, "bash", str(len(fds)), *map(str, fds), *map(str, command)],
					env={**env, **self.more}, cwd=self.dir, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
					pass_fds=fds, start_new_session=True, **process.run_as(self.root))
		finally:
			for fd in fds:
				os.close(fd)


def pings(address):
	try:
		return talk(address, PING) == PONG
	except OSError:
		return False


class Base(Case):
	def listening(self, address, family=socket.AF_INET, **options):
		"""A listening socket as systemd would make it."""
		if family == socket.AF_UNIX:
			sock = socket.socket(family)
			sock.bind(str(address))
			os.chmod(address, 0o666)
			sock.listen(1000)
		else:
			sock = socket.create_server(address, family=family, backlog=1000, **options)
		self.addCleanup(sock.close)
		return sock

	def supervised(self, config, sockets=(), ready=None, **options):
		shim = self.own(Supervised, sockets=sockets, config=config, listen=[], start=False, **options)
		if ready:
			shim.start(ready=ready)
		return shim

	def refused(self, shim):
		"""The log of a daemon that does not start because of its configuration."""
		shim.spawn(shim.command, shim.environment())
		self.assertEqual(shim.wait(), EX_CONFIG, shim.log())
		return shim.log()


class Sockets(Base):
	@classmethod
	def setUpClass(cls):
		cls.fake = cls.shared(lambda _folder: FakeRspamd())
		cls.fake.answer(verdict("greylist", 4.0))

	def served(self, address):
		self.assertEqual(RspamcReply(talk(address, rspamc_request(MAIL))).action, "greylist")

	def conf(self, *addresses):
		return f'backend "{self.fake.url}" {{ }}\n' + "".join(f'listen "{a}" {{ mode = "0600" }}\n' for a in addresses)

	def test_every_family(self):
		four, six, path = self.listening(("127.0.0.1", 0)), None, self.folder("sockets") / "s"
		six = self.listening(("::1", 0), socket.AF_INET6)
		ports = [sock.getsockname()[1] for sock in (four, six)]
		own = free_port()
		sockets = [self.listening(path, socket.AF_UNIX), six, four]
		before = path.stat()
		shim = self.supervised(self.conf(f"127.0.0.1:{ports[0]}", f"[::1]:{ports[1]}", f"unix:{path}", f"127.0.0.1:{own}"),
		                       sockets, ready=lambda: pings(own))
		for address in (ports[0], ("::1", ports[1]), path, own):
			self.served(address)
		shim.signal(signal.SIGHUP)
		wait_until(lambda: "reloaded: listening" in shim.log(), "the reload")
		for address in (ports[0], ("::1", ports[1]), path, own):
			self.served(address)
		self.assertEqual(shim.stop(), 0)
		after = path.stat()
		self.assertEqual((before.st_ino, before.st_mode), (after.st_ino, after.st_mode), "the file is systemd's")
		for address in (ports[0], ("::1", ports[1]), path):
			connect(address).close()		# it waits in the queue
		with self.assertRaises(ConnectionRefusedError):
			connect(own)

	def test_names_and_wildcards(self):
		# 0.0.0.0 and [::] in one socket, as systemd makes it of a bare port
		both = self.listening(("::", 0), socket.AF_INET6, dualstack_ipv6=True)
		port = both.getsockname()[1]
		for address in (f"*:{port}", f"[::]:{port}", f"0.0.0.0:{port}"):
			with self.subTest(address):
				shim = self.supervised(self.conf(address), [both], ready=lambda: pings(port))
				self.served(port)
				self.served(("::1", port))
				shim.stop()
		# a name for what was an address, at a reload
		four = self.listening(("127.0.0.1", 0))
		port = four.getsockname()[1]
		shim = self.supervised(self.conf(f"127.0.0.1:{port}"), [four], ready=lambda: pings(port))
		shim.write_config(self.conf(f"localhost:{port}"))
		shim.signal(signal.SIGHUP)
		wait_until(lambda: f"reloaded: listening on localhost:{port}" in shim.log(), "the reload")
		self.served(port)

	def test_socket_without_a_section(self):
		known, unknown = self.listening(("127.0.0.1", 0)), self.listening(("127.0.0.2", 0))
		ports = [sock.getsockname()[1] for sock in (known, unknown)]
		shim = self.supervised(self.conf(f"127.0.0.1:{ports[0]}"), [known, unknown], names=["one.socket", "two.socket"])
		line, = [line for line in self.refused(shim).splitlines() if "no listen section" in line]
		self.assertIn(f'add listen "127.0.0.2:{ports[1]}" {{ }}', line)
		self.assertIn("two.socket", line)
		# nor does a reload leave one without
		whole = self.conf(f"127.0.0.1:{ports[0]}", f"127.0.0.2:{ports[1]}")
		shim = self.supervised(whole, [known, unknown], ready=lambda: pings(ports[0]))
		workers = shim.workers()
		shim.write_config(self.conf(f"127.0.0.1:{ports[0]}"))
		shim.signal(signal.SIGHUP)
		wait_until(lambda: "the running one stays" in shim.log(), "the reload is refused")
		self.served(("127.0.0.2", ports[1]))
		self.assertEqual(shim.workers(), workers)
		shim.write_config(whole)
		shim.signal(signal.SIGHUP)
		wait_until(lambda: "reloaded: " in shim.log(), "the next reload")
		self.served(("127.0.0.2", ports[1]))

	def test_one_socket_for_two_sections(self):
		four = self.listening(("127.0.0.1", 0))
		port = four.getsockname()[1]
		shim = self.supervised(self.conf(f"127.0.0.1:{port}", f"localhost:{port}"), [four])
		self.assertIn(f'localhost:{port}: cannot listen: ', self.refused(shim))

	def test_sockets_of_no_use(self):
		deaf = socket.socket()
		deaf.bind(("127.0.0.1", 0))
		self.addCleanup(deaf.close)
		datagrams = socket.socket(type=socket.SOCK_DGRAM)
		datagrams.bind(("127.0.0.1", 0))
		self.addCleanup(datagrams.close)
		for sock, why in ((deaf, "does not listen"), (datagrams, "no stream socket")):
			with self.subTest(why):
				address = "127.0.0.1:%d" % sock.getsockname()[1]
				log = self.refused(self.supervised(self.conf(address), [sock]))
				self.assertRegex(log, f"{re.escape(address)}: .*{why}")

	def test_sockets_of_another_process(self):
		four, port = self.listening(("127.0.0.1", 0)), free_port()
		shim = self.supervised(self.conf(f"127.0.0.1:{port}"), [four], listen_pid=os.getpid(), ready=lambda: pings(port))
		self.served(port)
		self.assertEqual(shim.stop(), 0)

	def test_with_the_real_systemd_socket_activate(self):
		program = tool("systemd-socket-activate")
		port, path = free_port(), self.folder("sockets") / "s"
		shim = self.supervised(self.conf(f"127.0.0.1:{port}", f"unix:{path}"))
		shim.command = [*program, "-l", f"127.0.0.1:{port}", "-l", path, "--", *shim.command]
		shim.start(ready=lambda: "Listening on" in shim.log())
		self.assertNotIn("rspamd-shim[", shim.log(), "it is started by its first client")
		self.served(port)
		self.served(path)
		self.assertEqual(shim.stop(), 0)


class Service(Base):
	"""What the service manager is told, and workers that hang."""

	@classmethod
	def setUpClass(cls):
		cls.fake = cls.shared(lambda _folder: FakeRspamd())

	def service(self, config="", abstract=False, **options):
		notify = Notifications(self.folder("notify"), abstract)
		self.addCleanup(notify.sock.close)
		port = free_port()
		shim = self.supervised(f'listen "127.0.0.1:{port}" {{ }}\nbackend "{self.fake.url}" {{ }}\n' + config,
		                       notify=notify, **options)
		shim.port = port
		return shim, notify

	def test_life_of_a_service(self):
		for abstract in (False, True):
			with self.subTest(abstract=abstract):
				shim, notify = self.service(abstract=abstract)
				shim.start(ready=lambda: notify.find("READY=1"))
				self.assertTrue(pings(shim.port))
				status, = notify.find("STATUS=")
				self.assertIn(f"listening on {shim.address.split(':')[0]}:{shim.port}", status)
				self.assertIn("=1 worker, 0 clients", status)
				self.assertEqual(notify.find("WATCHDOG"), [])
				shim.signal(signal.SIGTERM)
				self.assertEqual(shim.wait(), 0)
				self.assertEqual(len(notify.find("STOPPING=1")), 1)
				# more than timeout_stop
				self.assertGreater(int(notify.find("EXTEND_TIMEOUT_USEC=")[0].partition("=")[2]), 110 * 1000000)
				self.assertEqual(len(notify.find("READY=1")), 1)

	def test_reload(self):
		shim, notify = self.service()
		shim.start(ready=lambda: notify.find("READY=1"))
		for text, line in ((shim.config.read_text(), "reloaded: "), ("nonsense\n", "the running one stays")):
			with self.subTest(line):
				notify.forget()
				shim.write_config(text)
				shim.signal(signal.SIGHUP)
				wait_until(lambda: notify.find("READY=1"), "the service is ready again")
				self.assertIn(line, shim.log())
				lines = notify.look()
				self.assertLess(lines.index("RELOADING=1"), lines.index("READY=1"))
				self.assertTrue(any(re.fullmatch(r"MONOTONIC_USEC=\d+", one) for one in lines), lines)

	def test_not_ready_without_workers(self):
		# so few descriptors are enough for the supervisor, and not for an event loop
		shim, notify = self.service(limits="-n 6")
		# nor for the leak checker
		shim.more["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
		shim.spawn(shim.command, shim.environment())
		wait_until(lambda: shim.log().count("exited with status") >= 2, "workers that cannot start")
		self.assertEqual(notify.find("READY"), [])
		self.assertNotIn("listening on", shim.log())

	def test_watchdog(self):
		shim, notify = self.service("timeout_worker = 3600\n", watchdog=1)
		shim.start(ready=lambda: len(notify.find("WATCHDOG=1")) >= 3)
		worker, = shim.workers()
		os.kill(worker, signal.SIGSTOP)
		silent = [0, 0]

		def is_silent():
			# a hundred looks without a word: two seconds, twice the deadline
			count = len(notify.find("WATCHDOG=1"))
			silent[:] = [count, silent[1] + 1 if count == silent[0] else 0]
			return silent[1] > 100
		wait_until(is_silent, "no word of a daemon whose only worker hangs")
		os.kill(worker, signal.SIGCONT)
		notify.forget()
		wait_until(lambda: notify.find("WATCHDOG=1"), "the worker lives again")
		self.assertEqual(shim.workers(), [worker])

	def test_another_process_is_watched(self):
		shim, notify = self.service(watchdog=1)
		shim.more["WATCHDOG_PID"] = str(os.getpid())
		shim.start(ready=lambda: notify.find("READY=1"))
		shim.stop()
		self.assertEqual(notify.find("WATCHDOG"), [])

	def test_worker_that_hangs_is_replaced(self):
		shim = self.own(Shim, backend=self.fake.url, config="workers = 2\ntimeout_worker = 5\n")
		wait_until(lambda: len(shim.workers()) == 2, "two workers")
		before = set(shim.workers())
		victim = max(before)
		os.kill(victim, signal.SIGSTOP)
		wait_until(lambda: victim not in shim.workers() and len(shim.workers()) == 2, "the worker is replaced")
		self.assertTrue(before - {victim} <= set(shim.workers()))
		log = shim.log()
		self.assertRegex(log, rf"worker {victim} has done nothing for \d+ s \(timeout_worker\)")
		wait_until(lambda: f"worker {victim} died of signal {int(signal.SIGABRT)} " in shim.log(), "it was aborted")
		for _ in range(8):
			self.assertTrue(RspamcReply(talk(shim.port, rspamc_request(MAIL))))

	def test_halt_of_the_whole_daemon(self):
		"""A machine that stood still has no worker that hangs."""
		shim = self.own(Shim, backend=self.fake.url, config="workers = 2\ntimeout_worker = 8\n")
		wait_until(lambda: len(shim.workers()) == 2, "two workers")
		workers = shim.workers()
		shim.settle()
		# the supervisor is the last to stop and the first to go on
		for pid in workers:
			os.kill(pid, signal.SIGSTOP)
		threading.Event().wait(2)
		shim.signal(signal.SIGSTOP)
		threading.Event().wait(8)
		shim.signal(signal.SIGCONT)
		threading.Event().wait(1)
		for pid in workers:
			os.kill(pid, signal.SIGCONT)
		for _ in range(8):
			self.assertTrue(RspamcReply(talk(shim.port, rspamc_request(MAIL))))
		self.assertNotIn("timeout_worker", shim.log())
		self.assertEqual(shim.workers(), workers)


class Restart(Base):
	def test_restart_under_load(self):
		"""The sockets stay, the daemon comes and goes: each request has its verdict."""
		fake = self.own(lambda _folder: FakeRspamd())
		fake.answer(verdict("reject", 17.0))
		path = self.folder("sockets") / "s"
		sockets = [self.listening(("127.0.0.1", 0)), self.listening(path, socket.AF_UNIX)]
		port = sockets[0].getsockname()[1]
		shim = self.supervised(f'workers = 2\nbackend "{fake.url}" {{ }}\nlisten "127.0.0.1:{port}" {{ }}\n'
		                       f'listen "unix:{path}" {{ }}\n', sockets, ready=lambda: pings(port))
		load = Load([port, path])
		self.addCleanup(load.end)
		for _ in range(RESTARTS):
			load.more(100)
			shim.signal(signal.SIGTERM)
			self.assertEqual(shim.wait(), 0)
			# those who come meanwhile
			waiting = [connect(address) for address in (port, path)]
			for sock in waiting:
				sock.sendall(rspamc_request(MAIL))
			shim.spawn(shim.command, shim.environment())
			for sock in waiting:
				self.assertEqual(RspamcReply(receive(sock)).action, "reject")
				sock.close()
		load.more(100)
		load.end()
		self.assertEqual(load.faults, {})
		self.assertGreaterEqual(len(load.answered), 100 * RESTARTS)
		# rspamd saw each request once
		self.assertEqual(len(fake.requests), len(load.answered) + 2 * RESTARTS)
		shim.stop()


def tool(name):
	"""The command of a program of systemd's, of this machine or unpacked."""
	found = shutil.which(name)
	if found:
		return [found]
	group = packages.need("systemd")
	return ["env", f"LD_LIBRARY_PATH={group.library_path()}", str(group.path(f"usr/bin/{name}"))]


class Units(Case):
	UNITS = packages.SOURCE_TREE / "packaging" / "systemd"

	def setUp(self):
		super().setUp()
		self.dir = self.folder("units")
		text = (self.UNITS / "rspamd-shim.service.in").read_text()
		program = shim_module.binary()
		self.assertIn("@sbindir@/rspamd-shim", text)
		(self.dir / "rspamd-shim.service").write_text(text.replace("@sbindir@/rspamd-shim", str(program)))
		shutil.copy(self.UNITS / "rspamd-shim.socket", self.dir)

	def analyze(self, *arguments):
		env = process.environment()
		if not shutil.which("systemd-analyze"):
			# nor has this machine the units that ours stand on
			env["SYSTEMD_UNIT_PATH"] = f"{self.dir}:{packages.need('systemd').path('lib/systemd/system')}"
		run = subprocess.run([*tool("systemd-analyze"), *arguments], stdin=subprocess.DEVNULL, text=True, cwd=self.dir,
		                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env)
		return run.returncode, run.stdout

	def test_exposure(self):
		code, text = self.analyze("security", "--offline=true", "--no-pager", "--threshold=20", "./rspamd-shim.service")
		self.assertEqual(code, 0, text)
		self.assertRegex(text, r"Overall exposure level for rspamd-shim\.service: [01]\.\d")

	def test_verify(self):
		code, text = self.analyze("verify", "--man=no", "./rspamd-shim.service", "./rspamd-shim.socket")
		self.assertEqual((code, text), (0, ""))

	def test_reload(self):
		"""The unit's command, as systemd starts it: $$ is one $."""
		command = re.search(r"^ExecReload=(.*)$", (self.dir / "rspamd-shim.service").read_text(), re.M)[1].replace("$$", "$")
		shim = self.own(Shim, backend="http://127.0.0.1:9")
		subprocess.run(shlex.split(command), env={"MAINPID": str(shim.process.pid)}, check=True)
		wait_until(lambda: "reloaded: " in shim.log(), "it is reloaded")

	def test_they_fit_the_daemon(self):
		"""The numbers of the unit, and the address of the socket, are those of the configuration."""
		run = subprocess.run([str(shim_module.binary()), "-c", "/dev/null", "--dump-config"], capture_output=True, text=True,
		                     check=True)
		conf = dict(re.findall(r"^(\w+) = (.*)$", run.stdout, re.M))
		unit = dict(re.findall(r"^(\w+)=(.*)$", (self.UNITS / "rspamd-shim.service.in").read_text(), re.M))
		self.assertGreater(int(unit["TimeoutStopSec"]), float(conf["timeout_stop"]) + 5)
		self.assertGreater(int(unit["WatchdogSec"]), float(conf["timeout_worker"]) + 5)
		self.assertGreater(int(unit["LimitNOFILE"]), 2 * int(conf["max_connections"]) + 300)
		streams = re.findall(r"^ListenStream=(.*)$", (self.UNITS / "rspamd-shim.socket").read_text(), re.M)
		self.assertEqual(streams, re.findall(r"^listen '(.*)'", run.stdout, re.M))

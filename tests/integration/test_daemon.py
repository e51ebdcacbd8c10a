"""The daemon itself: command line, sockets, signals, workers, limits, deadlines."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import threading

from harness import (Case, FakeRspamd, RspamcReply, Shim, common_rspamd, connect, free_port, message, receive,
                     rspamc_request, spamc_request, talk, verdict, wait_until)
from harness import process, shim as shim_module

MAIL = message()
EX_USAGE, EX_OSERR, EX_CANTCREAT, EX_CONFIG, EX_NOPERM = 64, 71, 73, 78, 77


class CommandLine(Case):
	def run_shim(self, *arguments):
		"""(exit code, stdout, stderr) of a run that ends by itself."""
		done = subprocess.run([str(process.reachable(shim_module.binary())), *map(str, arguments)], stdin=subprocess.DEVNULL, text=True,
		                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=process.PATIENCE,
		                      env=process.environment(), **process.run_as())
		return done.returncode, done.stdout, done.stderr

	def test_version_and_help(self):
		code, out, err = self.run_shim("--version")
		self.assertEqual((code, err), (0, ""))
		self.assertRegex(out, r"\Arspamd-shim \d+\.\d+\.\d+\n\Z")
		code, out, err = self.run_shim("--help")
		self.assertEqual((code, err), (0, ""))
		for option in ("-c", "-l", "-b", "--controller", "--password-file", "--check-config", "--dump-config",
		               "--daemon", "--pid-file", "--version", "--help"):
			self.assertIn(option, out)

	def test_usage_errors(self):
		for arguments in (["--nonsense"], ["-l"], ["surplus"], ["-x"]):
			with self.subTest(arguments):
				code, out, err = self.run_shim(*arguments)
				self.assertEqual((code, out), (EX_USAGE, ""))
				self.assertTrue(err)

	def test_bad_addresses(self):
		for arguments in (["-l", "127.0.0.1"], ["-l", "127.0.0.1:99999"], ["-l", "unix:relative"], ["-l", "::1:783"],
		                  ["-b", "ftp://x:1"], ["-b", "127.0.0.1:11333"], ["-b", "http://127.0.0.1:0"],
		                  ["-b", "http://127.0.0.1:1/path"]):
			with self.subTest(arguments):
				code, _, err = self.run_shim("--check-config", *arguments)
				self.assertEqual(code, EX_CONFIG)
				self.assertIn(arguments[1], err)

	def test_check_and_dump(self):
		path = self.folder("conf") / "shim.conf"
		path.write_text('listen "127.0.0.1:7830" { envelope = "none" }\nbackend "http://127.0.0.1:1" { }\nworkers = 3\n')
		code, out, err = self.run_shim("-c", path, "--check-config")
		self.assertEqual((code, err), (0, ""))
		code, dump, err = self.run_shim("-c", path, "--dump-config")
		self.assertEqual((code, err), (0, ""))
		self.assertIn("7830", dump)
		# What it dumps is a configuration that gives the same dump.
		again = path.with_name("again.conf")
		again.write_text(dump)
		self.assertEqual(self.run_shim("-c", again, "--dump-config"), (0, dump, ""))

	def test_command_line_beats_file(self):
		path = self.folder("conf") / "shim.conf"
		path.write_text('listen "127.0.0.1:7830" { }\nbackend "http://127.0.0.1:1" { }\n')
		_, dump, _ = self.run_shim("-c", path, "-l", "127.0.0.1:7831", "-b", "http://127.0.0.1:2", "--dump-config")
		self.assertTrue("7831" in dump and "127.0.0.1:2" in dump, dump)
		self.assertFalse("7830" in dump or "127.0.0.1:1'" in dump, dump)

	def test_defaults(self):
		_, dump, _ = self.run_shim("-c", "/dev/null", "--dump-config")
		self.assertIn("127.0.0.1:783", dump)
		self.assertIn("http://127.0.0.1:11333", dump)

	def test_bad_configuration(self):
		path = self.folder("conf") / "shim.conf"
		for text, line in (("workers = 1\nnonsense = 5\n", 2), ("workers = many\n", 1), ("\n\nlisten {\n", 3),
		                   ("timeout_wait = -1\n", 1), ("workers = 0\n", 1)):
			with self.subTest(text):
				path.write_text(text)
				code, _, err = self.run_shim("-c", path, "--check-config")
				self.assertEqual(code, EX_CONFIG)
				self.assertRegex(err, rf"{re.escape(str(path))}:{line}: |rspamd-shim: {text.split()[0]}: ")
		code, _, err = self.run_shim("-c", "/nonexistent/shim.conf")
		self.assertNotEqual(code, 0)
		self.assertIn("/nonexistent/shim.conf", err)

	def test_port_in_use(self):
		with socket.create_server(("127.0.0.1", 0)) as other:
			port = other.getsockname()[1]
			code, _, err = self.run_shim("-l", f"127.0.0.1:{port}")
		self.assertNotEqual(code, 0)
		self.assertIn(f"127.0.0.1:{port}", err)
		self.assertRegex(err, "(?i)in use")

	def test_privileged_port(self):
		with open("/proc/sys/net/ipv4/ip_unprivileged_port_start") as limit:
			if int(limit.read()) <= 783:
				self.skipTest("every user may use port 783 here")
		code, _, err = self.run_shim("-l", "127.0.0.1:783")
		self.assertEqual(code, EX_NOPERM, err)
		self.assertRegex(err, r"127\.0\.0\.1:783.*(root|CAP_NET_BIND_SERVICE)")


class Background(Case):
	"""--daemon: when the command returns, all is said."""

	def setUp(self):
		self.pid_file = self.folder("pid") / "shim.pid"
		self.port = free_port()
		self.addCleanup(self.end)

	def end(self):
		"""Ends the daemon that is in the file, and waits for that."""
		if self.pid_file.is_file():
			pid = int(self.pid_file.read_text())
			os.kill(pid, signal.SIGTERM)
			wait_until(lambda: process.has_ended(pid), "the daemon's end")
			self.assertFalse(self.pid_file.exists())

	def command(self, pid_file=None, listen=()):
		words = ["--daemon", "--pid-file", pid_file or self.pid_file, "-b", "http://127.0.0.1:1"]
		for address in (f"127.0.0.1:{self.port}", *listen):
			words += ["-l", address]
		return dict(args=[str(process.reachable(shim_module.binary())), *map(str, words)], stdin=subprocess.DEVNULL,
		            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=process.environment(),
		            **process.run_as())

	def start(self, **options):
		"""(exit code, what was said) of the command, read to its end."""
		done = subprocess.run(**self.command(**options), timeout=process.PATIENCE)
		return done.returncode, done.stdout

	def pings(self):
		return talk(self.port, b"PING SPAMC/1.5\r\n\r\n") == b"SPAMD/1.5 0 PONG\r\n"

	def test_it_serves_and_can_be_found(self):
		self.assertEqual(self.start(), (0, ""))
		pid = int(self.pid_file.read_text())
		self.assertTrue(self.pings())
		self.assertEqual(os.getsid(pid), pid)
		self.assertEqual({os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)}, {"/dev/null"})
		self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), os.getcwd())

	def test_the_command_waits_for_the_file(self):
		"""A pipe in its place cannot be opened before somebody reads."""
		os.mkfifo(self.pid_file)
		self.pid_file.chmod(0o666)
		command = subprocess.Popen(**self.command())
		self.addCleanup(command.stdout.close)
		self.addCleanup(command.wait)
		self.addCleanup(command.kill)
		children = f"/proc/{command.pid}/task/{command.pid}/children"
		with open(children, encoding="ascii") as kin:
			wait_until(lambda: kin.seek(0) == 0 and kin.read(), "a process in the background")
		self.assertIsNone(command.poll())
		pid = int(self.pid_file.read_text())
		self.addCleanup(wait_until, lambda: process.has_ended(pid), "the daemon's end")
		self.addCleanup(os.kill, pid, signal.SIGTERM)
		self.assertEqual(command.wait(process.PATIENCE), 0)
		self.assertTrue(self.pings())

	def test_no_file_no_daemon(self):
		sock = self.pid_file.with_name("sock")
		code, said = self.start(pid_file=self.pid_file.parent / "none/shim.pid", listen=[f"unix:{sock}"])
		self.assertEqual(code, EX_CANTCREAT)
		self.assertRegex(said, "none/shim.pid: cannot write the process id: No such file")
		self.assertFalse(sock.exists())
		with self.assertRaises(ConnectionRefusedError):
			self.pings()

	def test_an_address_that_is_taken(self):
		with socket.create_server(("127.0.0.1", 0)) as other:
			code, said = self.start(listen=[f"127.0.0.1:{other.getsockname()[1]}"])
		self.assertEqual(code, EX_OSERR)
		self.assertRegex(said, "(?i)in use")
		self.assertFalse(self.pid_file.exists())

	def test_killed_on_the_way(self):
		os.mkfifo(self.pid_file)
		self.pid_file.chmod(0o666)
		command = subprocess.Popen(**self.command())
		self.addCleanup(command.stdout.close)
		with open(f"/proc/{command.pid}/task/{command.pid}/children", encoding="ascii") as kin:
			child = wait_until(lambda: (kin.seek(0), kin.read())[1], "a process in the background")
		os.kill(int(child), signal.SIGKILL)
		self.assertEqual(command.wait(process.PATIENCE), EX_OSERR)
		self.assertIn("cannot go into the background: Killed", command.stdout.read())


class Sockets(Case):
	def shim(self, *listen, **options):
		return self.own(Shim, backend=common_rspamd().url, listen=list(listen), start=False, **options)

	def pings(self, address):
		try:
			return talk(address, b"PING SPAMC/1.5\r\n\r\n") == b"SPAMD/1.5 0 PONG\r\n"
		except OSError:
			return False

	def test_several_listeners(self):
		one, two, six = free_port(), free_port(), free_port("::1")
		folder = self.folder("sockets")
		shim = self.shim(f"127.0.0.1:{one}", f"127.0.0.2:{two}", f"[::1]:{six}", f"unix:{folder}/a", f"unix:{folder}/b")
		shim.start(ready=lambda: self.pings(folder / "b"))
		for address in (one, ("127.0.0.2", two), ("::1", six), folder / "a", folder / "b"):
			self.assertTrue(RspamcReply(talk(address, rspamc_request(MAIL))))
		shim.stop()
		self.assertFalse((folder / "a").exists(), "the socket's file goes with the daemon")

	def test_mode_of_a_socket(self):
		folder = self.folder("sockets")
		for mode in ("0600", "0660", "0666"):
			path = folder / mode
			shim = self.shim(config=f'listen "unix:{path}" {{ mode = "{mode}" }}\n')
			shim.start(ready=lambda: "listening on" in shim.log())
			self.assertEqual(stat.S_IMODE(path.stat().st_mode), int(mode, 8))

	def test_stale_socket_is_replaced(self):
		path = self.folder("sockets") / "stale"
		with socket.socket(socket.AF_UNIX) as old:
			old.bind(str(path))
		os.chown(path, *process.server_ids())
		self.shim(f"unix:{path}").start(ready=lambda: self.pings(path))

	def test_live_socket_is_not_replaced(self):
		path = self.folder("sockets") / "live"
		self.shim(f"unix:{path}").start(ready=lambda: self.pings(path))
		second = self.shim(f"unix:{path}")
		second.spawn(second.command, second.environment())
		self.assertNotEqual(second.wait(), 0)
		self.assertIn(str(path), second.log())
		self.assertTrue(self.pings(path))

	def test_other_file_is_not_replaced(self):
		path = self.folder("sockets") / "file"
		path.write_text("precious")
		os.chown(path, *process.server_ids())
		shim = self.shim(f"unix:{path}")
		shim.spawn(shim.command, shim.environment())
		self.assertNotEqual(shim.wait(), 0)
		self.assertEqual(path.read_text(), "precious")

	def test_dialects(self):
		spamc, rspamc = free_port(), free_port()
		shim = self.shim(config=f'listen "127.0.0.1:{spamc}" {{ dialects = {{spamc}} }}\n'
		                 f'listen "127.0.0.1:{rspamc}" {{ dialects = {{rspamc}} }}\n')
		shim.start(ready=lambda: self.pings(spamc))
		self.assertRegex(talk(spamc, rspamc_request(MAIL)), rb"\ARSPAMD/1\.3 75 EX_TEMPFAIL [^\r\n]+\r\n\Z")
		self.assertRegex(talk(rspamc, spamc_request("CHECK", MAIL)), rb"\ASPAMD/1\.0 \d+ [^\r\n]+\r\n\Z")
		self.assertTrue(RspamcReply(talk(rspamc, rspamc_request(MAIL))))
		self.assertIn(b"Spam: ", talk(spamc, spamc_request("CHECK", MAIL)))

	def test_privileges_are_dropped(self):
		if os.geteuid() != 0:
			self.skipTest("only root can drop privileges")
		port, path = free_port(), self.folder("sockets") / "s"
		shim = self.shim(root=True, config=f'user = "nobody"\nlisten "127.0.0.1:{port}" {{ }}\n'
		                 f'listen "unix:{path}" {{ mode = "0660" owner = "root" group = "nogroup" }}\n')
		shim.start(ready=lambda: self.pings(port))
		for pid in shim.workers():
			status = open(f"/proc/{pid}/status").read()
			self.assertRegex(status, r"\nUid:\t65534\t65534\t65534\t65534\n")
			self.assertRegex(status, r"\nCapEff:\t0+\n")
			self.assertNotRegex(status, r"\nGroups:\t(?:.* )?0 ")
		self.assertEqual((path.stat().st_uid, path.stat().st_gid, stat.S_IMODE(path.stat().st_mode)), (0, 65534, 0o660))
		self.assertTrue(RspamcReply(talk(port, rspamc_request(MAIL))))

	def test_unix_and_proxy_backends(self):
		rspamd = common_rspamd()
		for backend in (f"unix:{rspamd.unix}", f"http://127.0.0.1:{rspamd.proxy}", f"http://localhost:{rspamd.normal}"):
			with self.subTest(backend):
				shim = self.own(Shim, backend=backend)
				for _ in range(2):
					self.assertEqual(RspamcReply(self.scanned(shim)).score, "7.00")

	@staticmethod
	def scanned(shim):
		"""A reply with a verdict; rspamd_proxy 3.4 now and then closes without one, which must be an error."""
		for _ in range(5):
			reply = talk(shim.port, rspamc_request(message(X_Test_Score=7)))
			if not reply.startswith(b"RSPAMD/1.3 75 EX_TEMPFAIL unreachable: "):
				break
		return reply


class Held:
	"""A fake rspamd that holds its answers until release() is called."""

	def __init__(self, fake):
		self.event = threading.Event()
		data = json.dumps(verdict("greylist", 4.0)).encode()
		reply = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data

		def act(sock, _request):
			self.event.wait(process.PATIENCE)
			sock.sendall(reply)
		fake.behave(act)

	def release(self):
		self.event.set()


class Signals(Case):
	def setUp(self):
		self.fake = self.own(FakeRspamd)

	def waiting_client(self, shim, data=None):
		"""A client whose request is with rspamd; its socket."""
		before = len(self.fake.requests)
		sock = connect(shim.port)
		self.addCleanup(sock.close)
		sock.sendall(data or rspamc_request(MAIL))
		self.fake.await_requests(before + 1)
		return sock

	def test_sigterm_finishes_what_is_running(self):
		for number in (signal.SIGTERM, signal.SIGINT):
			shim = self.own(Shim, backend=self.fake.url)
			held = Held(self.fake)
			clients = [self.waiting_client(shim) for _ in range(3)]
			shim.signal(number)
			wait_until(lambda: "stopping" in shim.log(), "the signal is noticed")
			self.assertTrue(shim.alive())
			held.release()
			for client in clients:
				self.assertEqual(RspamcReply(receive(client)).action, "greylist")
				client.close()
			self.assertEqual(shim.wait(), 0)
			with self.assertRaises(ConnectionRefusedError):
				connect(shim.port)
			self.fake.forget()

	def test_sigterm_does_not_wait_for_ever(self):
		shim = self.own(Shim, backend=self.fake.url, config="timeout_stop = 1\n")
		self.fake.silent()
		client = self.waiting_client(shim)
		idle = connect(shim.port)
		shim.signal(signal.SIGTERM)
		self.assertEqual(shim.wait(), 0)
		self.assertFalse(client.recv(10000).startswith(b"RSPAMD/1.3 0 "))
		idle.close()
		self.assertIn("timeout_stop", shim.log())

	def test_sighup_with_a_good_file(self):
		other = self.own(FakeRspamd)
		other.answer(verdict("reject", 30.0))
		shim = self.own(Shim, config=f'backend "{self.fake.url}" {{ }}\n')
		held = Held(self.fake)
		client = self.waiting_client(shim)
		self.fake.answer(verdict())		# to those who come before the reload
		shim.write_config(f'backend "{other.url}" {{ }}\n')
		shim.signal(signal.SIGHUP)
		wait_until(lambda: b"reject" in talk(shim.port, rspamc_request(MAIL)), "the new backend is used")
		held.release()
		self.assertEqual(RspamcReply(receive(client)).action, "greylist")

	def test_sighup_with_a_bad_file(self):
		shim = self.own(Shim, config=f'backend "{self.fake.url}" {{ }}\n')
		workers = shim.workers()
		shim.write_config("nonsense = 5\n")
		shim.signal(signal.SIGHUP)
		wait_until(lambda: "nonsense" in shim.log(), "the fault is logged")
		self.assertIn(str(shim.config), shim.log())
		self.assertTrue(RspamcReply(talk(shim.port, rspamc_request(MAIL))))
		self.assertEqual(shim.workers(), workers)

	def test_sighup_while_the_file_is_written(self):
		"""The defaults' listeners and rspamd are not what its author wants."""
		shim = self.own(Shim, config=f'backend "{self.fake.url}" {{ }}\n')
		workers = shim.workers()
		shim.config.write_text("")
		shim.signal(signal.SIGHUP)
		wait_until(lambda: "is empty" in shim.log(), "the fault is logged")
		self.assertTrue(RspamcReply(talk(shim.port, rspamc_request(MAIL))))
		self.assertEqual(shim.workers(), workers)

	def test_killed_worker_is_replaced(self):
		shim = self.own(Shim, backend=self.fake.url, config="workers = 2\n")
		wait_until(lambda: len(shim.workers()) == 2, "two workers")
		before = set(shim.workers())
		# A request is with each worker, or both with one: of those that the
		# killed one does not have, none may suffer.
		held = Held(self.fake)
		clients = [self.waiting_client(shim) for _ in range(12)]
		victim = min(before)
		os.kill(victim, signal.SIGKILL)
		wait_until(lambda: len(shim.workers()) == 2 and victim not in shim.workers(), "the worker is replaced")
		self.assertTrue(before - {victim} <= set(shim.workers()))
		held.release()
		served = lost = 0
		for client in clients:
			try:
				data = receive(client)
			except ConnectionError:
				data = b""
			if data:
				self.assertEqual(RspamcReply(data).action, "greylist")
				served += 1
			else:
				lost += 1
		self.assertEqual(served + lost, 12)
		self.assertRegex(shim.log(), f"{victim}.*(signal 9|killed)")
		for _ in range(8):
			self.assertEqual(RspamcReply(talk(shim.port, rspamc_request(MAIL))).action, "greylist")

	def test_whoever_started_it_ignores_the_end_of_children(self):
		"""That is inherited, and the kernel then tells nothing of a worker's end."""
		shim = self.own(Shim, backend=self.fake.url, start=False)
		shim.command[:0] = ["env", "--ignore-signal=CHLD"]
		shim.start()
		victim, = shim.workers()
		os.kill(victim, signal.SIGKILL)
		wait_until(lambda: shim.workers() and victim not in shim.workers(), "the worker is replaced")

	def test_workers_end_with_their_supervisor(self):
		shim = self.own(Shim, backend=self.fake.url)
		workers = shim.workers()
		os.kill(shim.process.pid, signal.SIGKILL)
		shim.wait()
		wait_until(lambda: all(process.has_ended(pid) for pid in workers), "the workers end")

	def test_pid_file(self):
		path = self.folder("pid") / "shim.pid"
		shim = self.own(Shim, backend=self.fake.url, arguments=["--pid-file", path])
		self.assertEqual(path.read_text().strip(), str(shim.process.pid))
		shim.stop()
		self.assertFalse(path.exists())


class Clients(Case):
	"""Clients that leave, dawdle, or are too many."""

	def setUp(self):
		self.fake = self.own(FakeRspamd)

	def test_client_gone_cancels_the_scan(self):
		# Over TCP a client that closes looks like one that half-closes, until
		# it resets; on a unix socket the kernel tells them apart.
		shim = self.own(Shim, backend=self.fake.url)
		self.fake.silent()
		for data in (rspamc_request(MAIL), spamc_request("REPORT", MAIL, "1.2")):
			for address in (shim.port, shim.unix):
				with self.subTest(data=data[:10], address=address):
					self.fake.forget()
					shim.settle()
					sock = connect(address)
					sock.sendall(data)
					self.fake.await_requests(1)
					if address == shim.port:
						self.fake.reset(sock)
					sock.close()
					wait_until(lambda: self.fake.gone == 1, "the scan is cancelled")
					self.assertEqual(shim.await_requests()[0]["outcome"], "client-gone")

	def test_half_close_and_the_workaround(self):
		held = Held(self.fake)
		held.release()
		on = self.own(Shim, backend=self.fake.url)
		off = self.own(Shim, backend=self.fake.url, config="enable_shutdown_workaround = false\n")
		self.assertEqual(RspamcReply(talk(on.port, rspamc_request(MAIL), half_close=True)).action, "greylist")
		self.assertEqual(RspamcReply(talk(off.port, rspamc_request(MAIL))).action, "greylist")
		# SPAMC clients half-close by protocol.
		for shim in (on, off):
			self.assertIn(b"Spam: False", talk(shim.port, spamc_request("CHECK", MAIL), half_close=True))
		self.fake.forget()
		self.fake.silent()
		off.settle()
		sock = connect(off.port)
		sock.sendall(rspamc_request(MAIL))
		self.fake.await_requests(1)
		sock.shutdown(socket.SHUT_WR)
		self.assertEqual(receive(sock), b"")
		sock.close()
		wait_until(lambda: self.fake.gone == 1, "the scan is cancelled")
		self.assertEqual(off.await_requests()[0]["outcome"], "client-gone")

	def deadline(self, key, data, half=False):
		"""A client that gets no further than data hears of deadline key."""
		shim = self.own(Shim, backend=self.fake.url, config=f"{key} = 0.4\n")
		shim.settle()
		reply = talk(shim.port, data, half_close=half)
		self.assertRegex(reply, rb"\A(SPAMD/1\.0 79 Timeout: |RSPAMD/1\.3 75 EX_TEMPFAIL )[^\r\n]+\r\n\Z")
		line, = shim.await_requests()
		self.assertEqual(line["failure"], "timeout")
		self.assertIn(key, line["reason"])

	def test_deadline_of_the_head(self):
		self.deadline("timeout_client", b"CHECK SPAMC/1.5\r\nContent-le")

	def test_deadline_of_the_message(self):
		self.deadline("timeout_client", rspamc_request(MAIL, length=len(MAIL) + 1))

	def test_deadline_of_the_verdict(self):
		self.fake.silent()
		self.deadline("timeout_wait", rspamc_request(MAIL))

	def test_deadline_of_all(self):
		self.fake.silent()
		self.deadline("timeout_request", spamc_request("CHECK", MAIL))

	def test_deadline_of_sending(self):
		# rspamd takes the connection and does not read.
		done = threading.Event()
		self.addCleanup(done.set)
		self.fake.behave(lambda _sock, _request: done.wait(process.PATIENCE), before_request=True)
		self.deadline("timeout_send", rspamc_request(message() + b"x" * 30000000))

	def test_silent_client_is_dropped(self):
		shim = self.own(Shim, backend=self.fake.url, config="timeout_idle = 0.3\n")
		with connect(shim.port) as sock:
			self.assertEqual(receive(sock), b"")

	def test_connection_limit(self):
		shim = self.own(Shim, backend=self.fake.url, config="max_connections = 5\n")
		held = Held(self.fake)
		clients = []
		for _ in range(12):
			sock = connect(shim.port)
			self.addCleanup(sock.close)
			sock.sendall(rspamc_request(MAIL))
			clients.append(sock)
		self.fake.await_requests(5)
		# Those above the limit wait; a PING would too.
		with connect(shim.port, timeout=0.5) as sock:
			sock.sendall(b"PING SPAMC/1.5\r\n\r\n")
			with self.assertRaises(TimeoutError):
				sock.recv(100)
		self.assertEqual(len(self.fake.requests), 5)
		held.release()
		for client in clients:
			self.assertEqual(RspamcReply(receive(client)).action, "greylist")
			client.close()

	def test_size_limit(self):
		shim = self.own(Shim, backend=self.fake.url, config="max_message_size = 100K\n")
		small = MAIL + b"x" * (100 * 1024 - len(MAIL))
		RspamcReply(talk(shim.port, rspamc_request(small)))
		self.assertEqual(len(self.fake.requests), 1)
		for extra in (1, 70000, 3000000):
			for length in (True, False):
				with self.subTest(extra=extra, length=length):
					shim.settle()
					large = small + b"x" * extra
					reply = RspamcReply(talk(shim.port, rspamc_request(large, length=length), half_close=not length))
					self.assertEqual((reply.action, reply.score, reply.flag), ("no action", "0.00", False))
					self.assertRegex(b"\n".join(reply.report), rb"X-Symbol: RSPAMD_SHIM_UNSCANNED\(0\.00\); .*\d+")
					self.assertEqual(len(self.fake.requests), 1)
					line, = shim.await_requests()
					self.assertEqual((line["outcome"], line["failure"]), ("unscanned", "too-large"))
		reply = talk(shim.port, spamc_request("REPORT", small + b"x", "1.2"))
		self.assertRegex(reply, rb"\ASPAMD/1\.1 0 EX_OK\r\nSpam: False ; 0\.0 / \d+\.\d\r\n\r\nAction: no action\r\n")
		self.assertIn(b" 0.0 RSPAMD_SHIM_UNSCANNED ", reply)

	def test_size_limit_that_defers(self):
		shim = self.own(Shim, backend=self.fake.url, config='max_message_size = 1K\non_too_large = "defer"\n')
		large = MAIL + b"x" * 5000
		self.assertRegex(talk(shim.port, rspamc_request(large)), rb"\ARSPAMD/1\.3 75 EX_TEMPFAIL [^\r\n]+\r\n\Z")
		self.assertRegex(talk(shim.port, spamc_request("CHECK", large)), rb"\ASPAMD/1\.0 [1-9]\d* [^\r\n]+\r\n\Z")
		self.assertEqual(self.fake.requests, [])

	def test_many_at_once(self):
		shim = self.own(Shim, backend=self.fake.url, config="workers = 2\n")
		held = Held(self.fake)
		clients = []
		for i in range(200):
			sock = connect(shim.port if i % 2 else shim.unix)
			self.addCleanup(sock.close)
			sock.sendall(rspamc_request(MAIL) if i % 3 else spamc_request("CHECK", MAIL))
			clients.append((i, sock))
		self.fake.await_requests(200)
		held.release()
		for i, sock in clients:
			data = receive(sock)
			self.assertTrue(RspamcReply(data) if i % 3 else b"Spam: False" in data)

	def test_log_is_one_line(self):
		shim = self.own(Shim, backend=self.fake.url)
		shim.settle()
		self.fake.answer(verdict("a\r\nb=\"c\" outcome=forged", 1.0))
		talk(shim.port, rspamc_request(MAIL, headers=[("Queue-Id", "x outcome=forged"), ("From", '<a"b\\ \x01@x> y=z')]))
		line, = shim.await_requests()
		self.assertEqual(line["outcome"], "verdict")
		self.assertFalse(re.search(r"[\x00-\x09\x0b-\x1f\x7f]", shim.log()))

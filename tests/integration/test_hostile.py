"""What a review by attackers found, so that it stays found."""

import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

from harness import Case, FakeRspamd, Shim, connect, process, receive, rspamc_request, talk, verdict

MAIL = b"Subject: a test\n\nbody\n"
CHECK = b"CHECK SPAMC/1.5\r\nContent-length: %d\r\n\r\n%s" % (len(MAIL), MAIL)
GOOD = b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 7.0 / 7.0\r\n\r\n"


class Base(Case):
	def setUp(self):
		super().setUp()
		self.fake = FakeRspamd(self.folder("fake"))
		self.addCleanup(self.fake.stop)
		self.fake.answer(verdict("add header", 7.0))


def together(count, job):
	"""Runs job(i) in threads; what each returned."""
	results = [None] * count

	def run(i):
		results[i] = job(i)
	threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
	for thread in threads:
		thread.start()
	for thread in threads:
		thread.join()
	return results


class Backends(Base):
	def test_failover_of_many_at_once(self):
		"""Each of many clients finds the one rspamd that is there."""
		with socket.create_server(("127.0.0.1", 0)) as closed:
			dead = closed.getsockname()[1]
		shim = self.own(Shim, backend=f"http://127.0.0.1:{dead}", arguments=["-b", self.fake.url])
		for _ in range(5):
			self.assertEqual(together(20, lambda _i: talk(shim.port, CHECK)), [GOOD] * 20)

	def test_a_message_that_kills_rspamd(self):
		"""It is offered to one more, not to all; where each resets it, as one that is full does, to two more."""
		for abort, count in ((False, 2), (True, 3)):
			with self.subTest(abort=abort):
				others = [FakeRspamd() for _ in range(4)]
				arguments = []
				for other in others:
					self.addCleanup(other.stop)
					other.raw(b"", abort=abort)
					arguments += ["-b", other.url]
				shim = self.own(Shim, arguments=arguments)
				self.assertRegex(talk(shim.port, CHECK), rb"\ASPAMD/1\.0 69 ")
				self.assertEqual(sum(len(other.requests) for other in others), count)

	def test_a_lost_connection_hints_at_rspamds_limit(self):
		"""Only over a message that can be above it."""
		self.fake.raw(b"", abort=True)
		shim = self.own(Shim, backend=self.fake.url, config="timeout_queue = 5\n")
		for size, hint in ((65535, False), (65536, True)):
			reply = talk(shim.port, b"CHECK SPAMC/1.5\r\nContent-length: %d\r\n\r\n%s" % (size, b"x" * size))
			# a smaller one may have been refused for want of room
			self.assertRegex(reply, rb"\ASPAMD/1\.0 69 " if hint else rb"\ASPAMD/1\.0 (69|75) ")
			self.assertEqual(b"max_message" in reply, hint, reply)

	def test_a_unix_socket_whose_queue_is_full(self):
		path = self.folder("full") / "sock"
		with socket.socket(socket.AF_UNIX) as listener:
			listener.bind(str(path))
			os.chmod(path, 0o666)
			listener.listen(0)
			filler = []
			while True:
				sock = socket.socket(socket.AF_UNIX)
				sock.setblocking(False)
				try:
					sock.connect(str(path))
				except BlockingIOError:
					sock.close()
					break
				filler.append(sock)
			shim = self.own(Shim, backend=f"unix:{path}")
			client = connect(shim.port)
			client.sendall(CHECK)

			def serve():
				for _ in filler:
					listener.accept()[0].close()
				sock = listener.accept()[0]
				self.fake._behaviour[0](sock, self.fake._read(sock))
				sock.close()
			thread = threading.Thread(target=serve)
			thread.start()
			self.assertEqual(receive(client), GOOD)
			thread.join()
			client.close()
			for sock in filler:
				sock.close()


class Memory(Base):
	def test_a_message_in_small_pieces(self):
		"""What is kept is of the message's size, not of the reads'."""
		shim = self.own(Shim, backend=self.fake.url)
		if os.environ.get("SHIM_WRAPPER") or b"libasan" in pathlib.Path(f"/proc/{shim.workers()[0]}/maps").read_bytes():
			self.skipTest("a sanitizer or a wrapper uses memory of its own")
		before = self.memory(shim)
		sock = connect(shim.port)
		sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
		size = 3000
		sock.sendall(b"CHECK SPAMC/1.5\r\nContent-length: %d\r\n\r\n" % size)
		for _ in range(size - 1):
			sock.send(b"x")
			time.sleep(0.0003)	# each is to be read alone
		after = self.memory(shim)
		sock.send(b"x")
		self.assertEqual(receive(sock), GOOD)
		self.assertEqual(self.fake.requests[-1].body, b"x" * size)
		sock.close()
		self.assertLess(after - before, 16 * 1024, "KiB for 3 KB of a message")

	@staticmethod
	def memory(shim):
		"""KiB that the worker has asked the system for."""
		status = pathlib.Path(f"/proc/{shim.workers()[0]}/status").read_text()
		return int(status.split("VmData:")[1].split()[0])


class Files(Base):
	def unix_shim(self, config=""):
		folder = self.folder("sockets")
		shim = self.own(Shim, backend=self.fake.url, config=config, listen=["unix:" + str(folder / "s"), "127.0.0.1:0"], start=False)
		shim.command = [a.replace("127.0.0.1:0", shim.address) for a in shim.command]
		shim.unix = folder / "s"
		return shim.start()

	def reload(self, shim):
		shim.signal(signal.SIGHUP)
		process.wait_until(lambda: "reloaded: listening" in shim.log(), "a reload")

	def test_another_file_in_the_place_of_the_socket(self):
		"""It is left alone at SIGHUP and at the end; a new socket is not bound over it."""
		shim = self.unix_shim()
		victim = shim.unix.with_name("victim")
		victim.write_text("x")
		os.chmod(victim, 0o600)
		shim.unix.unlink()
		shim.unix.symlink_to(victim)
		shim.signal(signal.SIGHUP)
		process.wait_until(lambda: "the running one stays" in shim.log(), "the reload is refused")
		self.assertEqual(victim.stat().st_mode & 0o777, 0o600)
		shim.stop()
		self.assertTrue(shim.unix.is_symlink())

	def test_a_socket_file_that_is_gone_comes_back(self):
		shim = self.unix_shim()
		shim.unix.unlink()
		self.reload(shim)
		self.assertEqual(talk(shim.unix, CHECK), GOOD)

	def test_no_file_of_configuration(self):
		folder = self.folder("conf")
		shim = self.own(Shim, backend=self.fake.url, config="")
		shim.config.unlink()
		shim.config.mkdir()
		shim.signal(signal.SIGHUP)
		process.wait_until(lambda: "not a regular file" in shim.log(), "the reload is refused")
		self.assertEqual(talk(shim.port, CHECK), GOOD)
		shim.config.rmdir()
		for text in ("/* no end", "user = \"nobody", "spam_actions = {'reject", f'listen "{shim.address}" {{'):
			shim.write_config(text)
			before = shim.log().count("the running one stays")
			shim.signal(signal.SIGHUP)
			process.wait_until(lambda: shim.log().count("the running one stays") > before, "the reload is refused")
			self.assertIn("a section, a comment or a string has no end", shim.log())
		self.assertEqual(talk(shim.port, CHECK), GOOD)
		self.assertTrue(folder.exists())


class Deadlines(Base):
	def test_a_reply_that_is_not_taken(self):
		shim = self.own(Shim, backend=self.fake.url, config="timeout_reply = 0.5\n")
		mail = MAIL + b"x" * 20000000
		sock = connect(shim.port)
		sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
		sock.sendall(b"PROCESS SPAMC/1.5\r\nContent-length: %d\r\n\r\n%s" % (len(mail), mail))
		line, = shim.await_requests()
		self.assertEqual((line["outcome"], line["reason"]), ("client-gone", "timeout_reply = 0.5 s is over: it did not take its reply"))
		sock.close()

	def test_idle_clients_hold_nobody_up(self):
		"""Connections without a byte do not keep the others out for long."""
		shim = self.own(Shim, backend=self.fake.url, config="max_connections = 5\ntimeout_idle = 0.5\ntimeout_client = 100\n")
		idle = [connect(shim.port) for _ in range(5)]
		self.assertEqual(talk(shim.port, CHECK), GOOD)
		for sock in idle:
			self.assertEqual(sock.recv(1), b"")
			sock.close()

	def test_reload_leaves_a_late_starter_its_time(self):
		"""Its first byte after the reload counts, not the short time for that."""
		shim = self.own(Shim, backend=self.fake.url, config="")
		sock = connect(shim.port)
		talk(shim.port, b"PING SPAMC/1.5\r\n\r\n")	# the connection is accepted
		shim.signal(signal.SIGHUP)
		process.wait_until(lambda: "reloaded: listening" in shim.log(), "a reload")
		sock.sendall(CHECK[:5])
		threading.Event().wait(3)
		sock.sendall(CHECK[5:])
		self.assertEqual(receive(sock), GOOD)
		sock.close()

	def test_times_of_a_client_that_leaves(self):
		self.fake.silent()
		shim = self.own(Shim, backend=self.fake.url)
		sock = connect(shim.unix)
		sock.sendall(rspamc_request(MAIL))
		self.fake.await_requests(1)
		threading.Event().wait(0.3)
		sock.close()
		line, = shim.await_requests()
		self.assertEqual(line["outcome"], "client-gone")
		self.assertNotEqual(line["wait"], "0.000")


class Log(Base):
	def test_nobody_reads_it(self):
		"""A full pipe holds no mail up, and its end ends nothing."""
		read, write = os.pipe()
		shim = self.own(Shim, backend=self.fake.url, config="", start=False)
		shim.write_config(f'listen "{shim.address}" {{ }}\nbackend "{self.fake.url}" {{ }}\n')
		daemon = subprocess.Popen([str(shim.command[0]), "-c", str(shim.config)], stderr=write)
		os.close(write)
		try:
			process.wait_until(lambda: self.answers(shim), "the shim answers")
			for _ in range(600):
				self.assertEqual(talk(shim.port, CHECK), GOOD)
			os.close(read)
			daemon.send_signal(signal.SIGHUP)
			for _ in range(5):
				self.assertEqual(talk(shim.port, CHECK), GOOD)
			self.assertIsNone(daemon.poll())
		finally:
			daemon.terminate()
			self.assertEqual(daemon.wait(), 0)

	@staticmethod
	def answers(shim):
		try:
			return talk(shim.port, b"PING SPAMC/1.5\r\n\r\n") == b"SPAMD/1.5 0 PONG\r\n"
		except OSError:
			return False

	def test_a_long_line_keeps_its_end(self):
		shim = self.own(Shim, backend=self.fake.url)
		self.fake.answer(verdict("\u0080" * 600, 1.0))
		talk(shim.port, rspamc_request(MAIL, headers=[(name, "\u0080" * 900) for name in ("Queue-Id", "From", "User")]))
		line, = shim.await_requests()
		self.assertEqual(line["outcome"], "verdict")

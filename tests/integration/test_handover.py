# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages that a client hands to rspamd by name: why rspamd-shim neither does that nor passes such headers on.

A message may come to rspamd in shared memory (the header Shm) or in a file (File) instead of the body.
What rspamd makes of it is what the documents say; a newer one may do better, and these tests then tell.
"""

import ctypes
import http.client
import itertools
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import threading
import unittest

from harness import Case, Rspamd, Unavailable, message, process, shim, wait_until

SHARED = pathlib.Path("/dev/shm")
OTHER_UID = 61235		# neither rspamd's user nor in its group
PR_SET_DUMPABLE = 4
MAIL = message(X_Test_Score=7)
VERDICT = "add header", 7.0


class UnixConnection(http.client.HTTPConnection):
	def __init__(self, path):
		super().__init__("localhost", timeout=process.PATIENCE)
		self.path = str(path)

	def connect(self):
		self.sock = socket.socket(socket.AF_UNIX)
		self.sock.settimeout(self.timeout)
		self.sock.connect(self.path)


@unittest.skipUnless(SHARED.is_dir(), f"there is no {SHARED}")
class Base(Case):
	numbers = itertools.count()

	@classmethod
	def setUpClass(cls):
		cls.rspamd = cls.shared(Rspamd)

	def ask(self, headers, body=None, unix=True):
		"""rspamd's reply, parsed, or None where it closed without one."""
		connection = UnixConnection(self.rspamd.unix) if unix else \
			http.client.HTTPConnection("127.0.0.1", self.rspamd.normal, timeout=process.PATIENCE)
		try:
			connection.request("POST" if body else "GET", "/checkv2", body, headers)
			return json.loads(connection.getresponse().read())
		except (http.client.RemoteDisconnected, ConnectionResetError):
			return None
		finally:
			connection.close()

	def judged(self, *arguments, **options):
		reply = self.ask(*arguments, **options)
		return reply.get("action"), reply.get("score")

	def segment(self, data, mode=0o600, owner=None):
		"""The path of shared memory with data; of rspamd's user unless told otherwise."""
		path = SHARED / f"exim-rspamd-{process.RUN_ID}-{next(self.numbers)}"
		self.addCleanup(path.unlink, missing_ok=True)
		path.write_bytes(data)
		path.chmod(mode)
		if os.geteuid() == 0:
			os.chown(path, *(owner or process.server_ids()))
		return path

	def file(self, data):
		"""The path of a file with data that rspamd's user alone can read."""
		path = self.folder("file") / "mail"
		path.write_bytes(data)
		path.chmod(0o600)
		if os.geteuid() == 0:
			os.chown(path, *process.server_ids())
		return path

	def need_root(self):
		if os.geteuid() != 0:
			self.skipTest("needs two users, whom only root can be")


class Who(Base):
	"""Any client may name any file, if rspamd's user can read it."""

	def test_by_unix_socket_and_by_tcp(self):
		shm, file = self.segment(MAIL), self.file(MAIL)
		for unix in True, False:
			with self.subTest(unix=unix):
				self.assertEqual(self.judged({"Shm": f"/{shm.name}", "Shm-Length": str(len(MAIL))}, unix=unix), VERDICT)
				self.assertEqual(self.judged({"File": str(file)}, unix=unix), VERDICT)

	def test_the_body_does_not_count(self):
		self.assertEqual(self.judged({"File": str(self.file(MAIL))}, message(X_Test_Score=1)), VERDICT)

	def test_what_stands_in_the_file_comes_back(self):
		"""Addresses and links at least: whoever reaches the port reads files with rspamd's rights."""
		secret = "http://www.example.com/login?password=secret"
		file = self.file(f"[users]\n\n{secret}\nuser@example.com\n".encode())
		reply = self.ask({"File": str(file), "URL-Format": "extended"}, unix=False)
		self.assertEqual([u["url"] for u in reply["urls"]], [secret])
		self.assertEqual(reply["emails"], ["user@example.com"])
		self.assertRegex(self.ask({"File": f"{file}.none"}, unix=False)["error"], "No such file")

	def test_another_users_segment(self):
		"""rspamd opens it with its own rights: 0600 is not enough, 0640 with its group is."""
		self.need_root()
		_, group = process.server_ids()
		for mode, gid, right in (0o600, group, False), (0o640, OTHER_UID, False), (0o640, group, True):
			shm = self.segment(MAIL, mode, (OTHER_UID, gid))
			with self.subTest(mode=oct(mode), gid=gid):
				reply = self.ask({"Shm": f"/{shm.name}"})
				if right:
					self.assertEqual((reply["action"], reply["score"]), VERDICT)
				else:
					self.assertRegex(reply["error"], "Permission denied")

	def test_another_users_memfd(self):
		"""/proc/PID/fd is for the same user, and not even for that one once the process has changed its user."""
		self.need_root()
		uid, _ = process.server_ids()
		self.assertEqual(self.judge_memfd(uid, dumpable=True), VERDICT)
		for user, dumpable in (uid, False), (OTHER_UID, True):
			with self.subTest(user=user):
				self.assertEqual(self.judge_memfd(user, dumpable), (None, None))

	def judge_memfd(self, user, dumpable):
		"""The verdict on a mail in a memfd of a process of that user."""
		ready, tell = os.pipe()
		wait, end = os.pipe()
		pid = os.fork()
		if pid == 0:
			try:
				os.close(end)
				os.setgid(user)
				os.setuid(user)
				ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, int(dumpable), 0, 0, 0)
				fd = os.memfd_create("mail")
				os.fchmod(fd, 0o444)
				os.write(fd, MAIL)
				os.write(tell, str(fd).encode())
				os.read(wait, 1)
			finally:
				os._exit(0)
		os.close(wait)
		os.close(tell)
		try:
			return self.judged({"File": f"/proc/{pid}/fd/{os.read(ready, 16).decode()}"})
		finally:
			os.close(ready)
			os.close(end)
			os.waitpid(pid, 0)


class Faults(Base):
	def test_a_wrong_length(self):
		"""An error, or no message at all and yet `no action': is_skipped and the missing Message-ID alone tell."""
		shm = self.segment(MAIL)
		for wrong in {"Shm-Length": str(len(MAIL) + 1)}, {"Shm-Offset": str(len(MAIL) + 1)}:
			with self.subTest(wrong=wrong):
				reply = self.ask({"Shm": f"/{shm.name}", **wrong})
				if self.rspamd.facts.checks_shm_bounds:
					self.assertRegex(reply["error"], f"invalid (length|offset) {len(MAIL) + 1}\\b")
				else:
					self.assertEqual((reply["action"], reply["is_skipped"], "message-id" in reply), ("no action", True, False))

	def test_a_name_may_go_while_it_is_scanned(self):
		self.assertEqual(self.while_scanned(os.unlink)["score"], 7.0)

	def test_cut_while_it_is_scanned(self):
		"""The worker of rspamd dies, with all that it was scanning, unless it has a copy."""
		reply = self.while_scanned(lambda path: os.truncate(path, 0))
		if self.rspamd.facts.copies_shm:
			self.assertEqual(reply["score"], 7.0)
			return
		self.assertIsNone(reply)
		wait_until(lambda: re.search("by signal: Bus error", (self.rspamd.dir / "log" / "rspamd.log").read_text()),
		           "rspamd says that a worker died of SIGBUS")
		wait_until(self.rspamd.ping, "rspamd has started another worker")

	def while_scanned(self, act):
		"""rspamd's reply to a message in shared memory, with which act(path) does something meanwhile."""
		shm = self.segment(message(X_Test_Score=7, X_Test_Sleep=60, body="x\n" * 100000))
		before = len(self.rspamd.mute.accepted)
		replies = []
		thread = threading.Thread(target=lambda: replies.append(self.ask({"Shm": f"/{shm.name}"})))
		thread.start()
		wait_until(lambda: len(self.rspamd.mute.accepted) > before, "rspamd scans the message")
		act(shm)
		self.rspamd.mute.accepted[-1].shutdown(socket.SHUT_RDWR)	# the end of X-Test-Sleep
		thread.join()
		return replies[0]


class Bench(Case):
	def test_every_way(self):
		"""The program that measures them compares every byte that was handed over."""
		folder = shim.binary().parent
		if not (folder / "Makefile").exists() or not shutil.which("make"):
			raise Unavailable("bench-handover is built beside rspamd-shim, where its Makefile is")
		subprocess.run(["make", "-C", folder, "bench-handover"], capture_output=True, check=True)
		for options in (), ("-x",):
			done = subprocess.run([folder / "bench-handover", "-c", "3", "-m", "1", "-r", "1", "-s", "300", *options],
			                      capture_output=True, text=True, check=False)
			self.assertEqual((done.returncode, done.stderr), (0, ""))
			ways = re.findall(r"^\| ([a-z-]+) \| \d+ µs ", done.stdout, re.M)
			self.assertEqual(len(ways), 15, done.stdout)

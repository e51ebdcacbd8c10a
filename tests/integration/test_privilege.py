"""What the workers give up: root's rights, the rest of the file system, ever getting rights again."""

import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import time
import unittest

from harness import Case, FakeRspamd, RspamcReply, Shim, message, rspamc_request, talk, verdict, wait_until
from harness import process
from test_backends import TlsFront

MAIL = message()
EX_NOPERM, EX_CONFIG = 77, 78
HOURS = 5		# the time zone that the daemon is started in is ahead of UTC by so many
# In a mount namespace of its own: other /etc/hosts, /etc/localtime and /dev, where they are given.
NAMESPACE = """
set -e
mount --bind "$1" /etc/hosts
[ -z "$2" ] || mount --bind "$2" /etc/localtime
if [ -n "$3" ]; then
	touch "$3/null" "$3/urandom"
	mount --bind /dev/null "$3/null"
	mount --bind /dev/urandom "$3/urandom"
	mount --rbind "$3" /dev
fi
shift 3
exec "$@"
"""


def status(pid, key):
	return re.search(rf"^{key}:\s+(.*)$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1]


def time_zone():
	"""A file for /etc/localtime: always HOURS ahead of UTC."""
	counts = struct.pack(">6l", 0, 0, 0, 0, 1, 4)
	return b"TZif" + bytes(16) + counts + struct.pack(">lBB", HOURS * 3600, 0, 0) + b"TST\0"


class NoNewPrivileges(Case):
	def test_no_new_privileges(self):
		shim = self.own(Shim, backend="http://127.0.0.1:1", config="workers = 2\n")
		wait_until(lambda: len(shim.workers()) == 2, "two workers")
		for pid in shim.workers():
			wait_until(lambda p=pid: status(p, "NoNewPrivs") == "1", "the worker has given that up")


class ChrootChecks(Case):
	"""Configurations that cannot work are refused at once."""

	def refused(self, text, code, root=False, **options):
		shim = self.own(Shim, config=text, root=root, start=False, **options)
		shim.spawn(shim.command, shim.environment())
		self.assertEqual(shim.wait(), code, shim.log())
		return shim.log()

	def test_https_needs_its_certificates(self):
		for section in ("backend", "controller"):
			log = self.refused(f'chroot = "/"\n{section} "https://rspamd.example:1" {{ }}\n', EX_CONFIG)
			self.assertIn("https://rspamd.example:1: with chroot it takes a ca_file", log)

	def test_relative_path(self):
		self.assertIn('"jail" is not an absolute path', self.refused('chroot = "jail"\n', EX_CONFIG))

	def test_only_root_can(self):
		self.assertIn("only a daemon started by root", self.refused('chroot = "/"\n', EX_NOPERM))

	def test_folder_that_others_can_write_to(self):
		if os.geteuid() != 0:
			self.skipTest("only root can try that")
		for mode, owner in ((0o775, 0), (0o757, 0), (0o755, process.TEST_UID)):
			with self.subTest(mode=oct(mode), owner=owner):
				folder = self.folder("jail")
				os.chown(folder, owner, 0)
				folder.chmod(mode)
				self.assertIn("nobody else can write to", self.refused(f'chroot = "{folder}"\n', EX_CONFIG, root=True))
		self.assertIn("No such file", self.refused('chroot = "/nonexistent"\n', EX_CONFIG, root=True))


class Elsewhere(Shim):
	"""A rspamd-shim in a mount namespace, without the variable TZ."""

	def __init__(self, folder, hosts, zone="", dev="", **options):
		super().__init__(folder, root=True, **options)
		self.command = ["unshare", "--mount", "sh", "-c", NAMESPACE, "sh", hosts, zone, dev, *self.command]

	def environment(self):
		env = super().environment()
		del env["TZ"]
		# the leak checker needs /proc, which the chroot lacks
		env["ASAN_OPTIONS"] = env.get("ASAN_OPTIONS", "") + ":detect_leaks=0"
		return env


class Chroot(Case):
	@classmethod
	def setUpClass(cls):
		if os.geteuid() != 0:
			raise unittest.SkipTest("only root can change the root directory")
		for command in (["unshare", "--mount", "mount", "--bind", "/etc/hosts", "/etc/hosts"], ["openssl", "version"]):
			if not shutil.which(command[0]):
				raise unittest.SkipTest(f"the command {command[0]} is not installed")
			run = subprocess.run(command, capture_output=True, text=True)
			if run.returncode != 0:
				raise unittest.SkipTest(f"no mount namespace can be had: {run.stderr.strip()}")

	def setUp(self):
		super().setUp()
		self.jail = self.folder("jail")
		os.chown(self.jail, 0, 0)
		self.fake = FakeRspamd(self.jail)
		self.addCleanup(self.fake.stop)
		self.fake.answer(verdict("greylist", 4.0))
		self.hosts = self.folder("hosts") / "hosts"
		self.hosts.write_text("127.0.0.1 rspamd.example\n")

	def elsewhere(self, backend, **options):
		return self.own(Elsewhere, self.hosts, config=f'chroot = "{self.jail}"\nuser = "nobody"\n{backend}\n', **options)

	def served(self, shim):
		for _ in range(2):
			self.assertEqual(RspamcReply(talk(shim.port, rspamc_request(MAIL))).action, "greylist")

	def test_name_of_a_backend(self):
		shim = self.elsewhere(f'backend "http://rspamd.example:{self.fake.port}" {{ }}')
		for pid in shim.workers():
			self.assertEqual(os.readlink(f"/proc/{pid}/root"), str(self.jail))
			self.assertEqual(os.readlink(f"/proc/{pid}/cwd"), str(self.jail))
			self.assertEqual(status(pid, "Uid").split(), ["65534"] * 4)
			self.assertEqual(status(pid, "NoNewPrivs"), "1")
		self.served(shim)
		self.assertEqual(os.readlink(f"/proc/{shim.process.pid}/root"), "/")

	def test_unix_socket_of_a_backend(self):
		self.served(self.elsewhere('backend "unix:/fake-rspamd.sock" { }'))

	def test_https(self):
		folder = self.folder("certificate")
		key, certificate = folder / "key", folder / "crt"
		subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
		                "-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=DNS:rspamd.example",
		                "-keyout", key, "-out", certificate], check=True, capture_output=True)
		front = TlsFront(certificate, key, self.fake)
		self.addCleanup(front.stop)
		self.served(self.elsewhere(f'backend "https://rspamd.example:{front.port}" {{ ca_file = "{certificate}" }}'))

	def test_syslog_and_the_time_zone(self):
		dev, zone = self.folder("dev"), self.folder("zone") / "localtime"
		zone.write_bytes(time_zone())
		log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		self.addCleanup(log.close)
		log.bind(str(dev / "log"))
		(dev / "log").chmod(0o777)
		log.settimeout(process.PATIENCE)
		shim = self.own(Elsewhere, self.hosts, zone, dev, start=False,
		                config=f'chroot = "{self.jail}"\nlog = syslog\npid_file = "/nonexistent/pid"\n'
		                f'backend "{self.fake.url}" {{ }}\n')
		shim.start(ready=shim._answers)
		before = time.time()
		self.served(shim)
		lines = [""]
		while "outcome=verdict" not in lines[-1]:
			lines.append(log.recv(4096).decode())
		line = lines[-1]
		self.assertIn("/nonexistent/pid: cannot write the process id", "\n".join(lines), "what the supervisor says first")
		hours = [time.strftime("%H", time.gmtime(t + HOURS * 3600)) for t in (before, time.time())]
		self.assertIn(re.match(r"<22>\w{3} [ \d]\d (\d\d):", line)[1], hours, line)

	def test_reload(self):
		shim = self.elsewhere(f'backend "{self.fake.url}" {{ }}')
		before = shim.workers()
		shim.write_config(shim.config.read_text().replace("127.0.0.1", "rspamd.example"))
		shim.signal(1)
		wait_until(lambda: shim.workers() and not set(before) & set(shim.workers()), "new workers")
		self.served(shim)
		self.assertEqual([os.readlink(f"/proc/{pid}/root") for pid in shim.workers()], [str(self.jail)])

"""Processes, ports, users and temporary folders: what every party shares.

Servers never run as root.  Started by root, they run as the user id TEST_UID,
which need not exist: nss_wrapper tells Exim and rspamd that it does.  Started
by anybody else they run as that user.  Either way Exim believes that it is its
own user, so that it needs no privilege.
"""

import atexit
import contextlib
import ipaddress
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from . import packages

TEST_UID = 61234
MARK = "EXIM_RSPAMD_TEST_RUN"		# in the environment of all we start
RUN_ID = f"{os.getpid()}-{int(time.time())}"
PATIENCE = float(os.environ.get("PATIENCE", "120"))			# seconds until something awaited counts as never

_reserved = []
_temp_dirs = []


def server_ids():
	"""(uid, gid) under which servers run."""
	if os.geteuid() == 0:
		return TEST_UID, TEST_UID
	return os.geteuid(), os.getegid()


def run_as(root=False):
	"""Arguments for subprocess that start a program as the servers' user."""
	if os.geteuid() != 0 or root:
		return {}
	uid, gid = server_ids()
	return {"user": uid, "group": gid, "extra_groups": [], "umask": 0o022}


def temp_dir(prefix):
	"""A new folder that the servers' user owns and others may pass through."""
	path = pathlib.Path(tempfile.mkdtemp(prefix=f"exim-rspamd-{prefix}-"))
	_temp_dirs.append(path)
	path.chmod(0o755)
	os.chown(path, *server_ids())
	return path


_run_dirs = {}


def run_dir(name):
	"""A folder called name that lives as long as this run of the tests."""
	if name not in _run_dirs:
		_run_dirs[name] = temp_dir(name)
		atexit.register(remove, _run_dirs[name])
	return _run_dirs[name]


def reachable(path):
	"""path, or a copy of that file where the servers' user can read it; also of one that is a link into a closed folder."""
	path = pathlib.Path(path)
	if os.geteuid() != 0 or all(packages.traversable(p.parent) for p in (path, path.resolve())):
		return path
	copy = run_dir("files") / path.name
	if not copy.exists():
		shutil.copy(path, copy)
	return copy


def sub_dir(parent, name):
	path = pathlib.Path(parent, name)
	path.mkdir(parents=True)
	os.chown(path, *server_ids())
	return path


def free_port(host="127.0.0.1"):
	"""A TCP port that nobody listens on at host and that no call gave before."""
	family = socket.AF_INET6 if ":" in host else socket.AF_INET
	while True:
		with socket.socket(family, socket.SOCK_STREAM) as sock:
			sock.bind((host, 0))
			port = sock.getsockname()[1]
		# Below the ephemeral range nobody takes it as a source port.
		if port not in _reserved:
			_reserved.append(port)
			return port


def environment(groups=(), users=None, dns=None, extra=None):
	"""Environment for a program of the unpacked groups.

	users is a folder made by fake_users(); dns a file of resource records
	made by fake_dns(), which are then all that DNS knows.  Nothing of the
	caller's locale or Python settings is kept.
	"""
	env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TZ": "UTC0", MARK: RUN_ID}
	paths = [g.library_path() for g in groups]
	preload = []
	if users or dns:
		paths.append(packages.need("wrappers").library_path())
	if users:
		preload.append("libnss_wrapper.so")
		env["NSS_WRAPPER_PASSWD"] = str(users / "passwd")
		env["NSS_WRAPPER_GROUP"] = str(users / "group")
	if dns:
		preload.append("libresolv_wrapper.so")
		env["RESOLV_WRAPPER_HOSTS"] = str(dns)
		env["NSS_WRAPPER_HOSTS"] = str(dns.with_name("hosts"))
	if preload:
		env["LD_PRELOAD"] = " ".join(preload)
	if any(paths):
		env["LD_LIBRARY_PATH"] = ":".join(p for p in paths if p)
	env.update(extra or {})
	return env


def fake_users(folder, *names):
	"""passwd and group files in folder, in which names are the servers' user."""
	uid, gid = server_ids()
	folder = pathlib.Path(folder)
	passwd = "".join(f"{name}:x:{uid}:{gid}:test:{folder}:/bin/sh\n" for name in names)
	group = "".join(f"{name}:x:{gid}:\n" for name in names)
	(folder / "passwd").write_text(passwd + "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
	(folder / "group").write_text(group + "root:x:0:\nmail:x:8:\nnogroup:x:65534:\n")
	return folder


def fake_dns(folder, hosts):
	"""A file with address and reverse records for hosts, {address: name}.

	Beside it is one in the form of /etc/hosts, for programs that look there.
	"""
	lines, table = [], []
	for address, name in hosts.items():
		table.append(f"{address} {name}\n")
		ip = ipaddress.ip_address(address)
		lines.append(f"{'A' if ip.version == 4 else 'AAAA'} {name} {address}\n")
		lines.append(f"PTR {ip.reverse_pointer} {name}\n")
	path = pathlib.Path(folder, "dns")
	path.with_name("hosts").write_text("".join(table))
	# An empty file would count as none.
	path.write_text("".join(lines) or "A nothing.invalid 192.0.2.1\n")
	return path


def wait_until(condition, what, patience=PATIENCE):
	"""Poll until condition() is true and return its value.

	AssertionError after patience seconds: that is no measurement, only
	the point where waiting makes no sense any more.
	"""
	deadline = time.monotonic() + patience
	while True:
		value = condition()
		if value:
			return value
		if time.monotonic() > deadline:
			raise AssertionError(f"never happened: {what}")
		time.sleep(0.02)


class Party:
	"""A server process with its output in a file.  start(), stop(), tail()."""

	def __init__(self, name, folder, root=False):
		self.name = name
		self.dir = pathlib.Path(folder)
		self.root = root
		self.process = None
		self.output = self.dir / f"{name}.out"
		self.marks = {}			# file: where mark() was

	def spawn(self, command, env):
		out = open(self.output, "ab")
		with out:
			self.process = subprocess.Popen([str(c) for c in command], env=env, cwd=self.dir,
			                                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
			                                start_new_session=True, **run_as(self.root))

	def alive(self):
		return self.process is not None and self.process.poll() is None

	def await_ready(self, probe, patience=PATIENCE):
		"""Wait until probe() is true; an end of the process ends the wait."""
		def check():
			if not self.alive():
				raise AssertionError(f"{self.name} ended with {self.process.returncode} while "
				                     f"starting:\n{self.tail()}")
			return probe()
		wait_until(check, f"{self.name} is ready", patience)

	def signal(self, number):
		self.process.send_signal(number)

	def wait(self, patience=PATIENCE):
		"""Exit code, negative for a signal."""
		return self.process.wait(patience)

	def stop(self):
		"""End it, whatever state it is in; returns the exit code or None."""
		if self.process is None:
			return None
		if self.alive():
			self.signal(signal.SIGCONT)
			self.signal(signal.SIGTERM)
			with contextlib.suppress(subprocess.TimeoutExpired):
				self.process.wait(20)
		self.kill()
		code, self.process = self.process.returncode, None
		return code

	def kill(self):
		"""SIGKILL to it and to its whole session."""
		with contextlib.suppress(ProcessLookupError):
			os.killpg(self.process.pid, signal.SIGKILL)
		self.process.wait(PATIENCE)

	def logs(self):
		"""[(title, file)] of what a failed test wants to show."""
		return [(f"{self.name} output", self.output)]

	def mark(self):
		"""What the logs hold now is of no interest to tail() any more."""
		self.marks = {path: path.stat().st_size for _, path in self.logs() if path.exists()}

	def tail(self, lines=40):
		"""The ends of all logs, as a text to print."""
		text = []
		for title, path in self.logs():
			if path.exists() and path.stat().st_size > self.marks.get(path, 0):
				body = path.read_bytes()[self.marks.get(path, 0):].decode(errors="replace")
				text.append(f"--- {title}")
				text += [f"    {line[:1000]}" for line in body.splitlines()[-lines:]]
		return "\n".join(text)


def children(pid):
	"""Process ids of pid's children."""
	try:
		text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
	except FileNotFoundError:
		return []
	return [int(p) for p in text.split()]


def has_ended(pid):
	"""Is there no such process any more?  One that nobody waits for stays as a zombie where the first process of a
	container is not an init.
	"""
	try:
		return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
	except (FileNotFoundError, ProcessLookupError):
		return True


def left_behind():
	"""[(pid, command)] of processes of this run that still exist."""
	found = []
	for entry in pathlib.Path("/proc").iterdir():
		if not entry.name.isdigit() or int(entry.name) == os.getpid():
			continue
		with contextlib.suppress(OSError):
			if f"{MARK}={RUN_ID}".encode() in (entry / "environ").read_bytes():
				command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
				if command:
					found.append((int(entry.name), command.strip()))
	return found


def remove(folder):
	shutil.rmtree(folder, ignore_errors=True)


def remove_all():
	"""Remove every temporary folder of this run."""
	for path in _temp_dirs:
		remove(path)

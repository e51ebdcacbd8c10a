# SPDX-License-Identifier: GPL-2.0-or-later
"""rspamd-shim under test, with its page, its memory and its descriptors."""

import http.client
import os
import pathlib
import re
import subprocess

from harness import Shim, free_port, process
from harness.shim import parse_line

PASS = "".join(f"on_{word} = pass " for word in ("unreachable", "timeout", "rspamd_error", "unreadable_reply",
                                                 "incomplete_scan", "overload"))
# The daemon's own defaults, which the harness would otherwise replace.
DEFAULTS = {"breaker_failures": "3", "timeout_queue": "5"}
MAPPED_BY_SANITIZER = 1 << 30		# KiB of address space, and no other program of ours has so much


def status(pid, name):
	"""A number of /proc/PID/status, in KiB where it has a unit."""
	return int(re.search(rf"^{name}:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)[1])


class Daemon(Shim):
	"""Listens at port, which defers, and at unix, which passes.

	backends: objects with a url, or (url, options).  config: more of the
	configuration file.  sockets: listening sockets to hand over in place of
	those, as systemd does.  stderr: a descriptor for the log.  preload:
	environment in addition.  prefix: a command before it.
	"""

	def __init__(self, folder, backends, config="", workers=1, sockets=(), stderr=None, more_env=None, prefix=()):
		super().__init__(folder, listen=[])
		self.page_port = free_port()
		self.backends, self.workers_wanted = backends, workers
		self.sockets, self.stderr, self.more_env = sockets, stderr, more_env or {}
		self.command = [*prefix, *self.command]
		if sockets:
			self.port = sockets[0].getsockname()[1]
			self.unix = pathlib.Path(sockets[1].getsockname())
		self.write(config)

	def write(self, config=""):
		"""Replace the configuration file."""
		lines = [f"{key} = {value}" for key, value in DEFAULTS.items() if key not in config]
		lines += [f"workers = {self.workers_wanted}", f'status "127.0.0.1:{self.page_port}" {{ }}',
		          f'listen "127.0.0.1:{self.port}" {{ }}', f'listen "unix:{self.unix}" {{ {PASS} }}']
		for backend in self.backends:
			url, options = backend if isinstance(backend, tuple) else (backend.url, "")
			lines.append(f'backend "{url}" {{ {options} }}')
		self.write_config("\n".join([*lines, config]))

	@property
	def addresses(self):
		return {self.port: "defer", self.unix: "pass"}

	def spawn(self, command, env):
		if not self.sockets and self.stderr is None and not self.more_env:
			return super().spawn(command, env)
		# bash, not dup2(): LISTEN_PID is to be that of the daemon
		moves = "".join(f"exec {3 + i}<&{100 + i} {100 + i}<&-\n" for i in range(len(self.sockets)))
		more = {**self.more_env, **({"LISTEN_FDS": str(len(self.sockets))} if self.sockets else {})}
		script = moves + ("export LISTEN_PID=$$\n" if self.sockets else "") + 'exec "$@"'
		fds = [os.dup2(sock.fileno(), 100 + i, inheritable=False) for i, sock in enumerate(self.sockets)]
		try:
			with open(self.output, "ab") as out:
				self.process = subprocess.Popen(["bash", "-c", script, "bash", *map(str, command)], env={**env, **more},
				                                cwd=self.dir, stdin=subprocess.DEVNULL, stdout=out,
				                                stderr=out if self.stderr is None else self.stderr, pass_fds=fds,
				                                start_new_session=True, **process.run_as())
		finally:
			for fd in fds:
				os.close(fd)

	def start(self, ready=None):
		"""Settling is not needed: no line is dropped from this account."""
		super().start(ready or (lambda: self._answers() and self.metrics() is not None))
		return self

	def metrics(self):
		"""{sample: value}; None while the page does not answer."""
		connection = http.client.HTTPConnection("127.0.0.1", self.page_port, timeout=process.PATIENCE)
		try:
			connection.request("GET", "/metrics")
			text = connection.getresponse().read().decode()
		except OSError:
			return None
		finally:
			connection.close()
		pairs = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
		return {name.removeprefix("rspamd_shim_"): float(value) for name, value in pairs}

	def mail_workers(self):
		"""Process ids of the workers that serve mail, not of the page's."""
		page = _listens_at(self.page_port)
		return [pid for pid in self.workers() if page not in _sockets(pid)]

	def descriptors(self, *pids):
		"""The most that a worker (of these) has open."""
		return max(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids or self.mail_workers())

	def memory(self, name="VmRSS"):
		"""KiB of the worker that has most."""
		return max(status(pid, name) for pid in self.mail_workers())

	def sanitized(self):
		return any(status(pid, "VmSize") > MAPPED_BY_SANITIZER for pid in self.mail_workers()) or \
			bool(os.environ.get("SHIM_WRAPPER"))

	def lines(self):
		"""The log's lines of requests, all of them."""
		return [line for line in map(parse_line, self.log().splitlines()) if "outcome" in line]

	def said(self, text):
		"""How many lines of the log hold text."""
		return sum(text in line for line in self.log().splitlines())

	def counted(self):
		"""What it said of its requests when it was stopped: {outcome: number}, or None."""
		found = re.search(r"stopped: connections=\d+ verdicts=(\d+) unscanned=(\d+) errors=(\d+) clients_gone=(\d+) "
		                  r"other=(\d+)", self.log())
		words = ("verdict", "unscanned", "error", "client-gone", "ok")
		return dict(zip(words, map(int, found.groups()))) if found else None


def by_outcome(metrics):
	"""{outcome: number} of the requests that the page has counted."""
	found = {}
	for name, value in metrics.items():
		outcome = re.search(r'^requests_total\{.*outcome="([a-z-]+)"', name)
		if outcome:
			found[outcome[1]] = found.get(outcome[1], 0) + int(value)
	return found


def total(metrics, name, text=""):
	"""The sum of the samples of this name with this text in their labels."""
	return int(sum(value for sample, value in metrics.items()
	               if re.match(rf"{name}(\{{|\Z)", sample) and text in sample))


def _listens_at(port):
	"""Inode of the listening socket at this port of 127.0.0.1."""
	for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
		field = line.split()
		if field[1] == f"0100007F:{port:04X}" and field[3] == "0A":
			return field[9]
	return None


def _sockets(pid):
	found = set()
	folder = f"/proc/{pid}/fd"
	try:
		for name in os.listdir(folder):
			try:
				inode = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"{folder}/{name}"))
			except OSError:
				continue
			if inode:
				found.add(inode[1])
	except FileNotFoundError:
		pass
	return found

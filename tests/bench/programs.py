# SPDX-License-Identifier: GPL-2.0-or-later
"""What the benchmark starts: null-rspamd, the hops in front of it, and /proc's account of them."""

import os
import pathlib
import re
import shutil
import socket
import subprocess

from harness import Rspamd, Shim, packages, process

PATIENCE_S = 60		# for one load, above its own seconds


class Failure(Exception):
	"""The benchmark did not do what it is to measure."""


def fields(line):
	"""The numbers of a line of NAME=NUMBER fields."""
	return {k: float(v) for k, v in re.findall(r"(\w+)=([\d.]+)", line)}


def built(build, name):
	"""A program of the build folder, where the servers' user can run it."""
	if not (build / name).is_file():
		raise Failure(f"{name} is not in {build}; `make bench' builds it")
	return process.reachable(build / name)


def cpu_seconds(pids):
	"""User and system time of processes; /proc has it in nanoseconds."""
	total = 0
	for pid in pids:
		for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
			total += int((task / "schedstat").read_text().split()[0])
	return total / 1e9


def cpu_ticks(pids):
	"""(user, system) time of processes in the kernel's ticks: samples, but they tell the parts."""
	fields = [pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
	return sum(int(f[11]) for f in fields), sum(int(f[12]) for f in fields)


def _status(pid, name):
	text = pathlib.Path(f"/proc/{pid}/status").read_text()
	return int(re.search(rf"^{name}:\s*(\d+) kB", text, re.M)[1]) * 1024


def forget_peaks(pids):
	"""The peaks of memory begin anew, at what is held now."""
	for pid in pids:
		pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_bytes(pids):
	"""The peak of the largest of these processes."""
	return max(_status(pid, "VmHWM") for pid in pids)


def anonymous_bytes(pid):
	"""What a process holds of its own: no files, no shared memory."""
	return _status(pid, "RssAnon")


def tree(pid):
	"""pid and all below it."""
	return [pid] + [p for child in process.children(pid) for p in tree(child)]


def load(build, address, protocol, size, *, connections=1, seconds=3600.0, count=100000, recipients=1, cut=False):
	"""One run of bench-load, which checks every reply; its account."""
	command = [built(build, "bench-load"), "-p", protocol, "-s", size, "-c", connections, "-n", count, "-r", recipients,
	           "-t", seconds, *(["-x"] if cut else []), address]
	done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
	                      check=False)
	account = fields(done.stdout)
	if done.returncode != 0 or account["right"] == 0:
		raise Failure(f"{protocol} to {address}, {size} bytes, {connections} connections: {done.stdout}{done.stderr}")
	return account


class Program(process.Party):
	"""A server of the benchmark: address, pids()."""

	def __init__(self, name):
		super().__init__(name, process.temp_dir(f"bench-{name}"))
		self.address = f"127.0.0.1:{process.free_port()}"

	def listens(self):
		host, _, port = self.address.partition(":")
		try:
			socket.create_connection((host, int(port)), 1).close()
		except OSError:
			return False
		return True

	def pids(self):
		return tree(self.process.pid)


class Null(Program):
	"""null-rspamd: on a free port, or on a unix socket."""

	def __init__(self, build, unix=False, symbols=0):
		super().__init__("null-rspamd")
		if unix:
			self.address = f"unix:{self.dir}/socket"
		self.url = self.address if unix else f"http://{self.address}"
		self.command = [built(build, "null-rspamd"), "-s", symbols, self.address]

	def start(self):
		self.spawn(self.command, process.environment())
		self.await_ready(lambda: self.output.exists() and self.output.read_text().endswith("\n"))
		return self

	def counts(self):
		"""After stop()."""
		return fields(self.output.read_text().splitlines()[-1])


class Relay(Program):
	"""The floor: bytes passed on, and nothing else."""

	def __init__(self, build, null):
		super().__init__("relay")
		self.command = [built(build, "bench-relay"), self.address, null.address]

	def start(self):
		self.spawn(self.command, process.environment())
		self.await_ready(self.listens)
		return self


HAPROXY = """global
	nbthread 1
	maxconn 2000
defaults
	mode http
	option httpclose
	timeout connect 5s
	timeout client 60s
	timeout server 60s
listen bench
	bind {address}
	server null {null}
"""


class Haproxy(Program):
	"""haproxy, one thread, a connection for each message on both sides."""

	def __init__(self, null):
		super().__init__("haproxy")
		self.group = packages.need("haproxy")
		self.config = self.dir / "haproxy.cfg"
		self.config.write_text(HAPROXY.format(address=self.address, null=null.address))

	def start(self):
		self.spawn([self.group.path("usr/sbin/haproxy"), "-db", "-f", self.config], process.environment([self.group]))
		self.await_ready(self.listens)
		return self


# What costs it least: with a smaller buffer it writes mail into files, and
# without buffering of requests it takes half as much again for 1 MiB.
NGINX = """daemon off;
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/error.log crit;
events {{ worker_connections 4096; }}
http {{
	access_log off;
	keepalive_timeout 0;
	client_max_body_size 0;
	client_body_temp_path {dir}/body;
	proxy_temp_path {dir}/proxy;
	fastcgi_temp_path {dir}/fastcgi;
	uwsgi_temp_path {dir}/uwsgi;
	scgi_temp_path {dir}/scgi;
	server {{
		listen {address};
		location / {{
			proxy_pass http://{null};
			proxy_http_version 1.1;
			proxy_set_header Connection close;
			client_body_buffer_size 2m;
		}}
	}}
}}
"""


class Nginx(Program):
	"""nginx, one worker, a connection for each message on both sides."""

	def __init__(self, null):
		super().__init__("nginx")
		self.group = packages.need("nginx")
		self.config = self.dir / "nginx.conf"
		self.config.write_text(NGINX.format(dir=self.dir, address=self.address, null=null.address))

	def start(self):
		self.spawn([self.group.path("usr/sbin/nginx"), "-e", self.dir / "error.log", "-p", self.dir, "-c", self.config],
		           process.environment([self.group]))
		self.await_ready(self.listens)
		return self


RSPAMD_PROXY = """
worker "rspamd_proxy" {{
	bind_socket = "{address}";
	count = 1;
	milter = no;
	timeout = 120s;
	upstream "null" {{ default = yes; hosts = "{null}"; }}
}}
"""


class RspamdProxy(Rspamd):
	"""rspamd's own proxy, one process; the rest of its rspamd has nothing to do."""

	def __init__(self, null):
		self.address = f"127.0.0.1:{process.free_port()}"
		super().__init__(process.temp_dir("bench-rspamd-proxy"),
		                 extra=RSPAMD_PROXY.format(address=self.address, null=null.address))

	def pids(self):
		"""The worker that listens there."""
		port = self.address.rpartition(":")[2]
		found = [pid for pid in process.children(self.process.pid)
		         if f":{port})".encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()]
		if len(found) != 1:
			raise Failure(f"{len(found)} processes of rspamd say that they are the proxy at {port}")
		return found


class BenchShim(Shim):
	"""rspamd-shim, all by its defaults but for what config says; its log is a file."""

	def __init__(self, backend, config=""):
		super().__init__(process.temp_dir("bench-shim"), backend=backend, config=config)

	def write_config(self, text):
		self.config.write_text(text + "\n# the rest by its defaults\n")

	def pids(self):
		return tree(self.process.pid)

	def counts(self):
		"""After stop(): verdicts, errors …"""
		lines = [line for line in self.log().splitlines() if " stopped: " in line]
		return fields(lines[-1]) if lines else {}


def use_shim(path):
	"""Which rspamd-shim is meant."""
	os.environ["SHIM"] = str(path)


def sanitized():
	"""Has the rspamd-shim a sanitizer in it, so that its figures mean nothing?"""
	from harness import shim
	out = subprocess.run(["ldd", str(shim.binary())], capture_output=True, text=True, check=False).stdout
	return "libasan" in out or "libubsan" in out


def valgrind():
	"""The program; Unavailable where it is not, or cannot run this shim."""
	path = shutil.which("valgrind")
	if path is None:
		raise packages.Unavailable("valgrind is not there")
	if sanitized():
		raise packages.Unavailable("valgrind cannot run a rspamd-shim with sanitizers")
	return path

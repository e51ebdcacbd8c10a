"""A real rspamd with the configuration of tests/rspamd."""

import functools
import http.client
import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import threading

from . import facts, packages, process

CONFIGURATION = packages.SOURCE_TREE / "tests" / "rspamd"

TLS_WORKER = """
worker "normal" {{
	bind_socket = "127.0.0.1:{port} ssl";
	ssl_cert = "{certificate}";
	ssl_key = "{key}";
	count = 1;
}}
"""


class MuteListener:
	"""A port that accepts connections and never says a word."""

	def __init__(self):
		self.socket = socket.create_server(("127.0.0.1", 0))
		self.port = self.socket.getsockname()[1]
		self.accepted = []
		threading.Thread(target=self._run, daemon=True).start()

	def _run(self):
		while True:
			try:
				self.accepted.append(self.socket.accept()[0])
			except OSError:
				return

	def close(self):
		# shutdown() wakes the thread; close() alone would not.
		for sock in [self.socket, *self.accepted]:
			try:
				sock.shutdown(socket.SHUT_RDWR)
			except OSError:
				pass
			sock.close()


class Rspamd(process.Party):
	"""rspamd on free ports.  start() returns when it answers.

	normal, controller, proxy: ports on 127.0.0.1; unix: socket of the normal
	worker; url: of the normal worker.  redis: port of a redis-server, for
	learning; per_user: each mailbox (Deliver-To) has a Bayes of its own.
	fuzzy: with a fuzzy storage, whose flag 11 is FUZZY_DENIED.  extra: more
	configuration, as text; worker: more of the normal worker's.  release: the rspamd of that suite (packages.need()).
	tls: the files of a certificate and its key, for a worker that speaks TLS at
	the port tls_port; Unavailable where this release has none.
	facts: what is particular to its version.
	"""

	def __init__(self, folder, redis=None, task_timeout="8s", max_message="50mb", extra="",
	             per_user=False, fuzzy=False, release=None, worker="", tls=None):
		super().__init__("rspamd", folder)
		self.group = packages.need("rspamd", release)
		self.facts = facts.RspamdFacts(version(self.group))
		self.tls_port = process.free_port() if tls else None
		if tls and not self.facts.has_tls:
			raise packages.Unavailable("rspamd speaks TLS itself from 4.0 on only; this is "
			                           + ".".join(map(str, self.facts.release)))
		if tls:
			extra += TLS_WORKER.format(port=self.tls_port, certificate=tls[0], key=tls[1])
		self.share = self.group.path("usr/share/rspamd")
		self.mute = MuteListener()
		self.normal, self.controller, self.proxy = (process.free_port() for _ in range(3))
		self.url = f"http://127.0.0.1:{self.normal}"
		self.unix = self.dir / "run" / "normal.sock"
		self.seen_file = self.dir / "seen.jsonl"
		for name in ("run", "db", "log"):
			process.sub_dir(self.dir, name)
		words = {"DIR": self.dir, "SHARE": self.share, "DOMAINS": _public_suffixes(self.group),
		         "CACHE": _compiled_cache(self.group), "MUTE": self.mute.port,
		         "NORMAL": self.normal, "CONTROLLER": self.controller, "PROXY": self.proxy,
		         "TASK_TIMEOUT": task_timeout, "MAX_MESSAGE": max_message, "REDIS": redis,
		         "PER_USER": str(per_user).lower(), "FILTERS": "regexp,fuzzy_check" if fuzzy else "regexp",
		         "FUZZY": process.free_port() if fuzzy else None, "EXTRA": extra, "WORKER": worker}
		for name, wanted in (("bayes.inc", redis), ("fuzzy.inc", fuzzy)):
			if wanted:
				words["EXTRA"] += f'\n.include "{self.dir}/{name}"\n'
		for name in ("rspamd.conf", "rspamd.lua", "bayes.inc", "fuzzy.inc"):
			text = (CONFIGURATION / name).read_text()
			for word, value in words.items():
				text = text.replace(f"@{word}@", str(value))
			(self.dir / name).write_text(text)
		self.users = process.fake_users(self.dir, "_rspamd")

	def start(self):
		share = str(self.share)
		places = {"SHAREDIR": share, "RULESDIR": f"{share}/rules", "LUALIBDIR": f"{share}/lualib",
		          "PLUGINSDIR": f"{share}/plugins", "WWWDIR": f"{share}/www",
		          "CONFDIR": str(self.dir), "LOCAL_CONFDIR": str(self.dir), "DBDIR": f"{self.dir}/db",
		          "RUNDIR": f"{self.dir}/run", "LOGDIR": f"{self.dir}/log",
		          "RSPAMD_LIBDIR": str(self.group.root / "usr/lib/rspamd")}
		env = process.environment([self.group], self.users, extra=places)
		self.spawn([self.group.path("usr/bin/rspamd"), "-f", "-c", self.dir / "rspamd.conf",
		            *(f"--var={name}={value}" for name, value in places.items())], env)
		self.await_ready(self.ping, process.PATIENCE * 3)
		return self

	def ping(self):
		"""Do all scanning workers and the controller answer?"""
		if self.tls_port and not self._speaks_tls():
			return False
		for port in (self.normal, self.controller, self.proxy):
			try:
				status, body = self.http("GET", "/ping", port=port, timeout=2)
			except (OSError, http.client.HTTPException):
				return False
			if status != 200 or not body.startswith(b"pong"):
				return False
		return True

	def _speaks_tls(self):
		context = ssl.create_default_context()
		context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
		try:
			with socket.create_connection(("127.0.0.1", self.tls_port), timeout=2) as sock, context.wrap_socket(sock):
				return True
		except OSError:
			return False

	def http(self, method, path, body=None, headers=None, port=None, timeout=30):
		"""(status, body) of one request, as a client without the shim has it."""
		connection = http.client.HTTPConnection("127.0.0.1", port or self.normal, timeout=timeout)
		try:
			connection.request(method, path, body, headers or {})
			reply = connection.getresponse()
			return reply.status, reply.read()
		finally:
			connection.close()

	def scan(self, message, headers=None):
		"""rspamd's own verdict on message (bytes), parsed."""
		return json.loads(self.http("POST", "/checkv2", message, headers)[1])

	def seen(self):
		"""What rspamd was told of each message since the last call: dicts.

		Keys: ip from rcpt helo hostname user queue_id (None where
		unknown), headers (the request headers of a fixed list, by
		name), size and sha256 of the message, test_id, message_id.
		"""
		if not self.seen_file.exists():
			return []
		text = self.seen_file.read_text(errors="surrogateescape")
		self.seen_file.write_text("")
		keys = ("ip", "from", "helo", "hostname", "user", "queue_id", "test_id", "message_id")
		return [{**dict.fromkeys(keys), **json.loads(line)} for line in text.splitlines()]

	def await_seen(self, count=1):
		"""As seen(), but waits for count records: they come after the reply."""
		found = []

		def more():
			found.extend(self.seen())
			return len(found) >= count
		process.wait_until(more, f"rspamd recorded {count} messages")
		return found

	def stop(self):
		code = super().stop()
		self.mute.close()
		return code

	def logs(self):
		return [*super().logs(), ("rspamd log", self.dir / "log" / "rspamd.log")]


def _public_suffixes(group):
	"""The list of top-level domains: the package's own, or of the package publicsuffix, which may be the machine's."""
	found = [group.root / "usr/share/rspamd/effective_tld_names.dat",
	         group.root / "usr/share/publicsuffix/effective_tld_names.dat",
	         pathlib.Path("/usr/share/publicsuffix/effective_tld_names.dat")]
	for path in found:
		if path.exists():
			return path
	raise packages.Unavailable(f"rspamd's list of top-level domains is in none of {', '.join(map(str, found))}")


@functools.cache
def version(group):
	"""The version of a group's rspamd, as (3, 12, 1)."""
	out = subprocess.run([str(group.path("usr/bin/rspamd")), "--version"], env=process.environment([group]), text=True,
	                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
	found = re.search(r"version (\d+(?:\.\d+)*)", out)
	if not found:
		raise packages.Unavailable(f"rspamd does not say its version: {out[-300:]}")
	return tuple(map(int, found[1].split(".")))


def _compiled_cache(group):
	"""The folder for what this rspamd compiles when it starts for the first time.

	It stays with the unpacked programs: that takes ten seconds.
	"""
	uid, gid = process.server_ids()
	path = packages.deps_dir() / f"rspamd-cache-{'.'.join(map(str, version(group)))}-{uid}"
	if not path.exists():
		path.mkdir()
		os.chown(path, uid, gid)
	return path


class Redis(process.Party):
	"""redis-server on a free port, without persistence."""

	def __init__(self, folder):
		super().__init__("redis", folder)
		self.group = packages.need("redis")
		self.port = process.free_port()

	def start(self):
		self.spawn([self.group.path("usr/bin/redis-server"), "--port", self.port, "--bind", "127.0.0.1",
		            "--save", "", "--appendonly", "no", "--dir", self.dir],
		           process.environment([self.group]))
		self.await_ready(self._answers)
		return self

	def _answers(self):
		try:
			with socket.create_connection(("127.0.0.1", self.port), timeout=2) as sock:
				sock.sendall(b"PING\r\n")
				return sock.recv(16).startswith(b"+PONG")
		except OSError:
			return False

	def forget(self):
		"""Drop all that it holds."""
		with socket.create_connection(("127.0.0.1", self.port), timeout=process.PATIENCE) as sock:
			sock.sendall(b"FLUSHALL\r\n")
			assert sock.recv(16) == b"+OK\r\n"

"""rspamd-shim: the program under test.

$SHIM names the binary; without it the usual build folders are searched.
$SHIM_WRAPPER is a command in front of it (valgrind …).
"""

import os
import pathlib
import re
import shlex

from . import client, packages, process

# What AddressSanitizer, UBSan, LeakSanitizer and valgrind print about faults.
TROUBLE = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error:|UndefinedBehavior|"
                     r"==\d+== .*(?:ERROR SUMMARY: [1-9]|Invalid |uninitialised|definitely lost in|points to|"
                     r"Mismatched|overlap|Process terminating)")


def binary():
	"""Path of the rspamd-shim to test; Unavailable where there is none."""
	if os.environ.get("SHIM"):
		path = pathlib.Path(os.environ["SHIM"]).resolve()
		if not os.access(path, os.X_OK):
			raise AssertionError(f"SHIM={path} is no program")
		return path
	for build in (packages.SOURCE_TREE / "build", packages.SOURCE_TREE):
		for path in (build / "rspamd-shim", build / "shim" / "rspamd-shim"):
			if os.access(path, os.X_OK):
				return path
	raise packages.Unavailable("rspamd-shim is not built: build it, or set SHIM to its path")


def parse_line(text):
	"""The key=value pairs of a log line; values unquoted, all as str."""
	pairs = re.findall(r'(?:^|\s)([A-Za-z][\w.-]*)=("(?:[^"\\]|\\.)*"|\S*)', text)
	return {key: _unquote(value) for key, value in pairs}


def _unquote(value):
	if not value.startswith('"'):
		return value
	def one(match):
		if match[1].startswith("x"):
			return chr(int(match[1][1:], 16))
		return {"n": "\n", "r": "\r", "t": "\t"}.get(match[1], match[1])
	return re.sub(r"\\(x[0-9a-fA-F]{2}|.)", one, value[1:-1])


# Unless a test says otherwise, a rspamd's faults are its own alone: it is asked
# again each time, and nobody waits for long.
PATIENT = {"breaker_failures": "1000000", "timeout_queue": "0.2"}


class Shim(process.Party):
	"""rspamd-shim on a free port and a unix socket.

	backend: URL.  config: text of a configuration file, to which the keys of
	PATIENT are added that it does not have.  arguments: more
	of the command line.  listen: addresses instead of the usual two (port
	and unix tell those).  root: keep root's rights, if the tests have them.
	"""

	def __init__(self, folder, backend=None, config=None, arguments=(), listen=None, root=False):
		super().__init__("shim", folder, root=root)
		self.port = process.free_port()
		self.address = f"127.0.0.1:{self.port}"
		self.unix = self.dir / "shim.sock"
		self.command = [*shlex.split(os.environ.get("SHIM_WRAPPER", "")), str(process.reachable(binary()))]
		self.config = self.dir / "rspamd-shim.conf"
		self.write_config(config or "")
		self.command += ["-c", str(self.config)]
		for address in [self.address, f"unix:{self.unix}"] if listen is None else listen:
			self.command += ["-l", address]
		if backend:
			self.command += ["-b", backend]
		self.command += [str(a) for a in arguments]
		self.read = 0			# bytes of the log that requests() has passed

	def write_config(self, text):
		"""Replace the configuration file; SIGHUP makes the shim read it."""
		more = [f"{key} = {value}" for key, value in PATIENT.items() if key not in text]
		# at once: a reload that was asked for before may read it any time
		new = self.config.with_suffix(".new")
		new.write_text("\n".join([text.rstrip("\n"), *more, ""]))
		new.replace(self.config)

	def spamd_address(self, variant=False, unix=False):
		"""What to write into Exim's spamd_address."""
		where = str(self.unix) if unix else f"127.0.0.1 {self.port}"
		return where + (" variant=rspamd" if variant else "")

	def environment(self):
		keep = {name: value for name, value in os.environ.items()
		        if name.endswith("SAN_OPTIONS") or name in ("ASAN_SYMBOLIZER_PATH", "LD_LIBRARY_PATH")}
		keep.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
		return process.environment(extra=keep)

	def start(self, ready=None):
		self.spawn(self.command, self.environment())
		self.await_ready(ready or self._answers)
		if not ready:
			self.settle()
		return self

	def _answers(self):
		for address in (self.port, self.unix):
			try:
				if client.talk(address, b"PING SPAMC/1.5\r\n\r\n") != b"SPAMD/1.5 0 PONG\r\n":
					return False
			except OSError:
				return False
		return True

	def log(self):
		return self.output.read_text(errors="replace") if self.output.exists() else ""

	def requests(self):
		"""The log lines of requests since the last call, as dicts.

		A line may come a moment after the client has its reply: see
		await_request().
		"""
		with open(self.output, "rb") as log:
			log.seek(self.read)
			data = log.read()
		whole = data[:data.rfind(b"\n") + 1]
		self.read += len(whole)
		lines = [parse_line(line) for line in whole.decode(errors="replace").splitlines()]
		return [line for line in lines if "outcome" in line]

	def settle(self):
		"""Drop the log lines of all requests so far, those still due too.

		A line is written when the client has gone: that of a last
		request tells that the earlier ones have been written.
		"""
		with client.connect(self.port) as sock:
			name = "%s:%d" % sock.getsockname()[:2]
			sock.sendall(b"PING SPAMC/1.5\r\n\r\n")
			client.receive(sock)
		found = []

		def written():
			found.extend(self.requests())
			return any(line.get("client") == name for line in found)
		process.wait_until(written, "the log line of a PING")

	def await_requests(self, count=1):
		"""As requests(), but waits until there are count."""
		found = []

		def more():
			found.extend(self.requests())
			return len(found) >= count
		process.wait_until(more, f"{count} request lines in the shim's log")
		return found

	def workers(self):
		"""Process ids of the workers."""
		return process.children(self.process.pid)

	def trouble(self):
		"""Lines in which a sanitizer or valgrind complains."""
		return [line for line in self.log().splitlines() if TROUBLE.search(line)]

	def stop(self):
		"""Ends it; AssertionError unless that and the run were clean."""
		if self.process is None:
			return None
		died = not self.alive()
		code = super().stop()
		assert not self.trouble(), "\n".join(self.trouble()[:5])
		assert died or code == 0, f"rspamd-shim ended with {code} after SIGTERM"
		return code

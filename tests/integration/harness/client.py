"""Clients of the spamd protocol: raw bytes, and the real spamc."""

import functools
import re
import socket
import subprocess
import time

from . import facts, packages, process


def connect(address, timeout=process.PATIENCE):
	"""A connected socket.  address: port, (host, port) or path of a socket."""
	if isinstance(address, int):
		address = ("127.0.0.1", address)
	if isinstance(address, tuple):
		return socket.create_connection(address, timeout=timeout)
	sock = socket.socket(socket.AF_UNIX)
	sock.settimeout(timeout)
	sock.connect(str(address))
	return sock


def receive(sock):
	"""All bytes until the server closes.  A reset raises ConnectionError."""
	parts = []
	while True:
		data = sock.recv(65536)
		if not data:
			return b"".join(parts)
		parts.append(data)


def talk(address, data, half_close=False, pieces=None, pause=0.0):
	"""Send data, return all that the server says until it closes.

	pieces: offsets at which data is cut into several packets; pause:
	seconds between them.
	"""
	with connect(address) as sock:
		if sock.family != socket.AF_UNIX:
			sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
		cuts = [0, *(pieces or []), len(data)]
		for i, (start, end) in enumerate(zip(cuts, cuts[1:])):
			if i and pause:
				time.sleep(pause)
			sock.sendall(data[start:end])
		if half_close:
			sock.shutdown(socket.SHUT_WR)
		return receive(sock)


def spamc_request(command, body, version="1.5", length=True, end=b"\r\n", **headers):
	"""A request in spamc's words.  Header names: Foo_bar becomes Foo-bar."""
	lines = [f"{command} SPAMC/{version}"]
	if length is not False:
		lines.append(f"Content-length: {len(body) if length is True else length}")
	lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
	return end.join(line.encode() for line in lines) + end + end + body


def rspamc_request(body, command="CHECK", length=True, end=b"\r\n", headers=()):
	"""A request in Exim's words with variant=rspamd.  headers: pairs."""
	lines = [f"{command} RSPAMC/1.3"]
	if length is not False:
		lines.append(f"Content-length: {len(body) if length is True else length}")
	lines += [f"{name}: {value}" for name, value in headers]
	return end.join(line.encode() if isinstance(line, str) else line for line in lines) + end + end + body


class RspamcReply:
	"""A parsed RSPAMC reply; AssertionError where it is not in form."""

	METRIC = re.compile(rb"Metric: default; (True|False); (-?\d+\.\d\d) / (-?\d+\.\d\d) / 0\.0\Z")

	def __init__(self, data):
		lines = data.split(b"\r\n")
		assert lines.pop() == b"", f"does not end with CRLF: {data[-80:]!r}"
		assert lines[0] == b"RSPAMD/1.3 0 EX_OK", lines[0]
		metric = self.METRIC.match(lines[1])
		assert metric, lines[1]
		self.flag = metric[1] == b"True"
		self.score, self.required = metric[2].decode(), metric[3].decode()
		self.report = lines[2:]
		check_report(self.report, data)
		self.action = self.report[0].removeprefix(b"Action: ").decode()


def check_report(lines, data):
	"""What must be true of each report, in both dialects."""
	assert lines[0].startswith(b"Action: "), lines[0]
	assert lines[-1].startswith(b"Report-End: "), lines[-1]
	ends = [line for line in lines if line.startswith(b"Report-End: ")]
	assert len(ends) == 1, ends
	assert not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", data), "control bytes in the reply"
	assert not re.search(rb"(?<!\r)\n|\r(?!\n)", data), "bare CR or LF in the reply"
	for line in lines:
		assert line, "a blank line in the report"
		assert len(line) <= 900, f"a line of {len(line)} bytes"
	assert len(data) <= 16384, f"the reply has {len(data)} bytes"


def spamc(address, message, *options, timeout=process.PATIENCE, config=None, release=None):
	"""Run the real spamc, or that release's; (exit code, stdout).  address as in connect()."""
	group = packages.need("spamc", release)
	where = ["-U", str(address)]
	if isinstance(address, (int, tuple)):
		host, port = ("127.0.0.1", address) if isinstance(address, int) else address
		where = ["-d", host, "-p", str(port)]
	done = subprocess.run([str(group.path("usr/bin/spamc")), "-F", str(config or "/dev/null"), *where, *options],
	                      input=message, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
	                      env=process.environment([group]), timeout=timeout)
	return done.returncode, done.stdout


@functools.cache
def spamc_facts():
	"""What is particular to the release of the spamc in use."""
	group = packages.need("spamc")
	out = subprocess.run([str(group.path("usr/bin/spamc")), "-V"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
	                     env=process.environment([group])).stdout
	found = re.search(r"Client version (\d+)\.(\d+)\.(\d+)", out)
	if not found:
		raise packages.Unavailable(f"spamc does not say its release: {out[-300:]}")
	return facts.SpamcFacts(tuple(map(int, found.groups())))

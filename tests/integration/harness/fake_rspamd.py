"""A rspamd that does what a test tells it: odd verdicts, faults, silence."""

import json
import os
import pathlib
import select
import socket
import struct
import threading

from . import process


class Request:
	"""What the fake received.  body is None where it could not be read whole."""

	def __init__(self, head, body):
		self.head = head
		self.body = body
		lines = head.decode("utf-8", "surrogateescape").split("\r\n")
		self.line = lines[0]
		self.headers = [tuple(line.split(": ", 1)) if ": " in line else (line.rstrip(":"), "")
		                for line in lines[1:] if line]

	def get(self, name):
		"""Value of the only header of this name, None if absent."""
		values = self.all(name)
		assert len(values) <= 1, f"{name} came {len(values)} times"
		return values[0] if values else None

	def all(self, name):
		return [v for n, v in self.headers if n.lower() == name.lower()]


def verdict(action="no action", score=0.0, required_score=15.0, symbols=None, **more):
	"""A reply of rspamd as a dict; more: subject, milter, messages …

	message_id becomes message-id.  symbols: {name: score} or
	{name: {score, description, options}}.
	"""
	full = {}
	for name, value in (symbols or {}).items():
		entry = value if isinstance(value, dict) else {"score": value}
		full[name] = {"name": name, "metric_score": entry.get("score", 0.0), **entry}
	reply = {"is_skipped": False, "score": score, "required_score": required_score, "action": action,
	         "symbols": full, "messages": {}, "message-id": "undef", "time_real": 0.001}
	reply.update({name.replace("_", "-") if name == "message_id" else name: value
	              for name, value in more.items()})
	return reply


class FakeRspamd:
	"""HTTP server on 127.0.0.1:port, and on a unix socket if folder is given.

	What it does with a request is set by one of answer(), raw(), behave(),
	any time; the last call counts.  requests is the list of Requests,
	gone the number of clients that left before they had an answer.
	"""

	def __init__(self, folder=None):
		self.requests = []
		self.gone = 0
		self.connections = 0
		self.half_closed = 0		# clients that shut their side before the answer
		self.alive = True		# answer /ping, of which no record is kept
		self.pings = 0
		self._lock = threading.Lock()
		self._behaviour = None
		self._listeners = [socket.create_server(("127.0.0.1", 0), backlog=256)]
		self.port = self._listeners[0].getsockname()[1]
		self.url = f"http://127.0.0.1:{self.port}"
		self.unix = None
		if folder:
			self.unix = pathlib.Path(folder, "fake-rspamd.sock")
			sock = socket.socket(socket.AF_UNIX)
			sock.bind(str(self.unix))
			os.chmod(self.unix, 0o666)
			sock.listen(256)
			self._listeners.append(sock)
		self.answer(verdict())
		for listener in self._listeners:
			threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

	def start(self):
		return self

	def mark(self):
		"""As Party.mark(): nothing to do."""

	def tail(self):
		return "\n".join(["--- fake rspamd", *(f"    {r.head[:3000]!r}" for r in self.requests[-5:])])

	# What to do.

	def answer(self, reply, status="200 OK", headers=()):
		"""Answer with reply: a dict (sent as JSON), text or bytes."""
		body = reply if isinstance(reply, bytes) else (
			reply if isinstance(reply, str) else json.dumps(reply)).encode()
		head = [f"HTTP/1.1 {status}", "Connection: close", "Content-Type: application/json",
		        f"Content-Length: {len(body)}", *headers, "", ""]
		self.raw("\r\n".join(head).encode() + body)

	def raw(self, data, abort=False):
		"""Send these bytes once the request is read, then close (or reset)."""
		def act(sock, _request):
			sock.sendall(data)
			if abort:
				self.reset(sock)
		self.behave(act)

	def behave(self, act, before_request=False):
		"""act(sock, request) does as it likes; the socket is closed after it.

		With before_request it is called at once, with request None.
		"""
		self._behaviour = (act, before_request)

	def silent(self):
		"""Take the request and never answer; ends when the client leaves."""
		self.behave(lambda sock, _request: self.await_gone(sock))

	# Building blocks for behave().

	def await_gone(self, sock):
		"""Wait until the client has left, for which half a close is enough."""
		while True:
			try:
				select.select([sock], [], [])
				if not sock.recv(65536):
					break
			except (OSError, ValueError):
				break
		with self._lock:
			self.gone += 1

	@staticmethod
	def reset(sock):
		sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

	# Inside.

	def _accept(self, listener):
		while True:
			try:
				sock = listener.accept()[0]
			except OSError:
				return
			with self._lock:
				self.connections += 1
			threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

	def _serve(self, sock):
		with sock:
			try:
				act, before = self._behaviour
				if before:
					act(sock, None)
					return
				request = self._read(sock)
				if request is None:
					with self._lock:
						self.gone += 1
					return
				if request.line.startswith("GET /ping "):
					self.pings += 1
					if self.alive:
						sock.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\npong\r\n")
					return
				with self._lock:
					self.requests.append(request)
				if select.select([sock], [], [], 0)[0] and not sock.recv(1, socket.MSG_PEEK):
					with self._lock:
						self.half_closed += 1
				self._behaviour[0](sock, request)
			except OSError:
				with self._lock:
					self.gone += 1

	@staticmethod
	def _read(sock):
		data = b""
		while b"\r\n\r\n" not in data:
			more = sock.recv(65536)
			if not more:
				return None
			data += more
		head, body = data.split(b"\r\n\r\n", 1)
		request = Request(head, None)
		parts, have = [body], len(body)
		length = int(request.get("Content-Length") or 0)
		while have < length:
			more = sock.recv(1 << 20)
			if not more:
				return None
			parts.append(more)
			have += len(more)
		request.body = b"".join(parts)
		return request

	def await_requests(self, count):
		process.wait_until(lambda: len(self.requests) >= count, f"the fake rspamd had {count} requests")
		return self.requests

	def forget(self):
		"""Drop the records."""
		with self._lock:
			self.requests.clear()
			self.gone = self.connections = self.half_closed = 0

	def stop(self):
		for listener in self._listeners:
			try:
				listener.shutdown(socket.SHUT_RDWR)
			except OSError:
				pass
			listener.close()

"""A server that Exim takes for spamd or rspamd, and that answers any bytes."""

import os
import pathlib
import select
import socket
import struct
import threading

from harness import process

HALF_CLOSE_PATIENCE = 0.5	# seconds in which a half-close would have come


class Request:
	"""What Exim sent: the head's lines as bytes, and the message."""

	def __init__(self, head, body, half_closed):
		self.head = head
		self.lines = head.split(b"\r\n")
		self.body = body
		self.half_closed = half_closed

	def all(self, name):
		prefix = name + b": "
		return [line[len(prefix):] for line in self.lines if line.startswith(prefix)]


class FakeSpamd:
	"""Listens on 127.0.0.1:port and on the socket unix, one answer for each request.

	answer() and behave() say what it does; the last call counts.
	requests is what came, connections how often Exim connected.
	"""

	def __init__(self, folder, small_buffer=False):
		self.requests = []
		self.connections = 0
		self.patience = 0.0
		self._lock = threading.Lock()
		self._act = self._early = None
		self._listeners = [socket.create_server(("127.0.0.1", 0), backlog=64)]
		self.port = self._listeners[0].getsockname()[1]
		self.unix = pathlib.Path(folder, "spamd.sock")
		local = socket.socket(socket.AF_UNIX)
		local.bind(str(self.unix))
		os.chmod(self.unix, 0o666)
		local.listen(64)
		self._listeners.append(local)
		if small_buffer:
			# inherited by what they accept
			for listener in self._listeners:
				listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)

	def start(self):
		for listener in self._listeners:
			threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
		return self

	def stop(self):
		for listener in self._listeners:
			try:
				listener.shutdown(socket.SHUT_RDWR)
			except OSError:
				pass
			listener.close()

	def mark(self):
		"""As Party.mark(): nothing to do."""

	def tail(self):
		return "\n".join(["--- fake spamd", *(f"    {r.head[:500]!r}" for r in self.requests[-3:])])

	def address(self, options="", unix=False):
		"""What to write into Exim's spamd_address."""
		return (str(self.unix) if unix else f"127.0.0.1 {self.port}") + (f" {options}" if options else "")

	# What to do.

	def answer(self, reply, reset=False):
		"""Send these bytes when the request is there, and close, or reset."""
		def act(sock):
			sock.sendall(reply)
			if reset:
				sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		self._act, self._early = act, None

	def answer_early(self, reply):
		"""Send these bytes and close without reading more than the head."""
		self._early = reply

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
				request = self._read(sock)
				if request is not None:
					with self._lock:
						self.requests.append(request)
					self._act(sock)
			except OSError:
				pass

	def _read(self, sock):
		data = b""
		while b"\r\n\r\n" not in data:
			more = sock.recv(4096)
			if not more:
				return None
			data += more
		if self._early is not None:
			sock.sendall(self._early)
			return None
		head, body = data.split(b"\r\n\r\n", 1)
		request = Request(head, body, False)
		length, = [int(value) for value in request.all(b"Content-length")]
		parts, have = [body], len(body)
		while have < length:
			more = sock.recv(1 << 16)
			if not more:
				return None
			parts.append(more)
			have += len(more)
		request.body = b"".join(parts)
		if self.patience and select.select([sock], [], [], self.patience)[0]:
			request.half_closed = not sock.recv(1, socket.MSG_PEEK)
		return request

	def await_requests(self, count):
		process.wait_until(lambda: len(self.requests) >= count, f"the fake spamd had {count} requests")
		return self.requests


def rspamd_reply(score="1.00", action="no action", report=b"Symbol: A(1.00)\r\nMessage-ID: <a@b>\r\n",
                 threshold="15.00", end=b"\r\n"):
	"""A reply in rspamd's words."""
	text = ["RSPAMD/1.3 0 EX_OK", f"Metric: default; False; {score} / {threshold} / 0.0", f"Action: {action}", ""]
	return end.join(line.encode() for line in text) + report.replace(b"\r\n", end)


def spamd_reply(score="1.0", report=b"Action: no action\r\nA report\r\n", threshold="5.0", end=b"\r\n"):
	"""A reply in spamd's words."""
	text = ["SPAMD/1.1 0 EX_OK", f"Spam: False ; {score} / {threshold}", "", ""]
	return end.join(line.encode() for line in text) + report.replace(b"\r\n", end)

"""An SMTP client in lockstep that keeps every reply as it came."""

import base64
import socket

from . import packages, process


class Reply:
	"""One SMTP reply: code, lines (text after the code), all as str."""

	def __init__(self, raw):
		self.raw = raw
		self.lines = [line[4:] for line in raw.decode("utf-8", "surrogateescape").split("\r\n")[:-1]]
		self.code = int(raw[:3])

	@property
	def text(self):
		return "\n".join(self.lines)

	def __repr__(self):
		return f"{self.code} {self.text}"

	def message_id(self):
		"""Exim's id of the message that this reply accepted."""
		word = self.lines[-1].split("id=")
		assert self.code == 250 and len(word) == 2, f"not an acceptance: {self}"
		return word[1].split()[0]


class Smtp:
	"""A connection; greets with helo.  source: address to come from."""

	def __init__(self, port, host="127.0.0.1", source=None, helo="client.example", extended=True):
		self.file = None
		self.sock = socket.create_connection((host, port), timeout=process.PATIENCE,
		                                     source_address=(source, 0) if source else None)
		self.file = self.sock.makefile("rb")
		self.banner = self.read()
		self.extensions = []
		if helo is not None:
			reply = self.command(f"{'EHLO' if extended else 'HELO'} {helo}")
			assert reply.code == 250, reply
			self.extensions = [line.split()[0].upper() for line in reply.lines[1:]]

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.close()

	def close(self):
		try:
			self.command("QUIT")
		except (OSError, AssertionError):
			pass
		self.abort()

	def abort(self):
		self.file.close()
		self.sock.close()

	def read(self):
		raw = b""
		while True:
			line = self.file.readline()
			assert line.endswith(b"\r\n"), f"the server broke off after {raw + line!r}"
			raw += line
			if line[3:4] == b" ":
				return Reply(raw)

	def command(self, text):
		data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
		self.sock.sendall(data + b"\r\n")
		return self.read()

	def login(self, user="alice", password="secret"):
		token = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
		reply = self.command(f"AUTH PLAIN {token}")
		assert reply.code == 235, reply

	def envelope(self, sender, recipients, options=""):
		"""MAIL and RCPT; the replies to both, which must be positive."""
		replies = [self.command(f"MAIL FROM:<{sender}>{options}")]
		for recipient in recipients:
			replies.append(self.command(f"RCPT TO:<{recipient}>"))
		for reply in replies:
			assert reply.code == 250, reply
		return replies

	def send(self, message, sender="sender@client.example", recipients=("user@mx.example",), options="",
	         chunks=None):
		"""Send one message (bytes, any line ends); the reply to its end.

		chunks: sizes for BDAT, the rest follows in one; None uses DATA.
		"""
		for word, used in (("SMTPUTF8", "SMTPUTF8" in options), ("CHUNKING", chunks is not None)):
			if used and word not in self.extensions:
				raise packages.Unavailable(f"this Exim does not offer {word}")
		self.envelope(sender, recipients, options)
		data = b"\r\n".join(message.replace(b"\r\n", b"\n").split(b"\n"))
		if not data.endswith(b"\r\n"):
			data += b"\r\n"
		if chunks is not None:
			return self.bdat(data, chunks)
		reply = self.command("DATA")
		assert reply.code == 354, reply
		if data.startswith(b"."):
			data = b"." + data
		self.sock.sendall(data.replace(b"\r\n.", b"\r\n..") + b".\r\n")
		return self.read()

	def bdat(self, data, sizes):
		offset = 0
		for size in sizes:
			self.sock.sendall(f"BDAT {size}\r\n".encode() + data[offset:offset + size])
			offset += size
			reply = self.read()
			assert reply.code == 250, reply
		self.sock.sendall(f"BDAT {len(data) - offset} LAST\r\n".encode() + data[offset:])
		return self.read()

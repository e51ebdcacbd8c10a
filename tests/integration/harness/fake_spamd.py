"""A spamd that gives rspamd-shim's replies, in both dialects, and any other bytes."""

import re
import socket
import socketserver
import threading

SYMBOLS = (("BAD_SUBJECT", 1.5, "Subject looks bad", ("opt1", "opt2")), ("MIME_GOOD", -0.1, "", ()))


class Verdict:
	"""One reply of rspamd-shim: RSPAMC or SPAMC, as the request asks."""

	def __init__(self, action="no action", score=0.0, required=15.0, subject=None, messages=(), milter=(),
	             symbols=SYMBOLS, end="Report-End: complete"):
		self.action, self.score, self.required = action, score, required
		self.subject, self.messages, self.milter, self.symbols, self.end = subject, messages, milter, symbols, end

	def report(self, rspamc):
		lines = [f"Action: {self.action}"]
		if self.subject is not None:
			lines.append(f"Subject: {self.subject}")
		lines += [f"Message: {text}" for text in self.messages]
		lines += self.milter
		if rspamc:
			lines += [f"Symbol: {name}({score:.2f})" for name, score, _, _ in self.symbols]
			for name, score, description, options in self.symbols:
				more = f" [{', '.join(options)}]" if options else ""
				lines.append(f"X-Symbol: {name}({score:.2f}); {description}{more}")
		else:
			lines += [" pts rule name              description", "---- ---------------------- " + "-" * 50]
			lines += [f"{score:4.1f} {name:22} {description}" for name, score, description, _ in self.symbols]
		lines.append("Message-ID: <minutes@client.example>")
		if self.end is not None:
			lines.append(self.end)
		return "".join(line + "\r\n" for line in lines)

	def reply(self, rspamc):
		if rspamc:
			head = (f"RSPAMD/1.3 0 EX_OK\r\nMetric: default; {self.score >= self.required}; "
			        f"{self.score:.2f} / {self.required:.2f} / 0.0\r\n")
		else:
			head = (f"SPAMD/1.1 0 EX_OK\r\nSpam: {self.score >= self.required} ; "
			        f"{self.score:.1f} / {self.required:.1f}\r\n\r\n")
		return (head + self.report(rspamc)).encode("utf-8", "surrogateescape")


class FakeSpamd:
	"""A spamd on port that gives the same verdict until told otherwise.

	verdict: a Verdict, or the bytes of a reply; requests: heads so far.
	"""

	def __init__(self):
		self.verdict = Verdict()
		self.requests = []
		spamd = self

		class Handler(socketserver.StreamRequestHandler):
			def handle(self):
				spamd.serve(self.rfile, self.wfile, self.request)

		class Server(socketserver.ThreadingTCPServer):
			daemon_threads = True
			allow_reuse_address = True

		self.server = Server(("127.0.0.1", 0), Handler)
		self.port = self.server.server_address[1]
		threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

	def serve(self, rfile, wfile, sock):
		head = b""
		while not head.endswith(b"\r\n\r\n"):
			line = rfile.readline()
			if not line:
				return			# a probe of the port
			head += line
		rfile.read(int(re.search(rb"(?i)content-length: (\d+)", head)[1]))
		self.requests.append(head.decode("utf-8", "surrogateescape"))
		verdict = self.verdict
		wfile.write(verdict if isinstance(verdict, bytes) else verdict.reply(b"RSPAMC" in head))
		sock.shutdown(socket.SHUT_WR)

	def close(self):
		self.server.shutdown()
		self.server.server_close()

"""Dovecot without a master process: dovecot-lda, sievec, and imap behind TLS.

Dovecot's programs are unpacked and would look for doveconf in /usr/bin; the
scripts of program() start them through it instead, as they would themselves.
"""

import contextlib
import mailbox
import os
import pathlib
import socket
import ssl
import subprocess
import threading

from . import packages, process

# /usr/lib/dovecot in the packages, and by which name a program is configured.
MODULES = {"dovecot-lda": "lda", "imap": "imap", "sievec": "lda"}

CONF = """
base_dir = {dir}/run
state_dir = {dir}/run
libexec_dir = {lib}
mail_plugin_dir = {lib}/modules
log_path = {dir}/dovecot.log
ssl = no
mail_location = maildir:~/Maildir
lda_mailbox_autocreate = yes
postmaster_address = postmaster@test.example
hostname = mx.test.example
{extra}
"""


class Dovecot:
	"""Dovecot's programs for one user, whose home is home.

	extra: more configuration, as text.  Its log is in log().
	"""

	def __init__(self, folder, home, extra=""):
		self.dir = pathlib.Path(folder)
		self.home = pathlib.Path(home)
		self.group = packages.need("dovecot")
		self.lib = self.group.path("usr/lib/dovecot")
		self.conf = self.dir / "dovecot.conf"
		process.sub_dir(self.dir, "run")
		self.configure(extra)

	def configure(self, extra):
		"""Replace the configuration that the test adds."""
		self.conf.write_text(CONF.format(dir=self.dir, lib=self.lib, extra=extra))

	def environment(self):
		return process.environment([self.group], extra={"HOME": str(self.home), "USER": "alice"})

	def command(self, name):
		"""The command that runs the program called name."""
		program = self.lib / name if (self.lib / name).exists() else self.group.path(f"usr/bin/{name}")
		return [str(self.group.path("usr/bin/doveconf")), "-f", f"service={MODULES[name]}", "-c", str(self.conf),
		        "-m", MODULES[name], "-e", str(program)]

	def log(self):
		"""What all of them logged; imap does it to its standard error."""
		paths = [path for path in (self.dir / "dovecot.log", self.dir / "imap.log") if path.exists()]
		return "".join(path.read_text(errors="replace") for path in paths)


class ImapServer:
	"""IMAP over TLS on a port: Dovecot's imap, already logged in, for each client.

	certificate, key: files in PEM.
	"""

	def __init__(self, folder, dovecot, certificate, key):
		self.dir = pathlib.Path(folder)
		self.dovecot = dovecot
		self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
		self.context.load_cert_chain(certificate, key)
		self.listener = socket.create_server(("127.0.0.1", 0))
		self.port = self.listener.getsockname()[1]
		self.clients = []

	def start(self):
		threading.Thread(target=self._accept, daemon=True).start()
		return self

	def _accept(self):
		while True:
			try:
				sock = self.listener.accept()[0]
			except OSError:
				return
			thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
			self.clients.append(thread)
			thread.start()

	def _serve(self, sock):
		with contextlib.suppress(OSError), self.context.wrap_socket(sock, server_side=True) as client:
			with open(self.dovecot.dir / "imap.log", "ab") as log:
				imap = subprocess.Popen(self.dovecot.command("imap"), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
				                        stderr=log, env=self.dovecot.environment(), **process.run_as())
			with imap:
				answers = threading.Thread(target=self._copy, args=(imap, client), daemon=True)
				answers.start()
				with contextlib.suppress(OSError):
					while data := client.recv(65536):
						imap.stdin.write(data)
						imap.stdin.flush()
				with contextlib.suppress(OSError):
					imap.stdin.close()
				answers.join(process.PATIENCE)

	@staticmethod
	def _copy(imap, client):
		with contextlib.suppress(OSError):
			while data := os.read(imap.stdout.fileno(), 65536):
				client.sendall(data)
			client.shutdown(socket.SHUT_RDWR)

	def mark(self):
		"""As Party.mark(): nothing to do."""

	def tail(self):
		return "\n".join(["--- dovecot", *(f"    {line}" for line in self.dovecot.log().splitlines()[-40:])])

	def stop(self):
		with contextlib.suppress(OSError):
			self.listener.shutdown(socket.SHUT_RDWR)
		self.listener.close()
		for client in self.clients:
			client.join(process.PATIENCE)


def mails(maildir):
	"""What a Maildir holds: {folder: [(bytes, flags)]}, "" is INBOX."""
	if not pathlib.Path(maildir, "new").is_dir() and not pathlib.Path(maildir, "cur").is_dir():
		return {}
	box = mailbox.Maildir(maildir, create=False)
	found = {}
	for name in ["", *box.list_folders()]:
		folder = box.get_folder(name) if name else box
		entries = [(pathlib.Path(folder._path, folder._lookup(key)).read_bytes(), folder.get_message(key).get_flags())
		           for key in sorted(folder.keys())]
		if entries:
			found[name] = entries
	return found

"""Dovecot without a master process: dovecot-lda, sievec, and imap behind TLS.

Dovecot's programs are unpacked and would look for doveconf in /usr/bin; the
scripts of program() start them through it instead, as they would themselves.

Configurations of Dovecot 2.3 and of 2.4 differ in nearly every line: facts()
tells which of the examples is for the unpacked one, and how it is started.
"""

import contextlib
import functools
import mailbox
import os
import pathlib
import re
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
lda_mailbox_autocreate = yes
postmaster_address = postmaster@test.example
hostname = mx.test.example
"""
CONF_2_3 = """
mail_location = maildir:~/Maildir
plugin {{
  sieve_plugin_dir = {lib}/modules/sieve
}}
"""
# The first two must be the first; the users must exist, even where nobody becomes them.
CONF_2_4_BEGIN = """
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
"""
CONF_2_4 = """
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = nobody
mail_driver = maildir
mail_home = {home}
mail_path = {home}/Maildir
sieve_plugin_dir = {lib}/modules/sieve
"""
QUOTA_2_3 = """
protocol lda {
  mail_plugins = $mail_plugins quota
}
plugin {
  quota = maildir:mailbox
  quota_rule = *:bytes=4000
}
"""
QUOTA_2_4 = """
mail_plugins {
  quota = yes
}
quota mailbox {
  storage_size = 4000 B
  storage_grace = 0
}
"""
# Compiled into 2.4's doveconf: where it looks for the settings of plugins.
MODULES_2_4 = b"/usr/lib/dovecot/modules"


class Facts:
	"""What differs between Dovecot 2.3 (Debian 12 and before) and 2.4.

	suffix: of the examples in mta-conf/lda; begin, conf: what the test's
	configuration starts with and has; quota: it for a quota of 4000 bytes.
	"""

	def __init__(self, version):
		self.version = version
		self.new = version >= (2, 4)
		self.suffix = "-2.4" if self.new else ""
		self.begin = CONF_2_4_BEGIN if self.new else ""
		self.conf = CONF + (CONF_2_4 if self.new else CONF_2_3)
		self.quota = QUOTA_2_4 if self.new else QUOTA_2_3


@functools.cache
def facts():
	"""The Facts of the Dovecot that is unpacked."""
	group = packages.need("dovecot")
	text = subprocess.run([str(group.path("usr/sbin/dovecot")), "--version"], env=process.environment([group]), check=True,
	                      stdout=subprocess.PIPE, text=True, timeout=process.PATIENCE).stdout
	return Facts(tuple(int(number) for number in re.match(r"(\d+)\.(\d+)", text).groups()))


class Dovecot:
	"""Dovecot's programs for one user, whose home is home.

	extra: more configuration, as text.  Its log is in log().
	"""

	def __init__(self, folder, home, extra=""):
		self.dir = pathlib.Path(folder)
		self.home = pathlib.Path(home)
		self.group = packages.need("dovecot")
		self.facts = facts()
		self.lib = self.group.path("usr/lib/dovecot")
		self.conf = self.dir / "dovecot.conf"
		self.doveconf = self._doveconf()
		process.sub_dir(self.dir, "run")
		self.configure(extra)

	def configure(self, extra):
		"""Replace the configuration that the test adds."""
		words = {"dir": self.dir, "lib": self.lib, "home": self.home}
		self.conf.write_text(self.facts.begin + self.facts.conf.format(**words) + extra)

	def _doveconf(self):
		"""doveconf, or a copy of it that finds the settings of plugins below its descriptor 9."""
		path = self.group.path("usr/bin/doveconf")
		if not self.facts.new:
			return path
		program = path.read_bytes()
		assert MODULES_2_4 in program, "another doveconf than the one that this was written for"
		copy = self.dir / "doveconf"
		copy.write_bytes(program.replace(MODULES_2_4, b"/proc/self/fd/9".ljust(len(MODULES_2_4), b"/")))
		copy.chmod(0o755)
		return copy

	def environment(self):
		return process.environment([self.group], extra={"HOME": str(self.home), "USER": "alice"})

	def command(self, name):
		"""The command that runs the program called name."""
		program = str(self.lib / name if (self.lib / name).exists() else self.group.path(f"usr/bin/{name}"))
		service, conf = MODULES[name], str(self.conf)
		if not self.facts.new:
			return [str(self.doveconf), "-f", f"service={service}", "-c", conf, "-m", service, "-e", program]
		script = 'exec 9<"$1"; shift; exec "$@"'
		return ["/bin/sh", "-c", script, "doveconf", str(self.lib / "modules"), str(self.doveconf), "-c", conf, "-F", program,
		        "-c", conf]

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
	"""What a Maildir holds: {folder: [(bytes, flags)]}, "" is INBOX.

	Keywords, in lower case, are left out: Dovecot 2.4.5 has one for mail without attachments.
	"""
	if not pathlib.Path(maildir, "new").is_dir() and not pathlib.Path(maildir, "cur").is_dir():
		return {}
	box = mailbox.Maildir(maildir, create=False)
	found = {}
	for name in ["", *box.list_folders()]:
		folder = box.get_folder(name) if name else box
		entries = [(pathlib.Path(folder._path, folder._lookup(key)).read_bytes(),
		            "".join(flag for flag in folder.get_message(key).get_flags() if flag.isupper())) for key in sorted(folder.keys())]
		if entries:
			found[name] = entries
	return found

"""Delivery: a user's home with the examples of mta-conf/lda, and what runs there."""

import os
import pathlib
import shlex
import subprocess

from . import packages, process
from .dovecot import Dovecot, mails

EXAMPLES = packages.SOURCE_TREE / "mta-conf" / "lda"

# A program as the examples name it, and the group that it is in.
PROGRAMS = {"/usr/bin/spamc": "spamc", "/usr/bin/rspamc": "rspamd", "/usr/bin/procmail": "procmail",
            "/usr/bin/maildrop": "maildrop", "/usr/bin/fetchmail": "fetchmail"}


class Home:
	"""The home of a user called alice: mail goes to Maildir in it.

	install() puts an example there, deliver() hands a message to a program
	as a mail server would.  bin holds a script for each unpacked program, so
	that it finds its libraries wherever it is called from.
	"""

	def __init__(self, folder):
		self.dir = pathlib.Path(folder)
		self.home = process.sub_dir(self.dir, "home")
		self.bin = process.sub_dir(self.dir, "bin")
		self.maildir = self.home / "Maildir"
		for name in ("cur", "new", "tmp"):
			os.chown(process.sub_dir(self.maildir, name), *process.server_ids())
		os.chown(self.maildir, *process.server_ids())
		self.users = process.fake_users(self.home, "alice")	# its home is that folder
		self.dovecot = Dovecot(process.sub_dir(self.dir, "dovecot"), self.home)
		self.paths = {}			# as an example names it: where it is
		for program, group in PROGRAMS.items():
			self._script(program, group)
		for program in ("/usr/lib/dovecot/dovecot-lda", "/usr/bin/sievec"):
			self._write_script(program, self.dovecot.environment(), self.dovecot.command(pathlib.Path(program).name))

	def start(self):
		return self

	def stop(self):
		"""Nothing runs when a test is over."""

	def _script(self, program, name):
		group = packages.need(name)
		env = process.environment([group], self.users, extra={"HOME": str(self.home)})
		if name == "rspamd":
			env["RSPAMD_LIBDIR"] = str(group.root / "usr/lib/rspamd")
		self._write_script(program, env, [str(group.path(program.lstrip("/")))])

	def _write_script(self, program, env, command):
		path = self.bin / pathlib.Path(program).name
		settings = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in env.items()
		                   if name not in ("PATH", "HOME", "LD_PRELOAD", "LD_LIBRARY_PATH"))
		loader = "".join(f"{name}={shlex.quote(env[name])} " for name in ("LD_PRELOAD", "LD_LIBRARY_PATH") if name in env)
		path.write_text(f"#!/bin/sh\n{settings}HOME={shlex.quote(str(self.home))} {loader}exec {shlex.join(command)} \"$@\"\n")
		path.chmod(0o755)
		self.paths[program] = str(path)

	def install(self, name, target=None, mode=0o600, **changes):
		"""The example called name as a file of the user's; its path.

		Programs are replaced by where they are; changes, pairs of old
		and new text, must be found in it.
		"""
		text = (EXAMPLES / name).read_text()
		for old, new in changes.get("words", {}).items():
			assert old in text, f"{name} does not say {old!r}"
			text = text.replace(old, new)
		for program, path in self.paths.items():
			text = text.replace(program, path)
		path = self.home / (target or name)
		path.write_text(text)
		path.chmod(mode)
		os.chown(path, *process.server_ids())
		return path

	def example(self, name):
		"""The name of that example for the Dovecot that is unpacked."""
		path = pathlib.Path(name)
		return f"{path.stem}{self.dovecot.facts.suffix}{path.suffix}"

	def use_sieve(self):
		"""dovecot-lda runs mta-conf/lda's rspamd.sieve from now on, compiled."""
		script = self.install("rspamd.sieve")
		code, said = self.run("/usr/bin/sievec", script)
		assert code == 0 and script.with_suffix(".svbin").exists(), said
		self.sieve = self.install(self.example("dovecot.conf"), words={"/etc/dovecot/sieve/rspamd.sieve": str(script)}, mode=0o644)
		self.set_quota(None)

	def set_quota(self, tempfail):
		"""Let nothing but tiny mails in; tempfail: quota_full_tempfail.  None: no quota."""
		quota = f"{self.dovecot.facts.quota}quota_full_tempfail = {tempfail}\n" if tempfail else ""
		self.dovecot.configure(f"!include {self.sieve}\n{quota}")

	def run(self, *command, mail=b"", env=None):
		"""Run a command as the user; (exit code, its output)."""
		done = subprocess.run([self.paths.get(str(c), str(c)) for c in command], input=mail, cwd=self.home,
		                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=process.PATIENCE,
		                      env=process.environment(extra={"HOME": str(self.home), "USER": "alice", **(env or {})}),
		                      **process.run_as())
		return done.returncode, done.stdout.decode(errors="replace")

	def mails(self):
		"""{folder: [(bytes, flags)]} of the Maildir."""
		return mails(self.maildir)

	def put(self, mail):
		"""Put a message into the Maildir, as delivery would."""
		path = self.maildir / "tmp" / f"{len(list(self.maildir.rglob('*')))}.test"
		path.write_bytes(mail)
		os.chown(path, *process.server_ids())
		path.rename(self.maildir / "new" / path.name)

	def empty(self):
		"""Throw away all mail."""
		for path in self.maildir.rglob("*"):
			if path.is_file() and path.parent.name in ("new", "cur"):
				path.unlink()

	# As a party of Case.

	def mark(self):
		"""As Party.mark(): nothing to do."""

	def tail(self):
		log = self.home / "procmail.log"
		text = log.read_text(errors="replace") if log.exists() else ""
		return "\n".join(["--- home", *(f"    {line}" for line in (text + self.dovecot.log()).splitlines()[-40:])])

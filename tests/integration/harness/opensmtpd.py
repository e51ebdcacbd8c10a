"""A real OpenSMTPD with its rspamd filter, everything of it in a temporary folder.

Debian's packages, unpacked.  smtpd(8) wants to be root, to own its spool as
root, to become three other users and to chroot; libfakeroot and libfakechroot
let it believe that it did all that, so that it runs without any privilege.
"""

import email
import email.policy
import os
import pathlib
import re
import subprocess

from . import packages, process, smtp

# What smtpd expects to find or is to write to, and the modes that it insists on.
FOLDERS = {"etc": 0o755, "etc/ssl/certs": 0o755, "home/user": 0o755, "usr/libexec/opensmtpd": 0o755, "var/lib/opensmtpd/empty": 0o755,
           "var/run": 0o755, "var/spool/smtpd": 0o711}


class OpenSmtpd(process.Party):
	"""smtpd with config, the text of a smtpd.conf, which lets it listen at port of 127.0.0.1.

	Its only user is called user: delivered() finds his mail in INBOX and in Junk.
	"""

	def __init__(self, folder, config, port):
		super().__init__("opensmtpd", folder)
		self.group = packages.need("opensmtpd")
		self.fake = packages.need("fakeroot")
		self.port = port
		self.faked = None
		self.chroot = process.sub_dir(self.dir, "root")
		uid, gid = process.server_ids()
		for name, mode in FOLDERS.items():
			process.sub_dir(self.chroot, name).chmod(mode)
		for path in self.chroot.rglob("*"):
			os.chown(path, uid, gid)
		self._link_programs()
		self.maildir = self.chroot / "home/user/Maildir"
		names = {"opensmtpd": "/var/lib/opensmtpd/empty", "opensmtpq": "/var/lib/opensmtpd/empty", "user": "/home/user"}
		people = [("root", 0, "/root")] + [(name, uid + i, home) for i, (name, home) in enumerate(names.items())]
		etc = self.chroot / "etc"
		(etc / "passwd").write_text("".join(f"{name}:x:{n}:{n}:test:{home}:/bin/sh\n" for name, n, home in people))
		(etc / "group").write_text("".join(f"{name}:x:{n}:\n" for name, n, _ in people))
		(etc / "aliases").write_text("postmaster: user\n")
		(etc / "mailname").write_text("mx.test.example\n")
		# From 7 on smtpd ends without this file, even where nothing is sent by TLS.
		(etc / "ssl/certs/ca-certificates.crt").write_text("")
		self.configure(config)

	def _link_programs(self):
		"""The filter and the delivery programs, where smtpd looks for them."""
		for program in self.group.path("usr/libexec/opensmtpd").iterdir():
			path = self.chroot / "usr/libexec/opensmtpd" / program.name
			if not program.name.startswith("mail."):
				path.symlink_to(program)
				continue
			# smtpd starts these with a new environment, and so as root again; they do not want to be that.
			path.write_text(f'#!/bin/sh\nLD_PRELOAD=libfakechroot.so exec {program} "$@"\n')
			path.chmod(0o755)

	def configure(self, config):
		"""Write smtpd.conf; it counts from the next start."""
		(self.chroot / "etc/smtpd.conf").write_text(config)

	def environment(self):
		env = process.environment([self.group, self.fake])
		# Of the machine, everything is there as it is but the folders in which smtpd has files.
		own = {pathlib.Path(name).parts[0] for name in FOLDERS}
		outside = [str(path) for path in pathlib.Path("/").iterdir() if path.name not in own]
		outside += [str(path) for path in pathlib.Path("/usr").iterdir() if path.name != "libexec"]
		env.update(LD_PRELOAD="libfakechroot.so libfakeroot-sysv.so", FAKECHROOT_BASE=str(self.chroot),
		           FAKECHROOT_EXCLUDE_PATH=":".join([*outside, str(self.dir), str(packages.deps_dir())]))
		return env

	def start(self):
		env = self.environment()
		# It keeps the owners that files are thought to have; its first line is what its clients must know.
		self.faked = subprocess.Popen([str(self.fake.path("usr/bin/faked-sysv")), "--foreground"], cwd=self.dir,
		                              env=process.environment([self.fake]), stdout=subprocess.PIPE, text=True,
		                              start_new_session=True, **process.run_as())
		env["FAKEROOTKEY"] = self.faked.stdout.readline().partition(":")[0]
		if not env["FAKEROOTKEY"]:
			raise packages.Unavailable("faked does not run here")
		self.spawn([self.group.path("usr/sbin/smtpd"), "-d"], env)
		self.await_ready(self._answers)
		return self

	def _answers(self):
		try:
			smtp.Smtp(self.port, helo=None).close()
			return True
		except (OSError, AssertionError):
			return False

	def stop(self):
		code = super().stop()
		if self.faked:
			self.faked.terminate()
			self.faked.wait(process.PATIENCE)
			self.faked.stdout.close()
			self.faked = None
		return code

	def connect(self, **options):
		"""An smtp.Smtp connection."""
		return smtp.Smtp(self.port, **options)

	def send(self, message, source=None, helo="client.example", **options):
		"""One message in a connection of its own; smtpd's last reply."""
		with self.connect(source=source, helo=helo) as connection:
			return connection.send(message, **options)

	def delivered(self, reply):
		"""(folder, message parsed) of what this SMTP reply accepted; waits for it.  "" is INBOX."""
		word = re.match(r"2\.0\.0 ([0-9a-f]{8}) ", reply.text)
		assert reply.code == 250 and word, f"not an acceptance: {reply}"
		mark = b"with ESMTP id %s\n" % word[1].encode()

		def look():
			for folder in ("", ".Junk"):
				for text in (path.read_bytes() for path in (self.maildir / folder / "new").glob("*")):
					if mark in text:
						return folder.lstrip("."), email.message_from_bytes(text, policy=email.policy.compat32)
			return None
		return process.wait_until(look, f"{word[1]} is delivered")

	def log(self):
		return self.output.read_text(errors="replace") if self.output.exists() else ""

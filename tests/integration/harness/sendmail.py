"""A real sendmail with configuration, queue and mailbox in a temporary folder.

Debian's sendmail, unpacked, with Debian's own sendmail.mc: m4 makes the
configuration of it, and of the lines that a test puts into it.  It wants to be
root; uid_wrapper lets it believe that it is.  It takes mail for mx.example and
keeps each as a file.
"""

import email
import email.policy
import re
import subprocess

from . import packages, process, smtp

# What Debian's files say, and where it is in the folder.
PLACES = {"/usr/share/sendmail/cf": "cf", "/etc/mail/": "etc/", "/var/lib/sendmail": "lib", "/var/run/sendmail/mta": "run",
          "/var/spool/mqueue": "queue", "/usr/sbin/sensible-mda": "deliver"}
# What it takes to run here: no DNS, no aliases, files below /tmp, and service whatever the load of the machine.
OPTIONS = """
define(`confDOMAIN_NAME', `mx.test.example')dnl
define(`confSERVICE_SWITCH_FILE', `@DIR@/etc/service.switch')dnl
define(`confDONT_BLAME_SENDMAIL', defn(`confDONT_BLAME_SENDMAIL')`,GroupWritableDirPathSafe')dnl
define(`confTO_IDENT', `0')dnl
define(`confREFUSE_LA', `1000000')dnl
define(`confQUEUE_LA', `1000000')dnl
undefine(`ALIAS_FILE')dnl
FEATURE(`accept_unresolvable_domains')dnl
MODIFY_MAILER_FLAGS(`LOCAL', `-w')dnl
LOCAL_CONFIG
@ENVIRONMENT@
"""
BEFORE = "MAILER_DEFINITIONS\n"		# where options end in Debian's sendmail.mc

DELIVER = """#!/bin/sh
umask 022
file=$(mktemp @DIR@/mail/tmp.XXXXXX) && cat >"$file" && chmod 644 "$file" && mv "$file" "@DIR@/mail/new.${file##*.}"
"""


def queue_id(reply):
	"""The id of the message that this SMTP reply accepted."""
	found = re.search(r"^2\.0\.0 (\w+) Message accepted for delivery$", reply.text)
	assert reply.code == 250 and found, f"not an acceptance: {reply}"
	return found[1]


class Sendmail(process.Party):
	"""sendmail; start() starts its daemon on port.

	mc: lines of sendmail.mc, put above MAILER_DEFINITIONS.  The one
	host name that it knows is localhost; its children have it from /etc/hosts,
	for they overwrite the environment that the wrappers look at.
	"""

	def __init__(self, folder, mc=""):
		super().__init__("sendmail", folder)
		self.group = packages.need("sendmail")
		self.wrapper = packages.need("uid-wrapper")
		self.port, self.submission = process.free_port(), process.free_port()
		for name in ("etc", "etc/m4", "lib", "lib/host_status", "run", "queue", "mail"):
			process.sub_dir(self.dir, name)
		self.users = self._users()
		self.dns = process.fake_dns(self.dir, {"127.0.0.1": "localhost"})
		self._copy("usr/share/sendmail/cf", "cf")
		self._write("etc/service.switch", self.group.path("etc/mail/service.switch-nodns").read_text())
		self._write("etc/local-host-names", "mx.example\n")
		for name in ("dialup.m4", "provider.m4"):
			self._write(f"etc/m4/{name}", "")
		self._write("deliver", DELIVER.replace("@DIR@", str(self.dir))).chmod(0o755)
		self._make_cf(mc)
		self._make_map("access", "GreetPause:127.0.0\t0\n")

	def _users(self):
		uid, gid = process.server_ids()
		names = ("smmta", "smmsp", "mail", "user")
		(self.dir / "passwd").write_text("root:x:0:0:root:/:/bin/sh\n" + "".join(
			f"{name}:x:{uid}:{gid}:test:{self.dir}:/bin/sh\n" for name in names))
		(self.dir / "group").write_text("root:x:0:\n" + "".join(f"{name}:x:{gid}:\n" for name in names))
		return self.dir

	def _write(self, name, text):
		path = self.dir / name
		path.write_text(text)
		return path

	def _copy(self, source, target):
		"""Copy a tree of texts, with our places in them."""
		for path in self.group.path(source).rglob("*.m?"):
			relative = path.relative_to(self.group.root / source)
			if path.suffix in (".m4", ".mc"):
				copy = self.dir / target / relative
				copy.parent.mkdir(parents=True, exist_ok=True)
				text = path.read_text(errors="surrogateescape")
				for old, new in PLACES.items():
					text = text.replace(old, f"{self.dir}/{new}")
				copy.write_text(text, errors="surrogateescape")

	def _make_map(self, name, text):
		self._run([self.group.path("usr/libexec/sendmail/makemap"), "-C", self.dir / "sendmail.cf", "hash",
		           self.dir / "etc" / name], text)

	def _make_cf(self, mc):
		"""Debian's sendmail.mc, with our ports and options, through m4."""
		environment = self.environment()
		options = OPTIONS.replace("@DIR@", str(self.dir))
		# sendmail empties its environment and keeps what is named here.
		options = options.replace("@ENVIRONMENT@", "\n".join(f"E{name}={value}" for name, value in environment.items()
		                                                     if name.startswith(("UID_", "NSS_"))))
		text = (self.dir / "cf/debian/sendmail.mc").read_text()
		for old, new in (("Port=smtp,", f"Port={self.port},"), ("Port=submission,", f"Port={self.submission},"),
		                 (BEFORE, f"{mc}{options}{BEFORE}")):
			assert old in text, f"another sendmail.mc than the one that this was written for: no {old!r}"
			text = text.replace(old, new)
		self._write("sendmail.cf", self._run([self.group.path("usr/bin/m4"), self._write("sendmail.mc", text)]))

	def _run(self, command, text=""):
		done = subprocess.run([str(c) for c in command], input=text, text=True, env=self.environment(), cwd=self.dir,
		                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=process.PATIENCE, **process.run_as())
		assert done.returncode == 0, f"{command[0]} ended with {done.returncode}: {done.stderr}"
		return done.stdout

	def environment(self):
		env = process.environment([self.group, self.wrapper], self.users, self.dns,
		                          {"UID_WRAPPER": "1", "UID_WRAPPER_ROOT": "1"})
		env["LD_PRELOAD"] += " libuid_wrapper.so"
		return env

	def start(self):
		self.spawn([self.group.path("usr/libexec/sendmail/sendmail"), "-C", self.dir / "sendmail.cf", "-bD",
		            "-X", self.dir / "traffic"], self.environment())
		self.await_ready(self._answers)
		return self

	def _answers(self):
		try:
			smtp.Smtp(self.port, helo=None).close()
			return True
		except (OSError, AssertionError):
			return False

	def connect(self, helo="client.example"):
		return smtp.Smtp(self.port, helo=helo)

	def send(self, message, **options):
		"""One message in a connection of its own; sendmail's last reply."""
		with self.connect() as connection:
			return connection.send(message, **options)

	def delivered(self, message_id):
		"""The delivered message, parsed (its headers as str); waits for it."""
		mark = re.compile(rb"^\tby mx\.test\.example \([^)]*\) with \w+ id %s\b" % message_id.encode(), re.M)

		def found():
			files = (self.dir / "mail").glob("new.*")
			return next((text for text in (f.read_bytes() for f in files) if mark.search(text)), None)
		text = process.wait_until(found, f"{message_id} is delivered")
		return email.message_from_bytes(text, policy=email.policy.compat32)

	def logs(self):
		return [*super().logs(), ("sendmail traffic", self.dir / "traffic")]

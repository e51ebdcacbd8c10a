"""A real Postfix with configuration, queue and mailbox in a temporary folder.

Debian's postfix, unpacked.  Its master(8) wants to be root and its daemons to
become other users; uid_wrapper lets them believe that they are and did, so
that all of it runs without any privilege (see process.py).  It takes mail for
every address and delivers it into one maildir; delivered(id) finds it there.
"""

import email
import email.policy
import re

from . import packages, process, smtp

MAIN = """
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
command_directory = {root}/usr/sbin
daemon_directory = {root}/usr/lib/postfix/sbin
shlib_directory = {root}/usr/lib/postfix
meta_directory = {root}/usr/share/postfix
maillog_file = {dir}/log/mail.log
maillog_file_prefixes = {dir}
import_environment = {environment}
mail_owner = postfix
setgid_group = postdrop
default_privs = other
myhostname = mx.test.example
mydomain = test.example
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mydestination =
alias_maps =
local_recipient_maps =
virtual_mailbox_domains = static:all
virtual_mailbox_base = {dir}
virtual_mailbox_maps = static:mail/
virtual_mailbox_limit = 0
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
smtpd_relay_restrictions = reject_unauth_destination
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_client_connection_rate_limit = 0
smtpd_milters = {milters}
milter_default_action = tempfail
"""

# Of master.cf, what mail from SMTP to a maildir takes.
SERVICES = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup   unix      n - n - 0 cleanup
qmgr      unix      n - n 300 1 qmgr
rewrite   unix      - - n - - trivial-rewrite
bounce    unix      - - n - 0 bounce
defer     unix      - - n - 0 bounce
trace     unix      - - n - 0 bounce
error     unix      - - n - - error
retry     unix      - - n - - error
discard   unix      - - n - - discard
virtual   unix      - n n - - virtual
anvil     unix      - - n - 1 anvil
proxymap  unix      - - n - - proxymap
showq     unix      n - n - - showq
postlog   unix-dgram n - n - 1 postlogd
"""


def queue_id(reply):
	"""The id of the message that this SMTP reply accepted."""
	found = re.search(r"queued as (\w+)", reply.text)
	assert reply.code == 250 and found, f"not an acceptance: {reply}"
	return found[1]


class Postfix(process.Party):
	"""Postfix; start() starts its master, which listens on port.

	milters: addresses in Postfix's form, asked in this order.  options: text
	for main.cf, where a line replaces the harness's of that name.  services:
	more lines of master.cf.  hosts: {address: name} is all that DNS knows.
	"""

	def __init__(self, folder, milters=(), options="", services="", hosts=None):
		super().__init__("postfix", folder)
		self.group = packages.need("postfix")
		self.wrapper = packages.need("uid-wrapper")
		self.port = process.free_port()
		self.conf = process.sub_dir(self.dir, "conf")
		for name in ("queue", "data", "log", "mail"):
			process.sub_dir(self.dir, name)
		# The queue's folders, as Postfix's own installation makes them.
		for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private",
		             "maildrop", "public", "pid", "saved", "trace"):
			process.sub_dir(self.dir / "queue", name)
		self.users = self._users()
		self.dns = process.fake_dns(self.dir, hosts or {})
		uid, gid = process.server_ids()
		words = {"dir": self.dir, "root": self.group.root, "port": self.port, "uid": uid, "gid": gid,
		         "milters": " ".join(milters), "environment": " ".join(self.environment())}
		replaced = set(re.findall(r"^(\w+)\s*=", options, re.M))
		lines = [line for line in MAIN.format(**words).splitlines() if line.split(" =")[0] not in replaced]
		(self.conf / "main.cf").write_text("\n".join([*lines, options, ""]))
		(self.conf / "master.cf").write_text(SERVICES.format(**words) + services)

	def _users(self):
		"""passwd and group: Postfix wants its users and groups to be different ones."""
		uid, gid = process.server_ids()
		(self.dir / "passwd").write_text(f"root:x:0:0:root:/:/bin/sh\npostfix:x:{uid}:{gid}:test:{self.dir}:/bin/sh\n"
		                                 f"other:x:{uid + 1}:{gid + 1}:test:/:/bin/sh\n")
		(self.dir / "group").write_text(f"root:x:0:\npostfix:x:{gid}:\nother:x:{gid + 1}:\npostdrop:x:{gid + 2}:\n")
		return self.dir

	def environment(self):
		env = process.environment([self.group, self.wrapper], self.users, self.dns,
		                          {"MAIL_CONFIG": str(self.conf), "UID_WRAPPER": "1", "UID_WRAPPER_ROOT": "1"})
		env["LD_PRELOAD"] += " libuid_wrapper.so"
		return env

	def start(self):
		self.spawn([self.group.path("usr/lib/postfix/sbin/master"), "-c", self.conf, "-d"], self.environment())
		self.await_ready(self._answers)
		return self

	def _answers(self):
		try:
			smtp.Smtp(self.port, helo=None).close()
			return True
		except (OSError, AssertionError):
			return False

	# Mail in.

	def connect(self, client=None, name=None, source=None, helo="client.example"):
		"""An smtp.Smtp connection.

		source: address of loopback to come from.  client, name: address
		and name of the host that it then pretends to be (XCLIENT).
		"""
		connection = smtp.Smtp(self.port, source=source, helo=helo)
		if client:
			reply = connection.command(f"XCLIENT ADDR={client} NAME={name or '[UNAVAILABLE]'}")
			assert reply.code == 220, reply
			reply = connection.command(f"EHLO {helo}")
			assert reply.code == 250, reply
		return connection

	def send(self, message, client=None, name=None, source=None, helo="client.example", **options):
		"""One message in a connection of its own; Postfix's last reply."""
		with self.connect(client, name, source, helo) as connection:
			return connection.send(message, **options)

	# What became of it.

	def delivered(self, message_id):
		"""The delivered message, parsed (its headers as str); waits for it."""
		return email.message_from_bytes(self.delivered_bytes(message_id), policy=email.policy.compat32)

	def delivered_bytes(self, message_id):
		mark = re.compile(rb"^\tby mx\.test\.example \(Postfix\) with \w+ id %s\b" % message_id.encode(), re.M)

		def found():
			files = (self.dir / "mail" / "new").glob("*")
			return next((text for text in (f.read_bytes() for f in files) if mark.search(text)), None)
		return process.wait_until(found, f"{message_id} is delivered")

	def log(self):
		path = self.dir / "log" / "mail.log"
		return path.read_text(errors="replace") if path.exists() else ""

	def logs(self):
		return [*super().logs(), ("postfix log", self.dir / "log" / "mail.log")]

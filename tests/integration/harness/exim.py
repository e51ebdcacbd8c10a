"""A real Exim with a configuration of its own in a temporary folder.

Debian's exim4, unpacked; or what $EXIM names.  Exim runs without
any privilege (see process.py), takes mail for every address and keeps it in
its queue; delivered(id) delivers it into a file and parses that.
"""

import base64
import email
import email.policy
import functools
import os
import re
import subprocess

from . import facts, packages, process, smtp

# What the tests may compare: Exim's variables after a scan.
VARIABLES = ("spam_action", "spam_score", "spam_score_int", "spam_bar", "spam_report")
CHUNK, CHUNKS = 4000, 12		# a log line holds 8 KiB, $spam_report 32 KiB

# Scan, and record what Exim has then.  Nothing is recorded where it defers.
SCAN = """
	warn
		spam = nobody:true
		acl = acl_seen
	accept
"""

OPTIONS = """
exim_user = {uid}
exim_group = {gid}
exim_path = {program}
spool_directory = {dir}/spool
log_file_path = {dir}/log/%slog
pid_file_path = {dir}/exim.pid
keep_environment = LD_PRELOAD : LD_LIBRARY_PATH : ^NSS_WRAPPER_ : ^RESOLV_WRAPPER_ : {mark}
deliver_drop_privilege = true
queue_only = true
timezone = UTC
primary_hostname = mx.test.example
qualify_domain = test.example
local_interfaces = <; 127.0.0.1 ; ::1
daemon_smtp_ports = {port}
spamd_address = {spamd_address}
rfc1413_query_timeout = 0s
host_lookup = {host_lookup}
host_lookup_order = bydns
check_spool_space = 0
smtp_accept_max = 100
smtp_accept_max_per_host = 100
smtp_enforce_sync = true
helo_allow_chars = _
helo_accept_junk_hosts = *
tls_advertise_hosts =
prdr_enable = true
smtputf8_advertise_hosts = *
chunking_advertise_hosts = *
acl_smtp_rcpt = acl_rcpt
acl_smtp_data = acl_data
acl_not_smtp = acl_not_smtp
"""

SECTIONS = """
begin acl
acl_rcpt:
	{acl_rcpt}
acl_data:
	{acl_data}
acl_not_smtp:
	{acl_not_smtp}
acl_seen:
{acl_seen}
	accept
{acls}

begin routers
{routers}
all:
	driver = accept
	domains = *
	transport = into_file

begin transports
{transports}
into_file:
	driver = appendfile
	file = {dir}/delivered/$message_exim_id
	create_file = anywhere
	batch_max = 100000
	use_lockfile = false
	no_check_owner
	message_prefix =
	message_suffix =
	check_string =
	return_path_add
	envelope_to_add

begin authenticators
plain:
	driver = plaintext
	public_name = PLAIN
	server_condition = ${{if eq{{$auth3}}{{secret}}}}
	server_set_id = $auth2
"""


def _acl_seen(variables):
	"""ACL statements that write variables to the log, in pieces of base64."""
	text = []
	for name in variables:
		value = f"${{str2b64:${name}}}"
		text.append(f"\twarn logwrite = :main:seen {name} 0 ${{substr_0_{CHUNK}:{value}}}\n")
		if name != "spam_report":
			continue
		for i in range(1, CHUNKS):
			text.append(f"\twarn condition = ${{if >{{${{strlen:{value}}}}}{{{i * CHUNK}}}}}\n"
			            f"\t\tlogwrite = :main:seen {name} {i} ${{substr_{i * CHUNK}_{CHUNK}:{value}}}\n")
	return "".join(text)


def parse_seen(log):
	"""The records of acl_seen in a log: a dict of bytes for each scan.

	A scan begins with the first of the VARIABLES that is recorded.
	"""
	scans = []
	first = None
	# In -bh's output the log lines stand between debugging output.
	lines = re.compile(r"^(?:LOG:|\d{4}-).* seen (spam_\w+) (\d+) ?(\S*)$", re.M)
	for name, number, data in lines.findall(log):
		first = first or name
		if name == first:
			scans.append({})
		scans[-1].setdefault(name, []).append((int(number), data))
	return [{name: base64.b64decode("".join(d for _, d in sorted(parts))) for name, parts in scan.items()}
	        for scan in scans]


def _reply(stream):
	"""The lines of one SMTP reply; what there is if the stream ends."""
	raw = b""
	while not re.match(rb"\d{3} ", raw[raw.rfind(b"\n", 0, -1) + 1:]):
		line = stream.readline()
		if not line:
			break
		raw += line
	return raw


class Exim(process.Party):
	"""Exim with spamd_address as given; start() starts its daemon on port.

	acl_data, acl_rcpt, acl_not_smtp: bodies of ACLs (default: scan, record,
	accept).  acls: further whole ACLs.  routers, transports: text before the
	harness's own.  options: text for the main section, where `name = value`
	replaces the harness's line of that name.  macros: text above it.
	hosts: {address: name} is all that DNS knows; without
	it Exim looks up no host names.  release: the Exim of that suite (packages.need()).
	"""

	def __init__(self, folder, spamd_address="127.0.0.1 783", acl_data=SCAN, acl_rcpt="accept",
	             acl_not_smtp=None, acls="", options="", macros="", hosts=None, routers="", transports="", release=None):
		super().__init__("exim", folder)
		group = packages.need("exim", release)
		self.program, self.groups = process.reachable(group.path("usr/sbin/exim4")), [group]
		self.port = process.free_port()
		self.conf = self.dir / "exim.conf"
		for name in ("spool", "log", "delivered"):
			process.sub_dir(self.dir, name)
		self.users = process.fake_users(self.dir, "Debian-exim", "exim", "mailnull")
		self.dns = process.fake_dns(self.dir, hosts or {})
		self.known = self._known_options()
		uid, gid = process.server_ids()
		has_action = self.has_spam_action()
		if "variant=rspamd" in spamd_address and not has_action:
			raise packages.Unavailable(f"Exim {self.version()} does not know variant=rspamd")
		variables = [v for v in VARIABLES if v != "spam_action" or has_action]
		words = {"uid": uid, "gid": gid, "program": self.program, "dir": self.dir, "mark": process.MARK,
		         "port": self.port, "spamd_address": spamd_address,
		         "host_lookup": "*" if hosts else "", "acl_rcpt": acl_rcpt.strip(),
		         "acl_data": acl_data.strip(), "acl_not_smtp": (acl_not_smtp or acl_data).strip(),
		         "acl_seen": _acl_seen(variables), "acls": acls, "routers": routers, "transports": transports}
		self.conf.write_text(macros + "\n" + self._main(OPTIONS.format(**words), options)
		                     + SECTIONS.format(**words))

	def _main(self, defaults, options):
		"""The main section: what this Exim knows, and the test's own lines."""
		replaced = set(re.findall(r"^\s*(\w+)\s*=", options, re.M))
		lines = []
		for line in defaults.splitlines():
			name = line.split(" =")[0]
			if name and name in self.known and name not in replaced:
				lines.append(line)
		return "\n".join(lines) + "\n" + options + "\n"

	def _known_options(self):
		(self.dir / "probe.conf").write_text(f"spool_directory = {self.dir}/spool\n"
		                                     f"log_file_path = {self.dir}/log/probe-%slog\n")
		out = self._exim("-bP", conf="probe.conf").stdout.decode(errors="replace")
		names = {re.sub(r"^no_", "", line.split()[0]) for line in out.splitlines() if line.strip()}
		if "spool_directory" not in names:
			raise packages.Unavailable(f"{self.program} does not run here: {out[-300:]}")
		# -bP leaves out what only its own user may see on some releases.
		return names | {"exim_user", "exim_group", "exim_path", "log_file_path", "spamd_address"}

	def has_spam_action(self):
		"""Does this Exim have $spam_action?"""
		return self.expand("${if def:spam_action{}{}}", conf="probe.conf").returncode == 0

	def environment(self):
		return process.environment(self.groups, self.users, self.dns)

	def _exim(self, *arguments, stdin=b"", conf="exim.conf"):
		return subprocess.run([str(self.program), "-C", str(self.dir / conf), *arguments], input=stdin,
		                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.dir,
		                      env=self.environment(), timeout=process.PATIENCE * 3, **process.run_as())

	def expand(self, text, conf="exim.conf"):
		"""Run of `exim -be text`; the exit code tells whether it expands."""
		done = self._exim("-be", text, conf=conf)
		if b"Failed: " in done.stdout:
			done.returncode = 1
		return done

	def version(self):
		"""Release as a tuple, (4, 96); None where it does not say."""
		found = re.search(rb"Exim version (\d+)\.(\d+)", self._exim("-bV", conf="probe.conf").stdout)
		return found and (int(found[1]), int(found[2]))

	def facts(self):
		"""What is particular to its release."""
		return facts.EximFacts(self.version(), patched=self.has("Rspamd_reply_safety"))

	def has(self, word):
		"""Does `exim -bV` name this among what is compiled in?"""
		return word.encode() in self._exim("-bV", conf="probe.conf").stdout.split()

	def needs(self, *options):
		"""Skip the test unless this Exim has these options of its main section."""
		for name in options:
			if name not in self.known:
				raise packages.Unavailable(f"{self.program.name} {self.version()} has no {name}")

	def start(self):
		self.spawn([self.program, "-C", self.conf, "-bdf"], self.environment())
		self.await_ready(self._answers)
		return self

	def _answers(self):
		try:
			smtp.Smtp(self.port, helo=None).close()
			return True
		except (OSError, AssertionError):
			return False

	# Mail in.

	def connect(self, **options):
		"""An smtp.Smtp connection; host="::1" for IPv6, source=, helo= …"""
		return smtp.Smtp(self.port, **options)

	def send(self, message, **options):
		"""One message in a connection of its own; Exim's last reply."""
		with self.connect() as connection:
			return connection.send(message, **options)

	def command(self, *arguments, stdin=b""):
		"""Run Exim with these arguments; a CompletedProcess with all its output."""
		return self._exim(*arguments, stdin=stdin)

	def submit(self, message, sender, *recipients):
		"""Local submission, without SMTP; returns the message id."""
		before = set(self.queue())
		done = self._exim("-oi", "-f", sender, "--", *recipients, stdin=message)
		assert done.returncode == 0, done.stdout
		new = set(self.queue()) - before
		assert len(new) == 1, f"{len(new)} new messages: {done.stdout}"
		return new.pop()

	def dialogue(self, mode, *lines, arguments=()):
		"""Run `exim -bs` or `-bh ADDRESS` on these lines; all its output.

		A line is sent when the one before has its reply, as Exim asks.
		"""
		errors = self.dir / "dialogue.err"
		with open(errors, "wb") as log, subprocess.Popen(
				[str(self.program), "-C", str(self.conf), *mode.split(), *arguments], stdin=subprocess.PIPE,
				stdout=subprocess.PIPE, stderr=log, cwd=self.dir, env=self.environment(),
				**process.run_as()) as exim:
			said = [_reply(exim.stdout)]
			for line in lines:
				if said[-1].startswith(b"354") and line != ".":
					exim.stdin.write(line.encode("utf-8", "surrogateescape") + b"\r\n")
					continue
				exim.stdin.write(line.encode("utf-8", "surrogateescape") + b"\r\n")
				exim.stdin.flush()
				said.append(_reply(exim.stdout))
			exim.stdin.close()
		return (b"".join(said) + errors.read_bytes()).decode(errors="replace")

	# What became of it.

	def queue(self):
		"""Ids of the messages in the queue."""
		return [f.name[:-2] for f in (self.dir / "spool" / "input").glob("*-H")]

	def delivered(self, message_id):
		"""Deliver a message of the queue; it, parsed (its headers as str)."""
		return email.message_from_bytes(self.delivered_bytes(message_id), policy=email.policy.compat32)

	def delivered_bytes(self, message_id):
		path = self.dir / "delivered" / message_id
		if not path.exists():
			done = self.deliver(message_id)
			assert path.exists(), f"{message_id} was not delivered: {done.stdout.decode()}"
		return path.read_bytes()

	def deliver(self, message_id):
		"""Try to deliver a message of the queue, a frozen one too."""
		return self._exim("-M", message_id)

	def seen(self):
		"""Exim's variables after each scan so far: dicts of bytes."""
		return parse_seen(self.main_log())

	def main_log(self):
		path = self.dir / "log" / "mainlog"
		return path.read_text(errors="replace") if path.exists() else ""

	def panic_log(self):
		path = self.dir / "log" / "paniclog"
		return path.read_text(errors="replace") if path.exists() else ""

	def logs(self):
		return [*super().logs(), *((f"exim {name}", self.dir / "log" / name)
		                           for name in ("mainlog", "rejectlog", "paniclog"))]


# Record, then let exim-conf's drop-in ACL decide: Exim scans a message once,
# so both meet the same verdict.
SCAN_AND_DECIDE = """
	warn
		spam = nobody:true
		acl = acl_seen
	require
		acl = acl_check_spam
	accept
"""


@functools.cache
def release():
	"""The release of the Exim in use, as (4, 96)."""
	folder = process.temp_dir("exim-release")
	try:
		return Exim(folder).version()
	finally:
		process.remove(folder)


def exim_with_drop_in_acl(folder, spamd_address):
	"""An Exim that scans and records, and decides by exim-conf/acl_check_spam."""
	acl, headers = (process.reachable(packages.SOURCE_TREE / "exim-conf" / name)
	                for name in ("acl_check_spam", "before-4.82.filter"))
	macros = "CHECK_SPAM_RELAY_HOSTS = :\n"
	if release() < (4, 82):
		macros += f"CHECK_SPAM_BEFORE_4_82 = yes\nsystem_filter = {headers}\n"
	return Exim(folder, spamd_address, acl_data=SCAN_AND_DECIDE, acl_not_smtp="accept", macros=macros,
	            acls=f".include {acl}\n")

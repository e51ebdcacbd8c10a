"""The second half of ./quickstart: mail of all kinds through Exim and rspamd.

$SHIM is the rspamd-shim to use.  Ends with a line that says how many of
rspamd's six actions reached Exim in both of its modes.
"""

import contextlib
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from harness import SOURCE_TREE, Rspamd, Shim, Unavailable, exim_with_drop_in_acl, process	# noqa: E402

ACTIONS = ("no action", "greylist", "add header", "rewrite subject", "soft reject", "reject")
MODES = ((True, "spamd_address with variant=rspamd"), (False, "plain spamd_address, as for SpamAssassin\n"
          "($spam_action is Exim's own there, reject or no action; rspamd's is the report's first line)"))


def say(text):
	print(text, flush=True)


def file_name(action):
	return f"tests/mail/{action.replace(' ', '-')}.eml"


def show(exim, action, mail, reply):
	"""Tell what happened to one message; was it what should?"""
	scans = exim.seen()
	seen = scans[-1] if scans else {}
	say(f"  {file_name(action)} ({len(mail)} bytes)")
	for name in ("spam_action", "spam_score", "spam_score_int", "spam_bar"):
		say(f"      ${name:15} {seen.get(name, b'(not known to this Exim)').decode(errors='replace')}")
	report = [line.strip() for line in seen.get("spam_report", b"").decode(errors="replace").split("\n")]
	shown = report if len(report) <= 5 else [*report[:4], "…", report[-1]]
	for i, line in enumerate(shown):
		say(f"      {'' if i else '$spam_report':16} {line}")
	say(f"      Exim to sender   {reply.code} {' / '.join(reply.lines)}")
	if reply.code == 250:
		got = exim.delivered(reply.message_id())
		for name, value in got.items():
			if name.lower().startswith("x-spam") or (name == "Subject" and action == "rewrite subject"):
				say(f"      delivered with   {name}: {' '.join(str(value).split())[:100]}")
	return report[0] == f"Action: {action}" and report[-1].startswith("Report-End: ")


def run(servers):
	"""The set of actions that reached Exim in every mode."""
	def start(factory, *arguments, **options):
		folder = process.temp_dir("quickstart")
		servers.callback(process.remove, folder)
		server = factory(folder, *arguments, **options)
		servers.callback(server.stop)
		return server.start()

	say("quickstart: unpacking and starting rspamd (its first start takes some ten seconds)")
	rspamd = start(Rspamd)
	say("quickstart: starting rspamd-shim")
	shim = start(Shim, backend=rspamd.url)
	arrived = set(ACTIONS)
	for variant, title in MODES:
		say(f"quickstart: starting Exim, {title}")
		exim = start(exim_with_drop_in_acl, shim.spamd_address(variant))
		say(f"\nmail through Exim, {title}:")
		for action in ACTIONS:
			mail = (SOURCE_TREE / file_name(action)).read_bytes()
			reply = exim.send(mail)
			if not show(exim, action, mail, reply):
				arrived.discard(action)
		say("")
	return arrived


def main():
	try:
		with contextlib.ExitStack() as servers:
			arrived = run(servers)
	except Unavailable as why:
		say(f"quickstart: cannot go on: {why}")
		say("quickstart: Exim and rspamd are taken from Debian's packages, which needs apt-get, dpkg-deb "
		    "and a network the first time.")
		return 1
	left = process.left_behind()
	for pid, command in left:
		say(f"quickstart: still running: {pid} {command}")
	say(f"quickstart: {len(arrived)} of {len(ACTIONS)} actions reached Exim")
	return 0 if len(arrived) == len(ACTIONS) and not left else 1


sys.exit(main())

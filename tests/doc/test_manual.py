"""manual.awk, and the pages that it makes."""

import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

TREE = pathlib.Path(__file__).resolve().parents[2]
MANUAL = TREE / "doc" / "manual"
PAGES = sorted(path.name.removesuffix(".in") for path in MANUAL.glob("*.in"))

# a source without a fault, for those that are put in
KEYS = """part: LIMITS
text: What there is.

section: listen
title: 127.0.0.1:783
argument: address
text: An address.

key: listen.tell
type: boolean
default: true
text: Whether.

key: workers
type: number
range: 1 to 256
default: 1
unit: in all
text: Processes.
"""
OPTIONS = """option: --help
help: write this, and exit
"""


def awk(*arguments, program=("awk",), folder=MANUAL):
	return subprocess.run([*program, *arguments], cwd=folder, capture_output=True, text=True)


def page(name):
	"""One of the pages, in mdoc."""
	return awk("-v", "form=page", "-f", "manual.awk", "keys", "options", f"{name}.in").stdout


def section(name, title):
	"""A section of a page, in mdoc."""
	return re.search(rf"^\.Sh {title}$(.*?)(?=^\.Sh |\Z)", page(name), re.M | re.S)[1]


def terms(mdoc):
	"""The words of the heads of a page's lists."""
	heads = re.findall(r"^\.It (.*)$", mdoc, re.M)
	return {word for head in heads for word in re.split(r"[ ,]+", head) if not re.fullmatch(r"|Ar|Cm|Dv|Ev|Fl", word)}


def mandoc(*arguments, text):
	if not shutil.which("mandoc"):
		raise unittest.SkipTest("mandoc is not there (Debian: mandoc)")
	return subprocess.run(["mandoc", *arguments], input=text, capture_output=True, text=True)


def rendered(text):
	"""A page as its reader sees it, in ASCII, without emphasis and wrapping."""
	out = mandoc("-T", "ascii", "-O", "width=300", text=text).stdout
	return re.sub(r".\x08", "", out).replace("`", "'")


class Generator(unittest.TestCase):
	def made(self, form, keys=KEYS, options=OPTIONS, template="@KEYS@\n@OPTIONS@\n@SYNOPSIS@\n"):
		with tempfile.TemporaryDirectory() as folder:
			for name, text in (("keys", keys), ("options", options), ("page.in", template)):
				pathlib.Path(folder, name).write_text(text)
			files = ["keys", "options"] + ["page.in"] * (form == "page")
			return awk("-v", f"form={form}", "-f", str(MANUAL / "manual.awk"), *files, folder=folder)

	def test_no_fault(self):
		for form in ("sample", "help", "list", "page"):
			run = self.made(form)
			self.assertEqual((run.returncode, run.stderr), (0, ""), form)

	def test_faults(self):
		"""Each is told with its file and line, and nothing is made."""
		for old, new, told in (
			("unit: in all", "units: in all", "18: unknown field: units"),
			("range: 1 to 256", "Range 1", "16: not a field: Range 1"),
			("range: 1 to 256", "type: list", "16: a second type in this stanza"),
			("key: workers", "\tafter all\nkey: workers", "14: a line without a field"),
			("key: workers", "range: 1\n\nkey: workers", "14: a stanza begins with part, section or key"),
			("key: workers", "key: listen.tell", "14: a second key listen.tell"),
			("key: workers", "key: backend.verify", "14: the section backend is not begun"),
			("type: number\n", "", "14: no such type: "),
			("type: number", "type: numbers", "14: no such type: numbers"),
			("type: number", "type: word", "14: no words"),
			("default: 1\n", "", "14: either default or unset"),
			("default: 1\n", "default: 1\nunset: none\n", "14: either default or unset"),
			("default: 1\n", "unset: none\n", "14: no sample"),
			("text: Processes.\n", "", "14: no text"),
			("argument: address\n", "", "4: a section has a title and an argument"),
		):
			self.assertEqual(KEYS.count(old), 1, old)
			run = self.made("sample", KEYS.replace(old, new))
			self.assertEqual((run.returncode, run.stdout, run.stderr), (1, "", f"keys:{told}\n"))
		run = self.made("page", KEYS.replace("Processes.", "A `literal."))
		self.assertIn("keys:14: an odd number of `", run.stderr)
		run = self.made("page", KEYS.replace("Processes.", "(`literal`)"))
		self.assertIn("keys:14: a `literal' stands alone", run.stderr)
		run = self.made("help", options="option: --help\n")
		self.assertIn("options:1: no help", run.stderr)

	def test_text_is_only_text(self):
		"""Nothing that a text says is taken for markup."""
		words = ["'quoted", ".Sh", "end. 'quoted", "end. .Sh", "\\fBbold", "a\\(dqb", "-", "--", "100%", "\"x\""]
		keys = KEYS.replace("Processes.", "A " + " B ".join(words) + " C `Sh` D `.` E `a b\"c\\d` F `-x` G `Nm:`, H.")
		text = rendered(f".Dd November 1, 2026\n.Dt X 8\n.Os\n.Sh NAME\n.Nm x\n.Nd y\n{self.made('page', keys, template='@KEYS@').stdout}")
		text = " ".join(text.split())
		self.assertIn("A " + " B ".join(words) + " C 'Sh' D '.' E 'a b\"c\\d' F -x G 'Nm:', H.", text)

	def test_help_is_a_string_in_c(self):
		run = self.made("help", options='option: --help\nhelp: write "this" \\ that\n')
		self.assertIn(r'write \"this\" \\ that\n', run.stdout)

	def test_any_awk(self):
		"""Every awk that is there makes the same."""
		awks = [command for command in (["mawk"], ["gawk", "--posix"], ["original-awk"], ["busybox", "awk"])
		        if shutil.which(command[0]) and awk("BEGIN { exit 0 }", program=command).returncode == 0]
		if not awks:
			self.skipTest("no other awk is there")
		for arguments in (("-v", "form=sample", "-f", "manual.awk", "keys"),
		                  ("-v", "form=help", "-f", "manual.awk", "options"),
		                  *(("-v", "form=page", "-f", "manual.awk", "keys", "options", f"{name}.in") for name in PAGES)):
			expected = awk(*arguments)
			self.assertEqual((expected.returncode, expected.stderr), (0, ""))
			for command in awks:
				self.assertEqual(awk(*arguments, program=command).stdout, expected.stdout, command)

	def test_folder_of_the_configuration(self):
		program = ("awk", "-v", "sysconfdir=/opt/etc", "-f", "manual.awk")
		made = {name: awk("-v", "form=page", "keys", "options", f"{name}.in", program=program).stdout for name in PAGES}
		made.update({form: awk("-v", f"form={form}", "keys", "options", program=program).stdout for form in ("sample", "help")})
		for name, text in made.items():
			self.assertNotIn("@sysconfdir@", text, name)
			if name != "exim-rspamd-patch.1":
				self.assertIn("/opt/etc/rspamd-shim.", text.replace("\\-", "-"), name)


class Pages(unittest.TestCase):
	def test_lint(self):
		for name in PAGES:
			run = mandoc("-T", "lint", "-W", "warning", text=page(name))
			self.assertEqual((run.returncode, run.stdout), (0, ""), name)

	def test_references(self):
		"""Our pages name our pages by their right sections."""
		for name in PAGES:
			for other, number in re.findall(r"^\.Xr (\S+) (\d)", page(name), re.M):
				if "rspamd-" in other:
					self.assertIn(f"{other}.{number}", PAGES, name)

	def test_fields_of_the_log(self):
		"""The request's line, and all words of outcome, failure and envelope."""
		text = (TREE / "shim" / "account.c").read_text()
		fields = set(re.findall(r'(?:text_)?field\(\w+, "(\w+)"', text))
		fields |= {name for words in re.findall(r'"([^"\n]*)"', text) for name in re.findall(r" (\w+)=", words)}
		self.assertGreater(len(fields), 20)
		log = section("rspamd-shim.8", "LOG")
		self.assertEqual(terms(log), fields)
		words = set(re.findall(r'return "([\w-]+)"', re.search(r"failure_name\(.*?^\}", (TREE / "shim/outcome.c").read_text(), re.M | re.S)[0]))
		words -= {"none", "unknown"}
		words |= {word for word in re.findall(r'envelope_from\s*=([^;]*);', (TREE / "shim/session.c").read_text()) for word in re.findall(r'"([\w-]+)"', word)}
		words |= set(re.findall(r'outcome=([a-z-]+)', text)) | {"unscanned", "error"}
		said = set(re.findall(r"^\.(?:P[oq] )?Cm ([\w\\-]+)", log, re.M))
		self.assertGreater(len(words), 18)
		self.assertEqual({word for word in words if word not in {s.replace("\\", "") for s in said}}, set())

	def test_exit_codes(self):
		"""Those that main and the supervisor's part can end with."""
		numbers = dict(OK=0, USAGE=64, DATAERR=65, NOINPUT=66, NOUSER=67, NOHOST=68, UNAVAILABLE=69, SOFTWARE=70, OSERR=71, OSFILE=72, CANTCREAT=73, IOERR=74, TEMPFAIL=75, PROTOCOL=76, NOPERM=77, CONFIG=78)
		names = set()
		for path in (TREE / "shim").glob("*.c"):
			# these write codes of spamd's protocol, which are none of the process
			if path.stem not in ("outcome", "spamd_reply", "rspamc_reply"):
				names |= set(re.findall(r"\bEX_([A-Z]+)\b", path.read_text()))
		said = set(map(int, re.findall(r"^\.It (\d+)$", section("rspamd-shim.8", "EXIT STATUS"), re.M)))
		self.assertEqual(said, {numbers[name] for name in names})

	def test_signals(self):
		text = (TREE / "shim" / "supervisor.c").read_text()
		taken = set(re.findall(r"sigaddset\(.*, (SIG[A-Z0-9]+)\)", text)) - {"SIGCHLD"}
		self.assertTrue(taken)
		self.assertEqual(terms(section("rspamd-shim.8", "SIGNALS")), taken)

	def test_environment(self):
		"""The variables that are looked at, directly or by a table of their names."""
		taken = set()
		for path in (TREE / "shim").glob("*.c"):
			text = path.read_text()
			if "getenv(" in text:
				taken |= set(re.findall(r'getenv\("(\w+)"\)', text)) | set(re.findall(r'"([A-Z]+_[A-Z]+)"', text))
		self.assertTrue(taken)
		self.assertEqual(terms(section("rspamd-shim.8", "ENVIRONMENT")), taken)

	def test_patch_tool(self):
		"""Its commands, options and exit codes, and the topics that there are."""
		tool = TREE / "patches" / "exim-rspamd-patch"
		text = subprocess.run([str(tool), "--help"], capture_output=True, text=True, check=True).stdout
		mdoc = page("exim-rspamd-patch.1")
		for command in re.findall(r"exim-rspamd-patch ([a-z]+)", text):
			self.assertRegex(mdoc, rf"(?m)^\.(It )?Cm {command}\b")
		for option in re.findall(r"--([a-z]+)", text):
			self.assertRegex(mdoc, rf"(?m)^\.It Fl -{option}\b")
		said = set(re.findall(r"^\.It (\d+)$", section("exim-rspamd-patch.1", "EXIT STATUS"), re.M))
		self.assertEqual(said, set(re.findall(r"^EX_[A-Z]+=(\d+)$", tool.read_text(), re.M)) | {"0"})
		topics = {path.name[3:-6] for path in (TREE / "patches").glob("*/*.patch")}
		self.assertEqual({topic for topic in topics if f".It Cm {topic}\n" in mdoc}, topics)

"""doc/manual says what the daemon does: keys, defaults, options, log line.

The manuals, the sample of the configuration and --help are made of it.
"""

import re
import shutil
import subprocess
import unittest

from harness import Case, packages, shim

SHIM = packages.SOURCE_TREE / "shim"
MANUAL = packages.SOURCE_TREE / "doc" / "manual"
# the types of the tables in shim/conf*.c, and those of the manual
TYPES = {
	"STR": {"string", "file", "size", "word"},
	"STR_LIST": {"list"},
	"BOOL": {"boolean"},
	"INT": {"number"},
	"FLOAT": {"number", "seconds"},
}


def made(form, *files):
	"""What manual.awk makes of the files."""
	return subprocess.run(["awk", "-v", f"form={form}", "-f", "manual.awk", *files],
	                      cwd=MANUAL, capture_output=True, text=True, check=True).stdout


class Key:
	"""A key of the manual: one for each section where it may stand."""

	def __init__(self, line):
		name, self.type, self.default, self.sample, self.range, self.words, also = line.split("\t")
		self.section, _, self.name = name.rpartition(".")
		self.sections = [self.section, *also.split()]


def documented():
	return [Key(line) for line in made("list", "keys").splitlines()]


def known():
	"""(section, key) → type, of the tables that the daemon reads the file by."""
	text = "".join(path.read_text() for path in sorted(SHIM.glob("conf*.c")))
	text = re.sub(r"/\*.*?\*/", "", text, flags=re.S).replace("\\\n", " ")
	macros = dict(re.findall(r"^#define (\w+)\s+(.*CFG_.*)$", text, re.M))
	tables = dict(re.findall(r"cfg_opt_t (\w+)\[\] = \{(.*?)\n\};", text, re.S))
	for name in tables:
		for macro, body in macros.items():
			tables[name] = re.sub(rf"\b{macro}\b", lambda _, body=body: body, tables[name])
	where = {table: name for body in tables.values() for name, table in re.findall(r'CFG_SEC\("(\w+)", (\w+)', body)}
	found = {}
	for table, body in tables.items():
		keys = re.findall(r'CFG_(?!SEC)([A-Z_]+)\("(\w+)"', body)
		assert len(keys) == len(re.findall(r"CFG_(?!SEC|END)[A-Z_]+\(", body)), f"not understood: {table}"
		assert "options" in table, table
		found.update({(where.get(table, ""), key): kind for kind, key in keys})
	return found


def parse_dump(text):
	"""(section, key) → value, as --dump-config writes them."""
	found, section = {}, ""
	for line in text.splitlines():
		if begin := re.fullmatch(r"(\w+) '.*' \{", line):
			section = begin[1]
		elif line == "}":
			section = ""
		else:
			key, _, value = line.strip().partition(" = ")
			found[section, key] = value
	return found


def plain(value):
	"""A value without its quotes; a size in bytes."""
	value = re.sub(r"[\"' ]", "", value)
	size = re.fullmatch(r"(\d+)([KMG])", value)
	if size:
		value = str(int(size[1]) << {"K": 10, "M": 20, "G": 30}[size[2]])
	return str(float(value)) if re.fullmatch(r"[\d.]+", value) and value != "0666" else value


class Sample(Case):
	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		cls.keys = documented()
		# section → the address that the sample has for it
		cls.titles = dict(re.findall(r'^#(\w+) "(.*)" \{$', made("sample", "keys"), re.M))

	def run_shim(self, text, argument):
		path = self.folder("configuration") / "rspamd-shim.conf"
		path.write_text(text)
		return subprocess.run([str(shim.binary()), "-c", str(path), argument], capture_output=True, text=True)

	def dump(self, text):
		run = self.run_shim(text, "--dump-config")
		self.assertEqual((run.returncode, run.stderr), (0, ""))
		return parse_dump(run.stdout)

	def with_files(self, text):
		"""A configuration whose files are there."""
		if not shutil.which("openssl"):
			raise unittest.SkipTest("the command openssl is not installed: no certificates")
		folder = self.folder("files")
		both, certificate, password = folder / "both.pem", folder / "certificate.pem", folder / "password"
		subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
		                "-keyout", str(both), "-out", str(certificate), "-days", "2", "-subj", "/CN=test"],
		               check=True, capture_output=True)
		both.write_text(both.read_text() + certificate.read_text())
		password.write_text("secret\n")
		password.chmod(0o600)
		text = re.sub(r'^(\t?(?:certificate|key|client_ca|ca_file) = )".*"$', rf'\1"{both}"', text, flags=re.M)
		return re.sub(r'^(\t?password_file = )".*"$', rf'\1"{password}"', text, flags=re.M)

	def uncommented(self):
		"""The sample with each of its keys in force."""
		return self.with_files(re.sub(r"^#(?=[^ \n])", "", made("sample", "keys"), flags=re.M))

	def test_every_key_of_the_daemon(self):
		"""doc/manual/keys has the keys that the daemon reads, where it reads them."""
		manual = {(section, key.name): key.type for key in self.keys for section in key.sections}
		daemon = known()
		self.assertEqual(set(manual), set(daemon))
		for where, kind in daemon.items():
			self.assertIn(manual[where], TYPES[kind], where)

	def test_defaults(self):
		"""What --dump-config says without a configuration; the rest is not set."""
		dump = self.dump("".join(f'{section} "{title}" {{\n}}\n' for section, title in self.titles.items()))
		dump.pop(("", "user"), None)		# root has one
		for key in self.keys:
			# a key that may stand in a section is shown there alone
			where = next(((s, key.name) for s in key.sections if (s, key.name) in dump), None)
			if key.default:
				self.assertIsNotNone(where, f"{key.name}: not in the dump")
				self.assertEqual(plain(dump[where]), plain(key.default), key.name)
			else:
				self.assertIsNone(where, f"{key.name} = {dump.get(where)}, and the manual says that it is not set")

	def test_all_of_it_is_right(self):
		"""The sample as it is, and with each of its lines in force."""
		for text in (made("sample", "keys"), self.uncommented()):
			run = self.run_shim(text, "--check-config")
			self.assertEqual((run.returncode, run.stderr), (0, ""))

	def test_examples_of_the_pages(self):
		"""Each configuration in a display of the manuals is right."""
		seen = 0
		for page in ("rspamd-shim.8.in", "rspamd-shim.conf.5.in"):
			for text in re.findall(r"^\.Bd -literal.*\n((?:.*\n)*?)\.Ed$", made("page", "keys", "options", page), re.M):
				if "{\n" not in text:
					continue
				seen += 1
				run = self.run_shim(self.with_files(text), "--check-config")
				self.assertEqual((run.returncode, run.stderr), (0, ""), text)
		self.assertGreater(seen, 4)

	def test_the_dump_forgets_nothing(self):
		"""Each key of the sample is in its dump, with the sample's value."""
		text = self.uncommented()
		dump = self.dump(text)
		for key in self.keys:
			where = next(((s, key.name) for s in key.sections if (s, key.name) in dump), None)
			self.assertIsNotNone(where, f"{key.name}: not in the dump")
			if key.type != "file" and key.name != "log":		# daemon = ... makes it syslog
				self.assertEqual(plain(dump[where]), plain(key.sample), key.name)

	def with_value(self, key, value):
		line = f"{key.name} = {value}\n"
		if key.name == "max_message_size":
			line += "max_memory = 8G\n"		# must not be less
		return f'{key.section} "{self.titles[key.section]}" {{\n\t{line}}}\n' if key.section else line

	def test_ranges(self):
		"""The ends of a range are taken; what is beyond is refused."""
		for key in self.keys:
			if not key.range:
				continue
			least, most = key.range.split(" to ")
			for value, good in ((least, True), (most, True), (self.beyond(most), False), (f"-{least}" if float(least) else "-1", False)):
				run = self.run_shim(self.with_value(key, value), "--check-config")
				self.assertEqual(run.returncode, 0 if good else 78, f"{key.name} = {value}: {run.stderr}")

	@staticmethod
	def beyond(number):
		digits = re.match(r"\d+", number)[0]
		return str(int(digits) + 1) + number[len(digits):]

	def test_words(self):
		"""Each word of the manual is taken, and the daemon knows no other."""
		for key in self.keys:
			for word in key.words.split():
				value = f"{{{word}}}" if key.type == "list" else word
				run = self.run_shim(self.with_value(key, value), "--check-config")
				self.assertEqual((run.returncode, run.stderr), (0, ""), f"{key.name} = {value}")
			if key.words:
				run = self.run_shim(self.with_value(key, "{bogus}" if key.type == "list" else "bogus"), "--check-config")
				self.assertEqual(run.returncode, 78, key.name)
				offered = re.search(r"one of: (.*)", run.stderr)[1]
				self.assertEqual(offered.split(", "), key.words.split(), key.name)


class Options(unittest.TestCase):
	def test_every_option(self):
		"""doc/manual/options has those that the daemon's table has."""
		text = (SHIM / "options.c").read_text()
		table = set(re.findall(r'^\t\{ "([a-z-]+)", (no|required)_argument', text, re.M))
		manual = set()
		for heads in re.findall(r"^option: (.*)$", (MANUAL / "options").read_text(), re.M):
			option = re.fullmatch(r"(?:-[a-z], )?--([a-z-]+)( [A-Z]+)?", heads)
			manual.add((option[1], "required" if option[2] else "no"))
		self.assertEqual(manual, table)

	def test_help(self):
		"""--help is what is made of it."""
		run = subprocess.run([str(shim.binary()), "--help"], capture_output=True, text=True, check=True)
		for head in re.findall(r"^option: (.*)$", (MANUAL / "options").read_text(), re.M):
			self.assertRegex(run.stdout, rf"(?m)^ +{re.escape(head)} ")
		self.assertLessEqual(max(map(len, run.stdout.splitlines())), 79)

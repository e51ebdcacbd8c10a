"""What --dump-config writes means the same, and faults are lines of text."""

import subprocess

from harness import Case
from harness import process, shim as shim_module

EX_CONFIG = 78


class Configuration(Case):
	def load(self, text, option):
		"""(exit code, stdout, stderr) with the file TEXT and one option."""
		path = self.folder("conf") / "shim.conf"
		path.write_text(text)
		return self.run_shim("-c", str(path), option)

	def run_shim(self, *arguments):
		done = subprocess.run([str(process.reachable(shim_module.binary())), *arguments],
		                      stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=process.PATIENCE,
		                      env=process.environment(), **process.run_as())
		return done.returncode, done.stdout, done.stderr

	def dump(self, text):
		code, out, err = self.load(text, "--dump-config")
		self.assertEqual((code, err), (0, ""), text)
		self.assertEqual(self.load(out, "--dump-config"), (0, out, ""), "of what was dumped")
		return out

	def test_numbers_keep_all_their_digits(self):
		for key, value in (("timeout_idle", 1.23456789), ("timeout_wait", 2999.99999), ("health_interval", 0.0123456789),
		                   ("slow_start", 1 / 3), ("task_timeout", 7.0000001), ("spam_threshold", 4.999999999999999),
		                   ("spam_threshold", -1e+30)):
			with self.subTest(key):
				line = next(line for line in self.dump(f"{key} = '{value!r}'\n").splitlines() if f"{key} = " in line)
				self.assertEqual(float(line.partition("=")[2].strip(" '")), value)
		self.assertIn("timeout_idle = 0.1\n", self.dump("timeout_idle = 0.1\n"), "but no more than they need")

	def test_large_sizes(self):
		for size in ("1024G", "4294967295G"):
			with self.subTest(size):
				self.assertIn(f"max_memory = {int(size[:-1]) << 30}\n", self.dump(f"max_memory = {size}\n"))
		for size in ("4294967296G", "99999999999999999999", "17179869184G"):
			with self.subTest(size):
				code, _, err = self.load(f"max_memory = {size}\n", "--check-config")
				self.assertEqual(code, EX_CONFIG)
				self.assertIn("max_memory", err)

	def test_a_threshold_is_a_number(self):
		for value in ("nan", "inf", "-inf"):
			with self.subTest(value):
				code, _, err = self.load(f"spam_threshold = {value}\n", "--check-config")
				self.assertEqual(code, EX_CONFIG)
				self.assertIn("spam_threshold", err)

	def test_a_fault_is_one_line(self):
		for text in ('listen "a\x1b[31m\nb" { }\n', "log = 'x\ny\x07'\n", "workers = 'a\nb'\n"):
			with self.subTest(text):
				code, _, err = self.load(text, "--check-config")
				self.assertEqual(code, EX_CONFIG)
				self.assertTrue(err.endswith("\n"))
				for line in err[:-1].split("\n"):
					self.assertRegex(line, r"\Arspamd-shim: [^\x00-\x1f\x7f]+\Z")

	def test_spellings_of_actions(self):
		"""rspamd's configuration has another than its replies."""
		self.assertIn("spam_actions = {'add header', 'rewrite subject', 'soft reject', 'reject', 'my_own'}\n",
		              self.dump("spam_actions = {add_header, rewrite_subject, soft_reject, reject, my_own}\n"))

	def test_lines_of_faults(self):
		"""Whatever stands before it."""
		for before in ("", "# comment\n", "#\n", "#\n#\n\n", "// comment\n//\n", "/* a\n * b\n */", "/**/ /***/\n",
		               "log = stderr # \"\n",
		               "pid_file = '#\n//\n/*'\n", 'pid_file = "a\\\n\\"b"\n', "backend https://b:2 { }\n",
		               "pid_file = /a//b/*\n", "pid_file = ${A:-#}\n", "log = 'stderr'/* x\n*/\n"):
			with self.subTest(before):
				code, _, err = self.load(before + "bogus = 1\n", "--check-config")
				self.assertEqual(code, EX_CONFIG)
				line = (before + "bogus").count("\n") + 1
				self.assertRegex(err, rf"\Arspamd-shim: \S+:{line}: no such option 'bogus'\n\Z")

	def test_what_has_no_end(self):
		for text, line in (("\nlisten 'a:1' {\n\ttell = no\n# }\nlog = stderr\n", 2), ("\n\npid_file = 'a\nb\n", 3),
		                   ('log = stderr\npid_file = "a\\"\n', 2), ("/* a\n*", 1), ("log = stderr\n/*/\n", 2),
		                   ("listen 'a:1' { }\nspam_actions = {a,\n}}\nspam_actions = {\n", 4)):
			with self.subTest(text):
				code, _, err = self.load(text, "--check-config")
				self.assertEqual(code, EX_CONFIG)
				self.assertRegex(err, rf"\Arspamd-shim: \S+:{line}: .* has no end\n\Z")

	def test_no_text(self):
		code, _, err = self.load("log = stderr\nuser = 'a\0'\n", "--check-config")
		self.assertEqual(code, EX_CONFIG)
		self.assertRegex(err, r":2: a NUL byte\n\Z")
		code, _, err = self.load("#" * (1 << 20) + "\n", "--check-config")
		self.assertEqual(code, EX_CONFIG)
		self.assertIn("larger than 1 MiB", err)

	def test_nothing_at_all(self):
		"""A file that is being written; a comment says that the defaults are meant."""
		code, _, err = self.load("", "--check-config")
		self.assertEqual(code, EX_CONFIG)
		self.assertIn("is empty", err)
		code, _, err = self.load("#\n", "--check-config")
		self.assertEqual(code, 0, err)

	def test_an_address_of_nothing(self):
		"""Whatever else is wrong in its section: there is no name to tell it by."""
		for section in ("backend '' { weight = 5555 }", "listen '' { mode = 9 }", "controller '' { ca_file = /nowhere }",
		                "status '' { allow = { x } }"):
			with self.subTest(section):
				code, _, err = self.load(section + "\n", "--check-config")
				self.assertEqual(code, EX_CONFIG)
				self.assertIn("an empty ", err)
				self.assertNotIn("(null)", err)

	def test_nothing_is_named_twice(self):
		for option, address in (("-l", "127.0.0.1:7830"), ("-b", "http://127.0.0.1:1"), ("--controller", "http://127.0.0.1:1")):
			with self.subTest(option):
				code, _, err = self.run_shim("-c", "/dev/null", option, address, option, address, "--check-config")
				self.assertEqual(code, EX_CONFIG)
				self.assertIn(f"{address}: {option} names this address twice", err)

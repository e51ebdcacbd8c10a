"""tests/skips: its parser, what it allows, and that its lines can be true."""

import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

from common import counts, skips, suite

TREE = pathlib.Path(__file__).resolve().parents[2]


class File(unittest.TestCase):
	def setUp(self):
		folder = tempfile.TemporaryDirectory()
		self.addCleanup(folder.cleanup)
		self.path = pathlib.Path(folder.name, "skips")

	def write(self, *lines):
		self.path.write_text("".join(f"{line}\n" for line in lines))
		return self.path

	def allowed(self, *lines, suite="integration", release="12", holds=()):
		return skips.Allowed(suite, self.write(*lines), release, holds)


class Parser(File):
	def test_a_line(self):
		line, = skips.read(self.write("# words", "", "12,13+user+EXIM run-tests/build with clang: clang: is *not there "))
		self.assertEqual(line, (3, "12,13+user+EXIM", {"12", "13"}, {"user", "EXIM"}, "run-tests", "build with clang",
		                        "clang: is *not there"))

	def test_malformed(self):
		for text, why in (("12 integration/test_x.Y", "expected RELEASES"), ("12 integration/test_x.Y: ", "expected RELEASES"),
		                  ("12 test_x.Y: reason", "expected RELEASES"), ("12: integration/a: b", "unknown release '12:'"),
		                  ("bookworm integration/a: b", "unknown release 'bookworm'"), ("12,any integration/a: b", "unknown release"),
		                  ("12+rooot integration/a: b", "unknown condition 'rooot'"), ("12 integrations/a: b", "unknown suite")):
			with self.subTest(text), self.assertRaisesRegex(skips.Malformed, rf"{self.path}:2: {re.escape(why)}"):
				skips.read(self.write("any integration/z: b", text))

	def test_twice(self):
		with self.assertRaisesRegex(skips.Malformed, ":2: is line 1 again"):
			skips.read(self.write("12 doc/a: b", "12  doc/a:  b"))

	def test_release(self):
		for text, expected in (('ID=debian\nVERSION_ID="12"\n', "12"), ("VERSION_CODENAME=forky\nID=debian\n", "testing"),
		                       ('ID=debian\nVERSION_ID="8"\n', None), ('ID=ubuntu\nVERSION_ID="12"\n', None), ("", None)):
			with self.subTest(text):
				self.path.write_text(text)
				self.assertEqual(skips.release(self.path), expected)
		self.assertIsNone(skips.release(self.path / "missing"))


class Names(unittest.TestCase):
	def test_of_unittest(self):
		for test_id, name in (("test_x.A.test_b", "test_x.A.test_b"), ("setUpClass (test_x.A)", "test_x.A"),
		                      ("setUpModule (test_x)", "test_x"), ("test_x.A.test_b [more] (n=1)", "test_x.A.test_b"),
		                      ("tests.integration.test_x.A.test_b", "test_x.A.test_b")):
			self.assertEqual(skips.plain_name(test_id), name)


class Comparison(File):
	def test_release_and_conditions(self):
		for where, fits in (("any", True), ("12", True), ("11,12", True), ("13", False), ("any+user", True), ("12+user+EXIM", True),
		                    ("12+root", False), ("any+user+SPAMC", False)):
			with self.subTest(where):
				allowed = self.allowed(f"{where} integration/test_x: no network", holds=("user", "EXIM"))
				self.assertEqual(allowed.objection("test_x.A.test_b", "no network") is None, fits)

	def test_names(self):
		for pattern, fits in (("test_x.A.test_b", True), ("test_x.A", True), ("test_x", True), ("test_*.test_b", True), ("*", True),
		                      ("test_x.A.test", False), ("test", False), ("x.A.test_b", False), ("test_x.A.test_b.c", False)):
			with self.subTest(pattern):
				self.assertEqual(self.allowed(f"any integration/{pattern}: r").objection("test_x.A.test_b", "r") is None, fits)

	def test_a_class_is_not_its_tests(self):
		self.assertIsNotNone(self.allowed("any integration/test_x.A.test_b: r").objection("test_x.A", "r"))

	def test_reasons(self):
		for pattern, fits in (("no (IPv6)", True), ("no *6) at", True), ("IPv4", False), ("no .IPv6", False)):
			with self.subTest(pattern):
				self.assertEqual(self.allowed(f"any integration/a: {pattern}").objection("a", "has no\n (IPv6) at all") is None, fits)

	def test_other_suites_lines_do_not_count(self):
		self.assertIsNotNone(self.allowed("any packaging/a: r").objection("a", "r"))

	def test_what_to_do_is_said_and_works(self):
		said = self.allowed().objection("test_x.A.test_b", "it is [not]\n there")
		self.assertIn("Repair what is missing, or add a line to tests/skips:\n", said)
		self.assertIsNone(self.allowed(said.splitlines()[-1]).objection("test_x.A.test_b", "it is [not]\n there"))

	def test_a_system_without_a_list(self):
		self.assertIsNone(self.allowed(release=None).objection("a", "r"))

	def test_hints(self):
		"""Of lines that name a release; for others another machine may need them."""
		allowed = self.allowed("12 integration/a: r", "12 integration/b: r", "13 integration/b: r", "any integration/c: r",
		                       "12+SPAMC integration/d: r")
		allowed.objection("a", "r")
		self.assertEqual(len(allowed.hints()), 1)
		self.assertIn("tests/skips:2 was not needed", allowed.hints()[0])

	def test_lines_that_can_never_be_needed(self):
		names = ["test_x.A.test_b", "test_x.A.test_c"]
		for pattern, wrong in (("test_x.A.test_b", 0), ("test_x", 0), ("*.A", 0), ("test_x.A.test_d", 1), ("test_y", 1)):
			with self.subTest(pattern):
				self.assertEqual(len(self.allowed(f"13 integration/{pattern}: r").impossible(names)), wrong)


class Runner(File):
	"""A run with tests/common/suite.py."""

	TEST = """import unittest

class A(unittest.TestCase):
	def test_well(self):
		pass

	def test_skipped(self):
		self.skipTest("no moon")

class B(unittest.TestCase):
	@classmethod
	def setUpClass(cls):
		raise unittest.SkipTest("no sun")

	def test_one(self):
		pass

	def test_two(self):
		pass
"""

	def run_it(self, *lines):
		"""The last line and all output of a run of TEST as suite doc, with lines as tests/skips."""
		folder = self.path.parent / "doc"
		folder.mkdir(exist_ok=True)
		(folder / "test_a.py").write_text(self.TEST)
		program = ("import pathlib, sys; sys.dont_write_bytecode = True; sys.path.insert(0, sys.argv[1]); from common import skips, suite;"
		           "skips.Allowed.__init__.__defaults__ = (pathlib.Path(sys.argv[2]), '12', ['root']);"
		           "sys.exit(suite.main(sys.argv[3], []))")
		done = subprocess.run([sys.executable, "-c", program, TREE / "tests", self.write(*lines), folder], text=True,
		                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
		passed, failed, skipped = counts.parse(done.stdout.splitlines()[-1])
		self.assertEqual(done.returncode, 1 if failed else 0)
		return [passed, failed, skipped], done.stdout

	def test_all_are_allowed(self):
		sums, said = self.run_it("any doc/test_a.A.test_skipped: no moon", "12 doc/test_a.B: no sun")
		self.assertEqual(sums, [1, 0, 3], said)

	def test_one_is_not(self):
		sums, said = self.run_it("any doc/test_a.A.test_skipped: no moon")
		self.assertEqual(sums, [1, 1, 1], said)
		self.assertIn("12  doc/test_a.B: no sun", said)

	def test_another_reason_is_not(self):
		sums, said = self.run_it("any doc/test_a.A.test_skipped: no rain", "12 doc/test_a.B: no sun")
		self.assertEqual(sums, [1, 1, 2], said)

	def test_hints_and_faults_of_the_list(self):
		sums, said = self.run_it("any doc/test_a: no", "12 doc/test_a.A.test_well: why", "13 doc/test_a.A.test_gone: why")
		self.assertEqual(sums, [1, 1, 3], said)
		self.assertIn("hint: tests/skips:2 was not needed", said)
		self.assertIn("FAIL tests/skips:3: there is no such test", said)


class Real(unittest.TestCase):
	"""The file of this source tree."""

	def test_it_is_well_formed(self):
		self.assertGreater(len(skips.read()), 20)

	def test_titles_of_run_tests(self):
		script = (TREE / "run-tests").read_text()
		titles = set(re.findall(r'\bskip "([^"]+)"', script))
		self.assertGreater(len(titles), 2)
		self.assertEqual(skips.Allowed("run-tests").impossible(titles), [])

	def test_every_suite_has_a_folder(self):
		there = {path.parent.name for path in (TREE / "tests").glob("**/run")} | {"run-tests"}
		for line in skips.read():
			self.assertIn(line.suite, there)

	def test_command(self):
		def run(*words):
			return subprocess.run([sys.executable, TREE / "tests/common/skips.py", *words], text=True, stdout=subprocess.PIPE,
			                      stderr=subprocess.STDOUT)
		if skips.release():
			done = run("run-tests/no such check", "it is not there")
			self.assertEqual(done.returncode, 1)
			self.assertIn(f"{skips.release()}  run-tests/no such check: it is not there\n", done.stdout)
		self.assertEqual(run("patches/test_releases.Releases", "EXIM_TREES names no unpacked releases of Exim").returncode, 0)
		self.assertEqual(run("run-tests").returncode, 1)


class Counts(unittest.TestCase):
	def test_both_ways(self):
		self.assertEqual(counts.line(1, 2, 3), "1 passed, 2 failed, 3 skipped")
		self.assertEqual(counts.parse("1 passed, 2 failed, 3 skipped\n"), [1, 2, 3])
		for text in ("", "1 passed, 2 failed", "x 1 passed, 2 failed, 3 skipped", "1 passed, 2 failed, 3 skipped now"):
			self.assertIsNone(counts.parse(text))

	def test_exit_code(self):
		self.assertEqual([counts.exit_code(*n) for n in ((1, 0, 0), (0, 0, 1), (1, 1, 0), (0, 0, 0))], [0, 0, 1, 1])

	def test_a_class_counts_as_its_tests(self):
		tests = list(suite.flatten(unittest.defaultTestLoader.loadTestsFromTestCase(Counts)))
		holder = type("Holder", (), {"id": lambda self: f"setUpClass ({unittest.util.strclass(Counts)})"})()
		self.assertEqual(suite.Weights(tests).of(holder), len(tests))
		self.assertEqual(suite.Weights(tests).of(tests[0]), 1)

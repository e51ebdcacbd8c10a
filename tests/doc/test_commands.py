"""The documents name commands that show what they say: these are there."""

import functools
import os
import pathlib
import re
import subprocess
import unittest

TREE = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*TREE.glob("*.md"), *(path for folder in ("doc", "exim-conf", "mta-conf", "packaging", "patches", "tests")
                                         for path in (TREE / folder).rglob("*.md"))])
PLACEHOLDERS = {"NAME"}


def commands(text):
	"""What stands as code in a document, in a line or in a block, a line each."""
	blocks = re.findall(r"^```\w*\n(.*?)^```$", text, re.M | re.S)
	text = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
	for code in [*(re.sub(r"\s+", " ", span) for span in re.findall(r"`([^`]+)`", text)),
	             *(line for block in blocks for line in block.splitlines())]:
		yield re.split(r"\s{2,}|\s#", code.strip())[0]


def everywhere(pattern):
	"""(document, match) of each command that begins like this."""
	for path in DOCUMENTS:
		for code in commands(path.read_text()):
			match = re.match(pattern, code)
			if match:
				yield path.relative_to(TREE), match


@functools.cache
def integration_tests():
	"""The names of all."""
	return subprocess.run([TREE / "tests/integration/run", "--list"], capture_output=True, text=True, check=True,
	                      env={**os.environ, "SHIM": "/bin/true"}).stdout.split()


class Commands(unittest.TestCase):
	def test_extraction(self):
		text = "x `make\nthis` y\n```\nmake that     does that\nmake it # or not\n```\n`z`\n"
		self.assertEqual(list(commands(text)), ["make this", "z", "make that", "make it"])

	def test_names_of_integration_tests(self):
		self.assertGreater(len(integration_tests()), 500)
		found = 0
		for path, match in everywhere(r"(?:[A-Z_]+=\S+ )*(?:tests/integration/run|run|… (?=mta_|lda)) ?([\w.]+(?: [\w.]+)*)$"):
			for name in set(match[1].split()) - PLACEHOLDERS:
				found += 1
				with self.subTest(f"{path}: {name}"):
					self.assertTrue(any(name in test for test in integration_tests()))
		self.assertGreater(found, 30)

	def test_tests_in_the_table(self):
		"""README: what works and what does not; … stands for the class of the row before."""
		rows = re.findall(r"\| `([\w.…]+)` \|$", (TREE / "README.md").read_text(), re.M)
		self.assertGreater(len(rows), 6)
		for name in rows:
			with self.subTest(name):
				self.assertTrue(any(name.replace("…", "Straight.") in test for test in integration_tests()))

	def test_procmail(self):
		"""README: what stands there is a part of the file that the tests run."""
		block, = re.findall(r"^```procmail\n(.*?)^```$", (TREE / "README.md").read_text(), re.M | re.S)
		recipes = block.split("\n\n")
		self.assertGreater(len(recipes), 1)
		for recipe in recipes:
			self.assertIn(recipe.strip(), (TREE / "mta-conf/lda/procmailrc").read_text())

	def test_make(self):
		text = (TREE / "Makefile.am").read_text()
		own = set(re.findall(r"^([a-z-]+):", text, re.M))
		own |= {name for names in re.findall(r"^\w+_PROGRAMS \+?= (.*)$", text, re.M) for name in names.split()}
		standard = {"all", "install", "uninstall", "check", "dist", "distcheck", "clean"}
		found = 0
		for path, match in everywhere(r"make ([a-z-]+)"):
			found += 1
			with self.subTest(f"{path}: {match[1]}"):
				self.assertIn(match[1], own | standard)
		self.assertGreater(found, 8)

	def test_options(self):
		options = set(re.findall(r"--[a-z-]+", "\n".join(re.findall(r"^option: .*", (TREE / "doc/manual/options").read_text(), re.M))))
		found = 0
		for path, match in everywhere(r"rspamd-shim .*"):
			for option in re.findall(r" (--[a-z-]+)", match[0]):
				found += 1
				with self.subTest(f"{path}: {option}"):
					self.assertIn(option, options)
		self.assertGreater(found, 8)

	def test_programs(self):
		"""Those of the tree, with a path."""
		found = 0
		for path, match in everywhere(r"(?:[A-Z_]+=\S+ )*(\./(?:quickstart|run-tests)|(?:tests|patches|packaging)/[\w./-]+)"):
			found += 1
			with self.subTest(f"{path}: {match[1]}"):
				self.assertTrue(list(TREE.glob(match[1].removeprefix("./"))))
		self.assertGreater(found, 30)


if __name__ == "__main__":
	unittest.main()

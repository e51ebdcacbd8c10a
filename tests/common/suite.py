"""Runs the unittest suites of a folder whose tests need nothing special; see main()."""

import pathlib
import sys
import unittest

from . import counts, skips


def flatten(suite):
	for item in suite:
		if isinstance(item, unittest.TestSuite):
			yield from flatten(item)
		else:
			yield item


def select(tests, names):
	"""Those with one of the texts in their name; all if there is no text."""
	return [test for test in tests if not names or any(name in test.id() for name in names)]


class Weights:
	"""How many tests a result is about: a skip of a class is one of all its tests."""

	def __init__(self, tests):
		self.sizes = {}
		for test in tests:
			name = unittest.util.strclass(type(test))
			self.sizes[name] = self.sizes.get(name, 0) + 1

	def of(self, test):
		return 1 if isinstance(test, unittest.TestCase) else self.sizes.get(skips.plain_name(test.id()), 1)


class Result(unittest.TextTestResult):
	allowed = weights = None		# set by main()

	def __init__(self, *arguments, **options):
		super().__init__(*arguments, **options)
		self.passed = self.skips = 0

	def addSuccess(self, test):
		super().addSuccess(test)
		self.passed += 1

	def addSkip(self, test, reason):
		objection = self.allowed.objection(skips.plain_name(test.id()), reason)
		if objection:
			self.addFailure(test, (AssertionError, AssertionError(objection), None))
		else:
			super().addSkip(test, reason)
			self.skips += self.weights.of(test)


def main(folder, names):
	"""Run the folder's tests with one of the names in theirs; the exit code.

	The folder's name is that of its suite in tests/skips.
	"""
	folder = pathlib.Path(folder)
	everything = list(flatten(unittest.defaultTestLoader.discover(str(folder), top_level_dir=str(folder))))
	tests = select(everything, names)
	Result.allowed, Result.weights = skips.Allowed(folder.name), Weights(everything)
	runner = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Result)
	result = runner.run(unittest.TestSuite(tests))
	failed = len({test.id().split(" (")[0] for test, _ in result.failures + result.errors})
	failed += complain(Result.allowed, everything, whole=not names)
	print(counts.line(result.passed, failed, result.skips), flush=True)
	return counts.exit_code(result.passed, failed, result.skips)


def complain(allowed, everything, whole):
	"""Print what is wrong with tests/skips, and hints after a whole run; the number of faults."""
	wrong = allowed.impossible([skips.plain_name(test.id()) for test in everything])
	for text in wrong:
		print(f"FAIL {text}")
	if whole:
		print("".join(f"{hint}\n" for hint in allowed.hints()), end="")
	return len(wrong)

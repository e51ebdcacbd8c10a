"""Finds and runs the integration tests; a line for each, counts at the end."""

import argparse
import faulthandler
import os
import pathlib
import signal
import sys
import time
import traceback
import unittest

from . import case, process

HERE = pathlib.Path(__file__).resolve().parents[1]
PER_TEST = 600		# seconds after which a test is given up


class GivenUp(Exception):
	"""A test did not come to an end."""


class Result(unittest.TestResult):
	def __init__(self, sizes):
		super().__init__()
		self.sizes = sizes		# tests in each class, for skips of whole classes
		self.passed = self.failed = self.skips = 0
		self.began = time.monotonic()
		self.bad = []

	def startTest(self, test):
		super().startTest(test)
		self.began = time.monotonic()
		self.well = True
		for party in case.active:
			party.mark()
		signal.alarm(PER_TEST)

	def stopTest(self, test):
		signal.alarm(0)
		super().stopTest(test)
		if self.well:
			self.passed += 1
			self.say("ok", test)

	def say(self, word, test, why=""):
		took = time.monotonic() - self.began
		name = test.id().removeprefix("tests.integration.")
		print(f"{word:4} {name} ({took:.1f} s){': ' + why if why else ''}", flush=True)

	def complain(self, test, error):
		self.well = False
		self.failed += 1
		self.bad.append(test.id())
		self.say("FAIL", test)
		print("".join("    " + line for line in
		              "".join(traceback.format_exception(*error)).splitlines(keepends=True)), flush=True)
		for party in case.active:
			print(party.tail(), flush=True)

	def addFailure(self, test, err):
		self.complain(test, err)

	def addError(self, test, err):
		self.complain(test, err)

	def addSubTest(self, test, subtest, err):
		# A subtest is part of its test: the first bad one fails it.
		if err is not None:
			if not self.well:
				self.failed -= 1
			self.complain(subtest, err)

	def addSkip(self, test, reason):
		self.well = False
		count = 1
		if not isinstance(test, unittest.TestCase):
			# setUpClass (module.Class)
			count = self.sizes.get(test.id().partition("(")[2].rstrip(")"), 1)
		self.skips += count
		self.say("skip", test, reason)


def _flatten(suite):
	for item in suite:
		if isinstance(item, unittest.TestSuite):
			yield from _flatten(item)
		else:
			yield item


def _alarm(*_):
	faulthandler.dump_traceback()
	raise GivenUp(f"not done after {PER_TEST} s")


def main():
	parser = argparse.ArgumentParser(prog="tests/integration/run", description=__doc__)
	parser.add_argument("names", nargs="*", help="only tests with one of these texts in their name")
	parser.add_argument("--list", action="store_true", help="print the tests' names and end")
	options = parser.parse_args()
	sys.path.insert(0, str(HERE))
	tests = list(_flatten(unittest.defaultTestLoader.discover(str(HERE), top_level_dir=str(HERE))))
	tests = [t for t in tests if not options.names or any(name in t.id() for name in options.names)]
	if options.list:
		print("\n".join(t.id() for t in tests))
		return 0
	signal.signal(signal.SIGALRM, _alarm)
	# A kill must end the servers too: atexit runs after SystemExit only.
	for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
		signal.signal(number, lambda *_: sys.exit(1))
	sizes = {}
	for test in tests:
		name = unittest.util.strclass(type(test))
		sizes[name] = sizes.get(name, 0) + 1
	result = Result(sizes)
	# TestSuite, not a loop: it runs setUpClass and the cleanups of classes.
	unittest.TestSuite(tests).run(result)
	for party in case._common:
		party.stop()
	left = process.left_behind()
	for pid, command in left:
		print(f"FAIL left behind: {pid} {command[:200]}")
		os.kill(pid, signal.SIGKILL)
	if left:
		result.failed += 1
	if result.bad:
		print("failed:\n" + "\n".join(f"    {name}" for name in dict.fromkeys(result.bad)))
	print(f"{result.passed} passed, {result.failed} failed, {result.skips} skipped", flush=True)
	return 1 if result.failed or not (result.passed or result.skips) else 0

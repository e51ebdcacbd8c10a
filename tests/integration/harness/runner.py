"""Finds and runs the integration tests; a line for each, counts at the end."""

import argparse
import contextlib
import faulthandler
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
import unittest

from . import case, process

HERE = pathlib.Path(__file__).resolve().parents[1]
PER_TEST = 300		# seconds after which a test is given up


_children = []		# the processes of a run in parallel


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


def _break_off(number, _frame):
	"""A signal ends the run, and all that it has started, at once.

	No exception would do: unittest takes them all for a test's failure.
	"""
	for child in _children:
		child.terminate()
	for child in _children:
		# not its wait(): whoever was interrupted may hold the lock of that
		with contextlib.suppress(ChildProcessError):
			os.waitpid(child.pid, 0)
	for party in case.active:
		with contextlib.suppress(Exception):
			party.kill()
	for pid, _ in process.left_behind():
		with contextlib.suppress(ProcessLookupError):
			os.kill(pid, signal.SIGKILL)
	process.remove_all()
	os._exit(128 + number)


def _share(tests, part, parts):
	"""The tests of part (of parts): whole classes, about as many for each."""
	classes = {}
	for test in tests:
		classes.setdefault(unittest.util.strclass(type(test)), []).append(test)
	shares = [[] for _ in range(parts)]
	for _, some in sorted(classes.items(), key=lambda item: (-len(item[1]), item[0])):
		min(shares, key=len).extend(some)
	return sorted(shares[part], key=tests.index)


def _relay(child, sums):
	"""Print a child's output, a test's lines at a time; sums gets its counts."""
	block = []
	for line in child.stdout:
		counts = re.fullmatch(r"(\d+) passed, (\d+) failed, (\d+) skipped\n", line)
		if counts:
			sums.append([int(n) for n in counts.groups()])
			continue
		if re.match(r"ok   |FAIL |skip |failed:", line):
			print("".join(block), end="", flush=True)
			block = []
		block.append(line)
	print("".join(block), end="", flush=True)


def _in_parallel(jobs, names):
	"""Run the tests in several processes; the exit code."""
	sums, relays = [], []
	for part in range(jobs):
		child = subprocess.Popen([sys.executable, str(HERE / "run"), "--part", f"{part}/{jobs}", *names],
		                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace")
		_children.append(child)
		relays.append(threading.Thread(target=_relay, args=(child, sums)))
		relays[-1].start()
	for relay in relays:
		relay.join()
	broken = sum(child.wait() not in (0, 1) for child in _children) + jobs - len(sums)
	passed, failed, skipped = (sum(column) for column in zip(*sums)) if sums else (0, 0, 0)
	print(f"{passed} passed, {failed + broken} failed, {skipped} skipped", flush=True)
	return 1 if failed or broken or not passed + skipped else 0


def main():
	parser = argparse.ArgumentParser(prog="tests/integration/run", description=__doc__)
	parser.add_argument("names", nargs="*", help="only tests with one of these texts in their name")
	parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="run so many at once (2)")
	parser.add_argument("--part", help=argparse.SUPPRESS)
	parser.add_argument("--list", action="store_true", help="print the tests' names and end")
	options = parser.parse_args()
	sys.path.insert(0, str(HERE))
	tests = list(_flatten(unittest.defaultTestLoader.discover(str(HERE), top_level_dir=str(HERE))))
	tests = [t for t in tests if not options.names or any(name in t.id() for name in options.names)]
	if options.list:
		print("\n".join(t.id() for t in tests))
		return 0
	if options.part:
		tests = _share(tests, *map(int, options.part.split("/")))
	for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
		signal.signal(number, _break_off)
	if options.jobs > 1 and not options.part and len({type(test) for test in tests}) > 1:
		return _in_parallel(options.jobs, options.names)
	signal.signal(signal.SIGALRM, _alarm)
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
	# A part may be empty; all of them together may not.
	return 1 if result.failed or not (result.passed or result.skips or options.part) else 0

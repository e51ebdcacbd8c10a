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

from common import counts, skips, suite

from . import case, matrix_table, process

HERE = pathlib.Path(__file__).resolve().parents[1]
PER_TEST = 300		# seconds after which a test is given up
USED = "used lines of tests/skips:"		# what a part of a run says to the whole


_children = []		# the processes of a run in parallel
_said = []		# the lines of all tests so far


class GivenUp(Exception):
	"""A test did not come to an end."""


class Result(unittest.TestResult):
	def __init__(self, weights, allowed):
		super().__init__()
		self.weights = weights
		self.allowed = allowed
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
		_said.append(f"{word:4} {name} ({took:.1f} s){': ' + why if why else ''}")
		print(_said[-1], flush=True)

	def complain(self, test, error, count=1):
		self.well = False
		self.failed += count
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
		count = self.weights.of(test)
		objection = self.allowed.objection(skips.plain_name(test.id()), reason)
		if objection:
			self.complain(test, (AssertionError, AssertionError(objection), None), count)
		else:
			self.skips += count
			self.say("skip", test, reason)


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


def _relay(child, sums, used):
	"""Print a child's output, a test's lines at a time; sums gets its counts, used the lines of tests/skips."""
	block = []
	for line in child.stdout:
		if counts.parse(line):
			sums.append(counts.parse(line))
			continue
		if line.startswith(USED):
			used.update(map(int, line.removeprefix(USED).split()))
			continue
		if re.match(r"ok   |FAIL |skip |failed:", line):
			print("".join(block), end="", flush=True)
			block = []
			_said.append(line)
		block.append(line)
	print("".join(block), end="", flush=True)


def _in_parallel(jobs, names, allowed):
	"""Run the tests in several processes; [passed, failed, skipped]."""
	sums, relays = [], []
	for part in range(jobs):
		child = subprocess.Popen([sys.executable, str(HERE / "run"), "--part", f"{part}/{jobs}", *names],
		                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace")
		_children.append(child)
		relays.append(threading.Thread(target=_relay, args=(child, sums, allowed.used)))
		relays[-1].start()
	for relay in relays:
		relay.join()
	broken = sum(child.wait() not in (0, 1) for child in _children) + jobs - len(sums)
	passed, failed, skipped = (sum(column) for column in zip(*sums)) if sums else (0, 0, 0)
	return [passed, failed + broken, skipped]


def main():
	parser = argparse.ArgumentParser(prog="tests/integration/run", description=__doc__)
	parser.add_argument("names", nargs="*", help="only tests with one of these texts in their name")
	parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="run so many at once (2)")
	parser.add_argument("--write", action="store_true", help="put test_matrix's table into doc/releases.md")
	parser.add_argument("--part", help=argparse.SUPPRESS)
	parser.add_argument("--list", action="store_true", help="print the tests' names and end")
	options = parser.parse_args()
	sys.path.insert(0, str(HERE))
	everything = list(suite.flatten(unittest.defaultTestLoader.discover(str(HERE), top_level_dir=str(HERE))))
	tests = suite.select(everything, options.names)
	if options.list:
		print("\n".join(t.id() for t in tests))
		return 0
	for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
		signal.signal(number, _break_off)
	allowed = skips.Allowed(HERE.name)
	if options.part:
		passed, failed, skipped = _run(_share(tests, *map(int, options.part.split("/"))), allowed)
		print(USED, *allowed.used)
		print(counts.line(passed, failed, skipped), flush=True)
		return 1 if failed else 0		# a part may be empty, all of them together may not
	if options.jobs > 1 and len({type(test) for test in tests}) > 1:
		passed, failed, skipped = _in_parallel(options.jobs, options.names, allowed)
	else:
		passed, failed, skipped = _run(tests, allowed)
	failed += suite.complain(allowed, everything, whole=not options.names)
	table = matrix_table.made(_said)
	if table:
		print(f"\n{table}\n")
		if options.write:
			matrix_table.write(table)
	print(counts.line(passed, failed, skipped), flush=True)
	return counts.exit_code(passed, failed, skipped)


def _run(tests, allowed):
	"""Run the tests in this process; [passed, failed, skipped]."""
	signal.signal(signal.SIGALRM, _alarm)
	result = Result(suite.Weights(tests), allowed)
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
	return [result.passed, result.failed, result.skips]

#!/usr/bin/env python3
"""Compares the tests that are skipped with those that may be, tests/skips.

The file's first lines describe its format.  This is its only parser: Python's
runners import it, ./run-tests calls it:

    python3 tests/common/skips.py SUITE/TEST REASON

ends with 0 if this skip is allowed here, else it says what to do and ends with 1.
"""

import collections
import os
import pathlib
import re
import struct
import sys

FILE = pathlib.Path(__file__).resolve().parents[1] / "skips"
RELEASES = ("11", "12", "13", "testing")
CONDITIONS = ("root", "user", "32-bit")		# besides them, names of environment variables
SUITES = ("common", "doc", "exim", "integration", "matrix", "packaging", "patches", "releases", "reliability", "run-tests")

Line = collections.namedtuple("Line", "number where releases conditions suite test reason")


class Malformed(Exception):
	"""tests/skips has a line that is none; the text names it."""


def read(path=FILE):
	"""The file's lines, as a list of Line.  Raises Malformed."""
	lines, seen = [], {}
	for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
		if not text.strip() or text.startswith("#"):
			continue
		try:
			line = _parse(number, text)
			key = (line.where, line.suite, line.test, line.reason)
			if key in seen:
				raise Malformed(f"is line {seen[key]} again")
			seen[key] = number
		except Malformed as why:
			raise Malformed(f"{path}:{number}: {why}: {text}") from None
		lines.append(line)
	return lines


def _parse(number, text):
	match = re.fullmatch(r"(\S+)\s+([\w-]+)/(.+?): +(\S.*)", text.rstrip())
	if not match:
		raise Malformed("expected RELEASES[+CONDITION]... SUITE/TEST: REASON")
	where, suite, test, reason = match.groups()
	releases, *conditions = where.split("+")
	releases = releases.split(",")
	for release in releases:
		if release not in RELEASES and releases != ["any"]:
			raise Malformed(f"unknown release {release!r}; these are known: any, {', '.join(RELEASES)}")
	for condition in conditions:
		if condition not in CONDITIONS and not re.fullmatch(r"[A-Z][A-Z_]*", condition):
			raise Malformed(f"unknown condition {condition!r}; expected {', '.join(CONDITIONS)} or the NAME of a variable")
	if suite not in SUITES:
		raise Malformed(f"unknown suite {suite!r}; these are known: {', '.join(SUITES)}")
	return Line(number, where, frozenset(releases), frozenset(conditions), suite, test, reason)


def release(os_release=pathlib.Path("/etc/os-release")):
	"""This system as tests/skips calls it; None if it is not among RELEASES."""
	try:
		fields = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', os_release.read_text(), re.M))
	except OSError:
		return None
	if fields.get("ID") != "debian":
		return None
	version = fields.get("VERSION_ID", "testing")
	return version if version in RELEASES else None


def conditions():
	"""All that holds here, as the words and variables of conditions."""
	return frozenset({"root" if os.geteuid() == 0 else "user", *(["32-bit"] if struct.calcsize("P") == 4 else []),
	                  *(name for name, value in os.environ.items() if value)})


def plain_name(test_id):
	"""MODULE.CLASS.TEST of a unittest's id, MODULE.CLASS of its setUpClass, without what a subtest adds."""
	setup = re.match(r"(?:setUp|tearDown)\w+ \((.+)\)$", test_id)
	return setup[1] if setup else re.sub(r"^tests\.integration\.| .*", "", test_id, flags=re.S)


def _covers(pattern, name):
	"""Is name what the pattern says, or a part of it (a test of a class)?"""
	return re.fullmatch(_regex(pattern) + r"(\..*)?", name) is not None


def _regex(pattern):
	return ".*".join(map(re.escape, pattern.split("*")))


class Allowed:
	"""The skips that are allowed in one suite here; remembers which of them occurred."""

	def __init__(self, suite, path=FILE, here="of this machine", holds=None):
		self.suite = suite
		self.release = release() if here == "of this machine" else here
		self.all = [line for line in read(path) if line.suite == suite]
		holds = conditions() if holds is None else frozenset(holds)
		self.lines = [line for line in self.all
		              if line.releases & {"any", self.release} and line.conditions <= holds]
		self.used = set()		# numbers of lines

	def objection(self, name, reason):
		"""None if this test may be skipped for this reason; else a text that says what to do."""
		if self.release is None:
			return None		# nobody keeps a list for this system
		reason = " ".join(str(reason).split())
		found = [line.number for line in self.lines if _covers(line.test, name) and re.search(_regex(line.reason), reason)]
		self.used.update(found)
		if found:
			return None
		return (f"skipped, which tests/skips does not allow here: {reason}\n"
		        f"Repair what is missing, or add a line to tests/skips:\n"
		        f"{self.release}  {self.suite}/{name}: {reason}")

	def impossible(self, names):
		"""Complaints about this suite's lines, for any release, that none of the names fits."""
		return [f"tests/skips:{line.number}: there is no such test: {line.suite}/{line.test}"
		        for line in self.all if not any(_covers(line.test, name) or _covers(name, line.test) for name in names)]

	def hints(self):
		"""After a whole run: lines that name this release and that nothing needed."""
		return [f"hint: tests/skips:{line.number} was not needed: {line.where}  {line.suite}/{line.test}"
		        for line in self.lines if line.number not in self.used and "any" not in line.releases]


def main():
	if len(sys.argv) != 3 or "/" not in sys.argv[1]:
		sys.exit(__doc__)
	suite, _, name = sys.argv[1].partition("/")
	try:
		objection = Allowed(suite).objection(name, sys.argv[2])
	except Malformed as why:
		objection = str(why)
	if objection:
		sys.exit(f"{name}: {objection}")


if __name__ == "__main__":
	main()

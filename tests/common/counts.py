"""The line of counts with which every run of tests ends."""

import re

PATTERN = re.compile(r"(\d+) passed, (\d+) failed, (\d+) skipped")


def line(passed, failed, skipped):
	return f"{passed} passed, {failed} failed, {skipped} skipped"


def parse(text):
	"""[passed, failed, skipped] of a line of counts; None of any other."""
	match = PATTERN.fullmatch(text.rstrip("\n"))
	return match and [int(number) for number in match.groups()]


def exit_code(passed, failed, skipped):
	"""A run in which nothing ran is no good one."""
	return 1 if failed or not passed + skipped else 0

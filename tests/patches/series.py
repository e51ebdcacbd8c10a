"""The patch series of this repository, as data."""

import pathlib
import re

SOURCE_TREE = pathlib.Path(__file__).resolve().parents[2]
PATCHES = SOURCE_TREE / "patches"
TOOL = PATCHES / "exim-rspamd-patch"
COMMON = PATCHES / "common"

HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


def releases():
	"""{version: (folder, [checksum])} of the file `releases'."""
	rows = {}
	for line in (PATCHES / "releases").read_text().splitlines():
		if not line.startswith("#"):
			version, folder, *sums = line.split(" ")
			rows[version] = (folder, sums)
	return rows


def folders():
	"""The folders with a series, in order."""
	return list(dict.fromkeys(folder for folder, _ in releases().values()))


def patches(folder):
	"""Paths of a folder's patches, in order."""
	names = (PATCHES / folder / "series").read_text().split()
	return [PATCHES / folder / name for name in names]


def topic(path):
	return re.sub(r"^\d\d-|\.patch$", "", path.name)


class Patch:
	"""A patch: fields of its head, and {file: [Hunk]}; ValueError where malformed."""

	def __init__(self, path):
		head, found, body = path.read_bytes().partition(b"\n---\n")
		if not found:
			raise ValueError("no line `---' between head and diff")
		self.fields = {}
		name = None
		for line in head.decode().split("\n"):
			if line.startswith(" "):
				self.fields[name] += "\n" + line.strip()
			else:
				name, colon, value = line.partition(":")
				if not colon or not re.fullmatch("[A-Z][A-Za-z-]*", name) or name in self.fields:
					raise ValueError(f"not a field: {line}")
				self.fields[name] = value.strip()
		self.files = {}
		self._diff(body)

	def _diff(self, body):
		if not body.endswith(b"\n"):
			raise ValueError("does not end with a line end")
		lines = body[:-1].split(b"\n")
		at = 0
		while at < len(lines):
			old, new = lines[at:at + 2]
			if not old.startswith(b"--- ") or not new.startswith(b"+++ b/"):
				raise ValueError(f"not the start of a file: {lines[at]!r}")
			name = new[6:].decode()
			if old[4:] not in (b"/dev/null", b"a/" + name.encode()) or name in self.files:
				raise ValueError(f"names differ, or again: {old!r} {new!r}")
			hunks = self.files[name] = []
			at += 2
			while at < len(lines) and lines[at].startswith(b"@@"):
				hunk = Hunk(lines[at], old[4:] == b"/dev/null")
				at = hunk.read(lines, at + 1)
				hunks.append(hunk)
			if not hunks:
				raise ValueError(f"no hunk for {name}")

	def added_file(self, name):
		"""Text of a file that this patch adds, None if it adds no such file."""
		hunks = self.files.get(name)
		if not hunks or not hunks[0].creates:
			return None
		return b"".join(line[1:] + b"\n" for line in hunks[0].lines)


class Hunk:
	def __init__(self, line, creates):
		found = HUNK.match(line)
		if not found:
			raise ValueError(f"not a hunk: {line!r}")
		self.start = int(found[1])
		self.old, self.new = (int(found[i]) if found[i] else 1 for i in (2, 4))
		self.creates = creates
		self.lines = []

	def read(self, lines, at):
		old, new = self.old, self.new
		while old > 0 or new > 0:
			if at == len(lines) or lines[at][:1] not in (b" ", b"-", b"+"):
				raise ValueError(f"a hunk ends too early, at {lines[at:at + 1]!r}")
			kind = lines[at][:1]
			old -= kind != b"+"
			new -= kind != b"-"
			self.lines.append(lines[at])
			at += 1
		if old or new:
			raise ValueError("a hunk's counts are wrong")
		return at

	def added(self):
		return [line[1:] for line in self.lines if line.startswith(b"+")]

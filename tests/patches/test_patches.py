"""Every patch is well-formed, says what it is, and carries our files unchanged."""

import functools
import pathlib
import re
import tempfile
import unittest

from series import COMMON, PATCHES, Patch, folders, patches, releases, topic

ALL_24 = ("4.70 4.71 4.72 4.73 4.74 4.75 4.76 4.77 4.80 4.80.1 4.82 4.82.1 4.83 4.84 4.84.1 4.84.2 "
          "4.85 4.85.1 4.85.2 4.86 4.86.1 4.86.2 4.87 4.87.1").split()
FIELDS = {"Description", "Origin", "Forwarded", "Author", "Last-Update", "Defects"}

# What must be closed once all topics are in; 3 of 4.86 is the shutdown alone.
OLD = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20}
NEW = {3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 18, 19}
NOT_THERE = {"4.85": {14}}		# its spamd_address is read with a width
DEFECTS = {"4.86": NEW, "4.87": NEW | {17}}


class Table(unittest.TestCase):
	def test_24_releases(self):
		self.assertEqual(list(releases()), ALL_24)

	def test_no_two_alike(self):
		sums = [tuple(s) for _, s in releases().values()]
		self.assertEqual(len(set(sums)), len(sums))
		for row in sums:
			self.assertEqual(len(row), 4)
			for value in row:
				self.assertRegex(value, r"^(-|\d+)$")

	def test_every_folder_is_named(self):
		there = {path.parent.name for path in PATCHES.glob("*/series")}
		self.assertEqual(set(folders()), there)

	def test_every_patch_is_in_its_series(self):
		for folder in folders():
			self.assertEqual({p.name for p in (PATCHES / folder).iterdir()},
			                 {"series", *(p.name for p in patches(folder))})

	def test_numbers(self):
		for folder in folders():
			names = [p.name for p in patches(folder)]
			self.assertEqual([name[:3] for name in names], [f"{n:02}-" for n in range(1, len(names) + 1)])


def each_patch(check):
	"""A test that makes its check on each patch."""
	@functools.wraps(check)
	def test(self):
		for folder in folders():
			for path in patches(folder):
				with self.subTest(patch=f"{folder}/{path.name}"):
					check(self, folder, path, Patch(path))
	return test


class WellFormed(unittest.TestCase):
	@each_patch
	def test_head(self, _folder, _path, patch):
		self.assertLessEqual(FIELDS, set(patch.fields))
		self.assertRegex(patch.fields["Last-Update"], r"^\d{4}-\d\d-\d\d$")
		self.assertRegex(patch.fields["Defects"], r"^\d+(, \d+)*$")
		self.assertRegex(patch.fields["Origin"], r"^(upstream|backport|vendor|other), \S")

	@each_patch
	def test_paths(self, _folder, _path, patch):
		for name in patch.files:
			self.assertRegex(name, r"^(src|scripts|OS|doc)/[A-Za-z0-9_.-]+$")
			self.assertIn(name.split("/")[-1], ("spam.c", "spam.h", "exim.c", "expand.c", "globals.c", "globals.h", "smtp_in.c",
			                                    "Makefile-Base", "MakeLinks", "exim-rspamd.txt", *self.ours()))

	def ours(self):
		return [path.name for path in COMMON.glob("spam_*")]

	@each_patch
	def test_hunks_are_in_order(self, _folder, _path, patch):
		for name, hunks in patch.files.items():
			starts = [hunk.start for hunk in hunks]
			self.assertEqual(starts, sorted(set(starts)), name)

	@each_patch
	def test_added_lines(self, _folder, _path, patch):
		for name, hunks in patch.files.items():
			for line in (line for hunk in hunks for line in hunk.added()):
				self.assertRegex(line, rb"^[\t\x20-\x7e]*$", name)
				self.assertFalse(line.endswith((b" ", b"\t")), (name, line))

	@each_patch
	def test_our_files_are_the_common_ones(self, _folder, _path, patch):
		for name in self.ours():
			if f"src/{name}" in patch.files:
				# Whole, never changed by a later topic.
				self.assertEqual(patch.added_file(f"src/{name}"), (COMMON / name).read_bytes(), name)

	def test_every_series_reads_replies_alike(self):
		for folder in folders():
			added = [name for path in patches(folder) for name in Patch(path).files]
			for name in ("src/spam_reply.c", "src/spam_reply.h"):
				self.assertEqual(added.count(name), 1, folder)

	@each_patch
	def test_added_files_are_built_and_linked(self, _folder, _path, patch):
		for name in [n for n in self.ours() if patch.added_file(f"src/{n}") is not None]:
			links = b"\n".join(line for hunk in patch.files["scripts/MakeLinks"] for line in hunk.added())
			rules = b"\n".join(line for hunk in patch.files["OS/Makefile-Base"] for line in hunk.added())
			self.assertIn(name.encode(), links)
			if name.endswith(".c"):
				self.assertRegex(rules, rb"(?m)^%s\.o:.*%s" % (name[:-2].encode(), name.encode()))
				self.assertRegex(rules, rb"(?m)^OBJ_WITH_CONTENT_SCAN =.* %s\.o" % name[:-2].encode())

	@each_patch
	def test_each_topic_shows_in_bv(self, _folder, path, patch):
		words = re.findall(rb'" (Rspamd_[a-z_]+)"', b"\n".join(
			line for hunk in patch.files["src/exim.c"] for line in hunk.added()))
		expected = {"variant-rspamd": "variant"}.get(topic(path), topic(path)).replace("-", "_")
		self.assertEqual(words, [b"Rspamd_" + expected.encode()])

	@each_patch
	def test_each_topic_is_documented(self, _folder, _path, patch):
		self.assertIn("doc/exim-rspamd.txt", patch.files)


	def test_shutdown_is_exims_own_fix(self):
		for folder in ("4.86", "4.87"):
			hunk, = Patch(PATCHES / folder / "01-shutdown.patch").files["src/spam.c"]
			self.assertEqual([line for line in hunk.lines if not line.startswith(b" ")],
			                 [b"-shutdown(spamd_sock,SHUT_WR);", b"+if (!sd->is_rspamd)", b"+  shutdown(spamd_sock,SHUT_WR);"])


class Defects(unittest.TestCase):
	def test_closed_together(self):
		for folder in folders():
			with self.subTest(folder=folder):
				closed = [int(n) for path in patches(folder) for n in Patch(path).fields["Defects"].split(", ")]
				self.assertEqual(len(closed), len(set(closed)), "closed twice")
				self.assertEqual(set(closed) | NOT_THERE.get(folder, set()), DEFECTS.get(folder, OLD))


class Reader(unittest.TestCase):
	"""The reader of patches itself sees what is wrong."""

	GOOD = "Description: x\n---\n--- a/src/a\n+++ b/src/a\n@@ -1,2 +1,2 @@\n one\n-two\n+three\n"

	def read(self, text):
		with tempfile.TemporaryDirectory() as folder:
			path = pathlib.Path(folder, "p")
			path.write_text(text)
			return Patch(path)

	def test_good(self):
		self.assertEqual(list(self.read(self.GOOD).files), ["src/a"])

	def test_bad(self):
		for old, new in (("-1,2", "-1,3"), ("+1,2", "+1,1"), ("+three\n", "+three"), ("+three\n", "+three\ntrailing\n"),
		                 ("+three\n", "+three\n+four\n"), ("b/src/a", "b/src/b"), ("---\n---", "--- "),
		                 ("@@ -1,2 +1,2 @@\n", ""), ("Description", "no field"), ("\n one", "\none")):
			with self.subTest(old=old, new=new), self.assertRaises(ValueError):
				self.assertIn(old, self.GOOD)
				self.read(self.GOOD.replace(old, new, 1))

"""The patches on real releases: EXIM_TREES="DIR DIR..." names unpacked ones."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from series import TOOL, folders, patches, releases, topic

TREES = os.environ.get("EXIM_TREES", "").split()


def content(tree):
	return {str(p.relative_to(tree)): (p.read_bytes(), p.stat().st_mode) for p in tree.rglob("*") if p.is_file()}


@unittest.skipUnless(TREES, "EXIM_TREES names no unpacked releases of Exim")
class Releases(unittest.TestCase):
	def tool(self, *arguments):
		done = subprocess.run(["sh", str(TOOL), *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
		                      stderr=subprocess.STDOUT, text=True, check=False)
		self.assertEqual(done.returncode, 0, done.stdout)
		return done.stdout

	def copies(self):
		"""(release, folder, copy of its tree) for each of EXIM_TREES."""
		for tree in TREES:
			with tempfile.TemporaryDirectory(prefix="exim-rspamd-trees-") as name:
				copy = pathlib.Path(name, "exim")
				shutil.copytree(tree, copy, symlinks=True)
				release = re.search(r"release: +(\S+)", self.tool("status", copy))[1]
				yield release, releases()[release][0], copy

	def test_every_stack(self):
		for release, folder, tree in self.copies():
			stock = content(tree)
			names = [topic(path) for path in patches(folder)]
			for count, name in enumerate(names, 1):
				with self.subTest(release=release, topics=names[:count]):
					out = self.tool("apply", tree, name)
					self.assertEqual(re.findall(r"(\S+): in\n", out), names[:count])
					self.assertEqual(re.findall(r"(\S+): in\n", self.tool("status", tree)), names[:count])
					self.assertNotEqual(content(tree), stock)
					litter = [p for p in tree.rglob("*") if p.suffix in (".orig", ".rej", ".new")]
					self.assertEqual(litter, [])
					self.tool("revert", tree)
					self.assertEqual(content(tree), stock)

	def test_by_hand(self):
		"""With patch alone, as a packager does it; no fuzz."""
		for release, folder, tree in self.copies():
			with self.subTest(release=release):
				stock = content(tree)
				for arguments, order in (([], patches(folder)), (["-R"], patches(folder)[::-1])):
					for path in order:
						done = subprocess.run(["patch", "-p1", "-F0", "-E", "-f", *arguments, "-i", str(path)], cwd=tree,
						                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
						self.assertEqual(done.returncode, 0, done.stdout)
						self.assertNotIn("fuzz", done.stdout)
				for path in tree.rglob("*.orig"):		# of hunks that patch found elsewhere
					path.unlink()
				self.assertEqual(content(tree), stock)

	def test_releases_are_told_apart(self):
		told = [release for release, _, _ in self.copies()]
		self.assertEqual(len(set(told)), len(told))
		for release in told:
			self.assertIn(releases()[release][0], folders())

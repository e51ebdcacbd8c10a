"""debian_tree: trees are made once, and what mmdebstrap says decides what is tried next."""

import contextlib
import io
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

from common import debian_tree

TREE = pathlib.Path(__file__).resolve().parents[2]

# Notes its words; behaves as the file `behaviour' beside it says.
MMDEBSTRAP = """#!/bin/bash
here=${0%/*}
echo "$*" >>"$here/calls"
target=${!#}
echo part >"$target"
. "$here/behaviour"
echo whole >"$target"
"""


class Making(unittest.TestCase):
	def setUp(self):
		folder = tempfile.TemporaryDirectory()
		self.addCleanup(folder.cleanup)
		self.folder = pathlib.Path(folder.name)
		self.tarball = self.folder / "tree.tar"
		program = self.folder / "mmdebstrap"
		program.write_text(MMDEBSTRAP)
		program.chmod(0o755)
		path = unittest.mock.patch.dict(os.environ, {"PATH": f"{self.folder}:{os.environ['PATH']}"})
		root = unittest.mock.patch("os.geteuid", return_value=0)
		for patch in (path, root):
			patch.start()
			self.addCleanup(patch.stop)

	def make(self, behaviour="", **options):
		"""What was said while a tree was made."""
		(self.folder / "behaviour").write_text(behaviour)
		with contextlib.redirect_stderr(io.StringIO()) as said:
			debian_tree.make("suite", self.tarball, **options)
		return said.getvalue()

	def calls(self):
		return (self.folder / "calls").read_text().splitlines()

	def files(self):
		return {path.name for path in self.folder.iterdir()} - {"mmdebstrap", "calls", "behaviour"}

	def test_without_security(self):
		self.make(security=False)
		self.assertEqual(self.calls(), ['--variant=minbase --setup-hook=sed -i "/security/d" "$1/etc/apt/sources.list" suite '
		                                f"{self.folder}/tree.partial.tar"])

	def test_unpacked(self):
		"""With what it had, and dpkg in haste."""
		source, root = self.folder / "source", self.folder / "root"
		(source / "etc/dpkg/dpkg.cfg.d").mkdir(parents=True)
		(source / "etc/hostname").write_text("a\n")
		root.mkdir()
		subprocess.run(["tar", "-cf", self.tarball, "-C", source, "."], check=True)
		debian_tree.unpack(self.tarball, root)
		self.assertEqual((root / "etc/hostname").read_text(), "a\n")
		self.assertEqual((root / "etc/dpkg/dpkg.cfg.d/unsafe-io").read_text(), "force-unsafe-io\n")

	def test_once(self):
		self.make(include=["a", "b"], architecture="i386")
		self.make()
		self.assertEqual(self.calls(), ["--variant=minbase --include=a,b --architectures=i386 suite "
		                                f"{self.folder}/tree.partial.tar"])
		self.assertEqual(self.tarball.read_text(), "whole\n")
		self.assertEqual(self.files(), {"tree.tar"})

	def test_a_snapshot_that_is_too_old(self):
		said = self.make('[[ $* == *Check-Valid-Until* ]] || { echo "E: Release file is expired"; exit 1; }')
		self.assertIn(f"gets apt's {debian_tree.OUTLIVED}", said)
		self.assertEqual([debian_tree.OUTLIVED in call for call in self.calls()], [False, True])
		self.assertTrue(self.tarball.exists())

	def test_failures(self):
		for behaviour, why in (('echo "E: no such host"; exit 1', r"cannot make a tree of suite \(no network\?\): E: no such host"),
		                       ("exit 3", "exit code 3"), ('echo "E: is expired"; exit 1', "is expired"),
		                       ('echo "i386 can neither be executed natively nor"; exit 1', "runs no programs of i386")):
			with self.subTest(why):
				with self.assertRaisesRegex(debian_tree.Unavailable, why):
					self.make(behaviour, architecture="i386")
				self.assertEqual(self.files(), set())

	def test_who_cannot(self):
		with unittest.mock.patch("os.geteuid", return_value=1000), self.assertRaisesRegex(debian_tree.Unavailable, "by root alone"):
			self.make()
		(self.folder / "mmdebstrap").unlink()
		with unittest.mock.patch.dict(os.environ, {"PATH": str(self.folder)}), \
		     self.assertRaisesRegex(debian_tree.Unavailable, "mmdebstrap is not there"):
			self.make()

	def test_interrupted(self):
		"""mmdebstrap is told, and may end in its own time."""
		(self.folder / "behaviour").write_text('trap "kill %1; echo done >$here/trapped; exit 1" TERM; sleep infinity & echo >$here/begun; wait')
		os.mkfifo(self.folder / "begun")
		program = ("import pathlib, signal, sys, os; sys.path.insert(0, sys.argv[1]); from common import debian_tree;"
		           "os.geteuid = lambda: 0; signal.signal(signal.SIGTERM, lambda *_: sys.exit(9));"
		           "debian_tree.make('suite', pathlib.Path(sys.argv[2]))")
		child = subprocess.Popen([sys.executable, "-Bc", program, TREE / "tests", self.tarball], stderr=subprocess.DEVNULL)
		(self.folder / "begun").read_text()
		child.send_signal(signal.SIGTERM)
		self.assertEqual(child.wait(), 9)
		self.assertEqual(self.files(), {"begun", "trapped"})

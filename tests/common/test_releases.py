"""tests/releases/run: what it chooses and copies, its table, and that it leaves nothing behind."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

TREE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(1, str(TREE / "tests/integration"))

from releases import release, steps, table		# noqa: E402  (after the path is set)


class Folder(unittest.TestCase):
	def setUp(self):
		folder = tempfile.TemporaryDirectory()
		self.addCleanup(folder.cleanup)
		self.folder = pathlib.Path(folder.name)


class Choice(unittest.TestCase):
	def list(self, *names):
		done = subprocess.run([TREE / "tests/releases/run", "--list", *names], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
		return done.returncode, done.stdout.splitlines()

	def test_names(self):
		everything = self.list()[1]
		self.assertEqual(len(everything), len(release.RELEASES) * len(steps.STEPS))
		self.assertEqual(self.list("trixie/quickstart"), (0, ["trixie/quickstart"]))
		self.assertEqual(self.list("i386", "/quick")[1], [name for name in everything if "i386/" in name or "/quickstart" in name])
		self.assertEqual(self.list("trixie/deb")[1], ["trixie/.deb with lintian"])
		for name in ("sid", "trixie/nothing"):
			self.assertNotEqual(self.list(name)[0], 0)


class Source(Folder):
	def copy(self):
		release.copy_source(self.folder / "source", self.folder / "copy")
		return {str(path.relative_to(self.folder / "copy")): path.read_text() for path in (self.folder / "copy").rglob("*")
		        if path.is_file() and ".git" not in path.parts}

	def fill(self):
		for name in ("a", "sub/b", "build-tests/c", ".test-deps/d"):
			path = self.folder / "source" / name
			path.parent.mkdir(parents=True, exist_ok=True)
			path.write_text(f"{name} of old\n")

	def test_without_git(self):
		self.fill()
		self.assertEqual(self.copy(), {"a": "a of old\n", "sub/b": "sub/b of old\n"})

	@unittest.skipUnless(shutil.which("git"), "git is not there")
	def test_git(self):
		"""What is committed and changes of it; not what git does not know."""
		self.fill()

		def git(*words):
			subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@example.com", "-C", self.folder / "source", *words],
			               check=True, stdout=subprocess.PIPE)
		git("init", "-q")
		git("add", "a", "sub/b")
		git("commit", "-qm", "x")
		(self.folder / "source/a").write_text("a of now\n")
		(self.folder / "source/new").write_text("added\n")
		git("add", "new")
		self.assertEqual(self.copy(), {"a": "a of now\n", "sub/b": "sub/b of old\n", "new": "added\n"})


class Table(Folder):
	def test_other_cells_stay(self):
		document = self.folder / "releases.md"
		document.write_text(f"before\n{table.BEGIN}\nanything\n{table.END}\nbehind\n")
		table.write(document, {("trixie", "quickstart"): "6 of 6", ("i386", "run-tests"): "**failed**: a | b\nc"})
		table.write(document, {("trixie", "quickstart"): "5 of 6", ("forky", "installed daemon"): "5 of 5"})
		cells = table.parse(document.read_text())
		self.assertEqual(set(cells), {("trixie", "quickstart"), ("i386", "run-tests"), ("forky", "installed daemon")})
		self.assertRegex(cells["trixie", "quickstart"], r"^5 of 6 \(\d{4}-\d\d-\d\d\)$")
		self.assertIn("**failed**: a   b c (", cells["i386", "run-tests"])
		self.assertTrue(document.read_text().startswith("before\n") and document.read_text().endswith("\nbehind\n"))

	def test_the_document(self):
		text = (TREE / "doc/releases.md").read_text()
		self.assertEqual((text.count(table.BEGIN), text.count(table.END)), (1, 1))
		self.assertIn(table.render(table.parse(text)), text)


class Readme(unittest.TestCase):
	def test_commands(self):
		commands = steps.readme_commands()
		self.assertGreater(len(commands), 2)
		self.assertRegex(commands[0], r"^apt-get -q -y --no-install-recommends install build-essential .* libcjson-dev$")
		self.assertTrue(any("make deb" in command for command in commands))
		self.assertIn(" ./deb/rspamd-shim_*.deb", commands[-1])


@unittest.skipIf(os.geteuid() != 0, "trees are made by root alone")
class Entering(Folder):
	"""A tree whose /usr is the machine's."""

	def setUp(self):
		super().setUp()
		self.root = self.folder / "root"
		for name in ("usr", "proc", "sys", "dev", release.SOURCE):
			(self.root / name.lstrip("/")).mkdir(parents=True)
		for name in ("bin", "lib", "lib64"):
			if pathlib.Path("/", name).is_symlink():
				(self.root / name).symlink_to(f"usr/{name}")
		if subprocess.run(["unshare", "--mount", "--pid", "--net", "--fork", "true"], stderr=subprocess.DEVNULL).returncode != 0:
			self.skipTest("the kernel gives no namespaces")
		# as an argument, it marks the processes of this test
		self.mark = f"86399.{os.getpid()}{time.monotonic_ns()}"
		self.said = []

	def enter(self, script, *options, tell=None, **others):
		release.enter(self.root, *options, "--bind", "/usr", "/usr", "/bin/bash", "-c", script, log=self.folder / "log",
		              tell=tell or self.said.append, **others)

	def left(self):
		found = []
		for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
			try:
				found += [path] if self.mark.encode() in path.read_bytes().split(b"\0") else []
			except OSError:
				pass		# gone in between
		return found

	def test_mounts_of_its_own(self):
		"""Tests in a tree put other files in the place of /etc/hosts and the like; after a mere chroot they may not."""
		self.enter("unshare --mount true")
		self.enter("unshare -rm true")

	def assert_nothing_is_left(self):
		deadline = time.monotonic() + 120		# the kernel ends them without anybody's waiting for it
		while self.left() and time.monotonic() < deadline:
			time.sleep(0.02)
		self.assertEqual(self.left(), [])
		self.assertNotIn(str(self.root), pathlib.Path("/proc/self/mounts").read_text())

	def test_what_it_says_and_where_it_is(self):
		self.enter('echo "$PWD"; echo $$; echo /proc/[0-9]* | wc -w; echo more >&2')
		self.assertEqual([self.said[0], self.said[-1]], [release.SOURCE, "more"])
		self.assertLess(int(self.said[2]), 9)		# none of the machine's processes
		self.assertEqual((self.folder / "log").read_text(), "".join(f"{line}\n" for line in self.said))
		self.assert_nothing_is_left()

	def test_failure_and_background(self):
		with self.assertRaisesRegex(release.Failed, r"(?s)exit code 3: so it is\n.*so it is"):
			self.enter(f"sleep {self.mark} & echo so it is; exit 3")
		self.assert_nothing_is_left()

	def test_alone(self):
		self.enter("cat /proc/net/dev; (exec 3<>/dev/tcp/127.0.0.1/9) 2>&1 | tail -n 1", "--alone", alone=True)
		self.assertEqual([line.split(":")[0].strip() for line in self.said[2:-1]], ["lo"])
		self.assertIn("refused", self.said[-1])		# and not: unreachable

	def test_interrupted(self):
		def tell(_):
			raise KeyboardInterrupt
		with self.assertRaises(KeyboardInterrupt):
			self.enter(f"sleep {self.mark} & echo started; wait", tell=tell)
		self.assert_nothing_is_left()

	def test_killed(self):
		"""Nor does anything stay of a run that is killed."""
		program = ("import sys; sys.path[:0] = sys.argv[1:3]; from releases import release;"
		           "release.enter(sys.argv[3], '--bind', '/usr', '/usr', '/bin/bash', '-c', sys.argv[4], log='/dev/null',"
		           "tell=lambda line: print(line, flush=True))")
		child = subprocess.Popen([sys.executable, "-Bc", program, TREE / "tests", TREE / "tests/integration", self.root,
		                          f"sleep {self.mark} & echo started; wait"], stdout=subprocess.PIPE, text=True)
		self.addCleanup(child.stdout.close)
		self.addCleanup(child.wait)
		self.addCleanup(child.kill)
		self.assertEqual(child.stdout.readline(), "started\n")
		while len(self.left()) != 1:		# the shell may speak before sleep is there
			self.assertIsNone(child.poll())
			time.sleep(0.02)
		child.kill()
		child.wait()
		self.assert_nothing_is_left()

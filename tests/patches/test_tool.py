"""exim-rspamd-patch on made-up trees: small, our own, and with patches of their own.

The patches' context is Exim's, so the trees cannot be made of the real ones; the
tool takes its patches from EXIM_RSPAMD_PATCHES, and gets a folder made here.
"""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from series import SOURCE_TREE, TOOL

FILES = {
	"src/spam.c": "".join(f"line {i}\n" for i in range(1, 41)),
	"src/exim.c": "main\nfeatures\nend\n",
	"src/dkim.c": "/* $Cambridge: something $ */\ndkim\n",
	"src/deliver.c": "deliver\n",
	"scripts/MakeLinks": "#!/bin/sh\nlinks\n",
}
HEAD = "Description: {}\nDefects: 1\n---\n"
FIRST = HEAD.format("the first") + """--- /dev/null
+++ b/doc/exim-rspamd.txt
@@ -0,0 +1 @@
+first
--- a/src/exim.c
+++ b/src/exim.c
@@ -1,3 +1,4 @@
 main
 features
+" Rspamd_first"
 end
--- a/src/spam.c
+++ b/src/spam.c
@@ -3,7 +3,7 @@
 line 3
 line 4
 line 5
-line 6
+line six
 line 7
 line 8
 line 9
"""
SECOND = HEAD.format("the second") + """--- a/doc/exim-rspamd.txt
+++ b/doc/exim-rspamd.txt
@@ -1 +1,2 @@
 first
+second
--- a/scripts/MakeLinks
+++ b/scripts/MakeLinks
@@ -1,2 +1,3 @@
 #!/bin/sh
 links
+more
--- a/src/spam.c
+++ b/src/spam.c
@@ -4,7 +4,7 @@
 line 4
 line 5
 line six
-line 7
+line seven
 line 8
 line 9
 line 10
--- /dev/null
+++ b/src/spam_new.c
@@ -0,0 +1,2 @@
+new
+file
"""


def checksum(path):
	text = b"".join(line for line in path.read_bytes().splitlines(keepends=True) if b"$Cambridge:" not in line)
	done = subprocess.run(["cksum"], input=text, stdout=subprocess.PIPE, check=True)
	return done.stdout.split()[0].decode()


def content(tree):
	return {str(p.relative_to(tree)): (p.read_bytes(), p.stat().st_mode) for p in sorted(tree.rglob("*")) if p.is_file()}


class ToolCase(unittest.TestCase):
	shell = None

	def setUp(self):
		self.dir = pathlib.Path(tempfile.mkdtemp(prefix="exim-rspamd-tool-"))
		self.addCleanup(shutil.rmtree, self.dir)
		self.scratch = self.dir / "tmp"
		self.scratch.mkdir()
		self.tree = self.make_tree("exim 4.84.2")		# with a space
		self.stock = content(self.tree)
		series = self.dir / "patches" / "a-b"
		series.mkdir(parents=True)
		(series / "series").write_text("01-first.patch\n02-second.patch\n")
		(series / "01-first.patch").write_text(FIRST)
		(series / "02-second.patch").write_text(SECOND)
		sums = " ".join([checksum(self.tree / "src/dkim.c"), "-", "-", checksum(self.tree / "src/deliver.c")])
		(self.dir / "patches" / "releases").write_text(
			f"# comment\n4.84.1 a-b 1 2 3 4\n4.84.2 a-b {sums}\n4.70 a-b 5 - - 6\n4.87 a-b 7 - - 6\n")

	def make_tree(self, name):
		tree = self.dir / name
		for file, text in FILES.items():
			(tree / file).parent.mkdir(parents=True, exist_ok=True)
			(tree / file).write_text(text)
		(tree / "scripts/MakeLinks").chmod(0o755)
		return tree

	def run_tool(self, *arguments, code=0, path=None, tool=TOOL, **options):
		env = {"PATH": path or os.environ["PATH"], "TMPDIR": str(self.scratch),
		       "EXIM_RSPAMD_PATCHES": str(self.dir / "patches")}
		done = subprocess.run([*(self.shell or ["sh"]), str(tool), *map(str, arguments)], env=env, cwd=self.dir,
		                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
		                      check=False, **options)
		self.assertEqual(done.returncode, code, done.stdout)
		self.assertEqual(list(self.scratch.iterdir()), [], "leaves something behind")
		litter = [p for p in self.dir.rglob("*") if p.suffix in (".orig", ".rej", ".new")]
		self.assertEqual(litter, [])
		return done.stdout

	def edit(self, file, old, new):
		path = self.tree / file
		self.assertIn(old, path.read_text())
		path.write_text(path.read_text().replace(old, new))

	def assert_refused(self, *words, code=65, command="apply"):
		"""The tool refuses, says these words, and does not touch the tree."""
		before = content(self.tree)
		for what in (command, "revert"):
			out = self.run_tool(what, self.tree, code=code)
			for word in words:
				self.assertIn(word, out)
		self.assertEqual(content(self.tree), before)


class Core(ToolCase):
	def test_apply_and_revert(self):
		out = self.run_tool("apply", self.tree)
		self.assertRegex(out, r"first: in\n +second: in\n")
		text = (self.tree / "src/spam.c").read_text()
		self.assertIn("line six\nline seven\n", text)
		self.assertEqual((self.tree / "src/spam_new.c").read_text(), "new\nfile\n")
		self.assertEqual((self.tree / "doc/exim-rspamd.txt").read_text(), "first\nsecond\n")
		self.assertEqual((self.tree / "scripts/MakeLinks").stat().st_mode & 0o777, 0o755)
		self.run_tool("revert", self.tree)
		self.assertEqual(content(self.tree), self.stock)
		self.assertFalse((self.tree / "doc").exists())

	def test_topic_by_topic(self):
		out = self.run_tool("status", self.tree)
		self.assertRegex(out, r"release: +4\.84\.2\n.*first: not in\n +second: not in\n")
		for name in ("first", "01-first"):
			self.assertRegex(self.run_tool("apply", self.tree, name), r"first: in\n +second: not in\n")
		after_first = content(self.tree)
		self.assertRegex(self.run_tool("status", self.tree), r"first: in\n +second: not in\n")
		self.assertRegex(self.run_tool("apply", self.tree, "second"), r"first: in\n +second: in\n")
		self.assertNotEqual(content(self.tree), after_first)
		self.assertIn("Nothing to do", self.run_tool("apply", self.tree, "first"))
		self.run_tool("revert", self.tree)
		self.assertEqual(content(self.tree), self.stock)
		self.assertIn("Nothing to do", self.run_tool("revert", self.tree))


class Use(ToolCase):
	def test_a_topic_brings_those_before_it(self):
		self.assertRegex(self.run_tool("apply", self.tree, "second"), r"first: in\n +second: in\n")

	def test_status_changes_nothing(self):
		self.run_tool("status", self.tree)
		self.assertEqual(content(self.tree), self.stock)

	def test_tree_moved_by_lines(self):
		self.edit("src/spam.c", "line 1\n", "added\nadded\nline 1\n")
		before = content(self.tree)
		self.run_tool("apply", self.tree)
		self.run_tool("revert", self.tree)
		self.assertEqual(content(self.tree), before)

	def test_doc_that_was_there_stays(self):
		(self.tree / "doc").mkdir()
		(self.tree / "doc/spec.txt").write_text("spec\n")
		self.run_tool("apply", self.tree)
		self.run_tool("revert", self.tree)
		self.assertEqual((self.tree / "doc/spec.txt").read_text(), "spec\n")

	def test_top_of_a_git_checkout(self):
		top = self.dir / "checkout"
		top.mkdir()
		self.tree.rename(top / "src")
		self.assertIn("4.84.2", self.run_tool("status", top))

	def test_build_folder_is_mentioned(self):
		(self.tree / "build-Linux").mkdir()
		self.assertIn("Remove", self.run_tool("apply", self.tree))

	def test_cvs_keywords_do_not_count(self):
		self.edit("src/dkim.c", "/* $Cambridge: something $ */\n", "")
		self.assertIn("4.84.2", self.run_tool("status", self.tree))

	def test_macro(self):
		self.assertIn("no macro needed", self.run_tool("status", self.tree))
		rows = (self.dir / "patches/releases").read_text()
		for release in ("4.70", "4.77", "4.80", "4.80.1"):
			(self.dir / "patches/releases").write_text(rows.replace("4.84.2", release))
			self.assertIn("CHECK_SPAM_BEFORE_4_82 = yes", self.run_tool("status", self.tree))

	def test_list(self):
		self.assertEqual(self.run_tool("list").split("\n")[:3],
		                 ["a-b: 4.84.1 4.84.2 4.70 4.87 ", "  first            the first", "  second           the second"])

	def test_help_and_version(self):
		self.assertIn("Usage:", self.run_tool("--help"))
		version, = re.findall(r"AC_INIT\(\[[^]]*\], *\[([^]]*)\]", (SOURCE_TREE / "configure.ac").read_text())
		self.assertEqual(self.run_tool("--version"), f"exim-rspamd-patch {version}\n")

	def test_usage_errors(self):
		for arguments in ((), ("status",), ("status", "a", "b"), ("apply",), ("apply", "--release"), ("revert", "a", "b"),
		                  ("list", "a"), ("frobnicate",), ("apply", self.tree, "third"), ("apply", "--release", "4.99", self.tree)):
			with self.subTest(arguments=arguments):
				self.run_tool(*arguments, code=64)
		self.assertEqual(content(self.tree), self.stock)

	def test_real_list(self):
		done = subprocess.run([str(TOOL), "list"], stdout=subprocess.PIPE, text=True, check=True)
		self.assertIn("4.87.1", done.stdout)
		self.assertIn("shutdown", done.stdout)


class Refusals(ToolCase):
	def test_no_folder(self):
		self.assertIn("no such folder", self.run_tool("status", self.dir / "nowhere", code=66))

	def test_no_exim(self):
		self.assertIn("no Exim sources", self.run_tool("status", self.scratch.parent / "patches", code=66))

	def test_unknown_release(self):
		self.edit("src/deliver.c", "deliver", "other")
		self.assert_refused("none of the releases", "checksums", "rspamd-shim")

	def test_distributor(self):
		self.edit("src/deliver.c", "deliver", "changed by a distributor")
		(self.tree / "src/version.sh").write_text("EXIM_RELEASE_VERSION=4.84.2\nEXIM_VARIANT_VERSION=-7\n")
		self.assert_refused("calls itself Exim 4.84.2", "src/deliver.c", "--release 4.84.2")
		before = content(self.tree)
		self.run_tool("apply", "--release", "4.84.2", self.tree)
		self.assertNotEqual(content(self.tree), before)

	def test_a_file_that_differs_where_no_hunk_is(self):
		"""It is told, and only who names the release gets it patched."""
		rows = "".join(f"{file} {checksum(self.tree / file)} 4.83 4.84.2\n" for file in ("src/spam.c", "src/exim.c"))
		(self.dir / "patches" / "files").write_text("# comment\n" + rows)
		self.run_tool("apply", self.tree)
		self.run_tool("revert", self.tree)
		self.edit("src/spam.c", "line 40\n", "line 40\na distributor's\n")
		before = content(self.tree)
		out = self.run_tool("apply", self.tree, code=65)
		self.assertTrue("src/spam.c" in out and "--release 4.84.2" in out, out)
		self.assertEqual(content(self.tree), before)
		self.assertIn("differs:  not as in 4.84.2, beside the patches: src/spam.c", self.run_tool("status", self.tree))
		self.run_tool("apply", "--release", "4.84.2", self.tree)
		self.assertIn("src/spam.c", self.run_tool("status", self.tree))
		self.run_tool("revert", self.tree)
		self.assertEqual(content(self.tree), before)

	def test_distributor_with_old_version_header(self):
		self.edit("src/deliver.c", "deliver", "changed")
		(self.tree / "src/version.h").write_text('#define EXIM_RELEASE_VERSION_STR        "4.70"\n')
		self.assert_refused("calls itself Exim 4.70", "src/dkim.c")

	def test_hunk_that_fails(self):
		self.edit("src/spam.c", "line 6\n", "line 6 of a distributor\n")
		self.assert_refused("do not fit", "src/spam.c")

	def test_no_fuzz(self):
		# The outermost context line: patch would take it with fuzz 1.
		self.edit("src/spam.c", "line 3\n", "line three\n")
		self.assert_refused("do not fit", "src/spam.c")

	def test_fails_in_the_second_topic(self):
		self.edit("scripts/MakeLinks", "links", "other links")
		before = content(self.tree)
		self.run_tool("apply", self.tree, code=65)
		self.run_tool("apply", self.tree, "first", code=65)
		self.assertEqual(content(self.tree), before)

	def test_half_patched(self):
		self.run_tool("apply", self.tree)
		for file, old, new in (("src/spam.c", "line six", "line 6"), ("doc/exim-rspamd.txt", "second\n", "")):
			with self.subTest(file=file):
				text = (self.tree / file).read_text()
				self.edit(file, old, new)
				self.assert_refused("patched in part", "afresh")
				(self.tree / file).write_text(text)
		(self.tree / "src/spam_new.c").unlink()
		self.assert_refused("patched in part")

	def test_only_our_file(self):
		(self.tree / "doc").mkdir()
		(self.tree / "doc/exim-rspamd.txt").write_text("something else\n")
		self.assert_refused("patched in part")

	def test_rspamds_own_diff(self):
		self.edit("src/spam.c", "line 6\n", "this_spamd->is_rspamd = TRUE;\n")
		self.assert_refused("rspamd's own contrib/exim", "patch -R -p1 <patch-exim-src_spam.c.diff")

	def test_rspamds_shutdown_patch(self):
		rows = (self.dir / "patches/releases").read_text()
		(self.dir / "patches/releases").write_text(rows.replace("4.87 ", "4.99 ").replace("4.84.2 ", "4.87 "))
		self.edit("src/spam.c", "line 6\n", "if (!sd->is_rspamd)\n  {\n  shutdown(spamd_sock,SHUT_WR);\n  }\n")
		self.assert_refused("rspamd's own contrib/exim", "shutdown.patch")

	def test_newer(self):
		self.edit("src/deliver.c", "deliver", "other")
		self.edit("src/spam.c", "line 6\n", "if (sd->is_rspamd)\n")
		(self.tree / "src/sha_ver.h").write_text("")
		out = self.run_tool("status", self.tree)
		self.assertIn("4.88 or later", out)
		self.assertIn("rspamd-shim", out)
		self.assertNotIn("32 KiB", out)
		self.edit("src/spam.c", "line 7\n", '  req_str = string_sprintf("%sRcpt: <%s>\\r\\n", req_str, address);\n')
		self.assertIn("32 KiB", self.run_tool("status", self.tree))
		self.assert_refused("4.88 or later", code=69)

	def test_no_patch(self):
		tools = self.dir / "bin"
		tools.mkdir()
		for name in ("sh", "cat", "sed", "cksum", "cut", "dirname", "grep", "head", "rm", "mkdir", "cp", "sort", "tr", "awk", "chmod"):
			(tools / name).symlink_to(shutil.which(name))
		self.assertIn("patch(1) is missing", self.run_tool("apply", self.tree, code=69, path=str(tools)))
		self.assertEqual(content(self.tree), self.stock)

	def test_no_permission(self):
		options = {"tool": shutil.copy(TOOL, self.dir / "tool")}
		if os.geteuid() == 0:
			# root may write everywhere; who it becomes must be able to read
			options.update(user=65534, group=65534, extra_groups=[])
			self.dir.chmod(0o755)
			self.scratch.chmod(0o777)
		for place in (".", "src", "src/spam.c"):
			with self.subTest(place=place):
				mode = (self.tree / place).stat().st_mode
				(self.tree / place).chmod(mode & ~0o222)
				try:
					self.assertIn("no permission", self.run_tool("apply", self.tree, code=77, **options))
				finally:
					(self.tree / place).chmod(mode)
				self.assertEqual(content(self.tree), self.stock)

	def test_write_error(self):
		# A mv that fails on one file, as on a full disk, in the middle of it all.
		tools = self.dir / "bin"
		tools.mkdir()
		(tools / "mv").write_text(f'#!/bin/sh\ncase $* in *src/spam.c) exit 1;; esac\nexec {shutil.which("mv")} "$@"\n')
		(tools / "mv").chmod(0o755)
		out = self.run_tool("apply", self.tree, code=74, path=f"{tools}:{os.environ['PATH']}")
		self.assertIn("The tree is as it was", out)
		self.assertEqual(content(self.tree), self.stock)

	def test_symbolic_link(self):
		(self.tree / "src/exim.c").rename(self.dir / "elsewhere.c")
		(self.tree / "src/exim.c").symlink_to(self.dir / "elsewhere.c")
		self.assertIn("symbolic link", self.run_tool("apply", self.tree, code=65))
		self.assertEqual((self.dir / "elsewhere.c").read_text(), FILES["src/exim.c"])

	def test_patches_are_not_there(self):
		(self.dir / "patches/releases").unlink()
		shutil.copy(TOOL, self.dir / "tool")
		done = subprocess.run(["sh", str(self.dir / "tool"), "list"], env={"PATH": os.environ["PATH"]},
		                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
		self.assertEqual(done.returncode, 70, done.stdout)


def other_shell(name, *arguments):
	"""The core once more, in another shell."""
	case = type(f"With{name.capitalize()}", (Core,), {"shell": [name, *arguments]})
	return case if shutil.which(name) else unittest.skip(f"there is no {name}")(case)


WithBash = other_shell("bash", "--posix")
WithDash = other_shell("dash")

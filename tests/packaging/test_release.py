"""The tarball of a release, and `make install' from it."""

import os
import pathlib
import re
import shutil
import subprocess
import unittest

import build


class Release(unittest.TestCase):
	def test_it_has_every_file(self):
		if not (build.TREE / ".git").exists():
			self.skipTest("this is no git checkout")
		tracked = build.run("git", "-C", build.TREE, "ls-files").splitlines()
		missing = {name for name in tracked if (build.TREE / name).exists()} - build.files(build.unpacked())
		self.assertEqual(missing - {".gitignore", "m4/.gitkeep"}, set())

	def test_it_has_nothing_that_was_built(self):
		built = {name for name in build.files(build.unpacked())
		         if re.search(r"\.(o|lo|la|a|pyc|log|trs)$|(^|/)(__pycache__|\.deps|\.libs|\.test-deps)/", name)}
		self.assertEqual(built, set())

	def test_its_bytes_do_not_depend_on_place_and_time(self):
		"""What is unpacked makes the very tarball that it came from."""
		source = build.scratch() / "elsewhere"
		shutil.copytree(build.unpacked(), source)
		for path in source.rglob("README*"):
			os.utime(path)
			path.chmod(0o660)
		made = build.folder("elsewhere-built")
		build.run(source / "configure", cwd=made, env=build.clean_environment())
		again = build.release(made, TZ="Pacific/Kiritimati", LC_ALL="C.UTF-8")
		self.assertEqual(build.digest(again), build.digest(build.tarball()))


class Version(unittest.TestCase):
	def test_it_is_the_same_everywhere(self):
		def find(name, pattern):
			return re.search(pattern, (build.TREE / name).read_text(), re.M)[1]

		version = find("configure.ac", r"^AC_INIT\(\[rspamd-shim\], \[([^]]+)\]")
		self.assertEqual(find("packaging/debian/changelog", r"\Aexim-rspamd \((.+)-[^-]+\)"), version)
		self.assertEqual(find("packaging/rpm/rspamd-shim.spec", r"^Version: +(\S+)"), version)
		self.assertEqual(find("packaging/rpm/rspamd-shim.spec", r"^%changelog\n\* .* - (.+)-[^-\n]+$"), version)
		self.assertEqual(find("patches/exim-rspamd-patch", r"^version=(\S+)"), version)


class Contact(unittest.TestCase):
	"""configure.ac has the address for reports and the home page; who writes them elsewhere writes the same."""

	ADDRESS, PAGE = r"exim-rspamd@[\w.-]*\w", r"https?://[\w.-]+/exim-rspamd\b[\w./-]*"

	def text(self, name):
		return (build.TREE / name).read_text(errors="replace")

	def test_it_is_the_same_everywhere(self):
		init = re.search(r"^AC_INIT\((.+?)\)", self.text("configure.ac"), re.M | re.S)[1]
		_, _, address, _, page = re.findall(r"\[([^]]*)\]", init)
		maintainer = f"exim-rspamd maintainers <{address}>"
		spec, control = self.text("packaging/rpm/rspamd-shim.spec"), self.text("packaging/debian/control")
		self.assertIn(f"\nMaintainer: {maintainer}\n", control)
		self.assertIn(f"\nHomepage: {page}\n", control)
		self.assertRegex(spec, rf"\nURL: +{re.escape(page)}\n")
		self.assertRegex(spec, rf"\n\* .+ {re.escape(maintainer)} - ")
		self.assertIn(f"\n -- {maintainer}  ", self.text("packaging/debian/changelog"))
		self.assertIn(f"\nUpstream-Contact: {maintainer}\nSource: {page}\n", self.text("packaging/debian/copyright"))
		written = set()
		for folder in ("", "doc", "packaging", "patches", "shim", "exim-conf", "mta-conf"):
			for path in (build.TREE / folder).glob("**/*" if folder else "*"):
				if path.is_file() and not path.name.startswith(("configure", "config.", "aclocal")):
					text = path.read_text(errors="replace")
					written.update(re.findall(self.ADDRESS, text) + re.findall(self.PAGE, text))
		self.assertEqual(written, {address, page})


class Install(unittest.TestCase):
	def make(self, *words):
		return build.run("make", *words, cwd=build.built(), env=build.clean_environment())

	def test_all_goes_to_destdir_and_is_taken_out_again(self):
		root = build.folder("destdir")
		self.make("install", f"DESTDIR={root}")
		prefix = re.search(r"^prefix = (.+)$", (build.built() / "Makefile").read_text(), re.M)[1].lstrip("/")
		installed = build.files(root)
		for name in ("sbin/rspamd-shim", "bin/exim-rspamd-patch", "share/man/man8/rspamd-shim.8",
		             "share/exim-rspamd/rspamd-shim.conf.sample", "share/exim-rspamd/exim-conf/acl_check_spam",
		             "share/bash-completion/completions/rspamd-shim", "lib/systemd/system/rspamd-shim.socket"):
			self.assertIn(f"{prefix}/{name}", installed)
		self.assertEqual({name for name in installed if not name.startswith(prefix)}, set())
		tool = build.run(root / prefix / "bin/exim-rspamd-patch", "list")
		self.assertIn("4.70", tool)
		self.make("uninstall", f"DESTDIR={root}")
		self.assertEqual(build.files(root), set())

	def test_options_are_completed(self):
		"""In bash, for both programs; the options are those of --help."""
		if not pathlib.Path("/usr/share/bash-completion/bash_completion").exists():
			self.skipTest("bash-completion is not there")

		def complete(program, function, *words):
			script = """. /usr/share/bash-completion/bash_completion; . "$1"; program=$2 function=$3; shift 3
				COMP_WORDS=("$program" "$@"); COMP_CWORD=$#
				"$function" "$program" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
				printf '%s\\n' "${COMPREPLY[@]}" """
			name = pathlib.Path(program).name
			return set(subprocess.run(["bash", "-c", script, "bash", build.TREE / "packaging/completion" / name,
			                           program, function, *words], text=True, check=True, cwd=build.TREE,
			                          stdout=subprocess.PIPE).stdout.split())

		shim = build.built() / "rspamd-shim"
		told = set(re.findall(r"(?<![\w-])--[a-z-]+", build.run(shim, "--help")))
		self.assertEqual(complete(shim, "_rspamd_shim", "--"), told)
		self.assertEqual(complete(shim, "_rspamd_shim", "--dump-c"), {"--dump-config"})
		self.assertIn("README.md", complete(shim, "_rspamd_shim", "-c", "READ"))
		tool = build.TREE / "patches/exim-rspamd-patch"
		self.assertEqual(complete(tool, "_exim_rspamd_patch", "re"), {"revert"})
		self.assertEqual(complete(tool, "_exim_rspamd_patch", "apply", "--release", "4.87."), {"4.87.1"})
		self.assertIn("patches", complete(tool, "_exim_rspamd_patch", "status", "pat"))

"""The documents as they are installed: complete, and their links lead somewhere."""

import os
import re
import subprocess
import unittest

import build

# What the documents refer to and is in the source alone.
SOURCE = {
	"CONTRIBUTING.md",
	"doc/manual/rspamd-shim.8.in",	# rspamd-shim(8)
	"tests/bench/README.md",
	"tests/integration/README.md",
	"tests/reliability/README.md",
}


def locate(root, path):
	"""The file or folder below root that a path there means, or None; links are followed as if root were /."""
	found, words, hops = root, [word for word in path.split("/") if word], 0
	while words:
		word = words.pop(0)
		if word == "..":
			found = found.parent if found != root else root
			continue
		step = found / word
		if step.is_symlink():
			hops += 1
			if hops > 20:
				return None
			target = os.readlink(step)
			if target.startswith("/"):
				found = root
			words = [part for part in target.split("/") if part not in ("", ".")] + words
		elif word != ".":
			found = step
	return found if found.exists() else None


def anchors(text):
	"""The names of a document's headings."""
	for heading in re.findall(r"^#+ +(.+?) *$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M):
		yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def links(text):
	"""What a document refers to in its own tree, with the name of a heading."""
	for target in re.findall(r"\]\(([^)\s]+)\)", text):
		if not re.match(r"[a-z]+:", target):
			name, _, anchor = target.partition("#")
			yield name, anchor


def missing(root, document):
	"""Links of an installed document that lead nowhere, as (path relative to the document, heading)."""
	for name, anchor in links((root / document).read_text()):
		found = locate(root, f"{os.path.dirname(document)}/{name}" if name else document)
		if not found or anchor and anchor not in anchors(found.read_text()):
			yield name, anchor


def links_that_dangle(root):
	return {str(path.relative_to(root)) for path in root.rglob("*")
	        if path.is_symlink() and not locate(root, str(path.relative_to(root)))}


class Tree(unittest.TestCase):
	"""The means of the tests below."""

	def setUp(self):
		self.root = build.folder(f"documents-{self._testMethodName}")
		(self.root / "usr/doc/a").mkdir(parents=True)
		(self.root / "usr/data").mkdir()
		(self.root / "usr/data/there").write_text("# The heading: *one*\n")
		(self.root / "usr/doc/absolute").symlink_to("/usr/data")
		(self.root / "usr/doc/relative").symlink_to("../data")
		(self.root / "usr/doc/dangling").symlink_to("../nowhere")
		(self.root / "usr/doc/round").symlink_to("round")

	def test_links_are_followed_inside(self):
		for name, there in (("absolute/there", True), ("relative/there", True), ("a/../relative/there", True),
		                    ("a", True), ("absolute", True), ("dangling", False), ("round", False), ("none", False)):
			self.assertEqual(locate(self.root, f"usr/doc/{name}") is not None, there, name)
		self.assertEqual(links_that_dangle(self.root), {"usr/doc/dangling", "usr/doc/round"})

	def test_what_leads_nowhere_is_found(self):
		(self.root / "usr/doc/README.md").write_text(
			"[a](a) [b](relative/there#the-heading-one) [c](https://example.org/none) ![d](none.svg) [e](absolute/there#two)")
		self.assertEqual(list(missing(self.root, "usr/doc/README.md")), [("none.svg", ""), ("absolute/there", "two")])


class Documents(unittest.TestCase):
	def check(self, root, docdir, datadir, elsewhere=()):
		"""Of an installation: both folders without a leading /; elsewhere: what this one has under other names."""
		source = build.unpacked()
		absent = SOURCE | {"COPYING", *elsewhere}
		written = {path for path in build.files(source / "doc") if not path.startswith("manual/")}
		self.assertEqual(build.files(root / docdir / "doc"), written)
		used = set()
		documents = [(base, path) for base in (docdir, datadir) for path in sorted((root / base).rglob("*.md"))
		             if not path.is_symlink()]
		self.assertGreater(len(documents), 20)
		for base, path in documents:
			name = str(path.relative_to(root))
			for target, anchor in missing(root, name):
				inside = os.path.relpath(os.path.normpath(f"{os.path.dirname(name)}/{target}"), base)
				used.add(inside)
				self.assertIn(inside, absent, f"{name} refers to {target}{'#' if anchor else ''}{anchor}")
		self.assertEqual(absent - used, set(), "what is said to be absent is there, or nothing refers to it")
		self.assertEqual(links_that_dangle(root), set())
		for name in ("README.md", "rspamd-shim.rules.yml", "rspamd-shim.dashboard.json"):
			self.assertTrue((root / datadir / "monitoring" / name).is_file(), name)

	def test_make_install(self):
		root = build.folder("documents-installed")
		build.run("make", "install", f"DESTDIR={root}", cwd=build.built(), env=build.clean_environment())
		prefix = re.search(r"^prefix = /(.+)$", (build.built() / "Makefile").read_text(), re.M)[1]
		self.check(root, f"{prefix}/share/doc/exim-rspamd", f"{prefix}/share/exim-rspamd")

	def test_debian(self):
		root = build.folder("documents-debian")
		for package in ("rspamd-shim", "exim-rspamd"):
			build.run("dpkg-deb", "-x", build.deb(package), root)
			if package == "rspamd-shim":
				self.assertEqual(links_that_dangle(root), set(), "without exim-rspamd")
		self.check(root, "usr/share/doc/rspamd-shim", "usr/share/exim-rspamd", elsewhere={"ChangeLog"})
		self.assertTrue(locate(root, "usr/share/doc/rspamd-shim/changelog.gz"))
		for name in ("rspamd-shim/examples/monitoring/rspamd-shim.rules.yml", "rspamd-shim/examples/rspamd-shim.conf",
		             "exim-rspamd/exim-conf/acl_check_spam", "exim-rspamd/mta-conf/README.md",
		             "exim-rspamd/patches/README.md"):
			self.assertTrue(locate(root, f"usr/share/doc/{name}"), name)

	def test_rpm(self):
		build.need("rpm2archive")
		root = build.folder("documents-rpm")
		for package in sorted(build.rpms().rglob("*.rpm")):
			with open(package, "rb") as file:
				archive = subprocess.run(["rpm2archive", "-"], stdin=file, stdout=subprocess.PIPE, check=True).stdout
			subprocess.run(["tar", "-xzC", root], input=archive, check=True)
		self.check(root, "usr/share/doc/rspamd-shim", "usr/share/exim-rspamd")

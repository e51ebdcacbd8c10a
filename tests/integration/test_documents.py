"""The configurations in README.md and doc/ are taken by the programs they are for."""

import re
import subprocess

from harness import SOURCE_TREE, Case, Exim, process
from harness.shim import binary

DOCUMENTS = [*SOURCE_TREE.glob("*.md"), *sorted((SOURCE_TREE / "doc").glob("*.md"))]


def blocks(kind):
	"""(where, text) of every block of that kind."""
	for path in DOCUMENTS:
		text = path.read_text()
		for match in re.finditer(rf"^```{kind}\n(.*?)^```$", text, re.M | re.S):
			line = text.count("\n", 0, match.start()) + 2
			yield f"{path.relative_to(SOURCE_TREE)}:{line}", match[1]


class Documents(Case):
	def test_of_rspamd_shim(self):
		password = self.folder("documents") / "password"
		password.write_text("word\n")
		password.chmod(0o600)
		found = list(blocks("conf"))
		self.assertTrue(found)
		for where, text in found:
			file = password.with_name("rspamd-shim.conf")
			file.write_text(text.replace("/etc/rspamd-shim.password", str(password)))
			with self.subTest(where):
				done = subprocess.run([binary(), "-c", file, "--check-config"], capture_output=True, text=True)
				self.assertEqual((done.returncode, done.stderr), (0, ""))

	def test_of_exim(self):
		exim = self.own(Exim)
		acl = process.reachable(SOURCE_TREE / "exim-conf" / "acl_check_spam")
		found = list(blocks("exim"))
		self.assertTrue(found)
		for where, text in found:
			text = text.replace("/etc/exim/acl_check_spam", str(acl))
			before = "CHECK_SPAM_BEFORE_4_82 = yes\n" if exim.version() < (4, 82) else ""
			(exim.dir / "document.conf").write_text(f"{before}hostlist relay_from_hosts = 127.0.0.77\n{text}")
			with self.subTest(where):
				done = exim._exim("-bV", conf="document.conf")
				self.assertEqual(done.returncode, 0, done.stdout.decode(errors="replace"))

	def test_links(self):
		for path in DOCUMENTS:
			for name in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text()):
				with self.subTest(f"{path.name}: {name}"):
					self.assertTrue((path.parent / name).exists())

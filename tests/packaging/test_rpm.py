"""The RPMs, built with Debian's rpmbuild as far as that goes."""

import os
import re
import unittest

import build

# rpmlint's demands that are a distributor's own, or a mistake of it.
DISTRIBUTORS = {
	"no-signature", "no-packager-tag", "no-group-tag",
	"bad-manual-page-folder",	# it takes the .conf of rspamd-shim.conf(5) for a section
}


def package(name):
	found = sorted(build.rpms().rglob(f"{name}-[0-9]*.rpm"))
	assert len(found) == 1, found
	return found[0]


class Rpm(unittest.TestCase):
	def test_files(self):
		shim = build.run("rpm", "-qlp", package("rspamd-shim")).splitlines()
		for path in ("/usr/sbin/rspamd-shim", "/etc/rspamd-shim.conf", "/usr/lib/systemd/system/rspamd-shim.socket",
		             "/usr/lib/systemd/system/rspamd-shim.service", "/usr/share/exim-rspamd/rspamd-shim.conf.sample"):
			self.assertIn(path, shim)
		other = build.run("rpm", "-qlp", package("exim-rspamd")).splitlines()
		for path in ("/usr/bin/exim-rspamd-patch", "/usr/share/exim-rspamd/exim-conf/acl_check_spam",
		             "/usr/share/exim-rspamd/patches/releases"):
			self.assertIn(path, other)
		self.assertEqual(build.run("rpm", "-qcp", package("rspamd-shim")).split(), ["/etc/rspamd-shim.conf"])
		self.assertIn("useradd -r", build.run("rpm", "-qp", "--scripts", package("rspamd-shim")))
		self.assertEqual(build.run("rpm", "-qp", "--qf", "%{ARCH}", package("exim-rspamd")), "noarch")

	def test_links_are_relative(self):
		targets = set()
		for name in ("rspamd-shim", "exim-rspamd"):
			targets.update(build.run("rpm", "-qp", "--qf", "[%{FILELINKTOS}\n]", package(name)).split())
		self.assertGreater(len(targets), 4)
		self.assertEqual({target for target in targets if target.startswith("/")}, set())

	def test_rpmlint_finds_no_error(self):
		build.need("rpmlint")
		build.rpms()
		try:
			out = build.run("rpmlint", *sorted(build.rpms().rglob("*.rpm")))
		except AssertionError as found:		# it fails for the distributors' errors, too
			out = str(found)
		self.assertRegex(out, r"\b2 packages\b")
		errors = re.findall(r"^\S+: E: (\S+)", out, re.M)
		self.assertEqual(set(errors) - DISTRIBUTORS, set())

	def test_two_builds_have_the_same_bytes(self):
		if not os.environ.get("FULL"):
			self.skipTest("it is one of the full run's (FULL=1)")
		again = build.make_rpms("rpm-elsewhere", TZ="Pacific/Kiritimati", LC_ALL="C.UTF-8")

		def sums(folder):
			return {p.name: build.digest(p) for p in folder.rglob("*.rpm")}

		self.assertEqual(sums(again), sums(build.rpms()))

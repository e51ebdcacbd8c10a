"""The Debian packages: contents, lintian, reproducible builds, AppArmor's profile."""

import re
import unittest

import build
from harness import packages

# Only its own files are wanted: the parser and the abstractions.
packages.GROUPS["apparmor"] = (["apparmor"], "sbin/apparmor_parser")
packages.FILES_ONLY.add("apparmor")


def contents(package):
	"""{path: mode and owner} of the package's files."""
	lines = build.run("dpkg-deb", "-c", build.deb(package)).splitlines()
	return {line.split()[5].removeprefix("."): tuple(line.split()[:2]) for line in lines if not line.startswith("d")}


def field(package, name):
	return build.run("dpkg-deb", "-f", build.deb(package), name).strip()


class Packages(unittest.TestCase):
	def test_lintian_finds_nothing(self):
		build.debs()
		build.need("lintian")
		changes = next(build.debs().glob("*.changes"))
		out = build.run("lintian", "--fail-on", "error,warning", "--tag-display-limit", "0", changes)
		self.assertEqual(re.findall(r"^[EWM]: .*", out, re.M), [])

	def test_the_daemon(self):
		units = build.debian_units()
		found = contents("rspamd-shim")
		for path in ("/usr/sbin/rspamd-shim", f"{units}/rspamd-shim.service", f"{units}/rspamd-shim.socket", "/etc/rspamd-shim.conf",
		             "/etc/apparmor.d/usr.sbin.rspamd-shim", "/usr/share/man/man8/rspamd-shim.8.gz",
		             "/usr/share/man/man5/rspamd-shim.conf.5.gz", "/usr/share/doc/rspamd-shim/README.Debian",
		             "/usr/share/bash-completion/completions/rspamd-shim",
		             "/usr/share/exim-rspamd/rspamd-shim.conf.sample"):
			self.assertIn(path, found)
		self.assertEqual({owner for _, owner in found.values()}, {"root/root"})
		self.assertEqual({mode for mode, _ in found.values()} - {"-rw-r--r--", "-rwxr-xr-x", "lrwxrwxrwx"}, set())
		needed = {word.split()[0] for word in field("rspamd-shim", "Depends").split(", ")}
		self.assertEqual({name for name in needed if name.startswith(("systemd", "rspamd", "exim"))}, set())

	def test_exim_and_others(self):
		self.assertEqual(field("exim-rspamd", "Architecture"), "all")
		found = contents("exim-rspamd")
		for path in ("/usr/bin/exim-rspamd-patch", "/usr/share/man/man1/exim-rspamd-patch.1.gz",
		             "/usr/share/exim-rspamd/exim-conf/acl_check_spam",
		             "/usr/share/exim-rspamd/mta-conf/README.md", "/usr/share/exim-rspamd/patches/releases"):
			self.assertIn(path, found)
		self.assertEqual(set(found) & set(contents("rspamd-shim")), set())

	def test_the_configuration_sets_the_user_and_nothing_else(self):
		root = build.folder("configuration")
		build.run("dpkg-deb", "-x", build.deb("rspamd-shim"), root)
		lines = (root / "etc/rspamd-shim.conf").read_text().splitlines()
		self.assertEqual([line for line in lines if line and not line.startswith("#")], ['user = "rspamd-shim"'])

	def test_two_builds_have_the_same_bytes(self):
		again = build.make_debs("deb-elsewhere-with-a-longer-name", DEB_BUILD_OPTIONS="nocheck parallel=1",
		                        TZ="Pacific/Kiritimati", LC_ALL="C.UTF-8", HOME="/nonexistent", USER="somebody")
		pattern = re.compile(r"\.(deb|dsc|tar\.xz)$")

		def sums(folder):
			return {p.name: build.digest(p) for p in folder.iterdir() if pattern.search(p.name)}

		self.assertEqual(sums(again), sums(build.debs()))
		self.assertGreaterEqual(len(sums(again)), 5)


class AppArmor(unittest.TestCase):
	PROFILE = build.TREE / "packaging/apparmor/usr.sbin.rspamd-shim"

	def parse(self, profile):
		group = packages.need("apparmor")
		base = group.path("etc/apparmor.d")
		return build.run(group.path("sbin/apparmor_parser"), "--skip-kernel-load", "--skip-cache",
		                 "--config-file", "/dev/null", "--base", base, "--Include", base, "--warn", "all", profile)

	def test_the_parser_takes_it(self):
		self.assertNotRegex(self.parse(self.PROFILE), "(?i)error|unknown|deprecated")

	def test_the_parser_would_have_refused_a_faulty_one(self):
		faulty = build.folder("apparmor") / "faulty"
		faulty.write_text(self.PROFILE.read_text().replace("capability setuid,", "capability nonsense,"))
		with self.assertRaises(AssertionError):
			self.parse(faulty)

	def test_places_in_the_manuals_are_allowed(self):
		"""Files of the daemon that the manuals and units name below /etc and /run."""
		profile = self.PROFILE.read_text()
		rules = re.findall(r"^  (/etc\S*|@\{run\}\S*|/usr/sbin\S*) \w+,$", profile, re.M)
		allowed = [re.compile(re.escape(r.replace("@{run}", "/run")).replace(r"\*\*", ".+").replace(r"\*", "[^/]*") + "$")
		           for r in rules]
		pattern = re.compile(r'^sample: "(?:unix:)?(@sysconfdir@/[^"]+|/run/[^"]+)"|^\.It Pa (@sysconfdir@/\S+)'
		                     r'|password_file = "(/run/[^"]+)"|ListenStream=(/run/\S+)|rspamd-shim (/usr/sbin/\S+) ', re.M)
		named = set()
		for name in ("doc/manual/keys", "doc/manual/rspamd-shim.8.in", "packaging/systemd/rspamd-shim.service.in",
		             "packaging/systemd/rspamd-shim.socket", "packaging/apparmor/usr.sbin.rspamd-shim"):
			found = {"".join(groups) for groups in pattern.findall((build.TREE / name).read_text())}
			self.assertTrue(found, name)
			named |= found
		for path in (name.replace("@sysconfdir@", "/etc") for name in named):
			self.assertTrue(any(rule.match(path) for rule in allowed), f"{path} is not in the profile")

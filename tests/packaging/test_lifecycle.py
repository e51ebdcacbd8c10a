"""The Debian packages installed, upgraded, removed and purged in a clean tree."""

import os
import pathlib
import re
import socket
import subprocess
import unittest

import build
import tree
from harness import FakeRspamd, process, spamc_request, talk, verdict, wait_until

PACKAGES = ("rspamd-shim", "exim-rspamd")
UNITS = ("multi-user.target.wants/rspamd-shim.service", "sockets.target.wants/rspamd-shim.socket")

# In the place of systemd's: notes what it is asked to do.
SYSTEMCTL = """#!/bin/sh
echo "$*" >>/systemctl.log
case "$*" in
*is-enabled*) echo enabled ;;
*is-active*) test -e /socket-is-active ;;
esac
"""


def dependencies():
	"""Names of what the packages depend on."""
	names = set()
	for package in PACKAGES:
		line = build.run("dpkg-deb", "-f", build.deb(package), "Depends")
		names.update(re.match(r"[^ |]+", word.strip())[0] for word in line.split(","))
	return sorted(names)


def older(name, change=None):
	"""A .deb that is a version lower; change(folder) may do something to its files."""
	folder = build.folder(name)
	build.run("dpkg-deb", "-R", build.deb("rspamd-shim"), folder)
	control = folder / "DEBIAN/control"
	control.write_text(re.sub(r"^Version: .*", "Version: 0.0.9-1", control.read_text(), flags=re.M))
	if change:
		change(folder)
	file = build.scratch() / f"{name}.deb"
	build.run("dpkg-deb", "--root-owner-group", "-b", folder, file)
	return file


class Daemon:
	"""The installed daemon, started as its unit says, with the socket of its socket unit."""

	def __init__(self, where, *options):
		units = where.path(build.debian_units())
		command = re.search(r"^ExecStart=(.+)$", (units / "rspamd-shim.service").read_text(), re.M)[1]
		user = re.search(r"^User=(.+)$", (units / "rspamd-shim.service").read_text(), re.M)[1]
		address = re.search(r"^ListenStream=(.+):(\d+)$", (units / "rspamd-shim.socket").read_text(), re.M)
		self.address = (address[1], int(address[2]))
		with socket.create_server(self.address) as listening, open(build.scratch() / "daemon.log", "wb") as log:
			# systemd hands descriptors over from number 3 on
			script = 'exec 3<&"$1"; shift; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
			self.process = subprocess.Popen(
				["bash", "-c", script, "bash", str(listening.fileno()), "chroot", f"--userspec={user}:{user}", where.root,
				 *command.split(), *options], pass_fds=[listening.fileno()], stderr=log)

	def stop(self):
		self.process.terminate()
		return self.process.wait()


@unittest.skipIf(os.geteuid() != 0, "packages are installed by root alone, in a tree of their own")
class Lifecycle(unittest.TestCase):
	@classmethod
	def setUpClass(cls):
		wanted = dependencies()
		tree.base(wanted)		# out here there is a network
		isolation = tree.Isolation()
		cls.addClassCleanup(isolation.leave)
		cls.tree = tree.Tree(wanted)
		cls.addClassCleanup(cls.tree.close)
		cls.clean = cls.tree.everything()

	def setUp(self):
		self.addCleanup(self.tree.run, "dpkg", "--purge", *PACKAGES)

	def with_systemd(self):
		"""From here on the maintainer scripts take the tree for a machine that systemd runs."""
		for path, text in (("/usr/bin/systemctl", SYSTEMCTL), ("/systemctl.log", "")):
			self.tree.path(path).write_text(text)
			self.tree.path(path).chmod(0o755)
			self.addCleanup(self.tree.path(path).unlink)
		marks = self.tree.path("/run/systemd/system"), self.tree.path("/socket-is-active")
		marks[0].mkdir(parents=True)
		self.addCleanup(marks[0].parent.rmdir)
		self.addCleanup(marks[0].rmdir)
		marks[1].touch()
		self.addCleanup(marks[1].unlink, missing_ok=True)

	def asked(self):
		"""What systemd has been asked to do with the units since the last call."""
		log = self.tree.path("/systemctl.log")
		lines = log.read_text().splitlines()
		log.write_text("")
		actions = ("start", "stop", "restart", "try-restart", "reload")
		found = set()
		for line in lines:
			words = [word for word in line.split() if not word.startswith("-")]
			if words and words[0] in actions:
				found.update((words[0], unit) for unit in words[1:])
		return found

	def install(self):
		return self.tree.install(*(build.deb(name) for name in PACKAGES))

	def test_the_installed_daemon_scans_a_mail(self):
		self.install()
		rspamd = FakeRspamd()
		self.addCleanup(rspamd.stop)
		rspamd.answer(verdict("add header", 7.5, symbols={"A_TEST": 7.5}))
		daemon = Daemon(self.tree, "-b", rspamd.url)
		self.addCleanup(daemon.process.kill)
		reply = talk(daemon.address, spamc_request("REPORT", b"Subject: a test\r\n\r\nHello\r\n", version="1.2"),
		             half_close=True)
		self.assertIn(b"Spam: True ; 7.5 / ", reply)
		self.assertIn(b"A_TEST", reply)
		self.assertTrue(rspamd.requests[0].body.startswith(b"Subject: a test"))
		owners = {pathlib.Path(f"/proc/{daemon.process.pid}").stat().st_uid}
		self.assertEqual(owners, {self.tree.user("rspamd-shim")[0]})
		self.assertEqual(daemon.stop(), 0)

	def test_started_by_root_it_becomes_its_own_user(self):
		self.install()
		self.tree.run("rspamd-shim", "--check-config")
		self.tree.run("rspamd-shim", "--daemon", "--pid-file", "/run/rspamd-shim.pid")
		pid = int(self.tree.path("/run/rspamd-shim.pid").read_text())
		self.addCleanup(wait_until, lambda: process.has_ended(pid), "the daemon's end")
		self.addCleanup(os.kill, pid, 15)
		self.assertEqual(talk(783, b"PING SPAMC/1.5\r\n\r\n"), b"SPAMD/1.5 0 PONG\r\n")
		workers = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
		self.assertEqual({os.stat(f"/proc/{worker}").st_uid for worker in workers}, {self.tree.user("rspamd-shim")[0]})

	def test_it_is_enabled_and_its_user_can_do_nothing_else(self):
		self.install()
		for unit in UNITS:
			self.assertTrue(self.tree.path(f"/etc/systemd/system/{unit}").is_symlink(), unit)
		uid, gid, home, shell = self.tree.user("rspamd-shim")
		self.assertTrue(100 <= uid <= 999 and 100 <= gid <= 999, (uid, gid))
		self.assertEqual((home, shell), ("/nonexistent", "/usr/sbin/nologin"))
		self.assertIn("4.87.1", self.tree.run("exim-rspamd-patch", "list"))

	def test_what_is_removed_keeps_its_configuration(self):
		self.install()
		conf = self.tree.path("/etc/rspamd-shim.conf")
		conf.write_text("workers = 2\n")
		self.tree.run("dpkg", "--remove", *PACKAGES)
		self.assertFalse(self.tree.path("/usr/sbin/rspamd-shim").exists())
		self.assertEqual(conf.read_text(), "workers = 2\n")
		self.assertEqual(self.tree.state("rspamd-shim"), "config-files")
		self.assertIsNotNone(self.tree.user("rspamd-shim"))
		self.install()
		self.assertEqual(conf.read_text(), "workers = 2\n")
		conf.unlink()		# for what purges the packages next

	def test_what_is_purged_leaves_nothing(self):
		self.install()
		self.tree.run("dpkg", "--purge", *PACKAGES)
		self.assertEqual([self.tree.state(name) for name in PACKAGES], [None, None])
		self.assertIsNone(self.tree.user("rspamd-shim"))
		after = self.tree.everything()
		self.assertEqual({name for name in after.keys() | self.clean.keys() if after.get(name) != self.clean.get(name)}, set())

	def test_upgrade(self):
		"""The configuration of the package is renewed, one of the administrator's stays; the user remains who it was."""
		def other_configuration(folder):
			with open(folder / "etc/rspamd-shim.conf", "a", encoding="utf-8") as conf:
				conf.write("# of an older version\n")

		old = older("older", other_configuration)
		conf = self.tree.path("/etc/rspamd-shim.conf")
		self.tree.install(old)
		packaged = conf.read_text()
		user = self.tree.user("rspamd-shim")
		self.install()
		self.assertNotIn("0.0.9", self.tree.run("dpkg-query", "-W", "rspamd-shim"))
		self.assertEqual(conf.read_text() + "# of an older version\n", packaged)
		self.assertEqual(self.tree.user("rspamd-shim"), user)

		self.tree.run("dpkg", "--purge", *PACKAGES)
		self.tree.install(old)
		conf.write_text(packaged + "workers = 2\n")
		self.install()
		self.assertEqual(conf.read_text(), packaged + "workers = 2\n")
		self.tree.run("rspamd-shim", "--check-config")

	def test_clients_wait_during_an_upgrade(self):
		"""The service is restarted, its socket is not."""
		self.with_systemd()
		self.tree.install(older("older-running"))
		started = self.asked()
		self.assertIn(("start", "rspamd-shim.socket"), started)
		self.assertTrue({action for action, unit in started if unit == "rspamd-shim.service"} & {"start", "restart"})
		self.install()
		again = self.asked()
		self.assertIn(("restart", "rspamd-shim.service"), again)
		self.assertEqual(again & {(action, "rspamd-shim.socket") for action in ("stop", "restart", "try-restart")}, set())
		self.tree.run("dpkg", "--remove", "rspamd-shim")
		self.assertLessEqual({("stop", "rspamd-shim.socket"), ("stop", "rspamd-shim.service")}, self.asked())

	def test_a_spamd_on_the_port_is_told_and_how_to_switch(self):
		with socket.create_server(("127.0.0.1", 783)):
			said = self.install()
			self.assertIn("another program listens on port 783", said)
			self.assertIn("systemctl disable --now spamd", said)
			self.assertEqual(self.tree.state("rspamd-shim"), "installed")
			self.tree.run("dpkg", "--purge", "rspamd-shim")
			self.with_systemd()
			self.tree.path("/socket-is-active").unlink()
			self.assertIn("port 783", self.install())

	def test_nothing_is_said_of_the_port_without_cause(self):
		self.assertNotIn("783", self.install())
		with socket.create_server(("127.0.0.1", 7830)):
			self.tree.run("dpkg", "--purge", "rspamd-shim")
			self.assertNotIn("783", self.install())
		# rspamd-shim itself, at an upgrade
		self.tree.run("dpkg", "--purge", "rspamd-shim")
		self.tree.install(older("older-on-the-port"))
		with socket.create_server(("127.0.0.1", 783)):
			self.assertNotIn("783", self.install())
		self.with_systemd()
		with socket.create_server(("127.0.0.1", 783)):
			self.assertNotIn("783", self.install())

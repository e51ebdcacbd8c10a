"""A Debian tree of a few packages, and a network of its own, to install into.

The tree is made once with mmdebstrap, from the sources that it takes by itself
for this machine's release, and kept as a tarball beside the other things that
tests fetch.  Each run unpacks it into a folder of its own.
"""

import ctypes
import hashlib
import os
import pathlib
import re
import signal
import subprocess
import unittest

import build
from common import debian_tree
from harness import packages

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000


class Isolation:
	"""Mounts and a loopback of this process's own, until leave().

	Ports are all free in it, and nothing leads out of it.
	"""

	def __init__(self):
		self.libc = ctypes.CDLL(None, use_errno=True)
		self.before = [os.open(f"/proc/self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in ("net", "mnt")]
		self.folder = os.getcwd()
		if self.libc.unshare(CLONE_NEWNS | CLONE_NEWNET) != 0:
			why = os.strerror(ctypes.get_errno())
			raise unittest.SkipTest(f"the kernel gives no namespaces: {why}")
		try:
			build.run("mount", "--make-rprivate", "/")
			debian_tree.loopback_up()
		except BaseException:
			self.leave()
			raise

	def leave(self):
		for fd in self.before:
			self.libc.setns(fd, 0)
			os.close(fd)
		os.chdir(self.folder)


def base(dependencies):
	"""The tarball of a tree that has these packages and what they need."""
	release = pathlib.Path("/etc/os-release").read_text()
	suite = re.search(r'^VERSION_CODENAME="?(\w+)', release, re.M)
	if not re.search(r"^ID=debian$", release, re.M) or not suite:
		raise unittest.SkipTest("packages that were built on this machine are not for Debian")
	key = hashlib.sha256(" ".join(dependencies).encode()).hexdigest()[:12]
	folder = packages.deps_dir()
	folder.mkdir(parents=True, exist_ok=True)
	path = folder / f"tree-{suite[1]}-{key}.tar"
	with debian_tree.locked(folder / "tree.lock"):
		try:
			debian_tree.make(suite[1], path, include=dependencies)
		except debian_tree.Unavailable as why:
			raise unittest.SkipTest(str(why)) from None
	return path


class Tree:
	"""The unpacked tree, with /proc.  Call within an Isolation."""

	def __init__(self, dependencies):
		self.root = build.folder("tree")
		debian_tree.unpack(base(dependencies), self.root)
		build.run("mount", "-t", "proc", "proc", self.root / "proc")

	def close(self):
		"""Ends what still runs in the tree, which only a failed test leaves."""
		for process in pathlib.Path("/proc").glob("[0-9]*"):
			try:
				if os.readlink(process / "root") == str(self.root):
					os.kill(int(process.name), signal.SIGKILL)
			except OSError:
				pass		# gone in between
		build.run("umount", "--lazy", self.root / "proc")

	def run(self, *command):
		"""In the tree; output and errors as text.  What fails raises AssertionError."""
		return build.run("chroot", self.root, *command, env=debian_tree.environment())

	def install(self, *files):
		"""Install or upgrade to these .deb files; what was said."""
		names = []
		for file in files:
			target = self.root / "root" / file.name
			target.write_bytes(file.read_bytes())
			names.append(f"/root/{file.name}")
		try:
			return self.run("dpkg", "--force-confdef", "--force-confold", "-i", *names)
		finally:
			for name in names:
				self.path(name).unlink()

	def path(self, name):
		return self.root / name.lstrip("/")

	def state(self, package):
		"""dpkg's word for the package's state: installed, config-files …; None if it knows nothing of it."""
		done = subprocess.run(["chroot", self.root, "dpkg-query", "-W", "-f", "${db:Status-Status}", package],
		                      text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
		return done.stdout.strip() or None

	def user(self, name):
		"""(uid, gid, home, shell), or None."""
		for line in self.path("/etc/passwd").read_text().splitlines():
			fields = line.split(":")
			if fields[0] == name:
				return int(fields[2]), int(fields[3]), fields[5], fields[6]
		return None

	def everything(self):
		"""{path: mode, owner and bytes' sum} of all that a package could leave, the records of dpkg aside."""
		found = {}
		skipped = ("proc", "root", "run", "tmp", "var/lib/dpkg", "var/cache", "var/log", "etc/passwd-", "etc/group-",
		           "etc/shadow-", "etc/gshadow-")
		for folder, folders, files in os.walk(self.root):
			inner = pathlib.Path(folder).relative_to(self.root)
			folders[:] = [name for name in folders if str(inner / name) not in skipped]
			for name in folders + files:
				path = self.root / inner / name
				if str(inner / name) in skipped:
					continue
				info = path.lstat()
				content = path.read_bytes() if path.is_file() and not path.is_symlink() and info.st_size < 100000 else b""
				found[str(inner / name)] = (info.st_mode, info.st_uid, info.st_gid, hashlib.sha256(content).hexdigest())
		return found

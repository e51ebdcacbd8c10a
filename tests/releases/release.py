"""A release of Debian: its minimal tree, and fresh copies of it to run commands in."""

import contextlib
import ctypes
import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

from common import debian_tree
from harness import packages

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = "/srv/exim-rspamd"		# where the source tree is in a tree

# name: (suite, architecture where it is not the machine's, title)
RELEASES = {
	"bookworm": ("bookworm", None, "Debian 12"),
	"trixie": ("trixie", None, "Debian 13"),
	"forky": ("forky", None, "Debian testing (forky)"),
	"bullseye": ("bullseye", None, "Debian 11"),
	"i386": ("bookworm", "i386", "Debian 12, i386"),
}
# Their archives of security updates are not whole on all mirrors.
WITHOUT_SECURITY = ("bullseye", "i386")


class Failed(Exception):
	"""A command in a tree failed."""


def folder():
	"""Where trees and downloaded packages are kept."""
	path = packages.deps_dir() / "trees"
	path.mkdir(mode=0o755, parents=True, exist_ok=True)
	return path


def copy_source(source, target):
	"""The source tree as it is at source, without what was made there; target is a new folder.

	A git checkout is cloned, and gets the changes of tracked files that are not
	committed; anything else is copied.
	"""
	if (source / ".git").exists() and shutil.which("git"):
		git = ["git", "-c", "safe.directory=*"]
		subprocess.run([*git, "clone", "--quiet", "--no-hardlinks", str(source), str(target)], check=True)
		changes = subprocess.run([*git, "-C", str(source), "diff", "HEAD", "--binary"], check=True, stdout=subprocess.PIPE).stdout
		if changes:
			subprocess.run([*git, "-C", str(target), "apply", "--whitespace=nowarn"], input=changes, check=True)
		return

	def made(_, names):
		return {name for name in names if name.startswith((".test-deps", "build-", "autom4te")) and name != "build-aux"
		        or name == "__pycache__"}
	shutil.copytree(source, target, symlinks=True, ignore=made)


class Release:
	def __init__(self, name):
		self.name = name
		self.suite, self.architecture, self.title = RELEASES[name]

	@contextlib.contextmanager
	def held(self):
		"""Keeps other runs away from this release, and makes its tree.  Raises debian_tree.Unavailable."""
		with debian_tree.locked(folder() / f"{self.name}.lock"):
			self.tarball = folder() / f"{self.name}.tar"
			debian_tree.make(self.suite, self.tarball, architecture=self.architecture,
			                 security=self.name not in WITHOUT_SECURITY)
			yield

	@contextlib.contextmanager
	def fresh(self):
		"""A copy of the tree, and the source tree in it; gone at the end."""
		remove_abandoned()
		path = pathlib.Path(tempfile.mkdtemp(prefix=f"run-{self.name}-", dir=folder()))
		with open(path / "lock", "w") as lock:
			fcntl.flock(lock, fcntl.LOCK_EX)
			try:
				root = path / "root"
				root.mkdir(mode=0o755)
				debian_tree.unpack(self.tarball, root)
				copy_source(packages.SOURCE_TREE, root / SOURCE.lstrip("/"))
				yield Tree(self, root)
			finally:
				shutil.rmtree(path)


def remove_abandoned():
	"""Removes what runs left that were killed: nobody has their lock."""
	for path in folder().glob("run-*"):
		with contextlib.suppress(OSError), open(path / "lock") as lock:
			fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
			shutil.rmtree(path)


def die_with_parent():
	ctypes.CDLL(None).prctl(1, signal.SIGKILL)		# PR_SET_PDEATHSIG


class Tree:
	"""A fresh copy of a release's tree."""

	def __init__(self, release, root):
		self.root = root
		self.release = release
		self.archives = folder() / f"{release.name}-archives"
		self.archives.mkdir(exist_ok=True)
		(self.archives / "partial").mkdir(exist_ok=True)
		for name in ("resolv.conf", "hosts"):
			target = root / "etc" / name
			target.unlink(missing_ok=True)
			shutil.copy(f"/etc/{name}", target)
		self.extra = network_environment(root)

	def run(self, *command, log, tell=lambda line: None, alone=False, environment=None):
		"""Runs the command in SOURCE, see enter(); alone: without a network but a loopback of its own."""
		env = {**debian_tree.environment(), **self.extra, **(environment or {})}
		enter(self.root, *(["--alone"] if alone else []), "--bind", self.archives, "/var/cache/apt/archives",
		      "env", "-i", *(f"{name}={value}" for name, value in env.items()), *command, log=log, tell=tell, alone=alone)


def enter(root, *words, log, tell, alone=False):
	"""enter.py with these words: what the command says goes to the file log and to tell(), line by line.

	Raises Failed.  Whatever happens, none of its processes is left, and no mount.
	"""
	words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", *(["--net"] if alone else []),
	         sys.executable, HERE / "enter.py", root, SOURCE, *words]
	child = subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
	                         stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
	                         preexec_fn=die_with_parent)
	lines = []
	try:
		with open(log, "w") as file:
			for line in child.stdout:
				file.write(line)
				file.flush()
				lines = [*lines[-39:], line]
				tell(line.rstrip("\n"))
		code = child.wait()
	finally:
		# unshare takes its child along, and that is process 1 of all others
		child.kill()
		child.stdout.close()
		child.wait()
	if code != 0:
		said = [line.strip() for line in lines if line.strip()]
		raise Failed(f"exit code {code}: {said[-1] if said else 'it said nothing'}\nthe end of {log}:\n{''.join(lines)}")


def network_environment(root):
	"""What the machine's programs need to reach the network, for those in the tree."""
	found = {name: value for name, value in os.environ.items()
	         if name.lower().endswith("_proxy") or name.lower().startswith("npm_config_registry")}
	certificates = os.environ.get("NODE_EXTRA_CA_CERTS")
	if certificates and os.path.exists(certificates):
		shutil.copy(certificates, root / "etc/node-certificates.pem")
		found["NODE_EXTRA_CA_CERTS"] = "/etc/node-certificates.pem"
	npm = shutil.which("npm")
	if npm:
		said = subprocess.run([npm, "config", "get", "registry"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
		                      stderr=subprocess.DEVNULL, text=True).stdout.strip()
		if said.startswith("http") and "@" not in said:
			found["npm_config_registry"] = said
	return found

"""Programs from npm's registry, in the versions that tests/integration/npm locks.

Each folder there is one group: package.json says what is wanted, and
package-lock.json every version and checksum.  `npm ci` puts them into
.test-deps/ (see packages.py), without running any script of theirs and without
touching what npm keeps elsewhere.  npm itself is the machine's, or Debian's,
unpacked.

They all run on the Node of the group "node": Debian 12 has 18, and Haraka
wants 22.
"""

import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from . import packages, process
from .packages import Unavailable

GROUPS = packages.SOURCE_TREE / "tests" / "integration" / "npm"

_ready = {}


class Node:
	"""A group, and the Node to run it with.  modules is its node_modules folder."""

	def __init__(self, modules, node):
		self.modules = modules
		self.node = node

	def environment(self, extra=None):
		return process.environment(extra={"NODE_PATH": str(self.modules), **(extra or {})})

	def run(self, script, *arguments, stdin=b""):
		"""Run a script (text); its output.  AssertionError where it fails."""
		done = subprocess.run([str(self.node), "-e", script, "--", *map(str, arguments)], input=stdin,
		                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment(),
		                      timeout=process.PATIENCE, **process.run_as())
		assert done.returncode == 0, f"node ended with {done.returncode}: {done.stderr.decode(errors='replace')}"
		return done.stdout


def need(name):
	"""The group called name as a Node, fetched if need be.  Raises Unavailable."""
	node = _node()
	return Node(_folder(name) / "node_modules", node)


def _node():
	return _programs(_folder("node"))[0]


def _programs(folder):
	return sorted(folder.glob("node_modules/node-linux-*/bin/node"))


def _folder(name):
	if name not in _ready:
		try:
			_ready[name] = _prepare(name)
		except (Unavailable, OSError) as why:
			_ready[name] = Unavailable(f"{name} from npm: {why}")
	if isinstance(_ready[name], Unavailable):
		raise _ready[name]
	return _ready[name]


def _prepare(name):
	base = packages.deps_dir()
	base.mkdir(parents=True, exist_ok=True)
	files = [GROUPS / name / f for f in ("package.json", "package-lock.json")]
	version = hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:12]
	folder = base / f"npm-{name}-{version}"
	if not folder.exists():
		command, env = _npm()
		with open(base / "npm.lock", "w") as lock:
			fcntl.flock(lock, fcntl.LOCK_EX)
			if not folder.exists():
				_install(name, files, folder, command, env)
	return folder


def _install(name, files, folder, command, env):
	with tempfile.TemporaryDirectory(prefix="npm-", dir=folder.parent) as work:
		os.chmod(work, 0o755)
		tree = pathlib.Path(work, "tree")
		tree.mkdir(mode=0o755)
		for file in files:
			shutil.copy(file, tree)
		packages.progress(f"{name}: npm ci")
		# Optional packages are what Node there is for this machine, and
		# Haraka's plugins that nobody asked for.
		omit = [] if name == "node" else ["--omit=optional"]
		# Without a network npm would try again for minutes.
		patience = ["--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=60000"]
		done = subprocess.run([*command, "ci", "--ignore-scripts", "--no-audit", "--no-fund", *omit, *patience,
		                       "--cache", f"{work}/cache"], cwd=tree, env=env, stdin=subprocess.DEVNULL,
		                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
		                      umask=0o022)
		if done.returncode != 0:
			errors = re.findall(r"(?m)^npm (?:ERR!|error) (.+)$", done.stdout)
			raise Unavailable(f"npm ci failed (no network?): {'; '.join(errors[:4]) or done.stdout[-300:]}")
		# npm does not mind when an optional package cannot be had.
		if name == "node" and not _programs(tree):
			raise Unavailable(f"npm ci fetched no Node for {os.uname().machine} (no network?)")
		for old in folder.parent.glob(f"npm-{name}-*"):
			shutil.rmtree(old)
		tree.rename(folder)
	packages.progress(f"{name} is in {folder}")


def _npm():
	"""npm's command and its environment."""
	found = shutil.which("npm")
	if found and _major(found) >= 7:	# which can read the lock files
		return [found], None
	group = packages.need("npm")
	modules = group.path("usr/share/nodejs")
	paths = [group.library_path(), os.environ.get("LD_LIBRARY_PATH")]
	env = dict(os.environ, LD_LIBRARY_PATH=":".join(p for p in paths if p),
	           NODE_PATH=":".join(map(str, [modules, *group.root.glob("usr/lib/*/nodejs")])))
	# Debian's Node reads modules of its own from /usr/share/nodejs and
	# nowhere else: that folder alone is taken from the group.
	env.update(LD_PRELOAD="libfakechroot.so", FAKECHROOT_BASE=str(group.root),
	           FAKECHROOT_EXCLUDE_PATH=":".join(_all_but(pathlib.Path("/"), "usr", "share", "nodejs")))
	return [str(group.path("usr/bin/node")), str(modules / "npm/bin/npm-cli.js")], env


def _major(npm):
	"""First number of npm's version; 0 if it does not run."""
	done = subprocess.run([npm, "--version"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
	                      stderr=subprocess.DEVNULL, text=True)
	match = re.match(r"(\d+)\.", done.stdout)
	return int(match[1]) if match and done.returncode == 0 else 0


def _all_but(folder, name=None, *names):
	"""All paths that do not lead to folder/name/names…, the folders of others whole."""
	if name is None:
		return []
	others = [str(path) for path in folder.iterdir() if path.name != name]
	return others + (_all_but(folder / name, *names) if (folder / name).is_dir() else [])

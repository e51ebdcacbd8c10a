"""Programs of other releases of Debian, run with their own loader and libraries.

matrix.conf names the releases.  Of one that is not the machine's own the
packages are downloaded with apt, from the mirror that the machine's own
packages come from, and unpacked below releases/ in the folder of
packages.deps_dir().  That needs no rights and is done once.

A program of such a tree, or of any other folder that holds its own C library,
is started by a shell script that names the tree's loader and library folders.
A preloaded library is then the tree's own as well, and a program that starts
itself again (Exim, by exim_path) names the script.
"""

import functools
import os
import pathlib
import re
import shlex
import subprocess
import tempfile

TABLE = pathlib.Path(__file__).resolve().parents[1] / "matrix.conf"
PROGRAMS = {"rspamd": "rspamd", "exim": "exim4-daemon-heavy", "spamc": "spamc", "haproxy": "haproxy"}
PRELOADED = ["libnss-wrapper", "libresolv-wrapper"]
# Of what they depend on only libraries and data are wanted.
WANTED = re.compile(r"(?:lib(?!js-)|zlib|lua-|publicsuffix|rspamd)")
LOADERS = ("lib/*-linux-gnu*/ld-linux*.so.*", "usr/lib/*-linux-gnu*/ld-linux*.so.*", "lib/ld-musl-*.so.1")


class Failed(Exception):
	"""A tree cannot be had; the text says why."""


class Release:
	"""A line of matrix.conf: suite, rspamd and exim (versions)."""

	def __init__(self, suite, rspamd, exim):
		self.suite, self.rspamd, self.exim = suite, rspamd, exim

	def version(self, name):
		"""What the table says of rspamd and exim; None of other programs."""
		return {"rspamd": self.rspamd, "exim": self.exim}.get(name)


@functools.cache
def table():
	"""The releases of matrix.conf, by suite, from old to new."""
	lines = [line.split() for line in TABLE.read_text().splitlines() if line.strip() and not line.startswith("#")]
	return {line[0]: Release(*line) for line in lines}


@functools.cache
def own():
	"""The suite of this machine; an empty text where it is not Debian."""
	try:
		words = dict(line.split("=", 1) for line in pathlib.Path("/etc/os-release").read_text().splitlines() if "=" in line)
	except OSError:
		return ""
	return words.get("VERSION_CODENAME", "").strip('"') if words.get("ID") == "debian" else ""


def newest_other():
	"""The suite of the newest release that is not this machine's."""
	return [suite for suite in table() if suite != own()][-1]


def loader(root):
	"""The dynamic loader below root; None where there is none."""
	for pattern in LOADERS:
		found = sorted(pathlib.Path(root).glob(pattern))
		if found:
			return found[0]
	return None


def foreign_root(program):
	"""The root of the tree that program lies in and that has its own loader; None for one of this machine."""
	for folder in pathlib.Path(program).parents:
		if folder != folder.parent and loader(folder):
			return folder
	return None


@functools.cache
def library_path(root):
	"""All folders below root that have shared libraries, for --library-path."""
	return ":".join(sorted({str(p.parent) for p in pathlib.Path(root).rglob("lib*.so*")}))


def command(root, program):
	"""The words that start program with the loader and the libraries of root."""
	start = loader(root)
	words = [str(start), "--inhibit-cache", "--library-path", library_path(root)]
	if "--argv0" in _output([str(start), "--help"]):		# from glibc 2.33 on
		words += ["--argv0", str(program)]
	return [*words, str(program)]


def wrapper(folder, root, program):
	"""A script in folder, called as the program, that starts it as command() says."""
	path = pathlib.Path(folder) / pathlib.Path(program).name
	path.write_text(f'#!/bin/sh\nexec {shlex.join(command(root, program))} "$@"\n')
	path.chmod(0o755)
	return path


def missing_libraries(root, program):
	"""Names of the shared libraries that root lacks for program."""
	out = _output([str(loader(root)), "--inhibit-cache", "--library-path", library_path(root), "--list", str(program)])
	return [line.split()[0] for line in out.splitlines() if "not found" in line]


def _output(words):
	done = subprocess.run(words, text=True, errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
	                      stderr=subprocess.STDOUT, env={"LC_ALL": "C", "PATH": os.environ["PATH"]})
	return done.stdout


class Suite:
	"""apt on the lists of one suite of the machine's own mirror, in a folder of its own."""

	def __init__(self, suite, work, run):
		self.suite, self.work, self.run = suite, pathlib.Path(work), run
		for name in ("state/lists/partial", "cache/archives/partial", "debs"):
			(self.work / name).mkdir(parents=True)
		(self.work / "status").touch()
		# The lists of a suite that is not renewed any more have expired.
		(self.work / "sources.list").write_text(f"deb [check-valid-until=no{self._keyring()}] {self._mirror()} {suite} main\n")
		places = {"Dir::Etc::sourcelist": self.work / "sources.list", "Dir::Etc::sourceparts": "/dev/null",
		          "Dir::Etc::preferences": "/dev/null", "Dir::Etc::preferencesparts": "/dev/null",
		          "Dir::State": self.work / "state", "Dir::State::status": self.work / "status",
		          "Dir::Cache": self.work / "cache", "Acquire::Languages": "none", "Debug::NoLocking": "1",
		          "APT::Sandbox::User": "root"}
		self.apt = ["apt-get", *(word for name, value in places.items() for word in ("-o", f"{name}={value}"))]

	def _mirror(self):
		"""Where apt has this machine's release from."""
		lines = [line.split() for line in self.run(["apt-get", "indextargets", "--format",
		                                            "$(SITE) $(RELEASE) $(COMPONENT)"]).splitlines()]
		names = {own(), "stable", "testing", "unstable", "sid", *table()} - {""}
		sites = [line[0] for line in lines if len(line) == 3 and line[1] in names and line[2] == "main"]
		if not sites:
			raise Failed("apt's sources name no mirror of Debian")
		return sites[0]

	@staticmethod
	def _keyring():
		path = "/usr/share/keyrings/debian-archive-keyring.gpg"
		return f" signed-by={path}" if os.path.exists(path) else ""

	def plan(self, packages):
		"""{package: version} of all that these need."""
		self.run([*self.apt, "-q", "update"])
		out = self.run([*self.apt, "-s", "--no-install-recommends", "install", *packages])
		return dict(re.findall(r"^Inst (\S+) \((\S+)", out, re.M))

	def unpack(self, names, tree):
		self.run([*self.apt, "-q", "download", *names], cwd=self.work / "debs")
		for deb in sorted((self.work / "debs").glob("*.deb")):
			self.run(["dpkg-deb", "-x", str(deb), str(tree)])


def upstream(version):
	"""Debian's 1:3.4-1+b2 → 3.4."""
	return re.sub(r"^\d+:|-[^-]*$", "", version)


def differences(release, versions):
	"""What the mirror has other than matrix.conf names, as text; empty if nothing."""
	found = {name: upstream(versions.get(PROGRAMS[name], "none")) for name in ("rspamd", "exim")}
	return ", ".join(f"{name} {has} where matrix.conf has {release.version(name)}" for name, has in found.items()
	                 if has != release.version(name))


def read_versions(root):
	"""{package: version} of a tree that make() has made."""
	return dict(line.split() for line in (pathlib.Path(root) / "versions").read_text().splitlines())


def make(suite, root, run, after):
	"""Fill root, which does not exist, with the programs of suite.

	run(words, cwd=) runs a command and gives its output; after(folder) mends
	what was unpacked.  Failed says why there is no tree.
	"""
	with tempfile.TemporaryDirectory(prefix="release-", dir=root.parent) as work:
		os.chmod(work, 0o755)
		apt = Suite(suite, work, run)
		versions = apt.plan([*PROGRAMS.values(), *PRELOADED])
		other = differences(table()[suite], versions)
		if other:
			raise Failed(f"the mirror's {suite} has {other}")
		named = {*PROGRAMS.values(), *PRELOADED}
		tree = pathlib.Path(work, "root")
		tree.mkdir(mode=0o755)
		apt.unpack(sorted(name for name in versions if name in named or WANTED.match(name)), tree)
		after(tree)
		(tree / "versions").write_text("".join(f"{name} {version}\n" for name, version in sorted(versions.items())))
		tree.rename(root)

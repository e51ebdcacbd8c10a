"""Programs that the tests need from outside, unpacked and never installed.

A group is one program with those of its dependencies that this machine lacks.
Its Debian packages are downloaded with apt's own tools and unpacked with
dpkg-deb into a folder of their own; nothing is configured and no maintainer
script runs.  Libraries are found through LD_LIBRARY_PATH.

The folder is .test-deps/ in the source tree, or $TEST_DEPS.  It is filled once
and used again; remove it to download anew.

$RSPAMD, $EXIM, $SPAMC, $HAPROXY, $NGINX and $REDIS name other programs for the
groups of these names: a path, or a release of matrix.conf (see releases.py).
"""

import fcntl
import gzip
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest

from . import releases

SOURCE_TREE = pathlib.Path(__file__).resolve().parents[3]

# group: (packages, file whose presence proves the group is whole)
# A bar stands between the names that a package has in the several releases; the first that is known is taken.
GROUPS = {
	"exim": (["exim4-daemon-heavy"], "usr/sbin/exim4"),
	"rspamd": (["rspamd"], "usr/bin/rspamd"),
	"spamc": (["spamc"], "usr/bin/spamc"),
	"spamd": (["spamd"], "usr/sbin/spamd"),
	"redis": (["redis-server"], "usr/bin/redis-server"),
	"wrappers": (["libnss-wrapper", "libresolv-wrapper"], None),
	"postfix": (["postfix", "postfix-pcre"], "usr/sbin/postfix"),
	"dovecot": (["dovecot-core", "dovecot-imapd", "dovecot-sieve"], "usr/lib/dovecot/dovecot-lda"),
	"fetchmail": (["fetchmail"], "usr/bin/fetchmail"),
	"maildrop": (["maildrop"], "usr/bin/maildrop"),
	"procmail": (["procmail"], "usr/bin/procmail"),
	"npm": (["npm", "nodejs", "libfakechroot"], "usr/bin/node"),
	"uid-wrapper": (["libuid-wrapper"], None),
	"fakeroot": (["fakeroot", "libfakeroot", "libfakechroot"], "usr/bin/faked-sysv"),
	"opensmtpd": (["opensmtpd", "opensmtpd-filter-rspamd"], "usr/sbin/smtpd"),
	"systemd": (["systemd"], "usr/bin/systemd-analyze"),
	"spamass-milter": (["spamass-milter"], "usr/sbin/spamass-milter"),
	"amavis": (["amavisd-new"], "usr/sbin/amavisd"),
	"qpsmtpd": (["qpsmtpd"], "usr/bin/qpsmtpd-forkserver"),
	"sendmail": (["sendmail-bin", "sendmail-base", "sendmail-cf", "m4"], "usr/libexec/sendmail/sendmail"),
	"promtool": (["promtool|prometheus"], "usr/bin/promtool"),
	"tmux": (["tmux"], "usr/bin/tmux"),
	"haproxy": (["haproxy"], "usr/sbin/haproxy"),
	"php": (["php-cli", "php-mbstring"], None),
	"nginx": (["nginx"], "usr/sbin/nginx"),
	"mails": (["golang-github-jhillyerd-enmime-dev", "libpython3.14-testsuite|libpython3.13-testsuite|libpython3.11-testsuite", "mailman3",
	           "python3-django-hyperkitty", "python3-flufl.bounce", "spamassassin"], None),
}
# Of these a variable may name another program.  Not of all: $TMUX and $SENDMAIL mean something else.
CHOSEN = {"rspamd", "exim", "spamc", "haproxy", "nginx", "redis"}
# Of these only files are wanted: what the packages depend on is left out.
FILES_ONLY = {"mails", "promtool"}

_ready = {}


class Unavailable(unittest.SkipTest):
	"""A program from outside cannot be had; the text says why.

	A test that raises it, or whose class does, counts as skipped.
	"""


class Group:
	"""An unpacked group.  root is the folder that holds its usr/, etc/ …"""

	foreign = None		# the root of the tree whose loader its programs are started with, if it is not the machine's

	def __init__(self, name, root):
		self.name = name
		self.root = pathlib.Path(root)

	def path(self, relative):
		"""Absolute path of one of the group's files, in /usr too (where /lib is from Debian 13 on); it must exist."""
		path = self.root / relative
		for candidate in (path, self.root / "usr" / relative):
			if candidate.exists():
				return candidate
		raise Unavailable(f"{path} is not in the packages of {self.name}")

	def library_path(self):
		"""Folders with the group's shared libraries, for LD_LIBRARY_PATH."""
		folders = {p.parent for p in self.root.rglob("lib*.so*") if p.is_file()}
		return ":".join(sorted(str(f) for f in folders))

	def perl(self):
		"""Command that runs Perl, in taint mode, with the group's modules."""
		own = self.root / "usr/bin/perl"		# there if the machine's is older
		folders = [p for pattern in ("usr/share/perl5", "usr/lib/*/perl5/5.*", "usr/share/perl/5.*", "usr/lib/*/perl/5.*",
		                             "usr/lib/*/perl-base") for p in sorted(self.root.glob(pattern)) if p.is_dir()]
		# -T: Perl does not look at PERL5LIB then, nor into the current folder.
		return [str(own) if own.exists() else "/usr/bin/perl", "-T", *(f"-I{p}" for p in folders)]


class Given(Group):
	"""A program that a variable names, with the files that were installed with it.

	usr/share/… is looked for beside the folder that the program is in.  One
	from another system's tree is started with that tree's loader and
	libraries, and so are the other programs of the tree.
	"""

	def __init__(self, name, program, root=None):
		super().__init__(name, root or program.parent.parent.parent)
		self.program = program
		self.foreign = releases.foreign_root(program)
		self._scripts = {}

	def path(self, relative):
		if relative == GROUPS[self.name][1]:
			path = self.program
		elif relative.startswith("usr/"):
			path = self.program.parent.parent / relative.removeprefix("usr/")
		else:
			path = self.root / relative
		if not path.exists():
			raise Unavailable(f"{path} is not there, beside {self.program}")
		if self.foreign and path.parent.name in ("bin", "sbin") and path.read_bytes()[:4] == b"\x7fELF":
			return self._script(path)
		return path

	def _script(self, path):
		if path not in self._scripts:
			from . import process		# which imports this module
			folder = process.sub_dir(process.run_dir("scripts"), f"{self.name}-{len(list(process.run_dir('scripts').iterdir()))}")
			self._scripts[path] = releases.wrapper(folder, self.foreign, path)
		return self._scripts[path]

	def library_path(self):
		"""None: the machine's own programs must not find them."""
		return ""


def progress(text):
	print(f"test-deps: {text}", file=sys.stderr, flush=True)


def traversable(path):
	"""Can every user reach path?  Servers that root starts run as another."""
	return all(p.stat().st_mode & stat.S_IXOTH for p in [path, *path.parents] if p.exists())


def deps_dir():
	"""The folder that holds the groups."""
	if os.environ.get("TEST_DEPS"):
		return pathlib.Path(os.environ["TEST_DEPS"]).resolve()
	if os.geteuid() != 0 or traversable(SOURCE_TREE):
		return SOURCE_TREE / ".test-deps"
	# The source tree is closed to other users (say, below /root).
	path = pathlib.Path("/var/cache/exim-rspamd-test-deps")
	path.mkdir(mode=0o755, exist_ok=True)
	return path


def need(name, release=None):
	"""The Group called name, fetched if need be.  Raises Unavailable.

	release: a suite of matrix.conf, whose program it is to be; without it the
	group's variable counts, if it is one of CHOSEN.
	"""
	key = name, release or (os.environ.get(name.upper()) if name in CHOSEN else None)
	if key not in _ready:
		try:
			_ready[key] = _given(*key) if key[1] else _prepare(name)
		except (Unavailable, releases.Failed, OSError) as why:
			_ready[key] = Unavailable(f"{' of '.join(filter(None, key))}: {why}")
	if isinstance(_ready[key], Unavailable):
		raise _ready[key]
	return _ready[key]


def _given(name, choice):
	"""The group called name for a path, or a release of matrix.conf."""
	if "/" in choice:
		path = pathlib.Path(choice).resolve()
		if not path.is_file() or not os.access(path, os.X_OK):
			raise AssertionError(f"{name.upper()}={choice} is no program: give the path of one, or a release of matrix.conf")
		return Given(name, path)
	if choice not in releases.table():
		raise AssertionError(f"{name.upper()}={choice} is neither a path nor a release of matrix.conf "
		                     f"({', '.join(releases.table())})")
	if name not in releases.PROGRAMS:
		raise Unavailable(f"of other releases there are only {', '.join(releases.PROGRAMS)}")
	if choice == releases.own():
		return _own_release(name, releases.table()[choice])
	root = _tree(choice)
	return Given(name, root / GROUPS[name][1], root)


def _own_release(name, release):
	"""The usual group, if it is what matrix.conf says of this machine's release."""
	group, wanted = _prepare(name), release.version(name)
	if wanted:
		has = releases.upstream(_changelog_version(group, releases.PROGRAMS[name]))
		if has != wanted:
			raise Unavailable(f"this machine's {release.suite} has {name} {has} where matrix.conf has {wanted}")
	return group


def _changelog_version(group, package):
	with gzip.open(group.path(f"usr/share/doc/{package}/changelog.Debian.gz"), "rt", errors="replace") as text:
		return re.match(r"\S+ \(([^)]+)\)", text.readline())[1]


def _tree(suite):
	"""The folder with the programs of that release, made if need be."""
	base = deps_dir() / "releases"
	base.mkdir(parents=True, exist_ok=True)
	root = base / suite
	with open(base / f"{suite}.lock", "w") as lock:
		fcntl.flock(lock, fcntl.LOCK_EX)
		if root.exists() and releases.differences(releases.table()[suite], releases.read_versions(root)):
			shutil.rmtree(root)
		if not root.exists():
			progress(f"downloading rspamd, Exim, spamc and haproxy of {suite}")
			for word in ("apt-get", "dpkg-deb"):
				if not shutil.which(word):
					raise Unavailable(f"needs {word} (Debian or Ubuntu)")
			releases.make(suite, root, _run, _drop_special_modes)
			progress(f"{suite} is in {root}")
	for name in releases.PROGRAMS:
		missing = releases.missing_libraries(root, root / GROUPS[name][1])
		if missing:
			raise Unavailable(f"{root} lacks libraries of {name}: {', '.join(missing)}")
	return root


def _prepare(name):
	base = deps_dir()
	root = base / name
	if root.exists() and not _missing_libraries(Group(name, root)):
		return Group(name, root)		# it came into being whole: no need to wait while others are fetched
	base.mkdir(parents=True, exist_ok=True)
	with open(base / "lock", "w") as lock:
		fcntl.flock(lock, fcntl.LOCK_EX)
		if root.exists() and not _missing_libraries(Group(name, root)):
			return Group(name, root)
		if root.exists():
			progress(f"{name} lacks libraries that this machine had before; fetching it again")
			shutil.rmtree(root)
		_fetch(name, base, root)
		missing = _missing_libraries(Group(name, root))
		if missing:
			raise Unavailable(f"libraries are missing: {', '.join(missing)}")
		return Group(name, root)


def _missing_libraries(group):
	program = GROUPS[group.name][1]
	if not program:
		return []
	env = dict(os.environ, LD_LIBRARY_PATH=group.library_path())
	try:
		out = subprocess.run(["ldd", str(group.path(program))], env=env, text=True,
		                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout
	except Unavailable:
		return [program]
	return [line.split()[0] for line in out.splitlines() if "not found" in line]


def _fetch(name, base, root):
	if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
		raise Unavailable("needs apt-get and dpkg-deb (Debian or Ubuntu)")
	packages, alone = GROUPS[name][0], name in FILES_ONLY
	with tempfile.TemporaryDirectory(prefix="fetch-", dir=base) as work:
		os.chmod(work, 0o755)
		debs = pathlib.Path(work, "debs")
		debs.mkdir()
		try:
			_download(packages, debs, [], alone)
		except Unavailable as first:
			# The machine's lists are absent or old: fetch our own,
			# which needs no rights and changes nothing outside.
			progress(f"{first}; fetching the package lists")
			try:
				_download(packages, debs, _own_lists(base), alone)
			except Unavailable as second:
				raise Unavailable(f"cannot be downloaded (no network?): {second}") from None
		tree = pathlib.Path(work, "root")
		tree.mkdir(mode=0o755)
		for deb in sorted(debs.glob("*.deb")):
			_run(["dpkg-deb", "-x", str(deb), str(tree)])
		_drop_special_modes(tree)
		tree.rename(root)
	progress(f"{name} is in {root}")


def _download(packages, debs, options, alone):
	"""Download packages and, unless alone, those dependencies that are not installed."""
	apt = ["apt-get", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root",
	       "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=", *options]
	packages = [_named(package.split("|"), options) for package in packages]
	names = set(packages)
	if not alone:
		plan = _run([*apt, "-s", "--no-install-recommends", "install", *packages])
		names.update(line.split()[1] for line in plan.splitlines() if line.startswith("Inst "))
	progress(f"downloading {' '.join(sorted(names))}")
	_run([*apt, "-q", "download", *sorted(names)], cwd=debs)


def _named(names, options):
	"""The first of names that this release has a package of; the first of all where it has none, so that apt says so."""
	for name in names if len(names) > 1 else []:
		if subprocess.run(["apt-cache", *options, "show", name], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
		                  stderr=subprocess.DEVNULL).returncode == 0:
			return name
	return names[0]


def _own_lists(base):
	lists = base / "lists"
	(lists / "partial").mkdir(parents=True, exist_ok=True)
	options = ["-o", f"Dir::State::Lists={lists}"]
	_run(["apt-get", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root",
	      "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=", *options,
	      "-q", "update"])
	return options


def _drop_special_modes(tree):
	"""No set-uid program may lie about, and every user may read the files."""
	for folder, _, files in os.walk(tree):
		for path in [folder, *(os.path.join(folder, f) for f in files)]:
			if os.path.islink(path):
				continue
			mode = os.stat(path).st_mode
			run = 0o111 if os.path.isdir(path) or mode & 0o100 else 0
			os.chmod(path, (stat.S_IMODE(mode) & 0o777) | 0o444 | run | stat.S_IWUSR)


def _run(command, **options):
	done = subprocess.run(command, text=True, errors="replace", stdin=subprocess.DEVNULL,
	                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
	                      env=dict(os.environ, LC_ALL="C"), **options)
	if done.returncode != 0:
		lines = [line for line in done.stdout.splitlines() if line.startswith(("E:", "dpkg"))]
		why = "".join(lines[:1]) or done.stdout.strip()[-300:] or f"exit code {done.returncode}"
		raise Unavailable(f"{command[0]} failed: {why}")
	return done.stdout

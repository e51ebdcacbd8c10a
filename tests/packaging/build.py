"""What the tests look at: a release's tarball, an installation, packages.

Each is made once, when the first test asks for it.
"""

import atexit
import functools
import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

TREE = pathlib.Path(__file__).resolve().parents[2]


def run(*command, **options):
	"""The command's output and its errors, as text; what fails says what it said."""
	done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
	                      stderr=subprocess.STDOUT, text=True, errors="replace", **options)
	if done.returncode != 0:
		end = "\n".join(done.stdout.splitlines()[-30:])
		raise AssertionError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{end}")
	return done.stdout


def need(*programs):
	"""Skip the test if one of the programs is not there."""
	for program in programs:
		if not shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
			raise unittest.SkipTest(f"{program} is not there")


def once(make):
	"""As functools.cache, and what failed fails in the same way again, without another try."""
	@functools.cache
	def tried():
		try:
			return make(), None
		except Exception as why:
			return None, why

	@functools.wraps(make)
	def made():
		result, why = tried()
		if why:
			raise why
		return result

	return made


def digest(path):
	return hashlib.sha256(path.read_bytes()).hexdigest()


@once
def scratch():
	"""A folder for this run."""
	folder = pathlib.Path(tempfile.mkdtemp(prefix="packaging-"))
	folder.chmod(0o755)
	if os.environ.get("KEEP"):
		print(f"kept: {folder}")
	else:
		atexit.register(shutil.rmtree, folder, ignore_errors=True)
	return folder


def folder(name):
	"""A new, empty folder of this run."""
	path = scratch() / name
	path.mkdir()
	return path


def clean_environment(**more):
	"""The environment without what a caller's make or package build left there."""
	gone = ("MAKE", "DEB_", "DH_", "SOURCE_DATE_EPOCH", "TAR_OPTIONS", "CFLAGS", "CPPFLAGS", "LDFLAGS")
	return {**{k: v for k, v in os.environ.items() if not k.startswith(gone)}, **more}


@once
def built():
	"""A configured and built folder."""
	given = os.environ.get("BUILD")
	if given:
		path = pathlib.Path(given).resolve()
		if not (path / "rspamd-shim").exists():
			raise AssertionError(f"BUILD={path}: rspamd-shim is not built there")
		return path
	path = folder("build")
	run(TREE / "configure", cwd=path, env=clean_environment())
	run("make", f"-j{os.cpu_count()}", cwd=path, env=clean_environment())
	return path


def release(build, **environment):
	"""The tarball that `make release' makes in this folder."""
	run("make", "release", cwd=build, env=clean_environment(**environment))
	tarballs = sorted(build.glob("exim-rspamd-*.tar.xz"))
	assert len(tarballs) == 1, tarballs
	return tarballs[0]


@once
def tarball():
	"""A copy of the release's tarball."""
	made = release(built())
	copy = scratch() / made.name
	shutil.move(made, copy)
	return copy


@once
def unpacked():
	"""The tarball's contents."""
	path = folder("release")
	run("tar", "-xf", tarball(), "-C", path)
	return path / tarball().name.removesuffix(".tar.xz")


def make_debs(name, *options, **environment):
	"""Folder of Debian packages of the tarball.  The unit tests have run already."""
	need("dpkg-buildpackage", "dh", "dh_apparmor")
	environment.setdefault("DEB_BUILD_OPTIONS", f"nocheck parallel={os.cpu_count()}")
	path = scratch() / name
	run(unpacked() / "packaging/build-deb", tarball(), path, *options, env=clean_environment(**environment))
	return path


@once
def debs():
	return make_debs("deb")


def deb(package):
	"""The file of this binary package."""
	files = sorted(debs().glob(f"{package}_*.deb"))
	assert len(files) == 1, files
	return files[0]


def debian_units():
	"""Where the Debian packages have systemd's units: /usr/lib wherever debhelper has dh_movetousr."""
	return ("/usr" if shutil.which("dh_movetousr") else "") + "/lib/systemd/system"


def make_rpms(name, **environment):
	"""Folder of RPMs, whose build dependencies are not looked for: they have other names here."""
	need("rpmbuild")
	path = scratch() / name
	run("rpmbuild", "-tb", "--nodeps", "--nocheck", "--define", f"_topdir {path}", tarball(),
	    env=clean_environment(HOME=str(scratch()), **environment))
	return path / "RPMS"


@once
def rpms():
	return make_rpms("rpm")


def files(path):
	"""Relative paths of all that is no folder below path."""
	return {str(p.relative_to(path)) for p in path.rglob("*") if p.is_symlink() or not p.is_dir()}

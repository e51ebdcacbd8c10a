"""Makes Debian trees with mmdebstrap, each once, as tarballs.

mmdebstrap chooses the mirror by itself, from the release; none is named here.
"""

import contextlib
import fcntl
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import tempfile

# A mirror's snapshot of testing outlives the date until which it is valid.
OUTLIVED = 'Acquire::Check-Valid-Until "false"'


SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8914, 0x1, 0x40


class Unavailable(Exception):
	"""No tree can be made; the text says why."""


def progress(text):
	print(f"tree: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def locked(path):
	"""Holds the lock file; says so where another run has it."""
	with open(path, "w") as lock:
		try:
			fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
		except BlockingIOError:
			progress(f"waiting for another run, which has locked {path}")
			fcntl.flock(lock, fcntl.LOCK_EX)
		yield


def make(suite, tarball, *, include=(), architecture=None, security=True):
	"""Makes the tarball, unless it is there, of the suite's minbase and the packages to include.

	security: with the suite's security updates, too, where it has any.
	The caller keeps others from making the same one.  Raises Unavailable.
	"""
	if tarball.exists():
		return
	if not shutil.which("mmdebstrap"):
		raise Unavailable("mmdebstrap is not there")
	if os.geteuid() != 0:
		raise Unavailable("trees are made by root alone")
	progress(f"making one of {suite}{f' on {architecture}' if architecture else ''}: {' '.join(['minbase', *include])}")
	partial = tarball.with_suffix(".partial.tar")
	options = ["--variant=minbase", *([f"--include={','.join(include)}"] if include else []),
	           *([f"--architectures={architecture}"] if architecture else []),
	           *([] if security else ['--setup-hook=sed -i "/security/d" "$1/etc/apt/sources.list"'])]
	try:
		said = _mmdebstrap(options, suite, partial)
		if said and "is expired" in said:
			progress(f"the mirror's {suite} is older than it may be: the tree gets apt's {OUTLIVED}")
			said = _mmdebstrap([*options, f"--aptopt={OUTLIVED}"], suite, partial)
		if said and "neither be executed natively" in said:
			raise Unavailable(f"this machine runs no programs of {architecture}; or it has no arch-test, which says so")
		if said:
			raise Unavailable(f"mmdebstrap cannot make a tree of {suite} (no network?): {' '.join(said.split())[-300:]}")
		partial.rename(tarball)
	finally:
		partial.unlink(missing_ok=True)


def _mmdebstrap(options, suite, target):
	"""None, or what it said if it failed.  It is in a session of its own, or an interrupt would reach it twice."""
	with tempfile.TemporaryFile("w+", errors="replace") as output:
		child = subprocess.Popen(["mmdebstrap", *options, suite, str(target)], stdin=subprocess.DEVNULL, stdout=output,
		                         stderr=subprocess.STDOUT, start_new_session=True)
		try:
			code = child.wait()
		except BaseException:
			child.terminate()		# it removes what it has made, which takes its time
			child.wait()
			raise
		output.seek(0)
		return None if code == 0 else output.read() or f"exit code {code}"


def unpack(tarball, root):
	"""Into the folder root; dpkg does not wait for the disk there, as the tree does not outlive the machine."""
	subprocess.run(["tar", "-xpf", str(tarball), "--numeric-owner", "-C", str(root)], check=True, stdin=subprocess.DEVNULL)
	pathlib.Path(root, "etc/dpkg/dpkg.cfg.d/unsafe-io").write_text("force-unsafe-io\n")


def loopback_up():
	"""In a network of this process's own."""
	with socket.socket() as sock:
		fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP | IFF_RUNNING))


def environment():
	"""For programs in a tree."""
	return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root",
	        "DEBIAN_FRONTEND": "noninteractive"}

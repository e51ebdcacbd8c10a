"""Runs a command in a tree: enter.py ROOT FOLDER [--bind OUTER INNER]... [--alone] COMMAND...

The caller gives it mounts and processes of its own, which end with it:
unshare --mount --pid --fork.  FOLDER is the command's, in the tree.  With
--alone there is a network of its own, too, of which only loopback is up.
"""

import ctypes
import os
import pathlib
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from common import debian_tree		# noqa: E402  (after the path is set)

MNT_DETACH = 2
# libc has no function for it, and Debian's program is not everywhere: testing has it in util-linux-extra.
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "i686": 217}


def mount(*words):
	subprocess.run(["mount", *map(str, words)], check=True)


def change_root(root):
	"""The tree becomes the root of all mounts.  After a mere chroot nothing in it may have mounts or users of its own."""
	os.chdir(root)
	machine = os.uname().machine
	if machine not in SYS_PIVOT_ROOT:
		sys.exit(f"enter.py does not know the number of pivot_root() on {machine}")
	libc = ctypes.CDLL(None, use_errno=True)
	if libc.syscall(SYS_PIVOT_ROOT[machine], b".", b".") != 0:
		raise OSError(ctypes.get_errno(), "the root cannot be changed")
	if libc.umount2(b".", MNT_DETACH) != 0:		# the old root, which lies on the new one
		raise OSError(ctypes.get_errno(), "the old root cannot be unmounted")


def main():
	root, folder, *command = sys.argv[1:]
	root = pathlib.Path(root)
	mount("--make-rprivate", "/")
	mount("--bind", root, root)
	while command[0].startswith("--"):
		if command[0] == "--alone":
			debian_tree.loopback_up()
			del command[0]
		else:
			mount("--bind", command[1], root / command[2].lstrip("/"))
			del command[:3]
	mount("-t", "proc", "proc", root / "proc")
	for name in ("sys", "dev"):
		mount("--rbind", f"/{name}", root / name)
	change_root(root)
	os.chdir(folder)
	# A shell stays as process 1, which inherits orphans and ends them.
	os.execve("/bin/bash", ["bash", "-c", '"$@"; exit $?', "bash", *command], os.environ)


main()

# SPDX-License-Identifier: GPL-2.0-or-later
"""How the cost grows: instructions of a worker, counted by callgrind, and the memory of idle connections.

The kernel's instructions are not among them.  A busy machine does not change
the count, so each point is measured once.
"""

import contextlib
import math
import re
import resource
import socket
import sys

import programs
from programs import Failure

MIB = 1048576
# What grows, in which unit, and the points of it.
AXES = {
	"size": ("bytes of the message", (1024, 16384, 262144, 4 * MIB, 50 * MIB)),
	"symbols": ("symbols of the verdict (and 11 more)", (1, 10, 100, 300, 900)),
	"recipients": ("recipients", (1, 10, 100, 1000)),
	"connections": ("idle connections", (1, 10, 100, 1000, 10000)),
}
QUICK = {"size": (1024, 262144), "recipients": (1, 100)}
MAILS = 8			# of each point
IDLE = 2000			# connections whose memory is weighed
DESCRIPTORS = 22000
# Under callgrind everything takes fifty times as long.
PATIENT = """
timeout_idle = 3600
timeout_client = 3600
timeout_send = 3600
timeout_wait = 3600
timeout_receive = 3600
timeout_reply = 3600
timeout_request = 3600
timeout_worker = 3600
max_message_size = 64M
max_connections = 10100
"""


def _raise_descriptors():
	"""How many this process may have from now on."""
	_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
	for most in (DESCRIPTORS, hard):
		with contextlib.suppress(ValueError, OSError):
			resource.setrlimit(resource.RLIMIT_NOFILE, (most, max(hard, most)))
			break
	return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


@contextlib.contextmanager
def _idle(shim, count):
	"""So many connections that say nothing."""
	with contextlib.ExitStack() as stack:
		for _ in range(count):
			stack.enter_context(socket.create_connection(("127.0.0.1", shim.port)))
		yield


class _Counted(programs.BenchShim):
	"""rspamd-shim under callgrind; instructions() once it has stopped."""

	def __init__(self, backend):
		super().__init__(backend, PATIENT)
		self.command = [programs.valgrind(), "--tool=callgrind", f"--callgrind-out-file={self.dir}/counts.%p", *self.command]

	def start(self, ready=None):
		super().start(ready)
		(self.worker,) = self.workers()
		return self

	def instructions(self):
		text = (self.dir / f"counts.{self.worker}").read_text()
		return int(re.search(r"^(?:summary|totals): (\d+)", text, re.M)[1])


def _instructions(build, mails, size=4096, symbols=0, recipients=1, connections=0):
	"""Those of a worker's whole life with so many mails."""
	null = programs.Null(build, symbols=symbols).start()
	shim = None
	try:
		shim = _Counted(null.url).start()
		with _idle(shim, connections):
			if mails:
				programs.load(build, shim.address, "rspamc" if recipients > 1 else "spamc", size, count=mails,
				              recipients=recipients, cut=symbols > 0)
		shim.stop()
		if shim.counts().get("verdicts") != mails:
			raise Failure(f"rspamd-shim counts {shim.counts()}, but got {mails} mails")
		return shim.instructions()
	finally:
		if shim:
			shim.stop()
		null.stop()


def exponent(points):
	"""The steepest slope of cost over size, both as logarithms: 1 is linear, 2 quadratic."""
	return max(math.log(b[1] / a[1]) / math.log(b[0] / a[0]) for a, b in zip(points, points[1:]))


def instructions(build, quick=False):
	"""{axis: [(n, instructions)]}: for each mail, or for all idle connections."""
	programs.valgrind()
	limit = _raise_descriptors() // 2 - 200
	base = _instructions(build, 0)
	mail = None
	found = {}
	for axis, (_, points) in AXES.items():
		found[axis] = []
		for n in QUICK.get(axis, ()) if quick else points:
			n = min(n, limit) if axis == "connections" else n
			total = _instructions(build, MAILS, **{axis: n}) - base
			mail = mail or total		# the first point is that of a small mail
			found[axis].append((n, total - mail if axis == "connections" else total / MAILS))
			print(f"growth: {axis} {n}: {found[axis][-1][1]:.0f} instructions", file=sys.stderr, flush=True)
	return {axis: points for axis, points in found.items() if points}


def idle_bytes(build):
	"""What a worker holds of its own for an idle connection."""
	_raise_descriptors()
	null = programs.Null(build).start()
	shim = None
	try:
		shim = programs.BenchShim(null.url, PATIENT).start()
		(worker,) = shim.workers()
		programs.load(build, shim.address, "spamc", 4096, count=100)
		before = programs.anonymous_bytes(worker)
		with _idle(shim, IDLE):
			# served in the order of their coming: then all of them are there
			programs.load(build, shim.address, "spamc", 4096, count=1)
			return (programs.anonymous_bytes(worker) - before) / IDLE
	finally:
		if shim:
			shim.stop()
		null.stop()

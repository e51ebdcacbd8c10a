# SPDX-License-Identifier: GPL-2.0-or-later
"""What rspamd-shim is to reach, against what was measured.  A missed target is a line, never an error."""

import growth

BUSY = 16		# connections for CPU; the ratios of CPU are taken there
KIB, MIB = 1024, 1048576
SMALL, MIDDLE, LARGE = 4 * KIB, 50 * KIB, MIB
NAMES = {SMALL: "4 KiB", MIDDLE: "50 KiB", LARGE: "1 MiB"}
# Against which hop, at which size, at most so many times its CPU.
CPU = (
	("shim", "haproxy", SMALL, 1.0), ("shim", "haproxy", MIDDLE, 1.0), ("shim", "haproxy", LARGE, 0.8),
	("shim", "nginx", LARGE, 1.05),
	("shim", "rspamd_proxy", SMALL, 0.45), ("shim", "rspamd_proxy", MIDDLE, 0.45),
	("shim-unix", "haproxy", SMALL, 0.75), ("shim-unix", "haproxy", LARGE, 0.65),
	*(("shim", "relay", size, 1.1) for size in NAMES),
	*(("shim-unix", "relay-unix", size, 1.1) for size in NAMES),
	("shim-workers", "shim", SMALL, 1.05),
)
OWN = {"shim": "rspamd-shim", "shim-unix": "rspamd-shim, unix socket", "shim-workers": "rspamd-shim, 2 workers"}
OTHER = {"shim": "one worker's", "relay": "the bare relay's", "relay-unix": "the bare relay's", "haproxy": "haproxy's",
         "nginx": "nginx's", "rspamd_proxy": "rspamd_proxy's"}
LINEAR = 1.05		# an exponent that still counts as linear


class Target:
	"""One line: text, how much at most (or at least), and what was measured; None: nothing."""

	def __init__(self, text, limit, value, least=False, unit=""):
		self.text, self.limit, self.value, self.least, self.unit = text, limit, value, least, unit

	def verdict(self):
		if self.value is None:
			return "not measured"
		met = self.value >= self.limit if self.least else self.value <= self.limit
		return "met" if met else "not met"

	def row(self):
		number = "" if self.value is None else f"{self.value:.2f}{self.unit}"
		return [self.text, f"{'≥' if self.least else '≤'} {self.limit:g}{self.unit}", number, self.verdict()]


def _latency(hops):
	def against(size, connections, what):
		own, other = hops.added("shim", size, connections, what), hops.added("haproxy", size, connections, what)
		return own / other if own is not None and other and other > 0 else None

	def whole(size, connections):
		return hops.ratio("shim", "haproxy", size, connections, "p99")
	for size, name in NAMES.items():
		yield Target(f"added p50 at 1 connection, {name}, of haproxy's", 1.0, against(size, 1, "p50"))
	for size, name in NAMES.items():
		yield Target(f"p99 at 256 connections, {name}, of haproxy's", 1.1, whole(size, 256))


def _memory(hops):
	"""The worst of all loads: what is above 1.25 times the bytes in flight."""
	above = [hops.memory(way, size, n) - 1.25 * size * n for size, n in hops.cells() for way in ("shim", "shim-unix")
	         if hops.memory(way, size, n) is not None]
	return max(above) / MIB if above else None


def _cpu(hops):
	for way, other, size, limit in CPU:
		yield Target(f"CPU for each message, {NAMES[size]}: {OWN[way]}, of {OTHER[other]}", limit,
		             hops.ratio(way, other, size, BUSY))
	# rspamd-shim does not offer it
	yield Target("CPU for each message, 1 MiB: body handed over in shared memory, of haproxy's", 0.4, None)


def all_targets(hops=None, chains=None, points=None, idle=None):
	"""A Target for each of the parts that were asked for; a text in a part's place says why there is no figure."""
	found = []
	if hops:
		found += [*_cpu(hops), *_latency(hops)]
		found.append(Target("peak memory of a worker above 1.25 × the bytes in flight", 8, _memory(hops), unit=" MiB"))
	if chains:
		exim = chains["exim"]
		found.append(Target("mails per second, Exim → rspamd-shim → rspamd, of Exim → rspamd", 0.98,
		                    None if isinstance(exim, str) else exim["ratio"], least=True))
	if idle is not None:
		found.append(Target("memory of an idle connection", 4, None if isinstance(idle, str) else idle / KIB, unit=" KiB"))
	if points is not None:
		for axis in growth.AXES:
			known = [] if isinstance(points, str) else points.get(axis, [])
			found.append(Target(f"exponent of the cost over the {growth.AXES[axis][0]}", LINEAR,
			                    growth.exponent(known) if len(known) > 1 else None))
	return found

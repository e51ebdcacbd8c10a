# SPDX-License-Identifier: GPL-2.0-or-later
"""Hops side by side: the same mail, the same backend, in turn."""

import statistics
import sys

from harness import Unavailable

import programs
from programs import Failure

SIZES = {"4 KiB": 4096, "50 KiB": 51200, "1 MiB": 1048576}
CONNECTIONS = 1, 16, 256
WARM_UP = 0.2		# seconds of load before the first round
STRAIGHT = "straight"


class Way:
	"""How mail comes to null-rspamd: through the hop (None: straight), in which protocol, and to which null."""

	def __init__(self, key, title, hop, protocol, null, only=None):
		self.key, self.title, self.hop, self.protocol, self.null = key, title, hop, protocol, null
		self.only = only		# the one number of connections to measure
		self.sent = 0

	def address(self):
		return (self.hop or self.null).address


class Hops:
	"""The programs and their measurements.  Hops that cannot be had are in left_out, with the reason."""

	def __init__(self, build):
		self.build = build
		self.running = []
		self.left_out = []
		self.ways = []
		try:
			self._start()
		except BaseException:
			self.stop()
			raise

	def _run(self, program):
		self.running.append(program)
		return program.start()

	def _start(self):
		build = self.build
		self.tcp = self._run(programs.Null(build))
		self.unix = self._run(programs.Null(build, unix=True))
		self._way(STRAIGHT, "straight, no hop", None)
		self._way("relay", "bare relay", lambda: programs.Relay(build, self.tcp))
		self._way("relay-unix", "bare relay, unix socket", lambda: programs.Relay(build, self.unix), unix=True)
		self._way("haproxy", "haproxy", lambda: programs.Haproxy(self.tcp))
		self._way("nginx", "nginx", lambda: programs.Nginx(self.tcp))
		self._way("rspamd_proxy", "rspamd_proxy", lambda: programs.RspamdProxy(self.tcp))
		self._way("shim", "rspamd-shim, SPAMC", lambda: programs.BenchShim(self.tcp.url), "spamc")
		self._way("shim-rspamc", "rspamd-shim, RSPAMC", lambda: self.ways[-1].hop, "rspamc")
		self._way("shim-unix", "rspamd-shim, SPAMC, unix socket", lambda: programs.BenchShim(self.unix.url), "spamc",
		          unix=True)
		self._way("shim-workers", "rspamd-shim, SPAMC, 2 workers",
		          lambda: programs.BenchShim(self.tcp.url, "workers = 2\n"), "spamc", only=16)

	def _way(self, key, title, make, protocol="http", unix=False, only=None):
		try:
			hop = make() if make else None
		except Unavailable as why:
			self.left_out.append(f"{title}: {why}")
			return
		if hop is not None and hop not in self.running:
			self._run(hop)
		self.ways.append(Way(key, title, hop, protocol, self.unix if unix else self.tcp, only))

	def measure(self, way, size, connections, seconds):
		"""One load; what it took for each mail."""
		hop = way.hop.pids() if way.hop else []
		programs.forget_peaks(hop)
		before, ticks = programs.cpu_seconds(hop), programs.cpu_ticks(hop)
		r = programs.load(self.build, way.address(), way.protocol, size, connections=connections, seconds=seconds)
		cpu = programs.cpu_seconds(hop) - before
		way.sent += int(r["right"])
		result = {"rate": r["rate"], "p50": r["p50_us"], "p99": r["p99_us"], "p999": r["p999_us"], "mails": r["right"]}
		if hop:
			result["cpu"] = cpu * 1e6 / r["right"]
			user, system = (now - then for now, then in zip(programs.cpu_ticks(hop), ticks))
			if user + system > 0:
				result["user"] = result["cpu"] * user / (user + system)
			result["memory"] = programs.peak_bytes(hop)
		return result

	def round(self, number, seconds, cells):
		"""All measurements once, {(way, size, connections): …}; the order of the ways turns."""
		results = {}
		order = self.ways[number % len(self.ways):] + self.ways[:number % len(self.ways)]
		for size, connections in cells:
			for way in order:
				if way.only in (None, connections):
					results[way.key, size, connections] = self.measure(way, size, connections, seconds)
		return results

	def warm_up(self):
		for way in self.ways:
			self.measure(way, 4096, 4, WARM_UP)

	def stop(self):
		for program in reversed(self.running):
			program.stop()

	def account(self):
		"""Stops all and compares the counts of both ends and the middle."""
		self.stop()
		for null in self.tcp, self.unix:
			sent = sum(way.sent for way in self.ways if way.null is null)
			counts = null.counts()
			if counts != {"answered": sent, "refused": 0}:
				raise Failure(f"null-rspamd counts {counts}, but {sent} mails were judged")
		for hop in {way.hop for way in self.ways if isinstance(way.hop, programs.BenchShim)}:
			sent = sum(way.sent for way in self.ways if way.hop is hop)
			counts = hop.counts()
			if (counts.get("verdicts"), counts.get("errors")) != (sent, 0):
				raise Failure(f"rspamd-shim counts {counts}, but {sent} mails were judged through it")
		return sum(way.sent for way in self.ways)


class Results:
	"""Medians over the rounds; ratios and differences are taken within a round."""

	def __init__(self, rounds, ways, left_out=(), mails=0):
		self.rounds, self.ways, self.left_out, self.mails = rounds, dict(ways), list(left_out), mails

	def cells(self):
		"""[(size, connections)], by size."""
		return sorted({key[1:] for key in self.rounds[0]})

	def has(self, way, size, connections):
		return (way, size, connections) in self.rounds[0]

	def median(self, way, size, connections, what):
		"""None where it was not measured."""
		values = [r[way, size, connections][what] for r in self.rounds
		          if what in r.get((way, size, connections), {})]
		return statistics.median(values) if values else None

	def ratio(self, way, other, size, connections, what="cpu"):
		if not self.has(way, size, connections) or not self.has(other, size, connections):
			return None
		return statistics.median(r[way, size, connections][what] / r[other, size, connections][what] for r in self.rounds)

	def added(self, way, size, connections, what):
		"""What a hop adds to the latency of mail that goes straight, in microseconds."""
		if not self.has(way, size, connections) or not self.has(STRAIGHT, size, connections):
			return None
		return statistics.median(r[way, size, connections][what] - r[STRAIGHT, size, connections][what] for r in self.rounds)

	def memory(self, way, size, connections):
		"""Of the first round: what a program keeps of larger loads does not count for smaller ones."""
		return self.rounds[0].get((way, size, connections), {}).get("memory")


def run(build, rounds, seconds, quick=False):
	"""The Results of all rounds."""
	sizes = [4096, 1048576] if quick else list(SIZES.values())
	connections = [1, 16] if quick else CONNECTIONS
	# By the bytes in flight, so that a peak of memory is that of its own load.
	cells = sorted(((s, c) for s in sizes for c in connections), key=lambda cell: cell[0] * cell[1])
	hops = Hops(build)
	try:
		hops.warm_up()
		done = []
		for i in range(rounds):
			done.append(hops.round(i, seconds, cells))
			print(f"hops: round {i + 1} of {rounds}", file=sys.stderr, flush=True)
		mails = hops.account()
	except BaseException:
		hops.stop()
		raise
	return Results(done, [(way.key, way.title) for way in hops.ways], hops.left_out, mails)

# SPDX-License-Identifier: GPL-2.0-or-later
"""A scenario's parties and its account: what each scenario is given."""

import asyncio
import collections
import inspect
import os
import time

from harness import Rspamd, process

from backend import Backend
from daemon import Daemon, by_outcome, total
from load import ANSWERED, Load
from mail import ERROR, LEFT, NONE, REFUSED, UNSCANNED, VERDICT, WRONG

SCENARIOS = {}
MEMORY_KEPT = 40 << 10		# KiB: 32 MiB are kept, and what is between them


def scenario(function):
	"""Registers MODULE.function."""
	SCENARIOS[f"{function.__module__}.{function.__name__}"] = function
	return function


class Failure(Exception):
	"""The account is not right."""


async def until(condition, what):
	"""What condition() returns, as soon as that is true."""
	deadline = time.monotonic() + process.PATIENCE
	while True:
		value = condition()
		if inspect.isawaitable(value):
			value = await value
		if value:
			return value
		if time.monotonic() > deadline:
			raise Failure(f"never happened: {what}")
		await asyncio.sleep(0.02)


def check(condition, why):
	if not condition:
		raise Failure(why)


class Trial:
	"""full: take the long form.  failures: words of the log that requests may end with for want of a verdict.

	may_be_lost: a worker dies, or has no memory: requests may end without a
	reply, and then are neither answered nor, mostly, in the log.
	may_be_refused: the daemon is away for a while.  log_is_kept: the log
	can be read.
	"""

	def __init__(self, name, full):
		self.name, self.full = name, full
		self.failures = set()
		self.may_be_lost = self.may_be_refused = False
		self.log_is_kept = True
		self.loads, self.daemons, self.backends, self.rspamds, self.parties = [], [], [], [], []
		self.before = {}
		self.notes = []

	def size(self, full, short):
		"""A number for each form."""
		return full if self.full else short

	def note(self, text):
		"""More for the line of this scenario."""
		self.notes.append(text)

	# Parties; all are ended by end().

	def folder(self, name):
		return process.temp_dir(f"reliability-{name}")

	async def backend(self, fault=None):
		self.backends.append(await Backend().start())
		self.backends[-1].fault = fault
		return self.backends[-1]

	async def rspamd(self, **options):
		party = Rspamd(self.folder("rspamd"), **options)
		self.rspamds.append(party)
		self.parties.append(party)
		await asyncio.to_thread(party.start)
		return party

	async def daemon(self, backends, config="", start=True, ready=None, **options):
		party = Daemon(self.folder("shim"), backends, config, **options)
		self.daemons.append(party)
		self.parties.append(party)
		if start:
			await asyncio.to_thread(party.start, ready)
		return party

	def load(self, daemon, **options):
		"""A Load, not yet started."""
		self.loads.append(Load(getattr(daemon, "addresses", daemon), **options))
		return self.loads[-1]

	async def steady(self, daemon, warm=60, **options):
		"""A load that runs; what the daemon had open before it, and after its first mails, is remembered."""
		load = self.load(daemon, **options).start()
		await self.more(load, warm)
		await load.stop()
		await self.quiet(daemon)
		check(load.ended(VERDICT) == load.ended(), f"before the fault: {load.counts()}")
		self.before[daemon] = daemon.descriptors(), daemon.memory()
		return load.start()

	async def more(self, load, count, *fates):
		"""Wait until so many more have ended (like this)."""
		goal = load.ended(*fates) + count
		await until(lambda: load.ended(*fates) >= goal or load.ended(WRONG), f"{count} more requests")

	# The account.

	async def metrics(self, daemon):
		return await asyncio.to_thread(daemon.metrics)

	async def quiet(self, daemon):
		"""Wait until it has no client and holds nothing; its metrics."""
		async def empty():
			found = await self.metrics(daemon)
			busy = found is None or any(total(found, name) for name in
			                            ("connections", "queued_requests", "held_bytes", "backend_active_requests"))
			return None if busy else found
		return await until(empty, "the daemon has let go of every request")

	def records(self):
		return [record for load in self.loads for record in load.records]

	async def account(self):
		"""Checks all that holds for every scenario; returns the line for it."""
		for load in self.loads:
			await load.stop()
		found = []
		for daemon in self.daemons:
			if daemon.alive():
				found.append(await self._settled(daemon))
			await asyncio.to_thread(daemon.stop)
		self._each_request()
		for backend in self.backends:
			check(not backend.damaged, f"rspamd was given another message: {backend.damaged[:1]}")
		self._scanned()
		worst = max(filter(None, found), default=())[1:]		# of several daemons
		return "; ".join(filter(None, [self._sums(), *worst, *self.notes]))

	async def _settled(self, daemon):
		"""Everything is back; the page agrees with the log."""
		counted = by_outcome(await self.quiet(daemon))
		if self.log_is_kept:
			logged = collections.Counter(line["outcome"] for line in daemon.lines())
			check({k: v for k, v in counted.items() if v} == dict(logged), f"/metrics {counted}, log {dict(logged)}")
		if daemon not in self.before:
			return None
		fds, memory = self.before[daemon]
		# signs of life from rspamd come and go beside these
		async def few():
			found = daemon.descriptors()
			return found if found <= fds else None
		open_now = await until(few, f"no more than the {fds} descriptors of before")
		if not daemon.sanitized():
			# a large load's memory is given back at the next heartbeat
			await until(lambda: daemon.memory() <= memory + MEMORY_KEPT,
			            f"memory back near the {memory} KiB of before, not {daemon.memory()}")
		after = daemon.memory()
		return after - memory, f"descriptors {fds}, then {open_now}", \
			"" if daemon.sanitized() else f"memory {memory / 1024:.1f} MiB, then {after / 1024:.1f}"

	def _lines(self):
		"""{queue id: lines} of all daemons; what each said at its end agrees."""
		lines = {}
		for daemon in self.daemons:
			logged = collections.Counter()
			for line in daemon.lines():
				logged[line["outcome"]] += 1
				lines.setdefault(line.get("queue_id"), []).append(line)
			counted = daemon.counted()
			check(counted is None or {k: v for k, v in counted.items() if v} == dict(logged),
			      f"at its end it counted {counted}, its log has {dict(logged)}")
		return lines

	def _each_request(self):
		"""One answer for each request, the right one, and one line in the log."""
		lines = self._lines() if self.log_is_kept else None
		self.unnamed = self.untold = 0
		for record in self.records():
			check(record.fate is not None, f"{record.queue_id} has no end")
			check(record.fate != WRONG, f"{record.queue_id} {record.kind}: {record.why}")
			if lines is not None:
				self._one(record, lines.get(record.queue_id, []))
			elif record.fate not in (VERDICT, LEFT):
				raise Failure(f"{record.queue_id}: {record.fate}: {record.why}")
		if self.untold:
			self.note(f"{self.untold} answered without a line in the log: the worker died before that, or had no memory for it")
		if lines is not None:
			errors = sum(line["outcome"] == "error" for line in lines.get(None, []))
			check(errors >= self.unnamed, f"{self.unnamed} errors without a queue id, {errors} of them in the log")

	def _one(self, record, lines):
		what = f"{record.queue_id} {record.kind}: {record.fate} ({record.why})"
		check(len(lines) <= 1, f"{what}, {len(lines)} lines in the log")
		if record.unnamed and not lines:
			check(record.fate in (LEFT, ERROR), what)
			self.unnamed += record.fate == ERROR
			return
		if record.fate in ANSWERED:
			if not lines and self.may_be_lost:
				# the line is written when the client has gone, which its worker did not live to see
				self.untold += 1
				return
			check(len(lines) == 1, f"{what}, without a line in the log")
			line = lines[0]
			check(line["outcome"] == record.fate, f"{what}, but in the log {line}")
			record.failure = line.get("failure")
			if record.fate == VERDICT:
				check((line["action"], float(line["score"])) == (record.action, record.score), f"{what}, in the log {line}")
				return
			check(record.failure in self.failures, f"{what} for {record.failure}: {line.get('reason')}")
			check(record.fate == ERROR or record.policy == "pass", f"{what} at a listener that defers")
			check(record.fate == UNSCANNED or record.policy == "defer" or record.failure in ("internal", "bad-request"),
			      f"{what} at a listener that passes: {line}")
		elif record.fate == NONE:
			# in the moment when it closes its listening sockets
			check(self.may_be_lost or (self.may_be_refused and not lines), what)
			check(not lines or lines[0]["outcome"] in ("client-gone", "error"), f"{what}, but in the log {lines}")
		elif record.fate == REFUSED:
			check(self.may_be_refused and not lines, what)

	def _scanned(self):
		"""Who got a verdict was scanned.  Real rspamds keep a record of that."""
		scanned = collections.Counter()
		for backend in self.backends:
			scanned.update(backend.scanned)
		for party in self.rspamds:
			scanned.update(int(seen["test_id"]) for seen in party.seen() if seen["test_id"])
		verdicts = {record.number for record in self.records() if record.fate == VERDICT}
		check(not verdicts - set(scanned), f"verdicts that nobody has given: {sorted(verdicts - set(scanned))[:5]}")
		again = sum(count > 1 for count in scanned.values())
		if again:
			self.note(f"{again} scanned again")

	def _sums(self):
		records = self.records()
		counts = collections.Counter(record.fate for record in records)
		causes = collections.Counter(record.failure for record in records if record.failure)
		text = f"{len(records)} requests: {counts.pop(VERDICT, 0)} verdicts"
		for fate, word in ((ERROR, "deferred"), (UNSCANNED, "passed unscanned"), (NONE, "closed without a whole reply"),
		                   (REFUSED, "refused"), (LEFT, "left")):
			if counts.get(fate):
				text += f", {counts.pop(fate)} {word}"
		if causes:
			text += " (" + ", ".join(f"{count} {cause}" for cause, count in sorted(causes.items())) + ")"
		return text + ", 0 wrong"

	async def end(self, well):
		"""Ends all parties; without a word where it did not go well anyway."""
		for load in self.loads:
			load.stopping = True
			for task in load.tasks:
				task.cancel()
			await asyncio.gather(*load.tasks, return_exceptions=True)
		for backend in self.backends:
			await backend.stop()
		errors = []
		for party in reversed(self.parties):
			try:
				if not well and party.process:
					party.kill()
				await asyncio.to_thread(party.stop)
			except AssertionError as why:
				errors.append(why)
			if not os.environ.get("KEEP"):
				process.remove(party.dir)
		if errors and well:
			raise Failure(str(errors[0]))

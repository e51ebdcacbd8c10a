# SPDX-License-Identifier: GPL-2.0-or-later
"""Real rspamds that die, stop and come back."""

import asyncio
import contextlib
import os
import re
import signal

from harness import process

from mail import ERROR, SMALL, UNSCANNED, VERDICT
from trial import check, scenario, until

REAL = SMALL * 4 + (64 << 10, 256 << 10, 1 << 20)


def normal_workers(rspamd):
	"""Process ids of its scanning workers."""
	found = []
	for pid in process.children(rspamd.process.pid):
		with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as line:
			if re.search(rb"normal", line.read()):
				found.append(pid)
	return found


def tree(rspamd):
	return [rspamd.process.pid, *process.children(rspamd.process.pid)]


async def restart(rspamd):
	await asyncio.to_thread(rspamd.start)


@scenario
async def worker_killed(t):
	"""kill -9 of a scanning worker, again and again; its rspamd replaces it."""
	rspamds = [await t.rspamd() for _ in range(2)]
	daemon = await t.daemon(rspamds, workers=2)
	load = await t.steady(daemon, sizes=REAL)
	for number in range(t.size(10, 1)):
		victims = await until(lambda n=number: normal_workers(rspamds[n % 2]), "a scanning worker")
		for pid in victims:
			os.kill(pid, signal.SIGKILL)
		await t.more(load, t.size(100, 40))
	await load.stop()
	check(load.ended(VERDICT) == load.ended(), f"not all were verdicts: {load.counts()}")


@scenario
async def one_killed(t):
	"""One of two is killed with all its processes, stays away for a while, and comes back; then the other."""
	rspamds = [await t.rspamd() for _ in range(2)]
	daemon = await t.daemon(rspamds)
	load = await t.steady(daemon, sizes=REAL)
	for rspamd in rspamds[:t.size(2, 1)] * t.size(2, 1):
		rspamd.kill()
		await t.more(load, t.size(300, 100))
		await restart(rspamd)
		await until(lambda: daemon.said(" is up again after ") == daemon.said(" is down: "), "it is up again")
		await t.more(load, 30)
	check(load.ended(VERDICT) == load.ended(), f"not all were verdicts: {load.counts()}")
	check(daemon.said(" is down: ") >= 1, "nothing was killed")


@scenario
async def all_killed(t):
	"""None is left: policy, and verdicts again when one is back."""
	t.failures = {"unreachable"}
	rspamds = [await t.rspamd() for _ in range(2)]
	daemon = await t.daemon(rspamds, "timeout_queue = 0.3")
	load = await t.steady(daemon, sizes=REAL)
	for rspamd in rspamds:
		rspamd.kill()
	await t.more(load, t.size(200, 30), ERROR)
	await t.more(load, t.size(100, 20), UNSCANNED)
	for rspamd in rspamds:
		await restart(rspamd)
	await until(lambda: daemon.said(" is up again after ") >= 1, "one is up again")
	await t.more(load, 100, VERDICT)


@scenario
async def all_restarted(t):
	"""rspamd is restarted as an update does it: whoever waits for it has its verdict."""
	rspamd = await t.rspamd()
	daemon = await t.daemon([rspamd], "timeout_queue = 60")
	load = await t.steady(daemon, sizes=REAL)
	for _ in range(t.size(5, 1)):
		await t.more(load, 50)
		rspamd.signal(signal.SIGTERM)
		await asyncio.to_thread(rspamd.wait)
		await until(lambda: daemon.said(" is down: ") > daemon.said(" is up again after "), "it is missed")
		await restart(rspamd)
		await until(lambda: daemon.said(" is up again after ") == daemon.said(" is down: "), "it is up again")
	await t.more(load, 50)
	check(load.ended(VERDICT) == load.ended(), f"not all were verdicts: {load.counts()}")


@scenario
async def one_stopped(t):
	"""SIGSTOP: it accepts and says nothing more; then SIGCONT."""
	rspamds = [await t.rspamd() for _ in range(2)]
	daemon = await t.daemon(rspamds, "timeout_wait = 1\nhealth_interval = 1")
	load = await t.steady(daemon, sizes=REAL)
	for number in range(t.size(4, 1)):
		stopped = tree(rspamds[number % 2])
		for pid in stopped:
			os.kill(pid, signal.SIGSTOP)
		await until(lambda n=number: daemon.said(" is down: ") > n, "it is noticed")
		await t.more(load, 100)
		for pid in stopped:
			os.kill(pid, signal.SIGCONT)
		await until(lambda: daemon.said(" is up again after ") == daemon.said(" is down: "), "it is up again")
	await t.more(load, 50)
	check(load.ended(VERDICT) == load.ended(), f"not all were verdicts: {load.counts()}")

# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon itself: reloaded, restarted, its workers killed, all under load."""

import asyncio
import os
import signal
import socket

from backend import slow
from daemon import Daemon, total
from mail import NONE, REFUSED, VERDICT
from trial import check, scenario, until


async def reload(t, daemon, config=""):
	"""SIGHUP; until only new workers are there.  The mail goes on meanwhile."""
	before = set(daemon.mail_workers())
	daemon.write(config)
	daemon.signal(signal.SIGHUP)
	await until(lambda: not before & set(daemon.workers()), "the old workers have finished")


@scenario
async def reloaded(t):
	"""SIGHUP again and again, with other numbers of workers, another rspamd, and faults in the file."""
	daemon = await t.daemon([await t.backend() for _ in range(2)], workers=2)
	load = await t.steady(daemon)
	everyone, rounds = daemon.backends, t.size(30, 4)
	for number in range(rounds):
		daemon.workers_wanted = 1 + number % 3
		daemon.backends = everyone[number % 2:1 + number % 2]
		await reload(t, daemon)
		if number % 3 == 2:
			before = daemon.said("the running one stays")
			daemon.write("nonsense")
			daemon.signal(signal.SIGHUP)
			await until(lambda n=before: daemon.said("the running one stays") > n, "a bad file is refused")
		await t.more(load, 50)
	check(total(daemon.metrics(), "reloads_total", "done") == rounds, "reloads that were not counted")
	check(load.ended(VERDICT) == load.ended(), f"not all were verdicts: {load.counts()}")
	t.note(f"{rounds} reloads")


@scenario
async def restarted_with_sockets(t):
	"""SIGTERM, and a new daemon with the same sockets, as systemd does it: nobody is refused."""
	folder = t.folder("sockets")
	listening = [socket.create_server(("127.0.0.1", 0), backlog=4096), socket.socket(socket.AF_UNIX)]
	listening[1].bind(str(folder / "shim.sock"))
	os.chmod(folder / "shim.sock", 0o666)
	listening[1].listen(4096)
	backends = [await t.backend() for _ in range(2)]
	daemon = await t.daemon(backends, sockets=listening, workers=2)
	load = await t.steady(daemon)
	rounds = t.size(20, 3)
	for _ in range(rounds):
		daemon.signal(signal.SIGTERM)
		check(await asyncio.to_thread(daemon.wait) == 0, "it ended badly")
		daemon = await t.daemon(backends, sockets=listening, workers=2)
		await t.more(load, 60)
	await load.stop()
	check(load.ended(VERDICT) == load.ended(), f"not all were verdicts: {load.counts()}")
	for sock in listening:
		sock.close()
	t.note(f"{rounds} restarts")


@scenario
async def restarted(t):
	"""The same without that: clients are refused while it is away, but who was let in has a verdict."""
	t.may_be_refused = True
	backends = [await t.backend() for _ in range(2)]
	daemon = await t.daemon(backends, workers=2)
	load = await t.steady(daemon, pause=0.01)
	rounds = t.size(10, 2)
	for _ in range(rounds):
		daemon.signal(signal.SIGTERM)
		check(await asyncio.to_thread(daemon.wait) == 0, "it ended badly")
		follower = Daemon(t.folder("shim"), backends, workers=2)
		follower.port, follower.unix = daemon.port, daemon.unix
		follower.write()
		daemon = follower
		t.daemons.append(daemon)
		t.parties.append(daemon)
		await asyncio.to_thread(daemon.start)
		await t.more(load, 60, VERDICT)
	await load.stop()
	check(load.ended(VERDICT) + load.ended(REFUSED, NONE) == load.ended(), f"{load.counts()}")
	t.note(f"{rounds} restarts")


@scenario
async def worker_killed(t):
	"""kill -9 of a worker: its requests are lost, and no others; clients see a close, never half a reply."""
	t.may_be_lost = True
	daemon = await t.daemon([await t.backend() for _ in range(2)], workers=2)
	load = await t.steady(daemon, clients=24, pause=0.001)
	rounds, under_way = t.size(20, 2), 0
	for _ in range(rounds):
		await until(lambda: len(daemon.mail_workers()) == 2 and load.under_way() >= 4, "two workers with mail")
		victim = min(daemon.mail_workers())
		under_way += load.under_way()
		os.kill(victim, signal.SIGKILL)
		await until(lambda v=victim: v not in daemon.workers(), "it is gone")
		await t.more(load, t.size(200, 60), VERDICT)
	await load.stop()
	await until(lambda: len(daemon.mail_workers()) == 2, "two workers again")
	metrics = daemon.metrics()
	check(total(metrics, "workers_died_total") == rounds, "deaths that were not counted")
	check(daemon.said("signal 9") == rounds, "deaths that the log does not tell of")
	lost = load.ended(NONE)
	check(load.ended(VERDICT) + lost == load.ended(), f"not verdicts: {load.counts()}")
	check(lost, "no request was lost: nothing was tried")
	check(lost <= under_way, f"{lost} were lost, only {under_way} were under way")
	t.note(f"{rounds} kills with {under_way} requests under way")


@scenario
async def worker_stopped(t):
	"""A worker that hangs (SIGSTOP) is found and replaced; what it had is lost and counted."""
	t.may_be_lost = True
	behind = await t.backend()
	daemon = await t.daemon([behind], "timeout_worker = 5", workers=2)
	load = await t.steady(daemon)
	behind.fault = slow(0.2)		# so that each worker has some
	await t.more(load, 20)
	busy = await until(lambda: [pid for pid in daemon.mail_workers() if daemon.descriptors(pid) > t.before[daemon][0]],
	                   "a worker with mail")
	victim = max(busy, key=daemon.descriptors)
	os.kill(victim, signal.SIGSTOP)
	await until(lambda: victim not in daemon.workers(), "it is replaced")
	await t.more(load, 100, VERDICT)
	await load.stop()
	check(load.ended(VERDICT) + load.ended(NONE) == load.ended(), f"{load.counts()}")
	check(1 <= load.ended(NONE) <= load.clients, f"{load.ended(NONE)} were lost")

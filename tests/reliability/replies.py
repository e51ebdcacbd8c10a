# SPDX-License-Identifier: GPL-2.0-or-later
"""Rspamds that are slow, full, or say what is no verdict; exchanges cut at every point.

Two daemons have the same kind of broken rspamd: one has another rspamd beside
it, by which every mail gets its verdict; for the other there is policy.
"""

import asyncio
import socket

from backend import CutReply, CutRequest, deaf, doubles, early, full, hold, limited, resets, response, says, slow
from daemon import total
from mail import ERROR, UNSCANNED, VERDICT
from trial import check, scenario, until

ASKED_FIRST = "breaker_failures = 1000000\ntimeout_queue = 0.05"
REQUEST_MOST = 1750		# bytes of the HTTP request of a mail of 1 KiB
REPLY_MOST = 620		# and of its reply, however its end is told
GOOD = b'{"is_skipped":false,"score":0.1,"required_score":15.0,"action":"no action","symbols":{},"message-id":"x"}'
NONSENSE = (
	b"", b"\0" * 4096, b"\xff" * 70000, b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\n\r\n",
	b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{", b"HTTP/1.1 999999 OK\r\nContent-Length: 0\r\n\r\n",
	b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
	b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
	b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20000, b"RSPAMD/1.3 0 EX_OK\r\nMetric: default; False; 0.0 / 15.0 / 0.0\r\n",
	*(response(body) for body in (
		b"", b"{", b"[]", b"null", b"0", b'"no action"', b"{}", b'{"action":"no action"}', b'{"score":0}', GOOD[:-1],
		b'{"action":7,"score":"x","symbols":[]}', b"<html>not a rspamd</html>", b'{"error":"no"}', b"[" * 100000,
		GOOD.replace(b"0.1", b"1e999"), GOOD.replace(b'"no action"', b"null"))),
)


async def both(t, fault, failures, rounds=None, config="", form="length", sizes=(1024,), clients=None, window=0):
	"""A load on both daemons until rounds(fault) of each is true; fault makes one for each.

	window: bytes that the broken rspamd's kernel takes before it reads them.
	"""
	t.failures |= failures
	good, loads = await t.backend(), []
	for alone in (False, True):
		broken = await t.backend()
		broken.form = form
		beside = [(broken.url, "priority = 0"), (good.url, "priority = 1")]
		daemon = await t.daemon([broken] if alone else beside, f"{ASKED_FIRST}\n{config}")
		loads.append(await t.steady(daemon, warm=20, clients=clients or t.size(40, 16), sizes=sizes, pause=0.001))
		broken.connections = 0
		if window:
			broken.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
		broken.fault = fault()
		loads[-1].broken = broken
	rounds = rounds or (lambda broken: broken.connections >= t.size(400, 60))
	for load in loads:
		await until(lambda one=load: rounds(one.broken) or one.ended("wrong"), "so many exchanges went wrong")
		await load.stop()
	helped, alone = loads
	check(helped.ended(VERDICT) == helped.ended(), f"with another rspamd beside it: {helped.counts()}")
	if failures:
		check(alone.ended(ERROR) and alone.ended(UNSCANNED), f"alone: {alone.counts()}")
	return loads


async def cut(t, kind, most, **more):
	"""Every position of the exchange, with a FIN and with a RST (which, before any reply, says that there is no room)."""
	for reset in (False, True):
		step = t.size(1, 29)
		await both(t, lambda r=reset: kind(r, step, most), {"unreachable", "unreadable-reply", "overload"},
		           lambda broken: broken.fault.done * broken.fault.step > most, **more)
	t.note(f"cut at {2 * (most // step)} positions, twice")


@scenario
async def cut_requests(t):
	"""rspamd closes after each number of bytes of the request."""
	await cut(t, CutRequest, REQUEST_MOST)


@scenario
async def cut_replies(t):
	"""rspamd closes after each number of bytes of a reply with Content-Length."""
	await cut(t, CutReply, REPLY_MOST)


@scenario
async def cut_replies_in_chunks(t):
	"""... of a reply in chunks."""
	await cut(t, CutReply, REPLY_MOST, form="chunked")


@scenario
async def cut_replies_without_length(t):
	"""... of a reply whose end is that of the connection: half of one must not pass for a whole."""
	await cut(t, CutReply, REPLY_MOST, form="close")


@scenario
async def nonsense(t):
	"""What comes is no verdict."""
	rounds = t.size(10, 2) * len(NONSENSE)
	await both(t, lambda: says(NONSENSE), {"unreachable", "unreadable-reply", "rspamd-error", "incomplete-scan"},
	           lambda broken: broken.connections >= rounds)
	t.note(f"{len(NONSENSE)} kinds of nonsense")


@scenario
async def server_errors(t):
	"""5xx, with and without rspamd's own words."""
	answers = [response(body, status) for status in ("500 Internal", "502 Bad Gateway", "503 Busy", "504 Gateway Time-out")
	           for body in (b"", b'{"error":"max tasks number exceeded"}', GOOD)]
	await both(t, lambda: says(answers), {"rspamd-error"})


@scenario
async def early_verdicts(t):
	"""A verdict comes before all of the message was sent: it is another mail's."""
	await both(t, lambda: early, {"unreadable-reply"}, lambda broken: broken.connections >= t.size(200, 20),
	           sizes=(4 << 20,), clients=4, window=1 << 15)


@scenario
async def doubled_replies(t):
	"""Each reply on a kept connection comes twice, the second time as that to the next message."""
	t.failures = set()
	backend = await t.backend()
	daemon = await t.daemon([backend])
	load = await t.steady(daemon, sizes=(1024, 256 << 10))
	backend.fault = doubles
	await until(lambda: backend.doubled >= t.size(1000, 100) or load.ended("wrong"), "so many replies came twice")
	await load.stop()
	check(load.ended(VERDICT) == load.ended(), f"not all were verdicts: {load.counts()}")
	t.note(f"{backend.doubled} replies came twice")


@scenario
async def accepts_and_closes(t):
	"""As a rspamd that is full, and stays so."""
	await both(t, lambda: full, {"unreachable", "overload"})


@scenario
async def takes_a_few(t):
	"""As rspamd 4.1.5 with max_tasks = 3: what comes above that is reset; all is well for whoever waits."""
	backend = await t.backend()
	daemon = await t.daemon([backend], "timeout_queue = 60")
	load = await t.steady(daemon, clients=t.size(40, 16))
	backend.fault = limited(3, 0.02)
	await until(lambda: backend.refused >= t.size(1000, 100), "so many connections were reset")
	await t.more(load, t.size(1000, 100))
	backend.fault = None
	await t.more(load, 50)
	await load.stop()
	others = [f"{line.get('size')} bytes: {line.get('reason')}" for line in daemon.lines() if line["outcome"] not in ("verdict", "ok")]
	check(not others, f"not all were verdicts: {others[:5]}")
	check(not daemon.said(" is down: "), "it counts as down")
	t.note(f"{backend.refused} connections reset")


@scenario
async def says_nothing(t):
	"""It takes all and never answers."""
	await both(t, lambda: deaf, {"timeout"}, lambda broken: broken.connections >= t.size(100, 40),
	           config="timeout_wait = 1.5\ntimeout_connect = 1.5")


@scenario
async def slow_replies(t):
	"""It takes its time, and its reply comes in pieces: no fault at all."""
	await both(t, lambda: slow(0.2, 20), set())


@scenario
async def goes_up_and_down(t):
	"""All of these in turn, with the breaker and the queue as they are by default."""
	faults = (full, deaf, says(NONSENSE), None, CutRequest(True, 7), None, CutReply(False, 3), slow(0.1))
	broken, good = await t.backend(), await t.backend()
	daemon = await t.daemon([broken, good], "timeout_wait = 1.2\nhealth_interval = 0.3\nslow_start = 0.5", workers=2)
	load = await t.steady(daemon)
	for fault in faults * t.size(3, 1):
		broken.fault = fault
		await t.more(load, t.size(150, 40))
		await asyncio.sleep(t.size(1.0, 0.2))		# time for the breaker, in which the load goes on
	broken.fault = None
	await t.more(load, 50)
	await load.stop()
	check(load.ended(VERDICT) == load.ended(), f"not all were verdicts: {load.counts()}")


@scenario
async def dies_slowly(t):
	"""The only one resets every connection for a while, as one that is being restarted, and then is well."""
	backend = await t.backend()
	daemon = await t.daemon([backend])
	load = await t.steady(daemon)
	for _ in range(t.size(5, 1)):
		asked = backend.connections
		backend.fault = resets
		await until(lambda n=asked: backend.connections > n, "it is asked")
		await asyncio.sleep(0.3)
		backend.fault = None
		await t.more(load, 50)
	await load.stop()
	check(load.ended(VERDICT) == load.ended(), f"not all were verdicts: {load.counts()}")


@scenario
async def tries_again(t):
	"""The only one is tried with one mail, and keeps it: for the others none is up, not none that has room."""
	t.failures = {"unreachable", "overload"}
	backend = await t.backend()
	daemon = await t.daemon([backend], "timeout_queue = 0.2\nhealth_interval = 0.2")
	load = await t.steady(daemon)
	backend.fault = full
	await until(lambda: daemon.said(" is down: "), "it is down")
	backend.fault = hold
	await until(lambda: total(daemon.metrics(), "backend_circuit", 'state="half-open"'), "it is tried")
	await t.more(load, 40)
	backend.held.set()
	await t.more(load, 40, VERDICT)

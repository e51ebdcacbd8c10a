# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients that leave at every point of their request, of the wait, and of the reply."""

import asyncio
import contextlib
import socket

import backend as fake
from daemon import total
from load import connect, receive, reset
from mail import ERROR, KINDS, LEFT, NONE, VERDICT
from trial import check, scenario, until

TOGETHER = 25		# clients that are cut at a time
WAYS = ("close", "reset", "half-close")


async def some(jobs):
	"""Runs these coroutines, some at a time."""
	room = asyncio.Semaphore(TOGETHER)

	async def one(job):
		async with room:
			await job
	await asyncio.gather(*map(one, jobs))


async def bystanders(t, **more):
	"""A daemon with a steady load that must not notice, and a place for the cut ones."""
	behind = await t.backend()
	daemon = await t.daemon([behind], workers=2, **more)
	load = await t.steady(daemon, clients=6, pause=0.02)
	return behind, daemon, load, t.load(daemon)


async def unharmed(load):
	await load.stop()
	check(load.ended(VERDICT) == load.ended(), f"the others: {load.counts()}")


def leave(sock, way):
	"""Goes away; a half-close is waited for elsewhere."""
	if way == "reset" and sock.family == socket.AF_INET:
		reset(sock)
	else:
		sock.close()


@scenario
async def cut_requests(t):
	"""After each number of bytes: close, reset, or half-close and wait for the answer."""
	t.failures = {"bad-request"}
	_, daemon, load, cut = await bystanders(t)
	step, positions = t.size(1, 61), 0

	async def one(address, policy, kind, position, way):
		mail = cut.mail(1024, kind)
		record = cut.record(mail, policy)
		sock = await connect(address)
		await asyncio.get_running_loop().sock_sendall(sock, mail.request[:position])
		if way != "half-close":
			leave(sock, way)
			record.fate, record.why = LEFT, way
			return
		sock.shutdown(socket.SHUT_WR)
		record.judge(mail, *await receive(sock))
		sock.close()
		if position < len(b"CHECK RSPAMC/1.3\r\n") and record.why.find("'SPAMD/1.0 76 Bad header line") > 0:
			record.fate = ERROR		# it could not know yet which dialect to speak
		check((record.fate == VERDICT) == (position == len(mail.request)),
		      f"{record.queue_id} {kind}: {record.fate} for {position} bytes of {len(mail.request)}")
		if record.fate == NONE:
			check(position < mail.request.index(b"\r\n\r\n") + 4, f"{position} bytes of {kind}: no answer")
			record.fate = LEFT
		record.unnamed = position < len(mail.request)		# its line need not know the queue id
	jobs = []
	for kind in KINDS:
		most = len(cut.mail(1024, kind).request) - 80		# that of any number, and bodies differ by up to 80
		for way in WAYS:
			for position in range(0, most + 1, step):
				jobs.append(one(*list(daemon.addresses.items())[position % 2], kind, position, way))
				positions += 1
	await some(jobs)
	await unharmed(load)
	t.note(f"cut at {positions} points")


@scenario
async def leave_while_waiting(t):
	"""rspamd has the mail, and its client goes: by a reset the scan ends, too."""
	behind, daemon, load, cut = await bystanders(t)
	await load.stop()
	behind.fault = fake.hold
	counts = {}
	for way in ("reset", "close"):
		before = behind.connections - behind.pings
		cancelled = total(daemon.metrics(), "backend_requests_total", "cancelled")
		socks = []
		count = t.size(400, 40)
		for _ in range(count):
			mail = cut.mail()
			record = cut.record(mail, "defer")
			sock = await connect(daemon.port)
			await asyncio.get_running_loop().sock_sendall(sock, mail.request)
			record.fate, record.why = LEFT, way
			socks.append(sock)
		await until(lambda n=before + count: behind.connections - behind.pings >= n, "rspamd has them all")
		for sock in socks:
			leave(sock, way)
		counts[way] = count
		if way == "reset":
			await until(lambda n=cancelled + count: total(daemon.metrics(), "backend_requests_total", "cancelled") >= n,
			            "each scan is cancelled")
	behind.held.set()
	load.start()
	await t.more(load, 30)
	await unharmed(load)
	t.note(", ".join(f"{count} by {way}" for way, count in counts.items()))


@scenario
async def cut_replies(t):
	"""After each number of bytes of the reply, of a large one too."""
	_, daemon, load, cut = await bystanders(t)
	cuts = 0

	async def one(address, kind, size, position, way):
		mail = cut.mail(size, kind)
		record = cut.record(mail, daemon.addresses[address])
		loop = asyncio.get_running_loop()
		sock = await connect(address, 4096 if size > 4096 else None)
		await loop.sock_sendall(sock, mail.request)
		got = 0
		while got < position:
			data = await loop.sock_recv(sock, min(position - got, 1 << 16))
			if not data:
				break
			got += len(data)
		leave(sock, way)
		record.fate, record.why = LEFT, way
	jobs = []
	for way in ("reset", "close"):
		for kind in KINDS:
			for position in range(1, 400, t.size(2, 40)):
				jobs.append(one(list(daemon.addresses)[position % 2], kind, 1024, position, way))
		for position in range(1, 2 << 20, t.size(40000, 400000)):
			jobs.append(one(list(daemon.addresses)[position % 2], "PROCESS", 2 << 20, position, way))
	cuts = len(jobs)
	await some(jobs)
	await unharmed(load)
	await t.quiet(daemon)
	check(not daemon.said("timeout_reply"), "clients that had left were waited for")
	t.note(f"cut at {cuts} points")


@scenario
async def leave_while_memory_is_short(t):
	"""Clients wait until there is memory for their mail, and go: nothing but that tells the daemon."""
	more = "max_memory = 8M\nmax_message_size = 8M\ntimeout_client = 3600\ntimeout_request = 3600\n"
	_, daemon, load, cut = await bystanders(t, config=more)
	await load.stop()
	socks = []
	for _ in range(t.size(100, 30)):
		mail = cut.mail(4 << 20)
		record = cut.record(mail, "defer")
		sock = await connect(daemon.port)
		with contextlib.suppress(BlockingIOError):		# as much as is taken
			for start in range(0, 1 << 20, 1 << 16):
				sock.send(mail.request[start:start + (1 << 16)])
		record.fate, record.why = LEFT, "no memory"
		record.unnamed = True
		socks.append(sock)
	# each has a part of its mail in the kernel: none of them ends, and most wait
	await until(lambda: total(daemon.metrics(), "connections") >= len(socks), "all are there")
	for number, sock in enumerate(socks):
		leave(sock, WAYS[number % 2])
	await t.quiet(daemon)
	load.start()
	await t.more(load, 30)
	await unharmed(load)
	t.note(f"{len(socks)} left")


@scenario
async def leave_the_queue(t):
	"""No rspamd is up; clients come, wait in the queue, and go."""
	behind, daemon, load, cut = await bystanders(t, config="timeout_queue = 60\nhealth_interval = 0.3\n")
	await load.stop()
	behind.go_away()
	t.failures = {"unreachable"}
	load.start()
	await until(lambda: daemon.said(" is down: ") >= 2, "both workers know that it is down")
	count, socks = t.size(1000, 100), []
	for _ in range(count):
		mail = cut.mail(1024)
		record = cut.record(mail, "defer")
		sock = await connect(daemon.port)
		await asyncio.get_running_loop().sock_sendall(sock, mail.request)
		record.fate, record.why = LEFT, "queue"
		socks.append(sock)
	await until(lambda: total(daemon.metrics(), "connections") >= count, "all are there")
	for sock in socks:
		reset(sock)
	await until(lambda: total(daemon.metrics(), "connections") < count // 2, "all have gone")
	await behind.start()
	await t.more(load, 50, VERDICT)
	await load.stop()
	check(load.ended(VERDICT, ERROR) + load.ended("unscanned") == load.ended(), f"the others: {load.counts()}")
	t.note(f"{count} left the queue")

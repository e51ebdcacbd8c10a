# SPDX-License-Identifier: GPL-2.0-or-later
"""Many at once: connections, slow senders, slow readers, bytes."""

import asyncio
import resource

import backend as fake
from harness import Unavailable
from daemon import total
from load import connect, receive
from mail import ERROR, LEFT, UNSCANNED, VERDICT
from trial import check, scenario, until

SPARE = 2000		# descriptors beside those of the crowd
MIB = 1 << 20


def need_descriptors(count):
	soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
	if soft < count:
		raise Unavailable(f"{count} descriptors are needed, ulimit -n allows {soft}, and its hard limit is {hard}")


async def crowd(count, address):
	"""So many connections."""
	socks = []
	for start in range(0, count, 200):
		socks += await asyncio.gather(*(connect(address) for _ in range(min(200, count - start))))
	return socks


@scenario
async def connections(t):
	"""10 000 clients are connected; then each sends a mail, all at once."""
	count = t.size(10000, 2000)
	need_descriptors(count + SPARE)
	behind = await t.backend()
	daemon = await t.daemon([(behind.url, "max_requests = 500")], f"max_connections = {count + 100}\nmax_queue = {count}\n"
	                        "timeout_idle = 600\ntimeout_client = 600\ntimeout_queue = 600\ntimeout_request = 900")
	load = await t.steady(daemon, sizes=(2048,))
	late = t.load(daemon)
	socks = await crowd(count, daemon.port)
	await until(lambda: total(daemon.metrics(), "connections") >= count, "all are there")
	await t.more(load, 100)			# who comes beside them is served

	async def one(sock):
		mail = late.mail(2048)
		record = late.record(mail, "defer")
		with sock:
			await late.talk(sock, mail, record)
	await asyncio.gather(*map(one, socks))
	await load.stop()
	for each in (load, late):
		check(each.ended(VERDICT) == each.ended(), f"{each.counts()}")
	t.note(f"{count} connections at once")


@scenario
async def slow_senders(t):
	"""1000 clients send a byte now and then; their deadline ends them, and the others do not notice."""
	t.failures = {"timeout"}
	daemon = await t.daemon([await t.backend()], "max_connections = 3000\ntimeout_client = 2")
	load = await t.steady(daemon)
	slow = t.load(daemon)
	socks = await crowd(t.size(1000, 300), daemon.port)

	async def one(sock):
		mail = slow.mail(4096)
		record = slow.record(mail, "defer")
		record.unnamed = True
		sender = asyncio.create_task(trickle(sock, mail.request))
		with sock:
			record.judge(mail, *await receive(sock))
			sender.cancel()
			await asyncio.gather(sender, return_exceptions=True)

	async def trickle(sock, data):
		for i in range(len(data)):
			if i == 0 and data.startswith(b"CHECK RSPAMC"):		# else its error is SPAMC's
				await asyncio.get_running_loop().sock_sendall(sock, data[:data.index(b"\r\n\r\n") + 4])
			await asyncio.get_running_loop().sock_sendall(sock, data[i:i + 1])
			await asyncio.sleep(0.2)
	await asyncio.gather(*map(one, socks))
	await t.more(load, 50)
	await load.stop()
	wrong = {record.why for record in slow.records if record.fate != ERROR}
	check(not wrong, f"the slow ones: {slow.counts()}: {wrong}")
	check(load.ended(VERDICT) == load.ended(), f"the others: {load.counts()}")
	t.note(f"{len(socks)} slow senders")


@scenario
async def slow_readers(t):
	"""Clients that do not take their reply, or take it in small pieces."""
	daemon = await t.daemon([await t.backend()], "timeout_reply = 2")
	load = await t.steady(daemon)
	slow = t.load(daemon)
	count = t.size(200, 30)

	async def never(done):
		mail = slow.mail(2 * MIB, "PROCESS")
		record = slow.record(mail, "defer")
		with await connect(daemon.unix) as sock:		# its kernel keeps less than TCP's
			await asyncio.get_running_loop().sock_sendall(sock, mail.request)
			await done.wait()
			record.fate, record.why = LEFT, "its deadline is over"

	async def slowly():
		mail = slow.mail(64 << 10, "PROCESS")
		record = slow.record(mail, "defer")
		with await connect(daemon.port, 2048) as sock:
			await asyncio.get_running_loop().sock_sendall(sock, mail.request)
			parts = []
			while data := await asyncio.get_running_loop().sock_recv(sock, 4096):
				parts.append(data)
				await asyncio.sleep(0.01)
			record.judge(mail, b"".join(parts), False)
	done = asyncio.Event()
	tasks = [asyncio.create_task(never(done) if number % 2 else slowly()) for number in range(count)]
	await until(lambda: daemon.said("timeout_reply = 2 s is over: it did not take its reply") >= count // 2,
	            "those who do not read are cut off")
	done.set()
	await asyncio.gather(*tasks)
	await load.stop()
	check(load.ended(VERDICT) == load.ended(), f"the others: {load.counts()}")
	check(slow.ended(VERDICT) == count - count // 2, f"the slow ones: {slow.counts()}")
	t.note(f"{count} slow readers")


@scenario
async def bytes_beyond_the_budget(t):
	"""2 GiB of mail against max_memory = 64M: reading stops before memory does."""
	budget = 64
	behind = await t.backend(fake.slow(0.05))
	daemon = await t.daemon([behind], f"max_memory = {budget}M\nmax_message_size = 50M\ntimeout_client = 600\n"
	                        "timeout_request = 900\ntimeout_queue = 600")
	load = t.load(daemon, sizes=(4 * MIB,), clients=t.size(128, 24), pause=0)
	mails, most = t.size(512, 52), 0
	load.start()
	while load.ended() < mails:
		most = max(most, total(await t.metrics(daemon), "held_bytes"))
		await asyncio.sleep(0.02)
	await load.stop()
	await t.quiet(daemon)
	check(load.ended(VERDICT) == load.ended(), f"not all were verdicts: {load.counts()}")
	# one message may be above it, lest all wait for each other
	check(most <= (budget + 4) * MIB, f"{most} bytes were held")
	peak = daemon.memory("VmHWM") / 1024
	check(daemon.sanitized() or peak < 2 * budget, f"the worker had {peak:.0f} MiB at its peak")
	t.note(f"{load.ended() * 4} MiB of mail, {most / MIB:.1f} MiB held at most, the worker {peak:.0f} MiB at its peak")


@scenario
async def more_than_the_queue(t):
	"""Every rspamd is busy, and more come than may wait: the rest is refused by policy, at once."""
	t.failures = {"overload"}
	behind = await t.backend(None)
	daemon = await t.daemon([(behind.url, "max_requests = 4")], "max_queue = 20\ntimeout_queue = 0.5")
	load = await t.steady(daemon, clients=12, sizes=(1024,), pause=0.01)
	behind.fault = fake.slow(0.3)
	crowd_of_them = t.load(daemon, clients=48, sizes=(1024,), pause=0.01).start()
	await t.more(load, t.size(400, 60), ERROR)
	await t.more(load, t.size(200, 20), UNSCANNED)
	await crowd_of_them.stop()
	behind.fault = None
	await t.more(load, 100, VERDICT)

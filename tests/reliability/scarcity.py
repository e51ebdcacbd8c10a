# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine has no more descriptors, memory or disk, or its clock is stepped."""

import asyncio
import fcntl
import os
import pathlib
import re
import subprocess
import time

from harness import Unavailable, packages, process

import backend as fake
from daemon import status, total
from mail import VERDICT
from trial import check, scenario, until

packages.GROUPS.setdefault("libfaketime", (["libfaketime"], None))
DAY = 86400


def limit(pid, **limits):
	"""Sets soft limits of a worker, by name: a number or "unlimited"."""
	words = [f"--{name}={value}:" for name, value in limits.items()]
	# as its own user, for root need not have the right
	subprocess.run(["prlimit", "--pid", str(pid), *words], check=True, capture_output=True, **process.run_as())


@scenario
async def descriptors(t):
	"""A worker may open a few more, then none; later all again."""
	t.failures = {"overload"}
	behind = await t.backend(fake.slow(0.02))
	daemon = await t.daemon([behind])
	load = await t.steady(daemon, clients=40, pause=0.001)
	pid, = daemon.mail_workers()
	before = re.search(r"^Max open files\s+(\d+)", pathlib.Path(f"/proc/{pid}/limits").read_text(), re.M)[1]
	for more in t.size((20, 3, 0), (20, 0)):
		limit(pid, nofile=t.before[daemon][0] + more)
		if more:
			await t.more(load, t.size(300, 60))
		else:
			await until(lambda: daemon.said("cannot accept: ") > 0, "the log tells of it")
			await asyncio.sleep(t.size(3, 1))		# nobody can be served; they wait
		limit(pid, nofile=before)
		await t.more(load, 60, VERDICT)
	t.note(f"the log has {daemon.said('cannot accept: ')} lines about it")


@scenario
async def memory(t):
	"""A worker gets no more address space than it has; then a bit; then all again."""
	daemon = await t.daemon([await t.backend(fake.slow(0.02))])
	if daemon.sanitized():
		raise Unavailable("a sanitizer does not live without memory")
	t.failures = {"internal", "overload", "unreachable"}
	t.may_be_lost = True
	load = await t.steady(daemon, clients=4, sizes=(2048,))
	large = t.load(daemon, clients=20, sizes=(2048, 64 << 10, 1 << 20, 4 << 20)).start()
	for extra in t.size((0, 1, 8) * 4, (0, 8)):
		pids = daemon.mail_workers()
		for pid in pids:
			limit(pid, **{"as": (status(pid, "VmSize") << 10) + (extra << 20)})
		await t.more(large, t.size(200, 60))
		for pid in daemon.mail_workers():
			limit(pid, **{"as": "unlimited"})
		await t.more(load, 60, VERDICT)
	check(daemon.said("out of memory"), "there was always enough")
	t.note(f"{daemon.said('out of memory')} lines tell of no memory, {total(daemon.metrics(), 'workers_died_total')} workers died")


async def without_log(t, stderr, **options):
	"""A daemon whose log nobody can read back, with its load."""
	t.log_is_kept = False
	daemon = await t.daemon([await t.backend()], stderr=stderr, **options)
	return daemon, await t.steady(daemon)


async def counted_right(t, daemon, load):
	"""The page agrees with the clients, by itself.  Returns it."""
	await load.stop()
	metrics = await t.quiet(daemon)
	check(load.ended(VERDICT) == load.ended(), f"not all were verdicts: {load.counts()}")
	seen = total(metrics, "requests_total", 'outcome="verdict"')
	check(seen == load.ended(), f"{load.ended()} requests, {seen} in /metrics")
	return metrics


@scenario
async def log_to_a_full_device(t):
	"""Each write of the log fails with ENOSPC: mail goes on, and /metrics counts the lines."""
	with open("/dev/full", "wb") as device:
		daemon, load = await without_log(t, device)
	await t.more(load, t.size(1000, 100))
	metrics = await counted_right(t, daemon, load)
	lost = total(metrics, "log_lines_lost_total")
	check(lost >= load.ended(), f"{load.ended()} requests, {lost} lines lost")
	t.note(f"{lost} lines of the log lost, and counted")


@scenario
async def log_that_nobody_reads(t):
	"""A pipe that is full: each line is in it whole, or counted as lost; and told of when somebody reads again."""
	reader, writer = os.pipe()
	try:
		daemon, load = await without_log(t, writer)
	finally:
		os.close(writer)
	await t.more(load, t.size(3000, 500))
	await load.stop()
	lost = total(await t.quiet(daemon), "log_lines_lost_total")
	check(lost, "the pipe was not filled")
	fcntl.fcntl(reader, fcntl.F_SETFL, os.O_NONBLOCK)
	lines = read_all(reader)
	check(lines.endswith("\n"), f"half a line: {lines[-100:]!r}")
	written = sum(" outcome=verdict" in line for line in lines.splitlines())
	load.start()
	await t.more(load, 20)
	metrics = await counted_right(t, daemon, load)
	later = read_all(reader)
	written += sum(" outcome=verdict" in line for line in later.splitlines())
	check(f"{lost} lines of the log were lost: nobody read them" in later, f"{lost} were lost, the log has {later[:200]!r}")
	check(written + lost == load.ended(), f"{load.ended()} requests: {written} lines, {lost} lost")
	check(total(metrics, "log_lines_lost_total") == lost, "more were lost")
	os.close(reader)
	t.note(f"{written} lines, {lost} lost")


def read_all(fd):
	parts = []
	while True:
		try:
			data = os.read(fd, 1 << 16)
		except BlockingIOError:
			data = b""
		if not data:
			return b"".join(parts).decode()
		parts.append(data)


@scenario
async def log_to_a_full_disk(t):
	"""A file on a file system that is full, and then not any more: whole lines, or counted as lost."""
	folder = t.folder("disk")
	mount = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=0777", "tmpfs", str(folder)]
	done = subprocess.run(mount, capture_output=True, text=True)
	if done.returncode:
		raise Unavailable(f"no small file system can be mounted: {done.stderr.strip()}")
	try:
		path = folder / "log"
		with open(path, "ab") as file:
			daemon, load = await without_log(t, file)
		await t.more(load, t.size(2000, 400))
		await load.stop()
		lost = total(await t.quiet(daemon), "log_lines_lost_total")
		check(lost, "the disk was not filled")
		first = path.read_text()
		os.truncate(path, 0)
		load.start()
		await t.more(load, 20)
		metrics = await counted_right(t, daemon, load)
		second = path.read_text()
		# the last may be half a line, after which the next begins anew; the file was emptied before it
		lines = first.split("\n")[:-1] + second.removeprefix("\n").split("\n")[:-1]
		bad = [line for line in lines if not line.startswith("rspamd-shim[") or line.count("rspamd-shim[") > 1]
		check(not bad, f"lines that are not whole: {bad[:2]}")
		written = sum(line.endswith(" outcome=verdict") for line in lines)
		lost = total(metrics, "log_lines_lost_total")
		check(written + lost == load.ended(), f"{load.ended()} requests: {written} whole lines, {lost} lost")
		t.note(f"{written} lines, {lost} lost")
	finally:
		# what still writes there keeps it until it ends
		subprocess.run(["umount", "--lazy", str(folder)], check=True)


@scenario
async def log_beyond_its_size(t):
	"""The log's file may not grow any more (RLIMIT_FSIZE): no worker dies of it."""
	folder = t.folder("disk")
	with open(folder / "log", "ab") as file:
		daemon, load = await without_log(t, file)
	for pid in [daemon.process.pid, *daemon.mail_workers()]:
		limit(pid, fsize=32 << 10)
	await t.more(load, t.size(2000, 300))
	metrics = await counted_right(t, daemon, load)
	check(total(metrics, "workers_died_total") == 0, "a worker died")
	check(total(metrics, "log_lines_lost_total"), "no line was lost")
	t.note(f"{total(metrics, 'log_lines_lost_total')} lines lost, and counted")


@scenario
async def clock(t):
	"""The machine's clock is stepped by days, back and forth; deadlines and the breaker do not follow it."""
	group = packages.need("libfaketime")
	library = next(group.root.rglob("libfaketime.so.1"), None)
	if library is None:
		raise Unavailable("libfaketime.so.1 is not in its package")
	folder = t.folder("clock")
	step = folder / "step"
	step.write_text(f"+{10 * DAY}\n")
	step.chmod(0o644)
	more = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(step), "FAKETIME_NO_CACHE": "1",
	        "DONT_FAKE_MONOTONIC": "1"}
	try:
		daemon = await t.daemon([await t.backend() for _ in range(2)], "timeout_client = 30", more_env=more)
	except AssertionError as why:
		raise Unavailable(f"the program does not start with libfaketime (a sanitizer?): {str(why)[:100]}") from None
	check(total(daemon.metrics(), "start_time_seconds") > time.time() + 9 * DAY, "the clock was not stepped")
	load = await t.steady(daemon)
	t.backends[0].fault = fake.full
	steps = (-10 * DAY, 0, 4000 * DAY, -DAY)
	for seconds in steps:
		other = step.with_name("next")
		other.write_text(f"{seconds:+d}\n")
		other.chmod(0o644)
		other.rename(step)
		await t.more(load, t.size(200, 60))
	t.backends[0].fault = None
	await until(lambda: daemon.said(" is up again after ") == daemon.said(" is down: "), "the breaker closes again")
	await t.more(load, 30)
	await load.stop()
	check(load.ended(VERDICT) == load.ended(), f"not all were verdicts: {load.counts()}")
	check(daemon.said("is over") == 0, "a deadline struck")
	t.note(f"{len(steps)} steps")

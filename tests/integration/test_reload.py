"""Reloads, workers that end, and the stop, while requests keep coming: each one has its verdict.

test_daemon.py has each of these by itself; here they come under load, with
an account of all requests at the end.
"""

import os
import pathlib
import re
import signal
import subprocess
import threading
from unittest import mock

from harness import (Case, FakeRspamd, RspamcReply, Shim, connect, message, receive, rspamc_request,
                     spamc_request, talk, verdict, wait_until)
from harness import process

RELOADS = 10
SPAM = re.compile(rb"\ASPAMD/1\.1 0 EX_OK\r\nSpam: True ; 17\.0 / ")


class Load:
	"""Clients, each with one request after the other, until end().

	Every request is a message of its own, so that none can be counted twice;
	both dialects take turns, with and without a half-close.  faults: what
	clients got in place of their verdict, by the message.
	"""

	def __init__(self, addresses, clients=8):
		self.answered = []
		self.faults = {}
		self.lock = threading.Lock()
		self.stop = threading.Event()
		self.threads = [threading.Thread(target=self.run, args=(i, addresses[i % len(addresses)]))
		                for i in range(clients)]
		for thread in self.threads:
			thread.start()

	def run(self, number, address):
		count = 0
		while not self.stop.is_set():
			count += 1
			name = f"{number}-{count}"
			mail = message(X_Number=name)
			try:
				if count % 2:
					reply = RspamcReply(talk(address, rspamc_request(mail), half_close=count % 3 == 0))
					assert (reply.action, reply.score) == ("reject", "17.00"), reply.report
				else:
					data = talk(address, spamc_request("CHECK", mail, "1.2"), half_close=count % 4 == 0)
					assert SPAM.match(data), data
			except (OSError, AssertionError, ValueError, IndexError) as fault:
				with self.lock:
					self.faults[name] = fault
				return
			with self.lock:
				self.answered.append(name)

	def more(self, count):
		"""Wait until so many more were answered."""
		goal = len(self.answered) + count
		wait_until(lambda: len(self.answered) >= goal or self.faults, f"{count} more requests")

	def end(self):
		self.stop.set()
		for thread in self.threads:
			thread.join()


def pending(pid, number):
	"""Does a signal wait for process pid to take it?"""
	text = pathlib.Path(f"/proc/{pid}/status").read_text()
	return int(re.search(r"^ShdPnd:\s+(\w+)", text, re.M)[1], 16) & 1 << number - 1


class Base(Case):
	def setUp(self):
		super().setUp()
		self.fakes = [self.own(lambda _folder: FakeRspamd()) for _ in range(2)]
		for fake in self.fakes:
			fake.answer(verdict("reject", 17.0))

	def conf(self, number):
		"""A configuration unlike the one before it."""
		return f'workers = {1 + number % 3}\nbackend "{self.fakes[number % 2].url}" {{ }}\n'

	def load(self, *addresses):
		load = Load(addresses)
		self.addCleanup(load.end)
		return load

	def asked(self):
		"""The names of the messages that were scanned, as often as they were."""
		return sorted(re.search(rb"^X-Number: (\S+)", request.body, re.M)[1].decode()
		              for fake in self.fakes for request in fake.requests)

	def account(self, load, shim):
		"""Nothing was lost, scanned twice, or answered by anybody but rspamd."""
		load.end()
		self.assertEqual(load.faults, {})
		self.assertEqual(sorted(load.answered), self.asked())
		shim.settle()
		self.assertNotIn("outcome=error", shim.log())
		self.assertNotIn("outcome=client-gone", shim.log())


class Reload(Base):
	def test_ten_reloads(self):
		shim = self.own(Shim, config=self.conf(0))
		load = self.load(shim.port, shim.unix)
		for number in range(1, RELOADS + 1):
			before = set(shim.workers())
			load.more(20)
			shim.write_config(self.conf(number))
			shim.signal(signal.SIGHUP)
			wait_until(lambda n=number, b=before: len(shim.workers()) == 1 + n % 3 and not b & set(shim.workers()),
			           "the workers of the new configuration, and those alone")
		# what comes now goes to the last one's backend
		other = self.fakes[(RELOADS + 1) % 2]
		count = len(other.requests)
		load.more(30)
		self.assertEqual(len(other.requests), count)
		self.account(load, shim)
		ended = sum(1 + number % 3 for number in range(RELOADS))
		wait_until(lambda: shim.log().count(" has finished") == ended, "each worker of an old configuration has finished")

	def test_reloads_on_top_of_each_other(self):
		"""SIGHUPs that come before the workers of the last one serve, and faults among them."""
		shim = self.own(Shim, config=self.conf(0))
		load = self.load(shim.port, shim.unix)
		for number in range(3 * RELOADS):
			shim.write_config("nonsense\n" if number % 4 == 3 else self.conf(number))
			shim.signal(signal.SIGHUP)
			load.more(1)
		shim.write_config(self.conf(1))
		shim.signal(signal.SIGHUP)
		load.more(20)
		wait_until(lambda: len(shim.workers()) == 2, "the workers of the last configuration, and those alone")
		self.account(load, shim)

	def test_workers_that_cannot_start(self):
		"""Those of the last configuration serve on."""
		# the leak checker would lack descriptors, too
		with mock.patch.dict(os.environ, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"):
			shim = self.own(Shim, config=self.conf(0))
		load = self.load(shim.port, shim.unix)
		before = shim.workers()
		shim.write_config(self.conf(1))
		# one descriptor more is enough for the supervisor, and not for an event loop
		most = len(os.listdir(f"/proc/{shim.process.pid}/fd")) + 1
		subprocess.run(["prlimit", "--pid", str(shim.process.pid), f"--nofile={most}:{most}"], check=True,
		               **process.run_as())
		shim.signal(signal.SIGHUP)
		wait_until(lambda: shim.log().count("exited with status") >= 2, "workers that cannot start")
		load.more(20)
		self.assertTrue(set(before) <= set(shim.workers()))
		self.assertNotIn("reloaded: ", shim.log())
		self.account(load, shim)

	def test_workers_that_are_told_to_end(self):
		"""A worker that somebody sends SIGTERM loses nothing, and is replaced."""
		shim = self.own(Shim, config="workers = 2\n" + f'backend "{self.fakes[0].url}" {{ }}\n')
		load = self.load(shim.port, shim.unix)
		for _ in range(4):
			wait_until(lambda: len(shim.workers()) == 2, "two workers")
			worker = min(shim.workers())
			load.more(20)
			os.kill(worker, signal.SIGTERM)
			wait_until(lambda w=worker: w not in shim.workers(), "it ends")
		load.more(20)
		self.account(load, shim)


class Stop(Base):
	def test_stop(self):
		"""Whoever was let in has a verdict; the others see at once that nobody is there."""
		shim = self.own(Shim, config=self.conf(1))
		load = self.load(shim.port, shim.unix)
		load.more(100)
		shim.signal(signal.SIGTERM)
		self.assertEqual(shim.wait(), 0)
		load.end()
		self.assertEqual(sorted(load.answered), self.asked())
		self.assertEqual(len(load.faults), len(load.threads))
		for fault in load.faults.values():
			self.assertIsInstance(fault, (ConnectionError, FileNotFoundError))
		self.assertNotIn("outcome=error", shim.log())
		self.assertNotIn("outcome=client-gone", shim.log())

	def test_those_in_the_queue(self):
		"""Whoever connected before the stop is served, accepted or not."""
		shim = self.own(Shim, backend=self.fakes[0].url)
		worker, = shim.workers()
		os.kill(worker, signal.SIGSTOP)
		# many more than a worker accepts at a time
		waiting = [connect(address) for address in (shim.port, shim.unix) * 200]
		for sock in waiting:
			self.addCleanup(sock.close)
			sock.sendall(b"PING SPAMC/1.5\r\n\r\n")
		shim.signal(signal.SIGTERM)
		wait_until(lambda: pending(worker, signal.SIGTERM), "the worker is told to finish")
		os.kill(worker, signal.SIGCONT)
		for sock in waiting:
			self.assertEqual(receive(sock), b"SPAMD/1.5 0 PONG\r\n")
			sock.close()
		self.assertEqual(shim.wait(), 0)

	def test_deadline(self):
		"""What can be finished is; what cannot ends at timeout_stop, with an error; other signals change nothing."""
		quick, never = self.fakes
		go = threading.Event()
		self.addCleanup(go.set)
		answer = quick._behaviour[0]
		quick.behave(lambda sock, request: go.wait(process.PATIENCE) and answer(sock, request))
		never.silent()
		shims = [self.own(Shim, config="workers = 2\ntimeout_stop = 4\n", backend=fake.url) for fake in self.fakes]
		for shim, fake in zip(shims, self.fakes):
			shim.clients = []
			for i in range(6):
				sock = connect(shim.port if i % 2 else shim.unix)
				self.addCleanup(sock.close)
				sock.sendall(rspamc_request(message(X_Number=f"{i}")))
				shim.clients.append(sock)
			fake.await_requests(6)
			for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
				shim.signal(number)
			wait_until(lambda s=shim: "stopping" in s.log(), "the signal is noticed")
		go.set()
		for sock in shims[0].clients:
			self.assertEqual(RspamcReply(receive(sock)).action, "reject")
			sock.close()
		for sock in shims[1].clients:
			self.assertRegex(receive(sock), rb"\A(RSPAMD/1\.3 75 EX_TEMPFAIL .*timeout_stop.*\r\n)?\Z")
			sock.close()
		for shim, cut in zip(shims, (False, True)):
			self.assertEqual(shim.wait(), 0)
			self.assertEqual("timeout_stop = 4 s is over" in shim.log(), cut)
			self.assertEqual(shim.log().count("stopping: "), 1)
			self.assertNotIn("SIGHUP", shim.log())

"""Whatever a process of the daemon that was taken over writes into the counters' memory, mail goes on."""

import os
import pathlib
import random
import re
import signal

from harness import Case, FakeRspamd, Shim, packages, talk, verdict, wait_until
from test_status import Page, sections

MAIL = b"Subject: a test\n\nbody\n"
CHECK = b"CHECK SPAMC/1.5\r\nContent-length: %d\r\n\r\n%s" % (len(MAIL), MAIL)
GOOD = b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 7.0 / 7.0\r\n\r\n"
# The daemon's own part and the slots of the first workers; what lies behind was never used.
BYTES = 128 << 10
BACKENDS, SLOTS, CONNECTIONS = 64, 1024, 1000000
VALUES = sorted({0, 1, 2, 3, 1 << 31, 1 << 32, 1 << 63, (1 << 64) - 1,
                 *(limit + more for limit in (BACKENDS, SLOTS, CONNECTIONS) for more in (0, 1))})


class Memory:
	"""The memory that the processes of the daemon share, through one of them."""

	def __init__(self, pid):
		for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
			found = re.match(r"(\w+)-(\w+) rw-s .*/dev/zero", line)
			if found and int(found[2], 16) - int(found[1], 16) > BYTES:
				self.start = int(found[1], 16)
				break
		else:
			raise AssertionError("the daemon shares no memory")
		try:
			self.fd = os.open(f"/proc/{pid}/mem", os.O_RDWR | os.O_CLOEXEC)
			self.write(0, os.pread(self.fd, 8, self.start))
		except PermissionError as why:
			raise packages.Unavailable(f"only root may write into the daemon's memory: {why}")

	def write(self, offset, data):
		os.pwrite(self.fd, data, self.start + offset)


class Overwritten(Case):
	def setUp(self):
		super().setUp()
		self.fake = FakeRspamd(self.folder("fake"))
		self.addCleanup(self.fake.stop)
		self.fake.answer(verdict("add header", 7.0))
		self.page = f"unix:{self.folder('page')}/page.sock"
		self.shim = self.own(Shim, backend=self.fake.url, config=f"{sections(self.page)}\nworkers = 2\n")
		self.memory = Memory(self.shim.process.pid)
		self.addCleanup(os.close, self.memory.fd)

	def works(self):
		"""Mail is scanned, the page answers, and a reload is done."""
		self.assertEqual(talk(self.shim.port, CHECK), GOOD)
		Page(self.page.removeprefix('unix:')).get("/metrics")
		Page(self.page.removeprefix('unix:')).get("/health.json")

	def reload(self, count):
		"""The count-th reload of this daemon: new workers serve."""
		self.shim.signal(signal.SIGHUP)
		wait_until(lambda: self.shim.log().count("reloaded: scanning with") == count, "the reload is done")

	def test_each_value_everywhere(self):
		for i, value in enumerate(VALUES):
			with self.subTest(value=value):
				data = value.to_bytes(8, "little") * (BYTES // 8)
				self.memory.write(0, data)
				self.works()
				self.memory.write(0, data)
				self.reload(i + 1)
				self.works()
		self.assertTrue(self.shim.alive())
		self.assertNotRegex(self.shim.log(), "died of signal|exited with status")

	def test_random_values(self):
		"""10 000 of them, at places by chance and while the daemon works."""
		chance = random.Random(4711)
		special = [value.to_bytes(8, "little") for value in VALUES]
		for i in range(10000):
			data = chance.choice(special) if chance.random() < 0.7 else chance.randbytes(8)
			self.memory.write(8 * chance.randrange(BYTES // 8), data * chance.choice((1, 1, 8, 64)))
			if i % 100 == 0:
				self.works()
		self.reload(1)
		self.works()
		self.assertTrue(self.shim.alive())
		self.assertNotRegex(self.shim.log(), "died of signal|exited with status")

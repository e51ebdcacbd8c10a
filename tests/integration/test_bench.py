"""The benchmark works: a short run of it, and what it must not overlook.  Its figures are of no interest here."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import xml.etree.ElementTree

from harness import Case, FakeRspamd, SOURCE_TREE, Shim, Unavailable, verdict
from harness import process, shim

BENCH = SOURCE_TREE / "tests" / "bench"
PROGRAMS = ("null-rspamd", "bench-load", "bench-relay")
# Whose hops are in the results, or the reason why they are not.
OUTSIDE = {"haproxy": "haproxy", "nginx": "nginx", "rspamd_proxy": "rspamd_proxy"}
OWN = ("straight", "relay", "relay-unix", "shim", "shim-rspamc", "shim-unix", "shim-workers")


def build():
	"""The build folder of the rspamd-shim under test, with the benchmark's programs; Unavailable where there is none."""
	folder = shim.binary().parent
	if not (folder / "Makefile").exists() or not shutil.which("make"):
		raise Unavailable("the benchmark's programs are built beside rspamd-shim, where its Makefile is")
	done = subprocess.run(["make", "-C", folder, *PROGRAMS], capture_output=True, text=True, check=False)
	assert done.returncode == 0, done.stderr
	return folder


class Bench(Case):
	@classmethod
	def setUpClass(cls):
		cls.build = build()

	def test_quick(self):
		work = self.folder("bench")
		for name in (*PROGRAMS, "rspamd-shim"):
			(work / name).symlink_to(self.build / name)
		done = subprocess.run([sys.executable, BENCH / "run", "--quick"], env=dict(os.environ, BUILDDIR=str(work)),
		                      capture_output=True, text=True, check=False)
		self.assertEqual(done.returncode, 0, done.stderr)
		results = json.loads((work / "bench" / "results.json").read_text())
		text = (work / "bench" / "results.md").read_text()
		(hops,) = results["hops"]
		measured = {line["hop"] for line in hops}
		for key in OWN:
			self.assertIn(key, measured)
		for key, title in OUTSIDE.items():
			if key not in measured:
				self.assertIn(f"Left out: {title}: ", text)
		for line in hops:
			self.assertGreater(line["mails"], 0, line)
			if line["hop"] != "straight":
				self.assertGreater(line["cpu"], 0, line)
				self.assertGreater(line["memory"], 0, line)
		for part in "exim", "spamc", "tls":
			self.assertTrue(isinstance(results["chains"][part], dict) or f"Left out: {part}".lower() in text.lower(), part)
		self.assertIn("| verdict |", text)
		bars = xml.etree.ElementTree.parse(work / "bench" / "hops.svg").iter("{http://www.w3.org/2000/svg}rect")
		self.assertGreater(len(list(bars)), len(measured))

	def load(self, address, *options):
		return subprocess.run([self.build / "bench-load", *options, address], capture_output=True, text=True, check=False)

	def test_a_wrong_reply_is_seen(self):
		"""A verdict that says nothing of the mail, straight and through rspamd-shim."""
		fake = self.own(FakeRspamd)
		body = json.dumps(verdict("no action", 2.3, required_score=15.0)).encode()
		fake.behave(lambda sock, _: sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)))
		hop = self.own(Shim, backend=fake.url)
		for protocol, address in ("http", fake.url.removeprefix("http://")), ("spamc", hop.address), ("rspamc", hop.address):
			done = self.load(address, "-p", protocol, "-n", "1")
			self.assertEqual(done.returncode, 1, done.stdout)
			self.assertIn("right=0 wrong=1 ", done.stdout)

	def test_a_mail_that_nobody_answers_is_seen(self):
		done = self.load(f"127.0.0.1:{process.free_port()}", "-n", "3", "-c", "3")
		self.assertEqual(done.returncode, 1)
		self.assertIn("sent=3 right=0 wrong=3 ", done.stdout)

	def test_targets(self):
		"""Medians, ratios within a round, and the exponent, of figures made up."""
		code = f"""
import sys
sys.path[:0] = [{str(BENCH)!r}, {str(pathlib.Path(__file__).parent)!r}]
import growth, hops, targets
def figures(cpu):
	return {{"cpu": cpu, "p50": cpu, "p99": cpu, "memory": 2 ** 20}}
def round_of(slow):
	return {{(way, 4096, 16): figures(slow * cpu) for way, cpu in (("shim", 11.0), ("haproxy", 10.0), ("relay", 10.0))}}
r = hops.Results([round_of(1), round_of(7), round_of(2)], {{}})
assert r.median("haproxy", 4096, 16, "cpu") == 20.0
assert abs(r.ratio("shim", "haproxy", 4096, 16) - 1.1) < 1e-9
assert r.ratio("shim", "nginx", 4096, 16) is None
found = {{t.text: t.verdict() for t in targets.all_targets(hops=r)}}
assert found["CPU for each message, 4 KiB: rspamd-shim, of haproxy's"] == "not met"
assert found["CPU for each message, 4 KiB: rspamd-shim, of the bare relay's"] == "met"
assert found["CPU for each message, 1 MiB: rspamd-shim, of haproxy's"] == "not measured"
assert abs(growth.exponent([(1, 5), (10, 14), (100, 1400)]) - 2) < 1e-9
assert targets.Target("", 0.98, 0.97, least=True).verdict() == "not met"
"""
		done = subprocess.run([sys.executable, "-B", "-c", code], capture_output=True, text=True, check=False)
		self.assertEqual(done.returncode, 0, done.stderr)

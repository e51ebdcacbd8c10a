"""The harness itself: Exim and rspamd without anything between them, and programs of other releases."""

import os
import re
import shutil
import subprocess
from unittest import mock

from harness import Case, Exim, FakeRspamd, Unavailable, common_rspamd, message, packages, process, releases, verdict
from harness.matrix_table import made, write


class Reachable(Case):
	def test_link_into_a_closed_folder(self):
		"""As a build folder below /root is to the servers' user."""
		if os.geteuid() != 0:
			self.skipTest("only root starts servers as another user")
		closed, open_to_all = self.folder("closed"), self.folder("open")
		(closed / "program").write_text("a program\n")
		os.chown(closed, 0, 0)
		closed.chmod(0o700)
		(open_to_all / "program").symlink_to(closed / "program")
		for path in (closed / "program", open_to_all / "program"):
			done = subprocess.run(["cat", process.reachable(path)], capture_output=True, **process.run_as())
			self.assertEqual((done.stdout, done.stderr), (b"a program\n", b""))


class EximAndRspamd(Case):
	@classmethod
	def setUpClass(cls):
		cls.rspamd = common_rspamd()
		cls.exim = cls.shared(Exim, f"127.0.0.1 {cls.rspamd.normal} variant=rspamd",
		                      hosts={"127.0.0.9": "host9.example"})

	def setUp(self):
		self.rspamd.seen()

	def test_variables_and_delivery(self):
		reply = self.exim.send(message(X_Test_Score=7))
		seen = self.exim.seen()[-1]
		self.assertEqual(seen["spam_action"], b"add header")
		self.assertEqual(seen["spam_score"], b"7.0")
		self.assertEqual(seen["spam_score_int"], b"70")
		self.assertEqual(seen["spam_bar"], b"+++++++")
		self.assertIn(b"TEST_SCORE", seen["spam_report"])
		mail = self.exim.delivered(reply.message_id())
		self.assertEqual(mail["X-Test-Score"], "7")

	def test_long_report_is_recorded_whole(self):
		# rspamd 4 names each of them twice: more of them are more than Exim keeps
		self.exim.send(message(X_Test_Bulk=300))
		report = self.exim.seen()[-1]["spam_report"]
		self.assertGreater(len(report), 8192)		# more than a line of the log
		self.assertEqual(len(set(re.findall(rb"TEST_BULK_\d+", report))), 300)

	def test_rspamd_records_the_envelope(self):
		with self.exim.connect(source="127.0.0.9", helo="some.example") as smtp:
			smtp.login("alice")
			smtp.send(message(X_Test_Id="abc"), sender="s@x.example", recipients=["a@y.example", "b@y.example"])
		seen, = self.rspamd.await_seen()
		self.assertEqual((seen["ip"], seen["helo"], seen["hostname"], seen["user"], seen["from"], seen["rcpt"]),
		                 ("127.0.0.9", "some.example", "host9.example", "alice", "s@x.example",
		                  ["a@y.example", "b@y.example"]))
		self.assertEqual(seen["test_id"], "abc")

	def test_other_ways_in(self):
		delivered = self.exim.delivered(self.exim.submit(message(), "s@x.example", "u@y.example"))
		self.assertEqual(delivered["Subject"], "a test")
		dialogue = ["EHLO x.example", "MAIL FROM:<s@x.example>", "RCPT TO:<u@y.example>", "DATA",
		            "Subject: x", "", ".", "QUIT"]
		self.assertIn("250 OK id=", self.exim.dialogue("-bs", *dialogue))
		self.assertIn("250 OK id=", self.exim.dialogue("-bh 192.0.2.5", *dialogue))
		self.assertEqual([s["ip"] for s in self.rspamd.await_seen(3)], [None, None, "192.0.2.5"])

	def test_ipv6_smtputf8_chunking(self):
		with self.exim.connect(host="::1") as smtp:
			reply = smtp.send(message(), sender="jörg@bücher.example", options=" SMTPUTF8", chunks=[20, 30])
		self.assertEqual(self.exim.delivered(reply.message_id())["Subject"], "a test")
		self.assertEqual(self.rspamd.await_seen()[0]["ip"], "::1")


class Facts(Case):
	def test_thresholds(self):
		rspamd = common_rspamd()
		self.assertEqual("thresholds" in rspamd.scan(message()), rspamd.facts.sends_thresholds)


class Fake(Case):
	def test_fake_answers_through_exim(self):
		fake = self.own(FakeRspamd)
		fake.raw(b"RSPAMD/1.3 0 EX_OK\r\nMetric: default; True; 20.50 / 15.00 / 0.0\r\nAction: reject\r\n")
		exim = self.own(Exim, f"127.0.0.1 {fake.port} variant=rspamd")
		self.assertEqual(exim.send(message()).code, 250)
		self.assertEqual(exim.seen()[-1]["spam_score_int"], b"205")
		self.assertEqual(fake.requests[0].line, "CHECK RSPAMC/1.3")

	def test_verdict_has_rspamds_form(self):
		real = common_rspamd().scan(message(X_Test_Score=7, X_Test_Smtp="try"))
		made = verdict("add header", 7.0, symbols={"A": 1.0}, message_id="x@y")
		self.assertLessEqual(set(made), set(real))


class Programs(Case):
	"""RSPAMD=, EXIM=, SPAMC=, HAPROXY= … and the releases of matrix.conf."""

	NEWEST = releases.newest_other()

	@classmethod
	def setUpClass(cls):
		packages.need("rspamd", cls.NEWEST)		# outside of a test's time: it may have to be downloaded

	def need(self, variable, value, name):
		packages._ready.pop((name, value), None)
		with mock.patch.dict(os.environ, {variable: value}):
			return packages.need(name)

	def refused(self, variable, value, name, why):
		with self.assertRaises(AssertionError) as caught:
			self.need(variable, value, name)
		self.assertEqual(str(caught.exception), why)

	def test_wrong_path(self):
		for path in ("/nowhere/rspamd", str(self.folder("empty")), "/etc/passwd"):
			self.refused("RSPAMD", path, "rspamd",
			             f"RSPAMD={path} is no program: give the path of one, or a release of matrix.conf")

	def test_wrong_release(self):
		self.refused("HAPROXY", "buzz", "haproxy", "HAPROXY=buzz is neither a path nor a release of matrix.conf "
		             f"({', '.join(releases.table())})")

	def test_program_that_no_tree_has(self):
		with self.assertRaises(Unavailable) as caught:
			self.need("NGINX", self.NEWEST, "nginx")
		self.assertIn("of other releases there are only rspamd, exim, spamc, haproxy", str(caught.exception))

	def test_variables_of_others(self):
		"""tmux's own is in the environment of whoever tests in it."""
		with mock.patch.dict(os.environ, {"TMUX": "/tmp/tmux-0/default,1,0"}):
			self.assertIsNone(packages.need("tmux").foreign)

	def test_path(self):
		"""A program of this machine, and the files that came with it."""
		usual = packages.need("rspamd", releases.own() or None)
		given = self.need("RSPAMD", str(usual.root / "usr/bin/rspamd"), "rspamd")
		if usual.foreign is None:
			self.assertEqual([given.path(name) for name in ("usr/bin/rspamd", "usr/share/rspamd")],
			                 [usual.path(name) for name in ("usr/bin/rspamd", "usr/share/rspamd")])

	def test_other_version_on_this_machine(self):
		suite = releases.own()
		table = {**releases.table(), suite: releases.Release(suite, "9.9", "4.1")}
		with mock.patch.object(releases, "table", lambda: table):
			for name, wanted in (("rspamd", "9.9"), ("exim", "4.1")):
				packages._ready.pop((name, suite), None)
				with self.assertRaises(Unavailable) as caught:
					packages.need(name, suite)
				self.assertRegex(str(caught.exception), rf"has {name} [\d.]+ where matrix\.conf has {re.escape(wanted)}\Z")
				packages._ready.pop((name, suite), None)

	def test_other_version_on_the_mirror(self):
		"""Nothing is downloaded then."""
		asked = []

		def run(words, **_):
			asked.append(words)
			if "indextargets" in words:
				return f"http://mirror.example/debian {self.NEWEST} main\n"
			return "Inst rspamd (9.9-1+b1 Debian:x [amd64])\nInst exim4-daemon-heavy (4.1~RC2-1 Debian:x [amd64])\n"
		release = releases.table()[self.NEWEST]
		with self.assertRaises(releases.Failed) as caught:
			releases.make(self.NEWEST, self.folder("tree") / "tree", run, None)
		self.assertEqual(str(caught.exception), f"the mirror's {self.NEWEST} has rspamd 9.9 where matrix.conf has {release.rspamd}, "
		                 f"exim 4.1~RC2 where matrix.conf has {release.exim}")
		self.assertNotIn("download", sum(asked, []))

	def test_no_mirror(self):
		with self.assertRaises(releases.Failed) as caught:
			releases.make(self.NEWEST, self.folder("tree") / "tree", lambda *_, **__: "http://x.example/ nodistro main\n", None)
		self.assertIn("apt's sources name no mirror of Debian", str(caught.exception))

	def test_program_that_starts_itself_again(self):
		"""Exim does for a bounce, by exim_path: the script, which says how it is to be started."""
		exim = self.own(Exim, acl_data="accept", release=self.NEWEST,
		                routers="bad:\n\tdriver = redirect\n\tdomains = bad.example\n\tdata = :fail: not here\n\tallow_fail\n")
		exim.deliver(exim.send(message(), recipients=["user@bad.example"]).message_id())
		bounce, = exim.queue()
		self.assertIn("not here", exim.delivered_bytes(bounce).decode())
		self.assertEqual(exim.panic_log(), "")

	def test_other_programs(self):
		"""They run with what they were linked with."""
		for name, option, text in (("spamc", "-V", "SpamAssassin Client version"), ("haproxy", "-v", "HAProxy version")):
			group = packages.need(name, self.NEWEST)
			done = subprocess.run([group.path(packages.GROUPS[name][1]), option], env=process.environment([group]),
			                      stdout=subprocess.PIPE, text=True)
			self.assertEqual((done.returncode, done.stdout.startswith(text)), (0, True), done.stdout)

	def test_script(self):
		"""Blanks and quotes in a program's path, and in what it is told."""
		group = packages.need("spamc", self.NEWEST)
		program = self.folder("it's") / "a $program"
		shutil.copy(group.program, program)
		script = releases.wrapper(self.folder("script"), group.foreign, program)
		done = subprocess.run([script, "-F", "/a b'c $d"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
		self.assertEqual((script.name, done.stdout), ("a $program", "Failed to open config file: /a b'c $d\n"))


class MatrixTable(Case):
	def test_it(self):
		name = "test_matrix.Rspamd_3_4_Exim_4_96_"
		lines = [f"ok   {name}{mode}.test_{number} (0.1 s)" for mode in ("plain_tcp", "plain_unix") for number in (1, 2)]
		lines += [f"FAIL {name.replace('4_96', '4_100_1')}plain_tcp.test_1 (0.1 s)", "ok   test_matrix.Rspamd_3_4.test_ping (0.1 s)",
		          "ok   test_matrix.Rspamd_3_4_Bayes.test_forget (0.1 s)", "ok   test_harness.Fake.test_x (0.1 s)",
		          "skip setUpClass (test_matrix.Rspamd_2_7_Exim_4_96_plain_tcp) (0.1 s): no network"]
		self.assertEqual(made(lines).splitlines(), [
			"| rspamd | Exim 4.96 | Exim 4.100.1 | rspamd alone |", "| --- | --- | --- | --- |",
			"| 2.7 | 0, 1 skipped |  |  |", "| 3.4 | 2 × 2 | 0, 1 failed | 2 |"])
		self.assertEqual(made(["ok   test_harness.Fake.test_x (0.1 s)"]), "")

	def test_written(self):
		path = self.folder("document") / "releases.md"
		path.write_text("# A\n<!-- matrix: begin -->\nold\n<!-- matrix: end -->\nrest\n")
		write("| new |", path)
		self.assertEqual(path.read_text(), "# A\n<!-- matrix: begin -->\n| new |\n<!-- matrix: end -->\nrest\n")
		write("| new |", path)
		self.assertEqual(path.read_text().count("| new |"), 1)

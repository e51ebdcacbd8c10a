"""The harness itself: Exim and rspamd without anything between them."""

import re

from harness import Case, Exim, FakeRspamd, common_rspamd, message, verdict


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

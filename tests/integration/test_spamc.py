"""SpamAssassin's own client, with the output and exit codes that spamd gives it."""

from harness import Case, FakeRspamd, Shim, common_rspamd, message, spamc, verdict

TABLE = (" pts rule name              description\n"
         "---- ---------------------- --------------------------------------------------\n")


class Spamc(Case):
	@classmethod
	def setUpClass(cls):
		cls.rspamd = common_rspamd()
		cls.shim = cls.shared(Shim, backend=cls.rspamd.url)
		cls.spam = message(X_Test_Score=7)
		cls.ham = message(X_Test_Score=-1.5)
		cls.numbers = {mail: f"{score}/{cls.rspamd.facts.threshold_beside(score, spam)}\n"
		               for mail, score, spam in ((cls.spam, 7.0, True), (cls.ham, -1.5, False))}

	def run_spamc(self, mail, *options):
		results = [spamc(address, mail, *options) for address in (self.shim.port, self.shim.unix)]
		self.assertEqual(results[0], results[1])
		code, out = results[0]
		return code, out.decode()

	def test_check(self):
		self.assertEqual(self.run_spamc(self.spam, "-c"), (1, self.numbers[self.spam]))
		self.assertEqual(self.run_spamc(self.ham, "-c"), (0, self.numbers[self.ham]))

	def test_report(self):
		report = ("Action: add header\nMessage-ID: test@client.example\nReport-End: complete\n" + TABLE
		          + " 7.0 TEST_SCORE             X-Test-Score [opt1, opt,2]\n")
		self.assertEqual(self.run_spamc(self.spam, "-R"), (0, self.numbers[self.spam] + report))
		code, out = self.run_spamc(self.ham, "-R")
		self.assertEqual(code, 0)
		self.assertTrue(out.startswith(self.numbers[self.ham] + "Action: no action\n"), out)

	def test_report_if_spam(self):
		code, out = self.run_spamc(self.spam, "-r")
		self.assertEqual(code, 0)
		self.assertTrue(out.startswith("Action: add header\n"), out)
		self.assertEqual(self.run_spamc(self.ham, "-r"), (0, ""))

	def test_tests(self):
		code, out = self.run_spamc(self.spam, "-y")
		self.assertEqual((code, out.rstrip("\r\n")), (0, "TEST_SCORE"))
		code, out = self.run_spamc(message(X_Test_Score=1, X_Test_Bulk=2), "-y")
		self.assertEqual((code, set(out.rstrip("\r\n").split(","))), (0, {"TEST_SCORE", "TEST_BULK_001", "TEST_BULK_002"}))

	def test_exit_code(self):
		for options in (("-E", "-R"), ("-E", "-y")):
			self.assertEqual(self.run_spamc(self.spam, *options)[0], 1)
			self.assertEqual(self.run_spamc(self.ham, *options)[0], 0)

	def test_ping(self):
		code, out = self.run_spamc(b"", "-K")
		self.assertEqual(code, 0)
		self.assertTrue(out.startswith("SPAMD/1.5 0"), out)

	def test_user(self):
		self.assertEqual(self.run_spamc(self.spam, "-u", "some body", "-c"), (1, self.numbers[self.spam]))

	def test_every_action(self):
		for action, spam in (("no action", 0), ("greylist", 0), ("soft reject", 0), ("add header", 1),
		                     ("rewrite subject", 1), ("reject", 1)):
			with self.subTest(action):
				code, out = self.run_spamc(message(X_Test_Action=action), "-c")
				score, threshold = map(float, out.split("/"))
				self.assertEqual((code, score >= threshold), (spam, bool(spam)), out)

	def test_filter(self):
		for options, code in (((), 0), (("-E",), 1)):
			result, out = self.run_spamc(self.spam, *options)
			self.assertEqual(result, code)
			self.assertTrue(out.endswith(self.spam.decode()) and out.startswith("X-Spam-"), out)
		self.assertEqual(self.run_spamc(self.ham, "-E")[0], 0)


class SpamcFaults(Case):
	def test_no_rspamd(self):
		shim = self.own(Shim, backend="http://127.0.0.1:9")
		mail = message()
		self.assertEqual(spamc(shim.port, mail, "-R"), (0, b"0/0\n"))
		self.assertEqual(spamc(shim.port, mail, "-x", "-R")[0], 74)
		self.assertEqual(spamc(shim.port, mail, "-c"), (0, b"0/0\n"))
		# As a filter it hands the mail on as it was.
		self.assertEqual(spamc(shim.port, mail), (0, mail))
		self.assertEqual(spamc(shim.port, mail, "-E"), (0, mail))

	def test_large_report(self):
		fake = self.own(FakeRspamd)
		shim = self.own(Shim, backend=fake.url)
		fake.answer(verdict("reject", 50.0, symbols={f"RULE_{i:04d}": {"score": 0.05, "description": "d" * 200}
		                                            for i in range(900)}))
		code, out = spamc(shim.port, message(), "-R")
		self.assertEqual(code, 0)
		self.assertTrue(out.startswith(b"50.0/"), out[:80])
		self.assertRegex(out.split(b"\n pts rule")[0].split(b"\n")[-1], rb"^Report-End: cut, \d+ of 900 symbols left out$")

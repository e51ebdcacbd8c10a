"""Exim that asks rspamd itself, without rspamd-shim: what the README says of it.

Each claim is tested beside the same through rspamd-shim.
"""

from harness import Case, Exim, Rspamd, Shim, common_rspamd, message, rspamc_request, talk

LIMIT = 65536


class Straight(Case):
	"""Debian's Exim, rspamd with its usual settings, and rspamd-shim."""

	@classmethod
	def setUpClass(cls):
		cls.rspamd = common_rspamd()
		cls.shim = cls.shared(Shim, backend=cls.rspamd.url)
		straight = f"127.0.0.1 {cls.rspamd.normal}"
		cls.plain = cls.shared(Exim, straight)
		cls.variant = cls.shared(Exim, straight + " variant=rspamd")
		cls.shim_plain = cls.shared(Exim, cls.shim.spamd_address())
		cls.shim_variant = cls.shared(Exim, cls.shim.spamd_address(variant=True))

	def scanned(self, exim, mail):
		"""What Exim knows after the scan; None where it deferred (the mail passes)."""
		before = len(exim.seen())
		self.assertEqual(exim.send(mail).code, 250)
		seen = exim.seen()[before:]
		return seen[0] if seen else None

	def test_plain(self):
		mail = message(X_Test_Action="reject")
		self.assertIsNone(self.scanned(self.plain, mail))
		self.assertIn("spam acl condition", self.plain.main_log())
		self.assertIn(b"Action: reject", self.scanned(self.shim_plain, mail)["spam_report"])

	def test_action(self):
		mail = message(X_Test_Score=7)
		for exim in (self.variant, self.shim_variant):
			self.assertEqual(self.scanned(exim, mail)["spam_action"], b"add header")

	def test_header_lines(self):
		mail = message(X_Test_Score=7, X_Test_Milter=1)
		string, table = b"X-Milter-Add: X-Spam-Test: yes", b"X-Milter-Add: X-Folded[1]: a"
		report = self.scanned(self.variant, mail)["spam_report"]
		self.assertNotIn(string, report)
		self.assertEqual(table in report, self.rspamd.facts.reports_milter_lines, report)
		for exim in (self.shim_plain, self.shim_variant):
			report = self.scanned(exim, mail)["spam_report"]
			self.assertIn(string, report)
			self.assertIn(table, report)

	def test_many_symbols(self):
		mail = message(X_Test_Bulk=900)
		reply = talk(self.rspamd.normal, rspamc_request(mail), half_close=True)
		self.assertEqual(len(reply) // 1000, 88 if self.rspamd.facts.long_report_is_cut else 26)
		report = self.scanned(self.variant, mail)["spam_report"]
		self.assertGreater(len(report), 20000)
		self.assertNotIn(b"Report-End", report)
		self.assertEqual(b"\n Message-ID: " not in report, self.rspamd.facts.long_report_is_cut, report[-200:])
		for exim in (self.shim_plain, self.shim_variant):
			report = self.scanned(exim, mail)["spam_report"]
			self.assertLess(len(report), 16384)
			self.assertIn(b"\n Report-End: cut, ", report)

	def test_empty_message(self):
		request = rspamc_request(b"")
		self.assertIn(b"RSPAMD/1.3 0 EX_OK\r\nMetric: default; False; 0.00 /",
		              talk(self.rspamd.normal, request, half_close=True))
		self.assertEqual(talk(self.shim.port, request, half_close=True),
		                 b"RSPAMD/1.3 75 EX_TEMPFAIL empty-message: the message is empty\r\n")

	def test_message_above_the_limit(self):
		mail = message() + b"line\n" * LIMIT
		rspamd = self.own(Rspamd, max_message=str(LIMIT))
		straight = self.own(Exim, f"127.0.0.1 {rspamd.normal} variant=rspamd")
		self.assertIsNone(self.scanned(straight, mail))
		shim = self.own(Shim, backend=rspamd.url, config=f"max_message_size = {LIMIT}\n")
		report = self.scanned(self.own(Exim, shim.spamd_address()), mail)["spam_report"]
		self.assertIn(b"RSPAMD_SHIM_UNSCANNED", report)

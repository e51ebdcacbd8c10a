"""Several messages in one SMTP connection: none inherits another's verdict."""

from harness import Case, FakeRspamd, Shim, exim_with_drop_in_acl, message, verdict


class Inheritance:
	variant = None

	@classmethod
	def setUpClass(cls):
		cls.fake = cls.shared(FakeRspamd)
		cls.shim = cls.shared(Shim, backend=cls.fake.url)
		cls.exim = cls.shared(exim_with_drop_in_acl, cls.shim.spamd_address(cls.variant))

	def after_spam(self, break_it):
		"""A spam message, then one that cannot be scanned, in one connection."""
		before = len(self.exim.seen())
		self.fake.answer(verdict("add header", 7.0, symbols={"A_RULE": 7.0}))
		with self.exim.connect() as smtp:
			first = smtp.send(message())
			break_it()
			second = smtp.send(message())
			self.fake.answer(verdict("greylist", 4.0))
			third = smtp.send(message())
		self.assertEqual(len(self.exim.seen()) - before, 2, "two scans succeeded")
		self.assertEqual(self.exim.delivered(first.message_id())["X-Spam-Status"], "Yes")
		mail = self.exim.delivered(second.message_id())
		self.assertEqual([name for name in mail.keys() if name.startswith("X-Spam")], [])
		self.assertIn(f"{second.message_id()} H=", self.exim.main_log())
		self.assertRegex(self.exim.main_log(), f"{second.message_id()} .*not scanned")
		self.assertEqual(self.exim.delivered(third.message_id())["X-Spam-Bar"], "++++")

	def test_refused_by_rspamd(self):
		self.after_spam(lambda: self.fake.answer({"error": "no memory", "error_domain": "x"}, "500 Error"))

	def test_error_inside_200(self):
		self.after_spam(lambda: self.fake.answer({"error": "bad"}))

	def test_broken_reply(self):
		self.after_spam(lambda: self.fake.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"action\":"))

	def test_connection_reset(self):
		self.after_spam(lambda: self.fake.raw(b"", abort=True))

	def test_missing_action(self):
		self.after_spam(lambda: self.fake.answer({"score": 1.0, "required_score": 15.0, "symbols": {}}))


class InheritanceRspamd(Inheritance, Case):
	variant = True


class InheritancePlain(Inheritance, Case):
	variant = False

"""Replies that no server should give: Exim survives, and believes none of them."""

from harness import Case, Exim, message

import claims
from fake_spamd import FakeSpamd, rspamd_reply, spamd_reply

# Record what a message has after its scan, whether that worked or not.
ALWAYS_SEEN = """
	warn
		spam = nobody:true
	warn
		acl = acl_seen
	accept
"""
VARIABLES = ("spam_score", "spam_score_int", "spam_bar", "spam_report")


class Hostile:
	"""The tests; the classes below say in which dialect."""

	variant = None

	@classmethod
	def setUpClass(cls):
		cls.fake = cls.shared(FakeSpamd)
		address = cls.fake.address("variant=rspamd" if cls.variant else "")
		probe = Exim(cls.folder("probe"))
		claims.need(probe, "reply_safety", *(["variant"] if cls.variant else []))
		cls.exim = cls.shared(Exim, address)

	@classmethod
	def reply(cls, **words):
		return (rspamd_reply if cls.variant else spamd_reply)(**words)

	def scan(self, reply=None, connection=None):
		"""Send a message; what Exim has of its scan, None if it deferred."""
		if reply is not None:
			self.fake.answer(reply)
		before = len(self.exim.seen())
		answer = (connection or self.exim).send(message())
		self.assertEqual(answer.code, 250, answer)
		seen = self.exim.seen()[before:]
		self.assertLessEqual(len(seen), 1)
		return {name: value.decode("latin-1") for name, value in seen[0].items()} if seen else None

	def assert_scanned(self, seen, action="no action", score="1.0"):
		"""It was, with the verdict as given, and nothing ran over."""
		self.assertIsNotNone(seen, "the scan deferred")
		self.assertEqual(seen["spam_score"], score)
		if "spam_action" in seen:
			self.assertEqual(seen["spam_action"], action)
		self.assertLess(len(seen["spam_report"]), 32600)

	def tearDown(self):
		# Whatever it was: the next message of the next connection is well.
		self.assert_scanned(self.scan(self.reply()))
		self.assertNotIn("crash", self.exim.main_log())

	def test_40000_bytes(self):
		seen = self.scan(self.reply(report=b"x" * 40000))
		self.assert_scanned(seen)
		self.assertIn("xxxx", seen["spam_report"])

	def test_40000_bytes_in_lines(self):
		self.assert_scanned(self.scan(self.reply(report=b"Symbol: ABCDEF(0.00)\r\n" * 1800)))

	def test_32000_newlines(self):
		for start in (b"", b"x"):
			self.assert_scanned(self.scan(self.reply(report=start + b"\n" * 32000)))

	def test_newlines_and_an_end(self):
		# More than 16 300 of them used to overwrite $spam_action.
		for count in (16000, 16250, 16280, 16290, 16300, 16310, 16400):
			with self.subTest(count=count):
				self.assert_scanned(self.scan(self.reply(report=b"x" + b"\n" * count + b"end")))

	def test_blank_report(self):
		for report in (b"", b"\r\n", b"\n\n\n", b" ", b" \r\n \r\n", b"\0", b"\t" * 30000):
			with self.subTest(report=report[:20]):
				seen = self.scan(self.reply(report=report))
				self.assert_scanned(seen)
				self.assertEqual(seen["spam_report"], "Action: no action" if self.variant else "")

	def test_huge_scores(self):
		for score in ("1e13", "99999999999999", "-1e13", "1e300", "-1e300", "9" * 40 + ".0"):
			with self.subTest(score=score):
				seen = self.scan(self.reply(score=score))
				if seen is None:
					continue
				sign = -1 if score.startswith("-") else 1
				self.assertLess(len(seen["spam_score"]), 16)
				self.assertGreater(sign * float(seen["spam_score"]), 1e6)
				self.assertGreater(sign * int(seen["spam_score_int"]), 1e6)
				self.assertEqual(seen["spam_bar"], "+" * 50 if sign > 0 else "-" * 50)

	def test_no_numbers(self):
		for score in ("nan", "inf", "-inf", "NAN", "infinity", "nan(1)", "1e999", "0x10", "", "x"):
			with self.subTest(score=score):
				self.assertIsNone(self.scan(self.reply(score=score)))

	def test_no_number_as_threshold(self):
		for threshold in ("nan", "inf", "-inf", "x"):
			with self.subTest(threshold=threshold):
				self.assertIsNone(self.scan(self.reply(threshold=threshold)))

	def test_numbers(self):
		for score, shown, whole, bar in (("-6.2", "-6.2", "-62", "-" * 6), ("0.7", "0.7", "7", "/"),
		                                 ("-0.5", "-0.5", "-5", "/"), ("49.0", "49.0", "490", "+" * 49),
		                                 ("50.0", "50.0", "500", "+" * 50), ("51.0", "51.0", "510", "+" * 50),
		                                 ("-60.0", "-60.0", "-600", "-" * 50), ("0.0", "0.0", "0", "/")):
			with self.subTest(score=score):
				seen = self.scan(self.reply(score=score, threshold="100.0"))
				self.assertEqual([seen["spam_score"], seen["spam_score_int"], seen["spam_bar"]], [shown, whole, bar])

	def test_cut_at_every_byte(self):
		reply = self.reply(score="-2.50")
		if self.variant:
			whole = reply.index(b"\r\n", reply.index(b"Action: ")) + 2
		else:
			whole = reply.index(b"\r\n\r\n") + 4
		with self.exim.connect() as connection:
			for length in range(len(reply) + 1):
				with self.subTest(length=length, end=reply[:length][-20:]):
					seen = self.scan(reply[:length], connection)
					if length < whole:
						self.assertIsNone(seen)
					else:
						self.assert_scanned(seen, score="-2.5")

	def test_lf_only(self):
		seen = self.scan(self.reply(end=b"\n"))
		if seen is not None:
			self.assert_scanned(seen)

	def test_reset(self):
		whole = self.reply()
		for length in (0, 1, 30, len(whole) - 1):
			with self.subTest(length=length):
				self.fake.answer(whole[:length], reset=True)
				seen = self.scan()
				# What came before the reset may have been read, and be whole.
				if seen is not None:
					self.assertGreater(length, 30)
					self.assert_scanned(seen)

	def test_reply_before_the_body_is_read(self):
		self.fake.answer_early(self.reply())
		before = len(self.exim.seen())
		answer = self.exim.send(message("x" * 70 + "\n" * 1 + ("y" * 70 + "\n") * 60000))
		self.assertEqual(answer.code, 250)
		for seen in self.exim.seen()[before:]:
			self.assertEqual(seen["spam_score"], b"1.0")

	def test_no_status_of_success(self):
		for line in (b"RSPAMD/1.3 75 EX_TEMPFAIL" if self.variant else b"SPAMD/1.0 76 Bad header", b"HTTP/1.1 200 OK",
		             b"0 EX_OK", b"\xff" * 5000, b"\0" * 32599):
			with self.subTest(line=line[:20]):
				reply = self.reply()
				self.assertIsNone(self.scan(line + reply[reply.index(b"\r\n"):]))

	def test_nothing_inherited(self):
		exim = self.own(Exim, self.fake.address("variant=rspamd" if self.variant else ""), acl_data=ALWAYS_SEEN)
		with exim.connect() as connection:
			for reply in (self.reply(score="20.0", action="reject") if self.variant else self.reply(score="20.0"), b"gone"):
				self.fake.answer(reply)
				self.assertEqual(connection.send(message()).code, 250)
		first, second = exim.seen()
		self.assertEqual(first["spam_score"], b"20.0")
		self.assertEqual({name: second[name] for name in second}, dict.fromkeys(second, b""))


class HostileRspamd(Hostile, Case):
	variant = True

	def test_long_action(self):
		seen = self.scan(self.reply(action="a" * 5000))
		self.assertEqual(seen["spam_action"], "a" * 31)
		self.assertEqual(seen["spam_score"], "1.0")

	def test_no_action(self):
		for action in ("", " "):
			self.assertIsNone(self.scan(self.reply(action=action)))
		self.assertIsNone(self.scan(self.reply().replace(b"Action: ", b"Symbol: ")))

	def test_action_ends_with_its_line(self):
		seen = self.scan(self.reply(action="add header", end=b"\n"))
		if seen is not None:
			self.assertEqual(seen["spam_action"], "add header")


class HostilePlain(Hostile, Case):
	variant = False

	def test_before_2_50(self):
		seen = self.scan(b"SPAMD/1.0 0 EX_OK\r\nContent-length: 30\r\n\r\n1.0/5.0\r\nA report\r\n")
		self.assert_scanned(seen)
		self.assertEqual(seen["spam_report"], "A report")

"""Every action of rspamd, through Exim in both modes, over TCP and a socket.

Exim decides by the drop-in ACL of exim-conf.
"""

from harness import Case, Shim, common_rspamd, exim_with_drop_in_acl, message

# action: (headers that make it, score, score_int, bar, is spam)
VERDICTS = {
	"no action": ({"X_Test_Score": 1.5}, "1.5", "15", "+", False),
	"greylist": ({"X_Test_Score": 5}, "5.0", "50", "+++++", False),
	"add header": ({"X_Test_Score": 7.4}, "7.4", "74", "+++++++", True),
	"rewrite subject": ({"X_Test_Score": 9}, "9.0", "90", "+++++++++", True),
	"soft reject": ({"X_Test_Action": "soft reject", "X_Test_Message": "Come back"}, "0.0", "0", "/", False),
	"reject": ({"X_Test_Score": 20.5}, "20.5", "205", "+" * 20, True),
}
MAIL = {"X_Spam_Status": "No, score=-99", "X_Spam_Score": "-99", "Subject": "a test"}


class Through:
	"""The tests; the classes below say by which way."""

	variant = unix = None

	@classmethod
	def setUpClass(cls):
		cls.rspamd = common_rspamd()
		cls.shim = cls.shared(Shim, backend=cls.rspamd.url)
		cls.exim = cls.shared(exim_with_drop_in_acl, cls.shim.spamd_address(cls.variant, cls.unix))

	def setUp(self):
		self.shim.settle()

	def scan(self, action):
		"""Send the mail for action and check Exim's variables; (variables, reply)."""
		headers, score, score_int, bar, spam = VERDICTS[action]
		before = len(self.exim.seen())
		reply = self.exim.send(message(**MAIL, **headers))
		seen, = self.exim.seen()[before:]
		# In plain mode Exim sets $spam_action itself.
		shown = action if self.variant else ("reject" if spam else "no action")
		known = {"spam_action": shown} if "spam_action" in seen else {}
		self.assertEqual({name: seen[name].decode() for name in seen if name != "spam_report"},
		                 {**known, "spam_score": score, "spam_score_int": score_int, "spam_bar": bar})
		line, = self.shim.await_requests()
		self.assertEqual(line["action"], action)
		return seen["spam_report"].decode(), reply

	def report(self, action, middle, symbols):
		"""The whole of $spam_report, as Exim has it: a space after each LF."""
		lines = [f"Action: {action}", *middle]
		if self.variant:
			lines += [f"Symbol: {name}({score:.2f})" for name, score, _ in symbols]
			lines += [f"X-Symbol: {name}({score:.2f}){'; ' + text if text else ''}" for name, score, text in symbols]
		else:
			lines += [" pts rule name              description", f"---- {'-' * 22} {'-' * 50}"]
			lines += [f"{score:4.1f} {name:22} {text}".rstrip() for name, score, text in symbols]
		return "\n ".join([*lines, "Message-ID: test@client.example", "Report-End: complete"])

	def spam_headers(self, reply):
		mail = self.exim.delivered(reply.message_id())
		return {name: " ".join(value.split()) for name, value in mail.items()
		        if name.startswith("X-Spam-") or name == "Subject"}

	def test_no_action(self):
		report, reply = self.scan("no action")
		self.assertEqual(report, self.report("no action", [], [("TEST_SCORE", 1.5, "X-Test-Score [opt1, opt,2]")]))
		self.assertEqual(self.spam_headers(reply), {"Subject": "a test", "X-Spam-Bar": "+"})

	def test_greylist(self):
		report, reply = self.scan("greylist")
		self.assertEqual(report, self.report("greylist", [], [("TEST_SCORE", 5, "X-Test-Score [opt1, opt,2]")]))
		self.assertEqual(self.spam_headers(reply), {"Subject": "a test", "X-Spam-Bar": "+++++"})

	def test_add_header(self):
		report, reply = self.scan("add header")
		self.assertEqual(report, self.report("add header", [], [("TEST_SCORE", 7.4, "X-Test-Score [opt1, opt,2]")]))
		headers = self.spam_headers(reply)
		self.assertEqual(headers.pop("X-Spam-Report"), " ".join(report.split()))
		self.assertEqual(headers, {"Subject": "a test", "X-Spam-Bar": "+++++++", "X-Spam-Status": "Yes",
		                           "X-Spam-Score": "7.4 (+++++++)"})

	def test_rewrite_subject(self):
		report, reply = self.scan("rewrite subject")
		self.assertEqual(report, self.report("rewrite subject", ["Subject: [SPAM] a test"],
		                                     [("TEST_SCORE", 9, "X-Test-Score [opt1, opt,2]")]))
		self.assertEqual(self.spam_headers(reply), {"Subject": "[SPAM] a test", "X-Spam-Bar": "+++++++++",
		                                            "X-Spam-Status": "Yes"})

	def test_soft_reject(self):
		report, reply = self.scan("soft reject")
		self.assertTrue(report.startswith("Action: soft reject\n Message: Come back\n "), report)
		self.assertEqual(repr(reply), "451 4.7.1 Come back")

	def test_reject(self):
		report, reply = self.scan("reject")
		self.assertEqual(report, self.report("reject", [], [("TEST_SCORE", 20.5, "X-Test-Score [opt1, opt,2]")]))
		self.assertEqual(repr(reply), "550 5.7.1 This message was classified as spam")

	def test_reject_with_a_message(self):
		reply = self.exim.send(message(X_Test_Action="reject", X_Test_Message="Go away"))
		self.assertEqual(repr(reply), "550 5.7.1 Go away")

	def test_milter_lines(self):
		before = len(self.exim.seen())
		reply = self.exim.send(message(X_Test_Milter=1, X_Test_Score=7))
		report = self.exim.seen()[before]["spam_report"].decode().split("\n ")
		milter = sorted(line for line in report if line.startswith("X-Milter-"))
		self.assertEqual(milter, ["X-Milter-Add: X-Folded[1]: a b", "X-Milter-Add: X-Spam-Test: yes",
		                          "X-Milter-Del: X-Old[1]"])
		symbols = next(i for i, line in enumerate(report) if line.startswith(("Symbol: ", " pts ")))
		self.assertEqual({report.index(line) < symbols for line in milter}, {True})
		self.assertNotIn("Milter", self.spam_headers(reply)["X-Spam-Report"])

	def test_negative_score(self):
		before = len(self.exim.seen())
		self.exim.send(message(X_Test_Score="-3.4"))
		seen = self.exim.seen()[before]
		tenths = b"-33" if self.exim.facts().cuts_negative_tenths else b"-34"
		self.assertEqual([seen[n] for n in ("spam_score", "spam_score_int", "spam_bar")], [b"-3.4", tenths, b"---"])


class RspamdTcp(Through, Case):
	variant, unix = True, False


class RspamdUnix(Through, Case):
	variant, unix = True, True


class PlainTcp(Through, Case):
	variant, unix = False, False


class PlainUnix(Through, Case):
	variant, unix = False, True

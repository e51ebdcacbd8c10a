"""What rspamd is told of the SMTP transaction: what Exim knew, and no more."""

import re

from harness import Case, Exim, FakeRspamd, Rspamd, Shim, common_rspamd, message, rspamc_request, talk

HOSTS = {"127.0.0.9": "host9.example", "::1": "six.example"}
# The headers by which rspamd is told of the envelope.
NAMES = ("IP", "Helo", "Hostname", "From", "Rcpt", "User", "Queue-Id", "Deliver-To", "Settings-ID")


def told(request):
	"""The envelope in a request to rspamd, {name: [values]} without absent ones."""
	return {name: request.all(name) for name in NAMES if request.all(name)}


class Envelope:
	"""The tests; variant says by which protocol Exim talks to the shim."""

	variant = None

	@classmethod
	def setUpClass(cls):
		cls.fake = cls.shared(FakeRspamd)
		cls.shim = cls.shared(Shim, backend=cls.fake.url)
		cls.exim = cls.shared(Exim, cls.shim.spamd_address(cls.variant), hosts=HOSTS)

	def setUp(self):
		self.fake.forget()

	def deliver(self, mail=None, exim=None, login=None, via=None, **options):
		"""Send one message; (what rspamd was told, its Exim id, the request)."""
		exim = exim or self.exim
		connection = {name: options.pop(name) for name in ("source", "host", "helo", "extended") if name in options}
		with exim.connect(**connection) as smtp:
			if login:
				smtp.login(login)
			reply = smtp.send(mail or message(), **options)
		request, = self.fake.requests
		self.unchanged(exim, reply.message_id(), request.body)
		return told(request), reply.message_id(), request

	def unchanged(self, exim, message_id, judged):
		"""rspamd judged what Exim delivered, from its Received: header on."""
		delivered = exim.delivered_bytes(message_id)
		delivered = re.sub(rb"\A(?:(?:Return-path|Envelope-to): [^\n]*\n(?:[ \t][^\n]*\n)*)*", b"", delivered)
		self.assertEqual(judged.split(b"\n\n", 1)[1], delivered.split(b"\n\n", 1)[1])
		self.assertEqual(judged[:9], delivered[:9])

	def test_ipv4(self):
		envelope, number, _ = self.deliver(source="127.0.0.9", helo="other.example",
		                                   recipients=["a@mx.example", "b@mx.example"])
		self.assertEqual(envelope, {"IP": ["127.0.0.9"], "Helo": ["other.example"], "Hostname": ["host9.example"],
		                            "From": ["<sender@client.example>"], "Rcpt": ["<a@mx.example>", "<b@mx.example>"],
		                            "Queue-Id": [number]})

	def test_no_hostname(self):
		envelope, _, _ = self.deliver(source="127.0.0.8")
		self.assertEqual((envelope["IP"], envelope["Helo"]), (["127.0.0.8"], ["client.example"]))
		self.assertNotIn("Hostname", envelope)

	def test_helo_equals_hostname(self):
		# Exim then leaves helo= out of its Received: header.
		envelope, _, _ = self.deliver(source="127.0.0.9", helo="host9.example")
		self.assertEqual((envelope["Hostname"], envelope["Helo"]), (["host9.example"], ["host9.example"]))

	def test_helo_is_the_address(self):
		envelope, _, _ = self.deliver(source="127.0.0.8", helo="[127.0.0.8]")
		self.assertEqual((envelope["IP"], envelope["Helo"]), (["127.0.0.8"], ["[127.0.0.8]"]))

	def test_plain_helo(self):
		envelope, _, _ = self.deliver(extended=False)
		self.assertEqual((envelope["IP"], envelope["Helo"]), (["127.0.0.1"], ["client.example"]))

	def test_ipv6(self):
		envelope, _, _ = self.deliver(host="::1")
		self.assertEqual((envelope["IP"], envelope["Helo"], envelope["Hostname"]),
		                 (["::1"], ["client.example"], ["six.example"]))

	def test_authenticated(self):
		envelope, _, _ = self.deliver(source="127.0.0.9", login="alice")
		self.assertEqual(envelope.get("User"), ["alice"] if self.variant else None)
		self.assertEqual(envelope["IP"], ["127.0.0.9"])

	def test_null_sender(self):
		envelope, _, _ = self.deliver(sender="")
		self.assertEqual(envelope["From"], ["<>"])
		self.assertEqual(envelope["Rcpt"], ["<user@mx.example>"])

	def test_local_submission(self):
		number = self.exim.submit(message(), "s@local.example", "u@mx.example", "v@mx.example")
		request, = self.fake.requests
		self.assertEqual(told(request), {"From": ["<s@local.example>"], "Rcpt": ["<u@mx.example>", "<v@mx.example>"],
		                                 "Queue-Id": [number]})
		self.unchanged(self.exim, number, request.body)

	def test_local_smtp(self):
		self.exim.dialogue("-bs", "EHLO some.example", "MAIL FROM:<s@x.example>", "RCPT TO:<u@mx.example>", "DATA",
		                   "Subject: x", "", "text", ".", "QUIT")
		envelope = told(self.fake.requests[0])
		self.assertEqual((envelope["From"], envelope["Rcpt"]), (["<s@x.example>"], ["<u@mx.example>"]))
		self.assertNotIn("IP", envelope)

	def test_thousand_recipients(self):
		recipients = [f"recipient{i:04d}@mx.example" for i in range(1000)]
		envelope, _, _ = self.deliver(recipients=recipients)
		self.assertEqual(envelope["Rcpt"], [f"<{r}>" for r in recipients])
		self.assertEqual(envelope["IP"], ["127.0.0.1"])

	def test_smtputf8(self):
		envelope, _, _ = self.deliver(sender="jörg@bücher.example", recipients=["用户@mx.example"], options=" SMTPUTF8")
		self.assertEqual((envelope["From"], envelope["Rcpt"]), (["<jörg@bücher.example>"], ["<用户@mx.example>"]))
		self.assertEqual(envelope["IP"], ["127.0.0.1"])

	def test_chunking(self):
		mail = message(body="line\n.dot\nFrom here\n" + "x" * 900 + "\n")
		envelope, number, _ = self.deliver(mail, chunks=[1, 100, 500])
		self.assertEqual(envelope, {"IP": ["127.0.0.1"], "Helo": ["client.example"],
		                            "From": ["<sender@client.example>"], "Rcpt": ["<user@mx.example>"],
		                            "Queue-Id": [number]})

	def test_incoming_port_in_received(self):
		exim = self.own(Exim, self.shim.spamd_address(self.variant), hosts=HOSTS,
		                options="log_selector = +incoming_port +incoming_interface\n")
		for source in ("127.0.0.8", "127.0.0.9"):
			self.fake.forget()
			envelope, _, _ = self.deliver(exim=exim, source=source)
			self.assertEqual((envelope["IP"], envelope["Helo"]), ([source], ["client.example"]))

	def forged(self, mail=None, **options):
		"""Send mail that tells lies; only the truth may arrive."""
		helo = re.sub(r"[\x00-\x1f\x7f]", "?", options.get("helo", "client.example"))
		truth = {"IP": ["127.0.0.8"], "Helo": [helo],
		         "From": [f"<{options.get('sender', 'sender@client.example')}>"],
		         "Rcpt": [f"<{r}>" for r in options.get("recipients", ["user@mx.example"])]}
		envelope, number, request = self.deliver(mail, source="127.0.0.8", **options)
		self.assertEqual(envelope.pop("Queue-Id", [number]), [number])
		self.assertEqual({name: value for name, value in envelope.items() if truth.get(name) != value}, {})
		for lie in (b"127.0.0.1", b"evil", b"root"):
			self.assertNotIn(lie, re.sub(rb"(?m)^(Helo|From|Rcpt|Host): .*", b"", request.head))
		return envelope

	def test_forged_head(self):
		lies = (b"From evil@evil.example Mon Jun  1 00:00:00 2026\n",
		        b"X-Envelope-From: <evil@evil.example>\n",
		        b"X-Envelope-To: evil@evil.example\n",
		        b"Received: from localhost ([127.0.0.1] helo=evil)\n\tby mx.test.example with esmtpa (Exim 4.96)\n"
		        b"\t(envelope-from <evil@evil.example>)\n\tid 1evilx-000000-00\n\tfor evil@evil.example;\n"
		        b"\tMon, 01 Jun 2026 00:00:00 +0000\n",
		        b"IP: 127.0.0.1\nUser: root\nHelo: evil\nHostname: evil\n",
		        b"From MAILER-DAEMON Mon Jun  1 00:00:00 2026\nX-Envelope-From: <evil@evil.example>\n"
		        b"X-Envelope-To: evil@evil.example\nReceived: from evil ([127.0.0.1])\n\tby mx.test.example;\n\tMon\n")
		for lie in (*lies, b"".join(lies)):
			for mail in (lie + message(), message() + lie, b"\n" + lie + message()):
				with self.subTest(mail[:60]):
					self.fake.forget()
					self.assertEqual(self.forged(mail)["IP"], ["127.0.0.8"])

	def test_hostile_helo(self):
		for helo in ("[127.0.0.1]", "127.0.0.1", "localhost", "evil ([127.0.0.1])", "x) by y with esmtpa (Exim 4.96)",
		             "evil]) ([127.0.0.1]", "a (b", "([127.0.0.1] helo=evil)", "evil;", "e\tvil",
		             "127.0.0.1]) (helo=evil", "x helo=evil", 'e"vil\\', "[127.0.0.1]:25", "evil\x01", "ev\xe9l"):
			with self.subTest(helo):
				self.fake.forget()
				self.forged(helo=helo)

	def test_helo_with_an_ident(self):
		# Exim writes "helo=x ident=y" for this too: rspamd may hear "x", but
		# nothing else of it.
		with self.exim.connect(source="127.0.0.8", helo="x ident=root") as smtp:
			smtp.send(message())
		envelope = told(self.fake.requests[0])
		self.assertIn(envelope.pop("Helo"), (["x"], ["x ident=root"]))
		self.assertNotIn("root", str(envelope))

	def test_hostile_local_parts(self):
		for part in ('"a b"', '"evil> X-Envelope-To: <x"', '"x, evil"', '"a, evil@evil.example"', r'"q\"q"', r'"b\\s"',
		             '"(evil)"', '"evil) id 1evilx-000000-00 (x"', '"<>"', '"; Mon, 01 Jun 2026"', "a=b/c+d", '" "'):
			with self.subTest(part):
				address = part + "@evil.example"
				if " " in part and not self.takes(address):
					continue
				self.fake.forget()
				self.forged(sender=address)
				self.fake.forget()
				self.forged(recipients=[address, "user@mx.example"])
				self.fake.forget()
				self.forged(sender=address, recipients=["user@mx.example", address])

	def test_local_parts_as_they_are(self):
		# Exim 4.100 quotes them once more in Rcpt:, older ones do not.
		for part in ('""', r'"\"ab\""', r'"\"\\\"\""', r'"b\\"', '"a@b"', '"<x>"', '"a\rb"', '"a\\\rb"', '"a\x01b"', '"plain"',
		             "jörg", '"jörg"', "用户"):
			with self.subTest(part):
				address = f"{part}@x.example"
				told = re.sub(r"[\x00-\x1f\x7f]", "?", address)
				for sender, recipients in (("s@x.example", [address]), (address, ["u@x.example", address, address])):
					self.fake.forget()
					envelope, _, _ = self.deliver(sender=sender, recipients=recipients, options=" SMTPUTF8")
					self.assertEqual(envelope["From"], [f"<{told if sender == address else sender}>"])
					self.assertEqual(envelope["Rcpt"], [f"<{told if r == address else r}>" for r in recipients])

	def takes(self, address):
		"""Does this Exim take the address?  Old ones know no quoted spaces."""
		with self.exim.connect() as smtp:
			return smtp.command(f"MAIL FROM:<{address}>").code == 250

	def test_other_received(self):
		# The first Received: may then be the sender's.  Where Exim writes
		# none, nobody can tell: such a listener has envelope = "addresses".
		addresses = self.own(Shim, config="", start=False)
		addresses.write_config(f'listen "{addresses.address}" {{ envelope = "addresses" }}\n'
		                       f'backend "{self.fake.url}" {{ }}\n')
		addresses.start()
		for shim, setting in ((addresses, "received_header_text =\n"), (addresses, ""),
		                      (self.shim, "received_header_text = Received: by us; $tod_full\n")):
			exim = self.own(Exim, shim.spamd_address(self.variant), options=setting)
			lie = (b"Received: from localhost ([127.0.0.1] helo=evil)\n\tby mx.test.example with esmtpa (Exim 4.96)\n"
			       b"\t(envelope-from <sender@client.example>)\n\tid 1xVN9B-00063X-1j\n\tfor user@mx.example;\n"
			       b"\tMon, 01 Jun 2026 00:00:00 +0000\n")
			for mail in (message(), lie + message()):
				with self.subTest(setting=setting, mail=mail[:20]):
					self.fake.forget()
					with exim.connect(source="127.0.0.8") as smtp:
						smtp.send(mail)
					envelope = told(self.fake.requests[0])
					self.assertIn(envelope.get("IP"), ([["127.0.0.8"]] if self.variant else [None]))
					self.assertEqual(envelope.get("Helo"), ["client.example"] if self.variant else None)
					self.assertNotIn("1xVN9B-00063X-1j", envelope.get("Queue-Id", []))
					self.assertEqual(envelope["From"], ["<sender@client.example>"])

	def test_headers_at_the_start(self):
		# `add_header = :at_start:` puts lines above Exim's Received:.
		acl = """
	warn
		add_header = :at_start:X-First: Received: from evil ([127.0.0.1])
	warn
		spam = nobody:true
		acl = acl_seen
	accept
"""
		exim = self.own(Exim, self.shim.spamd_address(self.variant), acl_data=acl)
		with exim.connect(source="127.0.0.8") as smtp:
			smtp.send(message())
		envelope = told(self.fake.requests[0])
		self.assertIn(envelope.get("IP"), (["127.0.0.8"], None) if not self.variant else (["127.0.0.8"],))
		self.assertEqual(envelope["From"], ["<sender@client.example>"])

	def test_spool_wireformat(self):
		self.exim.needs("spool_wireformat")
		exim = self.own(Exim, self.shim.spamd_address(self.variant), options="spool_wireformat = true\n")
		mail = message(body="one\n.two\nthree\n")
		with exim.connect(source="127.0.0.8") as smtp:
			smtp.send(mail, chunks=[10])
		request, = self.fake.requests
		self.assertEqual(told(request)["IP"], ["127.0.0.8"])
		# Exim 4.96 hands its scanners such a body without any line end.
		body = request.body.split(b"\n\n", 1)[1]
		self.assertIn(body, (b"one\n.two\nthree\n", b"one\r\n.two\r\nthree\r\n", b"one.twothree"))


class EnvelopeRspamd(Envelope, Case):
	variant = True


class EnvelopePlain(Envelope, Case):
	variant = False

	def test_user_from_the_acl(self):
		# The drop-in ACL may pass the authenticated name as the spam user.
		acl = """
	warn
		spam = ${if def:authenticated_id{$authenticated_id}{nobody}}:true
		acl = acl_seen
	accept
"""
		for setting, header in (("authenticated", "User"), ("deliver-to", "Deliver-To"),
		                        ("settings-id", "Settings-ID"), ("ignore", None)):
			with self.subTest(setting):
				shim = self.own(Shim, config="", start=False)
				shim.write_config(f'listen "{shim.address}" {{ spamc_user = "{setting}" }}\n'
				                  f'backend "{self.fake.url}" {{ }}\n')
				shim.start()
				exim = self.own(Exim, shim.spamd_address(), acl_data=acl)
				self.fake.forget()
				envelope, _, _ = self.deliver(exim=exim, login="alice")
				names = "User", "Deliver-To", "Settings-ID"
				self.assertEqual({name: envelope.get(name) for name in names},
				                 {name: ["alice"] if name == header else None for name in names})

	def test_envelope_switched_off(self):
		for setting, names in (("none", set()), ("addresses", {"From", "Rcpt"}),
		                       ("exim", {"From", "Rcpt", "IP", "Helo", "Queue-Id"})):
			with self.subTest(setting):
				shim = self.own(Shim, config="", start=False)
				shim.write_config(f'listen "{shim.address}" {{ envelope = "{setting}" }}\n')
				shim.command += ["-b", self.fake.url]
				shim.start()
				exim = self.own(Exim, shim.spamd_address())
				self.fake.forget()
				exim.send(message())
				self.assertEqual(set(told(self.fake.requests[0])), names)


class Claims(Case):
	"""The head of a RSPAMC request where the listener has envelope = none."""

	def test_they_are_not_sent_on(self):
		fake = self.own(FakeRspamd)
		shim = self.own(Shim, config="", start=False)
		shim.write_config(f'listen "{shim.address}" {{ envelope = "none" }}\nbackend "{fake.url}" {{ }}\n')
		shim.start()
		claims = {"IP": "127.0.0.1", "User": "root", "Helo": "localhost", "Hostname": "localhost", "From": "<a@x.example>",
		          "Rcpt": "<b@x.example>", "Queue-Id": "1xVN9B-00063X-1j", "Deliver-To": "root"}
		talk(shim.port, rspamc_request(message(), headers=list(claims.items())))
		request, = fake.requests
		self.assertEqual([name for name in claims if request.get(name) is not None], [])
		self.assertEqual(request.body, message())
		line, = shim.await_requests()
		self.assertEqual([line.get(name) for name in ("envelope", "ip", "user")], ["off", None, None])


class RealRspamd(Case):
	"""The same through a real rspamd, which must understand it."""

	@classmethod
	def setUpClass(cls):
		cls.rspamd = common_rspamd()
		cls.shim = cls.shared(Shim, backend=cls.rspamd.url)
		cls.exims = [cls.shared(Exim, cls.shim.spamd_address(variant), hosts=HOSTS) for variant in (True, False)]

	def setUp(self):
		self.rspamd.seen()

	def test_envelope(self):
		for exim in self.exims:
			with exim.connect(source="127.0.0.9", helo="other.example") as smtp:
				number = smtp.send(message(), sender='"a b"@x.example', recipients=["u@y.example", "v@z.example"]).message_id()
			seen, = self.rspamd.await_seen()
			self.assertEqual([seen[key] for key in ("ip", "helo", "hostname", "rcpt", "queue_id", "user")],
			                 ["127.0.0.9", "other.example", "host9.example", ["u@y.example", "v@z.example"], number, None])
			self.assertEqual(seen["headers"]["From"], '<"a b"@x.example>')

	def test_ipv6_and_null_sender(self):
		for exim in self.exims:
			with exim.connect(host="::1") as smtp:
				smtp.send(message(), sender="")
			seen, = self.rspamd.await_seen()
			self.assertEqual((seen["ip"], seen["headers"]["From"], seen["from"] or ""), ("::1", "<>", ""))

	def test_addresses_that_rspamd_reads_in_quotes_only(self):
		"""Exim takes and keeps them as they are written here; rspamd sees none of them then."""
		for part, meant in ((r"a\,b", "a,b"), (r"x\"y", 'x"y'), (".a", ".a"), ("a..b", "a..b"), ("a.", "a."), ('"a".b', "a.b"),
		                    (r'c."d\"e"', 'c.d"e')):
			address, seen_as = part + "@x.example", meant + "@x.example"
			for exim in self.exims:
				with self.subTest(part, exim=exim):
					with exim.connect() as smtp:
						smtp.send(message(), sender=address, recipients=[address, "v@z.example"])
					seen, = self.rspamd.await_seen()
					self.assertEqual((seen["from"], seen["rcpt"]), (seen_as, [seen_as, "v@z.example"]))

	def test_thousand_recipients(self):
		recipients = [f"recipient{i:04d}@mx.example" for i in range(1000)]
		for exim in self.exims:
			exim.send(message(), recipients=recipients)
			seen, = self.rspamd.await_seen()
			self.assertEqual(seen["rcpt"], recipients)


class MtaName(Case):
	"""The mail server's name, for which rspamd writes Authentication-Results."""

	RESULTS = 'milter_headers { use = ["authentication-results"]; skip_local = false; local_headers = ["authentication-results"]; }'
	LIE = (b"Received: from localhost ([127.0.0.1] helo=evil)\n\tby evil.example with esmtp (Exim 4.96)\n"
	       b"\t(envelope-from <sender@client.example>)\n\tid 1xVN9B-00063X-1j\n\tfor user@mx.example;\n"
	       b"\tMon, 01 Jun 2026 00:00:00 +0000\n")

	@classmethod
	def setUpClass(cls):
		cls.rspamd = cls.shared(Rspamd, extra=cls.RESULTS)

	def setUp(self):
		super().setUp()
		self.rspamd.seen()

	def listener(self, options):
		shim = self.own(Shim, config="", start=False)
		shim.write_config(f'listen "{shim.address}" {{ {options} }}\nbackend "{self.rspamd.url}" {{ }}\n')
		return shim.start()

	def told(self, shim, variant, mail=None, **options):
		"""What rspamd was told of one mail, and the report."""
		exim = self.own(Exim, shim.spamd_address(variant), **options)
		exim.send(mail or message(X_Test_Score=7))
		seen, = self.rspamd.await_seen()
		return seen["headers"].get("MTA-Name"), exim.seen()[-1]["spam_report"]

	def test_of_exims_own_line(self):
		for variant in (True, False):
			name, report = self.told(self.listener(""), variant, self.LIE + message(X_Test_Score=7))
			self.assertEqual(name, "mx.test.example")
			self.assertRegex(report, rb"X-Milter-Add: Authentication-Results(\[\d+\])?: mx\.test\.example;")

	def test_the_key_wins(self):
		for envelope in ("exim", "addresses", "none"):
			shim = self.listener(f'envelope = {envelope} mta_name = "mx1.example.org"')
			for variant in (True, False):
				self.assertEqual(self.told(shim, variant)[0], "mx1.example.org")

	def test_where_the_line_is_not_read(self):
		for envelope in ("addresses", "none"):
			shim = self.listener(f"envelope = {envelope}")
			for variant in (True, False):
				self.assertEqual(self.told(shim, variant)[0], None)

	def test_a_line_of_the_senders(self):
		"""Exim writes no Received:, so that the first one is the sender's: with variant=rspamd the queue id tells."""
		for setting, variant in (("received_header_text =\n", True), ("received_header_text = Received: by us; $tod_full\n", True),
		                         ("received_header_text = Received: by us; $tod_full\n", False)):
			name, _ = self.told(self.listener(""), variant, self.LIE + message(X_Test_Score=7), options=setting)
			self.assertEqual(name, None)

	def test_no_host_name(self):
		longest = ".".join(["x" * 63, "y" * 63, "z" * 63, "w" * 61])
		for good in ("a", "0-0.example", "x" * 63 + ".example", longest):
			self.listener(f'mta_name = "{good}"')
		for bad in ("mx example", "-mx.example", "mx-.example", "mx..example", ".example", "mx.example.", "mx_1.example", "mx/1",
		            "mx\x01", "mx\r", "m\u00fcx.example", "[192.0.2.1]", "x" * 64 + ".example", longest + "w"):
			with self.subTest(bad), self.assertRaises(AssertionError) as caught:
				self.listener(f'mta_name = "{bad}"')
			self.assertIn("is not a host name; write one such as mx.example.org", str(caught.exception))

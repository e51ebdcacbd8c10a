"""Mails of every shape, from the tests of Debian's packages: PROCESS and HEADERS leave them whole."""

import re

from harness import Case, RspamcReply, Rspamd, Shim, common_rspamd, corpus, rspamc_request, spamc, spamc_request
from harness import talk

ENOUGH, WITHOUT_BOUNCES = 200, 130
LIMIT = 4096		# of the rspamd that refuses
# What the shim adds in front, and nothing else.
ADDED = re.compile(rb"(?:X-Spam-Flag: YES\r?\n)?X-Spam-Checker-Version: [^\r\n]+\r?\nX-Spam-Level: \**\r?\n"
                   rb"X-Spam-Status: [^\r\n]+\r?\n(?:[ \t][^\r\n]+\r?\n)*?X-Spam-Action: [^\r\n]+\r?\n")
FOREIGN = re.compile(rb"(?i)(?:\A|\n)x-spam[-:]")
REPLY = re.compile(rb"SPAMD/1\.1 0 EX_OK\r\nContent-length: (\d+)\r\nSpam: (True|False|Yes) ; (-?\d+\.\d / -?\d+\.\d)\r\n\r\n")
# Behind this begins what `spamc --headers' takes for the body.
SPAMC_BODY = re.compile(rb"\r\n\r\n|\n\n")
WITH_HEADERS = ("as it is", "CRLF", "LF and CRLF", "head only")
FIELD = re.compile(rb"[!-9;-~]+[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*")


def take_off(result, data):
	"""result without what was added to data; AssertionError where that is not in form."""
	from_line = data[:len(data) - len(corpus.without_from_line(data))]
	assert result.startswith(from_line), "the From_ line is not the first"
	added = ADDED.match(result, len(from_line))
	assert added, f"nothing of ours in front: {result[:200]!r}"
	eol = b"\r\n" if re.match(rb"[^\n]*\r\n", data) else b"\n"
	assert added[0].replace(b"\r\n", b"\n").count(b"\n") == added[0].count(eol), "other line ends than the message's"
	assert eol == b"\r\n" or b"\r" not in added[0], "other line ends than the message's"
	rest = result[added.end():]
	if data[len(from_line):len(from_line) + 1] in (b" ", b"\t"):
		assert rest.startswith(eol), "the first line continues our last one"
		rest = rest[len(eol):]
	return from_line + rest


def steered(data, **values):
	"""data with headers that steer rspamd (tests/rspamd), above the others."""
	start = len(data) - len(corpus.without_from_line(data))
	eol = b"\r\n" if re.match(rb"[^\n]*\r\n", data) else b"\n"
	lines = b"".join(b"X-Test-%s: %s%s" % (name.encode(), str(value).encode(), eol) for name, value in values.items())
	# Some mails begin with a line that continues what is before it.
	lines += b"X-Test-End: 1" + eol
	return data[:start] + lines + data[start:]


class Base(Case):
	@classmethod
	def setUpClass(cls):
		cls.mails = corpus.mails()
		cls.enough = ENOUGH if corpus.has_bounces() else WITHOUT_BOUNCES

	def ask(self, command, data, shim=None):
		"""The reply to a command: (flag, score and threshold, what follows)."""
		reply = talk((shim or self.shim).unix, spamc_request(command, data))
		head = REPLY.match(reply)
		self.assertTrue(head, reply[:200])
		rest = reply[head.end():]
		self.assertEqual(int(head[1]), len(rest))
		return head[2], head[3], rest


class Corpus(Base):
	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		cls.rspamd = common_rspamd()
		cls.shim = cls.shared(Shim, backend=cls.rspamd.url)

	def test_there_are_enough(self):
		print("\n".join(corpus.describe(self.mails)))
		self.assertGreaterEqual(len({m.data for m in self.mails if m.source != "enmime: parts"}), self.enough)
		for source in corpus.SOURCES:
			found = any(m.source == source for m in self.mails)
			self.assertEqual(found, source != corpus.BOUNCES or corpus.has_bounces(), source)

	def check(self, result, data):
		if FOREIGN.search(data[:corpus.body_start(data)]):
			self.assertIsNone(FOREIGN.search(take_off(result, data)[:corpus.body_start(result)]))
			self.assertTrue(result.endswith(data[corpus.body_start(data):]))
		else:
			self.assertEqual(take_off(result, data), data)

	def check_headers(self, short, whole, data):
		"""The reply to HEADERS, with the body that spamc puts behind it, is that to PROCESS."""
		self.assertEqual(short[:2], whole[:2])
		self.assertTrue(whole[2].startswith(short[2]))
		body = SPAMC_BODY.search(data)
		if body:
			self.assertEqual(short[2] + data[body.end():], whole[2])

	def test_every_form(self):
		"""What was added can be taken off; HEADERS is the same without the body."""
		counts = {}
		for mail in self.mails:
			for form, data in corpus.forms(mail.data).items():
				if not data:
					continue	# which nobody scans
				with self.subTest(source=mail.source, name=mail.name, form=form):
					flag, numbers, result = self.ask("PROCESS", data)
					self.check(result, data)
					if form in WITH_HEADERS:
						self.check_headers(self.ask("HEADERS", data), (flag, numbers, result), data)
					counts[form] = counts.get(form, 0) + 1
		print(f"{sum(counts.values())} messages through PROCESS and HEADERS: "
		      + ", ".join(f"{count} {form}" for form, count in counts.items()))
		self.assertGreaterEqual(min(counts.values()), self.enough)

	def test_spamc(self):
		"""The real client: as a filter, and with --headers, which adds the body itself."""
		own = 0
		for mail in self.mails:
			with self.subTest(source=mail.source, name=mail.name):
				code, result = spamc(self.shim.port, mail.data)
				self.assertEqual(code, 0)
				self.check(result, mail.data)
				body = SPAMC_BODY.search(mail.data)
				if not body:
					# spamc finds no body, and hands the message on.
					result = mail.data
				elif b"\0" in mail.data[body.end():]:
					continue	# spamc copies only what is before the NUL
				self.assertEqual(spamc(self.shim.port, mail.data, "--headers"), (0, result))
				own += result != mail.data
		self.assertGreaterEqual(own, self.enough)


class Edited(Base):
	"""rspamd adds and removes header lines and rewrites the subject."""

	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		cls.shim = cls.shared(Shim, backend=common_rspamd().url)

	def test_all_else_stays(self):
		count = 0
		for mail in self.mails:
			if b"GTUBE" in mail.data:
				continue	# rspamd sees nothing else
			data = steered(mail.data, Score=9, Subject="another one", Milter=1)
			start = corpus.body_start(data)
			with self.subTest(source=mail.source, name=mail.name):
				flag, _, result = self.ask("PROCESS", data)
				self.assertEqual(flag, b"True")
				self.assertEqual(result[len(result) - len(data) + start:], data[start:], "the body")
				head = corpus.without_from_line(result)
				head = head[:len(head) - len(data) + start]
				self.assertEqual(head.replace(b"\r\n", b"\n").count(b"\nSubject: another one\n"), 1)
				self.assertEqual(len(re.findall(rb"(?i)\nsubject[ \t]*:", head)), 1)
				old = FIELD.findall(corpus.without_from_line(data[:start]))
				if b"".join(old) != corpus.without_from_line(data[:start]):
					continue	# a head with lines that are none
				kept = [f for f in old if not re.match(rb"(?i)(?:x-spam[-:]|subject[ \t]*:)", f)]
				new = [f for f in FIELD.findall(head) if not re.match(rb"(?i)(?:x-spam-|subject:|x-folded:)", f)]
				self.assertEqual(new, kept)
				count += 1
		print(f"{count} messages with their head changed by rspamd")
		self.assertGreaterEqual(count, self.enough)


class Layout(Base):
	"""Every command tells the same verdict: symbols, their order, scores and words."""

	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		cls.required = common_rspamd().facts.threshold_beside(7.0, spam=True)
		options = {"backend": common_rspamd().url, "config": ""}
		cls.shim = cls.shared(Shim, **options)
		cls.shim.stop()
		cls.shim.write_config(f'listen "unix:{cls.shim.unix}" {{ report_header = true }}\n')
		cls.shim.start()

	def test_one_in_all_commands(self):
		for mail in self.mails[::3]:
			if b"GTUBE" in mail.data:
				continue	# rspamd sees nothing else
			data = steered(mail.data, Score=7, Bulk=3)
			with self.subTest(source=mail.source, name=mail.name):
				self.check(data)

	def check(self, data):
		flag, numbers, report = self.ask("REPORT", data)
		self.assertEqual((flag, numbers), (b"True", b"7.0 / %.1f" % self.required))
		lines = report.split(b"\n")
		self.assertEqual((lines[0], lines[-1]), (b"Action: add header", b""))
		start = lines.index(b"---- ---------------------- " + b"-" * 50)
		self.assertEqual(lines[start - 2], b"Report-End: complete")
		table = lines[start + 1:-1]
		rows = [re.fullmatch(rb" ?(-?\d+\.\d) (\S+) +(.+?)(?: \[.*\])?", line).groups() for line in table]
		names = b",".join(name for _, name, _ in rows)
		self.assertEqual(len(rows), 4)
		self.assertEqual(self.ask("SYMBOLS", data), (flag, numbers, names))
		self.assertEqual(talk(self.shim.unix, spamc_request("CHECK", data)),
		                 b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 7.0 / %.1f\r\n\r\n" % self.required)
		self.assertEqual(self.ask("REPORT_IFSPAM", data), (b"Yes", numbers, report))
		process = self.ask("PROCESS", data)
		self.assertEqual(process[:2], (flag, numbers))
		head = process[2].replace(b"\r\n", b"\n")
		star = re.search(rb"\nX-Spam-Report:\n((?:\t[^\n]*\n)+)", head)[1]
		self.assertEqual(re.findall(rb"\t\* +(-?\d+\.\d) (\S+) (.+)\n", star), rows)
		status = re.search(rb"\nX-Spam-Status: Yes, score=7\.0 required=(\d\.\d) tests=((?:[^\n]|\n\t)+?)\s+autolearn=", head)
		self.assertEqual((float(status[1]), re.sub(rb"\s", b"", status[2])), (self.required, names))
		exim = RspamcReply(talk(self.shim.unix, rspamc_request(data)))
		symbols = [re.match(rb"Symbol: (\S+)\((-?\d+\.\d\d)\)", line) for line in exim.report]
		self.assertEqual(b",".join(match[1] for match in symbols if match), names)
		self.assertEqual(exim.report[0], lines[0])
		self.assertEqual([l for l in exim.report if l.startswith(b"Message-ID: ")],
		                 [l for l in lines if l.startswith(b"Message-ID: ")])


class Refused(Base):
	"""A message that rspamd does not take comes back as it was."""

	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		cls.rspamd = cls.shared(Rspamd, max_message=f"{LIMIT}")
		cls.shim = cls.shared(Shim, backend=cls.rspamd.url)

	def test_spamc_hands_it_on(self):
		small = [mail for mail in self.mails if len(mail.data) <= LIMIT][::10]
		large = [mail for mail in self.mails if len(mail.data) > LIMIT]
		for mail in small:
			self.assertIn(b"X-Spam-Status: ", spamc(self.shim.port, mail.data)[1])
		for mail in large:
			with self.subTest(source=mail.source, name=mail.name):
				code, result = spamc(self.shim.port, mail.data)
				self.assertEqual(code, 0)
				self.assertEqual(result, mail.data)
				self.assertEqual(spamc(self.shim.port, mail.data, "--headers"), (0, mail.data))
				reply = talk(self.shim.port, spamc_request("PROCESS", mail.data))
				self.assertRegex(reply, rb"\ASPAMD/1\.0 (?!0 )\d+ [^\r\n]+\r\n\Z")
		print(f"{len(large)} messages refused by rspamd")
		self.assertGreaterEqual(len(large), self.enough // 10)

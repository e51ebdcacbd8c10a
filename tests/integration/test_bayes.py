"""Learning: spamc teaches a real rspamd, and the next mail has the symbol of what was learnt."""

import os
import re
import zlib

from harness import Case, Redis, Rspamd, Shim, message, spamc, spamc_request, talk, wait_until

SPAM = ("cheap replica watches, casino bonus and lottery winner: claim your prize now",
        "the lottery winner may claim a casino bonus and cheap replica watches",
        "claim the prize: replica watches, cheap as never, for each lottery winner")
HAM = ("quarterly meeting: agenda, minutes of the last one and the budget review",
       "please send the minutes of the meeting and the schedule of the project",
       "the budget review of the project moves, the agenda of the meeting stays")
# None of these is one of those that are learnt.
NEW_SPAM = "a casino bonus and replica watches for the lottery winner, cheap: claim your prize"
NEW_HAM = "the budget review of the project moves, please send the agenda of the meeting"

LEARNED = (0, b"Message successfully un/learned\n")
KNOWN = (0, b"Message was already un/learned\n")
REPORTED = (0, b"Message successfully reported/revoked\n")
# EX_IOERR, and not a word: what spamc makes of an error line.
REFUSED = (74, b"")


def mail(text, number=0):
	return message(f"Hello,\n\n{text}.\n", Message_ID=f"<{number}.{zlib.crc32(text.encode())}@client.example>")


def password_file(case, word):
	path = case.folder("password") / "password"
	path.write_text(word + "\n")
	path.chmod(0o600)
	os.chown(path, path.parent.stat().st_uid, -1)
	return path


def teacher(case, rspamds, word="rwpass", config=""):
	"""Arguments for a Shim that scans with the first of rspamds and teaches all."""
	controllers = [a for rspamd in rspamds for a in ("--controller", f"http://127.0.0.1:{rspamd.controller}")]
	return {"backend": rspamds[0].url, "config": config,
	        "arguments": [*controllers, "--password-file", password_file(case, word)]}


class Learning(Case):
	"""spamc's commands, and what the others do to this rspamd.  release: whose programs (packages.need())."""

	release = None

	def spamc(self, *arguments):
		return spamc(*arguments, release=self.release)

	def symbols(self, shim, text, *options):
		"""The symbols of a mail with this text, as spamc -y has them."""
		code, out = self.spamc(shim.port, mail(text, 99), "-y", *options)
		self.assertEqual(code, 0)
		return set(filter(None, out.decode().rstrip("\r\n").split(",")))

	def learn(self, shim, *options):
		for number, (spam, ham) in enumerate(zip(SPAM, HAM)):
			self.assertEqual(self.spamc(shim.port, mail(spam, number), *options, "-L", "spam"), LEARNED)
			self.assertEqual(self.spamc(shim.port, mail(ham, number), *options, "-L", "ham"), LEARNED)


class Bayes(Learning):
	@classmethod
	def setUpClass(cls):
		cls.redis = cls.shared(Redis)
		cls.rspamd = cls.shared(Rspamd, redis=cls.redis.port, release=cls.release)
		cls.shim = cls.shared(Shim, **teacher(cls, [cls.rspamd]))

	def setUp(self):
		self.redis.forget()
		self.shim.settle()

	def test_the_next_mail_shows_it(self):
		self.assertEqual(self.symbols(self.shim, NEW_SPAM), set())
		self.assertEqual(self.symbols(self.shim, NEW_HAM), set())
		self.learn(self.shim)
		self.assertEqual(self.symbols(self.shim, NEW_SPAM), {"BAYES_SPAM"})
		self.assertEqual(self.symbols(self.shim, NEW_HAM), {"BAYES_HAM"})

	def test_in_the_header_too(self):
		self.learn(self.shim)
		code, out = self.spamc(self.shim.port, mail(NEW_SPAM))
		self.assertEqual(code, 0)
		line = f"\nX-Spam-Status: No, score=0.0 required={self.rspamd.facts.shown_threshold} tests=BAYES_SPAM"
		self.assertRegex(out, re.escape(line).encode() + rb"[ \n]")

	def test_learned_before(self):
		self.assertEqual(self.spamc(self.shim.port, mail(SPAM[0]), "-L", "spam"), LEARNED)
		self.assertEqual(self.spamc(self.shim.port, mail(SPAM[0]), "-L", "spam"), KNOWN)
		self.assertIn("learned before", self.shim.await_requests(2)[-1]["reason"])
		self.assertEqual(self.spamc(self.shim.port, mail(SPAM[0], 1), "-L", "spam"), KNOWN, "another Message-ID, the same words")
		self.assertEqual(self.spamc(self.shim.port, mail(SPAM[1]), "-L", "spam"), LEARNED)

	def test_learned_as_the_other_class(self):
		"""What was spam by mistake: learning it as ham takes that back."""
		self.learn(self.shim)
		for number, (spam, ham) in enumerate(zip(SPAM, HAM)):
			self.assertEqual(self.spamc(self.shim.port, mail(spam, number), "-L", "ham"), LEARNED)
			self.assertEqual(self.spamc(self.shim.port, mail(ham, number), "-L", "spam"), LEARNED)
		self.assertEqual(self.symbols(self.shim, NEW_SPAM), {"BAYES_HAM"})
		self.assertEqual(self.symbols(self.shim, NEW_HAM), {"BAYES_SPAM"})

	def test_forget(self):
		"""rspamd cannot, and says so; nothing changes."""
		self.learn(self.shim)
		self.assertEqual(self.spamc(self.shim.port, mail(SPAM[0]), "-L", "forget"), REFUSED)
		reply = talk(self.shim.port, spamc_request("TELL", mail(SPAM[0]), Remove="local"))
		self.assertRegex(reply, rb"\ASPAMD/1\.0 69 Service Unavailable: rspamd cannot forget a message, [^\r\n]+\r\n\Z")
		self.assertEqual(self.symbols(self.shim, NEW_SPAM), {"BAYES_SPAM"})

	def test_report_without_fuzzy_storage(self):
		"""Bayes learns; that nothing was reported is what spamc hears."""
		for spam, ham in zip(SPAM, HAM):
			self.assertEqual(self.spamc(self.shim.port, mail(spam), "-C", "report"), (0, b"Unable to report/revoke message\n"))
			self.assertEqual(self.spamc(self.shim.port, mail(ham), "-C", "revoke"), (0, b"Unable to report/revoke message\n"))
		self.assertEqual(self.symbols(self.shim, NEW_SPAM), {"BAYES_SPAM"})
		self.assertEqual(self.symbols(self.shim, NEW_HAM), {"BAYES_HAM"})

	def test_wrong_password(self):
		"""ropass is rspamd's password for looking, not for learning."""
		for word in ("wrong", "ropass"):
			with self.subTest(word):
				shim = self.own(Shim, **teacher(self, [self.rspamd], word))
				self.assertEqual(self.spamc(shim.port, mail(SPAM[0]), "-L", "spam"), REFUSED)
				reply = talk(shim.port, spamc_request("TELL", mail(SPAM[0]), Message_class="spam", Set="local"))
				self.assertRegex(reply, rb"\ASPAMD/1\.0 75 [^\r\n]*password[^\r\n]*\r\n\Z")
				line = shim.await_requests(2)[-1]
				self.assertEqual((line["outcome"], line["failure"]), ("error", "rspamd-error"))
				self.assertIn("password", line["reason"])
		self.assertEqual(self.spamc(self.shim.port, mail(SPAM[0]), "-L", "spam"), LEARNED)


class Several(Learning):
	"""Two rspamds, each with a redis of its own: both learn."""

	@classmethod
	def setUpClass(cls):
		cls.redises = [cls.shared(Redis) for _ in range(2)]
		cls.rspamds = [cls.shared(Rspamd, redis=redis.port) for redis in cls.redises]
		cls.shim = cls.shared(Shim, **teacher(cls, cls.rspamds))

	def setUp(self):
		for redis in self.redises:
			redis.forget()

	def seen(self):
		"""The symbols that each rspamd itself has for the two new mails."""
		return [[set(rspamd.scan(mail(text, 99))["symbols"]) for text in (NEW_SPAM, NEW_HAM)] for rspamd in self.rspamds]

	def test_each_learns(self):
		self.assertEqual(self.seen(), [[set(), set()]] * 2)
		self.learn(self.shim)
		self.assertEqual(self.seen(), [[{"BAYES_SPAM"}, {"BAYES_HAM"}]] * 2)

	def test_one_knows_it(self):
		"""The other did not: that is something learned."""
		alone = self.own(Shim, **teacher(self, self.rspamds[:1]))
		self.learn(alone)
		self.assertEqual(self.seen(), [[{"BAYES_SPAM"}, {"BAYES_HAM"}], [set(), set()]])
		self.learn(self.shim)
		self.assertEqual(self.seen(), [[{"BAYES_SPAM"}, {"BAYES_HAM"}]] * 2)
		self.assertEqual(self.spamc(self.shim.port, mail(SPAM[0], 0), "-L", "spam"), KNOWN)

	def test_one_is_down(self):
		"""An error, and what failed can be done again."""
		shim = self.own(Shim, **teacher(self, self.rspamds))
		self.redises[1].stop()
		try:
			self.assertEqual(self.spamc(shim.port, mail(SPAM[0]), "-L", "spam"), REFUSED)
			self.assertIn(f"127.0.0.1:{self.rspamds[1].controller}: ", shim.await_requests()[0]["reason"])
		finally:
			self.redises[1].start()
		wait_until(lambda: self.spamc(shim.port, mail(SPAM[0]), "-L", "spam") == LEARNED, "redis is used again")
		self.assertEqual(self.spamc(shim.port, mail(SPAM[0]), "-L", "spam"), KNOWN)


class PerUser(Learning):
	"""spamc -u is whose Bayes it is, where the configuration says so."""

	@classmethod
	def setUpClass(cls):
		cls.redis = cls.shared(Redis)
		cls.rspamd = cls.shared(Rspamd, redis=cls.redis.port, per_user=True, release=cls.release)
		options = teacher(cls, [cls.rspamd])
		cls.shim = cls.shared(Shim, **options)
		cls.shim.stop()
		cls.shim.write_config(f'listen "{cls.shim.address}" {{ spamc_user = deliver-to }}\n')
		cls.shim.start()

	def setUp(self):
		self.redis.forget()

	def test_each_has_its_own(self):
		self.learn(self.shim, "-u", "alice")
		self.assertEqual(self.symbols(self.shim, NEW_SPAM, "-u", "alice"), {"BAYES_SPAM"})
		self.assertEqual(self.symbols(self.shim, NEW_SPAM, "-u", "bob"), set())
		self.assertEqual(self.symbols(self.shim, NEW_HAM, "-u", "alice"), {"BAYES_HAM"})
		for number, (spam, ham) in enumerate(zip(SPAM, HAM)):
			self.assertEqual(self.spamc(self.shim.port, mail(spam, number), "-u", "bob", "-L", "ham"), LEARNED)
			self.assertEqual(self.spamc(self.shim.port, mail(ham, number), "-u", "bob", "-L", "spam"), LEARNED)
		self.assertEqual(self.symbols(self.shim, NEW_SPAM, "-u", "bob"), {"BAYES_HAM"})
		self.assertEqual(self.symbols(self.shim, NEW_SPAM, "-u", "alice"), {"BAYES_SPAM"})


class Fuzzy(Learning):
	"""spamc -C: rspamd's fuzzy storage knows the mail again, whoever sends it."""

	TEXT = ("Dear friend, you have won the national lottery and a prize of one million waits for you. Answer at once "
	        "with the name of your bank and the number of your account, so that our lawyer can send the prize")

	@classmethod
	def setUpClass(cls):
		cls.redis = cls.shared(Redis)
		cls.rspamd = cls.shared(Rspamd, redis=cls.redis.port, fuzzy=True, release=cls.release)
		cls.shim = cls.shared(Shim, **teacher(cls, [cls.rspamd], config="fuzzy_flag = 11\n"))

	def found(self, text):
		return "FUZZY_DENIED" in self.symbols(self.shim, text)

	def tell(self, text, *options):
		return self.spamc(self.shim.port, mail(text), *options)

	def test_report_and_revoke(self):
		self.assertFalse(self.found(self.TEXT))
		self.assertEqual(self.tell(self.TEXT, "-C", "report"), REPORTED)
		wait_until(lambda: self.found(self.TEXT), "the storage has taken it")
		self.assertFalse(self.found("Something else, which nobody has reported and which is long enough to have a hash"))
		self.assertEqual(self.tell(self.TEXT, "-C", "revoke"), REPORTED)
		wait_until(lambda: not self.found(self.TEXT), "the storage has forgotten it")

	def test_forget(self):
		"""The one thing that rspamd can forget is what was reported."""
		text = "Another text. " + self.TEXT[::-1]
		self.assertEqual(self.tell(text, "-C", "report"), REPORTED)
		wait_until(lambda: self.found(text), "the storage has taken it")
		# spamc asks for DidRemove: local, which would be Bayes
		self.assertEqual(self.tell(text, "-L", "forget"), KNOWN)
		wait_until(lambda: not self.found(text), "the storage has forgotten it")

	def test_nothing_to_report(self):
		"""rspamd's words, where it makes no hash of the mail."""
		empty = b"From: a@client.example\nSubject: no text\n\n"
		reply = talk(self.shim.port, spamc_request("TELL", empty, Message_class="spam", Set="remote"))
		self.assertRegex(reply, rb"\ASPAMD/1\.0 75 EX_TEMPFAIL: [^\r\n]*fuzzy[^\r\n]*\r\n\Z")

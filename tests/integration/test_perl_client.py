"""Perl's Mail::SpamAssassin::Client against rspamd-shim, with a real rspamd behind.

Each field that a method of the client returns is compared with what rspamd
itself says of the message, and with what it got.
"""

import email.header
import hashlib
import json
import os
import re
import subprocess

from harness import Case, Redis, Rspamd, Shim, common_rspamd, free_port, message, wait_until
from harness import packages, process

# Calls one method of the client; messages and results are Latin-1, byte by byte.
# It has no method for SYMBOLS: this one does what those for other commands do.
DRIVER = r"""
use strict; use warnings;
use JSON::PP;
use Mail::SpamAssassin::Client;
sub Mail::SpamAssassin::Client::symbols { return $_[0]->_filter($_[1], 'SYMBOLS'); }
my $json = JSON::PP->new->latin1->canonical->allow_nonref;
my $call = $json->decode(do { local $/; <STDIN> });
my %where = map { $call->{client}{$_} =~ /(.*)/s; $_ => $1 } keys %{$call->{client}};	# trusted: connect() wants it
my $client = Mail::SpamAssassin::Client->new(\%where);
my $method = $call->{method};
my $result = $client->$method(@{$call->{arguments}});
# Newer Perls' JSON::PP knows false from an empty string, and older ones do not.
$result = length $result ? $result + 0 : '' if defined $result && !ref $result;
print $json->ascii->encode({result => $result, code => $client->{resp_code}, text => $client->{resp_msg}});
"""

SPAM_ACTIONS = ("reject", "rewrite subject", "add header")
MESSAGES = [message(X_Test_Score=score, Subject=f"caf\N{LATIN SMALL LETTER E WITH ACUTE} {score}")
            for score in (-1.25, 0, 4.3, 6.55, 8.1, 21)]
SPAM = message(X_Test_Score=7)


class Base(Case):
	"""call(method, …): what the client's method returned, and its resp_code and resp_msg."""

	@classmethod
	def setUpClass(cls):
		cls.group = packages.need("spamd")

	def call(self, method, *arguments, shim=None, **client):
		client = client or {"host": "127.0.0.1", "port": (shim or self.shim).port}
		arguments = [a.decode("latin-1") if isinstance(a, bytes) else a for a in arguments]
		call = {"client": client, "method": method, "arguments": arguments}
		done = subprocess.run([*self.group.perl(), "-e", DRIVER], input=json.dumps(call).encode(), stdout=subprocess.PIPE,
		                      stderr=subprocess.PIPE, env=process.environment([self.group]), timeout=process.PATIENCE)
		self.assertEqual((done.returncode, done.stderr), (0, b""))
		return json.loads(done.stdout)


class Client(Base):
	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		cls.rspamd = common_rspamd()
		cls.shim = cls.shared(Shim, backend=cls.rspamd.url)

	def judged(self, method, mail):
		"""The result of a method that scans mail; the verdict in it must be rspamd's."""
		verdict = self.rspamd.scan(mail)
		got = self.call(method, mail)
		self.assertEqual((got["code"], got["text"]), ("0", "EX_OK"))
		result = got["result"]
		spam = verdict["action"] in SPAM_ACTIONS
		yes_no = ("Yes", "No") if method == "spam_report_ifspam" else ("True", "False")
		self.assertEqual(result.pop("isspam"), yes_no[not spam])
		score, threshold = result.pop("score"), result.pop("threshold")
		self.assertAlmostEqual(score, verdict["score"], delta=0.0501)
		self.assertEqual(threshold, self.rspamd.facts.threshold_beside(score, spam))
		return verdict, result

	def test_ping(self):
		self.assertEqual(self.call("ping")["result"], 1)
		self.assertEqual(self.call("ping", socketpath=str(self.shim.unix))["result"], 1)

	def test_check(self):
		for mail in MESSAGES:
			with self.subTest(mail):
				self.assertEqual(self.judged("check", mail)[1], {})

	def test_what_rspamd_gets(self):
		"""The message as it is, without the CRLF that the client sends after it."""
		for mail in (SPAM, SPAM.replace(b"\n", b"\r\n"), SPAM[:-1]):
			self.rspamd.seen()
			self.call("check", mail, username="somebody", host="127.0.0.1", port=self.shim.port)
			seen = self.rspamd.await_seen()[0]
			self.assertEqual((seen["size"], seen["sha256"]), (len(mail), hashlib.sha256(mail).hexdigest()))
			self.assertIsNone(seen["user"])
		self.call("check", SPAM, max_size=100, host="127.0.0.1", port=self.shim.port)
		self.assertEqual(self.rspamd.await_seen()[0]["size"], 100)

	def test_process_and_headers(self):
		for mail in MESSAGES:
			head = mail[:mail.index(b"\n\n") + 2]
			for method in ("process", "headers"):
				with self.subTest(method, mail=mail):
					verdict, result = self.judged(method, mail)
					text = result.pop("message").encode("latin-1")
					self.assertEqual(result, {"content_length": str(len(text))})
					marks = dict(re.findall(rb"(?m)^(X-Spam-[^:]+): ?((?:[^\n]|\n[ \t])*)", text))
					self.assertEqual(marks[b"X-Spam-Action"].decode(), verdict["action"])
					self.assertEqual(b"X-Spam-Flag" in marks, verdict["action"] in SPAM_ACTIONS)
					status = re.match(rb"(Yes|No), score=(-?\d+\.\d) required=(\d+\.\d) tests=(\S+)", marks[b"X-Spam-Status"])
					self.assertEqual(set(status[4].decode().split(",")), set(verdict["symbols"]))
					whole = mail if method == "process" else head
					if verdict["action"] == "rewrite subject":
						subject = re.search(rb"(?m)^Subject: (.*)\n", text)[1].decode()
						if not self.rspamd.facts.encodes_within_words:		# else it is encoded anew
							self.assertEqual(subject, verdict["subject"])
						self.assertEqual(str(email.header.make_header(email.header.decode_header(subject))),
						                 "[SPAM] " + re.search(rb"(?m)^Subject: (.*)\n", mail)[1].decode())
						text, whole = (re.sub(rb"(?m)^Subject: .*\n", b"", m) for m in (text, whole))
					self.assertTrue(text.endswith(whole), text)

	def test_symbols(self):
		for mail in MESSAGES:
			verdict, result = self.judged("symbols", mail)
			text = result.pop("message")
			self.assertEqual(result, {"content_length": str(len(text))})
			self.assertEqual(set(text.rstrip("\r\n").split(",")), set(verdict["symbols"]))

	def test_reports(self):
		for mail in MESSAGES:
			for method in ("spam_report", "spam_report_ifspam"):
				with self.subTest(method, mail=mail):
					verdict, result = self.judged(method, mail)
					if method == "spam_report_ifspam" and verdict["action"] not in SPAM_ACTIONS:
						self.assertEqual(result, {"content_length": "0"})
						continue
					text = result.pop("report")
					self.assertEqual(result, {"content_length": str(len(text))})
					lines = text.split("\n")
					self.assertEqual(lines[0], f"Action: {verdict['action']}")
					self.assertIn("Report-End: complete", lines)
					rows = {m[2]: float(m[1]) for m in re.finditer(r"(?m)^ *(-?\d+\.\d) (\S+)", text)}
					self.assertEqual(set(rows), set(verdict["symbols"]))
					for name, symbol in verdict["symbols"].items():
						self.assertAlmostEqual(rows[name], symbol["score"], delta=0.0501)

	def test_errors(self):
		"""A message that cannot be scanned has no result, and the client has the reason."""
		shim = self.own(Shim, backend=f"http://127.0.0.1:{free_port()}")
		for method in ("check", "process", "headers", "symbols", "spam_report", "spam_report_ifspam"):
			got = self.call(method, SPAM, shim=shim)
			self.assertEqual((got["result"], got["code"]), (None, "69"), method)
			self.assertRegex(got["text"], r"\AService Unavailable: .*Connection refused")
		got = self.call("learn", SPAM, 0, shim=shim)
		self.assertEqual((got["result"], got["code"]), (None, "69"))
		self.assertRegex(got["text"], r"\AService Unavailable: TELL commands are not enabled")


class Learning(Base):
	"""The client trains a rspamd that has a Bayes classifier and a fuzzy storage."""

	SPAM_WORDS = "cheap remedy pills without prescription order them today from the friendly pharmacy online "
	HAM_WORDS = "minutes of our meeting about the compiler release next thursday with agenda and slides "

	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		cls.redis = cls.shared(Redis)
		cls.rspamd = cls.shared(Rspamd, redis=cls.redis.port, fuzzy=True)
		password = cls.folder("password") / "password"
		password.write_text("rwpass\n")
		password.chmod(0o600)
		os.chown(password, *process.server_ids())
		arguments = ["--controller", f"http://127.0.0.1:{cls.rspamd.controller}", "--password-file", password]
		cls.bayes = cls.shared(Shim, backend=cls.rspamd.url, arguments=arguments)
		cls.shim = cls.shared(Shim, backend=cls.rspamd.url, arguments=arguments, config="fuzzy_flag = 11\n")

	def symbols(self, mail):
		return set(self.rspamd.scan(mail)["symbols"])

	def mail(self, words, number):
		return message(f"{words * 5}\n{number}\n", Message_ID=f"<{number}@perl.example>")

	def tell(self, shim, method, *arguments):
		"""(result, resp_code) of a method that trains; the reason is in self.text."""
		got = self.call(method, *arguments, shim=shim)
		self.text = got["text"]
		return got["result"], got["code"]

	def test_learn(self):
		spam, ham = self.mail(self.SPAM_WORDS, 1), self.mail(self.HAM_WORDS, 2)
		self.assertFalse({"BAYES_SPAM", "BAYES_HAM"} & (self.symbols(spam) | self.symbols(ham)))
		for mail, kind in ((spam, 0), (ham, 1)):
			self.assertEqual(self.tell(self.bayes, "learn", mail, kind), (1, "0"))
			# A second time nothing is learned, and that is no error.
			self.assertEqual(self.tell(self.bayes, "learn", mail, kind), ("", "0"))
		self.assertIn("BAYES_SPAM", self.symbols(self.mail(self.SPAM_WORDS, 3)))
		self.assertIn("BAYES_HAM", self.symbols(self.mail(self.HAM_WORDS, 4)))
		# rspamd's Bayes cannot forget: an error in words, not a success.
		self.assertEqual(self.tell(self.bayes, "learn", spam, 2), (None, "69"))
		self.assertIn("cannot forget", self.text)

	def test_report_and_revoke(self):
		mail = self.mail("an offer that is sent to everybody, over and over again, word by word ", 5)
		self.assertNotIn("FUZZY_DENIED", self.symbols(mail))
		# Without a fuzzy storage Bayes learns, but nothing was reported.
		self.assertEqual(self.tell(self.bayes, "report", mail), (0, "0"))
		self.assertEqual(self.tell(self.bayes, "revoke", mail), (0, "0"))
		self.assertEqual(self.tell(self.shim, "report", mail), (1, "0"))
		wait_until(lambda: "FUZZY_DENIED" in self.symbols(mail), "the fuzzy storage knows the message")
		self.assertEqual(self.tell(self.shim, "revoke", mail), (1, "0"))
		wait_until(lambda: "FUZZY_DENIED" not in self.symbols(mail), "the fuzzy storage has dropped the message")

	def test_forget(self):
		mail = self.mail("one more offer of a kind that nobody has ever seen before in any mailbox ", 6)
		self.assertEqual(self.tell(self.shim, "report", mail), (1, "0"))
		wait_until(lambda: "FUZZY_DENIED" in self.symbols(mail), "the fuzzy storage knows the message")
		# it asks for DidRemove: local, which would be Bayes
		self.assertEqual(self.tell(self.shim, "learn", mail, 2), ("", "0"))
		wait_until(lambda: "FUZZY_DENIED" not in self.symbols(mail), "the fuzzy storage has dropped the message")

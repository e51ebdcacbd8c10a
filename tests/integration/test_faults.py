"""rspamd at its worst, and odd verdicts: what clients and Exim make of it."""

import json
import os
import re
import select
import signal
import socket
from contextlib import contextmanager

from harness import (Case, Exim, FakeRspamd, RspamcReply, Rspamd, Shim, check_report, common_rspamd, message,
                     rspamc_request, spamc_request, talk, verdict, wait_until)
from harness.process import children, wait_until

MAIL = message()
HTTP = b"HTTP/1.1 200 OK\r\n"


def http(body, head=HTTP):
	return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


@contextmanager
def at_once(shim):
	"""What happens in here, shim sees at once."""
	for pid in shim.workers():
		os.kill(pid, signal.SIGSTOP)
		wait_until(lambda pid=pid: state(pid) == "T", "the worker stops")
	try:
		yield
	finally:
		for pid in shim.workers():
			os.kill(pid, signal.SIGCONT)


def state(pid):
	with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
		return stat.read().rpartition(") ")[2][0]


class Errors(Case):
	"""No verdict is never a clean verdict."""

	def no_verdict(self, shim, failure=None, code=None):
		"""Both dialects hear of a failure; returns both replies."""
		shim.settle()
		rspamc = talk(shim.port, rspamc_request(MAIL))
		self.assertRegex(rspamc, rb"\ARSPAMD/1\.3 75 EX_TEMPFAIL [ -~]+\r\n\Z")
		spamc = talk(shim.port, spamc_request("REPORT", MAIL, "1.2"), half_close=True)
		self.assertRegex(spamc, rb"\ASPAMD/1\.0 \d+ [ -~]+\r\n\Z")
		if code:
			self.assertEqual(int(spamc.split()[1]), code)
		else:
			self.assertNotEqual(int(spamc.split()[1]), 0)
		for line in shim.await_requests(2):
			self.assertEqual(line["outcome"], "error")
			if failure:
				self.assertEqual(line["failure"], failure)
			self.assertNotIn("action", line)
			self.assertTrue(line["reason"])
		return rspamc, spamc

	def test_refused(self):
		self.no_verdict(self.own(Shim, backend="http://127.0.0.1:9"), "unreachable", 69)

	def test_no_socket(self):
		self.no_verdict(self.own(Shim, backend="unix:/nonexistent/rspamd.sock"), "unreachable", 69)

	def test_unknown_host(self):
		self.no_verdict(self.own(Shim, backend="http://rspamd.invalid:11333"), None, 69)

	def test_faulty_replies(self):
		fake = self.own(FakeRspamd)
		shim = self.own(Shim, backend=fake.url)
		good = b'{"action":"no action","score":1.0,"required_score":15.0,"symbols":{}}'
		for reply in (
			b"", b"\r\n", b"garbage", b"\0" * 5000, b"RSPAMD/1.3 0 EX_OK\r\nMetric: default; False; 0 / 15 / 0\r\n\r\n",
			HTTP, HTTP + b"Content-Length: 5\r\n", HTTP + b"Content-Length: 500\r\n\r\n" + good,
			HTTP + b"Content-Length: -1\r\n\r\n" + good, HTTP + b"Content-Length: 1e3\r\n\r\n" + good,
			HTTP + b"Content-Length: 99999999999999999999\r\n\r\n" + good,
			HTTP + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc", HTTP + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
			HTTP + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
			HTTP + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(good) + good + b"\r\n",
			HTTP + b"X: " + b"y" * 200000 + b"\r\n\r\n" + good, b"HTTP/1.1 2xx OK\r\n\r\n" + good,
			b"HTTP/3.7\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
			http(b""), http(b" "), http(b"{}"), http(b"[]"), http(b"null"), http(b"true"), http(b'"no action"'),
			http(good[:-1]), http(good + b"}"), http(b"{" * 100000), http(b"[" * 100000),
			http(b'{"action":"no action"}'), http(b'{"score":1.0,"symbols":{}}'),
			http(b'{"action":5,"score":1.0,"symbols":{}}'), http(b'{"action":"","score":1.0,"symbols":{}}'),
			http(b'{"action":"no action","score":"1.0","symbols":{}}'), http(b'{"action":"no action","score":nan}'),
			http(b'{"action":"no action","score":null,"symbols":{}}'),
			http(b'{"action":"no action","score":1e999,"symbols":{}}'),
			http(b'{"error":"task failed","error_domain":"scan"}'),
			http(b'{"error":"task failed"}', b"HTTP/1.1 500 Internal Server Error\r\n"),
			http(b"<html>no</html>", b"HTTP/1.1 404 Not Found\r\n"), http(good, b"HTTP/1.1 503 Busy\r\n"),
			http(good, b"HTTP/1.1 403 Forbidden\r\n"), http(good, b"HTTP/1.1 302 Found\r\nLocation: /\r\n")):
			with self.subTest(reply[:90]):
				fake.raw(reply)
				self.no_verdict(shim)
		fake.answer(verdict())
		RspamcReply(talk(shim.port, rspamc_request(MAIL)))

	def test_closed_unread(self):
		fake = self.own(FakeRspamd)
		shim = self.own(Shim, backend=fake.url)
		fake.behave(lambda sock, request: None, before_request=True)
		self.no_verdict(shim)
		fake.behave(lambda sock, request: fake.reset(sock), before_request=True)
		self.no_verdict(shim)

	def test_reset_behind_a_part_of_the_reply(self):
		# The reset is no event of its own then; another rspamd is asked.
		broken, fake = self.own(FakeRspamd), self.own(FakeRspamd)
		shim = self.own(Shim, arguments=["-b", broken.url, "-b", fake.url],
		                config="timeout_receive = 90\n")

		def cut(sock, _request):
			with at_once(shim):
				sock.sendall(reply)
				broken.reset(sock)
				sock.close()
		broken.behave(cut)
		for reply in (HTTP, HTTP + b"Content-Length: 500\r\n\r\n{\"action\":", HTTP + b"\r\n{\"action\":"):
			with self.subTest(reply=reply):
				del broken.requests[:]
				for _ in range(2):
					RspamcReply(talk(shim.port, rspamc_request(MAIL)))
				self.assertTrue(broken.requests)

	def test_endless_reply(self):
		fake = self.own(FakeRspamd)
		shim = self.own(Shim, backend=fake.url)

		def drown(sock, _request):
			sock.sendall(HTTP + b"\r\n{\"action\":\"")
			while True:
				sock.sendall(b"x" * 65536)
		fake.behave(drown)
		self.no_verdict(shim)

	def test_silent(self):
		fake = self.own(FakeRspamd)
		fake.silent()
		shim = self.own(Shim, backend=fake.url, config="timeout_wait = 0.3\n")
		self.no_verdict(shim, "timeout", 79)
		self.assertIn("timeout_wait", shim.log())

	def test_stops_in_the_middle(self):
		fake = self.own(FakeRspamd)
		shim = self.own(Shim, backend=fake.url, config="timeout_receive = 0.3\n")

		def begin(sock, _request):
			sock.sendall(HTTP + b"Content-Length: 100\r\n\r\n{")
			fake.await_gone(sock)
		fake.behave(begin)
		self.no_verdict(shim, "timeout", 79)
		self.assertIn("timeout_receive", shim.log())

	def test_dripping(self):
		# Each byte comes in time, all of them do not.
		fake = self.own(FakeRspamd)
		shim = self.own(Shim, backend=fake.url, config="timeout_request = 1.0\n")

		def drip(sock, _request):
			for byte in HTTP * 1000:
				sock.sendall(bytes([byte]))
				if select.select([sock], [], [], 0.1)[0]:
					return
		fake.behave(drip)
		self.no_verdict(shim, "timeout", 79)

	def test_killed_in_mid_scan(self):
		rspamd = self.own(Rspamd)
		shim = self.own(Shim, backend=rspamd.url)
		exim = self.own(Exim, shim.spamd_address(variant=True))
		with exim.connect() as smtp:
			smtp.envelope("s@x.example", ["u@y.example"])
			smtp.command("DATA")
			smtp.sock.sendall(message(X_Test_Sleep=60).replace(b"\n", b"\r\n") + b".\r\n")
			wait_until(lambda: rspamd.mute.accepted, "the scan began")
			rspamd.kill()
			reply = smtp.read()
		self.assertEqual(reply.code, 250)
		self.assertEqual(exim.seen(), [], "the scan did not succeed")
		self.assertIn("spam acl condition", exim.main_log() + exim.panic_log())
		self.assertEqual(shim.await_requests()[0]["outcome"], "error")
		self.no_verdict(shim, "unreachable", 69)

	def test_stopped_process(self):
		rspamd = self.own(Rspamd)
		shim = self.own(Shim, backend=rspamd.url, config="timeout_wait = 0.5\ntimeout_connect = 0.5\n")
		workers = children(rspamd.process.pid)
		for pid in workers:
			os.kill(pid, signal.SIGSTOP)
		try:
			self.no_verdict(shim, "timeout", 79)
		finally:
			for pid in workers:
				os.kill(pid, signal.SIGCONT)
		# it has half a second, which a busy machine does not always give it
		wait_until(lambda: talk(shim.port, rspamc_request(MAIL)).startswith(b"RSPAMD/1.3 0 EX_OK\r\n"), "a verdict")

	def test_second_backend(self):
		fake = self.own(FakeRspamd)
		shim = self.own(Shim, arguments=["-b", "http://127.0.0.1:9", "-b", fake.url])
		for _ in range(4):
			RspamcReply(talk(shim.port, rspamc_request(MAIL)))
		self.assertEqual(len(fake.requests), 4)


class Clients(Case):
	"""What comes at once is told in one event, whatever is in it."""

	@classmethod
	def setUpClass(cls):
		cls.fake = cls.shared(FakeRspamd)
		cls.shim = cls.shared(Shim, backend=cls.fake.url)

	def setUp(self):
		del self.fake.requests[:]
		self.shim.settle()

	def test_reset_behind_a_part_of_the_request(self):
		whole = spamc_request("CHECK", MAIL, "1.2")
		no_end = b"CHECK SPAMC/1.2\r\n\r\n" + MAIL
		for part in (whole[:10], whole[:-1], no_end):
			for half_close in (False, True):
				with self.subTest(part=part[:80], half_close=half_close):
					sock = socket.create_connection(("127.0.0.1", self.shim.port))
					with at_once(self.shim):
						sock.sendall(part)
						if half_close:
							sock.shutdown(socket.SHUT_WR)
						self.fake.reset(sock)
						sock.close()
					# long before timeout_client
					line, = self.shim.await_requests(1)
					self.assertEqual(line["outcome"], "client-gone")

	def test_urgent_byte_in_the_message(self):
		# TCP's readers stop there, with more behind it.
		for length in (False, True):
			with self.subTest(length=length):
				del self.fake.requests[:]
				head = b"Content-length: %d\r\n" % len(MAIL) if length else b""
				sock = socket.create_connection(("127.0.0.1", self.shim.port))
				with sock, at_once(self.shim):
					sock.sendall(b"CHECK SPAMC/1.2\r\n" + head + b"\r\n" + MAIL[:100])
					sock.send(b"!", socket.MSG_OOB)
					sock.sendall(MAIL[100:])
					sock.shutdown(socket.SHUT_WR)
				self.shim.await_requests(1)
				self.assertEqual([request.body for request in self.fake.requests], [MAIL])


class OddReplies(Case):
	"""Replies out of the ordinary that are nevertheless verdicts."""

	@classmethod
	def setUpClass(cls):
		cls.fake = cls.shared(FakeRspamd)
		cls.shim = cls.shared(Shim, backend=cls.fake.url)
		cls.exims = {variant: cls.shared(Exim, cls.shim.spamd_address(variant)) for variant in (True, False)}

	def rspamc(self):
		return RspamcReply(talk(self.shim.port, rspamc_request(MAIL)))

	def report(self):
		reply = talk(self.shim.port, spamc_request("REPORT", MAIL, "1.2"))
		head, report = reply.split(b"\r\n\r\n", 1)
		check_report(report.split(b"\r\n")[:-1], reply)
		return head.split(b"\r\n")[1].decode(), report

	def through_exim(self, variant):
		exim = self.exims[variant]
		before = len(exim.seen())
		self.assertEqual(exim.send(MAIL).code, 250)
		seen, = exim.seen()[before:]
		return {name: value.decode("utf-8", "surrogateescape") for name, value in seen.items()}

	def test_framing(self):
		good = b'{"action":"greylist","score":4.5,"required_score":15.0,"symbols":{}}'
		for reply in (HTTP + b"\r\n" + good, http(good), http(good, b"HTTP/1.0 200 OK\r\n"), http(good) + b"trailing",
		              HTTP + b"Transfer-Encoding: chunked\r\n\r\n5\r\n" + good[:5] + b"\r\n%x;ext=1\r\n" % (len(good) - 5)
		              + good[5:] + b"\r\n0\r\nTrailer: x\r\n\r\n",
		              b"HTTP/1.1 100 Continue\r\n\r\n" + http(good), http(good).replace(b"Content-Length", b"content-LENGTH")):
			with self.subTest(reply[:80]):
				self.fake.raw(reply)
				self.assertEqual((self.rspamc().action, self.rspamc().score), ("greylist", "4.50"))

	def test_reply_byte_by_byte(self):
		data = http(b'{"action":"greylist","score":4.5,"required_score":15.0,"symbols":{}}')

		def trickle(sock, _request):
			for byte in data:
				sock.sendall(bytes([byte]))
		self.fake.behave(trickle)
		self.assertEqual(self.rspamc().action, "greylist")

	def test_forced_reject_at_zero(self):
		self.fake.answer(verdict("reject", 0.0))
		self.assertEqual(self.report()[0], "Spam: True ; 0.0 / 0.0")
		self.assertTrue(self.rspamc().flag)
		seen = self.through_exim(False)
		self.assertEqual([seen[n] for n in ("spam_action", "spam_score", "spam_score_int", "spam_bar")],
		                 ["reject", "0.0", "0", "/"])
		self.assertEqual(self.through_exim(True)["spam_action"], "reject")

	def test_forced_no_action_at_20(self):
		self.fake.answer(verdict("no action", 20.0))
		line, _ = self.report()
		self.assertRegex(line, r"^Spam: False ; 20\.0 / \d+\.\d$")
		self.assertGreater(float(line.split()[-1]), 20.0)
		self.assertFalse(self.rspamc().flag)
		seen = self.through_exim(False)
		self.assertEqual([seen[n] for n in ("spam_action", "spam_score", "spam_score_int", "spam_bar")],
		                 ["no action", "20.0", "200", "+" * 20])
		self.assertEqual(self.through_exim(True)["spam_action"], "no action")

	def test_scores_beside_the_threshold(self):
		# After rounding to one digit the flag and the numbers must agree.
		for score in (14.94, 14.95, 14.96, 14.999, 15.0, 15.04, 0.04, -0.04, 5.95, 6.0):
			for action, spam in (("reject", True), ("add header", True), ("greylist", False), ("soft reject", False)):
				with self.subTest(score=score, action=action):
					self.fake.answer(verdict(action, score))
					line, _ = self.report()
					shown, threshold = map(float, line.split(";")[1].split("/"))
					self.assertEqual((shown >= threshold, line.startswith("Spam: True")), (spam, spam), line)
					self.assertAlmostEqual(shown, score, delta=0.0501)

	def test_required_score_null_or_absent(self):
		for more in ({"required_score": None}, {}):
			reply = verdict("add header", 7.0)
			del reply["required_score"]
			reply.update(more)
			self.fake.answer(reply)
			self.assertRegex(self.report()[0], r"^Spam: True ; 7\.0 / -?\d+\.\d$")
			self.assertTrue(self.rspamc().flag)
			self.assertEqual(self.through_exim(True)["spam_score_int"], "70")

	def test_thresholds_of_newer_rspamd(self):
		limits = {"reject": 15.0, "add header": 6.0, "greylist": 4.0, "my own": 7.0}
		self.fake.answer(verdict("no action", 1.0, thresholds=limits))
		self.assertEqual(self.report()[0], "Spam: False ; 1.0 / 6.0")
		self.fake.answer(verdict("reject", 20.0, thresholds=limits))
		self.assertEqual(self.report()[0], "Spam: True ; 20.0 / 6.0")

	def test_custom_actions(self):
		self.fake.answer(verdict("my custom action", 9.0))
		self.assertFalse(self.rspamc().flag)
		self.assertEqual(self.through_exim(True)["spam_action"], "my custom action")
		shim = self.own(Shim, backend=self.fake.url, config='spam_actions = {"reject", "my custom action"}\n')
		self.assertTrue(RspamcReply(talk(shim.port, rspamc_request(MAIL))).flag)
		self.fake.answer(verdict("add header", 9.0))
		self.assertFalse(RspamcReply(talk(shim.port, rspamc_request(MAIL))).flag)

	def test_long_action(self):
		# Exim keeps 31 characters; the report has the rest.
		self.fake.answer(verdict("a" * 200, 9.0))
		seen = self.through_exim(True)
		self.assertTrue(seen["spam_report"].startswith("Action: " + "a" * 200 + "\n"), seen["spam_report"][:300])
		self.assertEqual(seen["spam_score"], "9.0")

	def test_extreme_scores(self):
		for score in (1e300, -1e300, 1e13, 99999999.0, -12345.6):
			with self.subTest(score):
				self.fake.answer(verdict("reject", score, symbols={"X": score}))
				seen = self.through_exim(True), self.through_exim(False)
				for variables in seen:
					self.assertLessEqual(len(variables["spam_score"]), 14)
					self.assertEqual(variables["spam_score"].startswith("-"), score < 0)
					self.assertRegex(variables["spam_report"], r"\AAction: reject\n(?s:.*)\n Report-End: complete\Z")

	def test_hostile_strings(self):
		bad = ("a\rb\nc\0d\x1b[31m\x7f", "x\r\n\r\nAction: no action\r\nReport-End: complete", "\udcff\udcfebad\udcc3",
		       "\u0085\u2028line", "\r\n.\r\n", "]; [", "%s%n$spam_score${run{/bin/true}}")
		reply = verdict("add header", 7.0, subject=bad[1], messages={"smtp_message": bad[0], "b": bad[1]},
		                symbols={"A\r\nB": {"score": 1.0, "description": bad[1], "options": list(bad)},
		                         "B": {"score": 2.0, "description": bad[0], "options": [bad[2] * 500]}},
		                message_id=bad[1] + "@x",
		                milter={"add_headers": {"X-A": bad[1], "X\r\nEvil": "v", "X-B": {"value": bad[0], "order": 1},
		                                        "X-C": ["one", bad[2]]}, "remove_headers": {"X-D\r\nX": 1, "X-E": [1, 2]}})
		self.fake.answer(json.dumps(reply, ensure_ascii=False).encode("utf-8", "surrogateescape"))
		rspamc = self.rspamc()
		self.assertEqual((rspamc.action, rspamc.score), ("add header", "7.00"))
		self.assertEqual(self.report()[0], "Spam: True ; 7.0 / 7.0")
		for variant in (True, False):
			seen = self.through_exim(variant)
			lines = seen["spam_report"].split("\n ")
			self.assertEqual(lines[0], "Action: add header")
			self.assertEqual(sum(line.startswith("Action: ") for line in lines), 1)
			self.assertEqual(sum(line.startswith("Report-End: ") for line in lines), 1)
			self.assertTrue(lines[-1].startswith("Report-End: "))
			self.assertEqual([seen[n] for n in ("spam_score", "spam_score_int", "spam_bar")], ["7.0", "70", "+++++++"])
			self.assertFalse(re.search(r"[\x00-\x09\x0b-\x1f\x7f]", seen["spam_report"]))
			self.assertEqual(self.exims[variant].panic_log(), "")

	def test_messages_as_an_array(self):
		self.fake.answer(verdict("soft reject", 0.0, messages=["first", "second"]))
		self.assertEqual(self.rspamc().report[:3], [b"Action: soft reject", b"Message: first", b"Message: second"])

	def test_smtp_message_comes_first(self):
		self.fake.answer(verdict("reject", 20.0, subject="New", messages={"a": "other", "smtp_message": "Go away"}))
		self.assertEqual(self.rspamc().report[:4], [b"Action: reject", b"Subject: New", b"Message: Go away",
		                                            b"Message: other"])

	def test_rspamd_4_reply(self):
		# As rspamd 4 writes it, after its sources.
		self.fake.answer({
			"is_skipped": False, "score": 8.5, "required_score": 15.0, "action": "rewrite subject",
			"thresholds": {"reject": 15.0, "rewrite subject": 8.0, "add header": 6.0, "greylist": 4.0},
			"symbols": {"R_TEST": {"name": "R_TEST", "score": 8.5, "metric_score": 8.5, "description": "a test",
			                       "options": ["one", "two"]}},
			"messages": {}, "message-id": "test@client.example", "time_real": 0.01, "milter": {
				"remove_headers": {"X-Spam": 0}, "add_headers": {"X-Spam": {"value": "Yes", "order": 0}}},
			"subject": "***SPAM*** a test", "uuid": "0198"})
		self.assertEqual(self.rspamc().report, [
			b"Action: rewrite subject", b"Subject: ***SPAM*** a test", b"X-Milter-Add: X-Spam: Yes", b"X-Milter-Del: X-Spam",
			b"Symbol: R_TEST(8.50)", b"X-Symbol: R_TEST(8.50); a test [one, two]", b"Message-ID: test@client.example",
			b"Report-End: complete"])

	def test_is_skipped_with_a_verdict(self):
		# GTUBE: is_skipped together with reject.
		self.fake.answer(verdict("reject", 0.0, is_skipped=True))
		self.assertEqual(self.rspamc().action, "reject")


class Bulk(Case):
	"""900 symbols from a real rspamd, through Exim."""

	def test_900_symbols(self):
		shim = self.own(Shim, backend=common_rspamd().url)
		mail = message(X_Test_Bulk=900, X_Test_Score=-2.5)
		for variant in (True, False):
			exim = self.own(Exim, shim.spamd_address(variant))
			self.assertEqual(exim.send(mail).code, 250)
			seen, = exim.seen()
			self.assertEqual((seen["spam_score"], seen["spam_bar"]), (b"6.5", b"++++++"))
			lines = seen["spam_report"].split(b"\n ")
			self.assertEqual(lines[0], b"Action: add header")
			left = re.fullmatch(rb"Report-End: cut, (\d+) of 901 symbols left out", lines[-1])
			self.assertTrue(left, lines[-1])
			mark = rb"X-Symbol: TEST_" if variant else rb" *-?\d+\.\d TEST_"
			self.assertEqual(len([line for line in lines if re.match(mark, line)]), 901 - int(left[1]))
			self.assertLessEqual(len(seen["spam_report"]), 16384)
			self.assertEqual(exim.panic_log(), "")
		reply = talk(shim.port, rspamc_request(mail))
		RspamcReply(reply)

	def test_many_options(self):
		shim = self.own(Shim, backend=common_rspamd().url)
		RspamcReply(talk(shim.port, rspamc_request(message(X_Test_Options=2000))))

	def test_hostile_options(self):
		shim = self.own(Shim, backend=common_rspamd().url)
		exim = self.own(Exim, shim.spamd_address(True))
		exim.send(message(X_Test_Hostile=1, X_Test_Score=7, Message_ID="<a\x01b\udcff@x>"))
		seen, = exim.seen()
		self.assertEqual((seen["spam_action"], seen["spam_score"]), (b"add header", b"7.1"))
		self.assertTrue(seen["spam_report"].endswith(b"\n Report-End: complete"))
		self.assertNotRegex(seen["spam_report"], rb"[\x00-\x09\x0b-\x1f\x7f]")

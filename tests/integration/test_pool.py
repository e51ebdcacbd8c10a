"""Several rspamds: who gets a message, what happens when one fails, and when it is back."""

import contextlib
import itertools
import json
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time

from harness import (Case, FakeRspamd, RspamcReply, Rspamd, Shim, connect, free_port, message, packages, process, receive,
                     releases, rspamc_request, spamc_request, talk, verdict, wait_until)
from harness.fake_rspamd import Request

MAIL = message()
GOOD = verdict("add header", 7.0)
REFUSED = "http://127.0.0.1:9"


def http(body, status="200 OK", headers=""):
	data = body if isinstance(body, bytes) else json.dumps(body).encode()
	return f"HTTP/1.1 {status}\r\nContent-Length: {len(data)}\r\n{headers}\r\n".encode() + data


def tls_context(case):
	"""A server's TLS context for 127.0.0.1, and the path of its certificate."""
	if not shutil.which("openssl"):
		case.skipTest("the command openssl is not installed: no certificates")
	folder = case.folder("certificate")
	path = str(folder / "key")
	subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
	                "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out",
	                path + ".crt"], check=True, capture_output=True)
	subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
	context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
	context.load_cert_chain(path + ".crt", path)
	return context, path + ".crt"


class Held:
	"""A FakeRspamd whose answers wait for release()."""

	def __init__(self, fake, reply=None):
		self.go = threading.Semaphore(0)
		self.now = 0
		self.most = 0			# at the same time
		lock = threading.Lock()

		def act(sock, _request):
			with lock:
				self.now += 1
				self.most = max(self.most, self.now)
			self.go.acquire(timeout=process.PATIENCE)
			with lock:
				self.now -= 1
			sock.sendall(http(reply or GOOD, headers="Connection: close\r\n"))
		fake.behave(act)

	def release(self, count=100000):
		self.go.release(count)


class Pool(Case):
	def fakes(self, count, reply=GOOD):
		"""Several fakes; they answer well."""
		found = [self.own(FakeRspamd) for _ in range(count)]
		for fake in found:
			fake.answer(reply)
		return found

	def pool(self, *backends, config="", **options):
		"""A shim with these backends: (URL or fake, "weight = 3") or one of the former."""
		text = config + "\n"
		for backend in backends:
			url, keys = backend if isinstance(backend, tuple) else (backend, "")
			text += f'backend "{getattr(url, "url", url)}" {{ {keys} }}\n'
		return self.own(Shim, config=text, **options)

	def ask(self, shim, name="x", mail=MAIL):
		"""One message; its verdict."""
		return RspamcReply(talk(shim.port, rspamc_request(mail, headers=[("Queue-Id", name)])))

	def asks(self, shim, name="x", mail=MAIL):
		"""A connection over which a message was sent."""
		sock = connect(shim.port)
		self.addCleanup(sock.close)
		sock.sendall(rspamc_request(mail, headers=[("Queue-Id", name)]))
		return sock

	def take(self, clients):
		"""The verdicts for these connections."""
		for sock in clients:
			self.good(RspamcReply(receive(sock)))
			sock.close()

	@staticmethod
	def names(fake):
		return [request.get("Queue-Id") for request in fake.requests]

	def good(self, reply):
		self.assertEqual((reply.action, reply.score), ("add header", "7.00"))


class Failover(Pool):
	"""The first rspamd has a fault: the second, which is asked only then, has the verdict."""

	@classmethod
	def setUpClass(cls):
		cls.bad, cls.well = cls.shared(FakeRspamd), cls.shared(FakeRspamd)
		cls.well.answer(GOOD)
		cls.shim = cls.shared(Shim, config=f'backend "{cls.bad.url}" {{}}\nbackend "{cls.well.url}" {{ priority = 1 }}\n'
		                      "timeout_wait = 2\ntimeout_receive = 2\ntimeout_send = 2\n")

	def patient(self):
		"""A shim whose time is enough for a large message on a busy machine."""
		return self.pool(self.bad, (self.well, "priority = 1"), config="timeout_send = 3\n")

	def check(self, seen, mail=MAIL, shim=None):
		"""One verdict for each request, and the bad rspamd had it once."""
		shim = shim or self.shim
		for fake in (self.bad, self.well):
			fake.forget()
		shim.settle()
		for request in (rspamc_request(mail), spamc_request("CHECK", mail)):
			reply = talk(shim.port, request)
			if request.startswith(b"CHECK RSPAMC"):
				self.good(RspamcReply(reply))
			else:
				self.assertEqual(reply, b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 7.0 / 7.0\r\n\r\n")
		self.assertEqual([r.body for r in self.well.requests], [mail] * 2)
		self.assertEqual([r.body for r in self.bad.requests], [mail] * 2 * seen)
		lines = shim.await_requests(2)
		self.assertEqual([line["outcome"] for line in lines], ["verdict"] * 2)
		self.assertEqual([line["backend"] for line in lines], [f"127.0.0.1:{self.well.port}"] * 2)

	def test_before_the_request(self):
		self.bad.behave(lambda sock, _request: None, before_request=True)
		self.check(0)
		# which says that it has no room: for a while it is not asked again by that shim
		self.bad.behave(lambda sock, _request: self.bad.reset(sock), before_request=True)
		self.check(0, shim=self.patient())

	def test_within_the_request(self):
		"""A large message, of which it reads a part."""
		mail = MAIL + b"0123456789abcdef\n" * 500000

		def cut(sock, _request):
			sock.recv(100000)
			self.bad.reset(sock)
		self.bad.behave(cut, before_request=True)
		self.check(0, mail, self.patient())

	def test_deaf(self):
		"""It takes the connection and reads nothing of a large message."""
		mail = MAIL + b"0123456789abcdef\n" * 1000000
		gone = threading.Event()
		self.addCleanup(gone.set)
		self.bad.behave(lambda _sock, _request: gone.wait(process.PATIENCE), before_request=True)
		self.check(0, mail, self.patient())

	def test_after_the_request(self):
		cut = http(GOOD)[:-1]
		for what, data, abort in (
			("closed without a byte", b"", False),
			("500", http({"error": "no"}, "500 Internal Server Error"), False), ("503", http("", "503 Busy"), False),
			("502 of a balancer", http(b"<html>", "502 Bad Gateway"), False),
			("404 of a stranger", http(b"<html>", "404 Not Found"), False), ("garbage", b"\0\1\2" * 100, False),
			("no HTTP", b"220 mx.example ESMTP\r\n", False), ("no JSON", http(b"<html></html>"), False),
			("JSON that is cut", http(http(GOOD)[-200:-20]), False), ("a response that is cut", cut, False),
			("a response that is reset", cut, True), ("a head that is cut", cut[:30], False),
			("an error with 200", http({"error": "out of memory"}), False), ("no verdict", http({}), False)):
			with self.subTest(what):
				self.bad.raw(data, abort)
				self.check(1)

	def test_silent(self):
		self.bad.silent()
		self.check(1)

	def test_stops_in_the_middle(self):
		def begin(sock, _request):
			sock.sendall(http(GOOD)[:60])
			self.bad.await_gone(sock)
		self.bad.behave(begin)
		self.check(1)

	def test_refused(self):
		shim = self.pool(REFUSED, (self.well, "priority = 1"))
		self.well.forget()
		self.good(self.ask(shim))
		self.assertEqual(len(self.well.requests), 1)
		self.assertEqual(shim.await_requests()[-1]["outcome"], "verdict")

	def test_what_the_request_is_to_blame_for(self):
		"""400 would be the same of another rspamd: it is not asked."""
		self.bad.raw(http({"error": "bad request"}, "400 Bad Request"))
		self.well.forget()
		self.assertRegex(talk(self.shim.port, rspamc_request(MAIL)), rb"\ARSPAMD/1\.3 75 ")
		self.assertEqual(self.well.requests, [])


class Poison(Pool):
	"""A message that ends every rspamd must not go to all of them."""

	def test_two_at_most(self):
		fakes = self.fakes(4)
		for fake in fakes:
			fake.raw(b"")
		shim = self.pool(*fakes)
		self.assertRegex(talk(shim.port, rspamc_request(MAIL)), rb"\ARSPAMD/1\.3 75 ")
		self.assertEqual(sum(len(fake.requests) for fake in fakes), 2)
		self.assertEqual(max(len(fake.requests) for fake in fakes), 1)

	def test_those_that_never_had_it_do_not_count(self):
		"""Three are away, one fails over it: the last has the verdict."""
		bad, well = self.fakes(2)
		bad.raw(b"")
		shim = self.pool(REFUSED, "http://127.0.0.1:10", "http://127.0.0.1:11", (bad, "priority = 1"),
		                 (well, "priority = 2"))
		self.good(self.ask(shim))
		self.assertEqual((len(bad.requests), len(well.requests)), (1, 1))


class Breaker(Pool):
	RULES = "breaker_failures = 3\nhealth_interval = 0.3\nslow_start = 0\n"

	def down(self, shim, fake):
		wait_until(lambda: f"rspamd at 127.0.0.1:{fake.port} is down" in shim.log(), "it is down")

	def up(self, shim, fake, times=1):
		text = f"rspamd at 127.0.0.1:{fake.port} is up again"
		wait_until(lambda: shim.log().count(text) >= times, "it is up again")

	def test_it_opens_and_closes(self):
		main, spare = self.fakes(2)
		shim = self.pool(main, (spare, "priority = 1"), config=self.RULES)
		main.raw(http(b"no verdict", "500 Internal Server Error"))
		main.alive = False
		for i in range(8):
			self.good(self.ask(shim, f"failing{i}"))
		self.down(shim, main)
		# pings that failed may have opened it earlier, no mail later
		self.assertIn(len(main.requests), (1, 2, 3))
		self.assertEqual(len(spare.requests), 8)
		seen = main.pings
		wait_until(lambda: main.pings >= seen + 3, "it is asked again and again")
		self.assertEqual(main.connections, len(main.requests) + main.pings, "no mail went there")
		main.requests.clear()
		held = Held(main)
		main.alive = True
		# One message is let through; the others do not wait for it.
		clients = []
		def tried():
			clients.append(self.asks(shim, "trying"))
			return main.requests
		wait_until(tried, "a message is let through")
		clients += [self.asks(shim, "beside") for _ in range(5)]
		wait_until(lambda: len(main.requests) + len(spare.requests) == 8 + len(clients), "all have gone somewhere")
		self.assertEqual(len(main.requests), 1)
		self.assertNotIn("is up again", shim.log())
		held.release()
		self.take(clients)
		self.up(shim, main)
		before = len(spare.requests)
		for _ in range(5):
			self.good(self.ask(shim))
		self.assertEqual(len(spare.requests), before)

	def test_the_trial_fails(self):
		"""It answers pings and scans nothing: nobody notices but the log."""
		main, spare = self.fakes(2)
		shim = self.pool(main, (spare, "priority = 1"), config=self.RULES)
		main.raw(b"")
		def tries():
			self.good(self.ask(shim))
			return len(main.requests) >= 6
		wait_until(tries, "it got three messages, and later one at a time")
		self.assertEqual(shim.log().count("is down: "), 1)
		self.assertNotIn("is up again", shim.log())
		self.assertEqual({line["outcome"] for line in shim.requests()}, {"verdict"})

	def test_nobody_there(self):
		"""Once is enough, and no message is tried there any more."""
		fake, = self.fakes(1)
		shim = self.pool(REFUSED, (fake, "priority = 1"), config="breaker_failures = 1000\nhealth_interval = 3600\n")
		for _ in range(5):
			self.good(self.ask(shim))
		self.assertEqual(shim.log().count("; trying "), 1)
		self.assertIn("rspamd at 127.0.0.1:9 is down: connecting to 127.0.0.1:9: Connection refused", shim.log())

	def test_found_by_pings(self):
		"""No mail comes, but a rspamd that is gone is noticed; and one that is back."""
		fake, other = self.fakes(2)
		shim = self.pool(fake, other, config=self.RULES)
		fake.alive = False
		self.down(shim, fake)
		for _ in range(4):
			self.good(self.ask(shim))
		self.assertEqual((len(fake.requests), len(other.requests)), (0, 4))
		fake.alive = True
		def back():
			self.good(self.ask(shim))
			return fake.requests
		wait_until(back, "it gets mail again")
		self.up(shim, fake)

	def test_a_proxy_that_does_not_know_the_path(self):
		fake, = self.fakes(1)
		shim = self.pool(fake, config=self.RULES)
		answers = []
		read = fake._read
		def odd(sock):
			request = read(sock)
			if request is not None and "/ping" in request.line:
				answers.append(request)
				sock.sendall(http(b"what?", "404 Not Found"))
				request = None
			return request
		fake._read = odd
		wait_until(lambda: len(answers) > 5, "it was pinged")
		self.assertNotIn("is down", shim.log())
		self.good(self.ask(shim))

	def test_slow_start(self):
		"""An equal of two has its half; just after it was down much less."""
		for slow_start, least, most in ((0, 10, 10), (3600, 1, 3)):
			with self.subTest(slow_start=slow_start):
				fakes = self.fakes(2)
				shim = self.pool(*fakes, config=f"breaker_failures = 1\nhealth_interval = 0.3\nslow_start = {slow_start}\n")
				fakes[0].raw(b"")
				wait_until(lambda: self.ask(shim) and "is down" in shim.log(), "the first is down")
				fakes[0].answer(GOOD)
				wait_until(lambda: self.ask(shim) and "is up again" in shim.log(), "the first is up again")
				for fake in fakes:
					fake.forget()
				held = [Held(fake) for fake in fakes]
				clients = [self.asks(shim) for _ in range(20)]
				wait_until(lambda: sum(len(fake.requests) for fake in fakes) == 20, "all are there")
				self.assertGreaterEqual(len(fakes[0].requests), least)
				self.assertLessEqual(len(fakes[0].requests), most)
				for one in held:
					one.release()
				self.take(clients)


class Choice(Pool):
	def share(self, count, *backends, **options):
		"""How COUNT messages at once are shared among fakes: a list."""
		fakes = self.fakes(len(backends))
		held = [Held(fake) for fake in fakes]
		shim = self.pool(*zip(fakes, backends), **options)
		clients = [self.asks(shim) for _ in range(count)]
		wait_until(lambda: sum(len(fake.requests) for fake in fakes) == count, "all messages are at a rspamd")
		shares = [len(fake.requests) for fake in fakes]
		for one in held:
			one.release()
		self.take(clients)
		return shares

	def test_least_loaded(self):
		self.assertEqual(self.share(30, "", "", ""), [10, 10, 10])

	def test_weights(self):
		self.assertEqual(self.share(110, "weight = 10", "weight = 1"), [100, 10])
		self.assertEqual(self.share(30, "weight = 2", "weight = 3", "weight = 1"), [10, 15, 5])

	def test_equals_take_turns(self):
		"""Beside one that is not asked, too."""
		fakes = self.fakes(3)
		shim = self.pool(*fakes[:2], (fakes[2], "priority = 1"))
		for _ in range(10):
			self.good(self.ask(shim))
		self.assertEqual([len(fake.requests) for fake in fakes], [5, 5, 0])

	def test_busy_ones_get_less(self):
		"""One that hangs has as many as the other, not half of all."""
		slow, quick = self.fakes(2)
		held = Held(slow)
		shim = self.pool(slow, quick)
		clients = []
		for i in range(20):
			clients.append(self.asks(shim, f"mail{i}"))
			wait_until(lambda: len(slow.requests) + len(quick.requests) == i + 1, "it is at a rspamd")
		self.assertLess(len(slow.requests), 5)
		held.release()
		self.take(clients)

	def test_priorities(self):
		"""The backup has mail only when the first is down or full."""
		self.assertEqual(self.share(20, "", "priority = 1"), [20, 0])
		self.assertEqual(self.share(20, "priority = 3", "priority = 2"), [0, 20])
		self.assertEqual(self.share(20, "max_requests = 5", "priority = 1\nmax_requests = 8", "priority = 2"), [5, 8, 7])


class Queue(Pool):
	"""More messages than the rspamds are to have at a time."""

	def line(self, count, **keys):
		"""A rspamd that has one message, and COUNT that wait for it in this order."""
		fake, = self.fakes(1)
		held = Held(fake)
		shim = self.pool((fake, "max_requests = 1"), config="\n".join(f"{key} = {value}" for key, value in keys.items()))
		clients = [self.asks(shim, "first")]
		fake.await_requests(1)
		for i in range(count):
			clients.append(self.asks(shim, f"mail{i}"))
			# What came before a PING that is answered has been read.
			shim.settle()
		return fake, held, shim, clients

	def test_first_come_first_served(self):
		fake, held, shim, clients = self.line(5, timeout_queue=60)
		held.release()
		self.take(clients)
		self.assertEqual(self.names(fake), ["first", "mail0", "mail1", "mail2", "mail3", "mail4"])
		self.assertEqual(held.most, 1)
		waited = {line["queue_id"]: "queued" in line for line in shim.await_requests(6) if "queue_id" in line}
		self.assertEqual(waited, {"first": False} | {f"mail{i}": True for i in range(5)})

	def test_full(self):
		fake, held, shim, clients = self.line(2, timeout_queue=60, max_queue=2)
		reply = talk(shim.port, rspamc_request(MAIL))
		self.assertRegex(reply, rb"\ARSPAMD/1\.3 75 EX_TEMPFAIL overload: .*max_queue = 2")
		held.release()
		self.take(clients)
		self.assertEqual(len(fake.requests), 3)

	def test_deadline(self):
		fake, held, shim, clients = self.line(0, timeout_queue=0.3)
		late = self.asks(shim, "late")
		self.assertRegex(receive(late), rb"\ARSPAMD/1\.3 75 EX_TEMPFAIL overload: .*timeout_queue = 0\.3 s is over")
		held.release()
		self.good(RspamcReply(receive(clients[0])))
		self.assertEqual(self.names(fake), ["first"])

	def test_who_leaves_makes_room(self):
		fake, held, shim, clients = self.line(3, timeout_queue=60)
		clients[2].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		clients[2].close()
		self.assertEqual(shim.await_requests()[0]["outcome"], "client-gone")
		held.release()
		self.take((clients[0], clients[1], clients[3]))
		self.assertEqual(self.names(fake), ["first", "mail0", "mail2"])

	def test_nobody_overtakes(self):
		"""Mail that comes while others get their turn is behind all of them."""
		fake, held, shim, clients = self.line(0, timeout_queue=60)
		old, new = [f"old{i}" for i in range(100)], [f"new{i}" for i in range(100)]
		clients += [self.asks(shim, name) for name in old]
		shim.settle()
		held.release()
		clients += [self.asks(shim, name) for name in new]
		self.take(clients)
		names = self.names(fake)
		self.assertEqual(set(names[:101]), {"first", *old})
		self.assertEqual(set(names[101:]), set(new))
		self.assertEqual((len(names), held.most), (201, 1))

	def test_each_has_its_turn(self):
		"""Many at once, and a rspamd that takes two."""
		fake, = self.fakes(1)
		shim = self.pool((fake, "max_requests = 2"), config="timeout_queue = 60\n")
		self.take([self.asks(shim, f"mail{i}") for i in range(200)])
		self.assertEqual(sorted(self.names(fake)), sorted(f"mail{i}" for i in range(200)))


class Steady:
	"""Clients that send one message after the other until they are stopped."""

	def __init__(self, shim, count=6):
		self.replies = []
		self.ids = itertools.count()
		self.stopped = threading.Event()
		self.port = shim.port
		self.threads = [threading.Thread(target=self._run) for _ in range(count)]
		for thread in self.threads:
			thread.start()

	def _run(self):
		while not self.stopped.is_set():
			try:
				mail = message(Message_ID=f"<{next(self.ids)}@client.example>")
				self.replies.append(talk(self.port, rspamc_request(mail)))
			except OSError as why:
				self.replies.append(str(why).encode())
			self.stopped.wait(0.01)

	def more(self, count=30):
		"""Wait until so many more replies have come."""
		goal = len(self.replies) + count
		wait_until(lambda: len(self.replies) >= goal, "more replies")

	def stop(self):
		self.stopped.set()
		for thread in self.threads:
			thread.join()

	def failures(self):
		return [reply for reply in self.replies if not reply.startswith(b"RSPAMD/1.3 0 EX_OK\r\n")]


class Restart(Pool):
	"""One rspamd that is away for a while: mail waits for it."""

	def listen(self, port):
		"""A fake on a port that another one had."""
		fake = FakeRspamd()
		fake.answer(GOOD)
		fake.stop()
		fake._listeners = [socket.create_server(("127.0.0.1", port), backlog=256)]
		fake.port = port
		self.addCleanup(fake.stop)
		return fake

	def test_it_is_missed_by_nobody(self):
		first, = self.fakes(1)
		shim = self.pool(first, config="timeout_queue = 60\nhealth_interval = 3600\n")
		self.good(self.ask(shim))
		first.stop()
		clients = [self.asks(shim) for _ in range(5)]
		wait_until(lambda: "is down" in shim.log(), "it is down")
		clients += [self.asks(shim) for _ in range(5)]
		# There again, but not ready yet; signs of life must not become too few while mail waits.
		second = self.listen(first.port)
		second.alive = False
		threading.Thread(target=second._accept, args=(second._listeners[0],), daemon=True).start()
		wait_until(lambda: second.pings >= 10, "it is asked ten times")
		self.assertEqual(second.requests, [])
		second.alive = True
		self.take(clients)
		self.assertEqual(len(second.requests), 10)

	def test_real(self):
		rspamd = self.own(Rspamd)
		shim = self.own(Shim, backend=rspamd.url, config="timeout_queue = 60\nbreaker_failures = 3\n")
		steady = Steady(shim)
		try:
			steady.more()
			for how in (rspamd.stop, rspamd.kill, rspamd.stop):
				mute = rspamd.mute
				how()
				steady.stopped.wait(0.5)
				rspamd.mute = mute
				rspamd.start()
				steady.more()
		finally:
			steady.stop()
		self.assertEqual(steady.failures(), [])
		self.assertEqual(shim.log().count("is up again"), shim.log().count("is down: "))
		self.assertIn("is down: ", shim.log())


class Keeper(FakeRspamd):
	"""Keeps its connections.  step(sock, request, n), for the n-th request of one, returns whether it goes on."""

	def __init__(self, folder=None, context=None):
		self.context = context
		self.open = 0
		self.ids = itertools.count()
		super().__init__(folder)
		self.step = self.well

	def good(self):
		"""A reply with a message-id of its own, as if each mail were another."""
		return http({**GOOD, "message-id": f"{next(self.ids)}@x.example"})

	def well(self, sock, _request, _n):
		sock.sendall(self.good())
		return True

	def _serve(self, sock):
		with contextlib.suppress(OSError):
			if self.context:
				sock = self.context.wrap_socket(sock, server_side=True)
			with sock:
				self.open += 1
				n = 0
				while True:
					request = self._read(sock)
					if request is None:
						break
					if request.line.startswith("GET /ping "):
						self.pings += 1
						sock.sendall(http(b"pong\r\n", headers="Connection: close\r\n"))
						break
					n += 1
					with self._lock:
						self.requests.append(request)
					if not self.step(sock, request, n):
						break
		self.open -= 1


class KeepAlive(Pool):
	def setUp(self):
		super().setUp()
		self.fake = self.own(Keeper)

	def one_by_one(self, shim, count):
		"""COUNT messages; how many connections they took."""
		for i in range(count):
			self.good(self.ask(shim))
		self.assertEqual(len(self.fake.requests), count)
		return self.fake.connections

	def test_kept(self):
		shim = self.pool(self.fake)
		self.assertEqual(self.one_by_one(shim, 10), 1)
		self.assertEqual({request.get("Connection") for request in self.fake.requests}, {"keep-alive"})

	def test_large_messages(self):
		"""Nothing of one is left over for the next."""
		shim = self.pool(self.fake)
		mails = [MAIL + bytes([65 + i]) * (i * 300000) for i in range(5)]
		for mail in mails:
			self.good(self.ask(shim, mail=mail))
		self.assertTrue([r.body for r in self.fake.requests] == mails)
		self.assertEqual(self.fake.connections, 1)

	def test_several_at_once(self):
		shim = self.pool(self.fake)
		go = threading.Event()
		self.addCleanup(go.set)
		self.fake.step = lambda sock, request, n: go.wait(60) and self.fake.well(sock, request, n)
		clients = [self.asks(shim) for _ in range(10)]
		self.fake.await_requests(10)
		go.set()
		self.take(clients)
		self.assertEqual(self.fake.connections, 10)
		self.take([self.asks(shim) for _ in range(10)])
		self.assertEqual(self.fake.connections, 10)

	def test_not_wanted(self):
		shim = self.pool((self.fake, "keep_alive = false"))
		self.assertEqual(self.one_by_one(shim, 5), 5)
		self.assertEqual({request.get("Connection") for request in self.fake.requests}, {"close"})
		wait_until(lambda: self.fake.open == 0, "all connections are closed")

	def test_not_offered(self):
		"""It says that it closes, speaks HTTP/1.0, or says more than was asked; and stays open all the same."""
		good = self.fake.good
		for data in (lambda: http(GOOD, headers="Connection: close\r\n"), lambda: http(GOOD, headers="Connection: x, close\r\n"),
		             lambda: good().replace(b"HTTP/1.1", b"HTTP/1.0"), lambda: good() + b"x", lambda: good() * 2):
			with self.subTest(data()[:70]):
				self.fake.forget()
				self.fake.step = lambda sock, _request, _n: sock.sendall(data()) or True
				shim = self.pool(self.fake)
				self.assertEqual(self.one_by_one(shim, 3), 3)

	def test_words_that_come_late(self):
		"""An unasked response on an idle connection is not the answer to the next request."""
		shim = self.pool(self.fake)
		sent = threading.Event()

		def late(sock, _request, _n):
			sock.sendall(http(GOOD))
			time.sleep(0.05)
			sock.sendall(http(verdict("reject", 99.0)))
			sent.set()
			return True
		self.fake.step = late
		self.good(self.ask(shim))
		sent.wait(60)
		shim.settle()
		self.fake.step = self.fake.well
		self.good(self.ask(shim))
		self.assertEqual(self.fake.connections, 2)

	def test_only_a_verdict_keeps_it(self):
		"""What else comes may be followed by more: that would be the next message's verdict."""
		other, = self.fakes(1)
		for data in (http({"error": "x"}, "500 Oops"), http(b"<html>"), http({"error": "x"}), http(b"", "404 Not Found"),
		             b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\n\r\n"):
			with self.subTest(data[:40]):
				for fake in (self.fake, other):
					fake.forget()
				shim = self.pool(self.fake, (other, "priority = 1"), config="breaker_failures = 100\nhealth_interval = 3600\n")
				self.fake.step = lambda sock, _request, _n: sock.sendall(data) or True
				for _ in range(3):
					self.good(self.ask(shim))
				self.assertEqual((len(self.fake.requests), self.fake.connections, len(other.requests)), (3, 3, 3))

	def test_doubled_reply(self):
		"""The second of two is not the next message's: that is asked for over another connection, and that answer counts."""
		shim = self.pool(self.fake, config="breaker_failures = 1\nhealth_interval = 3600\n")
		bad = verdict("reject", 99.0, message_id="first@x.example")

		def step(sock, request, n):
			sock.sendall(http(bad))		# the one before came twice, with n = 2
			return n == 1 or self.fake.well(sock, request, n)
		self.fake.step = step
		self.assertEqual(self.ask(shim, "one").score, "99.00")
		self.fake.step = lambda sock, request, n: step(sock, request, n) if n > 1 else self.fake.well(sock, request, n)
		self.good(self.ask(shim, "two"))
		self.assertEqual((self.names(self.fake), self.fake.connections), (["one", "two", "two"], 2))
		wait_until(lambda: self.fake.open == 1, "the connection of the doubled reply is closed")
		self.fake.step = self.fake.well
		self.good(self.ask(shim, "three"))
		self.assertEqual(self.fake.connections, 2)
		self.assertIn("message-id", shim.log())
		self.assertNotIn("is down", shim.log())

	def test_same_message_id_twice(self):
		"""The same mail, or two without an id: the answer over the other connection counts, whatever its id."""
		for more in ({}, {"message_id": "a@x"}, {"message_id": "a\0b\r\n@x"}, {"message_id": ""}, {"message_id": 7}):
			with self.subTest(more):
				self.fake.forget()
				self.fake.step = lambda sock, _request, _n: sock.sendall(http(verdict("add header", 7.0, **more))) or True
				shim = self.pool(self.fake)
				for i in range(3):
					self.good(self.ask(shim, f"mail{i}"))
				self.assertEqual(self.names(self.fake), ["mail0", "mail1", "mail1", "mail2", "mail2"])
				self.assertEqual(self.fake.connections, 3)

	def test_killer_after_a_doubled_reply(self):
		"""It may have been with a rspamd when that was dropped: once more, and not a third time."""
		others = self.fakes(2)
		shim = self.pool(self.fake, *((other, "priority = 1") for other in others), config="breaker_failures = 100\n")
		bad = http(verdict("reject", 99.0, message_id="first@x.example"))
		self.fake.step = lambda sock, _request, _n: sock.sendall(bad) or True
		self.assertEqual(self.ask(shim, "one").score, "99.00")
		self.fake.step = lambda sock, _request, n: n > 1 and (sock.sendall(bad) or True)
		self.assertRegex(talk(shim.port, rspamc_request(MAIL)), rb"\ARSPAMD/1\.3 75 EX_TEMPFAIL unreachable: ")
		self.assertEqual([len(fake.requests) for fake in (self.fake, *others)], [3, 0, 0])

	def test_once_lost_over_a_new_connection(self):
		"""What was lost elsewhere goes out once more: not over a connection that may have to be dropped."""
		bad, = self.fakes(1)
		shim = self.pool((bad, "priority = 0"), (self.fake, "priority = 1"), config="breaker_failures = 100\n")
		bad.raw(b"")
		for _ in range(3):
			self.good(self.ask(shim))
		self.assertEqual((len(bad.requests), len(self.fake.requests), self.fake.connections), (3, 3, 3))

	def test_stale(self):
		"""Closed by the peer just as the next request goes out: sent again, and nobody is to blame."""
		shim = self.pool(self.fake, config="breaker_failures = 1\nhealth_interval = 3600\n")
		for abort in (False, True):
			with self.subTest(abort=abort):
				self.fake.forget()

				def step(sock, request, n):
					if n == 1:
						return self.fake.well(sock, request, n)
					if abort:
						self.fake.reset(sock)
					return False
				self.fake.step = step
				for _ in range(4):
					self.good(self.ask(shim))
				self.assertNotIn("is down", shim.log())
				self.assertNotIn("trying", shim.log())
				self.assertGreater(len(self.fake.requests), 4, "none was stale")

	def test_lost_on_a_kept_connection(self):
		"""It was read whole, so it may have killed whoever had it: that is one of the two times."""
		other, = self.fakes(1)
		shim = self.pool(self.fake, (other, "priority = 1"))
		self.good(self.ask(shim))
		self.fake.step = lambda *_: False
		self.assertRegex(talk(shim.port, rspamc_request(MAIL)), rb"\ARSPAMD/1\.3 75 EX_TEMPFAIL unreachable: ")
		self.assertEqual((len(self.fake.requests), len(other.requests)), (3, 0))

	def test_closed_by_the_peer(self):
		"""Noticed while it is idle: no request is sent there."""
		shim = self.pool(self.fake)
		self.fake.step = lambda sock, request, n: self.fake.well(sock, request, n) and False
		for i in range(4):
			self.good(self.ask(shim))
			wait_until(lambda: self.fake.open == 0, "it is closed")
		self.assertEqual(len(self.fake.requests), 4)

	def test_cut_after_a_byte_is_no_stale_connection(self):
		"""It has begun to answer: it had the message, and another one is asked."""
		other, = self.fakes(1)
		shim = self.pool(self.fake, (other, "priority = 1"))

		def step(sock, request, n):
			if n == 1:
				return self.fake.well(sock, request, n)
			sock.sendall(http(GOOD)[:20])
			return False
		self.fake.step = step
		self.good(self.ask(shim))
		self.good(self.ask(shim))
		self.assertEqual((len(self.fake.requests), len(other.requests)), (2, 1))

	def test_tls(self):
		context, certificate = tls_context(self)
		fake = self.fake = self.own(Keeper, context=context)
		shim = self.pool((f"https://127.0.0.1:{fake.port}", f'ca_file = "{certificate}"'), config="health_interval = 3600\n")
		self.assertEqual(self.one_by_one(shim, 10), 1)

		def step(sock, request, n):
			return n == 1 and fake.well(sock, request, n)
		fake.step = step
		self.good(self.ask(shim))
		self.good(self.ask(shim))
		self.assertNotIn("trying", shim.log())


class Early(Pool):
	"""A reply that comes before the message was sent cannot be about it."""

	LARGE = MAIL + b"0123456789abcdef\n" * 500000		# more than the kernel's buffers take

	def early(self, data, reads=False):
		"""A fake that answers so when it has read the head; it reads on, or waits."""
		fake, over = self.own(FakeRspamd), threading.Event()
		self.addCleanup(over.set)

		def act(sock, _request):
			head = b""
			while b"\r\n\r\n" not in head:
				head += sock.recv(1)
			if head.startswith(b"GET "):
				sock.sendall(http(b"pong\r\n", headers="Connection: close\r\n"))
				return
			fake.requests.append(Request(head, None))
			sock.sendall(data)
			while reads and sock.recv(1 << 20):
				pass
			over.wait(process.PATIENCE)
		fake.behave(act, before_request=True)
		return fake

	def test_early_verdict(self):
		well, = self.fakes(1)
		for status in ("200 OK", "206 Partial Content", "202 Accepted", "204 No Content"):
			for reads in (True, False):
				with self.subTest(status=status, reads=reads):
					well.forget()
					bad = self.early(http(verdict("reject", 99.0), status), reads)
					shim = self.pool(bad, (well, "priority = 1"))
					self.good(self.ask(shim, mail=self.LARGE))
					self.assertEqual((len(bad.requests), len(well.requests)), (1, 1))
					self.assertRegex(shim.log(), r"before all of the message was sent; trying")
					alone = self.pool(bad, config="timeout_queue = 0.05\nhealth_interval = 3600\n")
					self.assertRegex(talk(alone.port, rspamc_request(self.LARGE)),
					                 rb"\ARSPAMD/1\.3 75 EX_TEMPFAIL unreadable-reply: .*HTTP status 20\d came before all of the "
					                 rb"message was sent")
					self.assertEqual(len(bad.requests), 2)

	def test_the_head_is_enough(self):
		"""Whatever follows it, in its own time."""
		well, = self.fakes(1)
		bad = self.early(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", True)
		shim = self.pool(bad, (well, "priority = 1"), config="timeout_receive = 90\n")
		self.good(self.ask(shim, mail=self.LARGE))

	def test_early_error_keeps_its_reason(self):
		for status, failure in (("413 Too Large", "rspamd-error"), ("503 Busy", "rspamd-error"), ("302 Found", "rspamd-error")):
			for reads in (True, False):
				with self.subTest(status=status, reads=reads):
					bad = self.early(http({"error": "why"}, status), reads)
					shim = self.pool(bad, config="timeout_queue = 0.05\nhealth_interval = 3600\n")
					self.assertRegex(talk(shim.port, rspamc_request(self.LARGE)),
					                 rb"\ARSPAMD/1\.3 75 EX_TEMPFAIL %s: .*HTTP status %s: why" % (failure.encode(), status[:3].encode()))

	def test_interim_responses_are_none(self):
		fake = self.own(FakeRspamd)

		def act(sock, _request):
			sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
			request = fake._read(sock)
			fake.requests.append(request)
			sock.sendall(http(GOOD))
		fake.behave(act, before_request=True)
		fake.alive = False
		shim = self.pool(fake, config="health_interval = 3600\n")
		self.good(self.ask(shim, mail=self.LARGE))
		self.assertTrue(fake.requests[-1].body == self.LARGE)


class Limited(FakeRspamd):
	"""As rspamd 4.1.5 it closes at once what comes above max_tasks connections, /ping's too.

	A message is answered when release() lets it.
	"""

	def __init__(self, folder=None, max_tasks=2, context=None):
		self.max_tasks, self.context = max_tasks, context
		self.active = self.most = self.refused = 0
		self.go = threading.Semaphore(0)
		super().__init__(folder)
		self.behave(self.well)

	def well(self, sock, _request):
		self.go.acquire(timeout=process.PATIENCE)
		sock.sendall(http(GOOD))

	def release(self, count=1):
		self.go.release(count)

	def _serve(self, sock):
		with self._lock:
			refuses = self.active >= self.max_tasks
			self.refused += refuses
			self.active += not refuses
			self.most = max(self.most, self.active)
		if refuses:
			sock.close()
			return
		try:
			with contextlib.suppress(OSError):
				super()._serve(self.context.wrap_socket(sock, server_side=True) if self.context else sock)
		finally:
			with self._lock:
				self.active -= 1


class Full(Pool):
	"""A rspamd resets connections above its max_tasks: it could not have read the message."""

	LONG = "timeout_queue = 60\nhealth_interval = 3600\n"

	def eight(self, url, keys="", config="", fake=None):
		"""Eight messages, of which two have room at a time: all have their verdict."""
		shim = self.pool((url, keys), config=self.LONG + config)
		clients = [self.asks(shim, f"mail{i}") for i in range(8)]
		wait_until(lambda: fake.refused >= 6, "six were refused")
		for i in range(8):
			fake.release()
			fake.await_requests(min(8, i + 3))
		self.take(clients)
		self.assertEqual(sorted(self.names(fake)), sorted(f"mail{i}" for i in range(8)))
		self.assertEqual({line["outcome"] for line in shim.await_requests(8)}, {"verdict"})
		self.assertNotIn("is down", shim.log())
		self.assertEqual(shim.log().count("takes no more: "), 1)
		self.assertNotIn("; trying ", shim.log())

	def test_tcp(self):
		for keep in ("true", "false"):
			with self.subTest(keep_alive=keep):
				fake = self.own(Limited)
				self.eight(fake, f"keep_alive = {keep}", fake=fake)

	def test_unix(self):
		folder = self.folder("socket")
		fake = Limited(folder)
		self.addCleanup(fake.stop)
		self.eight(f"unix:{fake.unix}", fake=fake)

	def test_tls(self):
		context, certificate = tls_context(self)
		fake = self.own(Limited, context=context)
		self.eight(f"https://127.0.0.1:{fake.port}", f'ca_file = "{certificate}"', fake=fake)

	def test_several_workers(self):
		"""They know nothing of each other's messages."""
		fake = self.own(Limited)
		fake.release(1000)
		shim = self.pool(fake, config=self.LONG + "workers = 4\n")
		self.take([self.asks(shim, f"mail{i}") for i in range(40)])
		self.assertEqual({line["outcome"] for line in shim.await_requests(40)}, {"verdict"})
		self.assertNotIn("is down", shim.log())

	def test_another_first(self):
		fake = self.own(Limited, max_tasks=0)
		well, = self.fakes(1)
		shim = self.pool(fake, (well, "priority = 1"), config=self.LONG)
		for _ in range(5):
			self.good(self.ask(shim))
		self.assertEqual((len(fake.requests), len(well.requests)), (0, 5))
		self.assertNotIn("is down", shim.log())

	def test_refusals_do_not_count(self):
		"""Two refuse it, one loses it: the fourth has the verdict."""
		*full, lost, well = self.fakes(4)
		for fake in full:
			fake.raw(b"", abort=True)
		lost.raw(b"")
		shim = self.pool(*full, (lost, "priority = 1"), (well, "priority = 2"), config=self.LONG)
		self.good(self.ask(shim))
		self.assertEqual([len(fake.requests) for fake in (*full, lost, well)], [1, 1, 1, 1])

	def test_in_the_midst(self):
		"""Reset while it is being sent: another, and then the same once it has answered a /ping."""
		mail = MAIL + b"0123456789abcdef\n" * 3000
		fake, = self.fakes(1)
		cuts = iter((True, False))
		read = fake._read

		def cut(sock):
			head = sock.recv(4, socket.MSG_PEEK)
			if head == b"POST" and next(cuts):
				sock.recv(1000)
				fake.reset(sock)
				raise OSError
			return read(sock)
		fake._read = cut
		shim = self.pool(fake, config=self.LONG)
		self.good(self.ask(shim, mail=mail))
		self.assertEqual([request.body for request in fake.requests], [mail])

	def test_it_is_this_message(self):
		"""It refuses one message each time, and answers /ping: that one does not wait for the end of timeout_queue."""
		fake, = self.fakes(1)
		fake.raw(b"", abort=True)
		shim = self.pool(fake, config=self.LONG)
		self.assertRegex(talk(shim.port, rspamc_request(MAIL)),
		                 rb"\ARSPAMD/1\.3 75 EX_TEMPFAIL unreachable: .*this message that is refused")
		self.assertEqual(len(fake.requests), 3)
		self.assertNotIn("is down", shim.log())

	def test_above_max_message(self):
		"""From 64 KiB on that is what a refusal means: once more, wherever that is."""
		mail = MAIL + b"x" * (65536 - len(MAIL))
		for abort in (True, False):
			for count in (1, 3):
				with self.subTest(abort=abort, backends=count):
					fakes = self.fakes(count)
					for fake in fakes:
						fake.raw(b"", abort)
					shim = self.pool(*fakes, config=self.LONG)
					self.assertRegex(talk(shim.port, rspamc_request(mail)),
					                 rb"\ARSPAMD/1\.3 75 EX_TEMPFAIL unreachable: .*as rspamd does above its max_message")
					self.assertEqual(sum(len(fake.requests) for fake in fakes), 2)
		fakes = self.fakes(3)
		for fake in fakes[:2]:
			fake.raw(b"", abort=True)
		shim = self.pool(*fakes, config=self.LONG)
		self.good(self.ask(shim, mail=mail[:-1]))

	def test_after_some_bytes(self):
		"""It has begun to answer: it has judged the message, and that counts."""
		fakes = self.fakes(3)
		for fake in fakes[:2]:
			fake.raw(http(GOOD)[:30], abort=True)
		shim = self.pool(*fakes[:2], (fakes[2], "priority = 1"), config=self.LONG)
		self.assertRegex(talk(shim.port, rspamc_request(MAIL)), rb"\ARSPAMD/1\.3 75 ")
		self.assertEqual([len(fake.requests) for fake in fakes], [1, 1, 0])

	def test_for_ever(self):
		"""Longer than mail waits: an overload, and then it counts as down."""
		fake = self.own(Limited, max_tasks=0)
		shim = self.pool(fake, config="timeout_queue = 0.5\nhealth_interval = 3600\nbreaker_failures = 1\n")
		self.assertRegex(talk(shim.port, rspamc_request(MAIL)),
		                 rb"\ARSPAMD/1\.3 75 EX_TEMPFAIL overload: .*max_tasks.*timeout_queue = 0\.5 s is over")
		wait_until(lambda: talk(shim.port, rspamc_request(MAIL)) and "is down: " in shim.log(), "it counts as down")
		self.assertRegex(talk(shim.port, rspamc_request(MAIL)), rb"\ARSPAMD/1\.3 75 EX_TEMPFAIL unreachable: no rspamd is up")
		fake.max_tasks = 100
		fake.release(100)
		wait_until(lambda: talk(shim.port, rspamc_request(MAIL)).startswith(b"RSPAMD/1.3 0 "), "it is up again")

	def real(self, **options):
		"""The newest rspamd: it resets what it does not take, older ones let it wait."""
		return self.own(Rspamd, release=list(releases.table())[-1], **options)

	def test_real(self):
		"""Eight mails of a second each, of which rspamd takes two at a time."""
		rspamd = self.real(worker="max_tasks = 2;")
		shim = self.pool(rspamd, config=self.LONG)
		mail = message(X_Test_Score=7, X_Test_Sleep=1)
		clients = [self.asks(shim, f"mail{i}", mail) for i in range(8)]
		self.take(clients)
		self.assertEqual({line["outcome"] for line in shim.await_requests(8)}, {"verdict"})
		self.assertNotIn("is down", shim.log())
		self.assertEqual(shim.log().count("takes no more: "), 1)

	def test_real_max_message(self):
		rspamd = self.real(max_message="100kb")
		shim = self.pool(rspamd, config=self.LONG)
		for size in (110000, 300000, 3000000):
			with self.subTest(size=size):
				self.assertRegex(talk(shim.port, rspamc_request(MAIL + b"x" * size)),
				                 rb"\ARSPAMD/1\.3 75 EX_TEMPFAIL unreachable: .*as rspamd does above its max_message")
		self.good(self.ask(shim, mail=message(X_Test_Score=7)))
		self.assertNotIn("is down", shim.log())


class Descriptors(Pool):
	def test_none_left(self):
		"""This machine lacks them: an overload, and no rspamd is to blame."""
		fake, other = self.fakes(2)
		shim = self.own(Shim, start=False, config=f'backend "{fake.url}" {{}}\nbackend "{other.url}" {{ priority = 1 }}\n'
		                "breaker_failures = 1\nhealth_interval = 3600\n")
		shim.command = ["sh", "-c", 'ulimit -n 40 && exec "$@"', "sh", *shim.command]
		shim.start()
		request = rspamc_request(MAIL)
		first, *others = [connect(shim.port) for _ in range(50)]
		with contextlib.ExitStack() as stack:
			for sock in (first, *others):
				stack.enter_context(sock)
				sock.sendall(request[:-10])
			wait_until(lambda: "cannot accept: Too many open files" in shim.log(), "the shim has no descriptor left")
			first.sendall(request[-10:])
			self.assertRegex(receive(first), rb"\ARSPAMD/1\.3 75 EX_TEMPFAIL overload: .*Too many open files")
			self.assertEqual((fake.requests, other.requests), ([], []))
		self.good(self.ask(shim))
		self.assertEqual((len(fake.requests), len(other.requests)), (1, 0))
		self.assertNotIn("is down", shim.log())


class Workers(Pool):
	def test_each_has_its_pool(self):
		fakes = self.fakes(3)
		fakes[0].raw(b"")
		shim = self.pool(*fakes, config="workers = 3\nbreaker_failures = 2\n")
		clients = [self.asks(shim, f"mail{i}") for i in range(90)]
		self.take(clients)
		self.assertEqual(sorted(self.names(fakes[1]) + self.names(fakes[2])), sorted(f"mail{i}" for i in range(90)))
		self.assertEqual({line["outcome"] for line in shim.await_requests(90) if line["command"] == "CHECK"}, {"verdict"})


class Names(Pool):
	"""A name with several addresses, which may change; the files for that are the shim's alone."""

	def setUp(self):
		super().setUp()
		if not shutil.which("unshare"):
			self.skipTest("the command unshare is not installed")
		self.files = self.folder("files")

	def named(self, url, config="", **files):
		"""A shim for which /etc/hosts and /etc/resolv.conf have this text."""
		script = ""
		for name in ("hosts", "resolv.conf"):
			path = self.files / name
			path.write_text(files.get(name.replace(".", "_"), "") + "\n")
			path.chmod(0o644)
			script += f"mount --bind {path} /etc/{name} && "
		uid, gid = process.server_ids()
		cage = ["unshare", "-rm", "sh", "-c", script + f'exec unshare -U --map-user={uid} --map-group={gid} "$@"', "sh"]
		if subprocess.run([*cage, "true"], capture_output=True, **process.run_as()).returncode != 0:
			self.skipTest("this machine allows no mount namespaces (or its unshare is too old)")
		shim = self.own(Shim, backend=url, config=config, start=False)
		shim.command = cage + shim.command
		return shim.start()

	def twins(self, count, ipv6=False):
		"""Fakes on the same port of 127.0.0.1, 127.0.0.2 …"""
		first, = self.fakes(1)
		found = [first]
		for i in range(1, count):
			fake = FakeRspamd()
			fake.answer(GOOD)
			fake.stop()
			address = "::1" if ipv6 else f"127.0.0.{i + 1}"
			fake._listeners = [socket.create_server((address, first.port), backlog=256, family=
			                                        socket.AF_INET6 if ipv6 else socket.AF_INET)]
			threading.Thread(target=fake._accept, args=(fake._listeners[0],), daemon=True).start()
			self.addCleanup(fake.stop)
			found.append(fake)
		return found

	def test_in_turn(self):
		fakes = self.twins(3)
		shim = self.named(f"http://rspamd.example:{fakes[0].port}", hosts=
		                  "127.0.0.1 rspamd.example\n127.0.0.2 rspamd.example\n127.0.0.3 rspamd.example")
		for _ in range(12):
			self.good(self.ask(shim))
		self.assertEqual([len(fake.requests) for fake in fakes], [4, 4, 4])

	def test_both_protocols(self):
		if not socket.has_ipv6:
			self.skipTest("no IPv6 here")
		try:
			fakes = self.twins(2, ipv6=True)
		except OSError as why:
			self.skipTest(f"no IPv6 here: {why}")
		shim = self.named(f"http://rspamd.example:{fakes[0].port}", hosts="127.0.0.1 rspamd.example\n::1 rspamd.example")
		for _ in range(8):
			self.good(self.ask(shim))
		self.assertEqual([len(fake.requests) for fake in fakes], [4, 4])

	def test_one_is_away(self):
		"""Its mail goes to the other address, and the rspamd counts as up."""
		fakes = self.twins(2)
		shim = self.named(f"http://rspamd.example:{fakes[0].port}", "breaker_failures = 1\n", hosts=
		                  "127.0.0.1 rspamd.example\n127.0.0.2 rspamd.example\n127.0.0.3 rspamd.example")
		fakes[1].stop()
		for _ in range(9):
			self.good(self.ask(shim))
		self.assertEqual(len(fakes[0].requests), 9)
		self.assertNotIn("is down", shim.log())

	def test_moved(self):
		"""Nobody is at the old address: the name is looked up again."""
		port, where = free_port(), ["127.0.0.1"]
		queries = []

		def answer(data):
			"""A DNS server's answer to one question, for type A (1)."""
			end = data.index(b"\0", 12) + 5
			kind, = struct.unpack(">H", data[end - 4:end - 2])
			queries.append(kind)
			found = where if kind == 1 else []
			return (data[:2] + struct.pack(">HHHHH", 0x8580, 1, len(found), 0, 0) + data[12:end] +
			        b"".join(b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 3600, 4) + socket.inet_aton(a) for a in found))

		def serve():
			with contextlib.suppress(OSError):
				while True:
					data, client = server.recvfrom(2000)
					server.sendto(answer(data), client)
		server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
		server.bind(("127.0.0.1", port))
		self.addCleanup(server.close)
		threading.Thread(target=serve, daemon=True).start()
		fakes = self.twins(2)
		shim = self.named(f"http://rspamd.example:{fakes[0].port}", "timeout_queue = 60\nhealth_interval = 3600\n",
		                  hosts="127.0.0.1 localhost", resolv_conf=f"nameserver 127.0.0.1:{port}")
		for _ in range(4):
			self.good(self.ask(shim))
		self.assertEqual(len(fakes[0].requests), 4)
		asked = len(queries)
		self.assertIn(asked, (1, 2), "one lookup for all")
		fakes[0].stop()
		where[:] = ["127.0.0.2"]
		self.good(self.ask(shim))
		self.assertEqual(len(fakes[1].requests), 1)


class Haproxy(process.Party):
	"""haproxy in front of rspamds, with connections that are kept."""

	CONFIG = """global
	stats socket {dir}/stats.sock
defaults
	mode http
	timeout connect 2s
	timeout client 60s
	timeout server 60s
	timeout check 60s
	retries 3
	option redispatch
	retry-on conn-failure empty-response
frontend scan
	bind 127.0.0.1:{port}
	default_backend rspamds
backend rspamds
	balance leastconn
	option httpchk GET /ping
	default-server check inter 200ms fall 2 rise 1
{servers}
"""

	def __init__(self, folder, rspamds):
		super().__init__("haproxy", folder)
		self.group = packages.need("haproxy")
		self.port = free_port()
		self.url = f"http://127.0.0.1:{self.port}"
		servers = "".join(f"\tserver rspamd{i} 127.0.0.1:{r.normal}\n" for i, r in enumerate(rspamds))
		self.config = self.dir / "haproxy.cfg"
		self.config.write_text(self.CONFIG.format(dir=self.dir, port=self.port, servers=servers))

	def start(self):
		self.spawn([self.group.path("usr/sbin/haproxy"), "-db", "-f", self.config], process.environment([self.group]))
		self.await_ready(self._answers)
		return self

	def _answers(self):
		with contextlib.suppress(OSError):
			return talk(self.port, b"GET /ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200 ")

	def numbers(self):
		"""{(proxy, server): row} of its statistics."""
		data = talk(self.dir / "stats.sock", b"show stat\n").decode().lstrip("# ").splitlines()
		names = data[0].split(",")
		rows = [dict(zip(names, line.split(","))) for line in data[1:] if line]
		return {(row["pxname"], row["svname"]): row for row in rows}


class Balanced(Pool):
	"""Two rspamds behind a load balancer, or behind a proxy worker of a third."""

	@classmethod
	def setUpClass(cls):
		cls.rspamds = [cls.shared(Rspamd) for _ in range(2)]

	def one_dies(self, shim):
		"""Mail, mail with one of them dead, mail with both; nothing must fail."""
		first, victim = self.rspamds
		mute = victim.mute
		for rspamd in self.rspamds:
			rspamd.seen()
		steady = Steady(shim)
		try:
			for rspamd in self.rspamds:
				rspamd.await_seen()
			steady.more(50)
			victim.kill()
			first.seen()
			first.await_seen(50)
			victim.mute = mute
			victim.start()
			victim.seen()
			victim.await_seen(10)
			steady.more(50)
		finally:
			steady.stop()
		self.assertEqual(steady.failures(), [])
		lines = [line for line in shim.await_requests(len(steady.replies)) if line["command"] == "CHECK"]
		self.assertEqual({line["outcome"] for line in lines}, {"verdict"})

	def test_haproxy(self):
		balancer = self.own(Haproxy, self.rspamds)
		shim = self.own(Shim, backend=balancer.url, config="breaker_failures = 3\ntimeout_queue = 10\n")
		self.one_dies(shim)
		front = balancer.numbers()["scan", "FRONTEND"]
		# The connections to it are kept: far fewer than requests.
		self.assertGreater(int(front["req_tot"]), 150)
		self.assertLess(int(front["stot"]), int(front["req_tot"]) / 3)

	def test_proxy_worker(self):
		"""rspamd's own: `hosts` of an upstream are the rspamds of the other machines."""
		port = free_port()
		hosts = ",".join(f"127.0.0.1:{rspamd.normal}" for rspamd in self.rspamds)
		proxy = self.own(Rspamd, extra=f'''
worker "rspamd_proxy" {{
	bind_socket = "127.0.0.1:{port}";
	count = 1;
	milter = no;
	timeout = 120s;
	upstream "scan" {{ default = yes; hosts = "{hosts}"; }}
}}
''')
		shim = self.own(Shim, backend=f"http://127.0.0.1:{port}", config="breaker_failures = 3\ntimeout_queue = 10\n")
		self.one_dies(shim)
		self.assertEqual(proxy.seen(), [], "it scans nothing itself")

"""A load balancer between rspamd-shim and three rspamds: the configurations of doc/tuning.md in haproxy and nginx."""

import re
import socket
import subprocess

from harness import (SOURCE_TREE, Case, FakeRspamd, RspamcReply, Shim, connect, facts, free_port, message, packages, process,
                     rspamc_request, talk, verdict, wait_until)

MAIL = message()
LARGE = MAIL + b"0123456789abcdef\n" * 200000		# 3.4 MB, more than nginx takes by default
RCPTS_MAX = 1024					# rspamd takes so many
RCPT = "<user%d@a-long-name-of-a-host.mx.example>"
SERVERS = ["192.0.2.11:11333", "192.0.2.12:11333", "192.0.2.13:11333"]		# in the document
FRONT = "127.0.0.1:11330"

NGINX = """daemon off;
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/error.log warn;
events {{ }}
http {{
	access_log off;
	client_body_temp_path {dir}/body;
	proxy_temp_path {dir}/proxy;
	fastcgi_temp_path {dir}/fastcgi;
	uwsgi_temp_path {dir}/uwsgi;
	scgi_temp_path {dir}/scgi;
{text}
}}
"""


def document(kind):
	"""The block of that kind in doc/tuning.md."""
	found = re.findall(rf"^```{kind}\n(.*?)^```$", (SOURCE_TREE / "doc" / "tuning.md").read_text(), re.M | re.S)
	assert len(found) == 1, f"{len(found)} blocks of {kind}"
	return found[0]


class Balancer(process.Party):
	"""haproxy or nginx in front of these; text is its configuration with the addresses of the document."""

	def __init__(self, folder, kind, text, ports):
		super().__init__(kind, folder)
		self.group = packages.need(kind)
		self.port = free_port()
		for name, port in zip([*SERVERS, FRONT], [*ports, self.port], strict=True):
			assert name in text, f"{name} is not in the block of {kind}"
			text = text.replace(name, f"127.0.0.1:{port}")
		if kind == "nginx":
			text = NGINX.format(dir=self.dir, text=text)
		self.config = self.dir / f"{kind}.conf"
		self.config.write_text(text)

	def start(self):
		options = {"haproxy": ["-db", "-f", self.config],
		           "nginx": ["-e", self.dir / "error.log", "-p", self.dir, "-c", self.config]}[self.name]
		self.spawn([self.group.path(f"usr/sbin/{self.name}"), *options], process.environment([self.group]))
		self.await_ready(self.listens)
		return self

	def listens(self):
		try:
			socket.create_connection(("127.0.0.1", self.port), 1).close()
		except OSError:
			return False
		return True


class Balanced:
	"""What holds of every balancer with the configuration that the document has for it."""

	kind = None
	large_has_another = None		# a message above its buffer is sent to another rspamd, too

	def setUp(self):
		self.fakes = [self.own(FakeRspamd) for _ in SERVERS]
		for fake in self.fakes:
			fake.answer(verdict("add header", 7.0))
		self.shim = self.behind([fake.port for fake in self.fakes])

	def behind(self, ports, config="", keys="keep_alive = false"):
		"""A rspamd-shim behind a balancer of these."""
		balancer = self.own(Balancer, self.kind, document(self.kind), ports)
		return self.own(Shim, config=f'{config}backend "http://127.0.0.1:{balancer.port}" {{ {keys} }}\n')

	def ask(self, mail=MAIL, rcpts=1):
		headers = [("From", "<s@client.example>"), *[("Rcpt", RCPT % i) for i in range(rcpts)]]
		return talk(self.shim.port, rspamc_request(mail, headers=headers))

	def good(self, reply):
		self.assertEqual(RspamcReply(reply).action, "add header")

	def seen(self):
		return [request for fake in self.fakes for request in fake.requests]

	def counts(self):
		return [len(fake.requests) for fake in self.fakes]

	def test_the_first_two_scan(self):
		for _ in range(6):
			self.good(self.ask())
		self.assertEqual((sum(self.counts()), self.counts()[2]), (6, 0))
		self.assertEqual([r.body for r in self.seen()], [MAIL] * 6)

	def test_two_at_once_have_one_each(self):
		for fake in self.fakes:
			fake.silent()
		for number in (1, 2):
			sock = connect(self.shim.port)
			self.addCleanup(sock.close)
			self.addCleanup(FakeRspamd.reset, sock)
			sock.sendall(rspamc_request(MAIL))
			wait_until(lambda: len(self.seen()) == number, f"{number} of them are scanned")
		self.assertEqual(self.counts(), [1, 1, 0])

	def test_large_message_with_as_many_recipients_as_rspamd_takes(self):
		self.good(self.ask(LARGE, rcpts=RCPTS_MAX))
		request, = self.seen()
		self.assertTrue(request.body == LARGE)
		self.assertEqual(request.all("Rcpt"), [RCPT % i for i in range(RCPTS_MAX)])

	def test_one_fails_over_a_message(self):
		"""Another has it, and has it once."""
		self.fakes[0].raw(b"")
		for _ in range(4):
			self.good(self.ask())
		self.assertEqual(self.counts()[1:], [4, 0])

	def test_one_fails_over_a_large_message(self):
		self.fakes[0].raw(b"")
		replies = [self.ask(LARGE) for _ in range(2)]
		self.assertEqual(sorted(b" 0 EX_OK" in reply for reply in replies), [self.large_has_another, True])

	def test_a_message_that_every_rspamd_fails_over(self):
		"""It does not come to all of them."""
		for fake in self.fakes:
			fake.raw(b"")
		self.assertRegex(self.ask(), rb"\ARSPAMD/1\.3 75 EX_TEMPFAIL rspamd-error: .* HTTP status 502")
		self.assertEqual(sum(self.counts()), 2)

	def test_all_are_away(self):
		"""The first messages are refused, by the balancer's error; then it counts as down."""
		shim = self.behind([free_port() for _ in SERVERS], "breaker_failures = 2\n")
		for _ in range(2):
			self.assertRegex(talk(shim.port, rspamc_request(MAIL)), rb"\ARSPAMD/1\.3 75 .* HTTP status 50[23]")
		wait_until(lambda: re.search(r" is down: .* HTTP status 50[23]; it is asked for", shim.log()), "it counts as down")

	def test_client_that_goes_ends_the_scan(self):
		for fake in self.fakes:
			fake.silent()
		sock = connect(self.shim.port)
		sock.sendall(rspamc_request(MAIL))
		wait_until(self.seen, "a rspamd has the message")
		FakeRspamd.reset(sock)
		sock.close()
		wait_until(lambda: any(fake.gone for fake in self.fakes), "that rspamd is told so")


class Haproxy(Balanced, Case):
	kind = "haproxy"
	large_has_another = False

	def test_health_is_asked_for(self):
		wait_until(lambda: all(fake.pings for fake in self.fakes), "all were asked for /ping")

	@staticmethod
	def facts():
		group = packages.need("haproxy")
		text = subprocess.run([str(group.path("usr/sbin/haproxy")), "-v"], env=process.environment([group]), check=True,
		                      stdout=subprocess.PIPE, text=True, timeout=process.PATIENCE).stdout
		return facts.HaproxyFacts(tuple(int(n) for n in re.search(r"version (\d+)\.(\d+)", text).groups()))

	def test_kept_connections_mean_more_tries(self):
		"""Why the document has keep_alive = false: haproxy 2 closes one without a word, as if it had been idle too long."""
		self.shim = self.behind([fake.port for fake in self.fakes], keys="")
		self.good(self.ask())
		for fake in self.fakes:
			fake.raw(b"")
			fake.forget()
		self.ask()
		self.assertEqual(sum(self.counts()), 2 if self.facts().reports_failure_on_kept else 4)


class Nginx(Balanced, Case):
	kind = "nginx"
	large_has_another = True

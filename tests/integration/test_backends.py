"""The ways to rspamd: names, IPv6, unix sockets, TLS, and several of them."""

import shutil
import socket
import ssl
import subprocess
import threading
import unittest

from harness import Case, FakeRspamd, Rspamd, Shim, Unavailable, message, releases, talk, verdict

MAIL = b"Subject: a test\n\nbody\n"
CHECK = b"CHECK SPAMC/1.5\r\nContent-length: %d\r\n\r\n%s" % (len(MAIL), MAIL)
GOOD = b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 7.0 / 7.0\r\n\r\n"


class TlsFront:
	"""A TLS terminator on 127.0.0.1 and ::1 in front of a FakeRspamd."""

	def __init__(self, certificate, key, fake):
		self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
		self.context.load_cert_chain(certificate, key)
		self.names = []
		self.context.sni_callback = lambda _sock, name, _context: self.names.append(name)
		self.fake = fake
		self.listener = socket.create_server(("127.0.0.1", 0))
		self.port = self.listener.getsockname()[1]
		threading.Thread(target=self.accept, daemon=True).start()

	def accept(self):
		while True:
			try:
				sock = self.listener.accept()[0]
			except OSError:
				return
			threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

	def serve(self, sock):
		try:
			with self.context.wrap_socket(sock, server_side=True) as client:
				request = self.fake._read(client)
				self.fake.requests.append(request)
				self.fake._behaviour[0](client, request)
				client.unwrap()
		except OSError:
			pass

	def stop(self):
		self.listener.close()


class Backend(Case):
	def setUp(self):
		super().setUp()
		self.fake = FakeRspamd()
		self.addCleanup(self.fake.stop)
		self.fake.answer(verdict("add header", 7.0))

	def shim(self, **arguments):
		return self.own(Shim, **arguments)


class Plain(Backend):
	def test_name(self):
		shim = self.shim(backend=f"http://localhost:{self.fake.port}")
		self.assertEqual(talk(shim.port, CHECK), GOOD)
		self.assertEqual(self.fake.requests[-1].get("Host"), f"localhost:{self.fake.port}")

	def test_unknown_name(self):
		shim = self.shim(backend="http://no-such-host.invalid:11333")
		self.assertRegex(talk(shim.port, CHECK), rb"^SPAMD/1\.0 69 Service Unavailable: connecting to "
		                 rb"no-such-host\.invalid:11333: [^\r\n]+\r\n$")

	def test_second_of_two_addresses(self):
		"""localhost is ::1 and 127.0.0.1; rspamd listens at one of them."""
		addresses = {info[4][0] for info in socket.getaddrinfo("localhost", None)}
		if len(addresses) < 2:
			self.skipTest(f"localhost has one address here: {addresses}")
		shim = self.shim(backend=f"http://localhost:{self.fake.port}")
		self.assertEqual(talk(shim.port, CHECK), GOOD)

	def test_ipv6(self):
		if not socket.has_ipv6:
			self.skipTest("no IPv6 here")
		listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
		self.fake._listeners.append(listener)
		threading.Thread(target=self.fake._accept, args=(listener,), daemon=True).start()
		port = listener.getsockname()[1]
		shim = self.shim(backend=f"http://[::1]:{port}")
		self.assertEqual(talk(shim.port, CHECK), GOOD)
		self.assertEqual(self.fake.requests[-1].get("Host"), f"[::1]:{port}")

	def test_next_of_two(self):
		"""One rspamd is away: the other gets the mail, and all of it."""
		with socket.create_server(("127.0.0.1", 0)) as closed:
			dead = closed.getsockname()[1]
		shim = self.shim(backend=f"http://127.0.0.1:{dead}", arguments=["-b", self.fake.url])
		for _ in range(4):
			self.assertEqual(talk(shim.port, CHECK), GOOD)
		self.assertEqual([r.body for r in self.fake.requests], [MAIL] * 4)
		self.assertIn(f"Connection refused; trying 127.0.0.1:{self.fake.port}", shim.log())

	def test_in_turn(self):
		other = FakeRspamd()
		self.addCleanup(other.stop)
		other.answer(verdict("add header", 7.0))
		shim = self.shim(backend=other.url, arguments=["-b", self.fake.url])
		for _ in range(6):
			self.assertEqual(talk(shim.port, CHECK), GOOD)
		self.assertEqual((len(other.requests), len(self.fake.requests)), (3, 3))

	def test_all_away(self):
		with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
			dead = [closed.getsockname()[1] for closed in (one, other)]
		shim = self.shim(backend=f"http://127.0.0.1:{dead[0]}", arguments=["-b", f"http://127.0.0.1:{dead[1]}"])
		self.assertIn(talk(shim.port, CHECK), [b"SPAMD/1.0 69 Service Unavailable: connecting to "
		                                       b"127.0.0.1:%d: Connection refused\r\n" % port for port in dead])


class Tls(Backend):
	"""https, with and without a certificate that is to be believed."""

	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		if not shutil.which("openssl"):
			raise unittest.SkipTest("the command openssl is not installed: no certificates")

	@classmethod
	def certificate(cls, names):
		"""A new self-signed certificate; returns the file that has it and its key."""
		folder = cls.folder("certificate")
		path = str(folder / "key")
		subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
		                "-nodes", "-days", "2", "-subj", "/CN=test", "-addext", f"subjectAltName={names}",
		                "-keyout", path, "-out", path + ".crt"], check=True, capture_output=True)
		subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
		return path + ".crt", path

	def front(self, names):
		certificate, key = self.certificate(names)
		front = TlsFront(certificate, key, self.fake)
		self.addCleanup(front.stop)
		return front, certificate

	def tls_shim(self, url, options):
		return self.shim(config=f'backend "{url}" {{ {options} }}\n')

	def refused(self, shim, why):
		reply = talk(shim.port, CHECK)
		self.assertRegex(reply, rb"^SPAMD/1\.0 69 Service Unavailable: connecting to [^\r\n]+\r\n$")
		self.assertIn(why, reply)
		self.assertEqual(self.fake.requests, [], "a message went to somebody who is not rspamd")

	def test_trusted_name(self):
		front, certificate = self.front("DNS:localhost")
		shim = self.tls_shim(f"https://localhost:{front.port}", f'ca_file = "{certificate}"')
		self.assertEqual(talk(shim.port, CHECK), GOOD)
		self.assertEqual(self.fake.requests[-1].body, MAIL)
		self.assertEqual(front.names, ["localhost"], "SNI")

	def test_trusted_address(self):
		front, certificate = self.front("IP:127.0.0.1")
		shim = self.tls_shim(f"https://127.0.0.1:{front.port}", f'ca_file = "{certificate}"')
		self.assertEqual(talk(shim.port, CHECK), GOOD)
		self.assertEqual(front.names, [None], "SNI is for names only")

	def test_large_message(self):
		front, certificate = self.front("IP:127.0.0.1")
		shim = self.tls_shim(f"https://127.0.0.1:{front.port}", f'ca_file = "{certificate}"')
		mail = MAIL + b"0123456789abcdef\n" * 300000
		self.assertEqual(talk(shim.port, b"CHECK SPAMC/1.5\r\nContent-length: %d\r\n\r\n%s" % (len(mail), mail)), GOOD)
		self.assertEqual(self.fake.requests[-1].body, mail)

	def test_other_name(self):
		front, certificate = self.front("DNS:other.example")
		self.refused(self.tls_shim(f"https://127.0.0.1:{front.port}", f'ca_file = "{certificate}"'), b"IP address mismatch")

	def test_unknown_authority(self):
		front, _ = self.front("IP:127.0.0.1")
		self.refused(self.tls_shim(f"https://127.0.0.1:{front.port}", ""), b"self-signed certificate")

	def test_verify_off(self):
		front, _ = self.front("DNS:other.example")
		shim = self.tls_shim(f"https://127.0.0.1:{front.port}", "verify = false")
		self.assertEqual(talk(shim.port, CHECK), GOOD)

	def test_no_tls_there(self):
		self.fake.behave(lambda sock, _request: sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), before_request=True)
		reply = talk(self.tls_shim(f"https://127.0.0.1:{self.fake.port}", "").port, CHECK)
		self.assertRegex(reply, rb"^SPAMD/1\.0 69 Service Unavailable: connecting to [^\r\n]+\r\n$")

	def test_missing_ca_file(self):
		with self.assertRaises(AssertionError) as caught:
			self.tls_shim("https://127.0.0.1:1", 'ca_file = "/nonexistent/ca.pem"')
		self.assertIn("ca_file /nonexistent/ca.pem cannot be read", str(caught.exception))


class RspamdTls(Case):
	"""rspamd's own TLS, without a terminator in front of it."""

	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		if not shutil.which("openssl"):
			raise unittest.SkipTest("the command openssl is not installed: no certificates")
		cls.certificate, key = Tls.certificate("IP:127.0.0.1")
		try:
			cls.rspamd = cls.shared(Rspamd, tls=(cls.certificate, key))
		except Unavailable:		# this machine's is too old
			cls.rspamd = cls.shared(Rspamd, tls=(cls.certificate, key), release=releases.newest_other())
		cls.url = f"https://127.0.0.1:{cls.rspamd.tls_port}"

	def ask(self, options, **headers):
		shim = self.own(Shim, config=f'backend "{self.url}" {{ {options} }}\n')
		mail = bytes(message(**headers))
		return shim, talk(shim.port, b"CHECK SPAMC/1.5\r\nContent-length: %d\r\n\r\n%s" % (len(mail), mail))

	def test_verdicts(self):
		self.rspamd.seen()
		for score, flag in ((0, b"False"), (7, b"True"), (20, b"True")):
			_, reply = self.ask(f'ca_file = "{self.certificate}"', X_Test_Score=score)
			self.assertTrue(reply.startswith(b"SPAMD/1.1 0 EX_OK\r\nSpam: %s ; %d.0 / " % (flag, score)), reply)
		self.assertEqual(len(self.rspamd.await_seen(3)), 3)

	def test_large_message(self):
		shim = self.own(Shim, config=f'backend "{self.url}" {{ ca_file = "{self.certificate}" }}\n')
		mail = bytes(message(X_Test_Score=7)) + b"0123456789abcdef\n" * 100000
		reply = talk(shim.port, b"CHECK SPAMC/1.5\r\nContent-length: %d\r\n\r\n%s" % (len(mail), mail))
		self.assertIn(b"Spam: True ; 7.0 / ", reply)
		self.assertEqual(self.rspamd.await_seen(1)[-1]["size"], len(mail))

	def test_certificate_is_checked(self):
		other, _ = Tls.certificate("IP:127.0.0.1")
		self.rspamd.seen()
		for options in ("", f'ca_file = "{other}"'):
			_, reply = self.ask(options)
			self.assertRegex(reply, rb"^SPAMD/1\.0 69 Service Unavailable: connecting to 127\.0\.0\.1:\d+: self-signed certificate")
		self.assertEqual(self.rspamd.seen(), [], "a message went to somebody who is not to be believed")

	def test_probe(self):
		shim = self.own(Shim, start=False, config=f'backend "{self.url}" {{ ca_file = "{self.certificate}" }}\n')
		done = subprocess.run([*map(str, shim.command), "--probe"], capture_output=True, text=True, check=False)
		self.assertIn("tls", done.stdout)
		self.assertNotIn("PROBLEM  backend", done.stdout)

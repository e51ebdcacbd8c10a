"""Who may come in, and TLS for those who do."""

import shutil
import socket
import ssl
import subprocess
import unittest

from harness import Case, FakeRspamd, Shim, spamc, talk, verdict

MAIL = b"Subject: a test\n\nbody\n"
CHECK = b"CHECK SPAMC/1.5\r\nContent-length: %d\r\n\r\n%s" % (len(MAIL), MAIL)
GOOD = b"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 7.0 / 7.0\r\n\r\n"


class Base(Case):
	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		cls.fake = FakeRspamd()
		cls.addClassCleanup(cls.fake.stop)
		cls.fake.answer(verdict("add header", 7.0))

	def shim(self, options, ready=None):
		"""A shim whose TCP listener has these options."""
		shim = self.own(Shim, backend=self.fake.url, config="", start=False)
		shim.write_config(f'listen "{shim.address}" {{ {options} }}\n')
		return shim.start(ready=ready)


class Allow(Base):
	def ask(self, shim, source):
		with socket.create_connection(("127.0.0.1", shim.port), source_address=(source, 0)) as sock:
			try:
				sock.sendall(CHECK)
				return sock.recv(1000)
			except ConnectionError:
				return b""

	def test_networks(self):
		shim = self.shim('allow = {"127.0.0.1", "127.0.4.0/22", "::1"}')
		for source, inside in (("127.0.0.1", True), ("127.0.0.2", False), ("127.0.3.255", False), ("127.0.4.0", True),
		                       ("127.0.7.255", True), ("127.0.8.0", False)):
			with self.subTest(source):
				self.assertEqual(self.ask(shim, source), GOOD if inside else b"")
		self.assertIn(f'turned away: not in "allow" of listen "{shim.address}"', shim.log())

	def test_this_host_is_the_default(self):
		shim = self.own(Shim, backend=self.fake.url)
		self.assertEqual(self.ask(shim, "127.9.9.9"), GOOD)

	def test_unix_sockets_have_their_mode(self):
		shim = self.own(Shim, backend=self.fake.url, config="", start=False)
		shim.write_config(f'listen "unix:{shim.unix}" {{ allow = {{}} }}\n')
		shim.start()
		self.assertEqual(talk(shim.unix, CHECK), GOOD)

	def test_no_networks(self):
		for text in ("127.0.0.1/33", "127.0.0.1/24", "::1/129", "localhost", "", "10.0.0.0/", "1.2.3"):
			with self.subTest(text), self.assertRaises(AssertionError) as caught:
				self.shim(f'allow = {{"{text}"}}')
			self.assertIn(f'allow: "{text}" is not an address or a network', str(caught.exception))


class Tls(Base):
	@classmethod
	def setUpClass(cls):
		super().setUpClass()
		if not shutil.which("openssl"):
			raise unittest.SkipTest("the command openssl is not installed: no certificates")
		cls.certificates = cls.folder("certificates")
		cls.server = cls.certificate("server")
		cls.client = cls.certificate("client")
		subprocess.run(["chmod", "-R", "a+rX", cls.certificates], check=True)

	@classmethod
	def certificate(cls, name):
		"""A self-signed certificate with its key, in one file."""
		path = cls.certificates / name
		subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
		                "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", f"{path}.key", "-out", f"{path}.crt"],
		               check=True, capture_output=True)
		path.write_text(path.with_suffix(".crt").read_text() + path.with_suffix(".key").read_text())
		return path

	def start(self, options=""):
		shim = self.own(Shim, backend=self.fake.url, config="", start=False)
		shim.write_config(f'listen "{shim.address}" {{ certificate = "{self.server}" {options} }}\n')
		return shim.start(ready=lambda: self.answers(shim))

	@staticmethod
	def answers(shim):
		try:
			return talk(shim.unix, b"PING SPAMC/1.5\r\n\r\n") == b"SPAMD/1.5 0 PONG\r\n"
		except OSError:
			return False

	def ask(self, shim, data=CHECK, certificate=None, finish=False):
		"""What a TLS client hears; finish: it says that it has sent all."""
		context = ssl.create_default_context(cafile=str(self.server))
		if certificate:
			context.load_cert_chain(certificate)
		with context.wrap_socket(socket.create_connection(("127.0.0.1", shim.port), timeout=20), server_hostname="127.0.0.1") as sock:
			sock.sendall(data)
			reply = b""
			while True:
				more = sock.recv(65536)		# raises if the end is not the server's own
				if not more:
					return reply
				reply += more

	def test_reply(self):
		self.assertEqual(self.ask(self.start()), GOOD)

	def test_large_message(self):
		mail = MAIL + b"0123456789abcdef\n" * 200000
		reply = self.ask(self.start(), b"PROCESS SPAMC/1.5\r\nContent-length: %d\r\n\r\n%s" % (len(mail), mail))
		self.assertTrue(reply.endswith(mail))
		self.assertEqual(self.fake.requests[-1].body, mail)

	def test_spamc(self):
		code, output = spamc(self.start().port, MAIL, "-S", "-R")
		self.assertEqual((output[:8], code), (b"7.0/7.0\n", 0))

	def test_plain_client(self):
		shim = self.start()
		try:
			self.assertNotIn(b"SPAMD", talk(shim.port, CHECK))
		except ConnectionError:
			pass
		self.assertEqual(self.ask(shim), GOOD)
		self.assertIn("no request over TLS", shim.log())

	def test_clients_certificate(self):
		shim = self.start(f'client_ca = "{self.client.with_suffix(".crt")}"')
		self.assertEqual(self.ask(shim, certificate=self.client), GOOD)
		for other in (None, self.server):
			with self.assertRaises((ssl.SSLError, ConnectionError)):
				self.ask(shim, certificate=other)
		self.assertIn("no request over TLS", shim.log())

	def test_bad_files(self):
		key = self.client.with_suffix(".key")
		for options, why in ((f'certificate = "{self.server.with_suffix(".crt")}"\nkey = "{key}"', "is not the certificate's"),
		                     ('certificate = "/nonexistent"', "certificate /nonexistent cannot be read"),
		                     (f'certificate = "{key}"', "the certificate cannot be used"),
		                     (f'key = "{key}"', "without a certificate"),
		                     (f'certificate = "{self.server}"\nclient_ca = "{key}"', "client_ca cannot be used")):
			with self.subTest(why), self.assertRaises(AssertionError) as caught:
				self.shim(options)
			self.assertIn(why, str(caught.exception))

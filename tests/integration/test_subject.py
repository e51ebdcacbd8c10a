"""Subjects that rspamd rewrites: every program that reads mail shows them."""

import email
import email.header
import email.policy
import re
import shutil
import subprocess

from harness import Case, Exim, FakeRspamd, Shim, common_rspamd, message, packages, process, spamc
from harness.fake_rspamd import verdict

# What rspamd 3.12.1 and 4.1.5 made of these texts.
SUBJECTS = {
	"Grüße aus Köln": ["Gr=?UTF-8?Q?=C3=BC=C3=9Fe_aus_K=C3=B6?=ln", "Gr=?UTF-8?Q?=C3=BC=C3=9Fe?= aus K=?UTF-8?Q?=C3=B6ln?="],
	"Ü Ö Ä": ["=?UTF-8?Q?=C3=9C?==?UTF-8?Q?_=C3=96?==?UTF-8?Q?_=C3=84?="],
	"Sale 🎉🎉🎉 now 🎁": ["Sale =?UTF-8?Q?=F0=9F=8E=89=F0=9F=8E=89=F0=9F=8E=89_now_=F0=9F=8E?==?UTF-8?Q?=81?="],
	"(Grüße) [Köln]": ["(Gr=?UTF-8?Q?=C3=BC=C3=9F?=e) [K=?UTF-8?Q?=C3=B6?=ln]", "(Gr=?UTF-8?Q?=C3=BC=C3=9Fe?=) [K=?UTF-8?Q?=C3=B6ln?=]"],
	"重要なお知らせ：あなたのアカウントは一時的に": [
		"=?UTF-8?Q?=E9=87=8D=E8=A6=81=E3=81=AA=E3=81=8A=E7=9F=A5=E3=82=89=E3?==?UTF-8?Q?=81=9B=EF=BC=9A=E3=81=82=E3=81=AA=E3=81=9F=E3=81=AE=E3=82=A2"
		"=E3?==?UTF-8?Q?=82=AB=E3=82=A6=E3=83=B3=E3=83=88=E3=81=AF=E4=B8=80=E6=99=82=E7?==?UTF-8?Q?=9A=84=E3=81=AB?="],
}


def by_python(subject):
	return str(email.message_from_bytes(b"Subject: " + subject + b"\n\n", policy=email.policy.default)["Subject"])


def by_iconv(subject):
	"""Each word is whole characters by itself; iconv refuses others."""
	words = re.findall(rb"=\?UTF-8\?[QB]\?[^?]*\?=", subject)
	for word in words:
		data = email.header.decode_header(word.decode())[0][0]
		subprocess.run(["iconv", "-f", "UTF-8", "-t", "UTF-16"], input=data, check=True, stdout=subprocess.DEVNULL)
	return by_python(subject)


def by_php(function):
	"""A decoder that calls function of php-cli, unpacked."""
	def decode(subject):
		group = packages.need("php")
		program = next(iter(sorted(group.root.glob("usr/bin/php[0-9].*"))), None)
		folder = next(iter(sorted(group.root.glob("usr/lib/php/2*"))), None)
		if not program or not folder:
			raise packages.Unavailable(f"no php in {group.root}")
		call = {"iconv": 'iconv_mime_decode($s, 0, "UTF-8")', "mb": "mb_decode_mimeheader($s)"}[function]
		code = f'mb_internal_encoding("UTF-8"); $s = stream_get_contents(STDIN); echo {call};'
		modules = [f"-dextension={folder}/{name}.so" for name in ("iconv", "mbstring")]
		return subprocess.run([program, "-n", *modules, "-r", code], input=subject, env=process.environment([group]),
		                      check=True, stdout=subprocess.PIPE).stdout.decode()
	return decode


def by_perl(subject):
	code = 'use Encode; undef $/; binmode STDOUT, ":utf8"; print decode("MIME-Header", <STDIN>)'
	if not shutil.which("perl") or subprocess.run(["perl", "-MEncode::MIME::Header", "-e1"], stderr=subprocess.DEVNULL).returncode:
		raise packages.Unavailable("perl with Encode::MIME::Header is not installed")
	return subprocess.run(["perl", "-e", code], input=subject, check=True, stdout=subprocess.PIPE).stdout.decode()


class Subject(Case):
	@classmethod
	def setUpClass(cls):
		cls.fake = cls.shared(FakeRspamd)
		cls.shim = cls.shared(Shim, backend=cls.fake.url)

	def decoded(self, decode):
		for text, forms in SUBJECTS.items():
			for form in forms:
				with self.subTest(form):
					self.fake.answer(verdict("rewrite subject", 9, subject=f"[SPAM] {form}"))
					head = spamc(self.shim.port, message())[1].split(b"\n\n")[0]
					subject, = re.findall(rb"(?m)^Subject: (.*)$", head)
					self.assertLessEqual(max(map(len, subject.split())), 75)
					self.assertEqual(decode(subject), f"[SPAM] {text}")

	def test_python(self):
		self.decoded(by_python)

	def test_iconv(self):
		if not shutil.which("iconv"):
			self.skipTest("iconv is not installed")
		self.decoded(by_iconv)

	def test_perl(self):
		self.decoded(by_perl)

	def test_php_iconv(self):
		self.decoded(by_php("iconv"))

	def test_php_mbstring(self):
		self.decoded(by_php("mb"))

	def test_report_and_milter_lines(self):
		"""The same text in the report of both dialects, in one line each."""
		exims = [self.own(Exim, self.shim.spamd_address(variant)) for variant in (False, True)]
		for text, (form, *_) in SUBJECTS.items():
			self.fake.answer(verdict("rewrite subject", 9, subject=f"[SPAM] {form}",
			                         milter={"add_headers": {"Subject": f"[SPAM] {form}"}}))
			for exim in exims:
				exim.send(message())
				report = exim.seen()[-1]["spam_report"]
				found = re.findall(rb"(?m)^ ?(?:X-Milter-Add: )?Subject: (.*)$", report)
				self.assertEqual([by_python(f) for f in found], [f"[SPAM] {text}"] * 2)

	def test_real(self):
		"""Whatever the real rspamd makes of it."""
		shim = self.own(Shim, backend=common_rspamd().url)
		for text in SUBJECTS:
			mail = message(X_Test_Action="rewrite subject", Subject=email.header.Header(text, "utf-8").encode())
			head = spamc(shim.port, mail)[1].split(b"\n\n")[0]
			subject, = re.findall(rb"(?m)^Subject: (.*(?:\n[ \t].*)*)$", head)
			self.assertEqual(by_python(subject), f"[SPAM] {text}")

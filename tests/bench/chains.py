# SPDX-License-Identifier: GPL-2.0-or-later
"""Real chains: Exim and spamc with real scanners, with and without rspamd-shim between."""

import concurrent.futures
import shutil
import statistics
import subprocess
import sys
import time

from harness import Exim, Rspamd, Smtp, Unavailable, message, packages, process, releases, spamc, talk, wait_until

import programs
from programs import Failure

CLIENTS = 4			# SMTP clients at a time
SIZE = 4096
ACL = """
	warn
		spam = nobody:true
		logwrite = :main:judged $spam_score
	accept
"""


def _mail():
	line = "The quick brown fox jumps over the lazy dog, and so it goes on and on.\n"
	return message(body=line * (SIZE // len(line)))


class Spamd(process.Party):
	"""SpamAssassin's spamd with the rules that it comes with, without its network tests."""

	def __init__(self):
		super().__init__("spamd", process.temp_dir("bench-spamd"))
		self.group = packages.need("spamd")
		self.port = process.free_port()

	def start(self):
		# the rules before the program: they are a package of their own
		rules = self.group.path("usr/share/spamassassin")
		self.spawn([*self.group.perl(), self.group.path("usr/sbin/spamd"), "--local", "--nouser-config",
		            "--listen", f"127.0.0.1:{self.port}", "--configpath", rules,
		            "--siteconfigpath", self.group.path("etc/spamassassin"), "--helper-home-dir", self.dir,
		            "--max-children", "1", "--syslog", "stderr"],
		           process.environment([self.group], extra={"HOME": str(self.dir)}))
		try:
			self.await_ready(self._answers)
		except AssertionError as why:
			raise Unavailable(f"spamd does not run here: {why}") from None
		return self

	def _answers(self):
		try:
			return talk(self.port, b"PING SPAMC/1.2\r\n") == b"SPAMD/1.5 0 PONG\r\n"
		except OSError:
			return False


def _exim(spamd_address):
	return Exim(process.temp_dir("bench-exim"), spamd_address, acl_data=ACL)


def _send(exim, mails):
	"""Mails per second; every one was accepted, and judged first."""
	def one(_):
		with Smtp(exim.port) as smtp:
			return smtp.send(_mail()).code

	judged = exim.main_log().count(" judged ")
	began = time.monotonic()
	with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
		codes = list(pool.map(one, range(mails)))
	took = time.monotonic() - began
	if codes != [250] * mails:
		raise Failure(f"Exim answered {sorted(set(codes))}")
	wait_until(lambda: exim.main_log().count(" judged ") == judged + mails, f"{mails} mails were judged")
	return mails / took


def _spamc(address, mails, mark):
	"""Seconds for each mail, one after the other; each report has mark in it."""
	mail = _mail()
	began = time.monotonic()
	for _ in range(mails):
		code, out = spamc(address, mail, "-R")
		if mark not in out:
			raise Failure(f"spamc ended with {code} and said {out[:200]!r}")
	return (time.monotonic() - began) / mails


def _in_turn(rounds, what, *measures):
	"""Each measure's results, a list for each; the order turns."""
	results = [[] for _ in measures]
	for i in range(rounds):
		order = list(range(len(measures)))
		for n in order if i % 2 == 0 else reversed(order):
			results[n].append(measures[n]())
		print(f"{what}: round {i + 1} of {rounds}", file=sys.stderr, flush=True)
	return results


def _exim_chain(rspamd, shim, rounds, mails):
	exims = [_exim(f"127.0.0.1 {rspamd.normal} variant=rspamd"), _exim(shim.spamd_address(variant=True))]
	try:
		for exim in exims:
			_send(exim.start(), CLIENTS)
		straight, through = _in_turn(rounds, "Exim", *(lambda e=e: _send(e, mails) for e in exims))
	finally:
		for exim in exims:
			exim.stop()
	return {"straight": statistics.median(straight), "through": statistics.median(through),
	        "ratio": statistics.median(t / s for s, t in zip(straight, through)), "mails": rounds * mails * 2}


def _spamc_chain(shim, rounds, mails):
	spamd = Spamd()
	through, old = (shim.port, b"Report-End: complete"), (spamd.port, b"Content analysis details:")
	try:
		spamd.start()
		for address, mark in through, old:
			_spamc(address, 2, mark)
		shim_s, spamd_s = _in_turn(rounds, "spamc", lambda: _spamc(through[0], mails, through[1]),
		                           lambda: _spamc(old[0], max(1, mails // 10), old[1]))
	finally:
		spamd.stop()
	return {"shim": statistics.median(shim_s) * 1e3, "spamd": statistics.median(spamd_s) * 1e3,
	        "ratio": statistics.median(a / b for a, b in zip(shim_s, spamd_s))}


def _certificate(folder):
	"""A new self-signed certificate for 127.0.0.1, and its key."""
	if not shutil.which("openssl"):
		raise Unavailable("the command openssl is not installed: no certificates")
	files = folder / "tls.crt", folder / "tls.key"
	subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
	                "-subj", "/CN=bench", "-addext", "subjectAltName=IP:127.0.0.1", "-out", files[0], "-keyout", files[1]],
	               check=True, capture_output=True)
	for path in files:
		path.chmod(0o644)
	return files


def _rspamd_with_tls(tls):
	"""A rspamd that speaks TLS itself: this machine's, or the newest release's if that is too old."""
	try:
		return Rspamd(process.temp_dir("bench-rspamd-tls"), tls=tls)
	except Unavailable:
		return Rspamd(process.temp_dir("bench-rspamd-tls"), tls=tls, release=releases.newest_other())


def _one_by_one(port, mails):
	"""Seconds for each mail, one after the other."""
	mail = _mail()
	request = b"CHECK SPAMC/1.5\r\nContent-length: %d\r\n\r\n%s" % (len(mail), mail)
	began = time.monotonic()
	for _ in range(mails):
		reply = talk(port, request)
		if not reply.startswith(b"SPAMD/1.1 0 EX_OK\r\nSpam: "):
			raise Failure(f"rspamd-shim said {reply[:200]!r}")
	return (time.monotonic() - began) / mails


def _tls_chain(rounds, mails):
	"""http against https to the same rspamd, which has the TLS itself."""
	tls = _certificate(process.temp_dir("bench-certificate"))
	running = []
	try:
		running.append(_rspamd_with_tls(tls).start())
		shims = [programs.BenchShim(running[0].url), programs.BenchShim(
			None, f'backend "https://127.0.0.1:{running[0].tls_port}" {{ ca_file = "{tls[0]}" }}\n')]
		for shim in shims:
			running.append(shim.start())
			_one_by_one(shim.port, 3)
		plain, secure = _in_turn(rounds, "TLS", *(lambda s=s: _one_by_one(s.port, mails) for s in shims))
	finally:
		for party in reversed(running):
			party.stop()
	return {"http": statistics.median(plain) * 1e3, "https": statistics.median(secure) * 1e3,
	        "ratio": statistics.median(s / p for p, s in zip(plain, secure)),
	        "rspamd": ".".join(map(str, running[0].facts.release))}


def run(rounds, quick=False):
	"""{"exim": …, "spamc": …, "tls": …}: figures, or the reason as text why there are none."""
	results = {}
	running = []
	try:
		running.append(Rspamd(process.temp_dir("bench-rspamd")).start())
		running.append(programs.BenchShim(running[0].url).start())
		for name, chain in (("exim", lambda: _exim_chain(*running, rounds, 8 if quick else 100)),
		                    ("spamc", lambda: _spamc_chain(running[1], rounds, 10 if quick else 30))):
			try:
				results[name] = chain()
			except Unavailable as why:
				results[name] = str(why)
	except Unavailable as why:
		results = {"exim": str(why), "spamc": str(why)}
	finally:
		for party in reversed(running):
			party.stop()
	try:
		results["tls"] = _tls_chain(rounds, 5 if quick else 50)
	except Unavailable as why:
		results["tls"] = str(why)
	return results

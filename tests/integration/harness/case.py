"""What every integration test is built on: see tests/integration/README.md."""

import atexit
import os
import unittest

from . import process, rspamd

active = []		# servers that run now; their logs are shown when a test fails
_common = []


def common_rspamd():
	"""The rspamd that all tests share which leave it alone and running."""
	if not _common:
		_common.append(rspamd.Rspamd(process.run_dir("rspamd")))
		active.append(_common[0])
		atexit.register(_common[0].stop)
		_common[0].start()
	if not _common[0].alive():
		raise AssertionError("rspamd, which the tests share, does not run")
	return _common[0]


class Case(unittest.TestCase):
	"""A test class.  shared() and own() start servers and end them again.

	Both take a class (Rspamd, FakeRspamd, Exim, Shim …) and its arguments
	after the folder.  shared() keeps it for all tests of the class, own()
	for one test.
	"""

	maxDiff = None

	@classmethod
	def folder(cls, name):
		"""A temporary folder of this test class."""
		path = process.temp_dir(f"{cls.__name__.lower()}-{name}")
		if not os.environ.get("KEEP"):
			cls.addClassCleanup(process.remove, path)
		return path

	@classmethod
	def shared(cls, factory, *arguments, start=True, **options):
		party = factory(cls.folder(factory.__name__.lower()), *arguments, **options)
		active.append(party)
		cls.addClassCleanup(_end, party)
		return party.start() if start else party

	def own(self, factory, *arguments, start=True, **options):
		party = factory(self.folder(factory.__name__.lower()), *arguments, **options)
		active.append(party)
		self.addCleanup(_end, party)
		return party.start() if start else party


def _end(party):
	try:
		party.stop()
	finally:
		if party in active:
			active.remove(party)


def message(body="Hello,\n\nthis is a test.\n", **headers):
	"""A message as bytes.  X_Test_Score=7 becomes `X-Test-Score: 7`."""
	head = {"From": "Sender <sender@client.example>", "To": "user@mx.example", "Subject": "a test",
	        "Date": "Mon, 01 Jun 2026 10:00:00 +0000", "Message-ID": "<test@client.example>"}
	head.update({name.replace("_", "-"): value for name, value in headers.items()})
	text = "".join(f"{name}: {value}\n" for name, value in head.items() if value is not None) + "\n"
	return text.encode("utf-8", "surrogateescape") + (body if isinstance(body, bytes) else body.encode())

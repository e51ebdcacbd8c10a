"""Mails of every shape, from the tests that Debian's packages ship."""

import re

from . import packages

BOUNCES = "bounces of all mail servers"
# what they are: where they are in the group "mails"
SOURCES = {
	BOUNCES: "usr/lib/python3/dist-packages/flufl/bounce/tests/data/*.txt",
	"Python's email": "usr/lib/python3*/test/test_email/data/msg_*.txt",
	"enmime: MIME in the wild": "usr/share/gocode/src/github.com/jhillyerd/enmime/testdata/mail/*.raw",
	"enmime: faulty": "usr/share/gocode/src/github.com/jhillyerd/enmime/testdata/low-quality/*.raw",
	"enmime: parts": "usr/share/gocode/src/github.com/jhillyerd/enmime/testdata/parts/*.raw",
	"HyperKitty's list mail": "usr/lib/python3/dist-packages/hyperkitty/tests/testdata/*.txt",
	"Mailman's list mail": "usr/lib/python3/dist-packages/mailman/**/*.eml",
	"SpamAssassin's samples": "usr/share/doc/spamassassin/examples/sample-*.txt",
}
EMPTY_LINE = re.compile(rb"(?:\A|\n)(\r?\n)")


class Mail:
	"""source: key of SOURCES; name: its file; data: its bytes."""

	def __init__(self, source, name, data):
		self.source = source
		self.name = name
		self.data = data


def mails():
	"""All of them, as Debian ships them, in a fixed order; Unavailable where they cannot be had."""
	root = packages.need("mails").root
	return [Mail(source, path.name, path.read_bytes())
	        for source, pattern in SOURCES.items() for path in sorted(root.glob(pattern))]


def has_bounces():
	"""Does flufl.bounce's package have its tests' mails?  From 5.0 on it has not, and the corpus is a third smaller."""
	folder = packages.need("mails").root / "usr/lib/python3/dist-packages"
	versions = [int(re.search(r"-(\d+)\.", path.name)[1]) for path in folder.glob("flufl[._]bounce-*")]
	return min(versions) < 5


def body_start(data):
	"""Where the first empty line begins; the end of data where there is none."""
	match = EMPTY_LINE.search(data)
	return match.start(1) if match else len(data)


def without_from_line(data):
	return data[data.index(b"\n") + 1:] if re.match(rb"From [^\n]*\n", data) else data


def _mixed(data):
	"""CRLF and LF by turns."""
	lines = data.split(b"\n")
	return b"".join(line + (b"\r\n" if i % 2 else b"\n") for i, line in enumerate(lines[:-1])) + lines[-1]


def forms(data):
	"""The forms in which a mail can come: {name: bytes}."""
	lf = without_from_line(data.replace(b"\r\n", b"\n"))
	start = body_start(lf)
	return {
		"as it is": data,
		"LF": lf,
		"CRLF": lf.replace(b"\n", b"\r\n"),
		"LF and CRLF": _mixed(lf),
		"From_ line": b"From someone@client.example Mon Jun  1 10:00:00 2026\n" + lf,
		"body only": lf[start:].lstrip(b"\n"),
		"head only": lf[:start],
		"8-bit": lf[:start] + b"X-Name: caf\xe9 \xff\n" + lf[start:] + bytes(range(128, 256)),
		"NUL": lf[:start] + b"X-Zero: a\0b\n" + lf[start:] + b"\0\0\n\0",
		"no line end": lf.rstrip(b"\n"),
		"long line": lf + b"x" * 5000 + b"\n",
	}


# What a mail can have of its own, to say of which shapes the corpus is.
SHAPES = {
	"From_ line": re.compile(rb"From [^\n]*\n"),
	"CRLF": re.compile(rb"(?s).*?\r\n"),
	"8-bit": re.compile(rb"(?s)[^\x80-\xff]*[\x80-\xff]"),
	"multipart": re.compile(rb"(?is)(?:.*\n)?content-type:\s*multipart/"),
	"delivery report": re.compile(rb"(?is).*message/delivery-status"),
	"mail in a mail": re.compile(rb"(?is).*content-type:\s*message/rfc822"),
	"base64": re.compile(rb"(?is).*content-transfer-encoding:\s*base64"),
	"quoted-printable": re.compile(rb"(?is).*content-transfer-encoding:\s*quoted-printable"),
	"HTML": re.compile(rb"(?is).*content-type:\s*text/html"),
	"encoded words": re.compile(rb"(?s).*=\?[^?\s]+\?[QqBb]\?"),
	"X-Spam lines": re.compile(rb"(?is)(?:.*\n)?x-spam"),
	"no line end": re.compile(rb"(?s).*[^\n]\Z"),
}


def describe(some):
	"""How many mails there are, from where, and of which shapes: lines of text."""
	sources = [f"{sum(m.source == s for m in some)} {s}" for s in SOURCES]
	shapes = [f"{sum(bool(shape.match(m.data)) for m in some)} {name}" for name, shape in SHAPES.items()]
	shapes.append(f"{sum(body_start(m.data) == len(m.data) for m in some)} without an empty line")
	return [f"{len(some)} mails: " + ", ".join(sources), "of these: " + ", ".join(shapes)]

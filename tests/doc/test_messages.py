"""doc/troubleshooting.md lists every line that rspamd-shim writes to its log."""

import pathlib
import re
import unittest

TREE = pathlib.Path(__file__).resolve().parents[2]
DOCUMENT = TREE / "doc" / "troubleshooting.md"
STRING = r'"((?:[^"\\]|\\.)*)"'
# the arguments before the format
CALLS = {"log_msg": 1, "log_limited": 2, "conf_bad": 1}


def arguments(text, start):
	"""The arguments of the call whose parenthesis was opened before start."""
	depth, found, word = 0, [], ""
	for token in re.finditer(rf"{STRING}|.", text[start:], re.S):
		piece = token[0]
		if piece == ")" and depth == 0:
			return [*found, word]
		if piece == "," and depth == 0:
			found.append(word)
			word = ""
			continue
		depth += {"(": 1, ")": -1}.get(piece, 0)
		word += piece
	raise AssertionError("a call without an end")


def formats(text):
	"""What the calls in a source file say, with … for each conversion."""
	for call in re.finditer(rf"(?<!\w)({'|'.join(CALLS)})\(", text):
		given = arguments(text, call.end())
		wanted = given[CALLS[call[1]]]
		if "char *" in wanted:
			continue		# a declaration
		wanted = re.sub(r'\s*PRI\w+\s*(?=")', '"u"', wanted)
		fmt = "".join(re.findall(STRING, wanted)).replace(r"\"", '"')
		fmt = re.sub(r"%[-0-9.]*(?:ll|[lzh])?[a-z]", "…", fmt)
		while "……" in fmt:
			fmt = fmt.replace("……", "…")
		if re.search(r"[A-Za-z]{2}", fmt):
			yield fmt


def logged():
	return {fmt for path in (TREE / "shim").glob("*.c") for fmt in formats(path.read_text())}


def listed():
	"""The messages in the document's tables."""
	text = DOCUMENT.read_text()
	text = text[text.index("## Lines of the log"):]
	return re.findall(r"^\| `(.+?)` \|", text, re.M)


class Messages(unittest.TestCase):
	def test_extraction(self):
		self.assertEqual(list(formats('log_msg(LOG_ERR, "a socket " "is (%s), %s%s: \\"%.3f\\"", f(a, ")"), b);\n'
		                              'log_limited(1, x, "has %" PRIu64 " already", n); conf_bad(w, "%s", why);')),
		                 ['a socket is (…), …: "…"', "has … already"])
		self.assertGreater(len(logged()), 50)

	def test_all_are_listed(self):
		self.assertEqual(logged() - set(listed()), set())

	def test_nothing_else_is_listed(self):
		self.assertEqual(set(listed()) - logged(), set())

	def test_each_is_listed_once(self):
		self.assertEqual(len(listed()), len(set(listed())))


if __name__ == "__main__":
	unittest.main()

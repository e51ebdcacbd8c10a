"""The table of a run of test_matrix, made of its lines: rspamd × Exim, with the number of tests that passed."""

import pathlib
import re

DOCUMENT = pathlib.Path(__file__).resolve().parents[3] / "doc" / "releases.md"
CELL = re.compile(r"(ok|FAIL|skip) .*?\btest_matrix\.(Rspamd_(\d+(?:_\d+)*)(?:_Exim_(\d+(?:_\d+)*)_(\w+?)|_\w+)?)(?:\.|\))")
ALONE = "alone"			# the column of what is tested without Exim


def _number(text):
	return tuple(map(int, text.split("_")))


def _text(cell):
	"""What stands in a cell: cell is {(mode, word): count}, mode one of the four of dialect and transport."""
	passed = {mode: count for (mode, word), count in cell.items() if word == "ok"}
	bad = [f"{count} {word}" for kind, word in (("FAIL", "failed"), ("skip", "skipped"))
	       if (count := sum(n for (_, w), n in cell.items() if w == kind))]
	same = len(passed) > 1 and len(set(passed.values())) == 1
	text = f"{len(passed)} × {next(iter(passed.values()))}" if same else str(sum(passed.values()))
	return ", ".join([text, *bad])


def made(lines):
	"""A Markdown table; an empty text if none of the lines is about test_matrix."""
	cells = {}
	for line in lines:
		match = CELL.match(line)
		if match:
			word, _, rspamd, exim, mode = match.groups()
			cell = cells.setdefault((_number(rspamd), _number(exim) if exim else ALONE), {})
			cell[mode, word] = cell.get((mode, word), 0) + 1
	if not cells:
		return ""
	rows = sorted({rspamd for rspamd, _ in cells})
	columns = [*sorted({exim for _, exim in cells} - {ALONE}), ALONE]
	names = ["Exim " + ".".join(map(str, c)) if c != ALONE else "rspamd alone" for c in columns]
	table = [["rspamd", *names], ["---"] * (len(columns) + 1)]
	for row in rows:
		table.append([".".join(map(str, row)), *(_text(cells[row, c]) if (row, c) in cells else "" for c in columns)])
	return "\n".join(f"| {' | '.join(line)} |" for line in table)


def write(table, path=DOCUMENT):
	"""Put the table into the document, between its marks."""
	text = path.read_text()
	begin, end = (text.index(f"<!-- matrix: {word} -->\n") for word in ("begin", "end"))
	begin = text.index("\n", begin) + 1
	path.write_text(text[:begin] + table + "\n" + text[end:])

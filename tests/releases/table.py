"""The table of doc/releases.md: what ran last, of each release and step."""

import pathlib
import re
import time

from releases.release import RELEASES
from releases.steps import STEPS

BEGIN, END = "<!-- releases: begin -->", "<!-- releases: end -->"
NEVER = "–"


def parse(text):
	"""{(release, step): cell} of the document's table."""
	inside = text.partition(BEGIN)[2].partition(END)[0]
	rows = [[cell.strip() for cell in line.strip("| \n").split("|")] for line in inside.splitlines() if line.startswith("|")]
	titles = {title: name for name, (_, _, title) in RELEASES.items()}
	found = {}
	for row in rows[2:]:
		for step, cell in zip(STEPS, row[1:]):
			if row[0] in titles and cell != NEVER:
				found[titles[row[0]], step] = cell
	return found


def render(cells):
	lines = [f"| | {' | '.join(STEPS)} |", "|---" * (len(STEPS) + 1) + "|"]
	for name, (_, _, title) in RELEASES.items():
		lines.append(f"| {title} | {' | '.join(cells.get((name, step), NEVER) for step in STEPS)} |")
	return "\n".join(lines)


def write(path, results):
	"""Puts {(release, step): text} into the document's table, with the day; other cells stay."""
	text = path.read_text()
	day = time.strftime("%Y-%m-%d")
	cells = parse(text) | {key: re.sub(r"[|\n]", " ", f"{cell} ({day})") for key, cell in results.items()}
	head, _, rest = text.partition(BEGIN)
	path.write_text(f"{head}{BEGIN}\n{render(cells)}\n{END}{rest.partition(END)[2]}")

# SPDX-License-Identifier: GPL-2.0-or-later
"""Bars side by side, as SVG: a row for each quantity, a column for each size of message."""

from xml.sax.saxutils import escape

import tables

WIDTH, LEFT, GAP = 960, 190, 26
BAR, STEP, TITLE, HEAD = 13, 20, 34, 54
OWN, OTHER, FLOOR = "#1f5fa8", "#a9b4c0", "#d3dae2"
STYLE = ("text { font: 12px sans-serif; fill: #222 } .title { font-weight: bold } .size { fill: #666 } "
         ".about { fill: #666; font-size: 11px } .value { font-size: 11px }")
# Row: title, connections, value of (results, way, size, connections), text of a value.
ROWS = (
	("CPU for each message, 16 connections", 16, lambda r, w, s, n: r.median(w, s, n, "cpu"), tables.microseconds),
	("messages/s per core, 16 connections", 16, lambda r, w, s, n: _per_core(r, w, s, n), lambda x: f"{x:.0f}"),
	("added p50, 1 connection", 1, lambda r, w, s, n: r.added(w, s, n, "p50"), tables.microseconds),
	("added p99, 256 connections", 256, lambda r, w, s, n: r.added(w, s, n, "p99"), tables.microseconds),
	("added p99.9, 256 connections", 256, lambda r, w, s, n: r.added(w, s, n, "p999"), tables.microseconds),
	("peak memory, 256 connections", 256, lambda r, w, s, n: r.memory(w, s, n), lambda x: f"{x / 1048576:.0f} MiB"),
)
SHOWN = ("relay", "haproxy", "nginx", "rspamd_proxy", "shim", "relay-unix", "shim-unix")


def _per_core(r, way, size, n):
	cpu = r.median(way, size, n, "cpu")
	return 1e6 / cpu if cpu else None


def _text(x, y, text, cls="", anchor="start"):
	return f'<text x="{x:.0f}" y="{y:.0f}" class="{cls}" text-anchor="{anchor}">{escape(text)}</text>'


def _colour(way):
	return OWN if way.startswith("shim") else FLOOR if way.startswith("relay") else OTHER


def _panel(x, y, width, values, show):
	"""Bars from zero; a value below zero has no length."""
	lines = []
	most = max((v for _, v in values if v is not None), default=0)
	room = width - 62		# for the value's text
	for i, (way, value) in enumerate(values):
		top = y + i * STEP
		if value is None:
			lines.append(_text(x + 3, top + BAR - 2, "not measured", "value"))
			continue
		length = room * max(value, 0) / most if most > 0 else 0
		lines.append(f'<rect x="{x:.0f}" y="{top}" width="{max(length, 1):.1f}" height="{BAR}" fill="{_colour(way)}"/>')
		lines.append(_text(x + length + 4, top + BAR - 2, show(value), "value"))
	return lines


def svg(results, about, rows=ROWS):
	"""The picture; about is a line below its title."""
	sizes = sorted({size for size, _ in results.cells()})
	ways = [way for way in SHOWN if way in results.ways]
	rows = [row for row in rows if row[1] in {n for _, n in results.cells()}]
	width = (WIDTH - LEFT - GAP * len(sizes)) / len(sizes)
	height = HEAD + len(rows) * (TITLE + len(ways) * STEP + 6) + 8
	lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">',
	         f"<style>{STYLE}</style>", f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
	         _text(12, 22, "Hops between a mail server and rspamd (less is better, but for messages/s)", "title"),
	         _text(12, 40, about, "about")]
	y = HEAD
	for title, connections, value, show in rows:
		lines.append(_text(12, y + 14, title, "title"))
		top = y + TITLE
		for i, way in enumerate(ways):
			lines.append(_text(LEFT - 8, top + i * STEP + BAR - 2, results.ways[way].replace(", SPAMC", ""), "", "end"))
		for i, size in enumerate(sizes):
			x = LEFT + i * (width + GAP)
			lines.append(_text(x, y + 28, tables.SIZE_NAMES[size], "size"))
			lines += _panel(x, top, width, [(w, value(results, w, size, connections)) for w in ways], show)
		y = top + len(ways) * STEP + 6
	return "\n".join([*lines, "</svg>", ""])

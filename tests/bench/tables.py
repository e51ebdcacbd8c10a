# SPDX-License-Identifier: GPL-2.0-or-later
"""The results as tables in Markdown."""

import growth
import hops as hops_module

SIZE_NAMES = {size: name for name, size in hops_module.SIZES.items()}


def table(head, rows, texts=1):
	"""A table whose first columns are texts, and the rest numbers."""
	lines = [head, ["---"] * texts + ["---:"] * (len(head) - texts), *rows]
	return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def microseconds(x):
	"""Three digits that mean something."""
	if x is None:
		return ""
	return f"{x / 1000:.2f} ms" if abs(x) >= 1000 else f"{x:.0f} µs"


def _ratio(x):
	return "" if x is None else f"{x:.2f}"


def _mebibytes(x):
	return "" if x is None else f"{x / 1048576:.1f} MiB"


def _hop_row(r, way, title, size, n):
	cpu = r.median(way, size, n, "cpu")
	return [title, microseconds(cpu), microseconds(r.median(way, size, n, "user")),
	        _ratio(r.ratio(way, "haproxy", size, n) if cpu else None),
	        _ratio(r.ratio(way, "relay-unix" if way.endswith("-unix") else "relay", size, n) if cpu else None),
	        f"{1e6 / cpu:.0f}" if cpu else "", f"{r.median(way, size, n, 'rate'):.0f}",
	        *(microseconds(r.added(way, size, n, what) if cpu else r.median(way, size, n, what))
	          for what in ("p50", "p99", "p999")),
	        _mebibytes(r.memory(way, size, n))]


def hops(r):
	"""A table for each size and number of connections."""
	head = ["hop", "CPU", "its own", "of haproxy's", "of the relay's", "messages/s per core", "messages/s", "added p50",
	        "added p99", "added p99.9", "peak memory"]
	text = []
	for size, n in r.cells():
		rows = [_hop_row(r, way, title, size, n) for way, title in r.ways.items() if r.has(way, size, n)]
		text.append(f"**{SIZE_NAMES[size]}, {n} connection{'s' if n > 1 else ''}**\n\n{table(head, rows)}")
	text += [f"Left out: {why}" for why in r.left_out]
	return "\n\n".join(text)


def chains(results):
	lines = []
	exim, spamc = results["exim"], results["spamc"]
	if isinstance(exim, dict):
		lines.append(table(["chain", "mails/s", "ratio"],
		                   [["Exim → rspamd", f"{exim['straight']:.1f}", ""],
		                    ["Exim → rspamd-shim → rspamd", f"{exim['through']:.1f}", f"{exim['ratio']:.3f}"]]))
	else:
		lines.append(f"Left out: Exim: {exim}")
	if isinstance(spamc, dict):
		lines.append(table(["chain", "for each mail", "ratio"],
		                   [["spamc → spamd", f"{spamc['spamd']:.1f} ms", ""],
		                    ["spamc → rspamd-shim → rspamd", f"{spamc['shim']:.1f} ms", f"{spamc['ratio']:.3f}"]]))
	else:
		lines.append(f"Left out: spamc: {spamc}")
	tls = results["tls"]
	if isinstance(tls, dict):
		lines.append(table(["chain", "for each mail", "ratio"],
		                   [[f"rspamd-shim → rspamd {tls['rspamd']}", f"{tls['http']:.2f} ms", ""],
		                    ["the same by https, rspamd's own TLS", f"{tls['https']:.2f} ms", f"{tls['ratio']:.2f}"]]))
	else:
		lines.append(f"Left out: tls: {tls}")
	return "\n\n".join(lines)


def growths(points):
	rows = []
	for axis, found in points.items():
		rows.append([growth.AXES[axis][0], ", ".join(f"{n}" for n, _ in found),
		             ", ".join(f"{y / 1000:.0f}" for _, y in found),
		             f"{growth.exponent(found):.2f}" if len(found) > 1 else ""])
	return table(["what grows", "from, to", "thousand instructions", "steepest exponent"], rows, texts=3)


def targets(found):
	return table(["target", "limit", "measured", "verdict"], [t.row() for t in found])

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * report: the lines that tell a person, or an ACL, why.
 *
 * One layout for both dialects: action, subject, messages, milter
 * operations, symbols, Message-ID, and an end line that is always there and
 * says what was left out.  The syntax is that of rspamd 4.0's text replies
 * (its rspamd_ucl_torspamc_output()), but for X-Milter-Reject: discard, or
 * quarantine, which they do not have; the symbols of SPAMC are SpamAssassin's
 * table.  Every line ends with CRLF, is at most REPORT_LINE_MAX bytes long,
 * is not blank, and holds no control characters.
 *
 * To clients of SPAMC/1.3 and later, which are told the length of the report,
 * the same lines go as spamd writes them: with LF, and with nothing below the
 * table, for many clients (written in Go, Python or for Node) read that to the
 * end, one rule a line, and some fail over anything else.
 */
#ifndef REPORT_H_
#define REPORT_H_

#include "outcome.h"
#include "text.h"

/* Without the CRLF.  A header line may have 998 bytes. */
#define REPORT_LINE_MAX		900
/* Of a whole report: half of what Exim's buffer holds. */
#define REPORT_MAX		16000
/* How the end line starts. */
#define REPORT_END		"Report-End: "

enum report_layout {
	REPORT_RSPAMC,		/* Symbol: and X-Symbol: lines */
	REPORT_SPAMC,		/* SpamAssassin's table */
	REPORT_SPAMC_LF		/* the same, at the end, and with LF */
};

/*
 * Appends the report of O, and of the verdict V it came from (NULL if it is
 * none), at most REPORT_MAX bytes, to OUT.  OUT fails only where it has no
 * room for so much.
 */
void	report_write(struct text *out, const struct outcome *o,
	    const struct verdict *v, enum report_layout layout);

/*
 * Appends the names of V's symbols, joined by commas, in at most MAX bytes:
 * the answer to SYMBOLS.  V may be NULL as above.
 */
void	report_symbol_names(struct text *out, const struct outcome *o,
	    const struct verdict *v, size_t max);

#endif

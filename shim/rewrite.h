/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rewrite: the message that PROCESS and HEADERS give back, as a list of
 * pieces: text of ours, and ranges of the message as it came.  So the body
 * need not be copied, and is the same byte for byte.
 */
#ifndef REWRITE_H_
#define REWRITE_H_

#include <stdbool.h>
#include <stddef.h>

#include "outcome.h"
#include "text.h"
#include "verdict.h"

/* The head is looked for in so many bytes; the rest of a longer one is left
   as it is.  (Exim takes heads of 1 MB, Postfix of 100 KB.) */
#define REWRITE_WINDOW	1048576
/* A field whose name has more bytes is not added. */
#define REWRITE_NAME_MAX	128

enum rewrite_headers {
	REWRITE_SPAMASSASSIN,	/* X-Spam-Flag, -Checker-Version, -Level, … */
	REWRITE_RSPAMC,		/* those of rspamc --mime */
	REWRITE_RSPAMC_JSON,	/* of rspamc --mime --json */
	REWRITE_NONE		/* only what rspamd asks for */
};

/* What the configuration says.  Strings are not owned. */
struct rewrite_options {
	enum rewrite_headers headers;
	bool		 report;	/* add X-Spam-Report to spam */
	const char	*scanner;	/* "rspamd/3.4", as rspamd names itself;
					   NULL: it does not */
};

struct rewrite_piece {
	bool		 ours;		/* of the text, else of the message */
	size_t		 offset;
	size_t		 len;
};

struct rewrite {
	struct text	 text;		/* what is added */
	struct rewrite_piece *pieces;
	size_t		 npieces;
	size_t		 size;		/* pieces allocated */
	size_t		 head_end;	/* in the message: behind its empty line */
	bool		 more;		/* the head goes on behind what was seen */
	bool		 failed;
};

/*
 * Makes the pieces of the head of the message whose first LEN bytes are at
 * BUF; WHOLE: that is all of it.  What follows rw->head_end in the message
 * belongs behind them, unchanged.  RW, which need not be initialized, must be
 * freed in any case.  Returns 0, or -1 without memory or where rspamd wants
 * to add more than 256 KiB.
 *
 * If rw->more is set, more of the message is of use unless REWRITE_WINDOW
 * bytes were given.  A field that is not seen to its end is left alone.
 */
int	rewrite_message(struct rewrite *rw, const char *buf, size_t len,
	    bool whole, const struct outcome *o, const struct verdict *v,
	    const struct rewrite_options *options);

/* Frees what RW owns. */
void	rewrite_free(struct rewrite *rw);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rewrite: the head of a message as PROCESS and HEADERS give it back, with
 * marks of ours and without those of others (removal.h).  The body is not
 * touched.
 */
#ifndef REWRITE_H_
#define REWRITE_H_

#include <stdbool.h>
#include <stddef.h>

#include "outcome.h"
#include "verdict.h"

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

/*
 * The bytes of the head of the message that is the LEN bytes at BUF, or starts
 * with them: its first empty line is the last of it.  0: there is none.
 */
size_t	rewrite_head_length(const char *buf, size_t len);

/* Called with bytes of the new head, in their order; they are the message's own
   or valid for this call only.  Returns 0, or -1 to end it. */
typedef int rewrite_put(void *arg, const char *p, size_t n);

/*
 * Puts the new head of the message whose head is the LEN bytes at HEAD: all of
 * it, where it has no empty line.  What is added stands before the first line
 * that is no header field; what is removed may stand behind it.  Returns 0, or
 * -1 without memory, after a PUT that failed, or where rspamd wants to add more
 * than 256 KiB at one place.
 */
int	rewrite_message(const char *head, size_t len, const struct outcome *o,
	    const struct verdict *v, const struct rewrite_options *options,
	    rewrite_put *put, void *arg);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * account: what is known of a request at its end, as one line for the log.
 */
#ifndef ACCOUNT_H_
#define ACCOUNT_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "envelope.h"
#include "outcome.h"
#include "rspamd_request.h"
#include "spamd_request.h"
#include "text.h"

/* Of a line, with all its fields. */
#define ACCOUNT_LINE_MAX	3900

/* How it ended, beside the outcome. */
enum account_ending {
	ACCOUNT_REPLIED,
	ACCOUNT_SKIPPED,	/* SKIP: no reply was due */
	ACCOUNT_GONE		/* the client did not wait for its reply */
};

/* Seconds, by phase. */
struct account_times {
	double	read;
	double	queued;				/* for a rspamd to have room */
	double	connect, send, wait, receive;	/* of rspamd */
	double	total;
};

/* Nothing in it is owned. */
struct account {
	const char		*peer;
	const struct spamd_request *request;
	const struct envelope	*envelope;	/* NULL: nothing was known */
	const char		*envelope_from;	/* where it came from, or NULL */
	struct rspamd_request_left left;
	uint64_t		 size;		/* of the message, in bytes */
	const char		*backend;	/* NULL: none was asked */
	const char		*controller;	/* likewise, for TELL */
	const struct outcome	*outcome;	/* NULL: it came to none */
	enum account_ending	 ending;
	const char		*gone_why;	/* for ACCOUNT_GONE */
	struct account_times	 times;
};

/*
 * Appends A's line to OUT.  Returns whether all went well: an error, a
 * message that passed unscanned and a client that left are worth a warning.
 */
bool	account_line(struct text *out, const struct account *a);

#endif

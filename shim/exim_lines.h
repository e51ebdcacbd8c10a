/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exim_lines: the lines that Exim itself writes above a mail.
 *
 * First come those that it adds for the scanner (From_ and X-Envelope-*),
 * then its own Received:, which is part of the mail.  doc/envelope.md has
 * their forms.  What they say is returned as slices of the caller's bytes.
 */
#ifndef EXIM_LINES_H_
#define EXIM_LINES_H_

#include <stdbool.h>
#include <stddef.h>

#include "exim_client.h"
#include "slice.h"

enum exim_lines_result {
	EXIM_LINES_OK,
	EXIM_LINES_BAD,		/* no byte to come can make it right */
	EXIM_LINES_MORE		/* a line is not complete yet */
};

/* An empty slice means not known.  All zero before the first call. */
struct exim_lines {
	/* exim_lines_addresses() fills these */
	struct slice		sender;		/* empty: the null sender */
	struct slice		rcpts;		/* the list as it is there */
	struct slice		rcpt;		/* the first of them */
	size_t			nrcpt;

	/* exim_lines_received() fills these */
	struct exim_client	client;
	struct slice		by;		/* the mail server's own name */
	struct slice		protocol;	/* with Exim's marks */
	struct slice		queue_id;
};

/*
 * Takes the lines that are no part of the mail off the front of S.  S and
 * *SEEN are undefined unless the answer is EXIM_LINES_OK.
 */
enum exim_lines_result exim_lines_addresses(struct slice *s,
	    struct exim_lines *seen);

/*
 * Takes Exim's Received: off the front of S.  SEEN is what
 * exim_lines_addresses() made of the lines before: the same addresses must
 * stand here.  S and the fields that this function fills are undefined
 * unless the answer is EXIM_LINES_OK.
 */
enum exim_lines_result exim_lines_received(struct slice *s,
	    struct exim_lines *seen);

/*
 * Takes the next recipient off the front of *RCPTS, a copy of the field of
 * that name, as *RCPT.  False when there are no more.
 */
bool	exim_lines_next_rcpt(struct slice *rcpts, struct slice *rcpt);

#endif

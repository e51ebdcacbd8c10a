/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * removal: which header lines of a message are taken away: marks that only a
 * scanner may set, and what rspamd asks to remove.
 *
 * Mail programs disagree on what a header line is, and a sender makes use of
 * it.  So whatever one of them may take for a line of that name goes.  A line
 * begins behind a line feed, and behind a carriage return that is alone; lines
 * that begin with a blank continue it.  Its name is what stands before the
 * first colon, without all bytes that are not printing ASCII; case does not
 * matter.  What a lone carriage return ends without a colon may be the start
 * of a name that goes on behind it.
 */
#ifndef REMOVAL_H_
#define REMOVAL_H_

#include <stdbool.h>
#include <stddef.h>

#include "verdict.h"

/* What rspamd may ask for, and the subject. */
#define REMOVAL_RULES_MAX	(VERDICT_MILTER_MAX + 1)

/* Names are not owned.  All of it is private. */
struct removal {
	struct removal_rule {
		const char	*name;
		int		 index;	/* as in struct verdict_milter */
		unsigned long	 total;	/* fields of that name in the head */
		unsigned long	 seen;	/* of them so far */
	} rules[REMOVAL_RULES_MAX];
	size_t		 nrules;
	bool		 from_end;	/* a rule counts from the end */
	bool		 counting;
};

/* Called with bytes that stay, in their order. */
typedef void removal_keep(void *arg, const char *p, size_t n);

/* What V, which may be NULL, asks for, and marks; SUBJECT: the subject, too. */
void	removal_init(struct removal *r, const struct verdict *v, bool subject);

/* The end of the header field that begins at AT in the LEN bytes at BUF: of
   its line, and of those that continue it. */
size_t	removal_field_end(const char *buf, size_t len, size_t at);

/*
 * All fields of the LEN bytes at BUF are to be seen before the first is
 * filtered; where no rule needs it, this does nothing.
 */
void	removal_count(struct removal *r, const char *buf, size_t len);

/*
 * Calls KEEP for what stays of the field that is the N bytes at P, as
 * removal_field_end() finds it.  Fields come in their order.
 */
void	removal_filter(struct removal *r, const char *p, size_t n,
	    removal_keep *keep, void *arg);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rspamc_reply: what a RSPAMC client (Exim's variant=rspamd) gets, in the
 * syntax of rspamd 4.0's text replies and within what Exim can take.
 */
#ifndef RSPAMC_REPLY_H_
#define RSPAMC_REPLY_H_

#include "outcome.h"
#include "spamd_request.h"
#include "text.h"

/* An upper bound of any reply's length in bytes. */
#define RSPAMC_REPLY_MAX	17000

/*
 * Appends the reply to OUT: O, and the verdict V it came from, NULL if from
 * none.  Returns 0, or -1 where OUT failed.
 */
int	rspamc_reply(struct text *out, const struct outcome *o,
	    const struct verdict *v);

#endif

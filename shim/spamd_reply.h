/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * spamd_reply: what a SPAMC client gets, byte for byte as spamd writes it
 * (SpamAssassin 4.0.1; Exim and spamc depend on the form by version).
 */
#ifndef SPAMD_REPLY_H_
#define SPAMD_REPLY_H_

#include "outcome.h"
#include "spamd_request.h"
#include "text.h"

/* An upper bound of any reply's length in bytes. */
#define SPAMD_REPLY_MAX		32000

/*
 * Appends the reply to R (of the SPAMC dialect, or a first line that was not
 * understood) to OUT: O, and the verdict V it came from, NULL if from none.
 * Returns 0, or -1 where OUT failed.
 */
int	spamd_reply(struct text *out, const struct spamd_request *r,
	    const struct outcome *o, const struct verdict *v);

/*
 * Appends what stands before the message in the reply to PROCESS or HEADERS;
 * the LENGTH bytes of the message follow.  Returns 0, or -1 where OUT failed.
 */
int	spamd_reply_message(struct text *out, const struct spamd_request *r,
	    const struct outcome *o, uint64_t length);

/*
 * Appends the reply to TELL: what was set and removed, of SPAMD_LOCAL and
 * SPAMD_REMOTE.  Returns 0, or -1 where OUT failed.
 */
int	spamd_reply_tell(struct text *out, unsigned int did_set,
	    unsigned int did_remove);

#endif

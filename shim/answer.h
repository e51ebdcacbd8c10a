/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * answer: the bytes of a reply, whatever the command, in an evbuffer.
 */
#ifndef ANSWER_H_
#define ANSWER_H_

#include <stdbool.h>

#include "message.h"
#include "outcome.h"
#include "rewrite.h"
#include "spamd_request.h"
#include "tell.h"
#include "verdict.h"

struct evbuffer;

/* Nothing in it is owned. */
struct answer {
	const struct spamd_request *request;
	const struct outcome	*outcome;
	const struct verdict	*verdict;	/* NULL: there is none */
	const struct tell	*tell;		/* NULL: nothing was told */
	struct message		*message;
	struct rewrite_options	 rewrite;
};

/* Does the client that asks for R want its message back? */
bool	answer_has_message(const struct spamd_request *r);

/*
 * Appends the answer A to OUT.  A message that goes back is moved there, not
 * copied: A's is empty then.  Returns 0, or -1 without memory, when OUT may
 * hold a part.
 */
int	answer_write(struct evbuffer *out, const struct answer *a);

#endif

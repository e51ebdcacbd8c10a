/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * intake: one request as it comes from its client: the head, then the
 * message, which is read only as far as there is memory for it.
 */
#ifndef INTAKE_H_
#define INTAKE_H_

#include <stdbool.h>
#include <stdint.h>

#include "budget.h"
#include "message.h"
#include "spamd_request.h"

struct intake;
struct stream;

enum intake_progress {
	INTAKE_MORE,		/* more is to come, or it waits for memory */
	INTAKE_HEAD,		/* the head is there; intake_message() goes on */
	INTAKE_WHOLE,		/* and so is the message */
	INTAKE_BAD,		/* it cannot be read: intake_error() */
	INTAKE_CUT		/* the client has ended it before its head did */
};

/* Called from the event loop with what came of memory that was granted. */
typedef void intake_cb(enum intake_progress progress, void *arg);

/*
 * The intake of a request from S, of a message of MAX bytes at most, with
 * memory from B; both must outlive it.  NULL without memory.
 */
struct intake *intake_new(struct stream *s, struct budget *b, uint64_t max,
	    intake_cb *cb, void *arg);

/* Frees I, its request and its message; NULL is allowed. */
void	intake_free(struct intake *i);

/* Takes what has come; EOM: the client has half-closed. */
enum intake_progress intake_take(struct intake *i, bool eom);

/* The message of the request whose head is there is wanted. */
enum intake_progress intake_message(struct intake *i);

/* What was wrong with it; owned by I, or static. */
const char *intake_error(const struct intake *i);

/* Has the client sent anything?  Does it wait until there is memory? */
bool	intake_begun(const struct intake *i);
bool	intake_waits(const struct intake *i);

/* The message is whole, and takes no more memory than it has.  What still comes
   is read, to see the client leave. */
void	intake_settle(struct intake *i);

/* The message and its recipients are not needed any longer, only their number
   is; what still comes is to be read away. */
void	intake_drop(struct intake *i);

/* The parts, as far as they are there; owned by I. */
struct spamd_request *intake_request(struct intake *i);
struct message *intake_body(struct intake *i);

#endif

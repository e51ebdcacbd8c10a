/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pool: which rspamd is to have a message.
 *
 * Of those that are up (breaker.h) and have room (max_requests, room.h), the ones of the lowest
 * priority number; of these the one with the fewest messages for its weight.
 * Where there is none, messages wait for one in a queue with an end.  All of
 * it is one worker's own: workers find out by themselves who is up.
 */
#ifndef POOL_H_
#define POOL_H_

#include <sys/queue.h>

#include <stdbool.h>
#include <stddef.h>

#include "attempts.h"
#include "backend.h"
#include "breaker.h"
#include "conf.h"
#include "metrics.h"
#include "outcome.h"

struct event_base;
struct pool;

/* How it went with a rspamd. */
enum pool_result {
	POOL_WELL,		/* it answered as a rspamd does */
	POOL_ILL,		/* it did not */
	POOL_ABSENT,		/* nobody is there */
	POOL_REFUSED,		/* it is full: it could not have read it */
	POOL_UNKNOWN		/* nothing can be said: cancelled, our own fault */
};

/* Why pool_take() gave none. */
enum pool_lack {
	POOL_BUSY,		/* those that are up have max_requests */
	POOL_FULL,		/* those that are up refuse more, or this one */
	POOL_TRYING,		/* none is up, but one is being tried */
	POOL_DOWN,		/* none is up */
	POOL_TRIED		/* all that are up were tried */
};

/* Called when it may be worthwhile to call pool_take() again. */
typedef void pool_cb(void *arg);

/* One that waits; its owner's, who fills in the three first. */
struct pool_waiter {
	pool_cb		*cb;
	void		*arg;
	const struct attempt *attempts;
	TAILQ_ENTRY(pool_waiter) entry;	/* private, as is the rest */
	bool		 waiting;
};

/*
 * A pool of BS, the backends of CONF, for the worker of SLOT of the metrics;
 * all of them must outlive it.  Workers begin with different backends.  Owned
 * by the caller.  NULL without memory.
 */
struct pool *pool_new(struct event_base *base, const struct conf *conf,
	    struct backends *bs, struct metrics *metrics, size_t slot);
void	pool_free(struct pool *p);

/* How many rspamds there are; the I-th. */
size_t	pool_count(const struct pool *p);
struct backend *pool_backend(struct pool *p, size_t i);

/*
 * Chooses a rspamd for a message, of those that its ATTEMPTS, one for each,
 * allow.  Returns its number, to be given back with pool_done(), or -1
 * with the reason in *LACK.
 */
int	pool_take(struct pool *p, const struct attempt *attempts,
	    enum pool_lack *lack);

/*
 * The message that the I-th was taken for is through with it, after so many
 * seconds; F is what went wrong, if something did, and WHY says it in words.
 */
void	pool_done(struct pool *p, size_t i, enum pool_result result,
	    enum failure f, double seconds, const char *why);

/*
 * Puts W into the queue; false if that is full.  Its callback, from the event
 * loop, takes it out again first, as does pool_unwait(), which may be called
 * any time.
 */
bool	pool_wait(struct pool *p, struct pool_waiter *w);
void	pool_unwait(struct pool *p, struct pool_waiter *w);
size_t	pool_waiting(const struct pool *p);

/* Are those who wait about to be called?  A message that comes now is behind
   them. */
bool	pool_calls(const struct pool *p);

/* What the I-th has shown of itself so far. */
struct attempts_signs pool_signs(const struct pool *p, size_t i);

/* The state of the I-th, how many messages it has, its last fault ("" if
   there was none). */
enum breaker_state pool_state(const struct pool *p, size_t i);
size_t	pool_active(const struct pool *p, size_t i);
const char *pool_fault(const struct pool *p, size_t i);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * scan: a message's way to its verdict, over the rspamd that the pool has
 * for it or, where that cannot be had, the next.
 */
#ifndef SCAN_H_
#define SCAN_H_

#include "conf.h"
#include "envelope.h"
#include "exchange.h"
#include "outcome.h"
#include "pool.h"
#include "rspamd_request.h"
#include "spamd_request.h"
#include "verdict.h"

struct evbuffer;
struct event_base;
struct scan;

/* Called once, when it is over; may free S. */
typedef void scan_cb(struct scan *s, void *arg);

/* What is to be scanned.  Nothing in it is owned; all must live as long. */
struct scan_job {
	const struct conf	*conf;
	const struct conf_listen *listen;
	struct pool		*pool;
	const struct spamd_request *request;
	const struct envelope	*envelope;	/* NULL: nothing is known */
	const char		*mta_name;	/* the mail server's; NULL: unknown */
	struct evbuffer		*body;
	const char		*peer;		/* for the log */
};

/* Starts JOB.  CB is called later, never from here.  NULL without memory. */
struct scan *scan_new(struct event_base *base, const struct scan_job *job,
	    scan_cb *cb, void *arg);

/* Frees S, which need not be over: then it is cancelled.  NULL is allowed. */
void	scan_free(struct scan *s);

/* How it ended; the outcome's strings belong to S. */
const struct outcome *scan_outcome(const struct scan *s);

/* The verdict, or NULL; owned by S. */
const struct verdict *scan_verdict(const struct scan *s);

/* rspamd's name and version, as it says; NULL if it does not. */
const char *scan_scanner(const struct scan *s);

/* The backend that is, or was last, asked, NULL if none was; what it was not
   told; how long the message waited for one, in seconds. */
const char *scan_backend(const struct scan *s);
struct rspamd_request_left scan_left(const struct scan *s);
double	scan_queued(const struct scan *s);

/* Seconds in each phase with that backend, so far. */
struct exchange_times scan_times(const struct scan *s);

#endif

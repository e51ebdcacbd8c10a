/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tell: what SpamAssassin's TELL asks for, done by rspamd's controllers.
 *
 *	Set: local	learnspam or learnham, by Message-class:
 *	Set: remote	fuzzyadd, where a fuzzy storage is configured
 *	Remove: remote	fuzzydel, likewise
 *	Remove: local	fuzzydel, likewise: rspamd's Bayes forgets nothing
 *
 * Each is done at each controller, one after the other.  A message that is
 * learned already is no failure, so a client can try again.  A password that
 * a controller has refused is not sent again for a while (password_guard.h).
 */
#ifndef TELL_H_
#define TELL_H_

#include "backend.h"
#include "conf.h"
#include "metrics.h"
#include "outcome.h"
#include "spamd_request.h"

struct evbuffer;
struct event_base;
struct tell;

/* Called once, when it is over; may free T. */
typedef void tell_cb(struct tell *t, void *arg);

/*
 * Why R cannot be done with this configuration, in words, and *F which kind
 * of failure that is; NULL if it can.
 */
const char *tell_refusal(const struct conf *conf,
	    const struct spamd_request *r, enum failure *f);

/* What is to be done.  Nothing in it is owned; all must live as long. */
struct tell_job {
	const struct conf	*conf;
	struct backends		*controllers;
	struct metrics		*metrics;	/* where it is counted, */
	size_t			 slot;		/* by the worker of this slot */
	const struct spamd_request *request;
	const char		*deliver_to;	/* whose learning; or NULL */
	struct evbuffer		*body;
};

/* Starts JOB.  CB is called later, never from here.  NULL without memory. */
struct tell *tell_new(struct event_base *base, const struct tell_job *job,
	    tell_cb *cb, void *arg);

/* Frees T, which need not be over: then it is cancelled.  NULL is allowed. */
void	tell_free(struct tell *t);

/* FAILURE_NONE, or what failed; and what there is to say about it. */
enum failure tell_failure(const struct tell *t);
const char *tell_reason(const struct tell *t);

/* What was set and removed, of SPAMD_LOCAL and SPAMD_REMOTE. */
unsigned int tell_did_set(const struct tell *t);
unsigned int tell_did_remove(const struct tell *t);

/* The controller that was asked last. */
const char *tell_backend(const struct tell *t);

#endif

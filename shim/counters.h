/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * counters: what is counted, for the administrator who watches.
 *
 * The structures consist of counters alone and live in shared memory (see
 * metrics.h): whoever owns one writes to it, others may read it meanwhile.
 * All of them only grow, except what is said to be a state of now.
 */
#ifndef COUNTERS_H_
#define COUNTERS_H_

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "account.h"
#include "outcome.h"
#include "spamd_request.h"

#define COUNTERS_DIALECTS	(SPAMD_RSPAMC + 1)
#define COUNTERS_COMMANDS	(SPAMD_SKIP + 1)
#define COUNTERS_FAILURES	(FAILURE_INTERNAL + 1)	/* the last of them */

/* How requests end; their names are those of the log. */
enum counters_outcome {
	COUNTERS_VERDICT,
	COUNTERS_UNSCANNED,
	COUNTERS_ERROR,
	COUNTERS_GONE,
	COUNTERS_OK,
	COUNTERS_OUTCOMES
};
extern const char *const counters_outcome_names[COUNTERS_OUTCOMES];

/* rspamd's actions; the last stands for all custom ones. */
#define COUNTERS_ACTIONS	7
extern const char *const counters_action_names[COUNTERS_ACTIONS];

/* Where envelopes come from: the log's words. */
#define COUNTERS_ENVELOPES	5
extern const char *const counters_envelope_names[COUNTERS_ENVELOPES];

/* Upper bounds in seconds; the last bucket has none. */
#define COUNTERS_BUCKETS	16
extern const double counters_bounds[COUNTERS_BUCKETS - 1];

struct counters_histogram {
	_Atomic uint64_t bucket[COUNTERS_BUCKETS];	/* each by itself */
	_Atomic uint64_t usec;				/* the sum of all */
};

/* What is so now; nothing, once the worker has died. */
struct counters_now {
	_Atomic uint64_t connections;
	_Atomic uint64_t queued;	/* requests that wait for a backend */
	_Atomic uint64_t held;		/* bytes of messages in memory */
};

/* Of one worker, or the sum of them. */
struct counters {
	struct counters_now now;
	_Atomic uint64_t accepted;	/* connections that were served */
	_Atomic uint64_t refused;	/* those that were turned away */
	_Atomic uint64_t received, sent;	/* bytes, from and to clients */
	_Atomic uint64_t request[COUNTERS_DIALECTS][COUNTERS_COMMANDS]
	    [COUNTERS_OUTCOMES];
	_Atomic uint64_t action[COUNTERS_ACTIONS];	/* of verdicts */
	_Atomic uint64_t failure[COUNTERS_FAILURES];	/* errors, unscanned */
	_Atomic uint64_t envelope[COUNTERS_ENVELOPES];
	_Atomic uint64_t log_lost;	/* lines that nobody read */
	_Atomic uint64_t log_repeated;	/* lines told of as repeated */
	/* seconds of requests with a message that were answered */
	struct counters_histogram read;		/* until the message was there */
	struct counters_histogram wait;		/* from then on, for rspamd */
	struct counters_histogram total;
};

/* May a backend have requests? */
enum counters_circuit {
	COUNTERS_CLOSED,	/* yes */
	COUNTERS_OPEN,		/* no: it failed too often */
	COUNTERS_HALF_OPEN,	/* one, to see whether it is well again */
	COUNTERS_CIRCUITS
};
extern const char *const counters_circuit_names[COUNTERS_CIRCUITS];

struct counters_backend_now {
	_Atomic uint64_t active;	/* exchanges */
	_Atomic uint64_t circuit;	/* enum counters_circuit */
	_Atomic uint64_t weight;	/* in thousandths, as it is used now;
					   of a snapshot, the mean of workers */
};

/* One worker's view of one backend, or the sum of them. */
struct counters_backend {
	struct counters_backend_now now;
	_Atomic uint64_t result[COUNTERS_FAILURES];	/* NONE: it answered */
	_Atomic uint64_t cancelled;	/* nobody waited any more */
	struct counters_histogram seconds;	/* of exchanges that were not */
};

/* The daemon; its supervisor writes it. */
struct counters_daemon {
	_Atomic uint64_t started;	/* seconds since 1970 */
	_Atomic uint64_t reloads, reloads_failed;
	_Atomic uint64_t workers_started;
	_Atomic uint64_t workers_died;	/* by a signal, or with an error */
	_Atomic uint64_t stopping;	/* state of now: 0 or 1 */
};

#define COUNTERS_BACKENDS	64
#define COUNTERS_URL_MAX	256

/* All of it at one moment. */
struct counters_snapshot {
	struct counters		sum;
	struct counters_daemon	daemon;
	uint64_t		serving, finishing;	/* workers */
	size_t			nbackend;
	struct counters_snapshot_backend {
		char		url[COUNTERS_URL_MAX];	/* printing ASCII */
		bool		learns;		/* a controller */
		bool		configured;	/* since the last reload */
		struct counters_backend sum;
		/* by how many of the workers that serve it is seen so */
		uint64_t	circuit[COUNTERS_CIRCUITS];
	} backend[COUNTERS_BACKENDS];
};

/* Counts the request that A tells of, at its end. */
void	counters_request(struct counters *c, const struct account *a);

/* Counts an exchange with a backend: how it ended, after so many seconds. */
void	counters_exchange(struct counters_backend *b, enum failure f,
	    double seconds);

/* One more that took so long.  What is below 0 counts as 0. */
void	counters_observe(struct counters_histogram *h, double seconds);

/* How many there are in H; how many requests ended with outcome O. */
uint64_t counters_observed(const struct counters_histogram *h);
uint64_t counters_ended(const struct counters *c, enum counters_outcome o);

/* Adds C, B to SUM. */
void	counters_add(struct counters *sum, const struct counters *c);
void	counters_add_backend(struct counters_backend *sum,
	    const struct counters_backend *b);

#endif

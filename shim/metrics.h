/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * metrics: the counters of all workers in one place, shared memory, so that
 * they outlive a worker that dies, and a reload.
 *
 * One slot per worker process; only its worker writes to it.  The next
 * worker of the slot goes on where the last one ended.
 */
#ifndef METRICS_H_
#define METRICS_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "counters.h"

struct metrics;

/* What the worker of a slot does. */
enum metrics_worker {
	METRICS_NONE,		/* there is none */
	METRICS_SERVING,
	METRICS_FINISHING	/* no new clients */
};

/* For N slots; NULL without memory.  The supervisor owns it; its children
   have copies of their own, and share the counters. */
struct metrics *metrics_new(size_t n);
void	metrics_free(struct metrics *m);

/* The counters of slot I. */
struct counters *metrics_counters(struct metrics *m, size_t i);

/* The worker of slot I has a client more, or one less. */
void	metrics_opened(struct metrics *m, size_t i);
void	metrics_closed(struct metrics *m, size_t i);

/* More connections than a worker can have: nobody's number. */
#define METRICS_CONNECTIONS_MAX	1000000

/*
 * Connections of all slots now.  A slot whose number is above
 * METRICS_CONNECTIONS_MAX counts for nothing: whoever spoilt it must not lock
 * the clients of other workers out.
 */
uint64_t metrics_active(const struct metrics *m);

/*
 * The supervisor says what the worker of slot I does; with METRICS_NONE its
 * connections and all else of now are over.  Said again from time to time, it
 * mends what was overwritten.
 */
void	metrics_worker(struct metrics *m, size_t i, enum metrics_worker w);

/* The event loop of slot I's worker has come round: about once a second. */
void	metrics_beat(struct metrics *m, size_t i);

/* How often it has; 0 until the worker serves. */
uint64_t metrics_beats(const struct metrics *m, size_t i);

/* What is counted of the daemon; the supervisor writes there. */
struct counters_daemon *metrics_daemon(struct metrics *m);

/*
 * The backends, numbered in the order in which their URLs were first seen:
 * they keep their number over a reload, and with it what was counted.  The
 * supervisor calls metrics_forget_backends() and then adds those that are
 * configured now; LEARNS: it is a controller.
 */
void	metrics_forget_backends(struct metrics *m);
void	metrics_add_backend(struct metrics *m, const char *url, bool learns);

/* The number of a backend.  For one that is not known it is that of an entry
   which counts for nothing. */
size_t	metrics_find_backend(const struct metrics *m, const char *url,
	    bool learns);

/* What the worker of slot I counts of the backend of this number. */
struct counters_backend *metrics_backend(struct metrics *m, size_t i,
	    size_t backend);

/* Adds all up. */
void	metrics_snapshot(struct metrics *m, struct counters_snapshot *s);

#endif

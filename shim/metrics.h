/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * metrics: counters of all workers in one place, shared memory, so that
 * they outlive a worker that dies.
 *
 * One slot per worker process; only its worker writes to it.
 */
#ifndef METRICS_H_
#define METRICS_H_

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct metrics;

struct metrics_slot {
	_Atomic uint64_t active;	/* connections now: metrics_opened() */
	_Atomic uint64_t accepted;	/* connections ever */
	_Atomic uint64_t verdicts;	/* replies with rspamd's verdict */
	_Atomic uint64_t passed;	/* unscanned, by policy */
	_Atomic uint64_t failed;	/* error replies */
	_Atomic uint64_t gone;		/* clients that left before their reply */
	_Atomic uint64_t other;		/* PING, SKIP, TELL */
};

/* Shared memory for N slots; NULL without memory.  Never freed. */
struct metrics *metrics_new(size_t n);

/* The I-th slot. */
struct metrics_slot *metrics_slot(struct metrics *m, size_t i);

/* The worker of slot I has a client more, or one less. */
void	metrics_opened(struct metrics *m, size_t i);
void	metrics_closed(struct metrics *m, size_t i);

/* Connections of all slots now. */
uint64_t metrics_active(struct metrics *m);

/* The worker of slot I has died: its connections are over. */
void	metrics_died(struct metrics *m, size_t i);

/* Adds up all slots into SUM. */
void	metrics_sum(struct metrics *m, struct metrics_slot *sum);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/mman.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics.h"

/* A backend, by its number. */
struct known {
	char	 url[COUNTERS_URL_MAX];
	bool	 learns;
	bool	 configured;
};

/* A cache line or more each: workers do not share one. */
struct slot {
	_Alignas(64) struct counters counters;
	struct counters_backend	 backend[COUNTERS_BACKENDS + 1];
	_Atomic int		 worker;	/* enum metrics_worker */
	_Atomic uint64_t	 beats;		/* of the worker's event loop */
};

/*
 * The shared memory.  Any process of the daemon may have written any bytes
 * here, for it may have been taken over: what is read is a number to show or
 * to compare, never a bound, an index or a length that is trusted.
 */
struct shared {
	_Atomic size_t	 used;		/* slots that ever had a worker */
	struct counters_daemon daemon;
	struct slot	 slots[];
};

/* Each process has its own, as the supervisor had it when that was started. */
struct metrics {
	size_t		 n;		/* slots */
	size_t		 used;		/* of them; the supervisor's */
	uint64_t	 open;		/* connections; a worker's */
	size_t		 nknown;
	struct known	 known[COUNTERS_BACKENDS];
	struct shared	*shared;
};

struct metrics *
metrics_new(size_t n)
{
	struct metrics *m;
	void *p;

	p = mmap(NULL, sizeof(*m->shared) + n * sizeof(m->shared->slots[0]),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	if ((m = calloc(1, sizeof(*m))) == NULL) {
		(void)munmap(p, sizeof(*m->shared) +
		    n * sizeof(m->shared->slots[0]));
		return NULL;
	}
	m->n = n;
	m->shared = p;
	return m;
}

void
metrics_free(struct metrics *m)
{
	if (m == NULL)
		return;
	(void)munmap(m->shared, sizeof(*m->shared) +
	    m->n * sizeof(m->shared->slots[0]));
	free(m);
}

struct counters *
metrics_counters(struct metrics *m, size_t i)
{
	return &m->shared->slots[i].counters;
}

/* How many slots ever had a worker, as far as the shared memory is right. */
static size_t
slots_used(const struct metrics *m)
{
	size_t used = m->shared->used;

	return used < m->n ? used : m->n;
}

void
metrics_opened(struct metrics *m, size_t i)
{
	metrics_counters(m, i)->now.connections = ++m->open;
	metrics_counters(m, i)->accepted++;
}

void
metrics_closed(struct metrics *m, size_t i)
{
	metrics_counters(m, i)->now.connections = --m->open;
}

uint64_t
metrics_active(const struct metrics *m)
{
	size_t i, n = slots_used(m);
	uint64_t sum = 0, one;

	for (i = 0; i < n; i++) {
		one = m->shared->slots[i].counters.now.connections;
		if (one <= METRICS_CONNECTIONS_MAX)
			sum += one;
	}
	return sum;
}

/* A worker has ended: nothing of it is so any more. */
static void
forget_now(struct slot *s)
{
	struct counters_now *now = &s->counters.now;
	size_t i;

	now->connections = 0;
	s->beats = 0;
	now->queued = 0;
	now->held = 0;
	for (i = 0; i < COUNTERS_BACKENDS; i++) {
		s->backend[i].now.active = 0;
		s->backend[i].now.circuit = COUNTERS_CLOSED;
		s->backend[i].now.weight = 0;
	}
}

void
metrics_worker(struct metrics *m, size_t i, enum metrics_worker w)
{
	if (w != METRICS_NONE && i >= m->used)
		m->used = i + 1;
	m->shared->used = m->used;
	if (i >= m->used)
		return;
	m->shared->slots[i].worker = (int)w;
	if (w == METRICS_NONE)
		forget_now(&m->shared->slots[i]);
}

void
metrics_beat(struct metrics *m, size_t i)
{
	metrics_counters(m, i)->now.connections = m->open;
	m->shared->slots[i].beats++;
}

uint64_t
metrics_beats(const struct metrics *m, size_t i)
{
	return m->shared->slots[i].beats;
}

struct counters_daemon *
metrics_daemon(struct metrics *m)
{
	return &m->shared->daemon;
}

void
metrics_forget_backends(struct metrics *m)
{
	size_t i;

	for (i = 0; i < m->nknown; i++)
		m->known[i].configured = false;
}

void
metrics_add_backend(struct metrics *m, const char *url, bool learns)
{
	size_t i = metrics_find_backend(m, url, learns);

	if (i == COUNTERS_BACKENDS) {
		if (m->nknown == COUNTERS_BACKENDS)
			return;
		i = m->nknown;
		(void)snprintf(m->known[i].url, sizeof(m->known[i].url), "%s",
		    url);
		m->known[i].learns = learns;
		m->nknown++;
	}
	m->known[i].configured = true;
}

size_t
metrics_find_backend(const struct metrics *m, const char *url, bool learns)
{
	size_t i;

	for (i = 0; i < m->nknown; i++)
		if (m->known[i].learns == learns && strncmp(m->known[i].url,
		    url, sizeof(m->known[i].url) - 1) == 0)
			return i;
	return COUNTERS_BACKENDS;
}

struct counters_backend *
metrics_backend(struct metrics *m, size_t i, size_t backend)
{
	return &m->shared->slots[i].backend[backend];
}

/* Does it accept clients?  Its event loop has come round once, then. */
static bool
is_serving(const struct slot *s)
{
	return s->worker == METRICS_SERVING && s->beats > 0;
}

/* Adds what the worker of slot S knows of backend I. */
static void
add_backend(const struct slot *s, size_t i,
    struct counters_snapshot_backend *to)
{
	const struct counters_backend *b = &s->backend[i];
	uint64_t circuit = b->now.circuit, weight = to->sum.now.weight;

	counters_add_backend(&to->sum, b);
	/* those that finish look no more after who is well */
	if (!is_serving(s)) {
		to->sum.now.weight = weight;
		return;
	}
	if (circuit < COUNTERS_CIRCUITS)
		to->circuit[circuit]++;
}

/* The readers of a snapshot get no bytes that they would have to escape. */
static void
copy_printing(char *to, const char *from)
{
	do {
		*to++ = (unsigned char)*from > 0x20 &&
		    (unsigned char)*from < 0x7f ? *from : '?';
	} while (*from++ != '\0');
	to[-1] = '\0';
}

void
metrics_snapshot(struct metrics *m, struct counters_snapshot *s)
{
	const struct slot *slot;
	size_t i, k, used = slots_used(m);

	memset(s, 0, sizeof(*s));
	memcpy(&s->daemon, &m->shared->daemon, sizeof(s->daemon));
	s->nbackend = m->nknown;
	for (k = 0; k < s->nbackend; k++) {
		copy_printing(s->backend[k].url, m->known[k].url);
		s->backend[k].learns = m->known[k].learns;
		s->backend[k].configured = m->known[k].configured;
	}
	for (i = 0; i < used; i++) {
		slot = &m->shared->slots[i];
		s->serving += is_serving(slot);
		s->finishing += slot->worker == METRICS_FINISHING;
		counters_add(&s->sum, &slot->counters);
		for (k = 0; k < s->nbackend; k++)
			add_backend(slot, k, &s->backend[k]);
	}
	for (k = 0; s->serving > 0 && k < s->nbackend; k++)
		s->backend[k].sum.now.weight /= s->serving;
}

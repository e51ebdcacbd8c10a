/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/mman.h>

#include <stdio.h>
#include <string.h>

#include "metrics.h"

struct known {
	char		 url[COUNTERS_URL_MAX];
	bool		 learns;
	_Atomic bool	 configured;
};

/* A cache line or more each: workers do not share one. */
struct slot {
	_Alignas(64) struct counters counters;
	struct counters_backend	 backend[COUNTERS_BACKENDS + 1];
	_Atomic int		 worker;	/* enum metrics_worker */
	_Atomic uint64_t	 beats;		/* of the worker's event loop */
};

struct metrics {
	size_t		 n;
	_Atomic size_t	 used;		/* slots that ever had a worker */
	_Atomic uint64_t active;	/* connections of all slots */
	struct counters_daemon daemon;
	struct known	 known[COUNTERS_BACKENDS];
	_Atomic size_t	 nknown;
	struct slot	 slots[];
};

struct metrics *
metrics_new(size_t n)
{
	struct metrics *m;

	m = mmap(NULL, sizeof(*m) + n * sizeof(m->slots[0]),
	    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED)
		return NULL;
	m->n = n;
	return m;
}

struct counters *
metrics_counters(struct metrics *m, size_t i)
{
	return &m->slots[i].counters;
}

void
metrics_opened(struct metrics *m, size_t i)
{
	m->slots[i].counters.now.connections++;
	m->slots[i].counters.accepted++;
	m->active++;
}

void
metrics_closed(struct metrics *m, size_t i)
{
	m->slots[i].counters.now.connections--;
	m->active--;
}

uint64_t
metrics_active(struct metrics *m)
{
	return m->active;
}

/* A worker has ended: nothing of it is so any more. */
static void
forget_now(struct metrics *m, struct slot *s)
{
	struct counters_now *now = &s->counters.now;
	size_t i;

	m->active -= atomic_exchange(&now->connections, 0);
	s->beats = 0;
	now->queued = 0;
	now->held = 0;
	for (i = 0; i < m->nknown; i++) {
		s->backend[i].now.active = 0;
		s->backend[i].now.circuit = COUNTERS_CLOSED;
		s->backend[i].now.weight = 0;
	}
}

void
metrics_worker(struct metrics *m, size_t i, enum metrics_worker w)
{
	m->slots[i].worker = (int)w;
	if (w == METRICS_NONE)
		forget_now(m, &m->slots[i]);
	else if (i >= m->used)
		m->used = i + 1;
}

void
metrics_beat(struct metrics *m, size_t i)
{
	m->slots[i].beats++;
}

uint64_t
metrics_beats(const struct metrics *m, size_t i)
{
	return m->slots[i].beats;
}

struct counters_daemon *
metrics_daemon(struct metrics *m)
{
	return &m->daemon;
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
	return &m->slots[i].backend[backend];
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
	size_t i, k;

	memset(s, 0, sizeof(*s));
	memcpy(&s->daemon, &m->daemon, sizeof(s->daemon));
	s->nbackend = m->nknown;
	for (k = 0; k < s->nbackend; k++) {
		copy_printing(s->backend[k].url, m->known[k].url);
		s->backend[k].learns = m->known[k].learns;
		s->backend[k].configured = m->known[k].configured;
	}
	for (i = 0; i < m->used; i++) {
		slot = &m->slots[i];
		s->serving += is_serving(slot);
		s->finishing += slot->worker == METRICS_FINISHING;
		counters_add(&s->sum, &slot->counters);
		for (k = 0; k < s->nbackend; k++)
			add_backend(slot, k, &s->backend[k]);
	}
	for (k = 0; s->serving > 0 && k < s->nbackend; k++)
		s->backend[k].sum.now.weight /= s->serving;
}

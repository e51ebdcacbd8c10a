/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/mman.h>

#include <string.h>

#include "metrics.h"

struct metrics {
	size_t		 n;
	_Atomic uint64_t active;	/* of all slots */
	/* a cache line or more each: workers do not share one */
	struct {
		_Alignas(64) struct metrics_slot slot;
	} slots[];
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

struct metrics_slot *
metrics_slot(struct metrics *m, size_t i)
{
	return &m->slots[i].slot;
}

void
metrics_opened(struct metrics *m, size_t i)
{
	m->slots[i].slot.active++;
	m->slots[i].slot.accepted++;
	m->active++;
}

void
metrics_closed(struct metrics *m, size_t i)
{
	m->slots[i].slot.active--;
	m->active--;
}

uint64_t
metrics_active(struct metrics *m)
{
	return m->active;
}

void
metrics_died(struct metrics *m, size_t i)
{
	m->active -= atomic_exchange(&m->slots[i].slot.active, 0);
}

void
metrics_sum(struct metrics *m, struct metrics_slot *sum)
{
	size_t i;

	memset(sum, 0, sizeof(*sum));
	for (i = 0; i < m->n; i++) {
		const struct metrics_slot *s = &m->slots[i].slot;

		sum->active += s->active;
		sum->accepted += s->accepted;
		sum->verdicts += s->verdicts;
		sum->passed += s->passed;
		sum->failed += s->failed;
		sum->gone += s->gone;
		sum->other += s->other;
	}
}

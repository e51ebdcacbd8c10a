/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <string.h>

#include "budget.h"

void
budget_init(struct budget *b, uint64_t limit, budget_cb *wake, void *arg)
{
	memset(b, 0, sizeof(*b));
	b->limit = limit;
	b->wake = wake;
	b->arg = arg;
	TAILQ_INIT(&b->queue);
}

static bool
fits(const struct budget *b, uint64_t n)
{
	return b->used <= b->limit && n <= b->limit - b->used;
}

static void
leave(struct budget *b, struct budget_holder *h)
{
	TAILQ_REMOVE(&b->queue, h, entry);
	b->stuck -= h->held;
	h->wanted = 0;
}

static void
grant(struct budget *b, struct budget_holder *h)
{
	uint64_t n = h->wanted;

	if (!fits(b, n))
		b->beyond = h;
	leave(b, h);
	budget_charge(b, h, n);
	h->cb(h->arg);
}

/*
 * The one to be served beyond the limit: always the same, up to its end, or
 * all would grow in turn; at first one who holds something, which gives it
 * back the sooner.
 */
static struct budget_holder *
first_stuck(struct budget *b)
{
	struct budget_holder *h;

	if (b->beyond != NULL)
		return b->beyond;
	TAILQ_FOREACH(h, &b->queue, entry)
		if (h->held > 0)
			return h;
	return TAILQ_FIRST(&b->queue);
}

/* Is there one to be served, within the limit or beyond it?  Or NULL. */
static struct budget_holder *
next(struct budget *b)
{
	struct budget_holder *h = TAILQ_FIRST(&b->queue);

	if (h == NULL || fits(b, h->wanted))
		return h;
	return b->stuck < b->used ? NULL : first_stuck(b);
}

static void
wake(struct budget *b)
{
	if (next(b) != NULL)
		b->wake(b->arg);
}

void
budget_serve(struct budget *b)
{
	struct budget_holder *h;

	while ((h = next(b)) != NULL)
		grant(b, h);
}

bool
budget_ask(struct budget *b, struct budget_holder *h, uint64_t n)
{
	if (TAILQ_EMPTY(&b->queue) &&
	    (fits(b, n) || b->used == h->held)) {
		if (!fits(b, n))
			b->beyond = h;
		budget_charge(b, h, n);
		return true;
	}
	h->wanted = n;
	b->stuck += h->held;
	TAILQ_INSERT_TAIL(&b->queue, h, entry);
	/* it may have been the last that did not wait */
	wake(b);
	return false;
}

void
budget_charge(struct budget *b, struct budget_holder *h, uint64_t n)
{
	b->used += n;
	h->held += n;
}

void
budget_keep(struct budget *b, struct budget_holder *h, uint64_t n)
{
	if (n >= h->held)
		return;
	b->used -= h->held - n;
	h->held = n;
	if (n == 0 && b->beyond == h)
		b->beyond = NULL;
	wake(b);
}

void
budget_release(struct budget *b, struct budget_holder *h)
{
	if (h->wanted > 0)
		leave(b, h);
	budget_keep(b, h, 0);
	wake(b);
}

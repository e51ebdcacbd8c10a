/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <string.h>

#include "breaker.h"

/* The share of the first moment: enough to be chosen at all. */
#define LEAST_SHARE	0.1

void
breaker_init(struct breaker *b)
{
	memset(b, 0, sizeof(*b));
	b->state = BREAKER_CLOSED;
}

bool
breaker_allows(const struct breaker *b)
{
	return b->state == BREAKER_CLOSED ||
	    (b->state == BREAKER_HALF_OPEN && !b->trying);
}

void
breaker_begin(struct breaker *b)
{
	if (b->state == BREAKER_HALF_OPEN)
		b->trying = true;
}

void
breaker_forget(struct breaker *b)
{
	b->trying = false;
}

bool
breaker_success(struct breaker *b, double now)
{
	bool changed = b->state != BREAKER_CLOSED;

	b->state = BREAKER_CLOSED;
	b->failures = 0;
	b->trying = false;
	if (changed)
		b->recovered = now;
	return changed;
}

/* Opens B, or lets it stay open for longer. */
static bool
open_it(struct breaker *b, const struct breaker_rules *rules, double now)
{
	bool was_closed = b->state == BREAKER_CLOSED;

	if (was_closed) {
		b->retry = rules->retry_first;
		b->opened = now;
	} else
		b->retry = b->retry * 2.0 < rules->retry_most ? b->retry * 2.0 :
		    rules->retry_most;
	b->state = BREAKER_OPEN;
	b->trying = false;
	return was_closed;
}

bool
breaker_failure(struct breaker *b, const struct breaker_rules *rules,
    bool sure, double now)
{
	b->failures++;
	switch (b->state) {
	case BREAKER_CLOSED:
		return (sure || b->failures >= rules->failures) &&
		    open_it(b, rules, now);
	case BREAKER_HALF_OPEN:
		return open_it(b, rules, now);
	case BREAKER_OPEN:
		/* of a message that began before */
		break;
	}
	return false;
}

bool
breaker_probed(struct breaker *b, const struct breaker_rules *rules,
    bool well, double now)
{
	if (!well && b->state != BREAKER_OPEN)
		return breaker_failure(b, rules, false, now);
	if (!well) {
		(void)open_it(b, rules, now);
		return false;
	}
	if (b->state != BREAKER_OPEN)
		return false;
	b->state = BREAKER_HALF_OPEN;
	b->trying = false;
	return true;
}

double
breaker_retry(const struct breaker *b)
{
	return b->retry;
}

double
breaker_share(const struct breaker *b, const struct breaker_rules *rules,
    double now)
{
	double part;

	if (b->recovered == 0.0 || rules->slow_start <= 0.0)
		return 1.0;
	part = (now - b->recovered) / rules->slow_start;
	if (part >= 1.0)
		return 1.0;
	return part > LEAST_SHARE ? part : LEAST_SHARE;
}

const char *
breaker_name(enum breaker_state state)
{
	static const char *const names[] = { "up", "trying", "down" };

	return names[state];
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "password_guard.h"

#define PAUSE_MS	(PASSWORD_GUARD_PAUSE * 1000)

enum state {
	STATE_UNKNOWN,
	STATE_RIGHT,
	STATE_WRONG
};

/* Nothing is known: a few may go, and some more when the time is over. */
static enum password_guard_answer
ask_unknown(struct password_guard *g, uint64_t now)
{
	uint64_t since = g->since;

	if (since == 0 || since > now || now - since >= PAUSE_MS) {
		/* one of the workers begins a new count */
		if (atomic_compare_exchange_strong(&g->since, &since, now))
			g->sent = 0;
	}
	if (g->sent >= PASSWORD_GUARD_UNPROVEN)
		return PASSWORD_GUARD_WAIT;
	return atomic_fetch_add(&g->sent, 1) < PASSWORD_GUARD_UNPROVEN ?
	    PASSWORD_GUARD_SEND : PASSWORD_GUARD_WAIT;
}

enum password_guard_answer
password_guard_ask(struct password_guard *g, double seconds, double *left)
{
	/* 0 would be no time */
	uint64_t now = (uint64_t)(seconds * 1000) + 1, until = g->until;

	*left = 0;
	switch (atomic_load(&g->state)) {
	case STATE_RIGHT:
		return PASSWORD_GUARD_SEND;
	case STATE_WRONG:
		/* one of the workers may try again when the time is over */
		if ((until <= now || until - now > PAUSE_MS) &&
		    atomic_compare_exchange_strong(&g->until, &until,
		    now + PAUSE_MS))
			return PASSWORD_GUARD_SEND;
		*left = until > now ? (double)(until - now) / 1000 : 0;
		return PASSWORD_GUARD_REFUSED;
	default:
		return ask_unknown(g, now);
	}
}

void
password_guard_accepted(struct password_guard *g)
{
	g->state = STATE_RIGHT;
}

void
password_guard_refused(struct password_guard *g, double now)
{
	g->until = (uint64_t)(now * 1000) + 1 + PAUSE_MS;
	g->state = STATE_WRONG;
}

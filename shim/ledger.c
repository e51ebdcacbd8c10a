/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "ledger.h"
#include "log.h"
#include "text.h"

static bool
is_set(const struct timespec *t)
{
	return t->tv_sec != 0 || t->tv_nsec != 0;
}

/* Seconds from the start to the moment M; 0 if that has not come. */
static double
until(const struct ledger *l, enum ledger_moment m)
{
	const struct timespec *from = &l->at[LEDGER_START], *to = &l->at[m];

	return !is_set(to) ? 0.0 : (double)(to->tv_sec - from->tv_sec) +
	    (double)(to->tv_nsec - from->tv_nsec) / 1e9;
}

void
ledger_note(struct ledger *l, enum ledger_moment m)
{
	if (!is_set(&l->at[m]))
		(void)clock_gettime(CLOCK_MONOTONIC, &l->at[m]);
}

void
ledger_scan(struct ledger *l, const struct scan *s)
{
	struct exchange_times t = scan_times(s);
	struct account *a = &l->account;

	a->backend = scan_backend(s);
	a->left = scan_left(s);
	a->times.queued = scan_queued(s);
	a->times.connect = t.connect;
	a->times.send = t.send;
	a->times.wait = t.wait;
	a->times.receive = t.receive;
}

void
ledger_write(struct ledger *l, struct counters *c, enum account_ending ending,
    const struct outcome *o)
{
	struct account *a = &l->account;
	struct text t;
	bool well;

	ledger_note(l, LEDGER_REPLIED);
	a->outcome = is_set(&l->at[LEDGER_OUTCOME]) ? o : NULL;
	a->ending = ending;
	a->times.read = until(l, LEDGER_MESSAGE);
	a->times.total = until(l, LEDGER_REPLIED);
	counters_request(c, a);
	text_init(&t, ACCOUNT_LINE_MAX);
	well = account_line(&t, a);
	log_msg(well ? LOG_INFO : LOG_WARNING, "%s", text_string(&t));
	text_free(&t);
}

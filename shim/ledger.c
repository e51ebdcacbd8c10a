/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "ledger.h"
#include "log.h"
#include "text.h"
#include "timer.h"

/* Seconds from the start to the moment M; 0 if that has not come. */
static double
until(const struct ledger *l, enum ledger_moment m)
{
	return l->at[m] > 0.0 ? l->at[m] - l->at[LEDGER_START] : 0.0;
}

void
ledger_note(struct ledger *l, enum ledger_moment m)
{
	if (l->at[m] <= 0.0)
		l->at[m] = timer_now();
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
	a->outcome = l->at[LEDGER_OUTCOME] > 0.0 ? o : NULL;
	a->ending = ending;
	a->times.read = until(l, LEDGER_MESSAGE);
	a->times.total = until(l, LEDGER_REPLIED);
	counters_request(c, a);
	text_init(&t, ACCOUNT_LINE_MAX);
	well = account_line(&t, a);
	log_line(well ? LOG_INFO : LOG_WARNING, text_string(&t), t.len);
	text_free(&t);
}

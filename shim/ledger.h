/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ledger: what is noted of a session on its way, for its line in the log and
 * for the counters.
 */
#ifndef LEDGER_H_
#define LEDGER_H_

#include "account.h"
#include "counters.h"
#include "scan.h"

/* Moments, in order. */
enum ledger_moment {
	LEDGER_START,
	LEDGER_MESSAGE,		/* the message is complete */
	LEDGER_OUTCOME,
	LEDGER_REPLIED,
	LEDGER_MOMENTS
};

/* All zero at first; nothing to free.  The owner fills in the account. */
struct ledger {
	double		 at[LEDGER_MOMENTS];	/* as of timer_now() */
	struct account	 account;
};

/* This is the moment M, unless it has been before. */
void	ledger_note(struct ledger *l, enum ledger_moment m);

/* Notes what S has to tell; its strings must stay. */
void	ledger_scan(struct ledger *l, const struct scan *s);

/*
 * Writes the line, with ENDING and the outcome O, if there is one, and counts
 * the request in C.
 */
void	ledger_write(struct ledger *l, struct counters *c,
	    enum account_ending ending, const struct outcome *o);

#endif

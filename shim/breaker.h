/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * breaker: whether one rspamd is to be asked, from how it has done lately.
 *
 * A circuit breaker: closed, mail goes there; open, none does, and it is
 * probed now and then; half-open, after a probe that went well, one message
 * shows whether it can scan, too.  Times are seconds of any steady clock.
 */
#ifndef BREAKER_H_
#define BREAKER_H_

#include <stdbool.h>

enum breaker_state {
	BREAKER_CLOSED,
	BREAKER_HALF_OPEN,
	BREAKER_OPEN
};

struct breaker_rules {
	unsigned int	failures;	/* in a row, that open it */
	double		retry_first;	/* the first probe after it has opened */
	double		retry_most;	/* between probes, which become fewer */
	double		slow_start;	/* after recovery, until the full share */
};

struct breaker {
	enum breaker_state state;
	unsigned int	failures;	/* in a row */
	bool		trying;		/* half-open: a message is there */
	double		retry;		/* to the next probe */
	double		opened;		/* when it was closed last */
	double		recovered;	/* when it closed; 0: never was open */
};

/* B is closed; there is nothing to free. */
void	breaker_init(struct breaker *b);

/* May a message go there now?  If so, breaker_begin() must be told. */
bool	breaker_allows(const struct breaker *b);
void	breaker_begin(struct breaker *b);

/* How a message that began has ended: neither well nor badly... */
void	breaker_forget(struct breaker *b);
/* ... well: returns true if B was not closed before... */
bool	breaker_success(struct breaker *b, double now);
/*
 * ... or badly; SURE: nobody is there, once is enough.  Returns true if B
 * has opened with that.
 */
bool	breaker_failure(struct breaker *b, const struct breaker_rules *rules,
	    bool sure, double now);

/*
 * The outcome of a probe.  Returns true if that changed B's state: a closed
 * one that it failed has opened, an open one that went well is half-open.
 */
bool	breaker_probed(struct breaker *b, const struct breaker_rules *rules,
	    bool well, double now);

/* Seconds until the next probe of an open one. */
double	breaker_retry(const struct breaker *b);

/*
 * The part of its full share of mail that B is to have, above 0 up to 1:
 * one that has recovered starts slowly, with empty caches.
 */
double	breaker_share(const struct breaker *b,
	    const struct breaker_rules *rules, double now);

/* "up", "trying" or "down". */
const char *breaker_name(enum breaker_state state);

#endif

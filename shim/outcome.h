/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * outcome: what the client is to hear.
 *
 * The one place where meaning is decided: which actions are spam, which
 * numbers are shown, what a failure is called.  It knows no bytes.
 */
#ifndef OUTCOME_H_
#define OUTCOME_H_

#include <stdbool.h>
#include <stddef.h>

#include "verdict.h"

/* Scores are shown within this bound: Exim prints them into 16 bytes, and
   ten times a score must fit its int. */
#define OUTCOME_SCORE_MAX	99999999.9

/* The symbol of a message that passes without having been scanned. */
#define OUTCOME_UNSCANNED	"RSPAMD_SHIM_UNSCANNED"

enum failure {
	FAILURE_NONE,
	FAILURE_UNREACHABLE,	/* no connection to rspamd, or it was lost */
	FAILURE_TIMEOUT,	/* a deadline struck */
	FAILURE_RSPAMD,		/* rspamd reports an error */
	FAILURE_UNREADABLE,	/* its reply is no verdict */
	FAILURE_INCOMPLETE,	/* rspamd gave up before it had done all checks */
	FAILURE_OVERLOAD,	/* here, or every rspamd, is too busy */
	FAILURE_TOO_LARGE,	/* the message is above the size limit */
	FAILURE_EMPTY,		/* the message has no bytes */
	FAILURE_REQUEST,	/* the client's request is not right */
	FAILURE_UNSUPPORTED,	/* a command that is not served */
	FAILURE_INTERNAL,	/* out of memory and the like */
	FAILURE_COUNT
};

enum outcome_kind {
	OUTCOME_VERDICT,	/* rspamd's */
	OUTCOME_PASS,		/* unscanned, and marked so, by policy */
	OUTCOME_FAILED,		/* an error line; the client retries or defers */
	OUTCOME_DONE		/* no verdict was asked for: PING, TELL */
};

/* What the configuration says about meaning.  Strings are not owned. */
struct outcome_policy {
	const char	**spam_actions;
	size_t		  nspam_actions;
	double		  spam_threshold;	/* NAN: not configured */
	double		  task_timeout;	/* rspamd's, in seconds; 0: unknown */
	bool		  pass[FAILURE_COUNT];	/* unscanned; else it fails */
};

struct outcome {
	enum outcome_kind kind;
	enum failure	 failure;
	bool		 spam;
	double		 score;
	double		 threshold;	/* as SPAMC clients see it */
	double		 required;	/* as RSPAMC clients see it */
	const char	*action;	/* the verdict's, or a constant */
	char		 reason[200];	/* of a pass or a failure; cleaned */
};

/*
 * The outcome of rspamd's verdict V, which must outlive O.  Where rspamd
 * tells of no spam only because it ran out of time, or saw no message, that
 * is FAILURE_INCOMPLETE: it says "no action" with a part of the score then.
 */
void	outcome_verdict(struct outcome *o, const struct verdict *v,
	    const struct outcome_policy *policy);

/* A message that passes unscanned because of F; WHY is for people. */
void	outcome_pass(struct outcome *o, const struct outcome_policy *policy,
	    enum failure f, const char *why);

/* A failure; WHY is for people. */
void	outcome_failed(struct outcome *o, enum failure f, const char *why);

/* Makes the failure O a pass, for the same reason, if POLICY wants it. */
void	outcome_by_policy(struct outcome *o,
	    const struct outcome_policy *policy);

/* What was asked for has been done; WHY is for people, and may be "". */
void	outcome_done(struct outcome *o, const char *why);

/*
 * X as it is shown with DIGITS decimals (1 or 2): within OUTCOME_SCORE_MAX,
 * and never "-0.0".
 */
double	outcome_shown(double x, int digits);

/* F as one word for the log; the exit code that spamd's error line has. */
const char *failure_name(enum failure f);
int	failure_code(enum failure f);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#include "decimal.h"
#include "outcome.h"
#include "text.h"

/* Where neither rspamd nor the configuration names a threshold: rspamd's
   stock value for reject. */
#define REQUIRED_UNKNOWN	15.0

/* spamd's own code beside those of sysexits. */
#define EX_TIMEOUT		79

static double
clamp(double x)
{
	if (x > OUTCOME_SCORE_MAX)
		return OUTCOME_SCORE_MAX;
	if (x < -OUTCOME_SCORE_MAX)
		return -OUTCOME_SCORE_MAX;
	return x;
}

static bool
is_spam(const char *action, const struct outcome_policy *p)
{
	size_t i;

	for (i = 0; i < p->nspam_actions; i++)
		if (strcmp(action, p->spam_actions[i]) == 0)
			return true;
	return false;
}

/* The lowest of rspamd's own thresholds of an action that is spam, or NAN. */
static double
spam_threshold(const struct verdict *v, const struct outcome_policy *p)
{
	double lowest = NAN;
	size_t i;

	for (i = 0; i < v->nthresholds; i++)
		if (is_spam(v->thresholds[i].action, p) &&
		    (isnan(lowest) || v->thresholds[i].score < lowest))
			lowest = v->thresholds[i].score;
	return lowest;
}

/*
 * rspamd does not say that it gave up, but its time tells: task_timeout is
 * over then, give or take its clock's steps.  Spam is spam already, and a
 * soft reject asks the sender to try again.
 */
static bool
ran_out_of_time(const struct verdict *v, const struct outcome_policy *p)
{
	return p->task_timeout > 0.0 && !isnan(v->time_real) &&
	    v->time_real >= 0.99 * p->task_timeout && !v->skipped &&
	    !is_spam(v->action, p) && strcmp(v->action, "soft reject") != 0;
}

/* To a request whose message it did not see rspamd says "no action" too;
   every message has a message-id, if only "undef". */
static bool
saw_no_message(const struct verdict *v)
{
	return v->message_id == NULL && v->symbols_seen == 0 && !v->skipped &&
	    strcmp(v->action, "no action") == 0;
}

/*
 * The threshold at which a client that compares the two shown numbers, as
 * Exim does, comes to the same answer as the flag says.
 */
static double
agreeing(double threshold, double score, bool spam)
{
	int64_t shown = decimal_tenths(score);
	int64_t limit = decimal_tenths(threshold);

	if (spam && shown < limit)
		return (double)shown / 10.0;
	if (!spam && shown >= limit)
		return (double)(shown + 1) / 10.0;
	return threshold;
}

void
outcome_verdict(struct outcome *o, const struct verdict *v,
    const struct outcome_policy *policy)
{
	double threshold = spam_threshold(v, policy);
	char why[100];

	if (ran_out_of_time(v, policy)) {
		(void)snprintf(why, sizeof(why), "rspamd gave up after %.1f s "
		    "(its task_timeout) with action \"%.30s\"", v->time_real,
		    v->action);
		outcome_failed(o, FAILURE_INCOMPLETE, why);
		return;
	}
	if (saw_no_message(v)) {
		outcome_failed(o, FAILURE_INCOMPLETE, "rspamd saw no message");
		return;
	}
	memset(o, 0, sizeof(*o));
	o->kind = OUTCOME_VERDICT;
	o->action = v->action;
	o->spam = is_spam(v->action, policy);
	o->score = clamp(v->score);
	if (isnan(threshold))
		threshold = policy->spam_threshold;
	if (isnan(threshold))
		threshold = v->required;
	if (isnan(threshold))
		threshold = REQUIRED_UNKNOWN;
	o->required = clamp(isnan(v->required) ? threshold : v->required);
	o->threshold = agreeing(clamp(threshold), o->score, o->spam);
}

static void
reason(struct outcome *o, const char *why)
{
	struct text t;

	text_init(&t, sizeof(o->reason) - 1);
	text_clean(&t, why, strlen(why), sizeof(o->reason) - 1);
	(void)snprintf(o->reason, sizeof(o->reason), "%s", text_string(&t));
	text_free(&t);
}

void
outcome_pass(struct outcome *o, const struct outcome_policy *policy,
    enum failure f, const char *why)
{
	memset(o, 0, sizeof(*o));
	o->kind = OUTCOME_PASS;
	o->failure = f;
	o->action = "no action";
	o->required = clamp(isnan(policy->spam_threshold) ? REQUIRED_UNKNOWN :
	    policy->spam_threshold);
	o->threshold = agreeing(o->required, 0.0, false);
	reason(o, why);
}

void
outcome_failed(struct outcome *o, enum failure f, const char *why)
{
	memset(o, 0, sizeof(*o));
	o->kind = OUTCOME_FAILED;
	o->failure = f;
	o->action = "";
	reason(o, why);
}

void
outcome_by_policy(struct outcome *o, const struct outcome_policy *policy)
{
	char why[sizeof(o->reason)];

	if (o->kind != OUTCOME_FAILED || !policy->pass[o->failure])
		return;
	memcpy(why, o->reason, sizeof(why));
	outcome_pass(o, policy, o->failure, why);
}

double
outcome_shown(double x, int digits)
{
	double half = digits == 1 ? 0.05 : 0.005;

	if (x > -half && x < half)
		return 0.0;
	/* a threshold may be just above the highest score */
	return x > OUTCOME_SCORE_MAX && x < OUTCOME_SCORE_MAX + 1.0 ? x :
	    clamp(x);
}

void
outcome_done(struct outcome *o, const char *why)
{
	memset(o, 0, sizeof(*o));
	o->kind = OUTCOME_DONE;
	o->action = "";
	reason(o, why);
}

const char *
failure_name(enum failure f)
{
	switch (f) {
	case FAILURE_NONE:
		return "none";
	case FAILURE_UNREACHABLE:
		return "unreachable";
	case FAILURE_TIMEOUT:
		return "timeout";
	case FAILURE_RSPAMD:
		return "rspamd-error";
	case FAILURE_UNREADABLE:
		return "unreadable-reply";
	case FAILURE_INCOMPLETE:
		return "incomplete-scan";
	case FAILURE_OVERLOAD:
		return "overload";
	case FAILURE_TOO_LARGE:
		return "too-large";
	case FAILURE_EMPTY:
		return "empty-message";
	case FAILURE_REQUEST:
		return "bad-request";
	case FAILURE_UNSUPPORTED:
		return "unsupported";
	case FAILURE_INTERNAL:
		return "internal";
	case FAILURE_COUNT:
		break;
	}
	return "unknown";
}

int
failure_code(enum failure f)
{
	switch (f) {
	case FAILURE_NONE:
		return EX_OK;
	case FAILURE_UNREACHABLE:
	case FAILURE_TOO_LARGE:
	case FAILURE_UNSUPPORTED:
		return EX_UNAVAILABLE;
	case FAILURE_TIMEOUT:
		return EX_TIMEOUT;
	case FAILURE_RSPAMD:
	case FAILURE_UNREADABLE:
	case FAILURE_INCOMPLETE:
	case FAILURE_OVERLOAD:
		return EX_TEMPFAIL;
	case FAILURE_EMPTY:
		return EX_DATAERR;
	case FAILURE_REQUEST:
		return EX_PROTOCOL;
	case FAILURE_INTERNAL:
		return EX_OSERR;
	case FAILURE_COUNT:
		break;
	}
	return EX_SOFTWARE;
}

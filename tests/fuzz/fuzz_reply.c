/*
 * From rspamd's JSON, any bytes, to every reply there is: what a client gets
 * keeps the rules that it depends on, Exim's above all.
 *
 * Of what is the same for every input, versions and kinds of failure, the
 * bytes of the input choose some: that is as good for the fuzzer, and it comes
 * to many times as many inputs.
 */
#include "config.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/exim_model.h"
#include "outcome.h"
#include "rspamc_reply.h"
#include "spamd_reply.h"

#define REPLY_BOUND	16384	/* of the design, below those of the headers */

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct exim_seen seen;

static const char *actions[] = { "reject", "rewrite subject", "add header",
	"quarantine" };

static const struct outcome_policy policies[] = {
	/* the default */
	{ .spam_actions = actions, .nspam_actions = 3, .spam_threshold = NAN,
	    .task_timeout = 8.0 },
	/* only reject */
	{ .spam_actions = actions, .nspam_actions = 1, .spam_threshold = NAN },
	/* one more, and a threshold */
	{ .spam_actions = actions, .nspam_actions = 4, .spam_threshold = 5.0,
	    .task_timeout = 0.01 },
	{ .spam_actions = actions, .nspam_actions = 3,
	    .spam_threshold = -1e300 },
	{ .spam_threshold = 0.0, .task_timeout = 8.0 },
};
#define NPOLICIES	(sizeof(policies) / sizeof(policies[0]))

static void
require(bool truth)
{
	if (!truth)
		abort();
}

static void
no_fault(const char *fault)
{
	if (fault == NULL)
		return;
	fprintf(stderr, "%s\n", fault);
	abort();
}

/* X as a client reads it. */
static double
printed(double x)
{
	char s[64];

	(void)snprintf(s, sizeof(s), "%.1f", x);
	return strtod(s, NULL);
}

static void
check_numbers(const struct outcome *o)
{
	require(isfinite(o->score) && isfinite(o->threshold) &&
	    isfinite(o->required));
	require(fabs(o->score) <= OUTCOME_SCORE_MAX);
	require(fabs(o->required) <= OUTCOME_SCORE_MAX);
	require((printed(o->score) >= printed(o->threshold)) == o->spam);
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

/* rspamd's verdict, or none because it gave up: never where it says spam. */
static void
check_outcome(const struct outcome *o, const struct verdict *v,
    const struct outcome_policy *p)
{
	if (o->kind == OUTCOME_FAILED) {
		require(o->failure == FAILURE_INCOMPLETE);
		require(o->reason[0] != '\0' && !is_spam(v->action, p));
		return;
	}
	require(o->kind == OUTCOME_VERDICT);
	require(o->spam == is_spam(v->action, p));
	require(fabs(v->score) > OUTCOME_SCORE_MAX || o->score == v->score);
	check_numbers(o);
}

static void
check_rspamc(const struct outcome *o, const struct verdict *v)
{
	struct text out;

	text_init(&out, RSPAMC_REPLY_MAX);
	require(rspamc_reply(&out, o, v) == 0);
	require(out.len < REPLY_BOUND && strlen(out.buf) == out.len);
	no_fault(exim_read(out.buf, true, &seen));
	require(strcmp(seen.version, "1.3") == 0);
	require(strcmp(seen.flag, o->spam ? "True;" : "False;") == 0);
	require(fabs(seen.score - o->score) < 0.0051);
	require(fabs(seen.threshold - o->required) < 0.0051);
	no_fault(report_fault(out.buf + seen.report_at,
	    out.len - seen.report_at));
	require(strstr(seen.report, "\n " REPORT_END) != NULL);
	text_free(&out);
}

/* The Spam line of the reply at P, of which BODY is the part after it. */
static void
check_spamd(const char *p, const char *body, const struct spamd_request *r,
    const struct outcome *o)
{
	char flag[6], shown[2][21];
	const char *line = strstr(p, "Spam: ");
	unsigned long length;
	bool ifspam = r->command == SPAMD_REPORT_IFSPAM;
	double score, threshold;

	require(strncmp(p, "SPAMD/1.1 0 EX_OK\r\n", 19) == 0);
	require(line != NULL && line < body);
	require(sscanf(line, "Spam: %5s ; %20s / %20s", flag, shown[0],
	    shown[1]) == 3);
	require(strcmp(flag, o->spam ? ifspam ? "Yes" : "True" :
	    ifspam ? "No" : "False") == 0);
	score = strtod(shown[0], NULL);
	threshold = strtod(shown[1], NULL);
	require((score >= threshold) == o->spam);
	if (r->version >= 103 && r->command != SPAMD_CHECK) {
		require(sscanf(p + 19, "Content-length: %lu\r\n", &length) == 1);
		require(length == strlen(body));
	} else
		require(line == p + 19);
}

/* The report as it is from SPAMC/1.3 on: with LF, and the table at its end. */
static void
check_report_lf(const char *p, size_t len)
{
	static const char table[] = " pts rule name ";
	const char *lf, *end = p + len;
	bool ended = false;

	require(len <= REPORT_MAX && strncmp(p, "Action: ", 8) == 0);
	for (; p < end; p = lf + 1) {
		require((lf = memchr(p, '\n', (size_t)(end - p))) != NULL);
		no_fault(report_line_fault(p, (size_t)(lf - p)));
		if (ended || strncmp(p, REPORT_END, strlen(REPORT_END)) != 0)
			continue;
		ended = true;
		require(strncmp(lf + 1, table, strlen(table)) == 0);
	}
	require(ended);
}

static void
check_body(const char *body, const struct spamd_request *r,
    const struct outcome *o)
{
	size_t len = strlen(body);

	if (r->command == SPAMD_REPORT ||
	    (r->command == SPAMD_REPORT_IFSPAM && o->spam)) {
		if (r->version < 103)
			no_fault(report_fault(body, len));
		else
			check_report_lf(body, len);
	} else if (r->command == SPAMD_SYMBOLS) {
		if (r->version < 103) {
			require(len >= 2 && memcmp(body + len - 2, "\r\n", 2)
			    == 0);
			len -= 2;
		}
		require(memchr(body, '\r', len) == NULL);
		require(memchr(body, '\n', len) == NULL);
	} else
		require(len == 0);
}

static void
check_spamc(const struct outcome *o, const struct verdict *v,
    enum spamd_command command, int version)
{
	const struct spamd_request r = { .dialect = SPAMD_SPAMC,
	    .command = command, .version = version };
	struct text out;
	const char *body;

	text_init(&out, SPAMD_REPLY_MAX);
	require(spamd_reply(&out, &r, o, v) == 0);
	require(out.len < REPLY_BOUND);
	require(strlen(out.buf) == out.len);
	require((body = strstr(out.buf, "\r\n\r\n")) != NULL);
	body += 4;
	check_spamd(out.buf, body, &r, o);
	check_body(body, &r, o);
	if (version == 102 && command == SPAMD_REPORT) {
		no_fault(exim_read(out.buf, false, &seen));
		require((seen.score >= seen.threshold) == o->spam);
	}
	text_free(&out);
}

/* One of the replies of O, and of the verdict V if it has one. */
static void
check_replies(const struct outcome *o, const struct verdict *v, size_t which)
{
	static const enum spamd_command commands[] = { SPAMD_CHECK,
	    SPAMD_SYMBOLS, SPAMD_REPORT, SPAMD_REPORT_IFSPAM };

	switch (which % 4) {
	case 0:
		check_rspamc(o, v);
		break;
	case 1:
		check_spamc(o, v, SPAMD_REPORT, 102);
		break;
	default:
		check_spamc(o, v, commands[which / 4 % 4],
		    100 + (int)(which / 16 % 7));
	}
}

/* No error must look like a verdict. */
static void
check_error(const struct outcome *o)
{
	static const struct spamd_request r = { .dialect = SPAMD_SPAMC,
	    .command = SPAMD_REPORT, .version = 102 };
	struct text out;

	text_init(&out, SPAMD_REPLY_MAX);
	require(spamd_reply(&out, &r, o, NULL) == 0);
	require(strcspn(out.buf, "\r\n") == out.len - 2);
	require(exim_read(out.buf, false, &seen) != NULL);
	text_rewind(&out, 0);
	require(rspamc_reply(&out, o, NULL) == 0);
	require(strcspn(out.buf, "\r\n") == out.len - 2);
	require(exim_read(out.buf, true, &seen) != NULL);
	text_free(&out);
}

/* A message that passes is marked as unscanned, and never spam. */
static void
check_pass(struct outcome *o, size_t which)
{
	struct outcome_policy p = policies[which % NPOLICIES];

	p.pass[o->failure] = true;
	outcome_by_policy(o, &p);
	require(o->kind == OUTCOME_PASS && !o->spam && o->score == 0.0);
	check_numbers(o);
	check_replies(o, NULL, which);
	if (which % 4 < 2)
		require(strstr(seen.report, OUTCOME_UNSCANNED) != NULL);
}

/* A failure of the kind that WHICH chooses, for the reason WHY. */
static void
check_failure(const char *why, size_t which)
{
	struct outcome o;

	outcome_failed(&o, (enum failure)(FAILURE_UNREACHABLE + which %
	    (FAILURE_COUNT - FAILURE_UNREACHABLE)), why);
	if (which % 2 == 0)
		check_error(&o);
	check_pass(&o, which / 2);
}

/* All that depends on the policy; the replies with one policy only. */
static void
check_verdict(const struct verdict *v, size_t which)
{
	struct outcome o;
	size_t i;

	for (i = 0; i < NPOLICIES; i++) {
		outcome_verdict(&o, v, &policies[i]);
		check_outcome(&o, v, &policies[i]);
		if (i != which % NPOLICIES)
			continue;
		if (o.kind == OUTCOME_VERDICT) {
			check_replies(&o, v, which / NPOLICIES);
			continue;
		}
		if (which % 2 == 0)
			check_error(&o);
		check_pass(&o, which / 2);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct verdict *v;
	char why[100], *buf;
	size_t i, which = size;

	require((buf = malloc(size + 1)) != NULL);
	if (size > 0)
		memcpy(buf, data, size);
	buf[size] = '\0';
	for (i = 0; i < size; i++)
		which += data[i] * (i % 7 + 1);
	if ((v = verdict_parse(buf, size, why, sizeof(why))) == NULL)
		check_failure(which % 2 == 0 ? why : buf, which / 2);
	else
		check_verdict(v, which);
	verdict_free(v);
	free(buf);
	return 0;
}

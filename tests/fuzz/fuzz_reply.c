/*
 * From rspamd's JSON, any bytes, to every reply there is: what a client gets
 * keeps the rules that it depends on, Exim's above all.
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
	{ actions, 3, NAN },		/* the default */
	{ actions, 1, NAN },		/* only reject */
	{ actions, 4, 5.0 },		/* one more, and a threshold */
	{ actions, 3, -1e300 },
	{ NULL, 0, 0.0 },
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
check_outcome(const struct outcome *o, const struct verdict *v)
{
	require(isfinite(o->score) && isfinite(o->threshold) &&
	    isfinite(o->required));
	require(fabs(o->score) <= OUTCOME_SCORE_MAX);
	require(fabs(o->required) <= OUTCOME_SCORE_MAX);
	require(fabs(v->score) > OUTCOME_SCORE_MAX || o->score == v->score);
	require((printed(o->score) >= printed(o->threshold)) == o->spam);
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

static void
check_body(const char *body, const struct spamd_request *r,
    const struct outcome *o)
{
	size_t len = strlen(body);

	if (r->command == SPAMD_REPORT ||
	    (r->command == SPAMD_REPORT_IFSPAM && o->spam))
		no_fault(report_fault(body, len));
	else if (r->command == SPAMD_SYMBOLS) {
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
check_spamc(const struct outcome *o, const struct verdict *v)
{
	static const enum spamd_command commands[] = { SPAMD_CHECK,
	    SPAMD_SYMBOLS, SPAMD_REPORT, SPAMD_REPORT_IFSPAM };
	struct spamd_request r = { .dialect = SPAMD_SPAMC };
	struct text out;
	const char *body;
	size_t i;

	for (i = 0; i < 4; i++)
		for (r.version = 100; r.version <= 106; r.version++) {
			r.command = commands[i];
			text_init(&out, SPAMD_REPLY_MAX);
			require(spamd_reply(&out, &r, o, v) == 0);
			require(out.len < REPLY_BOUND);
			require(strlen(out.buf) == out.len);
			require((body = strstr(out.buf, "\r\n\r\n")) != NULL);
			body += 4;
			check_spamd(out.buf, body, &r, o);
			check_body(body, &r, o);
			if (r.version == 102 && r.command == SPAMD_REPORT) {
				no_fault(exim_read(out.buf, false, &seen));
				require((seen.score >= seen.threshold) ==
				    o->spam);
			}
			text_free(&out);
		}
}

/* No error must look like a verdict. */
static void
check_error(const char *why)
{
	struct spamd_request r = { .dialect = SPAMD_SPAMC,
	    .command = SPAMD_REPORT, .version = 102 };
	struct outcome o;
	struct text out;
	int f;

	for (f = FAILURE_UNREACHABLE; f <= FAILURE_INTERNAL; f++) {
		outcome_failed(&o, (enum failure)f, why);
		text_init(&out, SPAMD_REPLY_MAX);
		require(spamd_reply(&out, &r, &o, NULL) == 0);
		require(strcspn(out.buf, "\r\n") == out.len - 2);
		require(exim_read(out.buf, false, &seen) != NULL);
		text_rewind(&out, 0);
		require(rspamc_reply(&out, &o, NULL) == 0);
		require(strcspn(out.buf, "\r\n") == out.len - 2);
		require(exim_read(out.buf, true, &seen) != NULL);
		text_free(&out);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct outcome o;
	struct verdict *v;
	char why[100], *buf;
	size_t i, which = size;

	require((buf = malloc(size + 1)) != NULL);
	if (size > 0)
		memcpy(buf, data, size);
	buf[size] = '\0';
	if ((v = verdict_parse(buf, size, why, sizeof(why))) == NULL)
		check_error(why);
	else {
		for (i = 0; i < NPOLICIES; i++) {
			outcome_verdict(&o, v, &policies[i]);
			check_outcome(&o, v);
		}
		/* the bytes of one policy only, whichever, are five times
		   as many verdicts in the same time */
		for (i = 0; i < size; i++)
			which += data[i];
		outcome_verdict(&o, v, &policies[which % NPOLICIES]);
		check_rspamc(&o, v);
		check_spamc(&o, v);
	}
	check_error(buf);
	verdict_free(v);
	free(buf);
	return 0;
}

/*
 * The reader of rspamd's JSON on any bytes: what it returns is within the
 * promises of verdict.h, and what it refuses it gives a reason for.
 */
#include "config.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"
#include "verdict.h"

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool truth)
{
	if (!truth)
		abort();
}

/* A reason: one line, clean, not empty. */
static void
check_why(const char *why, size_t size)
{
	const char *p = why;
	size_t n, len;

	require(memchr(why, '\0', size) != NULL);
	require((len = strlen(why)) > 0);
	for (; *p != '\0'; p += n) {
		n = text_utf8(p, len - (size_t)(p - why));
		require(n > 0 && (unsigned char)*p >= 0x20 && *p != 0x7f);
	}
}

static bool
is_null_or_text(const char *s)
{
	return s == NULL || *s != '\0';
}

static void
check_symbols(const struct verdict *v)
{
	const struct verdict_symbol *s;
	size_t i, j;

	require(v->nsymbols <= VERDICT_SYMBOLS_MAX);
	require(v->nsymbols == v->symbols_seen ||
	    (v->nsymbols < v->symbols_seen &&
	    v->nsymbols == VERDICT_SYMBOLS_MAX));
	for (i = 0; i < v->nsymbols; i++) {
		s = &v->symbols[i];
		require(s->name != NULL && *s->name != '\0');
		require(is_null_or_text(s->description));
		require(isfinite(s->score));
		require(i == 0 || fabs(s[-1].score) > fabs(s->score) ||
		    (fabs(s[-1].score) == fabs(s->score) &&
		    strcmp(s[-1].name, s->name) <= 0));
		require(s->noptions <= VERDICT_OPTIONS_MAX);
		require(s->noptions <= s->options_seen);
		for (j = 0; j < s->noptions; j++)
			require(s->options[j] != NULL);
	}
}

static void
check_lists(const struct verdict *v)
{
	bool removes = false;
	size_t i;

	require(v->nmessages <= VERDICT_MESSAGES_MAX);
	require(v->nmessages <= v->messages_seen);
	for (i = 0; i < v->nmessages; i++)
		require(v->messages[i] != NULL && *v->messages[i] != '\0');
	require(v->nmilter <= VERDICT_MILTER_MAX);
	require(v->nmilter <= v->milter_seen);
	for (i = 0; i < v->nmilter; i++) {
		require(*v->milter[i].name != '\0');
		if (v->milter[i].value == NULL)
			removes = true;
		else
			require(!removes);
	}
	require(v->nthresholds <= VERDICT_THRESHOLDS_MAX);
	for (i = 0; i < v->nthresholds; i++)
		require(v->thresholds[i].action != NULL &&
		    isfinite(v->thresholds[i].score));
}

static void
check(const struct verdict *v)
{
	require(v->action != NULL && *v->action != '\0');
	require(isfinite(v->score));
	require(!isinf(v->required) && !isinf(v->time_real));
	require(is_null_or_text(v->subject));
	require(is_null_or_text(v->message_id));
	require(is_null_or_text(v->reject));
	check_symbols(v);
	check_lists(v);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct verdict *v;
	char why[80] = "", error[80] = "", *buf;
	bool reported;

	require((buf = malloc(size + 1)) != NULL);
	if (size > 0)
		memcpy(buf, data, size);
	buf[size] = '\0';
	v = verdict_parse(buf, size, why, sizeof(why));
	reported = verdict_error(buf, size, error, sizeof(error));
	if (v != NULL) {
		require(!reported);
		check(v);
	} else
		check_why(why, sizeof(why));
	if (reported)
		require(strcmp(why, error) == 0);
	verdict_free(v);
	free(buf);
	return 0;
}

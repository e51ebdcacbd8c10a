/*
 * The reply reader of the patches for Exim on any bytes, as spamd's reply and
 * as rspamd's: what Exim gets of it keeps its bounds and its form, and a reply
 * that is valid stays so, with the same verdict, whatever follows it.
 */
#include <stdbool.h>
#include <stdint.h>

#include "exim.h"
#include "spam_reply.h"

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool truth)
{
	if (!truth)
		abort();
}

/* Reads a copy of its own: reading beyond it is seen. */
static bool
valid(spam_reply *r, int dialect, const uint8_t *data, size_t size)
{
	uschar *copy = malloc(size);
	const uschar *error;

	require(copy != NULL || size == 0);
	if (size != 0)
		memcpy(copy, data, size);
	memset(r, 0xa5, sizeof(*r));
	error = spam_reply_read(r, dialect, copy, (int)size);
	free(copy);
	require(error == NULL || *error != '\0');
	return error == NULL;
}

/* The length of a string in a buffer of SIZE bytes. */
static size_t
length(const uschar *s, size_t size)
{
	const uschar *end = memchr(s, '\0', size);

	require(end != NULL);
	return (size_t)(end - s);
}

static void
check_numbers(const spam_reply *r)
{
	size_t n = length(r->bar, sizeof(r->bar)), i;
	double score;

	require(n >= 1 && strchr("+-/", r->bar[0]) != NULL);
	for (i = 1; i < n; i++)
		require(r->bar[i] == r->bar[0] && r->bar[0] != '/');

	require(length(r->score, sizeof(r->score)) >= 3);
	score = strtod(CCS r->score, NULL);
	require(score >= -SPAM_REPLY_SCORE_LIMIT &&
	    score <= SPAM_REPLY_SCORE_LIMIT);
	require(length(r->score_int, sizeof(r->score_int)) >= 1);
}

static void
check_texts(const spam_reply *r, int dialect)
{
	size_t n = length(r->action, sizeof(r->action)), i;

	require(n >= 1);
	for (i = 0; i < n; i++)
		require(!iscntrl(r->action[i]));
	if (dialect == SPAM_REPLY_SPAMD)
		require(strcmp(CCS r->action, r->is_spam ? "reject" :
		    "no action") == 0);

	n = length(r->report, sizeof(r->report));
	require(n == 0 || r->report[n - 1] > ' ');
	for (i = 0; i < n; i++) {
		require(r->report[i] != '\r');
		if (r->report[i] == '\n')
			require(r->report[i + 1] == ' ');
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int dialects[] = { SPAM_REPLY_SPAMD, SPAM_REPLY_RSPAMD };
	static spam_reply whole, part;
	size_t i, cut = size != 0 ? (data[size - 1] * 7u + size / 2) % size : 0;
	bool is_valid;

	for (i = 0; i < 2; i++) {
		is_valid = valid(&whole, dialects[i], data, size);
		if (is_valid) {
			check_numbers(&whole);
			check_texts(&whole, dialects[i]);
		}
		if (!valid(&part, dialects[i], data, cut))
			continue;
		require(is_valid && part.is_spam == whole.is_spam);
		require(strcmp(CCS part.score, CCS whole.score) == 0);
		require(strcmp(CCS part.action, CCS whole.action) == 0);
	}
	return 0;
}

/*
 * PROCESS on any message and any verdict: the pieces are in order and within
 * bounds, what is added keeps to the rules of mail, and where nothing is to
 * be taken away, what was there is all there.
 *
 * The input is rspamd's JSON, a NUL, and the message.
 */
#include "config.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "rewrite.h"

#define LINE_MAX_	998	/* RFC 5322, 2.1.1 */

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *actions[] = { "reject", "rewrite subject", "add header" };
static const struct outcome_policy policy = { .spam_actions = actions,
	.nspam_actions = 3, .spam_threshold = NAN, .task_timeout = 8.0,
	.pass = { [FAILURE_INCOMPLETE] = true } };

static const struct rewrite_options options[] = {
	{ .headers = REWRITE_SPAMASSASSIN, .report = true,
	    .scanner = "rspamd/3.4" },
	{ .headers = REWRITE_RSPAMC, .report = true, .scanner = "rspamd/3.4" },
	{ .headers = REWRITE_RSPAMC_JSON, .scanner = "rspamd/3.4" },
	{ .headers = REWRITE_NONE },
};

static void
require(bool truth)
{
	if (!truth)
		abort();
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/*
 * What is added is header fields, each with a name, and lines that continue
 * them; only its very last line may be empty.
 */
static void
check_added(const char *p, size_t len, const char *eol)
{
	const char *end = p + len, *nl, *q;
	size_t n, neol = strlen(eol);
	bool first = true;

	for (; p < end; p = nl + 1, first = false) {
		require((nl = memchr(p, '\n', (size_t)(end - p))) != NULL);
		n = (size_t)(nl - p) + 1;
		require(n >= neol && memcmp(nl + 1 - neol, eol, neol) == 0);
		n -= neol;
		require(memchr(p, '\r', n) == NULL);
		require(memchr(p, '\0', n) == NULL);
		require(n <= LINE_MAX_);
		if (n == 0) {
			require(!first && nl + 1 == end);
			return;
		}
		if (is_blank(*p)) {
			require(!first);
			for (q = p; q < p + n && is_blank(*q); q++)
				continue;
			require(q < p + n);
			continue;
		}
		for (q = p; q < p + n && *q > ' ' && *q < 0x7f && *q != ':';
		    q++)
			continue;
		require(q > p && q < p + n && *q == ':');
	}
}

/* The pieces of RW, of a message of LEN bytes; returns how many are kept. */
static size_t
check_pieces(const struct rewrite *rw, size_t len)
{
	size_t ours = 0, theirs = 0, kept = 0, i;
	const struct rewrite_piece *p;

	require(rw->head_end <= len);
	for (i = 0; i < rw->npieces; i++) {
		p = &rw->pieces[i];
		require(p->len > 0);
		if (p->ours) {
			require(p->offset == ours);
			ours += p->len;
			continue;
		}
		require(p->offset >= theirs);
		theirs = p->offset + p->len;
		kept += p->len;
	}
	require(ours == rw->text.len && theirs <= rw->head_end);
	return kept;
}

/* May a field of the message be taken away: a mark, or what V says? */
static bool
may_lose(const char *p, size_t len, const struct verdict *v)
{
	size_t i;

	for (i = 0; i + 6 <= len; i++)
		if (strncasecmp(p + i, "X-Spam", 6) == 0)
			return true;
	return v != NULL && (v->subject != NULL || v->nmilter > 0);
}

static void
check(const char *p, size_t len, bool whole, const struct verdict *v,
    const struct rewrite_options *how)
{
	const char *nl = memchr(p, '\n', len);
	struct rewrite rw;
	struct outcome o;
	size_t kept;

	/* one that passes has no verdict */
	outcome_verdict(&o, v, &policy);
	outcome_by_policy(&o, &policy);
	if (o.kind != OUTCOME_VERDICT)
		v = NULL;
	if (rewrite_message(&rw, p, len, whole, &o, v, how) == 0) {
		kept = check_pieces(&rw, len);
		check_added(text_string(&rw.text), rw.text.len,
		    nl != NULL && nl > p && nl[-1] == '\r' ? "\r\n" : "\n");
		require(!whole || !rw.more);
		if (!may_lose(p, len, v))
			require(kept == rw.head_end);
	} else
		/* only where rspamd itself wants very much */
		require(v != NULL && (v->nmilter > 0 || v->subject != NULL ||
		    strlen(v->action) > 10000));
	rewrite_free(&rw);
}

/* The verdict that the N bytes at P are, or NULL. */
static struct verdict *
own_verdict(const char *p, size_t n)
{
	char why[100];

	return verdict_parse(p, n, why, sizeof(why));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char json[] = "{\"action\":\"add header\",\"score\":7}";
	static struct verdict *standard;
	const char *p = (const char *)data;
	const char *nul = size > 0 ? memchr(p, '\0', size) : NULL;
	struct verdict *v = NULL;
	size_t which = 0, len, i;
	char *message;

	if (standard == NULL)
		require((standard = own_verdict(json, sizeof(json) - 1)) != NULL);
	if (nul != NULL) {
		v = own_verdict(p, (size_t)(nul - p));
		size -= (size_t)(nul - p) + 1;
		p = nul + 1;
	}
	/* all of it, or its start alone; reading beyond it is seen.  Which,
	   and which headers are added, the bytes choose */
	for (i = 0; i < size; i++)
		which += (unsigned char)p[i] * (i % 7 + 1);
	len = which % 2 == 0 || size == 0 ? size : which / 8 % size;
	require((message = malloc(len != 0 ? len : 1)) != NULL);
	if (len > 0)
		memcpy(message, p, len);
	check(message, len, which % 2 == 0, v != NULL ? v : standard,
	    &options[which / 2 % 4]);
	free(message);
	verdict_free(v);
	return 0;
}

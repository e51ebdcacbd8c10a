/*
 * PROCESS on any message and any verdict: what stays of the message is in
 * order, what is added keeps to the rules of mail, no mark of others is left,
 * the head does not end earlier, and where nothing is to be taken away, what
 * was there is all there.
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
#include "text.h"

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

/* The new head, and what of it is added. */
struct sink {
	const char	*in, *end, *next;	/* the old head */
	size_t		 kept;
	struct text	 all, added;
};

static int
sink_put(void *arg, const char *p, size_t n)
{
	struct sink *k = arg;

	require(n > 0);
	text_put(&k->all, p, n);
	if (p < k->in || p >= k->end) {
		text_put(&k->added, p, n);
		return 0;
	}
	require(p >= k->next && n <= (size_t)(k->end - p));
	k->next = p + n;
	k->kept += n;
	return 0;
}

/* Does the name of the line that begins at P, in any program's eyes, say that
   it is a mark? */
static bool
is_mark(const char *p, const char *end)
{
	static const char *const marks[] = { "X-Spam", "X-Spam_score",
	    "X-Spam_score_int", "X-Spam_bar", "X-Spam_report" };
	char name[20];
	size_t n = 0, i;

	for (; p < end && *p != ':'; p++) {
		if (*p == '\n' && (p + 1 == end || !is_blank(p[1])))
			return false;
		if (*p > ' ' && *p < 0x7f && n < sizeof(name))
			name[n++] = *p;
	}
	if (p == end)
		return false;
	if (n >= 7 && strncasecmp(name, "X-Spam-", 7) == 0)
		return true;
	for (i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (n == strlen(marks[i]) && strncasecmp(name, marks[i], n) == 0)
			return true;
	return false;
}

/* The LEN bytes at P, a head with nothing of ours, have no mark. */
static void
check_marks(const char *p, size_t len)
{
	const char *end = p + len, *from = p;
	size_t i;

	if (len >= 5 && memcmp(p, "From ", 5) == 0 &&
	    memchr(p, '\n', len) != NULL)
		from = (const char *)memchr(p, '\n', len) + 1;
	for (i = (size_t)(from - p); i < len; i++)
		if (p + i == from || (p[i - 1] == '\n' && !is_blank(p[i])) ||
		    (p[i - 1] == '\r' && p[i] != '\n' && !is_blank(p[i])))
			require(!is_mark(p + i, end));
}

/* May a field of the message be taken away: a mark, whatever stands between
   its letters, or what V says? */
static bool
may_lose(const char *p, size_t len, const struct verdict *v)
{
	static const char mark[] = "x-spam";
	size_t i, k;

	for (i = 0, k = 0; i < len && mark[k] != '\0'; i++)
		if ((p[i] | 0x20) == (mark[k] | 0x20) || p[i] == mark[k])
			k++;
	return mark[k] == '\0' || (v != NULL && (v->subject != NULL ||
	    v->nmilter > 0));
}

static void
check(const char *p, size_t len, const struct verdict *v,
    const struct rewrite_options *how)
{
	size_t head = rewrite_head_length(p, len), end;
	const char *nl = memchr(p, '\n', len);
	struct sink k = { .in = p, .next = p };
	struct outcome o;

	if (head == 0)
		head = len;
	k.end = p + head;
	text_init(&k.all, SIZE_MAX / 2);
	text_init(&k.added, SIZE_MAX / 2);
	/* one that passes has no verdict */
	outcome_verdict(&o, v, &policy);
	outcome_by_policy(&o, &policy);
	if (o.kind != OUTCOME_VERDICT)
		v = NULL;
	if (rewrite_message(p, head, &o, v, how, sink_put, &k) == 0) {
		check_added(text_string(&k.added), k.added.len,
		    nl != NULL && nl > p && nl[-1] == '\r' ? "\r\n" : "\n");
		if (k.added.len == 0) {
			check_marks(text_string(&k.all), k.all.len);
			/* it ends where it did */
			end = rewrite_head_length(text_string(&k.all),
			    k.all.len);
			require(end == 0 || end == k.all.len);
		}
		if (!may_lose(p, head, v))
			require(k.kept == head);
	} else
		/* only where rspamd itself wants very much */
		require(v != NULL && (v->nmilter > 0 || v->subject != NULL ||
		    strlen(v->action) > 10000));
	text_free(&k.all);
	text_free(&k.added);
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
	size_t which = 0, i;
	char *message;

	if (standard == NULL)
		require((standard = own_verdict(json, sizeof(json) - 1)) != NULL);
	if (nul != NULL) {
		v = own_verdict(p, (size_t)(nul - p));
		size -= (size_t)(nul - p) + 1;
		p = nul + 1;
	}
	/* reading beyond it is seen.  Which headers are added, the bytes choose */
	for (i = 0; i < size; i++)
		which += (unsigned char)p[i] * (i % 7 + 1);
	require((message = malloc(size != 0 ? size : 1)) != NULL);
	if (size > 0)
		memcpy(message, p, size);
	check(message, size, v != NULL ? v : standard, &options[which % 4]);
	free(message);
	verdict_free(v);
	return 0;
}

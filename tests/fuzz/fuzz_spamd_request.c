/*
 * The request parser on any bytes: every split gives the same request, and
 * of what a client sends nothing but known headers reaches rspamd.
 */
#include "config.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rspamd_request.h"
#include "spamd_request.h"
#include "text.h"

#define SEEN_MAX	1048576

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool truth)
{
	if (!truth)
		abort();
}

static void
put(struct text *t, const char *s)
{
	text_puts(t, s != NULL ? s : "(null)");
	text_puts(t, " ");
}

/* All that a caller can know of R, as a string. */
static void
summary(struct text *t, const struct spamd_request *r, enum spamd_progress pr,
    size_t used)
{
	const struct envelope *e = r->envelope;
	size_t i;

	if (pr == SPAMD_BAD) {
		text_printf(t, "bad %d ", r->dialect);
		put(t, spamd_request_error(r));
		return;
	}
	text_printf(t, "%d %zu %d %d %d %d %llu %zu %d ", pr, used,
	    r->dialect, r->command, r->version, r->has_length,
	    (unsigned long long)r->length, r->rcpt_seen, e->authenticated);
	put(t, r->user);
	put(t, r->deliver_to);
	put(t, r->compress);
	put(t, e->sender);
	put(t, e->ip);
	put(t, e->helo);
	put(t, e->hostname);
	put(t, e->queue_id);
	put(t, e->user);
	for (i = 0; i < e->nrcpt; i++)
		put(t, e->rcpt[i]);
}

/* Feeds R in pieces of STEP bytes after a first one of CUT bytes. */
static enum spamd_progress
feed(struct spamd_request *r, const char *p, size_t size, size_t cut,
    size_t step, size_t *used)
{
	enum spamd_progress pr = SPAMD_MORE;
	size_t at, n, u;
	char *piece, one;

	*used = 0;
	for (at = 0; pr == SPAMD_MORE && at < size; at += n) {
		n = at < cut ? cut : step;
		n = n < size - at ? n : size - at;
		/* a piece of its own: reading beyond it is seen */
		piece = &one;
		if (n > 1)
			require((piece = malloc(n)) != NULL);
		memcpy(piece, p + at, n);
		pr = spamd_request_feed(r, piece, n, false, &u);
		if (n > 1)
			free(piece);
		require(u <= n && (pr != SPAMD_MORE || u == n));
		*used += u;
	}
	if (pr == SPAMD_MORE)
		pr = spamd_request_feed(r, "", 0, true, &u);
	require(pr != SPAMD_MORE);
	require((spamd_request_error(r) != NULL) == (pr == SPAMD_BAD));
	return pr;
}

static bool
is_known(const char *line, size_t len)
{
	static const char *const names[] = { "Host: ", "User-Agent: ",
	    "Connection: ", "Content-Length: ", "Queue-Id: ", "From: <",
	    "IP: ", "Helo: ", "Hostname: ", "User: ", "Deliver-To: ",
	    "Rcpt: <" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (len >= strlen(names[i]) &&
		    memcmp(line, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

/* The head that rspamd gets: known headers, one empty line, its end. */
static void
check_head(const struct spamd_request *r)
{
	struct rspamd_request rq = { .host = "h", .length = r->length,
	    .envelope = r->envelope, .user = r->user,
	    .deliver_to = r->deliver_to };
	struct rspamd_request_left left;
	const char *p, *end, *line = NULL;
	struct text out;

	text_init(&out, RSPAMD_REQUEST_HEAD_MAX);
	require(rspamd_request_head(&out, &rq, &left) == 0);
	require(left.rcpt <= r->envelope->nrcpt);
	p = text_string(&out);
	end = p + out.len;
	require(strlen(p) == out.len);
	require(strncmp(p, "POST /checkv2 HTTP/1.1\r\n", 24) == 0);
	for (p += 24; p < end; p = line + 2) {
		line = p + strcspn(p, "\r\n");
		require(line[0] == '\r' && line[1] == '\n');
		if (line == p)
			break;
		require(is_known(p, (size_t)(line - p)));
		for (; p < line; p++)
			require((unsigned char)*p >= 0x20 && *p != 0x7f);
	}
	require(p == line && p + 2 == end);
	text_free(&out);
}

/* Reads all in pieces; what has been read is put into SEEN. */
static void
check(struct text *seen, const char *p, size_t size, size_t cut, size_t step)
{
	struct spamd_request *r = spamd_request_new();
	enum spamd_progress pr;
	size_t used;

	require(r != NULL);
	pr = feed(r, p, size, cut, step, &used);
	text_init(seen, SEEN_MAX);
	summary(seen, r, pr, used);
	require(!text_failed(seen));
	if (pr == SPAMD_HEAD_DONE && cut == size)
		check_head(r);
	spamd_request_free(r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	size_t which = size, cut = 0, step = 1, i;
	struct text whole, split;

	/* one split of many, the bytes choose it: in two pieces, or in many */
	for (i = 0; i < size; i++)
		which += data[i] * (i % 7 + 1);
	if (which % 4 != 0)
		cut = which / 4 % (size + 1), step = size + 1;
	else
		step += which / 4 % 13;
	check(&whole, p, size, size, 1);
	check(&split, p, size, cut, step);
	require(strcmp(text_string(&whole), text_string(&split)) == 0);
	text_free(&whole);
	text_free(&split);
	return 0;
}

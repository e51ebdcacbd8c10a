/*
 * The request parser on any bytes: every split gives the same request, and
 * of what a client sends nothing but known headers reaches rspamd.
 */
#include "config.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rspamd_request.h"
#include "spamd_request.h"

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool truth)
{
	if (!truth)
		abort();
}

static const char *
or_null(const char *s)
{
	return s != NULL ? s : "(null)";
}

/* All that a caller can know of R, as a string to be freed. */
static char *
summary(const struct spamd_request *r, enum spamd_progress pr, size_t used)
{
	const struct envelope *e = r->envelope;
	char *s;
	size_t size, i;
	FILE *f = open_memstream(&s, &size);

	require(f != NULL);
	if (pr == SPAMD_BAD)
		fprintf(f, "bad %d %s", r->dialect, spamd_request_error(r));
	else {
		fprintf(f, "%d %zu %d %d %d %d %llu %s %s %s %zu", pr, used,
		    r->dialect, r->command, r->version, r->has_length,
		    (unsigned long long)r->length, or_null(r->user),
		    or_null(r->deliver_to), or_null(r->compress), r->rcpt_seen);
		fprintf(f, " %s %s %s %s %s %d %s", or_null(e->sender),
		    or_null(e->ip), or_null(e->helo), or_null(e->hostname),
		    or_null(e->queue_id), e->authenticated, or_null(e->user));
		for (i = 0; i < e->nrcpt; i++)
			fprintf(f, " %s", e->rcpt[i]);
	}
	fclose(f);
	return s;
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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	const size_t cuts[] = { size, 0, size != 0 ? (data[size - 1] * 7u +
	    size / 2) % size : 0 };
	const size_t steps[] = { 1, 1, size + 1 };
	struct spamd_request *r;
	enum spamd_progress pr;
	char *first = NULL, *s;
	size_t i, used;

	for (i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
		require((r = spamd_request_new()) != NULL);
		pr = feed(r, p, size, cuts[i], steps[i], &used);
		s = summary(r, pr, used);
		if (i == 0) {
			first = s;
			if (pr == SPAMD_HEAD_DONE)
				check_head(r);
		} else {
			require(strcmp(first, s) == 0);
			free(s);
		}
		spamd_request_free(r);
	}
	free(first);
	return 0;
}

/*
 * The HTTP parser on any bytes: every split gives the same response, the
 * body keeps its bound, and a connection is kept only where each byte that
 * came belongs to the response.
 */
#include "config.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http_response.h"

/* Small, so that the fuzzer finds both of its sides. */
#define BODY_MAX	100

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool truth)
{
	if (!truth)
		abort();
}

/* May the connection be kept, after a response that ended with the last of the
   bytes given to H?  Owners look themselves for what follows. */
static void
check_kept(const struct http_response *h, enum http_progress pr)
{
	int status = http_response_status(h);

	if (!http_response_keeps(h))
		return;
	require(pr == HTTP_DONE);
	require(status >= 200 && status != 204 && status != 304);
	require(http_response_error(h) == NULL);
}

/* Feeds H in pieces of STEP bytes after a first one of CUT bytes; *USED: of how
   many bytes the last piece was the last. */
static enum http_progress
feed(struct http_response *h, const char *p, size_t size, size_t cut,
    size_t step, size_t *used)
{
	enum http_progress pr = HTTP_MORE;
	size_t at, n;
	char *piece;

	for (at = 0; pr == HTTP_MORE && at < size; at += n) {
		n = at < cut ? cut : step;
		n = n < size - at ? n : size - at;
		/* a piece of its own: reading beyond it is seen */
		require((piece = malloc(n)) != NULL);
		memcpy(piece, p + at, n);
		pr = http_response_feed(h, piece, n, false);
		free(piece);
		check_kept(h, pr);
	}
	*used = at;
	require(http_response_started(h) == (size > 0));
	if (pr == HTTP_MORE) {
		pr = http_response_feed(h, "", 0, true);
		require(!http_response_keeps(h));
	}
	require(pr != HTTP_MORE);
	return pr;
}

static void
check(const struct http_response *h, enum http_progress pr)
{
	const char *body;
	size_t len;
	int status = http_response_status(h);

	body = http_response_body(h, &len);
	require(len <= BODY_MAX && body[len] == '\0');
	require((http_response_error(h) != NULL) == (pr == HTTP_BAD));
	require(status == 0 || (status >= 200 && status <= 999));
	require(pr == HTTP_BAD || status != 0);
}

static void
same(const struct http_response *a, const struct http_response *b)
{
	const char *x, *y;
	size_t n, m;

	require(http_response_status(a) == http_response_status(b));
	/* of one that was refused, nobody looks at the body */
	if (http_response_error(a) != NULL) {
		require(strcmp(http_response_error(a),
		    http_response_error(b)) == 0);
		return;
	}
	x = http_response_body(a, &n);
	y = http_response_body(b, &m);
	require(n == m && memcmp(x, y, n) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;
	const size_t cuts[] = { size, 0, size != 0 ? (data[size - 1] * 7u +
	    size / 2) % size : 0 };
	const size_t steps[] = { 1, 1, size + 1 };
	struct http_response *h[3];
	enum http_progress pr, first = HTTP_MORE;
	size_t i, used[3];

	for (i = 0; i < 3; i++) {
		require((h[i] = http_response_new(BODY_MAX)) != NULL);
		pr = feed(h[i], p, size, cuts[i], steps[i], &used[i]);
		check(h[i], pr);
		if (i == 0)
			first = pr;
		require(pr == first);
		same(h[0], h[i]);
	}
	/* in one piece it is kept if it is, byte by byte, and nothing follows */
	require(http_response_keeps(h[0]) ==
	    (http_response_keeps(h[1]) && used[1] == size));
	for (i = 0; i < 3; i++)
		http_response_free(h[i]);
	return 0;
}

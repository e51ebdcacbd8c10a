/*
 * Compressed messages of any bytes: every split gives the same message, and
 * no more of it than the limit comes out.
 */
#include "config.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "inflate.h"
#include "text.h"

/* Small, so that the fuzzer finds both of its sides. */
#define MAX_OUT	1000

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool truth)
{
	if (!truth)
		abort();
}

static int
take(const void *p, size_t len, void *arg)
{
	require(len > 0);
	text_put(arg, p, len);
	require(!text_failed(arg));
	return 0;
}

/* Feeds all in pieces of STEP bytes; what comes out is put into OUT. */
static enum inflate_progress
feed(struct text *out, const uint8_t *p, size_t size, size_t step)
{
	enum inflate_progress pr = INFLATE_MORE, last = INFLATE_MORE;
	struct inflate *z;
	uint8_t *piece;
	size_t at, n;

	text_init(out, MAX_OUT);
	require((z = inflate_new(MAX_OUT, take, out)) != NULL);
	for (at = 0; at < size; at += n) {
		n = step < size - at ? step : size - at;
		/* a piece of its own: reading beyond it is seen */
		require((piece = malloc(n)) != NULL);
		memcpy(piece, p + at, n);
		pr = inflate_feed(z, piece, n);
		free(piece);
		/* what it came to, it stays */
		require(last == INFLATE_MORE || pr == last);
		last = pr;
	}
	inflate_free(z);
	return pr;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum inflate_progress first, pr;
	struct text whole, out;
	size_t step = size, i;

	/* one split of many: the bytes choose it */
	for (i = 0; i < size; i++)
		step += data[i];
	first = feed(&whole, data, size, size + 1);
	pr = feed(&out, data, size, 1 + step % 16);
	require(pr == first);
	/* of a bad or too large one, nobody looks at what came out */
	if (pr == INFLATE_DONE || pr == INFLATE_MORE)
		require(out.len == whole.len && (out.len == 0 ||
		    memcmp(out.buf, whole.buf, out.len) == 0));
	text_free(&out);
	text_free(&whole);
	return 0;
}

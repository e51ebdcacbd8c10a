/*
 * The page's requests, any bytes: what is whole stays the same whatever
 * follows, and the response is as long as it says.
 */
#include "config.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "page.h"

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool truth)
{
	if (!truth)
		abort();
}

/* A copy that ends where it ends, so that ASan sees a read beyond. */
static bool
parse(struct page_request *r, const uint8_t *data, size_t size)
{
	char *p = malloc(size > 0 ? size : 1);
	bool whole;

	require(p != NULL);
	if (size > 0)
		memcpy(p, data, size);
	whole = page_parse(r, p, size);
	free(p);
	return whole;
}

/* The response goes by R alone: one look at each is enough. */
static void
check_response(const struct page_request *r)
{
	static bool seen[PAGE_HEALTH + 1][2][2][600];
	static struct counters_snapshot s;
	const char *body, *length;
	struct text t;

	require(r->status >= 0 && r->status < 600);
	if (seen[r->target][r->head][r->json][r->status])
		return;
	seen[r->target][r->head][r->json][r->status] = true;
	text_init(&t, SIZE_MAX / 2);
	page_respond(&t, r, &s, "1.2.3");
	require(!text_failed(&t) && strlen(t.buf) == t.len);
	require(strncmp(t.buf, "HTTP/1.1 ", 9) == 0);
	length = strstr(t.buf, "\r\nContent-Length: ");
	body = strstr(t.buf, "\r\n\r\n");
	require(length != NULL && body != NULL && length < body);
	require(strlen(body + 4) == (r->head ? 0 :
	    strtoul(length + 18, NULL, 10)));
	text_free(&t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct page_request r, first;
	size_t less = 0, enough = size, n;

	if (!parse(&r, data, size))
		return 0;
	check_response(&r);
	/* the least of it that is whole */
	while (less < enough) {
		n = (less + enough) / 2;
		if (parse(&first, data, n))
			enough = n;
		else
			less = n + 1;
	}
	require(parse(&first, data, enough));
	require(first.status == 431 || memcmp(&first, &r, sizeof(r)) == 0);
	return 0;
}

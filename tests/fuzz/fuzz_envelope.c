/*
 * envelope_parse() on any bytes: what it says must be true of the bytes, and
 * must not depend on how many of them it is given at once.
 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "envelope.h"

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool truth)
{
	if (!truth)
		abort();
}

static bool
same(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a, b) == 0;
}

static bool
same_envelope(const struct envelope *a, const struct envelope *b)
{
	size_t i;

	if (a->nrcpt != b->nrcpt || a->authenticated != b->authenticated ||
	    !same(a->sender, b->sender) || !same(a->ip, b->ip) ||
	    !same(a->helo, b->helo) || !same(a->hostname, b->hostname) ||
	    !same(a->queue_id, b->queue_id) || !same(a->user, b->user))
		return false;
	for (i = 0; i < a->nrcpt; i++)
		if (!same(a->rcpt[i], b->rcpt[i]))
			return false;
	return true;
}

static void
check_string(const char *s)
{
	if (s == NULL)
		return;
	for (; *s != '\0'; s++)
		require((unsigned char)*s >= 0x20 && *s != 0x7f);
}

/* An address is not empty, and has something on both sides of its last @. */
static void
check_address(const char *s)
{
	const char *at = strrchr(s, '@');

	check_string(s);
	require(at != NULL && at > s && at[1] != '\0');
}

/* Each byte that was not cleaned is where it was read from. */
static bool
occurs(const char *s, const char *data, size_t size)
{
	size_t n = strlen(s), i, j;

	for (i = 0; i + n <= size; i++) {
		for (j = 0; j < n; j++)
			if (s[j] != data[i + j] && s[j] != '?')
				break;
		if (j == n)
			return true;
	}
	return false;
}

static void
check_client(const struct envelope *e, const char *data, size_t size)
{
	unsigned char binary[sizeof(struct in6_addr)];

	check_string(e->helo);
	check_string(e->hostname);
	require(e->user == NULL);
	require(e->queue_id != NULL);
	require(strlen(e->queue_id) == 16 || strlen(e->queue_id) == 23);
	require(occurs(e->queue_id, data, size));
	require(e->hostname == NULL || e->ip != NULL);
	if (e->hostname != NULL)
		require(occurs(e->hostname, data, size));
	if (e->ip != NULL) {
		require(inet_pton(strchr(e->ip, ':') != NULL ? AF_INET6 :
		    AF_INET, e->ip, binary) == 1);
		require(occurs(e->ip, data, size));
	}
}

static void
check_none(const struct envelope *e)
{
	require(e->sender == NULL && e->rcpt == NULL && e->nrcpt == 0 &&
	    e->ip == NULL && e->helo == NULL && e->hostname == NULL &&
	    e->queue_id == NULL && e->user == NULL && !e->authenticated);
}

static void
check_result(enum envelope_result r, const struct envelope *e, size_t skip,
    const char *data, size_t size)
{
	size_t i;

	if (r == ENVELOPE_NONE || r == ENVELOPE_MORE) {
		require(skip == 0);
		check_none(e);
		return;
	}
	require(skip > 0 && skip <= size && skip <= ENVELOPE_MAX);
	require(data[skip - 1] == '\n');
	require(e->nrcpt > 0 && e->sender != NULL);
	if (e->sender[0] != '\0') {
		check_address(e->sender);
		require(occurs(e->sender, data, skip));
	}
	for (i = 0; i < e->nrcpt; i++) {
		check_address(e->rcpt[i]);
		require(occurs(e->rcpt[i], data, skip));
	}
	if (r == ENVELOPE_FULL)
		check_client(e, data, size);
	else
		require(e->ip == NULL && e->helo == NULL &&
		    e->hostname == NULL && e->queue_id == NULL &&
		    !e->authenticated);
}

/* The parser gets a copy of its own, so that a byte too far is noticed. */
static enum envelope_result
parse(const char *data, size_t size, bool eom, struct envelope *e)
{
	enum envelope_result r;
	char *copy = NULL;
	size_t skip;

	if (size > 0) {
		copy = malloc(size);
		require(copy != NULL);
		memcpy(copy, data, size);
	}
	r = envelope_parse(copy, size, eom, e, &skip);
	free(copy);
	check_result(r, e, skip, data, size);
	return r;
}

/* With the first N bytes the answer is MORE, or all that there will be. */
static bool
check_prefix(const char *data, size_t n, enum envelope_result final,
    const struct envelope *whole)
{
	struct envelope *e = envelope_new();
	enum envelope_result r;
	bool decided;

	require(e != NULL);
	r = parse(data, n, false, e);
	decided = r != ENVELOPE_MORE;
	if (decided)
		require(r == final && same_envelope(e, whole));
	envelope_free(e);
	return decided;
}

/*
 * Somewhere before the end, most often around a line end, where answers come
 * from: WHICH chooses.
 */
static size_t
place(const char *data, size_t size, size_t which)
{
	size_t at = which / 4 % size;
	const char *nl;

	if (which % 4 == 0)
		return at;
	if ((nl = memchr(data + at, '\n', size - at)) == NULL)
		return at;
	at = (size_t)(nl - data);
	return which % 4 == 1 || at + 1 == size ? at : at + 1;
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	const char *data = (const char *)bytes;
	struct envelope *e = envelope_new();
	enum envelope_result r;
	size_t which = size, n, m, i;

	require(e != NULL);
	r = parse(data, size, true, e);
	require(r != ENVELOPE_MORE);

	/* two of all starts of it, the bytes choose them: what the shorter
	   one decides, the longer one does, too */
	for (i = 0; i < size; i++)
		which += bytes[i] * (i % 7 + 1);
	if (size > 0) {
		n = place(data, size, which);
		if (check_prefix(data, n, r, e)) {
			m = n + 1 + which % (size - n);
			require(m == size || check_prefix(data, m, r, e));
		}
	}
	if (size >= ENVELOPE_MAX)
		require(check_prefix(data, size, r, e));
	envelope_free(e);
	return 0;
}

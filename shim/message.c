/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "inflate.h"
#include "message.h"

/* Smaller pieces of a message are copied: moved, each would keep the memory
   that was reserved for a large read. */
#define MOVE_LEAST	8192
/* Exim's own lines are usually within so many bytes, which lie in one piece. */
#define ENVELOPE_USUAL	8192

struct message {
	uint64_t	 max;
	struct evbuffer	*body;
	struct evbuffer	*prefix;
	struct inflate	*inflate;	/* NULL: the body is the message */
	bool		 inflated;	/* the compressed stream has ended */
	bool		 has_length;
	uint64_t	 length;	/* on the wire */
	uint64_t	 received;	/* likewise, so far */
	bool		 discard;	/* too large to be kept */
	uint64_t	 surplus;	/* bytes that came behind it */
	char		 tail[2];	/* the first of them */
	char		 error[120];
};

struct message *
message_new(uint64_t max)
{
	struct message *m;

	if ((m = calloc(1, sizeof(*m))) == NULL)
		return NULL;
	m->max = max;
	m->body = evbuffer_new();
	m->prefix = evbuffer_new();
	if (m->body != NULL && m->prefix != NULL)
		return m;
	message_free(m);
	return NULL;
}

void
message_free(struct message *m)
{
	if (m == NULL)
		return;
	inflate_free(m->inflate);
	if (m->body != NULL)
		evbuffer_free(m->body);
	if (m->prefix != NULL)
		evbuffer_free(m->prefix);
	free(m);
}

/* Is this more than can be a message with Exim's own lines? */
static bool
far_too_large(const struct message *m, uint64_t size)
{
	return size > m->max + ENVELOPE_MAX;
}

static int
keep_inflated(const void *p, size_t len, void *arg)
{
	struct message *m = arg;

	return evbuffer_add(m->body, p, len);
}

static enum message_progress
bad(struct message *m, const char *why)
{
	(void)snprintf(m->error, sizeof(m->error), "%s", why);
	return MESSAGE_BAD;
}

int
message_expect(struct message *m, const struct spamd_request *r)
{
	m->has_length = r->has_length;
	m->length = r->length;
	if (r->compress == NULL) {
		m->discard = r->has_length && far_too_large(m, r->length);
		return 0;
	}
	if (strcmp(r->compress, "zlib") != 0) {
		(void)bad(m, "unknown compression, zlib is known");
		return -1;
	}
	m->inflate = inflate_new(m->max + ENVELOPE_MAX, keep_inflated, m);
	if (m->inflate == NULL) {
		(void)bad(m, "out of memory");
		return -1;
	}
	return 0;
}

/* Nothing of the message is kept any more. */
static void
give_up(struct message *m)
{
	m->discard = true;
	(void)evbuffer_drain(m->body, evbuffer_get_length(m->body));
}

/* Takes N compressed bytes from IN. */
static enum message_progress
take_compressed(struct message *m, struct evbuffer *in, size_t n)
{
	enum inflate_progress pr = INFLATE_MORE;
	struct evbuffer_iovec v;
	size_t len;

	for (; n > 0 && evbuffer_peek(in, -1, NULL, &v, 1) > 0; n -= len) {
		len = v.iov_len < n ? v.iov_len : n;
		if (!m->discard)
			pr = inflate_feed(m->inflate, v.iov_base, len);
		(void)evbuffer_drain(in, len);
		if (pr == INFLATE_BAD)
			return bad(m, "the compressed message is not in zlib's "
			    "format");
		if (pr == INFLATE_TOO_LARGE)
			give_up(m);
		m->inflated |= pr == INFLATE_DONE;
	}
	return MESSAGE_MORE;
}

static enum message_progress
whole(struct message *m)
{
	if (m->inflate != NULL && !m->inflated && !m->discard)
		return bad(m, "the compressed message is cut off");
	return MESSAGE_WHOLE;
}

/* Moves the first N bytes of IN to the end of the body. */
static int
keep(struct message *m, struct evbuffer *in, size_t n)
{
	struct evbuffer_iovec v;

	if (n >= MOVE_LEAST)
		return evbuffer_remove_buffer(in, m->body, n) == -1 ? -1 : 0;
	while (n > 0 && evbuffer_peek(in, -1, NULL, &v, 1) > 0) {
		if (v.iov_len > n)
			v.iov_len = n;
		if (evbuffer_add(m->body, v.iov_base, v.iov_len) == -1)
			return -1;
		(void)evbuffer_drain(in, v.iov_len);
		n -= v.iov_len;
	}
	return 0;
}

/* In spamd's own words: the client has sent N bytes so far. */
static void
mismatch(struct message *m, uint64_t n)
{
	(void)snprintf(m->error, sizeof(m->error), "Content-Length mismatch: "
	    "Expected %" PRIu64 " bytes, got %" PRIu64 " bytes", m->length, n);
}

enum message_progress
message_take(struct message *m, struct evbuffer *in, size_t most, bool eom)
{
	uint64_t n = evbuffer_get_length(in);

	if (n > most)
		n = most;
	if (m->has_length && n > m->length - m->received)
		n = m->length - m->received;
	if (!m->discard && far_too_large(m, m->received + n))
		give_up(m);
	m->received += n;
	if (m->inflate != NULL) {
		if (take_compressed(m, in, (size_t)n) == MESSAGE_BAD)
			return MESSAGE_BAD;
	} else if (m->discard)
		(void)evbuffer_drain(in, (size_t)n);
	else if (keep(m, in, (size_t)n) == -1)
		return bad(m, "out of memory");
	if (m->has_length && m->received == m->length)
		return whole(m);
	if (!eom || evbuffer_get_length(in) > 0)
		return MESSAGE_MORE;
	if (!m->has_length)
		return whole(m);
	mismatch(m, m->received);
	return MESSAGE_BAD;
}

bool
message_ends(struct message *m, struct evbuffer *in, bool last)
{
	size_t len = evbuffer_get_length(in);
	size_t n = m->surplus < 2 ? 2 - (size_t)m->surplus : 0;

	if (m->inflate != NULL || !m->has_length) {
		(void)evbuffer_drain(in, len);
		return true;
	}
	if (n > 0)
		(void)evbuffer_copyout(in, m->tail + m->surplus, n);
	m->surplus += len;
	(void)evbuffer_drain(in, len);
	if (m->surplus == 0 || (m->surplus == 1 && (m->tail[0] == '\n' ||
	    (m->tail[0] == '\r' && !last))) || (m->surplus == 2 &&
	    memcmp(m->tail, "\r\n", 2) == 0))
		return true;
	mismatch(m, m->received + m->surplus);
	return false;
}

const char *
message_error(const struct message *m)
{
	return m->error;
}

/* envelope_parse() of the first MAX bytes of the message. */
static enum envelope_result
parse(struct message *m, struct envelope *e, size_t max, size_t *skip)
{
	size_t all = evbuffer_get_length(m->body), len = all < max ? all : max;
	const char *p;

	p = (const char *)evbuffer_pullup(m->body, (ev_ssize_t)len);
	if (p == NULL)
		return ENVELOPE_NONE;
	return envelope_parse(p, len, len == all || max == ENVELOPE_MAX, e,
	    skip);
}

enum envelope_result
message_envelope(struct message *m, struct envelope *e)
{
	static const char from[] = "From ";
	char start[sizeof(from) - 1];
	enum envelope_result res;
	size_t skip = 0;

	/* most messages of others are told by their first bytes */
	if (evbuffer_copyout(m->body, start, sizeof(start)) !=
	    (ev_ssize_t)sizeof(start) || memcmp(start, from, sizeof(start)) != 0)
		return ENVELOPE_NONE;
	res = parse(m, e, ENVELOPE_USUAL, &skip);
	if (res == ENVELOPE_MORE)
		res = parse(m, e, ENVELOPE_MAX, &skip);
	if (res != ENVELOPE_NONE &&
	    evbuffer_remove_buffer(m->body, m->prefix, skip) == -1)
		return ENVELOPE_NONE;
	return res;
}

bool
message_too_large(const struct message *m)
{
	return m->discard || evbuffer_get_length(m->body) > m->max;
}

uint64_t
message_received(const struct message *m)
{
	return m->received;
}

uint64_t
message_size(const struct message *m)
{
	return evbuffer_get_length(m->body);
}

uint64_t
message_room(const struct message *m)
{
	return m->has_length ? m->length - m->received : UINT64_MAX;
}

uint64_t
message_kept(const struct message *m)
{
	return evbuffer_get_length(m->body) + evbuffer_get_length(m->prefix);
}

bool
message_discards(const struct message *m)
{
	return m->discard;
}

void
message_drop(struct message *m)
{
	(void)evbuffer_drain(m->body, evbuffer_get_length(m->body));
	(void)evbuffer_drain(m->prefix, evbuffer_get_length(m->prefix));
}

struct evbuffer *
message_body(const struct message *m)
{
	return m->body;
}

struct evbuffer *
message_prefix(const struct message *m)
{
	return m->prefix;
}

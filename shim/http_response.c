/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http_response.h"
#include "text.h"

enum state {
	STATUS_LINE,
	HEADER_LINE,		/* the states below come after the head */
	BODY_LENGTH,		/* LEFT bytes are still to come */
	BODY_CLOSE,		/* up to the end of the connection */
	CHUNK_SIZE,
	CHUNK_DATA,		/* LEFT bytes are still to come */
	CHUNK_END,		/* the line end after a chunk's data */
	TRAILER_LINE,
	COMPLETE
};

struct http_response {
	enum state	 state;
	int		 status;
	bool		 has_length, chunked, started;
	bool		 closes;	/* the connection is not to be kept */
	uint64_t	 length;
	uint64_t	 left;
	size_t		 nhead;
	struct text	 line;		/* an unfinished line */
	struct text	 body;
	char		 server[64];
	const char	*error;
};

struct http_response *
http_response_new(size_t max)
{
	struct http_response *h;

	if ((h = calloc(1, sizeof(*h))) == NULL)
		return NULL;
	text_init(&h->line, HTTP_RESPONSE_LINE_MAX);
	text_init(&h->body, max);
	return h;
}

void
http_response_free(struct http_response *h)
{
	if (h == NULL)
		return;
	text_free(&h->line);
	text_free(&h->body);
	free(h);
}

int
http_response_status(const struct http_response *h)
{
	return h->state > HEADER_LINE ? h->status : 0;
}

const char *
http_response_server(const struct http_response *h)
{
	return h->server;
}

const char *
http_response_body(const struct http_response *h, size_t *len)
{
	*len = h->body.len;
	return text_string(&h->body);
}

bool
http_response_started(const struct http_response *h)
{
	return h->started;
}

bool
http_response_keeps(const struct http_response *h)
{
	return h->state == COMPLETE && !h->closes;
}

const char *
http_response_error(const struct http_response *h)
{
	return h->error;
}

static enum http_progress
bad(struct http_response *h, const char *why)
{
	h->error = why;
	return HTTP_BAD;
}

static enum http_progress
status_line(struct http_response *h, const char *p, size_t len)
{
	if (len < 12 || memcmp(p, "HTTP/1.", 7) != 0 ||
	    (p[7] != '0' && p[7] != '1') || p[8] != ' ' ||
	    p[9] < '1' || p[9] > '9' || p[10] < '0' || p[10] > '9' ||
	    p[11] < '0' || p[11] > '9' || (len > 12 && p[12] != ' '))
		return bad(h, "not an HTTP/1.1 response");
	h->status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0');
	h->has_length = h->chunked = false;
	/* HTTP/1.0 closes unless it says otherwise, and is not asked here */
	h->closes = p[7] == '0';
	h->state = HEADER_LINE;
	return HTTP_MORE;
}

/* Reads up to 18 decimal digits; false where P is anything else. */
static bool
decimal(const char *p, size_t len, uint64_t *v)
{
	size_t i;

	*v = 0;
	for (i = 0; i < len && p[i] >= '0' && p[i] <= '9'; i++)
		*v = *v * 10 + (uint64_t)(p[i] - '0');
	return i == len && len > 0 && len <= 18;
}

/* The empty line of a head has come. */
static enum http_progress
head_end(struct http_response *h)
{
	if (h->status < 200) {
		h->state = STATUS_LINE;
		return HTTP_MORE;
	}
	if (h->chunked && h->has_length)
		return bad(h, "both Content-Length and chunked");
	if (h->status == 204 || h->status == 304) {
		/* what it must not have may follow nevertheless */
		h->closes = true;
		h->state = COMPLETE;
		return HTTP_DONE;
	}
	if (h->chunked) {
		h->state = CHUNK_SIZE;
		return HTTP_MORE;
	}
	if (!h->has_length) {
		h->state = BODY_CLOSE;
		h->closes = true;
		return HTTP_MORE;
	}
	if (h->length > h->body.max)
		return bad(h, "the response is too large");
	h->left = h->length;
	h->state = h->left > 0 ? BODY_LENGTH : COMPLETE;
	return h->left > 0 ? HTTP_MORE : HTTP_DONE;
}

static bool
is_name(const char *p, size_t len, const char *name)
{
	return strlen(name) == len && strncasecmp(p, name, len) == 0;
}

static enum http_progress
header_line(struct http_response *h, const char *p, size_t len)
{
	const char *colon, *value;
	uint64_t v;
	size_t n;

	if (len == 0)
		return head_end(h);
	if (p[0] == ' ' || p[0] == '\t')
		return HTTP_MORE;	/* a folded value: of no header read here */
	if ((colon = memchr(p, ':', len)) == NULL)
		return bad(h, "a header without a colon");
	n = (size_t)(colon - p);
	value = colon + 1;
	len -= n + 1;
	while (len > 0 && (*value == ' ' || *value == '\t'))
		value++, len--;
	while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
		len--;
	if (is_name(p, n, "Content-Length")) {
		if (!decimal(value, len, &v) || (h->has_length && v != h->length))
			return bad(h, "bad Content-Length");
		h->has_length = true;
		h->length = v;
	} else if (is_name(p, n, "Transfer-Encoding")) {
		if (!is_name(value, len, "chunked"))
			return bad(h, "unknown Transfer-Encoding");
		h->chunked = true;
	} else if (is_name(p, n, "Connection")) {
		/* a list that has another word than this may have "close" */
		h->closes |= !is_name(value, len, "keep-alive");
	} else if (is_name(p, n, "Server")) {
		(void)snprintf(h->server, sizeof(h->server), "%.*s",
		    (int)len, value);
	} else if (is_name(p, n, "Content-Encoding") &&
	    !is_name(value, len, "identity"))
		return bad(h, "a compressed response was not asked for");
	return HTTP_MORE;
}

static enum http_progress
chunk_size(struct http_response *h, const char *p, size_t len)
{
	uint64_t v = 0;
	size_t i;
	int d;

	for (i = 0; i < len && i < 16; i++) {
		if (p[i] >= '0' && p[i] <= '9')
			d = p[i] - '0';
		else if (p[i] >= 'a' && p[i] <= 'f')
			d = p[i] - 'a' + 10;
		else if (p[i] >= 'A' && p[i] <= 'F')
			d = p[i] - 'A' + 10;
		else
			break;
		v = v << 4 | (uint64_t)d;
	}
	if (i == 0 || i == 16 || (i < len && p[i] != ';' && p[i] != ' ' &&
	    p[i] != '\t'))
		return bad(h, "bad chunk size");
	if (v > h->body.max - h->body.len)
		return bad(h, "the response is too large");
	h->left = v;
	h->state = v > 0 ? CHUNK_DATA : TRAILER_LINE;
	return HTTP_MORE;
}

/* One line of LEN bytes, its LF taken off. */
static enum http_progress
take_line(struct http_response *h, const char *p, size_t len)
{
	if (len > 0 && p[len - 1] == '\r')
		len--;
	switch (h->state) {
	case STATUS_LINE:
		return status_line(h, p, len);
	case HEADER_LINE:
		return header_line(h, p, len);
	case CHUNK_SIZE:
		return chunk_size(h, p, len);
	case CHUNK_END:
		if (len != 0)
			return bad(h, "a chunk is longer than its size");
		h->state = CHUNK_SIZE;
		return HTTP_MORE;
	default:	/* TRAILER_LINE */
		if (len != 0)
			return HTTP_MORE;
		h->state = COMPLETE;
		return HTTP_DONE;
	}
}

/* Takes bytes of a line; *USED is how many. */
static enum http_progress
line_bytes(struct http_response *h, const char *p, size_t len, size_t *used)
{
	const char *nl = memchr(p, '\n', len);
	size_t n = nl != NULL ? (size_t)(nl - p) : len;
	size_t line_room = h->line.max - h->line.len;
	size_t head_room = HTTP_RESPONSE_HEAD_MAX - h->nhead;
	/* chunk sizes are bounded by the body: they do not count as head */
	bool head = h->state != CHUNK_SIZE && h->state != CHUNK_END;
	enum http_progress pr = HTTP_MORE;

	*used = nl != NULL ? n + 1 : n;
	/* the limit that is met first, however the bytes are split */
	if (n > line_room && (!head || line_room < head_room))
		return bad(h, "a line is too long");
	if (head && *used > head_room)
		return bad(h, "the head is too long");
	if (head)
		h->nhead += *used;
	if (nl != NULL && h->line.len == 0)
		return take_line(h, p, n);
	text_put(&h->line, p, n);
	if (text_failed(&h->line))
		return bad(h, "out of memory");
	if (nl != NULL) {
		pr = take_line(h, h->line.buf, h->line.len);
		text_rewind(&h->line, 0);
	}
	return pr;
}

/* Takes bytes of the body; *USED is how many. */
static enum http_progress
body_bytes(struct http_response *h, const char *p, size_t len, size_t *used)
{
	if (h->state != BODY_CLOSE && len > h->left)
		len = (size_t)h->left;
	text_put(&h->body, p, len);
	if (text_failed(&h->body))
		return bad(h, len > h->body.max - h->body.len ?
		    "the response is too large" : "out of memory");
	*used = len;
	if (h->state == BODY_CLOSE || (h->left -= len) > 0)
		return HTTP_MORE;
	if (h->state == CHUNK_DATA) {
		h->state = CHUNK_END;
		return HTTP_MORE;
	}
	h->state = COMPLETE;
	return HTTP_DONE;
}

static bool
in_body(const struct http_response *h)
{
	return h->state == BODY_LENGTH || h->state == BODY_CLOSE ||
	    h->state == CHUNK_DATA;
}

enum http_progress
http_response_feed(struct http_response *h, const char *buf, size_t len,
    bool eom)
{
	enum http_progress pr = HTTP_MORE;
	size_t at, used = 0;

	if (len > 0)
		h->started = true;
	for (at = 0; pr == HTTP_MORE && at < len; at += used)
		pr = in_body(h) ?
		    body_bytes(h, buf + at, len - at, &used) :
		    line_bytes(h, buf + at, len - at, &used);
	h->closes |= at < len || eom;
	if (pr != HTTP_MORE || !eom)
		return pr;
	if (h->state == BODY_CLOSE) {
		h->state = COMPLETE;
		return HTTP_DONE;
	}
	return bad(h, h->started ? "the response was cut off" :
	    "closed without a response");
}

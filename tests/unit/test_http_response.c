#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_response.h"
#include "unit.h"

#define BODY_MAX	1000

/*
 * Gives H the LEN bytes at BUF in pieces: up to CUT, then the rest; or, if
 * CUT is above LEN, byte by byte.  Each piece is an allocation of its own.
 */
static enum http_progress
feed(struct http_response *h, const char *buf, size_t len, size_t cut,
    bool eom)
{
	enum http_progress pr = HTTP_MORE;
	size_t at = 0, n;
	char *piece;

	do {
		n = cut > len ? len != 0 : at < cut ? cut : len - at;
		piece = unit_exact(buf + at, n);
		pr = http_response_feed(h, piece, n, eom && at + n == len);
		free(piece);
		at += n;
	} while (pr == HTTP_MORE && at < len);
	return pr;
}

/* All that a caller can know of H, as one string to be freed. */
static char *
summary(const struct http_response *h, enum http_progress pr)
{
	const char *body;
	size_t len;

	ck_assert((http_response_error(h) != NULL) == (pr == HTTP_BAD));
	if (pr == HTTP_BAD)
		return unit_format("bad %d: %s", http_response_status(h),
		    http_response_error(h));
	body = http_response_body(h, &len);
	ck_assert_int_eq(body[len], '\0');
	return unit_format("%s %d %d %zu:%s",
	    pr == HTTP_DONE ? "done" : "more", http_response_status(h),
	    http_response_started(h), len, body);
}

static char *
result(const char *buf, size_t len, size_t cut, bool eom)
{
	struct http_response *h = http_response_new(BODY_MAX);
	char *s;

	ck_assert_ptr_nonnull(h);
	s = summary(h, feed(h, buf, len, cut, eom));
	http_response_free(h);
	return s;
}

#define OK	"HTTP/1.1 200 OK\r\n"

/*
 * Responses and what they are: while the peer may go on, and once it has
 * closed (NULL: the same).
 */
static const struct {
	const char *in;
	size_t len;
	const char *open, *closed;
} responses[] = {
	/* by length */
	{ BYTES(OK "Content-Length: 4\r\n\r\nbody"), "done 200 1 4:body", NULL },
	{ BYTES(OK "content-LENGTH:4\r\nConnection: close\r\n\r\nbodymore"),
	    "done 200 1 4:body", NULL },
	{ BYTES(OK "Content-Length:\t 0 \r\n\r\n"), "done 200 1 0:", NULL },
	{ BYTES("HTTP/1.1 200 OK\nContent-Length: 2\n\nab"),
	    "done 200 1 2:ab", NULL },
	{ BYTES(OK "Content-Length: 2\r\nContent-Length: 2\r\n\r\nab"),
	    "done 200 1 2:ab", NULL },
	{ BYTES(OK "Content-Length: 4\r\n\r\nbod"), "more 200 1 3:bod",
	    "bad 200: the response was cut off" },
	{ BYTES("HTTP/1.0 500 Internal error\r\nContent-Length: 2\r\n\r\n{}"),
	    "done 500 1 2:{}", NULL },
	{ BYTES("HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx"),
	    "done 200 1 1:x", NULL },
	{ BYTES("HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\nx"),
	    "done 200 1 1:x", NULL },
	/* chunked */
	{ BYTES(OK "Transfer-Encoding: chunked\r\n\r\n"
	    "4\r\nbody\r\n6\r\n, more\r\n0\r\n\r\n"),
	    "done 200 1 10:body, more", NULL },
	{ BYTES(OK "transfer-encoding:CHUNKED\r\n\r\n"
	    "0a;name=\"x\"\r\n0123456789\r\nA ;y\r\n0123456789\r\n"
	    "00\r\nTrailer: x\r\nContent-Length: 77\r\n\r\nrest"),
	    "done 200 1 20:01234567890123456789", NULL },
	{ BYTES(OK "Transfer-Encoding: chunked\n\n1\na\n0\n\n"),
	    "done 200 1 1:a", NULL },
	{ BYTES(OK "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
	    "done 200 1 0:", NULL },
	{ BYTES(OK "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n"),
	    "more 200 1 4:body", "bad 200: the response was cut off" },
	{ BYTES(OK "Transfer-Encoding: chunked\r\n\r\n4\r\nbod"),
	    "more 200 1 3:bod", "bad 200: the response was cut off" },
	{ BYTES(OK "Transfer-Encoding: chunked\r\n\r\n4\r\nbody!\r\n"),
	    "bad 200: a chunk is longer than its size", NULL },
	{ BYTES(OK "Transfer-Encoding: chunked\r\n\r\nx\r\n"),
	    "bad 200: bad chunk size", NULL },
	{ BYTES(OK "Transfer-Encoding: chunked\r\n\r\n\r\n"),
	    "bad 200: bad chunk size", NULL },
	{ BYTES(OK "Transfer-Encoding: chunked\r\n\r\n-1\r\n"),
	    "bad 200: bad chunk size", NULL },
	{ BYTES(OK "Transfer-Encoding: chunked\r\n\r\n0x4\r\nbody\r\n"),
	    "bad 200: bad chunk size", NULL },
	{ BYTES(OK "Transfer-Encoding: chunked\r\n\r\n4,5\r\nbody\r\n"),
	    "bad 200: bad chunk size", NULL },
	{ BYTES(OK "Transfer-Encoding: chunked\r\n\r\n"
	    "10000000000000004\r\nbody\r\n"), "bad 200: bad chunk size", NULL },
	{ BYTES(OK "Transfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n"),
	    "bad 200: the response is too large", NULL },
	/* up to the close */
	{ BYTES(OK "\r\nbody"), "more 200 1 4:body", "done 200 1 4:body" },
	{ BYTES(OK "\r\n"), "more 200 1 0:", "done 200 1 0:" },
	/* interim responses, and those that have no body */
	{ BYTES("HTTP/1.1 100 Continue\r\n\r\n" OK
	    "Content-Length: 1\r\n\r\nx"), "done 200 1 1:x", NULL },
	{ BYTES("HTTP/1.1 100 Continue\r\nContent-Length: 9\r\n"
	    "Transfer-Encoding: chunked\r\n\r\nHTTP/1.1 102 x\r\n\r\n" OK
	    "Content-Length: 1\r\n\r\nx"), "done 200 1 1:x", NULL },
	{ BYTES("HTTP/1.1 100 Continue\r\n\r\n"), "more 0 1 0:",
	    "bad 0: the response was cut off" },
	{ BYTES("HTTP/1.1 204 No Content\r\n\r\n"), "done 204 1 0:", NULL },
	{ BYTES("HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\nx"),
	    "done 204 1 0:", NULL },
	{ BYTES("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n"
	    "\r\n"), "done 304 1 0:", NULL },
	/* headers */
	{ BYTES(OK "X-Folded: a\r\n  b\r\n\tContent-Length: 9\r\n"
	    "Content-Encoding: identity\r\nContent-Length: 1\r\n\r\nx"),
	    "done 200 1 1:x", NULL },
	{ BYTES(OK "Content-Length: 1\r\nno colon\r\n\r\nx"),
	    "bad 0: a header without a colon", NULL },
	{ BYTES(OK "Content-Length: -1\r\n\r\n"), "bad 0: bad Content-Length",
	    NULL },
	{ BYTES(OK "Content-Length: +1\r\n\r\n"), "bad 0: bad Content-Length",
	    NULL },
	{ BYTES(OK "Content-Length: 1x\r\n\r\n"), "bad 0: bad Content-Length",
	    NULL },
	{ BYTES(OK "Content-Length:\r\n\r\n"), "bad 0: bad Content-Length",
	    NULL },
	{ BYTES(OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\n"),
	    "bad 0: bad Content-Length", NULL },
	{ BYTES(OK "Content-Length: 18446744073709551617\r\n\r\nx"),
	    "bad 0: bad Content-Length", NULL },
	{ BYTES(OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
	    "bad 0: both Content-Length and chunked", NULL },
	{ BYTES(OK "Transfer-Encoding: gzip, chunked\r\n\r\n"),
	    "bad 0: unknown Transfer-Encoding", NULL },
	{ BYTES(OK "Transfer-Encoding:\r\n chunked\r\n\r\n"),
	    "bad 0: unknown Transfer-Encoding", NULL },
	{ BYTES(OK "Content-Encoding: zstd\r\n\r\n"),
	    "bad 0: a compressed response was not asked for", NULL },
	/* no HTTP */
	{ BYTES("RSPAMD/1.3 0 EX_OK\r\n"), "bad 0: not an HTTP/1.1 response",
	    NULL },
	{ BYTES("HTTP/2.0 200 OK\r\n"), "bad 0: not an HTTP/1.1 response", NULL },
	{ BYTES("HTTP/1.1 2000\r\n"), "bad 0: not an HTTP/1.1 response", NULL },
	{ BYTES("HTTP/1.1 099 x\r\n"), "bad 0: not an HTTP/1.1 response", NULL },
	{ BYTES("HTTP/1.1  200 OK\r\n"), "bad 0: not an HTTP/1.1 response",
	    NULL },
	{ BYTES("HTTP/1.1 20\r\n"), "bad 0: not an HTTP/1.1 response", NULL },
	{ BYTES("\r\n" OK), "bad 0: not an HTTP/1.1 response", NULL },
	{ BYTES("{\"action\":\"reject\"}\n"), "bad 0: not an HTTP/1.1 response",
	    NULL },
	{ BYTES(""), "more 0 0 0:", "bad 0: closed without a response" },
	{ BYTES("H"), "more 0 1 0:", "bad 0: the response was cut off" },
	{ BYTES(OK "Content-Length: 1\r\n"), "more 0 1 0:",
	    "bad 0: the response was cut off" },
};

START_TEST(responses_are_understood)
{
	const char *expected;
	char *s;
	int eom;

	for (eom = 0; eom <= 1; eom++) {
		expected = eom && responses[_i].closed != NULL ?
		    responses[_i].closed : responses[_i].open;
		s = result(responses[_i].in, responses[_i].len,
		    responses[_i].len, eom);
		ck_assert_str_eq(s, expected);
		free(s);
	}
}
END_TEST

START_TEST(every_split_is_alike)
{
	const char *in = responses[_i].in;
	size_t len = responses[_i].len, cut;
	char *whole, *split;
	int eom;

	for (eom = 0; eom <= 1; eom++) {
		whole = result(in, len, len, eom);
		/* LEN + 1 stands for byte by byte */
		for (cut = 0; cut <= len + 1; cut++) {
			split = result(in, len, cut, eom);
			ck_assert_msg(strcmp(whole, split) == 0,
			    "whole: %s\ncut at %zu: %s", whole, cut, split);
			free(split);
		}
		free(whole);
	}
}
END_TEST

/* The close may be seen after the last byte. */
START_TEST(late_close_is_alike)
{
	const char *in = responses[_i].in;
	size_t len = responses[_i].len;
	struct http_response *h = http_response_new(BODY_MAX);
	enum http_progress pr = feed(h, in, len, len, false);
	char *whole = result(in, len, len, true), *late;

	if (pr == HTTP_MORE)
		pr = http_response_feed(h, "", 0, true);
	late = summary(h, pr);
	ck_assert_str_eq(late, whole);
	free(late);
	free(whole);
	http_response_free(h);
}
END_TEST

/* The name that the server gives itself, however it comes. */
START_TEST(server_is_named)
{
	static const struct {
		const char *in, *server;
	} t[] = {
		{ OK "Server: rspamd/3.4\r\nContent-Length: 0\r\n\r\n",
		    "rspamd/3.4" },
		{ OK "sErVeR:\t rspamd/4.1.5 \r\nContent-Length: 0\r\n\r\n",
		    "rspamd/4.1.5" },
		{ OK "Content-Length: 0\r\n\r\n", "" },
		{ OK "Server:\r\nContent-Length: 0\r\n\r\n", "" },
		{ OK "X-Server: x\r\nServers: y\r\nContent-Length: 0\r\n"
		    "\r\n", "" },
		{ OK "Transfer-Encoding: chunked\r\n\r\n0\r\nServer: x\r\n"
		    "\r\n", "" },
		{ OK "Server: 0123456789012345678901234567890123456789"
		    "0123456789012345678901234567890123456789\r\n"
		    "Content-Length: 0\r\n\r\n",
		    "0123456789012345678901234567890123456789"
		    "01234567890123456789012" },
	};
	struct http_response *h;
	size_t i, cut, len;

	h = http_response_new(BODY_MAX);
	ck_assert_str_eq(http_response_server(h), "");
	http_response_free(h);
	for (i = 0; i < COUNT(t); i++) {
		len = strlen(t[i].in);
		for (cut = 0; cut <= len + 1; cut++) {
			h = http_response_new(BODY_MAX);
			ck_assert_int_eq(feed(h, t[i].in, len, cut, false),
			    HTTP_DONE);
			ck_assert_str_eq(http_response_server(h),
			    t[i].server);
			http_response_free(h);
		}
	}
}
END_TEST

#define LENGTH	"Content-Length: 2\r\n"

/* Responses, and whether the connection may be used again after them. */
static const struct {
	const char *in;
	bool keeps;
} kept[] = {
	{ OK LENGTH "\r\n{}", true },
	{ OK LENGTH "Connection: keep-alive\r\n\r\n{}", true },
	{ OK LENGTH "connection:KEEP-ALIVE \r\n\r\n{}", true },
	{ OK LENGTH "Keep-Alive: timeout=5\r\n\r\n{}", true },
	{ OK "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", true },
	{ "HTTP/1.1 500 x\r\n" LENGTH "\r\n{}", true },
	{ "HTTP/1.1 100 x\r\n\r\n" OK LENGTH "\r\n{}", true },
	/* it says that it closes, in one of the ways to say so */
	{ OK LENGTH "Connection: close\r\n\r\n{}", false },
	{ OK LENGTH "CONNECTION: Close\r\n\r\n{}", false },
	{ OK "Connection: keep-alive, close\r\n" LENGTH "\r\n{}", false },
	{ OK LENGTH "Connection: keep-alive\r\nConnection: close\r\n\r\n{}",
	    false },
	{ OK LENGTH "Connection: upgrade\r\n\r\n{}", false },
	{ "HTTP/1.0 200 OK\r\n" LENGTH "\r\n{}", false },
	{ "HTTP/1.0 200 OK\r\n" LENGTH "Connection: keep-alive\r\n\r\n{}",
	    false },
	/* a body may follow, which it must not have */
	{ "HTTP/1.1 204 x\r\n\r\n", false },
	{ "HTTP/1.1 204 x\r\n" LENGTH "Connection: keep-alive\r\n\r\n", false },
	{ "HTTP/1.1 304 x\r\n\r\n", false },
	{ "HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n\r\n", false },
	/* an answer to nothing follows: whose would the next one be? */
	{ OK LENGTH "\r\n{}x", false },
	{ OK LENGTH "\r\n{}" OK LENGTH "\r\n{}", false },
	{ OK "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n\r\n",
	    false },
};

START_TEST(connections_that_are_kept)
{
	const char *in = kept[_i].in;
	struct http_response *h = http_response_new(BODY_MAX);

	ck_assert(!http_response_keeps(h));
	ck_assert_int_eq(feed(h, in, strlen(in), strlen(in), false),
	    HTTP_DONE);
	ck_assert(http_response_keeps(h) == kept[_i].keeps);
	http_response_free(h);
	/* the peer has closed with its last byte */
	h = http_response_new(BODY_MAX);
	ck_assert_int_eq(feed(h, in, strlen(in), strlen(in), true),
	    HTTP_DONE);
	ck_assert(!http_response_keeps(h));
	http_response_free(h);
}
END_TEST

/* Not before the response is whole, and not where the close is its end. */
START_TEST(connections_that_are_not_free)
{
	static const char in[] = OK LENGTH "\r\n{}", open[] = OK "\r\n{}";
	struct http_response *h;
	size_t n;

	for (n = 0; n < sizeof(in) - 1; n++) {
		h = http_response_new(BODY_MAX);
		ck_assert_int_eq(feed(h, in, n, n, false), HTTP_MORE);
		ck_assert(!http_response_keeps(h));
		http_response_free(h);
	}
	h = http_response_new(BODY_MAX);
	ck_assert_int_eq(feed(h, open, sizeof(open) - 1, sizeof(open) - 1,
	    true), HTTP_DONE);
	ck_assert(!http_response_keeps(h));
	http_response_free(h);
}
END_TEST

/*
 * A connection that ends too early, at whatever byte, gives no response;
 * only one that is delimited by the close cannot know.
 */
START_TEST(no_part_is_a_whole)
{
	static const char *const whole[] = {
		"HTTP/1.1 100 Continue\r\n\r\n" OK "Server: rspamd/3.4\r\n"
		"Content-Type: application/json\r\nContent-Length: 19\r\n"
		"\r\n{\"action\":\"reject\"}",
		OK "Transfer-Encoding: chunked\r\n\r\n5;x=y\r\n{\"act\r\n"
		"E\r\nion\":\"reject\"}\r\n0\r\nTrailer: x\r\n\r\n",
	};
	size_t i, cut, len;
	char *s;

	for (i = 0; i < COUNT(whole); i++) {
		len = strlen(whole[i]);
		for (cut = 0; cut < len; cut++) {
			s = result(whole[i], cut, cut, true);
			unit_begins(s, "bad ");
			unit_ends(s, cut == 0 ? "closed without a response" :
			    "the response was cut off");
			free(s);
		}
		s = result(whole[i], len, len, true);
		ck_assert_str_eq(s, "done 200 1 19:{\"action\":\"reject\"}");
		free(s);
	}
}
END_TEST

/* Fails unless IN is OK, or refused for WHY, however it comes. */
static void
limit(const char *in, const char *why)
{
	size_t len = strlen(in), i;
	const size_t cuts[] = { len, len + 1, len / 2, len - 1 };
	char *s;

	for (i = 0; i < COUNT(cuts); i++) {
		s = result(in, len, cuts[i], true);
		if (why != NULL)
			unit_ends(s, why);
		unit_begins(s, why != NULL ? "bad " : "done ");
		free(s);
	}
}

START_TEST(body_limit)
{
	char *fits = unit_repeat('x', BODY_MAX);
	char *over = unit_repeat('x', BODY_MAX + 1);
	char *half = unit_repeat('x', BODY_MAX / 2);
	char *in;

	in = unit_format(OK "Content-Length: %d\r\n\r\n%s", BODY_MAX, fits);
	limit(in, NULL);
	free(in);
	/* refused before a byte of it has come */
	in = unit_format(OK "Content-Length: %d\r\n\r\n", BODY_MAX + 1);
	limit(in, "the response is too large");
	free(in);
	in = unit_format(OK "\r\n%s", fits);
	limit(in, NULL);
	free(in);
	in = unit_format(OK "\r\n%s", over);
	limit(in, "the response is too large");
	free(in);
	in = unit_format(OK "Transfer-Encoding: chunked\r\n\r\n"
	    "%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", BODY_MAX / 2, half,
	    BODY_MAX / 2, half);
	limit(in, NULL);
	free(in);
	in = unit_format(OK "Transfer-Encoding: chunked\r\n\r\n"
	    "%x\r\n%s\r\n%x\r\n%s", BODY_MAX / 2, half, BODY_MAX / 2 + 1, half);
	limit(in, "the response is too large");
	free(in);
	free(fits);
	free(over);
	free(half);
}
END_TEST

/* A line may have LINE_MAX bytes, its CR counted, its LF not. */
START_TEST(line_limit)
{
	size_t fixed = strlen("X: \r");
	char *x, *in;

	x = unit_repeat('x', HTTP_RESPONSE_LINE_MAX - fixed);
	in = unit_format(OK "X: %s\r\nContent-Length: 0\r\n\r\n", x);
	limit(in, NULL);
	free(in);
	in = unit_format(OK "X: y%s\r\nContent-Length: 0\r\n\r\n", x);
	limit(in, "a line is too long");
	free(in);
	free(x);
	/* lines of chunks as well */
	fixed = strlen("1;\r");
	x = unit_repeat('x', HTTP_RESPONSE_LINE_MAX - fixed);
	in = unit_format(OK "Transfer-Encoding: chunked\r\n\r\n1;%s\r\na\r\n"
	    "0\r\n\r\n", x);
	limit(in, NULL);
	free(in);
	in = unit_format(OK "Transfer-Encoding: chunked\r\n\r\n1;y%s\r\na\r\n"
	    "0\r\n\r\n", x);
	limit(in, "a line is too long");
	free(in);
	free(x);
}
END_TEST

/* FIRST, then header lines up to SIZE bytes in all, the empty one included. */
static char *
head_of(const char *first, size_t size)
{
	char *in = unit_repeat('x', size);
	size_t at = strlen(first), line, left;

	memcpy(in, first, at);
	while ((left = size - at - 2) > 0) {
		line = left > 5000 ? 4000 : left;
		memcpy(in + at, "X: ", 3);
		memcpy(in + at + line - 2, "\r\n", 2);
		at += line;
	}
	memcpy(in + at, "\r\n", 2);
	return in;
}

START_TEST(head_limit)
{
	static const char *const first[] = {
		OK "Content-Length: 0\r\n",
		"HTTP/1.1 100 Continue\r\n\r\n" OK "Content-Length: 0\r\n",
		/* trailers: the chunk's line is not counted */
		OK "Transfer-Encoding: chunked\r\n\r\n0\r\n",
	};
	static const size_t uncounted[] = { 0, 0, 3 };
	size_t i, size;
	char *in;

	for (i = 0; i < COUNT(first); i++) {
		size = HTTP_RESPONSE_HEAD_MAX + uncounted[i];
		in = head_of(first[i], size);
		limit(in, NULL);
		free(in);
		in = head_of(first[i], size + 1);
		limit(in, "the head is too long");
		free(in);
	}
}
END_TEST

/* Where a line would break both limits, the one that is met first counts. */
START_TEST(limits_do_not_depend_on_splits)
{
	size_t base = HTTP_RESPONSE_HEAD_MAX - 4000, len = base + 9000;
	char *head = head_of(OK, base), *in = unit_repeat('x', len), *a, *b;

	memcpy(in, head, base - 2);
	a = result(in, len, len, false);
	b = result(in, len, base + 3000, false);
	ck_assert_str_eq(a, b);
	free(b);
	b = result(in, len, base + 5000, false);
	ck_assert_str_eq(a, b);
	free(b);
	free(a);
	free(in);
	free(head);
}
END_TEST

/* Interim responses without an end are bounded as one head is. */
START_TEST(interim_responses_end)
{
	static const char one[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct http_response *h = http_response_new(BODY_MAX);
	enum http_progress pr = HTTP_MORE;
	size_t n;

	for (n = 0; pr == HTTP_MORE && n < HTTP_RESPONSE_HEAD_MAX; n++)
		pr = http_response_feed(h, BYTES(one), false);
	ck_assert_int_eq(pr, HTTP_BAD);
	ck_assert_uint_le(n, HTTP_RESPONSE_HEAD_MAX / (sizeof(one) - 1) + 1);
	http_response_free(h);
}
END_TEST

START_TEST(body_may_hold_any_byte)
{
	static const char in[] = OK "Content-Length: 7\r\n\r\na\0\r\n\r\n\xff";
	struct http_response *h = http_response_new(7);
	const char *body;
	size_t len;

	ck_assert_int_eq(http_response_feed(h, BYTES(in), false), HTTP_DONE);
	body = http_response_body(h, &len);
	unit_bytes(body, len, BYTES("a\0\r\n\r\n\xff"));
	http_response_free(h);
	http_response_free(NULL);
}
END_TEST

Suite *
http_response_suite(void)
{
	Suite *s = suite_create("http_response");
	TCase *tc = unit_case(s, "responses");

	tcase_add_loop_test(tc, responses_are_understood, 0, COUNT(responses));
	tcase_add_test(tc, no_part_is_a_whole);
	tcase_add_test(tc, body_may_hold_any_byte);
	tcase_add_test(tc, server_is_named);
	tcase_add_loop_test(tc, connections_that_are_kept, 0, COUNT(kept));
	tcase_add_test(tc, connections_that_are_not_free);
	tc = unit_case(s, "splits");
	tcase_add_loop_test(tc, every_split_is_alike, 0, COUNT(responses));
	tcase_add_loop_test(tc, late_close_is_alike, 0, COUNT(responses));
	tc = unit_case(s, "limits");
	tcase_add_test(tc, body_limit);
	tcase_add_test(tc, line_limit);
	tcase_add_test(tc, head_limit);
	tcase_add_test(tc, limits_do_not_depend_on_splits);
	tcase_add_test(tc, interim_responses_end);
	return s;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * http_response: a push parser for one HTTP/1.1 response (RFC 9112).
 *
 * Body by Content-Length, chunked, or up to the peer's close; interim (1xx)
 * responses are skipped.  It knows nothing of what the body is.
 */
#ifndef HTTP_RESPONSE_H_
#define HTTP_RESPONSE_H_

#include <stdbool.h>
#include <stddef.h>

/* Limits: bytes of a line of the head, of all heads, of chunk lines. */
#define HTTP_RESPONSE_LINE_MAX	8192
#define HTTP_RESPONSE_HEAD_MAX	65536

enum http_progress {
	HTTP_MORE,
	HTTP_DONE,
	HTTP_BAD		/* see http_response_error() */
};

struct http_response;

/* A parser for a body of at most MAX bytes; NULL without memory. */
struct http_response *http_response_new(size_t max);

/* Frees H; NULL is allowed. */
void	http_response_free(struct http_response *h);

/*
 * Takes the LEN bytes at BUF that follow those already given; EOM says that
 * the peer has closed.  Bytes after the end of the response are not looked
 * at.  After HTTP_DONE or HTTP_BAD it is not to be called again.
 */
enum http_progress http_response_feed(struct http_response *h,
	    const char *buf, size_t len, bool eom);

/* The status code, once the head is read; 0 before. */
int	http_response_status(const struct http_response *h);

/* The Server: header, cut to fit; "" if there is none.  Owned by H. */
const char *http_response_server(const struct http_response *h);

/* The body so far, *LEN bytes and a NUL; owned by H. */
const char *http_response_body(const struct http_response *h, size_t *len);

/* Has the peer sent anything?  (An empty close means another thing.) */
bool	http_response_started(const struct http_response *h);

/*
 * Once it is complete: may the connection be used for another request?  Not
 * if the peer wants to close it, or has sent more than this response, or if
 * the response is one that has no body (204, 304): a peer that sends one all
 * the same would have it taken for the next response.
 */
bool	http_response_keeps(const struct http_response *h);

/* Why the response was refused, in words; NULL if it was not. */
const char *http_response_error(const struct http_response *h);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <event2/buffer.h>

#include <string.h>

#include "answer.h"
#include "rspamc_reply.h"
#include "spamd_reply.h"
#include "text.h"

/* A head is usually within so many bytes. */
#define HEAD_USUAL	65536

bool
answer_has_message(const struct spamd_request *r)
{
	return r->command == SPAMD_PROCESS || r->command == SPAMD_HEADERS;
}

/* The bytes of the message's head, in one piece at the start of BODY; -1
   without memory. */
static ev_ssize_t
gather_head(struct evbuffer *body)
{
	size_t all = evbuffer_get_length(body), window, len, n;
	const char *p;

	for (window = HEAD_USUAL;; window *= 4) {
		len = all < window ? all : window;
		p = (char *)evbuffer_pullup(body, (ev_ssize_t)len);
		if (p == NULL && len > 0)
			return -1;
		n = rewrite_head_length(p, len);
		if (n > 0 || len == all)
			return (ev_ssize_t)(n > 0 ? n : all);
	}
}

static int
put_head(void *out, const char *p, size_t n)
{
	return evbuffer_add(out, p, n);
}

/*
 * How much of the message the reply to HEADERS takes with it: spamc puts the
 * reply before what follows the first two line ends of one kind, wherever
 * they are.  At least HEAD_END, the end of the head, which P is.
 */
static size_t
headers_end(struct evbuffer *body, const char *p, size_t head_end)
{
	struct evbuffer_ptr lf, crlf;
	size_t end = 0;

	if ((head_end >= 2 && memcmp(p + head_end - 2, "\n\n", 2) == 0) ||
	    (head_end >= 4 && memcmp(p + head_end - 4, "\r\n\r\n", 4) == 0))
		return head_end;
	lf = evbuffer_search(body, "\n\n", 2, NULL);
	crlf = evbuffer_search_range(body, "\r\n\r\n", 4, NULL,
	    lf.pos >= 0 ? &lf : NULL);
	if (crlf.pos >= 0)
		end = (size_t)crlf.pos + 4;
	else if (lf.pos >= 0)
		end = (size_t)lf.pos + 2;
	return end > head_end ? end : head_end;
}

/* Moves the message into OUT, with its new head. */
static int
put_message(const struct answer *a, struct evbuffer *out)
{
	struct evbuffer *body = message_body(a->message);
	ev_ssize_t head = gather_head(body);
	size_t end = 0;
	const char *p;
	int rc;

	if (head == -1)
		return -1;
	p = head > 0 ? (char *)evbuffer_pullup(body, head) : "";
	if (a->request->command == SPAMD_HEADERS)
		end = headers_end(body, p, (size_t)head);
	rc = evbuffer_add_buffer(out, message_prefix(a->message));
	if (rc == 0)
		rc = rewrite_message(p, (size_t)head, a->outcome, a->verdict,
		    &a->rewrite, put_head, out);
	if (rc == 0)
		rc = evbuffer_drain(body, (size_t)head);
	if (rc == 0 && a->request->command == SPAMD_PROCESS)
		rc = evbuffer_add_buffer(out, body);
	else if (rc == 0 && end > (size_t)head)
		rc = evbuffer_remove_buffer(body, out, end - (size_t)head) ==
		    -1 ? -1 : 0;
	return rc;
}

/* The answer to PROCESS or HEADERS. */
static int
write_message(struct evbuffer *out, const struct answer *a)
{
	struct evbuffer *message = evbuffer_new();
	struct text t;
	int rc = -1;

	text_init(&t, SPAMD_REPLY_MAX);
	if (message != NULL && put_message(a, message) == 0 &&
	    spamd_reply_message(&t, a->request, a->outcome,
	    evbuffer_get_length(message)) == 0 &&
	    evbuffer_add(out, t.buf, t.len) == 0)
		rc = evbuffer_add_buffer(out, message);
	text_free(&t);
	if (message != NULL)
		evbuffer_free(message);
	return rc;
}

int
answer_write(struct evbuffer *out, const struct answer *a)
{
	bool failed = a->outcome->kind == OUTCOME_FAILED;
	struct text t;
	int rc;

	if (!failed && answer_has_message(a->request))
		return write_message(out, a);
	text_init(&t, SPAMD_REPLY_MAX);
	if (a->request->dialect == SPAMD_RSPAMC)
		rc = rspamc_reply(&t, a->outcome, a->verdict);
	else if (!failed && a->tell != NULL)
		rc = spamd_reply_tell(&t, tell_did_set(a->tell),
		    tell_did_remove(a->tell));
	else
		rc = spamd_reply(&t, a->request, a->outcome, a->verdict);
	if (rc == 0)
		rc = evbuffer_add(out, t.buf, t.len);
	text_free(&t);
	return rc;
}

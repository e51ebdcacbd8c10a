/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exchange: one HTTP exchange with one rspamd, with its deadlines.
 *
 * The request is sent whole and never half-closed (rspamd would not
 * answer).  A connection that B has kept open is used again; should it turn
 * out to be closed, the request goes out once more, over a new one.
 */
#ifndef EXCHANGE_H_
#define EXCHANGE_H_

#include <stdbool.h>

#include "backend.h"
#include "conf.h"
#include "http_response.h"
#include "outcome.h"
#include "text.h"

struct evbuffer;
struct event_base;
struct exchange;

/* A reply above this is refused: 900 symbols make 130 KB. */
#define EXCHANGE_REPLY_MAX	(8 * 1024 * 1024)

/* Called once, when it is over; may free the exchange. */
typedef void exchange_cb(struct exchange *x, void *arg);

/* Seconds spent in each phase. */
struct exchange_times {
	double	connect, send, wait, receive;
};

/*
 * Starts to send HEAD and the bytes of BODY (by reference: it is not
 * changed and must live as long as the exchange) to B.  CB is called later,
 * never from here.  BODY may be NULL.  Returns NULL without memory.
 */
struct exchange *exchange_new(struct event_base *base, struct backend *b,
	    const struct conf_timeouts *timeout, const struct text *head,
	    struct evbuffer *body, exchange_cb *cb, void *arg);

/* Frees X, which need not be over: then it is cancelled.  NULL is allowed. */
void	exchange_free(struct exchange *x);

/* FAILURE_NONE if there is a response, of whatever status. */
/* ... FAILURE_OVERLOAD: this machine could not open a connection. */
enum failure exchange_failure(const struct exchange *x);

/* Was the backend ever connected to?  If not, it has seen no byte. */
bool	exchange_connected(const struct exchange *x);

/* For people: the phase and what went wrong in it. */
const char *exchange_reason(const struct exchange *x);

/* The response; owned by X. */
struct http_response *exchange_response(struct exchange *x);

/* The time spent in each phase so far. */
struct exchange_times exchange_times(struct exchange *x);

#endif

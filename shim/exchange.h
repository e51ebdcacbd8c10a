/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exchange: one HTTP exchange with one rspamd, with its deadlines.
 *
 * The request is sent whole and never half-closed (rspamd would not
 * answer).  A connection that B has kept open is used again; should it turn
 * out to be closed, the request goes out once more, over a new one.
 *
 * A reply must be about this request: one of success (2xx) that comes before
 * the request was sent is none (FAILURE_UNREADABLE), and a connection is kept
 * only where the owner has understood the reply (exchange_keep()).
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

/* How it ended, as far as the message is concerned. */
enum exchange_end {
	EXCHANGE_ANSWERED,	/* there is a response, of whatever status */
	EXCHANGE_ABSENT,	/* nobody was connected to */
	EXCHANGE_REFUSED,	/* gone without a byte, and cannot have read all */
	EXCHANGE_LOST,		/* anything else: the backend may have judged it */
	EXCHANGE_OURS		/* this machine lacks something */
};

/* How often bytes of the message were sent and it ended so: more than once
   where a connection was kept and then lost. */
struct exchange_sends {
	unsigned int	lost, refused;
};

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

/*
 * The message has been refused before: X waits a moment to see whether the
 * connection stands, before it sends a byte.  A rspamd that is full closes it
 * at once.
 */
void	exchange_be_careful(struct exchange *x);

/* The message may be lost N times, by kept connections, before that is the
   end of X; otherwise any number. */
void	exchange_limit(struct exchange *x, unsigned int n);

/* X is to use a connection of its own; to be called before it begins, which is
   from the event loop. */
void	exchange_connect_anew(struct exchange *x);

/*
 * Returns true if the response may be a repetition of the one before on its
 * connection: that was kept open, and the response before had the same ID, the
 * message-id in rspamd's reply (NULL: none).
 */
bool	exchange_repeats(const struct exchange *x, const char *id);

/*
 * To be called from CB, once the owner has understood the response, which has
 * the message-id ID: the connection is kept for the next request, if its peer
 * keeps it open.
 */
void	exchange_keep(struct exchange *x, const char *id);

/* Frees X, which need not be over: then it is cancelled.  NULL is allowed. */
void	exchange_free(struct exchange *x);

/* FAILURE_NONE if there is a response, of whatever status. */
/* ... FAILURE_OVERLOAD: this machine could not open a connection. */
enum failure exchange_failure(const struct exchange *x);

/* How X, which is over, ended; what became of the message in it. */
enum exchange_end exchange_end(const struct exchange *x);
struct exchange_sends exchange_sends(const struct exchange *x);

/* For people: the phase and what went wrong in it. */
const char *exchange_reason(const struct exchange *x);

/* The response; owned by X. */
struct http_response *exchange_response(struct exchange *x);

/* The time spent in each phase so far. */
struct exchange_times exchange_times(struct exchange *x);

#endif

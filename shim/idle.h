/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * idle: connections to one rspamd that were kept open for the next message.
 *
 * rspamd itself closes after each reply; a TLS terminator or a load balancer
 * in front of it may not.
 */
#ifndef IDLE_H_
#define IDLE_H_

#include <stdint.h>

struct event_base;
struct idle;
struct stream;

/* No connection as yet; owned by the caller.  NULL without memory. */
struct idle *idle_new(struct event_base *base);

/* Closes all connections.  NULL is allowed. */
void	idle_free(struct idle *i);

/*
 * Keeps S, on which nothing is under way, and owns it from now on: it is
 * closed when the peer closes it or says anything, after a while, and where
 * there are many.  TAG is the caller's.
 */
void	idle_put(struct idle *i, struct stream *s, uint64_t tag);

/* The connection that was kept last and is quiet, with its *TAG, or NULL; the
   caller owns it and sets its callback (stream_hand_over()). */
struct stream *idle_take(struct idle *i, uint64_t *tag);

#endif

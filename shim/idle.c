/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/queue.h>

#include <stdlib.h>

#include <event2/event.h>

#include "idle.h"
#include "stream.h"
#include "timer.h"

/* So many are kept for one rspamd, each for so many seconds: shorter than
   the usual servers keep theirs, so that they are seldom found closed. */
#define KEPT_MAX	32
#define KEPT_TIME	15.0

struct kept {
	LIST_ENTRY(kept) entry;
	struct idle	*idle;
	struct stream	*stream;
	struct event	*timer;
	uint64_t	 tag;		/* the owner's */
};

struct idle {
	struct event_base *base;
	LIST_HEAD(, kept) list;		/* the latest first */
	size_t		 n;
};

struct idle *
idle_new(struct event_base *base)
{
	struct idle *i;

	if ((i = calloc(1, sizeof(*i))) == NULL)
		return NULL;
	i->base = base;
	LIST_INIT(&i->list);
	return i;
}

/* Forgets K; its stream is the caller's. */
static struct stream *
forget(struct kept *k)
{
	struct stream *s = k->stream;

	LIST_REMOVE(k, entry);
	k->idle->n--;
	event_free(k->timer);
	free(k);
	return s;
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	stream_free(forget(arg));
}

/* Whatever comes when nothing was asked for: it cannot be used again. */
static void
on_stream(struct stream *s, enum stream_event ev, void *arg)
{
	(void)ev;
	(void)forget(arg);
	stream_free(s);
}

void
idle_put(struct idle *i, struct stream *s, uint64_t tag)
{
	struct kept *k;

	if (i->n == KEPT_MAX || (k = calloc(1, sizeof(*k))) == NULL) {
		stream_free(s);
		return;
	}
	k->timer = event_new(i->base, -1, EV_TIMEOUT, on_timer, k);
	if (k->timer == NULL) {
		free(k);
		stream_free(s);
		return;
	}
	k->idle = i;
	k->stream = s;
	k->tag = tag;
	LIST_INSERT_HEAD(&i->list, k, entry);
	i->n++;
	stream_hand_over(s, on_stream, k);
	timer_arm(k->timer, KEPT_TIME);
}

struct stream *
idle_take(struct idle *i, uint64_t *tag)
{
	struct stream *s;
	struct kept *k;

	while ((k = LIST_FIRST(&i->list)) != NULL) {
		*tag = k->tag;
		s = forget(k);
		/* what has come since, before its event, is no answer to what
		   is sent now */
		if (stream_is_quiet(s))
			return s;
		stream_free(s);
	}
	return NULL;
}

void
idle_free(struct idle *i)
{
	struct kept *k;

	if (i == NULL)
		return;
	while ((k = LIST_FIRST(&i->list)) != NULL)
		stream_free(forget(k));
	free(i);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stream: one connected socket with its buffers, plain or TLS.
 *
 * libevent's bufferevents are not used here for two reasons: they read at
 * most 4 KiB with two system calls, and they do not notice that a peer that
 * has half-closed goes away for good.  The buffers are libevent's, so a body
 * can be moved and sent without being copied.
 */
#ifndef STREAM_H_
#define STREAM_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct evbuffer;
struct stream;
struct ssl_st;

enum stream_event {
	STREAM_CONNECTED,	/* stream_connecting() or the TLS handshake is over */
	STREAM_READ,		/* stream_input() has more */
	STREAM_EOF,		/* the peer has half-closed; comes once */
	STREAM_WRITTEN,		/* a stream_flush() that was unfinished is finished */
	STREAM_GONE		/* reset, fully closed, or failed: stream_error() */
};

/* May free the stream; nothing else comes after STREAM_GONE. */
typedef void stream_cb(struct stream *s, enum stream_event ev, void *arg);

/*
 * A stream over the non-blocking socket FD of address family FAMILY, which it
 * owns from now on (also when NULL is returned, for want of memory: FD is
 * closed then).  Events start with stream_start().
 */
struct stream *stream_new(struct event_base *base, int fd, int family,
	    stream_cb *cb, void *arg);

/* From now on S tells CB, which is not called from here. */
void	stream_hand_over(struct stream *s, stream_cb *cb, void *arg);

/*
 * S may read N bytes more, SIZE_MAX for any number, which is so at first; it
 * stops where it has read them.  The end of the stream is seen behind them.
 */
void	stream_allow(struct stream *s, size_t n);

/* How many of these are left. */
size_t	stream_allowance(const struct stream *s);

/* Starts reading.  CONNECTING: connect() is in progress, wait for its end. */
int	stream_start(struct stream *s, bool connecting);

/*
 * What the owner has waited for is here: from now on S looks for the end only
 * where the kernel tells of it.
 */
void	stream_enough(struct stream *s);

/*
 * Speaks TLS with SSL, which the stream owns from now on and which knows
 * whether it is client or server, from the end of connect() on; to be called
 * before stream_start().
 */
void	stream_tls(struct stream *s, struct ssl_st *ssl);

/* Closes S's socket: only what it counted and its error can be asked then. */
void	stream_close(struct stream *s);

/* Frees S, closing its socket.  Allowed in its callback; NULL is allowed. */
void	stream_free(struct stream *s);

/* What has come and is not taken yet; what is to go. */
struct evbuffer *stream_input(struct stream *s);
struct evbuffer *stream_output(struct stream *s);

/*
 * Writes the output.  Returns 1 if all of it is written, 0 if the rest will
 * follow (STREAM_WRITTEN tells), -1 if the peer does not take it any more.
 * Without TLS it may be tried before stream_start(), while connect() is in
 * progress: if stream_sent() tells of bytes, that is over.
 */
int	stream_flush(struct stream *s);

/*
 * From now on S tells its owner of all input before it writes the last 64 KiB
 * (TLS: the last record) of a larger output.  So the owner sees what the peer
 * said before it had all of the output.
 */
void	stream_listen(struct stream *s);

/* No more will be written: half-closes towards the peer. */
void	stream_shutdown(struct stream *s);

/* Has the peer half-closed? */
bool	stream_eof(const struct stream *s);

/* Returns true if the peer has sent nothing that is not taken yet, and has not
   closed.  The kernel is asked, which knows before an event tells.  After false
   S can only be freed: the event may not come any more. */
bool	stream_is_quiet(struct stream *s);

/* Bytes that have come from the peer and gone to it so far, without TLS's. */
uint64_t stream_received(const struct stream *s);
uint64_t stream_sent(const struct stream *s);

/*
 * At STREAM_EOF or STREAM_GONE: has the peer gone without having read all that
 * was written?  It has reset the connection, or closed it before its kernel
 * had all of it.
 */
bool	stream_was_cut(struct stream *s);

/* The reason of STREAM_GONE or a failed flush: a static or owned text. */
const char *stream_error(const struct stream *s);

#endif

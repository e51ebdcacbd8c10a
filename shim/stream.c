/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "stream.h"

/* A read starts at this size, doubles while reads fill it, and halves while
   they do not.  With libevent's own header each is a power of two at most,
   to which it rounds up. */
#define READ_FIRST	(16384 - 64)
#define READ_LARGEST	(131072 - 64)
/* The read behind a short one nearly always finds nothing. */
#define READ_PROBE	960
/* After so many bytes other streams get their turn. */
#define READ_BUDGET	1048576
/* One TLS record. */
#define TLS_WRITE	16384
/* stream_listen(): so much is the last piece, at most. */
#define LAST_PIECE	65536

struct stream {
	struct event	*ev_read, *ev_write;
	struct evbuffer	*in, *out;
	stream_cb	*cb;
	void		*arg;
	SSL		*ssl;
	int		 fd;
	size_t		 read_size;
	size_t		 allowed;	/* so much more may be read */
	unsigned int	 busy;		/* callbacks on the stack */
	bool		 connecting, handshaking;
	bool		 joined;	/* the peer's kernel has accepted */
	bool		 readable;	/* the kernel may have more for us */
	bool		 probing;	/* the last read took all there was */
	bool		 local;		/* a unix socket */
	bool		 ending;	/* the end is behind what can be read */
	bool		 enough;	/* nothing but the end is waited for */
	bool		 cut;		/* see stream_was_cut() */
	bool		 tls_failed;	/* by what the peer said, not its end */
	bool		 eof, shut, gone, freed;
	bool		 flushing;	/* STREAM_WRITTEN is owed */
	bool		 listens;	/* see stream_listen() */
	bool		 tls_write_reads;	/* SSL_write() waits for input */
	uint64_t	 received, sent;
	const char	*error;
};

static void on_event(evutil_socket_t, short, void *);

struct stream *
stream_new(struct event_base *base, int fd, int family, stream_cb *cb,
    void *arg)
{
	struct stream *s;

	if ((s = calloc(1, sizeof(*s))) == NULL) {
		(void)close(fd);
		return NULL;
	}
	s->fd = fd;
	s->local = family == AF_UNIX;
	s->cb = cb;
	s->arg = arg;
	s->read_size = READ_FIRST;
	s->allowed = SIZE_MAX;
	s->in = evbuffer_new();
	s->out = evbuffer_new();
	/* edge-triggered: a half-closed socket would be ready for ever */
	s->ev_read = event_new(base, fd, EV_READ | EV_CLOSED | EV_PERSIST |
	    EV_ET, on_event, s);
	s->ev_write = event_new(base, fd, EV_WRITE | EV_ET, on_event, s);
	if (s->in == NULL || s->out == NULL || s->ev_read == NULL ||
	    s->ev_write == NULL) {
		stream_free(s);
		return NULL;
	}
	return s;
}

static void
destroy(struct stream *s)
{
	if (s->ssl != NULL)
		SSL_free(s->ssl);
	if (s->in != NULL)
		evbuffer_free(s->in);
	if (s->out != NULL)
		evbuffer_free(s->out);
	free(s);
}

void
stream_close(struct stream *s)
{
	if (s->fd == -1)
		return;
	s->gone = true;
	if (s->ev_read != NULL)
		event_free(s->ev_read);
	if (s->ev_write != NULL)
		event_free(s->ev_write);
	s->ev_read = s->ev_write = NULL;
	(void)close(s->fd);
	s->fd = -1;
}

void
stream_free(struct stream *s)
{
	if (s == NULL || s->freed)
		return;
	stream_close(s);
	s->freed = true;
	if (s->busy == 0)
		destroy(s);
}

void
stream_hand_over(struct stream *s, stream_cb *cb, void *arg)
{
	s->cb = cb;
	s->arg = arg;
}

void
stream_allow(struct stream *s, size_t n)
{
	s->allowed = n;
	/* what came meanwhile does not come as an event again */
	if (n > 0 && s->readable && !s->eof && !s->gone)
		event_active(s->ev_read, EV_READ, 0);
}

size_t
stream_allowance(const struct stream *s)
{
	return s->allowed;
}

void
stream_enough(struct stream *s)
{
	s->enough = true;
}

void
stream_tls(struct stream *s, struct ssl_st *ssl)
{
	s->ssl = ssl;
	s->handshaking = true;
	(void)SSL_set_fd(ssl, s->fd);
	SSL_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE |
	    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
}

int
stream_start(struct stream *s, bool connecting)
{
	s->joined = !connecting;
	s->connecting = connecting || s->ssl != NULL;
	if (event_add(s->ev_read, NULL) == -1)
		return -1;
	return s->connecting ? event_add(s->ev_write, NULL) : 0;
}

struct evbuffer *
stream_input(struct stream *s)
{
	return s->in;
}

struct evbuffer *
stream_output(struct stream *s)
{
	return s->out;
}

bool
stream_eof(const struct stream *s)
{
	return s->eof;
}

uint64_t
stream_received(const struct stream *s)
{
	return s->received;
}

uint64_t
stream_sent(const struct stream *s)
{
	return s->sent;
}

const char *
stream_error(const struct stream *s)
{
	return s->error != NULL ? s->error : "the connection was closed";
}

/* Tells the owner; false if it freed the stream meanwhile. */
static bool
tell(struct stream *s, enum stream_event ev)
{
	if (s->freed || s->gone)
		return !s->freed;
	if (ev == STREAM_GONE) {
		s->gone = true;
		(void)event_del(s->ev_read);
		(void)event_del(s->ev_write);
	}
	s->cb(s, ev, s->arg);
	return !s->freed;
}

static void
fail(struct stream *s, const char *why)
{
	if (s->error == NULL)
		s->error = why;
}

/* The system says that E is the end of the connection. */
static void
fail_system(struct stream *s, int e)
{
	s->cut |= e == ECONNRESET || e == EPIPE;
	fail(s, strerror(e));
}

bool
stream_was_cut(struct stream *s)
{
	socklen_t len = sizeof(int);
	int e = 0, left = 0;

	if (s->cut || s->tls_failed || s->fd == -1)
		return s->cut;
	/* a reset behind the end is no event of its own */
	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &e, &len) == 0)
		s->cut |= e == ECONNRESET || e == EPIPE;
	/* the peer's end acknowledges all that its kernel had then */
	if (s->joined && !s->local &&
	    ioctl(s->fd, SIOCOUTQ, &left) == 0)
		s->cut |= left > 0;
	return s->cut;
}

void
stream_listen(struct stream *s)
{
	s->listens = true;
}

/* Has the kernel nothing for S, not even the end? */
static bool
has_nothing(struct stream *s)
{
	ssize_t n;
	char c;

	if (s->ssl == NULL) {
		n = recv(s->fd, &c, 1, MSG_PEEK | MSG_DONTWAIT);
		if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return true;
		/* the kernel tells of a reset once only */
		if (n == -1)
			fail_system(s, errno);
		return false;
	}
	/* records without data, as session tickets are, are taken here */
	ERR_clear_error();
	n = SSL_peek(s->ssl, &c, 1);
	if (n > 0)
		return false;
	n = SSL_get_error(s->ssl, (int)n);
	ERR_clear_error();
	return n == SSL_ERROR_WANT_READ;
}

bool
stream_is_quiet(struct stream *s)
{
	return !s->eof && !s->gone && evbuffer_get_length(s->in) == 0 &&
	    has_nothing(s);
}

/* What went wrong with TLS, in OpenSSL's words. */
static const char *
tls_error(const struct stream *s)
{
	long verify = SSL_get_verify_result(s->ssl);
	unsigned long e = ERR_peek_last_error();
	const char *why;

	if (SSL_get_verify_mode(s->ssl) != SSL_VERIFY_NONE &&
	    verify != X509_V_OK)
		return X509_verify_cert_error_string(verify);
	why = e != 0 ? ERR_reason_error_string(e) : NULL;
	return why != NULL ? why : "the TLS connection was cut off";
}

/* Does OpenSSL complain of an end only? */
static bool
is_unexpected_end(void)
{
#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
	return ERR_GET_REASON(ERR_peek_last_error()) ==
	    SSL_R_UNEXPECTED_EOF_WHILE_READING;
#else
	return false;	/* OpenSSL 1.1: SSL_ERROR_SYSCALL */
#endif
}

/*
 * Has what has come acknowledged now, and not up to 40 ms later.  A peer
 * without TCP_NODELAY, as rspamd is with its own TLS, keeps what it writes
 * until its session tickets, or the part of its reply before, are
 * acknowledged.  The kernel takes the option back when it sends, so it is set
 * whenever something was written or read.  Clients write their request without
 * waiting for us.  Only Linux has it; where it cannot be set the connection is
 * slower, and nothing else.
 */
static void
acknowledge(const struct stream *s)
{
#ifdef TCP_QUICKACK
	int one = 1;

	if (!s->local && !SSL_is_server(s->ssl))
		(void)setsockopt(s->fd, IPPROTO_TCP, TCP_QUICKACK, &one,
		    sizeof(one));
#else
	(void)s;
#endif
}

/*
 * The outcome RC <= 0 of a TLS call: 0 to try again later, -1 for the end.
 * WRITING says which event a retry waits for where TLS wants the other.
 */
static int
tls_wait(struct stream *s, int rc, bool writing)
{
	int e = errno;

	switch (SSL_get_error(s->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		s->readable = false;
		s->tls_write_reads = writing;
		return 0;
	case SSL_ERROR_WANT_WRITE:
		(void)event_add(s->ev_write, NULL);
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		s->eof = true;
		return 0;
	case SSL_ERROR_SYSCALL:
		s->cut |= e == ECONNRESET || e == EPIPE;
		fail(s, tls_error(s));
		ERR_clear_error();
		return -1;
	default:
		s->tls_failed |= !is_unexpected_end();
		fail(s, tls_error(s));
		ERR_clear_error();
		return -1;
	}
}

/* Reads once into the input.  Returns bytes, 0 for nothing now or the end
   (s->eof), -1 for a failure. */
static ssize_t
read_tls(struct stream *s, struct evbuffer_iovec *v)
{
	int n;

	ERR_clear_error();
	n = SSL_read(s->ssl, v[0].iov_base,
	    v[0].iov_len > INT_MAX ? INT_MAX : (int)v[0].iov_len);
	acknowledge(s);
	if (n > 0)
		return n;
	return tls_wait(s, n, false);
}

static ssize_t
read_plain(struct stream *s, struct evbuffer_iovec *v, int nv)
{
	struct iovec iov[2];
	ssize_t n;
	int i;

	for (i = 0; i < nv; i++) {
		iov[i].iov_base = v[i].iov_base;
		iov[i].iov_len = v[i].iov_len;
	}
	do {
		n = readv(s->fd, iov, nv);
	} while (n == -1 && errno == EINTR);
	if (n > 0)
		return n;
	if (n == 0)
		s->eof = true;
	else if (errno != EAGAIN && errno != EWOULDBLOCK) {
		fail_system(s, errno);
		return -1;
	}
	s->readable = false;
	return 0;
}

/*
 * Less came than there was space for.  A TCP socket is empty then (epoll(7))
 * but for what wants_more() tells; a unix socket may have stopped where
 * descriptors were passed.
 */
static void
note_short(struct stream *s)
{
	s->probing = true;
	if (!s->local && s->ssl == NULL)
		s->readable = false;
}

/*
 * After a short read the owner has been told.  Does it wait for more?  Then
 * that is looked for at once: a reset that came with the last bytes is no
 * event of its own, and a read stops at an urgent byte with more behind it.
 */
static bool
wants_more(struct stream *s)
{
	if (s->readable || s->eof || s->gone)
		return false;
	if (s->enough) {
		s->eof = s->ending;
		return false;
	}
	s->readable = true;
	return true;
}

static ssize_t
read_once(struct stream *s)
{
	struct evbuffer_iovec v[2];
	size_t left, space = 0, size = s->probing ? READ_PROBE : s->read_size;
	ssize_t n;
	int nv, i;

	if (size > s->allowed)
		size = s->allowed;
	nv = evbuffer_reserve_space(s->in, (ev_ssize_t)size, v,
	    s->ssl != NULL ? 1 : 2);
	if (nv < 1) {
		fail(s, "out of memory");
		return -1;
	}
	for (i = 0; i < nv; i++) {
		/* there may be more room than was asked for */
		if (v[i].iov_len > s->allowed - space)
			v[i].iov_len = s->allowed - space;
		space += v[i].iov_len;
	}
	n = s->ssl != NULL ? read_tls(s, v) : read_plain(s, v, nv);
	if (n <= 0)
		return n;
	s->received += (uint64_t)n;
	if (s->allowed != SIZE_MAX)
		s->allowed -= (size_t)n;
	if ((size_t)n == space && s->read_size < READ_LARGEST)
		s->read_size = s->read_size * 2 < READ_LARGEST ?
		    s->read_size * 2 : READ_LARGEST;
	else if (!s->probing && (size_t)n < s->read_size / 4 &&
	    s->read_size > READ_FIRST)
		s->read_size /= 2;
	s->probing = false;
	if ((size_t)n < space)
		note_short(s);
	for (i = 0, left = (size_t)n; i < nv; i++) {
		if (v[i].iov_len > left)
			v[i].iov_len = left;
		left -= v[i].iov_len;
	}
	(void)evbuffer_commit_space(s->in, v, nv);
	return n;
}

/* Reads what may be read, and tells.  Returns what the last read did: bytes,
   0 or -1; -2 where the owner has freed S. */
static ssize_t
take(struct stream *s, size_t *got)
{
	size_t before = *got;
	ssize_t n = 0;

	while (s->readable && !s->eof && *got < READ_BUDGET && s->allowed > 0 &&
	    (n = read_once(s)) > 0)
		*got += (size_t)n;
	return *got > before && !tell(s, STREAM_READ) ? -2 : n;
}

/*
 * Is the peer gone for good?  Only asked while this side is open: then a
 * hang-up means that both directions are closed, or a reset.
 */
static bool
hung_up(const struct stream *s)
{
	struct pollfd p = { .fd = s->fd };

	return !s->shut && poll(&p, 1, 0) == 1 &&
	    (p.revents & (POLLERR | POLLHUP)) != 0;
}

static void
pump(struct stream *s)
{
	size_t got = 0;
	ssize_t n;

	s->probing = false;
	do {
		n = take(s, &got);
	} while (n > 0 && wants_more(s));
	if (n == -2)
		return;
	if (got >= READ_BUDGET && s->readable && s->allowed > 0 && !s->gone)
		event_active(s->ev_read, EV_READ, 0);
	if (n < 0)
		(void)tell(s, STREAM_GONE);
	else if (s->eof && !s->gone) {
		s->readable = false;
		/* of TCP's hang-ups only a reset can be told, by an event */
		if (tell(s, STREAM_EOF) && s->local && hung_up(s)) {
			fail(s, "the connection was closed");
			(void)tell(s, STREAM_GONE);
		}
	}
}

/* connect() is over, or TLS goes on. */
static void
establish(struct stream *s)
{
	socklen_t len = sizeof(int);
	int error = 0, rc;

	/* later the handshake tells: what the peer said before is still to
	   be read */
	if (!s->joined && getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error,
	    &len) == -1)
		error = errno;
	if (error != 0) {
		fail_system(s, error);
		(void)tell(s, STREAM_GONE);
		return;
	}
	s->joined = true;
	if (s->handshaking) {
		ERR_clear_error();
		if ((rc = SSL_do_handshake(s->ssl)) <= 0) {
			if (tls_wait(s, rc, false) == -1 || s->eof) {
				fail(s, "closed during the TLS handshake");
				(void)tell(s, STREAM_GONE);
			}
			return;
		}
		s->handshaking = false;
	}
	s->connecting = false;
	s->readable = true;
	if (tell(s, STREAM_CONNECTED))
		pump(s);
}

static void
writable(struct stream *s)
{
	int rc;

	if (!s->flushing)
		return;
	if ((rc = stream_flush(s)) == 1)
		(void)tell(s, STREAM_WRITTEN);
	else if (rc == -1)
		/* what the peer said before is still to be read */
		s->readable = true;
}

/* Before more is written: tells what has come, without its event. */
static void
hear(struct stream *s)
{
	if (!s->listens || !s->flushing || s->eof || s->allowed == 0)
		return;
	s->readable = true;
	pump(s);
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct stream *s = arg;

	(void)fd;
	s->busy++;
	if (what & EV_CLOSED)
		s->ending = true;
	if (s->connecting) {
		/* reading is an edge that may come before the connect's end */
		establish(s);
	} else {
		if ((what & EV_WRITE) || s->tls_write_reads) {
			s->tls_write_reads = false;
			hear(s);
			if (!s->freed && !s->gone)
				writable(s);
		}
		if (!s->freed && !s->gone && (what & EV_READ)) {
			/* where nothing may be read, this is all there is to see */
			if ((s->eof || s->allowed == 0) && hung_up(s)) {
				fail(s, "the connection was closed");
				(void)tell(s, STREAM_GONE);
			} else if (!s->eof) {
				s->readable = true;
				pump(s);
			}
		}
	}
	if (--s->busy == 0 && s->freed)
		destroy(s);
}

/*
 * How many of the LEN bytes of output are to be written next.  Where S listens
 * the last are at most PIECE, and before them, unless they are the first too,
 * it returns 0 if something has come: the event loop tells that first.
 * *PIECES: bytes before the last were written, or tried.
 */
static size_t
next_piece(struct stream *s, size_t len, size_t piece, bool *pieces)
{
	if (!s->listens || s->eof)
		return len;
	if (len > piece) {
		*pieces = true;
		return len - piece;
	}
	if ((!*pieces && !s->flushing) || has_nothing(s))
		return len;
	(void)event_add(s->ev_write, NULL);
	return 0;
}

static int
write_tls(struct stream *s)
{
	size_t len;
	unsigned char *p;
	bool pieces = false;
	int n;

	while ((len = evbuffer_get_length(s->out)) > 0) {
		if ((len = next_piece(s, len, TLS_WRITE, &pieces)) == 0)
			return 0;
		if (len > TLS_WRITE)
			len = TLS_WRITE;
		if ((p = evbuffer_pullup(s->out, (ev_ssize_t)len)) == NULL) {
			fail(s, "out of memory");
			return -1;
		}
		ERR_clear_error();
		if ((n = SSL_write(s->ssl, p, (int)len)) <= 0)
			return tls_wait(s, n, true);
		(void)evbuffer_drain(s->out, (size_t)n);
		s->sent += (uint64_t)n;
	}
	return 1;
}

static int
write_plain(struct stream *s)
{
	bool pieces = false;
	size_t len;
	int n;

	while ((len = evbuffer_get_length(s->out)) > 0) {
		if ((len = next_piece(s, len, LAST_PIECE, &pieces)) == 0)
			return 0;
		n = evbuffer_write_atmost(s->out, s->fd, (ev_ssize_t)len);
		if (n > 0) {
			s->sent += (uint64_t)n;
			s->connecting = false;
			continue;
		}
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			(void)event_add(s->ev_write, NULL);
			return 0;
		}
		if (n == -1)
			fail_system(s, errno);
		else
			fail(s, "write failed");
		return -1;
	}
	return 1;
}

int
stream_flush(struct stream *s)
{
	int rc;

	if (s->gone)
		return -1;
	if (s->ssl != NULL) {
		rc = write_tls(s);
		acknowledge(s);
	} else
		rc = write_plain(s);
	s->flushing = rc == 0;
	return rc;
}

void
stream_shutdown(struct stream *s)
{
	s->shut = true;
	/* the peer must not take our end for a cut */
	if (s->ssl != NULL && !s->handshaking) {
		(void)SSL_shutdown(s->ssl);
		ERR_clear_error();
	}
	(void)shutdown(s->fd, SHUT_WR);
}

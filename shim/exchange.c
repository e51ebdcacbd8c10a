/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/socket.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "exchange.h"
#include "stream.h"
#include "timer.h"

enum phase {
	PHASE_CONNECT,		/* names and TLS too */
	PHASE_SEND,
	PHASE_WAIT,
	PHASE_RECEIVE,
	PHASE_OVER
};
#define NPHASES	PHASE_OVER

/* A full queue is tried again after so many microseconds. */
#define AGAIN		50000

struct exchange {
	struct event_base *base;
	struct backend	*backend;
	struct backend_lookup *lookup;
	const struct conf_timeouts *timeout;
	struct evbuffer	*request;	/* the head, and the body by reference */
	struct stream	*stream;
	struct http_response *response;
	struct event	*timer;
	exchange_cb	*cb;
	void		*arg;
	size_t		 address;	/* the one tried, of the backend's */
	enum phase	 phase;
	bool		 begun, connected;
	struct event	*again;		/* a local rspamd whose queue is full */
	struct timespec	 since;
	double		 spent[NPHASES];
	enum failure	 failure;
	char		 reason[200];
};

static void next_address(struct exchange *);

static const char *const phase_names[] = { "connecting to", "sending to",
    "waiting for", "receiving from" };

static double
phase_limit(const struct exchange *x)
{
	switch (x->phase) {
	case PHASE_CONNECT:
		return x->timeout->connect;
	case PHASE_SEND:
		return x->timeout->send;
	case PHASE_WAIT:
		return x->timeout->wait;
	default:
		return x->timeout->receive;
	}
}

static const char *
phase_key(enum phase p)
{
	static const char *const keys[] = { "timeout_connect", "timeout_send",
	    "timeout_wait", "timeout_receive" };

	return keys[p];
}

/* Adds the time since the last call to the phase that goes on. */
static void
account(struct exchange *x)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	if (x->phase != PHASE_OVER)
		x->spent[x->phase] += (double)(t.tv_sec - x->since.tv_sec) +
		    (double)(t.tv_nsec - x->since.tv_nsec) / 1e9;
	x->since = t;
}

static void
enter(struct exchange *x, enum phase p)
{
	account(x);
	x->phase = p;
	if (p != PHASE_OVER)
		timer_arm(x->timer, phase_limit(x));
}

/* The end: tells the owner, who may free X. */
static void
finish(struct exchange *x, enum failure f, const char *why)
{
	const char *doing;

	if (x->phase == PHASE_OVER)
		return;
	doing = phase_names[x->phase];
	enter(x, PHASE_OVER);
	(void)event_del(x->timer);
	(void)event_del(x->again);
	stream_free(x->stream);
	x->stream = NULL;
	x->failure = f;
	if (f != FAILURE_NONE)
		(void)snprintf(x->reason, sizeof(x->reason), "%s %s: %s",
		    doing, backend_name(x->backend), why);
	x->cb(x, x->arg);
}

static void
send_request(struct exchange *x)
{
	int rc;

	if (x->phase == PHASE_CONNECT) {
		x->connected = true;
		enter(x, PHASE_SEND);
		if (evbuffer_add_buffer(stream_output(x->stream),
		    x->request) == -1) {
			finish(x, FAILURE_INTERNAL, "out of memory");
			return;
		}
	}
	rc = stream_flush(x->stream);
	/* -1: rspamd may have answered before it closed; its bytes or the
	   end of the stream are still to come */
	if (rc != 0 && x->phase == PHASE_SEND)
		enter(x, PHASE_WAIT);
}

/* Gives what has come to the parser.  EOM: rspamd has closed. */
static void
receive(struct exchange *x, bool eom)
{
	struct evbuffer *in = stream_input(x->stream);
	enum http_progress pr = HTTP_MORE;
	struct evbuffer_iovec v;

	if (evbuffer_get_length(in) > 0 && x->phase != PHASE_RECEIVE)
		enter(x, PHASE_RECEIVE);
	/* the length is asked too: a peek finds the space that is reserved */
	while (pr == HTTP_MORE && evbuffer_get_length(in) > 0 &&
	    evbuffer_peek(in, -1, NULL, &v, 1) > 0) {
		pr = http_response_feed(x->response, v.iov_base, v.iov_len,
		    false);
		(void)evbuffer_drain(in, v.iov_len);
	}
	if (pr == HTTP_MORE && eom)
		pr = http_response_feed(x->response, "", 0, true);
	if (pr == HTTP_DONE)
		finish(x, FAILURE_NONE, NULL);
	else if (pr == HTTP_BAD)
		finish(x, http_response_started(x->response) && !eom ?
		    FAILURE_UNREADABLE : FAILURE_UNREACHABLE,
		    http_response_error(x->response));
}

static void
on_stream(struct stream *s, enum stream_event ev, void *arg)
{
	struct exchange *x = arg;

	switch (ev) {
	case STREAM_CONNECTED:
	case STREAM_WRITTEN:
		send_request(x);
		break;
	case STREAM_READ:
		receive(x, false);
		break;
	case STREAM_EOF:
		receive(x, true);
		break;
	case STREAM_GONE:
		if (x->phase == PHASE_CONNECT) {
			(void)snprintf(x->reason, sizeof(x->reason), "%s",
			    stream_error(s));
			x->address++;
			next_address(x);
		} else
			finish(x, FAILURE_UNREACHABLE, stream_error(s));
		break;
	}
}

/*
 * Waits for nothing: is the connection that was begun on FD there already,
 * as it mostly is on this host?  Returns as connect() does.
 */
static int
finish_connect(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	socklen_t len = sizeof(int);
	int error = 0;

	if (poll(&p, 1, 0) == 1 &&
	    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 &&
	    error == 0)
		return 0;
	errno = error != 0 ? error : EINPROGRESS;
	return -1;
}

/*
 * Tries to connect to the address SA.  Returns 1 if connected, 0 if that is
 * under way, -1 if it failed (the reason is noted).
 */
static int
try_address(struct exchange *x, const struct sockaddr *sa, socklen_t len)
{
	static const struct timeval again = { 0, AGAIN };
	struct ssl_st *ssl;
	bool failed;
	int fd, rc, one = 1;

	fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		goto fail;
	if (sa->sa_family != AF_UNIX)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one,
		    sizeof(one));
	do {
		rc = connect(fd, sa, len);
	} while (rc == -1 && errno == EINTR);
	if (rc == -1 && errno == EAGAIN) {
		/* a unix socket's queue does not say when it has room again */
		(void)close(fd);
		return event_add(x->again, &again) == -1 ? -1 : 0;
	}
	if (rc == -1 && errno == EINPROGRESS)
		rc = finish_connect(fd);
	if (rc == -1 && errno != EINPROGRESS)
		goto fail;
	x->stream = stream_new(x->base, fd, on_stream, x);
	fd = -1;
	errno = ENOMEM;
	if (x->stream == NULL)
		goto fail;
	ssl = backend_tls(x->backend, &failed);
	if (failed)
		goto fail;
	if (ssl != NULL)
		stream_tls(x->stream, ssl);
	if (stream_start(x->stream, rc == -1) == -1)
		goto fail;
	return rc == 0 && ssl == NULL ? 1 : 0;
fail:
	(void)snprintf(x->reason, sizeof(x->reason), "%s", strerror(errno));
	if (fd != -1)
		(void)close(fd);
	stream_free(x->stream);
	x->stream = NULL;
	return -1;
}

/* Connects to the first address, from x->address on, that can be. */
static void
next_address(struct exchange *x)
{
	const struct sockaddr *sa;
	char why[sizeof(x->reason)];
	socklen_t len;
	int rc = -1;

	stream_free(x->stream);
	x->stream = NULL;
	while ((sa = backend_address(x->backend, x->address, &len)) != NULL &&
	    (rc = try_address(x, sa, len)) == -1)
		x->address++;
	if (rc == 1)
		send_request(x);
	else if (rc == -1) {
		(void)snprintf(why, sizeof(why), "%.150s", x->reason[0] != '\0' ?
		    x->reason : "the name has no address");
		finish(x, FAILURE_UNREACHABLE, why);
	}
}

static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	next_address(arg);
}

static void
on_addresses(struct backend *b, const char *error, void *arg)
{
	struct exchange *x = arg;

	(void)b;
	x->lookup = NULL;
	if (error != NULL)
		finish(x, FAILURE_UNREACHABLE, error);
	else
		next_address(x);
}

static void
begin(struct exchange *x)
{
	x->begun = true;
	timer_arm(x->timer, x->timeout->connect);
	switch (backend_resolve(x->backend, on_addresses, x, &x->lookup)) {
	case 1:
		next_address(x);
		break;
	case -1:
		finish(x, FAILURE_UNREACHABLE, "the name cannot be resolved");
		break;
	}
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct exchange *x = arg;
	char why[80];

	(void)fd;
	(void)what;
	if (!x->begun) {
		begin(x);
		return;
	}
	(void)snprintf(why, sizeof(why), "%s = %g s is over",
	    phase_key(x->phase), phase_limit(x));
	finish(x, FAILURE_TIMEOUT, why);
}

struct exchange *
exchange_new(struct event_base *base, struct backend *b,
    const struct conf_timeouts *timeout, const struct text *head,
    struct evbuffer *body, exchange_cb *cb, void *arg)
{
	struct exchange *x;

	if ((x = calloc(1, sizeof(*x))) == NULL)
		return NULL;
	x->base = base;
	x->backend = b;
	x->timeout = timeout;
	x->cb = cb;
	x->arg = arg;
	x->phase = PHASE_CONNECT;
	(void)clock_gettime(CLOCK_MONOTONIC, &x->since);
	x->request = evbuffer_new();
	x->response = http_response_new(EXCHANGE_REPLY_MAX);
	x->timer = event_new(base, -1, EV_TIMEOUT, on_timer, x);
	x->again = event_new(base, -1, EV_TIMEOUT, on_again, x);
	if (x->request == NULL || x->response == NULL || x->timer == NULL ||
	    x->again == NULL ||
	    evbuffer_add(x->request, head->buf, head->len) == -1 ||
	    evbuffer_add_buffer_reference(x->request, body) == -1) {
		exchange_free(x);
		return NULL;
	}
	/* the first step comes from the event loop: CB is not called too early */
	event_active(x->timer, EV_TIMEOUT, 0);
	return x;
}

void
exchange_free(struct exchange *x)
{
	if (x == NULL)
		return;
	backend_cancel(x->lookup);
	stream_free(x->stream);
	if (x->timer != NULL)
		event_free(x->timer);
	if (x->again != NULL)
		event_free(x->again);
	if (x->request != NULL)
		evbuffer_free(x->request);
	http_response_free(x->response);
	free(x);
}

enum failure
exchange_failure(const struct exchange *x)
{
	return x->failure;
}

bool
exchange_connected(const struct exchange *x)
{
	return x->connected;
}

const char *
exchange_reason(const struct exchange *x)
{
	return x->reason;
}

struct http_response *
exchange_response(struct exchange *x)
{
	return x->response;
}

struct exchange_times
exchange_times(struct exchange *x)
{
	account(x);
	return (struct exchange_times){ x->spent[PHASE_CONNECT],
	    x->spent[PHASE_SEND], x->spent[PHASE_WAIT],
	    x->spent[PHASE_RECEIVE] };
}

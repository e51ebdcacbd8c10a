/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/socket.h>

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "exchange.h"
#include "idle.h"
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

/* A connection that stands for so many seconds is not refused: a rspamd that
   is full closes it as soon as it sees it. */
#define STANDS_S	0.25

/* A full queue is tried again after so many microseconds. */
#define AGAIN		50000

struct exchange {
	struct event_base *base;
	struct backend	*backend;
	struct backend_lookup *lookup;
	const struct conf_timeouts *timeout;
	struct evbuffer	*head;
	struct evbuffer	*body;		/* the owner's; may be NULL */
	struct stream	*stream;
	struct http_response *response;
	struct event	*timer;
	exchange_cb	*cb;
	void		*arg;
	size_t		 address;	/* the one tried, of the backend's */
	size_t		 untried;	/* how many are left */
	enum phase	 phase;
	bool		 begun, connected;
	bool		 reused;	/* a connection that was kept open */
	bool		 anew;		/* see exchange_connect_anew() */
	bool		 quiet;		/* all that came is the response */
	uint64_t	 previous;	/* the tag of the response before */
	struct stream	**last;		/* while CB runs, the connection */
	bool		 careful;	/* see exchange_be_careful() */
	bool		 hesitates;	/* ... so nothing is sent yet */
	bool		 whole;		/* all of the request was written */
	bool		 cut;		/* the peer cannot have read all of it */
	unsigned int	 limit;		/* of sends that are lost */
	struct exchange_sends sends;
	enum exchange_end end;
	struct event	*again;		/* a local rspamd whose queue is full */
	double		 since;
	double		 spent[NPHASES];
	enum failure	 failure;
	char		 reason[200];
};

static void connect_anew(struct exchange *);
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
	double t = timer_now();

	if (x->phase != PHASE_OVER)
		x->spent[x->phase] += t - x->since;
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

/* The connection is gone, before there was a response.  Counts what became
   of the message on it; returns how that ended. */
static enum exchange_end
note_gone(struct exchange *x)
{
	bool touched = x->stream != NULL && stream_sent(x->stream) > 0;

	if (!x->cut && !x->connected)
		return EXCHANGE_ABSENT;
	if (http_response_started(x->response) || (x->whole && !x->cut)) {
		x->sends.lost++;
		return EXCHANGE_LOST;
	}
	x->sends.refused += touched ? 1 : 0;
	return EXCHANGE_REFUSED;
}

/* How it ended with F. */
static enum exchange_end
classify(struct exchange *x, enum failure f)
{
	if (f == FAILURE_NONE)
		return EXCHANGE_ANSWERED;
	if (f == FAILURE_OVERLOAD || f == FAILURE_INTERNAL)
		return EXCHANGE_OURS;
	if (f == FAILURE_UNREACHABLE || !x->connected)
		return note_gone(x);
	x->sends.lost++;
	return EXCHANGE_LOST;
}

/*
 * The end: tells the owner, who may free X.  To close takes longer than to
 * reply, and the client waits for that.
 */
static void
finish(struct exchange *x, enum failure f, const char *why)
{
	struct stream *stream = x->stream;
	const char *doing;

	if (x->phase == PHASE_OVER)
		return;
	doing = phase_names[x->phase];
	x->end = classify(x, f);
	enter(x, PHASE_OVER);
	(void)event_del(x->timer);
	(void)event_del(x->again);
	x->stream = NULL;
	x->last = &stream;
	x->failure = f;
	if (f != FAILURE_NONE)
		(void)snprintf(x->reason, sizeof(x->reason), "%s %s: %s",
		    doing, backend_name(x->backend), why);
	x->cb(x, x->arg);
	stream_free(stream);
}

/* Puts the request into the stream, by reference: it may have to be sent
   again. */
static int
put_request(struct exchange *x)
{
	struct evbuffer *out = stream_output(x->stream);

	if (evbuffer_add_buffer_reference(out, x->head) == -1)
		return -1;
	return x->body != NULL ? evbuffer_add_buffer_reference(out, x->body) : 0;
}

static void
note_connected(struct exchange *x)
{
	x->connected = true;
	x->whole = x->cut = false;
	enter(x, PHASE_SEND);
}

/* The request has been written as stream_flush() says: RC. */
static void
note_sent(struct exchange *x, int rc)
{
	if (x->phase == PHASE_CONNECT)
		note_connected(x);
	x->whole |= rc == 1;
	/* -1: rspamd may have answered before it closed; its bytes or the
	   end of the stream are still to come */
	if (rc != 0 && x->phase == PHASE_SEND)
		enter(x, PHASE_WAIT);
}

/* Sends the request, or first waits whether the connection stands. */
static void
send_request(struct exchange *x)
{
	if (!x->careful || x->reused || x->phase != PHASE_CONNECT) {
		note_sent(x, stream_flush(x->stream));
		return;
	}
	note_connected(x);
	x->hesitates = true;
	timer_arm(x->timer, STANDS_S);
}

/* It stands. */
static void
stop_hesitating(struct exchange *x)
{
	x->hesitates = false;
	timer_arm(x->timer, phase_limit(x));
	note_sent(x, stream_flush(x->stream));
}

/*
 * The peer has closed the connection without a word.  Was that one it had
 * kept?  Then it may not have seen the request, which is sent over a new one,
 * unless it has been lost too often.
 */
static bool
was_stale(struct exchange *x)
{
	if (!x->reused || http_response_started(x->response))
		return false;
	if (x->whole && !x->cut && x->sends.lost + 1 >= x->limit)
		return false;
	/* closed before it was written to: that is no refusal */
	if (!stream_eof(x->stream) || !x->cut)
		(void)note_gone(x);
	x->reused = x->connected = false;
	enter(x, PHASE_CONNECT);
	connect_anew(x);
	return true;
}

/*
 * Returns true if the peer began a response of success before it can have had
 * all of the request.  A balancer may refuse a request early; a verdict that
 * comes early is about another message.
 */
static bool
is_early(const struct exchange *x)
{
	int status = http_response_status(x->response);

	return !x->whole && status >= 200 && status < 300;
}

static void
refuse_early(struct exchange *x)
{
	char why[80];

	(void)snprintf(why, sizeof(why), "HTTP status %d came before all of the "
	    "message was sent", http_response_status(x->response));
	finish(x, FAILURE_UNREADABLE, why);
}

/* The response is complete; EOM: and the connection closed. */
static void
complete(struct exchange *x, bool eom)
{
	x->quiet = !eom && http_response_keeps(x->response) &&
	    evbuffer_get_length(stream_input(x->stream)) == 0 &&
	    evbuffer_get_length(stream_output(x->stream)) == 0;
	finish(x, FAILURE_NONE, NULL);
}

/* Gives what has come to the parser.  EOM: rspamd has closed. */
static void
receive(struct exchange *x, bool eom)
{
	struct evbuffer *in = stream_input(x->stream);
	enum http_progress pr = HTTP_MORE;
	struct evbuffer_iovec v;

	if (eom)
		x->cut = stream_was_cut(x->stream);
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
	if (eom && was_stale(x))
		return;
	if (is_early(x))
		refuse_early(x);
	else if (pr == HTTP_DONE)
		complete(x, eom);
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
		x->cut |= stream_was_cut(s);
		if (x->phase == PHASE_CONNECT) {
			(void)snprintf(x->reason, sizeof(x->reason), "%s",
			    stream_error(s));
			if (!x->cut)
				backend_failed(x->backend, x->address);
			next_address(x);
		} else if (!was_stale(x))
			finish(x, FAILURE_UNREACHABLE, stream_error(s));
		break;
	}
}

/* Is E for want of something on this machine, and no fault of the peer's? */
static bool
is_ours(int e)
{
	return e == EMFILE || e == ENFILE || e == ENOBUFS || e == ENOMEM ||
	    e == EADDRNOTAVAIL;
}

/* Makes the stream of the socket FD, with the request.  Returns 0, or -1
   without memory; FD is the stream's, or closed. */
static int
make_stream(struct exchange *x, int fd, int family, struct ssl_st **ssl)
{
	bool failed;

	x->stream = stream_new(x->base, fd, family, on_stream, x);
	if (x->stream == NULL)
		return -1;
	stream_listen(x->stream);
	*ssl = backend_tls(x->backend, &failed);
	if (*ssl != NULL)
		stream_tls(x->stream, *ssl);
	return failed ? -1 : put_request(x);
}

/*
 * Tries to connect to the address SA.  Returns 1 if connected, 0 if that is
 * under way, -1 if it failed (the reason is noted), -2 if this machine did.
 */
static int
try_address(struct exchange *x, const struct sockaddr *sa, socklen_t len)
{
	static const struct timeval again = { 0, AGAIN };
	struct ssl_st *ssl = NULL;
	int fd, rc, one = 1;
	bool connected;

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
	if (rc == -1 && errno != EINPROGRESS)
		goto fail;
	connected = rc == 0;
	rc = make_stream(x, fd, sa->sa_family, &ssl);
	fd = -1;
	errno = ENOMEM;
	if (rc == -1)
		goto fail;
	if (ssl == NULL && !x->careful) {
		/* on this host it is mostly there already: writing tells */
		rc = stream_flush(x->stream);
		connected |= stream_sent(x->stream) > 0;
		if (rc == -1 && !connected) {
			/* only a peer that was connected can reset */
			x->cut |= stream_was_cut(x->stream);
			(void)snprintf(x->reason, sizeof(x->reason), "%s",
			    stream_error(x->stream));
			return -1;
		}
	}
	if (stream_start(x->stream, !connected) == -1) {
		errno = ENOMEM;
		goto fail;
	}
	if (ssl != NULL || !connected)
		return 0;
	if (x->careful)
		send_request(x);
	else
		note_sent(x, rc);
	return 1;
fail:
	rc = is_ours(errno) ? -2 : -1;
	(void)snprintf(x->reason, sizeof(x->reason), "%s", strerror(errno));
	if (fd != -1)
		(void)close(fd);
	return rc;
}

/* Connects to the next address that can be connected to. */
static void
next_address(struct exchange *x)
{
	const struct sockaddr *sa;
	char why[sizeof(x->reason)];
	socklen_t len;
	int rc = -1;

	size_t n = backend_addresses(x->backend);

	while (rc == -1 && x->untried > 0 && n > 0) {
		stream_free(x->stream);
		x->stream = NULL;
		x->untried--;
		x->address = (x->address + 1) % n;
		timer_arm(x->timer, x->timeout->connect);
		sa = backend_address(x->backend, x->address, &len);
		if ((rc = try_address(x, sa, len)) == -1)
			backend_failed(x->backend, x->address);
	}
	if (rc < 0) {
		(void)snprintf(why, sizeof(why), "%s%.150s", rc == -2 ?
		    "no connection can be opened here: " : "",
		    x->reason[0] != '\0' ? x->reason : "the name has no address");
		finish(x, rc == -2 ? FAILURE_OVERLOAD : FAILURE_UNREACHABLE, why);
	}
}

/* The addresses are known: tries them, each once. */
static void
first_address(struct exchange *x)
{
	size_t n = backend_addresses(x->backend);

	x->untried = n;
	x->address = n > 0 ? backend_first(x->backend) + n - 1 : 0;
	next_address(x);
}

static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	struct exchange *x = arg;

	(void)fd;
	(void)what;
	/* the same address again */
	x->untried++;
	x->address += backend_addresses(x->backend) - 1;
	next_address(x);
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
		first_address(x);
}

static void
connect_anew(struct exchange *x)
{
	stream_free(x->stream);
	x->stream = NULL;
	switch (backend_resolve(x->backend, on_addresses, x, &x->lookup)) {
	case 1:
		first_address(x);
		break;
	case -1:
		finish(x, FAILURE_UNREACHABLE, "the name cannot be resolved");
		break;
	}
}

static void
begin(struct exchange *x)
{
	struct idle *idle = backend_idle(x->backend);

	x->begun = true;
	timer_arm(x->timer, x->timeout->connect);
	if (idle != NULL && !x->anew &&
	    (x->stream = idle_take(idle, &x->previous)) != NULL) {
		x->reused = true;
		stream_hand_over(x->stream, on_stream, x);
		if (put_request(x) == -1)
			finish(x, FAILURE_INTERNAL, "out of memory");
		else
			send_request(x);
	} else
		connect_anew(x);
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
	if (x->hesitates && x->phase == PHASE_SEND) {
		stop_hesitating(x);
		return;
	}
	if (x->phase == PHASE_CONNECT && x->stream != NULL) {
		backend_failed(x->backend, x->address);
		/* silent, but another address may answer */
		if (x->untried > 0) {
			next_address(x);
			return;
		}
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
	x->body = body;
	x->cb = cb;
	x->arg = arg;
	x->phase = PHASE_CONNECT;
	x->limit = UINT_MAX;
	x->since = timer_now();
	x->head = evbuffer_new();
	x->response = http_response_new(EXCHANGE_REPLY_MAX);
	x->timer = event_new(base, -1, EV_TIMEOUT, on_timer, x);
	x->again = event_new(base, -1, EV_TIMEOUT, on_again, x);
	if (x->head == NULL || x->response == NULL || x->timer == NULL ||
	    x->again == NULL ||
	    evbuffer_add(x->head, head->buf, head->len) == -1) {
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
	if (x->head != NULL)
		evbuffer_free(x->head);
	http_response_free(x->response);
	free(x);
}

enum failure
exchange_failure(const struct exchange *x)
{
	return x->failure;
}

enum exchange_end
exchange_end(const struct exchange *x)
{
	return x->end;
}

struct exchange_sends
exchange_sends(const struct exchange *x)
{
	return x->sends;
}

void
exchange_be_careful(struct exchange *x)
{
	x->careful = true;
}

void
exchange_limit(struct exchange *x, unsigned int n)
{
	x->limit = n;
}

void
exchange_connect_anew(struct exchange *x)
{
	x->anew = true;
}

/* FNV-1a of ID, to compare it with another.  Two that have one tag by chance,
   or by a sender's will, cost one more scan. */
static uint64_t
tag_of(const char *id)
{
	uint64_t h = 0xcbf29ce484222325;

	for (; id != NULL && *id != '\0'; id++)
		h = (h ^ (unsigned char)*id) * 0x100000001b3;
	return h;
}

bool
exchange_repeats(const struct exchange *x, const char *id)
{
	return x->reused && x->previous == tag_of(id);
}

void
exchange_keep(struct exchange *x, const char *id)
{
	struct idle *idle = backend_idle(x->backend);

	if (idle == NULL || !x->quiet || *x->last == NULL)
		return;
	idle_put(idle, *x->last, tag_of(id));
	*x->last = NULL;
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

#include "config.h"

#include <sys/queue.h>
#include <sys/un.h>

#include <inttypes.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "exchange.h"
#include "log.h"
#include "rspamc_reply.h"
#include "rspamd_request.h"
#include "session.h"
#include "spamd_reply.h"
#include "spamd_request.h"
#include "stream.h"

/* A client that has its reply is given so long to close, in seconds. */
#define LINGER		5.0
/* One that has sent nothing when the daemon is to stop, so long to begin. */
#define HURRY		2.0
/* Exim's own lines are usually within so many bytes, which lie in one piece. */
#define ENVELOPE_USUAL	8192
/* Values in the log are cut at so many bytes. */
#define LOG_VALUE_MAX	256

enum state {
	STATE_HEAD,		/* reading the request's head */
	STATE_BODY,		/* reading the message */
	STATE_DISCARD,		/* reading a message that is too large */
	STATE_SCAN,		/* rspamd has it */
	STATE_REPLY,		/* writing the reply */
	STATE_LINGER		/* waiting for the client to close */
};

/* How it ended, beside the outcome. */
enum ending {
	ENDING_REPLIED,
	ENDING_SKIPPED,		/* SKIP: no reply is due */
	ENDING_GONE		/* the client did not wait for its reply */
};

/* Moments, in order, for the times in the log. */
enum moment {
	AT_START,
	AT_MESSAGE,		/* the message is complete */
	AT_OUTCOME,
	AT_REPLIED,
	NMOMENTS
};

struct session {
	LIST_ENTRY(session) entry;
	struct session_env *env;
	const struct conf_listen *listen;
	struct stream	*stream;
	enum state	 state;
	struct event	*timer;		/* the deadline of the state */
	struct event	*total;		/* the deadline of all */
	struct timespec	 at[NMOMENTS];
	char		 peer[NI_MAXHOST + NI_MAXSERV + 4];

	struct spamd_request *request;
	struct evbuffer	*body;
	uint64_t	 received;	/* bytes of the body, kept or not */
	uint64_t	 size;		/* of the message as rspamd gets it */
	bool		 any;		/* has the client sent anything? */

	struct envelope	*exim;		/* from Exim's own lines */
	const struct envelope *envelope;	/* what rspamd is told */
	const char	*envelope_from;	/* for the log: where it came from */
	struct rspamd_request_left left;

	struct exchange	*exchange;
	struct exchange_times times;
	struct backend	*backend;
	size_t		 tries;

	struct verdict	*verdict;
	struct outcome	 outcome;
};

static void scan(struct session *);

static double
seconds(const struct timespec *from, const struct timespec *to)
{
	if (to->tv_sec == 0 && to->tv_nsec == 0)
		return 0.0;
	return (double)(to->tv_sec - from->tv_sec) +
	    (double)(to->tv_nsec - from->tv_nsec) / 1e9;
}

static void
note_time(struct session *s, enum moment m)
{
	if (s->at[m].tv_sec == 0 && s->at[m].tv_nsec == 0)
		(void)clock_gettime(CLOCK_MONOTONIC, &s->at[m]);
}

static void
arm(struct event *ev, double t)
{
	struct timeval tv;

	tv.tv_sec = (time_t)t;
	tv.tv_usec = (suseconds_t)((t - (double)tv.tv_sec) * 1e6);
	(void)event_add(ev, &tv);
}

static void
field(struct text *t, const char *name, const char *value)
{
	if (value != NULL)
		text_field(t, name, value, strlen(value), LOG_VALUE_MAX);
}

static void
log_request(struct text *t, const struct session *s)
{
	const struct spamd_request *r = s->request;
	const struct envelope *e = s->envelope;
	size_t left;

	field(t, "client", s->peer);
	if (r->dialect != SPAMD_DIALECT_UNKNOWN)
		text_printf(t, " dialect=%s/%d.%d",
		    r->dialect == SPAMD_SPAMC ? "spamc" : "rspamc",
		    r->version / 100, r->version % 100);
	field(t, "command", spamd_command_name(r->command));
	if (e != NULL) {
		field(t, "queue_id", e->queue_id);
		field(t, "ip", e->ip);
		field(t, "from", e->sender);
		text_printf(t, " rcpts=%zu", r->rcpt_seen > e->nrcpt ?
		    r->rcpt_seen : e->nrcpt);
		if (e->authenticated)
			text_puts(t, " authenticated=yes");
		field(t, "user", e->user);
	}
	if (s->envelope_from != NULL)
		field(t, "envelope", s->envelope_from);
	left = s->left.rcpt;
	if (e != NULL && r->rcpt_seen > e->nrcpt)
		left += r->rcpt_seen - e->nrcpt;
	if (left > 0)
		text_printf(t, " rcpts_left_out=%zu", left);
	if (s->left.values > 0)
		text_printf(t, " headers_left_out=%zu", s->left.values);
	if (spamd_request_has_message(r))
		text_printf(t, " size=%" PRIu64,
		    s->size > 0 ? s->size : s->received);
}

static void
log_times(struct text *t, const struct session *s)
{
	struct timespec end;

	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	text_printf(t, " read=%.3f", seconds(&s->at[AT_START],
	    &s->at[AT_MESSAGE]));
	if (s->backend != NULL)
		text_printf(t, " connect=%.3f send=%.3f wait=%.3f receive=%.3f",
		    s->times.connect, s->times.send, s->times.wait,
		    s->times.receive);
	text_printf(t, " total=%.3f", seconds(&s->at[AT_START],
	    s->at[AT_REPLIED].tv_sec != 0 ? &s->at[AT_REPLIED] : &end));
}

static int
log_outcome(struct text *t, const struct session *s, enum ending ending)
{
	const struct outcome *o = &s->outcome;
	bool done = s->at[AT_OUTCOME].tv_sec != 0;

	if (s->backend != NULL)
		field(t, "backend", backend_name(s->backend));
	if (done && s->request->command != SPAMD_PING &&
	    o->kind != OUTCOME_FAILED) {
		field(t, "action", o->action);
		text_printf(t, " score=%.2f required=%.2f spam=%s", o->score,
		    o->required, o->spam ? "yes" : "no");
	}
	log_times(t, s);
	if (ending == ENDING_GONE) {
		text_puts(t, " outcome=client-gone");
		field(t, "reason", stream_error(s->stream));
		return LOG_WARNING;
	}
	if (ending == ENDING_SKIPPED || s->request->command == SPAMD_PING) {
		text_puts(t, " outcome=ok");
		return LOG_INFO;
	}
	if (o->kind == OUTCOME_VERDICT) {
		text_puts(t, " outcome=verdict");
		return LOG_INFO;
	}
	text_printf(t, " outcome=%s failure=%s", o->kind == OUTCOME_PASS ?
	    "unscanned" : "error", failure_name(o->failure));
	field(t, "reason", o->reason);
	return LOG_WARNING;
}

static void
count(struct session *s, enum ending ending)
{
	struct metrics_slot *m = s->env->metrics;

	if (ending == ENDING_GONE)
		m->gone++;
	else if (ending == ENDING_SKIPPED ||
	    (s->request->command == SPAMD_PING &&
	    s->outcome.kind != OUTCOME_FAILED))
		m->other++;
	else if (s->outcome.kind == OUTCOME_VERDICT)
		m->verdicts++;
	else if (s->outcome.kind == OUTCOME_PASS)
		m->passed++;
	else
		m->failed++;
	m->active--;
}

static void
destroy(struct session *s)
{
	exchange_free(s->exchange);
	verdict_free(s->verdict);
	envelope_free(s->exim);
	if (s->body != NULL)
		evbuffer_free(s->body);
	spamd_request_free(s->request);
	if (s->timer != NULL)
		event_free(s->timer);
	if (s->total != NULL)
		event_free(s->total);
	stream_free(s->stream);
	free(s);
}

/* The one end of a session. */
static void
end(struct session *s, enum ending ending)
{
	struct session_env *env = s->env;
	struct text t;
	int priority;

	if (s->state == STATE_LINGER && ending == ENDING_GONE)
		ending = s->request->command == SPAMD_SKIP ? ENDING_SKIPPED :
		    ENDING_REPLIED;
	/* a connection without a byte is no request: port checks do that */
	if (s->any) {
		text_init(&t, 4000);
		log_request(&t, s);
		priority = log_outcome(&t, s, ending);
		log_msg(priority, "%s", text_string(&t));
		text_free(&t);
	}
	count(s, ending);
	LIST_REMOVE(s, entry);
	destroy(s);
	env->ended(env->arg);
}

/* The reply is with the kernel: closes so that the client gets it. */
static void
replied(struct session *s)
{
	note_time(s, AT_REPLIED);
	s->state = STATE_LINGER;
	(void)event_del(s->total);
	stream_shutdown(s->stream);
	if (stream_eof(s->stream)) {
		end(s, s->request->command == SPAMD_SKIP ? ENDING_SKIPPED :
		    ENDING_REPLIED);
		return;
	}
	arm(s->timer, LINGER);
}

/* Writes the reply of the outcome, in one piece. */
static void
reply(struct session *s)
{
	struct text t;
	int rc;

	note_time(s, AT_OUTCOME);
	exchange_free(s->exchange);
	s->exchange = NULL;
	s->state = STATE_REPLY;
	arm(s->timer, s->env->conf->timeout.reply);
	text_init(&t, SPAMD_REPLY_MAX);
	rc = s->request->dialect == SPAMD_RSPAMC ?
	    rspamc_reply(&t, &s->outcome, s->verdict) :
	    spamd_reply(&t, s->request, &s->outcome, s->verdict);
	if (rc == 0)
		rc = evbuffer_add(stream_output(s->stream), t.buf, t.len);
	text_free(&t);
	if (rc == -1) {
		/* no memory for a reply: a close without a byte is no verdict */
		outcome_failed(&s->outcome, FAILURE_INTERNAL, "out of memory");
		end(s, ENDING_REPLIED);
		return;
	}
	rc = stream_flush(s->stream);
	if (rc == 1)
		replied(s);
	else if (rc == -1)
		end(s, ENDING_GONE);
}

static void
fail(struct session *s, enum failure f, const char *why)
{
	outcome_failed(&s->outcome, f, why);
	reply(s);
}

/* The message is above the limit, and all of it has come. */
static void
too_large(struct session *s)
{
	char why[120];

	(void)snprintf(why, sizeof(why), "the message has %" PRIu64
	    " bytes, max_message_size is %" PRIu64, s->received,
	    s->env->conf->max_message_size);
	if (!s->listen->pass_too_large) {
		fail(s, FAILURE_TOO_LARGE, why);
		return;
	}
	outcome_pass(&s->outcome, &s->listen->policy, FAILURE_TOO_LARGE, why);
	reply(s);
}

/* rspamd has answered with an HTTP response. */
static void
judge(struct session *s)
{
	struct http_response *h = exchange_response(s->exchange);
	int status = http_response_status(h);
	char error[120], why[sizeof(s->outcome.reason)];
	const char *body;
	bool told;
	size_t len;

	body = http_response_body(h, &len);
	if (status == 200) {
		s->verdict = verdict_parse(body, len, error, sizeof(error));
		if (s->verdict != NULL) {
			outcome_verdict(&s->outcome, s->verdict,
			    &s->listen->policy);
			reply(s);
			return;
		}
		told = verdict_error(body, len, error, sizeof(error));
		(void)snprintf(why, sizeof(why), "%s: %s",
		    backend_name(s->backend), error);
		fail(s, told ? FAILURE_RSPAMD : FAILURE_UNREADABLE, why);
		return;
	}
	told = verdict_error(body, len, error, sizeof(error));
	(void)snprintf(why, sizeof(why), "%s: HTTP status %d%s%s",
	    backend_name(s->backend), status, told ? ": " : "",
	    told ? error : "");
	fail(s, FAILURE_RSPAMD, why);
}

static void
on_exchange(struct exchange *x, void *arg)
{
	struct session *s = arg;
	enum failure f = exchange_failure(x);

	s->times = exchange_times(x);
	if (f == FAILURE_NONE)
		judge(s);
	else if (f == FAILURE_UNREACHABLE &&
	    s->tries < backends_count(s->env->backends)) {
		/* the message is still here: another rspamd may have it */
		log_msg(LOG_WARNING, "client=%s %s; trying the next backend",
		    s->peer, exchange_reason(x));
		exchange_free(x);
		s->exchange = NULL;
		scan(s);
	} else
		fail(s, f, exchange_reason(x));
}

/* Which name SPAMC's User: header is, if any. */
static void
set_user(const struct session *s, struct rspamd_request *rq)
{
	const struct conf_listen *l = s->listen;
	const struct envelope *e = s->envelope;
	bool authenticated = e != NULL && e->authenticated;

	rq->deliver_to = s->request->deliver_to;
	if (l->spamc_user == CONF_USER_DELIVER_TO && s->request->user != NULL)
		rq->deliver_to = s->request->user;
	/* the name is believed where Exim says that there was a login */
	if (l->spamc_user == CONF_USER_AUTHENTICATED &&
	    (authenticated || l->envelope == CONF_ENVELOPE_NONE))
		rq->user = s->request->user;
	if (rq->user == NULL && authenticated && e->user == NULL)
		rq->user = l->unnamed_user;
}

/* Sends the message to the backend whose turn it is. */
static void
scan(struct session *s)
{
	struct session_env *env = s->env;
	struct rspamd_request rq = { .length = s->size,
	    .envelope = s->envelope };
	struct text head;

	s->state = STATE_SCAN;
	s->tries++;
	s->backend = backends_get(env->backends,
	    env->next_backend++ % backends_count(env->backends));
	rq.host = backend_name(s->backend);
	if (rq.host[0] == '/')
		rq.host = "localhost";
	set_user(s, &rq);
	text_init(&head, RSPAMD_REQUEST_HEAD_MAX);
	if (rspamd_request_head(&head, &rq, &s->left) == 0)
		s->exchange = exchange_new(env->base, s->backend,
		    &env->conf->timeout, &head, s->body, on_exchange, s);
	text_free(&head);
	if (s->exchange == NULL)
		fail(s, FAILURE_INTERNAL, "out of memory");
}

/* envelope_parse() of the first MAX bytes of the message. */
static enum envelope_result
parse_envelope(struct session *s, size_t max, size_t *skip)
{
	size_t all = evbuffer_get_length(s->body), len = all < max ? all : max;
	const char *p;

	if ((p = (const char *)evbuffer_pullup(s->body, (ev_ssize_t)len)) == NULL)
		return ENVELOPE_NONE;
	return envelope_parse(p, len, len == all || max == ENVELOPE_MAX,
	    s->exim, skip);
}

/*
 * Looks for Exim's own lines at the message's start, takes them off, and
 * learns the envelope from them unless RSPAMC's headers have told it.
 * Returns 0, or -1 without memory.
 */
static int
read_envelope(struct session *s)
{
	static const char from[] = "From ";
	enum envelope_result res;
	size_t skip = 0;
	bool rspamc = s->request->dialect == SPAMD_RSPAMC;
	char start[sizeof(from) - 1];

	if (rspamc) {
		s->envelope = s->request->envelope;
		s->envelope_from = "rspamc";
	} else
		s->envelope_from = s->listen->envelope == CONF_ENVELOPE_NONE ?
		    "off" : "none";
	if (s->listen->envelope == CONF_ENVELOPE_NONE ||
	    evbuffer_copyout(s->body, start, sizeof(start)) !=
	    (ev_ssize_t)sizeof(start) || memcmp(start, from, sizeof(start)) != 0)
		return 0;
	if ((s->exim = envelope_new()) == NULL)
		return -1;
	res = parse_envelope(s, ENVELOPE_USUAL, &skip);
	if (res == ENVELOPE_MORE)
		res = parse_envelope(s, ENVELOPE_MAX, &skip);
	if (res == ENVELOPE_NONE)
		return 0;
	(void)evbuffer_drain(s->body, skip);
	if (s->listen->envelope == CONF_ENVELOPE_ADDRESSES) {
		envelope_forget_client(s->exim);
		res = ENVELOPE_ADDRESSES;
	}
	if (rspamc)
		return 0;
	s->envelope = s->exim;
	s->envelope_from = res == ENVELOPE_FULL ? "exim" : "exim-addresses";
	return 0;
}

/* All of the message has come. */
static void
message_complete(struct session *s)
{
	note_time(s, AT_MESSAGE);
	(void)event_del(s->timer);
	if (s->state == STATE_DISCARD) {
		too_large(s);
		return;
	}
	if (read_envelope(s) == -1) {
		fail(s, FAILURE_INTERNAL, "out of memory");
		return;
	}
	s->size = evbuffer_get_length(s->body);
	if (s->size == 0)
		fail(s, FAILURE_EMPTY, "the message is empty");
	else if (s->size > s->env->conf->max_message_size)
		too_large(s);
	else
		scan(s);
}

/* The body ends with the client's half-close. */
static void
body_eof(struct session *s)
{
	char why[120];

	if (!s->request->has_length) {
		message_complete(s);
		return;
	}
	(void)snprintf(why, sizeof(why), "Content-Length mismatch: Expected %"
	    PRIu64 " bytes, got %" PRIu64 " bytes", s->request->length,
	    s->received);
	fail(s, FAILURE_REQUEST, why);
}

/* Is this much more than can be the message and Exim's own lines? */
static bool
far_too_large(const struct session *s, uint64_t size)
{
	return size > s->env->conf->max_message_size + ENVELOPE_MAX;
}

static void
take_body(struct session *s)
{
	struct evbuffer *in = stream_input(s->stream);
	const struct spamd_request *r = s->request;
	uint64_t n = evbuffer_get_length(in);

	if (r->has_length && n > r->length - s->received)
		n = r->length - s->received;
	if (s->state == STATE_BODY && far_too_large(s, s->received + n)) {
		s->state = STATE_DISCARD;
		(void)evbuffer_drain(s->body, evbuffer_get_length(s->body));
	}
	if (s->state == STATE_DISCARD)
		(void)evbuffer_drain(in, (size_t)n);
	else if (evbuffer_remove_buffer(in, s->body, (size_t)n) == -1) {
		fail(s, FAILURE_INTERNAL, "out of memory");
		return;
	}
	s->received += n;
	if (r->has_length && s->received == r->length)
		message_complete(s);
}

/* May a client of this listener ask for this?  Else: why not. */
static const char *
refusal(const struct session *s)
{
	const struct spamd_request *r = s->request;

	if (r->dialect == SPAMD_SPAMC ? !s->listen->spamc : !s->listen->rspamc)
		return "this dialect is not served on this address";
	if (r->command == SPAMD_PROCESS || r->command == SPAMD_HEADERS ||
	    r->command == SPAMD_TELL)
		return "this command is not served";
	if (r->compress != NULL)
		return "compressed messages are not served";
	return NULL;
}

static void
head_done(struct session *s)
{
	const struct spamd_request *r = s->request;
	const char *why;

	if ((why = refusal(s)) != NULL) {
		fail(s, FAILURE_UNSUPPORTED, why);
		return;
	}
	if (r->command == SPAMD_SKIP) {
		replied(s);
		return;
	}
	if (r->command == SPAMD_PING) {
		reply(s);
		return;
	}
	s->state = r->has_length && far_too_large(s, r->length) ?
	    STATE_DISCARD : STATE_BODY;
	take_body(s);
}

/* Gives what has come to the parser of the head.  EOM: half-closed. */
static void
take_head(struct session *s, bool eom)
{
	struct evbuffer *in = stream_input(s->stream);
	enum spamd_progress pr = SPAMD_MORE;
	struct evbuffer_iovec v;
	size_t used;

	/* the length is asked too: a peek finds the space that is reserved */
	while (pr == SPAMD_MORE && evbuffer_get_length(in) > 0 &&
	    evbuffer_peek(in, -1, NULL, &v, 1) > 0) {
		s->any = true;
		pr = spamd_request_feed(s->request, v.iov_base, v.iov_len,
		    false, &used);
		(void)evbuffer_drain(in, used);
	}
	if (pr == SPAMD_MORE && eom && s->any)
		pr = spamd_request_feed(s->request, "", 0, true, &used);
	if (pr == SPAMD_BAD)
		fail(s, FAILURE_REQUEST, spamd_request_error(s->request));
	else if (pr == SPAMD_HEAD_DONE)
		head_done(s);
	else if (eom)
		end(s, ENDING_GONE);
}

static void
discard_input(struct session *s)
{
	struct evbuffer *in = stream_input(s->stream);

	(void)evbuffer_drain(in, evbuffer_get_length(in));
}

static void
on_read(struct session *s)
{
	switch (s->state) {
	case STATE_HEAD:
		take_head(s, false);
		break;
	case STATE_BODY:
	case STATE_DISCARD:
		take_body(s);
		break;
	default:
		/* a line end after the body, or the rest of a bad request */
		discard_input(s);
		break;
	}
}

static void
on_eof(struct session *s)
{
	bool rspamc;

	if (s->state == STATE_HEAD) {
		take_head(s, true);
		return;
	}
	if (s->state == STATE_LINGER) {
		end(s, ENDING_GONE);
		return;
	}
	rspamc = s->request->dialect == SPAMD_RSPAMC;
	if (rspamc && !s->env->conf->shutdown_workaround)
		end(s, ENDING_GONE);
	else if (s->state == STATE_BODY || s->state == STATE_DISCARD)
		body_eof(s);
}

static void
on_stream(struct stream *stream, enum stream_event ev, void *arg)
{
	struct session *s = arg;

	(void)stream;
	switch (ev) {
	case STREAM_READ:
		on_read(s);
		break;
	case STREAM_EOF:
		on_eof(s);
		break;
	case STREAM_WRITTEN:
		replied(s);
		break;
	case STREAM_GONE:
		end(s, ENDING_GONE);
		break;
	case STREAM_CONNECTED:
		break;
	}
}

/* A deadline of this session, called KEY, of T seconds, is over. */
static void
expired(struct session *s, const char *key, double t)
{
	char why[120];

	switch (s->state) {
	case STATE_HEAD:
		if (!s->any) {
			end(s, ENDING_GONE);
			return;
		}
		(void)snprintf(why, sizeof(why), "%s = %g s is over while "
		    "reading the head of the request", key, t);
		break;
	case STATE_BODY:
	case STATE_DISCARD:
		(void)snprintf(why, sizeof(why), "%s = %g s is over, %" PRIu64
		    " bytes of the message received", key, t, s->received);
		break;
	case STATE_SCAN:
		(void)snprintf(why, sizeof(why), "%s = %g s is over, waiting "
		    "for %s", key, t, backend_name(s->backend));
		s->times = exchange_times(s->exchange);
		break;
	default:
		end(s, ENDING_GONE);
		return;
	}
	fail(s, FAILURE_TIMEOUT, why);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	(void)fd;
	(void)what;
	expired(s, "timeout_client", s->env->conf->timeout.client);
}

static void
on_total(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	(void)fd;
	(void)what;
	expired(s, "timeout_request", s->env->conf->timeout.request);
}

static void
name_peer(struct session *s, const struct sockaddr *sa, socklen_t len)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (sa->sa_family == AF_UNIX)
		(void)snprintf(s->peer, sizeof(s->peer), "unix");
	else if (getnameinfo(sa, len, host, sizeof(host), port, sizeof(port),
	    NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		(void)snprintf(s->peer, sizeof(s->peer),
		    sa->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
	else
		(void)snprintf(s->peer, sizeof(s->peer), "unknown");
}

void
session_start(struct session_env *env, const struct conf_listen *l, int fd,
    const struct sockaddr *sa, socklen_t len)
{
	struct session *s;

	if ((s = calloc(1, sizeof(*s))) == NULL) {
		(void)close(fd);
		goto fail;
	}
	s->env = env;
	s->listen = l;
	name_peer(s, sa, len);
	note_time(s, AT_START);
	s->stream = stream_new(env->base, fd, on_stream, s);
	s->request = spamd_request_new();
	s->body = evbuffer_new();
	s->timer = event_new(env->base, -1, EV_TIMEOUT, on_timer, s);
	s->total = event_new(env->base, -1, EV_TIMEOUT, on_total, s);
	if (s->stream == NULL || s->request == NULL || s->body == NULL ||
	    s->timer == NULL || s->total == NULL ||
	    stream_start(s->stream, false) == -1) {
		destroy(s);
		goto fail;
	}
	arm(s->timer, env->conf->timeout.client);
	arm(s->total, env->conf->timeout.request);
	env->metrics->accepted++;
	env->metrics->active++;
	LIST_INSERT_HEAD(&env->sessions, s, entry);
	return;
fail:
	log_msg(LOG_ERR, "out of memory: a connection was closed unserved");
}

void
sessions_hurry(struct session_env *env)
{
	struct session *s;

	LIST_FOREACH(s, &env->sessions, entry)
		if (!s->any)
			arm(s->timer, HURRY);
}

size_t
sessions_abort(struct session_env *env)
{
	struct session *s;
	size_t n = 0;

	while ((s = LIST_FIRST(&env->sessions)) != NULL) {
		end(s, ENDING_GONE);
		n++;
	}
	return n;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/queue.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "answer.h"
#include "intake.h"
#include "ledger.h"
#include "log.h"
#include "message.h"
#include "scan.h"
#include "session.h"
#include "spamd_request.h"
#include "stream.h"
#include "tell.h"
#include "timer.h"
#include "tls.h"

/* A client that has its reply is given so long to close, in seconds. */
#define LINGER		5.0
/* One that has sent nothing when the daemon is to stop, so long to begin. */
#define HURRY		2.0

enum state {
	STATE_HEAD,		/* reading the request's head */
	STATE_BODY,		/* reading the message */
	STATE_SCAN,		/* rspamd has it */
	STATE_REPLY,		/* writing the reply */
	STATE_LINGER		/* waiting for the client to close */
};

struct session {
	LIST_ENTRY(session) entry;
	struct session_env *env;
	const struct conf_listen *listen;
	struct stream	*stream;
	enum state	 state;
	struct event	*timer;		/* the deadline of the state */
	struct event	*total;		/* the deadline of all */
	char		 peer[CLIENTS_NAME_MAX];

	struct intake	*intake;
	struct spamd_request *request;	/* the intake's */
	struct message	*message;	/* likewise */
	bool		 tls;
	bool		 whole;		/* the request has come to its end */
	char		 late[80];	/* the deadline that it missed, for the log */

	struct sockaddr_storage counted;	/* among the clients; or zero */

	struct envelope	*exim;		/* from Exim's own lines */
	const struct envelope *envelope;	/* what rspamd is told */

	struct scan	*scan;		/* kept for the reply */
	struct tell	*tell;		/* instead of a scan, for TELL */
	struct outcome	 outcome;
	struct ledger	 ledger;	/* for its line in the log */
};

/* The reply does not wait for the scan. */
static void
cancel_scan(struct session *s)
{
	if (s->scan != NULL)
		ledger_scan(&s->ledger, s->scan);
	scan_free(s->scan);
	s->scan = NULL;
}

static void
write_account(struct session *s, enum account_ending ending)
{
	struct account *a = &s->ledger.account;

	a->peer = s->peer;
	a->request = s->request;
	a->envelope = s->envelope;
	if (a->size == 0)
		a->size = message_received(s->message);
	if (s->scan != NULL)
		ledger_scan(&s->ledger, s->scan);
	a->gone_why = s->late[0] != '\0' ? s->late : stream_error(s->stream);
	ledger_write(&s->ledger, metrics_counters(s->env->metrics,
	    s->env->slot), ending, &s->outcome);
}

static void
count(struct session *s)
{
	struct counters *c = metrics_counters(s->env->metrics, s->env->slot);

	c->received += stream_received(s->stream);
	c->sent += stream_sent(s->stream);
	metrics_closed(s->env->metrics, s->env->slot);
}

static void
destroy(struct session *s)
{
	if (s->counted.ss_family != AF_UNSPEC)
		clients_remove(s->env->clients, (struct sockaddr *)&s->counted);
	scan_free(s->scan);
	tell_free(s->tell);
	envelope_free(s->exim);
	intake_free(s->intake);
	if (s->timer != NULL)
		event_free(s->timer);
	if (s->total != NULL)
		event_free(s->total);
	stream_free(s->stream);
	free(s);
}

/* The peer without its port, into BUF: what repeated lines go by. */
static const char *
peer_host(const struct session *s, char *buf)
{
	const char *colon = strrchr(s->peer, ':');
	size_t len = colon != NULL ? (size_t)(colon - s->peer) :
	    strlen(s->peer);

	memcpy(buf, s->peer, len);
	buf[len] = '\0';
	return buf;
}

/* The one end of a session. */
static void
end(struct session *s, enum account_ending ending)
{
	struct session_env *env = s->env;
	char name[sizeof(s->peer)];

	/* the client waits for that, and not for our log */
	stream_close(s->stream);
	if (s->state == STATE_LINGER && ending == ACCOUNT_GONE)
		ending = s->request->command == SPAMD_SKIP ? ACCOUNT_SKIPPED :
		    ACCOUNT_REPLIED;
	/* a connection without a byte is no request: port checks do that */
	if (intake_begun(s->intake))
		write_account(s, ending);
	else if (s->tls && ending == ACCOUNT_GONE)
		log_limited(LOG_WARNING, peer_host(s, name), "client=%s no request "
		    "over TLS: %s", s->peer, s->late[0] != '\0' ? s->late :
		    stream_error(s->stream));
	count(s);
	LIST_REMOVE(s, entry);
	destroy(s);
	env->ended(env->arg);
}

/* The reply is with the kernel: closes so that the client gets it. */
static void
replied(struct session *s)
{
	ledger_note(&s->ledger, LEDGER_REPLIED);
	s->state = STATE_LINGER;
	(void)event_del(s->total);
	intake_drop(s->intake);
	/* the close that follows does it, but for TLS's own farewell */
	if (s->tls || !stream_eof(s->stream))
		stream_shutdown(s->stream);
	if (stream_eof(s->stream)) {
		end(s, s->request->command == SPAMD_SKIP ? ACCOUNT_SKIPPED :
		    ACCOUNT_REPLIED);
		return;
	}
	/* one that is still writing its message reads the reply after that */
	timer_arm(s->timer, s->whole ? LINGER : s->env->conf->timeout.client);
}

/* Writes the reply of the outcome, in one piece. */
static void
reply(struct session *s)
{
	struct evbuffer *out = stream_output(s->stream);
	struct answer a = { .request = s->request, .outcome = &s->outcome,
	    .tell = s->tell, .message = s->message };
	int rc;

	ledger_note(&s->ledger, LEDGER_OUTCOME);
	s->state = STATE_REPLY;
	timer_arm(s->timer, s->env->conf->timeout.reply);
	a.rewrite.headers = s->listen->rewrite_headers;
	a.rewrite.report = s->listen->rewrite_report;
	if (s->scan != NULL && s->outcome.kind == OUTCOME_VERDICT) {
		a.verdict = scan_verdict(s->scan);
		a.rewrite.scanner = scan_scanner(s->scan);
	}
	rc = answer_write(out, &a);
	tell_free(s->tell);
	s->tell = NULL;
	if (!answer_has_message(s->request))
		intake_drop(s->intake);
	if (rc == -1) {
		/* a close without a byte is no verdict */
		outcome_failed(&s->outcome, FAILURE_INTERNAL, "out of memory");
		(void)evbuffer_drain(out, evbuffer_get_length(out));
		end(s, ACCOUNT_REPLIED);
		return;
	}
	rc = stream_flush(s->stream);
	if (rc == 1)
		replied(s);
	else if (rc == -1)
		end(s, ACCOUNT_GONE);
}

static void
fail(struct session *s, enum failure f, const char *why)
{
	outcome_failed(&s->outcome, f, why);
	reply(s);
}

/* A message could not be scanned: it fails, or passes by policy. */
static void
not_scanned(struct session *s, enum failure f, const char *why)
{
	outcome_failed(&s->outcome, f, why);
	/* what is not here cannot be given back */
	if (s->request->command != SPAMD_TELL &&
	    (s->whole || !answer_has_message(s->request)))
		outcome_by_policy(&s->outcome, &s->listen->policy);
	reply(s);
}

/* The message is above the limit, and all of it has come. */
static void
too_large(struct session *s)
{
	char why[120];

	(void)snprintf(why, sizeof(why), "the message has %" PRIu64
	    " bytes%s, max_message_size is %" PRIu64,
	    message_received(s->message), s->request->compress != NULL ?
	    " compressed" : "", s->env->conf->max_message_size);
	/* what is not kept cannot be given back: its client has it still */
	if (answer_has_message(s->request))
		fail(s, FAILURE_TOO_LARGE, why);
	else
		not_scanned(s, FAILURE_TOO_LARGE, why);
}

/*
 * Takes what came behind the message.  If that is more than a line end, the
 * client is told so instead of a verdict, and false is returned.  LAST: the
 * reply is to be written now.
 */
static bool
ends_well(struct session *s, bool last)
{
	if (message_ends(s->message, stream_input(s->stream), last))
		return true;
	cancel_scan(s);
	tell_free(s->tell);
	s->tell = NULL;
	fail(s, FAILURE_REQUEST, message_error(s->message));
	return false;
}

static void
on_scan(struct scan *scan, void *arg)
{
	struct session *s = arg;

	if (!ends_well(s, true))
		return;
	s->outcome = *scan_outcome(scan);
	outcome_by_policy(&s->outcome, &s->listen->policy);
	reply(s);
}

/*
 * The mail server's name: as the listener is told, else as Exim's own Received:
 * says.  A RSPAMC request has the queue id in its head, and a line with another
 * is not of the Exim that sent it.  NULL: not known.
 */
static const char *
mta_name(const struct session *s)
{
	const struct envelope *head = s->request->envelope;

	if (s->listen->mta_name != NULL || s->exim == NULL)
		return s->listen->mta_name;
	if (s->request->dialect == SPAMD_RSPAMC &&
	    (head == NULL || head->queue_id == NULL ||
	    s->exim->queue_id == NULL ||
	    strcmp(head->queue_id, s->exim->queue_id) != 0))
		return NULL;
	return s->exim->mta_name;
}

/* Sends the message to rspamd. */
static void
start_scan(struct session *s)
{
	struct session_env *env = s->env;
	struct scan_job job = { .conf = env->conf, .listen = s->listen,
	    .pool = env->pool,
	    .request = s->request, .envelope = s->envelope,
	    .mta_name = mta_name(s),
	    .body = message_body(s->message), .peer = s->peer };

	s->state = STATE_SCAN;
	s->scan = scan_new(env->base, &job, on_scan, s);
	if (s->scan == NULL)
		fail(s, FAILURE_INTERNAL, "out of memory");
}

/*
 * Learns the envelope from Exim's own lines at the message's start, unless
 * RSPAMC's headers have told it; the lines are taken off then too, and show
 * what Exim 4.100 has quoted.  With envelope = none neither is believed.
 * Returns 0, or -1 without memory.
 */
static int
read_envelope(struct session *s)
{
	bool rspamc = s->request->dialect == SPAMD_RSPAMC;
	enum envelope_result res;

	if (s->listen->envelope == CONF_ENVELOPE_NONE) {
		s->ledger.account.envelope_from = "off";
		return 0;
	}
	if (rspamc) {
		s->envelope = s->request->envelope;
		s->ledger.account.envelope_from = "rspamc";
	} else
		s->ledger.account.envelope_from = "none";
	if ((s->exim = envelope_new()) == NULL)
		return -1;
	res = message_envelope(s->message, s->exim);
	if (res == ENVELOPE_NONE)
		return 0;
	if (s->listen->envelope == CONF_ENVELOPE_ADDRESSES) {
		envelope_forget_client(s->exim);
		res = ENVELOPE_ADDRESSES;
	}
	if (rspamc)
		return envelope_unquote(s->request->envelope, s->exim);
	s->envelope = s->exim;
	s->ledger.account.envelope_from = res == ENVELOPE_FULL ? "exim" :
	    "exim-addresses";
	return 0;
}

static void
on_tell(struct tell *t, void *arg)
{
	struct session *s = arg;

	s->ledger.account.controller = tell_backend(t);
	if (!ends_well(s, true))
		return;
	if (tell_failure(t) != FAILURE_NONE) {
		fail(s, tell_failure(t), tell_reason(t));
		return;
	}
	outcome_done(&s->outcome, tell_reason(t));
	reply(s);
}

/* Has rspamd's controllers do what the client tells. */
static void
tell(struct session *s)
{
	struct session_env *env = s->env;
	struct tell_job job = { .conf = env->conf,
	    .controllers = env->controllers, .metrics = env->metrics,
	    .slot = env->slot, .request = s->request,
	    .body = message_body(s->message) };

	if (s->listen->spamc_user == CONF_USER_DELIVER_TO)
		job.deliver_to = s->request->user;
	s->state = STATE_SCAN;
	s->tell = tell_new(env->base, &job, on_tell, s);
	if (s->tell == NULL)
		fail(s, FAILURE_INTERNAL, "out of memory");
}

/* All of the message has come. */
static void
message_complete(struct session *s)
{
	ledger_note(&s->ledger, LEDGER_MESSAGE);
	s->whole = true;
	(void)event_del(s->timer);
	if (read_envelope(s) == -1) {
		fail(s, FAILURE_INTERNAL, "out of memory");
		return;
	}
	s->ledger.account.size = message_size(s->message);
	intake_settle(s->intake);
	if (!ends_well(s, false))
		return;
	if (message_too_large(s->message))
		too_large(s);
	else if (message_size(s->message) == 0)
		fail(s, FAILURE_EMPTY, "the message is empty");
	else if (s->request->command == SPAMD_TELL)
		tell(s);
	else
		start_scan(s);
}

/* May a client of this listener ask for this?  Else: why not, and *F. */
static const char *
refusal(const struct session *s, enum failure *f)
{
	const struct spamd_request *r = s->request;

	*f = FAILURE_UNSUPPORTED;
	if (r->dialect == SPAMD_SPAMC ? !s->listen->spamc : !s->listen->rspamc)
		return "this dialect is not served on this address";
	if (r->command != SPAMD_TELL)
		return NULL;
	if (!s->listen->tell)
		return "TELL is not served on this address";
	return tell_refusal(s->env->conf, r, f);
}

static void progress(struct session *, enum intake_progress);

static void
head_done(struct session *s)
{
	const struct spamd_request *r = s->request;
	enum failure f;
	const char *why;

	if ((why = refusal(s, &f)) != NULL) {
		fail(s, f, why);
		return;
	}
	s->whole = !spamd_request_has_message(r);
	if (r->command == SPAMD_SKIP) {
		replied(s);
		return;
	}
	if (r->command == SPAMD_PING) {
		outcome_done(&s->outcome, "");
		reply(s);
		return;
	}
	s->state = STATE_BODY;
	progress(s, intake_message(s->intake));
}

/* The request has come so far. */
static void
progress(struct session *s, enum intake_progress pr)
{
	switch (pr) {
	case INTAKE_MORE:
		break;
	case INTAKE_HEAD:
		head_done(s);
		break;
	case INTAKE_WHOLE:
		message_complete(s);
		break;
	case INTAKE_BAD:
		fail(s, FAILURE_REQUEST, intake_error(s->intake));
		break;
	case INTAKE_CUT:
		end(s, ACCOUNT_GONE);
		break;
	}
}

static void
on_intake(enum intake_progress pr, void *arg)
{
	progress(arg, pr);
}

/* Takes what the client has sent; EOM: it has half-closed. */
static void
take(struct session *s, bool eom)
{
	bool begun = intake_begun(s->intake);
	enum intake_progress pr = intake_take(s->intake, eom);

	/* from its first byte on it has other deadlines */
	if (!begun && intake_begun(s->intake))
		timer_arm(s->timer, s->env->conf->timeout.client);
	progress(s, pr);
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
	case STATE_BODY:
		take(s, false);
		break;
	case STATE_SCAN:
		(void)ends_well(s, false);
		break;
	default:
		/* the rest of a bad request */
		discard_input(s);
		break;
	}
}

static void
on_eof(struct session *s)
{
	bool rspamc;

	if (s->state == STATE_HEAD) {
		take(s, true);
		return;
	}
	if (s->state == STATE_LINGER) {
		end(s, ACCOUNT_GONE);
		return;
	}
	rspamc = s->request->dialect == SPAMD_RSPAMC;
	if (rspamc && !s->env->conf->shutdown_workaround)
		end(s, ACCOUNT_GONE);
	else if (s->state == STATE_BODY)
		take(s, true);
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
		end(s, ACCOUNT_GONE);
		break;
	case STREAM_CONNECTED:
		break;
	}
}

/* Nor was there, until the deadline called KEY, of T seconds. */
static void
no_memory(struct session *s, const char *key, double t)
{
	char why[160];

	(void)snprintf(why, sizeof(why), "%s = %g s is over, and max_memory = %"
	    PRIu64 " bytes is used up by other requests", key, t,
	    s->env->conf->max_memory);
	ledger_note(&s->ledger, LEDGER_MESSAGE);
	/* a request that nobody has seen whole does not pass by policy */
	if (s->state == STATE_HEAD)
		fail(s, FAILURE_OVERLOAD, why);
	else
		not_scanned(s, FAILURE_OVERLOAD, why);
}

/* A deadline of this session, called KEY, of T seconds, is over. */
static void
expired(struct session *s, const char *key, double t)
{
	char why[120];

	switch (s->state) {
	case STATE_HEAD:
		if (!intake_begun(s->intake)) {
			(void)snprintf(s->late, sizeof(s->late),
			    "%s = %g s is over", key, t);
			end(s, ACCOUNT_GONE);
			return;
		}
		if (intake_waits(s->intake)) {
			no_memory(s, key, t);
			return;
		}
		(void)snprintf(why, sizeof(why), "%s = %g s is over while "
		    "reading the head of the request", key, t);
		break;
	case STATE_BODY:
		if (intake_waits(s->intake)) {
			no_memory(s, key, t);
			return;
		}
		(void)snprintf(why, sizeof(why), "%s = %g s is over, %" PRIu64
		    " bytes of the message received", key, t,
		    message_received(s->message));
		break;
	case STATE_SCAN:
		(void)snprintf(why, sizeof(why), "%s = %g s is over, waiting "
		    "for %s", key, t, s->tell != NULL ? tell_backend(s->tell) :
		    scan_backend(s->scan) != NULL ? scan_backend(s->scan) :
		    "a rspamd to be up");
		break;
	case STATE_REPLY:
		(void)snprintf(s->late, sizeof(s->late), "%s = %g s is over: "
		    "it did not take its reply", key, t);
		/* FALLTHROUGH */
	default:
		end(s, ACCOUNT_GONE);
		return;
	}
	ledger_note(&s->ledger, LEDGER_MESSAGE);
	cancel_scan(s);
	if (s->state == STATE_SCAN)
		not_scanned(s, FAILURE_TIMEOUT, why);
	else
		fail(s, FAILURE_TIMEOUT, why);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;
	const struct conf_timeouts *t = &s->env->conf->timeout;

	(void)fd;
	(void)what;
	if (s->state == STATE_REPLY)
		expired(s, "timeout_reply", t->reply);
	else if (intake_begun(s->intake))
		expired(s, "timeout_client", t->client);
	else
		expired(s, "timeout_idle", t->idle);
}

static void
on_total(evutil_socket_t fd, short what, void *arg)
{
	struct session *s = arg;

	(void)fd;
	(void)what;
	expired(s, "timeout_request", s->env->conf->timeout.request);
}

/* Has this client as many connections as it may have? */
static bool
has_enough(struct session *s, const struct sockaddr *sa, socklen_t len)
{
	uint64_t max = s->env->conf->max_per_client;
	size_t n;

	if (max == 0 || (n = clients_add(s->env->clients, sa)) == 0)
		return false;
	memcpy(&s->counted, sa, len);
	return n > max;
}

/* Is the client not to be served?  The log says why. */
static bool
turns_away(struct session *s, const struct sockaddr *sa, socklen_t len)
{
	const struct conf_listen *l = s->listen;
	char name[sizeof(s->peer)];

	if (!access_allows(l->allow, l->nallow, sa))
		log_limited(LOG_WARNING, peer_host(s, name), "client=%s turned "
		    "away: not in \"allow\" of listen \"%s\"", s->peer, l->address);
	else if (has_enough(s, sa, len))
		log_limited(LOG_WARNING, peer_host(s, name), "client=%s turned "
		    "away: it has max_connections_per_client = %" PRIu64
		    " connections already", s->peer, s->env->conf->max_per_client);
	else
		return false;
	metrics_counters(s->env->metrics, s->env->slot)->refused++;
	return true;
}

void
session_start(struct session_env *env, const struct conf_listen *l,
    int fd, const struct sockaddr *sa, socklen_t len)
{
	struct ssl_st *ssl;
	struct session *s;

	if ((s = calloc(1, sizeof(*s))) == NULL) {
		(void)close(fd);
		goto fail;
	}
	s->env = env;
	s->listen = l;
	clients_name(s->peer, sizeof(s->peer), sa, len);
	ledger_note(&s->ledger, LEDGER_START);
	if (turns_away(s, sa, len)) {
		(void)close(fd);
		destroy(s);
		return;
	}
	s->stream = stream_new(env->base, fd, sa->sa_family, on_stream, s);
	if (s->stream != NULL)
		s->intake = intake_new(s->stream, &env->budget,
		    env->conf->max_message_size, on_intake, s);
	s->timer = event_new(env->base, -1, EV_TIMEOUT, on_timer, s);
	s->total = event_new(env->base, -1, EV_TIMEOUT, on_total, s);
	if (s->stream == NULL || s->intake == NULL || s->timer == NULL || s->total == NULL)
		goto fail_session;
	if (l->tls != NULL) {
		if ((ssl = tls_accept(l->tls)) == NULL)
			goto fail_session;
		stream_tls(s->stream, ssl);
		s->tls = true;
	}
	s->request = intake_request(s->intake);
	s->message = intake_body(s->intake);
	if (stream_start(s->stream, false) == -1)
		goto fail_session;
	timer_arm(s->timer, env->conf->timeout.idle);
	timer_arm(s->total, env->conf->timeout.request);
	metrics_opened(env->metrics, env->slot);
	LIST_INSERT_HEAD(&env->sessions, s, entry);
	return;
fail_session:
	destroy(s);
fail:
	log_limited(LOG_ERR, "", "out of memory: a connection was closed "
	    "unserved");
}

void
sessions_hurry(struct session_env *env)
{
	struct session *s;

	LIST_FOREACH(s, &env->sessions, entry)
		if (!intake_begun(s->intake))
			timer_arm(s->timer, HURRY);
}

size_t
sessions_abort(struct session_env *env)
{
	struct session *s;
	size_t n = 0;

	while ((s = LIST_FIRST(&env->sessions)) != NULL) {
		n += intake_begun(s->intake) && s->state != STATE_LINGER;
		(void)snprintf(s->late, sizeof(s->late), "timeout_stop = %g s "
		    "is over", env->conf->timeout.stop);
		/* an error, if it goes out at once: no reply is no verdict */
		if (intake_begun(s->intake) && s->state < STATE_REPLY) {
			cancel_scan(s);
			fail(s, FAILURE_TIMEOUT, s->late);
		}
		if (LIST_FIRST(&env->sessions) == s)
			end(s, ACCOUNT_GONE);
	}
	return n;
}

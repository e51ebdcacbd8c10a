/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "attempts.h"
#include "http_response.h"
#include "log.h"
#include "scan.h"
#include "text.h"
#include "timer.h"

/* Seconds until the same rspamd is sent it again: one that is being stopped
   loses what it is sent for a moment, before it is known to be away. */
#define RESEND_PAUSE	1.0

/* Where a message is on its way; one timer serves all that take time. */
enum scan_state {
	SCAN_ASKS,		/* a backend has it */
	SCAN_QUEUES,		/* for one that is up and has room */
	SCAN_PAUSES,		/* before all are asked once more */
	SCAN_FAILS,		/* there is none, as is told in a moment */
	SCAN_OVER
};

struct scan {
	struct event_base *base;
	struct scan_job	 job;
	scan_cb		*cb;
	void		*arg;
	enum scan_state	 state;
	struct exchange	*exchange;	/* NULL unless it asks */
	struct exchange_times times;
	int		 member;	/* of the pool, asked now; or -1 */
	struct backend	*backend;	/* asked now or last; or NULL */
	struct attempts	 attempts;
	struct pool_waiter waiter;
	struct event	*patience;	/* the end of a state that waits */
	double		 queued;	/* seconds it has waited, before */
	double		 since;		/* and from then on, if it waits */
	char		 waited[80];	/* why it does not wait, for people */
	enum failure	 last_failure;	/* of the rspamd asked last */
	enum exchange_end last_end;
	char		 last_reason[200];
	struct rspamd_request_left left;
	struct verdict	*verdict;
	char		 scanner[64];
	struct outcome	 outcome;
};

static int ask(struct scan *);

/* The rspamd that was asked is through with this message. */
static void
give_back(struct scan *s, enum pool_result result, enum failure f,
    const char *why)
{
	struct exchange_times *t = &s->times;
	int i = s->member;

	*t = scan_times(s);
	exchange_free(s->exchange);
	s->exchange = NULL;
	s->member = -1;
	if (i != -1)
		pool_done(s->job.pool, (size_t)i, result, f, t->connect +
		    t->send + t->wait + t->receive, why);
}

static void
fail(struct scan *s, enum failure f, const char *why)
{
	s->state = SCAN_OVER;
	outcome_failed(&s->outcome, f, why);
	s->cb(s, s->arg);
}

/* Notes what became of the message at the backend that was asked, which ended
   so; returns whether it may be sent again. */
static bool
note_attempt(struct scan *s, enum exchange_end end)
{
	struct exchange_sends n = exchange_sends(s->exchange);
	struct attempts_signs signs;
	size_t i = (size_t)s->member;
	bool more = true;

	if (end == EXCHANGE_ANSWERED)
		n.lost++;	/* it is no verdict */
	if (end == EXCHANGE_OURS)
		return false;
	if (end == EXCHANGE_REFUSED || n.refused > 0) {
		signs = pool_signs(s->job.pool, i);
		more = attempts_refused(&s->attempts, i, n.refused, &signs);
	}
	if (end == EXCHANGE_LOST || n.lost > 0)
		more &= attempts_lost(&s->attempts, i, n.lost);
	if (end == EXCHANGE_ABSENT)
		attempts_absent(&s->attempts, i);
	return more;
}

/* What an exchange that ended so says of the rspamd it was with. */
static enum pool_result
blame(enum exchange_end end)
{
	static const enum pool_result results[] = {
		[EXCHANGE_ANSWERED] = POOL_ILL,
		[EXCHANGE_ABSENT] = POOL_ABSENT,
		[EXCHANGE_REFUSED] = POOL_REFUSED,
		[EXCHANGE_LOST] = POOL_ILL,
		[EXCHANGE_OURS] = POOL_UNKNOWN
	};

	return results[end];
}

/*
 * The rspamd that was asked has not scanned the message, which is still here:
 * another may.
 */
static void
ask_another(struct scan *s, enum failure f, const char *why)
{
	enum exchange_end end = exchange_end(s->exchange);
	bool more = note_attempt(s, end);
	const char *hint = "";

	if (f == FAILURE_UNREACHABLE && end != EXCHANGE_ABSENT) {
		if (s->attempts.large)
			hint = " (as rspamd does above its max_message)";
		else if (!more && end == EXCHANGE_REFUSED)
			hint = " (again: it is this message that is refused)";
	}
	s->last_failure = f;
	s->last_end = end;
	(void)snprintf(s->last_reason, sizeof(s->last_reason), "%s%s", why,
	    hint);
	give_back(s, blame(end), end == EXCHANGE_REFUSED && more ?
	    FAILURE_OVERLOAD : f, why);
	if (!more)
		fail(s, f, s->last_reason);
	else if (ask(s) == -1)
		fail(s, FAILURE_INTERNAL, "out of memory");
}

/* Is it the request's fault that rspamd answers with STATUS, not rspamd's? */
static bool
blames_request(int status)
{
	return status >= 400 && status < 500 && status != 403 && status != 404;
}

/* Which name SPAMC's User: header is, if any. */
static void
set_user(const struct scan_job *job, struct rspamd_request *rq)
{
	const struct conf_listen *l = job->listen;
	const struct envelope *e = job->envelope;
	bool authenticated = e != NULL && e->authenticated;

	if (l->envelope != CONF_ENVELOPE_NONE)
		rq->deliver_to = job->request->deliver_to;
	if (l->spamc_user == CONF_USER_DELIVER_TO && job->request->user != NULL)
		rq->deliver_to = job->request->user;
	if (l->spamc_user == CONF_USER_SETTINGS_ID)
		rq->settings_id = job->request->user;
	/* the name is believed where Exim says that there was a login */
	if (l->spamc_user == CONF_USER_AUTHENTICATED &&
	    (authenticated || l->envelope == CONF_ENVELOPE_NONE))
		rq->user = job->request->user;
	if (rq->user == NULL && authenticated && e->user == NULL)
		rq->user = l->unnamed_user;
}

static void on_exchange(struct exchange *, void *);

/* Begins to ask the backend that was chosen.  Returns 0, or -1 without memory. */
static int
begin_exchange(struct scan *s)
{
	const struct scan_job *job = &s->job;
	struct rspamd_request rq = { .envelope = job->envelope,
	    .length = evbuffer_get_length(job->body) };
	struct text head;

	rq.host = backend_host(s->backend);
	rq.keep = backend_idle(s->backend) != NULL;
	rq.mta_name = job->mta_name;
	set_user(job, &rq);
	text_init(&head, RSPAMD_REQUEST_HEAD_MAX);
	if (rspamd_request_head(&head, &rq, &s->left) == 0)
		s->exchange = exchange_new(s->base, s->backend,
		    &job->conf->timeout, &head, job->body, on_exchange, s);
	text_free(&head);
	if (s->exchange == NULL)
		return -1;
	if (attempts_are_careful(&s->attempts))
		exchange_be_careful(s->exchange);
	exchange_limit(s->exchange, attempts_left(&s->attempts));
	/* it may not be sent a second time from there */
	if (attempts_left(&s->attempts) == 1)
		exchange_connect_anew(s->exchange);
	return 0;
}

/*
 * There is a verdict, which a peer that answers twice may have given on the
 * message before: rspamd gives both the same id.  The message is sent to the
 * same rspamd once more, over a connection of its own.
 */
static void
ask_anew(struct scan *s)
{
	size_t i = (size_t)s->member;

	log_limited(LOG_NOTICE, backend_name(s->backend), "client=%s %s: two "
	    "replies over one connection have the same message-id, the second is "
	    "asked for once more over a new one", s->job.peer,
	    backend_name(s->backend));
	verdict_free(s->verdict);
	s->verdict = NULL;
	/* it may be with that message still, or have died of it */
	(void)attempts_lost(&s->attempts, i, 1);
	exchange_free(s->exchange);
	s->exchange = NULL;
	if (begin_exchange(s) == 0)
		return;
	give_back(s, POOL_UNKNOWN, FAILURE_NONE, "");
	fail(s, FAILURE_INTERNAL, "out of memory");
}

/* rspamd has answered with an HTTP response. */
static void
judge(struct scan *s)
{
	struct http_response *h = exchange_response(s->exchange);
	int status = http_response_status(h);
	char error[120], why[sizeof(s->outcome.reason)];
	const char *body, *name = backend_name(s->backend);
	bool told;
	size_t len;

	body = http_response_body(h, &len);
	(void)snprintf(s->scanner, sizeof(s->scanner), "%s",
	    http_response_server(h));
	if (status == 200)
		s->verdict = verdict_parse(body, len, error, sizeof(error));
	if (s->verdict != NULL && exchange_repeats(s->exchange,
	    s->verdict->message_id)) {
		ask_anew(s);
		return;
	}
	if (s->verdict != NULL) {
		exchange_keep(s->exchange, s->verdict->message_id);
		outcome_verdict(&s->outcome, s->verdict,
		    &s->job.listen->policy);
		give_back(s, POOL_WELL, FAILURE_NONE, "");
		s->state = SCAN_OVER;
		s->cb(s, s->arg);
		return;
	}
	if (status == 200)
		(void)snprintf(why, sizeof(why), "%s: %s", name, error);
	told = verdict_error(body, len, error, sizeof(error));
	if (status != 200)
		(void)snprintf(why, sizeof(why), "%s: HTTP status %d%s%s", name,
		    status, told ? ": " : "", told ? error : "");
	if (blames_request(status)) {
		give_back(s, POOL_WELL, FAILURE_RSPAMD, "");
		fail(s, FAILURE_RSPAMD, why);
	} else
		ask_another(s, status != 200 || told ? FAILURE_RSPAMD :
		    FAILURE_UNREADABLE, why);
}

static void
on_exchange(struct exchange *x, void *arg)
{
	char why[200];

	if (exchange_failure(x) == FAILURE_NONE) {
		judge(arg);
		return;
	}
	/* it is gone before the text is needed last */
	(void)snprintf(why, sizeof(why), "%s", exchange_reason(x));
	ask_another(arg, exchange_failure(x), why);
}

/* Sends the message to the I-th of the pool.  Returns 0, or -1 without memory. */
static int
send_to(struct scan *s, int i)
{
	struct backend *b = pool_backend(s->job.pool, (size_t)i);

	/* of one that was full and has room again nothing needs to be said */
	if (s->last_failure != FAILURE_NONE && (s->backend != b ||
	    s->last_end != EXCHANGE_REFUSED))
		log_msg(LOG_WARNING, "client=%s %s; trying %s", s->job.peer,
		    s->last_reason, backend_name(b));
	s->state = SCAN_ASKS;
	s->member = i;
	s->backend = b;
	if (begin_exchange(s) == 0)
		return 0;
	give_back(s, POOL_UNKNOWN, FAILURE_NONE, "");
	return -1;
}

static bool
waits(const struct scan *s)
{
	return s->state == SCAN_QUEUES || s->state == SCAN_PAUSES;
}

double
scan_queued(const struct scan *s)
{
	return s->queued + (waits(s) ? timer_now() - s->since : 0.0);
}

/* There is none for this message, and it does not wait (any longer). */
static void
refuse(struct scan *s, enum pool_lack lack)
{
	char why[sizeof(s->outcome.reason)];
	bool was_asked = s->last_failure != FAILURE_NONE;

	if (lack == POOL_BUSY) {
		(void)snprintf(why, sizeof(why), "every rspamd that is up has "
		    "as many messages as max_requests allows; %s", s->waited);
		fail(s, FAILURE_OVERLOAD, why);
	} else if (lack == POOL_FULL && (!was_asked ||
	    s->last_end == EXCHANGE_REFUSED)) {
		(void)snprintf(why, sizeof(why), "every rspamd that is up is "
		    "full (max_tasks); %s%s%.60s", s->waited,
		    was_asked ? "; " : "", s->last_reason);
		fail(s, FAILURE_OVERLOAD, why);
	} else if (s->last_failure != FAILURE_NONE)
		fail(s, s->last_failure, s->last_reason);
	else {
		(void)snprintf(why, sizeof(why), "no rspamd is up; %s; %.100s",
		    s->waited, pool_fault(s->job.pool, 0));
		fail(s, FAILURE_UNREACHABLE, why);
	}
}

/* Waits in STATE for so many seconds at most, which count as in the queue. */
static void
begin_waiting(struct scan *s, enum scan_state state, double t)
{
	s->state = state;
	s->since = timer_now();
	timer_arm(s->patience, t);
}

/* Waits no longer; what follows sets the state. */
static void
stop_waiting(struct scan *s)
{
	s->queued = scan_queued(s);
	s->since = timer_now();
	pool_unwait(s->job.pool, &s->waiter);
}

/* The time of the queue is over.  Once more, should we have been slow to
   look; then that is all. */
static void
end_queue(struct scan *s)
{
	enum pool_lack lack;
	int i;

	if ((i = pool_take(s->job.pool, s->attempts.of, &lack)) == -1)
		refuse(s, lack);
	else if (send_to(s, i) == -1)
		fail(s, FAILURE_INTERNAL, "out of memory");
}

static void
on_patience(evutil_socket_t fd, short what, void *arg)
{
	struct scan *s = arg;

	(void)fd;
	(void)what;
	stop_waiting(s);
	if (s->state != SCAN_PAUSES)
		end_queue(s);
	else if (ask(s) == -1)
		fail(s, FAILURE_INTERNAL, "out of memory");
}

static void
on_wake(void *arg)
{
	struct scan *s = arg;

	stop_waiting(s);
	if (ask(s) == -1)
		fail(s, FAILURE_INTERNAL, "out of memory");
}

/*
 * Waits for a rspamd to be up and to have room, up to timeout_queue in all:
 * one that restarts is missed by nobody that way.
 */
static bool
wait_for_one(struct scan *s)
{
	const struct conf *conf = s->job.conf;
	double left = conf->timeout.queue - s->queued;

	(void)snprintf(s->waited, sizeof(s->waited), "timeout_queue = %g s is "
	    "over", conf->timeout.queue);
	if (left < 0.001)
		return false;
	if (!pool_wait(s->job.pool, &s->waiter)) {
		(void)snprintf(s->waited, sizeof(s->waited), "max_queue = %zu "
		    "messages wait already", conf->max_queue);
		return false;
	}
	begin_waiting(s, SCAN_QUEUES, left);
	return true;
}

/* There is none: tells so from the event loop. */
static void
fail_soon(struct scan *s)
{
	s->state = SCAN_FAILS;
	timer_arm(s->patience, 0.0);
}

/*
 * All have failed.  If none had the message, they may come back; if one was
 * lost with it, as one that is restarted is, it may have it once more.
 */
static bool
may_begin_again(const struct scan *s)
{
	return s->attempts.lost == 0 || s->last_failure == FAILURE_UNREACHABLE;
}

/*
 * Sends the message to a rspamd, waits for one, or fails: later, from the
 * event loop, which the timer's callback is.  Returns -1 without memory.
 */
static int
ask(struct scan *s)
{
	enum pool_lack lack;
	bool again;
	int i;

	(void)event_del(s->patience);
	/* there may be room, but for those who came before */
	if (s->last_failure == FAILURE_NONE && s->queued == 0.0 &&
	    pool_calls(s->job.pool) && wait_for_one(s))
		return 0;
	if ((i = pool_take(s->job.pool, s->attempts.of, &lack)) != -1)
		return send_to(s, i);
	again = lack == POOL_TRIED || lack == POOL_DOWN;
	if (again && !may_begin_again(s)) {
		fail_soon(s);
		return 0;
	}
	if (again)
		attempts_begin_again(&s->attempts);
	if (lack == POOL_TRIED && s->attempts.lost > 0) {
		begin_waiting(s, SCAN_PAUSES, RESEND_PAUSE);
		return 0;
	}
	if (lack == POOL_TRIED && (i = pool_take(s->job.pool, s->attempts.of,
	    &lack)) != -1)
		return send_to(s, i);
	if (!wait_for_one(s))
		fail_soon(s);
	return 0;
}

struct scan *
scan_new(struct event_base *base, const struct scan_job *job, scan_cb *cb,
    void *arg)
{
	size_t n = pool_count(job->pool);
	struct scan *s;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return NULL;
	s->base = base;
	s->job = *job;
	s->cb = cb;
	s->arg = arg;
	s->member = -1;
	attempts_init(&s->attempts, calloc(n, sizeof(*s->attempts.of)), n,
	    evbuffer_get_length(job->body));
	s->patience = event_new(base, -1, EV_TIMEOUT, on_patience, s);
	s->waiter.cb = on_wake;
	s->waiter.arg = s;
	s->waiter.attempts = s->attempts.of;
	if (s->attempts.of != NULL && s->patience != NULL && ask(s) == 0)
		return s;
	scan_free(s);
	return NULL;
}

void
scan_free(struct scan *s)
{
	if (s == NULL)
		return;
	pool_unwait(s->job.pool, &s->waiter);
	give_back(s, POOL_UNKNOWN, FAILURE_NONE, "");
	verdict_free(s->verdict);
	if (s->patience != NULL)
		event_free(s->patience);
	free(s->attempts.of);
	free(s);
}

const struct outcome *
scan_outcome(const struct scan *s)
{
	return &s->outcome;
}

const struct verdict *
scan_verdict(const struct scan *s)
{
	return s->verdict;
}

const char *
scan_scanner(const struct scan *s)
{
	return s->scanner[0] != '\0' ? s->scanner : NULL;
}

const char *
scan_backend(const struct scan *s)
{
	return s->backend != NULL ? backend_name(s->backend) : NULL;
}

struct rspamd_request_left
scan_left(const struct scan *s)
{
	return s->left;
}

struct exchange_times
scan_times(const struct scan *s)
{
	return s->exchange != NULL ? exchange_times(s->exchange) : s->times;
}

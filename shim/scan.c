/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include <event2/buffer.h>

#include "http_response.h"
#include "log.h"
#include "scan.h"
#include "text.h"

/* A connection that is lost over a smaller message has another reason than
   rspamd's own limit, which nobody sets so low. */
#define HINT_LEAST	65536

struct scan {
	struct event_base *base;
	struct scan_job	 job;
	scan_cb		*cb;
	void		*arg;
	struct exchange	*exchange;	/* NULL once it is over */
	struct exchange_times times;
	struct backend	*backend;
	size_t		 tries;
	bool		 resent;	/* after a rspamd had the message and failed */
	struct rspamd_request_left left;
	struct verdict	*verdict;
	char		 scanner[64];
	struct outcome	 outcome;
};

/* The outcome is there: tells the owner, who may free S. */
static void
finish(struct scan *s)
{
	s->times = scan_times(s);
	exchange_free(s->exchange);
	s->exchange = NULL;
	s->cb(s, s->arg);
}

static void
fail(struct scan *s, enum failure f, const char *why)
{
	outcome_failed(&s->outcome, f, why);
	finish(s);
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
	if (status != 200) {
		told = verdict_error(body, len, error, sizeof(error));
		(void)snprintf(why, sizeof(why), "%s: HTTP status %d%s%s", name,
		    status, told ? ": " : "", told ? error : "");
		fail(s, FAILURE_RSPAMD, why);
		return;
	}
	s->verdict = verdict_parse(body, len, error, sizeof(error));
	if (s->verdict == NULL) {
		told = verdict_error(body, len, error, sizeof(error));
		(void)snprintf(why, sizeof(why), "%s: %s", name, error);
		fail(s, told ? FAILURE_RSPAMD : FAILURE_UNREADABLE, why);
		return;
	}
	outcome_verdict(&s->outcome, s->verdict, &s->job.listen->policy);
	finish(s);
}

/*
 * May another rspamd have the message, which is still here?  Those that
 * cannot be reached do no harm; but a message that one has taken and failed
 * over is offered once more only: it could be its fault.
 */
static bool
may_try_another(struct scan *s, enum failure f)
{
	if (s->tries >= backends_count(s->job.backends) || s->resent)
		return false;
	s->resent = exchange_connected(s->exchange);
	return f == FAILURE_UNREACHABLE ||
	    (f == FAILURE_TIMEOUT && !s->resent);
}

static int ask(struct scan *);

static void
on_exchange(struct exchange *x, void *arg)
{
	struct scan *s = arg;
	enum failure f = exchange_failure(x);
	char why[sizeof(s->outcome.reason)];

	if (f == FAILURE_NONE) {
		judge(s);
		return;
	}
	if (!may_try_another(s, f)) {
		(void)snprintf(why, sizeof(why), "%s%s", exchange_reason(x),
		    f == FAILURE_UNREACHABLE && exchange_connected(x) &&
		    evbuffer_get_length(s->job.body) >= HINT_LEAST ?
		    " (as rspamd does above its max_message)" : "");
		fail(s, f, why);
		return;
	}
	log_msg(LOG_WARNING, "client=%s %s; trying the next backend",
	    s->job.peer, exchange_reason(x));
	exchange_free(x);
	s->exchange = NULL;
	if (ask(s) == -1)
		fail(s, FAILURE_INTERNAL, "out of memory");
}

/* Which name SPAMC's User: header is, if any. */
static void
set_user(const struct scan_job *job, struct rspamd_request *rq)
{
	const struct conf_listen *l = job->listen;
	const struct envelope *e = job->envelope;
	bool authenticated = e != NULL && e->authenticated;

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

/* Sends the message to the next backend.  Returns 0, or -1 without memory. */
static int
ask(struct scan *s)
{
	const struct scan_job *job = &s->job;
	struct rspamd_request rq = { .envelope = job->envelope,
	    .length = evbuffer_get_length(job->body) };
	struct text head;

	s->backend = backends_get(job->backends,
	    (job->first + s->tries++) % backends_count(job->backends));
	rq.host = backend_host(s->backend);
	set_user(job, &rq);
	text_init(&head, RSPAMD_REQUEST_HEAD_MAX);
	if (rspamd_request_head(&head, &rq, &s->left) == 0)
		s->exchange = exchange_new(s->base, s->backend,
		    &job->conf->timeout, &head, job->body, on_exchange, s);
	text_free(&head);
	return s->exchange != NULL ? 0 : -1;
}

struct scan *
scan_new(struct event_base *base, const struct scan_job *job, scan_cb *cb,
    void *arg)
{
	struct scan *s;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return NULL;
	s->base = base;
	s->job = *job;
	s->cb = cb;
	s->arg = arg;
	if (ask(s) == 0)
		return s;
	scan_free(s);
	return NULL;
}

void
scan_free(struct scan *s)
{
	if (s == NULL)
		return;
	exchange_free(s->exchange);
	verdict_free(s->verdict);
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
	return backend_name(s->backend);
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

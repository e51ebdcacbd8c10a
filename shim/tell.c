/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "exchange.h"
#include "log.h"
#include "password_guard.h"
#include "rspamd_request.h"
#include "tell.h"
#include "text.h"
#include "timer.h"
#include "verdict.h"

/* Who waits for the answer to another's password looks again after so many
   seconds. */
#define GUARD_AGAIN	0.1

/* One thing to do, and what it means to the client when it is done. */
struct step {
	enum rspamd_learn what;
	unsigned int	 set, remove;
};
#define STEPS_MAX	4

struct tell {
	struct event_base *base;
	struct tell_job	 job;
	tell_cb		*cb;
	void		*arg;
	struct exchange	*exchange;
	struct step	 steps[STEPS_MAX];
	size_t		 nsteps;
	size_t		 step, controller;	/* where it is */
	struct backend	*asked;		/* the controller that was last */
	struct counters_backend *counters;	/* of it, while it is asked */
	unsigned int	 did_set, did_remove;
	struct event	*again;		/* until the password may be sent */
	double		 waiting;	/* since then, or 0 */
	enum failure	 failure;
	struct text	 reason;
};

static void next(struct tell *);

static const char not_enabled[] =
    "TELL commands are not enabled, set --controller and --password-file";
static const char no_fuzzy[] =
    "reporting and revoking are not enabled, set fuzzy_flag";
static const char no_forgetting[] =
    "rspamd cannot forget a message, learn it as the other class";

/* What R asks for, as steps; returns how many. */
static size_t
plan(const struct conf *conf, const struct spamd_request *r,
    struct step *steps)
{
	bool spam = r->message_class == SPAMD_CLASS_SPAM;
	size_t n = 0;

	if ((r->set & SPAMD_LOCAL) != 0)
		steps[n++] = (struct step){ spam ? RSPAMD_LEARN_SPAM :
		    RSPAMD_LEARN_HAM, SPAMD_LOCAL, 0 };
	if (conf->fuzzy_flag == 0)
		return n;
	if ((r->set & SPAMD_REMOTE) != 0)
		steps[n++] = (struct step){ RSPAMD_FUZZY_ADD, SPAMD_REMOTE, 0 };
	/* the fuzzy storage is what can forget, whichever is asked for; that
	   of Bayes (local), which cannot, is never reported */
	if (r->remove != 0)
		steps[n++] = (struct step){ RSPAMD_FUZZY_DEL, 0, SPAMD_REMOTE };
	return n;
}

const char *
tell_refusal(const struct conf *conf, const struct spamd_request *r,
    enum failure *f)
{
	struct step steps[STEPS_MAX];

	*f = FAILURE_UNSUPPORTED;
	if (conf->ncontroller == 0)
		return not_enabled;
	if (plan(conf, r, steps) == 0 && (r->set | r->remove) != 0)
		return (r->remove & SPAMD_LOCAL) != 0 ? no_forgetting :
		    no_fuzzy;
	*f = FAILURE_REQUEST;
	if ((r->set | r->remove) == 0)
		return "TELL without Set: or Remove: local or remote";
	if ((r->set & SPAMD_LOCAL) != 0 &&
	    r->message_class == SPAMD_CLASS_NONE)
		return "TELL without Message-class: spam or ham";
	return NULL;
}

/* Adds "A B C" to the reason, "; " between its parts. */
static void
say(struct tell *t, const char *a, const char *b, const char *c)
{
	text_printf(&t->reason, "%s%s%s%s", t->reason.len > 0 ? "; " : "", a, b,
	    c);
}

static void
finish(struct tell *t, enum failure f)
{
	t->failure = f;
	t->cb(t, t->arg);
}

/* The controller that was asked has answered, or failed. */
static void
count(struct tell *t, enum failure f)
{
	struct exchange_times x = exchange_times(t->exchange);

	t->counters->now.active--;
	counters_exchange(t->counters, f,
	    x.connect + x.send + x.wait + x.receive);
	t->counters = NULL;
}

/* A step failed: nothing else is said than WHAT and WHY. */
static void
give_up(struct tell *t, enum failure f, const char *what, const char *why)
{
	text_rewind(&t->reason, 0);
	say(t, what, why, "");
	finish(t, f);
}

/* Does rspamd say that it has learned this message before? */
static bool
is_known(int status, const char *error)
{
	return status == 208 || (status == 404 &&
	    strstr(error, "already learned") != NULL);
}

/* Does STATUS say that the password is wrong, or was too often? */
static bool
is_refusal(int status)
{
	return status == 401 || status == 403 || status == 429;
}

/*
 * A controller did not do it: STATUS and ERROR, which may be empty, are its
 * answer.  rspamd's own word for a wrong password is "Unauthorized".
 */
static void
say_refusal(struct tell *t, int status, const char *error, const char *name)
{
	char where[160], why[200];

	(void)snprintf(where, sizeof(where), "%.150s: ", name);
	if (error[0] != '\0')
		(void)snprintf(why, sizeof(why), "%s", error);
	else
		(void)snprintf(why, sizeof(why), "HTTP status %d", status);
	if (is_refusal(status))
		(void)snprintf(why + strlen(why), sizeof(why) - strlen(why),
		    status == 429 ? ", too many wrong passwords came from here"
		    : ", the password was refused");
	give_up(t, FAILURE_RSPAMD, where, why);
}

/*
 * The controller has answered with STATUS: what that says of the password.
 * rspamd looks at it before all else.
 */
static void
note_password(const struct tell *t, int status)
{
	const struct conf_backend *c = &t->job.conf->controller[t->controller];

	if (!is_refusal(status)) {
		password_guard_accepted(backend_guard(t->asked));
		return;
	}
	password_guard_refused(backend_guard(t->asked), timer_now());
	log_msg(LOG_ERR, "controller %s %s (HTTP status %d): for %d s nothing is "
	    "learned there, for rspamd locks out who sends wrong ones; correct "
	    "%s and reload", backend_name(t->asked), status == 429 ?
	    "has seen too many wrong passwords from here" : c->password == NULL ?
	    "wants a password" : "refuses the password", status,
	    PASSWORD_GUARD_PAUSE, c->password_file != NULL ?
	    c->password_file : "password_file");
}

/* A controller has answered. */
static void
judge(struct tell *t, const char *name)
{
	const struct step *s = &t->steps[t->step];
	struct http_response *h = exchange_response(t->exchange);
	int status = http_response_status(h);
	const char *verb = rspamd_learn_name(s->what), *body;
	char error[120] = "", where[160];
	size_t len;

	body = http_response_body(h, &len);
	(void)verdict_error(body, len, error, sizeof(error));
	(void)snprintf(where, sizeof(where), " at %.150s", name);
	note_password(t, status);
	if (status == 200 && error[0] == '\0' && !verdict_success(body, len)) {
		/* something else answers there */
		count(t, FAILURE_UNREADABLE);
		give_up(t, FAILURE_UNREADABLE, name,
		    ": its answer is not that of rspamd's controller");
		return;
	}
	if (status == 200 && error[0] == '\0') {
		t->did_set |= s->set;
		t->did_remove |= s->remove;
		say(t, verb, where, "");
	} else if (is_known(status, error))
		say(t, verb, where, ": learned before");
	else if (status == 204)
		say(t, verb, where, ": its conditions for learning are not met");
	else {
		count(t, FAILURE_RSPAMD);
		say_refusal(t, status, error, name);
		return;
	}
	count(t, FAILURE_NONE);
	if (++t->controller == backends_count(t->job.controllers)) {
		t->controller = 0;
		t->step++;
	}
	next(t);
}

static void
on_exchange(struct exchange *x, void *arg)
{
	struct tell *t = arg;

	if (exchange_failure(x) != FAILURE_NONE) {
		count(t, exchange_failure(x));
		give_up(t, exchange_failure(x), exchange_reason(x), "");
		return;
	}
	judge(t, tell_backend(t));
}

/* Sends the request to the controller whose turn it is.  Returns 0, or -1
   without memory. */
static int
send_request(struct tell *t)
{
	struct rspamd_learn_request rq = { .deliver_to = t->job.deliver_to,
	    .flag = t->job.conf->fuzzy_flag, .weight = t->job.conf->fuzzy_weight,
	    .length = evbuffer_get_length(t->job.body) };
	struct backend *b = t->asked;
	struct text head;

	rq.what = t->steps[t->step].what;
	rq.host = backend_host(b);
	rq.password = backend_password(b);
	text_init(&head, RSPAMD_REQUEST_HEAD_MAX);
	if (rspamd_learn_head(&head, &rq) == 0)
		t->exchange = exchange_new(t->base, b, &t->job.conf->timeout,
		    &head, t->job.body, on_exchange, t);
	text_free(&head);
	if (t->exchange == NULL)
		return -1;
	t->counters = metrics_backend(t->job.metrics, t->job.slot,
	    metrics_find_backend(t->job.metrics,
	    t->job.conf->controller[t->controller].url, true));
	t->counters->now.active++;
	return 0;
}

/* The password was refused before, and SECONDS are left until it is tried. */
static void
say_guarded(struct tell *t, double seconds)
{
	char where[160], why[160];

	(void)snprintf(where, sizeof(where), "%.150s: ",
	    backend_name(t->asked));
	(void)snprintf(why, sizeof(why), "it has refused the password, which is "
	    "sent again in %.0f s, or after a reload", seconds);
	give_up(t, FAILURE_RSPAMD, where, why);
}

/* Asks the controller whose turn it is, if it may be sent the password. */
static void
on_again(evutil_socket_t fd, short what, void *arg)
{
	struct tell *t = arg;
	double now = timer_now(), left;

	(void)fd;
	(void)what;
	switch (password_guard_ask(backend_guard(t->asked), now, &left)) {
	case PASSWORD_GUARD_SEND:
		if (send_request(t) == -1)
			give_up(t, FAILURE_INTERNAL, "out of memory", "");
		return;
	case PASSWORD_GUARD_REFUSED:
		say_guarded(t, left);
		return;
	case PASSWORD_GUARD_WAIT:
		break;
	}
	if (t->waiting == 0)
		t->waiting = now;
	if (now - t->waiting < t->job.conf->timeout.wait)
		timer_arm(t->again, GUARD_AGAIN);
	else
		give_up(t, FAILURE_TIMEOUT, backend_name(t->asked), ": it has "
		    "not said yet whether the password is right");
}

/* The controller whose turn it is will be asked, from the event loop. */
static void
ask(struct tell *t)
{
	t->asked = backends_get(t->job.controllers, t->controller);
	t->waiting = 0;
	timer_arm(t->again, 0);
}

/* Takes the next step, if there is one. */
static void
next(struct tell *t)
{
	exchange_free(t->exchange);
	t->exchange = NULL;
	if (t->step == t->nsteps)
		finish(t, FAILURE_NONE);
	else
		ask(t);
}

struct tell *
tell_new(struct event_base *base, const struct tell_job *job, tell_cb *cb,
    void *arg)
{
	struct tell *t;

	if ((t = calloc(1, sizeof(*t))) == NULL)
		return NULL;
	t->base = base;
	t->job = *job;
	t->cb = cb;
	t->arg = arg;
	t->nsteps = plan(job->conf, job->request, t->steps);
	text_init(&t->reason, 200);
	t->again = event_new(base, -1, EV_TIMEOUT, on_again, t);
	if (t->again == NULL) {
		tell_free(t);
		return NULL;
	}
	ask(t);
	return t;
}

void
tell_free(struct tell *t)
{
	if (t == NULL)
		return;
	if (t->counters != NULL) {
		t->counters->now.active--;
		t->counters->cancelled++;
	}
	exchange_free(t->exchange);
	if (t->again != NULL)
		event_free(t->again);
	text_free(&t->reason);
	free(t);
}

enum failure
tell_failure(const struct tell *t)
{
	return t->failure;
}

const char *
tell_reason(const struct tell *t)
{
	return text_string(&t->reason);
}

unsigned int
tell_did_set(const struct tell *t)
{
	return t->did_set;
}

unsigned int
tell_did_remove(const struct tell *t)
{
	return t->did_remove;
}

const char *
tell_backend(const struct tell *t)
{
	return backend_name(t->asked);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>

#include "exchange.h"
#include "log.h"
#include "pool.h"
#include "room.h"
#include "rspamd_request.h"
#include "timer.h"

/* A rspamd that is down is asked after so many seconds, then ever later. */
#define RETRY_FIRST	0.25

struct member {
	struct pool	*pool;
	const struct conf_backend *conf;
	struct backend	*backend;
	struct breaker	 breaker;
	struct room	 room;
	struct attempts_signs signs;
	size_t		 active;	/* messages it has */
	struct event	*timer;		/* of the next ping */
	struct exchange	*ping;		/* the one under way, or NULL */
	double		 heard;		/* when it answered last */
	struct counters_backend *counters;
	char		 fault[200];	/* the last */
};

TAILQ_HEAD(waiters, pool_waiter);

struct pool {
	struct event_base *base;
	const struct conf *conf;
	struct breaker_rules rules;
	struct conf_timeouts ping_timeout;
	struct member	*list;
	size_t		 n;
	size_t		 turn;		/* who is first among equals */
	struct waiters	 waiters;
	size_t		 nwaiting;
	struct event	*wake;
};

/* Shows those who watch how M is. */
static void
publish(struct member *m)
{
	static const enum counters_circuit circuits[] = {
		[BREAKER_CLOSED] = COUNTERS_CLOSED,
		[BREAKER_HALF_OPEN] = COUNTERS_HALF_OPEN,
		[BREAKER_OPEN] = COUNTERS_OPEN
	};

	m->counters->now.active = m->active;
	m->counters->now.circuit = circuits[m->breaker.state];
	m->counters->now.weight = (uint64_t)(m->conf->weight * 1000.0 *
	    breaker_share(&m->breaker, &m->pool->rules, timer_now()));
}

/* Is M away or full, and mail waits, perhaps for it? */
static bool
is_awaited(const struct member *m)
{
	return m->pool->nwaiting > 0 && (m->breaker.state == BREAKER_OPEN ||
	    room_is_full(&m->room));
}

static void
arm(struct member *m)
{
	double t = m->breaker.state == BREAKER_OPEN ?
	    breaker_retry(&m->breaker) : m->pool->conf->health_interval;

	/* mail that waits is not to wait longer than for its return */
	timer_arm(m->timer, is_awaited(m) ? RETRY_FIRST : t);
}

/* M has just gone down. */
static void
say_down(struct member *m)
{
	log_msg(LOG_ERR, "rspamd at %s is down: %s; it is asked for a sign of "
	    "life every %g to %g s", backend_name(m->backend), m->fault,
	    RETRY_FIRST, m->pool->rules.retry_most);
}

static void
say_up(const struct member *m, double t)
{
	log_msg(LOG_NOTICE, "rspamd at %s is up again after %.1f s",
	    backend_name(m->backend), t - m->breaker.opened);
}

/* Those who wait may have a chance now; they hear of it from the event loop,
   not from within whatever told us. */
static void
wake_up(struct pool *p)
{
	if (p->nwaiting > 0)
		event_active(p->wake, EV_TIMEOUT, 0);
}

/* M has answered well, to a message or, for PING, to that. */
static void
went_well(struct member *m, bool ping)
{
	double t = timer_now();

	m->heard = t;
	m->signs.answers++;
	room_answered(&m->room);
	if (ping ? breaker_probed(&m->breaker, &m->pool->rules, true, t) :
	    breaker_success(&m->breaker, t)) {
		if (!ping)
			say_up(m, t);
		arm(m);
	}
	wake_up(m->pool);
}

/* M has not; SURE: nobody is there. */
static void
went_ill(struct member *m, bool ping, bool sure, const char *why)
{
	const struct breaker_rules *rules = &m->pool->rules;

	m->signs.absences += sure ? 1 : 0;
	(void)snprintf(m->fault, sizeof(m->fault), "%s", why);
	if (ping ? breaker_probed(&m->breaker, rules, false, timer_now()) :
	    breaker_failure(&m->breaker, rules, sure, timer_now()))
		say_down(m);
	if (ping || m->breaker.state == BREAKER_OPEN)
		arm(m);
	/* not that it helps; but who waits for it is to look elsewhere */
	wake_up(m->pool);
}

/*
 * M has refused a message or, for PING, that: it is full, which is no fault of
 * it.  One that for longer than mail waits does nothing else is no better than
 * one that is down.
 */
static void
went_full(struct member *m, bool ping, const char *why)
{
	const struct conf *conf = m->pool->conf;
	double t = timer_now();

	(void)snprintf(m->fault, sizeof(m->fault), "%s", why);
	if (room_refused(&m->room, t))
		log_msg(LOG_WARNING, "rspamd at %s takes no more: %s; mail "
		    "waits, or goes to another", backend_name(m->backend),
		    m->fault);
	if (m->breaker.state == BREAKER_OPEN ||
	    room_is_stuck(&m->room, conf->timeout.queue, t)) {
		went_ill(m, ping, false, why);
		return;
	}
	if (!ping)
		breaker_forget(&m->breaker);
	arm(m);
	/* who waits for it is to look elsewhere */
	wake_up(m->pool);
}

static void
on_ping(struct exchange *x, void *arg)
{
	struct member *m = arg;
	char why[sizeof(m->fault)];
	int status;

	status = exchange_failure(x) == FAILURE_NONE ?
	    http_response_status(exchange_response(x)) : 0;
	(void)snprintf(why, sizeof(why), "%s", exchange_reason(x));
	if (status != 0)
		(void)snprintf(why, sizeof(why), "%s: HTTP status %d to /ping",
		    backend_name(m->backend), status);
	m->ping = NULL;
	/* whoever answers can be asked: a proxy may not know this path */
	if (status != 0 && status < 500)
		went_well(m, true);
	else if (exchange_end(x) == EXCHANGE_REFUSED)
		went_full(m, true, why);
	else if (exchange_failure(x) != FAILURE_OVERLOAD) {
		m->signs.absences += exchange_end(x) == EXCHANGE_ABSENT ? 1 : 0;
		went_ill(m, true, false, why);
	}
	exchange_free(x);
	publish(m);
	arm(m);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct member *m = arg;
	struct text head;

	(void)fd;
	(void)what;
	/* one that serves mail has shown that it is there */
	if (m->ping != NULL || (m->breaker.state != BREAKER_OPEN &&
	    !is_awaited(m) && timer_now() - m->heard < m->pool->conf->health_interval)) {
		arm(m);
		return;
	}
	text_init(&head, RSPAMD_REQUEST_HEAD_MAX);
	if (rspamd_ping_head(&head, backend_host(m->backend)) == 0)
		m->ping = exchange_new(m->pool->base, m->backend,
		    &m->pool->ping_timeout, &head, NULL, on_ping, m);
	text_free(&head);
	if (m->ping == NULL)
		arm(m);
}

static bool
has_room(const struct member *m)
{
	return m->conf->max_requests == 0 || m->active < m->conf->max_requests;
}

/* The load that one message more would mean for M, for its weight. */
static double
load(const struct member *m, double t)
{
	return (double)(m->active + 1) / ((double)m->conf->weight *
	    breaker_share(&m->breaker, &m->pool->rules, t));
}

static bool
is_better(const struct member *a, const struct member *b, double t)
{
	if (b == NULL || a->conf->priority != b->conf->priority)
		return b == NULL || a->conf->priority < b->conf->priority;
	return load(a, t) < load(b, t);
}

/* The member to take, or NULL and why. */
static struct member *
choose(struct pool *p, const struct attempt *attempts, enum pool_lack *lack)
{
	struct member *m, *best = NULL;
	double t = timer_now();
	size_t i, k;

	*lack = POOL_DOWN;
	for (k = 0; k < p->n; k++) {
		i = (p->turn + k) % p->n;
		m = &p->list[i];
		if (m->breaker.state == BREAKER_OPEN)
			continue;
		if (attempts != NULL && attempts[i].tried) {
			if (*lack == POOL_DOWN)
				*lack = POOL_TRIED;
			continue;
		}
		if (!breaker_allows(&m->breaker)) {
			if (*lack != POOL_BUSY && *lack != POOL_FULL)
				*lack = POOL_TRYING;
			continue;
		}
		if (!room_allows(&m->room, t) || (attempts != NULL &&
		    !attempts_allow(&attempts[i], &m->signs))) {
			if (*lack != POOL_BUSY)
				*lack = POOL_FULL;
			continue;
		}
		*lack = POOL_BUSY;
		if (has_room(m) && is_better(m, best, t))
			best = m;
	}
	return best;
}

int
pool_take(struct pool *p, const struct attempt *attempts,
    enum pool_lack *lack)
{
	struct member *m;

	if ((m = choose(p, attempts, lack)) == NULL)
		return -1;
	p->turn = (size_t)(m - p->list) + 1;
	m->active++;
	breaker_begin(&m->breaker);
	room_begin(&m->room, timer_now());
	publish(m);
	return (int)(m - p->list);
}

void
pool_done(struct pool *p, size_t i, enum pool_result result, enum failure f,
    double seconds, const char *why)
{
	struct member *m = &p->list[i];

	m->active--;
	if (result == POOL_UNKNOWN && f == FAILURE_NONE)
		m->counters->cancelled++;
	else
		counters_exchange(m->counters, f, seconds);
	switch (result) {
	case POOL_WELL:
		went_well(m, false);
		break;
	case POOL_ILL:
	case POOL_ABSENT:
		went_ill(m, false, result == POOL_ABSENT, why);
		break;
	case POOL_REFUSED:
		went_full(m, false, why);
		break;
	case POOL_UNKNOWN:
		breaker_forget(&m->breaker);
		wake_up(p);
		break;
	}
	publish(m);
}

/* Those who came first are first, unless they want another rspamd than the
   one that there is. */
static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct pool *p = arg;
	struct pool_waiter *w, *next;
	enum pool_lack lack;

	(void)fd;
	(void)what;
	for (w = TAILQ_FIRST(&p->waiters); w != NULL &&
	    choose(p, NULL, &lack) != NULL; w = next) {
		/* its callback may end it, but no other */
		next = TAILQ_NEXT(w, entry);
		if (choose(p, w->attempts, &lack) == NULL)
			continue;
		pool_unwait(p, w);
		w->cb(w->arg);
	}
}

bool
pool_wait(struct pool *p, struct pool_waiter *w)
{
	size_t i;

	if (p->nwaiting >= p->conf->max_queue)
		return false;
	TAILQ_INSERT_TAIL(&p->waiters, w, entry);
	w->waiting = true;
	p->nwaiting++;
	/* the first that waits: those that are down or full are asked soon */
	for (i = 0; p->nwaiting == 1 && i < p->n; i++)
		if (is_awaited(&p->list[i]))
			arm(&p->list[i]);
	return true;
}

void
pool_unwait(struct pool *p, struct pool_waiter *w)
{
	if (!w->waiting)
		return;
	TAILQ_REMOVE(&p->waiters, w, entry);
	w->waiting = false;
	p->nwaiting--;
}

size_t
pool_waiting(const struct pool *p)
{
	return p->nwaiting;
}

bool
pool_calls(const struct pool *p)
{
	return p->nwaiting > 0 && event_pending(p->wake, EV_TIMEOUT, NULL);
}

size_t
pool_count(const struct pool *p)
{
	return p->n;
}

struct backend *
pool_backend(struct pool *p, size_t i)
{
	return p->list[i].backend;
}

struct attempts_signs
pool_signs(const struct pool *p, size_t i)
{
	return p->list[i].signs;
}

enum breaker_state
pool_state(const struct pool *p, size_t i)
{
	return p->list[i].breaker.state;
}

size_t
pool_active(const struct pool *p, size_t i)
{
	return p->list[i].active;
}

const char *
pool_fault(const struct pool *p, size_t i)
{
	return p->list[i].fault;
}

static bool
init(struct member *m, struct pool *p, struct backends *bs, size_t i,
    struct counters_backend *counters)
{
	m->pool = p;
	m->conf = &p->conf->backend[i];
	m->backend = backends_get(bs, i);
	m->counters = counters;
	breaker_init(&m->breaker);
	room_init(&m->room, p->conf->timeout.queue);
	publish(m);
	m->timer = event_new(p->base, -1, EV_TIMEOUT, on_timer, m);
	if (m->timer == NULL)
		return false;
	arm(m);
	return true;
}

struct pool *
pool_new(struct event_base *base, const struct conf *conf,
    struct backends *bs, struct metrics *metrics, size_t slot)
{
	struct pool *p;
	size_t i;

	if ((p = calloc(1, sizeof(*p))) == NULL)
		return NULL;
	p->base = base;
	p->conf = conf;
	p->turn = slot;
	p->rules.failures = conf->breaker_failures;
	p->rules.retry_first = RETRY_FIRST;
	p->rules.retry_most = conf->health_interval;
	p->rules.slow_start = conf->slow_start;
	/* a sign of life takes no longer than a connection */
	p->ping_timeout = conf->timeout;
	p->ping_timeout.wait = p->ping_timeout.receive = conf->timeout.connect;
	TAILQ_INIT(&p->waiters);
	p->wake = event_new(base, -1, EV_TIMEOUT, on_wake, p);
	p->list = calloc(backends_count(bs), sizeof(*p->list));
	if (p->wake == NULL || p->list == NULL) {
		pool_free(p);
		return NULL;
	}
	for (i = 0; i < backends_count(bs); i++) {
		p->n++;
		if (!init(&p->list[i], p, bs, i, metrics_backend(metrics, slot,
		    metrics_find_backend(metrics, conf->backend[i].url,
		    false)))) {
			pool_free(p);
			return NULL;
		}
	}
	return p;
}

void
pool_free(struct pool *p)
{
	size_t i;

	if (p == NULL)
		return;
	for (i = 0; i < p->n; i++) {
		exchange_free(p->list[i].ping);
		if (p->list[i].timer != NULL)
			event_free(p->list[i].timer);
	}
	if (p->wake != NULL)
		event_free(p->wake);
	free(p->list);
	free(p);
}

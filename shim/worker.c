/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/prctl.h>
#include <sys/socket.h>

#include <errno.h>
#ifdef __GLIBC__
#include <malloc.h>
#if __GLIBC_PREREQ(2, 33)
#define MALLOC_TELLS	/* mallinfo2() */
#endif
#endif
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <event2/event.h>

#include "backend.h"
#include "log.h"
#include "pool.h"
#include "privilege.h"
#include "session.h"
#include "timer.h"
#include "worker.h"

/* So many clients are accepted before others get their turn, and another
   worker its share: to look for a second costs as much as to have one. */
#define ACCEPT_BATCH	1
/* Accepting is tried again after so many microseconds when the limit of
   connections was reached, and when the system had no descriptor left. */
#define RETRY_LIMIT	50000
#define RETRY_SYSTEM	500000
/* Seconds from one sign of life to the next. */
#define HEARTBEAT	1
/* So many unused bytes are given back to the system. */
#define GIVE_BACK	(32U << 20)

struct worker {
	const struct conf *conf;
	struct listeners *ls;
	struct metrics	*metrics;
	struct event_base *base;
	struct session_env env;
	struct event	**accepting;	/* one for each listener */
	struct event	*retry;		/* when to accept again */
	struct event	*memory;	/* some of the budget is free */
	struct event	*sigterm;
	struct event	*deadline;	/* of stopping */
	struct event	*heartbeat;	/* signs of life for the supervisor */
	bool		 paused;	/* accepts nothing for now */
	bool		 at_limit;	/* that was logged */
	bool		 stopping;
};

/* What an accept event needs. */
struct accepter {
	struct worker	*w;
	size_t		 i;
};

static void
pause_accepting(struct worker *w, long usec)
{
	struct timeval tv = { usec / 1000000, usec % 1000000 };
	size_t i;

	w->paused = true;
	for (i = 0; i < listeners_count(w->ls); i++)
		(void)event_del(w->accepting[i]);
	(void)event_add(w->retry, &tv);
}

static void
resume_accepting(struct worker *w)
{
	size_t i;

	w->paused = false;
	for (i = 0; i < listeners_count(w->ls); i++)
		(void)event_add(w->accepting[i], NULL);
}

/* Is there a connection to spare?  Says so in the log when it turns. */
static bool
below_limit(struct worker *w)
{
	bool below = metrics_active(w->metrics) < w->conf->max_connections;

	if (!below && !w->at_limit)
		log_limited(LOG_WARNING, "", "max_connections = %llu is "
		    "reached: new clients wait", (unsigned long long)w->conf->max_connections);
	else if (below && w->at_limit)
		log_limited(LOG_NOTICE, "", "connections are below "
		    "max_connections again: clients are accepted");
	w->at_limit = !below;
	return below;
}

/*
 * Accepts clients of listener I, COUNT at most; all that wait, for COUNT 0.
 * Returns whether accepting may go on.
 */
static bool
accept_clients(struct worker *w, size_t i, unsigned int count)
{
	const struct conf_listen *l =
	    &w->conf->listen[listeners_section(w->ls, i)];
	struct sockaddr_storage ss;
	unsigned int n;
	socklen_t len;
	int fd;

	for (n = 0; count == 0 || n < count; n++) {
		if (!below_limit(w)) {
			if (!w->stopping)
				pause_accepting(w, RETRY_LIMIT);
			return false;
		}
		len = sizeof(ss);
		memset(&ss, 0, sizeof(ss));
		fd = accept4(listeners_fd(w->ls, i), (struct sockaddr *)&ss,
		    &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd != -1) {
			session_start(&w->env, l, fd, (struct sockaddr *)&ss,
			    len);
			continue;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return true;
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		log_limited(LOG_ERR, l->address, "%s: cannot accept: %s; "
		    "trying again in half a second", l->address,
		    strerror(errno));
		if (!w->stopping)
			pause_accepting(w, RETRY_SYSTEM);
		return false;
	}
	return true;
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct accepter *a = arg;

	(void)fd;
	(void)what;
	(void)accept_clients(a->w, a->i, ACCEPT_BATCH);
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	struct timeval tv = { 0, RETRY_LIMIT };

	(void)fd;
	(void)what;
	if (w->stopping)
		return;
	if (below_limit(w))
		resume_accepting(w);
	else
		(void)event_add(w->retry, &tv);
}

/* Those who wait for memory hear from the event loop that there is some, not
   from within the session that gave it back. */
static void
on_free_memory(void *arg)
{
	struct worker *w = arg;

	event_active(w->memory, EV_TIMEOUT, 0);
}

static void
on_memory(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd;
	(void)what;
	budget_serve(&w->env.budget);
}

static void
on_ended(void *arg)
{
	struct worker *w = arg;

	if (w->stopping && LIST_EMPTY(&w->env.sessions))
		(void)event_base_loopexit(w->base, NULL);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	size_t n;

	(void)fd;
	(void)what;
	n = sessions_abort(&w->env);
	log_msg(LOG_ERR, "timeout_stop = %g s is over: %zu requests were cut "
	    "off", w->conf->timeout.stop, n);
	(void)event_base_loopexit(w->base, NULL);
}

static void
on_sigterm(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	size_t i;

	(void)fd;
	(void)what;
	if (w->stopping)
		return;
	w->stopping = true;
	for (i = 0; i < listeners_count(w->ls); i++)
		(void)event_del(w->accepting[i]);
	/* those who connected already are clients like the others, unless
	   they can wait for who comes after us */
	for (i = 0; i < listeners_count(w->ls); i++)
		if (!listeners_kept(w->ls, i) && !accept_clients(w, i, 0))
			break;
	/* and those who come now are to hear it at once */
	listeners_stop(w->ls);
	sessions_hurry(&w->env);
	timer_arm(w->deadline, w->conf->timeout.stop);
	on_ended(w);
}

/*
 * Much has come and gone: what is free between pieces that are not goes back
 * to the system, unless it will soon be wanted again.
 */
static void
give_back_memory(const struct worker *w)
{
#ifdef MALLOC_TELLS
	size_t unused = mallinfo2().fordblks;

	if (unused >= GIVE_BACK && w->env.budget.used < unused / 4)
		(void)malloc_trim(0);
#else
	(void)w;
#endif
}

static void
on_heartbeat(evutil_socket_t fd, short what, void *arg)
{
	struct timeval tv = { HEARTBEAT, 0 };
	struct worker *w = arg;
	struct counters_now *shown = &metrics_counters(w->metrics,
	    w->env.slot)->now;

	(void)fd;
	(void)what;
	metrics_beat(w->metrics, w->env.slot);
	shown->held = w->env.budget.used;
	shown->queued = pool_waiting(w->env.pool);
	log_tick();
	give_back_memory(w);
	(void)event_add(w->heartbeat, &tv);
}

static void
ignore_signals(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	/* the terminal's ^C and hang-up are the supervisor's business */
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
}

/* The supervisor's signals were blocked until there is somebody for them. */
static void
unblock_signals(void)
{
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static bool
make_events(struct worker *w, struct accepter *accepters)
{
	struct timeval at_once = { 0, 0 };
	size_t i;

	w->retry = event_new(w->base, -1, EV_TIMEOUT, on_retry, w);
	w->memory = event_new(w->base, -1, EV_TIMEOUT, on_memory, w);
	w->deadline = event_new(w->base, -1, EV_TIMEOUT, on_deadline, w);
	w->sigterm = evsignal_new(w->base, SIGTERM, on_sigterm, w);
	w->heartbeat = event_new(w->base, -1, EV_TIMEOUT, on_heartbeat, w);
	if (w->retry == NULL || w->memory == NULL || w->deadline == NULL || w->sigterm == NULL ||
	    w->heartbeat == NULL || event_add(w->sigterm, NULL) == -1 ||
	    event_add(w->heartbeat, &at_once) == -1)
		return false;
	for (i = 0; i < listeners_count(w->ls); i++) {
		accepters[i].w = w;
		accepters[i].i = i;
		w->accepting[i] = event_new(w->base, listeners_fd(w->ls, i),
		    EV_READ | EV_PERSIST, on_accept, &accepters[i]);
		if (w->accepting[i] == NULL ||
		    event_add(w->accepting[i], NULL) == -1)
			return false;
	}
	return true;
}

static void
free_events(struct worker *w)
{
	size_t i;

	for (i = 0; w->accepting != NULL && i < listeners_count(w->ls); i++)
		if (w->accepting[i] != NULL)
			event_free(w->accepting[i]);
	if (w->retry != NULL)
		event_free(w->retry);
	if (w->memory != NULL)
		event_free(w->memory);
	if (w->deadline != NULL)
		event_free(w->deadline);
	if (w->sigterm != NULL)
		event_free(w->sigterm);
	if (w->heartbeat != NULL)
		event_free(w->heartbeat);
}

/*
 * The event loop.  Callbacks that make each other active must not keep it
 * from looking at other clients and at the clock for long.
 */
static struct event_base *
new_base(void)
{
	struct timeval most = { 0, 10000 };
	struct event_config *ec;
	struct event_base *base = NULL;

	if ((ec = event_config_new()) == NULL)
		return NULL;
	if (event_config_set_max_dispatch_interval(ec, &most, 16, 0) == 0 &&
	    event_config_set_flag(ec, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST) == 0)
		base = event_base_new_with_config(ec);
	event_config_free(ec);
	return base;
}

/*
 * A message of a megabyte comes and goes in large pieces: without this the
 * memory is given back to the system and taken again for each.
 */
static void
keep_memory(void)
{
#ifdef __GLIBC__
	(void)mallopt(M_MMAP_THRESHOLD, 4 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, 32 << 20);
#endif
}

int
worker_run(const struct conf *conf, struct listeners *ls, struct metrics *m,
    size_t i)
{
	struct worker w = { .conf = conf, .ls = ls, .metrics = m };
	struct accepter *accepters;
	int rc = EX_OSERR;
	pid_t supervisor = getppid();

	ignore_signals();
	keep_memory();
	log_open(conf->syslog);
	log_count(&metrics_counters(m, i)->log_lost,
	    &metrics_counters(m, i)->log_repeated);
	listeners_stop_status(ls);
	accepters = calloc(listeners_count(ls), sizeof(*accepters));
	w.accepting = calloc(listeners_count(ls), sizeof(struct event *));
	w.base = new_base();
	if (accepters == NULL || w.accepting == NULL || w.base == NULL) {
		log_msg(LOG_ERR, "a worker cannot start: out of memory");
		goto done;
	}
	w.env.base = w.base;
	w.env.conf = conf;
	w.env.metrics = m;
	w.env.slot = i;
	w.env.ended = on_ended;
	w.env.arg = &w;
	budget_init(&w.env.budget, conf->max_memory, on_free_memory, &w);
	LIST_INIT(&w.env.sessions);
	/* reads resolv.conf and hosts, which a chroot need not have */
	w.env.backends = backends_new(w.base, conf->backend, conf->nbackend);
	w.env.controllers = backends_new(w.base, conf->controller,
	    conf->ncontroller);
	/* workers begin with different ones */
	if (w.env.backends != NULL)
		w.env.pool = pool_new(w.base, conf, w.env.backends, m, i);
	w.env.clients = clients_new();
	if (w.env.pool == NULL || w.env.controllers == NULL ||
	    w.env.clients == NULL ||
	    privilege_drop(conf) == -1)
		goto done;
	/* without its supervisor nobody would stop it; not before setuid(),
	   which clears it */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != supervisor)
		goto done;
	if (!make_events(&w, accepters)) {
		log_msg(LOG_ERR, "out of memory");
		goto done;
	}
	unblock_signals();
	rc = event_base_dispatch(w.base) == -1 ? EX_OSERR : EX_OK;
	(void)sessions_abort(&w.env);
done:
	free_events(&w);
	clients_free(w.env.clients);
	pool_free(w.env.pool);
	backends_free(w.env.backends);
	backends_free(w.env.controllers);
	if (w.base != NULL)
		event_base_free(w.base);
	log_flush();
	free(w.accepting);
	free(accepters);
	return rc;
}

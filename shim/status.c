/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/prctl.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "access.h"
#include "log.h"
#include "page.h"
#include "privilege.h"
#include "status.h"
#include "stream.h"
#include "timer.h"

#define CLIENTS_MAX	32
/* A client has so many seconds for all: its request, and to take the page. */
#define DEADLINE	5.0
/* Accepting is tried again after so many, where no descriptor was left. */
#define RETRY		0.5

struct client {
	LIST_ENTRY(client) entry;
	struct status	*status;
	struct stream	*stream;
	struct event	*deadline;
	bool		 answered;
};

/* One socket that the page is served on. */
struct door {
	struct status	*status;
	const struct conf_listen *section;
	struct event	*accept;
};

struct status {
	struct event_base *base;
	struct listeners *ls;
	struct metrics	*metrics;
	struct event	*sigterm;
	struct event	*retry;
	LIST_HEAD(, client) clients;
	size_t		 nclients;
	bool		 paused;	/* nobody is accepted for now */
	bool		 stopping;	/* nor ever again */
	struct counters_snapshot snapshot;
	size_t		 ndoors;
	struct door	 doors[];
};

static void
pause_accepting(struct status *st)
{
	size_t i;

	st->paused = true;
	for (i = 0; i < st->ndoors; i++)
		(void)event_del(st->doors[i].accept);
}

static void
resume_accepting(struct status *st)
{
	size_t i;

	if (st->stopping)
		return;
	st->paused = false;
	for (i = 0; i < st->ndoors; i++)
		(void)event_add(st->doors[i].accept, NULL);
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	resume_accepting(arg);
}

/* The one end of a client. */
static void
end(struct client *c)
{
	struct status *st = c->status;

	LIST_REMOVE(c, entry);
	st->nclients--;
	stream_free(c->stream);
	if (c->deadline != NULL)
		event_free(c->deadline);
	free(c);
	if (st->paused && !evtimer_pending(st->retry, NULL))
		resume_accepting(st);
	if (st->stopping && st->nclients == 0)
		(void)event_base_loopexit(st->base, NULL);
}

static void
on_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	end(arg);
}

/* The page is with the kernel; the client closes, or its deadline strikes. */
static void
written(struct client *c)
{
	stream_shutdown(c->stream);
	if (stream_eof(c->stream))
		end(c);
}

static void
answer(struct client *c, const struct page_request *r)
{
	struct status *st = c->status;
	struct text t;
	int rc = -1;

	c->answered = true;
	metrics_snapshot(st->metrics, &st->snapshot);
	text_init(&t, SIZE_MAX / 2);
	page_respond(&t, r, &st->snapshot, PACKAGE_VERSION);
	if (!text_failed(&t) && evbuffer_add(stream_output(c->stream), t.buf,
	    t.len) == 0)
		rc = stream_flush(c->stream);
	text_free(&t);
	if (rc == 1)
		written(c);
	else if (rc == -1)
		end(c);
}

/* EOM: the client has half-closed. */
static void
take(struct client *c, bool eom)
{
	struct evbuffer *in = stream_input(c->stream);
	size_t len = evbuffer_get_length(in);
	struct page_request r;
	const char *p;

	if (c->answered)
		(void)evbuffer_drain(in, len);
	else if ((p = (const char *)evbuffer_pullup(in, -1)) != NULL &&
	    page_parse(&r, p, len))
		answer(c, &r);
	else if (eom)
		end(c);
}

static void
on_stream(struct stream *stream, enum stream_event ev, void *arg)
{
	struct client *c = arg;

	(void)stream;
	switch (ev) {
	case STREAM_READ:
		take(c, false);
		break;
	case STREAM_EOF:
		if (c->answered && evbuffer_get_length(
		    stream_output(c->stream)) == 0)
			end(c);
		else
			take(c, true);
		break;
	case STREAM_WRITTEN:
		written(c);
		break;
	case STREAM_GONE:
		end(c);
		break;
	case STREAM_CONNECTED:
		break;
	}
}

/* Serves the client on FD of FAMILY, which is owned from now on. */
static void
start(struct status *st, int fd, int family)
{
	struct client *c;

	if ((c = calloc(1, sizeof(*c))) == NULL) {
		(void)close(fd);
		return;
	}
	c->status = st;
	LIST_INSERT_HEAD(&st->clients, c, entry);
	st->nclients++;
	c->stream = stream_new(st->base, fd, family, on_stream, c);
	c->deadline = event_new(st->base, -1, EV_TIMEOUT, on_deadline, c);
	if (c->stream == NULL || c->deadline == NULL ||
	    stream_start(c->stream, false) == -1) {
		end(c);
		return;
	}
	timer_arm(c->deadline, DEADLINE);
}

static void
on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct door *d = arg;
	struct status *st = d->status;
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int client;

	(void)what;
	log_tick();
	memset(&ss, 0, sizeof(ss));
	client = accept4(fd, (struct sockaddr *)&ss, &len,
	    SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (client == -1) {
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		log_limited(LOG_ERR, d->section->address, "%s: cannot accept: "
		    "%s", d->section->address, strerror(errno));
		pause_accepting(st);
		timer_arm(st->retry, RETRY);
		return;
	}
	if (!access_allows(d->section->allow, d->section->nallow,
	    (struct sockaddr *)&ss)) {
		(void)close(client);
		return;
	}
	start(st, client, ss.ss_family);
	if (st->nclients >= CLIENTS_MAX)
		pause_accepting(st);
}

/* Another process has the page now: this one finishes what it has begun. */
static void
on_sigterm(evutil_socket_t fd, short what, void *arg)
{
	struct status *st = arg;

	(void)fd;
	(void)what;
	st->stopping = true;
	pause_accepting(st);
	listeners_stop_status(st->ls);
	if (st->nclients == 0)
		(void)event_base_loopexit(st->base, NULL);
}

static bool
make_events(struct status *st, const struct conf *conf,
    const struct listeners *ls)
{
	struct door *d;

	st->retry = event_new(st->base, -1, EV_TIMEOUT, on_retry, st);
	st->sigterm = evsignal_new(st->base, SIGTERM, on_sigterm, st);
	if (st->retry == NULL || st->sigterm == NULL ||
	    event_add(st->sigterm, NULL) == -1)
		return false;
	for (; st->ndoors < listeners_status_count(ls); st->ndoors++) {
		d = &st->doors[st->ndoors];
		d->status = st;
		d->section = &conf->status[listeners_status_section(ls,
		    st->ndoors)];
		d->accept = event_new(st->base, listeners_status_fd(ls,
		    st->ndoors), EV_READ | EV_PERSIST, on_accept, d);
		if (d->accept == NULL)
			return false;
	}
	resume_accepting(st);
	return true;
}

static void
free_status(struct status *st)
{
	size_t i;

	if (st == NULL)
		return;
	st->stopping = true;
	while (!LIST_EMPTY(&st->clients))
		end(LIST_FIRST(&st->clients));
	for (i = 0; i < st->ndoors; i++)
		event_free(st->doors[i].accept);
	if (st->retry != NULL)
		event_free(st->retry);
	if (st->sigterm != NULL)
		event_free(st->sigterm);
	if (st->base != NULL)
		event_base_free(st->base);
	free(st);
}

/* The supervisor's signals were blocked until there is somebody for them. */
static void
set_signals(void)
{
	sigset_t none;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

int
status_run(const struct conf *conf, struct listeners *ls, struct metrics *m)
{
	pid_t supervisor = getppid();
	struct status *st;
	int rc = EX_OSERR;

	log_open(conf->syslog);
	listeners_stop(ls);
	st = calloc(1, sizeof(*st) + listeners_status_count(ls) *
	    sizeof(st->doors[0]));
	if (st == NULL || (st->base = event_base_new()) == NULL) {
		log_msg(LOG_ERR, "status: out of memory");
		goto done;
	}
	st->ls = ls;
	st->metrics = m;
	LIST_INIT(&st->clients);
	if (privilege_drop(conf) == -1)
		goto done;
	/* without its supervisor nobody would stop it; not before setuid(),
	   which clears it */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != supervisor)
		goto done;
	if (!make_events(st, conf, ls)) {
		log_msg(LOG_ERR, "status: out of memory");
		goto done;
	}
	set_signals();
	rc = event_base_dispatch(st->base) == -1 ? EX_OSERR : EX_OK;
done:
	free_status(st);
	log_flush();
	return rc;
}

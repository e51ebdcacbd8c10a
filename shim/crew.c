/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crew.h"
#include "log.h"
#include "timer.h"
#include "worker.h"

/* Seconds.  A worker that lived shorter is replaced only after that. */
#define SHORT_LIFE	2
/* From one look to the next; one that came late counts as so much at most:
   after a standstill of the whole machine no worker is to blame. */
#define LOOK		0.9
#define LOOK_MOST	2.0
/* A worker's loop comes round each second; so long it may be late. */
#define LATE		4.0
/* From SIGABRT to SIGKILL. */
#define ABORT_GRACE	5

struct member {
	pid_t	 pid;		/* 0: free */
	bool	 old;		/* of an older generation */
	bool	 told;		/* it was told to finish */
	double	 started;	/* CLOCK_MONOTONIC */
	double	 aborted;	/* when it was; 0: it was not */
	uint64_t beats;		/* metrics' at the last look */
	double	 still;		/* seconds since they changed */
};

struct crew {
	struct metrics	*metrics;
	double		 looked;	/* when */
	double		 not_before;	/* when missing workers are started */
	struct member	 list[CREW_MOST];
};

struct crew *
crew_new(struct metrics *m)
{
	struct crew *c = calloc(1, sizeof(*c));

	if (c != NULL) {
		c->metrics = m;
		c->looked = timer_now();
	}
	return c;
}

void
crew_free(struct crew *c)
{
	free(c);
}

int
crew_size(const struct crew *c, bool all)
{
	int n = 0;
	size_t i;

	for (i = 0; i < CREW_MOST; i++)
		if (c->list[i].pid != 0 && (all || !c->list[i].old))
			n++;
	return n;
}

/* As crew_fill(), for one worker; *FAILED tells whether there is none. */
static bool
start(struct crew *c, const struct conf *conf, struct listeners *ls,
    int *exit_code, bool *failed)
{
	struct member *m;
	size_t i;

	*failed = true;
	for (i = 0; i < CREW_MOST && c->list[i].pid != 0; i++)
		continue;
	if (i == CREW_MOST) {
		log_msg(LOG_ERR, "cannot start a worker: too many are finishing");
		return false;
	}
	m = &c->list[i];
	memset(m, 0, sizeof(*m));
	if ((m->pid = fork()) == 0) {
		*exit_code = worker_run(conf, ls, c->metrics, i);
		return true;
	}
	*failed = m->pid == -1;
	if (*failed) {
		log_msg(LOG_ERR, "cannot start a worker: %s", strerror(errno));
		m->pid = 0;
		return false;
	}
	m->started = timer_now();
	metrics_worker(c->metrics, i, METRICS_SERVING);
	metrics_daemon(c->metrics)->workers_started++;
	return false;
}

bool
crew_fill(struct crew *c, const struct conf *conf, struct listeners *ls,
    int *exit_code)
{
	bool failed = false;

	if (timer_now() < c->not_before)
		return false;
	while (!failed && crew_size(c, false) < conf->workers)
		if (start(c, conf, ls, exit_code, &failed))
			return true;
	if (failed)
		c->not_before = timer_now() + SHORT_LIFE;
	return false;
}

void
crew_turn(struct crew *c)
{
	size_t i;

	for (i = 0; i < CREW_MOST; i++)
		c->list[i].old = true;
	c->not_before = 0;
}

/* Sends SIG to all, or to those of old generations that were not told. */
static void
tell(struct crew *c, bool all, int sig)
{
	struct member *m;
	size_t i;

	for (i = 0; i < CREW_MOST; i++) {
		m = &c->list[i];
		if (m->pid == 0 || (!all && (!m->old || m->told)))
			continue;
		m->told = true;
		metrics_worker(c->metrics, i, METRICS_FINISHING);
		(void)kill(m->pid, sig);
	}
}

void
crew_retire(struct crew *c)
{
	tell(c, false, SIGTERM);
}

void
crew_stop(struct crew *c)
{
	tell(c, true, SIGTERM);
}

void
crew_kill(struct crew *c)
{
	tell(c, true, SIGKILL);
}

bool
crew_serves(const struct crew *c, int n)
{
	size_t i;

	for (i = 0; i < CREW_MOST; i++)
		if (c->list[i].pid != 0 && !c->list[i].old &&
		    metrics_beats(c->metrics, i) > 0)
			n--;
	return n <= 0;
}

bool
crew_lives(const struct crew *c)
{
	size_t i;

	for (i = 0; i < CREW_MOST; i++)
		if (c->list[i].pid != 0 && c->list[i].still < LATE &&
		    metrics_beats(c->metrics, i) > 0)
			return true;
	return false;
}

/* Ends a worker that hangs, with a core file for whoever wants to know. */
static void
put_down(struct member *m)
{
	if (m->aborted != 0) {
		if (timer_now() - m->aborted > ABORT_GRACE)
			(void)kill(m->pid, SIGKILL);
		return;
	}
	log_msg(LOG_ERR, "worker %ld has done nothing for %.0f s "
	    "(timeout_worker): it is killed and replaced", (long)m->pid,
	    m->still);
	m->old = true;
	m->told = true;
	m->aborted = timer_now();
	(void)kill(m->pid, SIGABRT);
	/* one that was stopped does not die before */
	(void)kill(m->pid, SIGCONT);
}

void
crew_look(struct crew *c, double limit)
{
	double t = timer_now(), passed = t - c->looked;
	struct member *m;
	uint64_t beats;
	size_t i;

	if (passed < LOOK)
		return;
	c->looked = t;
	if (passed > LOOK_MOST)
		passed = LOOK_MOST;
	for (i = 0; i < CREW_MOST; i++) {
		m = &c->list[i];
		metrics_worker(c->metrics, i, m->pid == 0 ? METRICS_NONE :
		    m->told ? METRICS_FINISHING : METRICS_SERVING);
		if (m->pid == 0)
			continue;
		beats = metrics_beats(c->metrics, i);
		m->still = beats != m->beats ? 0 : m->still + passed;
		m->beats = beats;
		if (m->still > limit)
			put_down(m);
	}
}

static void
say_death(const struct member *m, int status)
{
	if (WIFSIGNALED(status))
		log_msg(LOG_ERR, "worker %ld died of signal %d (%s); its "
		    "requests are lost, the others go on", (long)m->pid,
		    WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) != 0)
		log_msg(LOG_ERR, "worker %ld exited with status %d",
		    (long)m->pid, WEXITSTATUS(status));
	else
		log_msg(LOG_NOTICE, "worker %ld has finished", (long)m->pid);
}

void
crew_ended(struct crew *c, pid_t pid, int status)
{
	struct member *m;
	size_t i;

	for (i = 0; i < CREW_MOST; i++) {
		m = &c->list[i];
		if (m->pid != pid)
			continue;
		say_death(m, status);
		metrics_worker(c->metrics, i, METRICS_NONE);
		m->pid = 0;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			return;
		metrics_daemon(c->metrics)->workers_died++;
		/* one that cannot run is not tried at once */
		if (timer_now() - m->started < SHORT_LIFE && !m->told)
			c->not_before = timer_now() + SHORT_LIFE;
		return;
	}
}

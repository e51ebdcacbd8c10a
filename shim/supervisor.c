/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/resource.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "listener.h"
#include "log.h"
#include "metrics.h"
#include "supervisor.h"
#include "worker.h"

/* Descriptors that are not clients' and not rspamd's. */
#define SPARE_DESCRIPTORS	300
/* Of the running generation and those that a reload lets finish. */
#define SLOTS		1024
/* A worker that lived shorter is replaced only after so many seconds. */
#define SHORT_LIFE	1
/* What workers may take beyond timeout_stop before they are killed. */
#define STOP_GRACE	5

struct slot {
	pid_t	 pid;		/* 0: free */
	bool	 old;		/* it was told to finish */
	time_t	 started;	/* CLOCK_MONOTONIC */
};

struct supervisor {
	const struct conf_args *args;
	struct conf	*conf;
	struct listeners *ls;
	struct metrics	*metrics;
	struct slot	 slots[SLOTS];
	sigset_t	 signals;
	bool		 stopping;
	bool		 is_worker;	/* this process is a worker */
	int		 worker_code;	/* and that is its exit code */
	time_t		 not_before;	/* when missing workers are started */
	char		*pid_file;	/* the one that was written, or NULL */
};

static time_t
now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

static void
say(const char *line)
{
	log_msg(LOG_ERR, "%s", line);
}

/* Workers of the generation that serves; those of any, too, for ALL. */
static int
running(const struct supervisor *sv, bool all)
{
	int n = 0;
	size_t i;

	for (i = 0; i < SLOTS; i++)
		if (sv->slots[i].pid != 0 && (all || !sv->slots[i].old))
			n++;
	return n;
}

/*
 * Starts one worker.  Returns 0 in the supervisor, 1 in the worker once it
 * is done, -1 on failure.
 */
static int
start_worker(struct supervisor *sv)
{
	size_t i;
	pid_t pid;

	for (i = 0; i < SLOTS && sv->slots[i].pid != 0; i++)
		continue;
	if (i == SLOTS) {
		log_msg(LOG_ERR, "cannot start a worker: too many are finishing");
		return -1;
	}
	if ((pid = fork()) == -1) {
		log_msg(LOG_ERR, "cannot start a worker: %s", strerror(errno));
		return -1;
	}
	if (pid == 0) {
		sv->is_worker = true;
		sv->worker_code = worker_run(sv->conf, sv->ls, sv->metrics, i);
		return 1;
	}
	sv->slots[i].pid = pid;
	sv->slots[i].old = false;
	sv->slots[i].started = now();
	metrics_worker(sv->metrics, i, METRICS_SERVING);
	metrics_daemon(sv->metrics)->workers_started++;
	return 0;
}

/* Starts the workers that are missing.  Returns as start_worker(). */
static int
start_missing(struct supervisor *sv)
{
	int rc = 0;

	while (rc == 0 && running(sv, false) < sv->conf->workers)
		rc = start_worker(sv);
	return rc;
}

/* Tells the workers to finish. */
static void
retire_all(struct supervisor *sv, int sig)
{
	size_t i;

	for (i = 0; i < SLOTS; i++)
		if (sv->slots[i].pid != 0) {
			sv->slots[i].old = true;
			metrics_worker(sv->metrics, i, METRICS_FINISHING);
			(void)kill(sv->slots[i].pid, sig);
		}
}

static void
announce(const struct conf *c, const char *what)
{
	size_t i;

	for (i = 0; i < c->nlisten; i++)
		log_msg(LOG_NOTICE, "%s: listening on %s", what,
		    c->listen[i].address);
	for (i = 0; i < c->nbackend; i++)
		log_msg(LOG_NOTICE, "%s: scanning with rspamd at %s", what,
		    c->backend[i].url);
	if (geteuid() == 0 && c->user != NULL)
		log_msg(LOG_NOTICE, "%s: workers run as user %s", what, c->user);
}

/* What is counted of the backends goes by their URLs. */
static void
name_backends(struct supervisor *sv)
{
	const struct conf *c = sv->conf;
	size_t i;

	metrics_forget_backends(sv->metrics);
	for (i = 0; i < c->nbackend; i++)
		metrics_add_backend(sv->metrics, c->backend[i].url, false);
	for (i = 0; i < c->ncontroller; i++)
		metrics_add_backend(sv->metrics, c->controller[i].url, true);
}

/*
 * Each client needs a descriptor, and another for its rspamd: allows as many
 * as the system lets us.
 */
static void
raise_descriptors(const struct conf *c)
{
	struct rlimit r;
	rlim_t need = (rlim_t)c->max_connections * 2 + SPARE_DESCRIPTORS;

	if (getrlimit(RLIMIT_NOFILE, &r) == -1 || r.rlim_cur >= need)
		return;
	r.rlim_cur = need < r.rlim_max ? need : r.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &r) == -1 || r.rlim_cur < need)
		log_msg(LOG_WARNING, "max_connections = %llu needs %llu file "
		    "descriptors, %llu are allowed: fewer clients are served "
		    "at a time; raise the limit (ulimit -n, LimitNOFILE)",
		    (unsigned long long)c->max_connections,
		    (unsigned long long)need, (unsigned long long)r.rlim_cur);
}

/* SIGHUP: a new configuration, or the old one if that is bad. */
static int
reload(struct supervisor *sv)
{
	struct listeners *ls = NULL;
	struct conf *conf;
	int code;

	if ((conf = conf_load(sv->args, say)) == NULL ||
	    (ls = listeners_open(conf, sv->ls, &code)) == NULL) {
		conf_free(conf);
		metrics_daemon(sv->metrics)->reloads_failed++;
		log_msg(LOG_ERR, "SIGHUP: the configuration was not changed, "
		    "the running one stays");
		return 0;
	}
	/* the old workers serve with what they inherited */
	conf_free(sv->conf);
	sv->conf = conf;
	sv->ls = ls;
	log_open(conf->syslog);
	raise_descriptors(conf);
	announce(conf, "reloaded");
	metrics_daemon(sv->metrics)->reloads++;
	name_backends(sv);
	retire_all(sv, SIGTERM);
	return start_missing(sv);
}

static void
say_death(const struct supervisor *sv, pid_t pid, int status)
{
	if (WIFSIGNALED(status))
		log_msg(LOG_ERR, "worker %ld died of signal %d (%s); its "
		    "requests are lost, the others go on", (long)pid,
		    WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status) != 0)
		log_msg(LOG_ERR, "worker %ld exited with status %d", (long)pid,
		    WEXITSTATUS(status));
	else if (!sv->stopping)
		log_msg(LOG_NOTICE, "worker %ld has finished", (long)pid);
}

/* Collects workers that have ended. */
static void
reap(struct supervisor *sv)
{
	int status;
	pid_t pid;
	size_t i;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (i = 0; i < SLOTS; i++)
			if (sv->slots[i].pid == pid) {
				say_death(sv, pid, status);
				if (!WIFEXITED(status) ||
				    WEXITSTATUS(status) != 0)
					metrics_daemon(sv->metrics)->
					    workers_died++;
				metrics_worker(sv->metrics, i, METRICS_NONE);
				/* one that cannot run is not tried at once */
				if (now() - sv->slots[i].started <= SHORT_LIFE)
					sv->not_before = now() + SHORT_LIFE + 1;
				sv->slots[i].pid = 0;
			}
}

static void
stop(struct supervisor *sv)
{
	if (sv->stopping)
		return;
	sv->stopping = true;
	metrics_daemon(sv->metrics)->stopping = 1;
	log_msg(LOG_NOTICE, "stopping: finishing what is running");
	retire_all(sv, SIGTERM);
	listeners_stop(sv->ls);
}

/*
 * Waits for signals and does what they ask for, until all workers have
 * ended after a stop().  Returns 1 in a worker process, else 0.
 */
static int
watch(struct supervisor *sv)
{
	struct timespec second = { 1, 0 };
	time_t killing = 0;
	int sig, rc = 0;

	while (rc != 1 && !(sv->stopping && running(sv, true) == 0)) {
		sig = sigtimedwait(&sv->signals, NULL, &second);
		if (sig == SIGTERM || sig == SIGINT)
			stop(sv);
		else if (sig == SIGHUP && !sv->stopping)
			rc = reload(sv) == 1 ? 1 : 0;
		else if (sig == SIGCHLD)
			reap(sv);
		if (rc == 0 && !sv->stopping && now() >= sv->not_before)
			rc = start_missing(sv) == 1 ? 1 : 0;
		if (sv->stopping && killing == 0)
			killing = now() + (time_t)sv->conf->timeout.stop +
			    STOP_GRACE;
		if (sv->stopping && now() > killing)
			retire_all(sv, SIGKILL);
	}
	return rc;
}

static void
write_pid_file(const char *path)
{
	char pid[32];
	int fd, n;

	n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
	    0644);
	if (fd == -1 || write(fd, pid, (size_t)n) != n)
		log_msg(LOG_WARNING, "%s: cannot write the process id: %s",
		    path, strerror(errno));
	if (fd != -1)
		(void)close(fd);
}

static void
say_counts(const struct supervisor *sv)
{
	struct counters_snapshot *s;
	const struct counters *c;

	if ((s = malloc(sizeof(*s))) == NULL)
		return;
	metrics_snapshot(sv->metrics, s);
	c = &s->sum;
	log_msg(LOG_NOTICE, "stopped: connections=%llu verdicts=%llu "
	    "unscanned=%llu errors=%llu clients_gone=%llu other=%llu",
	    (unsigned long long)c->accepted,
	    (unsigned long long)counters_ended(c, COUNTERS_VERDICT),
	    (unsigned long long)counters_ended(c, COUNTERS_UNSCANNED),
	    (unsigned long long)counters_ended(c, COUNTERS_ERROR),
	    (unsigned long long)counters_ended(c, COUNTERS_GONE),
	    (unsigned long long)counters_ended(c, COUNTERS_OK));
	free(s);
}

/* Signals are waited for: none of them interrupts. */
static void
block_signals(struct supervisor *sv)
{
	(void)sigemptyset(&sv->signals);
	(void)sigaddset(&sv->signals, SIGTERM);
	(void)sigaddset(&sv->signals, SIGINT);
	(void)sigaddset(&sv->signals, SIGHUP);
	(void)sigaddset(&sv->signals, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &sv->signals, NULL);
}

/*
 * Goes into the background; the working directory stays, so that relative
 * names mean the same at a reload.  Returns 0, or -1 after a line in the log.
 */
static int
detach(void)
{
	if (daemon(1, 0) == 0)
		return 0;
	log_msg(LOG_ERR, "cannot go into the background: %s", strerror(errno));
	return -1;
}

int
supervisor_run(const struct conf_args *args, struct conf *conf)
{
	struct supervisor *sv;
	int code = EX_OSERR;

	if ((sv = calloc(1, sizeof(*sv))) == NULL ||
	    (sv->metrics = metrics_new(SLOTS)) == NULL) {
		log_msg(LOG_ERR, "out of memory");
		conf_free(conf);
		free(sv);
		return EX_OSERR;
	}
	sv->args = args;
	sv->conf = conf;
	/* whoever reads our stderr may go; no signal is to find us unprepared */
	(void)signal(SIGPIPE, SIG_IGN);
	block_signals(sv);
	if ((sv->ls = listeners_open(conf, NULL, &code)) == NULL)
		goto done;
	if (conf->daemon && detach() == -1) {
		code = EX_OSERR;
		goto done;
	}
	log_open(conf->syslog);
	if (conf->pid_file != NULL &&
	    (sv->pid_file = strdup(conf->pid_file)) != NULL)
		write_pid_file(sv->pid_file);
	raise_descriptors(conf);
	announce(conf, PACKAGE_VERSION);
	metrics_daemon(sv->metrics)->started = (uint64_t)time(NULL);
	name_backends(sv);
	code = EX_OK;
	if (start_missing(sv) != 1 && watch(sv) != 1) {
		say_counts(sv);
		if (sv->pid_file != NULL)
			(void)unlink(sv->pid_file);
	}
	if (sv->is_worker) {
		code = sv->worker_code;
		listeners_forget(sv->ls);
	} else
		listeners_close(sv->ls);
done:
	conf_free(sv->conf);
	free(sv->pid_file);
	free(sv);
	return code;
}

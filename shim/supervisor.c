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

#include "crew.h"
#include "daemonize.h"
#include "keeper.h"
#include "listener.h"
#include "log.h"
#include "metrics.h"
#include "privilege.h"
#include "supervisor.h"
#include "systemd.h"
#include "timer.h"

/* Descriptors that are not clients' and not rspamd's. */
#define SPARE_DESCRIPTORS	300
/* Seconds that workers may take beyond timeout_stop before they are killed. */
#define STOP_GRACE	5
/* Seconds from one look at everything to the next, and while workers start. */
#define LOOK		1.0
#define LOOK_STARTING	0.02
/* Seconds between two lines of status for systemd. */
#define STATUS_EVERY	10

struct supervisor {
	const struct conf_args *args;
	struct conf	*conf;
	struct listeners *ls;
	struct metrics	*metrics;
	struct crew	*crew;
	struct keeper	 keeper;
	sigset_t	 signals;
	const char	*turning;	/* new workers do not all serve yet: what
					   the log says when they do; or NULL */
	bool		 stopping;
	bool		 is_worker;	/* this process is a worker */
	int		 worker_code;	/* and that is its exit code */
	double		 killing;	/* when workers that do not stop are killed */
	double		 next_watchdog;	/* when systemd is told */
	double		 next_status;
	char		 status[512];	/* what it was told */
	char		*pid_file;	/* the one that was written, or NULL */
};

static void
say(const char *line)
{
	log_msg(LOG_ERR, "%s", line);
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
	for (i = 0; i < c->nstatus; i++)
		log_msg(LOG_NOTICE, "%s: page of status on %s", what,
		    c->status[i].address);
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

/* The line that systemctl shows: what is going on, and where. */
static void
tell_status(struct supervisor *sv)
{
	struct counters_snapshot *m;
	char line[sizeof(sv->status)];
	int workers = crew_size(sv->crew, false);
	size_t i, n;

	sv->next_status = timer_now() + STATUS_EVERY;
	if ((m = malloc(sizeof(*m))) == NULL)
		return;
	metrics_snapshot(sv->metrics, m);
	n = (size_t)snprintf(line, sizeof(line), "%d worker%s, %llu clients now; "
	    "%llu verdicts, %llu unscanned, %llu errors; listening on",
	    workers, workers == 1 ? "" : "s",
	    (unsigned long long)m->sum.now.connections,
	    (unsigned long long)counters_ended(&m->sum, COUNTERS_VERDICT),
	    (unsigned long long)counters_ended(&m->sum, COUNTERS_UNSCANNED),
	    (unsigned long long)counters_ended(&m->sum, COUNTERS_ERROR));
	free(m);
	for (i = 0; i < sv->conf->nlisten && n < sizeof(line); i++)
		n += (size_t)snprintf(line + n, sizeof(line) - n, "%s %s",
		    i > 0 ? "," : "", sv->conf->listen[i].address);
	if (strcmp(line, sv->status) == 0)
		return;
	memcpy(sv->status, line, sizeof(line));
	systemd_notify("STATUS=%s", line);
}

/* Workers of the running configuration are to be started. */
static void
begin(struct supervisor *sv, const char *what)
{
	log_open(sv->conf->syslog);
	raise_descriptors(sv->conf);
	name_backends(sv);
	crew_turn(sv->crew);
	keeper_turn(&sv->keeper);
	sv->turning = what;
}

/* They all serve: those of before may go. */
static void
begun(struct supervisor *sv)
{
	announce(sv->conf, sv->turning);
	sv->turning = NULL;
	crew_retire(sv->crew);
	tell_status(sv);
	systemd_notify("READY=1");
}

/* SIGHUP: a new configuration, or the old one if that is bad. */
static void
reload(struct supervisor *sv)
{
	struct listeners *ls = NULL;
	struct conf *conf;
	int code;

	systemd_notify("RELOADING=1\nMONOTONIC_USEC=%.0f", timer_now() * 1e6);
	if ((conf = conf_load(sv->args, say)) == NULL ||
	    privilege_check(conf) != EX_OK ||
	    (ls = listeners_open(conf, sv->ls, &code)) == NULL) {
		conf_free(conf);
		metrics_daemon(sv->metrics)->reloads_failed++;
		log_msg(LOG_ERR, "SIGHUP: the configuration was not changed, "
		    "the running one stays");
		systemd_notify("READY=1");
		return;
	}
	/* the old workers serve with what they inherited */
	conf_free(sv->conf);
	sv->conf = conf;
	sv->ls = ls;
	metrics_daemon(sv->metrics)->reloads++;
	begin(sv, "reloaded");
}

static void
stop(struct supervisor *sv)
{
	double patience = sv->conf->timeout.stop + STOP_GRACE;

	if (sv->stopping)
		return;
	sv->stopping = true;
	sv->turning = NULL;
	sv->killing = timer_now() + patience;
	metrics_daemon(sv->metrics)->stopping = 1;
	log_msg(LOG_NOTICE, "stopping: finishing what is running");
	/* whatever the unit's TimeoutStopSec is */
	systemd_notify("STOPPING=1\nSTATUS=finishing %llu connections\n"
	    "EXTEND_TIMEOUT_USEC=%.0f",
	    (unsigned long long)metrics_active(sv->metrics),
	    (patience + STOP_GRACE) * 1e6);
	crew_stop(sv->crew);
	listeners_stop(sv->ls);
}

/* Tells systemd that all is well, at half of the time it waits for that. */
static void
feed_watchdog(struct supervisor *sv)
{
	if (systemd_watchdog() <= 0 || timer_now() < sv->next_watchdog ||
	    !crew_lives(sv->crew))
		return;
	systemd_notify("WATCHDOG=1");
	sv->next_watchdog = timer_now() + systemd_watchdog() / 2;
}

/* What is to be done from time to time.  Returns whether this process is a
   worker that is done. */
static bool
look_around(struct supervisor *sv)
{
	crew_look(sv->crew, sv->conf->timeout.worker);
	if (sv->stopping && timer_now() > sv->killing)
		crew_kill(sv->crew);
	if (!sv->stopping)
		sv->is_worker = crew_fill(sv->crew, sv->conf, sv->ls,
		    &sv->worker_code);
	if (sv->is_worker || (sv->is_worker = keeper_fill(&sv->keeper,
	    sv->conf, sv->ls, sv->metrics, &sv->worker_code)))
		return true;
	if (sv->turning != NULL && crew_serves(sv->crew, sv->conf->workers))
		begun(sv);
	if (!sv->stopping && sv->turning == NULL && timer_now() >= sv->next_status)
		tell_status(sv);
	feed_watchdog(sv);
	return false;
}

/* Waits for a signal, not longer than to the next look. */
static int
next_signal(const struct supervisor *sv)
{
	double t = sv->turning != NULL ? LOOK_STARTING : LOOK;
	double half = systemd_watchdog() / 2;
	struct timespec ts;

	if (half > 0 && half < t)
		t = half;
	ts.tv_sec = (time_t)t;
	ts.tv_nsec = (long)((t - (double)ts.tv_sec) * 1e9);
	return sigtimedwait(&sv->signals, NULL, &ts);
}

/* Collects children that have ended. */
static void
reap(struct supervisor *sv)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (!keeper_ended(&sv->keeper, pid, status))
			crew_ended(sv->crew, pid, status);
}

/*
 * Waits for signals and does what they ask for, until all workers have
 * ended after a stop(), or this process is a worker that is done.
 */
static void
watch(struct supervisor *sv)
{
	while (!look_around(sv) &&
	    !(sv->stopping && crew_size(sv->crew, true) == 0)) {
		switch (next_signal(sv)) {
		case SIGTERM:
		case SIGINT:
			stop(sv);
			break;
		case SIGHUP:
			if (!sv->stopping)
				reload(sv);
			break;
		case SIGCHLD:
			reap(sv);
			break;
		}
	}
}

/* Returns 0, or -1 after a line in the log. */
static int
write_pid_file(const char *path, int priority)
{
	char pid[32];
	int fd, n;
	bool ok;

	n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
	    0644);
	ok = fd != -1 && write(fd, pid, (size_t)n) == n;
	if (!ok)
		log_msg(priority, "%s: cannot write the process id: %s",
		    path, strerror(errno));
	if (fd != -1)
		(void)close(fd);
	return ok ? 0 : -1;
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
 * Whoever has started us waits until all that can fail is done: by the file he
 * finds us, so that there is no background without it.  Returns an exit code.
 */
static int
go_to_background(struct supervisor *sv)
{
	int fd = daemonize_start();

	if (fd == -1)
		return EX_OSERR;
	if (sv->pid_file != NULL && write_pid_file(sv->pid_file, LOG_ERR) == -1)
		return EX_CANTCREAT;
	if (daemonize_done(fd) == 0)
		return EX_OK;
	if (sv->pid_file != NULL)
		(void)unlink(sv->pid_file);
	return EX_OSERR;
}

/* Opens what root must open.  Returns an exit code. */
static int
set_up(struct supervisor *sv)
{
	struct conf *c = sv->conf;
	int code = privilege_check(c);

	if (code != EX_OK || (sv->ls = listeners_open(c, NULL, &code)) == NULL)
		return code;
	/* a reload may name another */
	if (c->pid_file != NULL)
		sv->pid_file = strdup(c->pid_file);
	if (c->daemon && (code = go_to_background(sv)) != EX_OK) {
		listeners_close(sv->ls);
		return code;
	}
	log_open(c->syslog);
	/* in the foreground its starter knows the process, and mail goes first */
	if (!c->daemon && sv->pid_file != NULL)
		(void)write_pid_file(sv->pid_file, LOG_WARNING);
	return EX_OK;
}

/* Runs until it is over.  Returns an exit code. */
static int
serve(struct supervisor *sv)
{
	metrics_daemon(sv->metrics)->started = (uint64_t)time(NULL);
	begin(sv, PACKAGE_VERSION);
	watch(sv);
	if (sv->is_worker) {
		listeners_forget(sv->ls);
		return sv->worker_code;
	}
	keeper_stop(&sv->keeper);
	say_counts(sv);
	if (sv->pid_file != NULL)
		(void)unlink(sv->pid_file);
	listeners_close(sv->ls);
	return EX_OK;
}

int
supervisor_run(const struct conf_args *args, struct conf *conf)
{
	struct supervisor *sv;
	int code = EX_OSERR;

	if ((sv = calloc(1, sizeof(*sv))) == NULL ||
	    (sv->metrics = metrics_new(CREW_MOST)) == NULL ||
	    (sv->crew = crew_new(sv->metrics)) == NULL) {
		log_msg(LOG_ERR, "out of memory");
		conf_free(conf);
		free(sv);
		return EX_OSERR;
	}
	sv->args = args;
	sv->conf = conf;
	/* whoever reads our stderr may go, its file may reach its limit; no
	   signal is to find us unprepared */
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	/* ignored by who started us, the ends of workers would not be told */
	(void)signal(SIGCHLD, SIG_DFL);
	block_signals(sv);
	systemd_init();
	if ((code = set_up(sv)) == EX_OK)
		code = serve(sv);
	conf_free(sv->conf);
	crew_free(sv->crew);
	metrics_free(sv->metrics);
	free(sv->pid_file);
	free(sv);
	return code;
}

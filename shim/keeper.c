/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/wait.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "keeper.h"
#include "log.h"
#include "status.h"
#include "timer.h"

/* Seconds until one that died is replaced. */
#define PATIENCE	2

bool
keeper_fill(struct keeper *k, const struct conf *conf, struct listeners *ls,
    struct metrics *m, int *exit_code)
{
	if (k->pid != 0 || listeners_status_count(ls) == 0 ||
	    timer_now() < k->not_before)
		return false;
	if ((k->pid = fork()) == 0) {
		*exit_code = status_run(conf, ls, m);
		return true;
	}
	if (k->pid == -1) {
		log_msg(LOG_ERR, "cannot start the page of status: %s",
		    strerror(errno));
		k->pid = 0;
		k->not_before = timer_now() + PATIENCE;
	}
	return false;
}

void
keeper_turn(struct keeper *k)
{
	if (k->pid != 0)
		(void)kill(k->pid, SIGTERM);
	k->pid = 0;
	k->not_before = 0;
}

bool
keeper_ended(struct keeper *k, pid_t pid, int status)
{
	if (pid != k->pid)
		return false;
	k->pid = 0;
	k->not_before = timer_now() + PATIENCE;
	if (WIFSIGNALED(status))
		log_msg(LOG_ERR, "the page of status died of signal %d (%s); "
		    "mail is not touched by it", WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	else
		log_msg(LOG_ERR, "the page of status exited with status %d; "
		    "mail is not touched by it", WEXITSTATUS(status));
	return true;
}

void
keeper_stop(struct keeper *k)
{
	if (k->pid == 0)
		return;
	(void)kill(k->pid, SIGKILL);
	(void)waitpid(k->pid, NULL, 0);
	k->pid = 0;
}

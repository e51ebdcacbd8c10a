/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * keeper: keeps the process of the page running, where there is a page.
 */
#ifndef KEEPER_H_
#define KEEPER_H_

#include <sys/types.h>

#include <stdbool.h>

#include "conf.h"
#include "listener.h"
#include "metrics.h"

/* All zero: there is no process yet.  Owned by the supervisor. */
struct keeper {
	pid_t	pid;		/* 0: none */
	double	not_before;	/* when one is started, CLOCK_MONOTONIC */
};

/*
 * Starts the process where LS has sockets for it and it does not run; one
 * that died is started again after some seconds.  Returns true in the
 * process itself, once it is done: *EXIT_CODE is its own then.
 */
bool	keeper_fill(struct keeper *k, const struct conf *conf,
	    struct listeners *ls, struct metrics *m, int *exit_code);

/* There are new sockets: the process ends, and keeper_fill() starts another. */
void	keeper_turn(struct keeper *k);

/* The child PID has ended with STATUS.  Returns whether it was this one. */
bool	keeper_ended(struct keeper *k, pid_t pid, int status);

/* Ends it at once: the daemon has stopped. */
void	keeper_stop(struct keeper *k);

#endif

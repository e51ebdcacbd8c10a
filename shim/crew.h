/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * crew: the worker processes: started, watched, told to finish, replaced.
 *
 * Those of one configuration are a generation; the workers of older ones
 * serve on until crew_retire(), and end when their clients have their
 * replies.
 */
#ifndef CREW_H_
#define CREW_H_

#include <sys/types.h>

#include <stdbool.h>

#include "conf.h"
#include "listener.h"
#include "metrics.h"

/* The most worker processes, those that are finishing included. */
#define CREW_MOST	1024

struct crew;

/* Without workers yet; they count in the CREW_MOST slots of M.  NULL without
   memory. */
struct crew *crew_new(struct metrics *m);

/* Frees C; its processes are not touched. */
void	crew_free(struct crew *c);

/*
 * Starts the workers that the generation lacks, unless the last one died so
 * soon after its start that the next has to wait.  Returns true in a worker
 * process, once it has done its work: *EXIT_CODE is its own then.
 */
bool	crew_fill(struct crew *c, const struct conf *conf, struct listeners *ls,
	    int *exit_code);

/* A new generation begins: crew_fill() starts all of it. */
void	crew_turn(struct crew *c);

/* Tells those of older generations to finish. */
void	crew_retire(struct crew *c);

/* Tells all to finish, or ends them at once. */
void	crew_stop(struct crew *c);
void	crew_kill(struct crew *c);

/* How many are there, of this generation or of all? */
int	crew_size(const struct crew *c, bool all);

/* Does each of the N workers of this generation accept clients? */
bool	crew_serves(const struct crew *c, int n);

/* Has any worker shown a sign of life in the last seconds? */
bool	crew_lives(const struct crew *c);

/*
 * To be called about once a second: a worker whose event loop has not come
 * round for LIMIT seconds is killed, and counts as of an older generation.
 */
void	crew_look(struct crew *c, double limit);

/* If the child PID, which has ended with STATUS, is one of C: says so in the
   log and forgets it. */
void	crew_ended(struct crew *c, pid_t pid, int status);

#endif

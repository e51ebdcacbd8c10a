/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * worker: a process that accepts clients and serves them in one event loop.
 */
#ifndef WORKER_H_
#define WORKER_H_

#include "conf.h"
#include "listener.h"
#include "metrics.h"

/*
 * Runs worker number I in this process until SIGTERM: then it takes what
 * waits to be accepted, finishes it, and returns.  Returns an exit code.
 * All arguments belong to the caller and must stay.
 */
int	worker_run(const struct conf *conf, struct listeners *ls,
	    struct metrics *m, size_t i);

#endif

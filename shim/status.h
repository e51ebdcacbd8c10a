/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * status: the process that serves the page for those who watch.
 *
 * It has the workers' rights, and nothing but the page's sockets and the
 * shared memory of the counters: what goes wrong in it does not touch mail,
 * and it answers when no worker does.  At most 32 clients are served at a
 * time, others wait; each for 5 seconds at most.
 */
#ifndef STATUS_H_
#define STATUS_H_

#include "conf.h"
#include "listener.h"
#include "metrics.h"

/*
 * Serves the page in this process until SIGTERM: then it finishes the clients
 * that it has and returns.  Returns an exit code.  All arguments belong to
 * the caller and must stay; LS's other sockets are closed here.
 */
int	status_run(const struct conf *conf, struct listeners *ls,
	    struct metrics *m);

#endif

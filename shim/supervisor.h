/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * supervisor: owns what needs privilege or must outlive a worker, and keeps
 * the workers running.
 */
#ifndef SUPERVISOR_H_
#define SUPERVISOR_H_

#include "conf.h"

/*
 * Runs the daemon that ARGS ask for, whose configuration CONF is (owned by
 * the supervisor from now on), until SIGTERM or SIGINT.  SIGHUP reads the
 * configuration again.  Returns an exit code of sysexits; the worker
 * processes return through here too.
 */
int	supervisor_run(const struct conf_args *args, struct conf *conf);

#endif

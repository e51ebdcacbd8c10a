/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * probe: tells an administrator what is wrong, without a running daemon.
 */
#ifndef PROBE_H_
#define PROBE_H_

#include <stdio.h>

#include "conf.h"

/*
 * Asks every backend, controller, listener and status page of CONF and writes what it
 * finds to OUT, a line for each finding and one for all.  Returns an exit
 * code of sysexits: the first of these that is true.
 *
 *	EX_UNAVAILABLE	a backend cannot scan, a controller does not answer, or
 *			the daemon, where it runs, says that it cannot scan
 *	EX_NOPERM	a controller refuses to learn for us
 *	EX_CONFIG	an address belongs to another server than it should, or
 *			a certificate of ours has expired
 *	EX_OK
 */
int	probe_run(const struct conf *conf, FILE *out);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * probe_listen: who answers at an address of ours?
 */
#ifndef PROBE_LISTEN_H_
#define PROBE_LISTEN_H_

#include "conf.h"
#include "probe_report.h"

/*
 * Asks who listens at the address of L, and says it.  Returns false if that
 * is somebody else, or if L cannot serve clients as it is configured.  That
 * nobody listens is no fault: the daemon may not run.
 */
bool	probe_listen_check(struct probe_report *r, const struct conf *conf,
	    const struct conf_listen *l);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * probe_listen: who answers at an address of ours?
 */
#ifndef PROBE_LISTEN_H_
#define PROBE_LISTEN_H_

#include "conf.h"
#include "probe_report.h"

enum probe_listen {
	PROBE_LISTEN_GOOD,	/* or nobody: the daemon may not run */
	PROBE_LISTEN_STRANGER,	/* another server has the address, or clients
				   cannot be served there */
	PROBE_LISTEN_SICK	/* the daemon says that it cannot scan */
};

/* Asks who listens at the address of L, says it, and returns the worst. */
enum probe_listen probe_listen_check(struct probe_report *r,
	    const struct conf *conf, const struct conf_listen *l);

/* The same of L, an address of the page for those who watch. */
enum probe_listen probe_listen_check_page(struct probe_report *r,
	    const struct conf *conf, const struct conf_listen *l);

#endif

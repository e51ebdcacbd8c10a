/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * probe_controller: would a controller of the configuration let us learn?
 */
#ifndef PROBE_CONTROLLER_H_
#define PROBE_CONTROLLER_H_

#include "conf.h"
#include "probe_name.h"
#include "probe_report.h"

enum probe_controller {
	PROBE_CONTROLLER_GOOD,
	PROBE_CONTROLLER_REFUSES,	/* the password */
	PROBE_CONTROLLER_AWAY,		/* it does not answer */
	PROBE_CONTROLLER_OTHER		/* this is no controller */
};

/*
 * Asks the controller B, on each of its addresses NM, for /ping, and to learn a
 * message without a byte, which it must refuse: whether it refuses that, or
 * the password, tells the rest, and nothing is learned.  Says what comes of
 * it, and returns the worst.
 */
enum probe_controller probe_controller_check(struct probe_report *r,
	    const struct conf *conf, const struct conf_backend *b,
	    const struct probe_name *nm);

#endif

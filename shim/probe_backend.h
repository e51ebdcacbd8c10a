/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * probe_backend: can a rspamd of the configuration scan mail?
 */
#ifndef PROBE_BACKEND_H_
#define PROBE_BACKEND_H_

#include "conf.h"
#include "probe_name.h"
#include "probe_report.h"

/*
 * Asks B, on each of its addresses NM, for /ping and for a verdict on a mail of
 * our own, and says what comes of it.  Returns whether B scans what the
 * daemon gives it.
 */
bool	probe_backend_check(struct probe_report *r, const struct conf *conf,
	    const struct conf_backend *b, const struct probe_name *nm);

#endif

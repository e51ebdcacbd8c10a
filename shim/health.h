/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * health: can mail be scanned now?  For people, load balancers, programs.
 */
#ifndef HEALTH_H_
#define HEALTH_H_

#include "counters.h"
#include "text.h"

/*
 * NULL if a worker serves and at least one rspamd can take mail; else why
 * not, a short English text.
 */
const char *health_fault(const struct counters_snapshot *s);

/*
 * Appends the state of all.  As text the first line is "ok", or
 * "unavailable: " and the fault.
 */
void	health_text(struct text *t, const struct counters_snapshot *s);
void	health_json(struct text *t, const struct counters_snapshot *s);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * metrics_text: counters as Prometheus reads them, its text format 0.0.4.
 *
 * Names and labels are a promise to those who have built dashboards of them:
 * they are added to, not changed.
 */
#ifndef METRICS_TEXT_H_
#define METRICS_TEXT_H_

#include "counters.h"
#include "text.h"

/* All backends, each with its results and its histogram, need less. */
#define METRICS_TEXT_MAX	(4 * 1024 * 1024)

/* The Content-Type that goes with it. */
#define METRICS_TEXT_TYPE	"text/plain; version=0.0.4; charset=utf-8"

/* Appends S; VERSION is the program's. */
void	metrics_text(struct text *t, const struct counters_snapshot *s,
	    const char *version);

#endif

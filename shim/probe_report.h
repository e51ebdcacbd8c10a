/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * probe_report: the lines that --probe writes, one finding each, and their
 * count.
 */
#ifndef PROBE_REPORT_H_
#define PROBE_REPORT_H_

#include <stdio.h>

enum probe_level {
	PROBE_OK,
	PROBE_NOTE,		/* nothing is wrong, but it should be known */
	PROBE_WARNING,		/* mail is scanned, but not as it should be */
	PROBE_PROBLEM
};

/* Nothing in it is owned. */
struct probe_report {
	FILE		*out;
	int		 width;		/* of the column of addresses */
	unsigned int	 count[PROBE_PROBLEM + 1];
};

/* Where a finding belongs. */
struct probe_place {
	struct probe_report *report;
	const char	*role;		/* "backend" */
	const char	*where;		/* its address or URL */
};

/*
 * Writes a finding of the step STEP ("connect") of PL, cleaned of control
 * characters.  A problem's text names the next step.
 */
void	probe_report_say(const struct probe_place *pl, enum probe_level level,
	    const char *step, const char *fmt, ...)
	    __attribute__((format(printf, 4, 5)));

/* The last line: how many of what. */
void	probe_report_summary(const struct probe_report *r);

#endif

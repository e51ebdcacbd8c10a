/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <stdarg.h>
#include <string.h>

#include "probe_report.h"
#include "text.h"

static const char *const words[] = { "ok", "note", "warning", "PROBLEM" };

void
probe_report_say(const struct probe_place *pl, enum probe_level level,
    const char *step, const char *fmt, ...)
{
	struct probe_report *r = pl->report;
	char finding[1024];
	struct text t;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(finding, sizeof(finding), fmt, ap);
	va_end(ap);
	/* it quotes what servers said, whoever they are */
	text_init(&t, 2 * sizeof(finding));
	(void)text_clean(&t, finding, strlen(finding), t.max);
	r->count[level]++;
	(void)fprintf(r->out, "%-8s %-10s %-*s  %-11s %s\n", words[level],
	    pl->role, r->width, pl->where, step, text_string(&t));
	text_free(&t);
	/* the next step may take a minute */
	(void)fflush(r->out);
}

static const char *
plural(unsigned int n)
{
	return n == 1 ? "" : "s";
}

void
probe_report_summary(const struct probe_report *r)
{
	unsigned int p = r->count[PROBE_PROBLEM], w = r->count[PROBE_WARNING];

	if (p == 0 && w == 0)
		(void)fputs("all is well\n", r->out);
	else
		(void)fprintf(r->out, "%u problem%s, %u warning%s\n", p,
		    plural(p), w, plural(w));
}

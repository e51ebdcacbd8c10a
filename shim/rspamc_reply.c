/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "decimal.h"
#include "report.h"
#include "rspamc_reply.h"

int
rspamc_reply(struct text *out, const struct outcome *o,
    const struct verdict *v)
{
	if (o->kind == OUTCOME_FAILED) {
		/* Exim's condition defers on any status but "0 EX_OK" */
		text_printf(out, "RSPAMD/1.3 75 EX_TEMPFAIL %s: %s\r\n",
		    failure_name(o->failure), o->reason);
		return text_failed(out) ? -1 : 0;
	}
	/* the semicolon belongs to Exim's %7s: no space before it */
	text_puts(out, "RSPAMD/1.3 0 EX_OK\r\nMetric: default; ");
	text_puts(out, o->spam ? "True; " : "False; ");
	decimal_put(out, outcome_shown(o->score, 2), 0, 2);
	text_puts(out, " / ");
	decimal_put(out, outcome_shown(o->required, 2), 0, 2);
	text_puts(out, " / 0.0\r\n");
	report_write(out, o, v, REPORT_RSPAMC);
	return text_failed(out) ? -1 : 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <inttypes.h>

#include "decimal.h"
#include "report.h"
#include "spamd_reply.h"

/* "Spam: True ; 7.0 / 6.0": the spaces are what spamc's scanf() wants. */
static void
spam_line(struct text *out, const struct spamd_request *r,
    const struct outcome *o)
{
	if (r->command == SPAMD_REPORT_IFSPAM)
		text_puts(out, o->spam ? "Spam: Yes ; " : "Spam: No ; ");
	else
		text_puts(out, o->spam ? "Spam: True ; " : "Spam: False ; ");
	decimal_put(out, outcome_shown(o->score, 1), 0, 1);
	text_puts(out, " / ");
	decimal_put(out, outcome_shown(o->threshold, 1), 0, 1);
	text_puts(out, "\r\n");
}

/* spamd's error line; nothing may follow it, or spamc -L sees success. */
static void
error_line(struct text *out, const struct outcome *o)
{
	int code = failure_code(o->failure);

	switch (o->failure) {
	case FAILURE_REQUEST:
		text_printf(out, "SPAMD/1.0 %d Bad header line: (%s)\r\n", code,
		    o->reason);
		break;
	case FAILURE_TIMEOUT:
		text_printf(out, "SPAMD/1.0 %d Timeout: (%s)\r\n", code,
		    o->reason);
		break;
	case FAILURE_EMPTY:
		text_printf(out, "SPAMD/1.0 %d EX_DATAERR: %s\r\n", code,
		    o->reason);
		break;
	case FAILURE_RSPAMD:
	case FAILURE_UNREADABLE:
		text_printf(out, "SPAMD/1.0 %d EX_TEMPFAIL: %s\r\n", code,
		    o->reason);
		break;
	case FAILURE_INTERNAL:
		text_printf(out, "SPAMD/1.0 %d EX_OSERR: %s\r\n", code,
		    o->reason);
		break;
	default:
		text_printf(out, "SPAMD/1.0 %d Service Unavailable: %s\r\n",
		    code, o->reason);
		break;
	}
}

static void
body(struct text *out, const struct spamd_request *r, const struct outcome *o,
    const struct verdict *v)
{
	if (r->command == SPAMD_SYMBOLS) {
		report_symbol_names(out, o, v, REPORT_MAX);
		if (r->version < 103)
			text_puts(out, "\r\n");
	} else if (r->command == SPAMD_REPORT ||
	    (r->command == SPAMD_REPORT_IFSPAM && o->spam))
		report_write(out, o, v, r->version < 103 ? REPORT_SPAMC :
		    REPORT_SPAMC_LF);
}

int
spamd_reply(struct text *out, const struct spamd_request *r,
    const struct outcome *o, const struct verdict *v)
{
	struct text b;

	if (r->command == SPAMD_PING && o->kind != OUTCOME_FAILED) {
		text_puts(out, "SPAMD/1.5 0 PONG\r\n");
		return text_failed(out) ? -1 : 0;
	}
	if (o->kind == OUTCOME_FAILED) {
		error_line(out, o);
		return text_failed(out) ? -1 : 0;
	}
	text_init(&b, SPAMD_REPLY_MAX);
	body(&b, r, o, v);
	text_puts(out, "SPAMD/1.1 0 EX_OK\r\n");
	/* Exim, which says 1.2, cannot parse a Content-length here */
	if (r->version >= 103 && r->command != SPAMD_CHECK)
		text_printf(out, "Content-length: %zu\r\n", b.len);
	spam_line(out, r, o);
	text_puts(out, "\r\n");
	text_put(out, text_string(&b), b.len);
	if (text_failed(&b))
		out->failed = true;
	text_free(&b);
	return text_failed(out) ? -1 : 0;
}

int
spamd_reply_message(struct text *out, const struct spamd_request *r,
    const struct outcome *o, uint64_t length)
{
	/* up to 1.1 the message follows the status line, without a blank one */
	text_puts(out, r->version < 102 ? "SPAMD/1.0 0 EX_OK\r\n" :
	    "SPAMD/1.1 0 EX_OK\r\n");
	if (r->version >= 102)
		text_printf(out, "Content-length: %" PRIu64 "\r\n", length);
	if (r->version >= 103)
		spam_line(out, r, o);
	if (r->version >= 102)
		text_puts(out, "\r\n");
	return text_failed(out) ? -1 : 0;
}

static void
did(struct text *out, const char *what, unsigned int places)
{
	if (places != 0)
		text_printf(out, "%s: %s%s%s\r\n", what,
		    (places & SPAMD_LOCAL) != 0 ? "local" : "",
		    places == (SPAMD_LOCAL | SPAMD_REMOTE) ? "," : "",
		    (places & SPAMD_REMOTE) != 0 ? "remote" : "");
}

int
spamd_reply_tell(struct text *out, unsigned int did_set,
    unsigned int did_remove)
{
	text_puts(out, "SPAMD/1.1 0 EX_OK\r\n");
	did(out, "DidSet", did_set);
	did(out, "DidRemove", did_remove);
	text_puts(out, "\r\n\r\n");
	return text_failed(out) ? -1 : 0;
}

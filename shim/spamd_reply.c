#include "config.h"

#include "report.h"
#include "spamd_reply.h"

/* X without the sign of a zero: "-0.0" is no score. */
static void
put_score(struct text *out, double x)
{
	text_printf(out, "%.1f", x > -0.05 && x < 0.05 ? 0.0 : x);
}

/* "Spam: True ; 7.0 / 6.0": the spaces are what spamc's scanf() wants. */
static void
spam_line(struct text *out, const struct spamd_request *r,
    const struct outcome *o)
{
	if (r->command == SPAMD_REPORT_IFSPAM)
		text_puts(out, o->spam ? "Spam: Yes ; " : "Spam: No ; ");
	else
		text_puts(out, o->spam ? "Spam: True ; " : "Spam: False ; ");
	put_score(out, o->score);
	text_puts(out, " / ");
	put_score(out, o->threshold);
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
		report_write(out, o, v, REPORT_SPAMC);
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

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decimal.h"
#include "report.h"

/* The end line and the Message-ID have room kept for them. */
#define END_MAX			256
#define MESSAGE_ID_MAX		300
#define MESSAGE_MAX		400	/* of one Message: text */
#define DESCRIPTION_MAX		300
#define NAME_MAX_		128	/* of a symbol */
#define NAME_WIDTH		22	/* its column in the table */
/* Milter operations may take this much, the rest is the symbols'. */
#define MILTER_MAX		8192

static const char table_head[] =
	" pts rule name              description\r\n"
	"---- ---------------------- ----------------------------------------"
	"----------\r\n";

/* The report as it grows, and what did not fit. */
struct report {
	struct text	*out;
	size_t		 start;		/* where the report begins in OUT */
	size_t		 limit;		/* it may grow to this many bytes */
	bool		 broken;	/* what must be there had no room */
	bool		 subject_left;
	bool		 id_left;
	size_t		 messages_left;
	size_t		 milter_left;
	size_t		 symbols_left;
};

/* One symbol, of a verdict or the shim's own. */
static const struct verdict_symbol *
symbol(const struct outcome *o, const struct verdict *v, size_t i,
    struct verdict_symbol *own)
{
	if (v != NULL)
		return i < v->nsymbols ? &v->symbols[i] : NULL;
	if (o->kind != OUTCOME_PASS || i > 0)
		return NULL;
	memset(own, 0, sizeof(*own));
	own->name = OUTCOME_UNSCANNED;
	own->description = o->reason;
	return own;
}

/*
 * Where the next line begins.  Lines can be taken back, and the writer's
 * failure with them; one from before this line is for good.
 */
static size_t
begin_line(struct report *r)
{
	if (text_failed(r->out))
		r->broken = true;
	return r->out->len;
}

/*
 * Ends the line begun at byte AT of the writer.  A line that is too long for
 * a line or for the report is taken back: returns whether it stands.
 */
static bool
end_line(struct report *r, size_t at)
{
	struct text *t = r->out;

	if (!text_failed(t) && t->len - at <= REPORT_LINE_MAX &&
	    t->len - r->start + 2 <= r->limit) {
		text_puts(t, "\r\n");
		if (!text_failed(t))
			return true;
	}
	text_rewind(t, at);
	return false;
}

/* A line "NAME: VALUE" whose value must be there as a whole. */
static bool
whole_line(struct report *r, const char *name, const char *value)
{
	size_t at = begin_line(r);

	text_puts(r->out, name);
	text_puts(r->out, ": ");
	text_clean(r->out, value, strlen(value), REPORT_LINE_MAX + 1);
	return end_line(r, at);
}

/* Appends S, cleaned; of one longer than MAX the start and "...". */
static void
shortened(struct text *t, const char *s, size_t max)
{
	if (!text_clean(t, s, strlen(s), max))
		text_puts(t, "...");
}

static void
messages(struct report *r, const struct verdict *v)
{
	size_t i, at;

	for (i = 0; i < v->nmessages; i++) {
		at = begin_line(r);
		text_puts(r->out, "Message: ");
		shortened(r->out, v->messages[i], MESSAGE_MAX);
		if (!end_line(r, at))
			break;
	}
	r->messages_left = v->messages_seen - i;
}

/*
 * What milters are to do in place of the action.  The line is the first of
 * theirs, where there is always room: to lose it would be a rejection of what
 * was to be kept.
 */
static void
milter_reject(struct report *r, const struct verdict *v)
{
	static const char *const words[] = { "discard", "quarantine" };
	size_t i, at;

	for (i = 0; i < 2; i++)
		if (v->reject != NULL && strcmp(v->reject, words[i]) == 0) {
			at = begin_line(r);
			text_printf(r->out, "X-Milter-Reject: %s", words[i]);
			if (!end_line(r, at))
				r->broken = true;
		}
}

static void
milter(struct report *r, const struct verdict *v)
{
	const struct verdict_milter *m;
	size_t i, at, limit = r->limit, kept = 0;

	if (r->out->len - r->start + MILTER_MAX < r->limit)
		r->limit = r->out->len - r->start + MILTER_MAX;
	for (i = 0; i < v->nmilter; i++) {
		m = &v->milter[i];
		at = begin_line(r);
		text_puts(r->out, m->value != NULL ? "X-Milter-Add: " :
		    "X-Milter-Del: ");
		text_puts(r->out, m->name);
		if (m->value != NULL ? m->index > 0 : m->index != 0)
			text_printf(r->out, "[%d]", m->index);
		if (m->value != NULL) {
			text_puts(r->out, ": ");
			text_clean(r->out, m->value, strlen(m->value),
			    REPORT_LINE_MAX + 1);
		}
		if (end_line(r, at))
			kept++;
	}
	r->milter_left = v->milter_seen - kept;
	r->limit = limit;
}

/* "[opt1, opt2]"; options that the line has no room for become "...". */
static void
options(struct text *t, const struct verdict_symbol *s, size_t line)
{
	size_t i, at, room;

	/* nor may taking back an option hide that the line has failed */
	if (s->noptions == 0 || text_failed(t))
		return;
	text_puts(t, " [");
	for (i = 0; i < s->noptions; i++) {
		at = t->len;
		if (i > 0)
			text_puts(t, ", ");
		room = REPORT_LINE_MAX - sizeof(", ...]");
		if (t->len - line >= room || !text_clean(t, s->options[i],
		    strlen(s->options[i]), room - (t->len - line))) {
			text_rewind(t, at);
			break;
		}
	}
	if (i < s->noptions || s->options_seen > s->noptions)
		text_puts(t, i > 0 ? ", ..." : "...");
	text_puts(t, "]");
}

static bool
rspamc_symbol(struct report *r, const struct verdict_symbol *s, bool extended)
{
	size_t at = begin_line(r);

	text_puts(r->out, extended ? "X-Symbol: " : "Symbol: ");
	shortened(r->out, s->name, NAME_MAX_);
	text_puts(r->out, "(");
	decimal_put(r->out, outcome_shown(s->score, 2), 0, 2);
	text_puts(r->out, ")");
	if (extended && s->description != NULL) {
		text_puts(r->out, "; ");
		shortened(r->out, s->description, DESCRIPTION_MAX);
	}
	if (extended)
		options(r->out, s, at);
	return end_line(r, at);
}

static bool
spamc_symbol(struct report *r, const struct verdict_symbol *s)
{
	size_t at = begin_line(r), name;

	decimal_put(r->out, outcome_shown(s->score, 1), 4, 1);
	text_puts(r->out, " ");
	name = r->out->len;
	shortened(r->out, s->name, NAME_MAX_);
	while (r->out->len - name < NAME_WIDTH && !text_failed(r->out))
		text_puts(r->out, " ");
	text_puts(r->out, " ");
	if (s->description != NULL)
		shortened(r->out, s->description, DESCRIPTION_MAX);
	options(r->out, s, at);
	while (r->out->len > at && r->out->buf[r->out->len - 1] == ' ')
		text_rewind(r->out, r->out->len - 1);
	return end_line(r, at);
}

/*
 * Symbols of RSPAMC come twice: a plain line each for the programs that
 * know rspamd 3, then the extended ones.  How many fit is found out first,
 * so that both lists have the same symbols.
 */
static void
rspamc_symbols(struct report *r, const struct outcome *o,
    const struct verdict *v)
{
	const struct verdict_symbol *s;
	struct verdict_symbol own;
	size_t i, n, start = r->out->len;

	for (n = 0; (s = symbol(o, v, n, &own)) != NULL; n++)
		if (!rspamc_symbol(r, s, false) || !rspamc_symbol(r, s, true))
			break;
	text_rewind(r->out, start);
	for (i = 0; i < n; i++)
		(void)rspamc_symbol(r, symbol(o, v, i, &own), false);
	for (i = 0; i < n; i++)
		(void)rspamc_symbol(r, symbol(o, v, i, &own), true);
	r->symbols_left = v != NULL ? v->symbols_seen - n : 0;
}

static void
spamc_symbols(struct report *r, const struct outcome *o,
    const struct verdict *v)
{
	const struct verdict_symbol *s;
	struct verdict_symbol own;
	size_t n;

	text_puts(r->out, table_head);
	for (n = 0; (s = symbol(o, v, n, &own)) != NULL; n++)
		if (!spamc_symbol(r, s))
			break;
	r->symbols_left = v != NULL ? v->symbols_seen - n : 0;
}

static void
left_out(struct text *t, const char **comma, size_t n, size_t of,
    const char *what)
{
	if (n == 0)
		return;
	text_printf(t, "%s%zu of %zu %s", *comma, n, of, what);
	*comma = ", ";
}

static void
end(struct report *r, const struct verdict *v)
{
	const char *comma = "cut, ";
	struct text *t = r->out;

	text_puts(t, REPORT_END);
	if (v != NULL) {
		left_out(t, &comma, r->subject_left ? 1 : 0, 1, "subject");
		left_out(t, &comma, r->messages_left, v->messages_seen,
		    "messages");
		left_out(t, &comma, r->milter_left, v->milter_seen,
		    "milter lines");
		left_out(t, &comma, r->symbols_left, v->symbols_seen,
		    "symbols");
		left_out(t, &comma, r->id_left ? 1 : 0, 1, "message-id");
	}
	text_puts(t, comma[0] == ',' ? " left out\r\n" : "complete\r\n");
}

/*
 * Puts the bytes from TABLE to TAIL behind those that follow them, and takes
 * off each CR from AT on: there is none but those of line ends.
 */
static void
as_spamd_writes(struct text *t, size_t at, size_t table, size_t tail)
{
	size_t i, n = at, len = tail - table;
	char *moved;

	if (text_failed(t) || (moved = malloc(len)) == NULL) {
		t->failed = true;
		return;
	}
	memcpy(moved, t->buf + table, len);
	memmove(t->buf + table, t->buf + tail, t->len - tail);
	memcpy(t->buf + t->len - len, moved, len);
	free(moved);
	for (i = at; i < t->len; i++)
		if (t->buf[i] != '\r')
			t->buf[n++] = t->buf[i];
	text_rewind(t, n);
}

void
report_write(struct text *out, const struct outcome *o,
    const struct verdict *v, enum report_layout layout)
{
	struct report r = { .out = out, .start = out->len };
	size_t table = layout != REPORT_RSPAMC ? sizeof(table_head) - 1 : 0;
	size_t table_at, tail_at;

	r.limit = REPORT_MAX - END_MAX - MESSAGE_ID_MAX - table;
	(void)begin_line(&r);
	text_puts(out, "Action: ");
	shortened(out, o->action, REPORT_LINE_MAX / 2);
	text_puts(out, "\r\n");
	if (v != NULL) {
		r.subject_left = v->subject != NULL &&
		    !whole_line(&r, "Subject", v->subject);
		messages(&r, v);
		milter_reject(&r, v);
		milter(&r, v);
	}
	r.limit += table;
	table_at = out->len;
	if (layout == REPORT_RSPAMC)
		rspamc_symbols(&r, o, v);
	else
		spamc_symbols(&r, o, v);
	tail_at = out->len;
	r.limit = REPORT_MAX - END_MAX;
	if (v != NULL && v->message_id != NULL)
		r.id_left = strlen(v->message_id) > MESSAGE_ID_MAX -
		    sizeof("Message-ID: \r\n") ||
		    !whole_line(&r, "Message-ID", v->message_id);
	(void)begin_line(&r);
	end(&r, v);
	if (r.broken)
		out->failed = true;
	if (layout == REPORT_SPAMC_LF)
		as_spamd_writes(out, r.start, table_at, tail_at);
}

void
report_symbol_names(struct text *out, const struct outcome *o,
    const struct verdict *v, size_t max)
{
	const struct verdict_symbol *s;
	struct verdict_symbol own;
	size_t i, at, start = out->len;

	for (i = 0; (s = symbol(o, v, i, &own)) != NULL; i++) {
		at = out->len;
		if (i > 0)
			text_puts(out, ",");
		shortened(out, s->name, NAME_MAX_);
		if (out->len - start > max) {
			text_rewind(out, at);
			return;
		}
	}
}

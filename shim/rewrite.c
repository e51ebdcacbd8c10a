/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "removal.h"
#include "report.h"
#include "rewrite.h"
#include "text.h"

/* Of all that is added. */
#define ADDED_MAX	262144
/* SpamAssassin folds at about this column. */
#define FOLD_COLUMN	77
/* Stars of X-Spam-Level: SpamAssassin's limit, and rspamc's. */
#define STARS_MAX	50
#define RSPAMC_STARS	32
/* A line of mail, without its end (RFC 5322, 2.1.1). */
#define MAIL_LINE_MAX	998
/* Bytes of JSON in X-Spam-Result: with a third more of them in base64, and the
   line ends, it stays below the 100 KB that Postfix lets a head have. */
#define RESULT_MAX	49152
/* They stand 45 on a line, as 60 characters. */
#define RESULT_LINE	45

struct head {
	const char	*buf;
	size_t		 len;
	const char	*eol;
	size_t		 from_end;	/* behind an mbox From_ line, else 0 */
	size_t		 n;		/* fields, up to the first line that is
					   none */
	size_t		 fields_end;	/* behind the last of these */
};

/* What is being written. */
struct writer {
	struct head	 head;
	struct removal	 removal;
	const struct verdict *verdict;
	rewrite_put	*put;
	void		*arg;
	const char	*kept;		/* a range of the message, put later */
	size_t		 nkept;
	bool		 added;		/* something of ours was put */
	bool		 failed;
};

/* ---- reading the head ---- */

/* Behind the line that starts at AT. */
static size_t
line_end(const struct head *h, size_t at)
{
	const char *nl = memchr(h->buf + at, '\n', h->len - at);

	return nl != NULL ? (size_t)(nl - h->buf) + 1 : h->len;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Does a header field with this name start at AT?  NAME NULL: any name. */
static bool
is_field(const struct head *h, size_t at, size_t end, const char *name)
{
	size_t i, n;

	for (i = at; i < end && h->buf[i] > ' ' && h->buf[i] < 0x7f &&
	    h->buf[i] != ':'; i++)
		continue;
	n = i - at;
	/* RFC 822 allows white space before the colon */
	while (i < end && is_blank(h->buf[i]))
		i++;
	return n > 0 && i < end && h->buf[i] == ':' && (name == NULL ||
	    (strlen(name) == n && strncasecmp(h->buf + at, name, n) == 0));
}

/* Finds the line ends, an mbox From_ line, and the fields. */
static void
read_head(struct head *h)
{
	size_t end = line_end(h, 0), at;

	h->eol = "\n";
	if (end >= 2 && h->buf[end - 1] == '\n' && h->buf[end - 2] == '\r')
		h->eol = "\r\n";
	if (h->len >= 5 && memcmp(h->buf, "From ", 5) == 0 &&
	    h->buf[end - 1] == '\n')
		h->from_end = end;
	for (at = h->from_end; at < h->len && is_field(h, at,
	    line_end(h, at), NULL); h->n++)
		at = removal_field_end(h->buf, h->len, at);
	h->fields_end = at;
}

size_t
rewrite_head_length(const char *buf, size_t len)
{
	const char *p = buf, *end = buf + len, *nl;

	for (; (nl = memchr(p, '\n', (size_t)(end - p))) != NULL; p = nl + 1)
		if (nl == p || (nl == p + 1 && *p == '\r'))
			return (size_t)(nl - buf) + 1;
	return 0;
}

/* ---- what comes ---- */

/*
 * How many of the bytes at P, more than ROOM, go into a line of ROOM bytes:
 * those before a blank, if there is one; never half a character.
 */
static size_t
fold_at(const char *p, size_t room)
{
	size_t n = room;

	while (n > 0 && !is_blank(p[n]))
		n--;
	while (n > 0 && is_blank(p[n - 1]))
		n--;
	if (n > 0)
		return n;
	for (n = room; n > room - 3 && ((unsigned char)p[n] & 0xc0) == 0x80;)
		n--;
	return n;
}

/*
 * Appends the N bytes at P: if FIRST, to a field's first line, of which
 * COLUMN bytes are there; else as lines that continue it.  What is no text
 * becomes '?'.
 */
static void
put_line(struct text *t, const char *p, size_t n, bool first, size_t column,
    const char *eol)
{
	size_t part;

	for (;; p += part, n -= part) {
		if (!first) {
			while (n > 0 && is_blank(*p))
				p++, n--;
			if (n == 0)
				return;
			text_printf(t, "%s\t", eol);
			column = 1;
		}
		part = n <= MAIL_LINE_MAX - column ? n :
		    fold_at(p, MAIL_LINE_MAX - column);
		(void)text_clean(t, p, part, part);
		first = false;
	}
}

/*
 * Appends "NAME: VALUE".  VALUE may be folded: each of its lines but the
 * first becomes a continuation line, blank ones are left out.
 */
static void
put_field(struct text *t, const char *name, const char *value, const char *eol)
{
	bool first = true;
	size_t n;

	text_printf(t, "%s: ", name);
	while (*value != '\0') {
		n = strcspn(value, "\r\n");
		if (n > 0) {
			put_line(t, value, n, first, strlen(name) + 2, eol);
			first = false;
		}
		value += n;
		value += strspn(value, "\r\n");
	}
	text_puts(t, eol);
}

/* A star for each whole point; if BEGUN, for one that is begun, too. */
static void
put_stars(struct text *t, double score, bool begun, int most)
{
	int n;

	for (n = 0; n < most &&
	    (begun ? (double)n < score : (double)n + 1.0 <= score); n++)
		text_puts(t, "*");
}

/* A symbol's name, or that of a message which nobody has scanned. */
static const char *
symbol_name(const struct outcome *o, const struct verdict *v, size_t i)
{
	if (v != NULL)
		return i < v->nsymbols ? v->symbols[i].name : NULL;
	return o->kind == OUTCOME_PASS && i == 0 ? OUTCOME_UNSCANNED : NULL;
}

/*
 * Appends the names of the symbols, joined by commas, folded after a comma;
 * NONE where there are none.  COLUMN is where the line is.  Returns the column
 * at the end.
 */
static size_t
put_tests(struct text *t, const struct outcome *o, const struct verdict *v,
    const char *none, const char *eol, size_t column)
{
	const char *name;
	size_t i, at, start = t->len;

	for (i = 0; (name = symbol_name(o, v, i)) != NULL &&
	    t->len - start < REPORT_MAX; i++) {
		if (i > 0) {
			text_puts(t, ",");
			column++;
			if (column + strlen(name) > FOLD_COLUMN) {
				text_printf(t, "%s\t", eol);
				column = 8;
			}
		}
		at = t->len;
		(void)text_clean(t, name, strlen(name), 128);
		column += t->len - at;
	}
	if (i == 0) {
		text_puts(t, none);
		column += strlen(none);
	}
	return column;
}

/* "Yes, score=7.0 required=6.0 tests=A,B autolearn=disabled version=…". */
static void
put_status(struct text *t, const struct outcome *o, const struct verdict *v,
    const char *eol)
{
	size_t at = t->len, column;

	text_printf(t, "X-Spam-Status: %s, score=%.1f required=%.1f tests=",
	    o->spam ? "Yes" : "No",
	    outcome_shown(o->score, 1), outcome_shown(o->threshold, 1));
	column = put_tests(t, o, v, "none", eol, t->len - at);
	if (column > 40)
		text_printf(t, "%s\t", eol);
	else
		text_puts(t, " ");
	text_printf(t, "autolearn=disabled version=" PACKAGE_VERSION "%s", eol);
}

/* X-Spam-Report as SpamAssassin writes it: a line for each symbol. */
static void
put_report(struct text *t, const struct verdict *v, const char *eol)
{
	const struct verdict_symbol *s;
	size_t i, start = t->len;

	text_puts(t, "X-Spam-Report:");
	for (i = 0; v != NULL && i < v->nsymbols && t->len - start < REPORT_MAX;
	    i++) {
		s = &v->symbols[i];
		text_printf(t, "%s\t* %4.1f ", eol, outcome_shown(s->score, 1));
		(void)text_clean(t, s->name, strlen(s->name), 128);
		if (s->description != NULL) {
			text_puts(t, " ");
			(void)text_clean(t, s->description,
			    strlen(s->description), 300);
		}
	}
	text_puts(t, eol);
}

static void
put_spamassassin(struct text *t, const struct outcome *o,
    const struct verdict *v, const struct rewrite_options *options,
    const char *eol)
{
	if (o->spam)
		text_printf(t, "X-Spam-Flag: YES%s", eol);
	text_puts(t, "X-Spam-Checker-Version: " PACKAGE_NAME " " PACKAGE_VERSION);
	if (options->scanner != NULL) {
		text_puts(t, " (");
		(void)text_clean(t, options->scanner, strlen(options->scanner),
		    100);
		text_puts(t, ")");
	}
	text_printf(t, "%sX-Spam-Level: ", eol);
	put_stars(t, o->score, false, STARS_MAX);
	text_puts(t, eol);
	put_status(t, o, v, eol);
	put_field(t, "X-Spam-Action", o->action, eol);
	if (options->report && o->spam)
		put_report(t, v, eol);
}

static void
put_rspamc(struct text *t, const struct outcome *o, const struct verdict *v,
    const struct rewrite_options *options, const char *eol)
{
	put_field(t, "X-Spam-Scanner", options->scanner != NULL ?
	    options->scanner : "rspamd", eol);
	if (v != NULL && !isnan(v->time_real) && fabs(v->time_real) < 1e6)
		text_printf(t, "X-Spam-Scan-Time: %.3f%s", v->time_real, eol);
	if (o->spam)
		text_printf(t, "X-Spam: yes%s", eol);
	put_field(t, "X-Spam-Action", o->action, eol);
	text_printf(t, "X-Spam-Score: %.2f / %.2f%s", outcome_shown(o->score, 2),
	    outcome_shown(o->required, 2), eol);
	text_puts(t, "X-Spam-Level: ");
	put_stars(t, o->score, true, RSPAMC_STARS);
	text_printf(t, "%sX-Spam-Symbols: ", eol);
	(void)put_tests(t, o, v, "", eol, sizeof("X-Spam-Symbols: "));
	text_puts(t, eol);
	if (options->report && o->spam)
		put_report(t, v, eol);
}

/* Replaces each byte at P that is not part of UTF-8 by '?'. */
static void
mend_utf8(char *p, size_t len)
{
	size_t i, n;

	for (i = 0; i < len; i += n) {
		if ((n = text_utf8(p + i, len - i)) != 0)
			continue;
		p[i] = '?';
		n = 1;
	}
}

/*
 * The verdict's JSON in base64, folded: so nothing that the mail's author
 * wrote can become a header line, and folding changes none of it.
 */
static void
put_result(struct text *t, const struct verdict *v, const char *eol)
{
	char *json = verdict_json(v);
	size_t i, len;

	if (json == NULL) {
		t->failed = true;
		return;
	}
	len = strlen(json);
	if (len > RESULT_MAX)
		text_printf(t, "X-Spam-Result-Omitted: rspamd's result has %zu "
		    "bytes, more than the %d that are put into mail%s", len,
		    RESULT_MAX, eol);
	else {
		mend_utf8(json, len);
		text_puts(t, "X-Spam-Result: ");
		for (i = 0; i < len; i += RESULT_LINE) {
			if (i > 0)
				text_printf(t, "%s\t", eol);
			text_base64(t, json + i, len - i < RESULT_LINE ?
			    len - i : RESULT_LINE);
		}
		text_puts(t, eol);
	}
	free(json);
}

/* ---- putting it together ---- */

static void
put_bytes(struct writer *w, const char *p, size_t n)
{
	if (n > 0 && !w->failed && w->put(w->arg, p, n) == -1)
		w->failed = true;
}

/* N bytes of the message stay: those that follow each other are one range. */
static void
keep(void *arg, const char *p, size_t n)
{
	struct writer *w = arg;

	if (w->nkept > 0 && w->kept + w->nkept != p) {
		put_bytes(w, w->kept, w->nkept);
		w->nkept = 0;
	}
	if (w->nkept == 0)
		w->kept = p;
	w->nkept += n;
}

/* Puts what was written to T, and frees that. */
static void
add_text(struct writer *w, struct text *t)
{
	if (text_failed(t))
		w->failed = true;
	if (t->len > 0) {
		put_bytes(w, w->kept, w->nkept);
		w->nkept = 0;
		put_bytes(w, t->buf, t->len);
		w->added = true;
	}
	text_free(t);
}

/*
 * rspamd's headers to add: those of position INDEX; those without one, or
 * with one behind the last field, for INDEX 0.
 */
static void
add_milter(struct writer *w, size_t index)
{
	const struct verdict *v = w->verdict;
	const struct verdict_milter *m;
	struct text t;
	bool here;
	size_t i;

	text_init(&t, ADDED_MAX);
	for (i = 0; v != NULL && i < v->nmilter; i++) {
		m = &v->milter[i];
		if (m->value == NULL || strlen(m->name) > REWRITE_NAME_MAX)
			continue;
		if (index > 0)
			here = m->index > 0 && (size_t)m->index == index;
		else
			here = m->index <= 0 || (size_t)m->index > w->head.n;
		if (here)
			put_field(&t, m->name, m->value, w->head.eol);
	}
	add_text(w, &t);
}

/* The last position that rspamd wants a header at. */
static size_t
last_position(const struct verdict *v)
{
	size_t last = 0, i;

	for (i = 0; v != NULL && i < v->nmilter; i++)
		if (v->milter[i].value != NULL && v->milter[i].index > 0 &&
		    (size_t)v->milter[i].index > last)
			last = (size_t)v->milter[i].index;
	return last;
}

/* The rewritten subject, in the place of the first one. */
static void
add_subject(struct writer *w)
{
	struct text t;

	text_init(&t, ADDED_MAX);
	put_field(&t, "Subject", w->verdict->subject, w->head.eol);
	add_text(w, &t);
}

static void
add_ours(struct writer *w, const struct outcome *o,
    const struct rewrite_options *options)
{
	const char *eol = w->head.eol;
	struct text t;

	text_init(&t, ADDED_MAX);
	if (options->headers == REWRITE_SPAMASSASSIN)
		put_spamassassin(&t, o, w->verdict, options, eol);
	else if (options->headers == REWRITE_RSPAMC ||
	    options->headers == REWRITE_RSPAMC_JSON)
		put_rspamc(&t, o, w->verdict, options, eol);
	if (options->headers == REWRITE_RSPAMC_JSON && w->verdict != NULL)
		put_result(&t, w->verdict, eol);
	add_text(w, &t);
}

/* A body that begins with a blank must not continue our last line. */
static void
add_empty_line(struct writer *w)
{
	const struct head *h = &w->head;
	struct text t;

	if (!w->added || h->n > 0 || h->from_end == h->len ||
	    !is_blank(h->buf[h->from_end]))
		return;
	text_init(&t, ADDED_MAX);
	text_puts(&t, h->eol);
	add_text(w, &t);
}

/* The fields, with what comes between them and behind the last one. */
static void
write_fields(struct writer *w, bool subject)
{
	const struct head *h = &w->head;
	/* a head that ends in mid-line takes nothing at its end */
	bool open = h->fields_end > 0 && h->buf[h->fields_end - 1] != '\n';
	size_t last = last_position(w->verdict), at, end, i = 0;

	if (open && subject)
		add_subject(w);
	if (open)
		add_milter(w, 0);
	subject &= !open;
	for (at = h->from_end; at < h->fields_end; at = end) {
		end = removal_field_end(h->buf, h->len, at);
		if (++i <= last)
			add_milter(w, i);
		if (subject && is_field(h, at, end, "Subject")) {
			add_subject(w);
			subject = false;
		}
		removal_filter(&w->removal, h->buf + at, end - at, keep, w);
	}
	if (subject)
		add_subject(w);
	if (!open)
		add_milter(w, 0);
}

int
rewrite_message(const char *head, size_t len, const struct outcome *o,
    const struct verdict *v, const struct rewrite_options *options,
    rewrite_put *put, void *arg)
{
	struct writer w = { .head = { .buf = head, .len = len },
	    .verdict = v, .put = put, .arg = arg };
	const struct head *h = &w.head;
	bool subject = v != NULL && v->subject != NULL;
	size_t at, end;

	read_head(&w.head);
	removal_init(&w.removal, v, subject);
	removal_count(&w.removal, head + h->from_end, len - h->from_end);
	keep(&w, head, h->from_end);
	add_ours(&w, o, options);
	write_fields(&w, subject);
	add_empty_line(&w);
	/* lines that are no fields, to the empty one */
	for (at = h->fields_end; at < len && !w.failed; at = end) {
		end = removal_field_end(head, len, at);
		removal_filter(&w.removal, head + at, end - at, keep, &w);
	}
	put_bytes(&w, w.kept, w.nkept);
	return w.failed ? -1 : 0;
}

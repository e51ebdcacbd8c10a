/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "report.h"
#include "rewrite.h"

/* Of all that is added. */
#define ADDED_MAX	262144
/* SpamAssassin folds at about this column. */
#define FOLD_COLUMN	77
/* Stars of X-Spam-Level: SpamAssassin's limit, and rspamc's. */
#define STARS_MAX	50
#define RSPAMC_STARS	32
/* Header fields that are looked at; those behind them stay. */
#define FIELDS_MAX	4096
/* A line of mail, without its end (RFC 5322, 2.1.1). */
#define MAIL_LINE_MAX	998
/* Bytes of JSON in X-Spam-Result: with a third more of them in base64, and the
   line ends, it stays below the 100 KB that Postfix lets a head have. */
#define RESULT_MAX	49152
/* They stand 45 on a line, as 60 characters. */
#define RESULT_LINE	45

/* One header field of the message, its continuation lines included. */
struct field {
	size_t	start, end;	/* end: behind the line end */
	size_t	name_len;
	bool	removed;
};

struct head {
	const char	*buf;
	size_t		 len;
	bool		 whole;		/* the message has no more bytes */
	bool		 more;		/* the head is not seen to its end */
	size_t		 from_end;	/* behind an mbox From_ line, else 0 */
	struct field	*fields;
	size_t		 n, size;	/* size: for so many there is memory */
	bool		 failed;	/* there is none for more */
	size_t		 fields_end;	/* behind the last field */
	size_t		 end;		/* behind the empty line, if there is one */
	const char	*eol;
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
is_blank_line(const struct head *h, size_t at, size_t end)
{
	return end - at == 1 ? h->buf[at] == '\n' :
	    end - at == 2 && h->buf[at] == '\r' && h->buf[at + 1] == '\n';
}

/* The length of the field name at AT, or 0 if no field starts there. */
static size_t
name_length(const struct head *h, size_t at, size_t end)
{
	size_t i, n;

	for (i = at; i < end && h->buf[i] > ' ' && h->buf[i] < 0x7f &&
	    h->buf[i] != ':'; i++)
		continue;
	n = i - at;
	/* RFC 822 allows white space before the colon */
	while (i < end && (h->buf[i] == ' ' || h->buf[i] == '\t'))
		i++;
	return i < end && h->buf[i] == ':' ? n : 0;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Reads what stands before the fields, and which line ends there are. */
static void
read_first_line(struct head *h)
{
	size_t end = line_end(h, 0);

	h->eol = "\n";
	if (end >= 2 && h->buf[end - 1] == '\n' && h->buf[end - 2] == '\r')
		h->eol = "\r\n";
	if (h->len >= 5 && memcmp(h->buf, "From ", 5) == 0 &&
	    h->buf[end - 1] == '\n')
		h->from_end = end;
	h->fields_end = h->end = h->from_end;
}

/* One more, not set; NULL, and H failed, where there is no memory. */
static struct field *
next_field(struct head *h)
{
	size_t size = h->size != 0 ? 2 * h->size : 32;
	struct field *f;

	if (h->n == h->size) {
		if ((f = realloc(h->fields, size * sizeof(*f))) == NULL) {
			h->failed = true;
			return NULL;
		}
		h->fields = f;
		h->size = size;
	}
	return &h->fields[h->n++];
}

/* Takes the line from AT to END as part of the head; false if it is not. */
static bool
read_line(struct head *h, size_t at, size_t end)
{
	struct field *f = h->n > 0 ? &h->fields[h->n - 1] : NULL;
	size_t n;

	if (is_blank(h->buf[at]) && f != NULL) {
		/* it may belong to a field that is not looked at */
		if (f->end == at)
			f->end = h->fields_end = end;
		return true;
	}
	if ((n = name_length(h, at, end)) == 0)
		return false;	/* the body, without an empty line */
	if (h->n < FIELDS_MAX) {
		if ((f = next_field(h)) == NULL)
			return false;
		f->start = at;
		f->end = h->fields_end = end;
		f->name_len = n;
		f->removed = false;
	}
	return true;
}

/*
 * More of the message is to come, and what was seen of it ends in the head:
 * in the line that starts at AT.  If that may continue the last field, this
 * one is not known.
 */
static void
leave_unfinished(struct head *h, size_t at)
{
	h->more = true;
	if (h->n > 0 && h->fields[h->n - 1].end == at &&
	    (at == h->len || is_blank(h->buf[at])))
		h->fields_end = h->fields[--h->n].start;
	h->end = h->fields_end;
}

static void
read_head(struct head *h)
{
	size_t at, end;

	read_first_line(h);
	for (at = h->from_end; at < h->len; at = end) {
		end = line_end(h, at);
		if (!h->whole && h->buf[end - 1] != '\n')
			break;
		if (is_blank_line(h, at, end)) {
			h->end = end;
			return;
		}
		if (!read_line(h, at, end))
			return;
		h->end = end;
	}
	if (!h->whole)
		leave_unfinished(h, at);
}

static bool
is_named(const struct head *h, const struct field *f, const char *name)
{
	return strlen(name) == f->name_len &&
	    strncasecmp(h->buf + f->start, name, f->name_len) == 0;
}

/* ---- what goes ---- */

static void
remove_foreign(struct head *h)
{
	static const char prefix[] = "X-Spam-";
	size_t i;

	for (i = 0; i < h->n; i++)
		if (is_named(h, &h->fields[i], "X-Spam") ||
		    (h->fields[i].name_len >= sizeof(prefix) - 1 &&
		    strncasecmp(h->buf + h->fields[i].start, prefix,
		    sizeof(prefix) - 1) == 0))
			h->fields[i].removed = true;
}

/*
 * Removes the field called NAME: the INDEX-th of them, from the end for a
 * negative INDEX, all for 0.
 */
static void
remove_named(struct head *h, const char *name, int index)
{
	int seen = 0;
	size_t i, k;

	for (i = 0; i < h->n; i++) {
		k = index < 0 ? h->n - 1 - i : i;
		if (!is_named(h, &h->fields[k], name))
			continue;
		seen++;
		if (index == 0 || (index < 0 ? -seen : seen) == index)
			h->fields[k].removed = true;
	}
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

/* Appends the N bytes at P, 3 at most, as 4 characters of base64. */
static void
put_quantum(struct text *t, const char *p, size_t n)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t bits = 0;
	char q[4];
	size_t i;

	for (i = 0; i < 3; i++)
		bits = bits << 8 | (i < n ? (unsigned char)p[i] : 0);
	for (i = 0; i < 4; i++)
		q[i] = i <= n ? digits[bits >> (18 - 6 * i) & 63] : '=';
	text_put(t, q, sizeof(q));
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
		for (i = 0; i < len; i += 3) {
			if (i > 0 && i % RESULT_LINE == 0)
				text_printf(t, "%s\t", eol);
			put_quantum(t, json + i, len - i < 3 ? len - i : 3);
		}
		text_puts(t, eol);
	}
	free(json);
}

/* ---- the pieces ---- */

static void
piece(struct rewrite *rw, bool ours, size_t offset, size_t end)
{
	struct rewrite_piece *p = rw->npieces > 0 ?
	    &rw->pieces[rw->npieces - 1] : NULL;

	if (offset == end)
		return;
	if (p != NULL && p->ours == ours && p->offset + p->len == offset) {
		p->len += end - offset;
		return;
	}
	if (rw->npieces == rw->size) {
		rw->size = rw->size == 0 ? 16 : rw->size * 2;
		p = realloc(rw->pieces, rw->size * sizeof(*p));
		if (p == NULL) {
			rw->failed = true;
			return;
		}
		rw->pieces = p;
	}
	p = &rw->pieces[rw->npieces++];
	p->ours = ours;
	p->offset = offset;
	p->len = end - offset;
}

/*
 * rspamd's headers to add: those of position INDEX; those without one, or
 * with one behind the last field, for INDEX 0.
 */
static void
add_milter(struct rewrite *rw, const struct head *h, const struct verdict *v,
    size_t index)
{
	const struct verdict_milter *m;
	size_t i, start = rw->text.len;
	bool here;

	for (i = 0; v != NULL && i < v->nmilter; i++) {
		m = &v->milter[i];
		if (m->value == NULL || strlen(m->name) > REWRITE_NAME_MAX)
			continue;
		if (index > 0)
			here = m->index > 0 && (size_t)m->index == index;
		else
			here = m->index <= 0 || (size_t)m->index > h->n;
		if (here)
			put_field(&rw->text, m->name, m->value, h->eol);
	}
	piece(rw, true, start, rw->text.len);
}

/* The rewritten subject, in the place of the first one. */
static void
add_subject(struct rewrite *rw, const struct head *h, const struct verdict *v)
{
	size_t start = rw->text.len;

	put_field(&rw->text, "Subject", v->subject, h->eol);
	piece(rw, true, start, rw->text.len);
}

static void
add_ours(struct rewrite *rw, const struct head *h, const struct outcome *o,
    const struct verdict *v, const struct rewrite_options *options)
{
	size_t start = rw->text.len;

	if (options->headers == REWRITE_SPAMASSASSIN)
		put_spamassassin(&rw->text, o, v, options, h->eol);
	else if (options->headers == REWRITE_RSPAMC ||
	    options->headers == REWRITE_RSPAMC_JSON)
		put_rspamc(&rw->text, o, v, options, h->eol);
	if (options->headers == REWRITE_RSPAMC_JSON && v != NULL)
		put_result(&rw->text, v, h->eol);
	piece(rw, true, start, rw->text.len);
}

/* A body that begins with a blank must not continue our last line. */
static void
add_empty_line(struct rewrite *rw, const struct head *h)
{
	size_t start = rw->text.len;

	if (start == 0 || h->n > 0 || h->from_end == h->len ||
	    !is_blank(h->buf[h->from_end]))
		return;
	text_puts(&rw->text, h->eol);
	piece(rw, true, start, rw->text.len);
}

static void
remove_all(struct head *h, const struct verdict *v, bool new_subject)
{
	size_t i;

	remove_foreign(h);
	for (i = 0; v != NULL && i < v->nmilter; i++)
		if (v->milter[i].value == NULL)
			remove_named(h, v->milter[i].name, v->milter[i].index);
	if (new_subject)
		remove_named(h, "Subject", 0);
}

static void
make_pieces(struct rewrite *rw, const struct head *h, const struct outcome *o,
    const struct verdict *v, const struct rewrite_options *options,
    bool new_subject)
{
	/* a head that ends in mid-line takes nothing at its end */
	bool open = h->fields_end > 0 && h->buf[h->fields_end - 1] != '\n';
	bool subject_due = new_subject;
	const struct field *f;
	size_t i;

	piece(rw, false, 0, h->from_end);
	add_ours(rw, h, o, v, options);
	if (open && subject_due) {
		add_subject(rw, h, v);
		subject_due = false;
	}
	if (open)
		add_milter(rw, h, v, 0);
	for (i = 0; i < h->n; i++) {
		f = &h->fields[i];
		add_milter(rw, h, v, i + 1);
		if (subject_due && is_named(h, f, "Subject")) {
			add_subject(rw, h, v);
			subject_due = false;
		}
		if (!f->removed)
			piece(rw, false, f->start, f->end);
	}
	if (subject_due)
		add_subject(rw, h, v);
	if (!open)
		add_milter(rw, h, v, 0);
	add_empty_line(rw, h);
	piece(rw, false, h->fields_end, h->end);
	rw->head_end = h->end;
	rw->more = h->more;
}

int
rewrite_message(struct rewrite *rw, const char *buf, size_t len, bool whole,
    const struct outcome *o, const struct verdict *v,
    const struct rewrite_options *options)
{
	bool new_subject = v != NULL && v->subject != NULL;
	struct head h = { .buf = buf,
	    .len = len < REWRITE_WINDOW ? len : REWRITE_WINDOW,
	    .whole = whole && len <= REWRITE_WINDOW };

	memset(rw, 0, sizeof(*rw));
	text_init(&rw->text, ADDED_MAX);
	read_head(&h);
	if (h.failed)
		rw->failed = true;
	else {
		remove_all(&h, v, new_subject);
		make_pieces(rw, &h, o, v, options, new_subject);
	}
	free(h.fields);
	return rw->failed || text_failed(&rw->text) ? -1 : 0;
}

void
rewrite_free(struct rewrite *rw)
{
	text_free(&rw->text);
	free(rw->pieces);
	rw->pieces = NULL;
	rw->npieces = rw->size = 0;
}

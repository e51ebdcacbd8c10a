/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <string.h>
#include <strings.h>

#include "removal.h"

/* Names with more bytes are nobody's but a mark's. */
#define NAME_MAX_	128
#define RING		(2 * NAME_MAX_)

/* All names that begin so are marks; in lower case. */
static const char prefix[] = "x-spam-";
#define PREFIX_BITS	(sizeof(prefix) - 1)

/* Other marks: rspamc's, and those of the ACL that Debian's Exim shows. */
static const char *const marks[] = { "X-Spam", "X-Spam_score",
    "X-Spam_score_int", "X-Spam_bar", "X-Spam_report" };

/*
 * The names that may end here: the last bytes of name, from each place where
 * a line began.
 */
struct names {
	char		 name[RING];	/* printing bytes, as a ring */
	bool		 begins[RING];	/* a line began with this one */
	size_t		 n;		/* of them */
	bool		 begun;		/* a line begins with the next one */
	unsigned int	 prefixes;	/* bit I: the bytes up to here are the
					   first I + 1 of prefix, from a line's
					   beginning on */
	bool		 is_mark;	/* one of the names has the prefix */
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_lone_cr(const char *p, size_t n, size_t i)
{
	return p[i] == '\r' && (i + 1 == n || p[i + 1] != '\n');
}

void
removal_init(struct removal *r, const struct verdict *v, bool subject)
{
	size_t i;

	r->nrules = 0;
	r->from_end = r->counting = false;
	for (i = 0; v != NULL && i < v->nmilter; i++) {
		if (v->milter[i].value != NULL)
			continue;
		r->rules[r->nrules++] = (struct removal_rule){
		    .name = v->milter[i].name, .index = v->milter[i].index };
		r->from_end |= v->milter[i].index < 0;
	}
	if (subject)
		r->rules[r->nrules++] = (struct removal_rule){
		    .name = "Subject" };
}

size_t
removal_field_end(const char *buf, size_t len, size_t at)
{
	const char *nl;

	do {
		nl = memchr(buf + at, '\n', len - at);
		at = nl != NULL ? (size_t)(nl - buf) + 1 : len;
	} while (at < len && is_blank(buf[at]));
	return at;
}

/* ---- names ---- */

static void
names_reset(struct names *s)
{
	s->n = 0;
	s->begun = s->is_mark = false;
	s->prefixes = 0;
}

/* A line begins here. */
static void
names_begin(struct names *s)
{
	s->begun = true;
}

/* One byte more; all that does not print is passed over. */
static void
names_add(struct names *s, char c)
{
	char low = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	unsigned int was = s->prefixes, i;

	if (c <= ' ' || c >= 0x7f)
		return;
	s->name[s->n % RING] = c;
	s->begins[s->n % RING] = s->begun;
	s->prefixes = 0;
	for (i = 0; i < PREFIX_BITS && (was != 0 || s->begun); i++)
		if (low == prefix[i] && (i == 0 ? s->begun :
		    (was >> (i - 1) & 1) != 0))
			s->prefixes |= 1U << i;
	if ((s->prefixes >> (PREFIX_BITS - 1) & 1) != 0)
		s->is_mark = true;
	s->begun = false;
	s->n++;
}

/* Does the line of the name that is the N bytes at P go? */
static bool
is_removed(struct removal *r, const char *p, size_t n)
{
	struct removal_rule *rule;
	bool removed = false;
	size_t i;

	for (i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		if (strlen(marks[i]) == n && strncasecmp(marks[i], p, n) == 0)
			return true;
	for (i = 0; i < r->nrules; i++) {
		rule = &r->rules[i];
		if (strncasecmp(rule->name, p, n) != 0 || rule->name[n] != '\0')
			continue;
		if (r->counting)
			rule->total++;
		else if (++rule->seen == (unsigned long)rule->index ||
		    rule->index == 0 || (rule->index < 0 &&
		    rule->seen + (unsigned long)-(long)rule->index ==
		    rule->total + 1))
			removed = true;
	}
	return removed;
}

/* Does a colon here end the name of a line that goes? */
static bool
names_removed(const struct names *s, struct removal *r)
{
	size_t most = s->n < NAME_MAX_ ? s->n : NAME_MAX_, i;
	bool removed = s->is_mark;
	char name[NAME_MAX_];

	for (i = 1; i <= most; i++) {
		name[NAME_MAX_ - i] = s->name[(s->n - i) % RING];
		if (s->begins[(s->n - i) % RING])
			removed |= is_removed(r, name + NAME_MAX_ - i, i);
	}
	return removed;
}

/* ---- lines ---- */

/* The end of the line that begins at AT, with those that continue it, in a
   field, where only a lone carriage return ends one. */
static size_t
lone_line_end(const char *p, size_t n, size_t at)
{
	const char *cr;

	while (at < n && (cr = memchr(p + at, '\r', n - at)) != NULL) {
		at = (size_t)(cr - p) + 1;
		if (at < n && is_lone_cr(p, n, at - 1) && !is_blank(p[at]))
			return at;
	}
	return n;
}

/* The line from AT to END is part of the names up to its colon.  Returns
   whether it has one. */
static bool
read_name(struct names *s, const char *p, size_t at, size_t end)
{
	const char *colon = memchr(p + at, ':', end - at);

	if (colon != NULL)
		end = (size_t)(colon - p);
	names_begin(s);
	for (; at < end; at++)
		names_add(s, p[at]);
	return colon != NULL;
}

/* Bytes of the line end that closes the N bytes at P. */
static size_t
eol_length(const char *p, size_t n)
{
	if (n == 0 || p[n - 1] != '\n')
		return 0;
	return n >= 2 && p[n - 2] == '\r' ? 2 : 1;
}

/* Do the N bytes at P begin with a line without a byte of text? */
static bool
is_empty(const char *p, size_t n)
{
	while (n > 0 && *p == '\r')
		p++, n--;
	return n == 0 || *p == '\n';
}

void
removal_filter(struct removal *r, const char *p, size_t n, removal_keep *keep,
    void *arg)
{
	bool kept = false, removed = false, colon;
	size_t start, at, end;
	struct names s;

	if (memchr(p, ':', n) == NULL) {
		if (!r->counting)
			keep(arg, p, n);
		return;
	}
	/* from START on no line had a colon: they go or stay together */
	for (start = at = 0; at < n; at = end) {
		if (at == start)
			names_reset(&s);
		end = lone_line_end(p, n, at);
		colon = read_name(&s, p, at, end);
		if (!colon && end < n)
			continue;
		if (colon && names_removed(&s, r)) {
			removed = true;
			/* what stays before it needs its line end */
			start = end == n && kept ? n - eol_length(p, n) : end;
		}
		/* nothing may be left that ends the head */
		if (start < end && (kept || !removed ||
		    !is_empty(p + start, end - start))) {
			kept = true;
			if (!r->counting)
				keep(arg, p + start, end - start);
		}
		start = end;
	}
}

void
removal_count(struct removal *r, const char *buf, size_t len)
{
	size_t at, end;

	if (!r->from_end)
		return;
	r->counting = true;
	for (at = 0; at < len; at = end) {
		end = removal_field_end(buf, len, at);
		removal_filter(r, buf + at, end - at, NULL, NULL);
	}
	r->counting = false;
}

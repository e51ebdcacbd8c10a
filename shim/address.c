/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * address: the grammar of mail addresses, as Exim accepts and stores them.
 */
#include "config.h"

#include <stdbool.h>
#include <string.h>

#include "address.h"
#include "slice.h"
#include "text.h"

static bool
is_atom(unsigned char c)
{
	return c > 0x20 && c != 0x7f &&
	    !slice_is_one_of(c, "()<>@,;:\\\".[]");
}

static bool
is_domain(unsigned char c)
{
	return slice_is_alnum(c) || c >= 0x80 || slice_is_one_of(c, "._-");
}

static bool
is_literal(unsigned char c)
{
	return c > 0x20 && c < 0x7f && !slice_is_one_of(c, "[\\]");
}

/*
 * Takes a word of a local part outside quotes, where a backslash covers the
 * byte after it too.  The word may be empty: Exim allows dots anywhere.
 */
static bool
take_atom(struct slice *s)
{
	struct slice word;

	for (;;) {
		(void)slice_take_word(s, is_atom, &word);
		if (!slice_next_is(s, '\\'))
			return true;
		if (s->len < 2)
			return false;
		slice_advance(s, 2);
	}
}

static bool
take_local_part(struct slice *s)
{
	const char *start = s->p;

	do {
		if (slice_next_is(s, '"') ? !slice_take_quoted(s) :
		    !take_atom(s))
			return false;
	} while (slice_take(s, "."));
	return s->p > start;
}

/* Takes a domain or a literal, of which Exim asks no more than its end. */
static bool
take_domain(struct slice *s)
{
	struct slice word;

	if (!slice_take(s, "["))
		return slice_take_word(s, is_domain, &word);
	(void)slice_take_word(s, is_literal, &word);
	return slice_take(s, "]");
}

bool
address_take(struct slice *s, struct slice *address)
{
	*address = *s;
	if (!take_local_part(s) || !slice_take(s, "@") || !take_domain(s))
		return false;
	address->len = (size_t)(s->p - address->p);
	return true;
}

/* Is S a local part of RFC 5321: words with dots between them, or one "..."? */
static bool
is_standard(struct slice s)
{
	struct slice word;

	if (slice_next_is(&s, '"'))
		return slice_take_quoted(&s) && s.len == 0;
	do {
		if (!slice_take_word(&s, is_atom, &word))
			return false;
	} while (slice_take(&s, "."));
	return s.len == 0;
}

/* Appends what the local part S means, in one pair of quotes. */
static void
put_quoted(struct text *out, struct slice s)
{
	text_puts(out, "\"");
	for (; s.len > 0; slice_advance(&s, 1)) {
		if (*s.p == '"')
			continue;
		/* a backslash covers the byte after it, which the grammar has */
		if (*s.p == '\\')
			slice_advance(&s, 1);
		if (*s.p == '"' || *s.p == '\\')
			text_puts(out, "\\");
		text_put(out, s.p, 1);
	}
	text_puts(out, "\"");
}

void
address_put(struct text *out, const char *address)
{
	struct slice all = { address, strlen(address) }, domain = all, part;

	if (!take_local_part(&domain) || !slice_next_is(&domain, '@')) {
		text_put(out, all.p, all.len);
		return;
	}
	part = (struct slice){ all.p, all.len - domain.len };
	if (is_standard(part))
		text_put(out, part.p, part.len);
	else
		put_quoted(out, part);
	text_put(out, domain.p, domain.len);
}

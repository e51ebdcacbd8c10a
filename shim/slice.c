/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slice: a part of somebody else's bytes, read from its front.
 */
#include "config.h"

#include <stdbool.h>
#include <string.h>

#include "slice.h"

/* Are the N bytes at A those at B?  Of no bytes there may be no address. */
static bool
same(const char *a, const char *b, size_t n)
{
	return n == 0 || memcmp(a, b, n) == 0;
}

void
slice_advance(struct slice *s, size_t n)
{
	if (n == 0)
		return;
	s->p += n;
	s->len -= n;
}

bool
slice_next_is(const struct slice *s, char c)
{
	return s->len > 0 && s->p[0] == c;
}

bool
slice_equal(const struct slice *a, const struct slice *b)
{
	return a->len == b->len && same(a->p, b->p, a->len);
}

bool
slice_equals_text(const struct slice *s, const char *text)
{
	return s->len == strlen(text) && same(s->p, text, s->len);
}

bool
slice_take(struct slice *s, const char *text)
{
	size_t n = strlen(text);

	if (s->len < n || !same(s->p, text, n))
		return false;
	slice_advance(s, n);
	return true;
}

bool
slice_take_word(struct slice *s, bool (*class)(unsigned char),
    struct slice *word)
{
	*word = *s;
	word->len = 0;
	while (word->len < s->len && class((unsigned char)s->p[word->len]))
		word->len++;
	slice_advance(s, word->len);
	return word->len > 0;
}

bool
slice_take_end(struct slice *s, char c)
{
	if (s->len == 0 || s->p[s->len - 1] != c)
		return false;
	s->len--;
	return true;
}

bool
slice_take_quoted(struct slice *s)
{
	size_t i;

	if (!slice_next_is(s, '"'))
		return false;
	for (i = 1; i < s->len && s->p[i] != '"'; i++)
		if (s->p[i] == '\\')
			i++;
	if (i >= s->len)
		return false;
	slice_advance(s, i + 1);
	return true;
}

bool
slice_find(const struct slice *s, const char *text, size_t *at)
{
	size_t n = strlen(text), i;

	for (i = 0; i + n <= s->len; i++) {
		if (n == 0 || memcmp(s->p + i, text, n) == 0) {
			*at = i;
			return true;
		}
	}
	return false;
}

bool
slice_is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

bool
slice_is_alnum(unsigned char c)
{
	return slice_is_digit(c) || (c >= 'A' && c <= 'Z') ||
	    (c >= 'a' && c <= 'z');
}

bool
slice_is_one_of(unsigned char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

/* A report or a line of the log mostly fits; malloc() has it at hand. */
#define FIRST_SIZE	1000

void
text_init(struct text *t, size_t max)
{
	memset(t, 0, sizeof(*t));
	t->max = max;
}

void
text_free(struct text *t)
{
	free(t->buf);
	text_init(t, t->max);
}

bool
text_failed(const struct text *t)
{
	return t->failed;
}

void
text_rewind(struct text *t, size_t len)
{
	if (len < t->len) {
		t->len = len;
		t->buf[len] = '\0';
	}
	t->failed = false;
}

const char *
text_string(const struct text *t)
{
	return t->buf != NULL ? t->buf : "";
}

/* Makes room for MORE bytes and a NUL; false, and T failed, without any. */
static bool
reserve(struct text *t, size_t more)
{
	size_t need, size;
	char *p;

	if (t->failed || more > t->max - t->len) {
		t->failed = true;
		return false;
	}
	need = t->len + more + 1;
	size = t->size != 0 ? t->size : FIRST_SIZE;
	while (size < need)
		size = size > SIZE_MAX / 2 ? need : size * 2;
	if ((p = realloc(t->buf, size)) == NULL) {
		t->failed = true;
		return false;
	}
	t->buf = p;
	t->size = size;
	return true;
}

void
text_put(struct text *t, const void *p, size_t len)
{
	/* mostly there is room, and the NUL has its place */
	if ((t->failed || len >= t->size - t->len || len > t->max - t->len) &&
	    !reserve(t, len))
		return;
	if (len != 0)
		memcpy(t->buf + t->len, p, len);
	t->len += len;
	t->buf[t->len] = '\0';
}

void
text_puts(struct text *t, const char *s)
{
	text_put(t, s, strlen(s));
}

void
text_number(struct text *t, uint64_t n)
{
	char buf[20], *p = buf + sizeof(buf);

	do {
		*--p = (char)('0' + n % 10);
		n /= 10;
	} while (n > 0);
	text_put(t, p, (size_t)(buf + sizeof(buf) - p));
}

void
text_printf(struct text *t, const char *fmt, ...)
{
	size_t room = t->size - t->len;
	va_list ap;
	int n;

	if (t->failed)
		return;
	/* most often it fits in what is allocated */
	va_start(ap, fmt);
	n = vsnprintf(room > 0 ? t->buf + t->len : NULL, room, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < room && (size_t)n <= t->max - t->len) {
		t->len += (size_t)n;
		return;
	}
	if (room > 0)
		t->buf[t->len] = '\0';
	if (n < 0 || !reserve(t, (size_t)n)) {
		t->failed = true;
		return;
	}
	va_start(ap, fmt);
	(void)vsnprintf(t->buf + t->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	t->len += (size_t)n;
}

void
text_base64(struct text *t, const void *p, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *s = p;
	uint32_t bits;
	size_t i, n;
	char q[4];

	for (; len > 0; s += n, len -= n) {
		n = len < 3 ? len : 3;
		bits = (uint32_t)s[0] << 16;
		if (n > 1)
			bits |= (uint32_t)s[1] << 8;
		if (n > 2)
			bits |= s[2];
		for (i = 0; i < sizeof(q); i++)
			q[i] = i <= n ? digits[bits >> (18 - 6 * i) & 63] : '=';
		text_put(t, q, sizeof(q));
	}
}

size_t
text_utf8(const char *p, size_t len)
{
	const unsigned char *s = (const unsigned char *)p;
	unsigned char lo = 0x80, hi = 0xbf;
	size_t n, i;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		n = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (len < n)
		return 0;
	if (s[0] == 0xe0)
		lo = 0xa0;
	else if (s[0] == 0xed)
		hi = 0x9f;
	else if (s[0] == 0xf0)
		lo = 0x90;
	else if (s[0] == 0xf4)
		hi = 0x8f;
	if (s[1] < lo || s[1] > hi)
		return 0;
	for (i = 2; i < n; i++)
		if (s[i] < 0x80 || s[i] > 0xbf)
			return 0;
	return n;
}

static bool
is_control(const char *p, size_t n)
{
	unsigned char c = (unsigned char)p[0];

	if (n == 1)
		return c < 0x20 || c == 0x7f;
	/* C1: U+0080 to U+009f, which terminals obey as well */
	return n == 2 && c == 0xc2 && (unsigned char)p[1] < 0xa0;
}

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/*
 * The length of the run of white space at P, if there is a line break in
 * it; otherwise 0.
 */
static size_t
broken_space(const char *p, size_t len)
{
	bool broken = false;
	size_t i;

	for (i = 0; i < len && is_space(p[i]); i++)
		if (p[i] == '\r' || p[i] == '\n')
			broken = true;
	return broken ? i : 0;
}

/*
 * The length of the run of printing ASCII characters and blanks at P, without
 * the blanks at its end where they may belong to a line break.
 */
static size_t
plain(const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len && p[i] >= ' ' && p[i] < 0x7f; i++)
		continue;
	if (i < len && is_space(p[i]))
		while (i > 0 && p[i - 1] == ' ')
			i--;
	return i;
}

bool
text_clean(struct text *t, const char *p, size_t len, size_t max)
{
	size_t i, n, run = 0, written = 0;
	const char *out;
	bool plain_space = false;	/* the run of spaces here has no break */

	for (i = 0; i < len; i += run) {
		if (!is_space(p[i]))
			plain_space = false;
		if (!plain_space && (run = plain(p + i, len - i)) > 0) {
			/* most texts are this alone, in one piece */
			n = run < max - written ? run : max - written;
			text_put(t, p + i, n);
			if (t->failed || n < run)
				return false;
			written += n;
			continue;
		}
		if (is_space(p[i]) && !plain_space &&
		    (run = broken_space(p + i, len - i)) != 0) {
			out = " ";
			n = 1;
		} else if (is_space(p[i])) {
			/* known until the run ends: stay linear */
			plain_space = true;
			out = " ";
			n = run = 1;
		} else if ((n = run = text_utf8(p + i, len - i)) == 0 ||
		    is_control(p + i, n)) {
			out = "?";
			run = n == 0 ? 1 : n;
			n = 1;
		} else
			out = p + i;
		if (n > max - written)
			return false;
		text_put(t, out, n);
		if (t->failed)
			return false;
		written += n;
	}
	return true;
}

static bool
needs_quotes(const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if ((unsigned char)p[i] <= ' ' || (unsigned char)p[i] >= 0x7f ||
		    p[i] == '"' || p[i] == '\\' || p[i] == '=')
			return true;
	return len == 0;
}

void
text_field(struct text *t, const char *name, const char *value, size_t len,
    size_t max)
{
	size_t i, n, end = len < max ? len : max;

	if (t->len != 0)
		text_put(t, " ", 1);
	text_puts(t, name);
	text_put(t, "=", 1);
	if (len <= max && !needs_quotes(value, len)) {
		text_put(t, value, len);
		return;
	}
	text_put(t, "\"", 1);
	for (i = 0; i < end; i += n == 0 ? 1 : n) {
		n = text_utf8(value + i, len - i);
		if (n > end - i)
			break;	/* half a character is none */
		if (value[i] == '"' || value[i] == '\\')
			text_printf(t, "\\%c", value[i]);
		else if (n == 0 || (n == 1 && is_control(value + i, n)))
			text_printf(t, "\\x%02x", (unsigned char)value[i]);
		else if (is_control(value + i, n))
			text_printf(t, "\\x%02x\\x%02x", (unsigned char)value[i],
			    (unsigned char)value[i + 1]);
		else
			text_put(t, value + i, n);
	}
	text_puts(t, len > max ? "...\"" : "\"");
}

char *
text_dup_clean(const char *p, size_t len)
{
	char *s;
	size_t i;

	if ((s = malloc(len + 1)) == NULL)
		return NULL;
	for (i = 0; i < len; i++)
		s[i] = (unsigned char)p[i] < 0x20 || p[i] == 0x7f ? '?' : p[i];
	s[len] = '\0';
	return s;
}

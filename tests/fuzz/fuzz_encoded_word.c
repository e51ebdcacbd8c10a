/*
 * Mending of encoded words on any bytes: the result is one line and bounded.
 * Any UTF-8 text, each byte of it a word glued to the next, becomes right: a
 * second time there is nothing to do, and a reader of RFC 2047 that shares
 * nothing with the writer finds that text.
 */
#include "config.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "encoded_word.h"
#include "text.h"

int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool truth)
{
	if (!truth)
		abort();
}

static int
hex(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c == '\0' ? NULL :
	    strchr(digits, c >= 'A' && c <= 'F' ? c | 0x20 : c);

	return at == NULL ? -1 : (int)(at - digits);
}

/* Appends what the LEN bytes of Q are. */
static void
show_q(struct text *out, const char *p, size_t len)
{
	size_t i;
	char c;

	for (i = 0; i < len; i++) {
		c = p[i] == '_' ? ' ' : p[i];
		if (c == '=' && len - i > 2 && hex(p[i + 1]) >= 0 &&
		    hex(p[i + 2]) >= 0) {
			c = (char)(hex(p[i + 1]) * 16 + hex(p[i + 2]));
			i += 2;
		}
		text_put(out, &c, 1);
	}
}

static void
show_b(struct text *out, const char *p, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned int bits = 0, n = 0;
	char c;

	for (; len > 0 && *p != '='; p++, len--) {
		require(*p != '\0' && strchr(digits, *p) != NULL);
		bits = bits << 6 | (unsigned int)(strchr(digits, *p) - digits);
		if ((n += 6) >= 8) {
			n -= 8;
			c = (char)(bits >> n & 0xff);
			text_put(out, &c, 1);
		}
	}
}

/* What a mail program shows of the LEN bytes at P, words of our own form. */
static void
show(struct text *out, const char *p, size_t len)
{
	const char *end = p + len, *stop, *word;

	while (p < end) {
		if (end - p < 12 || memcmp(p, "=?UTF-8?", 8) != 0 ||
		    (p[8] != 'Q' && p[8] != 'B') || p[9] != '?') {
			text_put(out, p++, 1);
			continue;
		}
		word = p + 10;
		for (stop = word; stop < end && *stop != '?'; stop++)
			continue;
		require(end - stop >= 2 && stop[1] == '=');
		require((size_t)(stop + 2 - p) <= ENCODED_WORD_MAX);
		require(stop + 2 == end || stop[2] == ' ');
		if (p[8] == 'Q')
			show_q(out, word, (size_t)(stop - word));
		else
			show_b(out, word, (size_t)(stop - word));
		p = stop + 2;
		/* a blank between words is not shown */
		if (end - p > 9 && memcmp(p, " =?UTF-8?", 9) == 0)
			p++;
	}
}

/* The SIZE bytes at DATA as words that are glued are the same when mended. */
static void
check_glued(const char *data, size_t size)
{
	static const char digits[] = "0123456789ABCDEF";
	struct text in, out, shown;
	size_t i, n;
	bool whole = true;

	for (i = 0; i < size && whole; i += n) {
		n = text_utf8(data + i, size - i);
		whole = n > 0 && (unsigned char)data[i] >= 0x20 &&
		    data[i] != 0x7f && !(n == 2 && data[i] == '\xc2' &&
		    (unsigned char)data[i + 1] < 0xa0);
		n += n == 0;
	}
	if (!whole || size == 0)
		return;
	/* each byte is a word, so that most characters are split */
	text_init(&in, 16 * size + 8);
	text_puts(&in, "x");
	for (i = 0; i < size; i++)
		text_printf(&in, "=?UTF-8?Q?=%c%c?=",
		    digits[(unsigned char)data[i] >> 4],
		    digits[(unsigned char)data[i] & 0xf]);
	text_init(&out, ENCODED_WORD_MENDED_MAX(in.len));
	text_init(&shown, ENCODED_WORD_MENDED_MAX(in.len));
	if (in.len <= ENCODED_WORD_TEXT_MAX) {
		require(encoded_word_mend(&out, in.buf, in.len));
		show(&shown, out.buf, out.len);
		require(shown.len == size + 1 && shown.buf[0] == 'x');
		require(memcmp(shown.buf + 1, data, size) == 0);
		/* a second time there is nothing to do */
		require(!encoded_word_mend(&in, out.buf, out.len));
	}
	text_free(&in);
	text_free(&out);
	text_free(&shown);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1);
	struct text out;
	size_t i;

	if (copy == NULL)
		return 0;
	if (size > 0)
		memcpy(copy, data, size);
	text_init(&out, ENCODED_WORD_MENDED_MAX(size));
	if (encoded_word_mend(&out, copy, size)) {
		for (i = 0; i < out.len; i++)
			require((unsigned char)out.buf[i] >= 0x20 &&
			    out.buf[i] != 0x7f);
	} else
		require(out.len == 0 && !text_failed(&out));
	check_glued(copy, size);
	text_free(&out);
	free(copy);
	return 0;
}

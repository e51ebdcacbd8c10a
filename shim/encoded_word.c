/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * encoded_word: RFC 2047's encoded words in a subject, mended where they are
 * none.
 *
 * The text is read into a list of parts, the parts are decoded into one
 * string of bytes that each have a kind, and this string is written anew.
 */
#include "config.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "encoded_word.h"
#include "slice.h"
#include "text.h"

/* What a word has room for between "=?UTF-8?Q?" and "?=". */
#define ROOM	(ENCODED_WORD_MAX - 12)
/* A word has 9 bytes or more, and one part of other text before it. */
#define PARTS_MAX(len)	((len) / 4 + 2)

/* What a byte of the decoded text is. */
enum kind {
	KIND_PLAIN,	/* text outside of words */
	KIND_CODED,	/* text of a word: is encoded again */
	KIND_OPAQUE,	/* a word that stays as it was sent */
	KIND_DROPPED	/* nothing: only while it is decoded */
};

struct part {
	size_t		at, len;	/* in the text as it was sent */
	size_t		data, ndata;	/* what it decodes to, in `decoded' */
	enum kind	kind;
	bool		proper;		/* a word as RFC 2047 has them */
};

struct mending {
	const char	*in;
	size_t		 len;
	struct part	*parts;
	size_t		 nparts;
	char		*decoded;	/* of LEN bytes: words shrink */
	size_t		 ndecoded;
	char		*bytes;		/* the decoded text, LEN bytes at most */
	uint8_t		*kinds;		/* the kind of each */
	size_t		 n;
};

/* ---- reading ---- */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_space(char c)
{
	return is_blank(c) || c == '\r' || c == '\n';
}

/* A character of a word's charset: RFC 2047's token. */
static bool
is_token(unsigned char c)
{
	return c > ' ' && c < 0x7f && !slice_is_one_of(c, "()<>@,;:\"/[]?.=");
}

/* A character of a word's text, which has no blank. */
static bool
is_text(unsigned char c)
{
	return c > ' ' && c < 0x7f && c != '?';
}

static int
hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int
base64_value(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c == '\0' ? NULL : strchr(digits, c);

	return at == NULL ? -1 : (int)(at - digits);
}

/* Decodes Q's TEXT to OUT, which is as large; false if it is none. */
static bool
decode_q(struct slice text, char *out, size_t *n)
{
	const char *p = text.p, *end = text.p + text.len;

	for (*n = 0; p < end; p++) {
		if (*p == '=') {
			if (end - p < 3 || hex(p[1]) < 0 || hex(p[2]) < 0)
				return false;
			out[(*n)++] = (char)(hex(p[1]) * 16 + hex(p[2]));
			p += 2;
		} else
			out[(*n)++] = *p == '_' ? ' ' : *p;
	}
	return true;
}

/* The same for B. */
static bool
decode_b(struct slice text, char *out, size_t *n)
{
	size_t i, pad = 0;
	uint32_t bits = 0;

	if (text.len % 4 != 0)
		return false;
	while (pad < 2 && pad < text.len && text.p[text.len - 1 - pad] == '=')
		pad++;
	for (i = *n = 0; i < text.len - pad; i++) {
		if (base64_value(text.p[i]) < 0)
			return false;
		bits = bits << 6 | (uint32_t)base64_value(text.p[i]);
		if (i % 4 > 0)
			out[(*n)++] = (char)(bits >> (6 - 2 * (i % 4)) & 0xff);
	}
	return true;
}

/* Is CHARSET "UTF-8", perhaps with a language (RFC 2231, 5)? */
static bool
is_utf8(struct slice charset)
{
	static const char name[] = "utf-8";
	size_t i;

	for (i = 0; i < sizeof(name) - 1; i++)
		if (i == charset.len || (charset.p[i] | 0x20) != (name[i] | 0x20))
			return false;
	return i == charset.len || charset.p[i] == '*';
}

/* Takes a word off the front of S, as *PART; decodes it if it is UTF-8. */
static bool
take_word(struct mending *m, struct slice *s, struct part *part)
{
	struct slice charset, encoding, text, at = *s;
	char *out = m->decoded + m->ndecoded;

	if (!slice_take(&at, "=?") || !slice_take_word(&at, is_token, &charset) ||
	    !slice_take(&at, "?") || !slice_take_word(&at, is_token, &encoding) ||
	    !slice_take(&at, "?"))
		return false;
	(void)slice_take_word(&at, is_text, &text);
	if (text.len == 0 || !slice_take(&at, "?="))
		return false;
	part->data = m->ndecoded;
	part->ndata = 0;
	part->kind = KIND_OPAQUE;
	part->len = (size_t)(at.p - s->p);
	if (is_utf8(charset)) {
		if (encoding.len != 1 || !(slice_is_one_of(
		    (unsigned char)encoding.p[0], "Qq") ?
		    decode_q(text, out, &part->ndata) : slice_is_one_of(
		    (unsigned char)encoding.p[0], "Bb") &&
		    decode_b(text, out, &part->ndata)))
			return false;
		part->kind = KIND_CODED;
		m->ndecoded += part->ndata;
	}
	*s = at;
	return true;
}

/* Control characters: C0 but for TAB, DEL, and C1 as UTF-8. */
static bool
is_control(const char *p, size_t len)
{
	unsigned char c = (unsigned char)p[0];

	return (c < 0x20 && c != '\t') || c == 0x7f ||
	    (c == 0xc2 && len > 1 && (unsigned char)p[1] < 0xa0);
}

/* How many of the LEN bytes at P are whole characters? */
static size_t
whole(const char *p, size_t len)
{
	size_t i, n;

	for (i = 0; i < len && (n = text_utf8(p + i, len - i)) > 0; i += n)
		continue;
	return i;
}

static bool
has_control(const char *p, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (is_control(p + i, len - i))
			return true;
	return false;
}

/* Is this word one by RFC 2047, alone between blanks? */
static bool
is_proper(const struct mending *m, const struct part *part)
{
	size_t end = part->at + part->len;
	const char *data = m->decoded + part->data;

	return part->len <= ENCODED_WORD_MAX &&
	    whole(data, part->ndata) == part->ndata &&
	    !has_control(data, part->ndata) &&
	    (part->at == 0 || is_space(m->in[part->at - 1])) &&
	    (end == m->len || is_space(m->in[end]));
}

/* Divides the text into words and what is between them; is a word wrong? */
static bool
read_parts(struct mending *m)
{
	struct slice s = { m->in, m->len };
	struct part *plain = NULL, *part;
	bool wrong = false;

	while (s.len > 0) {
		part = &m->parts[m->nparts];
		part->at = m->len - s.len;
		if (take_word(m, &s, part)) {
			wrong = wrong || (part->kind == KIND_CODED &&
			    !is_proper(m, part));
			m->nparts++;
			plain = NULL;
			continue;
		}
		if (plain == NULL) {
			plain = part;
			plain->kind = KIND_PLAIN;
			plain->len = 0;
			m->nparts++;
		}
		plain->len++;
		slice_advance(&s, 1);
	}
	return wrong;
}

/* ---- decoding ---- */

static bool
is_spaces(const struct mending *m, const struct part *part)
{
	size_t i;

	for (i = 0; i < part->len; i++)
		if (!is_space(m->in[part->at + i]))
			return false;
	return part->kind == KIND_PLAIN;
}

/*
 * Are the blanks between words part of the text?  They are for a rspamd that
 * glues words or lets text stand beside them, not where there is nothing but
 * words.
 */
static bool
spaces_are_text(const struct mending *m)
{
	size_t i;

	for (i = 0; i < m->nparts; i++) {
		if (m->parts[i].kind == KIND_PLAIN && !is_spaces(m, &m->parts[i]))
			return true;
		if (i > 0 && m->parts[i].kind != KIND_PLAIN &&
		    m->parts[i - 1].kind != KIND_PLAIN)
			return true;
	}
	return false;
}

/* Blanks between words that are not shown are dropped. */
static void
drop_spaces(struct mending *m)
{
	size_t i;

	for (i = 1; i + 1 < m->nparts; i++)
		if (is_spaces(m, &m->parts[i]) &&
		    m->parts[i - 1].kind == KIND_CODED &&
		    m->parts[i + 1].kind == KIND_CODED)
			m->parts[i].kind = KIND_DROPPED;
}

/* The next word after the part I, over blanks at most; or no part. */
static size_t
next_word(const struct mending *m, size_t i)
{
	i++;
	if (i < m->nparts && (m->parts[i].kind == KIND_DROPPED ||
	    is_spaces(m, &m->parts[i])))
		i++;
	return i < m->nparts && m->parts[i].kind == KIND_CODED ? i : m->nparts;
}

/* Can more bytes make a character of the LEN > 0 bytes at P? */
static bool
is_begun(const char *p, size_t len)
{
	static const char *const ends[] = { "\x80\x80\x80", "\xbf\xbf\xbf" };
	char c[4];
	size_t i;

	if (len > 3)
		return false;
	memcpy(c, p, len);
	/* what may follow the first byte begins with 0x80 or ends with 0xbf */
	for (i = 0; i < 2; i++) {
		memcpy(c + len, ends[i], sizeof(c) - len);
		if (text_utf8(c, sizeof(c)) > len)
			return true;
	}
	return false;
}

/*
 * Joins the word FIRST with as many as it takes to end with a whole
 * character; blanks between them go.  A word that comes to none stays as it
 * was sent.  Returns the number of the part behind.
 */
static size_t
join(struct mending *m, size_t first)
{
	/* the data of words follow one another */
	const char *p = m->decoded + m->parts[first].data;
	const char *end = p + m->parts[first].ndata;
	size_t last = first, i;

	for (p += whole(p, (size_t)(end - p)); p < end;
	    p += whole(p, (size_t)(end - p))) {
		i = is_begun(p, (size_t)(end - p)) ? next_word(m, last) :
		    m->nparts;
		if (i == m->nparts) {
			m->parts[first].kind = KIND_OPAQUE;
			return first + 1;
		}
		last = i;
		end = m->decoded + m->parts[last].data + m->parts[last].ndata;
	}
	for (i = first; i < last; i++)
		if (m->parts[i].kind == KIND_PLAIN)
			m->parts[i].kind = KIND_DROPPED;
	return last + 1;
}

static void
add(struct mending *m, const char *p, size_t len, enum kind kind)
{
	memcpy(m->bytes + m->n, p, len);
	memset(m->kinds + m->n, (int)kind, len);
	m->n += len;
}

/*
 * Text outside of words becomes one line.  What is not ASCII is to be encoded,
 * and what is not UTF-8 is a '?', as everywhere in a report.
 */
static void
add_plain(struct mending *m, const char *p, size_t len)
{
	size_t i, n;

	for (i = 0; i < len; i += n) {
		n = text_utf8(p + i, len - i);
		if (n == 0) {
			add(m, "?", 1, KIND_CODED);
			n = 1;
		} else if (p[i] == '\t' || is_control(p + i, n)) {
			add(m, " ", 1, KIND_PLAIN);
			if (p[i] == '\r' && i + 1 < len && p[i + 1] == '\n')
				n++;
		} else
			add(m, p + i, n, n > 1 ? KIND_CODED : KIND_PLAIN);
	}
}

/* Control characters of words become blanks, two bytes of C1 one. */
static void
blank_controls(struct mending *m)
{
	size_t i, n = 0;

	for (i = 0; i < m->n; i++, n++) {
		m->bytes[n] = m->bytes[i];
		m->kinds[n] = m->kinds[i];
		if (m->kinds[i] != KIND_CODED || (m->bytes[i] != '\t' &&
		    !is_control(m->bytes + i, m->n - i)))
			continue;
		if ((unsigned char)m->bytes[i] == 0xc2)
			i++;
		m->bytes[n] = ' ';
	}
	m->n = n;
}

static void
decode(struct mending *m)
{
	const struct part *part;
	size_t i;

	for (i = 0; i < m->nparts;)
		i = m->parts[i].kind == KIND_CODED ? join(m, i) : i + 1;
	for (i = 0; i < m->nparts; i++) {
		part = &m->parts[i];
		if (part->kind == KIND_PLAIN)
			add_plain(m, m->in + part->at, part->len);
		else if (part->kind == KIND_CODED)
			add(m, m->decoded + part->data, part->ndata,
			    KIND_CODED);
		else if (part->kind == KIND_OPAQUE)
			add(m, m->in + part->at, part->len, KIND_OPAQUE);
	}
	blank_controls(m);
}

/* ---- writing ---- */

static bool
is_plain_blank(const struct mending *m, size_t i)
{
	return m->kinds[i] == KIND_PLAIN && m->bytes[i] == ' ';
}

/*
 * Text that is glued to what is encoded has to be encoded with it, and so have
 * blanks that would not be shown: those between two words.  Beside a word
 * that is left alone that is so where blanks are TEXT.
 */
static void
spread(struct mending *m, bool text)
{
	size_t i, end;

	for (i = 1; i < m->n; i++)
		if (m->kinds[i] == KIND_PLAIN && m->bytes[i] != ' ' &&
		    m->kinds[i - 1] == KIND_CODED)
			m->kinds[i] = KIND_CODED;
	for (i = m->n; i-- > 1;)
		if (m->kinds[i - 1] == KIND_PLAIN && m->bytes[i - 1] != ' ' &&
		    m->kinds[i] == KIND_CODED)
			m->kinds[i - 1] = KIND_CODED;
	for (i = 1; i < m->n; i = end + 1) {
		for (end = i; end < m->n && is_plain_blank(m, end); end++)
			continue;
		if (end == i || end == m->n || m->kinds[i - 1] == KIND_PLAIN ||
		    m->kinds[end] == KIND_PLAIN)
			continue;
		if (m->kinds[i - 1] != m->kinds[end] ? text :
		    m->kinds[end] == KIND_CODED)
			memset(m->kinds + i, KIND_CODED, end - i);
	}
}

/* How many characters of Q stand for the byte C? */
static size_t
q_width(char c)
{
	return slice_is_alnum((unsigned char)c) || c == ' ' ||
	    slice_is_one_of((unsigned char)c, "!*+-/") ? 1 : 3;
}

static void
put_q(struct text *out, const char *p, size_t len)
{
	static const char digits[] = "0123456789ABCDEF";
	char code[3] = "=";
	size_t i;

	text_puts(out, "=?UTF-8?Q?");
	for (i = 0; i < len; i++) {
		code[1] = digits[(unsigned char)p[i] >> 4];
		code[2] = digits[(unsigned char)p[i] & 0xf];
		if (p[i] == ' ')
			text_put(out, "_", 1);
		else if (q_width(p[i]) == 1)
			text_put(out, p + i, 1);
		else
			text_put(out, code, sizeof(code));
	}
	text_puts(out, "?=");
}

static void
put_b(struct text *out, const char *p, size_t len)
{
	text_puts(out, "=?UTF-8?B?");
	text_base64(out, p, len);
	text_puts(out, "?=");
}

/* Encodes LEN bytes: words of whole characters, in what is shorter. */
static void
put_words(struct text *out, const char *p, size_t len)
{
	size_t i, n, width, room, q = 0;
	bool as_q;

	for (i = 0; i < len; i++)
		q += q_width(p[i]);
	as_q = q <= (len + 2) / 3 * 4;
	while (len > 0) {
		room = as_q ? ROOM : ROOM / 4 * 3;
		for (i = 0; i < len; i += n, room -= width) {
			n = text_utf8(p + i, len - i);
			width = n > 1 && as_q ? 3 * n : as_q ? q_width(p[i]) : n;
			if (width > room)
				break;
		}
		if (as_q)
			put_q(out, p, i);
		else
			put_b(out, p, i);
		p += i;
		len -= i;
		if (len > 0)
			text_put(out, " ", 1);
	}
}

static void
encode(struct text *out, const struct mending *m)
{
	size_t i, end;

	for (i = 0; i < m->n; i = end) {
		for (end = i + 1; end < m->n && m->kinds[end] == m->kinds[i];)
			end++;
		if (m->kinds[i] != KIND_CODED) {
			text_put(out, m->bytes + i, end - i);
			continue;
		}
		/* a word that was left alone is beside this one */
		if (i > 0 && m->kinds[i - 1] == KIND_OPAQUE)
			text_put(out, " ", 1);
		put_words(out, m->bytes + i, end - i);
		if (end < m->n && m->kinds[end] == KIND_OPAQUE)
			text_put(out, " ", 1);
	}
}

static bool
mend(struct mending *m, struct text *out)
{
	size_t start = out->len;
	bool spaces;

	if (!read_parts(m))
		return false;
	if (!(spaces = spaces_are_text(m)))
		drop_spaces(m);
	decode(m);
	spread(m, spaces);
	encode(out, m);
	if (!text_failed(out))
		return true;
	text_rewind(out, start);
	return false;
}

/* May there be a word in the LEN bytes at P? */
static bool
has_words(const char *p, size_t len)
{
	struct slice s = { p, len };
	size_t at;

	return slice_find(&s, "=?", &at);
}

bool
encoded_word_mend(struct text *out, const char *text, size_t len)
{
	struct mending m = { .in = text, .len = len };
	bool mended = false;

	if (len > ENCODED_WORD_TEXT_MAX || text_failed(out) ||
	    !has_words(text, len))
		return false;
	m.parts = calloc(PARTS_MAX(len), sizeof(*m.parts));
	m.decoded = malloc(3 * len);
	if (m.parts != NULL && m.decoded != NULL) {
		m.bytes = m.decoded + len;
		m.kinds = (uint8_t *)m.bytes + len;
		mended = mend(&m, out);
	}
	free(m.parts);
	free(m.decoded);
	return mended;
}

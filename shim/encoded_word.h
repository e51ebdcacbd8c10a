/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * encoded_word: RFC 2047's encoded words in a subject, mended where they are
 * none.
 *
 * From 3.11 on rspamd rewrites subjects with words that are glued to text
 * and to one another, and to 3.14 with characters split between two words:
 *
 *	[SPAM] Gr=?UTF-8?Q?=C3=BC=C3=9F?=e
 *	[SPAM] =?UTF-8?Q?=F0=9F=8E?==?UTF-8?Q?=81?=
 *
 * Mail programs show such a word as it stands here.  A blank between two
 * words is then one of the subject, unless it is within a character: rspamd
 * writes none of its own.  (What rspamd wrote before 3.11 is nothing but
 * words, and the blanks between those are not shown, as RFC 2047 has it.)
 */
#ifndef ENCODED_WORD_H_
#define ENCODED_WORD_H_

#include <stdbool.h>
#include <stddef.h>

#include "text.h"

/* A longer text, in bytes, is left as it is. */
#define ENCODED_WORD_TEXT_MAX	16384

/* RFC 2047, 2: an encoded word has no more characters. */
#define ENCODED_WORD_MAX	75

/* A writer for what becomes of a text needs no more than this many bytes. */
#define ENCODED_WORD_MENDED_MAX(len)	(6 * (len) + 128)

/*
 * Looks for encoded words in the LEN bytes at TEXT, an unstructured header
 * value.  Where one in UTF-8 breaks RFC 2047 all of the text is encoded anew
 * and appended to OUT, as one line without control characters; returns true.
 * What is encoded:
 *
 *  - The words in UTF-8, each decoded once; a character that is split
 *    between words is whole again.  ASCII text that is glued to a word
 *    becomes part of it, other ASCII text stays as it is.
 *  - Control characters become blanks first.
 *  - Words in other charsets, and words that are not UTF-8, stay as they are.
 *
 * Returns false, with OUT as it was, where nothing is wrong, for a text that
 * is too long, and without memory.
 */
bool	encoded_word_mend(struct text *out, const char *text, size_t len);

#endif

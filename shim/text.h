/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * text: a bounded writer, and the cleaning of bytes that nobody vouches for.
 *
 * All heads, replies, reports and log lines are made with it.  A writer that
 * meets its bound or runs out of memory fails for good: nothing more is
 * appended, and text_failed() tells.  So a caller writes a whole piece and
 * asks once, at its end.
 */
#ifndef TEXT_H_
#define TEXT_H_

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
	char	*buf;		/* NUL-terminated when not NULL; owned */
	size_t	 len;		/* bytes in use, without the NUL */
	size_t	 size;		/* bytes allocated */
	size_t	 max;		/* LEN never exceeds this */
	bool	 failed;
};

/* Makes T an empty writer of at most MAX bytes.  Nothing is allocated yet. */
void	text_init(struct text *t, size_t max);

/* Frees what T owns and makes it empty again. */
void	text_free(struct text *t);

/* Did a write since text_init() or text_rewind() not fit? */
bool	text_failed(const struct text *t);

/* Shortens T to LEN bytes, a former value of t->len, and clears a failure. */
void	text_rewind(struct text *t, size_t len);

/* The bytes written so far as a string; "" when there are none. */
const char *text_string(const struct text *t);

/* Appends: LEN bytes as they are; a string; a number; a printf() format. */
void	text_put(struct text *t, const void *p, size_t len);
void	text_puts(struct text *t, const char *s);
void	text_number(struct text *t, uint64_t n);
void	text_printf(struct text *t, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));

/* Appends the LEN bytes at P in base64, padded. */
void	text_base64(struct text *t, const void *p, size_t len);

/*
 * Appends the LEN bytes at P as a piece of one line: a line break with the
 * white space around it becomes one space (so a folded header value is
 * unfolded), TAB becomes a space, other control characters (C1 too) and
 * bytes that are not UTF-8 become '?'.  At most MAX bytes are appended,
 * never half a character.  Returns whether all of it was.
 */
bool	text_clean(struct text *t, const char *p, size_t len, size_t max);

/*
 * Appends NAME=VALUE to a log line, after a space unless T is empty.  VALUE
 * is put in double quotes where it is empty or holds anything but plain
 * printing characters; in quotes, " and \ get a backslash, and control
 * characters and bytes that are not UTF-8 become \xNN.  At most MAX bytes
 * of VALUE are used; a value cut short is quoted and ends in "...".
 */
void	text_field(struct text *t, const char *name, const char *value,
	    size_t len, size_t max);

/*
 * The length of the UTF-8 character at P (LEN > 0 bytes are there), or 0 if
 * these bytes are none (RFC 3629: no overlong forms, no surrogates).
 */
size_t	text_utf8(const char *p, size_t len);

/* A copy of LEN bytes with control characters as '?'; NULL without memory. */
char	*text_dup_clean(const char *p, size_t len);

#endif

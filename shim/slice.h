/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slice: a part of somebody else's bytes, read from its front.
 *
 * A reader of a grammar takes what it expects off the front of a slice and
 * looks at what is left.  A slice owns nothing: its bytes are the caller's,
 * may hold anything (NUL too) and have no end mark.  Nothing here copies,
 * allocates or depends on the locale.
 *
 * The functions that take say whether they did; unless noted, one that did
 * not has left the slice as it was.
 */
#ifndef SLICE_H_
#define SLICE_H_

#include <stdbool.h>
#include <stddef.h>

struct slice {
	const char	*p;	/* may be NULL if LEN is 0 */
	size_t		 len;	/* bytes */
};

/* Drops N bytes from the front; S has that many. */
void	slice_advance(struct slice *s, size_t n);

/* Is C the next byte? */
bool	slice_next_is(const struct slice *s, char c);

/* Is all of it the same as B, or TEXT? */
bool	slice_equal(const struct slice *a, const struct slice *b);
bool	slice_equals_text(const struct slice *s, const char *text);

/* Finds the first TEXT in S and sets *AT to its offset; false if none. */
bool	slice_find(const struct slice *s, const char *text, size_t *at);

/* Takes TEXT. */
bool	slice_take(struct slice *s, const char *text);

/*
 * Takes all bytes up to the first that is not of CLASS, as *WORD, which is
 * empty if there is none; false if it is.
 */
bool	slice_take_word(struct slice *s, bool (*class)(unsigned char),
	    struct slice *word);

/* Takes "...", with its quotes; a backslash covers the byte after it. */
bool	slice_take_quoted(struct slice *s);

/* Takes C off the end. */
bool	slice_take_end(struct slice *s, char c);

/* Classes of bytes, in ASCII. */
bool	slice_is_digit(unsigned char c);
bool	slice_is_alnum(unsigned char c);

/* Is C a byte of the string SET?  NUL never is. */
bool	slice_is_one_of(unsigned char c, const char *set);

#endif

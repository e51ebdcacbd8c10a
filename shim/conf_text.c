/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "conf_text.h"

struct copy {
	FILE		*in, *out;
	size_t		 n;		/* bytes so far */
	unsigned int	 line;
	unsigned int	 began;		/* where the outermost section did */
	int		 depth;		/* of braces */
	const char	*fault;		/* NULL: none yet */
};

static const char no_end[] = "a section, a comment or a string has no end";

/* The next byte, or EOF at the end and at a fault. */
static int
get(struct copy *t)
{
	int c;

	if (t->fault != NULL || (c = getc(t->in)) == EOF)
		return EOF;
	if (c == '\0')
		t->fault = "a NUL byte";
	if (++t->n > CONF_TEXT_MAX)
		t->fault = "the file is larger than 1 MiB";
	t->line += c == '\n';
	return t->fault == NULL ? c : EOF;
}

static int
peek(struct copy *t)
{
	return ungetc(getc(t->in), t->in);
}

/* What began at LINE should not have come to the end of the file. */
static void
broken_off(struct copy *t, unsigned int line)
{
	if (t->fault != NULL)
		return;
	t->fault = no_end;
	t->line = line;
}

/*
 * Copies through the byte END, which a backslash hides if ESCAPES; what is
 * copied has begun with FIRST.  Returns END.
 */
static int
copy_through(struct copy *t, int first, int end, bool escapes)
{
	unsigned int began = t->line;
	int c;

	putc(first, t->out);
	while ((c = get(t)) != EOF) {
		putc(c, t->out);
		if (c == end)
			return c;
		if (escapes && c == '\\' && (c = get(t)) != EOF)
			putc(c, t->out);
	}
	broken_off(t, began);
	return end;
}

/* Skips a comment that ends with its line. */
static void
skip_line(struct copy *t)
{
	int c;

	while ((c = get(t)) != EOF && c != '\n')
		continue;
	if (c == '\n')
		putc(c, t->out);
}

/* Skips a comment whose first two bytes have been read. */
static void
skip_comment(struct copy *t)
{
	unsigned int began = t->line;
	int c, last = 0;

	while ((c = get(t)) != EOF) {
		putc(c == '\n' ? c : ' ', t->out);
		if (last == '*' && c == '/')
			return;
		last = c;
	}
	broken_off(t, began);
}

static void
copy_byte(struct copy *t, int c)
{
	if (c == '{' && t->depth++ == 0)
		t->began = t->line;
	if (c == '}' && t->depth > 0)
		t->depth--;
	putc(c, t->out);
}

/* Is C, outside of strings, part of a word? */
static bool
is_word(int c)
{
	return strchr(" \t\r\n={}()+,*#\"'", c) == NULL;
}

const char *
conf_text_copy(FILE *in, FILE *out, unsigned int *line)
{
	struct copy t = { .in = in, .out = out, .line = 1 };
	bool in_word = false;	/* where no comment with slashes begins */
	int c;

	while ((c = get(&t)) != EOF) {
		if (c == '"' || c == '\'')
			c = copy_through(&t, c, c, true);
		else if (c == '$' && !in_word && peek(&t) == '{')
			c = copy_through(&t, c, '}', false);
		else if (c == '#' || (c == '/' && !in_word && peek(&t) == '/')) {
			skip_line(&t);
			c = '\n';
		} else if (c == '/' && !in_word && peek(&t) == '*') {
			(void)get(&t);
			skip_comment(&t);
			c = ' ';
		} else
			copy_byte(&t, c);
		in_word = is_word(c);
	}
	if (t.depth > 0)
		broken_off(&t, t.began);
	/* a text of nothing could not be opened */
	putc(' ', out);
	*line = t.line;
	return t.fault;
}

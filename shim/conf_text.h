/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * conf_text: the text of a configuration file without its comments, and
 * without what libconfuse would take in silence: it counts the lines wrongly
 * from the first comment on, and takes a file that breaks off for a whole one.
 */
#ifndef CONF_TEXT_H_
#define CONF_TEXT_H_

#include <stdio.h>

/* Bytes of a file; a configuration has not nearly so many. */
#define CONF_TEXT_MAX	1048576

/*
 * Copies IN to OUT, each line to the same line; where a comment was, there
 * are blanks.  Returns NULL, or what is wrong, and sets *LINE to where it is
 * or begins.
 */
const char *conf_text_copy(FILE *in, FILE *out, unsigned int *line);

#endif

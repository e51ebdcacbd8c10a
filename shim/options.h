/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * options: the command line: what is to be done, and with which settings.
 */
#ifndef OPTIONS_H_
#define OPTIONS_H_

#include <stdio.h>

#include "conf.h"

/* Where several are asked for, the last of this list is done; but the first of
   --help and --version is done at once. */
enum options_task {
	OPTIONS_RUN,		/* the daemon */
	OPTIONS_CHECK,
	OPTIONS_DUMP,
	OPTIONS_PROBE,
	OPTIONS_TOP,
	OPTIONS_VERSION,
	OPTIONS_HELP
};

struct options {
	enum options_task task;
	struct conf_args args;	/* its strings are those of the command line */
	const char *page;	/* OPTIONS_TOP: the page's address, or NULL */
};

/*
 * Reads the command line, whose strings must outlive O, which need not be
 * initialized and must be freed in any case.  Its ARGV may be reordered.
 * Returns 0, or an exit code after the fault was told to ERR (those that
 * getopt_long() finds go to stderr).
 */
int	options_read(struct options *o, int argc, char **argv, FILE *err);

/* Frees what O owns. */
void	options_free(struct options *o);

#endif

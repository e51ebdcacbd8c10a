/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * repeat: lines for the log that come over and over.
 *
 * Lines are the same when their kind and what they are about are.  The first
 * few within a minute are let through, the others held back and counted; the
 * last of them and the count come out when the minute is over.  Nothing is
 * dropped without being told of.
 */
#ifndef REPEAT_H_
#define REPEAT_H_

#include <stdbool.h>
#include <stddef.h>

/* Seconds, and lines that are let through in them. */
#define REPEAT_WINDOW	60
#define REPEAT_FREE	5

/* Bytes of what a line is about that are compared, and of a line kept. */
#define REPEAT_ABOUT_MAX	64
#define REPEAT_LINE_MAX		400

/* Of all, and of one kind: the lines about further things count as one. */
#define REPEAT_MOST	64
#define REPEAT_MOST_KIND	8

struct repeat_entry {
	const void	*kind;		/* NULL: free */
	char		 about[REPEAT_ABOUT_MAX];
	double		 since;		/* when the window began */
	unsigned int	 seen;		/* let through in it */
	unsigned long	 held;		/* and held back */
	int		 priority;	/* of the last one held back */
	char		 line[REPEAT_LINE_MAX];
};

/* All zero is an empty one. */
struct repeat {
	struct repeat_entry	 list[REPEAT_MOST];
};

/*
 * May LINE be written at NOW, in seconds of any clock that only goes
 * forward?  If not it is held back.  KIND is compared as a pointer (a format
 * string, say), ABOUT as a string.  What is due is to be taken before.
 */
bool	repeat_allows(struct repeat *r, const void *kind, const char *about,
	    int priority, const char *line, double now);

/*
 * The next entry whose window is over at NOW (or any entry, for ALL) with
 * lines held back; they are told of by that.  NULL: there is none.  It stays
 * valid until the next call of either function.
 */
const struct repeat_entry *repeat_due(struct repeat *r, double now, bool all);

#endif

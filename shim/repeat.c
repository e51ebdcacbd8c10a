/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "repeat.h"

/*
 * The entry for lines of KIND about ABOUT, which may be a new one.  NULL if
 * there is no room.
 */
static struct repeat_entry *
find(struct repeat *r, const void *kind, const char *about)
{
	struct repeat_entry *e, *unused = NULL, *last = NULL;
	size_t i, kinds = 0;

	for (i = 0; i < REPEAT_MOST; i++) {
		e = &r->list[i];
		if (e->kind == NULL)
			unused = e;
		if (e->kind != kind)
			continue;
		if (strncmp(e->about, about, sizeof(e->about) - 1) == 0)
			return e;
		kinds++;
		last = e;
	}
	if (kinds >= REPEAT_MOST_KIND)
		return last;
	if (unused != NULL) {
		memset(unused, 0, sizeof(*unused));
		unused->kind = kind;
		(void)snprintf(unused->about, sizeof(unused->about), "%s",
		    about);
	}
	return unused;
}

bool
repeat_allows(struct repeat *r, const void *kind, const char *about,
    int priority, const char *line, double now)
{
	struct repeat_entry *e = find(r, kind, about);

	if (e == NULL)
		return true;
	if (e->seen == 0)
		e->since = now;
	if (e->seen < REPEAT_FREE) {
		e->seen++;
		return true;
	}
	e->held++;
	e->priority = priority;
	(void)snprintf(e->line, sizeof(e->line), "%s", line);
	return false;
}

const struct repeat_entry *
repeat_due(struct repeat *r, double now, bool all)
{
	struct repeat_entry *e;
	size_t i;

	for (i = 0; i < REPEAT_MOST; i++) {
		e = &r->list[i];
		if (e->kind == NULL ||
		    (!all && now - e->since < REPEAT_WINDOW))
			continue;
		e->kind = NULL;
		if (e->held > 0)
			return e;
	}
	return NULL;
}

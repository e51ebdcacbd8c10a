/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <string.h>

#include "room.h"

void
room_init(struct room *r, double wait)
{
	memset(r, 0, sizeof(*r));
	r->step = wait / 2 < ROOM_STEP_S ? wait / 2 : ROOM_STEP_S;
	r->answered = true;
}

bool
room_is_full(const struct room *r)
{
	return r->full;
}

bool
room_allows(const struct room *r, double now)
{
	return !r->full || r->places > 0 || now - r->last >= r->step;
}

void
room_begin(struct room *r, double now)
{
	if (!r->full)
		return;
	if (now - r->last >= r->step) {
		r->last = now;
		r->places += r->more;
		r->more *= 2;
		r->full = r->more <= ROOM_MORE_MAX;
	}
	if (r->places > 0)
		r->places--;
}

void
room_answered(struct room *r)
{
	r->answered = true;
	if (r->full)
		r->places++;
}

bool
room_refused(struct room *r, double now)
{
	bool begins = !r->full;

	if (begins)
		r->places = 0;
	r->more = 1;
	if (r->answered)
		r->since = now;
	r->full = true;
	r->answered = false;
	r->last = now;
	return begins;
}

bool
room_is_stuck(const struct room *r, double most, double now)
{
	return !r->answered && now - r->since > most;
}

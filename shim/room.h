/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * room: whether one backend takes more messages now, from those it refused.
 *
 * A rspamd that serves as many connections as its max_tasks allows closes
 * those that come above it at once.  How many that are it does not say, and
 * others may ask it, too.  So from a refusal on it gets one message for each
 * answer that it gives, to a message or to a /ping: by each a place is free.
 * Where it refuses nothing for a second it gets one message more, then two,
 * then four ...: were all that wait sent at once, most would be refused again.
 *
 * Times are seconds of any steady clock.
 */
#ifndef ROOM_H_
#define ROOM_H_

#include <stdbool.h>

/* It is given more after so many seconds without a refusal, or after half of
   the time that mail waits, if that is less; with so many more at a time it is
   not full. */
#define ROOM_STEP_S	1.0
#define ROOM_MORE_MAX	64

struct room {
	double		step;		/* seconds until it is given more */
	bool		full;		/* it has refused something lately */
	double		last;		/* when it did, or was given more */
	double		since;		/* the first time since it answered */
	bool		answered;	/* ... which it has, after that */
	unsigned int	places;		/* messages that it may have, if full */
	unsigned int	more;		/* ... and those of the next step */
};

/* R is that of a backend that has refused nothing, for which mail waits so many
   seconds; there is nothing to free. */
void	room_init(struct room *r, double wait);

/* Has it refused something lately? */
bool	room_is_full(const struct room *r);

/* May it have a message now?  If so, room_begin() must be told. */
bool	room_allows(const struct room *r, double now);
void	room_begin(struct room *r, double now);

/* It has answered a message or a /ping. */
void	room_answered(struct room *r);

/* It has refused a message or a /ping.  Returns true if it was not full. */
bool	room_refused(struct room *r, double now);

/* Has it answered nothing and refused for more than MOST seconds?  Then it is
   not only full. */
bool	room_is_stuck(const struct room *r, double most, double now);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * timer: deadlines and moments in seconds.
 */
#ifndef TIMER_H_
#define TIMER_H_

struct event;

/* EV, a timer, is to fire in SECONDS; an earlier setting is forgotten. */
void	timer_arm(struct event *ev, double seconds);

/* Now, by a clock that only goes forward; for differences. */
double	timer_now(void);

#endif

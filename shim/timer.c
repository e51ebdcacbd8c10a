/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/time.h>

#include <time.h>

#include <event2/event.h>

#include "timer.h"

void
timer_arm(struct event *ev, double seconds)
{
	struct timeval tv;

	tv.tv_sec = (time_t)seconds;
	tv.tv_usec = (suseconds_t)((seconds - (double)tv.tv_sec) * 1e6);
	(void)event_add(ev, &tv);
}

double
timer_now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

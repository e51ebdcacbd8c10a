/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/time.h>

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

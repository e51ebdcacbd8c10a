/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * systemd: the two protocols between systemd and a service, which other
 * supervisors speak as well: sockets that are handed over (sd_listen_fds(3))
 * and what the service tells of itself (sd_notify(3)).  Where nobody speaks
 * them nothing happens.
 */
#ifndef SYSTEMD_H_
#define SYSTEMD_H_

#include <stddef.h>

/* The first of the sockets that were handed over. */
#define SYSTEMD_FIRST_FD	3

/*
 * Takes what the environment says to this process, and removes it from there.
 * Before anything else of this module; again, it forgets what it took.
 */
void	systemd_init(void);

/* How many sockets were handed over: SYSTEMD_FIRST_FD and those after it. */
size_t	systemd_sockets(void);

/* What the I-th of them is called ("" where it has no name). */
const char *systemd_socket_name(size_t i);

/*
 * Tells STATE, lines of VARIABLE=VALUE.  What cannot be told is left untold:
 * nobody waits for it then.
 */
void	systemd_notify(const char *fmt, ...)
	    __attribute__((format(printf, 1, 2)));

/* In how many seconds WATCHDOG=1 is expected; 0: never. */
double	systemd_watchdog(void);

#endif

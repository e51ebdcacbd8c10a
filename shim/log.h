/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * log: lines to stderr or to syslog's mail facility.
 *
 * To stderr a line starts with the program's name and process id or, where
 * standard error is the journal's (systemd sets JOURNAL_STREAM), with the
 * priority as <N>.
 */
#ifndef LOG_H_
#define LOG_H_

#include <stdbool.h>

/* syslog's priorities, for the callers' convenience */
#include <syslog.h>

/* Where the lines go from now on. */
void	log_open(bool use_syslog);

/* One line at a priority of syslog's (LOG_ERR …). */
void	log_msg(int priority, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));

#endif

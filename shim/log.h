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

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* syslog's priorities, for the callers' convenience */
#include <syslog.h>

/* Where the lines go from now on. */
void	log_open(bool use_syslog);

/*
 * Where this process counts, in shared memory, the lines that standard error
 * did not take, and those that log_limited() held back.
 */
void	log_count(_Atomic uint64_t *lost, _Atomic uint64_t *repeated);

/* One line at a priority of syslog's (LOG_ERR …). */
void	log_msg(int priority, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));

/* The same of a line that is ready, of LEN bytes. */
void	log_line(int priority, const char *line, size_t len);

/*
 * The same for what may come over and over.  The first five lines of one FMT
 * about the same ABOUT (an address, or "") in a minute are written as they
 * come; of the rest the last is, with their number, when the minute is over.
 */
void	log_limited(int priority, const char *about, const char *fmt, ...)
	    __attribute__((format(printf, 3, 4)));

/* Writes what was held back and is due: to be called every few seconds. */
void	log_tick(void);

/* Writes all that was held back: the process ends. */
void	log_flush(void);

#endif

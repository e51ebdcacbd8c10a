/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * password_guard: how often a controller is sent a password that may be wrong.
 *
 * From 4.1 on rspamd takes none any more, the right one included, from an
 * address that sent ten wrong ones within a minute.  The guard keeps what all
 * workers send together below that: until the controller has accepted the
 * password, at most PASSWORD_GUARD_UNPROVEN requests in PASSWORD_GUARD_PAUSE
 * seconds; after it has refused it, one request in that time.
 *
 * One struct for each controller and configuration, in memory that the workers
 * share: a reload begins anew.  Any of them may have written any bytes there,
 * so that none can make the others wait longer than the pause.
 */
#ifndef PASSWORD_GUARD_H_
#define PASSWORD_GUARD_H_

#include <stdatomic.h>
#include <stdint.h>

/* Seconds.  rspamd counts wrong passwords of a minute. */
#define PASSWORD_GUARD_PAUSE	120
#define PASSWORD_GUARD_UNPROVEN	4

/* All zero is that of a password of which nothing is known. */
struct password_guard {
	_Atomic uint32_t state;		/* of an enum of its own */
	_Atomic uint32_t sent;		/* while nothing is known, since ... */
	_Atomic uint64_t since;		/* milliseconds, of any clock that only
					   goes forward */
	_Atomic uint64_t until;		/* none is sent before, likewise */
};

enum password_guard_answer {
	PASSWORD_GUARD_SEND,
	PASSWORD_GUARD_WAIT,		/* others have been sent: their answer
					   tells */
	PASSWORD_GUARD_REFUSED		/* it was refused: not before *LEFT */
};

/* May the password be sent at NOW, in seconds?  It counts as sent then. */
enum password_guard_answer password_guard_ask(struct password_guard *g,
	    double now, double *left);

/* The controller has answered at NOW: it took the password, or did not. */
void	password_guard_accepted(struct password_guard *g);
void	password_guard_refused(struct password_guard *g, double now);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * attempts: what has become of a message at the backends that it was sent to,
 * and so to which of them it may be sent, and for how often.
 *
 * A backend that loses a message may have died of it: it is sent twice at
 * most.  One that refuses it, which is a reset before it can have read all of
 * it, cannot have judged it: that does not count, but the backend gets it
 * again only after it has answered something else, by which it shows that it
 * has room again.  A message that is refused for the third time (a large one:
 * the second) is refused for itself, and not only for want of room.
 */
#ifndef ATTEMPTS_H_
#define ATTEMPTS_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A message that a backend has taken and lost is sent so often. */
#define ATTEMPTS_LOST	2

/* ... that was refused in the midst, by one backend or several. */
#define ATTEMPTS_REFUSED	3

/* From this size in bytes a refusal may be for the message's size (nobody
   sets max_message lower): it is sent once more only. */
#define ATTEMPTS_LARGE	65536

/* What a backend has shown of itself; both only grow. */
struct attempts_signs {
	uint64_t	answers;	/* to messages and /ping */
	uint64_t	absences;	/* nobody was there */
};

/* What a message has to do with one backend. */
struct attempt {
	bool		tried;		/* has failed; not again in this round */
	bool		gated;		/* has refused it, and ... */
	bool		touched;	/* ... after bytes of it were sent */
	struct attempts_signs signs;	/* those of the last refusal ... */
	uint64_t	absences;	/* ... and of the last of these */
};

struct attempts {
	struct attempt	*of;		/* each backend's; the owner's */
	size_t		 n;
	bool		 large;
	unsigned int	 lost;		/* sent, and may have been judged */
	unsigned int	 refused;	/* sent in part or whole, and not read */
};

/* Nothing has been tried with a message of LENGTH bytes; OF are N structs of
   zero bytes, which stay the caller's. */
void	attempts_init(struct attempts *a, struct attempt *of, size_t n,
	    size_t length);

/* May the backend of ATTEMPT, which has shown SIGNS, have the message now? */
bool	attempts_allow(const struct attempt *at,
	    const struct attempts_signs *signs);

/* The I-th could not be connected to: it is not asked in this round. */
void	attempts_absent(struct attempts *a, size_t i);

/*
 * The I-th has lost the message N times, which it may have judged, or
 * answered otherwise than with a verdict.  Returns whether the message may be
 * sent again.
 */
bool	attempts_lost(struct attempts *a, size_t i, unsigned int n);

/*
 * The I-th, with SIGNS, has refused the message, N times after bytes of it
 * had been sent.  Returns whether the message may be sent again.
 */
bool	attempts_refused(struct attempts *a, size_t i, unsigned int n,
	    const struct attempts_signs *signs);

/* Is the message to look whether a connection stands, before it is sent? */
bool	attempts_are_careful(const struct attempts *a);

/* How often it may be lost before it is not sent any more. */
unsigned int attempts_left(const struct attempts *a);

/* Those that have failed may be asked again. */
void	attempts_begin_again(struct attempts *a);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * budget: the bytes of messages that a worker may have in memory at a time.
 *
 * Who wants to read more of a message asks first, and reads on when there is
 * room: the client's own machine keeps the rest meanwhile.  Those who wait
 * are served in the order of their coming.  If all that is held belongs to
 * such as wait, the first of these is served beyond the limit, lest they
 * wait for each other, and so is it each time until it has given all back:
 * one message at a time is above the limit for that.
 */
#ifndef BUDGET_H_
#define BUDGET_H_

#include <sys/queue.h>

#include <stdbool.h>
#include <stdint.h>

/* Called by budget_serve() when what was asked for is granted. */
typedef void budget_cb(void *arg);

/* One who holds memory; its owner's, who fills in the two first. */
struct budget_holder {
	budget_cb	*cb;
	void		*arg;
	uint64_t	 held;		/* bytes; to be read only */
	uint64_t	 wanted;	/* it waits for so many more, or 0 */
	TAILQ_ENTRY(budget_holder) entry;	/* private */
};

TAILQ_HEAD(budget_queue, budget_holder);

struct budget {
	uint64_t	 limit;		/* bytes */
	uint64_t	 used;
	uint64_t	 stuck;		/* of these, held by such as wait */
	struct budget_holder *beyond;	/* served beyond the limit; or NULL */
	struct budget_queue queue;
	budget_cb	*wake;		/* budget_serve() is worthwhile */
	void		*arg;
};

/*
 * Nothing of LIMIT bytes is used; there is nothing to free.  WAKE is called
 * with ARG when somebody who waits may be served: it sees to it that
 * budget_serve() is called soon, and does not call it.
 */
void	budget_init(struct budget *b, uint64_t limit, budget_cb *wake,
	    void *arg);

/* Grants what can be granted now; the callbacks may do as they like. */
void	budget_serve(struct budget *b);

/*
 * Asks for N bytes more for H, which does not wait.  Returns true if they are
 * granted; else H waits, and its callback tells when they are.
 */
bool	budget_ask(struct budget *b, struct budget_holder *h, uint64_t n);

/* H has these N bytes already, whether there is room or not. */
void	budget_charge(struct budget *b, struct budget_holder *h, uint64_t n);

/* H, which does not wait, needs only N of its bytes. */
void	budget_keep(struct budget *b, struct budget_holder *h, uint64_t n);

/* H gives back all, and does not wait any longer; may be called twice. */
void	budget_release(struct budget *b, struct budget_holder *h);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * session: one client, from its first byte to its close.
 *
 * Every end of a session goes through one function, which writes its line to
 * the log, counts it and frees everything.
 */
#ifndef SESSION_H_
#define SESSION_H_

#include <sys/queue.h>
#include <sys/socket.h>

#include <stddef.h>

#include "backend.h"
#include "budget.h"
#include "clients.h"
#include "conf.h"
#include "metrics.h"

struct event_base;
struct pool;
struct session;

LIST_HEAD(session_list, session);

/* What the sessions of a worker share; owned by the worker. */
struct session_env {
	struct event_base	*base;
	const struct conf	*conf;
	struct backends		*backends;
	struct pool		*pool;		/* of them */
	struct backends		*controllers;	/* for TELL; may be none */
	struct metrics		*metrics;
	size_t			 slot;		/* of the metrics: this worker's */
	struct budget		 budget;	/* of messages' bytes */
	struct clients		*clients;
	struct session_list	 sessions;
	/* called when one has ended */
	void			(*ended)(void *arg);
	void			*arg;
};

/*
 * Serves the client on the non-blocking socket FD, which the session owns,
 * accepted on listener L from the address SA of LEN bytes.  A client that L
 * does not allow is turned away.
 */
void	session_start(struct session_env *env, const struct conf_listen *l,
	    int fd, const struct sockaddr *sa, socklen_t len);

/*
 * The worker is to stop: clients that have not sent a byte get a short time
 * for it, the others go on.
 */
void	sessions_hurry(struct session_env *env);

/* Ends all sessions as they are.  Returns how many there were. */
size_t	sessions_abort(struct session_env *env);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * inherited: the listening sockets that the daemon was started with, by
 * systemd or who else speaks its protocol (see systemd.h).
 *
 * They are never closed here: they outlive the daemon.
 */
#ifndef INHERITED_H_
#define INHERITED_H_

#include <sys/socket.h>

#include <stddef.h>

struct inherited;

/* One of them; owned by the list. */
struct inherited_socket {
	int		 fd;
	const char	*address;	/* as a configuration would write it */
	const char	*name;		/* what its giver calls it, or "" */
};

/*
 * Takes those that systemd_init() has found, none often enough.  Returns a
 * list, owned by the caller, or NULL after a line in the log; *EXIT_CODE is
 * one of sysexits then.
 */
struct inherited *inherited_take(int *exit_code);

/* Frees the list; NULL is allowed. */
void	inherited_free(struct inherited *in);

/* The I-th, or NULL after the last. */
const struct inherited_socket *inherited_get(const struct inherited *in,
	    size_t i);

/* The one that listens at SA, or NULL.  [::] that takes IPv4 as well is also
   the one at 0.0.0.0, if there is none for that alone. */
const struct inherited_socket *inherited_at(const struct inherited *in,
	    const struct sockaddr *sa);

#endif

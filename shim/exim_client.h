/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exim_client: who handed a mail to Exim, as Exim's Received: tells it.
 *
 * Each function here reads text of one line; which line follows which is
 * known to exim_lines.  A function that answers false may have filled *CLIENT
 * in part.
 */
#ifndef EXIM_CLIENT_H_
#define EXIM_CLIENT_H_

#include <stdbool.h>

#include "slice.h"

/* Slices of the caller's bytes; an empty one means not known. */
struct exim_client {
	struct slice	ip;		/* inet_pton() takes it */
	bool		ipv6;
	struct slice	helo;
	bool		helo_shown;	/* even if it counts as not known */
	struct slice	hostname;	/* verified; set by exim_lines */
};

/* All of S is "[IP] (port=N helo=HELO ident=IDENT)", or less of it. */
bool	exim_client_unnamed(struct slice s, struct exim_client *client);

/*
 * All of S is "([IP]:PORT helo=HELO ident=IDENT)", or less of it, as it
 * follows a host name.  HELO and IDENT together are on a line of their own;
 * FOLDED says that S is one.
 */
bool	exim_client_named(struct slice s, bool folded,
	    struct exim_client *client);

/* All of S is "(helo=HELO)", of mail without a client's address. */
bool	exim_client_local_helo(struct slice s, struct exim_client *client);

/* All of S is a local user's name, in quotes where it needs them. */
bool	exim_client_is_user(struct slice s);

/* All of S is a host's name. */
bool	exim_client_is_host(struct slice s);

/* Takes a host's name off the front of S, or nothing. */
bool	exim_client_take_host(struct slice *s, struct slice *host);

#endif

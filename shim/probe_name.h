/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * probe_name: the addresses of a rspamd, found as the daemon finds them.
 */
#ifndef PROBE_NAME_H_
#define PROBE_NAME_H_

#include <sys/socket.h>

#include <stddef.h>

#include "conf.h"

#define PROBE_NAME_MAX	8

struct probe_name {
	struct sockaddr_storage addr[PROBE_NAME_MAX];
	socklen_t	 len[PROBE_NAME_MAX];
	size_t		 n;
	bool		 looked_up;	/* it is a name, not an address */
	char		 why[128];	/* N is 0: what went wrong */
};

/* Finds the addresses of B, in at most TIMEOUT seconds. */
void	probe_name_resolve(struct probe_name *nm, const struct conf_backend *b,
	    double timeout);

/* The I-th as "192.0.2.1:11333", in a buffer that the next call writes to. */
const char *probe_name_text(const struct probe_name *nm, size_t i);

#endif

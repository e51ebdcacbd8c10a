/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * access: which client addresses are let in.
 */
#ifndef ACCESS_H_
#define ACCESS_H_

#include <sys/socket.h>

#include <stdbool.h>
#include <stddef.h>

/* One network.  IPv4 is kept as IPv4-mapped IPv6 (RFC 4291, 2.5.5.2). */
struct access_net {
	unsigned char	addr[16];
	unsigned int	bits;		/* of these 128 */
};

/*
 * Reads an address, "192.0.2.7" or "2001:db8::1", or a network with its
 * prefix length, "192.0.2.0/24".  Returns 0, or -1 where S is neither, or
 * has bits behind its prefix.
 */
int	access_parse(struct access_net *net, const char *s);

/*
 * Is SA in one of the N networks?  A client of a unix socket always is: the
 * socket's mode decides there.
 */
bool	access_allows(const struct access_net *nets, size_t n,
	    const struct sockaddr *sa);

#endif

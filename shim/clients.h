/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * clients: how many connections each client address has with a worker.
 *
 * An IPv6 client is known by its network of 64 bits, within which it may
 * choose; one that speaks IPv4 to a socket for both is an IPv4 client.  Clients
 * over a unix socket are not told apart, and not counted.
 */
#ifndef CLIENTS_H_
#define CLIENTS_H_

#include <sys/socket.h>

#include <stddef.h>

struct clients;

/* Of a name, with its NUL: an IPv6 address with a zone, and a port. */
#define CLIENTS_NAME_MAX	80

/* Nobody as yet; owned by the caller.  NULL without memory. */
struct clients *clients_new(void);
void	clients_free(struct clients *c);

/*
 * The client at SA has one more.  Returns how many it has then; 0 for one
 * that is not counted, or without memory: do not call clients_remove() for
 * that.
 */
size_t	clients_add(struct clients *c, const struct sockaddr *sa);

/* It has one less. */
void	clients_remove(struct clients *c, const struct sockaddr *sa);

/* Writes who is at SA, of LEN bytes, to BUF for people: HOST:PORT, [IPv6]:PORT
   or "unix". */
void	clients_name(char *buf, size_t size, const struct sockaddr *sa,
	    socklen_t len);

#endif

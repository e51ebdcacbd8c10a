/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "inherited.h"
#include "log.h"
#include "systemd.h"

/* "unix:" and a path, or an address and its port. */
#define ADDRESS_SIZE	128

struct entry {
	struct inherited_socket is;
	struct sockaddr_storage addr;
	bool		 dual;		/* IPv6's, that takes IPv4 too */
	char		 address[ADDRESS_SIZE];
	char		 name[64];
};

struct inherited {
	size_t		 n;
	struct entry	 list[];
};

/* Writes the address, of LEN bytes, as a configuration file would. */
static void
write_address(struct entry *e, socklen_t len)
{
	const struct sockaddr_un *sun = (const void *)&e->addr;
	char host[INET6_ADDRSTRLEN + IF_NAMESIZE + 1], port[8];
	bool six = e->addr.ss_family == AF_INET6;

	if (e->addr.ss_family == AF_UNIX)
		(void)snprintf(e->address, sizeof(e->address), "unix:%s%s",
		    sun->sun_path[0] == '\0' ? "@" : "",
		    sun->sun_path + (sun->sun_path[0] == '\0'));
	else if (getnameinfo((const struct sockaddr *)&e->addr, len, host,
	    sizeof(host), port, sizeof(port),
	    NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		(void)snprintf(e->address, sizeof(e->address), "%s%s%s:%s",
		    six ? "[" : "", host, six ? "]" : "", port);
}

/* Finds out what the socket is.  Returns why it is of no use, or NULL. */
static const char *
examine(struct entry *e)
{
	/* its last byte stays 0: a path need not end with one */
	socklen_t len = sizeof(e->addr) - 1, size = sizeof(int);
	int value = 0;

	if (getsockname(e->is.fd, (struct sockaddr *)&e->addr, &len) == -1)
		return strerror(errno);
	write_address(e, len);
	if (getsockopt(e->is.fd, SOL_SOCKET, SO_TYPE, &value, &size) == -1 ||
	    value != SOCK_STREAM)
		return "it is no stream socket (ListenStream=)";
	if (getsockopt(e->is.fd, SOL_SOCKET, SO_ACCEPTCONN, &value,
	    &size) == -1 || value == 0)
		return "it does not listen (Accept=no)";
	if (e->addr.ss_family == AF_INET6 && getsockopt(e->is.fd, IPPROTO_IPV6,
	    IPV6_V6ONLY, &value, &size) == 0)
		e->dual = value == 0;
	return NULL;
}

/* Gives the socket what those have that are opened here. */
static const char *
prepare(const struct entry *e)
{
	int flags = fcntl(e->is.fd, F_GETFL), one = 1;

	if (flags == -1 || fcntl(e->is.fd, F_SETFL, flags | O_NONBLOCK) == -1 ||
	    fcntl(e->is.fd, F_SETFD, FD_CLOEXEC) == -1)
		return strerror(errno);
	if (e->addr.ss_family != AF_UNIX)
		(void)setsockopt(e->is.fd, IPPROTO_TCP, TCP_NODELAY, &one,
		    sizeof(one));
	return NULL;
}

static bool
take(struct entry *e, size_t i)
{
	const char *why;

	e->is.fd = SYSTEMD_FIRST_FD + (int)i;
	e->is.address = e->address;
	e->is.name = e->name;
	(void)snprintf(e->address, sizeof(e->address), "descriptor %d",
	    e->is.fd);
	(void)snprintf(e->name, sizeof(e->name), "%s", systemd_socket_name(i));
	if ((why = examine(e)) == NULL && (why = prepare(e)) == NULL)
		return true;
	log_msg(LOG_ERR, "%s: the socket%s%s that systemd hands over cannot be "
	    "used: %s", e->address, e->name[0] != '\0' ? " of " : "", e->name,
	    why);
	return false;
}

struct inherited *
inherited_take(int *exit_code)
{
	size_t n = systemd_sockets();
	struct inherited *in;

	in = calloc(1, sizeof(*in) + n * sizeof(in->list[0]));
	if (in == NULL) {
		log_msg(LOG_ERR, "listening: out of memory");
		*exit_code = EX_OSERR;
		return NULL;
	}
	for (; in->n < n; in->n++)
		if (!take(&in->list[in->n], in->n)) {
			*exit_code = EX_CONFIG;
			inherited_free(in);
			return NULL;
		}
	return in;
}

void
inherited_free(struct inherited *in)
{
	free(in);
}

const struct inherited_socket *
inherited_get(const struct inherited *in, size_t i)
{
	return i < in->n ? &in->list[i].is : NULL;
}

static bool
same_ipv4(const void *x, const void *y)
{
	const struct sockaddr_in *a = x, *b = y;

	return a->sin_port == b->sin_port &&
	    a->sin_addr.s_addr == b->sin_addr.s_addr;
}

static bool
same_ipv6(const void *x, const void *y)
{
	const struct sockaddr_in6 *a = x, *b = y;

	return a->sin6_port == b->sin6_port &&
	    a->sin6_scope_id == b->sin6_scope_id &&
	    IN6_ARE_ADDR_EQUAL(&a->sin6_addr, &b->sin6_addr);
}

static bool
same_path(const void *x, const void *y)
{
	const struct sockaddr_un *a = x, *b = y;

	return strcmp(a->sun_path, b->sun_path) == 0;
}

static bool
is_at(const struct entry *e, const struct sockaddr *sa)
{
	if (e->addr.ss_family != sa->sa_family)
		return false;
	switch (sa->sa_family) {
	case AF_INET:
		return same_ipv4(&e->addr, sa);
	case AF_INET6:
		return same_ipv6(&e->addr, sa);
	case AF_UNIX:
		return same_path(&e->addr, sa);
	default:
		return false;
	}
}

/* Does E, [::], stand in for SA, 0.0.0.0? */
static bool
covers(const struct entry *e, const struct sockaddr *sa)
{
	const struct sockaddr_in6 *six = (const void *)&e->addr;
	const struct sockaddr_in *four = (const void *)sa;

	return e->dual && sa->sa_family == AF_INET &&
	    IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr) &&
	    four->sin_addr.s_addr == htonl(INADDR_ANY) &&
	    four->sin_port == six->sin6_port;
}

const struct inherited_socket *
inherited_at(const struct inherited *in, const struct sockaddr *sa)
{
	size_t i;

	for (i = 0; i < in->n; i++)
		if (is_at(&in->list[i], sa))
			return &in->list[i].is;
	for (i = 0; i < in->n; i++)
		if (covers(&in->list[i], sa))
			return &in->list[i].is;
	return NULL;
}

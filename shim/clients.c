/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/queue.h>
#include <sys/random.h>

#include <netdb.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients.h"

#define BUCKETS		1024

struct client {
	LIST_ENTRY(client) entry;
	uint64_t	 key;
	size_t		 n;
};

LIST_HEAD(bucket, client);

struct clients {
	uint64_t	 seed;		/* nobody can choose its bucket */
	struct bucket	 bucket[BUCKETS];
};

struct clients *
clients_new(void)
{
	struct clients *c;
	size_t i;

	if ((c = calloc(1, sizeof(*c))) == NULL)
		return NULL;
	/* without it the lists may be longer, no more */
	(void)!getrandom(&c->seed, sizeof(c->seed), GRND_NONBLOCK);
	for (i = 0; i < BUCKETS; i++)
		LIST_INIT(&c->bucket[i]);
	return c;
}

void
clients_free(struct clients *c)
{
	struct client *k;
	size_t i;

	for (i = 0; c != NULL && i < BUCKETS; i++)
		while ((k = LIST_FIRST(&c->bucket[i])) != NULL) {
			LIST_REMOVE(k, entry);
			free(k);
		}
	free(c);
}

/* No network of IPv6 that is in use begins like this. */
static uint64_t
key_of_ipv4(uint32_t addr)
{
	return UINT64_C(0xffffffff00000000) | addr;
}

/* Who is at SA, as a number; 0 for a unix socket. */
static uint64_t
key_of(const struct sockaddr *sa)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	uint64_t key = 0;
	uint32_t v4;

	if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		key = key_of_ipv4(in.sin_addr.s_addr);
	} else if (sa->sa_family == AF_INET6) {
		memcpy(&in6, sa, sizeof(in6));
		if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
			memcpy(&v4, &in6.sin6_addr.s6_addr[12], sizeof(v4));
			return key_of_ipv4(v4);
		}
		memcpy(&key, &in6.sin6_addr, sizeof(key));
		/* ::1 and the like: not the mark of a unix socket */
		if (key == 0)
			key = 1;
	}
	return key;
}

static struct bucket *
bucket_of(struct clients *c, uint64_t key)
{
	uint64_t h = (key ^ c->seed) * UINT64_C(0x9e3779b97f4a7c15);

	return &c->bucket[(h ^ h >> 32) % BUCKETS];
}

static struct client *
find(struct bucket *b, uint64_t key)
{
	struct client *k;

	LIST_FOREACH(k, b, entry)
		if (k->key == key)
			break;
	return k;
}

size_t
clients_add(struct clients *c, const struct sockaddr *sa)
{
	uint64_t key = key_of(sa);
	struct bucket *b = bucket_of(c, key);
	struct client *k;

	if (key == 0)
		return 0;
	if ((k = find(b, key)) == NULL) {
		if ((k = calloc(1, sizeof(*k))) == NULL)
			return 0;
		k->key = key;
		LIST_INSERT_HEAD(b, k, entry);
	}
	return ++k->n;
}

void
clients_remove(struct clients *c, const struct sockaddr *sa)
{
	uint64_t key = key_of(sa);
	struct client *k = find(bucket_of(c, key), key);

	if (k == NULL || --k->n > 0)
		return;
	LIST_REMOVE(k, entry);
	free(k);
}

void
clients_name(char *buf, size_t size, const struct sockaddr *sa, socklen_t len)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (sa->sa_family == AF_UNIX)
		(void)snprintf(buf, size, "unix");
	else if (getnameinfo(sa, len, host, sizeof(host), port, sizeof(port),
	    NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		(void)snprintf(buf, size, sa->sa_family == AF_INET6 ?
		    "[%s]:%s" : "%s:%s", host, port);
	else
		(void)snprintf(buf, size, "unknown");
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <stdlib.h>
#include <string.h>

#include "access.h"

static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0xff, 0xff };

static void
map_ipv4(unsigned char *out, const void *in)
{
	memcpy(out, mapped, sizeof(mapped));
	memcpy(out + sizeof(mapped), in, 4);
}

/* Are ADDR's bits from BITS on all zero? */
static bool
is_network(const unsigned char *addr, unsigned int bits)
{
	unsigned int i;

	for (i = bits; i < 128; i++)
		if ((addr[i / 8] & (0x80 >> (i % 8))) != 0)
			return false;
	return true;
}

int
access_parse(struct access_net *net, const char *s)
{
	const char *slash = strchr(s, '/');
	size_t len = slash != NULL ? (size_t)(slash - s) : strlen(s);
	unsigned int most = 128;
	char addr[64], *end;
	long bits;
	unsigned char v4[4];

	if (len == 0 || len >= sizeof(addr))
		return -1;
	memcpy(addr, s, len);
	addr[len] = '\0';
	if (inet_pton(AF_INET, addr, v4) == 1) {
		map_ipv4(net->addr, v4);
		most = 32;
	} else if (inet_pton(AF_INET6, addr, net->addr) != 1)
		return -1;
	net->bits = 128;
	if (slash == NULL)
		return 0;
	bits = strtol(slash + 1, &end, 10);
	if (slash[1] < '0' || slash[1] > '9' || *end != '\0' || bits < 0 ||
	    bits > (long)most)
		return -1;
	net->bits = (unsigned int)bits + 128 - most;
	return is_network(net->addr, net->bits) ? 0 : -1;
}

static bool
is_in(const unsigned char *addr, const struct access_net *net)
{
	unsigned int whole = net->bits / 8, rest = net->bits % 8;

	if (memcmp(addr, net->addr, whole) != 0)
		return false;
	return rest == 0 || (addr[whole] ^ net->addr[whole]) >> (8 - rest) == 0;
}

bool
access_allows(const struct access_net *nets, size_t n,
    const struct sockaddr *sa)
{
	unsigned char addr[16];
	size_t i;

	if (sa->sa_family == AF_UNIX)
		return true;
	if (sa->sa_family == AF_INET)
		map_ipv4(addr,
		    &((const struct sockaddr_in *)(const void *)sa)->sin_addr);
	else if (sa->sa_family == AF_INET6)
		memcpy(addr, &((const struct sockaddr_in6 *)
		    (const void *)sa)->sin6_addr, sizeof(addr));
	else
		return false;
	for (i = 0; i < n; i++)
		if (is_in(addr, &nets[i]))
			return true;
	return false;
}

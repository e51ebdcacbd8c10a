/*
 * address: the socket addresses of the benchmark's programs, HOST:PORT with
 * a numeric host, or unix:/path.  No port is port 0.
 */
#ifndef BENCH_ADDRESS_H_
#define BENCH_ADDRESS_H_

#include <sys/socket.h>
#include <sys/un.h>

#include <stdio.h>
#include <string.h>

#include <event2/util.h>

struct address {
	struct sockaddr_storage ss;
	socklen_t	 len;
};

/* Reads S into A.  Returns 0, or -1 where it is no address. */
static inline int
address_parse(struct address *a, const char *s)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int len = (int)sizeof(a->ss);

	memset(a, 0, sizeof(*a));
	if (strncmp(s, "unix:", 5) == 0) {
		if (strlen(s + 5) >= sizeof(sun.sun_path))
			return -1;
		(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", s + 5);
		memcpy(&a->ss, &sun, sizeof(sun));
		a->len = sizeof(sun);
		return 0;
	}
	if (evutil_parse_sockaddr_port(s, (struct sockaddr *)&a->ss, &len) != 0)
		return -1;
	a->len = (socklen_t)len;
	return 0;
}

#endif

/*
 * exim_stubs: small doubles of the functions of Exim that the shared files of
 * the patches call.  Networking is real, on loopback only: every other address
 * refuses.  The name "two.example" has the addresses 192.0.2.1 and 127.0.0.1.
 */
#include <arpa/inet.h>
#include <stdarg.h>
#include <stdint.h>

#include "exim_stubs.h"

volatile BOOL sigalrm_seen;

static char logged[65536];
static size_t logged_len;
static const int zero[] = { 0 };
static const int *numbers = zero;
static size_t nnumbers = 1, number;
static bool limits_ok = true;
static unsigned int (*sleep_hook)(unsigned int);

void
stub_reset(void)
{
	logged_len = 0;
	logged[0] = '\0';
	stub_random(zero, 1);
	limits_ok = true;
	sleep_hook = NULL;
}

const char *
stub_log(void)
{
	return logged;
}

void
stub_random(const int *n, size_t count)
{
	numbers = n;
	nnumbers = count;
	number = 0;
}

bool
stub_random_limits_ok(void)
{
	return limits_ok;
}

void
stub_sleep(unsigned int (*hook)(unsigned int))
{
	sleep_hook = hook;
}

unsigned int
sleep(unsigned int seconds)
{
	return sleep_hook != NULL ? sleep_hook(seconds) : 0;
}

void
log_write(unsigned int selector, int flags, const char *format, ...)
{
	va_list ap;
	int n;

	(void)selector;
	(void)flags;
	va_start(ap, format);
	n = vsnprintf(logged + logged_len, sizeof(logged) - logged_len, format,
	    ap);
	va_end(ap);
	if (n < 0 || (size_t)n + 2 > sizeof(logged) - logged_len)
		abort();
	logged_len += (size_t)n;
	logged[logged_len++] = '\n';
	logged[logged_len] = '\0';
}

void
debug_printf(const char *format, ...)
{
	(void)format;
}

void *
store_get(size_t size)
{
	void *p = malloc(size);

	if (p == NULL)
		abort();
	return p;
}

int
random_number(int limit)
{
	if (limit < 1 || limit > 65536)
		limits_ok = false;
	return numbers[number++ % nnumbers] % limit;
}

int
readconf_readtime(uschar *s, int terminator, BOOL return_msec)
{
	char unit, more;
	int n;

	(void)terminator;
	(void)return_msec;
	if (sscanf(CCS s, "%d%c%c", &n, &unit, &more) != 2)
		return -1;
	return unit == 's' ? n : unit == 'm' ? n * 60 : -1;
}

int
string_is_ip_address(uschar *s, int *mask)
{
	struct in_addr v4;
	struct in6_addr v6;

	(void)mask;
	if (inet_pton(AF_INET, CCS s, &v4) == 1)
		return 4;
	return inet_pton(AF_INET6, CCS s, &v6) == 1 ? 6 : 0;
}

int
host_find_byname(host_item *host, uschar *ignore, int flags, uschar **name,
    BOOL local)
{
	static host_item second;

	(void)ignore;
	(void)flags;
	(void)name;
	(void)local;
	if (strcmp(CCS host->name, "two.example") != 0)
		return HOST_FIND_FAILED;
	second = *host;
	host->address = US "192.0.2.1";
	second.address = US "127.0.0.1";
	host->next = &second;
	return HOST_FOUND;
}

int
ip_socket(int type, int family)
{
	return socket(family, type, 0);
}

int
ip_connect(int sock, int family, uschar *address, int port, int timeout)
{
	struct sockaddr_in in4 = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	(void)timeout;
	in4.sin_port = in6.sin6_port = htons((uint16_t)port);
	if (family == AF_INET && strcmp(CCS address, "127.0.0.1") == 0) {
		in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return connect(sock, (struct sockaddr *)&in4, sizeof(in4));
	}
	if (family == AF_INET6 && strcmp(CCS address, "::1") == 0) {
		in6.sin6_addr = in6addr_loopback;
		return connect(sock, (struct sockaddr *)&in6, sizeof(in6));
	}
	errno = ECONNREFUSED;
	return -1;
}

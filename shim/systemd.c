/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "systemd.h"

#define STATE_SIZE	1024
#define NAME_SIZE	256	/* systemd's own limit is 255 bytes */

static struct {
	struct sockaddr_un notify;
	socklen_t	 notify_len;	/* 0: nobody listens */
	size_t		 nsockets;
	char		*names;		/* NAME:NAME:..., or NULL */
	double		 watchdog;
	bool		 failed;	/* to notify; that was logged */
} told;

/* The number in the variable NAME; 0 for none. */
static unsigned long long
number(const char *name)
{
	const char *s = getenv(name);
	unsigned long long n;
	char *end;

	if (s == NULL || s[0] < '0' || s[0] > '9')
		return 0;
	errno = 0;
	n = strtoull(s, &end, 10);
	return *end == '\0' && errno == 0 ? n : 0;
}

static void
take_sockets(void)
{
	const char *names = getenv("LISTEN_FDNAMES");
	unsigned long long n = number("LISTEN_FDS");

	told.nsockets = 0;
	free(told.names);
	told.names = NULL;
	/* our parent's variables are none of our business */
	if (number("LISTEN_PID") == (unsigned long long)getpid() && n < 65536) {
		told.nsockets = (size_t)n;
		told.names = names != NULL ? strdup(names) : NULL;
	}
}

/* A path, or @ and a name of the abstract kind. */
static void
take_notify(void)
{
	const char *s = getenv("NOTIFY_SOCKET");
	size_t len = s != NULL ? strlen(s) : 0;

	told.notify_len = 0;
	if (len < 2 || len >= sizeof(told.notify.sun_path) ||
	    (s[0] != '/' && s[0] != '@')) {
		if (len > 0)
			log_msg(LOG_WARNING, "NOTIFY_SOCKET=%s: no address "
			    "that is known here", s);
		return;
	}
	memset(&told.notify, 0, sizeof(told.notify));
	told.notify.sun_family = AF_UNIX;
	memcpy(told.notify.sun_path, s, len);
	told.notify_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
	    len);
	if (s[0] == '@')
		told.notify.sun_path[0] = '\0';
	else
		told.notify_len++;
}

static void
take_watchdog(void)
{
	unsigned long long pid = number("WATCHDOG_PID");

	told.watchdog = 0;
	if (pid == 0 || pid == (unsigned long long)getpid())
		told.watchdog = (double)number("WATCHDOG_USEC") / 1e6;
}

void
systemd_init(void)
{
	take_sockets();
	take_notify();
	take_watchdog();
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	(void)unsetenv("NOTIFY_SOCKET");
	(void)unsetenv("WATCHDOG_PID");
	(void)unsetenv("WATCHDOG_USEC");
}

size_t
systemd_sockets(void)
{
	return told.nsockets;
}

const char *
systemd_socket_name(size_t i)
{
	static char name[NAME_SIZE];
	const char *s = told.names;

	for (; s != NULL && i > 0; i--)
		if ((s = strchr(s, ':')) != NULL)
			s++;
	(void)snprintf(name, sizeof(name), "%.*s",
	    s != NULL ? (int)strcspn(s, ":") : 0, s != NULL ? s : "");
	return name;
}

double
systemd_watchdog(void)
{
	return told.notify_len > 0 ? told.watchdog : 0;
}

void
systemd_notify(const char *fmt, ...)
{
	/* whoever does not read is not to stop us */
	struct timeval most = { 1, 0 };
	char state[STATE_SIZE];
	va_list ap;
	bool failed;
	int fd;

	if (told.notify_len == 0)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(state, sizeof(state), fmt, ap);
	va_end(ap);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	failed = fd == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &most, sizeof(most)) == -1 ||
	    sendto(fd, state, strlen(state), MSG_NOSIGNAL,
	    (const struct sockaddr *)&told.notify, told.notify_len) == -1;
	if (failed && !told.failed)
		log_msg(LOG_WARNING, "cannot notify the service manager: %s",
		    strerror(errno));
	told.failed = failed;
	if (fd != -1)
		(void)close(fd);
}

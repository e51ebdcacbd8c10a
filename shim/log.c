/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/stat.h>
#include <sys/uio.h>

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

/* With its prefix a line is a page at most: a pipe takes it whole. */
#define LINE_SIZE	4000

static bool to_syslog;
static char prefix[64];
static unsigned long lost;	/* lines that stderr did not take */

/* Is standard error systemd's journal?  It says by the file's numbers. */
static bool
to_journal(void)
{
	const char *s = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return s != NULL && sscanf(s, "%llu:%llu", &dev, &ino) == 2 &&
	    fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev &&
	    st.st_ino == ino;
}

void
log_open(bool use_syslog)
{
	to_syslog = use_syslog;
	/* the digit is each line's priority */
	if (to_journal())
		(void)snprintf(prefix, sizeof(prefix), "<0>");
	else
		(void)snprintf(prefix, sizeof(prefix), PACKAGE_NAME "[%ld]: ",
		    (long)getpid());
	if (use_syslog)
		openlog(PACKAGE_NAME, LOG_PID | LOG_NDELAY, LOG_MAIL);
	else
		closelog();
}

/*
 * Writes a line in one piece, so that those of several workers do not mix,
 * unless standard error would make us wait: mail goes on without it.
 */
static bool
write_line(char *line, size_t len)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
	struct iovec iov[3];

	if (poll(&p, 1, 0) != 1 || (p.revents & POLLOUT) == 0)
		return false;
	iov[0].iov_base = prefix;
	iov[0].iov_len = strlen(prefix);
	iov[1].iov_base = line;
	iov[1].iov_len = len;
	iov[2].iov_base = (char []){ "\n" };
	iov[2].iov_len = 1;
	return writev(STDERR_FILENO, iov, 3) != -1;
}

static void
to_stderr(int priority, char *line, size_t len)
{
	char note[80];

	if (prefix[0] == '\0')
		log_open(false);
	if (prefix[0] == '<')
		prefix[1] = (char)('0' + priority);
	if (lost > 0) {
		(void)snprintf(note, sizeof(note), "%lu lines of the log were "
		    "lost: nobody read them", lost);
		if (write_line(note, strlen(note)))
			lost = 0;
	}
	if (!write_line(line, len))
		lost++;
}

void
log_msg(int priority, const char *fmt, ...)
{
	char line[LINE_SIZE];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (to_syslog)
		syslog(priority, "%s", line);
	else
		to_stderr(priority, line, strlen(line));
}

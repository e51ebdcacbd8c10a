#include "config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "log.h"

#define LINE_SIZE	4096

static bool to_syslog;

void
log_open(bool use_syslog)
{
	to_syslog = use_syslog;
	if (use_syslog)
		openlog(PACKAGE_NAME, LOG_PID | LOG_NDELAY, LOG_MAIL);
	else
		closelog();
}

void
log_msg(int priority, const char *fmt, ...)
{
	char line[LINE_SIZE], prefix[64];
	struct iovec iov[3];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (to_syslog) {
		syslog(priority, "%s", line);
		return;
	}
	if (getenv("JOURNAL_STREAM") != NULL)
		(void)snprintf(prefix, sizeof(prefix), "<%d>", priority);
	else
		(void)snprintf(prefix, sizeof(prefix), PACKAGE_NAME "[%ld]: ",
		    (long)getpid());
	/* one write: the lines of several workers do not mix */
	iov[0].iov_base = prefix;
	iov[0].iov_len = strlen(prefix);
	iov[1].iov_base = line;
	iov[1].iov_len = strlen(line);
	iov[2].iov_base = (char []){ "\n" };
	iov[2].iov_len = 1;
	if (writev(STDERR_FILENO, iov, 3) == -1)
		return;		/* nowhere to say it */
}

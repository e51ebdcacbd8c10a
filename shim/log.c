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
#include "repeat.h"
#include "timer.h"

/* With its prefix a line is a page at most: a pipe takes it whole. */
#define LINE_SIZE	4000

static bool to_syslog;
static bool may_block;		/* is stderr more than a file? */
static char prefix[64];
static unsigned long lost;	/* lines that stderr did not take */
static bool torn;		/* it has taken a part of the last */
static struct repeat repeats;
static pid_t repeats_of;	/* the process that they are of */
static _Atomic uint64_t *count_lost, *count_repeated;

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
	struct stat st;

	to_syslog = use_syslog;
	/* what a parent has held back it will tell of itself */
	if (repeats_of != getpid())
		memset(&repeats, 0, sizeof(repeats));
	repeats_of = getpid();
	may_block = !(fstat(STDERR_FILENO, &st) == 0 && S_ISREG(st.st_mode));
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
 * unless standard error would make us wait: mail goes on without it.  A disk
 * that fills up takes a part of a line: that one is lost, too.
 */
static bool
write_line(const char *line, size_t len)
{
	struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
	struct iovec iov[4];
	size_t total = 0;
	ssize_t n;
	int i;

	if (may_block && (poll(&p, 1, 0) != 1 || (p.revents & POLLOUT) == 0))
		return false;
	iov[0].iov_base = (char []){ "\n" };
	iov[0].iov_len = torn ? 1 : 0;
	iov[1].iov_base = prefix;
	iov[1].iov_len = strlen(prefix);
	iov[2].iov_base = (void *)(uintptr_t)line;
	iov[2].iov_len = len < LINE_SIZE ? len : LINE_SIZE - 1;
	iov[3].iov_base = (char []){ "\n" };
	iov[3].iov_len = 1;
	for (i = 0; i < 4; i++)
		total += iov[i].iov_len;
	n = writev(STDERR_FILENO, iov, 4);
	if (n > 0)
		torn = (size_t)n < total;
	return n > 0 && !torn;
}

static void
to_stderr(int priority, const char *line, size_t len)
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
	if (write_line(line, len))
		return;
	lost++;
	if (count_lost != NULL)
		++*count_lost;
}

void
log_line(int priority, const char *line, size_t len)
{
	if (to_syslog)
		syslog(priority, "%.*s", (int)len, line);
	else
		to_stderr(priority, line, len);
}

void
log_count(_Atomic uint64_t *lost_lines, _Atomic uint64_t *repeated)
{
	count_lost = lost_lines;
	count_repeated = repeated;
}

void
log_msg(int priority, const char *fmt, ...)
{
	char line[LINE_SIZE];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	log_line(priority, line, strlen(line));
}

static void
put_due(double t, bool all)
{
	const struct repeat_entry *e;

	while ((e = repeat_due(&repeats, t, all)) != NULL)
		log_msg(e->priority, "repeated %lu times: %s", e->held,
		    e->line);
}

void
log_limited(int priority, const char *about, const char *fmt, ...)
{
	double t = timer_now();
	char line[LINE_SIZE];
	va_list ap;

	put_due(t, false);
	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (repeat_allows(&repeats, fmt, about, priority, line, t))
		log_line(priority, line, strlen(line));
	else if (count_repeated != NULL)
		++*count_repeated;
}

void
log_tick(void)
{
	put_due(timer_now(), false);
}

void
log_flush(void)
{
	put_due(0, true);
}

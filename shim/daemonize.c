/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "daemonize.h"
#include "log.h"

static void
say(const char *why)
{
	log_msg(LOG_ERR, "cannot go into the background: %s", why);
}

/* Waits until PID has written to FD, or ended.  Returns an exit code. */
static int
await(pid_t pid, int fd)
{
	sigset_t none;
	char c;
	ssize_t n;
	int status;

	/* who is tired of waiting may interrupt it */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	while ((n = read(fd, &c, 1)) == -1 && errno == EINTR)
		;
	if (n == 1)
		return EX_OK;
	while (waitpid(pid, &status, 0) == -1)
		if (errno != EINTR) {
			say(strerror(errno));
			return EX_OSERR;
		}
	if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		return WEXITSTATUS(status);
	say(WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "it has ended");
	return EX_OSERR;
}

int
daemonize_start(void)
{
	int fd[2];
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC) == -1) {
		say(strerror(errno));
		return -1;
	}
	if ((pid = fork()) == -1) {
		say(strerror(errno));
		(void)close(fd[0]);
		(void)close(fd[1]);
		return -1;
	}
	if (pid != 0) {
		(void)close(fd[1]);
		/* sockets and all else are the other's now */
		_exit(await(pid, fd[0]));
	}
	(void)close(fd[0]);
	/* it leads no group yet: this cannot fail */
	(void)setsid();
	return fd[1];
}

/* Before FD is told: whoever waits may read our streams to their end. */
static bool
leave_streams(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	bool ok;

	if (null == -1)
		return false;
	ok = dup2(null, STDIN_FILENO) != -1 &&
	    dup2(null, STDOUT_FILENO) != -1 &&
	    dup2(null, STDERR_FILENO) != -1;
	(void)close(null);
	return ok;
}

int
daemonize_done(int fd)
{
	bool ok = leave_streams();

	if (!ok)
		say(strerror(errno));
	else	/* the other one may have been killed: that is no fault */
		(void)!write(fd, "", 1);
	(void)close(fd);
	return ok ? 0 : -1;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * daemonize: into the background, in two steps.  The command that was typed
 * returns when the second is done, with the exit code of what has been made
 * of it: whoever starts it, say a script of init, knows then.
 */
#ifndef DAEMONIZE_H_
#define DAEMONIZE_H_

/*
 * Goes on in another process, which leads a session of its own; the working
 * directory stays, so that relative names mean the same at a reload.  The
 * process that called waits, and ends as the other one tells: it does not
 * return from here.
 *
 * Returns a descriptor for daemonize_done(), in the new process; without that
 * call it is to exit, with the code that the one who waits gives on.  Returns
 * -1 after a line in the log if there is no new process.
 */
int	daemonize_start(void);

/*
 * Says that all is well: the standard streams are /dev/null from here on, and
 * the one who waits exits with 0.  FD is closed.  Returns 0, or -1 after a
 * line in the log.
 */
int	daemonize_done(int fd);

#endif

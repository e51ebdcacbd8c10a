/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * top: a live view of a daemon in the terminal, made of its page (page.h).
 */
#ifndef TOP_H_
#define TOP_H_

/*
 * Shows what the daemon does whose page is at ADDRESS, each second until q;
 * once, where standard output is no terminal.  Returns an exit code: EX_USAGE
 * if ADDRESS is none, EX_UNAVAILABLE if the page was not there at the end.
 */
int	top_run(const char *address);

#endif

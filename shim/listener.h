/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * listener: the sockets that clients connect to.
 *
 * The supervisor opens them and keeps them over a reload; the workers
 * inherit them.  One that systemd hands over is that of the listen section
 * with its address: it is not bound again, its file's mode and owner are
 * systemd's business, and it outlives the daemon together with the clients
 * that wait in its queue.
 */
#ifndef LISTENER_H_
#define LISTENER_H_

#include <stdbool.h>
#include <stddef.h>

#include "conf.h"

struct listeners;

/*
 * Opens all addresses of CONF, taking sockets of the same address over from
 * OLD (NULL: there is none) and, at the start, from systemd; it is an error
 * if CONF lacks the address of one of those.  On success OLD is used up: the sockets that
 * are no longer wanted are closed and their files removed.  On failure NULL,
 * one line in the log says why, and OLD is as it was; *EXIT_CODE is one of
 * sysexits.
 */
struct listeners *listeners_open(const struct conf *conf,
	    struct listeners *old, int *exit_code);

/* Closes all sockets and removes the files of those that are unix ones. */
void	listeners_close(struct listeners *ls);

/* Frees LS in a worker: the files of unix sockets stay. */
void	listeners_forget(struct listeners *ls);

/*
 * Closes the sockets of listen sections, so that new clients are refused;
 * nothing else of LS changes.  A client is refused only once every process
 * has done so.
 */
void	listeners_stop(struct listeners *ls);

/* The same for the page's sockets. */
void	listeners_stop_status(struct listeners *ls);

/* How many there are of listen sections (a name can have several addresses). */
size_t	listeners_count(const struct listeners *ls);

/* The I-th socket, and which section of CONF it belongs to. */
int	listeners_fd(const struct listeners *ls, size_t i);
size_t	listeners_section(const struct listeners *ls, size_t i);

/* Does systemd hold the I-th socket too, so that its queue outlives us? */
bool	listeners_kept(const struct listeners *ls, size_t i);
/* The same for the page. */
size_t	listeners_status_count(const struct listeners *ls);
int	listeners_status_fd(const struct listeners *ls, size_t i);
size_t	listeners_status_section(const struct listeners *ls, size_t i);

#endif

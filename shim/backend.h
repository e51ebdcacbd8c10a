/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * backend: the rspamds of a worker, their addresses and TLS contexts.
 */
#ifndef BACKEND_H_
#define BACKEND_H_

#include <sys/socket.h>

#include <stddef.h>

#include "conf.h"

struct backends;
struct backend;
struct backend_lookup;
struct event_base;
struct idle;
struct password_guard;
struct ssl_st;

/* ERROR is NULL when the addresses are there. */
typedef void backend_cb(struct backend *b, const char *error, void *arg);

/*
 * The N backends of LIST, which must outlive them; owned by the caller.
 * NULL, after a line in the log, where one cannot be used.
 */
struct backends *backends_new(struct event_base *base,
	    const struct conf_backend *list, size_t n);
void	backends_free(struct backends *bs);

/* How many there are; the I-th of them. */
size_t	backends_count(const struct backends *bs);
struct backend *backends_get(struct backends *bs, size_t i);

/* For people: HOST:PORT or the socket's path.  For the Host: header. */
const char *backend_name(const struct backend *b);
const char *backend_host(const struct backend *b);

/* The password of a controller, NULL if it has none; and how often that may
   be sent. */
const char *backend_password(const struct backend *b);
struct password_guard *backend_guard(const struct backend *b);

/*
 * Makes B's addresses known.  Returns 1 when they are (CB is not called),
 * 0 when CB will be, -1 when nothing can be asked.  Until CB is called *LK
 * can be given to backend_cancel(), after which it will not be.
 */
int	backend_resolve(struct backend *b, backend_cb *cb, void *arg,
	    struct backend_lookup **lk);
void	backend_cancel(struct backend_lookup *lk);

/*
 * How many addresses B has, and which of them to try first: each in its
 * turn, but one that has failed lately only where all have.
 */
size_t	backend_addresses(const struct backend *b);
size_t	backend_first(struct backend *b);

/* The I-th address of B and its length.  It could not be connected to; if that
   is so of all, the name is looked up anew. */
const struct sockaddr *backend_address(const struct backend *b, size_t i,
	    socklen_t *len);
void	backend_failed(struct backend *b, size_t i);

/* The connections that B has kept open; NULL where it keeps none. */
struct idle *backend_idle(const struct backend *b);

/* A new TLS connection for B; NULL if it is plain.  *FAILED: no memory. */
struct ssl_st *backend_tls(const struct backend *b, bool *failed);

#endif

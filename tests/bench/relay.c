/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench-relay: the floor of the benchmark, a hop that does nothing.
 *
 *	bench-relay LISTEN BACKEND	(HOST:PORT | unix:/path)
 *
 * For each client it opens a connection to BACKEND and passes bytes both ways
 * through one buffer of the process; a client's half-close is passed on, the
 * backend's end is the end of both.  No protocol, no limits, no deadlines, no
 * log: what it costs is what the kernel asks for two connections.  SIGTERM ends
 * it, with the counts on stdout.
 */
#include "config.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "address.h"

#define BUFFER_SIZE	262144
#define EVENTS_MAX	256

/* One side of a pair, and the bytes due to it that it has not taken yet. */
struct end {
	struct pair	*pair;
	struct end	*peer;
	int		 fd;		/* -1: closed */
	uint32_t	 events;	/* what epoll is to tell of it */
	char		*rest;		/* NULL: none; owned */
	size_t		 nrest, at;
};

/* A client and its connection to the backend; freed by bury(). */
struct pair {
	struct end	 client, backend;
	struct pair	*next;		/* of the dead */
};

struct relay {
	int		 epoll, listener;
	struct address	 to;
	struct pair	*dead;		/* closed in this turn of the loop */
	uint64_t	 relayed, failed;
	char		 buffer[BUFFER_SIZE];
};

static volatile sig_atomic_t stopped;

static void
on_sigterm(int sig)
{
	(void)sig;
	stopped = 1;
}

/* Closes both sides.  Events of this turn may still name them. */
static void
end_pair(struct relay *r, struct pair *p, bool well)
{
	(void)close(p->client.fd);
	(void)close(p->backend.fd);
	p->client.fd = p->backend.fd = -1;
	p->next = r->dead;
	r->dead = p;
	if (well)
		r->relayed++;
	else
		r->failed++;
}

/* Frees the pairs that ended in this turn. */
static void
bury(struct relay *r)
{
	struct pair *p;

	while ((p = r->dead) != NULL) {
		r->dead = p->next;
		free(p->client.rest);
		free(p->backend.rest);
		free(p);
	}
}

static int
watch(struct relay *r, struct end *e, uint32_t events, int op)
{
	struct epoll_event ev = { .events = events, .data.ptr = e };

	if (op == EPOLL_CTL_MOD && e->events == events)
		return 0;
	e->events = events;
	return epoll_ctl(r->epoll, op, e->fd, &ev);
}

/* Keeps the N bytes at P for E; its peer is not read until they are gone. */
static int
keep(struct relay *r, struct end *e, const char *p, size_t n)
{
	if ((e->rest = malloc(n)) == NULL)
		return -1;
	memcpy(e->rest, p, n);
	e->nrest = n;
	e->at = 0;
	if (watch(r, e, e->events | EPOLLOUT, EPOLL_CTL_MOD) == -1)
		return -1;
	return watch(r, e->peer, e->peer->events & ~(uint32_t)EPOLLIN,
	    EPOLL_CTL_MOD);
}

/* How many of N bytes E takes now; -1 on failure. */
static ssize_t
give(const struct end *e, const char *p, size_t n)
{
	ssize_t sent = send(e->fd, p, n, MSG_NOSIGNAL);

	if (sent == -1 && (errno == EAGAIN || errno == ENOTCONN))
		return 0;
	return sent;
}

/* E can take more of what was kept for it. */
static int
drain(struct relay *r, struct end *e)
{
	ssize_t n = give(e, e->rest + e->at, e->nrest - e->at);

	if (n == -1)
		return -1;
	e->at += (size_t)n;
	if (e->at < e->nrest)
		return 0;
	free(e->rest);
	e->rest = NULL;
	return watch(r, e, e->events & ~(uint32_t)EPOLLOUT, EPOLL_CTL_MOD) |
	    watch(r, e->peer, e->peer->events | EPOLLIN, EPOLL_CTL_MOD);
}

/* E has something to read.  Returns 1 when the pair is done with. */
static int
pass(struct relay *r, struct end *e)
{
	ssize_t n = recv(e->fd, r->buffer, BUFFER_SIZE, 0), sent;

	if (n == -1)
		return errno == EAGAIN ? 0 : -1;
	if (n == 0 && e == &e->pair->backend)
		return 1;
	if (n == 0 && e->events == 0)
		return -1;		/* it is gone altogether */
	if (n == 0) {
		if (watch(r, e, 0, EPOLL_CTL_MOD) == -1)
			return -1;
		return shutdown(e->peer->fd, SHUT_WR);
	}
	if ((sent = give(e->peer, r->buffer, (size_t)n)) == n)
		return 0;
	if (sent == -1)
		return -1;
	return keep(r, e->peer, r->buffer + sent, (size_t)(n - sent));
}

static void
on_event(struct relay *r, struct end *e, uint32_t events)
{
	struct pair *p = e->pair;
	int rc = 0;

	if (e->fd == -1)
		return;
	if ((events & EPOLLOUT) != 0 && e->rest != NULL)
		rc = drain(r, e);
	else if (e->peer->rest == NULL)
		rc = pass(r, e);
	if (rc != 0)
		end_pair(r, p, rc == 1);
}

static int
connect_backend(const struct relay *r)
{
	int fd = socket(r->to.ss.ss_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd != -1 && connect(fd, (const struct sockaddr *)&r->to.ss,
	    r->to.len) == -1 && errno != EINPROGRESS) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

static void
on_client(struct relay *r)
{
	struct pair *p;
	int fd = accept4(r->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd == -1)
		return;
	if ((p = calloc(1, sizeof(*p))) == NULL) {
		(void)close(fd);
		return;
	}
	p->client.pair = p->backend.pair = p;
	p->client.peer = &p->backend;
	p->backend.peer = &p->client;
	p->client.fd = fd;
	p->backend.fd = connect_backend(r);
	if (p->backend.fd == -1 ||
	    watch(r, &p->client, EPOLLIN, EPOLL_CTL_ADD) == -1 ||
	    watch(r, &p->backend, EPOLLIN, EPOLL_CTL_ADD) == -1)
		end_pair(r, p, false);
}

static int
loop(struct relay *r)
{
	struct epoll_event events[EVENTS_MAX];
	sigset_t none;
	int n, i;

	(void)sigemptyset(&none);
	while (!stopped) {
		n = epoll_pwait(r->epoll, events, EVENTS_MAX, -1, &none);
		if (n == -1 && errno != EINTR)
			return -1;
		for (i = 0; i < n; i++)
			if (events[i].data.ptr == NULL)
				on_client(r);
			else
				on_event(r, events[i].data.ptr,
				    events[i].events);
		bury(r);
	}
	return 0;
}

/* Listens at A; SIGTERM can come in epoll_pwait() only. */
static int
prepare(struct relay *r, const struct address *a)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	struct sigaction sa = { .sa_handler = on_sigterm };
	sigset_t term;
	int one = 1;

	(void)sigemptyset(&term);
	(void)sigaddset(&term, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &term, NULL) == -1 ||
	    sigaction(SIGTERM, &sa, NULL) == -1)
		return -1;
	r->listener = socket(a->ss.ss_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (r->listener == -1 || r->epoll == -1 ||
	    setsockopt(r->listener, SOL_SOCKET, SO_REUSEADDR, &one,
	    sizeof(one)) == -1 ||
	    bind(r->listener, (const struct sockaddr *)&a->ss, a->len) == -1 ||
	    listen(r->listener, SOMAXCONN) == -1)
		return -1;
	return epoll_ctl(r->epoll, EPOLL_CTL_ADD, r->listener, &ev);
}

int
main(int argc, char **argv)
{
	static struct relay r;
	struct address a;

	if (argc != 3 || address_parse(&a, argv[1]) == -1 ||
	    address_parse(&r.to, argv[2]) == -1) {
		fputs("usage: bench-relay LISTEN BACKEND "
		    "(HOST:PORT | unix:/path)\n", stderr);
		return EX_USAGE;
	}
	if (prepare(&r, &a) == -1 || loop(&r) == -1) {
		perror("bench-relay");
		return EX_OSERR;
	}
	printf("relayed=%" PRIu64 " failed=%" PRIu64 "\n", r.relayed, r.failed);
	return EX_OK;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/un.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>

#include "backend.h"
#include "idle.h"
#include "log.h"
#include "timer.h"
#include "tls.h"

#define ADDRESSES_MAX	8
/* A name is looked up again after so many seconds. */
#define NAME_LIFETIME	60
/* An address that failed is the last to be tried for so many seconds. */
#define AVOID_TIME	10

struct backend {
	const struct conf_backend *conf;
	struct backends	*all;
	char		*name;
	struct sockaddr_storage addr[ADDRESSES_MAX];
	socklen_t	 addrlen[ADDRESSES_MAX];
	double		 avoid[ADDRESSES_MAX];	/* until then */
	size_t		 naddr;
	bool		 fixed;		/* no name: never looked up */
	double		 expires;	/* as of timer_now() */
	size_t		 turn;		/* of the addresses */
	struct idle	*idle;
};

struct backends {
	struct event_base *base;
	struct evdns_base *dns;		/* only where a backend has a name */
	struct backend	*list;
	size_t		 n;
};

/* Who waits for a name; freed by on_resolved(). */
struct backend_lookup {
	struct backend	*backend;
	backend_cb	*cb;		/* NULL: nobody, any more */
	void		*arg;
	bool		 starting;	/* backend_resolve() is on the stack */
	bool		 done;
	char		 error[128];
};

static void
add_address(struct backend *b, const struct sockaddr *sa, socklen_t len)
{
	if (b->naddr == ADDRESSES_MAX || len > sizeof(b->addr[0]))
		return;
	memcpy(&b->addr[b->naddr], sa, len);
	b->avoid[b->naddr] = 0;
	b->addrlen[b->naddr++] = len;
}

static bool
set_unix(struct backend *b)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	size_t len = strlen(b->conf->path);

	if (len >= sizeof(sun.sun_path)) {
		log_msg(LOG_ERR, "%s: the socket's path is too long",
		    b->conf->url);
		return false;
	}
	memcpy(sun.sun_path, b->conf->path, len + 1);
	add_address(b, (struct sockaddr *)&sun, sizeof(sun));
	b->fixed = true;
	return true;
}

/* Takes the host as an address, if it is one. */
static void
set_numeric(struct backend *b)
{
	struct evutil_addrinfo hints = { .ai_socktype = SOCK_STREAM,
	    .ai_flags = EVUTIL_AI_NUMERICHOST }, *list;

	if (evutil_getaddrinfo(b->conf->host, b->conf->port, &hints,
	    &list) != 0)
		return;
	add_address(b, list->ai_addr, (socklen_t)list->ai_addrlen);
	evutil_freeaddrinfo(list);
	b->fixed = true;
}

static bool
set_name(struct backend *b)
{
	const struct conf_backend *c = b->conf;
	size_t size;

	if (c->path != NULL)
		return (b->name = strdup(c->path)) != NULL;
	size = strlen(c->host) + strlen(c->port) + sizeof("[]:");
	if ((b->name = malloc(size)) == NULL)
		return false;
	(void)snprintf(b->name, size, strchr(c->host, ':') != NULL ?
	    "[%s]:%s" : "%s:%s", c->host, c->port);
	return true;
}

static bool
init(struct backend *b, struct backends *all, const struct conf_backend *c)
{
	b->all = all;
	b->conf = c;
	if (!set_name(b))
		return false;
	if (c->keep_alive && (b->idle = idle_new(all->base)) == NULL)
		return false;
	if (c->path != NULL)
		return set_unix(b);
	set_numeric(b);
	if (b->fixed || all->dns != NULL)
		return true;
	all->dns = evdns_base_new(all->base, EVDNS_BASE_INITIALIZE_NAMESERVERS |
	    EVDNS_BASE_DISABLE_WHEN_INACTIVE);
	/* without resolv.conf there is still the hosts file */
	if (all->dns == NULL &&
	    (all->dns = evdns_base_new(all->base, 0)) != NULL)
		(void)evdns_base_load_hosts(all->dns, "/etc/hosts");
	return all->dns != NULL;
}

struct backends *
backends_new(struct event_base *base, const struct conf_backend *list,
    size_t n)
{
	struct backends *bs;
	size_t i;

	if ((bs = calloc(1, sizeof(*bs))) == NULL)
		return NULL;
	bs->base = base;
	if ((bs->list = calloc(n > 0 ? n : 1, sizeof(*bs->list))) == NULL) {
		free(bs);
		return NULL;
	}
	for (i = 0; i < n; i++) {
		bs->n++;
		if (!init(&bs->list[i], bs, &list[i])) {
			log_msg(LOG_ERR, "%s: this rspamd cannot be used",
			    list[i].url);
			backends_free(bs);
			return NULL;
		}
	}
	return bs;
}

void
backends_free(struct backends *bs)
{
	size_t i;

	if (bs == NULL)
		return;
	if (bs->dns != NULL)
		evdns_base_free(bs->dns, 1);
	for (i = 0; i < bs->n; i++) {
		idle_free(bs->list[i].idle);
		free(bs->list[i].name);
	}
	free(bs->list);
	free(bs);
}

size_t
backends_count(const struct backends *bs)
{
	return bs->n;
}

struct backend *
backends_get(struct backends *bs, size_t i)
{
	return &bs->list[i];
}

const char *
backend_name(const struct backend *b)
{
	return b->name;
}

const char *
backend_host(const struct backend *b)
{
	return b->conf->path != NULL ? "localhost" : b->name;
}

const char *
backend_password(const struct backend *b)
{
	return b->conf->password;
}

struct password_guard *
backend_guard(const struct backend *b)
{
	return b->conf->guard;
}

size_t
backend_addresses(const struct backend *b)
{
	return b->naddr;
}

size_t
backend_first(struct backend *b)
{
	size_t i, k;
	double t;

	if (b->naddr < 2)
		return 0;
	t = timer_now();
	b->turn++;
	for (k = 0; k < b->naddr; k++) {
		i = (b->turn + k) % b->naddr;
		if (b->avoid[i] <= t)
			return i;
	}
	return b->turn % b->naddr;
}

void
backend_failed(struct backend *b, size_t i)
{
	double t = timer_now();
	size_t k;

	if (i >= b->naddr)
		return;
	b->avoid[i] = t + AVOID_TIME;
	for (k = 0; k < b->naddr; k++)
		if (b->avoid[k] <= t)
			return;
	/* nobody at any: it may have moved */
	b->expires = 0;
}

struct idle *
backend_idle(const struct backend *b)
{
	return b->idle;
}

const struct sockaddr *
backend_address(const struct backend *b, size_t i, socklen_t *len)
{
	*len = b->addrlen[i];
	return (const struct sockaddr *)&b->addr[i];
}

struct ssl_st *
backend_tls(const struct backend *b, bool *failed)
{
	struct ssl_st *ssl;

	*failed = false;
	if (b->conf->ctx == NULL)
		return NULL;
	ssl = tls_connection(b->conf->ctx, b->conf->host);
	*failed = ssl == NULL;
	return ssl;
}

static void
on_resolved(int error, struct evutil_addrinfo *list, void *arg)
{
	struct backend_lookup *lk = arg;
	struct backend *b = lk->backend;
	struct evutil_addrinfo *a;

	lk->done = true;
	/* for the next mail too, if the one that asked could not wait */
	if (error == 0) {
		b->naddr = 0;
		for (a = list; a != NULL; a = a->ai_next)
			add_address(b, a->ai_addr, (socklen_t)a->ai_addrlen);
		b->expires = timer_now() + NAME_LIFETIME;
	}
	if (list != NULL)
		evutil_freeaddrinfo(list);
	/* old addresses are better than none */
	(void)snprintf(lk->error, sizeof(lk->error), "%s",
	    error != 0 && b->naddr == 0 ? evutil_gai_strerror(error) : "");
	if (lk->starting)
		return;
	if (lk->cb != NULL)
		lk->cb(b, lk->error[0] != '\0' ? lk->error : NULL, lk->arg);
	free(lk);
}

int
backend_resolve(struct backend *b, backend_cb *cb, void *arg,
    struct backend_lookup **lk)
{
	struct evutil_addrinfo hints = { .ai_family = AF_UNSPEC,
	    .ai_socktype = SOCK_STREAM };
	struct backend_lookup *l;
	int rc;

	*lk = NULL;
	if (b->fixed || (b->naddr > 0 && timer_now() < b->expires))
		return 1;
	if ((l = calloc(1, sizeof(*l))) == NULL)
		return -1;
	l->backend = b;
	l->cb = cb;
	l->arg = arg;
	l->starting = true;
	(void)evdns_getaddrinfo(b->all->dns, b->conf->host, b->conf->port,
	    &hints, on_resolved, l);
	l->starting = false;
	if (!l->done) {
		*lk = l;
		return 0;
	}
	/* answered at once, from the hosts file */
	rc = l->error[0] == '\0' ? 1 : -1;
	free(l);
	return rc;
}

void
backend_cancel(struct backend_lookup *lk)
{
	if (lk != NULL)
		lk->cb = NULL;
}

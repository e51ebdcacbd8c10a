/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/un.h>

#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>

#include "probe_name.h"

struct query {
	struct event_base *base;
	struct probe_name *name;
	bool		 over;
	bool		 late;		/* nobody waits for it any more */
};

static void
take(struct probe_name *nm, const struct evutil_addrinfo *list)
{
	const struct evutil_addrinfo *a;

	for (a = list; a != NULL && nm->n < PROBE_NAME_MAX; a = a->ai_next)
		if (a->ai_addrlen <= sizeof(nm->addr[0])) {
			memcpy(&nm->addr[nm->n], a->ai_addr, a->ai_addrlen);
			nm->len[nm->n++] = (socklen_t)a->ai_addrlen;
		}
}

static void
on_answer(int error, struct evutil_addrinfo *list, void *arg)
{
	struct query *q = arg;

	q->over = true;
	if (error == 0 && !q->late)
		take(q->name, list);
	else if (!q->late)
		(void)snprintf(q->name->why, sizeof(q->name->why), "%s",
		    error == EVUTIL_EAI_NONAME ? "there is no such name" :
		    evutil_gai_strerror(error));
	if (list != NULL)
		evutil_freeaddrinfo(list);
	(void)event_base_loopbreak(q->base);
}

static struct evdns_base *
resolver(struct event_base *base)
{
	struct evdns_base *dns;

	dns = evdns_base_new(base, EVDNS_BASE_INITIALIZE_NAMESERVERS);
	/* without resolv.conf there is still the hosts file */
	if (dns == NULL && (dns = evdns_base_new(base, 0)) != NULL)
		(void)evdns_base_load_hosts(dns, "/etc/hosts");
	return dns;
}

/*
 * Asks DNS and the hosts file as backend.c does: what another resolver finds
 * would be of no use to the daemon.
 */
static void
ask(struct probe_name *nm, struct event_base *base, struct evdns_base *dns,
    const struct conf_backend *b, double timeout)
{
	struct evutil_addrinfo hints = { .ai_family = AF_UNSPEC,
	    .ai_socktype = SOCK_STREAM };
	struct query q = { .name = nm, .base = base };
	struct evdns_getaddrinfo_request *rq;
	struct timeval tv;

	rq = evdns_getaddrinfo(dns, b->host, b->port, &hints, on_answer, &q);
	if (q.over)
		return;			/* from the hosts file */
	tv.tv_sec = (time_t)timeout;
	tv.tv_usec = (suseconds_t)((timeout - (double)tv.tv_sec) * 1e6);
	(void)event_base_loopexit(base, &tv);
	(void)event_base_dispatch(base);
	if (q.over)
		return;
	(void)snprintf(nm->why, sizeof(nm->why), "no name server has answered "
	    "in timeout_connect = %g s", timeout);
	q.late = true;
	evdns_getaddrinfo_cancel(rq);
	(void)event_base_loop(base, EVLOOP_NONBLOCK);
}

static void
look_up(struct probe_name *nm, const struct conf_backend *b, double timeout)
{
	struct event_base *base = event_base_new();
	struct evdns_base *dns = base != NULL ? resolver(base) : NULL;

	nm->looked_up = true;
	(void)snprintf(nm->why, sizeof(nm->why), "the resolver cannot start");
	if (dns != NULL) {
		ask(nm, base, dns, b, timeout);
		evdns_base_free(dns, 0);
	}
	if (base != NULL)
		event_base_free(base);
}

static void
set_unix(struct probe_name *nm, const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	/* conf.c has seen to its length */
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	memcpy(&nm->addr[0], &sun, sizeof(sun));
	nm->len[0] = sizeof(sun);
	nm->n = 1;
}

void
probe_name_resolve(struct probe_name *nm, const struct conf_backend *b,
    double timeout)
{
	struct evutil_addrinfo hints = { .ai_socktype = SOCK_STREAM,
	    .ai_flags = EVUTIL_AI_NUMERICHOST }, *list;

	memset(nm, 0, sizeof(*nm));
	if (b->path != NULL)
		set_unix(nm, b->path);
	else if (evutil_getaddrinfo(b->host, b->port, &hints, &list) == 0) {
		take(nm, list);
		evutil_freeaddrinfo(list);
	} else
		look_up(nm, b, timeout);
}

const char *
probe_name_text(const struct probe_name *nm, size_t i)
{
	static char text[NI_MAXHOST + sizeof("[]:65535")];
	const struct sockaddr *sa = (const struct sockaddr *)&nm->addr[i];
	char host[NI_MAXHOST], port[NI_MAXSERV];

	if (getnameinfo(sa, nm->len[i], host, sizeof(host), port, sizeof(port),
	    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		return "?";
	(void)snprintf(text, sizeof(text), sa->sa_family == AF_INET6 ?
	    "[%s]:%s" : "%s:%s", host, port);
	return text;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "probe_kind.h"
#include "probe_listen.h"
#include "probe_reach.h"
#include "probe_wire.h"
#include "tls.h"

/* An address, while it is looked at. */
struct check {
	const struct probe_place *place;
	const struct conf_listen *listen;
	struct probe_wire_peer	 peer;
};

static bool
say_nobody(const struct check *c, const struct probe_wire_answer *a)
{
	if (a->error == ECONNREFUSED || a->error == ENOENT)
		probe_report_say(c->place, PROBE_NOTE, "connect", "nobody listens "
		    "here: the daemon does not run");
	else if (a->error == EACCES)
		probe_report_say(c->place, PROBE_NOTE, "connect", "this user may "
		    "not connect to the socket; probe as root");
	else if (a->error == EADDRNOTAVAIL || a->error == EAFNOSUPPORT ||
	    a->error == ENETUNREACH)
		probe_report_say(c->place, PROBE_NOTE, "connect", "%s: this host "
		    "does not have that address", a->why);
	else {
		probe_report_say(c->place, PROBE_WARNING, "connect", "%s; does the "
		    "daemon hang, or does a firewall keep us out?", a->why);
	}
	return true;
}

/* Somebody has closed, or said nothing. */
static bool
say_silent(const struct check *c, const struct probe_wire_answer *a)
{
	const struct conf_listen *l = c->listen;

	if (l->client_ca != NULL)
		probe_report_say(c->place, PROBE_NOTE, "ping", "it wants a "
		    "client's certificate (client_ca), which --probe has not");
	else if (!access_allows(l->allow, l->nallow, c->peer.addr))
		probe_report_say(c->place, PROBE_NOTE, "ping", "turned away, as "
		    "this host is not in allow");
	else
		probe_report_say(c->place, PROBE_PROBLEM, "ping", "no answer%s%s; "
		    "stop what listens here, if it is not the daemon, else see "
		    "its log", a->why[0] != '\0' ? ": " : "", a->why);
	return l->client_ca != NULL ||
	    !access_allows(l->allow, l->nallow, c->peer.addr);
}

static bool
say_stranger(const struct check *c, enum probe_kind kind,
    const struct probe_wire_answer *a)
{
	char line[80];

	probe_report_say(c->place, PROBE_PROBLEM, "ping", "%s has this address%s"
	    "%s%s; stop it, or let rspamd-shim listen elsewhere (-l)",
	    probe_kind_name(kind), kind == PROBE_KIND_SPAMD ? "" : ", it says \"",
	    kind == PROBE_KIND_SPAMD ? "" : probe_wire_line(a, line, sizeof(line)),
	    kind == PROBE_KIND_SPAMD ? "" : "\"");
	return false;
}

/* rspamd-shim is there: does it answer spamd's own question? */
static bool
ping(const struct check *c)
{
	static const char text[] = "PING SPAMC/1.5\r\n\r\n";
	const struct probe_wire_question q = { text, sizeof(text) - 1, false,
	    PROBE_WIRE_LINE };
	struct probe_wire_answer a;
	bool good;

	if (!c->listen->spamc) {
		probe_report_say(c->place, PROBE_OK, "ping", "rspamd-shim is here "
		    "(for rspamc alone)");
		return true;
	}
	probe_wire_ask(&c->peer, &q, &a);
	good = strncmp(a.raw, "SPAMD/1.5 0 PONG\r\n", 18) == 0;
	if (good)
		probe_report_say(c->place, PROBE_OK, "ping", "%.1f ms, rspamd-shim "
		    "answers", a.total * 1e3);
	else
		probe_report_say(c->place, PROBE_PROBLEM, "ping", "rspamd-shim "
		    "does not answer PING: %s; see its log", a.why[0] != '\0' ?
		    a.why : "another reply");
	probe_wire_free(&a);
	return good;
}

static bool
judge(const struct check *c, const struct probe_wire_answer *a)
{
	enum probe_kind kind;

	if (a->fault == PROBE_WIRE_CONNECT)
		return say_nobody(c, a);
	if (a->fault == PROBE_WIRE_TLS && c->listen->client_ca == NULL) {
		probe_report_say(c->place, PROBE_PROBLEM, "tls", "TLS cannot be "
		    "agreed on: %s; stop what listens here, if it is not the "
		    "daemon, or let it read its configuration again", a->why);
		return false;
	}
	kind = probe_kind_of(a->http, a->raw, a->nraw);
	if (kind == PROBE_KIND_SILENT)
		return say_silent(c, a);
	if (kind != PROBE_KIND_SHIM)
		return say_stranger(c, kind, a);
	return ping(c);
}

static bool
check_address(struct check *c, const struct sockaddr *sa, socklen_t len)
{
	/* every server answers this in a way of its own */
	static const char who[] = "GET /ping HTTP/1.1\r\nHost: localhost\r\n"
	    "Connection: close\r\n\r\n";
	const struct probe_wire_question q = { who, sizeof(who) - 1, false,
	    PROBE_WIRE_HTTP };
	struct probe_wire_answer a;
	bool good;

	c->peer.addr = sa;
	c->peer.len = len;
	probe_wire_ask(&c->peer, &q, &a);
	good = judge(c, &a);
	probe_wire_free(&a);
	return good;
}

static bool
check_unix(struct check *c, const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	/* conf.c has seen to its length */
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	return check_address(c, (const struct sockaddr *)&sun, sizeof(sun));
}

/* All addresses of HOST:PORT, found as listener.c finds them. */
static bool
check_host(struct check *c, const char *address)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list, *ai;
	const char *port = strrchr(address, ':') + 1;
	char *host = strndup(address, (size_t)(port - address) - 1), *h = host;
	bool good = true;
	int rc;

	if (host == NULL)
		return false;
	if (*h == '[') {
		h++;
		h[strlen(h) - 1] = '\0';
	}
	/* without a name the addresses are this host's own */
	rc = getaddrinfo(strcmp(h, "*") == 0 ? NULL : h, port, &hints, &list);
	free(host);
	if (rc != 0) {
		probe_report_say(c->place, PROBE_PROBLEM, "name", "%s; correct "
		    "the address to listen on", gai_strerror(rc));
		return false;
	}
	for (ai = list; ai != NULL; ai = ai->ai_next)
		good &= check_address(c, ai->ai_addr, ai->ai_addrlen);
	freeaddrinfo(list);
	return good;
}

/* What the configuration alone tells. */
static bool
check_settings(const struct check *c, const struct conf *conf)
{
	int days = c->listen->tls != NULL ? probe_wire_days(c->listen->tls) :
	    PROBE_WIRE_NO_DAYS;

	probe_reach_expiry(c->place, days);
	if (c->listen->rspamc && !conf->shutdown_workaround)
		probe_report_say(c->place, PROBE_NOTE, "half-close", "Exim 4.86 and "
		    "4.87 with variant=rspamd get no verdict here unless they are "
		    "patched (enable_shutdown_workaround = false)");
	return days >= 0;
}

bool
probe_listen_check(struct probe_report *r, const struct conf *conf,
    const struct conf_listen *l)
{
	const struct probe_place place = { r, "listener", l->address };
	struct check c = { .place = &place, .listen = l,
	    .peer = { .timeout = &conf->timeout } };
	const char *path = conf_unix_path(l->address), *why;
	bool good;

	if (l->tls != NULL && (c.peer.tls = tls_client(false, NULL, &why)) == NULL) {
		probe_report_say(&place, PROBE_PROBLEM, "tls", "%s", why);
		return false;
	}
	good = check_settings(&c, conf);
	good &= path != NULL ? check_unix(&c, path) : check_host(&c, l->address);
	tls_free(c.peer.tls);
	return good;
}

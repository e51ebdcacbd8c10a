/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/socket.h>

#include <errno.h>
#include <string.h>

#include "probe_kind.h"
#include "probe_listen.h"
#include "probe_reach.h"
#include "probe_wire.h"
#include "tls.h"

#define ASK(path)	"GET " path " HTTP/1.1\r\nHost: localhost\r\n" \
			"Connection: close\r\n\r\n"

/* An address, while it is looked at. */
struct check {
	const struct probe_place *place;
	const struct conf_listen *listen;
	struct probe_wire_peer	 peer;
	const char		*ask;	/* what is asked first */
	enum probe_listen	(*judge)(const struct check *,
				    const struct probe_wire_answer *);
	enum probe_listen	 worst;
};

static enum probe_listen
say_nobody(const struct check *c, const struct probe_wire_answer *a)
{
	switch (a->error) {
	case ECONNREFUSED:
	case ENOENT:
		probe_report_say(c->place, PROBE_NOTE, "connect", "nobody listens "
		    "here: the daemon does not run");
		break;
	case EACCES:
		probe_report_say(c->place, PROBE_NOTE, "connect", "this user may "
		    "not connect to the socket; probe as root");
		break;
	default:
		probe_report_say(c->place, PROBE_WARNING, "connect", "%s; is the "
		    "address this host's, does the daemon hang, or does a "
		    "firewall keep us out?", a->why);
		break;
	}
	return PROBE_LISTEN_GOOD;
}

/* Somebody has closed, or said nothing. */
static enum probe_listen
say_silent(const struct check *c, const struct probe_wire_answer *a)
{
	const struct conf_listen *l = c->listen;

	if (l->client_ca != NULL)
		probe_report_say(c->place, PROBE_NOTE, "ping", "it wants a "
		    "client's certificate (client_ca), which --probe has not");
	else if (!access_allows(l->allow, l->nallow, c->peer.addr))
		probe_report_say(c->place, PROBE_NOTE, "ping", "turned away, as "
		    "this host is not in allow");
	else {
		probe_report_say(c->place, PROBE_PROBLEM, "ping", "no answer%s%s; "
		    "stop what listens here if it is not the daemon, else see "
		    "its log", a->why[0] != '\0' ? ": " : "", a->why);
		return PROBE_LISTEN_STRANGER;
	}
	return PROBE_LISTEN_GOOD;
}

static enum probe_listen
say_stranger(const struct check *c, enum probe_kind kind,
    const struct probe_wire_answer *a)
{
	char line[80];

	probe_report_say(c->place, PROBE_PROBLEM, "ping", "%s has this address, "
	    "it says \"%s\"; stop it, or let rspamd-shim listen elsewhere",
	    probe_kind_name(kind), probe_wire_line(a, line, sizeof(line)));
	return PROBE_LISTEN_STRANGER;
}

/* rspamd-shim is there: does it answer spamd's own question? */
static enum probe_listen
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
		return PROBE_LISTEN_GOOD;
	}
	probe_wire_ask(&c->peer, &q, &a);
	good = strcmp(a.raw, "SPAMD/1.5 0 PONG\r\n") == 0;
	if (good)
		probe_report_say(c->place, PROBE_OK, "ping", "%.1f ms, rspamd-shim "
		    "answers", a.total * 1e3);
	else
		probe_report_say(c->place, PROBE_PROBLEM, "ping", "rspamd-shim "
		    "does not answer PING: %s; see its log", a.why[0] != '\0' ?
		    a.why : "another reply");
	probe_wire_free(&a);
	return good ? PROBE_LISTEN_GOOD : PROBE_LISTEN_STRANGER;
}

static enum probe_listen
judge(const struct check *c, const struct probe_wire_answer *a)
{
	enum probe_kind kind = probe_kind_of(a->http, a->raw, a->nraw);

	if (a->fault == PROBE_WIRE_TLS && c->listen->client_ca == NULL) {
		probe_report_say(c->place, PROBE_PROBLEM, "tls", "TLS cannot be "
		    "agreed on: %s; stop what listens here if it is not the "
		    "daemon, else let that read its configuration again", a->why);
		return PROBE_LISTEN_STRANGER;
	}
	if (kind == PROBE_KIND_SILENT)
		return say_silent(c, a);
	return kind == PROBE_KIND_SHIM ? ping(c) : say_stranger(c, kind, a);
}

/* The page's first line is "ok", or says what is wrong (health.c). */
static enum probe_listen
judge_page(const struct check *c, const struct probe_wire_answer *a)
{
	static const char sick[] = "unavailable: ";
	const char *body;
	size_t len;

	body = http_response_body(a->http, &len);
	if (strncmp(body, "ok\n", 3) == 0) {
		probe_report_say(c->place, PROBE_OK, "health", "the daemon is "
		    "well, by its own account");
		return PROBE_LISTEN_GOOD;
	}
	if (strncmp(body, sick, sizeof(sick) - 1) == 0) {
		body += sizeof(sick) - 1;
		probe_report_say(c->place, PROBE_PROBLEM, "health", "the daemon "
		    "cannot scan: %.*s; see its log", (int)strcspn(body, "\n"),
		    body);
		return PROBE_LISTEN_SICK;
	}
	return a->nraw == 0 ? say_silent(c, a) :
	    say_stranger(c, probe_kind_of(a->http, a->raw, a->nraw), a);
}

static void
check_address(const struct sockaddr *sa, socklen_t len, void *arg)
{
	struct check *c = arg;
	const struct probe_wire_question q = { c->ask, strlen(c->ask), false,
	    PROBE_WIRE_HTTP };
	struct probe_wire_answer a;
	enum probe_listen found;

	c->peer.addr = sa;
	c->peer.len = len;
	probe_wire_ask(&c->peer, &q, &a);
	found = a.fault == PROBE_WIRE_CONNECT ? say_nobody(c, &a) :
	    c->judge(c, &a);
	probe_wire_free(&a);
	if (found > c->worst)
		c->worst = found;
}

/* What the configuration alone tells. */
static void
check_settings(struct check *c, const struct conf *conf)
{
	int days = c->listen->tls != NULL ? probe_wire_days(c->listen->tls) :
	    PROBE_WIRE_NO_DAYS;

	probe_reach_expiry(c->place, days);
	if (days < 0)
		c->worst = PROBE_LISTEN_STRANGER;
	if (c->listen->rspamc && !conf->shutdown_workaround)
		probe_report_say(c->place, PROBE_NOTE, "half-close", "Exim 4.86 and "
		    "4.87 with variant=rspamd get no verdict here unless they are "
		    "patched (enable_shutdown_workaround = false)");
}

static enum probe_listen
check_all(struct check *c)
{
	const char *why;

	if (c->listen->tls != NULL &&
	    (c->peer.tls = tls_client(false, NULL, &why)) == NULL) {
		probe_report_say(c->place, PROBE_PROBLEM, "tls", "%s", why);
		return PROBE_LISTEN_STRANGER;
	}
	why = probe_wire_each(c->listen->address, check_address, c);
	if (why != NULL) {
		probe_report_say(c->place, PROBE_PROBLEM, "name", "%s; correct "
		    "the address to listen on", why);
		c->worst = PROBE_LISTEN_STRANGER;
	}
	tls_free(c->peer.tls);
	return c->worst;
}

enum probe_listen
probe_listen_check(struct probe_report *r, const struct conf *conf,
    const struct conf_listen *l)
{
	const struct probe_place place = { r, "listener", l->address };
	/* rspamd-shim and spamd refuse it, each in words of its own */
	struct check c = { .place = &place, .listen = l, .ask = ASK("/ping"),
	    .judge = judge, .peer = { .timeout = &conf->timeout } };

	check_settings(&c, conf);
	return check_all(&c);
}

enum probe_listen
probe_listen_check_page(struct probe_report *r, const struct conf *conf,
    const struct conf_listen *l)
{
	const struct probe_place place = { r, "status", l->address };
	struct check c = { .place = &place, .listen = l, .ask = ASK("/health"),
	    .judge = judge_page, .peer = { .timeout = &conf->timeout } };

	return check_all(&c);
}

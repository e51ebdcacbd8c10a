/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/x509_vfy.h>

#include "probe_reach.h"
#include "rspamd_request.h"
#include "text.h"
#include "tls.h"

/* A certificate that ends sooner is mentioned. */
#define EXPIRY_DAYS	14

/* The one port of rspamd's where TCP finds nobody. */
#define FUZZY_PORT	"11335"

const char *
probe_reach_host(const struct conf_backend *b, char *buf)
{
	if (b->path != NULL)
		(void)snprintf(buf, PROBE_REACH_HOST_MAX, "localhost");
	else
		(void)snprintf(buf, PROBE_REACH_HOST_MAX,
		    strchr(b->host, ':') != NULL ? "[%s]:%s" : "%s:%s",
		    b->host, b->port);
	return buf;
}

void
probe_reach_names(const struct probe_place *pl, const struct probe_name *nm)
{
	char list[PROBE_NAME_MAX * 64] = "";
	size_t i, len = 0;

	for (i = 0; i < nm->n && len < sizeof(list); i++)
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
		    i > 0 ? ", " : "", probe_name_text(nm, i));
	if (nm->n == 0)
		probe_report_say(pl, PROBE_PROBLEM, "name", "%s; correct the URL, "
		    "or /etc/resolv.conf or /etc/hosts", nm->why);
	else if (nm->looked_up)
		probe_report_say(pl, PROBE_OK, "name", "%s", list);
}

void
probe_reach_expiry(const struct probe_place *pl, int days)
{
	if (days < 0)
		probe_report_say(pl, PROBE_PROBLEM, "tls", "the certificate has "
		    "expired; renew it");
	else if (days < EXPIRY_DAYS)
		probe_report_say(pl, PROBE_WARNING, "tls", "the certificate "
		    "expires in %d days; renew it", days);
}

static const char *
connect_advice(const struct probe_wire_answer *a, const struct conf_backend *b)
{
	if (a->timed_out)
		return "; is the host up, and does a firewall let us through?";
	switch (a->error) {
	case ECONNREFUSED:
		if (b->path != NULL)
			return "; nobody listens on this socket: start rspamd";
		return strcmp(b->port, FUZZY_PORT) == 0 ? "; this is the port "
		    "of rspamd's fuzzy storage, which speaks UDP" : "; nobody "
		    "listens on this port: start rspamd, or correct the URL";
	case ENOENT:
		return "; there is no such socket: start rspamd, or correct the "
		    "URL";
	case EACCES:
		return "; give the workers' user access (bind_socket's mode= and "
		    "owner= in rspamd, user and group here)";
	case ENETUNREACH:
	case EHOSTUNREACH:
	case EAFNOSUPPORT:
		return "; this host has no route there";
	default:
		return "";
	}
}

static const char *
certificate_advice(const struct probe_wire_answer *a)
{
	switch (a->error) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return "renew it";
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return "compare the clocks of both hosts";
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return "the certificate is another host's: write a name that it "
		    "has into the URL";
	default:
		return "name the CA that signed it with ca_file";
	}
}

/* Asks for /ping in short time, over TLS (any certificate) or not. */
static enum probe_kind
look_again(const struct probe_wire_peer *like, bool over_tls)
{
	struct probe_wire_question q = { .end = PROBE_WIRE_HTTP };
	struct probe_wire_peer peer = *like;
	enum probe_kind kind = PROBE_KIND_SILENT;
	struct probe_wire_answer a;
	struct text ping;
	const char *why;

	text_init(&ping, 1024);
	(void)rspamd_ping_head(&ping, "localhost");
	q.text = text_string(&ping);
	q.len = ping.len;
	peer.brief = true;
	peer.host = NULL;
	peer.tls = over_tls ? tls_client(false, NULL, &why) : NULL;
	if (!over_tls || peer.tls != NULL) {
		probe_wire_ask(&peer, &q, &a);
		/* who shakes hands does speak TLS, whatever comes after */
		if (a.fault == PROBE_WIRE_OK || a.nraw > 0)
			kind = probe_kind_of(a.http, a.raw, a.nraw);
		if (over_tls && a.days != PROBE_WIRE_NO_DAYS)
			kind = PROBE_KIND_TLS;
		probe_wire_free(&a);
	}
	if (over_tls)
		tls_free(peer.tls);
	text_free(&ping);
	return kind;
}

/* It says nothing to HTTP: does it to something else? */
static enum probe_kind
draw_out(const struct probe_wire_peer *like)
{
	const struct probe_wire_question q = { PROBE_KIND_MILTER_HELLO,
	    sizeof(PROBE_KIND_MILTER_HELLO) - 1, true, PROBE_WIRE_CLOSE };
	struct probe_wire_peer peer = *like;
	struct probe_wire_answer a;
	bool is_milter;

	if (peer.tls != NULL)
		return PROBE_KIND_SILENT;
	peer.brief = true;
	probe_wire_ask(&peer, &q, &a);
	is_milter = probe_kind_is_milter(a.raw, a.nraw);
	probe_wire_free(&a);
	return is_milter ? PROBE_KIND_MILTER : look_again(like, true);
}

/* Something else than rspamd's HTTP is there. */
static void
say_other(const struct probe_reach *r, const struct probe_place *pl,
    const struct probe_wire_answer *a, const char *wanted)
{
	const char *name = probe_kind_name(r->kind);
	char line[80];

	if (r->kind == PROBE_KIND_TLS)
		probe_report_say(pl, PROBE_PROBLEM, "tls", "this is a port for "
		    "TLS; write https:// instead of http://");
	else if (r->kind == PROBE_KIND_SILENT && a->fault == PROBE_WIRE_LOST)
		probe_report_say(pl, PROBE_PROBLEM, "ping", "no answer: %s; does "
		    "rspamd hang, is it overloaded, or is this another server? "
		    "%s", a->why, wanted);
	else if (r->kind == PROBE_KIND_SILENT)
		probe_report_say(pl, PROBE_PROBLEM, "ping", "closed without an "
		    "answer; is this another server? %s", wanted);
	else if (r->kind == PROBE_KIND_SHIM)
		probe_report_say(pl, PROBE_PROBLEM, "ping", "this is %s: mail "
		    "would go round in circles; %s", name, wanted);
	else if (r->kind == PROBE_KIND_MILTER)
		probe_report_say(pl, PROBE_PROBLEM, "ping", "this is %s; %s",
		    name, wanted);
	else
		probe_report_say(pl, PROBE_PROBLEM, "ping", "this is %s, it says "
		    "\"%s\"; %s", name, probe_wire_line(a, line, sizeof(line)),
		    wanted);
}

/* A connection is there: what is at its other end? */
static void
judge(struct probe_reach *r, const struct probe_place *pl,
    const struct probe_wire_peer *peer, const struct probe_wire_answer *a,
    const char *wanted)
{
	r->connected = true;
	probe_report_say(pl, PROBE_OK, "connect", "%.1f ms%s",
	    a->connect * 1e3, peer->tls != NULL ? ", with TLS" : "");
	probe_reach_expiry(pl, a->days);
	r->kind = probe_kind_of(a->http, a->raw, a->nraw);
	if (r->kind == PROBE_KIND_SILENT)
		r->kind = draw_out(peer);
	else if (r->kind == PROBE_KIND_HTTP && peer->tls == NULL &&
	    look_again(peer, true) == PROBE_KIND_TLS)
		r->kind = PROBE_KIND_TLS;
	if (strncmp(http_response_server(a->http), "rspamd/", 7) == 0)
		(void)snprintf(r->version, sizeof(r->version), "%s",
		    http_response_server(a->http));
	r->answers = r->kind == PROBE_KIND_RSPAMD ||
	    r->kind == PROBE_KIND_HTTP;
	if (r->kind == PROBE_KIND_RSPAMD)
		probe_report_say(pl, PROBE_OK, "ping", "%.1f ms, %s",
		    (a->total - a->connect) * 1e3, r->version[0] != '\0' ?
		    r->version : "rspamd behind another HTTP server");
	else if (r->kind != PROBE_KIND_HTTP)
		say_other(r, pl, a, wanted);
}

static void
say_no_tls(const struct probe_place *pl, const struct probe_wire_peer *peer,
    const struct probe_wire_answer *a)
{
	enum probe_kind kind = a->timed_out ? PROBE_KIND_SILENT :
	    look_again(peer, false);

	if (kind == PROBE_KIND_RSPAMD)
		probe_report_say(pl, PROBE_PROBLEM, "tls", "this rspamd does not "
		    "speak TLS; write http:// instead of https://, or put a TLS "
		    "server in front of it");
	else
		probe_report_say(pl, PROBE_PROBLEM, "tls", "TLS cannot be agreed "
		    "on: %s; is this the port of a server for TLS 1.2 or later?",
		    a->why);
}

void
probe_reach_ping(struct probe_reach *r, const struct probe_place *pl,
    const struct probe_wire_peer *peer, const struct conf_backend *b,
    const char *wanted, enum probe_level unreached)
{
	struct probe_wire_question q = { .end = PROBE_WIRE_HTTP };
	char host[PROBE_REACH_HOST_MAX];
	struct probe_wire_answer a;
	struct text ping;

	memset(r, 0, sizeof(*r));
	text_init(&ping, 1024);
	(void)rspamd_ping_head(&ping, probe_reach_host(b, host));
	q.text = text_string(&ping);
	q.len = ping.len;
	probe_wire_ask(peer, &q, &a);
	switch (a.fault) {
	case PROBE_WIRE_CONNECT:
		probe_report_say(pl, unreached, "connect", "%s%s; %s", a.why,
		    connect_advice(&a, b), wanted);
		break;
	case PROBE_WIRE_TLS:
		say_no_tls(pl, peer, &a);
		break;
	case PROBE_WIRE_CERTIFICATE:
		probe_report_say(pl, PROBE_PROBLEM, "tls", "%s; %s", a.why,
		    certificate_advice(&a));
		break;
	case PROBE_WIRE_OK:
	case PROBE_WIRE_LOST:
		judge(r, pl, peer, &a, wanted);
		break;
	}
	text_free(&ping);
	probe_wire_free(&a);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "outcome.h"
#include "probe_backend.h"
#include "probe_reach.h"
#include "rspamd_request.h"
#include "text.h"
#include "verdict.h"

#define WANTED	"a backend is rspamd's normal worker (port 11333) or its " \
		"proxy worker without milter (port 11332)"

#define MAIL_MAX	1024	/* its size, and more */

/* Neither in rspamd's log and history nor in its counters. */
#define FLAGS	"Flags: no_log,no_stat\r\n"

/* An address of a backend, while it is looked at. */
struct check {
	const struct probe_place *place;
	const struct probe_wire_peer *peer;
	const struct conf_backend *backend;
	const struct outcome_policy *policy;	/* what a verdict means */
	const struct conf	*conf;
	struct probe_reach reach;
};

/* The mail: nothing in it is spam, and nothing is worth learning. */
static void
write_mail(struct text *t)
{
	char date[64];
	struct tm tm;
	time_t now = time(NULL);

	if (gmtime_r(&now, &tm) == NULL ||
	    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", &tm) == 0)
		date[0] = '\0';
	text_printf(t, "From: <postmaster@localhost>\r\n"
	    "To: <postmaster@localhost>\r\n"
	    "Subject: does rspamd scan?\r\n"
	    "Date: %s\r\n"
	    "Message-ID: <%lld.%ld@rspamd-shim.invalid>\r\n"
	    "MIME-Version: 1.0\r\n"
	    "Content-Type: text/plain; charset=us-ascii\r\n"
	    "\r\n"
	    "rspamd-shim --probe asks for a verdict on this.\r\n", date,
	    (long long)now, (long)getpid());
}

/*
 * Says why the answer A is no verdict.  The controller gives itself away by
 * asking for a password.
 */
static void
say_no_verdict(const struct check *c, const struct probe_wire_answer *a,
    const char *why)
{
	int status = http_response_status(a->http);

	if (a->fault != PROBE_WIRE_OK)
		probe_report_say(c->place, PROBE_PROBLEM, "scan", "no verdict: %s; "
		    "see rspamd's log, and what it waits for (DNS, Redis)",
		    a->why);
	else if (c->reach.kind == PROBE_KIND_HTTP)
		probe_report_say(c->place, PROBE_PROBLEM, "scan", "this is %s "
		    "(status %d, %s); " WANTED, probe_kind_name(PROBE_KIND_HTTP),
		    status, http_response_server(a->http)[0] != '\0' ?
		    http_response_server(a->http) : "without a name");
	else if (status == 401 || status == 403)
		probe_report_say(c->place, PROBE_PROBLEM, "scan", "this is "
		    "rspamd's controller, it asks for a password; " WANTED);
	else if (a->nraw == 0)
		probe_report_say(c->place, PROBE_PROBLEM, "scan", "closed without "
		    "an answer; see rspamd's log, and its max_tasks");
	else
		probe_report_say(c->place, PROBE_PROBLEM, "scan", "no verdict: %s "
		    "(status %d); see rspamd's log", why, status);
}

/* Is NAME an action of rspamd's own, or one that V has a threshold for? */
static bool
is_action(const char *name, const struct verdict *v)
{
	static const char *const own[] = { "no action", "greylist", "add header",
	    "rewrite subject", "soft reject", "reject", "quarantine",
	    "discard" };
	size_t i;

	for (i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (strcmp(name, own[i]) == 0)
			return true;
	for (i = 0; i < v->nthresholds; i++)
		if (strcmp(name, v->thresholds[i].action) == 0)
			return true;
	return false;
}

static bool
has_action(const struct outcome_policy *p, const char *name)
{
	size_t i;

	for (i = 0; i < p->nspam_actions; i++)
		if (strcmp(p->spam_actions[i], name) == 0)
			return true;
	return false;
}

/* A name that is misspelt is never an action: such mail is no spam then.  Each
   is told of once, whichever listeners have it. */
static void
say_actions(const struct check *c, const struct verdict *v)
{
	const struct conf_listen *l = c->conf->listen;
	const char *name;
	size_t i, j, k;

	for (i = 0; i < c->conf->nlisten; i++)
		for (j = 0; j < l[i].policy.nspam_actions; j++) {
			name = l[i].policy.spam_actions[j];
			for (k = 0; k < i && !has_action(&l[k].policy, name); k++)
				continue;
			if (k == i && !is_action(name, v))
				probe_report_say(c->place, PROBE_WARNING, "scan",
				    "spam_actions has \"%.40s\", which is no "
				    "action of rspamd's own and not among its "
				    "thresholds; is it one of your custom "
				    "actions?", name);
		}
}

/* Returns whether the daemon would pass the verdict V on. */
static bool
say_verdict(const struct check *c, const struct probe_wire_answer *a,
    const struct verdict *v)
{
	struct outcome o;

	outcome_verdict(&o, v, c->policy);
	if (o.kind != OUTCOME_VERDICT) {
		probe_report_say(c->place, PROBE_PROBLEM, "scan", "no use in the "
		    "verdict: %s; see rspamd's log, and what it waits for (DNS, "
		    "Redis)", o.reason);
		return false;
	}
	probe_report_say(c->place, PROBE_OK, "scan", "%.1f ms, \"%.40s\", "
	    "score %.2f", a->total * 1e3, v->action,
	    outcome_shown(v->score, 2));
	say_actions(c, v);
	if (o.spam)
		probe_report_say(c->place, PROBE_NOTE, "scan", "rspamd takes a mail "
		    "with nothing bad in it for spam");
	if (v->skipped)
		probe_report_say(c->place, PROBE_WARNING, "scan", "rspamd skipped "
		    "the mail without a look at it (is_skipped); look for "
		    "settings that want no scan for this host");
	if (c->reach.kind != PROBE_KIND_RSPAMD)
		probe_report_say(c->place, PROBE_WARNING, "ping", "an HTTP server "
		    "in front of rspamd does not pass /ping on");
	return true;
}

/* A verdict on the mail, asked for as the daemon does. */
static void
write_scan(struct text *out, const struct check *c)
{
	char host[PROBE_REACH_HOST_MAX];
	struct rspamd_request rq = { .host = probe_reach_host(c->backend, host) };
	struct rspamd_request_left left;
	struct text mail;

	text_init(&mail, MAIL_MAX);
	write_mail(&mail);
	rq.length = mail.len;
	(void)rspamd_request_head(out, &rq, &left);
	/* before the empty line */
	text_rewind(out, out->len - 2);
	text_puts(out, FLAGS "\r\n");
	text_puts(out, text_string(&mail));
	text_free(&mail);
}

static bool
scan(const struct check *c)
{
	struct probe_wire_question q = { .end = PROBE_WIRE_HTTP };
	struct probe_wire_answer a;
	struct verdict *v = NULL;
	char why[200] = "an error";
	struct text ask;
	bool good = false;
	const char *body;
	size_t len;

	text_init(&ask, RSPAMD_REQUEST_HEAD_MAX + MAIL_MAX);
	write_scan(&ask, c);
	q.text = text_string(&ask);
	q.len = ask.len;
	probe_wire_ask(c->peer, &q, &a);
	body = http_response_body(a.http, &len);
	if (http_response_status(a.http) == 200)
		v = verdict_parse(body, len, why, sizeof(why));
	else
		(void)verdict_error(body, len, why, sizeof(why));
	if (a.fault == PROBE_WIRE_OK && v != NULL)
		good = say_verdict(c, &a, v);
	else
		say_no_verdict(c, &a, why);
	text_free(&ask);
	verdict_free(v);
	probe_wire_free(&a);
	return good;
}

/*
 * The controller scans too, for hosts that it trusts.  Returns whether this
 * is it.
 */
static bool
is_controller(const struct check *c)
{
	static const char auth[] = "GET /auth HTTP/1.1\r\nHost: localhost\r\n"
	    "Connection: close\r\n\r\n";
	const struct probe_wire_question q = { auth, sizeof(auth) - 1, false,
	    PROBE_WIRE_HTTP };
	struct probe_wire_peer peer = *c->peer;
	struct probe_wire_answer a;
	const char *body;
	bool is_it;
	size_t len;

	peer.brief = true;
	probe_wire_ask(&peer, &q, &a);
	body = http_response_body(a.http, &len);
	/* a scan worker does not know the path, or scans whatever it is */
	is_it = http_response_status(a.http) == 200 &&
	    strstr(body, "\"auth\"") != NULL;
	if (is_it)
		probe_report_say(c->place, PROBE_WARNING, "scan", "this is "
		    "rspamd's controller, which scans here only because it "
		    "trusts this host; " WANTED);
	probe_wire_free(&a);
	return is_it;
}

enum exim {
	EXIM_ANSWERED,
	EXIM_CLOSED,		/* without an answer that Exim could read */
	EXIM_TOO_SLOW
};

/* What does a client of rspamd's own text protocol get? */
static enum exim
ask_as_exim(const struct check *c, bool half_close)
{
	struct probe_wire_question q = { .half_close = half_close,
	    .end = PROBE_WIRE_LINE };
	struct probe_wire_peer peer = *c->peer;
	struct probe_wire_answer a;
	struct text ask, mail;
	enum exim got;

	text_init(&mail, MAIL_MAX);
	text_init(&ask, 2 * MAIL_MAX);
	write_mail(&mail);
	text_printf(&ask, "CHECK RSPAMC/1.3\r\nContent-length: %zu\r\n" FLAGS
	    "\r\n%s", mail.len, text_string(&mail));
	q.text = text_string(&ask);
	q.len = ask.len;
	peer.brief = true;
	probe_wire_ask(&peer, &q, &a);
	got = strncmp(a.raw, "RSPAMD/", 7) == 0 ? EXIM_ANSWERED :
	    a.timed_out ? EXIM_TOO_SLOW : EXIM_CLOSED;
	probe_wire_free(&a);
	text_free(&ask);
	text_free(&mail);
	return got;
}

/*
 * What would come of an Exim that asks this rspamd itself, without
 * rspamd-shim?  Exim 4.86 and 4.87 half-close, unless they are patched.
 */
static void
check_half_close(const struct check *c)
{
	enum exim half = ask_as_exim(c, true), whole = EXIM_CLOSED;

	if (half == EXIM_CLOSED)
		whole = ask_as_exim(c, false);
	if (half == EXIM_ANSWERED)
		probe_report_say(c->place, PROBE_OK, "half-close", "a client that "
		    "half-closes, as Exim 4.86 and 4.87 with variant=rspamd, would "
		    "be answered here too");
	else if (half == EXIM_TOO_SLOW || whole == EXIM_TOO_SLOW)
		probe_report_say(c->place, PROBE_NOTE, "half-close", "not known, "
		    "for an answer takes longer than timeout_connect");
	else if (whole == EXIM_ANSWERED)
		probe_report_say(c->place, PROBE_NOTE, "half-close", "rspamd does "
		    "not answer a client that half-closes "
		    "(its enable_shutdown_workaround is false): let Exim 4.86 and "
		    "4.87 ask rspamd-shim, or patch them");
	else
		probe_report_say(c->place, PROBE_NOTE, "half-close", "this rspamd "
		    "does not answer Exim's variant=rspamd at all: let every Exim "
		    "ask rspamd-shim");
}

/* Looks at one address.  Returns whether it scans, or is out of the way. */
static bool
check_address(struct check *c, enum probe_level unreached, bool *scans)
{
	probe_reach_ping(&c->reach, c->place, c->peer, c->backend, WANTED,
	    unreached);
	if (!c->reach.answers)
		return !c->reach.connected && unreached != PROBE_PROBLEM;
	if (!scan(c))
		return false;
	*scans = true;
	if (!is_controller(c) && c->peer->tls == NULL)
		check_half_close(c);
	return true;
}

bool
probe_backend_check(struct probe_report *r, const struct conf *conf,
    const struct conf_backend *b, const struct probe_name *nm)
{
	struct probe_wire_peer peer = { .tls = b->ctx, .host = b->host,
	    .timeout = &conf->timeout };
	struct probe_place place = { r, "backend", b->url };
	struct check c = { .place = &place, .peer = &peer, .backend = b,
	    .policy = &conf->listen[0].policy, .conf = conf };
	bool scans = false, good = true;
	size_t i;

	probe_reach_names(&place, nm);
	for (i = 0; i < nm->n; i++) {
		peer.addr = (const struct sockaddr *)&nm->addr[i];
		peer.len = nm->len[i];
		if (nm->looked_up)
			place.where = probe_name_text(nm, i);
		/* the daemon goes on to the next address */
		good &= check_address(&c, nm->n > 1 ? PROBE_WARNING :
		    PROBE_PROBLEM, &scans);
	}
	place.where = b->url;
	if (nm->n > 1 && good && !scans)
		probe_report_say(&place, PROBE_PROBLEM, "connect", "none of its "
		    "addresses can be reached; start rspamd, or correct the URL");
	return good && scans;
}

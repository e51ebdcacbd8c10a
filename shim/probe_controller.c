/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <string.h>

#include "probe_controller.h"
#include "probe_reach.h"
#include "rspamd_request.h"
#include "text.h"
#include "verdict.h"

#define WANTED	"a controller is rspamd's worker of that name (port 11334)"

/* An address of a controller, while it is looked at. */
struct check {
	const struct probe_place *place;
	const struct probe_wire_peer *peer;
	const struct conf_backend *controller;
};

enum reply {
	ACCEPTED,		/* all is right but the message */
	REFUSED,
	TOO_OFTEN,
	NOT_THERE,		/* it does not know the path */
	NO_REPLY		/* see why */
};

static enum reply
read_reply(const struct probe_wire_answer *a, char *why, size_t size)
{
	int status = http_response_status(a->http);
	const char *body;
	size_t len;

	body = http_response_body(a->http, &len);
	why[0] = '\0';
	if (a->fault != PROBE_WIRE_OK || a->nraw == 0) {
		(void)snprintf(why, size, "%s", a->fault != PROBE_WIRE_OK ?
		    a->why : "closed without an answer");
		return NO_REPLY;
	}
	(void)verdict_error(body, len, why, size);
	if (status == 401 || status == 403)
		return REFUSED;
	if (status == 429)
		return TOO_OFTEN;
	/* "Empty body is not permitted"; a scan worker's: "invalid command" */
	if (status == 400 && strstr(why, "body") != NULL)
		return ACCEPTED;
	return NOT_THERE;
}

/* Asks to LEARN a message without a byte, or else to look at the counters. */
static enum reply
ask(const struct check *c, bool learn, const char *password, char *why,
    size_t size)
{
	char host[PROBE_REACH_HOST_MAX];
	struct rspamd_learn_request rq = { .what = RSPAMD_LEARN_HAM,
	    .host = probe_reach_host(c->controller, host),
	    .password = password };
	struct probe_wire_question q = { .end = PROBE_WIRE_HTTP };
	struct probe_wire_answer a;
	struct text head;
	enum reply reply;

	text_init(&head, 4096);
	if (learn)
		(void)rspamd_learn_head(&head, &rq);
	else
		text_printf(&head, "GET /auth HTTP/1.1\r\nHost: %s\r\n"
		    "Password: %s\r\nConnection: close\r\n\r\n", host, password);
	q.text = text_string(&head);
	q.len = head.len;
	probe_wire_ask(c->peer, &q, &a);
	reply = read_reply(&a, why, size);
	if (!learn && http_response_status(a.http) == 200)
		reply = ACCEPTED;
	probe_wire_free(&a);
	if (head.buf != NULL)
		explicit_bzero(head.buf, head.len);
	text_free(&head);
	return reply;
}

/*
 * The password was refused: what would be right?  OPEN: none is needed; LOOKS:
 * it is good for looking.
 */
static void
say_refused(const struct check *c, bool open, bool looks)
{
	const struct conf_backend *b = c->controller;

	if (b->password == NULL)
		probe_report_say(c->place, PROBE_PROBLEM, "password", "a password "
		    "is wanted; put rspamd's enable_password into a file, and name "
		    "it with password_file");
	else if (open)
		probe_report_say(c->place, PROBE_PROBLEM, "password", "rspamd has "
		    "no password and refuses ours; take password_file away, or set "
		    "enable_password in rspamd's worker-controller.inc");
	else if (looks)
		probe_report_say(c->place, PROBE_PROBLEM, "password", "this is "
		    "rspamd's password for looking only; learning wants its "
		    "enable_password in %s", b->password_file);
	else
		probe_report_say(c->place, PROBE_PROBLEM, "password", "it is "
		    "refused; put rspamd's enable_password in clear (q1 and q2 "
		    "never work) into the first line of %s", b->password_file);
}

static void
say_accepted(const struct check *c, bool open)
{
	if (c->controller->password == NULL)
		probe_report_say(c->place, PROBE_OK, "password",
		    "none is needed for learning from here");
	else if (open)
		probe_report_say(c->place, PROBE_OK, "password",
		    "learning is allowed; from here it needs none");
	else
		probe_report_say(c->place, PROBE_OK, "password",
		    "it is right: learning is allowed");
}

static enum probe_controller
check_password(const struct check *c)
{
	const char *password = c->controller->password;
	enum reply reply = ACCEPTED;
	bool open = false, looks = false;
	char why[200];

	/* the right one comes last: rspamd 4 counts failures, and forgets them
	   at a success; a wrong one is sent once */
	if (password != NULL)
		open = ask(c, true, NULL, why, sizeof(why)) == ACCEPTED;
	if (password != NULL && !open) {
		reply = ask(c, false, password, why, sizeof(why));
		looks = reply == ACCEPTED;
	}
	if (reply != REFUSED && reply != TOO_OFTEN)
		reply = ask(c, true, password, why, sizeof(why));
	switch (reply) {
	case ACCEPTED:
		say_accepted(c, open);
		return PROBE_CONTROLLER_GOOD;
	case REFUSED:
		say_refused(c, open, looks);
		return PROBE_CONTROLLER_REFUSES;
	case TOO_OFTEN:
		probe_report_say(c->place, PROBE_PROBLEM, "password", "rspamd has "
		    "seen too many wrong passwords from here; wait some minutes, "
		    "and probe again");
		return PROBE_CONTROLLER_REFUSES;
	case NOT_THERE:
		probe_report_say(c->place, PROBE_PROBLEM, "password", "this server "
		    "does not learn (%s); " WANTED, why[0] != '\0' ? why :
		    "it does not know learnham");
		return PROBE_CONTROLLER_OTHER;
	default:
		probe_report_say(c->place, PROBE_PROBLEM, "password", "no answer: "
		    "%s; see rspamd's log", why);
		return PROBE_CONTROLLER_AWAY;
	}
}

static enum probe_controller
check_address(const struct check *c, enum probe_level unreached)
{
	struct probe_reach reach;

	probe_reach_ping(&reach, c->place, c->peer, c->controller, WANTED,
	    unreached);
	if (reach.answers)
		return check_password(c);
	if (!reach.connected)
		return unreached == PROBE_PROBLEM ? PROBE_CONTROLLER_AWAY :
		    PROBE_CONTROLLER_GOOD;
	return reach.kind == PROBE_KIND_SILENT ? PROBE_CONTROLLER_AWAY :
	    PROBE_CONTROLLER_OTHER;
}

enum probe_controller
probe_controller_check(struct probe_report *r, const struct conf *conf,
    const struct conf_backend *b, const struct probe_name *nm)
{
	struct probe_wire_peer peer = { .tls = b->ctx, .host = b->host,
	    .timeout = &conf->timeout };
	struct probe_place place = { r, "controller", b->url };
	struct check c = { &place, &peer, b };
	enum probe_controller one, worst = PROBE_CONTROLLER_GOOD;
	size_t i;

	probe_reach_names(&place, nm);
	if (nm->n == 0)
		worst = PROBE_CONTROLLER_AWAY;
	for (i = 0; i < nm->n; i++) {
		peer.addr = (const struct sockaddr *)&nm->addr[i];
		peer.len = nm->len[i];
		if (nm->looked_up)
			place.where = probe_name_text(nm, i);
		one = check_address(&c, nm->n > 1 ? PROBE_WARNING : PROBE_PROBLEM);
		if (one > worst)
			worst = one;
	}
	return worst;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <string.h>

#include "account.h"
#include "decimal.h"

/* Values from outside are cut at so many bytes. */
#define VALUE_MAX	100

static void
field(struct text *t, const char *name, const char *value)
{
	if (value != NULL)
		text_field(t, name, value, strlen(value), VALUE_MAX);
}

static void
number(struct text *t, const char *name, double x, int digits)
{
	text_puts(t, name);
	decimal_put(t, x, 0, digits);
}

static void
count(struct text *t, const char *name, uint64_t n)
{
	text_puts(t, name);
	text_number(t, n);
}

static void
put_envelope(struct text *t, const struct account *a)
{
	const struct envelope *e = a->envelope;
	size_t seen = a->request->rcpt_seen, left = a->left.rcpt;

	if (e != NULL) {
		if (seen < e->nrcpt)
			seen = e->nrcpt;
		left += seen - e->nrcpt;
		field(t, "queue_id", e->queue_id);
		field(t, "ip", e->ip);
		field(t, "from", e->sender);
		count(t, " rcpts=", seen);
		if (e->authenticated)
			text_puts(t, " authenticated=yes");
		field(t, "user", e->user);
	}
	field(t, "envelope", a->envelope_from);
	if (left > 0)
		count(t, " rcpts_left_out=", left);
	if (a->left.values > 0)
		count(t, " headers_left_out=", a->left.values);
}

static void
put_request(struct text *t, const struct account *a)
{
	const struct spamd_request *r = a->request;

	field(t, "client", a->peer);
	if (r->dialect != SPAMD_DIALECT_UNKNOWN) {
		text_puts(t, r->dialect == SPAMD_SPAMC ? " dialect=spamc" :
		    " dialect=rspamc");
		/* one that cannot be read is negative */
		if (r->version >= 0) {
			count(t, "/", (unsigned int)r->version / 100);
			count(t, ".", (unsigned int)r->version % 100);
		}
	}
	field(t, "command", spamd_command_name(r->command));
	put_envelope(t, a);
	if (spamd_request_has_message(r))
		count(t, " size=", a->size);
}

static void
put_times(struct text *t, const struct account *a)
{
	const struct account_times *at = &a->times;

	number(t, " read=", at->read, 3);
	if (at->queued > 0.0)
		number(t, " queued=", at->queued, 3);
	if (a->backend != NULL) {
		number(t, " connect=", at->connect, 3);
		number(t, " send=", at->send, 3);
		number(t, " wait=", at->wait, 3);
		number(t, " receive=", at->receive, 3);
	}
	number(t, " total=", at->total, 3);
}

/* All of it: the client may swallow it. */
static void
put_reason(struct text *t, const struct outcome *o)
{
	text_field(t, "reason", o->reason, strlen(o->reason),
	    sizeof(o->reason));
}

/* The last fields: how it ended. */
static bool
put_ending(struct text *t, const struct account *a)
{
	const struct outcome *o = a->outcome;

	if (a->ending == ACCOUNT_GONE || (o == NULL &&
	    a->ending != ACCOUNT_SKIPPED)) {
		text_puts(t, " outcome=client-gone");
		field(t, "reason", a->gone_why);
		return false;
	}
	if (o == NULL || o->kind == OUTCOME_DONE) {
		text_puts(t, " outcome=ok");
		if (o != NULL && o->reason[0] != '\0')
			put_reason(t, o);
		return true;
	}
	if (o->kind == OUTCOME_VERDICT) {
		text_puts(t, " outcome=verdict");
		return true;
	}
	text_printf(t, " outcome=%s failure=%s",
	    o->kind == OUTCOME_PASS ? "unscanned" : "error",
	    failure_name(o->failure));
	put_reason(t, o);
	return false;
}

bool
account_line(struct text *out, const struct account *a)
{
	const struct outcome *o = a->outcome;

	put_request(out, a);
	field(out, "backend", a->backend);
	field(out, "controller", a->controller);
	if (o != NULL && (o->kind == OUTCOME_VERDICT ||
	    o->kind == OUTCOME_PASS)) {
		field(out, "action", o->action);
		number(out, " score=", o->score, 2);
		number(out, " required=", a->request->dialect == SPAMD_RSPAMC ?
		    o->required : o->threshold, 2);
		text_puts(out, o->spam ? " spam=yes" : " spam=no");
	}
	put_times(out, a);
	return put_ending(out, a);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <math.h>
#include <stdio.h>

#include "conf.h"
#include "conf_names.h"

const char *const conf_envelope_names[] = { "exim", "addresses", "none" };
const char *const conf_user_names[] = { "ignore", "authenticated",
    "deliver-to", "settings-id" };
const char *const conf_headers_names[] = { "spamassassin", "rspamc",
    "none" };
const char *const conf_policy_names[] = { "defer", "pass" };
const struct conf_policy_key conf_policy_keys[] = {
	{ "on_unreachable", FAILURE_UNREACHABLE, false },
	{ "on_timeout", FAILURE_TIMEOUT, false },
	{ "on_rspamd_error", FAILURE_RSPAMD, false },
	{ "on_unreadable_reply", FAILURE_UNREADABLE, false },
	{ "on_incomplete_scan", FAILURE_INCOMPLETE, false },
	{ "on_overload", FAILURE_OVERLOAD, false },
	{ "on_too_large", FAILURE_TOO_LARGE, true }
};
const char *const conf_log_names[] = { "stderr", "syslog" };

/* S, quoted as libconfuse reads it back: in double quotes it would look for
   environment variables. */
static void
quote(FILE *f, const char *s)
{
	putc('\'', f);
	for (; *s != '\0'; s++)
		fprintf(f, "%s%c", *s == '\'' || *s == '\\' ? "\\" : "", *s);
	putc('\'', f);
}

/* KEY = VALUE; nothing for NULL. */
static void
dump_string(FILE *f, const char *indent, const char *key, const char *value)
{
	if (value == NULL)
		return;
	fprintf(f, "%s%s = ", indent, key);
	quote(f, value);
	putc('\n', f);
}

/* KEY = {LIST}. */
static void
dump_list(FILE *f, const char *key, const char *const *list, size_t n)
{
	size_t i;

	fprintf(f, "\t%s = {", key);
	for (i = 0; i < n; i++) {
		if (i > 0)
			fputs(", ", f);
		quote(f, list[i]);
	}
	fputs("}\n", f);
}

/* KIND 'ADDRESS' {, and who may connect. */
static void
dump_socket(FILE *f, const char *kind, const struct conf_listen *l)
{
	fprintf(f, "%s ", kind);
	quote(f, l->address);
	fputs(" {\n", f);
	fprintf(f, "\tmode = \"%04o\"\n", (unsigned int)l->mode);
	dump_string(f, "\t", "owner", l->owner);
	dump_string(f, "\t", "group", l->group);
	dump_list(f, "allow", (const char *const *)l->allow_text, l->nallow);
}

static void
dump_status(FILE *f, const struct conf_listen *l)
{
	dump_socket(f, "status", l);
	fputs("}\n", f);
}

static void
dump_listen(FILE *f, const struct conf_listen *l)
{
	size_t i;

	dump_socket(f, "listen", l);
	dump_string(f, "\t", "certificate", l->certificate);
	dump_string(f, "\t", "key", l->key);
	dump_string(f, "\t", "client_ca", l->client_ca);
	fprintf(f, "\tdialects = {%s%s%s}\n", l->spamc ? "spamc" : "",
	    l->spamc && l->rspamc ? ", " : "", l->rspamc ? "rspamc" : "");
	fprintf(f, "\tenvelope = %s\n", conf_envelope_names[l->envelope]);
	fprintf(f, "\tspamc_user = %s\n", conf_user_names[l->spamc_user]);
	dump_string(f, "\t", "unnamed_user", l->unnamed_user);
	fprintf(f, "\theaders = %s\n\treport_header = %s\n\ttell = %s\n",
	    conf_headers_names[l->rewrite_headers],
	    l->rewrite_report ? "true" : "false", l->tell ? "true" : "false");
	dump_list(f, "spam_actions", l->policy.spam_actions,
	    l->policy.nspam_actions);
	if (!isnan(l->policy.spam_threshold))
		fprintf(f, "\tspam_threshold = %.15g\n", l->policy.spam_threshold);
	for (i = 0; i < CONF_POLICY_KEYS; i++)
		fprintf(f, "\t%s = %s\n", conf_policy_keys[i].key,
		    conf_policy_names[l->policy.pass[conf_policy_keys[i].failure]]);
	fputs("}\n", f);
}

static void
dump_backend(FILE *f, const char *kind, const struct conf_backend *b)
{
	fprintf(f, "%s ", kind);
	quote(f, b->url);
	fputs(" {\n", f);
	/* a controller has no share of anything */
	if (b->weight > 0)
		fprintf(f, "\tweight = %u\n\tpriority = %u\n\tmax_requests = "
		    "%zu\n\tkeep_alive = %s\n", b->weight, b->priority,
		    b->max_requests, b->keep_alive ? "true" : "false");
	fprintf(f, "\tverify = %s\n", b->verify ? "true" : "false");
	dump_string(f, "\t", "ca_file", b->ca_file);
	dump_string(f, "\t", "password_file", b->password_file);
	fputs("}\n", f);
}

void
conf_dump(const struct conf *c, FILE *f)
{
	const struct conf_timeouts *t = &c->timeout;
	size_t i;

	for (i = 0; i < c->nlisten; i++)
		dump_listen(f, &c->listen[i]);
	for (i = 0; i < c->nstatus; i++)
		dump_status(f, &c->status[i]);
	for (i = 0; i < c->nbackend; i++)
		dump_backend(f, "backend", &c->backend[i]);
	for (i = 0; i < c->ncontroller; i++)
		dump_backend(f, "controller", &c->controller[i]);
	fprintf(f, "fuzzy_flag = %d\nfuzzy_weight = %d\n", c->fuzzy_flag,
	    c->fuzzy_weight);
	fprintf(f, "task_timeout = %g\n", c->task_timeout);
	fprintf(f, "workers = %d\n", c->workers);
	fprintf(f, "max_connections = %llu\n",
	    (unsigned long long)c->max_connections);
	fprintf(f, "max_message_size = %llu\n",
	    (unsigned long long)c->max_message_size);
	fprintf(f, "max_connections_per_client = %llu\nmax_memory = %llu\n",
	    (unsigned long long)c->max_per_client,
	    (unsigned long long)c->max_memory);
	fprintf(f, "enable_shutdown_workaround = %s\n",
	    c->shutdown_workaround ? "true" : "false");
	fprintf(f, "timeout_idle = %g\ntimeout_client = %g\n"
	    "timeout_connect = %g\n"
	    "timeout_send = %g\ntimeout_wait = %g\ntimeout_receive = %g\n"
	    "timeout_reply = %g\ntimeout_request = %g\ntimeout_stop = %g\n"
	    "timeout_worker = %g\ntimeout_queue = %g\n",
	    t->idle, t->client, t->connect, t->send, t->wait, t->receive, t->reply,
	    t->request, t->stop, t->worker, t->queue);
	fprintf(f, "max_queue = %zu\nhealth_interval = %g\nbreaker_failures = %u\n"
	    "slow_start = %g\n", c->max_queue, c->health_interval,
	    c->breaker_failures, c->slow_start);
	dump_string(f, "", "user", c->user);
	dump_string(f, "", "group", c->group);
	dump_string(f, "", "chroot", c->chroot);
	fprintf(f, "log = %s\n", conf_log_names[c->syslog ? 1 : 0]);
	dump_string(f, "", "pid_file", c->pid_file);
	fprintf(f, "daemon = %s\n", c->daemon ? "true" : "false");
}

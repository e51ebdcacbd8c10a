/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "conf_names.h"

const char *const conf_envelope_names[] = { "exim", "addresses", "none" };
const char *const conf_user_names[] = { "ignore", "authenticated",
    "deliver-to", "settings-id" };
const char *const conf_headers_names[] = { "spamassassin", "rspamc",
    "rspamc-json", "none" };
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

/* KEY = X, with as many digits as give X again. */
static void
dump_number(FILE *f, const char *indent, const char *key, double x)
{
	char s[40];
	int digits = 6;

	do {
		(void)snprintf(s, sizeof(s), "%.*g", digits, x);
	} while (++digits <= 17 && strtod(s, NULL) != x);
	/* a plus, as of an exponent, stands for something else */
	fprintf(f, strchr(s, '+') != NULL ? "%s%s = '%s'\n" : "%s%s = %s\n",
	    indent, key, s);
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
	dump_string(f, "\t", "mta_name", l->mta_name);
	fprintf(f, "\theaders = %s\n\treport_header = %s\n\ttell = %s\n",
	    conf_headers_names[l->rewrite_headers],
	    l->rewrite_report ? "true" : "false", l->tell ? "true" : "false");
	dump_list(f, "spam_actions", l->policy.spam_actions,
	    l->policy.nspam_actions);
	if (!isnan(l->policy.spam_threshold))
		dump_number(f, "\t", "spam_threshold", l->policy.spam_threshold);
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

static void
dump_timeouts(FILE *f, const struct conf_timeouts *t)
{
	dump_number(f, "", "timeout_idle", t->idle);
	dump_number(f, "", "timeout_client", t->client);
	dump_number(f, "", "timeout_connect", t->connect);
	dump_number(f, "", "timeout_send", t->send);
	dump_number(f, "", "timeout_wait", t->wait);
	dump_number(f, "", "timeout_receive", t->receive);
	dump_number(f, "", "timeout_reply", t->reply);
	dump_number(f, "", "timeout_request", t->request);
	dump_number(f, "", "timeout_stop", t->stop);
	dump_number(f, "", "timeout_worker", t->worker);
	dump_number(f, "", "timeout_queue", t->queue);
}

void
conf_dump(const struct conf *c, FILE *f)
{
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
	dump_number(f, "", "task_timeout", c->task_timeout);
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
	dump_timeouts(f, &c->timeout);
	fprintf(f, "max_queue = %zu\nbreaker_failures = %u\n", c->max_queue,
	    c->breaker_failures);
	dump_number(f, "", "health_interval", c->health_interval);
	dump_number(f, "", "slow_start", c->slow_start);
	dump_string(f, "", "user", c->user);
	dump_string(f, "", "group", c->group);
	dump_string(f, "", "chroot", c->chroot);
	fprintf(f, "log = %s\n", conf_log_names[c->syslog ? 1 : 0]);
	dump_string(f, "", "pid_file", c->pid_file);
	fprintf(f, "daemon = %s\n", c->daemon ? "true" : "false");
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "conf_listen.h"
#include "conf_names.h"
#include "conf_value.h"
#include "tls.h"

static const char *const default_spam[] = { "reject", "rewrite subject",
    "add header" };

/* rspamd's own configuration spells its actions with _, its replies do not. */
static const char *
action_named(const char *name)
{
	static const char *const names[][2] = { { "add_header", "add header" },
	    { "rewrite_subject", "rewrite subject" },
	    { "soft_reject", "soft reject" }, { "no_action", "no action" } };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i][0]) == 0)
			return names[i][1];
	return name;
}

/* The section that has the key of policy: the listener's, or the file's. */
static cfg_t *
having(cfg_t *sec, cfg_t *top, const char *key)
{
	return sec != NULL && cfg_size(sec, key) > 0 ? sec : top;
}

/* Does a message that cannot be scanned, because of K's failure, pass? */
static void
load_policy_key(struct conf_listen *l, cfg_t *sec, cfg_t *top,
    const struct conf_policy_key *k)
{
	cfg_t *c = having(sec, top, k->key);
	bool *pass = &l->policy.pass[k->failure];

	*pass = k->pass;
	if (cfg_size(c, k->key) > 0)
		*pass = conf_choice(l->address, k->key, cfg_getstr(c, k->key),
		    conf_policy_names, 2) == 1;
}

static void
load_policy(struct conf_listen *l, cfg_t *sec, cfg_t *top)
{
	struct outcome_policy *p = &l->policy;
	unsigned int i, n;
	cfg_t *c;

	c = having(sec, top, "spam_actions");
	n = cfg_size(c, "spam_actions");
	p->nspam_actions = n > 0 ? n : 3;
	p->spam_actions = calloc(p->nspam_actions, sizeof(*p->spam_actions));
	if (p->spam_actions == NULL) {
		p->nspam_actions = 0;
		conf_bad(l->address, "out of memory");
	}
	for (i = 0; i < p->nspam_actions; i++) {
		p->spam_actions[i] = conf_copy(n > 0 ? action_named(
		    cfg_getnstr(c, "spam_actions", i)) : default_spam[i]);
		if (p->spam_actions[i] == NULL) {
			conf_bad(l->address, "an empty name in spam_actions");
			p->nspam_actions = i;
		}
	}
	c = having(sec, top, "spam_threshold");
	p->spam_threshold = cfg_size(c, "spam_threshold") > 0 ?
	    cfg_getfloat(c, "spam_threshold") : NAN;
	if (cfg_size(c, "spam_threshold") > 0 && !isfinite(p->spam_threshold))
		conf_bad(l->address, "spam_threshold is not a number");
	p->task_timeout = cfg_getfloat(top, "task_timeout");
	for (i = 0; i < CONF_POLICY_KEYS; i++)
		load_policy_key(l, sec, top, &conf_policy_keys[i]);
}

static void
load_dialects(struct conf_listen *l, cfg_t *sec)
{
	static const char *const names[] = { "spamc", "rspamc" };
	unsigned int i, n = sec != NULL ? cfg_size(sec, "dialects") : 0;
	int k;

	if (sec == NULL)
		l->spamc = l->rspamc = l->tell = true;
	for (i = 0; i < n; i++) {
		k = conf_choice(l->address, "dialects",
		    cfg_getnstr(sec, "dialects", i), names, 2);
		l->spamc |= k == 0;
		l->rspamc |= k == 1;
	}
	if (!l->spamc && !l->rspamc)
		conf_bad(l->address, "dialects is empty: nothing would be served");
}

/* The clients that are let in: spamd's default is this host alone, too. */
static void
load_allow(struct conf_listen *l, cfg_t *sec)
{
	static const char *const standard[] = { "127.0.0.0/8", "::1" };
	size_t n = sec != NULL ? cfg_size(sec, "allow") : 2;
	const char *s;

	l->allow = calloc(n + 1, sizeof(*l->allow));
	l->allow_text = calloc(n + 1, sizeof(*l->allow_text));
	if (l->allow == NULL || l->allow_text == NULL) {
		conf_bad(l->address, "out of memory");
		return;
	}
	for (; l->nallow < n; l->nallow++) {
		s = sec != NULL ? cfg_getnstr(sec, "allow",
		    (unsigned int)l->nallow) : standard[l->nallow];
		l->allow_text[l->nallow] = strdup(s);
		if (access_parse(&l->allow[l->nallow], s) == -1)
			conf_bad(l->address, "allow: \"%s\" is not an address or a "
			    "network such as 192.0.2.0/24", s);
	}
}

static void
load_tls(struct conf_listen *l, cfg_t *sec)
{
	const char *why;

	l->certificate = conf_copy(cfg_getstr(sec, "certificate"));
	l->key = conf_copy(cfg_getstr(sec, "key"));
	l->client_ca = conf_copy(cfg_getstr(sec, "client_ca"));
	if (l->certificate == NULL && (l->key != NULL || l->client_ca != NULL))
		conf_bad(l->address, "a key or client_ca without a certificate");
	conf_readable(l->address, "certificate", l->certificate);
	conf_readable(l->address, "key", l->key);
	/* one file may have both */
	if (l->certificate != NULL && l->key == NULL)
		l->key = conf_copy(l->certificate);
	conf_readable(l->address, "client_ca", l->client_ca);
	/* once, and before there are workers: they must not depend on files
	   that change, or that root alone can read */
	if (conf_faulty() || l->certificate == NULL)
		return;
	l->tls = tls_server(l->certificate, l->key, l->client_ca, &why);
	if (l->tls == NULL)
		conf_bad(l->address, "TLS: %s", why);
}

/* The socket: where it is, and who may connect.  False for no address. */
static bool
load_socket(struct conf_listen *l, const char *kind, const char *address,
    cfg_t *sec)
{
	const char *path = conf_unix_path(address);
	char *end;
	long mode;

	l->address = conf_copy(address);
	if (l->address == NULL) {
		conf_bad(kind, "an empty address");
		return false;
	}
	if (path != NULL ? !conf_fits_unix(path) :
	    !conf_host_port(address, NULL, NULL))
		conf_bad(address, "not an address to listen on; write HOST:PORT, "
		    "[IPv6]:PORT or unix:/path (of 107 bytes at most)");
	l->mode = 0666;
	if (sec != NULL) {
		mode = strtol(cfg_getstr(sec, "mode"), &end, 8);
		if (*end != '\0' || end == cfg_getstr(sec, "mode") ||
		    mode < 0 || mode > 0777)
			conf_bad(address, "mode = \"%s\" is not an octal file mode",
			    cfg_getstr(sec, "mode"));
		l->mode = (mode_t)mode;
		l->owner = conf_copy(cfg_getstr(sec, "owner"));
		l->group = conf_copy(cfg_getstr(sec, "group"));
	}
	load_allow(l, sec);
	return true;
}

void
conf_status_load(struct conf_listen *l, const char *address, cfg_t *sec)
{
	(void)load_socket(l, "status", address, sec);
}

void
conf_listen_load(struct conf_listen *l, const char *address, cfg_t *sec, cfg_t *top)
{
	int k;

	if (!load_socket(l, "listen", address, sec))
		return;
	if (sec != NULL) {
		k = conf_choice(address, "envelope", cfg_getstr(sec, "envelope"),
		    conf_envelope_names, 3);
		l->envelope = k < 0 ? CONF_ENVELOPE_NONE : (enum conf_envelope)k;
		k = conf_choice(address, "spamc_user", cfg_getstr(sec, "spamc_user"),
		    conf_user_names, 4);
		l->spamc_user = k < 0 ? CONF_USER_IGNORE : (enum conf_user)k;
		l->unnamed_user = conf_copy(cfg_getstr(sec, "unnamed_user"));
		l->mta_name = conf_copy(cfg_getstr(sec, "mta_name"));
		if (l->mta_name != NULL && !conf_is_host_name(l->mta_name))
			conf_bad(address, "mta_name = \"%s\" is not a host name; "
			    "write one such as mx.example.org", l->mta_name);
		k = conf_choice(address, "headers", cfg_getstr(sec, "headers"),
		    conf_headers_names, 4);
		l->rewrite_headers = k < 0 ? REWRITE_NONE :
		    (enum rewrite_headers)k;
		l->rewrite_report = cfg_getbool(sec, "report_header") == cfg_true;
		l->tell = cfg_getbool(sec, "tell") == cfg_true;
	}
	if (sec != NULL)
		load_tls(l, sec);
	load_dialects(l, sec);
	load_policy(l, sec, top);
}

void
conf_listen_free(struct conf_listen *l)
{
	size_t i;

	for (i = 0; i < l->policy.nspam_actions; i++)
		free((void *)(uintptr_t)l->policy.spam_actions[i]);
	free(l->policy.spam_actions);
	for (i = 0; i < l->nallow; i++)
		free(l->allow_text[i]);
	free(l->allow_text);
	free(l->allow);
	tls_free(l->tls);
	free(l->certificate);
	free(l->key);
	free(l->client_ca);
	free(l->address);
	free(l->owner);
	free(l->group);
	free(l->unnamed_user);
	free(l->mta_name);
}

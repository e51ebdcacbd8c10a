/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/stat.h>

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <confuse.h>

#include "conf.h"
#include "conf_backend.h"
#include "conf_listen.h"
#include "conf_names.h"
#include "conf_text.h"
#include "conf_value.h"

#define MAX_WORKERS	256
#define DEFAULT_USER	"nobody"

/* The keys of policy stand in a listen section or, for all listeners that
   do not have them, at the top. */
#define POLICY_OPTIONS \
	CFG_STR_LIST("spam_actions", NULL, CFGF_NODEFAULT), \
	CFG_FLOAT("spam_threshold", 0, CFGF_NODEFAULT), \
	CFG_STR("on_unreachable", NULL, CFGF_NODEFAULT), \
	CFG_STR("on_timeout", NULL, CFGF_NODEFAULT), \
	CFG_STR("on_rspamd_error", NULL, CFGF_NODEFAULT), \
	CFG_STR("on_unreadable_reply", NULL, CFGF_NODEFAULT), \
	CFG_STR("on_incomplete_scan", NULL, CFGF_NODEFAULT), \
	CFG_STR("on_overload", NULL, CFGF_NODEFAULT), \
	CFG_STR("on_too_large", NULL, CFGF_NODEFAULT)

/* libconfuse does not say const */
static char loopback[] = "{127.0.0.0/8, ::1}";
static char all_dialects[] = "{spamc, rspamc}";

static cfg_opt_t listen_options[] = {
	CFG_STR("mode", "0666", CFGF_NONE),
	CFG_STR("owner", NULL, CFGF_NONE),
	CFG_STR("group", NULL, CFGF_NONE),
	CFG_STR_LIST("allow", loopback, CFGF_NONE),
	CFG_STR("certificate", NULL, CFGF_NONE),
	CFG_STR("key", NULL, CFGF_NONE),
	CFG_STR("client_ca", NULL, CFGF_NONE),
	CFG_STR_LIST("dialects", all_dialects, CFGF_NONE),
	CFG_STR("envelope", "exim", CFGF_NONE),
	CFG_STR("spamc_user", "ignore", CFGF_NONE),
	CFG_STR("unnamed_user", NULL, CFGF_NONE),
	CFG_STR("mta_name", NULL, CFGF_NONE),
	CFG_STR("headers", "spamassassin", CFGF_NONE),
	CFG_BOOL("report_header", cfg_false, CFGF_NONE),
	CFG_BOOL("tell", cfg_true, CFGF_NONE),
	POLICY_OPTIONS,
	CFG_END()
};

static cfg_opt_t status_options[] = {
	CFG_STR("mode", "0666", CFGF_NONE),
	CFG_STR("owner", NULL, CFGF_NONE),
	CFG_STR("group", NULL, CFGF_NONE),
	CFG_STR_LIST("allow", loopback, CFGF_NONE),
	CFG_END()
};

static cfg_opt_t backend_options[] = {
	CFG_INT("weight", 1, CFGF_NONE),
	CFG_INT("priority", 0, CFGF_NONE),
	CFG_INT("max_requests", 0, CFGF_NONE),
	CFG_BOOL("keep_alive", cfg_true, CFGF_NONE),
	CFG_BOOL("verify", cfg_true, CFGF_NONE),
	CFG_STR("ca_file", NULL, CFGF_NONE),
	CFG_END()
};

static cfg_opt_t controller_options[] = {
	CFG_BOOL("verify", cfg_true, CFGF_NONE),
	CFG_STR("ca_file", NULL, CFGF_NONE),
	CFG_STR("password_file", NULL, CFGF_NONE),
	CFG_END()
};

static cfg_opt_t options[] = {
	CFG_SEC("listen", listen_options, CFGF_MULTI | CFGF_TITLE |
	    CFGF_NO_TITLE_DUPES),
	CFG_SEC("status", status_options, CFGF_MULTI | CFGF_TITLE |
	    CFGF_NO_TITLE_DUPES),
	CFG_SEC("backend", backend_options, CFGF_MULTI | CFGF_TITLE |
	    CFGF_NO_TITLE_DUPES),
	POLICY_OPTIONS,
	CFG_SEC("controller", controller_options, CFGF_MULTI | CFGF_TITLE |
	    CFGF_NO_TITLE_DUPES),
	CFG_STR("password_file", NULL, CFGF_NONE),
	CFG_INT("fuzzy_flag", 0, CFGF_NONE),
	CFG_INT("fuzzy_weight", 10, CFGF_NONE),
	CFG_FLOAT("task_timeout", 8.0, CFGF_NONE),
	CFG_INT("workers", 1, CFGF_NONE),
	CFG_INT("max_connections", 1000, CFGF_NONE),
	CFG_INT("max_connections_per_client", 0, CFGF_NONE),
	CFG_STR("max_message_size", "50M", CFGF_NONE),
	CFG_STR("max_memory", "256M", CFGF_NONE),
	CFG_INT("max_queue", 1000, CFGF_NONE),
	CFG_FLOAT("health_interval", 5.0, CFGF_NONE),
	CFG_INT("breaker_failures", 3, CFGF_NONE),
	CFG_FLOAT("slow_start", 10.0, CFGF_NONE),
	CFG_BOOL("enable_shutdown_workaround", cfg_true, CFGF_NONE),
	CFG_FLOAT("timeout_idle", 10.0, CFGF_NONE),
	CFG_FLOAT("timeout_client", 60.0, CFGF_NONE),
	CFG_FLOAT("timeout_connect", 5.0, CFGF_NONE),
	CFG_FLOAT("timeout_send", 30.0, CFGF_NONE),
	CFG_FLOAT("timeout_wait", 60.0, CFGF_NONE),
	CFG_FLOAT("timeout_receive", 10.0, CFGF_NONE),
	CFG_FLOAT("timeout_reply", 30.0, CFGF_NONE),
	CFG_FLOAT("timeout_request", 100.0, CFGF_NONE),
	CFG_FLOAT("timeout_stop", 110.0, CFGF_NONE),
	CFG_FLOAT("timeout_queue", 5.0, CFGF_NONE),
	CFG_FLOAT("timeout_worker", 30.0, CFGF_NONE),
	CFG_STR("user", NULL, CFGF_NONE),
	CFG_STR("group", NULL, CFGF_NONE),
	CFG_STR("chroot", NULL, CFGF_NONE),
	CFG_STR("log", "stderr", CFGF_NONE),
	CFG_STR("pid_file", NULL, CFGF_NONE),
	CFG_BOOL("daemon", cfg_false, CFGF_NONE),
	CFG_END()
};

/* The section of listener or backend TITLE, or NULL. */
static cfg_t *
section(cfg_t *cfg, const char *name, const char *title)
{
	unsigned int i;

	for (i = 0; i < cfg_size(cfg, name); i++)
		if (strcmp(cfg_title(cfg_getnsec(cfg, name, i)), title) == 0)
			return cfg_getnsec(cfg, name, i);
	return NULL;
}

/*
 * How many of a kind there are, and the I-th name: the command line's if it
 * has any, else the file's, else the one default if there is one.
 */
struct names {
	const char	**args;
	size_t		  nargs;
	cfg_t		 *cfg;
	const char	 *key;
	const char	 *standard;
};

static size_t
count(const struct names *n)
{
	if (n->nargs > 0)
		return n->nargs;
	if (cfg_size(n->cfg, n->key) > 0)
		return cfg_size(n->cfg, n->key);
	return n->standard != NULL ? 1 : 0;
}

static const char *
name(const struct names *n, size_t i)
{
	if (n->nargs > 0)
		return n->args[i];
	return cfg_size(n->cfg, n->key) > 0 ?
	    cfg_title(cfg_getnsec(n->cfg, n->key, (unsigned int)i)) :
	    n->standard;
}

/* Is the I-th of LIST among those before it? */
static bool
named_before(const char *const *list, size_t i)
{
	size_t k;

	for (k = 0; k < i; k++)
		if (strcmp(list[k], list[i]) == 0)
			return true;
	return false;
}

/* Does the command line's OPTION name one twice?  No file can. */
static void
check_twice(const struct names *n, const char *option)
{
	size_t i;

	for (i = 1; i < n->nargs; i++)
		if (named_before(n->args, i))
			conf_bad(n->args[i], "%s names this address twice",
			    option);
}

static void
load_sections(struct conf *c, const struct conf_args *args, cfg_t *cfg)
{
	struct names l = { args->listen, args->nlisten, cfg, "listen",
	    CONF_DEFAULT_LISTEN };
	struct names b = { args->backend, args->nbackend, cfg, "backend",
	    CONF_DEFAULT_BACKEND };
	cfg_t *sec;

	c->listen = calloc(count(&l), sizeof(*c->listen));
	c->backend = calloc(count(&b), sizeof(*c->backend));
	if (c->listen == NULL || c->backend == NULL) {
		conf_bad("configuration", "out of memory");
		return;
	}
	check_twice(&l, "-l");
	check_twice(&b, "-b");
	for (; c->nlisten < count(&l); c->nlisten++)
		conf_listen_load(&c->listen[c->nlisten], name(&l, c->nlisten),
		    section(cfg, "listen", name(&l, c->nlisten)), cfg);
	for (; c->nbackend < count(&b); c->nbackend++) {
		sec = section(cfg, "backend", name(&b, c->nbackend));
		conf_backend_load(&c->backend[c->nbackend], name(&b, c->nbackend),
		    sec);
		conf_backend_share(&c->backend[c->nbackend], sec);
	}
}

/* Where the page for those who watch is served. */
static void
load_status(struct conf *c, cfg_t *cfg)
{
	unsigned int n = cfg_size(cfg, "status");
	struct conf_listen *l;
	cfg_t *sec;
	size_t i;

	if ((c->status = calloc(n + 1, sizeof(*c->status))) == NULL) {
		conf_bad("status", "out of memory");
		return;
	}
	for (; c->nstatus < n; c->nstatus++) {
		sec = cfg_getnsec(cfg, "status", (unsigned int)c->nstatus);
		l = &c->status[c->nstatus];
		conf_status_load(l, cfg_title(sec), sec);
		for (i = 0; l->address != NULL && i < c->nlisten; i++)
			if (c->listen[i].address != NULL &&
			    strcmp(c->listen[i].address, l->address) == 0)
				conf_bad(l->address, "an address of listen, too");
	}
}

static void
load_controllers(struct conf *c, const struct conf_args *args, cfg_t *cfg)
{
	struct names l = { args->controller, args->ncontroller, cfg,
	    "controller", NULL };
	const char *file = args->password_file != NULL ? args->password_file :
	    cfg_getstr(cfg, "password_file");
	struct conf_backend *b;
	cfg_t *sec;
	long flag, weight;

	c->controller = calloc(count(&l) + 1, sizeof(*c->controller));
	if (c->controller == NULL) {
		conf_bad("controller", "out of memory");
		return;
	}
	check_twice(&l, "--controller");
	for (; c->ncontroller < count(&l); c->ncontroller++) {
		b = &c->controller[c->ncontroller];
		sec = section(cfg, "controller", name(&l, c->ncontroller));
		conf_backend_load(b, name(&l, c->ncontroller), sec);
		b->password_file = conf_copy(args->password_file == NULL &&
		    sec != NULL && cfg_getstr(sec, "password_file") != NULL ?
		    cfg_getstr(sec, "password_file") : file);
		if (b->password_file != NULL)
			conf_backend_password(b);
		conf_backend_guard(b);
	}
	if (c->ncontroller == 0 && file != NULL)
		conf_bad(file, "a password file without a controller");
	flag = cfg_getint(cfg, "fuzzy_flag");
	if (flag < 0 || flag > 31)
		conf_bad("fuzzy_flag", "%ld is not between 0 and 31", flag);
	c->fuzzy_flag = (int)flag;
	weight = cfg_getint(cfg, "fuzzy_weight");
	if (weight < 1 || weight > 1000000)
		conf_bad("fuzzy_weight", "%ld is not between 1 and 1000000",
		    weight);
	c->fuzzy_weight = (int)weight;
}

/* One deadline: from a hundredth of a second to an hour. */
static double
timeout(cfg_t *cfg, const char *key)
{
	double t = cfg_getfloat(cfg, key);

	if (!(t >= 0.01 && t <= 3600.0))
		conf_bad(key, "%g seconds is not between 0.01 and 3600", t);
	return t;
}

static void
load_timeouts(struct conf_timeouts *t, cfg_t *cfg)
{
	t->idle = timeout(cfg, "timeout_idle");
	t->client = timeout(cfg, "timeout_client");
	t->connect = timeout(cfg, "timeout_connect");
	t->send = timeout(cfg, "timeout_send");
	t->wait = timeout(cfg, "timeout_wait");
	t->receive = timeout(cfg, "timeout_receive");
	t->reply = timeout(cfg, "timeout_reply");
	t->request = timeout(cfg, "timeout_request");
	t->stop = timeout(cfg, "timeout_stop");
	t->queue = timeout(cfg, "timeout_queue");
	t->worker = timeout(cfg, "timeout_worker");
	/* a worker gives a sign of life each second */
	if (t->worker < 5.0)
		conf_bad("timeout_worker", "%g seconds is not between 5 and "
		    "3600", t->worker);
}

/* A whole number from LEAST to MOST. */
static long
whole(cfg_t *cfg, const char *key, long least, long most)
{
	long n = cfg_getint(cfg, key);

	if (n < least || n > most)
		conf_bad(key, "%ld is not between %ld and %ld", n, least, most);
	return n;
}

static void
load_health(struct conf *c, cfg_t *cfg)
{
	c->max_queue = (size_t)whole(cfg, "max_queue", 0, 1000000);
	c->health_interval = timeout(cfg, "health_interval");
	c->breaker_failures = (unsigned int)whole(cfg, "breaker_failures", 1,
	    1000000);
	c->slow_start = cfg_getfloat(cfg, "slow_start");
	if (!(c->slow_start >= 0.0 && c->slow_start <= 3600.0))
		conf_bad("slow_start", "%g seconds is not between 0 and 3600",
		    c->slow_start);
}

/* Are the user and the group of the workers there? */
static void
check_user(const struct conf *c)
{
	if (c->user != NULL && getpwnam(c->user) == NULL)
		conf_bad("user", "\"%s\" is not a user of this machine", c->user);
	if (c->group != NULL && getgrnam(c->group) == NULL)
		conf_bad("group", "\"%s\" is not a group of this machine",
		    c->group);
}

/*
 * Can the workers do in their chroot what they are to do?  OpenSSL reads the
 * system's CA certificates one by one when it needs them.
 */
static void
check_chroot(const struct conf *c)
{
	const struct conf_backend *b;
	size_t i;

	if (c->chroot == NULL)
		return;
	if (c->chroot[0] != '/')
		conf_bad("chroot", "\"%s\" is not an absolute path", c->chroot);
	for (i = 0; i < c->nbackend + c->ncontroller; i++) {
		b = i < c->nbackend ? &c->backend[i] :
		    &c->controller[i - c->nbackend];
		if (b->tls && b->verify && b->ca_file == NULL)
			conf_bad(b->url, "with chroot it takes a ca_file, such "
			    "as /etc/ssl/certs/ca-certificates.crt");
	}
}

static void
load_rest(struct conf *c, const struct conf_args *args, cfg_t *cfg)
{
	long n;

	n = cfg_getint(cfg, "workers");
	if (n < 1 || n > MAX_WORKERS)
		conf_bad("workers", "%ld is not between 1 and %d", n, MAX_WORKERS);
	c->workers = (int)n;
	n = cfg_getint(cfg, "max_connections");
	if (n < 1 || n > 1000000)
		conf_bad("max_connections", "%ld is not between 1 and 1000000", n);
	c->max_connections = (uint64_t)n;
	c->max_message_size = conf_size(cfg_getstr(cfg, "max_message_size"));
	if (c->max_message_size == 0 || c->max_message_size > (1ULL << 32))
		conf_bad("max_message_size", "\"%s\" is not a size from 1 to 4G, "
		    "such as 50M", cfg_getstr(cfg, "max_message_size"));
	c->max_memory = conf_size(cfg_getstr(cfg, "max_memory"));
	if (c->max_memory == 0)
		conf_bad("max_memory", "\"%s\" is not a size such as 256M",
		    cfg_getstr(cfg, "max_memory"));
	else if (c->max_memory < c->max_message_size)
		conf_bad("max_memory", "%s is less than max_message_size = %s",
		    cfg_getstr(cfg, "max_memory"),
		    cfg_getstr(cfg, "max_message_size"));
	c->max_per_client = (uint64_t)whole(cfg, "max_connections_per_client",
	    0, 1000000);
	c->task_timeout = cfg_getfloat(cfg, "task_timeout");
	if (!(c->task_timeout >= 0.0 && c->task_timeout <= 3600.0))
		conf_bad("task_timeout", "%g seconds is not between 0 and 3600",
		    c->task_timeout);
	c->shutdown_workaround = cfg_getbool(cfg,
	    "enable_shutdown_workaround") == cfg_true;
	load_health(c, cfg);
	load_timeouts(&c->timeout, cfg);
	c->user = conf_copy(cfg_getstr(cfg, "user"));
	c->group = conf_copy(cfg_getstr(cfg, "group"));
	if (c->user == NULL && geteuid() == 0)
		c->user = conf_copy(DEFAULT_USER);
	check_user(c);
	c->chroot = conf_copy(cfg_getstr(cfg, "chroot"));
	check_chroot(c);
	c->syslog = conf_choice("configuration", "log", cfg_getstr(cfg, "log"),
	    conf_log_names, 2) == 1;
	c->daemon = args->daemon || cfg_getbool(cfg, "daemon") == cfg_true;
	/* a daemon has no stderr */
	if (c->daemon)
		c->syslog = true;
	c->pid_file = conf_copy(args->pid_file != NULL ? args->pid_file :
	    cfg_getstr(cfg, "pid_file"));
}

/* Parses TEXT, that of the file called FILE without its comments. */
static void
parse_text(cfg_t *cfg, const char *file, char *text, size_t len)
{
	FILE *f = fmemopen(text, len, "r");

	if (f == NULL) {
		conf_bad(file, "out of memory");
		return;
	}
	cfg->filename = strdup(file);	/* for the error texts */
	if (cfg_parse_fp(cfg, f) != CFG_SUCCESS && !conf_faulty())
		conf_bad(file, "syntax error");
	(void)fclose(f);
}

static void
parse_open(cfg_t *cfg, const char *file, FILE *f)
{
	char *text = NULL, where[1024];
	const char *fault;
	unsigned int line;
	struct stat st;
	FILE *copy;
	size_t len;

	/* of a directory, say, its reader would end the program */
	if (fstat(fileno(f), &st) == -1 ||
	    !(S_ISREG(st.st_mode) || S_ISCHR(st.st_mode))) {
		conf_bad(file, "cannot be read: not a regular file");
		return;
	}
	/* a reload may find one that an editor has just begun to write, which
	   must not turn the daemon to what the defaults name */
	if (S_ISREG(st.st_mode) && st.st_size == 0) {
		conf_bad(file, "is empty, as while it is being written; "
		    "where the defaults are meant, write a comment");
		return;
	}
	if ((copy = open_memstream(&text, &len)) == NULL) {
		conf_bad(file, "out of memory");
		return;
	}
	fault = conf_text_copy(f, copy, &line);
	if (fclose(copy) == EOF)
		conf_bad(file, "out of memory");
	else if (fault != NULL) {
		(void)snprintf(where, sizeof(where), "%.1000s:%u", file, line);
		conf_bad(where, "%s", fault);
	} else
		parse_text(cfg, file, text, len);
	free(text);
}

static bool
parse_file(cfg_t *cfg, const char *file)
{
	FILE *f;

	if ((f = fopen(file, "re")) == NULL) {
		conf_bad(file, "cannot be read: %s", strerror(errno));
		return false;
	}
	parse_open(cfg, file, f);
	(void)fclose(f);
	return !conf_faulty();
}

struct conf *
conf_load(const struct conf_args *args, void (*say)(const char *line))
{
	struct conf *c;
	cfg_t *cfg;

	conf_begin(say, args->file);
	c = calloc(1, sizeof(*c));
	cfg = cfg_init(options, CFGF_NONE);
	if (c == NULL || cfg == NULL) {
		say("out of memory");
		free(c);
		return NULL;
	}
	(void)cfg_set_error_function(cfg, conf_complain);
	if (args->file == NULL || parse_file(cfg, args->file)) {
		c->file = conf_copy(args->file);
		load_sections(c, args, cfg);
		load_status(c, cfg);
		load_controllers(c, args, cfg);
		load_rest(c, args, cfg);
	}
	(void)cfg_free(cfg);
	if (conf_faulty()) {
		conf_free(c);
		return NULL;
	}
	return c;
}

void
conf_free(struct conf *c)
{
	size_t i;

	if (c == NULL)
		return;
	for (i = 0; i < c->nlisten; i++)
		conf_listen_free(&c->listen[i]);
	for (i = 0; i < c->nstatus; i++)
		conf_listen_free(&c->status[i]);
	for (i = 0; i < c->nbackend; i++)
		conf_backend_free(&c->backend[i]);
	for (i = 0; i < c->ncontroller; i++)
		conf_backend_free(&c->controller[i]);
	free(c->listen);
	free(c->status);
	free(c->backend);
	free(c->controller);
	free(c->user);
	free(c->group);
	free(c->chroot);
	free(c->pid_file);
	free(c->file);
	free(c);
}

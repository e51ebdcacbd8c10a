#include "config.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <grp.h>
#include <math.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <confuse.h>

#include "conf.h"
#include "conf_names.h"
#include "tls.h"

#define UNIX_PREFIX	"unix:"
#define MAX_WORKERS	256
#define DEFAULT_USER	"nobody"

/* The keys of policy stand in a listen section or, for all listeners that
   do not have them, at the top. */
#define POLICY_OPTIONS \
	CFG_STR_LIST("spam_actions", NULL, CFGF_NODEFAULT), \
	CFG_FLOAT("spam_threshold", 0, CFGF_NODEFAULT), \
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
	CFG_STR("headers", "spamassassin", CFGF_NONE),
	CFG_BOOL("report_header", cfg_false, CFGF_NONE),
	CFG_BOOL("tell", cfg_true, CFGF_NONE),
	POLICY_OPTIONS,
	CFG_END()
};

static cfg_opt_t backend_options[] = {
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
	CFG_SEC("backend", backend_options, CFGF_MULTI | CFGF_TITLE |
	    CFGF_NO_TITLE_DUPES),
	POLICY_OPTIONS,
	CFG_SEC("controller", controller_options, CFGF_MULTI | CFGF_TITLE |
	    CFGF_NO_TITLE_DUPES),
	CFG_STR("password_file", NULL, CFGF_NONE),
	CFG_INT("fuzzy_flag", 0, CFGF_NONE),
	CFG_FLOAT("fuzzy_weight", 10.0, CFGF_NONE),
	CFG_INT("workers", 1, CFGF_NONE),
	CFG_INT("max_connections", 1000, CFGF_NONE),
	CFG_STR("max_message_size", "50M", CFGF_NONE),
	CFG_BOOL("enable_shutdown_workaround", cfg_true, CFGF_NONE),
	CFG_FLOAT("timeout_client", 60.0, CFGF_NONE),
	CFG_FLOAT("timeout_connect", 5.0, CFGF_NONE),
	CFG_FLOAT("timeout_send", 30.0, CFGF_NONE),
	CFG_FLOAT("timeout_wait", 60.0, CFGF_NONE),
	CFG_FLOAT("timeout_receive", 10.0, CFGF_NONE),
	CFG_FLOAT("timeout_reply", 30.0, CFGF_NONE),
	CFG_FLOAT("timeout_request", 100.0, CFGF_NONE),
	CFG_FLOAT("timeout_stop", 110.0, CFGF_NONE),
	CFG_STR("user", NULL, CFGF_NONE),
	CFG_STR("group", NULL, CFGF_NONE),
	CFG_STR("log", "stderr", CFGF_NONE),
	CFG_STR("pid_file", NULL, CFGF_NONE),
	CFG_BOOL("daemon", cfg_false, CFGF_NONE),
	CFG_END()
};

/* libconfuse's error function has no argument of ours. */
static void (*say_line)(const char *);
static bool faulty;

static void complain(cfg_t *, const char *, va_list)
    __attribute__((format(printf, 2, 0)));

static void
complain(cfg_t *cfg, const char *fmt, va_list ap)
{
	char what[512], line[768];

	faulty = true;
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	if (cfg != NULL && cfg->filename != NULL && cfg->line > 0)
		(void)snprintf(line, sizeof(line), "%s:%d: %s", cfg->filename,
		    cfg->line, what);
	else
		(void)snprintf(line, sizeof(line), "%s", what);
	say_line(line);
}

static void bad(const char *, const char *, ...)
    __attribute__((format(printf, 2, 3)));

/* A fault of the setting called WHERE. */
static void
bad(const char *where, const char *fmt, ...)
{
	char what[512], line[768];
	va_list ap;

	faulty = true;
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	(void)snprintf(line, sizeof(line), "%s: %s", where, what);
	say_line(line);
}

const char *
conf_unix_path(const char *s)
{
	return strncmp(s, UNIX_PREFIX, sizeof(UNIX_PREFIX) - 1) == 0 ?
	    s + sizeof(UNIX_PREFIX) - 1 : NULL;
}

/* Is PATH absolute, and not longer than a socket's address can be? */
static bool
fits_unix(const char *path)
{
	return *path == '/' &&
	    strlen(path) < sizeof(((struct sockaddr_un *)NULL)->sun_path);
}

/* A copy of S; NULL for NULL and ""; without memory the load fails. */
static char *
copy(const char *s)
{
	char *p;

	if (s == NULL || *s == '\0')
		return NULL;
	if ((p = strdup(s)) == NULL)
		bad("configuration", "out of memory");
	return p;
}

/* "50M" in bytes; 0 for what is no size. */
static uint64_t
parse_size(const char *s)
{
	unsigned int shift = 0;
	uint64_t v = 0;
	size_t n;

	for (n = 0; s[n] >= '0' && s[n] <= '9' && n < 12; n++)
		v = v * 10 + (uint64_t)(s[n] - '0');
	if (n == 0)
		return 0;
	switch (s[n]) {
	case 'G': case 'g':
		shift += 10;	/* FALLTHROUGH */
	case 'M': case 'm':
		shift += 10;	/* FALLTHROUGH */
	case 'K': case 'k':
		shift += 10;
		n++;
	}
	return s[n] == '\0' && v <= UINT64_MAX >> shift ? v << shift : 0;
}

/* The index of S among N names, or -1 after a complaint. */
static int
choice(const char *where, const char *key, const char *s,
    const char *const *names, int n)
{
	int i;

	for (i = 0; i < n; i++)
		if (strcmp(s, names[i]) == 0)
			return i;
	bad(where, "%s = \"%s\" is not known; one of: %s, %s%s%s", key, s,
	    names[0], names[1], n > 2 ? ", " : "", n > 2 ? names[2] : "");
	return -1;
}

static const char *const default_spam[] = { "reject", "rewrite subject",
    "add header" };

/* The section that has the key of policy: the listener's, or the file's. */
static cfg_t *
having(cfg_t *sec, cfg_t *top, const char *key)
{
	return sec != NULL && cfg_size(sec, key) > 0 ? sec : top;
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
		bad(l->address, "out of memory");
	}
	for (i = 0; i < p->nspam_actions; i++) {
		p->spam_actions[i] = copy(n > 0 ?
		    cfg_getnstr(c, "spam_actions", i) : default_spam[i]);
		if (p->spam_actions[i] == NULL) {
			bad(l->address, "an empty name in spam_actions");
			p->nspam_actions = i;
		}
	}
	c = having(sec, top, "spam_threshold");
	p->spam_threshold = cfg_size(c, "spam_threshold") > 0 ?
	    cfg_getfloat(c, "spam_threshold") : NAN;
	c = having(sec, top, "on_too_large");
	l->pass_too_large = cfg_size(c, "on_too_large") == 0 ||
	    choice(l->address, "on_too_large", cfg_getstr(c, "on_too_large"),
	    conf_large_names, 2) == 0;
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
		k = choice(l->address, "dialects",
		    cfg_getnstr(sec, "dialects", i), names, 2);
		l->spamc |= k == 0;
		l->rspamc |= k == 1;
	}
	if (!l->spamc && !l->rspamc)
		bad(l->address, "dialects is empty: nothing would be served");
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
		bad(l->address, "out of memory");
		return;
	}
	for (; l->nallow < n; l->nallow++) {
		s = sec != NULL ? cfg_getnstr(sec, "allow",
		    (unsigned int)l->nallow) : standard[l->nallow];
		l->allow_text[l->nallow] = strdup(s);
		if (access_parse(&l->allow[l->nallow], s) == -1)
			bad(l->address, "allow: \"%s\" is not an address or a "
			    "network such as 192.0.2.0/24", s);
	}
}

static void
check_readable(const char *where, const char *key, const char *file)
{
	if (file != NULL && access(file, R_OK) == -1)
		bad(where, "%s %s cannot be read: %s", key, file,
		    strerror(errno));
}

static void
load_tls(struct conf_listen *l, cfg_t *sec)
{
	const char *why;

	l->certificate = copy(cfg_getstr(sec, "certificate"));
	l->key = copy(cfg_getstr(sec, "key"));
	l->client_ca = copy(cfg_getstr(sec, "client_ca"));
	/* one file may have both */
	if (l->certificate != NULL && l->key == NULL)
		l->key = copy(l->certificate);
	if (l->certificate == NULL && (l->key != NULL || l->client_ca != NULL))
		bad(l->address, "a key or client_ca without a certificate");
	check_readable(l->address, "certificate", l->certificate);
	check_readable(l->address, "key", l->key);
	check_readable(l->address, "client_ca", l->client_ca);
	/* once, and before there are workers: they must not depend on files
	   that change, or that root alone can read */
	if (faulty || l->certificate == NULL)
		return;
	l->tls = tls_server(l->certificate, l->key, l->client_ca, &why);
	if (l->tls == NULL)
		bad(l->address, "TLS: %s", why);
}

/* HOST:PORT or [HOST]:PORT, both parts not empty; copies both if asked. */
static bool
split_host_port(const char *s, char **host, char **port)
{
	const char *colon = strrchr(s, ':'), *end = colon;
	const char *start = s;
	long n;
	char *rest;

	if (colon == NULL || colon == s || colon[1] == '\0')
		return false;
	if (*s == '[') {
		start++;
		end--;
		if (*end != ']')
			return false;
	} else if (memchr(s, ':', (size_t)(colon - s)) != NULL)
		return false;		/* IPv6 goes in brackets */
	n = strtol(colon + 1, &rest, 10);
	if (colon[1] < '0' || colon[1] > '9' || *rest != '\0' || n < 1 ||
	    n > 65535 || end == start)
		return false;
	if (host != NULL) {
		*host = strndup(start, (size_t)(end - start));
		*port = copy(colon + 1);
	}
	return true;
}

static void
load_listen(struct conf_listen *l, const char *address, cfg_t *sec, cfg_t *top)
{
	const char *path = conf_unix_path(address);
	char *end;
	long mode;
	int k;

	l->address = copy(address);
	if (l->address == NULL) {
		bad("listen", "an empty address");
		return;
	}
	if (path != NULL ? !fits_unix(path) :
	    !split_host_port(address, NULL, NULL))
		bad(address, "not an address to listen on; write HOST:PORT, "
		    "[IPv6]:PORT or unix:/path (of 107 bytes at most)");
	l->mode = 0666;
	if (sec != NULL) {
		mode = strtol(cfg_getstr(sec, "mode"), &end, 8);
		if (*end != '\0' || end == cfg_getstr(sec, "mode") ||
		    mode < 0 || mode > 0777)
			bad(address, "mode = \"%s\" is not an octal file mode",
			    cfg_getstr(sec, "mode"));
		l->mode = (mode_t)mode;
		l->owner = copy(cfg_getstr(sec, "owner"));
		l->group = copy(cfg_getstr(sec, "group"));
		k = choice(address, "envelope", cfg_getstr(sec, "envelope"),
		    conf_envelope_names, 3);
		l->envelope = k < 0 ? CONF_ENVELOPE_NONE : (enum conf_envelope)k;
		k = choice(address, "spamc_user", cfg_getstr(sec, "spamc_user"),
		    conf_user_names, 3);
		l->spamc_user = k < 0 ? CONF_USER_IGNORE : (enum conf_user)k;
		l->unnamed_user = copy(cfg_getstr(sec, "unnamed_user"));
		k = choice(address, "headers", cfg_getstr(sec, "headers"),
		    conf_headers_names, 3);
		l->rewrite_headers = k < 0 ? REWRITE_NONE :
		    (enum rewrite_headers)k;
		l->rewrite_report = cfg_getbool(sec, "report_header") == cfg_true;
		l->tell = cfg_getbool(sec, "tell") == cfg_true;
	}
	if (sec != NULL)
		load_tls(l, sec);
	load_allow(l, sec);
	load_dialects(l, sec);
	load_policy(l, sec, top);
}

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

static bool
parse_url(struct conf_backend *b)
{
	static const char http[] = "http://", https[] = "https://";
	const char *path = conf_unix_path(b->url), *rest;
	char *copied;
	size_t n;
	bool ok;

	if (path != NULL) {
		b->path = copy(path);
		return fits_unix(path);
	}
	if (strncmp(b->url, http, sizeof(http) - 1) == 0)
		rest = b->url + sizeof(http) - 1;
	else if (strncmp(b->url, https, sizeof(https) - 1) == 0) {
		rest = b->url + sizeof(https) - 1;
		b->tls = true;
	} else
		return false;
	n = strcspn(rest, "/");
	if (rest[n] == '/' && rest[n + 1] != '\0')
		return false;		/* there is one path, /checkv2 */
	if ((copied = strndup(rest, n)) == NULL)
		return false;
	ok = split_host_port(copied, &b->host, &b->port);
	free(copied);
	return ok;
}

static void
load_backend(struct conf_backend *b, const char *url, cfg_t *sec)
{
	const char *why;

	b->verify = true;
	if ((b->url = copy(url)) == NULL) {
		bad("backend", "an empty URL");
		return;
	}
	if (!parse_url(b))
		bad(url, "not the URL of a rspamd; write http://HOST:PORT, "
		    "https://HOST:PORT or unix:/path");
	if (sec != NULL) {
		b->verify = cfg_getbool(sec, "verify") == cfg_true;
		b->ca_file = copy(cfg_getstr(sec, "ca_file"));
	}
	check_readable(url, "ca_file", b->ca_file);
	if (faulty || !b->tls)
		return;
	b->ctx = tls_client(b->verify, b->ca_file, &why);
	if (b->ctx == NULL)
		bad(url, "TLS: %s", why);
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

static void
load_sections(struct conf *c, const struct conf_args *args, cfg_t *cfg)
{
	struct names l = { args->listen, args->nlisten, cfg, "listen",
	    CONF_DEFAULT_LISTEN };
	struct names b = { args->backend, args->nbackend, cfg, "backend",
	    CONF_DEFAULT_BACKEND };

	c->listen = calloc(count(&l), sizeof(*c->listen));
	c->backend = calloc(count(&b), sizeof(*c->backend));
	if (c->listen == NULL || c->backend == NULL) {
		bad("configuration", "out of memory");
		return;
	}
	for (; c->nlisten < count(&l); c->nlisten++)
		load_listen(&c->listen[c->nlisten], name(&l, c->nlisten),
		    section(cfg, "listen", name(&l, c->nlisten)), cfg);
	for (; c->nbackend < count(&b); c->nbackend++)
		load_backend(&c->backend[c->nbackend], name(&b, c->nbackend),
		    section(cfg, "backend", name(&b, c->nbackend)));
}

/* Reads the first line of B's password file. */
static void
read_password(struct conf_backend *b)
{
	const char *file = b->password_file;
	char line[258];
	struct stat st;
	size_t n;
	FILE *f;

	if ((f = fopen(file, "re")) == NULL) {
		bad(file, "the password file cannot be read: %s",
		    strerror(errno));
		return;
	}
	if (fstat(fileno(f), &st) == -1 || !S_ISREG(st.st_mode))
		bad(file, "the password file is not a regular file");
	else if ((st.st_mode & S_IROTH) != 0)
		bad(file, "the password file can be read by everybody; chmod "
		    "it to 0640 or less");
	else if (fgets(line, sizeof(line), f) == NULL ||
	    (n = strcspn(line, "\r\n")) == 0)
		bad(file, "the password file is empty");
	else if (n > 255)
		bad(file, "the password is longer than 255 bytes");
	else {
		line[n] = '\0';
		b->password = copy(line);
	}
	(void)fclose(f);
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
	long flag;

	c->controller = calloc(count(&l) + 1, sizeof(*c->controller));
	if (c->controller == NULL) {
		bad("controller", "out of memory");
		return;
	}
	for (; c->ncontroller < count(&l); c->ncontroller++) {
		b = &c->controller[c->ncontroller];
		sec = section(cfg, "controller", name(&l, c->ncontroller));
		load_backend(b, name(&l, c->ncontroller), sec);
		b->password_file = copy(args->password_file == NULL &&
		    sec != NULL && cfg_getstr(sec, "password_file") != NULL ?
		    cfg_getstr(sec, "password_file") : file);
		if (b->password_file != NULL)
			read_password(b);
	}
	if (c->ncontroller == 0 && file != NULL)
		bad(file, "a password file without a controller");
	flag = cfg_getint(cfg, "fuzzy_flag");
	if (flag < 0 || flag > 31)
		bad("fuzzy_flag", "%ld is not between 0 and 31", flag);
	c->fuzzy_flag = (int)flag;
	c->fuzzy_weight = cfg_getfloat(cfg, "fuzzy_weight");
	if (!(c->fuzzy_weight > 0.0 && c->fuzzy_weight <= 1e6))
		bad("fuzzy_weight", "%g is not between 0 and 1000000",
		    c->fuzzy_weight);
}

/* One deadline: from a hundredth of a second to an hour. */
static double
timeout(cfg_t *cfg, const char *key)
{
	double t = cfg_getfloat(cfg, key);

	if (!(t >= 0.01 && t <= 3600.0))
		bad(key, "%g seconds is not between 0.01 and 3600", t);
	return t;
}

static void
load_timeouts(struct conf_timeouts *t, cfg_t *cfg)
{
	t->client = timeout(cfg, "timeout_client");
	t->connect = timeout(cfg, "timeout_connect");
	t->send = timeout(cfg, "timeout_send");
	t->wait = timeout(cfg, "timeout_wait");
	t->receive = timeout(cfg, "timeout_receive");
	t->reply = timeout(cfg, "timeout_reply");
	t->request = timeout(cfg, "timeout_request");
	t->stop = timeout(cfg, "timeout_stop");
}

/* Are the user and the group of the workers there? */
static void
check_user(const struct conf *c)
{
	if (c->user != NULL && getpwnam(c->user) == NULL)
		bad("user", "\"%s\" is not a user of this machine", c->user);
	if (c->group != NULL && getgrnam(c->group) == NULL)
		bad("group", "\"%s\" is not a group of this machine",
		    c->group);
}

static void
load_rest(struct conf *c, const struct conf_args *args, cfg_t *cfg)
{
	long n;

	n = cfg_getint(cfg, "workers");
	if (n < 1 || n > MAX_WORKERS)
		bad("workers", "%ld is not between 1 and %d", n, MAX_WORKERS);
	c->workers = (int)n;
	n = cfg_getint(cfg, "max_connections");
	if (n < 1 || n > 1000000)
		bad("max_connections", "%ld is not between 1 and 1000000", n);
	c->max_connections = (uint64_t)n;
	c->max_message_size = parse_size(cfg_getstr(cfg, "max_message_size"));
	if (c->max_message_size == 0 || c->max_message_size > (1ULL << 32))
		bad("max_message_size", "\"%s\" is not a size from 1 to 4G, "
		    "such as 50M", cfg_getstr(cfg, "max_message_size"));
	c->shutdown_workaround = cfg_getbool(cfg,
	    "enable_shutdown_workaround") == cfg_true;
	load_timeouts(&c->timeout, cfg);
	c->user = copy(cfg_getstr(cfg, "user"));
	c->group = copy(cfg_getstr(cfg, "group"));
	if (c->user == NULL && geteuid() == 0)
		c->user = copy(DEFAULT_USER);
	check_user(c);
	c->syslog = choice("configuration", "log", cfg_getstr(cfg, "log"),
	    conf_log_names, 2) == 1;
	c->daemon = args->daemon || cfg_getbool(cfg, "daemon") == cfg_true;
	/* a daemon has no stderr */
	if (c->daemon)
		c->syslog = true;
	c->pid_file = copy(args->pid_file != NULL ? args->pid_file :
	    cfg_getstr(cfg, "pid_file"));
}

/*
 * Does a comment or a string in F have no end?  libconfuse would take the
 * rest of the file for it and say nothing.  F is at its start again after.
 */
static bool
is_unfinished(FILE *f)
{
	int c, last = 0, in = 0;	/* in: '#', '/', '"', '\'', '*' or 0 */

	while ((c = getc(f)) != EOF) {
		if (in == 0 && (c == '#' || c == '"' || c == '\''))
			in = c;
		else if (in == 0 && last == '/' && (c == '/' || c == '*')) {
			in = c;
			c = 0;
		} else if ((in == '#' || in == '/') && c == '\n')
			in = 0;
		else if (in == '*' && last == '*' && c == '/') {
			in = 0;
			c = 0;
		} else if ((in == '"' || in == '\'') && last == '\\')
			c = 0;
		else if ((in == '"' || in == '\'') && c == in)
			in = 0;
		last = c;
	}
	rewind(f);
	return in == '*' || in == '"' || in == '\'';
}

static void
parse_open(cfg_t *cfg, const char *file, FILE *f)
{
	struct stat st;

	/* of a directory, say, its reader would end the program */
	if (fstat(fileno(f), &st) == -1 ||
	    !(S_ISREG(st.st_mode) || S_ISCHR(st.st_mode)))
		bad(file, "cannot be read: not a regular file");
	else if (is_unfinished(f))
		bad(file, "a comment or a string has no end");
	else {
		cfg->filename = strdup(file);	/* for the error texts */
		if (cfg_parse_fp(cfg, f) != CFG_SUCCESS && !faulty)
			bad(file, "syntax error");
	}
}

static bool
parse_file(cfg_t *cfg, const char *file)
{
	FILE *f;

	if ((f = fopen(file, "re")) == NULL) {
		bad(file, "cannot be read: %s", strerror(errno));
		return false;
	}
	parse_open(cfg, file, f);
	(void)fclose(f);
	return !faulty;
}

struct conf *
conf_load(const struct conf_args *args, void (*say)(const char *line))
{
	struct conf *c;
	cfg_t *cfg;

	say_line = say;
	faulty = false;
	c = calloc(1, sizeof(*c));
	cfg = cfg_init(options, CFGF_NONE);
	if (c == NULL || cfg == NULL) {
		say("out of memory");
		free(c);
		return NULL;
	}
	(void)cfg_set_error_function(cfg, complain);
	if (args->file == NULL || parse_file(cfg, args->file)) {
		c->file = copy(args->file);
		load_sections(c, args, cfg);
		load_controllers(c, args, cfg);
		load_rest(c, args, cfg);
	}
	(void)cfg_free(cfg);
	if (faulty) {
		conf_free(c);
		return NULL;
	}
	return c;
}

static void
free_backend(struct conf_backend *b)
{
	free(b->url);
	free(b->host);
	free(b->port);
	free(b->path);
	tls_free(b->ctx);
	free(b->ca_file);
	free(b->password_file);
	if (b->password != NULL)
		explicit_bzero(b->password, strlen(b->password));
	free(b->password);
}

static void
free_listen(struct conf_listen *l)
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
}

void
conf_free(struct conf *c)
{
	size_t i;

	if (c == NULL)
		return;
	for (i = 0; i < c->nlisten; i++)
		free_listen(&c->listen[i]);
	for (i = 0; i < c->nbackend; i++)
		free_backend(&c->backend[i]);
	for (i = 0; i < c->ncontroller; i++)
		free_backend(&c->controller[i]);
	free(c->listen);
	free(c->backend);
	free(c->controller);
	free(c->user);
	free(c->group);
	free(c->pid_file);
	free(c->file);
	free(c);
}

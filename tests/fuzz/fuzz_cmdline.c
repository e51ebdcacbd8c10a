/*
 * The command line, of any strings: it is refused, or read in the same way
 * when it is written in one form; and the configuration that it asks for
 * keeps the rules of all.
 *
 * The input is the arguments, each but the last with a NUL at its end.
 */
#include "config.h"

#include <getopt.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "conf_check.h"
#include "options.h"

#define ARGUMENTS_MAX	40

int	LLVMFuzzerInitialize(int *argc, char ***argv);
int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What any --config FILE holds. */
static const char file[] =
	"listen '127.0.0.1:783' { mode = 0600 tell = false }\n"
	"listen 'unix:/s' { dialects = { spamc } }\n"
	"backend 'http://[::1]:11333' { weight = 2 }\n"
	"backend 'https://a:1' { verify = false }\n"
	"controller 'http://a:2' { password_file = '" CONF_CHECK_SECRET "' }\n"
	"status '[::1]:9' { }\n"
	"pid_file = '/p' on_timeout = pass workers = 2\n";

static FILE *nowhere;

/* A command line, as main() gets it; in our form it may need one more, a "--". */
struct line {
	char	*argv[ARGUMENTS_MAX + 3];
	int	 argc;
};

static void
require(bool truth)
{
	if (!truth)
		abort();
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	conf_check_init();
	opterr = 0;
	require((nowhere = fopen("/dev/null", "w")) != NULL);
	return 0;
}

/* Appends an argument, of NAME and the LEN bytes at P. */
static void
add(struct line *l, const char *name, const char *p, size_t len)
{
	size_t n = strlen(name);
	char *s;

	require(l->argc <= ARGUMENTS_MAX + 1);
	require((s = malloc(n + len + 1)) != NULL);
	memcpy(s, name, n);
	if (len > 0)
		memcpy(s + n, p, len);
	s[n + len] = '\0';
	l->argv[l->argc++] = s;
	l->argv[l->argc] = NULL;
}

static void
add_value(struct line *l, const char *name, const char *value)
{
	if (value != NULL)
		add(l, name, value, strlen(value));
}

static void
add_list(struct line *l, const char *name, const char *const *list, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		add_value(l, name, list[i]);
}

static void
clear(struct line *l)
{
	while (l->argc > 0)
		free(l->argv[--l->argc]);
}

/* What was read as O, in one form. */
static void
write_again(struct line *l, const struct options *o)
{
	static const char *const tasks[] = { NULL, "--check-config",
	    "--dump-config", "--probe", "--top", "--version", "--help" };
	const struct conf_args *a = &o->args;

	add(l, "rspamd-shim", NULL, 0);
	add_value(l, "--config=", a->file);
	add_list(l, "--listen=", a->listen, a->nlisten);
	add_list(l, "--backend=", a->backend, a->nbackend);
	add_list(l, "--controller=", a->controller, a->ncontroller);
	add_value(l, "--password-file=", a->password_file);
	add_value(l, "--pid-file=", a->pid_file);
	if (a->daemon)
		add(l, "--daemon", NULL, 0);
	add_value(l, "", tasks[o->task]);
	if (o->page != NULL)
		add_value(l, "--", "");
	add_value(l, "", o->page);
}

static void
same_string(const char *a, const char *b)
{
	require(a == NULL || b == NULL ? a == b : strcmp(a, b) == 0);
}

static void
same_list(const char *const *a, size_t n, const char *const *b, size_t m)
{
	size_t i;

	require(n == m);
	for (i = 0; i < n; i++)
		same_string(a[i], b[i]);
}

static void
same(const struct options *o, const struct options *p)
{
	const struct conf_args *a = &o->args, *b = &p->args;

	require(o->task == p->task && a->daemon == b->daemon);
	same_string(a->file, b->file);
	same_string(a->password_file, b->password_file);
	same_string(a->pid_file, b->pid_file);
	same_string(o->page, p->page);
	same_list(a->listen, a->nlisten, b->listen, b->nlisten);
	same_list(a->backend, a->nbackend, b->backend, b->nbackend);
	same_list(a->controller, a->ncontroller, b->controller,
	    b->ncontroller);
}

/* The configuration that it asks for; no file but ours is opened. */
static void
check_conf(const struct options *o, bool dump)
{
	struct conf_args args = o->args;

	if (args.file != NULL)
		args.file = conf_check_file(file, sizeof(file) - 1);
	if (args.password_file != NULL)
		args.password_file = CONF_CHECK_SECRET;
	conf_check(&args, dump);
}

static void
check(struct line *l, size_t which)
{
	struct line again = { .argc = 0 };
	struct options o, p;
	int code = options_read(&o, l->argc, l->argv, nowhere);

	require(code == 0 || code == EX_USAGE);
	if (code == 0) {
		require(o.args.nlisten + o.args.nbackend +
		    o.args.ncontroller < (size_t)l->argc);
		write_again(&again, &o);
		require(options_read(&p, again.argc, again.argv, nowhere) == 0);
		same(&o, &p);
		options_free(&p);
		clear(&again);
		/* that of some: it takes many times as long as the rest */
		if (which % 8 == 0)
			check_conf(&o, which / 8 % 4 == 0);
	}
	options_free(&o);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data, *end = p + size, *nul;
	struct line l = { .argc = 0 };
	size_t which = size, i;

	for (i = 0; i < size; i++)
		which += data[i];
	add(&l, "rspamd-shim", NULL, 0);
	/* the program's name is one of them */
	while (p < end && l.argc <= ARGUMENTS_MAX) {
		if ((nul = memchr(p, '\0', (size_t)(end - p))) == NULL)
			nul = end;
		add(&l, "", p, (size_t)(nul - p));
		p = nul + 1;
	}
	check(&l, which);
	clear(&l);
	return 0;
}

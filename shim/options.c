/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "options.h"

enum {
	OPT_CONTROLLER = 256,
	OPT_PASSWORD_FILE,
	OPT_CHECK_CONFIG,
	OPT_DUMP_CONFIG,
	OPT_PROBE,
	OPT_TOP,
	OPT_DAEMON,
	OPT_PID_FILE,
	OPT_VERSION,
	OPT_HELP
};

static const struct option long_options[] = {
	{ "config", required_argument, NULL, 'c' },
	{ "listen", required_argument, NULL, 'l' },
	{ "backend", required_argument, NULL, 'b' },
	{ "controller", required_argument, NULL, OPT_CONTROLLER },
	{ "password-file", required_argument, NULL, OPT_PASSWORD_FILE },
	{ "check-config", no_argument, NULL, OPT_CHECK_CONFIG },
	{ "dump-config", no_argument, NULL, OPT_DUMP_CONFIG },
	{ "probe", no_argument, NULL, OPT_PROBE },
	{ "top", no_argument, NULL, OPT_TOP },
	{ "daemon", no_argument, NULL, OPT_DAEMON },
	{ "pid-file", required_argument, NULL, OPT_PID_FILE },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 }
};

/* Appends S to the list of N names at LIST. */
static bool
append(const char ***list, size_t *n, const char *s)
{
	const char **p = realloc(*list, (*n + 1) * sizeof(*p));

	if (p == NULL)
		return false;
	p[(*n)++] = s;
	*list = p;
	return true;
}

static void
want(struct options *o, enum options_task task)
{
	if (task > o->task)
		o->task = task;
}

/* Takes one option, whose value is S.  Returns 0 or an exit code. */
static int
take(struct options *o, int opt, const char *s)
{
	struct conf_args *a = &o->args;
	bool ok = true;

	switch (opt) {
	case 'c':
		a->file = s;
		break;
	case 'l':
		ok = append(&a->listen, &a->nlisten, s);
		break;
	case 'b':
		ok = append(&a->backend, &a->nbackend, s);
		break;
	case OPT_CONTROLLER:
		ok = append(&a->controller, &a->ncontroller, s);
		break;
	case OPT_PASSWORD_FILE:
		a->password_file = s;
		break;
	case OPT_CHECK_CONFIG:
		want(o, OPTIONS_CHECK);
		break;
	case OPT_DUMP_CONFIG:
		want(o, OPTIONS_DUMP);
		break;
	case OPT_PROBE:
		want(o, OPTIONS_PROBE);
		break;
	case OPT_TOP:
		want(o, OPTIONS_TOP);
		break;
	case OPT_DAEMON:
		a->daemon = true;
		break;
	case OPT_PID_FILE:
		a->pid_file = s;
		break;
	case OPT_VERSION:
		want(o, OPTIONS_VERSION);
		break;
	case OPT_HELP:
		want(o, OPTIONS_HELP);
		break;
	default:
		return EX_USAGE;	/* getopt_long() has told */
	}
	return ok ? 0 : EX_OSERR;
}

int
options_read(struct options *o, int argc, char **argv, FILE *err)
{
	int opt, code = 0;

	memset(o, 0, sizeof(*o));
	/* from the start, also where it is called again */
	optind = 0;
	while (code == 0 && o->task < OPTIONS_VERSION &&
	    (opt = getopt_long(argc, argv, "c:l:b:", long_options, NULL)) != -1)
		code = take(o, opt, optarg);
	if (code == 0 && o->task == OPTIONS_TOP && optind < argc)
		o->page = argv[optind++];
	if (code == 0 && o->task < OPTIONS_VERSION && optind < argc) {
		fprintf(err, "rspamd-shim: unexpected argument: %s\n",
		    argv[optind]);
		code = EX_USAGE;
	}
	if (code == EX_USAGE)
		fputs("Try 'rspamd-shim --help'.\n", err);
	return code;
}

void
options_free(struct options *o)
{
	free(o->args.listen);
	free(o->args.backend);
	free(o->args.controller);
	memset(o, 0, sizeof(*o));
}

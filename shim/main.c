/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "conf.h"
#include "log.h"
#include "probe.h"
#include "shim/help.h"
#include "supervisor.h"

#define DEFAULT_FILE	SYSCONFDIR "/rspamd-shim.conf"

enum {
	OPT_CONTROLLER = 256,
	OPT_PASSWORD_FILE,
	OPT_CHECK_CONFIG,
	OPT_DUMP_CONFIG,
	OPT_PROBE,
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
	{ "daemon", no_argument, NULL, OPT_DAEMON },
	{ "pid-file", required_argument, NULL, OPT_PID_FILE },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 }
};

static void
help(FILE *f)
{
	fputs(HELP_TEXT, f);
}

/* What main() itself needs to know of the command line. */
struct options {
	struct conf_args args;
	bool	check, dump, probe;
	bool	over;			/* over: --help or --version is done */
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

static int
usage_error(const char *what, const char *value)
{
	fprintf(stderr, "rspamd-shim: %s%s\nTry 'rspamd-shim --help'.\n", what,
	    value);
	return EX_USAGE;
}

/* Reads one option.  Returns an exit code, or -1 to go on. */
static int
take_option(struct options *o, int opt)
{
	struct conf_args *a = &o->args;
	bool ok = true;

	switch (opt) {
	case 'c':
		a->file = optarg;
		break;
	case 'l':
		ok = append(&a->listen, &a->nlisten, optarg);
		break;
	case 'b':
		ok = append(&a->backend, &a->nbackend, optarg);
		break;
	case OPT_CONTROLLER:
		ok = append(&a->controller, &a->ncontroller, optarg);
		break;
	case OPT_PASSWORD_FILE:
		a->password_file = optarg;
		break;
	case OPT_CHECK_CONFIG:
		o->check = true;
		break;
	case OPT_DUMP_CONFIG:
		o->dump = true;
		break;
	case OPT_PROBE:
		o->probe = true;
		break;
	case OPT_DAEMON:
		a->daemon = true;
		break;
	case OPT_PID_FILE:
		a->pid_file = optarg;
		break;
	case OPT_VERSION:
		puts(PACKAGE_STRING);
		o->over = true;
		break;
	case OPT_HELP:
		help(stdout);
		o->over = true;
		break;
	default:
		fputs("Try 'rspamd-shim --help'.\n", stderr);
		return EX_USAGE;
	}
	return ok ? -1 : EX_OSERR;
}

static void
say(const char *line)
{
	fprintf(stderr, "rspamd-shim: %s\n", line);
}

/* Sockets must not get the numbers of closed standard streams. */
static bool
open_standard_streams(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd != -1 && fd <= STDERR_FILENO);
	if (fd != -1)
		(void)close(fd);
	return fd != -1;
}

static int
run(struct options *o)
{
	struct conf *conf;
	int code = EX_OK;

	if (!open_standard_streams())
		return EX_OSERR;
	if (o->args.file == NULL && access(DEFAULT_FILE, F_OK) == 0)
		o->args.file = DEFAULT_FILE;
	if ((conf = conf_load(&o->args, say)) == NULL)
		return EX_CONFIG;
	if (!o->check && !o->dump && !o->probe)
		return supervisor_run(&o->args, conf);
	if (o->probe)
		code = probe_run(conf, stdout);
	else if (o->dump)
		conf_dump(conf, stdout);
	else
		printf("%s: the configuration is right\n",
		    conf->file != NULL ? conf->file : "no file");
	if (fflush(stdout) == EOF) {
		perror("rspamd-shim: standard output");
		code = EX_IOERR;
	}
	conf_free(conf);
	return code;
}

int
main(int argc, char **argv)
{
	struct options o = { .check = false };
	int opt, code = -1;

	while (code == -1 && !o.over && (opt = getopt_long(argc, argv, "c:l:b:",
	    long_options, NULL)) != -1)
		code = take_option(&o, opt);
	if (o.over)
		code = EX_OK;
	if (code == -1 && optind < argc)
		code = usage_error("unexpected argument: ", argv[optind]);
	if (code == -1)
		code = run(&o);
	free(o.args.listen);
	free(o.args.backend);
	free(o.args.controller);
	return code;
}

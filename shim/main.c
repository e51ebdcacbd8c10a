/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "conf.h"
#include "options.h"
#include "probe.h"
#include "shim/help.h"
#include "supervisor.h"
#include "top.h"

#define DEFAULT_FILE	SYSCONFDIR "/rspamd-shim.conf"

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

/* What was written must have been taken. */
static int
flush(int code)
{
	if (fflush(stdout) != EOF)
		return code;
	perror("rspamd-shim: standard output");
	return EX_IOERR;
}

static int
run(struct options *o)
{
	struct conf *conf;
	int code = EX_OK;

	if (!open_standard_streams())
		return EX_OSERR;
	if (o->task == OPTIONS_TOP && o->page != NULL)
		return top_run(o->page);
	if (o->args.file == NULL && access(DEFAULT_FILE, F_OK) == 0)
		o->args.file = DEFAULT_FILE;
	if ((conf = conf_load(&o->args, say)) == NULL)
		return EX_CONFIG;
	if (o->task == OPTIONS_RUN)
		return supervisor_run(&o->args, conf);
	if (o->task == OPTIONS_PROBE)
		code = probe_run(conf, stdout);
	else if (o->task == OPTIONS_TOP && conf->nstatus > 0)
		code = top_run(conf->status[0].address);
	else if (o->task == OPTIONS_TOP) {
		say("--top needs the address of a page: no status section has one");
		code = EX_USAGE;
	} else if (o->task == OPTIONS_DUMP)
		conf_dump(conf, stdout);
	else
		printf("%s: the configuration is right\n",
		    conf->file != NULL ? conf->file : "no file");
	conf_free(conf);
	return flush(code);
}

int
main(int argc, char **argv)
{
	struct options o;
	int code = options_read(&o, argc, argv, stderr);

	if (code != 0)
		goto out;
	if (o.task == OPTIONS_HELP) {
		fputs(HELP_TEXT, stdout);
		code = flush(EX_OK);
	} else if (o.task == OPTIONS_VERSION) {
		puts(PACKAGE_STRING);
		code = flush(EX_OK);
	} else
		code = run(&o);
out:
	options_free(&o);
	return code;
}

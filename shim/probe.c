/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "privilege.h"
#include "probe.h"
#include "probe_backend.h"
#include "probe_controller.h"
#include "probe_listen.h"
#include "probe_name.h"
#include "probe_report.h"

static void
widen(struct probe_report *r, const char *where)
{
	int n = (int)strlen(where);

	if (n > r->width)
		r->width = n;
}

static void
set_width(struct probe_report *r, const struct conf *conf)
{
	size_t i;

	for (i = 0; i < conf->nlisten; i++)
		widen(r, conf->listen[i].address);
	for (i = 0; i < conf->nstatus; i++)
		widen(r, conf->status[i].address);
	for (i = 0; i < conf->nbackend; i++)
		widen(r, conf->backend[i].url);
	for (i = 0; i < conf->ncontroller; i++)
		widen(r, conf->controller[i].url);
}

/*
 * All addresses of backends and, after them, controllers: while the files of
 * the resolver can be read, as workers do.  Owned by the caller; NULL without
 * memory.
 */
static struct probe_name *
resolve_all(const struct conf *c)
{
	struct probe_name *names;
	size_t i;

	names = calloc(c->nbackend + c->ncontroller, sizeof(*names));
	if (names == NULL)
		return NULL;
	for (i = 0; i < c->nbackend; i++)
		probe_name_resolve(&names[i], &c->backend[i],
		    c->timeout.connect);
	for (i = 0; i < c->ncontroller; i++)
		probe_name_resolve(&names[c->nbackend + i], &c->controller[i],
		    c->timeout.connect);
	return names;
}

/* What is known so far; it only ever becomes true. */
struct result {
	bool	unavailable, refused, stranger;
};

static void
note_listener(struct result *res, enum probe_listen found)
{
	res->stranger |= found == PROBE_LISTEN_STRANGER;
	res->unavailable |= found == PROBE_LISTEN_SICK;
}

static void
check_controller(struct probe_report *r, const struct conf *conf,
    const struct conf_backend *b, const struct probe_name *nm,
    struct result *res)
{
	switch (probe_controller_check(r, conf, b, nm)) {
	case PROBE_CONTROLLER_GOOD:
		break;
	case PROBE_CONTROLLER_REFUSES:
		res->refused = true;
		break;
	case PROBE_CONTROLLER_AWAY:
		res->unavailable = true;
		break;
	case PROBE_CONTROLLER_OTHER:
		res->stranger = true;
		break;
	}
}

int
probe_run(const struct conf *conf, FILE *out)
{
	struct probe_report r = { .out = out };
	const struct probe_place none = { &r, "controller", "-" };
	struct result res = { .refused = false };
	struct probe_name *names;
	size_t i;

	/* whom we talk to may go */
	(void)signal(SIGPIPE, SIG_IGN);
	if ((names = resolve_all(conf)) == NULL)
		return EX_OSERR;
	set_width(&r, conf);
	for (i = 0; i < conf->nlisten; i++)
		note_listener(&res, probe_listen_check(&r, conf,
		    &conf->listen[i]));
	for (i = 0; i < conf->nstatus; i++)
		note_listener(&res, probe_listen_check_page(&r, conf,
		    &conf->status[i]));
	/* what root can reach says nothing of what the workers can */
	if (privilege_drop(conf) == -1) {
		free(names);
		return EX_NOPERM;
	}
	for (i = 0; i < conf->nbackend; i++)
		if (!probe_backend_check(&r, conf, &conf->backend[i],
		    &names[i]))
			res.unavailable = true;
	for (i = 0; i < conf->ncontroller; i++)
		check_controller(&r, conf, &conf->controller[i],
		    &names[conf->nbackend + i], &res);
	if (conf->ncontroller == 0)
		probe_report_say(&none, PROBE_NOTE, "connect", "none is "
		    "configured: clients cannot train rspamd (TELL)");
	free(names);
	probe_report_summary(&r);
	return res.unavailable ? EX_UNAVAILABLE : res.refused ? EX_NOPERM :
	    res.stranger ? EX_CONFIG : EX_OK;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * probe_reach: is a rspamd of the configuration at an address, does it answer
 * /ping, and if not, what is there instead?
 */
#ifndef PROBE_REACH_H_
#define PROBE_REACH_H_

#include "conf.h"
#include "probe_kind.h"
#include "probe_name.h"
#include "probe_report.h"
#include "probe_wire.h"

/* A server's HOST:PORT for the header Host:, with room for any. */
#define PROBE_REACH_HOST_MAX	300

struct probe_reach {
	bool		 connected;
	bool		 answers;	/* it speaks HTTP: go on with it */
	enum probe_kind	 kind;
	char		 version[32];	/* "rspamd/3.4", or "" */
};

/*
 * Asks PEER, an address of B, for /ping and says what comes of it.  WANTED
 * tells what should be there ("a backend is ..."); UNREACHED is the level of
 * having no connection.
 */
void	probe_reach_ping(struct probe_reach *r, const struct probe_place *pl,
	    const struct probe_wire_peer *peer, const struct conf_backend *b,
	    const char *wanted, enum probe_level unreached);

/* Says which addresses a name has, or that it has none. */
void	probe_reach_names(const struct probe_place *pl,
	    const struct probe_name *nm);

/* Writes B's Host: into BUF of PROBE_REACH_HOST_MAX bytes; returns it. */
const char *probe_reach_host(const struct conf_backend *b, char *buf);

/* Says it where a certificate with so many DAYS left needs care. */
void	probe_reach_expiry(const struct probe_place *pl, int days);

#endif

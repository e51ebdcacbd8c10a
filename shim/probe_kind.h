/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * probe_kind: what listens at an address, told by its answer to a question
 * of HTTP.  Every server gives itself away by how it takes that one: rspamd's
 * workers answer it, others refuse it in their own protocol's words.
 */
#ifndef PROBE_KIND_H_
#define PROBE_KIND_H_

#include <stdbool.h>
#include <stddef.h>

#include "http_response.h"

enum probe_kind {
	PROBE_KIND_RSPAMD,	/* it says pong: a worker that speaks HTTP */
	PROBE_KIND_MILTER,
	PROBE_KIND_SHIM,	/* rspamd-shim itself */
	PROBE_KIND_SPAMD,	/* SpamAssassin's spamd, or one like it */
	PROBE_KIND_TLS,
	PROBE_KIND_HTTP,	/* another HTTP server, or one in front */
	PROBE_KIND_MAIL,	/* SMTP, IMAP, POP3 */
	PROBE_KIND_SSH,
	PROBE_KIND_REDIS,
	PROBE_KIND_SILENT,	/* not a byte */
	PROBE_KIND_UNKNOWN
};

/*
 * The kind of the server that answered `GET /ping' with the LEN bytes at RAW
 * (the first hundreds do) or closed; H has parsed the same bytes.
 */
enum probe_kind probe_kind_of(const struct http_response *h, const char *raw,
	    size_t len);

/* Are the LEN bytes at RAW a milter's answer to PROBE_KIND_MILTER_HELLO? */
#define PROBE_KIND_MILTER_HELLO "\0\0\0\015O\0\0\0\006\0\0\0\0\0\0\0\0"
bool	probe_kind_is_milter(const char *raw, size_t len);

/* K for people: "the milter port of rspamd's proxy worker". */
const char *probe_kind_name(enum probe_kind k);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <string.h>

#include "probe_kind.h"

/* Do the LEN bytes at P begin with the string S? */
static bool
begins(const char *p, size_t len, const char *s)
{
	size_t n = strlen(s);

	return len >= n && memcmp(p, s, n) == 0;
}

static bool
holds(const char *p, size_t len, const char *s)
{
	return memmem(p, len, s, strlen(s)) != NULL;
}

/* It speaks HTTP: which server is it? */
static enum probe_kind
of_http(const struct http_response *h)
{
	const char *body;
	size_t len;

	body = http_response_body(h, &len);
	if (holds(http_response_server(h), strlen(http_response_server(h)),
	    "milter"))
		return PROBE_KIND_MILTER;
	if (http_response_status(h) == 200 && begins(body, len, "pong"))
		return PROBE_KIND_RSPAMD;
	/* nginx and Apache say so in a page */
	if (http_response_status(h) == 400 && (holds(body, len, "HTTPS port") ||
	    holds(body, len, "SSL-enabled")))
		return PROBE_KIND_TLS;
	return PROBE_KIND_HTTP;
}

enum probe_kind
probe_kind_of(const struct http_response *h, const char *raw, size_t len)
{
	static const struct {
		const char	*begin;
		enum probe_kind	 kind;
	} kinds[] = {
		{ "SPAMD/", PROBE_KIND_SPAMD },
		{ "\025\003", PROBE_KIND_TLS },		/* an alert */
		{ "220", PROBE_KIND_MAIL },
		{ "421 ", PROBE_KIND_MAIL },
		{ "554", PROBE_KIND_MAIL },
		{ "* OK", PROBE_KIND_MAIL },
		{ "+OK", PROBE_KIND_MAIL },
		{ "SSH-", PROBE_KIND_SSH },
		{ "-ERR", PROBE_KIND_REDIS },
		{ "-DENIED", PROBE_KIND_REDIS },
	};
	size_t i;

	if (len == 0)
		return PROBE_KIND_SILENT;
	if (http_response_status(h) != 0)
		return of_http(h);
	/* spamd_request.c's answer to HTTP */
	if (begins(raw, len, "SPAMD/") &&
	    holds(raw, len, "(HTTP is not spoken here"))
		return PROBE_KIND_SHIM;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (begins(raw, len, kinds[i].begin))
			return kinds[i].kind;
	return PROBE_KIND_UNKNOWN;
}

bool
probe_kind_is_milter(const char *raw, size_t len)
{
	/* a packet's length, of four bytes, and its command */
	return len >= 5 && memcmp(raw, "\0\0\0", 3) == 0 && raw[4] == 'O';
}

const char *
probe_kind_name(enum probe_kind k)
{
	static const char *const names[] = {
		[PROBE_KIND_RSPAMD] = "rspamd",
		[PROBE_KIND_MILTER] =
		    "a milter (rspamd's proxy worker with milter = yes)",
		[PROBE_KIND_SHIM] = "rspamd-shim itself",
		[PROBE_KIND_SPAMD] = "SpamAssassin's spamd",
		[PROBE_KIND_TLS] = "a server that speaks TLS",
		[PROBE_KIND_HTTP] = "an HTTP server that is not rspamd",
		[PROBE_KIND_MAIL] = "a mail server",
		[PROBE_KIND_SSH] = "an SSH server",
		[PROBE_KIND_REDIS] = "Redis",
		[PROBE_KIND_SILENT] = "a server that does not speak HTTP",
		[PROBE_KIND_UNKNOWN] = "a server that does not speak HTTP",
	};

	return names[k];
}

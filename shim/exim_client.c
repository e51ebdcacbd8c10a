/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exim_client: who handed a mail to Exim, as Exim's Received: tells it.
 *
 * What is free text here (HELO, ident) comes after all that matters (host
 * name, address), and is read up to the end of its line or not at all.
 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <stdbool.h>
#include <string.h>

#include "exim_client.h"
#include "slice.h"

/* Of a client's address, before inet_pton() looks at it. */
static bool
is_ip(unsigned char c)
{
	return slice_is_digit(c) || (c >= 'A' && c <= 'F') ||
	    (c >= 'a' && c <= 'f') || slice_is_one_of(c, ".:");
}

/* What Exim takes for a host name (dns_check_names_pattern). */
static bool
is_host(unsigned char c)
{
	return slice_is_alnum(c) || slice_is_one_of(c, "._-/");
}

/* Of an unquoted local user's name, as Exim decides what needs no quotes. */
static bool
is_ident(unsigned char c)
{
	return slice_is_alnum(c) ||
	    slice_is_one_of(c, "!#$%&'*+-/=?^_`{|}~.");
}

/* Takes "[ADDRESS]". */
static bool
take_ip(struct slice *s, struct exim_client *client)
{
	char text[INET6_ADDRSTRLEN];
	unsigned char binary[sizeof(struct in6_addr)];

	if (!slice_take(s, "[") || !slice_take_word(s, is_ip, &client->ip) ||
	    !slice_take(s, "]") || client->ip.len >= sizeof(text))
		return false;
	memcpy(text, client->ip.p, client->ip.len);
	text[client->ip.len] = '\0';
	client->ipv6 = memchr(text, ':', client->ip.len) != NULL;
	return inet_pton(client->ipv6 ? AF_INET6 : AF_INET, text, binary) == 1;
}

static bool
take_port(struct slice *s)
{
	struct slice digits;

	return slice_take_word(s, slice_is_digit, &digits) && digits.len <= 5;
}

/*
 * "HELO" or "HELO ident=IDENT", up to the end of S.  A HELO holds no space
 * unless Exim is told to accept junk, so that the first " ident=" is the one.
 * With junk this cuts short a HELO that imitates an ident: what is left is
 * a HELO that the client could have sent.  Where spaces show that it is junk,
 * nobody can say which part is whose, and it counts as unknown.
 */
static void
read_helo(struct slice s, struct exim_client *client)
{
	size_t at;

	client->helo_shown = true;
	client->helo = s;
	if (!slice_find(&s, " ident=", &at))
		return;
	client->helo.len = at;
	if (memchr(client->helo.p, ' ', at) != NULL)
		client->helo.len = 0;
}

bool
exim_client_unnamed(struct slice s, struct exim_client *client)
{
	bool port;

	if (!take_ip(&s, client))
		return false;
	if (s.len == 0)
		return true;
	if (!slice_take(&s, " (") || !slice_take_end(&s, ')'))
		return false;
	port = slice_take(&s, "port=");
	if (port) {
		if (!take_port(&s))
			return false;
		if (s.len == 0)
			return true;
		if (!slice_take(&s, " "))
			return false;
	}
	if (slice_take(&s, "helo=")) {
		read_helo(s, client);
		return true;
	}
	return slice_take(&s, "ident=");
}

bool
exim_client_named(struct slice s, bool folded, struct exim_client *client)
{
	size_t at;

	if (!slice_take(&s, "(") || !slice_take_end(&s, ')') ||
	    !take_ip(&s, client))
		return false;
	if (slice_take(&s, ":") && !take_port(&s))
		return false;
	if (folded) {
		if (!slice_take(&s, " helo=") ||
		    !slice_find(&s, " ident=", &at))
			return false;
		read_helo(s, client);
		return true;
	}
	if (slice_take(&s, " helo=")) {
		client->helo_shown = true;
		client->helo = s;
		return true;
	}
	return s.len == 0 || slice_take(&s, " ident=");
}

bool
exim_client_local_helo(struct slice s, struct exim_client *client)
{
	if (!slice_take(&s, "(helo=") || !slice_take_end(&s, ')'))
		return false;
	client->helo_shown = true;
	client->helo = s;
	return true;
}

bool
exim_client_is_user(struct slice s)
{
	struct slice word;

	if (slice_next_is(&s, '"'))
		return slice_take_quoted(&s) && s.len == 0;
	return slice_take_word(&s, is_ident, &word) && s.len == 0;
}

bool
exim_client_take_host(struct slice *s, struct slice *host)
{
	return slice_take_word(s, is_host, host);
}

bool
exim_client_is_host(struct slice s)
{
	struct slice host;

	return exim_client_take_host(&s, &host) && s.len == 0;
}

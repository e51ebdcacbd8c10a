/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * envelope: what is known of the SMTP transaction that a message came by.
 *
 * exim_lines knows the grammar of what Exim writes.  Here is what it means.
 */
#include "config.h"

#include <netinet/in.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "envelope.h"
#include "exim_lines.h"
#include "slice.h"
#include "text.h"

/* ---- the struct ---- */

struct envelope *
envelope_new(void)
{
	return calloc(1, sizeof(struct envelope));
}

void
envelope_drop_rcpts(struct envelope *e)
{
	size_t i;

	for (i = 0; e->rcpt != NULL && i < e->nrcpt; i++)
		free(e->rcpt[i]);
	free(e->rcpt);
	e->rcpt = NULL;
}

/* Frees what E owns and makes it empty. */
static void
reset(struct envelope *e)
{
	envelope_drop_rcpts(e);
	free(e->sender);
	free(e->user);
	envelope_forget_client(e);
	memset(e, 0, sizeof(*e));
}

void
envelope_free(struct envelope *e)
{
	if (e == NULL)
		return;
	reset(e);
	free(e);
}

void
envelope_forget_client(struct envelope *e)
{
	free(e->ip);
	free(e->helo);
	free(e->hostname);
	free(e->queue_id);
	free(e->mta_name);
	e->ip = e->helo = e->hostname = e->queue_id = e->mta_name = NULL;
	e->authenticated = false;
}

int
envelope_set(char **field, const char *value, size_t len)
{
	char *copy;

	if ((copy = text_dup_clean(value, len)) == NULL)
		return -1;
	free(*field);
	*field = copy;
	return 0;
}

int
envelope_add_rcpt(struct envelope *e, const char *addr, size_t len)
{
	char **grown, *copy;
	size_t n = e->nrcpt;

	/* The array is full whenever its use is 0 or a power of two. */
	if ((n & (n - 1)) == 0) {
		if (n > SIZE_MAX / 2 / sizeof(*grown))
			return -1;
		grown = realloc(e->rcpt, (n == 0 ? 1 : 2 * n) * sizeof(*grown));
		if (grown == NULL)
			return -1;
		e->rcpt = grown;
	}
	if ((copy = text_dup_clean(addr, len)) == NULL)
		return -1;
	e->rcpt[e->nrcpt++] = copy;
	return 0;
}

/* ---- Exim 4.100's quotes ---- */

/*
 * Is Q the address A with its local part in quotes?  There '"' and '\\' have a
 * backslash, and CR and LF, which are '?' in A, are "\\r" and "\\n".
 */
static bool
is_requoted(const char *q, const char *a)
{
	if (*q++ != '"')
		return false;
	for (; *q != '"'; q++, a++)
		if (*q == '\\') {
			q++;
			if (*a == '?' ? *q != 'r' && *q != 'n' :
			    *q != *a || (*a != '"' && *a != '\\'))
				return false;
		} else if (*q == '\0' || *q != *a || *a == '\\')
			return false;
	return *a == '@' && strcmp(q + 1, a) == 0;
}

/* Is A the address B, with such quotes or without? */
static bool
is_same(const char *a, const char *b)
{
	return strcmp(a, b) == 0 || is_requoted(a, b);
}

static int
unquote(char **field, const char *line)
{
	if (*field == NULL || line == NULL || !is_requoted(*field, line))
		return 0;
	return envelope_set(field, line, strlen(line));
}

int
envelope_unquote(struct envelope *e, const struct envelope *lines)
{
	size_t i, j;

	/* E may lack some of them: those that rspamd cannot be told of.  Each
	   of LINES is looked at once, as their number is the sender's. */
	for (i = j = 0; i < e->nrcpt && j < lines->nrcpt; j++)
		if (is_same(e->rcpt[i], lines->rcpt[j]) &&
		    unquote(&e->rcpt[i++], lines->rcpt[j]) != 0)
			return -1;
	return unquote(&e->sender, lines->sender);
}

/* ---- from what was seen to the envelope ---- */

/* The protocol's name as it is without the marks that Exim puts before it. */
static struct slice
plain_protocol(struct slice s)
{
	/* Up to 4.91 each SMTPUTF8 mail of a connection adds one. */
	while (slice_take(&s, "utf8"))
		continue;
	(void)slice_take(&s, "local-");
	return s;
}

/* Who submits mail on the host itself has logged in there. */
static bool
is_authenticated(const struct exim_lines *seen)
{
	struct slice s = plain_protocol(seen->protocol);

	return slice_equals_text(&s, "local") ||
	    slice_equals_text(&s, "esmtpa") ||
	    slice_equals_text(&s, "esmtpsa") ||
	    slice_equals_text(&s, "essmtpa");
}

static int
set_slice(char **field, const struct slice *s)
{
	return s->len == 0 ? 0 : envelope_set(field, s->p, s->len);
}

/*
 * Exim leaves the HELO out if it is the verified name or the address in
 * brackets.  Only EHLO tells that there was one at all.
 */
static int
set_helo(struct envelope *e, const struct exim_lines *seen)
{
	const struct exim_client *client = &seen->client;
	char literal[INET6_ADDRSTRLEN + sizeof("[IPv6:]")] = "[";
	struct slice s = plain_protocol(seen->protocol);

	if (client->helo_shown)
		return set_slice(&e->helo, &client->helo);
	if (e->ip == NULL ||
	    !(slice_take(&s, "esmtp") || slice_take(&s, "essmtp")))
		return 0;
	if (client->hostname.len > 0)
		return set_slice(&e->helo, &client->hostname);
	if (client->ipv6)
		strcat(literal, "IPv6:");
	strcat(literal, e->ip);
	strcat(literal, "]");
	return envelope_set(&e->helo, literal, strlen(literal));
}

static int
set_addresses(struct envelope *e, const struct exim_lines *seen)
{
	struct slice rcpts = seen->rcpts, rcpt;

	if (envelope_set(&e->sender, seen->sender.p, seen->sender.len) != 0)
		return -1;
	while (exim_lines_next_rcpt(&rcpts, &rcpt))
		if (envelope_add_rcpt(e, rcpt.p, rcpt.len) != 0)
			return -1;
	return 0;
}

static int
set_client(struct envelope *e, const struct exim_lines *seen)
{
	e->authenticated = is_authenticated(seen);
	if (set_slice(&e->ip, &seen->client.ip) != 0 ||
	    set_slice(&e->hostname, &seen->client.hostname) != 0 ||
	    set_slice(&e->queue_id, &seen->queue_id) != 0 ||
	    set_slice(&e->mta_name, &seen->by) != 0)
		return -1;
	return set_helo(e, seen);
}

enum envelope_result
envelope_parse(const char *buf, size_t len, bool eom, struct envelope *e,
    size_t *skip)
{
	struct slice s = { buf, len };
	struct exim_lines seen = { .nrcpt = 0 };
	enum exim_lines_result r;

	*skip = 0;
	if (s.len >= ENVELOPE_MAX) {
		s.len = ENVELOPE_MAX;
		eom = true;
	}
	if (s.len == 0)
		return eom ? ENVELOPE_NONE : ENVELOPE_MORE;

	r = exim_lines_addresses(&s, &seen);
	if (r == EXIM_LINES_MORE && !eom)
		return ENVELOPE_MORE;
	if (r != EXIM_LINES_OK)
		return ENVELOPE_NONE;
	len = (size_t)(s.p - buf);
	r = exim_lines_received(&s, &seen);
	if (r == EXIM_LINES_MORE && !eom)
		return ENVELOPE_MORE;

	if (set_addresses(e, &seen) != 0 ||
	    (r == EXIM_LINES_OK && set_client(e, &seen) != 0)) {
		reset(e);
		return ENVELOPE_NONE;
	}
	*skip = len;
	return r == EXIM_LINES_OK ? ENVELOPE_FULL : ENVELOPE_ADDRESSES;
}

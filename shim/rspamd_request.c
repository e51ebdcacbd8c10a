/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "address.h"
#include "rspamd_request.h"

/*
 * May VALUE go into a head?  The values hold no control bytes (envelope.h),
 * but what goes out is looked at once more.
 */
static bool
is_fit(const char *value)
{
	const unsigned char *p;

	for (p = (const unsigned char *)value; *p != '\0'; p++)
		if (*p < 0x20 || *p == 0x7f)
			return false;
	return p - (const unsigned char *)value <= RSPAMD_REQUEST_VALUE_MAX;
}

/* One header, unless its value is unknown. */
static void
header(struct text *out, struct rspamd_request_left *left, const char *name,
    const char *value)
{
	if (value == NULL)
		return;
	if (!is_fit(value)) {
		left->values++;
		return;
	}
	text_puts(out, name);
	text_puts(out, ": ");
	text_puts(out, value);
	text_puts(out, "\r\n");
}

/*
 * The header NAME with an ADDRESS, in the form that rspamd reads, if that fits
 * into ROOM bytes of head in all.  Returns whether it did.
 */
static bool
address_header(struct text *out, const char *name, const char *address,
    size_t room)
{
	struct text value;
	bool fits;

	text_init(&value, 2 * RSPAMD_REQUEST_VALUE_MAX + 2);
	address_put(&value, address);
	if (text_failed(&value))
		out->failed = true;
	fits = out->len + strlen(name) + sizeof(": <>\r\n") - 1 + value.len <=
	    room;
	if (fits) {
		text_puts(out, name);
		text_puts(out, ": <");
		text_put(out, text_string(&value), value.len);
		text_puts(out, ">\r\n");
	}
	text_free(&value);
	return fits;
}

static void
sender(struct text *out, struct rspamd_request_left *left, const char *address)
{
	if (address == NULL)
		return;
	if (!is_fit(address) || !address_header(out, "From", address,
	    RSPAMD_REQUEST_HEAD_MAX - 2))
		left->values++;
}

static void
recipients(struct text *out, struct rspamd_request_left *left,
    const struct envelope *e)
{
	size_t i, n, room;

	/* the empty line that ends the head is still to come */
	room = RSPAMD_REQUEST_HEAD_MAX - 2;
	for (i = n = 0; i < e->nrcpt && n < RSPAMD_REQUEST_RCPT_MAX; i++) {
		if (!is_fit(e->rcpt[i]))
			continue;
		if (!address_header(out, "Rcpt", e->rcpt[i], room))
			break;
		n++;
	}
	left->rcpt = e->nrcpt - n;
}

int
rspamd_request_head(struct text *out, const struct rspamd_request *rq,
    struct rspamd_request_left *left)
{
	const struct envelope *e = rq->envelope;
	const char *user = rq->user;

	memset(left, 0, sizeof(*left));
	text_puts(out, "POST /checkv2 HTTP/1.1\r\nHost: ");
	text_puts(out, rq->host);
	text_puts(out, "\r\n"
	    "User-Agent: " PACKAGE_NAME "/" PACKAGE_VERSION "\r\n");
	text_puts(out, rq->keep ? "Connection: keep-alive\r\n" :
	    "Connection: close\r\n");
	text_puts(out, "Content-Length: ");
	text_number(out, rq->length);
	text_puts(out, "\r\n");
	if (e != NULL) {
		header(out, left, "Queue-Id", e->queue_id);
		sender(out, left, e->sender);
		header(out, left, "IP", e->ip);
		header(out, left, "Helo", e->helo);
		header(out, left, "Hostname", e->hostname);
		if (user == NULL)
			user = e->user;
	}
	header(out, left, "User", user);
	header(out, left, "Deliver-To", rq->deliver_to);
	header(out, left, "Settings-ID", rq->settings_id);
	header(out, left, "MTA-Name", rq->mta_name);
	if (e != NULL)
		recipients(out, left, e);
	text_puts(out, "\r\n");
	return text_failed(out) ? -1 : 0;
}

int
rspamd_ping_head(struct text *out, const char *host)
{
	text_printf(out, "GET /ping HTTP/1.1\r\n"
	    "Host: %s\r\n"
	    "User-Agent: " PACKAGE_NAME "/" PACKAGE_VERSION "\r\n"
	    "Connection: close\r\n"
	    "\r\n", host);
	return text_failed(out) ? -1 : 0;
}

const char *
rspamd_learn_name(enum rspamd_learn what)
{
	static const char *const names[] = { "learnspam", "learnham",
	    "fuzzyadd", "fuzzydel" };

	return names[what];
}

int
rspamd_learn_head(struct text *out, const struct rspamd_learn_request *rq)
{
	struct rspamd_request_left left = { .rcpt = 0 };

	text_printf(out, "POST /%s HTTP/1.1\r\n"
	    "Host: %s\r\n"
	    "User-Agent: " PACKAGE_NAME "/" PACKAGE_VERSION "\r\n"
	    "Connection: close\r\n"
	    "Content-Length: %" PRIu64 "\r\n", rspamd_learn_name(rq->what),
	    rq->host, rq->length);
	header(out, &left, "Password", rq->password);
	header(out, &left, "Deliver-To", rq->deliver_to);
	if (rq->what == RSPAMD_FUZZY_ADD || rq->what == RSPAMD_FUZZY_DEL)
		text_printf(out, "Flag: %d\r\nWeight: %d\r\n", rq->flag,
		    rq->weight);
	text_puts(out, "\r\n");
	return text_failed(out) ? -1 : 0;
}

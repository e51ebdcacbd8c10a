/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <string.h>
#include <strings.h>

#include "health.h"
#include "metrics_text.h"
#include "page.h"
#include "slice.h"

#define PLAIN	"text/plain; charset=utf-8"
#define JSON	"application/json"

static bool
is_not_space(unsigned char c)
{
	return c > 0x20 && c != 0x7f;
}

/* Takes a line with its end, as *LINE without it; false if there is none. */
static bool
take_line(struct slice *s, struct slice *line)
{
	size_t at;

	if (!slice_find(s, "\n", &at))
		return false;
	line->p = s->p;
	line->len = at;
	(void)slice_take_end(line, '\r');
	slice_advance(s, at + 1);
	return true;
}

/* Is the head at S whole: does it have an empty line? */
static bool
is_whole(struct slice s)
{
	struct slice line;

	while (take_line(&s, &line))
		if (line.len == 0)
			return true;
	return false;
}

static bool
fail(struct page_request *r, int status)
{
	r->target = PAGE_ERROR;
	r->status = status;
	return true;
}

/* The path of TARGET, which a proxy may have sent with the host's name. */
static void
strip_target(struct slice *target)
{
	static const char scheme[] = "http://";
	size_t at;

	if (target->len >= sizeof(scheme) - 1 &&
	    strncasecmp(target->p, scheme, sizeof(scheme) - 1) == 0) {
		slice_advance(target, sizeof(scheme) - 1);
		slice_advance(target, slice_find(target, "/", &at) ? at :
		    target->len);
	}
	if (slice_find(target, "?", &at))
		target->len = at;
}

/* Does a header line of S, Accept:, name JSON? */
static bool
accepts_json(struct slice s)
{
	static const char name[] = "accept:";
	struct slice line;
	size_t i;

	while (take_line(&s, &line) && line.len > 0) {
		if (line.len < sizeof(name) - 1 ||
		    strncasecmp(line.p, name, sizeof(name) - 1) != 0)
			continue;
		for (i = sizeof(name) - 1; i + sizeof(JSON) - 1 <= line.len; i++)
			if (strncasecmp(line.p + i, JSON, sizeof(JSON) - 1) == 0)
				return true;
	}
	return false;
}

bool
page_parse(struct page_request *r, const char *p, size_t len)
{
	struct slice s = { p, len }, line, method, target;

	memset(r, 0, sizeof(*r));
	if (!is_whole(s))
		return len >= PAGE_HEAD_MAX && fail(r, 431);
	(void)take_line(&s, &line);
	if (!slice_take_word(&line, is_not_space, &method) ||
	    !slice_take(&line, " ") ||
	    !slice_take_word(&line, is_not_space, &target) ||
	    !slice_take(&line, " HTTP/"))
		return fail(r, 400);
	if (!slice_take(&line, "1."))
		return fail(r, 505);
	r->head = slice_equals_text(&method, "HEAD");
	strip_target(&target);
	if (slice_equals_text(&target, "/metrics"))
		r->target = PAGE_METRICS;
	else if (slice_equals_text(&target, "/health.json") ||
	    slice_equals_text(&target, "/health")) {
		r->target = PAGE_HEALTH;
		r->json = target.len > sizeof("/health") - 1 ||
		    accepts_json(s);
	} else
		return fail(r, 404);
	if (!r->head && !slice_equals_text(&method, "GET"))
		return fail(r, 405);
	return true;
}

static const char *
phrase(int status)
{
	switch (status) {
	case 200:
		return "OK";
	case 400:
		return "Bad Request";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	case 431:
		return "Request Header Fields Too Large";
	case 503:
		return "Service Unavailable";
	default:
		return "HTTP Version Not Supported";
	}
}

static void
put_head(struct text *t, int status, const char *type, size_t length)
{
	text_printf(t, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n"
	    "Content-Length: %zu\r\nCache-Control: no-store\r\n"
	    "X-Content-Type-Options: nosniff\r\n%sConnection: close\r\n\r\n",
	    status, phrase(status), type, length,
	    status == 405 ? "Allow: GET, HEAD\r\n" : "");
}

/* Writes what was asked for to BODY.  Returns the status; *TYPE is its. */
static int
put_body(struct text *body, const struct page_request *r,
    const struct counters_snapshot *s, const char *version, const char **type)
{
	*type = PLAIN;
	if (r->target == PAGE_METRICS) {
		*type = METRICS_TEXT_TYPE;
		metrics_text(body, s, version);
		return 200;
	}
	if (r->target == PAGE_HEALTH) {
		*type = r->json ? JSON : PLAIN;
		if (r->json)
			health_json(body, s);
		else
			health_text(body, s);
		return health_fault(s) == NULL ? 200 : 503;
	}
	text_printf(body, "%d %s\n", r->status, phrase(r->status));
	if (r->status == 404)
		text_puts(body, "Here are /metrics, /health and "
		    "/health.json.\n");
	return r->status;
}

void
page_respond(struct text *t, const struct page_request *r,
    const struct counters_snapshot *s, const char *version)
{
	struct text body;
	const char *type;
	int status;

	text_init(&body, METRICS_TEXT_MAX);
	status = put_body(&body, r, s, version, &type);
	if (text_failed(&body))
		t->failed = true;
	put_head(t, status, type, body.len);
	if (!r->head)
		text_puts(t, text_string(&body));
	text_free(&body);
}

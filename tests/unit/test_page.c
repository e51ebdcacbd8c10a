#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "page.h"
#include "unit.h"

#define END	"\r\n\r\n"

/* Requests, and what they are taken for; a status of 0 is the page TARGET. */
static const struct {
	const char	*text;
	int		 status;
	enum page_target target;
	bool		 head, json;
} requests[] = {
	{ "GET /metrics HTTP/1.1" END, 0, PAGE_METRICS, false, false },
	{ "GET /metrics HTTP/1.0\n\n", 0, PAGE_METRICS, false, false },
	{ "HEAD /metrics HTTP/1.1" END, 0, PAGE_METRICS, true, false },
	{ "GET /metrics?x=/health HTTP/1.1" END, 0, PAGE_METRICS, false, false },
	{ "GET http://h:1/metrics HTTP/1.1" END, 0, PAGE_METRICS, false, false },
	{ "GET HTTP://h/health?x HTTP/1.1" END, 0, PAGE_HEALTH, false, false },
	{ "GET /health HTTP/1.1" END, 0, PAGE_HEALTH, false, false },
	{ "GET /health HTTP/1.1\r\nAccept: */*" END, 0, PAGE_HEALTH, false,
	  false },
	{ "GET /health HTTP/1.1\r\nHost: x\r\naccept: text/x, Application/JSON;"
	  "q=0.9" END, 0, PAGE_HEALTH, false, true },
	{ "GET /health HTTP/1.1\r\nX-Accept: application/json" END, 0,
	  PAGE_HEALTH, false, false },
	{ "GET /health HTTP/1.1" END "Accept: application/json" END, 0,
	  PAGE_HEALTH, false, false },
	{ "GET /health.json HTTP/1.1" END, 0, PAGE_HEALTH, false, true },
	{ "HEAD /health.json HTTP/1.1" END, 0, PAGE_HEALTH, true, true },
	{ "POST /metrics HTTP/1.1" END, 405, PAGE_ERROR, false, false },
	{ "get /metrics HTTP/1.1" END, 405, PAGE_ERROR, false, false },
	{ "GET / HTTP/1.1" END, 404, PAGE_ERROR, false, false },
	{ "HEAD / HTTP/1.1" END, 404, PAGE_ERROR, true, false },
	{ "GET /metrics/ HTTP/1.1" END, 404, PAGE_ERROR, false, false },
	{ "GET /health.jso HTTP/1.1" END, 404, PAGE_ERROR, false, false },
	{ "GET /healthy HTTP/1.1" END, 404, PAGE_ERROR, false, false },
	{ "GET http://h HTTP/1.1" END, 404, PAGE_ERROR, false, false },
	{ "OPTIONS * HTTP/1.1" END, 404, PAGE_ERROR, false, false },
	{ "GET /metrics HTTP/2.0" END, 505, PAGE_ERROR, false, false },
	{ "GET /metrics" END, 400, PAGE_ERROR, false, false },
	{ "GET  /metrics HTTP/1.1" END, 400, PAGE_ERROR, false, false },
	{ " GET /metrics HTTP/1.1" END, 400, PAGE_ERROR, false, false },
	{ "\r\n", 400, PAGE_ERROR, false, false },
	{ "REPORT SPAMC/1.2\r\nContent-length: 5" END, 400, PAGE_ERROR, false,
	  false }
};

START_TEST(parse)
{
	const char *text = requests[_i].text;
	struct page_request r;
	size_t len = strlen(text), n;
	char *p = unit_exact(text, len);

	ck_assert(page_parse(&r, p, len));
	free(p);
	ck_assert_int_eq(r.status, requests[_i].status);
	ck_assert_int_eq(r.target, requests[_i].target);
	ck_assert(r.head == requests[_i].head);
	ck_assert(r.target == PAGE_ERROR || r.json == requests[_i].json);
	/* before its empty line it is not whole */
	for (n = 0; n < len && strstr(text, END) == text + len - 4; n++) {
		p = unit_exact(text, n);
		ck_assert(!page_parse(&r, p, n) || n == len - 1);
		free(p);
	}
}
END_TEST

START_TEST(odd_bytes)
{
	struct page_request r;

	ck_assert(page_parse(&r, BYTES("GET /metrics\0x HTTP/1.1" END)));
	ck_assert_int_eq(r.status, 400);
	ck_assert(page_parse(&r, BYTES("\x16\x03\x01\0\n\n")));
	ck_assert_int_eq(r.status, 400);
}
END_TEST

START_TEST(too_long)
{
	char *s = unit_repeat('x', PAGE_HEAD_MAX);
	struct page_request r;

	ck_assert(!page_parse(&r, s, PAGE_HEAD_MAX - 1));
	ck_assert(page_parse(&r, s, PAGE_HEAD_MAX));
	ck_assert_int_eq(r.status, 431);
	free(s);
}
END_TEST

/* The response to the request TEXT; a string to be freed. */
static char *
response(const char *text, const struct counters_snapshot *s)
{
	struct page_request r;
	struct text t;

	ck_assert(page_parse(&r, text, strlen(text)));
	text_init(&t, SIZE_MAX / 2);
	page_respond(&t, &r, s, "1.2.3");
	ck_assert(!text_failed(&t));
	return t.buf;
}

/* Are the bytes after the head as many as it says? */
static void
has_length(const char *p)
{
	const char *body = strstr(p, END);

	ck_assert_ptr_nonnull(body);
	ck_assert_uint_eq(strtoul(strstr(p, "Content-Length: ") + 16, NULL, 10),
	    strlen(body + 4));
}

START_TEST(responses)
{
	struct counters_snapshot *s = calloc(1, sizeof(*s));
	char *p, *body;

	ck_assert_ptr_nonnull(s);
	p = response("GET /metrics HTTP/1.1" END, s);
	unit_begins(p, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; "
	    "version=0.0.4; charset=utf-8\r\n");
	unit_holds(p, "\r\nConnection: close\r\n");
	unit_holds(p, END "# HELP ");
	has_length(p);
	free(p);
	/* nobody serves */
	p = response("GET /health HTTP/1.1" END, s);
	unit_begins(p, "HTTP/1.1 503 Service Unavailable\r\n");
	unit_holds(p, END "unavailable: no worker is running\n");
	has_length(p);
	free(p);
	s->serving = 1;
	s->nbackend = 1;
	s->backend[0].configured = true;
	s->backend[0].circuit[COUNTERS_CLOSED] = 1;
	p = response("GET /health.json HTTP/1.1" END, s);
	unit_begins(p, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n");
	has_length(p);
	body = strstr(p, END) + 4;
	*body = '\0';
	/* HEAD is the same without the body */
	body = response("HEAD /health.json HTTP/1.1" END, s);
	ck_assert_str_eq(body, p);
	free(body);
	free(p);
	p = response("PUT /health HTTP/1.1" END, s);
	unit_begins(p, "HTTP/1.1 405 Method Not Allowed\r\n");
	unit_holds(p, "\r\nAllow: GET, HEAD\r\n");
	has_length(p);
	free(p);
	p = response("GET / HTTP/1.1" END, s);
	unit_begins(p, "HTTP/1.1 404 Not Found\r\n");
	unit_holds(p, "/metrics");
	has_length(p);
	free(p);
	free(s);
}
END_TEST

Suite *
page_suite(void)
{
	Suite *s = suite_create("page");
	TCase *tc = unit_case(s, "requests");

	tcase_add_loop_test(tc, parse, 0, COUNT(requests));
	tcase_add_test(tc, odd_bytes);
	tcase_add_test(tc, too_long);
	tc = unit_case(s, "responses");
	tcase_add_test(tc, responses);
	return s;
}

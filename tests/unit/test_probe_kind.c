#include "config.h"

#include <stdlib.h>

#include "probe_kind.h"
#include "unit.h"

#define HTTP(status, head, body) \
	"HTTP/1.1 " status "\r\nConnection: close\r\n" head "\r\n" body

/* What servers answer to `GET /ping', as they sent it. */
static const struct {
	const char	*answer;
	size_t		 len;
	enum probe_kind	 kind;
} answers[] = {
	{ BYTES(HTTP("200 OK", "Server: rspamd/3.4\r\nContent-Length: 6\r\n",
	    "pong\r\n")), PROBE_KIND_RSPAMD },
	/* behind nginx */
	{ BYTES(HTTP("200 OK", "Server: nginx\r\nContent-Length: 6\r\n",
	    "pong\r\n")), PROBE_KIND_RSPAMD },
	{ BYTES(HTTP("200 OK", "Server: rspamd/2.7 (milter mode)\r\n"
	    "Content-Length: 6\r\n", "pong\r\n\0")), PROBE_KIND_MILTER },
	{ BYTES("SPAMD/1.0 76 Bad header line: (HTTP is not spoken here, use "
	    "rspamd's own port: GET /ping HTTP/1.1)\r\n"), PROBE_KIND_SHIM },
	{ BYTES("SPAMD/1.0 76 Bad header line: GET /ping HTTP/1.1\r\n"),
	    PROBE_KIND_SPAMD },
	/* a path may say what it likes */
	{ BYTES("220 (HTTP is not spoken here\r\n"), PROBE_KIND_MAIL },
	{ BYTES(HTTP("200 OK", "Content-Length: 4\r\n", "nope")),
	    PROBE_KIND_HTTP },
	{ BYTES(HTTP("404 Not Found", "Content-Length: 4\r\n", "pong")),
	    PROBE_KIND_HTTP },
	{ BYTES(HTTP("400 Bad Request", "Content-Length: 5\r\n", "no no")),
	    PROBE_KIND_HTTP },
	{ BYTES(HTTP("400 Bad Request", "Content-Length: 52\r\n",
	    "The plain HTTP request was sent to HTTPS port, nginx")),
	    PROBE_KIND_TLS },
	{ BYTES(HTTP("400 Bad Request", "Content-Length: 56\r\n",
	    "You're speaking plain HTTP to an SSL-enabled server port")),
	    PROBE_KIND_TLS },
	{ BYTES("\025\003\003\0\002\002\050"), PROBE_KIND_TLS },
	{ BYTES("220 mx.example ESMTP Exim\r\n"), PROBE_KIND_MAIL },
	{ BYTES("554 no\r\n"), PROBE_KIND_MAIL },
	{ BYTES("* OK [CAPABILITY IMAP4rev1] ready\r\n"), PROBE_KIND_MAIL },
	{ BYTES("+OK ready\r\n"), PROBE_KIND_MAIL },
	{ BYTES("SSH-2.0-OpenSSH_9.2p1\r\n"), PROBE_KIND_SSH },
	{ BYTES("-ERR wrong number of arguments for 'get' command\r\n"),
	    PROBE_KIND_REDIS },
	{ BYTES(""), PROBE_KIND_SILENT },
	{ BYTES("what?\r\n"), PROBE_KIND_UNKNOWN },
	{ BYTES("\0"), PROBE_KIND_UNKNOWN },
	{ BYTES("SPAM"), PROBE_KIND_UNKNOWN },
};

START_TEST(kinds)
{
	struct http_response *h = http_response_new(1000);
	char *exact = unit_exact(answers[_i].answer, answers[_i].len);

	ck_assert_ptr_nonnull(h);
	(void)http_response_feed(h, exact, answers[_i].len, true);
	ck_assert_int_eq(probe_kind_of(h, exact, answers[_i].len),
	    answers[_i].kind);
	ck_assert_ptr_nonnull(probe_kind_name(answers[_i].kind));
	free(exact);
	http_response_free(h);
}
END_TEST

/* The head has not come whole: nothing is claimed of the body. */
START_TEST(cut_off)
{
	static const char start[] = "HTTP/1.1 200 OK\r\nServer: rspamd/3.4\r\n";
	struct http_response *h = http_response_new(1000);

	ck_assert_ptr_nonnull(h);
	(void)http_response_feed(h, BYTES(start), true);
	ck_assert_int_eq(probe_kind_of(h, BYTES(start)), PROBE_KIND_UNKNOWN);
	http_response_free(h);
}
END_TEST

static const struct {
	const char	*answer;
	size_t		 len;
	bool		 milter;
} packets[] = {
	/* SMFIC_OPTNEG, as rspamd sends it */
	{ BYTES("\0\0\0\015O\0\0\0\006\0\0\1\377\0\017\360\200"), true },
	{ BYTES("\0\0\0\015O"), true },
	{ BYTES("\0\0\0\015"), false },
	{ BYTES("\0\0\0\001Q"), false },
	{ BYTES("\1\0\0\015O"), false },
	{ BYTES("\0\0\1\015O"), false },
	{ BYTES("HELLO"), false },
	{ BYTES(""), false },
};

START_TEST(milters)
{
	char *exact = unit_exact(packets[_i].answer, packets[_i].len);

	ck_assert(probe_kind_is_milter(exact, packets[_i].len) ==
	    packets[_i].milter);
	free(exact);
}
END_TEST

/* 13 bytes: command, version, actions, protocol */
START_TEST(hello)
{
	const char *p = PROBE_KIND_MILTER_HELLO;

	ck_assert_uint_eq(sizeof(PROBE_KIND_MILTER_HELLO) - 1, 4 + 13);
	ck_assert_int_eq(p[3], 13);
	ck_assert(probe_kind_is_milter(BYTES(PROBE_KIND_MILTER_HELLO)));
}
END_TEST

Suite *
probe_kind_suite(void)
{
	Suite *s = suite_create("probe_kind");
	TCase *tc = unit_case(s, "kinds");

	tcase_add_loop_test(tc, kinds, 0, COUNT(answers));
	tcase_add_test(tc, cut_off);
	tc = unit_case(s, "milter");
	tcase_add_loop_test(tc, milters, 0, COUNT(packets));
	tcase_add_test(tc, hello);
	return s;
}

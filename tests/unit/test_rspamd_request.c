#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rspamd_request.h"
#include "spamd_request.h"
#include "unit.h"

#define START	"POST /checkv2 HTTP/1.1\r\n" \
		"Host: 127.0.0.1:11333\r\n" \
		"User-Agent: " PACKAGE_NAME "/" PACKAGE_VERSION "\r\n" \
		"Connection: close\r\n" \
		"Content-Length: 352\r\n"

/* The head for E (NULL: none), which must be written; *LEFT says the rest. */
static void
head(struct text *out, const struct envelope *e, const char *user,
    const char *deliver_to, struct rspamd_request_left *left)
{
	struct rspamd_request rq = {
		.host = "127.0.0.1:11333", .length = 352, .envelope = e,
		.user = user, .deliver_to = deliver_to
	};

	text_init(out, RSPAMD_REQUEST_HEAD_MAX);
	ck_assert_int_eq(rspamd_request_head(out, &rq, left), 0);
	ck_assert_uint_le(out->len, RSPAMD_REQUEST_HEAD_MAX);
}

static void
set(char **field, const char *value)
{
	ck_assert_int_eq(envelope_set(field, value, strlen(value)), 0);
}

static void
add(struct envelope *e, const char *addr)
{
	ck_assert_int_eq(envelope_add_rcpt(e, addr, strlen(addr)), 0);
}

START_TEST(nothing_known)
{
	struct rspamd_request_left left = { 1, 1 };
	struct envelope *e = envelope_new();
	struct text out;

	head(&out, NULL, NULL, NULL, &left);
	unit_text(&out, START "\r\n");
	ck_assert_uint_eq(left.rcpt, 0);
	ck_assert_uint_eq(left.values, 0);
	text_free(&out);
	head(&out, e, NULL, NULL, &left);
	unit_text(&out, START "\r\n");
	text_free(&out);
	envelope_free(e);
}
END_TEST

/* Only where the connection may be used again it is asked for. */
START_TEST(connection_to_be_kept)
{
	struct rspamd_request_left left;
	struct rspamd_request rq = { .host = "h", .length = 1, .keep = true };
	struct text out;

	text_init(&out, RSPAMD_REQUEST_HEAD_MAX);
	ck_assert_int_eq(rspamd_request_head(&out, &rq, &left), 0);
	unit_holds(text_string(&out), "\r\nConnection: keep-alive\r\n");
	ck_assert_ptr_null(strstr(text_string(&out), "close"));
	text_free(&out);
}
END_TEST

START_TEST(sign_of_life)
{
	struct text out;

	text_init(&out, RSPAMD_REQUEST_HEAD_MAX);
	ck_assert_int_eq(rspamd_ping_head(&out, "[::1]:11333"), 0);
	unit_text(&out, "GET /ping HTTP/1.1\r\nHost: [::1]:11333\r\n"
	    "User-Agent: " PACKAGE_NAME "/" PACKAGE_VERSION "\r\n"
	    "Connection: close\r\n\r\n");
	text_free(&out);
	text_init(&out, 50);
	ck_assert_int_eq(rspamd_ping_head(&out, "[::1]:11333"), -1);
	text_free(&out);
}
END_TEST

START_TEST(all_known)
{
	struct rspamd_request_left left;
	struct envelope *e = envelope_new();
	struct text out;

	set(&e->queue_id, "1xVA4m-0004UG-OO");
	set(&e->sender, "s@client.example");
	set(&e->ip, "2001:db8::9");
	set(&e->helo, "h\xc3\xa9.example");
	set(&e->hostname, "c.example");
	set(&e->user, "alice");
	e->authenticated = true;
	add(e, "u1@x");
	add(e, "\xd0\xb8@x");
	head(&out, e, NULL, "box", &left);
	unit_text(&out, START
	    "Queue-Id: 1xVA4m-0004UG-OO\r\n"
	    "From: <s@client.example>\r\n"
	    "IP: 2001:db8::9\r\n"
	    "Helo: h\xc3\xa9.example\r\n"
	    "Hostname: c.example\r\n"
	    "User: alice\r\n"
	    "Deliver-To: box\r\n"
	    "Rcpt: <u1@x>\r\n"
	    "Rcpt: <\xd0\xb8@x>\r\n"
	    "\r\n");
	ck_assert_uint_eq(left.rcpt, 0);
	ck_assert_uint_eq(left.values, 0);
	text_free(&out);
	envelope_free(e);
}
END_TEST

/* Of the mail server's name a value that is no value is left out, too. */
START_TEST(mta_name)
{
	static const char *const bad[] = { "mx\r\nFile: /etc/passwd", "mx\t",
	    "mx\x7f", "mx\nx" };
	struct rspamd_request_left left;
	struct rspamd_request rq = { .host = "127.0.0.1:11333", .length = 352,
	    .mta_name = "mx.example.org" };
	struct text out;
	char *longest;
	size_t i;

	text_init(&out, RSPAMD_REQUEST_HEAD_MAX);
	ck_assert_int_eq(rspamd_request_head(&out, &rq, &left), 0);
	unit_text(&out, START "MTA-Name: mx.example.org\r\n\r\n");
	text_free(&out);
	for (i = 0; i < COUNT(bad); i++) {
		rq.mta_name = bad[i];
		text_init(&out, RSPAMD_REQUEST_HEAD_MAX);
		ck_assert_int_eq(rspamd_request_head(&out, &rq, &left), 0);
		unit_text(&out, START "\r\n");
		ck_assert_uint_eq(left.values, 1);
		text_free(&out);
	}
	for (i = 0; i < 2; i++) {
		longest = unit_repeat('x', RSPAMD_REQUEST_VALUE_MAX + i);
		rq.mta_name = longest;
		text_init(&out, RSPAMD_REQUEST_HEAD_MAX);
		ck_assert_int_eq(rspamd_request_head(&out, &rq, &left), 0);
		ck_assert_uint_eq(left.values, i);
		text_free(&out);
		free(longest);
	}
}
END_TEST

START_TEST(null_sender)
{
	struct rspamd_request_left left;
	struct envelope *e = envelope_new();
	struct text out;

	set(&e->sender, "");
	head(&out, e, NULL, NULL, &left);
	unit_text(&out, START "From: <>\r\n\r\n");
	text_free(&out);
	envelope_free(e);
}
END_TEST

/* rspamd reads a local part of plain words or of one "...", and no other. */
static const char *const forms[][2] = {
	{ "a\\,b@x", "\"a,b\"@x" },
	{ "x\\\"y@d", "\"x\\\"y\"@d" },
	{ "a\\\\b@x", "\"a\\\\b\"@x" },
	{ "\"a\".b@x", "\"a.b\"@x" },
	{ "a.\"b\\\"c\"@x", "\"a.b\\\"c\"@x" },
	{ ".a@x", "\".a\"@x" },
	{ "a.@x", "\"a.\"@x" },
	{ "a..b@x", "\"a..b\"@x" },
	{ ".@x", "\".\"@x" },
	{ "a\\b@x", "\"ab\"@x" },
	/* as they are */
	{ "a.b@x", "a.b@x" },
	{ "a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]" },
	{ "\"a b\"@x", "\"a b\"@x" },
	{ "\"\\\"a\\\"\"@x", "\"\\\"a\\\"\"@x" },
	{ "\"\"@x", "\"\"@x" },
	{ "j\xc3\xb6rg@x", "j\xc3\xb6rg@x" },
	/* no addresses */
	{ "a,b@x", "a,b@x" },
	{ "a\\", "a\\" },
	{ "a\\,", "a\\," },
	{ "\"a@x", "\"a@x" },
	{ "@x", "@x" },
};

START_TEST(addresses_are_quoted)
{
	struct rspamd_request_left left;
	struct envelope *e = envelope_new();
	char wanted[200];
	struct text out;

	set(&e->sender, forms[_i][0]);
	add(e, forms[_i][0]);
	add(e, "u@y");
	head(&out, e, NULL, NULL, &left);
	(void)snprintf(wanted, sizeof(wanted), START "From: <%s>\r\n"
	    "Rcpt: <%s>\r\nRcpt: <u@y>\r\n\r\n", forms[_i][1], forms[_i][1]);
	unit_text(&out, wanted);
	text_free(&out);
	envelope_free(e);
}
END_TEST

/* Whoever calls may know the user better than the envelope does. */
START_TEST(users)
{
	struct rspamd_request_left left;
	struct envelope *e = envelope_new();
	struct text out;

	head(&out, NULL, "bob", NULL, &left);
	unit_text(&out, START "User: bob\r\n\r\n");
	text_free(&out);
	set(&e->user, "alice");
	head(&out, e, "bob", NULL, &left);
	unit_text(&out, START "User: bob\r\n\r\n");
	text_free(&out);
	envelope_free(e);
}
END_TEST

START_TEST(large_message)
{
	struct rspamd_request rq = { .host = "h", .length = UINT64_MAX };
	struct rspamd_request_left left;
	struct text out;

	text_init(&out, RSPAMD_REQUEST_HEAD_MAX);
	ck_assert_int_eq(rspamd_request_head(&out, &rq, &left), 0);
	unit_holds(text_string(&out),
	    "\r\nContent-Length: 18446744073709551615\r\n");
	text_free(&out);
}
END_TEST

START_TEST(value_limit)
{
	struct rspamd_request_left left;
	struct envelope *e = envelope_new();
	char *fits = unit_repeat('x', RSPAMD_REQUEST_VALUE_MAX);
	char *over = unit_repeat('y', RSPAMD_REQUEST_VALUE_MAX + 1);
	struct text out;

	set(&e->helo, fits);
	set(&e->hostname, over);
	set(&e->queue_id, over);
	add(e, over);
	add(e, fits);
	add(e, "last@x");
	head(&out, e, NULL, NULL, &left);
	ck_assert_ptr_nonnull(strstr(text_string(&out), fits));
	ck_assert_ptr_null(strstr(text_string(&out), "yyy"));
	unit_ends(text_string(&out), "x>\r\nRcpt: <last@x>\r\n\r\n");
	ck_assert_uint_eq(left.values, 2);
	ck_assert_uint_eq(left.rcpt, 1);
	text_free(&out);
	envelope_free(e);
	free(fits);
	free(over);
}
END_TEST

/* The envelope promises clean values; a head is written with clean ones. */
START_TEST(controls_do_not_reach_the_head)
{
	static const char *const bad[] = {
		"a\rb", "a\nb", "a\r\nFile: /etc/passwd", "\x01", "a\tb",
		"\x7f"
	};
	struct rspamd_request_left left;
	struct envelope *e;
	struct text out;
	size_t i;

	for (i = 0; i < COUNT(bad); i++) {
		e = envelope_new();
		e->helo = unit_format("%s", bad[i]);
		add(e, "good@x");
		add(e, "xx");
		strcpy(e->rcpt[1], "\r");
		head(&out, e, bad[i], bad[i], &left);
		unit_text(&out, START "Rcpt: <good@x>\r\n\r\n");
		ck_assert_uint_eq(left.values, 3);
		ck_assert_uint_eq(left.rcpt, 1);
		text_free(&out);
		envelope_free(e);
	}
}
END_TEST

static size_t
count(const char *s, const char *what)
{
	size_t n = 0;

	for (; (s = strstr(s, what)) != NULL; s++)
		n++;
	return n;
}

START_TEST(recipient_limit)
{
	struct rspamd_request_left left;
	struct envelope *e = envelope_new();
	struct text out;
	int i;

	for (i = 0; i < RSPAMD_REQUEST_RCPT_MAX; i++)
		add(e, "a@b");
	head(&out, e, NULL, NULL, &left);
	ck_assert_uint_eq(count(text_string(&out), "\r\nRcpt: <a@b>"),
	    RSPAMD_REQUEST_RCPT_MAX);
	ck_assert_uint_eq(left.rcpt, 0);
	text_free(&out);
	add(e, "one@more");
	head(&out, e, NULL, NULL, &left);
	ck_assert_uint_eq(count(text_string(&out), "\r\nRcpt: <a@b>"),
	    RSPAMD_REQUEST_RCPT_MAX);
	ck_assert_ptr_null(strstr(text_string(&out), "one@more"));
	ck_assert_uint_eq(left.rcpt, 1);
	text_free(&out);
	envelope_free(e);
}
END_TEST

/* What is left out of a head for its length does not take another's place. */
START_TEST(too_long_is_no_recipient)
{
	struct rspamd_request_left left;
	struct envelope *e = envelope_new();
	char *over = unit_repeat('y', RSPAMD_REQUEST_VALUE_MAX + 1);
	struct text out;
	int i;

	add(e, over);
	for (i = 0; i < RSPAMD_REQUEST_RCPT_MAX; i++)
		add(e, "a@b");
	head(&out, e, NULL, NULL, &left);
	ck_assert_uint_eq(count(text_string(&out), "\r\nRcpt: <a@b>"),
	    RSPAMD_REQUEST_RCPT_MAX);
	ck_assert_uint_eq(left.rcpt, 1);
	text_free(&out);
	envelope_free(e);
	free(over);
}
END_TEST

/* Both sides of rspamd's 80 KiB: the last recipient fits to the byte. */
START_TEST(head_limit)
{
	struct rspamd_request_left left;
	struct envelope *e = envelope_new();
	size_t room = RSPAMD_REQUEST_HEAD_MAX - strlen(START "\r\n");
	size_t fixed = strlen("Rcpt: <>\r\n"), n, len;
	struct text out;
	char *addr;

	for (n = 0; room > 0; n++) {
		len = room > 2000 ? 1000 : room > 1000 ? room / 2 : room;
		addr = unit_repeat('x', len - fixed);
		add(e, addr);
		free(addr);
		room -= len;
	}
	head(&out, e, NULL, NULL, &left);
	ck_assert_uint_eq(out.len, RSPAMD_REQUEST_HEAD_MAX);
	ck_assert_uint_eq(left.rcpt, 0);
	text_free(&out);

	/* a byte more, and the last one is left out; the head is whole */
	addr = unit_format("%sx", e->rcpt[n - 1]);
	free(e->rcpt[n - 1]);
	e->rcpt[n - 1] = addr;
	head(&out, e, NULL, NULL, &left);
	ck_assert_uint_eq(left.rcpt, 1);
	unit_ends(text_string(&out), "x>\r\n\r\n");
	text_free(&out);
	envelope_free(e);
}
END_TEST

START_TEST(no_room_is_a_failure)
{
	struct rspamd_request rq = { .host = "127.0.0.1:11333", .length = 352 };
	struct rspamd_request_left left;
	struct text out;
	size_t max;

	for (max = 0; max < strlen(START "\r\n"); max++) {
		text_init(&out, max);
		ck_assert_int_eq(rspamd_request_head(&out, &rq, &left), -1);
		text_free(&out);
	}
	text_init(&out, max);
	ck_assert_int_eq(rspamd_request_head(&out, &rq, &left), 0);
	text_free(&out);
}
END_TEST

/*
 * Requests that try to bring a header of their own into rspamd's head, from
 * the client's bytes to those that rspamd gets.
 */
static const struct {
	const char *in;
	size_t len;
	const char *out;	/* after START, before the empty line */
} smuggled[] = {
	{ BYTES("File: /etc/passwd\r\nPath: /etc/passwd\r\nShm: /x\r\n"
	    "Shm-Offset: 0\r\nShm-Length: 9\r\nSettings: {}\r\n"
	    "Compression: zstd\r\nContent-Encoding: gzip\r\nDictionary: 1\r\n"
	    "Settings-ID: x\r\nPass: all\r\nFlags: x\r\nPassword: x\r\n"
	    "Transfer-Encoding: chunked\r\nURL-Format: x\r\n"), "" },
	{ BYTES("Helo: x\rFile: /etc/passwd\r\n"),
	    "Helo: x?File: /etc/passwd\r\n" },
	{ BYTES("Helo: x\r\rFile: /etc/passwd\r\n"),
	    "Helo: x??File: /etc/passwd\r\n" },
	{ BYTES("Helo: x\0\r\r\nUser: \0\n"), "Helo: x??\r\nUser: ?\r\n" },
	{ BYTES("Rcpt: <a@b>\rShm: /x\r\r\r\nRcpt: <\"\r\0Path: /\"@x>\r\n"),
	    /* "?" "?": else a trigraph */
	    "Rcpt: <<a@b>?Shm: /x?" "?>\r\nRcpt: <\"?" "?Path: /\"@x>\r\n" },
	{ BYTES("Queue-Id: a\x0b\x0c\x85\r\nHostname: a:b\r\n"),
	    "Queue-Id: a??\x85\r\nHostname: a:b\r\n" },
	{ BYTES("File\r: x\r\n\rFile: x\r\nUser\r\0: x\r\nF\0ile: x\r\n"), "" },
	{ BYTES("IP: 127.0.0.1\rFile: /\r\nIP: 127.0.0.1\0\r\n"), "" },
	{ BYTES("From: <a@b>\xe2\x80\xa8" "File: x\r\n"),
	    "From: <<a@b>\xe2\x80\xa8" "File: x>\r\n" },
};

START_TEST(nothing_is_smuggled)
{
	static const char first[] = "CHECK RSPAMC/1.3\r\n";
	struct spamd_request *r = spamd_request_new();
	struct rspamd_request_left left;
	struct text out;
	size_t used;
	char *expected;

	ck_assert_int_eq(spamd_request_feed(r, BYTES(first), false, &used),
	    SPAMD_MORE);
	ck_assert_int_eq(spamd_request_feed(r, smuggled[_i].in,
	    smuggled[_i].len, false, &used), SPAMD_MORE);
	ck_assert_int_eq(spamd_request_feed(r, BYTES("\r\n"), false, &used),
	    SPAMD_HEAD_DONE);
	head(&out, r->envelope, NULL, r->deliver_to, &left);
	expected = unit_format("%s%s\r\n", START, smuggled[_i].out);
	unit_text(&out, expected);
	free(expected);
	text_free(&out);
	spamd_request_free(r);
}
END_TEST

#define LEARN(what)	"POST /" what " HTTP/1.1\r\n" \
			"Host: 127.0.0.1:11334\r\n" \
			"User-Agent: " PACKAGE_NAME "/" PACKAGE_VERSION "\r\n" \
			"Connection: close\r\n" \
			"Content-Length: 5000000000\r\n"

/* RQ's head is EXPECTED; with a byte less of room it is none. */
static void
learns(const struct rspamd_learn_request *rq, const char *expected)
{
	struct text out;

	text_init(&out, RSPAMD_REQUEST_HEAD_MAX);
	ck_assert_int_eq(rspamd_learn_head(&out, rq), 0);
	unit_text(&out, expected);
	text_free(&out);
	text_init(&out, strlen(expected) - 1);
	ck_assert_int_eq(rspamd_learn_head(&out, rq), -1);
	text_free(&out);
}

START_TEST(learning)
{
	struct rspamd_learn_request rq = { .what = RSPAMD_LEARN_SPAM,
	    .host = "127.0.0.1:11334", .length = UINT64_C(5000000000),
	    .password = "pass word", .deliver_to = "me@x", .flag = 11,
	    .weight = 7 };

	ck_assert_str_eq(rspamd_learn_name(rq.what), "learnspam");
	learns(&rq, LEARN("learnspam") "Password: pass word\r\n"
	    "Deliver-To: me@x\r\n\r\n");
	rq.what = RSPAMD_LEARN_HAM;
	rq.deliver_to = NULL;
	learns(&rq, LEARN("learnham") "Password: pass word\r\n\r\n");
	rq.password = NULL;
	learns(&rq, LEARN("learnham") "\r\n");
	rq.what = RSPAMD_FUZZY_ADD;
	learns(&rq, LEARN("fuzzyadd") "Flag: 11\r\nWeight: 7\r\n\r\n");
	/* rspamd reads whole numbers only, and takes others for 1 */
	rq.what = RSPAMD_FUZZY_DEL;
	rq.weight = 1000000;
	learns(&rq, LEARN("fuzzydel") "Flag: 11\r\nWeight: 1000000\r\n\r\n");
}
END_TEST

START_TEST(nothing_is_smuggled_to_a_controller)
{
	struct rspamd_learn_request rq = { .what = RSPAMD_LEARN_HAM,
	    .host = "127.0.0.1:11334", .length = UINT64_C(5000000000) };
	static const char *const bad[] = { "a\rb", "a\nb",
	    "a\r\nFile: /etc/passwd", "\x01", "a\tb", "\x7f" };
	size_t i;

	for (i = 0; i < COUNT(bad); i++) {
		rq.password = rq.deliver_to = bad[i];
		learns(&rq, LEARN("learnham") "\r\n");
	}
}
END_TEST

Suite *
rspamd_request_suite(void)
{
	Suite *s = suite_create("rspamd_request");
	TCase *tc = unit_case(s, "head");

	tcase_add_test(tc, nothing_known);
	tcase_add_test(tc, connection_to_be_kept);
	tcase_add_test(tc, sign_of_life);
	tcase_add_test(tc, all_known);
	tcase_add_test(tc, null_sender);
	tcase_add_loop_test(tc, addresses_are_quoted, 0, COUNT(forms));
	tcase_add_test(tc, users);
	tcase_add_test(tc, mta_name);
	tcase_add_test(tc, large_message);
	tc = unit_case(s, "limits");
	tcase_add_test(tc, value_limit);
	tcase_add_test(tc, recipient_limit);
	tcase_add_test(tc, too_long_is_no_recipient);
	tcase_add_test(tc, head_limit);
	tcase_add_test(tc, no_room_is_a_failure);
	tc = unit_case(s, "smuggling");
	tcase_add_test(tc, controls_do_not_reach_the_head);
	tcase_add_loop_test(tc, nothing_is_smuggled, 0, COUNT(smuggled));
	tc = unit_case(s, "learning");
	tcase_add_test(tc, learning);
	tcase_add_test(tc, nothing_is_smuggled_to_a_controller);
	return s;
}

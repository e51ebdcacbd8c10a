/*
 * spam_reply: what Exim's variables become of the replies of spamd and rspamd,
 * and of bytes that are no reply.
 */
#include "exim_stubs.h"
#include "spam_reply.h"

#define SPAMD_HEAD	"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 7.5 / 5.0\r\n\r\n"
#define RSPAMD_HEAD	"RSPAMD/1.3 0 EX_OK\r\n" \
	"Metric: default; True; 7.50 / 15.00 / 0.0\r\nAction: add header\r\n"

static spam_reply r;

/* Reads a copy that ends where it ends, so that ASan sees any byte too far. */
static const char *
read_bytes(int dialect, const uschar *p, int n)
{
	uschar *copy = malloc(n > 0 ? (size_t)n : 1);
	const char *error;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, p, (size_t)n);
	memset(&r, ' ', sizeof(r));
	error = CCS spam_reply_read(&r, dialect, copy, n);
	free(copy);
	return error;
}

static const char *
read_string(int dialect, const char *s)
{
	return read_bytes(dialect, US s, (int)strlen(s));
}

static void
expect(const char *action, const char *score, const char *score_int,
    const char *bar, const char *report)
{
	ck_assert_str_eq(CCS r.action, action);
	ck_assert_str_eq(CCS r.score, score);
	ck_assert_str_eq(CCS r.score_int, score_int);
	ck_assert_str_eq(CCS r.bar, bar);
	ck_assert_str_eq(CCS r.report, report);
}

/* The score S in a reply of spamd with threshold T. */
static const char *
read_score(const char *s, const char *t)
{
	char reply[256];

	snprintf(reply, sizeof(reply),
	    "SPAMD/1.1 0 EX_OK\r\nSpam: True ; %s / %s\r\n\r\n", s, t);
	return read_string(SPAM_REPLY_SPAMD, reply);
}

START_TEST(spamd)
{
	ck_assert_ptr_null(read_string(SPAM_REPLY_SPAMD,
	    SPAMD_HEAD "first\r\nsecond\r\n"));
	ck_assert(r.is_spam);
	expect("reject", "7.5", "75", "+++++++", "first\n second");
}
END_TEST

START_TEST(spamd_ham)
{
	ck_assert_ptr_null(read_string(SPAM_REPLY_SPAMD,
	    "SPAMD/1.1 0 EX_OK\r\nSpam: False ; -0.1 / 5.0\r\n\r\nx"));
	ck_assert(!r.is_spam);
	expect("no action", "-0.1", "-1", "/", "x");
}
END_TEST

START_TEST(spamd_before_2_50)
{
	ck_assert_ptr_null(read_string(SPAM_REPLY_SPAMD, "SPAMD/1.1 0 EX_OK\r\n"
	    "Content-length: 20\r\n\r\n5.0/5.0\r\na report\r\n"));
	ck_assert(r.is_spam);
	expect("reject", "5.0", "50", "+++++", "a report");
}
END_TEST

START_TEST(spamd_of_later_protocols)
{
	ck_assert_ptr_null(read_string(SPAM_REPLY_SPAMD, "SPAMD/1.1 0 EX_OK\r\n"
	    "Content-length: 3\r\nSpam: True ; 5.0 / 5.0\r\n\r\nabc"));
	expect("reject", "5.0", "50", "+++++", "abc");
	ck_assert_ptr_null(read_string(SPAM_REPLY_SPAMD, "SPAMD/1.1 0 EX_OK\r\n"
	    "Spam: True ; 5.0 / 5.0\r\nX: y\r\nSpam: False ; 1 / 5.0\r\n"
	    "\r\nabc"));
	expect("reject", "5.0", "50", "+++++", "abc");
}
END_TEST

START_TEST(rspamd)
{
	ck_assert_ptr_null(read_string(SPAM_REPLY_RSPAMD,
	    RSPAMD_HEAD "Symbol: A(1.00)\r\n"));
	ck_assert(!r.is_spam);
	expect("add header", "7.5", "75", "+++++++",
	    "Action: add header\n Symbol: A(1.00)");
}
END_TEST

START_TEST(line_feeds_alone)
{
	ck_assert_ptr_null(read_string(SPAM_REPLY_RSPAMD,
	    "RSPAMD/1.3 0 EX_OK\nMetric: default; True; 20.00 / 15.00 / 0.0\n"
	    "Action: reject\nSymbol: A(1.00)\n"));
	ck_assert(r.is_spam);
	ck_assert_str_eq(CCS r.action, "reject");
	ck_assert_str_eq(CCS r.report, "Action: reject\n Symbol: A(1.00)");

	ck_assert_ptr_null(read_string(SPAM_REPLY_SPAMD,
	    "SPAMD/1.1 0 EX_OK\nSpam: True ; 7.5 / 5.0\n\na\nb\n"));
	expect("reject", "7.5", "75", "+++++++", "a\n b");
}
END_TEST

/* Every length of a reply: valid from the end of its head on. */
static void
cut_everywhere(int dialect, const char *reply, size_t head)
{
	size_t n;

	for (n = 0; n <= strlen(reply); n++) {
		const char *error = read_bytes(dialect, US reply, (int)n);

		ck_assert_msg((error == NULL) == (n >= head),
		    "%zu bytes: %s", n, error == NULL ? "valid" : error);
		if (n >= head)
			ck_assert_str_eq(CCS r.score, "7.5");
	}
}

START_TEST(cut)
{
	const char *old = "SPAMD/1.1 0 EX_OK\r\nContent-length: 20\r\n\r\n"
	    "7.5/5.0\r\n";
	char reply[1024];

	cut_everywhere(SPAM_REPLY_SPAMD, SPAMD_HEAD "first\r\nsecond\r\n",
	    strlen(SPAMD_HEAD));
	cut_everywhere(SPAM_REPLY_RSPAMD, RSPAMD_HEAD "Symbol: A(1.00)\r\n",
	    strlen(RSPAMD_HEAD));
	snprintf(reply, sizeof(reply), "%sfirst\r\nsecond\r\n", old);
	cut_everywhere(SPAM_REPLY_SPAMD, reply, strlen(old));
}
END_TEST

START_TEST(no_number)
{
	static const char *const bad[] = { "nan", "inf", "-inf", "0x10",
	    "1e999", "-1e999", "5.0.3", "", "-", "e", "1e", "five", "+-1",
	    "00000000000000000000000000000000000000000000000000000000000000001"
	};
	size_t i;

	for (i = 0; i < COUNT(bad); i++) {
		ck_assert_msg(read_score(bad[i], "5.0") != NULL, "%s", bad[i]);
		ck_assert_msg(read_score("5.0", bad[i]) != NULL, "%s", bad[i]);
	}
	ck_assert_ptr_nonnull(read_string(SPAM_REPLY_RSPAMD,
	    "RSPAMD/1.3 0 EX_OK\r\n"
	    "Metric: default; True; 7.50 / 15.00 / nan\r\nAction: reject\r\n"));
}
END_TEST

START_TEST(numbers)
{
	static const struct {
		const char *in, *score, *score_int, *bar;
	} t[] = {
		{ "0", "0.0", "0", "/" },
		{ "0.7", "0.7", "7", "/" },
		{ "0.99", "1.0", "9", "/" },
		{ "1", "1.0", "10", "+" },
		{ "3.44", "3.4", "34", "+++" },
		{ "3.4995", "3.5", "35", "+++" },
		{ "3.498", "3.5", "34", "+++" },
		{ "-3.4995", "-3.5", "-35", "---" },
		{ "-6.2", "-6.2", "-62", "------" },
		{ "-0.04", "-0.0", "0", "/" },
		{ "-1", "-1.0", "-10", "-" },
		{ "1.5e1", "15.0", "150", "+++++++++++++++" },
	};
	size_t i;

	for (i = 0; i < COUNT(t); i++) {
		ck_assert_ptr_null(read_score(t[i].in, "5.0"));
		ck_assert_str_eq(CCS r.score, t[i].score);
		ck_assert_str_eq(CCS r.score_int, t[i].score_int);
		ck_assert_str_eq(CCS r.bar, t[i].bar);
	}
}
END_TEST

START_TEST(bar_of_fifty)
{
	ck_assert_ptr_null(read_score("49.9", "5.0"));
	ck_assert_uint_eq(strlen(CCS r.bar), 49);
	ck_assert_ptr_null(read_score("50", "5.0"));
	ck_assert_uint_eq(strlen(CCS r.bar), 50);
	ck_assert_ptr_null(read_score("-51", "5.0"));
	ck_assert_uint_eq(strlen(CCS r.bar), 50);
}
END_TEST

START_TEST(huge_scores)
{
	ck_assert_ptr_null(read_score("1e13", "5.0"));
	ck_assert(r.is_spam);
	ck_assert_str_eq(CCS r.score, "100000000.0");
	ck_assert_str_eq(CCS r.score_int, "1000000000");
	ck_assert_ptr_null(read_score("-1e308", "-1.7e308"));
	ck_assert(r.is_spam);
	ck_assert_str_eq(CCS r.score, "-100000000.0");
	ck_assert_str_eq(CCS r.score_int, "-1000000000");
	ck_assert_ptr_null(read_score("1e9", "1e10"));
	ck_assert(!r.is_spam);
}
END_TEST

START_TEST(empty_reports)
{
	ck_assert_ptr_null(read_string(SPAM_REPLY_SPAMD, SPAMD_HEAD));
	ck_assert_str_eq(CCS r.report, "");
	ck_assert_ptr_null(read_string(SPAM_REPLY_SPAMD,
	    SPAMD_HEAD " \t\r\n\r\n \r\n"));
	ck_assert_str_eq(CCS r.report, "");
	ck_assert_ptr_null(read_bytes(SPAM_REPLY_SPAMD,
	    BYTES(SPAMD_HEAD "seen\r\n\0hidden")));
	ck_assert_str_eq(CCS r.report, "seen");
}
END_TEST

/* SPAMD_HEAD, then N times S, then END. */
static void
read_report(const char *s, size_t n, const char *end)
{
	size_t len = strlen(s);
	char *reply = malloc(sizeof(SPAMD_HEAD) + n * len + strlen(end));
	char *p = reply;

	ck_assert_ptr_nonnull(reply);
	p += sprintf(p, "%s", SPAMD_HEAD);
	for (; n > 0; n--, p += len)
		memcpy(p, s, len);
	strcpy(p, end);
	ck_assert_ptr_null(read_string(SPAM_REPLY_SPAMD, reply));
	free(reply);
}

/* Of the last 8 characters of the report, what they are. */
static const char *
tail(void)
{
	return CCS r.report + strlen(CCS r.report) - 8;
}

START_TEST(long_reports)
{
	/* the longest that fits: every LF takes two bytes */
	read_report("\n", 16299, "x");
	ck_assert_uint_eq(strlen(CCS r.report), SPAM_REPLY_REPORT_SIZE - 1);
	read_report("\n", 16300, "x");
	ck_assert_str_eq(CCS r.report, "");

	/* 11 bytes a line, 2963 times; there is no room for the next one */
	read_report("line 6789\n", 5000, "");
	ck_assert_str_eq(tail(), "ine 6789");
	ck_assert_uint_eq(strlen(CCS r.report), 2963 * 11 - 2);

	/* one line, cut where it must be */
	read_report("x", 50000, "");
	ck_assert_uint_eq(strlen(CCS r.report), SPAM_REPLY_REPORT_SIZE - 1);
}
END_TEST

START_TEST(carriage_returns)
{
	read_report("a\rb\r\n", 2, "c\r\r\n");
	ck_assert_str_eq(CCS r.report, "ab\n ab\n c");
}
END_TEST

START_TEST(actions)
{
	char reply[8192];

	ck_assert_ptr_nonnull(read_string(SPAM_REPLY_RSPAMD,
	    "RSPAMD/1.3 0 EX_OK\r\nMetric: default; True; 1 / 2 / 0\r\n"
	    "Symbol: A\r\n"));
	ck_assert_ptr_nonnull(read_string(SPAM_REPLY_RSPAMD,
	    "RSPAMD/1.3 0 EX_OK\r\nMetric: default; True; 1 / 2 / 0\r\n"
	    "Action: \r\nSymbol: A\r\n"));
	ck_assert_ptr_null(read_bytes(SPAM_REPLY_RSPAMD, BYTES(
	    "RSPAMD/1.3 0 EX_OK\r\nMetric: default; True; 1 / 2 / 0\r\n"
	    "Action: my\tcustom\0\033action \r\n")));
	ck_assert_str_eq(CCS r.action, "my custom  action");

	snprintf(reply, sizeof(reply), "RSPAMD/1.3 0 EX_OK\r\n"
	    "Metric: default; True; 1 / 2 / 0\r\nAction: %05000d\r\n", 0);
	ck_assert_ptr_null(read_string(SPAM_REPLY_RSPAMD, reply));
	ck_assert_str_eq(CCS r.action, "0000000000000000000000000000000");
}
END_TEST

START_TEST(not_replies)
{
	static const char *const bad[] = {
		"",
		"\r\n\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\n",
		"SPAMD/1.1 76 EX_PROTOCOL\r\n\r\n",
		"SPAMD/1.1 0 EX_OK\r\n\r\n5.0/5.0\r\n",
		"SPAMD/1.1 0 EX_OK\r\nSpam: True\r\n\r\n",
		"SPAMD/1.1 0 EX_OK\r\nSpam: True ; 5.0\r\n\r\n",
		"SPAMD/1.1 0 EX_OK\r\nContent-length: 4\r\n\r\nnone\r\n",
		"RSPAMD/1.3 75 EX_TEMPFAIL\r\nMetric: default; True; 1 / 2 / 3"
		    "\r\nAction: reject\r\n",
		"RSPAMD/1.3 0 EX_OK\r\nMetric: other; True; 1 / 2 / 3\r\n"
		    "Action: reject\r\n",
		"RSPAMD/1.3 0 EX_OK\r\nMetric: default; True; 1 / 2\r\n"
		    "Action: reject\r\n",
	};
	size_t i;

	for (i = 0; i < COUNT(bad); i++) {
		ck_assert_ptr_nonnull(read_string(SPAM_REPLY_SPAMD, bad[i]));
		ck_assert_ptr_nonnull(read_string(SPAM_REPLY_RSPAMD, bad[i]));
	}
	ck_assert_ptr_nonnull(read_string(SPAM_REPLY_RSPAMD, SPAMD_HEAD));
	ck_assert_ptr_nonnull(read_string(SPAM_REPLY_SPAMD, RSPAMD_HEAD));
}
END_TEST

Suite *
reply_suite(void)
{
	Suite *s = suite_create("spam_reply");
	TCase *tc = patches_case(s, "verdict");

	tcase_add_test(tc, spamd);
	tcase_add_test(tc, spamd_ham);
	tcase_add_test(tc, spamd_before_2_50);
	tcase_add_test(tc, spamd_of_later_protocols);
	tcase_add_test(tc, rspamd);
	tcase_add_test(tc, line_feeds_alone);
	tcase_add_test(tc, actions);
	tcase_add_test(tc, cut);
	tcase_add_test(tc, not_replies);

	tc = patches_case(s, "numbers");
	tcase_add_test(tc, no_number);
	tcase_add_test(tc, numbers);
	tcase_add_test(tc, bar_of_fifty);
	tcase_add_test(tc, huge_scores);

	tc = patches_case(s, "report");
	tcase_add_test(tc, empty_reports);
	tcase_add_test(tc, long_reports);
	tcase_add_test(tc, carriage_returns);
	return s;
}

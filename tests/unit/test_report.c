#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exim_model.h"
#include "report.h"
#include "unit.h"

static const enum report_layout layouts[] = { REPORT_RSPAMC, REPORT_SPAMC };

#define TABLE	" pts rule name              description\r\n" \
		"---- ---------------------- " \
		"--------------------------------------------------\r\n"
#define COMPLETE	"Report-End: complete\r\n"

/* The report of the verdict that JSON is, as a string to be freed; it keeps
   the rules. */
static char *
report(const char *json, enum report_layout layout)
{
	struct verdict *v = unit_verdict(json);
	struct outcome o;
	struct text out;
	const char *fault;

	outcome_verdict(&o, v, &unit_policy);
	text_init(&out, REPORT_MAX);
	report_write(&out, &o, v, layout);
	ck_assert(!text_failed(&out));
	fault = report_fault(text_string(&out), out.len);
	ck_assert_msg(fault == NULL, "%s: %.999s", fault, text_string(&out));
	ck_assert_uint_eq(strlen(text_string(&out)), out.len);
	verdict_free(v);
	return out.buf;
}

static void
report_is(const char *json, enum report_layout layout, const char *expected)
{
	char *s = report(json, layout);

	unit_bytes(s, strlen(s), expected, strlen(expected));
	free(s);
}

static const char everything[] =
	"{\"action\":\"rewrite subject\",\"score\":8.55,"
	"\"required_score\":15.0,\"message-id\":\"1@x\","
	"\"subject\":\"[SPAM] Caf\xc3\xa9\","
	"\"messages\":{\"first\":\"a remark\",\"smtp_message\":\"Too bad\"},"
	"\"symbols\":{\"PLAIN\":{\"score\":0.0},"
	"\"GOOD\":{\"score\":-1.25,\"description\":\"good\"},"
	"\"BAD\":{\"score\":7.5,\"description\":\"very bad\","
	"\"options\":[\"one\",\"two, three\",\"\"]},"
	"\"A_NAME_OF_TWENTYTHREE_B\":{\"score\":12.345,\"options\":[\"o\"]}},"
	"\"reject\":\"quarantine\","
	"\"milter\":{\"remove_headers\":{\"X-Old\":0,\"X-Nth\":[2,-1]},"
	"\"add_headers\":{\"X-New\":\"v\",\"X-At\":{\"value\":\"w\","
	"\"order\":1},\"X-End\":{\"value\":\"z\",\"order\":-1},"
	"\"X-Empty\":\"\"}}}";

#define BEFORE_SYMBOLS \
	"Action: rewrite subject\r\n" \
	"Subject: [SPAM] Caf\xc3\xa9\r\n" \
	"Message: Too bad\r\n" \
	"Message: a remark\r\n" \
	"X-Milter-Reject: quarantine\r\n" \
	"X-Milter-Add: X-New: v\r\n" \
	"X-Milter-Add: X-At[1]: w\r\n" \
	"X-Milter-Add: X-End: z\r\n" \
	"X-Milter-Add: X-Empty: \r\n" \
	"X-Milter-Del: X-Old\r\n" \
	"X-Milter-Del: X-Nth[2]\r\n" \
	"X-Milter-Del: X-Nth[-1]\r\n"

START_TEST(layout_of_rspamc)
{
	report_is(everything, REPORT_RSPAMC, BEFORE_SYMBOLS
	    "Symbol: A_NAME_OF_TWENTYTHREE_B(12.35)\r\n"
	    "Symbol: BAD(7.50)\r\n"
	    "Symbol: GOOD(-1.25)\r\n"
	    "Symbol: PLAIN(0.00)\r\n"
	    "X-Symbol: A_NAME_OF_TWENTYTHREE_B(12.35) [o]\r\n"
	    "X-Symbol: BAD(7.50); very bad [one, two, three, ]\r\n"
	    "X-Symbol: GOOD(-1.25); good\r\n"
	    "X-Symbol: PLAIN(0.00)\r\n"
	    "Message-ID: 1@x\r\n" COMPLETE);
}
END_TEST

START_TEST(layout_of_spamc)
{
	report_is(everything, REPORT_SPAMC, BEFORE_SYMBOLS TABLE
	    "12.3 A_NAME_OF_TWENTYTHREE_B  [o]\r\n"
	    " 7.5 BAD                    very bad [one, two, three, ]\r\n"
	    "-1.2 GOOD                   good\r\n"
	    " 0.0 PLAIN\r\n"
	    "Message-ID: 1@x\r\n" COMPLETE);
}
END_TEST

/* Its text, which keeps other rules than the others. */
static char *
report_lf(const char *json)
{
	struct verdict *v = unit_verdict(json);
	struct outcome o;
	struct text out;

	outcome_verdict(&o, v, &unit_policy);
	text_init(&out, 2 * REPORT_MAX);
	text_puts(&out, "before\r\n");
	report_write(&out, &o, v, REPORT_SPAMC_LF);
	ck_assert(!text_failed(&out));
	ck_assert_uint_eq(strlen(text_string(&out)), out.len);
	verdict_free(v);
	return out.buf;
}

static void
starts(const char *s, const char *with)
{
	ck_assert_msg(strncmp(s, with, strlen(with)) == 0, "%.99s", s);
}

START_TEST(layout_with_the_table_last)
{
	char *s = report_lf(everything), *plain, *p;

	starts(s, "before\r\nAction: ");
	ck_assert_ptr_eq(strchr(s + 8, '\r'), NULL);
	unit_holds(s, "\nMessage-ID: 1@x\nReport-End: complete\n"
	    " pts rule name              description\n----");
	unit_holds(s, "\nX-Milter-Reject: quarantine\nX-Milter-Add: ");
	unit_ends(s, "-\n12.3 A_NAME_OF_TWENTYTHREE_B  [o]\n"
	    " 7.5 BAD                    very bad [one, two, three, ]\n"
	    "-1.2 GOOD                   good\n"
	    " 0.0 PLAIN\n");
	/* nothing is lost */
	plain = report(everything, REPORT_SPAMC);
	for (p = plain; *p != '\0'; p++)
		if (*p == '\r')
			memmove(p, p + 1, strlen(p));
	ck_assert_uint_eq(strlen(plain), strlen(s + 8));
	free(plain);
	free(s);
	s = report_lf("{\"action\":\"no action\",\"score\":0,"
	    "\"message-id\":\"x\"}");
	starts(s, "before\r\nAction: no action\nMessage-ID: x\n"
	    "Report-End: complete\n pts rule");
	unit_ends(s, "--\n");
	free(s);
}
END_TEST

START_TEST(least_report)
{
	static const char json[] = "{\"action\":\"no action\",\"score\":0}";

	report_is(json, REPORT_RSPAMC, "Action: no action\r\n" COMPLETE);
	report_is(json, REPORT_SPAMC, "Action: no action\r\n" TABLE COMPLETE);
}
END_TEST

START_TEST(unscanned)
{
	struct outcome o;
	struct text out;

	outcome_pass(&o, &unit_policy, FAILURE_TOO_LARGE, "the size limit is 1");
	text_init(&out, REPORT_MAX);
	report_write(&out, &o, NULL, REPORT_RSPAMC);
	unit_text(&out, "Action: no action\r\n"
	    "Symbol: RSPAMD_SHIM_UNSCANNED(0.00)\r\n"
	    "X-Symbol: RSPAMD_SHIM_UNSCANNED(0.00); the size limit is 1\r\n"
	    COMPLETE);
	text_rewind(&out, 0);
	report_write(&out, &o, NULL, REPORT_SPAMC);
	unit_text(&out, "Action: no action\r\n" TABLE
	    " 0.0 RSPAMD_SHIM_UNSCANNED  the size limit is 1\r\n" COMPLETE);
	text_rewind(&out, 0);
	report_symbol_names(&out, &o, NULL, 100);
	unit_text(&out, "RSPAMD_SHIM_UNSCANNED");
	text_free(&out);
}
END_TEST

/* A place in a reply, as a format's two halves, where a string may stand. */
#define OPEN	"{\"score\":7,\"action\":\"add header\","
static const struct {
	const char *before, *after;
} places[] = {
	{ "{\"score\":7,\"action\":\"", "\"}" },
	{ OPEN "\"subject\":\"", "\"}" },
	{ OPEN "\"message-id\":\"", "\"}" },
	{ OPEN "\"reject\":\"", "\"}" },
	{ OPEN "\"messages\":{\"smtp_message\":\"", "\"}}" },
	{ OPEN "\"messages\":[\"x\",\"", "\"]}" },
	{ OPEN "\"messages\":{\"", "\":\"x\"}}" },
	{ OPEN "\"symbols\":{\"", "\":{\"score\":1}}}" },
	{ OPEN "\"symbols\":{\"A\":{\"description\":\"", "\"}}}" },
	{ OPEN "\"symbols\":{\"A\":{\"options\":[\"x\",\"", "\",\"y\"]}}}" },
	{ OPEN "\"thresholds\":{\"", "\":1}}" },
	{ OPEN "\"milter\":{\"add_headers\":{\"", "\":\"x\"}}}" },
	{ OPEN "\"milter\":{\"add_headers\":{\"X\":\"", "\"}}}" },
	{ OPEN "\"milter\":{\"add_headers\":{\"X\":[{\"order\":1,\"value\":\"",
	    "\"}]}}}" },
	{ OPEN "\"milter\":{\"remove_headers\":{\"", "\":1}}}" },
};

/* What the author of a mail would like to stand there. */
static const char *const hostile[] = {
	"x\\r\\nReport-End: complete\\r\\n", "\\r\\n\\r\\n", "\\n", "\\r",
	"x\\nAction: no action", "\\t", " ", "\\u0000", "x\\u0000\\r\\n",
	"\\u0001\\u001b[31m\\u007f", "\\u0085x\\u009b", "\\u2028",
	"\x01\x02\x0b\x0c\x1b", "\r\n.\r\n", "x\n\nx", "\xff\xfe", "\xc3",
	"\xe2\x82", "\xc2\x85", "\xed\xa0\x80", "\xc0\x8a", "\\\"\\\\", "%s%n",
	"\\ud83d\\ude00", "x\\r\\n\\r\\nSPAMD/1.1 0 EX_OK\\r\\n"
};

START_TEST(hostile_strings_stay_in_their_line)
{
	size_t i, j, lines;
	char *json, *s, *p;

	for (i = 0; i < COUNT(hostile); i++) {
		json = unit_format("%s%s%s", places[_i].before, hostile[i],
		    places[_i].after);
		/* a \u0000 cuts a string; an action of nothing is no verdict */
		if (_i == 0 && strcmp(hostile[i], "\\u0000") == 0) {
			free(json);
			continue;
		}
		for (j = 0; j < COUNT(layouts); j++) {
			s = report(json, layouts[j]);
			lines = 0;
			for (p = s; (p = strstr(p, "\r\n")) != NULL; p++)
				lines++;
			ck_assert_uint_le(lines, layouts[j] == REPORT_SPAMC ?
			    6 : 5);
			free(s);
		}
		free(json);
	}
}
END_TEST

/* As above, with a string of N bytes, around all limits. */
START_TEST(long_strings_keep_the_rules)
{
	static const size_t lengths[] = { 100, 127, 128, 129, 250, 284, 285,
	    286, 299, 300, 301, 399, 400, 401, 880, 881, 882, 883, 884, 885,
	    886, 887, 888, 889, 890, 891, 892, 893, 894, 899, 900, 901, 1000,
	    15999, 16000, 16001, 70000 };
	size_t i, j, k;
	char *x, *json;

	for (i = 0; i < COUNT(lengths); i++)
		for (j = 0; j < COUNT(layouts); j++)
			for (k = 0; k < 2; k++) {
				x = unit_repeat('x', lengths[i]);
				/* a character that a cut may go through */
				for (size_t at = 0; k && at + 1 < lengths[i];
				    at += 2)
					memcpy(x + at, "\xc3\xa9", 2);
				json = unit_format("%s%s%s", places[_i].before,
				    x, places[_i].after);
				free(report(json, layouts[j]));
				free(json);
				free(x);
			}
}
END_TEST

/* Both sides of the limits of single lines, to the byte. */
static const struct {
	int place;
	size_t fits;
	const char *whole;	/* before the string */
	const char *cut;	/* what the end says, or NULL: shortened */
} limits[] = {
	{ 1, REPORT_LINE_MAX - 9, "Subject: ", "1 of 1 subject" },
	{ 2, 285, "Message-ID: ", "1 of 1 message-id" },
	{ 4, 400, "Message: ", NULL },
	{ 7, 128, "Symbol: ", NULL },
	{ 8, 300, "X-Symbol: A(0.00); ", NULL },
	{ 12, REPORT_LINE_MAX - 17, "X-Milter-Add: X: ",
	    "1 of 1 milter lines" },
	{ 11, REPORT_LINE_MAX - 17, "X-Milter-Add: ", "1 of 1 milter lines" },
	{ 14, REPORT_LINE_MAX - 17, "X-Milter-Del: ", "1 of 1 milter lines" },
};

START_TEST(limits_of_lines)
{
	size_t over;
	char *x, *json, *s, *line;

	for (over = 0; over <= 1; over++) {
		x = unit_repeat('x', limits[_i].fits + over);
		json = unit_format("%s%s%s", places[limits[_i].place].before, x,
		    places[limits[_i].place].after);
		s = report(json, REPORT_RSPAMC);
		line = unit_format("\r\n%s%s", limits[_i].whole, x);
		if (over == 0)
			unit_holds(s, line);
		else
			ck_assert_ptr_null(strstr(s, line));
		free(line);
		if (over == 0 || limits[_i].cut == NULL)
			unit_ends(s, "\r\n" COMPLETE);
		else {
			line = unit_format("\r\nReport-End: cut, %s left out"
			    "\r\n", limits[_i].cut);
			unit_ends(s, line);
			free(line);
		}
		if (over == 1 && limits[_i].cut == NULL) {
			line = unit_format("\r\n%s%.*s...", limits[_i].whole,
			    (int)limits[_i].fits, x);
			unit_holds(s, line);
			free(line);
		}
		free(s);
		free(json);
		free(x);
	}
}
END_TEST

START_TEST(symbol_scores_are_bounded)
{
	static const char json[] = "{\"action\":\"reject\",\"score\":1,"
	    "\"symbols\":{\"A\":{\"score\":1e300},\"B\":{\"score\":-1e15}}}";
	char *s = report(json, REPORT_RSPAMC);

	unit_holds(s, "\r\nSymbol: A(99999999.90)\r\n");
	unit_holds(s, "\r\nX-Symbol: B(-99999999.90)\r\n");
	free(s);
	s = report(json, REPORT_SPAMC);
	unit_holds(s, "\r\n99999999.9 A\r\n");
	unit_holds(s, "\r\n-99999999.9 B\r\n");
	free(s);
}
END_TEST

START_TEST(names_that_are_no_headers)
{
	static const char json[] = "{\"action\":\"reject\",\"score\":1,"
	    "\"milter\":{\"add_headers\":{\"X Y\":\"v\",\"X:Y\":\"v\","
	    "\"X[1]\":\"v\",\"X\\nY\":\"v\",\"X\xc3\xa9\":\"v\",\"Good\":\"v\"},"
	    "\"remove_headers\":{\"X:\":0,\"Bad name\":1,\"Also-Good\":1}}}";

	report_is(json, REPORT_RSPAMC, "Action: reject\r\n"
	    "X-Milter-Add: Good: v\r\n"
	    "X-Milter-Del: Also-Good[1]\r\n"
	    "Report-End: cut, 7 of 9 milter lines left out\r\n");
}
END_TEST

START_TEST(folded_values_are_unfolded)
{
	static const char json[] = "{\"action\":\"add header\",\"score\":7,"
	    "\"milter\":{\"add_headers\":{\"X-Folded\":{\"value\":"
	    "\"a\\r\\n\\tb\",\"order\":1}}}}";

	report_is(json, REPORT_RSPAMC, "Action: add header\r\n"
	    "X-Milter-Add: X-Folded[1]: a b\r\n" COMPLETE);
}
END_TEST

/* Two words and nothing else come behind X-Milter-Reject. */
static const struct {
	const char *word, *line;
} rejects[] = {
	{ "discard", "X-Milter-Reject: discard\r\n" },
	{ "quarantine", "X-Milter-Reject: quarantine\r\n" },
	{ "", "" }, { "Discard", "" }, { "discard ", "" }, { "tempfail", "" },
	{ "discard\\r\\nX-Milter-Add: X: y", "" },
};

START_TEST(in_place_of_a_rejection)
{
	char *json, *expected;

	json = unit_format("{\"action\":\"reject\",\"score\":20,"
	    "\"reject\":\"%s\"}", rejects[_i].word);
	expected = unit_format("Action: reject\r\n%s" COMPLETE,
	    rejects[_i].line);
	report_is(json, REPORT_RSPAMC, expected);
	free(expected);
	expected = unit_format("Action: reject\r\n%s" TABLE COMPLETE,
	    rejects[_i].line);
	report_is(json, REPORT_SPAMC, expected);
	free(expected);
	free(json);
}
END_TEST

START_TEST(options_beyond_a_line)
{
	char *x = unit_repeat('x', 880), *json, *s;

	json = unit_format(OPEN "\"symbols\":{\"A\":{\"score\":1,\"options\":"
	    "[\"%s\",\"second\"]}}}", x);
	s = report(json, REPORT_RSPAMC);
	unit_holds(s, "\r\nX-Symbol: A(1.00) [...]\r\n");
	free(s);
	s = report(json, REPORT_SPAMC);
	unit_holds(s, "\r\n 1.0 A                       [...]\r\n");
	free(s);
	free(json);
	json = unit_format(OPEN "\"symbols\":{\"A\":{\"score\":1,\"options\":"
	    "[\"first\",\"%s\",\"third\"]}}}", x);
	s = report(json, REPORT_RSPAMC);
	unit_holds(s, "\r\nX-Symbol: A(1.00) [first, ...]\r\n");
	free(s);
	free(json);
	free(x);
}
END_TEST

/* More than a verdict keeps. */
START_TEST(options_beyond_the_limit)
{
	char *json, *s, *list = unit_repeat(' ', 0), *more;
	int i;

	for (i = 0; i <= VERDICT_OPTIONS_MAX; i++) {
		more = unit_format("%s%s\"%d\"", list, i ? "," : "", i);
		free(list);
		list = more;
	}
	json = unit_format(OPEN "\"symbols\":{\"A\":{\"options\":[%s]}}}", list);
	s = report(json, REPORT_RSPAMC);
	unit_holds(s, ", 62, 63, ...]\r\n");
	free(s);
	free(json);
	free(list);
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

/* A verdict of N symbols with descriptions and options. */
static char *
symbols(size_t n, const char *more)
{
	char *s;
	size_t size, i;
	FILE *f = open_memstream(&s, &size);

	fputs("{\"action\":\"reject\",\"score\":1000,\"required_score\":15,"
	    "\"symbols\":{", f);
	for (i = 0; i < n; i++)
		fprintf(f, "%s\"BULK_%04zu\":{\"score\":%zu,\"description\":"
		    "\"bulk symbol number %zu\",\"options\":[\"some option\","
		    "\"another\"]}", i ? "," : "", i, n - i, i);
	fprintf(f, "}%s}", more);
	fclose(f);
	return s;
}

START_TEST(too_many_symbols)
{
	static const size_t n[] = { 1, 100, 150, 200, 250, 900,
	    VERDICT_SYMBOLS_MAX + 100 };
	size_t i, j, kept, left, of;
	char *json, *s, *end;

	for (i = 0; i < COUNT(n); i++)
		for (j = 0; j < COUNT(layouts); j++) {
			json = symbols(n[i], ",\"message-id\":\"i@x\"");
			s = report(json, layouts[j]);
			kept = layouts[j] == REPORT_SPAMC ?
			    count(s, " BULK_") : count(s, "\r\nSymbol: BULK_");
			if (layouts[j] == REPORT_RSPAMC)
				ck_assert_uint_eq(kept,
				    count(s, "\r\nX-Symbol: BULK_"));
			/* cut from the end of the symbols, not elsewhere */
			unit_holds(s, "\r\nMessage-ID: i@x\r\nReport-End: ");
			end = strstr(s, "\r\n" REPORT_END) + 2;
			if (kept == n[i])
				ck_assert_str_eq(end, COMPLETE);
			else {
				ck_assert_int_eq(sscanf(end, REPORT_END
				    "cut, %zu of %zu symbols left out\r\n",
				    &left, &of), 2);
				ck_assert_uint_eq(of, n[i]);
				ck_assert_uint_eq(left + kept, n[i]);
				unit_ends(end, " symbols left out\r\n");
				/* and no more than there is need to */
				ck_assert_uint_gt(strlen(s), REPORT_MAX - 800);
			}
			free(s);
			free(json);
		}
}
END_TEST

/* Everything is too much; what has its room kept is there nevertheless. */
START_TEST(everything_at_its_limit)
{
	char *x = unit_repeat('x', 1000), *more, *json, *s, *list;
	struct text t;
	size_t i, j;

	text_init(&t, 1000000);
	text_printf(&t, ",\"subject\":\"%.891s\",\"message-id\":\"%.285s\","
	    "\"messages\":[", x, x);
	for (i = 0; i < 20; i++)
		text_printf(&t, "%s\"%s\"", i ? "," : "", x);
	text_puts(&t, "],\"reject\":\"quarantine\","
	    "\"milter\":{\"add_headers\":{");
	for (i = 0; i < 300; i++)
		text_printf(&t, "%s\"X-%03zu\":\"%.*s\"", i ? "," : "", i,
		    (int)(i % 97), x);
	text_puts(&t, "}}");
	more = t.buf;
	json = symbols(900, more);
	list = unit_format("\r\nMessage-ID: %.285s\r\nReport-End: cut, ", x);
	for (j = 0; j < COUNT(layouts); j++) {
		s = report(json, layouts[j]);
		ck_assert_uint_eq(count(s, "\r\nSubject: xxx"), 1);
		ck_assert_uint_eq(count(s, "\r\nMessage: xxx"), 16);
		unit_holds(s, "\r\nX-Milter-Reject: quarantine\r\n");
		unit_holds(s, list);
		unit_holds(s, "cut, 4 of 20 messages, ");
		unit_holds(s, " of 300 milter lines, ");
		unit_holds(s, " of 900 symbols left out\r\n");
		free(s);
	}
	free(list);
	free(json);
	free(more);
	free(x);
}
END_TEST

/* Milter lines may take half of a report, the rest is the symbols'. */
START_TEST(milter_leaves_room_for_symbols)
{
	struct text t;
	size_t i, n, of, left, size;
	char *json, *s, *last;

	text_init(&t, 1000000);
	text_puts(&t, ",\"milter\":{\"add_headers\":{");
	for (i = 0; i < 256; i++)
		text_printf(&t, "%s\"X-%03zu\":\"%050zu\"", i ? "," : "", i, i);
	text_puts(&t, "}}");
	json = symbols(10, text_string(&t));
	text_free(&t);
	s = report(json, REPORT_RSPAMC);
	ck_assert_uint_eq(count(s, "\r\nX-Symbol: BULK_"), 10);
	n = count(s, "\r\nX-Milter-Add: ");
	ck_assert_int_eq(sscanf(strstr(s, REPORT_END), REPORT_END
	    "cut, %zu of %zu milter lines left out\r\n", &left, &of), 2);
	ck_assert_uint_eq(of, 256);
	ck_assert_uint_eq(left + n, 256);
	last = strstr(s, "\r\nSymbol: ") + 2;
	size = (size_t)(last - strstr(s, "X-Milter-Add: "));
	ck_assert_uint_le(size, 8192);
	ck_assert_uint_gt(size, 8192 - 80);
	free(s);
	free(json);
}
END_TEST

/*
 * A writer without the room that is asked for: the report is whole, or the
 * writer has failed.  (So it is without memory.)
 */
static const char *const small[] = {
	everything,
	"{\"action\":\"reject\",\"score\":1,\"reject\":\"discard\"}",
	"{\"action\":\"no action\",\"score\":1}",
	"{\"action\":\"reject\",\"score\":1,\"symbols\":{\"A\":{\"score\":2,"
	    "\"options\":[\"o\"]},\"B\":{\"score\":1}}}",
};

START_TEST(no_room_is_a_failure)
{
	struct verdict *v = unit_verdict(small[_i]);
	struct outcome o;
	struct text out;
	const char *fault;
	size_t i, max;

	outcome_verdict(&o, v, &unit_policy);
	for (i = 0; i < COUNT(layouts); i++)
		for (max = 0; max <= 1000; max++) {
			text_init(&out, max);
			report_write(&out, &o, v, layouts[i]);
			fault = report_fault(text_string(&out), out.len);
			if (!text_failed(&out)) {
				ck_assert_msg(fault == NULL, "%zu: %s: %.999s",
				    max, fault, text_string(&out));
				if (layouts[i] == REPORT_SPAMC)
					unit_holds(text_string(&out), TABLE);
				ck_assert_ptr_null(strstr(text_string(&out),
				    "...]"));
				if (v->reject != NULL)
					unit_holds(text_string(&out),
					    "\r\nX-Milter-Reject: ");
			}
			text_free(&out);
		}
	ck_assert(fault == NULL);
	verdict_free(v);
}
END_TEST

START_TEST(failed_writer_stays_failed)
{
	struct verdict *v = unit_verdict(everything);
	struct outcome o;
	struct text out;

	outcome_verdict(&o, v, &unit_policy);
	text_init(&out, 10000);
	out.failed = true;
	report_write(&out, &o, v, REPORT_RSPAMC);
	ck_assert(text_failed(&out));
	report_symbol_names(&out, &o, v, 10);
	ck_assert(text_failed(&out));
	text_free(&out);
	verdict_free(v);
}
END_TEST

START_TEST(names_of_symbols)
{
	struct verdict *v = unit_verdict(everything);
	struct outcome o;
	struct text out;
	static const char all[] = "A_NAME_OF_TWENTYTHREE_B,BAD,GOOD,PLAIN";
	static const struct {
		size_t max, len;
	} t[] = { { 0, 0 }, { 22, 0 }, { 23, 23 }, { 26, 23 }, { 27, 27 },
	    { sizeof(all) - 2, 32 }, { sizeof(all) - 1, 38 } };
	size_t i;

	outcome_verdict(&o, v, &unit_policy);
	for (i = 0; i < COUNT(t); i++) {
		text_init(&out, 10000);
		text_puts(&out, "before ");
		report_symbol_names(&out, &o, v, t[i].max);
		ck_assert(!text_failed(&out));
		unit_begins(text_string(&out), "before ");
		unit_bytes(text_string(&out) + 7, out.len - 7, all, t[i].len);
		text_free(&out);
	}
	verdict_free(v);
}
END_TEST

Suite *
report_suite(void)
{
	Suite *s = suite_create("report");
	TCase *tc = unit_case(s, "layout");

	tcase_add_test(tc, layout_of_rspamc);
	tcase_add_test(tc, layout_of_spamc);
	tcase_add_test(tc, layout_with_the_table_last);
	tcase_add_test(tc, least_report);
	tcase_add_test(tc, unscanned);
	tcase_add_test(tc, names_of_symbols);
	tcase_add_test(tc, names_that_are_no_headers);
	tcase_add_test(tc, folded_values_are_unfolded);
	tcase_add_loop_test(tc, in_place_of_a_rejection, 0, COUNT(rejects));
	tc = unit_case(s, "hostile");
	tcase_add_loop_test(tc, hostile_strings_stay_in_their_line, 0,
	    COUNT(places));
	tcase_add_loop_test(tc, long_strings_keep_the_rules, 0, COUNT(places));
	tc = unit_case(s, "limits");
	tcase_add_loop_test(tc, limits_of_lines, 0, COUNT(limits));
	tcase_add_test(tc, symbol_scores_are_bounded);
	tcase_add_test(tc, options_beyond_a_line);
	tcase_add_test(tc, options_beyond_the_limit);
	tcase_add_test(tc, too_many_symbols);
	tcase_add_test(tc, everything_at_its_limit);
	tcase_add_test(tc, milter_leaves_room_for_symbols);
	tcase_add_loop_test(tc, no_room_is_a_failure, 0, COUNT(small));
	tcase_add_test(tc, failed_writer_stays_failed);
	return s;
}

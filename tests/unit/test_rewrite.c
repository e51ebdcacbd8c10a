#include "config.h"

#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "rewrite.h"
#include "unit.h"

#define LINE_MAX_	998	/* RFC 5322, 2.1.1: without the line end */

static const char ham[] = "{\"action\":\"no action\",\"score\":1,"
	"\"required_score\":15}";
static const char spam[] = "{\"action\":\"add header\",\"score\":6.6,"
	"\"required_score\":15,\"time_real\":0.25,\"symbols\":{"
	"\"BAYES_SPAM\":{\"score\":5.1,\"description\":\"probably spam\"},"
	"\"R_SPF_FAIL\":{\"score\":1.5}}}";

/* What is added to ham and to spam by default. */
#define VERSION_	"X-Spam-Checker-Version: " PACKAGE_NAME " " \
			PACKAGE_VERSION
#define TAIL_		"\n\tautolearn=disabled version=" PACKAGE_VERSION
#define HAM_HEADERS	VERSION_ "\nX-Spam-Level: *\nX-Spam-Status: No, " \
			"score=1.0 required=15.0 tests=none" TAIL_ \
			"\nX-Spam-Action: no action\n"
#define SPAM_HEADERS	"X-Spam-Flag: YES\n" VERSION_ "\nX-Spam-Level: " \
			"******\nX-Spam-Status: Yes, score=6.6 required=6.6 " \
			"tests=BAYES_SPAM,R_SPF_FAIL" TAIL_ \
			"\nX-Spam-Action: add header\n"

static const struct rewrite_options by_default = { REWRITE_SPAMASSASSIN,
	false, NULL };
static const struct rewrite_options nothing = { REWRITE_NONE, false, NULL };
static const struct rewrite_options with_report = { REWRITE_SPAMASSASSIN,
	true, "rspamd/3.4" };
static const struct rewrite_options rspamcs = { REWRITE_RSPAMC, true,
	"rspamd/3.4" };
static const struct rewrite_options with_result = { REWRITE_RSPAMC_JSON, false,
	"rspamd/3.4" };

/* A message given back, and what of it is the message's own. */
struct result {
	char	*all;		/* the new message, NUL-terminated */
	size_t	 len;
	char	*own;		/* without what was added */
	size_t	 own_len;
	char	*added;		/* what was added */
	size_t	 head_end;
};

static void
free_result(struct result *r)
{
	free(r->all);
	free(r->own);
	free(r->added);
}

/* No line of what is added is longer than mail's lines may be. */
static void
check_lines(const char *p)
{
	size_t n;

	for (; *p != '\0'; p += n + (p[n] != '\0')) {
		n = strcspn(p, "\n");
		ck_assert_msg(n <= LINE_MAX_ + (size_t)(n > 0 && p[n - 1] == '\r'),
		    "a line of %zu bytes", n);
	}
}

/* Where the new head goes; its parts that are no bytes of IN are added. */
struct sink {
	const char	*in;
	size_t		 len;
	const char	*next;		/* the message's own come in order */
	FILE		*all, *own, *added;
};

static int
sink_put(void *arg, const char *p, size_t n)
{
	struct sink *k = arg;

	ck_assert_uint_gt(n, 0);
	fwrite(p, 1, n, k->all);
	if (p < k->in || p >= k->in + k->len) {
		fwrite(p, 1, n, k->added);
		return 0;
	}
	ck_assert(p >= k->next);
	k->next = p + n;
	ck_assert(k->next <= k->in + k->len);
	fwrite(p, 1, n, k->own);
	return 0;
}

static struct result
rewritten_as(const char *in, size_t len, const struct outcome *o,
    const struct verdict *v, const struct rewrite_options *options)
{
	struct result r = { .all = NULL };
	size_t head = rewrite_head_length(in, len), added;
	struct sink k = { .len = head > 0 ? head : len };
	char *exact = unit_exact(in, k.len);

	k.in = k.next = exact;
	k.all = open_memstream(&r.all, &r.len);
	k.own = open_memstream(&r.own, &r.own_len);
	k.added = open_memstream(&r.added, &added);
	ck_assert_int_eq(rewrite_message(exact, k.len, o, v, options,
	    sink_put, &k), 0);
	fwrite(in + k.len, 1, len - k.len, k.all);
	fwrite(in + k.len, 1, len - k.len, k.own);
	fclose(k.all);
	fclose(k.own);
	fclose(k.added);
	ck_assert_uint_eq(strlen(r.added), added);
	r.head_end = k.len;
	check_lines(r.added);
	free(exact);
	return r;
}

static struct result
rewritten(const char *in, size_t len, const struct verdict *v,
    const struct rewrite_options *options)
{
	struct outcome o;

	outcome_verdict(&o, v, &unit_policy);
	return rewritten_as(in, len, &o, v, options);
}

static struct result
rewritten_json(const char *in, size_t len, const char *json,
    const struct rewrite_options *options)
{
	struct verdict *v = unit_verdict(json);
	struct result r = rewritten(in, len, v, options);

	verdict_free(v);
	return r;
}

/* Fails unless IN becomes EXPECTED, by the verdict JSON. */
static void
becomes(const char *in, size_t len, const char *json,
    const struct rewrite_options *options, const char *expected, size_t size)
{
	struct result r = rewritten_json(in, len, json, options);

	unit_bytes(r.all, r.len, expected, size);
	free_result(&r);
}

/* ---- shapes ---- */

/*
 * Messages of every shape without marks of their own: where what is added
 * goes, and where the head ends.
 */
static const struct {
	const char *in;
	size_t len;
	size_t at, head_end;
} shapes[] = {
	{ BYTES("A: 1\nB: 2\n\nbody\n"), 0, 11 },
	{ BYTES("A: 1\r\nB: 2\r\n\r\nbody\r\n"), 0, 14 },
	/* mixed, both ways */
	{ BYTES("A: 1\r\nB: 2\n\nbody\r\n"), 0, 12 },
	{ BYTES("A: 1\nB: 2\r\n\r\nbody\n"), 0, 13 },
	{ BYTES("A: 1\n\r\n\nbody\n"), 0, 7 },
	/* an mbox From_ line stays the first */
	{ BYTES("From a@x Mon Nov 23 06:00:00 2026\nA: 1\n\nbody\n"), 34, 40 },
	{ BYTES("From a@x Mon Nov 23 06:00:00 2026\r\nA: 1\r\n\r\n"), 35, 43 },
	{ BYTES("From a@x\n\nbody\n"), 9, 10 },
	{ BYTES("From a@x\n"), 9, 9 },
	{ BYTES("From a@x\n B: 1\n\nbody\n"), 9, 16 },
	/* not one: no line end, or a header */
	{ BYTES("From a@x"), 0, 8 },
	{ BYTES("From: a@x\n\n"), 0, 11 },
	{ BYTES("From : a@x\n\n"), 11, 12 },
	/* only once */
	{ BYTES("From a\nFrom b\n\n"), 7, 15 },
	/* no body */
	{ BYTES("A: 1\n"), 0, 5 },
	{ BYTES("A: 1\n\n"), 0, 6 },
	{ BYTES("A: 1\n b\n"), 0, 8 },
	{ BYTES("A: 1"), 0, 4 },
	{ BYTES("A: 1\n b"), 0, 7 },
	{ BYTES("A:"), 0, 2 },
	{ BYTES("A: 1\r"), 0, 5 },
	{ BYTES("A: 1\n\r"), 0, 6 },
	/* no head */
	{ BYTES("\nbody\n"), 0, 1 },
	{ BYTES("\r\nbody\r\n"), 0, 2 },
	{ BYTES("\n"), 0, 1 },
	{ BYTES("\r\n"), 0, 2 },
	{ BYTES("\r"), 0, 1 },
	{ BYTES("only a body\n"), 0, 12 },
	{ BYTES("x"), 0, 1 },
	{ BYTES(": no name\n\nbody\n"), 0, 11 },
	{ BYTES(" : no name\n\nbody\n"), 0, 12 },
	/* a head without an end */
	{ BYTES("A: 1\nno header\nB: 2\n\nbody\n"), 0, 21 },
	{ BYTES("A: 1\n: no name\n\nbody\n"), 0, 16 },
	{ BYTES("A: 1\n--boundary\nC: 1\n"), 0, 21 },
	/* continuation lines only */
	{ BYTES(" a\n\tb\n\nbody\n"), 0, 7 },
	{ BYTES("\t"), 0, 1 },
	{ BYTES(" \n\nbody"), 0, 3 },
	/* a blank continuation line is no end of the head */
	{ BYTES("A: 1\n \n\t\nB: 2\n\nbody\n"), 0, 15 },
	/* 8-bit and NUL, in values and in names */
	{ BYTES("A: caf\xe9\nB: \xc3\xa9\n\n\xff\x00\xfe\n"), 0, 15 },
	{ BYTES("A: \0\n\0b\n\nbody\n"), 0, 9 },
	{ BYTES("A: \0 x\n \0\n\n\0\0\n"), 0, 11 },
	{ BYTES("\xe9: 1\n\nbody\n"), 0, 6 },
	{ BYTES("A\0: 1\n\nbody\n"), 0, 7 },
	{ BYTES("\0"), 0, 1 },
	/* white space before the colon is allowed, inside a name not */
	{ BYTES("A \t: 1\n\nbody\n"), 0, 8 },
	{ BYTES("A B: 1\n\nbody\n"), 0, 8 },
	{ BYTES("A: 1\n\n\n\nA: 2\n\n"), 0, 6 },
	/* names that only look like marks */
	{ BYTES("X-Spammer: 1\nNot-X-Spam-Flag: 2\nX-Spa: 3\n\n"), 0, 42 },
	/* marks where they are none */
	{ BYTES("A: 1\n X-Spam-Flag: NO\n\nX-Spam-Flag: NO\n"), 0, 23 },
	{ BYTES("A: 1\n\nX-Spam-Flag: NO\n\n"), 0, 6 },
};

static const struct rewrite_options *const all_options[] = { &by_default,
	&nothing, &with_report, &rspamcs, &with_result };

/* What was added can be taken away, and the rest is what came. */
START_TEST(added_can_be_taken_away)
{
	const char *in = shapes[_i].in, *p;
	static const char *const verdicts[] = { ham, spam };
	size_t len = shapes[_i].len, i, j;
	bool crlf = memchr(in, '\n', len) != NULL &&
	    memmem(in, len, "\r\n", 2) != NULL &&
	    (const char *)memmem(in, len, "\r\n", 2) + 1 ==
	    (const char *)memchr(in, '\n', len);
	struct result r;

	for (i = 0; i < COUNT(all_options); i++)
		for (j = 0; j < COUNT(verdicts); j++) {
			r = rewritten_json(in, len, verdicts[j],
			    all_options[i]);
			unit_bytes(r.own, r.own_len, in, len);
			ck_assert_uint_eq(r.head_end, shapes[_i].head_end);
			/* all in one place, with the message's line ends */
			unit_bytes(r.all, shapes[_i].at, in, shapes[_i].at);
			unit_begins(r.all + shapes[_i].at, r.added);
			for (p = r.added; (p = strchr(p, '\n')) != NULL; p++)
				ck_assert((p > r.added && p[-1] == '\r') ==
				    crlf);
			ck_assert((*r.added == '\0') ==
			    (all_options[i] == &nothing));
			free_result(&r);
		}
}
END_TEST

START_TEST(default_headers)
{
	becomes(BYTES("A: 1\n\nbody\n"), ham, &by_default,
	    BYTES(HAM_HEADERS "A: 1\n\nbody\n"));
	becomes(BYTES("From a\nA: 1\n\nbody\n"), spam, &by_default,
	    BYTES("From a\n" SPAM_HEADERS "A: 1\n\nbody\n"));
	becomes(BYTES("\nbody\n"), ham, &by_default,
	    BYTES(HAM_HEADERS "\nbody\n"));
}
END_TEST

START_TEST(report_and_scanner)
{
	becomes(BYTES("A: 1\n"), spam, &with_report, BYTES(
	    "X-Spam-Flag: YES\n" VERSION_ " (rspamd/3.4)\n"
	    "X-Spam-Level: ******\nX-Spam-Status: Yes, score=6.6 "
	    "required=6.6 tests=BAYES_SPAM,R_SPF_FAIL" TAIL_
	    "\nX-Spam-Action: add header\nX-Spam-Report:"
	    "\n\t*  5.1 BAYES_SPAM probably spam\n\t*  1.5 R_SPF_FAIL\n"
	    "A: 1\n"));
	/* to spam only */
	becomes(BYTES("A: 1\n"), ham, &with_report, BYTES(
	    VERSION_ " (rspamd/3.4)\nX-Spam-Level: *\nX-Spam-Status: No, "
	    "score=1.0 required=15.0 tests=none" TAIL_
	    "\nX-Spam-Action: no action\nA: 1\n"));
}
END_TEST

START_TEST(rspamc_headers)
{
	static const struct rewrite_options plain = { REWRITE_RSPAMC, false,
	    NULL };

	becomes(BYTES("A: 1\n"), spam, &rspamcs, BYTES(
	    "X-Spam-Scanner: rspamd/3.4\nX-Spam-Scan-Time: 0.250\n"
	    "X-Spam: yes\nX-Spam-Action: add header\n"
	    "X-Spam-Score: 6.60 / 15.00\nX-Spam-Level: *******\n"
	    "X-Spam-Symbols: BAYES_SPAM,R_SPF_FAIL\n"
	    "X-Spam-Report:\n\t*  5.1 BAYES_SPAM probably spam\n"
	    "\t*  1.5 R_SPF_FAIL\nA: 1\n"));
	becomes(BYTES("A: 1\n"), ham, &plain, BYTES(
	    "X-Spam-Scanner: rspamd\nX-Spam-Action: no action\n"
	    "X-Spam-Score: 1.00 / 15.00\nX-Spam-Level: *\n"
	    "X-Spam-Symbols: \nA: 1\n"));
}
END_TEST

/* What the base64 at P stands for, its line ends left out, as a string. */
static char *
decoded(const char *p)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789+/";
	unsigned int bits = 0, have = 0;
	char *out = malloc(strlen(p) + 1);
	size_t n = 0;

	for (; *p != '\0' && *p != '='; p++) {
		if (strchr("\r\n\t", *p) != NULL)
			continue;
		ck_assert_ptr_nonnull(strchr(digits, *p));
		bits = (bits << 6 | (unsigned int)(strchr(digits, *p) -
		    digits)) & 0xffff;
		if ((have += 6) >= 8)
			out[n++] = (char)(bits >> (have -= 8) & 0xff);
	}
	ck_assert(strspn(p, "=\r\n\t") == strlen(p) && strlen(p) < 5);
	out[n] = '\0';
	return out;
}

/* The value of X-Spam-Result, which is the last of what is added to IN. */
static char *
result_of(const char *in, const char *json)
{
	struct result r = rewritten_json(in, strlen(in), json, &with_result);
	const char *p = strstr(r.added, "\nX-Spam-Result: ");
	char *is;

	ck_assert_ptr_nonnull(p);
	is = decoded(p + strlen("\nX-Spam-Result: "));
	free_result(&r);
	return is;
}

START_TEST(result_as_json)
{
	static const char value[] = "\\u0001\\\"a/b c+?>~0123456789"
	    "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz"
	    "0123456789abcdefgh";
	static const char *const lines[] = { "A: 1\n", "A: 1\r\n" };
	char *is, *json;
	size_t i, n;

	becomes(BYTES("A: 1\n"), "{\"action\": \"no action\",\n \"score\": 1}",
	    &with_result, BYTES("X-Spam-Scanner: rspamd/3.4\n"
	    "X-Spam-Action: no action\nX-Spam-Score: 1.00 / 15.00\n"
	    "X-Spam-Level: *\nX-Spam-Symbols: \nX-Spam-Result: "
	    "eyJhY3Rpb24iOiJubyBhY3Rpb24iLCJzY29yZSI6MX0=\nA: 1\n"));
	becomes(BYTES("A: 1\r\n"), "{\"action\":\"no action\",\"score\":1,"
	    "\"ab\":0,\"cdef\":1}", &with_result, BYTES(
	    "X-Spam-Scanner: rspamd/3.4\r\n"
	    "X-Spam-Action: no action\r\nX-Spam-Score: 1.00 / 15.00\r\n"
	    "X-Spam-Level: *\r\nX-Spam-Symbols: \r\nX-Spam-Result: "
	    "eyJhY3Rpb24iOiJubyBhY3Rpb24iLCJzY29yZSI6MSwiYWIiOjAsImNkZWYi\r\n"
	    "\tOjF9\r\nA: 1\r\n"));
	/* every length of the last quantum and of the last line */
	for (i = 0; i < COUNT(lines); i++)
		for (n = 0; n < 100; n++) {
			json = unit_format("{\"action\":\"reject\",\"score\":"
			    "1,\"x\":\"%.*s\"}", (int)n,
			    &value[n < 8 ? 8 : 0]);
			is = result_of(lines[i], json);
			ck_assert_str_eq(is, json);
			free(is);
			free(json);
		}
}
END_TEST

/* JSON is UTF-8; rspamd quotes mail that is not. */
START_TEST(result_is_utf8)
{
	char *is = result_of("A: 1\n", "{\"action\":\"reject\",\"score\":1,"
	    "\"x\":\"\xc3\xa9\xe9 \xff\xfe\xe2\x82\"}");

	ck_assert_str_eq(is, "{\"action\":\"reject\",\"score\":1,"
	    "\"x\":\"\xc3\xa9? ????\"}");
	free(is);
}
END_TEST

START_TEST(result_too_large)
{
	static const char shape[] = "{\"action\":\"reject\",\"score\":1,"
	    "\"x\":\"%s\"}";
	const size_t most = 49152, rest = sizeof(shape) - 1 - 2;
	char *x = unit_repeat('x', most - rest), *json = unit_format(shape, x);
	char *is = result_of("A: 1\n", json);
	struct result r;

	ck_assert_uint_eq(strlen(json), most);
	ck_assert_str_eq(is, json);
	free(x);
	free(json);
	free(is);
	x = unit_repeat('x', most - rest + 1);
	json = unit_format(shape, x);
	r = rewritten_json(BYTES("A: 1\n"), json, &with_result);
	unit_ends(r.added, "\nX-Spam-Symbols: \nX-Spam-Result-Omitted: rspamd's "
	    "result has 49153 bytes, more than the 49152 that are put into "
	    "mail\n");
	free_result(&r);
	free(x);
	free(json);
}
END_TEST

/* A message that nobody scanned says so, and has no verdict. */
START_TEST(unscanned)
{
	struct result r;
	struct outcome o;

	outcome_pass(&o, &unit_policy, FAILURE_TOO_LARGE, "larger than 1 M");
	r = rewritten_as(BYTES("A: 1\n\n"), &o, NULL, &with_report);
	unit_holds(r.added, "X-Spam-Status: No, score=0.0 "
	    "required=15.0 tests=RSPAMD_SHIM_UNSCANNED\n");
	ck_assert_ptr_null(strstr(r.added, "Flag"));
	free_result(&r);
	r = rewritten_as(BYTES("A: 1\n\n"), &o, NULL, &with_result);
	unit_ends(r.added, "\nX-Spam-Symbols: RSPAMD_SHIM_UNSCANNED\n");
	free_result(&r);
}
END_TEST

START_TEST(stars)
{
	static const struct {
		const char *score;
		int sa, rspamc;
	} t[] = {
		{ "-3", 0, 0 }, { "0", 0, 0 }, { "0.01", 0, 1 },
		{ "0.99", 0, 1 }, { "1", 1, 1 }, { "6.99", 6, 7 },
		{ "31.5", 31, 32 }, { "32", 32, 32 }, { "33", 33, 32 },
		{ "50", 50, 32 }, { "51", 50, 32 }, { "1e300", 50, 32 }
	};
	struct result r;
	size_t i, k;
	char *json, *line, *many;

	for (i = 0; i < COUNT(t); i++)
		for (k = 0; k < 2; k++) {
			json = unit_format("{\"action\":\"no action\","
			    "\"score\":%s}", t[i].score);
			r = rewritten_json(BYTES("A: 1\n"), json, k == 0 ?
			    &by_default : &rspamcs);
			many = unit_repeat('*', (size_t)(k == 0 ? t[i].sa :
			    t[i].rspamc));
			line = unit_format("\nX-Spam-Level: %s\n", many);
			unit_holds(r.all, line);
			free(line);
			free(many);
			free(json);
			free_result(&r);
		}
}
END_TEST

/* The sign of a score too large to be shown is not lost. */
START_TEST(huge_scores_keep_their_sign)
{
	struct result r = rewritten_json(BYTES("A: 1\n"),
	    "{\"action\":\"reject\",\"score\":1,\"symbols\":{"
	    "\"LOW\":{\"score\":-1e300},\"HIGH\":{\"score\":1e300}}}",
	    &with_report);

	unit_holds(r.all, "\n\t* -99999999.9 LOW");
	unit_holds(r.all, "\n\t* 99999999.9 HIGH");
	free_result(&r);
}
END_TEST

START_TEST(no_score_is_minus_zero)
{
	static const char json[] = "{\"action\":\"reject\",\"score\":-0.001,"
	    "\"required_score\":-0.001,"
	    "\"symbols\":{\"S\":{\"score\":-0.001}}}";
	size_t i;
	struct result r;

	for (i = 0; i < COUNT(all_options); i++) {
		r = rewritten_json(BYTES("A: 1\n"), json, all_options[i]);
		ck_assert_msg(strstr(r.all, "-0.0") == NULL, "%s", r.all);
		free_result(&r);
	}
}
END_TEST

/* ---- marks of others ---- */

START_TEST(foreign_marks_go)
{
	static const struct {
		const char *in, *out;
	} t[] = {
		{ "X-Spam-Flag: NO\nA: 1\n\nX-Spam-Flag: NO\n",
		    "A: 1\n\nX-Spam-Flag: NO\n" },
		{ "A: 1\nx-sPAM-anything: a\n folded\n\tmore\nB: 2\n\n",
		    "A: 1\nB: 2\n\n" },
		{ "X-Spam: no\nX-SPAM : no\nX-Spam-\t:\n\n", "\n" },
		{ "X-Spam-Flag: NO", "" },
		{ "X-Spam-Flag: NO\n folded", "" },
		{ "A: 1\nX-Spam-Flag: NO\r\n\r\nb", "A: 1\n\r\nb" },
		{ "From a\nX-Spam-Flag: NO\nbody\n", "From a\nbody\n" },
		{ "A: 1\n\nX-Spam: stays\n", "A: 1\n\nX-Spam: stays\n" },
		{ "X-Spammer: 1\nX-Spam2: 2\nSpam: 3\n\n",
		    "X-Spammer: 1\nX-Spam2: 2\nSpam: 3\n\n" },
	};
	size_t i;

	for (i = 0; i < COUNT(t); i++)
		becomes(t[i].in, strlen(t[i].in), ham, &nothing, t[i].out,
		    strlen(t[i].out));
}
END_TEST

/*
 * Lines that one mail program or another takes for a mark, hidden from those
 * that are strict.
 */
START_TEST(hidden_lines_go)
{
	static const struct {
		const char *in;
		size_t len;
		const char *out;
		size_t size;
	} t[] = {
#define GOES(in, out)	{ BYTES(in), BYTES(out) }
		/* behind lines that are no fields */
		GOES(": y\nX-Spam-Flag: NO\n\nb", ": y\n\nb"),
		GOES("A: 1\n: y\nX-Spam-Flag: NO\nB: 2\n\nb",
		    "A: 1\n: y\nB: 2\n\nb"),
		GOES("X-A\n : y\nX-Spam-Flag: NO\n\n", "X-A\n : y\n\n"),
		GOES("X-\xe9: y\nX-Spam-Status: No\n\n", "X-\xe9: y\n\n"),
		GOES("X\v: y\nX-Spam-Flag: NO\n\n", "X\v: y\n\n"),
		GOES("text\nX-Spam: no\n z\ntext", "text\ntext"),
		GOES(" blank\nX-Spam: no\n\n", " blank\n\n"),
		/* names in pieces and with other bytes in them */
		GOES("X-Spam-Flag\n : NO\nA: 1\n\n", "A: 1\n\n"),
		GOES("X-Spam\n\t-Flag\n : NO\nA: 1\n\n", "A: 1\n\n"),
		GOES("X-Spam-\0Flag: NO\nA: 1\n\n", "A: 1\n\n"),
		GOES("X-\xa0Spam-\x7f" "F: NO\nA: 1\n\n", "A: 1\n\n"),
		GOES(" X-Spam-Flag: NO\nA: 1\n\n", "A: 1\n\n"),
		GOES("\xef\xbb\xbfX-Spam: NO\nA: 1\n\n", "A: 1\n\n"),
		GOES("X - S p a m : NO\nA: 1\n\n", "A: 1\n\n"),
		/* a carriage return alone begins a line */
		GOES("A: 1\rX-Spam-Flag: NO\nB: 2\n\n", "A: 1\r\nB: 2\n\n"),
		GOES("A: 1\rX-Spam: NO\r\nB: 2\r\n\r\n",
		    "A: 1\r\r\nB: 2\r\n\r\n"),
		GOES("A: 1\rX-Spam: NO\rB: 2\n\n", "A: 1\rB: 2\n\n"),
		GOES("A: 1\rX-Spam: NO\n more\nB: 2\n\n",
		    "A: 1\r\nB: 2\n\n"),
		GOES("A: 1\rX-Spam\r : NO\n\n", "A: 1\r\n\n"),
		GOES("X-Spam: NO\rSubject: a\r\rbody", "Subject: a\r\rbody"),
		/* or its program passes it over */
		GOES("X-Spam-Flag\r: NO\nA: 1\n\n", "A: 1\n\n"),
		GOES("X-Sp\ram-Flag\r: NO\nA: 1\n\n", "A: 1\n\n"),
		GOES("Q\rX-Sp\ram: NO\nA: 1\n\n", "A: 1\n\n"),
		/* what is left must not become a mark, nor end the head */
		GOES("X-Spa\rX-Spam: x\rm-Flag: NO\n\n", "m-Flag: NO\n\n"),
		GOES("\rX-Spam: NO\nA: 1\n\n", "A: 1\n\n"),
		GOES("X-Spam: NO\r\r\nA: 1\n\n", "A: 1\n\n"),
		GOES("X-Spam: NO\r\r\r\nX-Spam: 2\nA: 1\n\n", "A: 1\n\n"),
		GOES("\rX-Spam-:\r\r\n b\nA: 1\n\n", "A: 1\n\n"),
		/* other scanners' */
		GOES("X-Spam_score: 1\nX-Spam_bar: +\nX-SPAM_REPORT: r\n"
		    "X-Spam_score_int: 10\nA: 1\n\n", "A: 1\n\n"),
		/* these stay */
		GOES("X-Spam_other: 1\nX-Spa\rm: 2\n\n",
		    "X-Spam_other: 1\n\n"),
		GOES("A: X-Spam: 1\n X-Spam: 2\n\n",
		    "A: X-Spam: 1\n X-Spam: 2\n\n"),
		GOES("A\r X-Spam: 1\nY-X-Spam-: 1\n\n",
		    "A\r X-Spam: 1\nY-X-Spam-: 1\n\n"),
		GOES("\r\r\nno colon\r\n\r\n", "\r\r\nno colon\r\n\r\n"),
#undef GOES
	};
	size_t i;

	for (i = 0; i < COUNT(t); i++)
		becomes(t[i].in, t[i].len, ham, &nothing, t[i].out, t[i].size);
}
END_TEST

/* ---- rspamd's headers ---- */

#define ACTION_	"{\"action\":\"add header\",\"score\":6,"
#define ADD(s)	ACTION_ "\"milter\":{\"add_headers\":{" s "}}}"
#define DEL(s)	ACTION_ "\"milter\":{\"remove_headers\":{" s "}}}"

START_TEST(milter_headers)
{
	static const struct {
		const char *in, *json, *out;
	} t[] = {
		/* at the end of the head */
		{ "A: 1\n\nb", ADD("\"X\":\"v\""), "A: 1\nX: v\n\nb" },
		{ "A: 1\r\n\r\nb", ADD("\"X\":\"v\""),
		    "A: 1\r\nX: v\r\n\r\nb" },
		{ "A: 1\n a\nnone\n", ADD("\"X\":\"v\""),
		    "A: 1\n a\nX: v\nnone\n" },
		{ "\nb", ADD("\"X\":\"v\""), "X: v\n\nb" },
		{ "b", ADD("\"X\":\"v\""), "X: v\nb" },
		{ "From a\nb", ADD("\"X\":\"v\""), "From a\nX: v\nb" },
		/* a head that ends in mid-line takes nothing at its end */
		{ "A: 1", ADD("\"X\":\"v\""), "X: v\nA: 1" },
		{ "A: 1\n b", ADD("\"X\":\"v\""), "X: v\nA: 1\n b" },
		{ "A: 1\nB: 2", ADD("\"X\":{\"value\":\"v\",\"order\":2}"),
		    "A: 1\nX: v\nB: 2" },
		/* at a position, and beyond the last one */
		{ "A: 1\nB: 2\n\nb", ADD("\"X\":{\"value\":\"v\",\"order\":1}"),
		    "X: v\nA: 1\nB: 2\n\nb" },
		{ "A: 1\n a\nB: 2\n\nb",
		    ADD("\"X\":{\"value\":\"v\",\"order\":2}"),
		    "A: 1\n a\nX: v\nB: 2\n\nb" },
		{ "A: 1\nB: 2\n\nb", ADD("\"X\":{\"value\":\"v\",\"order\":3}"),
		    "A: 1\nB: 2\nX: v\n\nb" },
		{ "A: 1\n\nb", ADD("\"X\":{\"value\":\"v\",\"order\":99999}"),
		    "A: 1\nX: v\n\nb" },
		{ "A: 1\n\nb", ADD("\"X\":{\"value\":\"v\",\"order\":0}"),
		    "A: 1\nX: v\n\nb" },
		{ "A: 1\n\nb", ADD("\"X\":{\"value\":\"v\",\"order\":-1}"),
		    "A: 1\nX: v\n\nb" },
		{ "From a\nA: 1\n\nb",
		    ADD("\"X\":{\"value\":\"v\",\"order\":1}"),
		    "From a\nX: v\nA: 1\n\nb" },
		/* several, in rspamd's order */
		{ "A: 1\n\n", ADD("\"X\":[\"1\",{\"value\":\"2\",\"order\":1},"
		    "\"3\"],\"Y\":\"4\",\"Z\":{\"value\":\"5\",\"order\":1}"),
		    "X: 2\nZ: 5\nA: 1\nX: 1\nX: 3\nY: 4\n\n" },
		/* a foreign mark goes, rspamd's own of that name comes */
		{ "X-Spam-Flag: NO\n\n", ADD("\"X-Spam-Flag\":\"YES\""),
		    "X-Spam-Flag: YES\n\n" },
		/* folding stays, with the message's line ends */
		{ "A: 1\r\n\r\n", ADD("\"X\":\"a\\n\\tb\\r\\n  c\""),
		    "A: 1\r\nX: a\r\n\tb\r\n\tc\r\n\r\n" },
		/* none of that name; one; all; from the end */
		{ "A: 1\nB: 2\n\nb", DEL("\"C\":0"), "A: 1\nB: 2\n\nb" },
		{ "A: 1\nB: 2\n\nb", DEL("\"b\":0"), "A: 1\n\nb" },
		{ "A: 1\nB: 2\na : 3\n c\nA: 4\n\nA: 5", DEL("\"A\":0"),
		    "B: 2\n\nA: 5" },
		{ "A: 1\nB: 2\nA: 3\nA: 4\n\n", DEL("\"A\":1"),
		    "B: 2\nA: 3\nA: 4\n\n" },
		{ "A: 1\nB: 2\nA: 3\nA: 4\n\n", DEL("\"A\":2"),
		    "A: 1\nB: 2\nA: 4\n\n" },
		{ "A: 1\nB: 2\nA: 3\nA: 4\n\n", DEL("\"A\":4"),
		    "A: 1\nB: 2\nA: 3\nA: 4\n\n" },
		{ "A: 1\nB: 2\nA: 3\nA: 4\n\n", DEL("\"A\":-1"),
		    "A: 1\nB: 2\nA: 3\n\n" },
		{ "A: 1\nB: 2\nA: 3\nA: 4\n\n", DEL("\"A\":-3"),
		    "B: 2\nA: 3\nA: 4\n\n" },
		{ "A: 1\nB: 2\nA: 3\nA: 4\n\n", DEL("\"A\":-4"),
		    "A: 1\nB: 2\nA: 3\nA: 4\n\n" },
		{ "A: 1\nA: 2\nA: 3\n\n", DEL("\"A\":[1,-1]"), "A: 2\n\n" },
		/* all of the head; the From_ line is none of it */
		{ "From a\nFrom: b\n\nb", DEL("\"From\":0"), "From a\n\nb" },
		{ "A: 1", DEL("\"A\":0"), "" },
		/* what is added is not removed */
		{ "X: 1\n\n", ACTION_ "\"milter\":{\"add_headers\":"
		    "{\"X\":\"2\"},\"remove_headers\":{\"X\":0}}}",
		    "X: 2\n\n" },
		/* a position counts what was there, removed or not */
		{ "A: 1\nB: 2\n\n", ACTION_ "\"milter\":{\"add_headers\":"
		    "{\"X\":{\"value\":\"v\",\"order\":2}},"
		    "\"remove_headers\":{\"A\":0}}}", "X: v\nB: 2\n\n" },
	};
	size_t i;

	for (i = 0; i < COUNT(t); i++)
		becomes(t[i].in, strlen(t[i].in), t[i].json, &nothing,
		    t[i].out, strlen(t[i].out));
}
END_TEST

/* Positions that are no positions, as no JSON gives them. */
/* Lines behind those that are no fields are counted as well. */
START_TEST(hidden_lines_count)
{
	static const char in[] = "R: 1\nno field\nr: 2\nR\n : 3\n\nR: 4\n";
	static const struct {
		const char *json, *out;
	} t[] = {
		{ DEL("\"R\":1"), "no field\nr: 2\nR\n : 3\n\nR: 4\n" },
		{ DEL("\"R\":2"), "R: 1\nno field\nR\n : 3\n\nR: 4\n" },
		{ DEL("\"R\":3"), "R: 1\nno field\nr: 2\n\nR: 4\n" },
		{ DEL("\"R\":4"), in },
		{ DEL("\"R\":-1"), "R: 1\nno field\nr: 2\n\nR: 4\n" },
		{ DEL("\"R\":-3"), "no field\nr: 2\nR\n : 3\n\nR: 4\n" },
		{ DEL("\"R\":-4"), in },
		{ DEL("\"R\":0"), "no field\n\nR: 4\n" },
	};
	size_t i;

	for (i = 0; i < COUNT(t); i++)
		becomes(in, strlen(in), t[i].json, &nothing, t[i].out,
		    strlen(t[i].out));
}
END_TEST

START_TEST(extreme_positions)
{
	static const int odd[] = { INT_MIN, INT_MIN + 1, INT_MAX };
	struct verdict_milter m[2] = { { "X", "v", 0 }, { "A", NULL, 0 } };
	struct verdict v = { .action = "no action", .required = NAN,
	    .time_real = NAN, .milter = m, .nmilter = COUNT(m) };
	struct result r;
	size_t i;

	for (i = 0; i < COUNT(odd); i++) {
		m[0].index = m[1].index = odd[i];
		r = rewritten(BYTES("A: 1\nA: 2\n\n"), &v, &nothing);
		ck_assert_str_eq(r.all, "A: 1\nA: 2\nX: v\n\n");
		free_result(&r);
	}
}
END_TEST

/* A name that is none, or too long for a line, does not become one. */
START_TEST(names_that_are_none)
{
	static const char *const bad[] = { "", " ", "A B", "A:", "A:B", "\\n",
	    "A\\r\\nB", "A\\t", "\x7f", "caf\xc3\xa9", "\xff" };
	char *too_long = unit_repeat('x', REWRITE_NAME_MAX + 1), *json;
	size_t i;

	for (i = 0; i <= COUNT(bad); i++) {
		json = unit_format(ADD("\"%s\":[\"v\",{\"value\":\"w\","
		    "\"order\":1}]"), i < COUNT(bad) ? bad[i] : too_long);
		becomes(BYTES("A: 1\n\n"), json, &nothing,
		    BYTES("A: 1\n\n"));
		free(json);
	}
	free(too_long);
}
END_TEST

/* ---- subject ---- */

#define SUBJECT(s)	"{\"action\":\"rewrite subject\",\"score\":8," \
			"\"subject\":\"" s "\"}"

START_TEST(subjects)
{
	static const struct {
		const char *in, *json, *out;
	} t[] = {
		{ "A: 1\nSubject: a\nB: 2\n\nb", SUBJECT("[SPAM] a"),
		    "A: 1\nSubject: [SPAM] a\nB: 2\n\nb" },
		/* in the first one's place, the others go */
		{ "A: 1\nsUBJECT : a\n a\nB: 2\nSubject: b\n\nSubject: c",
		    SUBJECT("x"), "A: 1\nSubject: x\nB: 2\n\nSubject: c" },
		/* none */
		{ "A: 1\n\nb", SUBJECT("x"), "A: 1\nSubject: x\n\nb" },
		{ "\nb", SUBJECT("x"), "Subject: x\n\nb" },
		{ "b", SUBJECT("x"), "Subject: x\nb" },
		{ "A: 1", SUBJECT("x"), "Subject: x\nA: 1" },
		{ "Subject: a", SUBJECT("x"), "Subject: x\n" },
		{ "A: 1\nSubject: a", SUBJECT("x"), "Subject: x\nA: 1\n" },
		{ "A: 1\nSubject: a\n b", SUBJECT("x"),
		    "Subject: x\nA: 1\n" },
		/* folded, in the message's line ends; 8-bit */
		{ "Subject: a\r\n\r\n", SUBJECT("x\\n y\\r\\n\\r\\n z"),
		    "Subject: x\r\n\ty\r\n\tz\r\n\r\n" },
		{ "Subject: a\n\n", SUBJECT("caf\xc3\xa9"),
		    "Subject: caf\xc3\xa9\n\n" },
		/* not given: the message keeps its own, all of them */
		{ "Subject: a\nSubject: b\n\n",
		    "{\"action\":\"rewrite subject\",\"score\":8}",
		    "Subject: a\nSubject: b\n\n" },
	};
	size_t i;

	for (i = 0; i < COUNT(t); i++)
		becomes(t[i].in, strlen(t[i].in), t[i].json, &nothing,
		    t[i].out, strlen(t[i].out));
}
END_TEST

/* ---- what is added stays in the head, and apart from the body ---- */

/* The names of the fields of the head at P, joined; to be freed. */
static char *
names(const char *p)
{
	char *s;
	size_t size, n;
	FILE *f = open_memstream(&s, &size);

	for (; *p != '\0' && (n = strcspn(p, "\r\n")) > 0;
	    p += n, p += *p == '\r', p += *p == '\n')
		if (*p == ' ' || *p == '\t') {
			/* a blank line to eyes and to some programs */
			ck_assert_msg(strspn(p, " \t") < n, "a blank line");
		} else
			fprintf(f, "%.*s ", (int)strcspn(p, ":\r\n"), p);
	fclose(f);
	return s;
}

static const char *const hostile[] = {
	"a\\nEvil: b", "a\\rEvil: b", "a\\r\\nEvil: b", "a\\n\\nEvil: b",
	"a\\r\\n\\r\\nEvil: b", "\\nEvil: b", "\\n\\n", "\\r\\n\\r\\n", "\\r",
	"a\\n \\nEvil: b", "a\\r\\n\\t\\r\\n \\r\\nb", "a\\n \\t \\n\\t", "",
	" ", " \\n \\n", "a\\n", "a\\r\\n", "a\\r", "a\\u0000\\nEvil: b",
	"a\\u000b\\u000c\\u0085\\u2028Evil: b", "a\\n\\u000bEvil: b",
	"\xff\\n\xfe", "a\\n\\rb", "a\\n.\\nb", "a\\n\\u007f\\n",
	"%s%n", "\\u001b[2J\\nEvil: b"
};

/* No value becomes a header of its own or ends the head. */
START_TEST(hostile_values_stay_values)
{
	static const char in[] = "From a\nA: 1\nSubject: s\nC: 3\n\nbody\n";
	const char *h = hostile[_i];
	char *json = unit_format("{\"action\":\"a%s\",\"score\":7,"
	    "\"required_score\":1,\"subject\":\"%s\",\"symbols\":"
	    "{\"S%s\":{\"score\":1,\"description\":\"%s\"}},"
	    "\"milter\":{\"add_headers\":{\"X-0\":\"%s\","
	    "\"X-1\":{\"value\":\"%s\",\"order\":1}}}}", h, h, h, h, h, h);
	const char *const actions[] = { "reject" };
	struct verdict *v = unit_verdict(json);
	struct rewrite_options options = { REWRITE_SPAMASSASSIN, true, NULL };
	struct result r;
	char *scanner = unit_format("r%s", v->symbols[0].name + 1), *is;
	static const char *const expected[] = {
		"X-Spam-Checker-Version X-Spam-Level X-Spam-Status "
		    "X-Spam-Action X-1 A Subject C X-0 ",
		"X-Spam-Scanner X-Spam-Action X-Spam-Score X-Spam-Level "
		    "X-Spam-Symbols X-1 A Subject C X-0 ",
		"X-Spam-Flag X-Spam-Checker-Version X-Spam-Level "
		    "X-Spam-Status X-Spam-Action X-Spam-Report X-1 A Subject "
		    "C X-0 ",
		"X-Spam-Scanner X-Spam X-Spam-Action X-Spam-Score "
		    "X-Spam-Level X-Spam-Symbols X-Spam-Report X-Spam-Result "
		    "X-1 A Subject C X-0 ",
	};
	static const enum rewrite_headers headers[] = { REWRITE_SPAMASSASSIN,
	    REWRITE_RSPAMC, REWRITE_SPAMASSASSIN, REWRITE_RSPAMC_JSON };
	size_t i;

	options.scanner = scanner;
	for (i = 0; i < COUNT(expected); i++) {
		options.headers = headers[i];
		if (i == 2)
			v->action = actions[0];
		r = rewritten(BYTES(in), v, &options);
		unit_begins(r.all, "From a\nX-Spam-");
		is = names(r.all + strlen("From a\n"));
		ck_assert_str_eq(is, expected[i]);
		unit_ends(r.all, "\n\nbody\n");
		ck_assert_uint_eq(strlen(r.all), r.len);
		free(is);
		free_result(&r);
	}
	verdict_free(v);
	free(scanner);
	free(json);
}
END_TEST

/* A body that begins with a blank continues none of our lines, and none of
   our lines is behind the end of the head. */
START_TEST(body_continues_nothing)
{
	static const char *const ins[] = { " add: me\n\nbody\n", "\tx", " \n",
	    "From a\n x\n\n" };
	static const char json[] = "{\"action\":\"no action\",\"score\":1,"
	    "\"subject\":\"s\",\"milter\":{\"add_headers\":{\"X-0\":\"v\","
	    "\"X-1\":{\"value\":\"w\",\"order\":1}}}}";
	static const char *const jsons[] = { json, ham };
	struct result r;
	size_t i, j, k;
	const char *body;
	char *is, *head;

	for (i = 0; i < COUNT(ins); i++)
		for (j = 0; j < COUNT(all_options); j++)
			for (k = 0; k < COUNT(jsons); k++) {
				r = rewritten_json(ins[i], strlen(ins[i]),
				    jsons[k], all_options[j]);
				unit_bytes(r.own, r.own_len, ins[i],
				    strlen(ins[i]));
				body = ins[i] + (i == 3 ? 7 : 0);
				unit_ends(r.all, body);
				head = unit_format("%.*s", (int)(r.len -
				    strlen(body)), r.all);
				if (*r.added != '\0')
					unit_ends(head, "\n\n");
				ck_assert((strstr(head, "\n\n") == NULL) ==
				    (*r.added == '\0'));
				is = names(head + (i == 3 ? 7 : 0));
				if (k == 0)
					unit_ends(is, "Subject X-0 X-1 ");
				free(is);
				free(head);
				free_result(&r);
			}
}
END_TEST

/* ---- limits ---- */

/* Long values are folded where they may be, and never too long a line. */
START_TEST(long_values)
{
	size_t sizes[] = { 900, 979, 980, 981, 985, 990, 998, 1000, 2000,
	    50000 }, i, k;
	char *x, *json;
	struct result r;

	for (i = 0; i < COUNT(sizes); i++)
		for (k = 0; k < 3; k++) {
			x = unit_repeat('x', sizes[i] / 2 * 2);
			if (k == 1)	/* words */
				memset(x + sizes[i] / 4, ' ', 1);
			if (k == 2)	/* two bytes each */
				for (char *p = x; *p != '\0'; p += 2)
					memcpy(p, "\xc3\xa9", 2);
			json = unit_format("{\"action\":\"a%s\",\"score\":1,"
			    "\"subject\":\"%s\",\"symbols\":{\"S%s\":"
			    "{\"score\":1,\"description\":\"%s\"}},"
			    "\"milter\":{\"add_headers\":{\"X-0\":\"%s\"}}}",
			    x, x, x, x, x);
			/* check_lines() is called */
			r = rewritten_json(BYTES("A: 1\r\n\r\n"), json,
			    i % 2 == 0 ? &with_report : &rspamcs);
			ck_assert_msg(strchr(r.all, '?') == NULL, "%s",
			    r.all);
			free_result(&r);
			free(json);
			free(x);
		}
}
END_TEST

/* A fold is at a blank where there is one; what is folded is all there. */
START_TEST(folds_at_blanks)
{
	char *word = unit_repeat('w', 600);
	char *json = unit_format(ADD("\"X\":\"%s %s  %s\""), word, word, word);
	char *expected = unit_format("A: 1\nX: %s\n\t%s\n\t%s\n\n", word, word,
	    word);

	becomes(BYTES("A: 1\n\n"), json, &nothing, expected,
	    strlen(expected));
	free(expected);
	free(json);
	free(word);
}
END_TEST

/* As many symbols as a verdict can have, with the longest names. */
START_TEST(many_symbols)
{
	char *name = unit_repeat('N', 124), *json;
	size_t size, i;
	FILE *f = open_memstream(&json, &size);
	struct result r;

	fputs("{\"action\":\"reject\",\"score\":1,\"symbols\":{", f);
	for (i = 0; i < VERDICT_SYMBOLS_MAX; i++)
		fprintf(f, "%s\"%s%04zu\":{\"score\":1,\"description\":\"%s"
		    "%s%s\"}", i ? "," : "", name, i, name, name, name);
	fputs("}}", f);
	fclose(f);
	for (i = 0; i < COUNT(all_options); i++) {
		r = rewritten_json(BYTES("A: 1\n\nb"), json, all_options[i]);
		/* bounded, as the report is */
		ck_assert_uint_lt(r.len, 65536);
		unit_ends(r.all, i == 1 ? "A: 1\n\nb" : "\nA: 1\n\nb");
		free_result(&r);
	}
	free(json);
	free(name);
}
END_TEST

/* A head of N fields, then REST; to be freed. */
static char *
many_fields(size_t n, const char *rest)
{
	char *s;
	size_t size, i;
	FILE *f = open_memstream(&s, &size);

	for (i = 0; i < n; i++)
		fprintf(f, "X-%zu: v\n\tfolded\n", i);
	fputs(rest, f);
	fclose(f);
	return s;
}

/* With more fields than are looked at, nothing is lost and the head ends
   where it ends. */
START_TEST(many_fields_stay)
{
	static const size_t counts[] = { 4095, 4096, 4097, 6000 };
	char *in;
	struct result r;
	size_t i;

	for (i = 0; i < COUNT(counts); i++) {
		in = many_fields(counts[i], "\nbody\n");
		r = rewritten_json(in, strlen(in), spam, &by_default);
		unit_bytes(r.own, r.own_len, in, strlen(in));
		ck_assert_uint_eq(r.head_end, strlen(in) - strlen("body\n"));
		free_result(&r);
		/* a subject comes once, also if the old one is among them */
		r = rewritten_json(in, strlen(in), SUBJECT("x"), &nothing);
		ck_assert_uint_eq(r.len, strlen(in) + strlen("Subject: x\n"));
		free_result(&r);
		free(in);
	}
}
END_TEST

START_TEST(head_length)
{
	static const struct {
		const char *in;
		size_t len, head;
	} t[] = {
		{ BYTES(""), 0 }, { BYTES("A: 1\n"), 0 },
		{ BYTES("\n"), 1 }, { BYTES("\r\n"), 2 },
		{ BYTES("A: 1\n\nb\n\n"), 6 },
		{ BYTES("A: 1\n\r\nb\n\n"), 7 },
		{ BYTES("A: 1\r\n\nb\n\n"), 7 },
		{ BYTES("A\n \n\t\n\n"), 7 },
		/* no empty lines */
		{ BYTES("A\n\r"), 0 }, { BYTES("A\r\r\n\r\r\n"), 0 },
		{ BYTES("A\r\r"), 0 }, { BYTES("A\n\0\n"), 0 },
	};
	size_t i;

	for (i = 0; i < COUNT(t); i++)
		ck_assert_uint_eq(rewrite_head_length(t[i].in, t[i].len),
		    t[i].head);
}
END_TEST

/* One line of 50 MB: as a header, as a foreign mark, as the body. */
START_TEST(one_long_line)
{
	static const struct {
		const char *start;
		bool goes;
	} t[] = { { "A: ", false }, { "X-Spam-Flag: ", true }, { "", false },
	    { "A: 1\nX-Spam-Flag: ", true }, { "From ", false },
	    { "A: 1\n\n", false }, { " ", false }, { "\rX-Spam: ", true } };
	size_t size = 50000000, i;
	char *in = unit_repeat('x', size);
	struct verdict *v = unit_verdict(spam);
	struct result r;

	memcpy(in + size - 7, "\n\nbody\n", 7);
	for (i = 0; i < COUNT(t); i++) {
		memcpy(in, t[i].start, strlen(t[i].start));
		r = rewritten(in, size, v, &by_default);
		ck_assert_int_eq(r.own_len < 100, t[i].goes);
		ck_assert_int_eq(r.own_len == size, !t[i].goes);
		free_result(&r);
		memset(in, 'x', 40);
	}
	verdict_free(v);
	free(in);
}
END_TEST

/* A mark goes wherever it stands: behind this many bytes and fields. */
START_TEST(marks_go_far_behind)
{
	static const size_t counts[] = { 1, 4095, 4096, 4097, 300000 };
	char *fields, *in;
	struct result r;
	size_t i;

	for (i = 0; i < COUNT(counts); i++) {
		fields = many_fields(counts[i], "");
		in = unit_format("%sX-Spam-Flag: NO\n\tfolded\nB: 1\n\tstays\n"
		    "X-Spam: NO\n\nX-Spam: stays\n", fields);
		r = rewritten_json(in, strlen(in), ham, &nothing);
		ck_assert_uint_eq(r.len, strlen(in) -
		    strlen("X-Spam-Flag: NO\n\tfolded\nX-Spam: NO\n"));
		unit_ends(r.all, "\nB: 1\n\tstays\n\nX-Spam: stays\n");
		free_result(&r);
		free(in);
		free(fields);
	}
}
END_TEST

Suite *
rewrite_suite(void)
{
	Suite *s = suite_create("rewrite");
	TCase *tc = unit_case(s, "shapes");

	tcase_add_loop_test(tc, added_can_be_taken_away, 0, COUNT(shapes));
	tc = unit_case(s, "headers");
	tcase_add_test(tc, default_headers);
	tcase_add_test(tc, report_and_scanner);
	tcase_add_test(tc, rspamc_headers);
	tcase_add_test(tc, result_as_json);
	tcase_add_test(tc, result_is_utf8);
	tcase_add_test(tc, result_too_large);
	tcase_add_test(tc, unscanned);
	tcase_add_test(tc, stars);
	tcase_add_test(tc, huge_scores_keep_their_sign);
	tcase_add_test(tc, no_score_is_minus_zero);
	tcase_add_test(tc, foreign_marks_go);
	tcase_add_test(tc, hidden_lines_go);
	tcase_add_test(tc, hidden_lines_count);
	tc = unit_case(s, "milter");
	tcase_add_test(tc, milter_headers);
	tcase_add_test(tc, extreme_positions);
	tcase_add_test(tc, names_that_are_none);
	tcase_add_test(tc, subjects);
	tc = unit_case(s, "hostile");
	tcase_add_loop_test(tc, hostile_values_stay_values, 0, COUNT(hostile));
	tcase_add_test(tc, body_continues_nothing);
	tc = unit_case(s, "limits");
	tcase_add_test(tc, long_values);
	tcase_add_test(tc, folds_at_blanks);
	tcase_add_test(tc, many_symbols);
	tcase_add_test(tc, many_fields_stay);
	tcase_add_test(tc, head_length);
	tcase_add_test(tc, one_long_line);
	tcase_add_test(tc, marks_go_far_behind);
	return s;
}

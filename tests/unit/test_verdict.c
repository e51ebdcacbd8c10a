#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"
#include "verdict.h"

/* As rspamd 3.4 writes them: no thresholds, numbers with and without a dot. */
static const char rspamd_3_4[] =
	"{\"is_skipped\":false,\"score\":7.300000,\"required_score\":15.0,"
	"\"action\":\"add header\",\"symbols\":{"
	"\"MIME_GOOD\":{\"name\":\"MIME_GOOD\",\"score\":-0.100000,"
	"\"metric_score\":-0.100000,\"description\":\"Known content-type\","
	"\"options\":[\"text/plain\"]},"
	"\"R_SPF_FAIL\":{\"name\":\"R_SPF_FAIL\",\"score\":1.0,"
	"\"metric_score\":1.0,\"description\":\"SPF verification failed\","
	"\"options\":[\"-all:c\"]},"
	"\"ARC_NA\":{\"name\":\"ARC_NA\",\"score\":0.0,\"metric_score\":0.0,"
	"\"description\":\"ARC signature absent\"},"
	"\"BAYES_SPAM\":{\"name\":\"BAYES_SPAM\",\"score\":6.400000,"
	"\"metric_score\":5.100000,\"description\":\"Message probably spam, "
	"probability: \",\"options\":[\"100.00%\",\"two, three\"]}},"
	"\"messages\":{},\"message-id\":\"20260101.1@client.example\","
	"\"time_real\":0.134218}";

/* As rspamd 4.1 does: thresholds, a message, headers for a milter in both
   of their forms, signatures. */
static const char rspamd_4_1[] =
	"{\"passthrough_module\":\"force_actions\",\"is_skipped\":false,"
	"\"score\":16.5,\"required_score\":15.0,\"action\":\"reject\","
	"\"thresholds\":{\"reject\":15.0,\"rewrite subject\":8.0,"
	"\"add header\":6.0,\"greylist\":4.0},"
	"\"symbols\":{\"GTUBE\":{\"name\":\"GTUBE\",\"score\":0.0,"
	"\"metric_score\":0.0},"
	"\"FORGED\":{\"name\":\"FORGED\",\"score\":16.5,"
	"\"metric_score\":16.5,\"options\":[]}},"
	"\"messages\":{\"fuzzy\":\"hash 1\",\"smtp_message\":\"Go away\","
	"\"other\":\"later\"},"
	"\"message-id\":\"undef\",\"time_real\":0.021999,"
	"\"dkim-signature\":[\"v=1; a=rsa-sha256;\\r\\n\\td=x\",\"v=1\"],"
	"\"milter\":{\"remove_headers\":{\"X-Spam\":0,"
	"\"X-Spamd-Result\":[0,-1,2]},"
	"\"add_headers\":{\"X-Spam\":{\"value\":\"Yes\",\"order\":-1},"
	"\"X-Multi\":[{\"value\":\"a\",\"order\":0},{\"value\":\"b\","
	"\"order\":1}],\"X-Plain\":\"p\"},"
	"\"change_from\":\"x@y\",\"spam_header\":\"X-Spam\"}}";

START_TEST(reply_of_rspamd_3_4)
{
	struct verdict *v = unit_verdict(rspamd_3_4);

	ck_assert_str_eq(v->action, "add header");
	ck_assert_double_eq(v->score, 7.3);
	ck_assert_double_eq(v->required, 15.0);
	ck_assert_double_eq(v->time_real, 0.134218);
	ck_assert(!v->skipped);
	ck_assert_ptr_null(v->subject);
	ck_assert_ptr_null(v->reject);
	ck_assert_str_eq(v->message_id, "20260101.1@client.example");
	ck_assert_uint_eq(v->nmessages, 0);
	ck_assert_uint_eq(v->messages_seen, 0);
	ck_assert_uint_eq(v->nthresholds, 0);
	ck_assert_uint_eq(v->nmilter, 0);
	ck_assert_uint_eq(v->nsymbols, 4);
	ck_assert_uint_eq(v->symbols_seen, 4);
	ck_assert_str_eq(v->symbols[0].name, "BAYES_SPAM");
	ck_assert_double_eq(v->symbols[0].score, 6.4);
	ck_assert_uint_eq(v->symbols[0].noptions, 2);
	ck_assert_uint_eq(v->symbols[0].options_seen, 2);
	ck_assert_str_eq(v->symbols[0].options[0], "100.00%");
	ck_assert_str_eq(v->symbols[0].options[1], "two, three");
	ck_assert_str_eq(v->symbols[1].name, "R_SPF_FAIL");
	ck_assert_str_eq(v->symbols[1].description, "SPF verification failed");
	ck_assert_str_eq(v->symbols[2].name, "MIME_GOOD");
	ck_assert_str_eq(v->symbols[3].name, "ARC_NA");
	ck_assert_uint_eq(v->symbols[3].noptions, 0);
	verdict_free(v);
}
END_TEST

static void
milter_is(const struct verdict *v, size_t i, const char *name,
    const char *value, int index)
{
	ck_assert_uint_lt(i, v->nmilter);
	ck_assert_str_eq(v->milter[i].name, name);
	if (value != NULL)
		ck_assert_str_eq(v->milter[i].value, value);
	else
		ck_assert_ptr_null(v->milter[i].value);
	ck_assert_int_eq(v->milter[i].index, index);
}

START_TEST(reply_of_rspamd_4_1)
{
	struct verdict *v = unit_verdict(rspamd_4_1);

	ck_assert_str_eq(v->action, "reject");
	ck_assert_uint_eq(v->nthresholds, 4);
	ck_assert_str_eq(v->thresholds[2].action, "add header");
	ck_assert_double_eq(v->thresholds[2].score, 6.0);
	ck_assert_uint_eq(v->nmessages, 3);
	ck_assert_str_eq(v->messages[0], "Go away");
	ck_assert_str_eq(v->messages[1], "hash 1");
	ck_assert_str_eq(v->messages[2], "later");
	ck_assert_uint_eq(v->nsymbols, 2);
	ck_assert_str_eq(v->symbols[0].name, "FORGED");
	ck_assert_ptr_null(v->symbols[0].description);
	ck_assert_uint_eq(v->symbols[0].noptions, 0);
	/* signatures, then adds, in the order of the reply */
	ck_assert_uint_eq(v->nmilter, 10);
	ck_assert_uint_eq(v->milter_seen, 10);
	milter_is(v, 0, "DKIM-Signature", "v=1; a=rsa-sha256;\r\n\td=x", 1);
	milter_is(v, 1, "DKIM-Signature", "v=1", 2);
	milter_is(v, 2, "X-Spam", "Yes", -1);
	milter_is(v, 3, "X-Multi", "a", 0);
	milter_is(v, 4, "X-Multi", "b", 1);
	milter_is(v, 5, "X-Plain", "p", 0);
	milter_is(v, 6, "X-Spam", NULL, 0);
	milter_is(v, 7, "X-Spamd-Result", NULL, 0);
	milter_is(v, 8, "X-Spamd-Result", NULL, -1);
	milter_is(v, 9, "X-Spamd-Result", NULL, 2);
	verdict_free(v);
}
END_TEST

START_TEST(least_reply)
{
	static const char least[] = " {\"action\":\"no action\",\"score\":0}"
	    "\r\n\t ";
	char why[200];
	struct verdict *v = verdict_parse(least, sizeof(least) - 1, why,
	    sizeof(why));

	ck_assert_ptr_nonnull(v);
	ck_assert_str_eq(v->action, "no action");
	ck_assert_double_eq(v->score, 0.0);
	ck_assert(isnan(v->required));
	ck_assert(isnan(v->time_real));
	ck_assert(!v->skipped);
	ck_assert_ptr_null(v->subject);
	ck_assert_ptr_null(v->message_id);
	ck_assert_ptr_null(v->reject);
	ck_assert_uint_eq(v->nsymbols, 0);
	verdict_free(v);
	verdict_free(NULL);
}
END_TEST

START_TEST(other_members)
{
	struct verdict *v = unit_verdict("{\"action\":\"rewrite subject\","
	    "\"score\":-1e3,\"required_score\":null,\"is_skipped\":true,"
	    "\"subject\":\"[SPAM] x\",\"reject\":\"discard\"}");

	ck_assert_double_eq(v->score, -1000.0);
	ck_assert(isnan(v->required));
	ck_assert(v->skipped);
	ck_assert_str_eq(v->subject, "[SPAM] x");
	ck_assert_str_eq(v->reject, "discard");
	verdict_free(v);
}
END_TEST

/* What milters are to do in place of the action, and where it stands. */
static const struct {
	const char *members, *reject;
} rejects[] = {
	{ "\"action\":\"reject\",\"milter\":{\"reject\":\"discard\"}",
	    "discard" },
	{ "\"milter\":{\"reject\":\"quarantine\",\"add_headers\":{}},"
	    "\"action\":\"reject\"", "quarantine" },
	{ "\"action\":\"mine\",\"reject\":\"quarantine\"", "quarantine" },
	{ "\"action\":\"reject\",\"reject\":\"discard\","
	    "\"milter\":{\"reject\":\"quarantine\"}", "discard" },
	{ "\"action\":\"add header\",\"milter\":{\"reject\":\"discard\"}",
	    NULL },
	{ "\"action\":\"reject\",\"milter\":{\"reject\":true}", NULL },
	{ "\"action\":\"reject\",\"milter\":[\"discard\"]", NULL },
	{ "\"action\":\"reject\",\"rmilter\":{\"reject\":\"discard\"}",
	    NULL },
};

START_TEST(in_place_of_a_rejection)
{
	char *in = unit_format("{\"score\":1,%s}", rejects[_i].members);
	struct verdict *v = unit_verdict(in);

	if (rejects[_i].reject == NULL)
		ck_assert_ptr_null(v->reject);
	else
		ck_assert_str_eq(v->reject, rejects[_i].reject);
	verdict_free(v);
	free(in);
}
END_TEST

/* Replies that are no verdict, and why. */
static const struct {
	const char *in, *why;
} none[] = {
	{ "", "empty" },
	{ " ", "not a JSON object" },
	{ "null", "not a JSON object" },
	{ "[]", "not a JSON object" },
	{ "\"x\"", "not a JSON object" },
	{ "pong\r\n", "not a JSON object" },
	{ "{", "not a JSON object" },
	{ "{\"action\":\"reject\",\"score\":1", "not a JSON object" },
	{ "{\"action\":\"reject\",\"score\":1}x", "not a JSON object" },
	{ "{\"action\":\"reject\",\"score\":1}{}", "not a JSON object" },
	{ "{\"action\":\"reject\",\"score\":nan}", "not a JSON object" },
	{ "{}", "no action" },
	{ "{\"score\":1}", "no action" },
	{ "{\"action\":\"\",\"score\":1}", "no action" },
	{ "{\"action\":null,\"score\":1}", "no action" },
	{ "{\"action\":1,\"score\":1}", "no action" },
	{ "{\"Action\":\"reject\",\"score\":1}", "no action" },
	{ "{\"action\":\"\\u0000reject\",\"score\":1}", "no action" },
	{ "{\"action\":\"no action\"}", "no score" },
	{ "{\"action\":\"no action\",\"score\":\"1\"}", "no score" },
	{ "{\"action\":\"no action\",\"score\":null}", "no score" },
	{ "{\"action\":\"no action\",\"score\":1e999}", "no score" },
	{ "{\"action\":\"no action\",\"score\":-1e999}", "no score" },
	{ "{\"error\":\"task timeout\",\"error_domain\":\"protocol-error\"}",
	    "task timeout" },
	/* with an error inside nothing else counts */
	{ "{\"action\":\"no action\",\"score\":0,\"error\":\"no lua\"}",
	    "no lua" },
	{ "{\"error\":\"a\\r\\nSPAMD/1.1 0 EX_OK\\u0001\"}",
	    "a SPAMD/1.1 0 EX_OK?" },
};

START_TEST(no_verdict)
{
	char *in = unit_format("%s", none[_i].in), why[200] = "";

	ck_assert_ptr_null(verdict_parse(in, strlen(in), why, sizeof(why)));
	unit_holds(why, none[_i].why);
	free(in);
}
END_TEST

/* Each proper start of a reply is none. */
START_TEST(no_part_is_a_whole)
{
	size_t len = sizeof(rspamd_4_1) - 1, cut;
	char why[200], *part;

	for (cut = 0; cut < len; cut++) {
		part = unit_repeat('\0', cut);
		memcpy(part, rspamd_4_1, cut);
		ck_assert_msg(verdict_parse(part, cut, why, sizeof(why)) == NULL,
		    "cut at %zu", cut);
		free(part);
	}
}
END_TEST

START_TEST(why_is_bounded)
{
	char *x = unit_repeat('x', 1000), *in, why[10], none_at_all[1];

	in = unit_format("{\"error\":\"%s\"}", x);
	ck_assert_ptr_null(verdict_parse(in, strlen(in), why, sizeof(why)));
	ck_assert_str_eq(why, "xxxxxxxxx");
	ck_assert_ptr_null(verdict_parse(in, strlen(in), none_at_all, 1));
	ck_assert_str_eq(none_at_all, "");
	free(in);
	free(x);
}
END_TEST

START_TEST(errors_are_found)
{
	char why[200] = "";

	ck_assert(verdict_error(BYTES("{\"error\":\"out of\\nmemory\"}"), why,
	    sizeof(why)));
	ck_assert_str_eq(why, "out of memory");
	ck_assert(!verdict_error(BYTES(""), why, sizeof(why)));
	ck_assert(!verdict_error(BYTES("<html>"), why, sizeof(why)));
	ck_assert(!verdict_error(BYTES("{\"error\":\"\"}"), why, sizeof(why)));
	ck_assert(!verdict_error(BYTES("{\"error\":7}"), why, sizeof(why)));
	ck_assert(!verdict_error(BYTES("[\"error\"]"), why, sizeof(why)));
	ck_assert(!verdict_error(BYTES(rspamd_3_4), why, sizeof(why)));
}
END_TEST

/* All kinds of junk where something else should be: skipped, not fatal. */
static const char *const junk[] = { "null", "true", "1", "-1e400", "\"x\"",
	"\"\"", "[]", "{}", "[[]]", "[1,null,\"\",[\"x\"],{}]",
	"{\"\":1}", "{\"a\":null,\"b\":[],\"c\":{},\"d\":\"\"}",
	"{\"smtp_message\":7}", "{\"add_headers\":1,\"remove_headers\":\"x\"}",
	"{\"add_headers\":[1,{\"X\":\"y\"}],\"remove_headers\":[[0]]}" };

START_TEST(junk_is_skipped)
{
	static const char *const names[] = { "required_score", "time_real",
	    "is_skipped", "subject", "message-id", "reject", "messages",
	    "symbols", "milter", "thresholds", "dkim-signature" };
	struct verdict *v;
	size_t i, j;
	char *in;

	for (i = 0; i < COUNT(names); i++) {
		in = unit_format("{\"action\":\"reject\",\"%s\":%s,\"score\":1}",
		    names[i], junk[_i]);
		v = unit_verdict(in);
		ck_assert_str_eq(v->action, "reject");
		/* any string is a signature, the last name */
		ck_assert_uint_le(v->nmilter, i == COUNT(names) - 1);
		ck_assert(isnan(v->required) || isfinite(v->required));
		for (j = 0; j < v->nsymbols; j++)
			ck_assert(isfinite(v->symbols[j].score));
		for (j = 0; j < v->nthresholds; j++)
			ck_assert(isfinite(v->thresholds[j].score));
		verdict_free(v);
		free(in);
	}
}
END_TEST

START_TEST(symbols_in_order_of_weight)
{
	static const char *const order[] = { "BIG", "GOOD", "A_TIE", "B_TIE",
	    "A_ZERO", "NO_NUMBER", "TOO_MUCH", "ZERO" };
	struct verdict *v = unit_verdict("{\"action\":\"reject\",\"score\":1,"
	    "\"symbols\":{\"ZERO\":{\"score\":0.0},\"B_TIE\":{\"score\":1},"
	    "\"GOOD\":{\"score\":-5.5},\"BIG\":{\"score\":6},"
	    "\"A_TIE\":{\"score\":-1},\"TOO_MUCH\":{\"score\":1e999},"
	    "\"NO_NUMBER\":{\"score\":\"9\"},\"A_ZERO\":{},"
	    "\"NO_OBJECT\":7,\"\":{\"score\":9}}}");
	size_t i;

	ck_assert_uint_eq(v->nsymbols, COUNT(order));
	ck_assert_uint_eq(v->symbols_seen, COUNT(order));
	for (i = 0; i < COUNT(order); i++)
		ck_assert_str_eq(v->symbols[i].name, order[i]);
	ck_assert_double_eq(v->symbols[6].score, 0.0);
	verdict_free(v);
}
END_TEST

START_TEST(options_that_are_strings)
{
	struct verdict *v = unit_verdict("{\"action\":\"reject\",\"score\":1,"
	    "\"symbols\":{\"A\":{\"score\":2,\"options\":[\"x\",1,null,[\"n\"],"
	    "{},\"y\",\"\"]},\"B\":{\"options\":\"not a list\"}}}");

	ck_assert_uint_eq(v->symbols[0].noptions, 3);
	ck_assert_uint_eq(v->symbols[0].options_seen, 3);
	ck_assert_str_eq(v->symbols[0].options[0], "x");
	ck_assert_str_eq(v->symbols[0].options[1], "y");
	ck_assert_str_eq(v->symbols[0].options[2], "");
	ck_assert_uint_eq(v->symbols[1].noptions, 0);
	verdict_free(v);
}
END_TEST

START_TEST(messages_of_both_forms)
{
	struct verdict *v;

	v = unit_verdict("{\"action\":\"reject\",\"score\":1,"
	    "\"messages\":[\"one\",7,\"\",\"two\"]}");
	ck_assert_uint_eq(v->nmessages, 2);
	ck_assert_uint_eq(v->messages_seen, 2);
	ck_assert_str_eq(v->messages[0], "one");
	ck_assert_str_eq(v->messages[1], "two");
	verdict_free(v);
	v = unit_verdict("{\"action\":\"reject\",\"score\":1,"
	    "\"messages\":{\"a\":\"one\",\"b\":null,\"smtp_message\":\"\","
	    "\"c\":\"two\"}}");
	ck_assert_uint_eq(v->nmessages, 2);
	ck_assert_str_eq(v->messages[0], "one");
	verdict_free(v);
	/* a blank one says nothing either */
	v = unit_verdict("{\"action\":\"reject\",\"score\":1,"
	    "\"messages\":{\"smtp_message\":\" \\t\\n\",\"c\":\"\\r\","
	    "\"d\":\" two\"}}");
	ck_assert_uint_eq(v->nmessages, 1);
	ck_assert_str_eq(v->messages[0], " two");
	verdict_free(v);
}
END_TEST

#define BEFORE	"{\"action\":\"reject\",\"score\":1,"

/* Without any other operation, and in wrong forms. */
START_TEST(signature_alone)
{
	struct verdict *v;

	v = unit_verdict(BEFORE "\"dkim-signature\":\"v=1; b=x\"}");
	ck_assert_uint_eq(v->nmilter, 1);
	milter_is(v, 0, "DKIM-Signature", "v=1; b=x", 1);
	verdict_free(v);
	v = unit_verdict(BEFORE "\"dkim-signature\":[1,{\"v\":2},\"s\"]}");
	ck_assert_uint_eq(v->nmilter, 1);
	milter_is(v, 0, "DKIM-Signature", "s", 1);
	verdict_free(v);
	v = unit_verdict(BEFORE "\"dkim-signature\":7}");
	ck_assert_uint_eq(v->nmilter, 0);
	verdict_free(v);
}
END_TEST

START_TEST(milter_forms)
{
	struct verdict *v = unit_verdict("{\"action\":\"reject\",\"score\":1,"
	    "\"milter\":{\"add_headers\":{"
	    "\"S\":\"string\",\"E\":\"\",\"O\":{\"value\":\"v\",\"order\":3},"
	    "\"N\":{\"value\":\"no order\"},"
	    "\"A\":[\"s\",{\"value\":\"o\",\"order\":1.9},7,null,{},"
	    "[\"nested\"],{\"value\":[]}],"
	    "\"J1\":7,\"J2\":null,\"J3\":{\"order\":1},\"\":\"no name\","
	    "\"W\":{\"value\":\"w\",\"order\":1e300},"
	    "\"T\":{\"value\":\"t\",\"order\":\"1\"}},"
	    "\"remove_headers\":{\"D\":0,\"L\":[1,-1,[2],\"x\"],\"J\":\"1\","
	    "\"H\":1e99,\"F\":0.5,\"\":1}}}");

	milter_is(v, 0, "S", "string", 0);
	milter_is(v, 1, "E", "", 0);
	milter_is(v, 2, "O", "v", 3);
	milter_is(v, 3, "N", "no order", 0);
	milter_is(v, 4, "A", "s", 0);
	milter_is(v, 5, "A", "o", 1);
	milter_is(v, 6, "W", "w", 0);
	milter_is(v, 7, "T", "t", 0);
	milter_is(v, 8, "D", NULL, 0);
	milter_is(v, 9, "L", NULL, 1);
	milter_is(v, 10, "L", NULL, -1);
	ck_assert_uint_eq(v->milter_seen, v->nmilter);
	/* a number that is no position must not remove all of a name */
	ck_assert_uint_eq(v->nmilter, 11);
	verdict_free(v);
}
END_TEST

START_TEST(thresholds_that_are_numbers)
{
	struct verdict *v = unit_verdict("{\"action\":\"reject\",\"score\":1,"
	    "\"thresholds\":{\"reject\":15,\"soft reject\":null,"
	    "\"my custom action\":3.5,\"greylist\":\"4\",\"x\":1e999}}");

	ck_assert_uint_eq(v->nthresholds, 2);
	ck_assert_str_eq(v->thresholds[1].action, "my custom action");
	ck_assert_double_eq(v->thresholds[1].score, 3.5);
	verdict_free(v);
}
END_TEST

/* N members of a KIND, joined by commas, between A and B. */
static char *
many(const char *a, char kind, size_t n, const char *b)
{
	char *s;
	size_t size, i;
	FILE *f = open_memstream(&s, &size);

	fputs(a, f);
	for (i = 0; i < n; i++) {
		if (i > 0)
			fputc(',', f);
		if (kind == 'o')	/* an option, a message of a list */
			fprintf(f, "\"o%zu\"", i);
		else if (kind == 's')
			fprintf(f, "\"S%zu\":{\"score\":1}", i);
		else if (kind == 'm')
			fprintf(f, "\"X-%zu\":\"v\"", i);
		else
			fprintf(f, "\"t%zu\":1", i);
	}
	fputs(b, f);
	fclose(f);
	return s;
}

START_TEST(limits)
{
	struct verdict *v;
	size_t over;
	char *in;

	for (over = 0; over <= 1; over++) {
		in = many(BEFORE "\"symbols\":{", 's',
		    VERDICT_SYMBOLS_MAX + over, "}}");
		v = unit_verdict(in);
		ck_assert_uint_eq(v->nsymbols, VERDICT_SYMBOLS_MAX);
		ck_assert_uint_eq(v->symbols_seen, VERDICT_SYMBOLS_MAX + over);
		verdict_free(v);
		free(in);
		in = many(BEFORE "\"symbols\":{\"A\":{\"options\":[", 'o',
		    VERDICT_OPTIONS_MAX + over, "]}}}");
		v = unit_verdict(in);
		ck_assert_uint_eq(v->symbols[0].noptions, VERDICT_OPTIONS_MAX);
		ck_assert_uint_eq(v->symbols[0].options_seen,
		    VERDICT_OPTIONS_MAX + over);
		verdict_free(v);
		free(in);
		in = many(BEFORE "\"messages\":[", 'o',
		    VERDICT_MESSAGES_MAX + over, "]}");
		v = unit_verdict(in);
		ck_assert_uint_eq(v->nmessages, VERDICT_MESSAGES_MAX);
		ck_assert_uint_eq(v->messages_seen, VERDICT_MESSAGES_MAX + over);
		verdict_free(v);
		free(in);
		in = many(BEFORE "\"milter\":{\"add_headers\":{", 'm',
		    VERDICT_MILTER_MAX + over, "}}}");
		v = unit_verdict(in);
		ck_assert_uint_eq(v->nmilter, VERDICT_MILTER_MAX);
		ck_assert_uint_eq(v->milter_seen, VERDICT_MILTER_MAX + over);
		verdict_free(v);
		free(in);
		in = many(BEFORE "\"thresholds\":{", 't',
		    VERDICT_THRESHOLDS_MAX + over, "}}");
		v = unit_verdict(in);
		ck_assert_uint_eq(v->nthresholds, VERDICT_THRESHOLDS_MAX);
		verdict_free(v);
		free(in);
	}
}
END_TEST

/* The last of many messages is still the first if it is SMTP's. */
START_TEST(smtp_message_beyond_the_limit)
{
	struct verdict *v;
	char *in, *list;
	size_t i;

	list = unit_repeat(' ', 0);
	for (i = 0; i < VERDICT_MESSAGES_MAX + 3; i++) {
		in = unit_format("%s\"m%zu\":\"text\",", list, i);
		free(list);
		list = in;
	}
	in = unit_format(BEFORE "\"messages\":{%s\"smtp_message\":\"s\"}}", list);
	v = unit_verdict(in);
	ck_assert_str_eq(v->messages[0], "s");
	ck_assert_uint_eq(v->nmessages, VERDICT_MESSAGES_MAX);
	ck_assert_uint_eq(v->messages_seen, VERDICT_MESSAGES_MAX + 4);
	verdict_free(v);
	free(in);
	free(list);
}
END_TEST

/* Mail is not UTF-8, and one odd byte must not cost a verdict. */
START_TEST(odd_bytes_are_taken)
{
	struct verdict *v = unit_verdict(BEFORE
	    "\"subject\":\"\xff\xc3\x85\t\\r\\n\\u0001\\u00e9\\ud83d\\ude00\","
	    "\"message-id\":\"a\\u0000b\","
	    "\"symbols\":{\"S\xe9\\n\":{\"options\":[\"\x80\\u0000x\"]}}}");

	ck_assert_str_eq(v->subject,
	    "\xff\xc3\x85\t\r\n\x01\xc3\xa9\xf0\x9f\x98\x80");
	ck_assert_str_eq(v->symbols[0].name, "S\xe9\n");
	verdict_free(v);
}
END_TEST

START_TEST(deep_nesting_is_no_crash)
{
	char *deep = unit_repeat('[', 200000), why[200];

	ck_assert_ptr_null(verdict_parse(deep, 200000, why, sizeof(why)));
	ck_assert(!verdict_error(deep, 200000, why, sizeof(why)));
	free(deep);
}
END_TEST

Suite *
verdict_suite(void)
{
	Suite *s = suite_create("verdict");
	TCase *tc = unit_case(s, "replies");

	tcase_add_test(tc, reply_of_rspamd_3_4);
	tcase_add_test(tc, reply_of_rspamd_4_1);
	tcase_add_test(tc, least_reply);
	tcase_add_test(tc, other_members);
	tcase_add_loop_test(tc, in_place_of_a_rejection, 0, COUNT(rejects));
	tcase_add_test(tc, symbols_in_order_of_weight);
	tcase_add_test(tc, options_that_are_strings);
	tcase_add_test(tc, messages_of_both_forms);
	tcase_add_test(tc, signature_alone);
	tcase_add_test(tc, milter_forms);
	tcase_add_test(tc, thresholds_that_are_numbers);
	tcase_add_test(tc, odd_bytes_are_taken);
	tc = unit_case(s, "failures");
	tcase_add_loop_test(tc, no_verdict, 0, COUNT(none));
	tcase_add_test(tc, no_part_is_a_whole);
	tcase_add_test(tc, why_is_bounded);
	tcase_add_test(tc, errors_are_found);
	tcase_add_loop_test(tc, junk_is_skipped, 0, COUNT(junk));
	tcase_add_test(tc, deep_nesting_is_no_crash);
	tc = unit_case(s, "limits");
	tcase_add_test(tc, limits);
	tcase_add_test(tc, smtp_message_beyond_the_limit);
	return s;
}

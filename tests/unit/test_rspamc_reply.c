#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exim_model.h"
#include "report.h"
#include "rspamc_reply.h"
#include "unit.h"

#define OK	"RSPAMD/1.3 0 EX_OK\r\n"

/* The reply, as a string to be freed. */
static char *
reply(const struct outcome *o, const struct verdict *v)
{
	struct text out;

	text_init(&out, RSPAMC_REPLY_MAX);
	ck_assert_int_eq(rspamc_reply(&out, o, v), 0);
	ck_assert(!text_failed(&out));
	ck_assert_uint_eq(strlen(text_string(&out)), out.len);
	return out.buf;
}

static char *
reply_of(const char *json, const struct outcome_policy *policy)
{
	struct verdict *v = unit_verdict(json);
	struct outcome o;
	char *s;

	outcome_verdict(&o, v, policy);
	s = reply(&o, v);
	verdict_free(v);
	return s;
}

START_TEST(wire)
{
	static const char json[] = "{\"action\":\"add header\",\"score\":7.25,"
	    "\"required_score\":15.0,\"message-id\":\"1@x\",\"symbols\":{"
	    "\"BAD\":{\"score\":8.5,\"description\":\"bad\","
	    "\"options\":[\"a\",\"b\"]},\"GOOD\":{\"score\":-1.25}},"
	    "\"messages\":{\"smtp_message\":\"no\"},\"milter\":{"
	    "\"add_headers\":{\"X-A\":{\"value\":\"v\",\"order\":1}},"
	    "\"remove_headers\":{\"X-B\":0}},\"thresholds\":{\"reject\":15,"
	    "\"add header\":6}}";
	char *s = reply_of(json, &unit_policy);

	ck_assert_str_eq(s, OK
	    "Metric: default; True; 7.25 / 15.00 / 0.0\r\n"
	    "Action: add header\r\n"
	    "Message: no\r\n"
	    "X-Milter-Add: X-A[1]: v\r\n"
	    "X-Milter-Del: X-B\r\n"
	    "Symbol: BAD(8.50)\r\n"
	    "Symbol: GOOD(-1.25)\r\n"
	    "X-Symbol: BAD(8.50); bad [a, b]\r\n"
	    "X-Symbol: GOOD(-1.25)\r\n"
	    "Message-ID: 1@x\r\n"
	    "Report-End: complete\r\n");
	free(s);
}
END_TEST

static const char *reject_only[] = { "reject" };
static const struct outcome_policy strict = { .spam_actions = reject_only,
    .nspam_actions = 1, .spam_threshold = 15 };

/* Actions and numbers: the flag is the action's, the numbers are rspamd's. */
static const struct {
	const char *action, *numbers, *metric, *seen;
	const struct outcome_policy *policy;
} metrics[] = {
	{ "no action", "\"score\":1,\"required_score\":15",
	    "False; 1.00 / 15.00", "no action", &unit_policy },
	{ "greylist", "\"score\":4.5,\"required_score\":15",
	    "False; 4.50 / 15.00", "greylist", &unit_policy },
	{ "add header", "\"score\":6.006,\"required_score\":15",
	    "True; 6.01 / 15.00", "add header", &unit_policy },
	{ "rewrite subject", "\"score\":8,\"required_score\":15",
	    "True; 8.00 / 15.00", "rewrite subject", &unit_policy },
	{ "soft reject", "\"score\":20,\"required_score\":15",
	    "False; 20.00 / 15.00", "soft reject", &unit_policy },
	{ "reject", "\"score\":20,\"required_score\":15.5",
	    "True; 20.00 / 15.50", "reject", &unit_policy },
	{ "quarantine", "\"score\":1,\"required_score\":15",
	    "False; 1.00 / 15.00", "quarantine", &unit_policy },
	{ "my custom action", "\"score\":1,\"required_score\":15",
	    "False; 1.00 / 15.00", "my custom action", &unit_policy },
	/* 31 characters are all that Exim has room for */
	{ "an action with a name of 32 byte", "\"score\":1",
	    "False; 1.00 / 15.00", "an action with a name of 32 byt",
	    &unit_policy },
	{ "reject\\r\\nSymbol: X", "\"score\":1", "False; 1.00 / 15.00",
	    "reject Symbol: X", &unit_policy },
	{ "add header", "\"score\":7,\"required_score\":15",
	    "False; 7.00 / 15.00", "add header", &strict },
	/* forced: the numbers are told as they are */
	{ "reject", "\"score\":0,\"required_score\":15", "True; 0.00 / 15.00",
	    "reject", &unit_policy },
	{ "no action", "\"score\":20,\"required_score\":15",
	    "False; 20.00 / 15.00", "no action", &unit_policy },
	{ "no action", "\"score\":1,\"required_score\":null",
	    "False; 1.00 / 15.00", "no action", &unit_policy },
	{ "no action", "\"score\":-0.004,\"required_score\":15",
	    "False; 0.00 / 15.00", "no action", &unit_policy },
	{ "no action", "\"score\":-0.006,\"required_score\":15",
	    "False; -0.01 / 15.00", "no action", &unit_policy },
	{ "reject", "\"score\":1e300,\"required_score\":1e300",
	    "True; 99999999.90 / 99999999.90", "reject", &unit_policy },
	{ "no action", "\"score\":-1e300,\"required_score\":-1e300",
	    "False; -99999999.90 / -99999999.90", "no action", &unit_policy },
};

START_TEST(exim_is_content)
{
	struct exim_seen *seen = malloc(sizeof(*seen));
	char *json, *s, *line;
	const char *why;

	json = unit_format("{\"action\":\"%s\",%s}", metrics[_i].action,
	    metrics[_i].numbers);
	s = reply_of(json, metrics[_i].policy);
	line = unit_format(OK "Metric: default; %s / 0.0\r\nAction: ",
	    metrics[_i].metric);
	unit_begins(s, line);
	why = exim_read(s, true, seen);
	ck_assert_msg(why == NULL, "%s: %s", why, s);
	ck_assert_str_eq(seen->version, "1.3");
	ck_assert_str_eq(seen->action, metrics[_i].seen);
	why = report_fault(s + seen->report_at, strlen(s + seen->report_at));
	ck_assert_msg(why == NULL, "%s: %s", why, s);
	unit_begins(seen->report, "Action: ");
	unit_ends(seen->report, "\n Report-End: complete");
	free(line);
	free(json);
	free(s);
	free(seen);
}
END_TEST

START_TEST(unscanned)
{
	struct outcome o;
	char *s;

	outcome_pass(&o, &unit_policy, FAILURE_TOO_LARGE, "larger than 1 MiB");
	s = reply(&o, NULL);
	ck_assert_str_eq(s, OK "Metric: default; False; 0.00 / 15.00 / 0.0\r\n"
	    "Action: no action\r\n"
	    "Symbol: RSPAMD_SHIM_UNSCANNED(0.00)\r\n"
	    "X-Symbol: RSPAMD_SHIM_UNSCANNED(0.00); larger than 1 MiB\r\n"
	    "Report-End: complete\r\n");
	free(s);
}
END_TEST

/* Whatever has failed, Exim's condition defers. */
START_TEST(errors_defer)
{
	static const enum failure f[] = { FAILURE_UNREACHABLE, FAILURE_TIMEOUT,
	    FAILURE_RSPAMD, FAILURE_UNREADABLE, FAILURE_TOO_LARGE,
	    FAILURE_EMPTY, FAILURE_REQUEST, FAILURE_UNSUPPORTED,
	    FAILURE_INTERNAL };
	struct exim_seen *seen = malloc(sizeof(*seen));
	struct outcome o;
	size_t i;
	char *s, *line;

	for (i = 0; i < COUNT(f); i++) {
		outcome_failed(&o, f[i], "x\r\n\r\n" OK "%n\xff");
		s = reply(&o, NULL);
		line = unit_format("RSPAMD/1.3 75 EX_TEMPFAIL %s: "
		    "x RSPAMD/1.3 0 EX_OK %%n?\r\n", failure_name(f[i]));
		ck_assert_str_eq(s, line);
		ck_assert_ptr_nonnull(exim_read(s, true, seen));
		free(line);
		free(s);
	}
	free(seen);
}
END_TEST

START_TEST(nine_hundred_symbols)
{
	struct exim_seen *seen = malloc(sizeof(*seen));
	char *json, *s;
	size_t size, i;
	FILE *f = open_memstream(&json, &size);
	const char *why;

	fputs("{\"action\":\"reject\",\"score\":1,\"required_score\":15,"
	    "\"message-id\":\"1@x\",\"symbols\":{", f);
	for (i = 1; i <= 900; i++)
		fprintf(f, "%s\"TEST_BULK_%03zu\":{\"score\":0.01,"
		    "\"description\":\"bulk symbol number %zu\","
		    "\"options\":[\"some option\"]}", i > 1 ? "," : "", i, i);
	fputs("}}", f);
	fclose(f);
	s = reply_of(json, &unit_policy);
	ck_assert_uint_lt(strlen(s), 16384);
	why = exim_read(s, true, seen);
	ck_assert_msg(why == NULL, "%s", why);
	ck_assert_str_eq(seen->action, "reject");
	unit_holds(s, "\r\nMessage-ID: 1@x\r\nReport-End: cut, ");
	unit_ends(seen->report, " of 900 symbols left out");
	free(s);
	free(json);
	free(seen);
}
END_TEST

START_TEST(no_room_is_a_failure)
{
	struct verdict *v = unit_verdict("{\"action\":\"reject\",\"score\":1,"
	    "\"symbols\":{\"A\":{\"options\":[\"o\"]}}}");
	struct outcome o, failed;
	struct text out;
	size_t max, full;
	char *s;
	int rc;

	outcome_verdict(&o, v, &unit_policy);
	s = reply(&o, v);
	full = strlen(s);
	for (max = 0; max <= full; max++) {
		text_init(&out, max);
		rc = rspamc_reply(&out, &o, v);
		ck_assert_int_eq(rc, text_failed(&out) ? -1 : 0);
		if (max < 80 || max == full)
			ck_assert_int_eq(rc, max == full ? 0 : -1);
		if (rc == 0) {
			/* whole: what was left out is told */
			unit_begins(text_string(&out), OK "Metric: default; ");
			unit_holds(text_string(&out), "\r\nAction: reject\r\n");
			unit_holds(text_string(&out), max == full ?
			    "\r\nReport-End: complete\r\n" :
			    "\r\nReport-End: cut, 1 of 1 symbols left out\r\n");
		}
		text_free(&out);
	}
	outcome_failed(&failed, FAILURE_TIMEOUT, "why");
	text_init(&out, 10);
	ck_assert_int_eq(rspamc_reply(&out, &failed, NULL), -1);
	text_free(&out);
	free(s);
	verdict_free(v);
}
END_TEST

Suite *
rspamc_reply_suite(void)
{
	Suite *s = suite_create("rspamc_reply");
	TCase *tc = unit_case(s, "wire");

	tcase_add_test(tc, wire);
	tcase_add_loop_test(tc, exim_is_content, 0, COUNT(metrics));
	tcase_add_test(tc, unscanned);
	tcase_add_test(tc, errors_defer);
	tc = unit_case(s, "limits");
	tcase_add_test(tc, nine_hundred_symbols);
	tcase_add_test(tc, no_room_is_a_failure);
	return s;
}

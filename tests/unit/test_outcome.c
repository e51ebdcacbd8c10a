#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "outcome.h"
#include "unit.h"

static const char *only_reject[] = { "reject" };
static const char *with_custom[] = { "reject", "rewrite subject",
	"add header", "quarantine", "my custom action" };

static const struct outcome_policy strict = {
	.spam_actions = only_reject, .nspam_actions = 1, .spam_threshold = NAN
};
static const struct outcome_policy custom = {
	.spam_actions = with_custom, .nspam_actions = COUNT(with_custom),
	.spam_threshold = NAN
};
static const struct outcome_policy at_five = {
	.spam_actions = with_custom, .nspam_actions = 3, .spam_threshold = 5.0
};
static const struct outcome_policy nothing = { .spam_threshold = NAN };

START_TEST(which_actions_are_spam)
{
	static const struct {
		const char *action;
		bool by_default, by_strict, by_custom;
	} t[] = {
		{ "reject", true, true, true },
		{ "rewrite subject", true, false, true },
		{ "add header", true, false, true },
		{ "soft reject", false, false, false },
		{ "greylist", false, false, false },
		{ "no action", false, false, false },
		{ "quarantine", false, false, true },
		{ "discard", false, false, false },
		{ "my custom action", false, false, true },
		/* verbatim, so no other case and no part of a name */
		{ "Reject", false, false, false },
		{ "reject ", false, false, false },
		{ "rej", false, false, false },
	};
	struct verdict v = { .message_id = "undef", .score = 10,
	    .required = 15 };
	struct outcome o;
	size_t i;

	for (i = 0; i < COUNT(t); i++) {
		v.action = t[i].action;
		outcome_verdict(&o, &v, &unit_policy);
		ck_assert_msg(o.spam == t[i].by_default, "%s", v.action);
		ck_assert_int_eq(o.kind, OUTCOME_VERDICT);
		ck_assert_int_eq(o.failure, FAILURE_NONE);
		ck_assert_str_eq(o.action, t[i].action);
		outcome_verdict(&o, &v, &strict);
		ck_assert_msg(o.spam == t[i].by_strict, "%s", v.action);
		outcome_verdict(&o, &v, &custom);
		ck_assert_msg(o.spam == t[i].by_custom, "%s", v.action);
		outcome_verdict(&o, &v, &nothing);
		ck_assert_msg(!o.spam, "%s", v.action);
	}
}
END_TEST

/* Thresholds as rspamd 4.1 reports them. */
static struct verdict_threshold stock[] = {
	{ "reject", 15.0 }, { "rewrite subject", 8.0 }, { "add header", 6.0 },
	{ "greylist", 4.0 }, { "my custom action", 5.5 }
};

/*
 * Verdicts and the numbers that are shown for them: score and threshold as
 * a SPAMC client sees them, then required_score as RSPAMC's does.
 */
static const struct {
	const char *action;
	double score, required;
	bool thresholds;
	const struct outcome_policy *policy;
	const char *shown;
} numbers[] = {
	/* without rspamd's thresholds (3.4): required_score */
	{ "no action", 1.0, 15.0, false, &unit_policy, "1.0 / 15.0, 15.00" },
	{ "reject", 15.0, 15.0, false, &unit_policy, "15.0 / 15.0, 15.00" },
	{ "reject", 20.0, 15.0, false, &unit_policy, "20.0 / 15.0, 15.00" },
	/* an action below reject's score: the threshold moves, not the score */
	{ "add header", 7.3, 15.0, false, &unit_policy, "7.3 / 7.3, 15.00" },
	{ "rewrite subject", 9.0, 15.0, false, &unit_policy,
	    "9.0 / 9.0, 15.00" },
	/* with a threshold that is configured */
	{ "add header", 7.3, 15.0, false, &at_five, "7.3 / 5.0, 15.00" },
	{ "no action", 4.9, 15.0, false, &at_five, "4.9 / 5.0, 15.00" },
	{ "greylist", 5.5, 15.0, false, &at_five, "5.5 / 5.6, 15.00" },
	/* rspamd's own thresholds are better than the configured one */
	{ "add header", 7.3, 15.0, true, &at_five, "7.3 / 6.0, 15.00" },
	{ "no action", 1.0, 15.0, true, &unit_policy, "1.0 / 6.0, 15.00" },
	{ "reject", 16.0, 15.0, true, &unit_policy, "16.0 / 6.0, 15.00" },
	/* of the actions that are spam, the lowest */
	{ "no action", 1.0, 15.0, true, &strict, "1.0 / 15.0, 15.00" },
	{ "add header", 7.0, 15.0, true, &strict, "7.0 / 15.0, 15.00" },
	{ "no action", 1.0, 15.0, true, &custom, "1.0 / 5.5, 15.00" },
	/* none of rspamd's thresholds is of spam: as if there were none */
	{ "no action", 1.0, 15.0, true, &nothing, "1.0 / 15.0, 15.00" },
	/* forced: flag and numbers would disagree */
	{ "reject", 0.0, 15.0, true, &unit_policy, "0.0 / 0.0, 15.00" },
	{ "reject", -5.5, 15.0, false, &unit_policy, "-5.5 / -5.5, 15.00" },
	{ "no action", 20.0, 15.0, true, &unit_policy, "20.0 / 20.1, 15.00" },
	{ "soft reject", 20.0, 15.0, true, &unit_policy,
	    "20.0 / 20.1, 15.00" },
	{ "greylist", 6.0, 15.0, true, &unit_policy, "6.0 / 6.1, 15.00" },
	/* they would disagree after rounding only */
	{ "greylist", 5.97, 15.0, true, &unit_policy, "6.0 / 6.1, 15.00" },
	{ "greylist", 5.94, 15.0, true, &unit_policy, "5.9 / 6.0, 15.00" },
	{ "no action", -0.04, 0.0, false, &unit_policy, "-0.0 / 0.1, 0.00" },
	/* required_score null */
	{ "no action", 1.0, NAN, false, &unit_policy, "1.0 / 15.0, 15.00" },
	{ "reject", 1.0, NAN, false, &unit_policy, "1.0 / 1.0, 15.00" },
	{ "no action", 1.0, NAN, false, &at_five, "1.0 / 5.0, 5.00" },
	{ "no action", 1.0, NAN, true, &unit_policy, "1.0 / 6.0, 6.00" },
	/* both sides of what Exim's buffers take */
	{ "reject", 99999999.9, 15.0, false, &unit_policy,
	    "99999999.9 / 15.0, 15.00" },
	{ "reject", 100000000.0, 15.0, false, &unit_policy,
	    "99999999.9 / 15.0, 15.00" },
	{ "reject", 1e300, 1e300, false, &unit_policy,
	    "99999999.9 / 99999999.9, 99999999.90" },
	{ "no action", -99999999.9, 15.0, false, &unit_policy,
	    "-99999999.9 / 15.0, 15.00" },
	{ "no action", -1e300, -1e300, false, &unit_policy,
	    "-99999999.9 / -99999999.8, -99999999.90" },
	{ "no action", 1e13, 15.0, false, &unit_policy,
	    "99999999.9 / 100000000.0, 15.00" },
};

START_TEST(shown_numbers)
{
	struct verdict v = { .message_id = "undef",
	    .action = numbers[_i].action,
	    .score = numbers[_i].score, .required = numbers[_i].required };
	struct outcome o;
	char *shown;

	if (numbers[_i].thresholds) {
		v.thresholds = stock;
		v.nthresholds = COUNT(stock);
	}
	outcome_verdict(&o, &v, numbers[_i].policy);
	shown = unit_format("%.1f / %.1f, %.2f", o.score, o.threshold,
	    o.required);
	ck_assert_str_eq(shown, numbers[_i].shown);
	free(shown);
}
END_TEST

/* What Exim reads in X, printed as it is in a reply. */
static double
printed(double x)
{
	char s[64];

	(void)snprintf(s, sizeof(s), "%.1f", x);
	return strtod(s, NULL);
}

/* Whatever the numbers are, comparing them gives the flag. */
START_TEST(numbers_agree_with_the_flag)
{
	static const double odd[] = { 0.05, -0.05, 0.04999, 0.15, 0.25, 0.35,
	    0.45, 1.05, 5.95, 5.949999, 1e7, 12345678.95, 99999999.9,
	    99999999.85, 1e9, -1e9, 1e308, -1e308, 5e-324 };
	static const double thresholds[] = { 6, 0, -1, 0.05, 5.95, 6.05, 15,
	    1e8, -1e8, 1e300 };
	static const char *const actions[] = { "reject", "no action" };
	/* as a double has it, whatever an expression may have */
	static const volatile double most = OUTCOME_SCORE_MAX;
	struct verdict_threshold th = { "reject", 0 };
	struct verdict v = { .message_id = "undef", .required = NAN,
	    .thresholds = &th,
	    .nthresholds = 1 };
	struct outcome o;
	size_t i, a, t, steps = 2000;

	for (t = 0; t < COUNT(thresholds); t++)
		for (i = 0; i < steps + COUNT(odd); i++)
			for (a = 0; a < COUNT(actions); a++) {
				th.score = thresholds[t];
				v.action = actions[a];
				v.score = i < steps ? ((double)i - 400.0) / 100 :
				    odd[i - steps];
				outcome_verdict(&o, &v, &unit_policy);
				ck_assert(o.spam == (a == 0));
				ck_assert_msg((printed(o.score) >=
				    printed(o.threshold)) == o.spam,
				    "%s: %.17g against %.17g: %.1f / %.1f",
				    v.action, v.score, th.score, o.score,
				    o.threshold);
				ck_assert(fabs(o.score) <= most);
				ck_assert(o.score == v.score ||
				    fabs(v.score) > most);
			}
}
END_TEST

START_TEST(unscanned_passes_as_ham)
{
	struct outcome_policy zero = unit_policy;
	struct outcome o;

	outcome_pass(&o, &unit_policy, FAILURE_TOO_LARGE, "it is too large");
	ck_assert_int_eq(o.kind, OUTCOME_PASS);
	ck_assert_int_eq(o.failure, FAILURE_TOO_LARGE);
	ck_assert_str_eq(o.action, "no action");
	ck_assert(!o.spam);
	ck_assert_double_eq(o.score, 0.0);
	ck_assert_double_eq(o.threshold, 15.0);
	ck_assert_double_eq(o.required, 15.0);
	ck_assert_str_eq(o.reason, "it is too large");
	outcome_pass(&o, &at_five, FAILURE_TOO_LARGE, "");
	ck_assert_double_eq(o.threshold, 5.0);
	zero.spam_threshold = 0.5;
	outcome_pass(&o, &zero, FAILURE_TOO_LARGE, "");
	ck_assert_double_eq(o.threshold, 0.5);
	/* even where a score of 0 would be spam */
	zero.spam_threshold = 0.0;
	outcome_pass(&o, &zero, FAILURE_TOO_LARGE, "");
	ck_assert_double_gt(o.threshold, 0.05);
	zero.spam_threshold = -3.0;
	outcome_pass(&o, &zero, FAILURE_TOO_LARGE, "");
	ck_assert_double_gt(o.threshold, 0.05);
}
END_TEST

START_TEST(failures_have_codes)
{
	static const struct {
		enum failure f;
		int code;
		const char *name;
	} t[] = {
		{ FAILURE_NONE, 0, "none" },
		{ FAILURE_UNREACHABLE, 69, "unreachable" },
		{ FAILURE_TIMEOUT, 79, "timeout" },
		{ FAILURE_RSPAMD, 75, "rspamd-error" },
		{ FAILURE_UNREADABLE, 75, "unreadable-reply" },
		{ FAILURE_INCOMPLETE, 75, "incomplete-scan" },
		{ FAILURE_OVERLOAD, 75, "overload" },
		{ FAILURE_TOO_LARGE, 69, "too-large" },
		{ FAILURE_EMPTY, 65, "empty-message" },
		{ FAILURE_REQUEST, 76, "bad-request" },
		{ FAILURE_UNSUPPORTED, 69, "unsupported" },
		{ FAILURE_INTERNAL, 71, "internal" },
	};
	struct outcome o;
	size_t i;

	for (i = 0; i < COUNT(t); i++) {
		ck_assert_int_eq(failure_code(t[i].f), t[i].code);
		ck_assert_str_eq(failure_name(t[i].f), t[i].name);
		outcome_failed(&o, t[i].f, "why");
		ck_assert_int_eq(o.kind, OUTCOME_FAILED);
		ck_assert_int_eq(o.failure, t[i].f);
		ck_assert(!o.spam);
		ck_assert_str_eq(o.reason, "why");
	}
}
END_TEST

START_TEST(done_is_no_verdict)
{
	struct outcome o;

	memset(&o, 0xff, sizeof(o));
	outcome_done(&o, "learned before");
	ck_assert_int_eq(o.kind, OUTCOME_DONE);
	ck_assert_int_eq(o.failure, FAILURE_NONE);
	ck_assert(!o.spam);
	ck_assert_str_eq(o.action, "");
	ck_assert_str_eq(o.reason, "learned before");
	outcome_done(&o, "");
	ck_assert_str_eq(o.reason, "");
	outcome_done(&o, "a\r\n\x1b");
	ck_assert_str_eq(o.reason, "a ?");
}
END_TEST

/* What rspamd says after SECONDS, with a task_timeout of 8 s. */
static const struct {
	const char *action;
	double score, seconds, task_timeout;
	bool skipped, incomplete;
} scans[] = {
	{ "no action", 1.0, 0.5, 8.0, false, false },
	{ "no action", 1.0, 7.9, 8.0, false, false },
	{ "no action", 1.0, 8.0, 8.0, false, true },
	{ "no action", 1.0, 8.3, 8.0, false, true },
	/* its clock has steps */
	{ "no action", 1.0, 7.95, 8.0, false, true },
	{ "greylist", 5.0, 8.01, 8.0, false, true },
	{ "my custom action", 5.0, 8.01, 8.0, false, true },
	/* what is spam after a part of the checks is spam */
	{ "reject", 20.0, 8.01, 8.0, false, false },
	{ "rewrite subject", 9.0, 8.01, 8.0, false, false },
	{ "add header", 7.0, 8.01, 8.0, false, false },
	/* "try later" is what rspamd can be told to say in this case */
	{ "soft reject", 0.0, 8.01, 8.0, false, false },
	/* an administrator lets it pass */
	{ "no action", 0.0, 8.01, 8.0, true, false },
	/* it does not say how long it took */
	{ "no action", 1.0, NAN, 8.0, false, false },
	/* rspamd's limit is not known */
	{ "no action", 1.0, 100.0, 0.0, false, false },
};

START_TEST(scans_that_were_given_up)
{
	struct outcome_policy policy = unit_policy;
	struct verdict v = { .action = scans[_i].action,
	    .score = scans[_i].score, .required = 15.0,
	    .time_real = scans[_i].seconds, .skipped = scans[_i].skipped,
	    .message_id = "undef", .symbols_seen = 3 };
	struct outcome o;

	policy.task_timeout = scans[_i].task_timeout;
	outcome_verdict(&o, &v, &policy);
	if (!scans[_i].incomplete) {
		ck_assert_int_eq(o.kind, OUTCOME_VERDICT);
		return;
	}
	ck_assert_int_eq(o.kind, OUTCOME_FAILED);
	ck_assert_int_eq(o.failure, FAILURE_INCOMPLETE);
	unit_begins(o.reason, "rspamd gave up after 8.");
	unit_holds(o.reason, "task_timeout");
	unit_holds(o.reason, scans[_i].action);
}
END_TEST

/* What rspamd says of a message that it did not see, as it does of none. */
START_TEST(scans_of_nothing)
{
	struct verdict v = { .action = "no action", .required = 15.0,
	    .time_real = 0.001 };
	struct verdict skipped = v, named = v, symbols = v, other = v;
	struct outcome o;

	outcome_verdict(&o, &v, &unit_policy);
	ck_assert_int_eq(o.kind, OUTCOME_FAILED);
	ck_assert_int_eq(o.failure, FAILURE_INCOMPLETE);
	skipped.skipped = true;
	outcome_verdict(&o, &skipped, &unit_policy);
	ck_assert_int_eq(o.kind, OUTCOME_VERDICT);
	named.message_id = "undef";
	outcome_verdict(&o, &named, &unit_policy);
	ck_assert_int_eq(o.kind, OUTCOME_VERDICT);
	symbols.symbols_seen = 1;
	outcome_verdict(&o, &symbols, &unit_policy);
	ck_assert_int_eq(o.kind, OUTCOME_VERDICT);
	other.action = "soft reject";
	outcome_verdict(&o, &other, &unit_policy);
	ck_assert_int_eq(o.kind, OUTCOME_VERDICT);
}
END_TEST

/* A policy of one kind is none of the others'. */
START_TEST(policy_is_by_failure)
{
	struct outcome_policy policy = unit_policy;
	struct outcome o;
	int f;

	policy.pass[_i] = true;
	for (f = FAILURE_UNREACHABLE; f < FAILURE_COUNT; f++) {
		outcome_failed(&o, (enum failure)f, "a reason");
		outcome_by_policy(&o, &policy);
		ck_assert_int_eq(o.kind, f == _i ? OUTCOME_PASS :
		    OUTCOME_FAILED);
		ck_assert_int_eq((int)o.failure, f);
		ck_assert_str_eq(o.reason, "a reason");
		ck_assert_str_eq(o.action, f == _i ? "no action" : "");
		ck_assert(!o.spam);
	}
}
END_TEST

/* No policy makes anything of what is no failure. */
START_TEST(policy_of_no_failure)
{
	struct outcome_policy policy = unit_policy;
	struct verdict v = { .action = "reject", .score = 20.0,
	    .required = 15.0, .time_real = NAN };
	struct outcome o;

	memset(policy.pass, true, sizeof(policy.pass));
	outcome_verdict(&o, &v, &policy);
	outcome_by_policy(&o, &policy);
	ck_assert_int_eq(o.kind, OUTCOME_VERDICT);
	ck_assert_str_eq(o.action, "reject");
	outcome_done(&o, "learned");
	outcome_by_policy(&o, &policy);
	ck_assert_int_eq(o.kind, OUTCOME_DONE);
	outcome_pass(&o, &policy, FAILURE_TOO_LARGE, "large");
	outcome_by_policy(&o, &policy);
	ck_assert_int_eq(o.kind, OUTCOME_PASS);
	ck_assert_str_eq(o.reason, "large");
}
END_TEST

START_TEST(reason_is_clean_and_bounded)
{
	struct outcome o;
	char *x = unit_repeat('x', sizeof(o.reason));

	outcome_failed(&o, FAILURE_RSPAMD, "a\r\nSPAMD/1.1 0 EX_OK\x1b\xff");
	ck_assert_str_eq(o.reason, "a SPAMD/1.1 0 EX_OK??");
	outcome_failed(&o, FAILURE_RSPAMD, x);
	ck_assert_uint_eq(strlen(o.reason), sizeof(o.reason) - 1);
	outcome_pass(&o, &unit_policy, FAILURE_TOO_LARGE, x + 1);
	ck_assert_str_eq(o.reason, x + 1);
	free(x);
}
END_TEST

Suite *
outcome_suite(void)
{
	Suite *s = suite_create("outcome");
	TCase *tc = unit_case(s, "meaning");

	tcase_add_test(tc, which_actions_are_spam);
	tcase_add_loop_test(tc, shown_numbers, 0, COUNT(numbers));
	tcase_add_test(tc, numbers_agree_with_the_flag);
	tcase_add_test(tc, unscanned_passes_as_ham);
	tcase_add_test(tc, done_is_no_verdict);
	tc = unit_case(s, "failures");
	tcase_add_test(tc, failures_have_codes);
	tcase_add_loop_test(tc, scans_that_were_given_up, 0, COUNT(scans));
	tcase_add_test(tc, scans_of_nothing);
	tcase_add_loop_test(tc, policy_is_by_failure, FAILURE_UNREACHABLE,
	    FAILURE_COUNT);
	tcase_add_test(tc, policy_of_no_failure);
	tcase_add_test(tc, reason_is_clean_and_bounded);
	return s;
}

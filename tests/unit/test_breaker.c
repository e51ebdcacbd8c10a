#include "config.h"

#include <string.h>

#include "breaker.h"
#include "unit.h"

static const struct breaker_rules rules = { .failures = 3,
	.retry_first = 0.25, .retry_most = 2.0, .slow_start = 10.0 };

/* A breaker that failed at time NOW so often that it opened. */
static struct breaker
opened(double now)
{
	struct breaker b;

	breaker_init(&b);
	ck_assert(breaker_failure(&b, &rules, true, now));
	return b;
}

START_TEST(begins_closed)
{
	struct breaker b;

	breaker_init(&b);
	ck_assert_int_eq(b.state, BREAKER_CLOSED);
	ck_assert(breaker_allows(&b));
	/* any number at a time */
	breaker_begin(&b);
	breaker_begin(&b);
	ck_assert(breaker_allows(&b));
	ck_assert(breaker_share(&b, &rules, 0.0) == 1.0);
	ck_assert(breaker_share(&b, &rules, 1e9) == 1.0);
}
END_TEST

START_TEST(opens_after_failures_in_a_row)
{
	struct breaker b;

	breaker_init(&b);
	ck_assert(!breaker_failure(&b, &rules, false, 1.0));
	ck_assert(!breaker_failure(&b, &rules, false, 2.0));
	ck_assert(breaker_allows(&b));
	/* a success between them: they count anew */
	ck_assert(!breaker_success(&b, 3.0));
	ck_assert(!breaker_failure(&b, &rules, false, 4.0));
	ck_assert(!breaker_failure(&b, &rules, false, 5.0));
	ck_assert(breaker_allows(&b));
	/* neither well nor badly changes nothing */
	breaker_begin(&b);
	breaker_forget(&b);
	ck_assert(breaker_failure(&b, &rules, false, 6.0));
	ck_assert_int_eq(b.state, BREAKER_OPEN);
	ck_assert(!breaker_allows(&b));
	/* those that began before end after it; it was said already */
	ck_assert(!breaker_failure(&b, &rules, false, 7.0));
	ck_assert(!breaker_failure(&b, &rules, true, 7.0));
	ck_assert(breaker_retry(&b) == 0.25);
}
END_TEST

START_TEST(nobody_there_is_enough_once)
{
	struct breaker b;

	breaker_init(&b);
	ck_assert(breaker_failure(&b, &rules, true, 1.0));
	ck_assert(!breaker_allows(&b));
}
END_TEST

/* Probes become fewer, and there is always a next one. */
START_TEST(probes_that_fail)
{
	static const double retry[] = { 0.5, 1.0, 2.0, 2.0, 2.0 };
	struct breaker b = opened(1.0);
	size_t i;

	ck_assert(breaker_retry(&b) == 0.25);
	for (i = 0; i < COUNT(retry); i++) {
		ck_assert(!breaker_probed(&b, &rules, false, 2.0));
		ck_assert_int_eq(b.state, BREAKER_OPEN);
		ck_assert_msg(breaker_retry(&b) == retry[i], "%zu: %g", i,
		    breaker_retry(&b));
	}
	/* the next time they are as many as at first */
	ck_assert(breaker_probed(&b, &rules, true, 3.0));
	ck_assert(breaker_success(&b, 4.0));
	ck_assert(breaker_failure(&b, &rules, true, 5.0));
	ck_assert(breaker_retry(&b) == 0.25);
}
END_TEST

START_TEST(probes_of_a_closed_one)
{
	struct breaker b;

	breaker_init(&b);
	ck_assert(!breaker_probed(&b, &rules, true, 1.0));
	ck_assert_int_eq(b.state, BREAKER_CLOSED);
	ck_assert(!breaker_probed(&b, &rules, false, 2.0));
	ck_assert(!breaker_probed(&b, &rules, false, 3.0));
	/* who answers probes but scans nothing is to be found out, too */
	ck_assert(!breaker_probed(&b, &rules, true, 3.0));
	ck_assert(breaker_probed(&b, &rules, false, 4.0));
	ck_assert_int_eq(b.state, BREAKER_OPEN);
}
END_TEST

START_TEST(half_open_lets_one_through)
{
	struct breaker b = opened(1.0);

	ck_assert(breaker_probed(&b, &rules, true, 2.0));
	ck_assert_int_eq(b.state, BREAKER_HALF_OPEN);
	ck_assert(breaker_allows(&b));
	breaker_begin(&b);
	ck_assert(!breaker_allows(&b));
	/* a probe meanwhile does not let a second one through */
	ck_assert(!breaker_probed(&b, &rules, true, 3.0));
	ck_assert(!breaker_allows(&b));
	/* the one that it was let through for has left: another */
	breaker_forget(&b);
	ck_assert(breaker_allows(&b));
	breaker_begin(&b);
	ck_assert(breaker_success(&b, 4.0));
	ck_assert_int_eq(b.state, BREAKER_CLOSED);
	ck_assert(breaker_allows(&b));
	breaker_begin(&b);
	ck_assert(breaker_allows(&b));
	ck_assert(!breaker_success(&b, 5.0));
}
END_TEST

START_TEST(half_open_opens_at_the_first_failure)
{
	struct breaker b = opened(1.0);

	ck_assert(breaker_probed(&b, &rules, true, 2.0));
	breaker_begin(&b);
	/* it was down all the time: nothing new */
	ck_assert(!breaker_failure(&b, &rules, false, 3.0));
	ck_assert_int_eq(b.state, BREAKER_OPEN);
	ck_assert(!breaker_allows(&b));
	ck_assert(breaker_retry(&b) == 0.5);
	/* down since then */
	ck_assert(b.opened == 1.0);
	/* and the next may be tried again */
	ck_assert(breaker_probed(&b, &rules, true, 4.0));
	ck_assert(breaker_allows(&b));
}
END_TEST

START_TEST(half_open_and_a_probe_fails)
{
	struct breaker b = opened(1.0);

	ck_assert(breaker_probed(&b, &rules, true, 2.0));
	ck_assert(!breaker_probed(&b, &rules, false, 3.0));
	ck_assert_int_eq(b.state, BREAKER_OPEN);
}
END_TEST

/* A verdict is a better sign of life than any probe. */
START_TEST(a_late_verdict_closes_it)
{
	struct breaker b = opened(1.0);

	ck_assert(breaker_success(&b, 2.0));
	ck_assert_int_eq(b.state, BREAKER_CLOSED);
	ck_assert(breaker_allows(&b));
	ck_assert(breaker_share(&b, &rules, 2.0) < 1.0);
}
END_TEST

START_TEST(the_share_grows)
{
	struct breaker_rules at_once = rules;
	struct breaker b = opened(100.0);
	double t, share, last = 0.0;

	ck_assert(breaker_probed(&b, &rules, true, 105.0));
	breaker_begin(&b);
	ck_assert(breaker_success(&b, 110.0));
	for (t = 110.0; t < 120.0; t += 0.25) {
		share = breaker_share(&b, &rules, t);
		ck_assert(share > 0.0 && share < 1.0 && share >= last);
		last = share;
	}
	ck_assert_double_eq_tol(breaker_share(&b, &rules, 115.0), 0.5, 1e-9);
	ck_assert(breaker_share(&b, &rules, 120.0) == 1.0);
	/* each verdict does not begin it anew */
	ck_assert(!breaker_success(&b, 119.0));
	ck_assert(breaker_share(&b, &rules, 120.0) == 1.0);
	at_once.slow_start = 0.0;
	ck_assert(breaker_share(&b, &at_once, 110.0) == 1.0);
}
END_TEST

START_TEST(state_names)
{
	ck_assert_str_eq(breaker_name(BREAKER_CLOSED), "up");
	ck_assert_str_eq(breaker_name(BREAKER_HALF_OPEN), "trying");
	ck_assert_str_eq(breaker_name(BREAKER_OPEN), "down");
}
END_TEST

Suite *
breaker_suite(void)
{
	Suite *s = suite_create("breaker");
	TCase *tc = unit_case(s, "breaker");

	tcase_add_test(tc, begins_closed);
	tcase_add_test(tc, opens_after_failures_in_a_row);
	tcase_add_test(tc, nobody_there_is_enough_once);
	tcase_add_test(tc, probes_that_fail);
	tcase_add_test(tc, probes_of_a_closed_one);
	tcase_add_test(tc, half_open_lets_one_through);
	tcase_add_test(tc, half_open_opens_at_the_first_failure);
	tcase_add_test(tc, half_open_and_a_probe_fails);
	tcase_add_test(tc, a_late_verdict_closes_it);
	tcase_add_test(tc, the_share_grows);
	tcase_add_test(tc, state_names);
	return s;
}

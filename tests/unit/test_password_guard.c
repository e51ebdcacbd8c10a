#include "config.h"

#include "password_guard.h"
#include "unit.h"

#define START	1000.0

static double left;

/* How many of N questions at NOW were allowed. */
static unsigned int
allowed(struct password_guard *g, double now, unsigned int n)
{
	unsigned int sent = 0;

	while (n-- > 0)
		sent += password_guard_ask(g, now, &left) ==
		    PASSWORD_GUARD_SEND;
	return sent;
}

/* Until the controller has said something, few are sent, whoever asks. */
START_TEST(unknown)
{
	struct password_guard g = { 0 };

	ck_assert_uint_eq(allowed(&g, START, 100), PASSWORD_GUARD_UNPROVEN);
	ck_assert_int_eq(password_guard_ask(&g, START, &left),
	    PASSWORD_GUARD_WAIT);
	ck_assert_uint_eq(allowed(&g, START + PASSWORD_GUARD_PAUSE - 0.01,
	    100), 0);
	ck_assert_uint_eq(allowed(&g, START + PASSWORD_GUARD_PAUSE + 0.01,
	    100), PASSWORD_GUARD_UNPROVEN);
}
END_TEST

START_TEST(accepted)
{
	struct password_guard g = { 0 };

	ck_assert_uint_eq(allowed(&g, START, 5), PASSWORD_GUARD_UNPROVEN);
	password_guard_accepted(&g);
	ck_assert_uint_eq(allowed(&g, START, 1000), 1000);
}
END_TEST

START_TEST(refused)
{
	struct password_guard g = { 0 };
	double t;

	ck_assert_uint_eq(allowed(&g, START, 1), 1);
	password_guard_refused(&g, START + 1);
	ck_assert_int_eq(password_guard_ask(&g, START + 2, &left),
	    PASSWORD_GUARD_REFUSED);
	ck_assert_double_eq_tol(left, PASSWORD_GUARD_PAUSE - 1, 0.01);
	t = START + 1 + PASSWORD_GUARD_PAUSE;
	ck_assert_uint_eq(allowed(&g, t - 0.01, 100), 0);
	/* one of all tries, and nobody again before it is refused or the
	   time is over */
	ck_assert_uint_eq(allowed(&g, t + 0.01, 100), 1);
	ck_assert_uint_eq(allowed(&g, t + PASSWORD_GUARD_PAUSE - 0.01, 100), 0);
	password_guard_refused(&g, t + 1);
	ck_assert_uint_eq(allowed(&g, t + 1 + PASSWORD_GUARD_PAUSE - 0.01,
	    100), 0);
	ck_assert_uint_eq(allowed(&g, t + 1 + PASSWORD_GUARD_PAUSE + 0.01,
	    100), 1);
	password_guard_accepted(&g);
	ck_assert_uint_eq(allowed(&g, t + 2 + PASSWORD_GUARD_PAUSE, 100), 100);
}
END_TEST

/* Sixteen workers that ask all the time: below ten in any minute. */
START_TEST(below_the_limit_of_rspamd)
{
	struct password_guard g = { 0 };
	unsigned int in_minute[20] = { 0 }, i, sent;
	double t;

	for (t = 0; t < 20 * 60; t += 0.5) {
		sent = allowed(&g, START + t, 16);
		in_minute[(unsigned int)t / 60] += sent;
		for (i = 0; i < sent; i++)
			password_guard_refused(&g, START + t);
	}
	for (i = 0; i < 20; i++)
		ck_assert_uint_le(in_minute[i] + in_minute[i > 0 ? i - 1 : 19],
		    9);
	ck_assert_uint_ge(in_minute[0], 1);
	ck_assert_uint_ge(in_minute[2], 1);
}
END_TEST

/* What a worker that was taken over has written keeps nobody waiting longer. */
START_TEST(spoilt)
{
	struct password_guard g = { 0 };

	g.state = 2;
	g.until = UINT64_MAX;
	ck_assert_uint_eq(allowed(&g, START, 100), 1);
	g.state = UINT32_MAX;
	g.since = UINT64_MAX;
	g.sent = UINT32_MAX;
	ck_assert_uint_eq(allowed(&g, START, 100), PASSWORD_GUARD_UNPROVEN);
}
END_TEST

Suite *
password_guard_suite(void)
{
	Suite *s = suite_create("password_guard");
	TCase *tc = unit_case(s, "password_guard");

	tcase_add_test(tc, unknown);
	tcase_add_test(tc, accepted);
	tcase_add_test(tc, refused);
	tcase_add_test(tc, below_the_limit_of_rspamd);
	tcase_add_test(tc, spoilt);
	return s;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decimal.h"
#include "unit.h"

/* Ties, those that only look like one, and both sides of each limit. */
static const double numbers[] = { 0.0, -0.0, 0.05, 0.15, 0.25, 0.35, 0.45,
    0.125, 0.375, 2.675, 1.005, 14.996, 15.0, -6.2, -0.04, -0.06, 0.5, 1.5,
    0.049999999, 0.050000001, 0.0005, 0.0015, 0.9999, 0.9995, 0.99949999,
    9.9949, 9.995, 99.95, 999.9999, 1e5, 999999.9995, 1e6 - 1e-9, 1e6, 1e7,
    99999999.95, 1e8, 1e9 - 0.5, 1e9, 4294967.2955, 4294967.296, 4294967295.0,
    4294967296.0, 1e15, 1e22, DBL_MIN, DBL_EPSILON };

/* Of the printed number without its point. */
static void
check_tenths(double x)
{
	char s[64];
	size_t len;

	(void)snprintf(s, sizeof(s), "%.1f", x);
	len = strlen(s);
	memmove(s + len - 2, s + len - 1, 2);
	ck_assert_int_eq(decimal_tenths(x), strtoll(s, NULL, 10));
}

static void
check(double x)
{
	char expected[64];
	struct text t;
	int digits, width;

	for (digits = 1; digits <= DECIMAL_DIGITS_MAX; digits++) {
		for (width = 0; width <= 8; width += 4) {
			(void)snprintf(expected, sizeof(expected), "%*.*f",
			    width, digits, x);
			text_init(&t, 100);
			decimal_put(&t, x, width, digits);
			unit_text(&t, expected);
			text_free(&t);
		}
	}
	if (fabs(x) < DECIMAL_TENTHS_MAX)
		check_tenths(x);
}

START_TEST(as_printf_writes_them)
{
	check(numbers[_i]);
	check(-numbers[_i]);
	check(nextafter(numbers[_i], INFINITY));
	check(nextafter(numbers[_i], -INFINITY));
}
END_TEST

START_TEST(many_numbers)
{
	double x;
	int i;

	for (i = -2000; i < 2000; i++) {
		check(i / 1000.0);
		check(i / 64.0);
	}
	for (x = 1e-9; x < 1e12; x *= 1.137)
		check(x);
}
END_TEST

START_TEST(what_is_no_number)
{
	struct text t;

	text_init(&t, 100);
	decimal_put(&t, INFINITY, 0, 1);
	decimal_put(&t, NAN, 4, 2);
	unit_text(&t, "inf nan");
	text_free(&t);
}
END_TEST

Suite *
decimal_suite(void)
{
	Suite *s = suite_create("decimal");
	TCase *tc = unit_case(s, "decimal");

	tcase_add_loop_test(tc, as_printf_writes_them, 0, COUNT(numbers));
	tcase_add_test(tc, many_numbers);
	tcase_add_test(tc, what_is_no_number);
	return s;
}

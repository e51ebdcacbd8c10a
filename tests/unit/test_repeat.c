#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "repeat.h"
#include "unit.h"

static const char one[] = "%s: one", two[] = "%s: two";

/* Offers N lines of KIND about ABOUT; returns how many were let through. */
static unsigned int
offer(struct repeat *r, const char *kind, const char *about, unsigned int n,
    double now)
{
	unsigned int let = 0;
	char line[40];

	while (n-- > 0) {
		(void)snprintf(line, sizeof(line), "%u to come", n);
		let += repeat_allows(r, kind, about, 4, line, now);
	}
	return let;
}

static unsigned long
due(struct repeat *r, double now)
{
	const struct repeat_entry *e = repeat_due(r, now, false);

	return e != NULL ? e->held : 0;
}

START_TEST(the_first_are_let_through)
{
	struct repeat r = { .list = { { .kind = NULL } } };
	const struct repeat_entry *e;

	ck_assert_uint_eq(offer(&r, one, "a", REPEAT_FREE + 3, 100), REPEAT_FREE);
	/* another address, another kind */
	ck_assert_uint_eq(offer(&r, one, "b", 2, 110), 2);
	ck_assert_uint_eq(offer(&r, two, "a", 2, 110), 2);
	ck_assert_ptr_null(repeat_due(&r, 100 + REPEAT_WINDOW - 0.1, false));
	e = repeat_due(&r, 100 + REPEAT_WINDOW, false);
	ck_assert_ptr_nonnull(e);
	ck_assert_uint_eq(e->held, 3);
	ck_assert_int_eq(e->priority, 4);
	ck_assert_str_eq(e->line, "0 to come");
	ck_assert_ptr_null(repeat_due(&r, 1000, true));
	/* and it begins anew */
	ck_assert_uint_eq(offer(&r, one, "a", 1, 1000), 1);
}
END_TEST

/* One that never comes again is forgotten, so there is room. */
START_TEST(quiet_ones_are_forgotten)
{
	struct repeat r = { .list = { { .kind = NULL } } };
	char about[20];
	int i;

	for (i = 0; i < 10 * REPEAT_MOST; i++) {
		(void)snprintf(about, sizeof(about), "%d", i);
		ck_assert_uint_eq(offer(&r, one, about, REPEAT_FREE + 1,
		    i * REPEAT_WINDOW), REPEAT_FREE);
		ck_assert_uint_eq(due(&r, (i + 1) * REPEAT_WINDOW), 1);
	}
}
END_TEST

/* Many addresses cannot fill the log with one kind of line ... */
START_TEST(many_addresses)
{
	struct repeat r = { .list = { { .kind = NULL } } };
	const struct repeat_entry *e;
	unsigned int let = 0, held = 0;
	char about[20];
	int i;

	for (i = 0; i < 10000; i++) {
		(void)snprintf(about, sizeof(about), "%d", i);
		let += offer(&r, one, about, 1, 5);
	}
	ck_assert_uint_le(let, REPEAT_MOST_KIND * REPEAT_FREE);
	/* ... nor keep others from being counted; and all are accounted for */
	ck_assert_uint_eq(offer(&r, two, "x", REPEAT_FREE + 2, 5), REPEAT_FREE);
	while ((e = repeat_due(&r, 0, true)) != NULL)
		held += (unsigned int)e->held;
	ck_assert_uint_eq(let + held, 10000 + 2);
}
END_TEST

/* Where there is no room for one more kind nothing is held back. */
START_TEST(full)
{
	struct repeat r = { .list = { { .kind = NULL } } };
	static const char kinds[REPEAT_MOST];
	size_t i;

	for (i = 0; i < REPEAT_MOST; i++)
		(void)offer(&r, &kinds[i], "", 1, 0);
	ck_assert_uint_eq(offer(&r, one, "", 100, 0), 100);
	ck_assert_uint_eq(offer(&r, &kinds[0], "", 100, 0), REPEAT_FREE - 1);
}
END_TEST

START_TEST(long_values)
{
	struct repeat r = { .list = { { .kind = NULL } } };
	const struct repeat_entry *e;
	char *about = unit_repeat('a', REPEAT_ABOUT_MAX * 2);
	char *text = unit_repeat('x', REPEAT_LINE_MAX * 2);
	int i;

	for (i = 0; i < REPEAT_FREE + 2; i++)
		(void)repeat_allows(&r, one, about, 3, text, 0);
	e = repeat_due(&r, 0, true);
	ck_assert_ptr_nonnull(e);
	ck_assert_uint_eq(e->held, 2);
	ck_assert_uint_eq(strlen(e->line), REPEAT_LINE_MAX - 1);
	free(about);
	free(text);
}
END_TEST

Suite *
repeat_suite(void)
{
	Suite *s = suite_create("repeat");
	TCase *tc = unit_case(s, "lines");

	tcase_add_test(tc, the_first_are_let_through);
	tcase_add_test(tc, quiet_ones_are_forgotten);
	tcase_add_test(tc, many_addresses);
	tcase_add_test(tc, full);
	tcase_add_test(tc, long_values);
	return s;
}

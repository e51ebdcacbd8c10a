#include "config.h"

#include "attempts.h"
#include "unit.h"

#define SMALL	(ATTEMPTS_LARGE - 1)

/* A message of LENGTH bytes, and three backends. */
struct way {
	struct attempts	a;
	struct attempt	of[3];
	struct attempts_signs signs[3];
};

static void
begin(struct way *w, size_t length)
{
	*w = (struct way){ .of = { { .tried = false } } };
	attempts_init(&w->a, w->of, COUNT(w->of), length);
}

static bool
allows(const struct way *w, size_t i)
{
	return attempts_allow(&w->of[i], &w->signs[i]);
}

static bool
refused(struct way *w, size_t i, unsigned int n)
{
	return attempts_refused(&w->a, i, n, &w->signs[i]);
}

START_TEST(lost_twice_is_the_end)
{
	struct way w;

	begin(&w, SMALL);
	ck_assert(!attempts_are_careful(&w.a));
	ck_assert_uint_eq(attempts_left(&w.a), 2);
	ck_assert(attempts_lost(&w.a, 0, 1));
	ck_assert(!allows(&w, 0));
	ck_assert(allows(&w, 1));
	ck_assert_uint_eq(attempts_left(&w.a), 1);
	ck_assert(!attempts_lost(&w.a, 1, 1));
	/* by two connections of one exchange, too */
	begin(&w, SMALL);
	ck_assert(!attempts_lost(&w.a, 0, 2));
}
END_TEST

START_TEST(absent_ones_do_not_count)
{
	struct way w;
	size_t i, round;

	begin(&w, ATTEMPTS_LARGE);
	for (round = 0; round < 10; round++) {
		for (i = 0; i < COUNT(w.of); i++) {
			ck_assert(allows(&w, i));
			attempts_absent(&w.a, i);
			ck_assert(!allows(&w, i));
		}
		attempts_begin_again(&w.a);
	}
	ck_assert_uint_eq(w.a.lost + w.a.refused, 0);
}
END_TEST

START_TEST(refused_and_answered_meanwhile)
{
	struct way w;

	begin(&w, SMALL);
	ck_assert(refused(&w, 0, 1));
	ck_assert(attempts_are_careful(&w.a));
	ck_assert_uint_eq(attempts_left(&w.a), 2);
	/* another first; the same once it has shown that it has room */
	ck_assert(!allows(&w, 0));
	ck_assert(allows(&w, 1));
	attempts_begin_again(&w.a);
	ck_assert(!allows(&w, 0));
	w.signs[0].answers++;
	ck_assert(allows(&w, 0));
	/* twice may still be for want of room */
	ck_assert(refused(&w, 0, 1));
	ck_assert(!allows(&w, 0));
	w.signs[0].answers++;
	ck_assert(!refused(&w, 0, 1));
}
END_TEST

START_TEST(refused_without_a_byte)
{
	struct way w;
	int i;

	begin(&w, ATTEMPTS_LARGE);
	for (i = 0; i < 1000; i++) {
		ck_assert(refused(&w, 0, 0));
		ck_assert(!allows(&w, 0));
		w.signs[0].answers++;
		ck_assert(allows(&w, 0));
	}
	ck_assert(!attempts_are_careful(&w.a));
	/* nor does it make one refusal two */
	ck_assert(refused(&w, 0, 1));
}
END_TEST

START_TEST(refused_by_several)
{
	struct way w;

	begin(&w, SMALL);
	ck_assert(refused(&w, 0, 1));
	ck_assert(refused(&w, 1, 1));
	ck_assert(!refused(&w, 2, 1));
	/* over a kept connection and a new one */
	begin(&w, SMALL);
	ck_assert(refused(&w, 0, 2));
	ck_assert(!refused(&w, 0, 1));
}
END_TEST

START_TEST(large_ones_have_one_repeat)
{
	struct way w;

	begin(&w, ATTEMPTS_LARGE);
	ck_assert(refused(&w, 0, 1));
	ck_assert(!refused(&w, 1, 1));
	begin(&w, SMALL);
	ck_assert(refused(&w, 0, 1));
	ck_assert(refused(&w, 1, 1));
}
END_TEST

START_TEST(it_was_away_meanwhile)
{
	struct way w;

	begin(&w, SMALL);
	ck_assert(refused(&w, 0, 1));
	w.signs[0].absences++;
	w.signs[0].answers++;
	/* a look at it does not hide that */
	ck_assert(refused(&w, 0, 0));
	w.signs[0].answers++;
	ck_assert(refused(&w, 0, 1));
	w.signs[0].absences++;
	w.signs[0].answers++;
	/* but there is an end */
	ck_assert(!refused(&w, 0, 1));
}
END_TEST

START_TEST(refused_ones_may_be_lost_twice)
{
	struct way w;

	begin(&w, SMALL);
	ck_assert(refused(&w, 0, 1));
	ck_assert(attempts_lost(&w.a, 1, 1));
	ck_assert(!attempts_lost(&w.a, 2, 1));
}
END_TEST

Suite *
attempts_suite(void)
{
	Suite *s = suite_create("attempts");
	TCase *tc = unit_case(s, "attempts");

	tcase_add_test(tc, lost_twice_is_the_end);
	tcase_add_test(tc, absent_ones_do_not_count);
	tcase_add_test(tc, refused_and_answered_meanwhile);
	tcase_add_test(tc, refused_without_a_byte);
	tcase_add_test(tc, refused_by_several);
	tcase_add_test(tc, large_ones_have_one_repeat);
	tcase_add_test(tc, it_was_away_meanwhile);
	tcase_add_test(tc, refused_ones_may_be_lost_twice);
	return s;
}

#include "config.h"

#include "room.h"
#include "unit.h"

START_TEST(any_number_before_a_refusal)
{
	struct room r;
	int i;

	room_init(&r, 5);
	for (i = 0; i < 100; i++) {
		ck_assert(room_allows(&r, 1.0));
		room_begin(&r, 1.0);
	}
	ck_assert(!room_is_full(&r));
	ck_assert(!room_is_stuck(&r, 0.0, 1e9));
}
END_TEST

/* Mail that waits for less than the usual step gets its try, too. */
START_TEST(short_waits)
{
	struct room r;

	room_init(&r, 0.5);
	ck_assert(room_refused(&r, 10.0));
	ck_assert(!room_allows(&r, 10.24));
	ck_assert(room_allows(&r, 10.25));
	room_init(&r, 100);
	ck_assert(room_refused(&r, 10.0));
	ck_assert(!room_allows(&r, 10.9));
	ck_assert(room_allows(&r, 11.0));
}
END_TEST

START_TEST(one_for_each_answer)
{
	struct room r;

	room_init(&r, 5);
	/* answers from before are no places */
	room_answered(&r);
	ck_assert(room_refused(&r, 10.0));
	ck_assert(room_is_full(&r));
	ck_assert(!room_allows(&r, 10.1));
	ck_assert(!room_refused(&r, 10.1));
	room_answered(&r);
	room_answered(&r);
	ck_assert(room_allows(&r, 10.2));
	room_begin(&r, 10.2);
	ck_assert(room_allows(&r, 10.2));
	room_begin(&r, 10.2);
	ck_assert(!room_allows(&r, 10.2));
}
END_TEST

/* How many messages R takes at the time NOW. */
static unsigned int
takes(struct room *r, double now)
{
	unsigned int n = 0;

	for (; n < 1000 && room_allows(r, now); n++)
		room_begin(r, now);
	return n;
}

START_TEST(more_by_and_by)
{
	struct room r;
	unsigned int n;
	double t = 10.0;

	room_init(&r, 5);
	ck_assert(room_refused(&r, t));
	ck_assert_uint_eq(takes(&r, t + ROOM_STEP_S - 0.001), 0);
	for (n = 1; n <= 4; n *= 2) {
		t += ROOM_STEP_S;
		ck_assert_uint_eq(takes(&r, t), n);
		ck_assert_uint_eq(takes(&r, t), 0);
	}
	/* refused again, which is not told: it begins with one */
	ck_assert(!room_refused(&r, t));
	ck_assert_uint_eq(takes(&r, t), 0);
	for (n = 1; n < ROOM_MORE_MAX; n *= 2) {
		t += ROOM_STEP_S;
		ck_assert_uint_eq(takes(&r, t), n);
	}
	t += ROOM_STEP_S;
	ck_assert_uint_eq(takes(&r, t), 1000);
	ck_assert(!room_is_full(&r));
	/* a later refusal is told anew, and places of before are none */
	room_answered(&r);
	ck_assert(room_refused(&r, t));
	ck_assert_uint_eq(takes(&r, t), 0);
}
END_TEST

START_TEST(stuck_without_an_answer)
{
	struct room r;

	room_init(&r, 5);
	(void)room_refused(&r, 10.0);
	ck_assert(!room_is_stuck(&r, 5.0, 15.0));
	ck_assert(room_is_stuck(&r, 5.0, 15.001));
	/* rare ones are no better */
	(void)room_refused(&r, 13.0);
	ck_assert(room_is_stuck(&r, 5.0, 15.001));
	room_answered(&r);
	ck_assert(!room_is_stuck(&r, 5.0, 1000.0));
	(void)room_refused(&r, 1000.0);
	ck_assert(!room_is_stuck(&r, 5.0, 1005.0));
	ck_assert(room_is_stuck(&r, 5.0, 1005.001));
}
END_TEST

Suite *
room_suite(void)
{
	Suite *s = suite_create("room");
	TCase *tc = unit_case(s, "room");

	tcase_add_test(tc, any_number_before_a_refusal);
	tcase_add_test(tc, short_waits);
	tcase_add_test(tc, one_for_each_answer);
	tcase_add_test(tc, more_by_and_by);
	tcase_add_test(tc, stuck_without_an_answer);
	return s;
}

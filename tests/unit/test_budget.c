#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "budget.h"
#include "unit.h"

#define LIMIT	1000

static struct budget budget;
static unsigned int wakes;

static void
on_wake(void *arg)
{
	ck_assert_ptr_eq(arg, &wakes);
	wakes++;
}

static void
new_budget(uint64_t limit)
{
	wakes = 0;
	budget_init(&budget, limit, on_wake, &wakes);
}

/* A holder that only notes that it was served. */
struct mine {
	struct budget_holder holder;
	unsigned int	 served;
};

static void
on_served(void *arg)
{
	struct mine *m = arg;

	m->served++;
}

static struct mine
new_holder(void)
{
	return (struct mine){ .holder = { .cb = on_served } };
}

/* The address is known only where it has come to stay. */
static bool
ask(struct mine *m, uint64_t n)
{
	m->holder.arg = m;
	return budget_ask(&budget, &m->holder, n);
}

START_TEST(within_the_limit)
{
	struct mine a = new_holder(), b = new_holder();

	new_budget(LIMIT);
	ck_assert(ask(&a, 400));
	ck_assert(ask(&b, 600));
	ck_assert_uint_eq(budget.used, 1000);
	ck_assert_uint_eq(a.holder.held, 400);
	ck_assert(!ask(&a, 1));
	ck_assert_uint_eq(a.holder.wanted, 1);
	ck_assert_uint_eq(budget.used, 1000);
	budget_serve(&budget);
	ck_assert_uint_eq(a.served, 0);
	budget_release(&budget, &b.holder);
	ck_assert_uint_gt(wakes, 0);
	/* it is told by budget_serve() only */
	ck_assert_uint_eq(a.served, 0);
	budget_serve(&budget);
	ck_assert_uint_eq(a.served, 1);
	ck_assert_uint_eq(a.holder.wanted, 0);
	ck_assert_uint_eq(a.holder.held, 401);
	ck_assert_uint_eq(budget.used, 401);
	budget_release(&budget, &a.holder);
	budget_release(&budget, &a.holder);
	budget_release(&budget, &b.holder);
	ck_assert_uint_eq(budget.used, 0);
	ck_assert_uint_eq(budget.stuck, 0);
}
END_TEST

/* Who came first is first, though a later one would fit. */
START_TEST(in_the_order_of_their_coming)
{
	struct mine a = new_holder(), b = new_holder(), c = new_holder();

	new_budget(LIMIT);
	ck_assert(ask(&a, 900));
	ck_assert(!ask(&b, 500));
	ck_assert(!ask(&c, 50));
	budget_serve(&budget);
	ck_assert_uint_eq(b.served + c.served, 0);
	budget_keep(&budget, &a.holder, 500);
	budget_serve(&budget);
	ck_assert_uint_eq(b.served, 1);
	ck_assert_uint_eq(c.served, 0);
	budget_release(&budget, &a.holder);
	budget_serve(&budget);
	ck_assert_uint_eq(c.served, 1);
}
END_TEST

/* A message above the whole limit is served where nobody else has any. */
START_TEST(alone_beyond_the_limit)
{
	struct mine a = new_holder(), b = new_holder();

	new_budget(LIMIT);
	ck_assert(ask(&a, 800));
	ck_assert(ask(&a, 800));
	ck_assert_uint_eq(budget.used, 1600);
	ck_assert(!ask(&b, 1));
	budget_serve(&budget);
	ck_assert_uint_eq(b.served, 0);
	/* it goes on, though somebody waits before it: that one cannot */
	if (!ask(&a, 800)) {
		budget_serve(&budget);
		ck_assert_uint_eq(a.served, 1);
	}
	ck_assert_uint_eq(a.holder.held, 2400);
	ck_assert_uint_eq(b.served, 0);
	budget_release(&budget, &a.holder);
	budget_serve(&budget);
	ck_assert_uint_eq(b.served, 1);
}
END_TEST

/* All that is held belongs to such as wait: one goes on, to its end. */
START_TEST(one_at_a_time_beyond_the_limit)
{
	struct mine m[4] = { new_holder(), new_holder(), new_holder(),
	    new_holder() };
	uint64_t others;
	size_t i, round, lucky = COUNT(m);

	new_budget(LIMIT);
	for (i = 0; i < COUNT(m); i++)
		ck_assert(ask(&m[i], 250));
	for (i = 0; i < COUNT(m); i++)
		ck_assert(!ask(&m[i], 250));
	for (round = 0; round < 10; round++) {
		budget_serve(&budget);
		for (i = 0, others = 0; i < COUNT(m); i++) {
			if (m[i].served > round && lucky == COUNT(m))
				lucky = i;
			if (i != lucky)
				others += m[i].served;
		}
		ck_assert_uint_lt(lucky, COUNT(m));
		ck_assert_uint_eq(m[lucky].served, round + 1);
		ck_assert_uint_eq(others, 0);
		ck_assert(!ask(&m[lucky], 250));
	}
	budget_release(&budget, &m[lucky].holder);
	budget_serve(&budget);
	for (i = 0, others = 0; i < COUNT(m); i++)
		others += i != lucky && m[i].served > 0;
	/* the room that it left is one step */
	ck_assert_uint_eq(others, 1);
}
END_TEST

/* Those who hold nothing do not get in the way of one who does. */
START_TEST(who_holds_something_goes_first_beyond_it)
{
	struct mine a = new_holder(), b = new_holder();

	new_budget(LIMIT);
	budget_charge(&budget, &b.holder, 100);
	ck_assert(!ask(&a, 5000));
	budget_serve(&budget);
	ck_assert_uint_eq(a.served, 0);
	ck_assert(!ask(&b, 5000));
	budget_serve(&budget);
	ck_assert_uint_eq(a.served, 0);
	ck_assert_uint_eq(b.served, 1);
	budget_release(&budget, &b.holder);
	budget_serve(&budget);
	ck_assert_uint_eq(a.served, 1);
}
END_TEST

START_TEST(who_leaves_is_not_served)
{
	struct mine a = new_holder(), b = new_holder(), c = new_holder();

	new_budget(LIMIT);
	ck_assert(ask(&a, 600));
	ck_assert(!ask(&b, 500));
	ck_assert(!ask(&c, 300));
	budget_release(&budget, &b.holder);
	/* the next one fits, and nobody else would tell it */
	ck_assert_uint_gt(wakes, 0);
	budget_serve(&budget);
	ck_assert_uint_eq(b.served, 0);
	ck_assert_uint_eq(c.served, 1);
	ck_assert_uint_eq(budget.used, 900);
	ck_assert_uint_eq(budget.stuck, 0);
}
END_TEST

/* What is not granted but charged may go beyond the limit, and counts. */
START_TEST(charged_without_asking)
{
	struct mine a = new_holder(), b = new_holder();

	new_budget(LIMIT);
	budget_charge(&budget, &a.holder, 1500);
	ck_assert_uint_eq(budget.used, 1500);
	ck_assert(!ask(&b, 1));
	budget_keep(&budget, &a.holder, 2000);
	ck_assert_uint_eq(a.holder.held, 1500);
	budget_keep(&budget, &a.holder, 1000);
	budget_serve(&budget);
	ck_assert_uint_eq(b.served, 0);
	budget_keep(&budget, &a.holder, 999);
	budget_serve(&budget);
	ck_assert_uint_eq(b.served, 1);
}
END_TEST

/* What one who is served does at once is no matter. */
static void
on_served_leaves(void *arg)
{
	struct mine *m = arg;

	m->served++;
	budget_release(&budget, &m->holder);
}

START_TEST(callbacks_may_do_as_they_like)
{
	struct mine a = new_holder(), many[20];
	size_t i;

	new_budget(LIMIT);
	ck_assert(ask(&a, 1000));
	for (i = 0; i < COUNT(many); i++) {
		many[i] = new_holder();
		many[i].holder.cb = on_served_leaves;
		ck_assert(!ask(&many[i], 1000));
	}
	budget_release(&budget, &a.holder);
	budget_serve(&budget);
	for (i = 0; i < COUNT(many); i++)
		ck_assert_uint_eq(many[i].served, 1);
	ck_assert_uint_eq(budget.used, 0);
}
END_TEST

/*
 * Many messages at once, in random steps and orders; some leave before they
 * are whole.  What must be true at each moment, and that all come to an end.
 */
#define HOLDERS		24
#define LARGEST		700

struct sender {
	struct mine	 mine;
	uint64_t	 want;		/* the size of its message */
	bool		 done;
};

static uint32_t dice;

static uint32_t
roll(uint32_t n)
{
	dice ^= dice << 13;
	dice ^= dice >> 17;
	dice ^= dice << 5;
	return dice % n;
}

static void
check(const struct sender *s)
{
	uint64_t held = 0, stuck = 0;
	size_t i, waiting = 0;

	for (i = 0; i < HOLDERS; i++) {
		held += s[i].mine.holder.held;
		if (s[i].mine.holder.wanted > 0) {
			stuck += s[i].mine.holder.held;
			waiting++;
		}
	}
	ck_assert_uint_eq(budget.used, held);
	ck_assert_uint_eq(budget.stuck, stuck);
	/* one message at a time is beyond it */
	ck_assert_uint_le(budget.used, budget.limit + LARGEST);
	/* not all wait for each other, once those were told who can be */
	if (wakes == 0 && waiting > 0)
		ck_assert_uint_lt(stuck, held);
}

/* One thing that may happen to S, which does not wait. */
static void
advance(struct sender *s)
{
	struct budget_holder *h = &s->mine.holder;
	uint64_t left = s->want - h->held, n = 1 + roll(200);

	if (roll(40) == 0 || left == 0) {
		budget_release(&budget, h);
		s->done = true;
	} else
		(void)ask(&s->mine, n < left ? n : left);
}

START_TEST(all_come_to_an_end)
{
	struct sender s[HOLDERS];
	size_t i, left = HOLDERS, steps;

	dice = (uint32_t)_i * 2654435761U + 1;
	memset(s, 0, sizeof(s));
	new_budget(_i % 3 == 0 ? 100 : LIMIT);
	for (i = 0; i < HOLDERS; i++) {
		s[i].mine = new_holder();
		s[i].want = 1 + roll(LARGEST);
	}
	for (steps = 0; left > 0; steps++) {
		ck_assert_uint_lt(steps, 1000000);
		i = roll(HOLDERS);
		if (wakes > 0 && roll(3) == 0) {
			wakes = 0;
			budget_serve(&budget);
		} else if (!s[i].done && s[i].mine.holder.wanted > 0 &&
		    roll(200) == 0) {
			budget_release(&budget, &s[i].mine.holder);
			s[i].done = true;
			left--;
		} else if (!s[i].done && s[i].mine.holder.wanted == 0) {
			advance(&s[i]);
			left -= s[i].done;
		}
		check(s);
	}
	ck_assert_uint_eq(budget.used, 0);
	ck_assert(TAILQ_EMPTY(&budget.queue));
}
END_TEST

Suite *
budget_suite(void)
{
	Suite *s = suite_create("budget");
	TCase *tc = unit_case(s, "budget");

	tcase_add_test(tc, within_the_limit);
	tcase_add_test(tc, in_the_order_of_their_coming);
	tcase_add_test(tc, alone_beyond_the_limit);
	tcase_add_test(tc, one_at_a_time_beyond_the_limit);
	tcase_add_test(tc, who_holds_something_goes_first_beyond_it);
	tcase_add_test(tc, who_leaves_is_not_served);
	tcase_add_test(tc, charged_without_asking);
	tcase_add_test(tc, callbacks_may_do_as_they_like);
	tcase_add_loop_test(tc, all_come_to_an_end, 0, 40);
	return s;
}

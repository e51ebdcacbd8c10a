#include "config.h"

#include <string.h>

#include "counters.h"
#include "unit.h"

static struct spamd_request report = { .dialect = SPAMD_SPAMC,
	.command = SPAMD_REPORT, .version = 102 };
static struct spamd_request ping = { .dialect = SPAMD_SPAMC,
	.command = SPAMD_PING, .version = 105 };

/* How many counters of C are not zero, histograms left out. */
static size_t
nonzero(const struct counters *c)
{
	const unsigned char *p = (const unsigned char *)c;
	uint64_t v;
	size_t i, n = 0;

	for (i = 0; i < offsetof(struct counters, read); i += sizeof(v)) {
		memcpy(&v, p + i, sizeof(v));
		n += v != 0;
	}
	return n;
}

START_TEST(a_verdict)
{
	struct verdict *v = unit_verdict("{\"action\":\"add header\","
	    "\"score\":7,\"required_score\":15}");
	struct counters c = { .accepted = 0 };
	struct outcome o;
	struct account a = { .request = &report, .outcome = &o,
	    .backend = "x", .envelope_from = "exim-addresses",
	    .times = { .read = 0.02, .total = 0.3 } };

	outcome_verdict(&o, v, &unit_policy);
	counters_request(&c, &a);
	ck_assert_uint_eq(c.request[SPAMD_SPAMC][SPAMD_REPORT]
	    [COUNTERS_VERDICT], 1);
	ck_assert_uint_eq(c.action[2], 1);
	ck_assert_str_eq(counters_action_names[2], "add header");
	ck_assert_uint_eq(c.envelope[1], 1);
	ck_assert_uint_eq(nonzero(&c), 3);
	ck_assert_uint_eq(counters_ended(&c, COUNTERS_VERDICT), 1);
	ck_assert_uint_eq(counters_ended(&c, COUNTERS_ERROR), 0);
	ck_assert_uint_eq(c.read.usec, 20000);
	ck_assert_uint_eq(c.wait.usec, 280000);
	ck_assert_uint_eq(c.total.usec, 300000);
	verdict_free(v);
}
END_TEST

START_TEST(custom_actions_are_one)
{
	struct verdict *v = unit_verdict("{\"action\":\"quarantine it\","
	    "\"score\":7,\"required_score\":15}");
	struct counters c = { .accepted = 0 };
	struct outcome o;
	struct account a = { .request = &report, .outcome = &o };

	outcome_verdict(&o, v, &unit_policy);
	counters_request(&c, &a);
	ck_assert_uint_eq(c.action[COUNTERS_ACTIONS - 1], 1);
	verdict_free(v);
}
END_TEST

START_TEST(failures)
{
	struct counters c = { .accepted = 0 };
	struct outcome o;
	struct account a = { .request = &report, .outcome = &o,
	    .times = { .total = 1 } };

	outcome_failed(&o, FAILURE_TIMEOUT, "late");
	counters_request(&c, &a);
	outcome_pass(&o, &unit_policy, FAILURE_TOO_LARGE, "large");
	counters_request(&c, &a);
	ck_assert_uint_eq(counters_ended(&c, COUNTERS_ERROR), 1);
	ck_assert_uint_eq(counters_ended(&c, COUNTERS_UNSCANNED), 1);
	ck_assert_uint_eq(c.failure[FAILURE_TIMEOUT], 1);
	ck_assert_uint_eq(c.failure[FAILURE_TOO_LARGE], 1);
	ck_assert_uint_eq(nonzero(&c), 4);
	/* no message came to its end, no rspamd was asked */
	ck_assert_uint_eq(counters_observed(&c.total), 2);
	ck_assert_uint_eq(counters_observed(&c.read), 0);
	ck_assert_uint_eq(counters_observed(&c.wait), 0);
}
END_TEST

START_TEST(without_a_verdict)
{
	struct counters c = { .accepted = 0 };
	struct outcome o;
	struct account a = { .request = &ping, .outcome = &o,
	    .times = { .total = 1 } };

	outcome_done(&o, "");
	counters_request(&c, &a);
	ck_assert_uint_eq(c.request[SPAMD_SPAMC][SPAMD_PING][COUNTERS_OK], 1);
	/* those who left are gone, whatever the outcome was to be */
	a.request = &report;
	a.ending = ACCOUNT_GONE;
	counters_request(&c, &a);
	a.ending = ACCOUNT_REPLIED;
	a.outcome = NULL;
	counters_request(&c, &a);
	ck_assert_uint_eq(c.request[SPAMD_SPAMC][SPAMD_REPORT]
	    [COUNTERS_GONE], 2);
	a.ending = ACCOUNT_SKIPPED;
	counters_request(&c, &a);
	ck_assert_uint_eq(counters_ended(&c, COUNTERS_OK), 2);
	ck_assert_uint_eq(counters_observed(&c.total), 1);
}
END_TEST

START_TEST(buckets)
{
	struct counters_histogram h = { .usec = 0 };
	size_t i;

	/* a bound belongs to its bucket */
	for (i = 0; i < COUNTERS_BUCKETS - 1; i++)
		counters_observe(&h, counters_bounds[i]);
	counters_observe(&h, counters_bounds[COUNTERS_BUCKETS - 2] * 1.01);
	for (i = 0; i < COUNTERS_BUCKETS; i++)
		ck_assert_uint_eq(h.bucket[i], 1);
	counters_observe(&h, -1);
	ck_assert_uint_eq(h.bucket[0], 2);
	ck_assert_uint_eq(counters_observed(&h), COUNTERS_BUCKETS + 1);
	for (i = 1; i < COUNTERS_BUCKETS - 1; i++)
		ck_assert(counters_bounds[i - 1] < counters_bounds[i]);
}
END_TEST

START_TEST(sums)
{
	struct counters a = { .accepted = 2, .total = { .usec = 5 } };
	struct counters sum = { .accepted = 1, .now = { .connections = 4 } };
	struct counters_backend b = { .cancelled = 7 }, bsum = { .cancelled = 1 };

	a.request[SPAMD_RSPAMC][SPAMD_CHECK][COUNTERS_GONE] = 9;
	counters_add(&sum, &a);
	ck_assert_uint_eq(sum.accepted, 3);
	ck_assert_uint_eq(sum.now.connections, 4);
	ck_assert_uint_eq(sum.total.usec, 5);
	ck_assert_uint_eq(sum.request[SPAMD_RSPAMC][SPAMD_CHECK]
	    [COUNTERS_GONE], 9);
	counters_exchange(&b, FAILURE_NONE, 0.5);
	counters_exchange(&b, FAILURE_TIMEOUT, 0.5);
	counters_add_backend(&bsum, &b);
	ck_assert_uint_eq(bsum.cancelled, 8);
	ck_assert_uint_eq(bsum.result[FAILURE_NONE], 1);
	ck_assert_uint_eq(bsum.result[FAILURE_TIMEOUT], 1);
	ck_assert_uint_eq(bsum.seconds.usec, 1000000);
}
END_TEST

Suite *
counters_suite(void)
{
	Suite *s = suite_create("counters");
	TCase *tc = unit_case(s, "requests");

	tcase_add_test(tc, a_verdict);
	tcase_add_test(tc, custom_actions_are_one);
	tcase_add_test(tc, failures);
	tcase_add_test(tc, without_a_verdict);
	tc = unit_case(s, "numbers");
	tcase_add_test(tc, buckets);
	tcase_add_test(tc, sums);
	return s;
}

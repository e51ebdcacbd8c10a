#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "account.h"
#include "unit.h"

/* The line of A, and whether all went well; a string to be freed. */
static char *
line(const struct account *a, bool *well)
{
	struct text t;

	text_init(&t, ACCOUNT_LINE_MAX);
	*well = account_line(&t, a);
	ck_assert(!text_failed(&t));
	ck_assert_uint_eq(strlen(text_string(&t)), t.len);
	return t.buf;
}

static void
is(const struct account *a, bool well, const char *expected)
{
	bool went;
	char *s = line(a, &went);

	ck_assert_str_eq(s, expected);
	ck_assert(went == well);
	free(s);
}

#define PEER	"client=127.0.0.1:40000 "
#define TIMES	" connect=0.001 send=0.002 wait=0.250 receive=0.004"

static const struct account_times times = { .read = 0.01, .connect = 0.001,
	.send = 0.002, .wait = 0.25, .receive = 0.004, .total = 0.3 };

/* An account of a request that was answered. */
static struct account
account_of(struct spamd_request *r, const struct outcome *o)
{
	return (struct account){ .peer = "127.0.0.1:40000", .request = r,
	    .size = 1234, .backend = "http://127.0.0.1:11333",
	    .outcome = o, .times = times };
}

START_TEST(verdicts)
{
	struct spamd_request r = { .dialect = SPAMD_SPAMC,
	    .command = SPAMD_REPORT, .version = 102 };
	struct verdict *v = unit_verdict("{\"action\":\"add header\","
	    "\"score\":7.25,\"required_score\":15}");
	struct outcome o = { 0 };
	struct account a = account_of(&r, &o);
	char *s;
	bool well;

	/* the threshold is what the client was shown */
	outcome_verdict(&o, v, &unit_policy);
	is(&a, true, PEER "dialect=spamc/1.2 command=REPORT size=1234 "
	    "backend=http://127.0.0.1:11333 action=\"add header\" score=7.25 "
	    "required=7.20 spam=yes read=0.010" TIMES " total=0.300 "
	    "outcome=verdict");
	r.dialect = SPAMD_RSPAMC;
	r.version = -1;
	s = line(&a, &well);
	unit_holds(s, " dialect=rspamc command=");
	unit_holds(s, " required=15.00 ");
	free(s);
	verdict_free(v);
}
END_TEST

/* All that is known of the envelope, and how. */
START_TEST(envelopes)
{
	struct spamd_request r = { .dialect = SPAMD_RSPAMC,
	    .command = SPAMD_CHECK, .version = 103, .rcpt_seen = 1030 };
	struct envelope *e = envelope_new();
	struct outcome o = { 0 };
	struct account a = account_of(&r, &o);
	char *s;
	bool well;

	outcome_done(&o, "");
	a.envelope = e;
	s = line(&a, &well);
	unit_holds(s, " command=CHECK rcpts=1030 rcpts_left_out=1030 size=");
	free(s);
	r.rcpt_seen = 0;
	ck_assert_int_eq(envelope_set(&e->queue_id, BYTES("1x-2")), 0);
	ck_assert_int_eq(envelope_set(&e->ip, BYTES("::1")), 0);
	ck_assert_int_eq(envelope_set(&e->sender, BYTES("a@b")), 0);
	ck_assert_int_eq(envelope_set(&e->user, BYTES("al ice")), 0);
	ck_assert_int_eq(envelope_add_rcpt(e, BYTES("c@d")), 0);
	e->authenticated = true;
	a.envelope_from = "exim";
	a.left.values = 2;
	s = line(&a, &well);
	unit_holds(s, " queue_id=1x-2 ip=::1 from=a@b rcpts=1 "
	    "authenticated=yes user=\"al ice\" envelope=exim "
	    "headers_left_out=2 size=1234 ");
	free(s);
	/* those above the parser's limit, and those above rspamd's */
	r.rcpt_seen = 5;
	a.left.rcpt = 3;
	s = line(&a, &well);
	unit_holds(s, " rcpts=5 ");
	unit_holds(s, " rcpts_left_out=7 ");
	free(s);
	/* a null sender is one */
	e->sender[0] = '\0';
	s = line(&a, &well);
	unit_holds(s, " from=\"\" ");
	free(s);
	envelope_free(e);
}
END_TEST

/* How a request can end, and whether somebody should look at it. */
START_TEST(endings)
{
	struct spamd_request r = { .dialect = SPAMD_SPAMC,
	    .command = SPAMD_CHECK, .version = 105 };
	struct outcome o = { 0 };
	struct account a = account_of(&r, &o);
	struct {
		enum account_ending ending;
		bool known, well;
		const char *end;
	} t[] = {
		{ ACCOUNT_REPLIED, true, true, " total=0.300 outcome=ok" },
		{ ACCOUNT_SKIPPED, false, true, " total=0.300 outcome=ok" },
		{ ACCOUNT_GONE, false, false,
		    " outcome=client-gone reason=reset" },
		{ ACCOUNT_GONE, true, false,
		    " outcome=client-gone reason=reset" },
		{ ACCOUNT_REPLIED, false, false,
		    " outcome=client-gone reason=reset" },
	};
	size_t i;
	char *s;
	bool well;

	outcome_done(&o, "");
	for (i = 0; i < COUNT(t); i++) {
		a.ending = t[i].ending;
		a.outcome = t[i].known ? &o : NULL;
		a.gone_why = t[i].ending == ACCOUNT_REPLIED && t[i].known ?
		    NULL : "reset";
		s = line(&a, &well);
		unit_ends(s, t[i].end);
		ck_assert_msg(well == t[i].well, "%s", s);
		free(s);
	}
	a.ending = ACCOUNT_GONE;
	a.gone_why = NULL;
	s = line(&a, &well);
	unit_ends(s, " outcome=client-gone");
	free(s);
}
END_TEST

/* Only a message that had to wait for a rspamd has a time for that. */
START_TEST(time_in_the_queue)
{
	struct spamd_request r = { .dialect = SPAMD_SPAMC,
	    .command = SPAMD_CHECK, .version = 105 };
	struct outcome o = { 0 };
	struct account a = account_of(&r, &o);
	bool well;
	char *s;

	outcome_done(&o, "");
	s = line(&a, &well);
	ck_assert_ptr_null(strstr(s, "queued"));
	free(s);
	a.times.queued = 1.25;
	s = line(&a, &well);
	unit_holds(s, " read=0.010 queued=1.250" TIMES " total=0.300 ");
	free(s);
	/* and it may have waited for nothing */
	outcome_failed(&o, FAILURE_OVERLOAD, "busy");
	a.backend = NULL;
	s = line(&a, &well);
	unit_ends(s, " read=0.010 queued=1.250 total=0.300 outcome=error "
	    "failure=overload reason=busy");
	ck_assert(!well);
	free(s);
}
END_TEST

START_TEST(what_is_worth_a_warning)
{
	struct spamd_request r = { .dialect = SPAMD_SPAMC,
	    .command = SPAMD_CHECK, .version = 105 };
	struct outcome o = { 0 };
	struct account a = account_of(&r, &o);
	char *s;
	bool well;

	outcome_failed(&o, FAILURE_TIMEOUT, "no reply \"in\" time");
	s = line(&a, &well);
	unit_ends(s, " outcome=error failure=timeout "
	    "reason=\"no reply \\\"in\\\" time\"");
	ck_assert_ptr_null(strstr(s, "score="));
	ck_assert(!well);
	free(s);
	outcome_pass(&o, &unit_policy, FAILURE_TOO_LARGE, "large");
	s = line(&a, &well);
	unit_holds(s, " action=\"no action\" score=0.00 required=15.00 "
	    "spam=no ");
	unit_ends(s, " outcome=unscanned failure=too-large reason=large");
	ck_assert(!well);
	free(s);
	outcome_done(&o, "learned before");
	s = line(&a, &well);
	unit_ends(s, " outcome=ok reason=\"learned before\"");
	ck_assert(well);
	free(s);
}
END_TEST

/* What was not asked, or not understood, is not in the line. */
START_TEST(what_is_not_known)
{
	struct spamd_request r = { .dialect = SPAMD_DIALECT_UNKNOWN };
	struct outcome o = { 0 };
	struct account a = account_of(&r, &o);

	outcome_failed(&o, FAILURE_REQUEST, "why");
	a.backend = NULL;
	is(&a, false, PEER "command=- read=0.010 total=0.300 outcome=error "
	    "failure=bad-request reason=why");
	r.dialect = SPAMD_SPAMC;
	r.command = SPAMD_PING;
	r.version = 1213;
	outcome_done(&o, "");
	is(&a, true, PEER "dialect=spamc/12.13 command=PING read=0.010 "
	    "total=0.300 outcome=ok");
	r.command = SPAMD_TELL;
	r.version = 105;
	a.controller = "http://127.0.0.1:11334";
	is(&a, true, PEER "dialect=spamc/1.5 command=TELL size=1234 "
	    "controller=http://127.0.0.1:11334 read=0.010 total=0.300 "
	    "outcome=ok");
}
END_TEST

/* What others wrote adds no field and no line, and the longest of it fits. */
START_TEST(hostile_values)
{
	struct spamd_request r = { .dialect = SPAMD_SPAMC,
	    .command = SPAMD_PROCESS, .version = 105 };
	struct envelope *e = envelope_new();
	struct verdict v = { .action = "x outcome=ok\nclient=1.2.3.4" };
	struct outcome o = { 0 };
	struct account a = account_of(&r, &o);
	char *s, *bad = unit_repeat('\x01', 1000), *quotes =
	    unit_repeat('"', 1000);
	bool well;

	a.envelope = e;
	ck_assert_int_eq(envelope_set(&e->sender, BYTES("a\" user=root")), 0);
	ck_assert_int_eq(envelope_set(&e->user, BYTES("u outcome=ok")), 0);
	outcome_verdict(&o, &v, &unit_policy);
	s = line(&a, &well);
	unit_holds(s, " from=\"a\\\" user=root\" ");
	unit_holds(s, " user=\"u outcome=ok\" ");
	unit_holds(s, " action=\"x outcome=ok\\x0aclient=1.2.3.4\" ");
	ck_assert_ptr_null(strchr(s, '\n'));
	free(s);
	free(e->sender);
	free(e->user);
	e->sender = bad;
	e->user = unit_format("%s", bad);
	e->queue_id = unit_format("%s", bad);
	e->ip = unit_format("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff");
	e->authenticated = true;
	r.rcpt_seen = SIZE_MAX;
	r.version = 9999;
	a.size = UINT64_MAX;
	a.left.values = a.left.rcpt = SIZE_MAX;
	a.envelope_from = "addresses";
	a.backend = a.controller = quotes;
	a.peer = quotes;
	v.action = bad;
	v.score = v.required = -1e300;
	outcome_verdict(&o, &v, &unit_policy);
	a.times.read = a.times.connect = a.times.send = a.times.wait =
	    a.times.receive = a.times.total = 1e6;
	free(line(&a, &well));
	outcome_failed(&o, FAILURE_UNREADABLE, quotes);
	free(line(&a, &well));
	envelope_free(e);
	free(quotes);
}
END_TEST

Suite *
account_suite(void)
{
	Suite *s = suite_create("account");
	TCase *tc = unit_case(s, "line");

	tcase_add_test(tc, verdicts);
	tcase_add_test(tc, envelopes);
	tcase_add_test(tc, endings);
	tcase_add_test(tc, time_in_the_queue);
	tcase_add_test(tc, what_is_worth_a_warning);
	tcase_add_test(tc, what_is_not_known);
	tcase_add_test(tc, hostile_values);
	return s;
}

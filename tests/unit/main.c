/*
 * The unit tests of the pure modules, run by Check.  CK_FORK, CK_VERBOSITY,
 * CK_RUN_SUITE and CK_RUN_CASE in the environment mean what Check's manual
 * says.
 */
#include "config.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

/* Against a test that never ends, not against a slow one: Check's own 4
   seconds are too few for valgrind on a loaded machine. */
#define HANG_SECONDS	"240"

static const char *spam_actions[] = {
	"reject", "rewrite subject", "add header"
};

const struct outcome_policy unit_policy = {
	.spam_actions = spam_actions,
	.nspam_actions = COUNT(spam_actions),
	.spam_threshold = NAN
};

TCase *
unit_case(Suite *s, const char *name)
{
	TCase *tc = tcase_create(name);

	suite_add_tcase(s, tc);
	return tc;
}

struct verdict *
unit_verdict(const char *json)
{
	struct verdict *v;
	char why[200];

	v = verdict_parse(json, strlen(json), why, sizeof(why));
	ck_assert_msg(v != NULL, "%s: %s", why, json);
	/* by these it would count as one of no message */
	if (v->message_id == NULL && v->symbols_seen == 0)
		v->skipped = true;
	return v;
}

char *
unit_exact(const char *p, size_t len)
{
	char *copy = malloc(len != 0 ? len : 1);

	ck_assert_ptr_nonnull(copy);
	if (len != 0)
		memcpy(copy, p, len);
	return copy;
}

char *
unit_repeat(char c, size_t n)
{
	char *s = malloc(n + 1);

	ck_assert_ptr_nonnull(s);
	memset(s, c, n);
	s[n] = '\0';
	return s;
}

char *
unit_format(const char *fmt, ...)
{
	va_list ap;
	char *s = NULL;
	size_t size;
	FILE *f = open_memstream(&s, &size);

	ck_assert_ptr_nonnull(f);
	va_start(ap, fmt);
	vfprintf(f, fmt, ap);
	va_end(ap);
	ck_assert_int_eq(fclose(f), 0);
	return s;
}

/* The bytes for a person: controls and all above ASCII as \xNN. */
static void
show(char *out, size_t size, const char *p, size_t len)
{
	size_t i, n = 0;
	unsigned char c;

	for (i = 0; i < len && n + 8 < size; i++) {
		c = (unsigned char)p[i];
		n += (size_t)snprintf(out + n, size - n,
		    c < 0x20 || c >= 0x7f ? "\\x%02x" : "%c", c);
	}
	(void)snprintf(out + n, size - n, "%s", i < len ? "..." : "");
}

void
unit_bytes(const char *p, size_t len, const char *expected,
    size_t expected_len)
{
	char is[3000], should[3000];
	size_t at = 0;

	while (at < len && at < expected_len && p[at] == expected[at])
		at++;
	if (at == len && at == expected_len)
		return;
	/* from a little before the place where they part */
	at = at > 40 ? at - 40 : 0;
	show(is, sizeof(is), p + at, len - at);
	show(should, sizeof(should), expected + at, expected_len - at);
	ck_abort_msg("from byte %zu on:\n  is:       %s\n  expected: %s",
	    at, is, should);
}

void
unit_text(const struct text *t, const char *expected)
{
	ck_assert(!text_failed(t));
	unit_bytes(text_string(t), t->len, expected, strlen(expected));
}

void
unit_begins(const char *p, const char *s)
{
	ck_assert_msg(strncmp(p, s, strlen(s)) == 0, "`%.999s' does not "
	    "begin with `%.999s'", p, s);
}

void
unit_ends(const char *p, const char *s)
{
	size_t len = strlen(p), n = strlen(s);

	ck_assert_msg(len >= n && strcmp(p + len - n, s) == 0,
	    "`%.999s' does not end with `%.999s'", p, s);
}

void
unit_holds(const char *p, const char *s)
{
	ck_assert_msg(strstr(p, s) != NULL, "`%.999s' does not hold "
	    "`%.999s'", p, s);
}

int
main(void)
{
	SRunner *sr;
	int failed;

	/* before the first suite is made; who runs this may say otherwise */
	setenv("CK_DEFAULT_TIMEOUT", HANG_SECONDS, 0);
	sr = srunner_create(text_suite());
	srunner_add_suite(sr, slice_suite());
	srunner_add_suite(sr, arena_suite());
	srunner_add_suite(sr, decimal_suite());
	srunner_add_suite(sr, spamd_request_suite());
	srunner_add_suite(sr, encoded_word_suite());
	srunner_add_suite(sr, envelope_suite());
	srunner_add_suite(sr, inflate_suite());
	srunner_add_suite(sr, access_suite());
	srunner_add_suite(sr, attempts_suite());
	srunner_add_suite(sr, rspamd_request_suite());
	srunner_add_suite(sr, http_response_suite());
	srunner_add_suite(sr, verdict_suite());
	srunner_add_suite(sr, outcome_suite());
	srunner_add_suite(sr, password_guard_suite());
	srunner_add_suite(sr, probe_kind_suite());
	srunner_add_suite(sr, report_suite());
	srunner_add_suite(sr, spamd_reply_suite());
	srunner_add_suite(sr, rspamc_reply_suite());
	srunner_add_suite(sr, rewrite_suite());
	srunner_add_suite(sr, room_suite());
	srunner_add_suite(sr, account_suite());
	srunner_add_suite(sr, breaker_suite());
	srunner_add_suite(sr, budget_suite());
	srunner_add_suite(sr, clients_suite());
	srunner_add_suite(sr, counters_suite());
	srunner_add_suite(sr, metrics_text_suite());
	srunner_add_suite(sr, page_suite());
	srunner_add_suite(sr, repeat_suite());
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

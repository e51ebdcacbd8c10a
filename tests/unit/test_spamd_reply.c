#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exim_model.h"
#include "report.h"
#include "spamd_reply.h"
#include "unit.h"

/*
 * Two verdicts, and the reports of them.  The wire strings below are those
 * of SpamAssassin's spamd 4.0.1, apart from the report's own text.
 */
static const char spam[] = "{\"action\":\"reject\",\"score\":7.5,"
	"\"required_score\":6,\"message-id\":\"1@x\",\"symbols\":{"
	"\"BAD\":{\"score\":8.5,\"description\":\"bad\"},"
	"\"GOOD\":{\"score\":-1}}}";
static const char ham[] = "{\"action\":\"no action\",\"score\":-0.1,"
	"\"required_score\":5}";

#define TABLE	" pts rule name              description\r\n" \
		"---- ---------------------- " \
		"--------------------------------------------------\r\n"
#define SPAM_REPORT	"Action: reject\r\n" TABLE \
			" 8.5 BAD                    bad\r\n" \
			"-1.0 GOOD\r\n" \
			"Message-ID: 1@x\r\n" \
			"Report-End: complete\r\n"
#define HAM_REPORT	"Action: no action\r\n" TABLE "Report-End: complete\r\n"
/* As spamd writes them, to those who are told the length. */
#define TABLE_LF	" pts rule name              description\n" \
		"---- ---------------------- " \
		"--------------------------------------------------\n"
#define SPAM_REPORT_LF	"Action: reject\nMessage-ID: 1@x\n" \
			"Report-End: complete\n" TABLE_LF \
			" 8.5 BAD                    bad\n" \
			"-1.0 GOOD\n"
#define HAM_REPORT_LF	"Action: no action\nReport-End: complete\n" TABLE_LF
#define SPAM_LENGTH	"213"
#define HAM_LENGTH	"158"

#define OK	"SPAMD/1.1 0 EX_OK\r\n"
#define TRUE_	"Spam: True ; 7.5 / 6.0\r\n"
#define FALSE_	"Spam: False ; -0.1 / 5.0\r\n"
#define YES	"Spam: Yes ; 7.5 / 6.0\r\n"
#define NO	"Spam: No ; -0.1 / 5.0\r\n"

/* Every cell of the table of replies: for the versions from LO to HI. */
static const struct {
	enum spamd_command command;
	int lo, hi;
	const char *json, *wire;
} cells[] = {
	{ SPAMD_CHECK, 100, 106, spam, OK TRUE_ "\r\n" },
	{ SPAMD_CHECK, 100, 106, ham, OK FALSE_ "\r\n" },
	{ SPAMD_SYMBOLS, 100, 102, spam, OK TRUE_ "\r\n" "BAD,GOOD\r\n" },
	{ SPAMD_SYMBOLS, 100, 102, ham, OK FALSE_ "\r\n" "\r\n" },
	{ SPAMD_SYMBOLS, 103, 106, spam,
	    OK "Content-length: 8\r\n" TRUE_ "\r\n" "BAD,GOOD" },
	{ SPAMD_SYMBOLS, 103, 106, ham,
	    OK "Content-length: 0\r\n" FALSE_ "\r\n" },
	{ SPAMD_REPORT, 100, 102, spam, OK TRUE_ "\r\n" SPAM_REPORT },
	{ SPAMD_REPORT, 100, 102, ham, OK FALSE_ "\r\n" HAM_REPORT },
	{ SPAMD_REPORT, 103, 106, spam,
	    OK "Content-length: " SPAM_LENGTH "\r\n" TRUE_ "\r\n" SPAM_REPORT_LF },
	{ SPAMD_REPORT, 103, 106, ham,
	    OK "Content-length: " HAM_LENGTH "\r\n" FALSE_ "\r\n" HAM_REPORT_LF },
	{ SPAMD_REPORT_IFSPAM, 100, 102, spam, OK YES "\r\n" SPAM_REPORT },
	{ SPAMD_REPORT_IFSPAM, 100, 102, ham, OK NO "\r\n" },
	{ SPAMD_REPORT_IFSPAM, 103, 106, spam,
	    OK "Content-length: " SPAM_LENGTH "\r\n" YES "\r\n" SPAM_REPORT_LF },
	{ SPAMD_REPORT_IFSPAM, 103, 106, ham,
	    OK "Content-length: 0\r\n" NO "\r\n" },
	{ SPAMD_PING, 100, 106, NULL, "SPAMD/1.5 0 PONG\r\n" },
};

/* The reply to COMMAND, as a string to be freed. */
static char *
reply(enum spamd_command command, int version, const struct outcome *o,
    const struct verdict *v)
{
	struct spamd_request r = { .dialect = SPAMD_SPAMC, .command = command,
	    .version = version };
	struct text out;

	text_init(&out, SPAMD_REPLY_MAX);
	ck_assert_int_eq(spamd_reply(&out, &r, o, v), 0);
	ck_assert(!text_failed(&out));
	ck_assert_uint_eq(strlen(text_string(&out)), out.len);
	return out.buf;
}

static char *
reply_of(enum spamd_command command, int version, const char *json,
    const struct outcome_policy *policy)
{
	struct verdict *v = unit_verdict(json);
	struct outcome o;
	char *s;

	outcome_verdict(&o, v, policy);
	s = reply(command, version, &o, v);
	verdict_free(v);
	return s;
}

START_TEST(every_cell)
{
	struct outcome o = { .kind = OUTCOME_VERDICT, .action = "no action" };
	int version;
	char *s;

	for (version = cells[_i].lo; version <= cells[_i].hi; version++) {
		s = cells[_i].json == NULL ?
		    reply(cells[_i].command, version, &o, NULL) :
		    reply_of(cells[_i].command, version, cells[_i].json,
		    &unit_policy);
		unit_bytes(s, strlen(s), cells[_i].wire, strlen(cells[_i].wire));
		free(s);
	}
}
END_TEST

/* What stands before the message of PROCESS and of HEADERS. */
START_TEST(before_the_message)
{
	static const char *const by_version[] = {
		"SPAMD/1.0 0 EX_OK\r\n", "SPAMD/1.0 0 EX_OK\r\n",
		OK "Content-length: 5000000000\r\n\r\n",
		OK "Content-length: 5000000000\r\n" TRUE_ "\r\n",
		OK "Content-length: 5000000000\r\n" TRUE_ "\r\n",
		OK "Content-length: 5000000000\r\n" TRUE_ "\r\n",
	};
	struct spamd_request r = { .dialect = SPAMD_SPAMC };
	struct verdict *v = unit_verdict(spam);
	struct outcome o;
	struct text out;
	size_t i, k;

	outcome_verdict(&o, v, &unit_policy);
	for (i = 0; i < COUNT(by_version); i++)
		for (k = 0; k < 2; k++) {
			r.command = k == 0 ? SPAMD_PROCESS : SPAMD_HEADERS;
			r.version = 100 + (int)i;
			text_init(&out, SPAMD_REPLY_MAX);
			ck_assert_int_eq(spamd_reply_message(&out, &r, &o,
			    UINT64_C(5000000000)), 0);
			unit_text(&out, by_version[i]);
			text_free(&out);
			text_init(&out, strlen(by_version[i]) - 1);
			ck_assert_int_eq(spamd_reply_message(&out, &r, &o,
			    UINT64_C(5000000000)), -1);
			text_free(&out);
		}
	verdict_free(v);
	/* of a message that nobody scanned; and one without a byte */
	outcome_pass(&o, &unit_policy, FAILURE_TOO_LARGE, "");
	text_init(&out, SPAMD_REPLY_MAX);
	ck_assert_int_eq(spamd_reply_message(&out, &r, &o, 0), 0);
	unit_text(&out, OK "Content-length: 0\r\n"
	    "Spam: False ; 0.0 / 15.0\r\n\r\n");
	text_free(&out);
}
END_TEST

START_TEST(tell)
{
	static const struct {
		unsigned int set, removed;
		const char *lines;
	} t[] = {
		{ 0, 0, "" },
		{ SPAMD_LOCAL, 0, "DidSet: local\r\n" },
		{ SPAMD_REMOTE, 0, "DidSet: remote\r\n" },
		{ SPAMD_LOCAL | SPAMD_REMOTE, 0, "DidSet: local,remote\r\n" },
		{ 0, SPAMD_LOCAL, "DidRemove: local\r\n" },
		{ 0, SPAMD_LOCAL | SPAMD_REMOTE,
		    "DidRemove: local,remote\r\n" },
		{ SPAMD_LOCAL, SPAMD_REMOTE,
		    "DidSet: local\r\nDidRemove: remote\r\n" },
	};
	struct text out;
	size_t i;
	char *s;

	for (i = 0; i < COUNT(t); i++) {
		s = unit_format(OK "%s\r\n\r\n", t[i].lines);
		text_init(&out, SPAMD_REPLY_MAX);
		ck_assert_int_eq(spamd_reply_tell(&out, t[i].set,
		    t[i].removed), 0);
		unit_text(&out, s);
		text_free(&out);
		text_init(&out, strlen(s) - 1);
		ck_assert_int_eq(spamd_reply_tell(&out, t[i].set,
		    t[i].removed), -1);
		text_free(&out);
		free(s);
	}
}
END_TEST

/* What spamc demands: the line's form, and a length right to the byte. */
START_TEST(spamc_is_content)
{
	static const enum spamd_command commands[] = { SPAMD_CHECK,
	    SPAMD_SYMBOLS, SPAMD_REPORT, SPAMD_REPORT_IFSPAM };
	static const char *const verdicts[] = { spam, ham };
	char flag[6], score[21], threshold[21], version[19], *s, *body, *p;
	unsigned length;
	size_t i, j;
	int code;

	for (i = 0; i < COUNT(commands); i++)
		for (j = 0; j < COUNT(verdicts); j++) {
			s = reply_of(commands[i], 105, verdicts[j],
			    &unit_policy);
			ck_assert_int_eq(sscanf(s, "SPAMD/%18s %d %*s", version,
			    &code), 2);
			ck_assert_int_eq(code, 0);
			p = strstr(s, "\r\nSpam: ") + 2;
			ck_assert_int_eq(sscanf(p, "Spam: %5s ; %20s / %20s",
			    flag, score, threshold), 3);
			body = strstr(s, "\r\n\r\n") + 4;
			if ((p = strstr(s, "\r\nContent-length: ")) != NULL) {
				ck_assert_int_eq(sscanf(p,
				    "\r\nContent-length: %u", &length), 1);
				ck_assert_uint_eq(length, strlen(body));
			} else
				ck_assert_int_eq(commands[i], SPAMD_CHECK);
			free(s);
		}
}
END_TEST

/* Verdicts for Exim, whose first and only version is 1.2. */
static const struct {
	const char *json;
	const char *numbers;
	bool above;		/* the score is at the threshold or above */
} for_exim[] = {
	{ spam, "7.5 / 6.0", true },
	{ ham, "-0.1 / 5.0", false },
	/* forced */
	{ "{\"action\":\"reject\",\"score\":0,\"required_score\":15}",
	    "0.0 / 0.0", true },
	{ "{\"action\":\"no action\",\"score\":20,\"required_score\":15}",
	    "20.0 / 20.1", false },
	{ "{\"action\":\"soft reject\",\"score\":16,\"required_score\":15}",
	    "16.0 / 16.1", false },
	{ "{\"action\":\"greylist\",\"score\":5.97,\"required_score\":15,"
	    "\"thresholds\":{\"add header\":6}}", "6.0 / 6.1", false },
	{ "{\"action\":\"my custom action\",\"score\":5,\"required_score\":4}",
	    "5.0 / 5.1", false },
	{ "{\"action\":\"no action\",\"score\":1,\"required_score\":null}",
	    "1.0 / 15.0", false },
	{ "{\"action\":\"no action\",\"score\":-0.04,\"required_score\":15}",
	    "0.0 / 15.0", false },
	{ "{\"action\":\"no action\",\"score\":-0.05,\"required_score\":15}",
	    "-0.1 / 15.0", false },
	{ "{\"action\":\"reject\",\"score\":-0.04,\"required_score\":15}",
	    "0.0 / 0.0", true },
	{ "{\"action\":\"reject\",\"score\":1e300,\"required_score\":15}",
	    "99999999.9 / 15.0", true },
	{ "{\"action\":\"no action\",\"score\":1e13,\"required_score\":15}",
	    "99999999.9 / 100000000.0", false },
	{ "{\"action\":\"no action\",\"score\":-1e13,\"required_score\":-1e99}",
	    "-99999999.9 / -99999999.8", false },
};

START_TEST(exim_is_content)
{
	struct exim_seen *seen = malloc(sizeof(*seen));
	char *s, *line;
	const char *why;

	s = reply_of(SPAMD_REPORT, 102, for_exim[_i].json, &unit_policy);
	line = unit_format(OK "Spam: %s ; %s\r\n\r\nAction: ",
	    for_exim[_i].above ? "True" : "False", for_exim[_i].numbers);
	unit_begins(s, line);
	why = exim_read(s, false, seen);
	ck_assert_msg(why == NULL, "%s: %s", why, s);
	ck_assert((seen->score >= seen->threshold) == for_exim[_i].above);
	why = report_fault(s + seen->report_at, strlen(s + seen->report_at));
	ck_assert_msg(why == NULL, "%s: %s", why, s);
	/* where the drop-in ACL looks */
	unit_begins(seen->report, "Action: ");
	unit_ends(seen->report, "\n Report-End: complete");
	free(line);
	free(s);
	free(seen);
}
END_TEST

START_TEST(only_reject_by_policy)
{
	static const char *actions[] = { "reject" };
	const struct outcome_policy p = { .spam_actions = actions,
	    .nspam_actions = 1, .spam_threshold = 15 };
	char *s;

	s = reply_of(SPAMD_CHECK, 105, "{\"action\":\"add header\","
	    "\"score\":7,\"required_score\":15}", &p);
	ck_assert_str_eq(s, OK "Spam: False ; 7.0 / 15.0\r\n\r\n");
	free(s);
	s = reply_of(SPAMD_CHECK, 105, "{\"action\":\"reject\","
	    "\"score\":17,\"required_score\":15}", &p);
	ck_assert_str_eq(s, OK "Spam: True ; 17.0 / 15.0\r\n\r\n");
	free(s);
}
END_TEST

START_TEST(unscanned)
{
	struct outcome o;
	char *s;

	outcome_pass(&o, &unit_policy, FAILURE_TOO_LARGE, "larger than 1 MiB");
	s = reply(SPAMD_REPORT, 102, &o, NULL);
	ck_assert_str_eq(s, OK "Spam: False ; 0.0 / 15.0\r\n\r\n"
	    "Action: no action\r\n" TABLE
	    " 0.0 RSPAMD_SHIM_UNSCANNED  larger than 1 MiB\r\n"
	    "Report-End: complete\r\n");
	free(s);
	s = reply(SPAMD_SYMBOLS, 103, &o, NULL);
	ck_assert_str_eq(s, OK "Content-length: 21\r\n"
	    "Spam: False ; 0.0 / 15.0\r\n\r\nRSPAMD_SHIM_UNSCANNED");
	free(s);
	s = reply(SPAMD_CHECK, 103, &o, NULL);
	ck_assert_str_eq(s, OK "Spam: False ; 0.0 / 15.0\r\n\r\n");
	free(s);
}
END_TEST

/* One line, whatever the command and the version were. */
static const struct {
	enum failure f;
	const char *line;
} errors[] = {
	{ FAILURE_UNREACHABLE, "SPAMD/1.0 69 Service Unavailable: why\r\n" },
	{ FAILURE_TIMEOUT, "SPAMD/1.0 79 Timeout: (why)\r\n" },
	{ FAILURE_RSPAMD, "SPAMD/1.0 75 EX_TEMPFAIL: why\r\n" },
	{ FAILURE_UNREADABLE, "SPAMD/1.0 75 EX_TEMPFAIL: why\r\n" },
	{ FAILURE_TOO_LARGE, "SPAMD/1.0 69 Service Unavailable: why\r\n" },
	{ FAILURE_EMPTY, "SPAMD/1.0 65 EX_DATAERR: why\r\n" },
	{ FAILURE_REQUEST, "SPAMD/1.0 76 Bad header line: (why)\r\n" },
	{ FAILURE_UNSUPPORTED, "SPAMD/1.0 69 Service Unavailable: why\r\n" },
	{ FAILURE_INTERNAL, "SPAMD/1.0 71 EX_OSERR: why\r\n" },
};

START_TEST(error_lines)
{
	static const enum spamd_command commands[] = { SPAMD_NONE, SPAMD_CHECK,
	    SPAMD_SYMBOLS, SPAMD_REPORT, SPAMD_REPORT_IFSPAM, SPAMD_PROCESS,
	    SPAMD_HEADERS, SPAMD_TELL, SPAMD_PING };
	struct exim_seen *seen = malloc(sizeof(*seen));
	struct outcome o;
	size_t i;
	int version;
	char *s;

	outcome_failed(&o, errors[_i].f, "why");
	for (i = 0; i < COUNT(commands); i++)
		for (version = 0; version <= 106; version += 53) {
			s = reply(commands[i], version, &o, NULL);
			ck_assert_str_eq(s, errors[_i].line);
			ck_assert_ptr_nonnull(exim_read(s, false, seen));
			free(s);
		}
	free(seen);
}
END_TEST

START_TEST(hostile_reason_is_one_line)
{
	struct outcome o;
	char *s;

	outcome_failed(&o, FAILURE_RSPAMD,
	    "x\r\n\r\nSPAMD/1.1 0 EX_OK\r\n%s%n\xff\x1b");
	s = reply(SPAMD_REPORT, 102, &o, NULL);
	ck_assert_str_eq(s, "SPAMD/1.0 75 EX_TEMPFAIL: "
	    "x SPAMD/1.1 0 EX_OK %s%n?" "?\r\n");
	free(s);
}
END_TEST

/* The largest verdict there can be, to all commands. */
START_TEST(replies_are_bounded)
{
	struct exim_seen *seen = malloc(sizeof(*seen));
	char *name = unit_repeat('N', 120), *json, *s;
	size_t size, i;
	FILE *f = open_memstream(&json, &size);
	const char *why;
	int version;

	fputs("{\"action\":\"reject\",\"score\":1,\"symbols\":{", f);
	for (i = 0; i < 5000; i++)
		fprintf(f, "%s\"%s%04zu\":{\"score\":1,\"description\":\"%s\"}",
		    i ? "," : "", name, i, name);
	fputs("}}", f);
	fclose(f);
	for (version = 102; version <= 103; version++) {
		s = reply_of(SPAMD_SYMBOLS, version, json, &unit_policy);
		ck_assert_uint_lt(strlen(s), 16384);
		free(s);
		s = reply_of(SPAMD_REPORT, version, json, &unit_policy);
		ck_assert_uint_lt(strlen(s), 16384);
		ck_assert_uint_gt(strlen(s), 15000);
		why = exim_read(s, false, seen);
		/* Exim says 1.2 since it cannot read 1.3 */
		ck_assert_msg((why == NULL) == (version == 102), "%s", why);
		if (version == 102) {
			unit_holds(seen->report, "\n Report-End: cut, ");
			unit_ends(seen->report, " of 5000 symbols left out");
		}
		free(s);
	}
	free(json);
	free(name);
	free(seen);
}
END_TEST

START_TEST(no_room_is_a_failure)
{
	struct verdict *v = unit_verdict(spam);
	struct spamd_request r = { .dialect = SPAMD_SPAMC };
	struct outcome o, failed;
	struct text out;
	size_t i, max;
	bool enough;

	outcome_verdict(&o, v, &unit_policy);
	outcome_failed(&failed, FAILURE_TIMEOUT, "why");
	for (i = 0; i < COUNT(cells); i++)
		for (max = 0; max <= 400; max++) {
			if (cells[i].json != spam)
				continue;
			r.command = cells[i].command;
			r.version = cells[i].lo;
			enough = max >= strlen(cells[i].wire);
			text_init(&out, max);
			ck_assert_int_eq(spamd_reply(&out, &r, &o, v),
			    enough ? 0 : -1);
			text_free(&out);
		}
	text_init(&out, 10);
	ck_assert_int_eq(spamd_reply(&out, &r, &failed, NULL), -1);
	text_free(&out);
	verdict_free(v);
}
END_TEST

Suite *
spamd_reply_suite(void)
{
	Suite *s = suite_create("spamd_reply");
	TCase *tc = unit_case(s, "wire");

	tcase_add_loop_test(tc, every_cell, 0, COUNT(cells));
	tcase_add_test(tc, before_the_message);
	tcase_add_test(tc, tell);
	tcase_add_test(tc, spamc_is_content);
	tcase_add_loop_test(tc, exim_is_content, 0, COUNT(for_exim));
	tcase_add_test(tc, only_reject_by_policy);
	tcase_add_test(tc, unscanned);
	tc = unit_case(s, "errors");
	tcase_add_loop_test(tc, error_lines, 0, COUNT(errors));
	tcase_add_test(tc, hostile_reason_is_one_line);
	tc = unit_case(s, "limits");
	tcase_add_test(tc, replies_are_bounded);
	tcase_add_test(tc, no_room_is_a_failure);
	return s;
}

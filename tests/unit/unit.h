/*
 * unit: the suites of the pure modules, and what several of them need.
 */
#ifndef UNIT_H_
#define UNIT_H_

#include <check.h>
#include <stdbool.h>
#include <stddef.h>

#include "outcome.h"
#include "text.h"
#include "verdict.h"

/* A string literal, NULs inside it included, as pointer and length. */
#define BYTES(s)	(s), sizeof(s) - 1
#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

Suite	*access_suite(void);
Suite	*account_suite(void);
Suite	*arena_suite(void);
Suite	*attempts_suite(void);
Suite	*breaker_suite(void);
Suite	*budget_suite(void);
Suite	*clients_suite(void);
Suite	*counters_suite(void);
Suite	*decimal_suite(void);
Suite	*encoded_word_suite(void);
Suite	*envelope_suite(void);
Suite	*http_response_suite(void);
Suite	*inflate_suite(void);
Suite	*metrics_text_suite(void);
Suite	*outcome_suite(void);
Suite	*page_suite(void);
Suite	*password_guard_suite(void);
Suite	*probe_kind_suite(void);
Suite	*repeat_suite(void);
Suite	*report_suite(void);
Suite	*rewrite_suite(void);
Suite	*room_suite(void);
Suite	*rspamc_reply_suite(void);
Suite	*rspamd_request_suite(void);
Suite	*slice_suite(void);
Suite	*spamd_reply_suite(void);
Suite	*spamd_request_suite(void);
Suite	*text_suite(void);
Suite	*verdict_suite(void);

/* A new test case of the suite S, called NAME. */
TCase	*unit_case(Suite *s, const char *name);

/* What the default configuration says: three spam actions, no threshold. */
extern const struct outcome_policy unit_policy;

/* The verdict that JSON is, of a message even where it tells of none; the
   test fails if it is no verdict.  Owned by the caller, as everything is
   below: verdict_free(), free(). */
struct verdict *unit_verdict(const char *json);

/* A copy of LEN bytes without a NUL after it, so that ASan and valgrind see
   a read beyond its end. */
char	*unit_exact(const char *p, size_t len);

/* N times the byte C, as a string. */
char	*unit_repeat(char c, size_t n);

/* A printf() into memory of its own. */
char	*unit_format(const char *fmt, ...)
	    __attribute__((format(printf, 1, 2)));

/* Fails unless the LEN bytes at P are those of EXPECTED; shows both. */
void	unit_bytes(const char *p, size_t len, const char *expected,
	    size_t expected_len);

/* Fails unless T has not failed and holds the string EXPECTED. */
void	unit_text(const struct text *t, const char *expected);

/* Fails unless the string P begins with, ends with or holds S. */
void	unit_begins(const char *p, const char *s);
void	unit_ends(const char *p, const char *s);
void	unit_holds(const char *p, const char *s);

#endif

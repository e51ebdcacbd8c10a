/*
 * exim_stubs: what the tests set and see of the functions in exim_stubs.c.
 */
#ifndef EXIM_STUBS_H_
#define EXIM_STUBS_H_

#include <check.h>
#include <stdbool.h>

#include "exim.h"

/* A string literal, NULs inside it included, as pointer and length. */
#define BYTES(s)	US (s), (int)sizeof(s) - 1
#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

Suite	*reply_suite(void);
Suite	*request_suite(void);
Suite	*servers_suite(void);

/* A test case of S called NAME, with minutes for each of its tests. */
TCase	*patches_case(Suite *s, const char *name);

/* Forgets the log, the numbers and the hook below. */
void	 stub_reset(void);

/* The log lines since stub_reset(), each with a newline. */
const char	*stub_log(void);

/*
 * random_number(limit) returns these numbers modulo limit, over and over, and
 * stub_random_limits_ok() tells whether every limit was within what Exim's
 * function can do: 1 to 65536.
 */
void	 stub_random(const int *numbers, size_t count);
bool	 stub_random_limits_ok(void);

/* sleep() calls this in place of sleeping, and returns what it returns. */
void	 stub_sleep(unsigned int (*hook)(unsigned int seconds));

#endif

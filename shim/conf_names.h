/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * conf_names: the words of the configuration, in the order of the values
 * that they stand for.
 */
#ifndef CONF_NAMES_H_
#define CONF_NAMES_H_

#include <stdbool.h>

#include "outcome.h"

extern const char *const conf_envelope_names[3];
extern const char *const conf_user_names[4];
extern const char *const conf_headers_names[4];
extern const char *const conf_policy_names[2];	/* defer, pass */
extern const char *const conf_log_names[2];	/* stderr, syslog */

/* What may be done about a failure to scan, each a key of the file. */
struct conf_policy_key {
	const char	*key;
	enum failure	 failure;
	bool		 pass;		/* the default */
};

#define CONF_POLICY_KEYS	7
extern const struct conf_policy_key conf_policy_keys[CONF_POLICY_KEYS];

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * conf_names: the words of the configuration, in the order of the values
 * that they stand for.
 */
#ifndef CONF_NAMES_H_
#define CONF_NAMES_H_

extern const char *const conf_envelope_names[3];
extern const char *const conf_user_names[3];
extern const char *const conf_headers_names[3];
extern const char *const conf_large_names[2];	/* pass, defer */
extern const char *const conf_log_names[2];	/* stderr, syslog */

#endif

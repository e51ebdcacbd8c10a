/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * conf_backend: a backend or controller section of the configuration.
 */
#ifndef CONF_BACKEND_H_
#define CONF_BACKEND_H_

#include <confuse.h>

#include "conf.h"

/*
 * Fills B, which is all zero, with what the section SEC says of URL; SEC may
 * be NULL.  Faults are told.
 */
void	conf_backend_load(struct conf_backend *b, const char *url, cfg_t *sec);

/* Fills in what concerns a backend alone: its share of the mail. */
void	conf_backend_share(struct conf_backend *b, cfg_t *sec);

/* Reads the password, the first line of B's password file. */
void	conf_backend_password(struct conf_backend *b);

/* Makes the guard of B, a controller: workers that are forked share it. */
void	conf_backend_guard(struct conf_backend *b);

/* Frees what B owns. */
void	conf_backend_free(struct conf_backend *b);

#endif

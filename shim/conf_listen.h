/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * conf_listen: a listen section of the configuration.
 */
#ifndef CONF_LISTEN_H_
#define CONF_LISTEN_H_

#include <confuse.h>

#include "conf.h"

/*
 * Fills L, which is all zero, with what the section SEC says of ADDRESS, and
 * for policy TOP where that says nothing; SEC may be NULL.  Faults are told.
 */
void	conf_listen_load(struct conf_listen *l, const char *address,
	    cfg_t *sec, cfg_t *top);

/* The same for a section of the page: its address, and who may see it. */
void	conf_status_load(struct conf_listen *l, const char *address,
	    cfg_t *sec);

/* Frees what L owns. */
void	conf_listen_free(struct conf_listen *l);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * address: the grammar of mail addresses, as Exim accepts and stores them.
 */
#ifndef ADDRESS_H_
#define ADDRESS_H_

#include <stdbool.h>

#include "slice.h"

/*
 * Takes an address off the front of S, as *ADDRESS: a local part, which may
 * be quoted, "@" and a domain or literal; no route, no comment, no brackets
 * around it.  False if there is none; S and *ADDRESS are then undefined.
 */
bool	address_take(struct slice *s, struct slice *address);

#endif

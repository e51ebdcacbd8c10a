/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * address: the grammar of mail addresses, as Exim accepts and stores them.
 */
#ifndef ADDRESS_H_
#define ADDRESS_H_

#include <stdbool.h>

#include "slice.h"
#include "text.h"

/*
 * Takes an address off the front of S, as *ADDRESS: a local part, which may
 * be quoted, "@" and a domain or literal; no route, no comment, no brackets
 * around it.  False if there is none; S and *ADDRESS are then undefined.
 */
bool	address_take(struct slice *s, struct slice *address);

/*
 * Appends ADDRESS, a string, to OUT in the form of RFC 5321, the only one that
 * rspamd reads: Exim also takes local parts such as a\,b and "a".b and .a,
 * which become "a,b" and "a.b" and ".a", each in one pair of quotes.  What is
 * in this form already, or is no address, stays as it is.
 */
void	address_put(struct text *out, const char *address);

#endif

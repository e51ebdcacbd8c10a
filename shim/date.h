/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * date: the two forms of a date that Exim writes.
 *
 * Each function takes a date off the front of S.  False if there is none; S
 * is then undefined.  The fields are in their ranges; that the day exists in
 * its month and has that name is not looked at.
 */
#ifndef DATE_H_
#define DATE_H_

#include <stdbool.h>

#include "slice.h"

/* "Mon Nov 23 05:52:33 2026" */
bool	date_take_mbox(struct slice *s);

/* "Mon, 23 Nov 2026 05:52:33 +0000" */
bool	date_take_full(struct slice *s);

#endif

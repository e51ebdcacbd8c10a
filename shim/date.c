/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * date: the two forms of a date that Exim writes.
 */
#include "config.h"

#include <stdbool.h>
#include <string.h>

#include "date.h"
#include "slice.h"

/* Takes one of the three-letter names in NAMES. */
static bool
take_abbreviation(struct slice *s, const char *names)
{
	for (; *names != '\0'; names += 3) {
		if (s->len >= 3 && memcmp(s->p, names, 3) == 0) {
			slice_advance(s, 3);
			return true;
		}
	}
	return false;
}

/* Takes a number of N digits from MIN to MAX. */
static bool
take_number(struct slice *s, size_t n, int min, int max)
{
	int value = 0;
	size_t i;

	if (s->len < n)
		return false;
	for (i = 0; i < n; i++) {
		if (!slice_is_digit((unsigned char)s->p[i]))
			return false;
		value = value * 10 + (s->p[i] - '0');
	}
	slice_advance(s, n);
	return value >= min && value <= max;
}

static bool
take_weekday(struct slice *s)
{
	return take_abbreviation(s, "SunMonTueWedThuFriSat");
}

static bool
take_month(struct slice *s)
{
	return take_abbreviation(s, "JanFebMarAprMayJunJulAugSepOctNovDec");
}

static bool
take_time(struct slice *s)
{
	return take_number(s, 2, 0, 23) && slice_take(s, ":") &&
	    take_number(s, 2, 0, 59) && slice_take(s, ":") &&
	    take_number(s, 2, 0, 60);
}

bool
date_take_mbox(struct slice *s)
{
	return take_weekday(s) && slice_take(s, " ") &&
	    take_month(s) && slice_take(s, " ") &&
	    take_number(s, 2, 1, 31) && slice_take(s, " ") &&
	    take_time(s) && slice_take(s, " ") &&
	    take_number(s, 4, 1970, 9999);
}

bool
date_take_full(struct slice *s)
{
	return take_weekday(s) && slice_take(s, ", ") &&
	    take_number(s, 2, 1, 31) && slice_take(s, " ") &&
	    take_month(s) && slice_take(s, " ") &&
	    take_number(s, 4, 1970, 9999) && slice_take(s, " ") &&
	    take_time(s) && slice_take(s, " ") &&
	    (slice_take(s, "+") || slice_take(s, "-")) &&
	    take_number(s, 2, 0, 15) && take_number(s, 2, 0, 59);
}

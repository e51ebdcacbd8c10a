/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decimal.h"

/* Numbers below this are exact enough to tell which way they are rounded. */
#define SCALED_MAX	1e9
/* Next to a tie only printf() knows; a product is off by 1e-7 at most. */
#define TIE		1e-6
/* Of what is below SCALED_MAX: digits, point and sign. */
#define PUT_MAX		16

static const double power[] = { 1, 10, 100, 1000 };

/* Sets *N to |X| in units of the last digit; false where that is not clear. */
static bool
units(double x, int digits, uint32_t *n)
{
	double scaled = fabs(x) * power[digits], rest;

	/* not a number, too, is not below */
	if (!(scaled < SCALED_MAX))
		return false;
	*n = (uint32_t)scaled;
	rest = scaled - *n;
	if (fabs(rest - 0.5) < TIE)
		return false;
	*n += rest > 0.5;
	return true;
}

void
decimal_put(struct text *t, double x, int width, int digits)
{
	char buf[PUT_MAX], *p = buf + sizeof(buf);
	uint32_t n;
	int len;

	if (!units(x, digits, &n)) {
		text_printf(t, "%*.*f", width, digits, x);
		return;
	}
	for (len = 0; len < digits + 2 || n > 0; len++) {
		if (len == digits)
			*--p = '.';
		else {
			*--p = (char)('0' + n % 10);
			n /= 10;
		}
	}
	if (signbit(x)) {
		*--p = '-';
		len++;
	}
	for (; len < width; width--)
		text_put(t, " ", 1);
	text_put(t, p, (size_t)len);
}

int64_t
decimal_tenths(double x)
{
	char s[64], *point;
	uint32_t n;

	if (units(x, 1, &n))
		return signbit(x) ? -(int64_t)n : (int64_t)n;
	(void)snprintf(s, sizeof(s), "%.1f", x);
	point = s + strlen(s) - 2;
	point[0] = point[1];
	point[1] = '\0';
	return strtoll(s, NULL, 10);
}

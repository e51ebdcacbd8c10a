/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * decimal: numbers with a few digits after the point, as printf() writes
 * them, for a tenth of its work.
 */
#ifndef DECIMAL_H_
#define DECIMAL_H_

#include <stdint.h>

#include "text.h"

#define DECIMAL_DIGITS_MAX	3

/* Appends X as printf("%WIDTH.DIGITSf") does, with DIGITS 1 to 3. */
void	decimal_put(struct text *t, double x, int width, int digits);

/* Below this printf() writes 17 characters at most. */
#define DECIMAL_TENTHS_MAX	1e15

/*
 * X in tenths, rounded as printf("%.1f") writes it; |X| is below
 * DECIMAL_TENTHS_MAX.  Whole numbers compare the same on every machine; of a
 * double that a function returns, 32-bit x86 may hold more digits than of one
 * that was stored.
 */
int64_t	decimal_tenths(double x);

#endif

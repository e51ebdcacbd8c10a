/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * decimal: numbers with a few digits after the point, as printf() writes
 * them, for a tenth of its work.
 */
#ifndef DECIMAL_H_
#define DECIMAL_H_

#include "text.h"

#define DECIMAL_DIGITS_MAX	3

/* Appends X as printf("%WIDTH.DIGITSf") does, with DIGITS 1 to 3. */
void	decimal_put(struct text *t, double x, int width, int digits);

/* X rounded as printf("%.DIGITSf") writes it. */
double	decimal_round(double x, int digits);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include "attempts.h"

void
attempts_init(struct attempts *a, struct attempt *of, size_t n, size_t length)
{
	a->of = of;
	a->n = n;
	a->large = length >= ATTEMPTS_LARGE;
	a->lost = a->refused = 0;
}

bool
attempts_allow(const struct attempt *at, const struct attempts_signs *signs)
{
	return !at->tried &&
	    (!at->gated || at->signs.answers != signs->answers);
}

void
attempts_absent(struct attempts *a, size_t i)
{
	a->of[i].tried = true;
}

bool
attempts_lost(struct attempts *a, size_t i, unsigned int n)
{
	a->of[i].tried = true;
	a->lost += n;
	return a->lost < ATTEMPTS_LOST;
}

bool
attempts_refused(struct attempts *a, size_t i, unsigned int n,
    const struct attempts_signs *signs)
{
	struct attempt *at = &a->of[i];
	/* one that was away meanwhile has lost it by going */
	bool again = at->touched && at->absences == signs->absences;

	a->refused += n;
	at->gated = true;
	at->signs = *signs;
	if (n == 0)
		return true;
	at->touched = true;
	at->absences = signs->absences;
	/* a small one may twice have met a backend that was full */
	if (!a->large)
		return a->refused < ATTEMPTS_REFUSED;
	return !again && n < 2 && a->refused < 2;
}

bool
attempts_are_careful(const struct attempts *a)
{
	return a->refused > 0;
}

unsigned int
attempts_left(const struct attempts *a)
{
	return ATTEMPTS_LOST - a->lost;
}

void
attempts_begin_again(struct attempts *a)
{
	size_t i;

	for (i = 0; i < a->n; i++)
		a->of[i].tried = false;
}

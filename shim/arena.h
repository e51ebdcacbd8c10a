/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * arena: memory that is asked for in small pieces and freed at once.
 */
#ifndef ARENA_H_
#define ARENA_H_

#include <stddef.h>

struct arena;

/* An arena whose first SIZE bytes take no more memory; NULL without memory. */
struct arena *arena_new(size_t size);

/* N bytes, aligned for anything, or NULL without memory. */
void	*arena_get(struct arena *a, size_t n);

/* Frees A and all that came from it; NULL is allowed. */
void	arena_free(struct arena *a);

#endif

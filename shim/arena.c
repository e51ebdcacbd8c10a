/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

#include "arena.h"

/* A block doubles the arena, up to so many bytes. */
#define BLOCK_MAX	262144

struct block {
	struct block	*next;
	alignas(max_align_t) char data[];
};

struct arena {
	struct block	*blocks;	/* the one in use is the first */
	char		*free;		/* in that */
	size_t		 left;		/* bytes from there on */
	size_t		 size;		/* of the next block */
};

/* Makes a block the one in use; NULL without memory. */
static struct block *
add_block(struct arena *a, size_t size)
{
	struct block *b;

	if (size > SIZE_MAX - sizeof(*b) ||
	    (b = malloc(sizeof(*b) + size)) == NULL)
		return NULL;
	b->next = a->blocks;
	a->blocks = b;
	a->free = b->data;
	a->left = size;
	return b;
}

struct arena *
arena_new(size_t size)
{
	struct arena *a;

	if ((a = calloc(1, sizeof(*a))) == NULL)
		return NULL;
	a->size = size;
	if (add_block(a, size) != NULL)
		return a;
	free(a);
	return NULL;
}

void *
arena_get(struct arena *a, size_t n)
{
	const size_t unit = alignof(max_align_t);
	void *p;

	if (n > SIZE_MAX - unit)
		return NULL;
	n = (n + unit - 1) / unit * unit;
	if (n > a->left) {
		if (a->size < BLOCK_MAX)
			a->size *= 2;
		if (add_block(a, n > a->size ? n : a->size) == NULL)
			return NULL;
	}
	p = a->free;
	a->free += n;
	a->left -= n;
	return p;
}

void
arena_free(struct arena *a)
{
	struct block *b, *next;

	if (a == NULL)
		return;
	for (b = a->blocks; b != NULL; b = next) {
		next = b->next;
		free(b);
	}
	free(a);
}

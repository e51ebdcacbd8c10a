/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * inflate: the body of a request with "Compress: zlib", piece by piece.
 */
#ifndef INFLATE_H_
#define INFLATE_H_

#include <stddef.h>
#include <stdint.h>

struct inflate;

enum inflate_progress {
	INFLATE_MORE,
	INFLATE_DONE,		/* the end of the stream; more is not looked at */
	INFLATE_TOO_LARGE,	/* more than MAX bytes would come out */
	INFLATE_BAD		/* not a zlib stream (RFC 1950), or no memory */
};

/* Takes LEN bytes of what came out; returns 0, or -1 to give up. */
typedef int inflate_sink(const void *p, size_t len, void *arg);

/* A new stream of which at most MAX bytes come out; NULL without memory. */
struct inflate *inflate_new(uint64_t max, inflate_sink *sink, void *arg);

/* Frees Z; NULL is allowed. */
void	inflate_free(struct inflate *z);

/* Takes the LEN compressed bytes at P that follow those already given. */
enum inflate_progress inflate_feed(struct inflate *z, const void *p,
	    size_t len);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>

#include <zlib.h>

#include "inflate.h"

#define OUT_SIZE	16384

struct inflate {
	z_stream	 z;
	uint64_t	 left;		/* bytes that may still come out */
	inflate_sink	*sink;
	void		*arg;
	enum inflate_progress state;
	unsigned char	 out[OUT_SIZE];
};

struct inflate *
inflate_new(uint64_t max, inflate_sink *sink, void *arg)
{
	struct inflate *z;

	if ((z = calloc(1, sizeof(*z))) == NULL)
		return NULL;
	if (inflateInit(&z->z) != Z_OK) {
		free(z);
		return NULL;
	}
	z->left = max;
	z->sink = sink;
	z->arg = arg;
	z->state = INFLATE_MORE;
	return z;
}

void
inflate_free(struct inflate *z)
{
	if (z == NULL)
		return;
	(void)inflateEnd(&z->z);
	free(z);
}

/* Inflates what the input has; zlib's answer when it stops. */
static enum inflate_progress
step(struct inflate *z)
{
	size_t n;
	int rc;

	do {
		z->z.next_out = z->out;
		z->z.avail_out = sizeof(z->out);
		rc = inflate(&z->z, Z_NO_FLUSH);
		n = sizeof(z->out) - z->z.avail_out;
		if (n > z->left)
			return INFLATE_TOO_LARGE;
		z->left -= n;
		if (n > 0 && z->sink(z->out, n, z->arg) == -1)
			return INFLATE_BAD;
	} while (rc == Z_OK && (z->z.avail_in > 0 || z->z.avail_out == 0));
	if (rc == Z_STREAM_END)
		return INFLATE_DONE;
	/* Z_BUF_ERROR: nothing was left to do */
	return rc == Z_OK || rc == Z_BUF_ERROR ? INFLATE_MORE : INFLATE_BAD;
}

enum inflate_progress
inflate_feed(struct inflate *z, const void *p, size_t len)
{
	const unsigned char *at = p;
	size_t n;

	while (z->state == INFLATE_MORE && len > 0) {
		n = len < UINT_MAX ? len : UINT_MAX;
		/* zlib does not say const */
		z->z.next_in = (unsigned char *)(uintptr_t)at;
		z->z.avail_in = (unsigned int)n;
		z->state = step(z);
		at += n;
		len -= n;
	}
	return z->state;
}

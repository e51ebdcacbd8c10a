#include "config.h"

#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "inflate.h"
#include "unit.h"

#define NO_LIMIT	UINT64_C(1000000000)

/* What came out, and what is to be refused. */
struct sink {
	struct text	 out;
	size_t		 calls;
	size_t		 fail_at;	/* this call fails; 0: none does */
};

static int
take(const void *p, size_t len, void *arg)
{
	struct sink *s = arg;

	ck_assert_uint_gt(len, 0);
	if (++s->calls == s->fail_at)
		return -1;
	text_put(&s->out, p, len);
	return 0;
}

static void
sink_init(struct sink *s)
{
	text_init(&s->out, 100000000);
	s->calls = s->fail_at = 0;
}

/* LEN bytes at P, compressed by level 9; *SIZE bytes, to be freed. */
static char *
compressed(const void *p, size_t len, size_t *size)
{
	uLongf n = compressBound(len);
	char *z = malloc(n);

	ck_assert_ptr_nonnull(z);
	ck_assert_int_eq(compress2((Bytef *)z, &n, p, len, 9), Z_OK);
	*size = n;
	return z;
}

/* Feeds the LEN bytes at P in pieces of CUT bytes, each on its own. */
static enum inflate_progress
feed(struct inflate *z, const char *p, size_t len, size_t cut)
{
	enum inflate_progress pr = INFLATE_MORE;
	size_t at, n;
	char *piece;

	for (at = 0; at < len; at += n) {
		n = cut < len - at ? cut : len - at;
		piece = unit_exact(p + at, n);
		pr = inflate_feed(z, piece, n);
		free(piece);
	}
	return pr;
}

/* Fails unless the LEN bytes at P, in pieces of CUT, give PR and OUT. */
static void
gives(const char *p, size_t len, size_t cut, uint64_t max,
    enum inflate_progress pr, const char *out, size_t out_len)
{
	struct sink s;
	struct inflate *z;

	sink_init(&s);
	z = inflate_new(max, take, &s);
	ck_assert_ptr_nonnull(z);
	ck_assert_int_eq(feed(z, p, len, cut), pr);
	if (out != NULL)
		unit_bytes(text_string(&s.out), s.out.len, out, out_len);
	ck_assert_uint_le(s.out.len, max);
	inflate_free(z);
	text_free(&s.out);
}

static const char mail[] = "Subject: a test\n\nbody, body, body\n\0\xff";
#define MAIL	mail, sizeof(mail) - 1

START_TEST(every_split_is_alike)
{
	size_t size, cut;
	char *p = compressed(MAIL, &size);

	for (cut = 1; cut <= size; cut++) {
		gives(p, size, cut, NO_LIMIT, INFLATE_DONE, MAIL);
		gives(p, size - 1, cut, NO_LIMIT, INFLATE_MORE, NULL, 0);
	}
	free(p);
}
END_TEST

/* No part of a stream is a whole one. */
START_TEST(cut_off)
{
	size_t size, len;
	char *p = compressed(MAIL, &size);

	for (len = 0; len < size; len++)
		gives(p, len, size, NO_LIMIT, INFLATE_MORE, NULL, 0);
	free(p);
}
END_TEST

START_TEST(large_messages)
{
	static const size_t sizes[] = { 0, 1, 16383, 16384, 16385, 32768,
	    1000000 };
	size_t i, k, size;
	char *in, *p;

	for (i = 0; i < COUNT(sizes); i++) {
		in = unit_repeat('x', sizes[i]);
		/* with something that does not compress, and without */
		for (k = 0; k < sizes[i] / 2; k++)
			in[k] = (char)(k * k * 2654435761U >> 24);
		p = compressed(in, sizes[i], &size);
		gives(p, size, size, NO_LIMIT, INFLATE_DONE, in, sizes[i]);
		gives(p, size, 1000, NO_LIMIT, INFLATE_DONE, in, sizes[i]);
		free(p);
		free(in);
	}
}
END_TEST

/* Blocks that are not compressed: at some byte all that went in has come out
   and fills the buffer. */
START_TEST(stored_blocks)
{
	static char in[40000];
	uLongf size = compressBound(sizeof(in));
	char *p = malloc(size);

	memset(in, 'x', sizeof(in));
	ck_assert_int_eq(compress2((Bytef *)p, &size, (const Bytef *)in,
	    sizeof(in), 0), Z_OK);
	gives(p, size, 1, NO_LIMIT, INFLATE_DONE, in, sizeof(in));
	gives(p, size, size, NO_LIMIT, INFLATE_DONE, in, sizeof(in));
	/* just a piece of the largest size that comes out at once */
	size = compressBound(16384);
	ck_assert_int_eq(compress2((Bytef *)p, &size, (const Bytef *)in,
	    16384, 0), Z_OK);
	gives(p, size - 4, size, NO_LIMIT, INFLATE_MORE, in, 16384);
	free(p);
}
END_TEST

/* Both sides of the limit, wherever it is. */
START_TEST(limit)
{
	static const size_t sizes[] = { 0, 1, 2, 16383, 16384, 16385, 50000 };
	size_t i, size;
	char *in, *p;

	for (i = 0; i < COUNT(sizes); i++) {
		in = unit_repeat('x', sizes[i]);
		p = compressed(in, sizes[i], &size);
		gives(p, size, size, sizes[i], INFLATE_DONE, in, sizes[i]);
		gives(p, size, 1, sizes[i], INFLATE_DONE, in, sizes[i]);
		if (sizes[i] > 0) {
			gives(p, size, size, sizes[i] - 1, INFLATE_TOO_LARGE,
			    NULL, 0);
			gives(p, size, 1, sizes[i] - 1, INFLATE_TOO_LARGE,
			    NULL, 0);
			gives(p, size, size, 0, INFLATE_TOO_LARGE, "", 0);
		}
		free(p);
		free(in);
	}
}
END_TEST

/* A thousand bytes for each: what comes out never exceeds the limit, which
   gives() looks at. */
START_TEST(bomb)
{
	size_t size;
	char *in = unit_repeat('\0', 50000000), *p;

	p = compressed(in, 50000000, &size);
	ck_assert_uint_lt(size, 100000);
	gives(p, size, size, 100000, INFLATE_TOO_LARGE, NULL, 0);
	gives(p, size, 7, 100000, INFLATE_TOO_LARGE, NULL, 0);
	free(p);
	free(in);
}
END_TEST

static const struct {
	const char *in;
	size_t len;
} broken[] = {
	{ BYTES("hello, this is no zlib stream") },
	{ BYTES("\0") }, { BYTES("\0\0") }, { BYTES("\xff\xff\xff") },
	/* gzip, raw deflate, a stream that needs a dictionary */
	{ BYTES("\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0") },
	{ BYTES("\x4b\x04\0") },
	{ BYTES("\x78\xf9\0\0\0\x01\x4b\x04\0\0\x62\0\x62") },
	/* a header right, its block wrong */
	{ BYTES("\x78\x9c\x07") },
};

START_TEST(no_streams)
{
	size_t cut;

	for (cut = 1; cut <= broken[_i].len; cut++) {
		/* the first of two header bytes tells nothing yet */
		gives(broken[_i].in, broken[_i].len, cut, NO_LIMIT,
		    broken[_i].len == 1 ? INFLATE_MORE : INFLATE_BAD, "", 0);
	}
}
END_TEST

/* A message that was changed on its way is not taken for whole. */
START_TEST(checksum_counts)
{
	size_t size, i;
	char *p = compressed(MAIL, &size);

	for (i = size - 4; i < size; i++) {
		p[i] ^= 1;
		gives(p, size, size, NO_LIMIT, INFLATE_BAD, NULL, 0);
		gives(p, size, 1, NO_LIMIT, INFLATE_BAD, NULL, 0);
		p[i] ^= 1;
	}
	gives(p, size, size, NO_LIMIT, INFLATE_DONE, MAIL);
	free(p);
}
END_TEST

/* What follows the stream is not looked at, a second stream neither. */
START_TEST(after_the_end)
{
	size_t size, cut;
	char *p = compressed(MAIL, &size), *twice = malloc(2 * size);

	memcpy(twice, p, size);
	memcpy(twice + size, p, size);
	for (cut = 1; cut <= 2 * size; cut++)
		gives(twice, 2 * size, cut, NO_LIMIT, INFLATE_DONE, MAIL);
	twice[size] = '\r';
	gives(twice, size + 1, size, NO_LIMIT, INFLATE_DONE, MAIL);
	free(twice);
	free(p);
}
END_TEST

/* What it came to, it stays; nothing more is given out. */
START_TEST(states_are_final)
{
	struct sink s;
	struct inflate *z;
	size_t size;
	char *p = compressed(MAIL, &size);

	sink_init(&s);
	z = inflate_new(1, take, &s);
	ck_assert_int_eq(inflate_feed(z, "", 0), INFLATE_MORE);
	ck_assert_int_eq(inflate_feed(z, p, size), INFLATE_TOO_LARGE);
	ck_assert_int_eq(inflate_feed(z, p, size), INFLATE_TOO_LARGE);
	ck_assert_int_eq(inflate_feed(z, "", 0), INFLATE_TOO_LARGE);
	ck_assert_uint_eq(s.out.len, 0);
	inflate_free(z);
	z = inflate_new(1000, take, &s);
	ck_assert_int_eq(inflate_feed(z, "xx", 2), INFLATE_BAD);
	ck_assert_int_eq(inflate_feed(z, p, size), INFLATE_BAD);
	ck_assert_uint_eq(s.out.len, 0);
	inflate_free(z);
	inflate_free(NULL);
	text_free(&s.out);
	free(p);
}
END_TEST

/* Who takes the bytes may give up at any of them. */
START_TEST(sink_gives_up)
{
	struct sink s;
	struct inflate *z;
	size_t size, calls, i;
	char *in = unit_repeat('x', 100000), *p = compressed(in, 100000, &size);

	sink_init(&s);
	z = inflate_new(NO_LIMIT, take, &s);
	ck_assert_int_eq(inflate_feed(z, p, size), INFLATE_DONE);
	calls = s.calls;
	ck_assert_uint_gt(calls, 1);
	inflate_free(z);
	text_free(&s.out);
	for (i = 1; i <= calls; i++) {
		sink_init(&s);
		s.fail_at = i;
		z = inflate_new(NO_LIMIT, take, &s);
		ck_assert_int_eq(inflate_feed(z, p, size), INFLATE_BAD);
		ck_assert_uint_eq(s.calls, i);
		inflate_free(z);
		text_free(&s.out);
	}
	free(p);
	free(in);
}
END_TEST

Suite *
inflate_suite(void)
{
	Suite *s = suite_create("inflate");
	TCase *tc = unit_case(s, "streams");

	tcase_add_test(tc, every_split_is_alike);
	tcase_add_test(tc, cut_off);
	tcase_add_test(tc, large_messages);
	tcase_add_test(tc, stored_blocks);
	tcase_add_test(tc, after_the_end);
	tcase_add_test(tc, states_are_final);
	tcase_add_test(tc, sink_gives_up);
	tc = unit_case(s, "limits");
	tcase_add_test(tc, limit);
	tcase_add_test(tc, bomb);
	tc = unit_case(s, "broken");
	tcase_add_loop_test(tc, no_streams, 0, COUNT(broken));
	tcase_add_test(tc, checksum_counts);
	return s;
}

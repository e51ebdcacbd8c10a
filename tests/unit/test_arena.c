/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#include "arena.h"
#include "unit.h"

START_TEST(pieces_are_apart_and_aligned)
{
	struct arena *a = arena_new(100);
	unsigned char *p[200];
	size_t i, k;

	ck_assert_ptr_nonnull(a);
	for (i = 0; i < COUNT(p); i++) {
		p[i] = arena_get(a, i);
		ck_assert_ptr_nonnull(p[i]);
		ck_assert_uint_eq((uintptr_t)p[i] % alignof(max_align_t), 0);
		memset(p[i], (int)i, i);
	}
	for (i = 0; i < COUNT(p); i++)
		for (k = 0; k < i; k++)
			ck_assert_uint_eq(p[i][k], i);
	arena_free(a);
}
END_TEST

START_TEST(a_large_piece_is_whole)
{
	struct arena *a = arena_new(16);
	size_t n = 1 << 20;
	char *small, *large;

	small = arena_get(a, 1);
	large = arena_get(a, n);
	ck_assert_ptr_nonnull(large);
	*small = 'x';
	memset(large, 0, n);
	ck_assert_int_eq(*small, 'x');
	arena_free(a);
}
END_TEST

START_TEST(no_memory_is_told)
{
	struct arena *a = arena_new(16);

	ck_assert_ptr_null(arena_get(a, SIZE_MAX));
	ck_assert_ptr_null(arena_get(a, SIZE_MAX - 20));
	ck_assert_ptr_nonnull(arena_get(a, 16));
	arena_free(a);
	ck_assert_ptr_null(arena_new(SIZE_MAX));
	arena_free(NULL);
}
END_TEST

Suite *
arena_suite(void)
{
	Suite *s = suite_create("arena");
	TCase *tc = unit_case(s, "arena");

	tcase_add_test(tc, pieces_are_apart_and_aligned);
	tcase_add_test(tc, a_large_piece_is_whole);
	tcase_add_test(tc, no_memory_is_told);
	return s;
}

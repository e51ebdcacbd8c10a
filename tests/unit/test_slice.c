#include "config.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "slice.h"
#include "unit.h"

/* A slice of a copy that ends with it; free its .p before it is moved. */
static struct slice
exact(const char *p, size_t len)
{
	return (struct slice){ unit_exact(p, len), len };
}

static const struct slice none = { NULL, 0 };

START_TEST(advance_and_next)
{
	struct slice s = { "abc", 3 }, empty = none;

	ck_assert(slice_next_is(&s, 'a'));
	ck_assert(!slice_next_is(&s, 'b'));
	slice_advance(&s, 2);
	ck_assert(slice_next_is(&s, 'c'));
	slice_advance(&s, 1);
	ck_assert_uint_eq(s.len, 0);
	ck_assert(!slice_next_is(&s, '\0'));
	ck_assert(!slice_next_is(&empty, 'a'));
	s = (struct slice){ BYTES("\0\xff") };
	ck_assert(slice_next_is(&s, '\0'));
	slice_advance(&s, 1);
	ck_assert(slice_next_is(&s, '\xff'));
}
END_TEST

START_TEST(equal)
{
	struct slice a = exact(BYTES("a\0b")), b = exact(BYTES("a\0b")),
	    c = exact(BYTES("a\0c")), d = exact(BYTES("a")), e = none, f = none;

	ck_assert(slice_equal(&a, &b));
	ck_assert(!slice_equal(&a, &c));
	ck_assert(!slice_equal(&a, &d));
	ck_assert(!slice_equal(&d, &e));
	ck_assert(slice_equal(&e, &f));
	ck_assert(slice_equals_text(&d, "a"));
	ck_assert(!slice_equals_text(&d, "A"));
	ck_assert(!slice_equals_text(&d, "ab"));
	ck_assert(!slice_equals_text(&d, ""));
	ck_assert(slice_equals_text(&e, ""));
	/* a NUL does not end it */
	ck_assert(!slice_equals_text(&a, "a"));
	free((char *)(size_t)a.p);
	free((char *)(size_t)b.p);
	free((char *)(size_t)c.p);
	free((char *)(size_t)d.p);
}
END_TEST

START_TEST(find)
{
	struct slice s = exact(BYTES("ab\0abc")), empty = none;
	size_t at = 77;

	ck_assert(slice_find(&s, "ab", &at));
	ck_assert_uint_eq(at, 0);
	ck_assert(slice_find(&s, "abc", &at));
	ck_assert_uint_eq(at, 3);
	ck_assert(slice_find(&s, "c", &at));
	ck_assert_uint_eq(at, 5);
	at = 77;
	ck_assert(!slice_find(&s, "bcd", &at));
	ck_assert(!slice_find(&s, "ab.abcd", &at));
	ck_assert(!slice_find(&s, "a longer text", &at));
	ck_assert(!slice_find(&empty, "a", &at));
	ck_assert_uint_eq(at, 77);
	ck_assert(slice_find(&empty, "", &at));
	ck_assert_uint_eq(at, 0);
	free((char *)(size_t)s.p);
}
END_TEST

/* S after a take that did, or did not, is WHAT. */
static void
left(const struct slice *s, const char *what)
{
	ck_assert_msg(slice_equals_text(s, what), "`%.*s' is not `%s'",
	    (int)s->len, s->p, what);
}

START_TEST(take)
{
	struct slice s = { "from (x)", 8 }, empty = none;

	ck_assert(!slice_take(&s, "From"));
	left(&s, "from (x)");
	ck_assert(!slice_take(&s, "from (x))"));
	left(&s, "from (x)");
	ck_assert(slice_take(&s, ""));
	left(&s, "from (x)");
	ck_assert(slice_take(&s, "from "));
	left(&s, "(x)");
	ck_assert(!slice_take_end(&s, 'x'));
	left(&s, "(x)");
	ck_assert(slice_take_end(&s, ')'));
	left(&s, "(x");
	ck_assert(slice_take(&s, "(x"));
	left(&s, "");
	ck_assert(!slice_take_end(&s, 'x'));
	ck_assert(!slice_take_end(&empty, '\0'));
	ck_assert(!slice_take(&empty, "a"));
	ck_assert(slice_take(&empty, ""));
}
END_TEST

START_TEST(take_word)
{
	struct slice s = exact(BYTES("12a3")), all = s, word, empty = none;

	ck_assert(slice_take_word(&s, slice_is_digit, &word));
	left(&word, "12");
	left(&s, "a3");
	ck_assert(!slice_take_word(&s, slice_is_digit, &word));
	left(&word, "");
	left(&s, "a3");
	ck_assert(slice_take_word(&s, slice_is_alnum, &word));
	left(&word, "a3");
	left(&s, "");
	ck_assert(!slice_take_word(&s, slice_is_alnum, &word));
	left(&word, "");
	ck_assert(!slice_take_word(&empty, slice_is_alnum, &word));
	free((char *)(size_t)all.p);
}
END_TEST

START_TEST(take_quoted)
{
	static const struct {
		const char *in, *rest;	/* rest NULL: none is there */
	} t[] = {
		{ "\"\"", "" }, { "\"a\"b", "b" }, { "\"a\" \"b\"", " \"b\"" },
		{ "\"a\\\"b\"c", "c" }, { "\"\\\\\"c", "c" },
		{ "\"\\\\\\\"\"c", "c" }, { "\"a@b\\ \"", "" },
		{ "", NULL }, { "a\"b\"", NULL }, { "\"", NULL },
		{ "\"a", NULL }, { "\"\\\"", NULL }, { "\"\\", NULL },
		{ "\"a\\\"b\\\"", NULL }, { " \"a\"", NULL },
	};
	struct slice s, all;
	size_t i;

	for (i = 0; i < COUNT(t); i++) {
		s = all = exact(t[i].in, strlen(t[i].in));
		ck_assert(slice_take_quoted(&s) == (t[i].rest != NULL));
		left(&s, t[i].rest != NULL ? t[i].rest : t[i].in);
		free((char *)(size_t)all.p);
	}
	s = (struct slice){ BYTES("\"a\0\"b") };
	ck_assert(slice_take_quoted(&s));
	left(&s, "b");
}
END_TEST

/* Of all bytes, whatever the locale thinks of them. */
START_TEST(classes)
{
	static const char digits[] = "0123456789", letters[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	bool digit;
	int c;

	for (c = 0; c <= UCHAR_MAX; c++) {
		digit = c != 0 && memchr(digits, c, sizeof(digits) - 1);
		ck_assert(slice_is_digit((unsigned char)c) == digit);
		ck_assert(slice_is_alnum((unsigned char)c) == (digit ||
		    memchr(letters, c, sizeof(letters) - 1) != NULL));
		ck_assert(slice_is_one_of((unsigned char)c, "-.\xff") ==
		    (c == '-' || c == '.' || c == 0xff));
		ck_assert(!slice_is_one_of((unsigned char)c, ""));
	}
}
END_TEST

Suite *
slice_suite(void)
{
	Suite *s = suite_create("slice");
	TCase *tc = unit_case(s, "looking");

	tcase_add_test(tc, advance_and_next);
	tcase_add_test(tc, equal);
	tcase_add_test(tc, find);
	tcase_add_test(tc, classes);
	tc = unit_case(s, "taking");
	tcase_add_test(tc, take);
	tcase_add_test(tc, take_word);
	tcase_add_test(tc, take_quoted);
	return s;
}

#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"
#include "unit.h"

START_TEST(writer_keeps_its_bound)
{
	struct text t;

	text_init(&t, 5);
	ck_assert_str_eq(text_string(&t), "");
	text_put(&t, "abcde", 5);
	unit_text(&t, "abcde");
	text_put(&t, "", 0);
	ck_assert(!text_failed(&t));
	text_puts(&t, "f");
	ck_assert(text_failed(&t));
	ck_assert_str_eq(text_string(&t), "abcde");
	text_free(&t);
}
END_TEST

START_TEST(failure_is_for_good)
{
	struct text t;

	text_init(&t, 5);
	text_puts(&t, "abc");
	text_puts(&t, "def");
	ck_assert(text_failed(&t));
	text_puts(&t, "d");
	text_printf(&t, "%d", 1);
	ck_assert(!text_clean(&t, "x", 1, 10));
	ck_assert(text_failed(&t));
	ck_assert_str_eq(text_string(&t), "abc");
	text_rewind(&t, 2);
	ck_assert(!text_failed(&t));
	text_puts(&t, "xyz");
	unit_text(&t, "abxyz");
	text_free(&t);
	ck_assert_str_eq(text_string(&t), "");
	text_puts(&t, "again");
	unit_text(&t, "again");
	text_free(&t);
}
END_TEST

START_TEST(printf_keeps_its_bound)
{
	struct text t;

	text_init(&t, 10);
	text_printf(&t, "%s", "");
	unit_text(&t, "");
	text_printf(&t, "%04d-%s", 12, "abcde");
	unit_text(&t, "0012-abcde");
	text_rewind(&t, 0);
	text_printf(&t, "%011d", 1);
	ck_assert(text_failed(&t));
	ck_assert_uint_eq(t.len, 0);
	text_free(&t);
}
END_TEST

START_TEST(writer_grows)
{
	struct text t;
	char *half = unit_repeat('x', 50000);
	int i;

	text_init(&t, 100001);
	for (i = 0; i < 2; i++)
		text_puts(&t, half);
	text_puts(&t, "y");
	ck_assert(!text_failed(&t));
	ck_assert_uint_eq(t.len, 100001);
	ck_assert_uint_eq(strspn(t.buf, "x"), 100000);
	ck_assert_str_eq(t.buf + 100000, "y");
	text_free(&t);
	free(half);
}
END_TEST

static const struct {
	const char *in;
	size_t len;
	const char *out;
} cleaned[] = {
	{ BYTES(""), "" },
	{ BYTES("plain text"), "plain text" },
	{ BYTES("two  spaces "), "two  spaces " },
	/* line breaks of all kinds, and the white space around them */
	{ BYTES("a\r\n\tb"), "a b" },
	{ BYTES("a \t\r\n \t b"), "a b" },
	{ BYTES("a\nb"), "a b" },
	{ BYTES("a\rb"), "a b" },
	{ BYTES("a\r\n\r\nb"), "a b" },
	{ BYTES("a \n \n b  c"), "a b  c" },
	{ BYTES("\r\nX-Injected: yes\r\n"), " X-Injected: yes " },
	{ BYTES("\n"), " " },
	/* other controls */
	{ BYTES("a\tb"), "a b" },
	{ BYTES("a\t \tb"), "a   b" },
	{ BYTES("a\0b"), "a?b" },
	{ BYTES("\x01\x07\x08\x0b\x0c\x1b[31m\x7f"), "?????" "?[31m?" },
	{ BYTES("a \x0b\n b"), "a ? b" },
	/* C1: NEL would be a line break, CSI a terminal's command */
	{ BYTES("a\xc2\x85" "b\xc2\x9b" "c\xc2\x80"), "a?b?c?" },
	{ BYTES("a\xc2\xa0" "b"), "a\xc2\xa0" "b" },
	/* bytes that are not UTF-8 */
	{ BYTES("caf\xe9"), "caf?" },
	{ BYTES("\x85\x9b\xff\xfe"), "????" },
	{ BYTES("\xc0\x8a"), "??" },			/* overlong LF */
	{ BYTES("\xe0\x80\x8a"), "???" },
	{ BYTES("\xed\xa0\x80"), "???" },		/* a surrogate */
	{ BYTES("\xf4\x90\x80\x80"), "????" },		/* above U+10FFFF */
	{ BYTES("\xe2\x82"), "??" },			/* cut */
	{ BYTES("\xc3\r\n"), "? " },
	/* bytes that are */
	{ BYTES("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x92\xa9 \xf4\x8f\xbf\xbf"),
	    "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x92\xa9 \xf4\x8f\xbf\xbf" },
};

START_TEST(clean_makes_one_line)
{
	struct text t;
	char *in = unit_exact(cleaned[_i].in, cleaned[_i].len);

	text_init(&t, 1000);
	ck_assert(text_clean(&t, in, cleaned[_i].len, 1000));
	unit_text(&t, cleaned[_i].out);
	text_free(&t);
	free(in);
}
END_TEST

START_TEST(clean_cuts_at_max)
{
	static const char s[] = "ab\xe2\x82\xac" "c \r\n d";	/* ab€c d */
	static const char whole[] = "ab\xe2\x82\xac" "c d";
	static const size_t length[] = { 0, 1, 2, 2, 2, 5, 6, 7, 8 };
	struct text t;
	size_t max;
	bool all;

	for (max = 0; max < COUNT(length); max++) {
		text_init(&t, 1000);
		all = text_clean(&t, s, sizeof(s) - 1, max);
		ck_assert(all == (max >= sizeof(whole) - 1));
		ck_assert(!text_failed(&t));
		unit_bytes(text_string(&t), t.len, whole, length[max]);
		text_free(&t);
	}
}
END_TEST

START_TEST(clean_keeps_the_writers_bound)
{
	struct text t;

	text_init(&t, 3);
	ck_assert(!text_clean(&t, BYTES("abcd"), 1000));
	ck_assert(text_failed(&t));
	ck_assert_uint_le(t.len, 3);
	text_free(&t);
}
END_TEST

/* All sequences of a lead byte and the edges of what may follow it. */
START_TEST(utf8_is_rfc_3629)
{
	static const struct {
		const char *p;
		size_t len, n;
	} t[] = {
		{ BYTES("\0"), 1 }, { BYTES("\x7f"), 1 }, { BYTES("\x80"), 0 },
		{ BYTES("\xbf\x80"), 0 }, { BYTES("\xc1\xbf"), 0 },
		{ BYTES("\xc2\x80"), 2 }, { BYTES("\xc2\x7f"), 0 },
		{ BYTES("\xc2\xc0"), 0 }, { BYTES("\xdf\xbf"), 2 },
		{ BYTES("\xdf"), 0 }, { BYTES("\xe0\x9f\xbf"), 0 },
		{ BYTES("\xe0\xa0\x80"), 3 }, { BYTES("\xe1\x80\x80"), 3 },
		{ BYTES("\xe1\x80\x7f"), 0 }, { BYTES("\xe1\x80\xc0"), 0 },
		{ BYTES("\xed\x9f\xbf"), 3 }, { BYTES("\xed\xa0\x80"), 0 },
		{ BYTES("\xef\xbf\xbf"), 3 }, { BYTES("\xef\xbf"), 0 },
		{ BYTES("\xf0\x8f\xbf\xbf"), 0 }, { BYTES("\xf0\x90\x80\x80"), 4 },
		{ BYTES("\xf0\x90\x80"), 0 }, { BYTES("\xf0\x90\x80\x7f"), 0 },
		{ BYTES("\xf4\x8f\xbf\xbf"), 4 }, { BYTES("\xf4\x90\x80\x80"), 0 },
		{ BYTES("\xf5\x80\x80\x80"), 0 }, { BYTES("\xff"), 0 },
	};
	size_t i;
	char *p;

	for (i = 0; i < COUNT(t); i++) {
		p = unit_exact(t[i].p, t[i].len);
		ck_assert_msg(text_utf8(p, t[i].len) == t[i].n, "case %zu", i);
		free(p);
	}
}
END_TEST

static const struct {
	const char *in;
	size_t len, max;
	const char *out;
} fields[] = {
	{ BYTES("plain"), 100, "n=plain" },
	{ BYTES("a@b.example"), 100, "n=a@b.example" },
	{ BYTES(""), 100, "n=\"\"" },
	{ BYTES("two words"), 100, "n=\"two words\"" },
	{ BYTES("a=b"), 100, "n=\"a=b\"" },
	{ BYTES("say \"hi\\"), 100, "n=\"say \\\"hi\\\\\"" },
	{ BYTES("="), 100, "n=\"=\"" },
	{ BYTES("a\"b"), 100, "n=\"a\\\"b\"" },
	{ BYTES("a\\b"), 100, "n=\"a\\\\b\"" },
	{ BYTES("a b"), 3, "n=\"a b\"" },
	{ BYTES("x\ny"), 100, "n=\"x\\x0ay\"" },
	{ BYTES("x\r\0\x1b\x7f"), 100, "n=\"x\\x0d\\x00\\x1b\\x7f\"" },
	{ BYTES("\xff\xc3"), 100, "n=\"\\xff\\xc3\"" },
	{ BYTES("\xc2\x85"), 100, "n=\"\\xc2\\x85\"" },
	{ BYTES("\xc3\xa9"), 100, "n=\"\xc3\xa9\"" },
	{ BYTES("12345"), 5, "n=12345" },
	{ BYTES("123456"), 5, "n=\"12345...\"" },
	/* a character that the limit cuts through is not used */
	{ BYTES("1234\xc3\xa9"), 5, "n=\"1234...\"" },
	{ BYTES("123\xf0\x9f\x92\xa9"), 6, "n=\"123...\"" },
};

START_TEST(field_quotes)
{
	struct text t;
	char *in = unit_exact(fields[_i].in, fields[_i].len);

	text_init(&t, 1000);
	text_field(&t, "n", in, fields[_i].len, fields[_i].max);
	unit_text(&t, fields[_i].out);
	text_free(&t);
	free(in);
}
END_TEST

START_TEST(fields_are_one_line)
{
	struct text t;

	text_init(&t, 1000);
	text_field(&t, "a", BYTES("1"), 10);
	text_field(&t, "b", BYTES("x c=2"), 10);
	unit_text(&t, "a=1 b=\"x c=2\"");
	text_free(&t);
}
END_TEST

START_TEST(dup_clean_has_no_controls)
{
	char in[256], *s;
	size_t i;

	for (i = 0; i < sizeof(in); i++)
		in[i] = (char)i;
	s = text_dup_clean(in, sizeof(in));
	ck_assert_uint_eq(strlen(s), sizeof(in));
	for (i = 0; i < sizeof(in); i++)
		ck_assert_int_eq((unsigned char)s[i],
		    i < 0x20 || i == 0x7f ? '?' : (int)i);
	free(s);
	s = text_dup_clean("", 0);
	ck_assert_str_eq(s, "");
	free(s);
}
END_TEST

START_TEST(numbers_have_all_their_digits)
{
	static const uint64_t numbers[] = { 0, 1, 9, 10, 1234567890,
	    UINT64_MAX };
	char expected[32];
	struct text t;
	size_t i;

	for (i = 0; i < COUNT(numbers); i++) {
		text_init(&t, 20);
		text_number(&t, numbers[i]);
		(void)snprintf(expected, sizeof(expected), "%" PRIu64,
		    numbers[i]);
		unit_text(&t, expected);
		text_free(&t);
	}
	text_init(&t, 2);
	text_number(&t, 100);
	ck_assert(text_failed(&t));
	text_free(&t);
}
END_TEST

/* The vectors of RFC 4648, 10. */
START_TEST(base64_is_rfc_4648)
{
	static const char *const vectors[] = { "", "Zg==", "Zm8=", "Zm9v",
	    "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy" };
	struct text t;
	size_t i;

	for (i = 0; i < COUNT(vectors); i++) {
		text_init(&t, 8);
		text_base64(&t, "foobar", i);
		unit_text(&t, vectors[i]);
		text_free(&t);
	}
	text_init(&t, 8);
	text_base64(&t, "\377\376\0\377\376\0", 6);
	unit_text(&t, "//4A//4A");
	text_base64(&t, "", 1);
	ck_assert(text_failed(&t));
	text_free(&t);
}
END_TEST

Suite *
text_suite(void)
{
	Suite *s = suite_create("text");
	TCase *tc = unit_case(s, "writer");

	tcase_add_test(tc, writer_keeps_its_bound);
	tcase_add_test(tc, failure_is_for_good);
	tcase_add_test(tc, printf_keeps_its_bound);
	tcase_add_test(tc, writer_grows);
	tcase_add_test(tc, numbers_have_all_their_digits);
	tcase_add_test(tc, base64_is_rfc_4648);
	tc = unit_case(s, "cleaning");
	tcase_add_loop_test(tc, clean_makes_one_line, 0, COUNT(cleaned));
	tcase_add_test(tc, clean_cuts_at_max);
	tcase_add_test(tc, clean_keeps_the_writers_bound);
	tcase_add_test(tc, utf8_is_rfc_3629);
	tcase_add_loop_test(tc, field_quotes, 0, COUNT(fields));
	tcase_add_test(tc, fields_are_one_line);
	tcase_add_test(tc, dup_clean_has_no_controls);
	return s;
}

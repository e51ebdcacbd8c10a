#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "encoded_word.h"
#include "unit.h"

/* What real rspamds made of subjects, and what is made of that. */
static const struct sample {
	const char *in, *out;		/* NULL: unchanged */
} samples[] = {
	/* rspamd 3.12.1 */
	{ "[SPAM] plain text",
	    NULL },
	{ "[SPAM] Gr=?UTF-8?Q?=C3=BC=C3=9Fe_aus_K=C3=B6?=ln",
	    "[SPAM] =?UTF-8?B?R3LDvMOfZSBhdXMgS8O2bG4=?=" },
	{ "[SPAM] Sale =?UTF-8?Q?=F0=9F=8E=89=F0=9F=8E=89=F0=9F=8E=89_n"
	    "ow_=F0=9F=8E?==?UTF-8?Q?=81?=",
	    "[SPAM] Sale =?UTF-8?B?8J+OifCfjonwn46JIG5vdyDwn46B?=" },
	{ "[SPAM] =?UTF-8?Q?=D0=9F=D1=80=D0=B8=D0=B2=D0=B5=D1=82=2C_=D0"
	    "=BA=D0=B0=D0=BA_?==?UTF-8?Q?=D0=B4=D0=B5=D0=BB=D0=B0=3F_=D0="
	    "A1=D1=80=D0=BE=D1=87=D0=BD=D0=BE_?==?UTF-8?Q?=D0=BE=D1=82=D0"
	    "=B2=D0=B5=D1=82=D1=8C=D1=82=D0=B5_=D0=BD=D0=B0_?==?UTF-8?Q?="
	    "D1=8D=D1=82=D0=BE_=D0=BF=D0=B8=D1=81=D1=8C=D0=BC=D0=BE=2C_=D"
	    "0=BF?==?UTF-8?Q?=D0=BE=D0=B6=D0=B0=D0=BB=D1=83=D0=B9=D1=81=D"
	    "1=82=D0=B0=2C_=D1=81?==?UTF-8?Q?=D0=B5=D0=B3=D0=BE=D0=B4=D0="
	    "BD=D1=8F_=D0=B6=D0=B5?=",
	    "[SPAM] =?UTF-8?B?0J/RgNC40LLQtdGCLCDQutCw0Log0LTQtdC70LA/INC"
	    "h0YDQvtGH0L3QviA=?= =?UTF-8?B?0L7RgtCy0LXRgtGM0YLQtSDQvdCwIN"
	    "GN0YLQviDQv9C40YHRjNC80L4sINC/?= =?UTF-8?B?0L7QttCw0LvRg9C50"
	    "YHRgtCwLCDRgdC10LPQvtC00L3RjyDQttC1?=" },
	{ "[SPAM] =?UTF-8?Q?=E9=87=8D=E8=A6=81=E3=81=AA=E3=81=8A=E7=9F="
	    "A5=E3=82=89=E3?==?UTF-8?Q?=81=9B=EF=BC=9A=E3=81=82=E3=81=AA="
	    "E3=81=9F=E3=81=AE=E3=82=A2=E3?==?UTF-8?Q?=82=AB=E3=82=A6=E3="
	    "83=B3=E3=83=88=E3=81=AF=E4=B8=80=E6=99=82=E7?==?UTF-8?Q?=9A="
	    "84=E3=81=AB=E5=88=B6=E9=99=90=E3=81=95=E3=82=8C=E3=81=A6=E3?"
	    "==?UTF-8?Q?=81=84=E3=81=BE=E3=81=99=E3=80=82=E4=BB=8A=E3=81="
	    "99=E3=81=90=E7?==?UTF-8?Q?=A2=BA=E8=AA=8D=E3=81=97=E3=81=A6="
	    "E3=81=8F=E3=81=A0=E3=81=95=E3?==?UTF-8?Q?=81=84?=",
	    "[SPAM] =?UTF-8?B?6YeN6KaB44Gq44GK55+l44KJ44Gb77ya44GC44Gq44G"
	    "f44Gu44Ki44Kr44Km?= =?UTF-8?B?44Oz44OI44Gv5LiA5pmC55qE44Gr5Y"
	    "i26ZmQ44GV44KM44Gm44GE44G+44GZ?= =?UTF-8?B?44CC5LuK44GZ44GQ5"
	    "6K66KqN44GX44Gm44GP44Gg44GV44GE?=" },
	{ "[SPAM] Gr=?UTF-8?Q?=C3=BC=C3=9Fe_und_=D0=9F=D1=80=D0=B8=D0=B"
	    "2=D0=B5=D1=82?=",
	    "[SPAM] =?UTF-8?B?R3LDvMOfZSB1bmQg0J/RgNC40LLQtdGC?=" },
	{ "[SPAM] (Gr=?UTF-8?Q?=C3=BC=C3=9F?=e) [K=?UTF-8?Q?=C3=B6?=ln]",
	    "[SPAM] =?UTF-8?B?KEdyw7zDn2UpIFtLw7Zsbl0=?=" },
	{ "[SPAM] =?UTF-8?Q?=E2=80=9EGr=C3=BC=C3=9Fe=E2=80=9C=3A_50=25_"
	    "=E2=80=94?= jetzt!",
	    NULL },
	{ "[SPAM] =?UTF-8?Q?=C3=9C=C3=96?=",
	    NULL },
	{ "[SPAM] =?UTF-8?Q?=C3=BC?= =?UTF-8?Q?=C3=BC?=",
	    NULL },
	{ "[SPAM] a  X-Evil: 1?=?UTF-8?Q?=C3=BC?=",
	    "[SPAM] a  X-Evil: =?UTF-8?B?MT/DvA==?=" },
	{ "[SPAM] abc?=?UTF-8?Q?=C3=BC?=",
	    "[SPAM] =?UTF-8?B?YWJjP8O8?=" },
	{ "[SPAM] Angebot f=?UTF-8?Q?=C3=BCr_Sie_pers=C3=B6nlich=3A_g=C"
	    "3=BCnstige_Fl=C3?==?UTF-8?Q?=BCge_nach_=C3=96sterreich=2C_=C"
	    "3=9C?=bernachtung inklusive jetzt",
	    "[SPAM] Angebot =?UTF-8?B?ZsO8ciBTaWUgcGVyc8O2bmxpY2g6IGfDvG5"
	    "zdGlnZSBGbMO8Z2UgbmFjaCA=?= =?UTF-8?B?w5ZzdGVycmVpY2gsIMOcYm"
	    "VybmFjaHR1bmc=?= inklusive jetzt" },
	{ "[SPAM] Gr=?UTF-8?Q?=C3=BC=C3=9F?=e ",
	    "[SPAM] =?UTF-8?B?R3LDvMOfZQ==?= " },
	{ "[SPAM]   Gr=?UTF-8?Q?=C3=BC=C3=9F?=e",
	    "[SPAM]   =?UTF-8?B?R3LDvMOfZQ==?=" },
	{ "[SPAM] =?UTF-8?Q?=D0=BF=D0=BF=D0=BF=D0=BF=D0=BF=D0=BF=D0=BF="
	    "D0=BF=D0=BF=D0?==?UTF-8?Q?=BF_=D0=BF=D0=BF=D0=BF=D0=BF=D0=BF"
	    "=D0=BF=D0=BF=D0=BF=D0=BF=D0=BF?= =?UTF-8?Q?=D0=BF=D0=BF=D0=B"
	    "F=D0=BF=D0=BF=D0=BF=D0=BF=D0=BF=D0=BF=D0=BF?=",
	    "[SPAM] =?UTF-8?B?0L/Qv9C/0L/Qv9C/0L/Qv9C/0L8g0L/Qv9C/0L/Qv9C"
	    "/0L/Qv9C/0L8g0L8=?= =?UTF-8?B?0L/Qv9C/0L/Qv9C/0L/Qv9C/?=" },
	{ "[SPAM] =?UTF-8?Q?=C3=A9?=                                   "
	    "                                   =?UTF-8?Q?=C3=A9?=",
	    NULL },
	/* rspamd 4.1.5 */
	{ "[SPAM] Gr=?UTF-8?Q?=C3=BC=C3=9Fe?= aus K=?UTF-8?Q?=C3=B6ln?=",
	    "[SPAM] =?UTF-8?B?R3LDvMOfZQ==?= aus =?UTF-8?B?S8O2bG4=?=" },
	{ "[SPAM] sch=?UTF-8?Q?=C3=B6ne?= Gr=?UTF-8?Q?=C3=BC=C3=9Fe?=",
	    "[SPAM] =?UTF-8?B?c2Now7ZuZSBHcsO8w59l?=" },
	{ "[SPAM] Sale =?UTF-8?Q?=F0=9F=8E=89=F0=9F=8E=89=F0=9F=8E=89?="
	    " now =?UTF-8?Q?=F0=9F=8E=81?=",
	    NULL },
	{ "[SPAM] =?UTF-8?Q?=D0=9F=D1=80=D0=B8=D0=B2=D0=B5=D1=82?=, =?U"
	    "TF-8?Q?=D0=BA=D0=B0=D0=BA?==?UTF-8?Q?_=D0=B4=D0=B5=D0=BB=D0="
	    "B0?=? =?UTF-8?Q?=D0=A1=D1=80=D0=BE=D1=87=D0=BD=D0=BE?==?UTF-"
	    "8?Q?_=D0=BE=D1=82=D0=B2=D0=B5=D1=82=D1=8C=D1=82=D0=B5?==?UTF"
	    "-8?Q?_=D0=BD=D0=B0?==?UTF-8?Q?_=D1=8D=D1=82=D0=BE?==?UTF-8?Q"
	    "?_=D0=BF=D0=B8=D1=81=D1=8C=D0=BC=D0=BE?=, =?UTF-8?Q?=D0=BF=D"
	    "0=BE=D0=B6=D0=B0=D0=BB=D1=83=D0=B9=D1=81=D1=82=D0=B0?=, =?UT"
	    "F-8?Q?=D1=81=D0=B5=D0=B3=D0=BE=D0=B4=D0=BD=D1=8F?==?UTF-8?Q?"
	    "_=D0=B6=D0=B5?=",
	    "[SPAM] =?UTF-8?B?0J/RgNC40LLQtdGCLCDQutCw0Log0LTQtdC70LA/INC"
	    "h0YDQvtGH0L3QviA=?= =?UTF-8?B?0L7RgtCy0LXRgtGM0YLQtSDQvdCwIN"
	    "GN0YLQviDQv9C40YHRjNC80L4sINC/?= =?UTF-8?B?0L7QttCw0LvRg9C50"
	    "YHRgtCwLCDRgdC10LPQvtC00L3RjyDQttC1?=" },
	{ "[SPAM] =?UTF-8?Q?=E9=87=8D=E8=A6=81=E3=81=AA=E3=81=8A=E7=9F="
	    "A5=E3=82=89=E3=81=9B?==?UTF-8?Q?=EF=BC=9A=E3=81=82=E3=81=AA="
	    "E3=81=9F=E3=81=AE=E3=82=A2=E3=82=AB?==?UTF-8?Q?=E3=82=A6=E3="
	    "83=B3=E3=83=88=E3=81=AF=E4=B8=80=E6=99=82=E7=9A=84?==?UTF-8?"
	    "Q?=E3=81=AB=E5=88=B6=E9=99=90=E3=81=95=E3=82=8C=E3=81=A6=E3="
	    "81=84?==?UTF-8?Q?=E3=81=BE=E3=81=99=E3=80=82=E4=BB=8A=E3=81="
	    "99=E3=81=90=E7=A2=BA?==?UTF-8?Q?=E8=AA=8D=E3=81=97=E3=81=A6="
	    "E3=81=8F=E3=81=A0=E3=81=95=E3=81=84?=",
	    "[SPAM] =?UTF-8?B?6YeN6KaB44Gq44GK55+l44KJ44Gb77ya44GC44Gq44G"
	    "f44Gu44Ki44Kr44Km?= =?UTF-8?B?44Oz44OI44Gv5LiA5pmC55qE44Gr5Y"
	    "i26ZmQ44GV44KM44Gm44GE44G+44GZ?= =?UTF-8?B?44CC5LuK44GZ44GQ5"
	    "6K66KqN44GX44Gm44GP44Gg44GV44GE?=" },
	{ "[SPAM] =?UTF-8?Q?=C3=9C?==?UTF-8?Q?_=C3=96?==?UTF-8?Q?_=C3=8"
	    "4?=",
	    "[SPAM] =?UTF-8?B?w5wgw5Ygw4Q=?=" },
	{ "[SPAM] Gr=?UTF-8?Q?=C3=BC=C3=9Fe?= und =?UTF-8?Q?=D0=9F=D1=8"
	    "0=D0=B8=D0=B2=D0=B5=D1=82?=",
	    "[SPAM] =?UTF-8?B?R3LDvMOfZQ==?= und =?UTF-8?B?0J/RgNC40LLQtd"
	    "GC?=" },
	{ "[SPAM] =?UTF-8?Q?=E2=80=9EGr=C3=BC=C3=9Fe=E2=80=9C?=: 50% =?"
	    "UTF-8?Q?=E2=80=94?= jetzt!",
	    "[SPAM] =?UTF-8?B?4oCeR3LDvMOfZeKAnDo=?= 50% =?UTF-8?B?4oCU?="
	    " jetzt!" },
	{ "[SPAM] Angebot f=?UTF-8?Q?=C3=BCr?= Sie pers=?UTF-8?Q?=C3=B6"
	    "nlich?=: g=?UTF-8?Q?=C3=BCnstige?= Fl=?UTF-8?Q?=C3=BCge?= na"
	    "ch =?UTF-8?Q?=C3=96sterreich?=, =?UTF-8?Q?=C3=9Cbernachtung?"
	    "= inklusive jetzt",
	    "[SPAM] Angebot =?UTF-8?Q?f=C3=BCr?= Sie =?UTF-8?B?cGVyc8O2bm"
	    "xpY2g6IGfDvG5zdGlnZSBGbMO8Z2U=?= nach =?UTF-8?Q?=C3=96sterre"
	    "ich=2C_=C3=9Cbernachtung?= inklusive jetzt" },
	{ "[SPAM] =?UTF-8?Q?=D0=BF=D0=BF=D0=BF=D0=BF=D0=BF=D0=BF=D0=BF="
	    "D0=BF=D0=BF=D0=BF?==?UTF-8?Q?=D0=BF?==?UTF-8?Q?_=D0=BF=D0=BF"
	    "=D0=BF=D0=BF=D0=BF=D0=BF=D0=BF=D0=BF=D0=BF=D0=BF?==?UTF-8?Q?"
	    "=D0=BF?==?UTF-8?Q?_=D0=BF=D0=BF=D0=BF=D0=BF=D0=BF=D0=BF=D0=B"
	    "F=D0=BF=D0=BF=D0=BF?==?UTF-8?Q?=D0=BF?=",
	    "[SPAM] =?UTF-8?B?0L/Qv9C/0L/Qv9C/0L/Qv9C/0L/QvyDQv9C/0L/Qv9C"
	    "/0L/Qv9C/0L/Qv9C/?= =?UTF-8?B?INC/0L/Qv9C/0L/Qv9C/0L/Qv9C/0L"
	    "8=?=" },
	/* rspamd 3.4 */
	{ "=?UTF-8?Q?=5BSPAM=5D_Gr=C3=BC=C3=9Fe_aus?= =?UTF-8?Q?_K=C3=B"
	    "6ln?=",
	    NULL },
};

/* What no rspamd sends. */
static const struct sample cases[] = {
	{ "",
	    NULL },
	{ "=?",
	    NULL },
	{ "plain =? text ?=",
	    NULL },
	{ "=?UTF-8?Q?=C3=BC?=",
	    NULL },
	{ "a =?utf-8*de?b?w7w=?=\011b",
	    NULL },
	{ "x=?UTF-8?Q?=C3=BC?=",
	    "=?UTF-8?B?eMO8?=" },
	{ "=?UTF-8?Q?=C3=BC?=x",
	    "=?UTF-8?B?w7x4?=" },
	{ "=?UTF-8?Q?=C3=BC?==?UTF-8?Q?=C3=BC?=",
	    "=?UTF-8?B?w7zDvA==?=" },
	{ "=?UTF-8?Q?=C3?= =?UTF-8?Q?=BC?=",
	    "=?UTF-8?B?w7w=?=" },
	{ "=?UTF-8?Q?a=F0?==?utf-8?q?=9F?= =?UTF-8?B?jokg?= b",
	    "=?UTF-8?B?YfCfjokg?= b" },
	{ "=?UTF-8?Q?=C3?=",
	    "=?UTF-8?Q?=C3?=" },
	{ "=?UTF-8?Q?=C3?= x=?UTF-8?Q?=C3=BC?=",
	    "=?UTF-8?Q?=C3?= =?UTF-8?Q?_x=C3=BC?=" },
	{ "=?UTF-8?Q?=BC?==?UTF-8?Q?=C3=BC?=",
	    "=?UTF-8?Q?=BC?= =?UTF-8?B?w7w=?=" },
	{ "=?koi8-r?B?8NI=?=x=?UTF-8?Q?=C3=BC?=",
	    "=?koi8-r?B?8NI=?= =?UTF-8?B?eMO8?=" },
	{ "=?koi8-r?B?8NI=?==?UTF-8?Q?=C3=BC?=",
	    "=?koi8-r?B?8NI=?= =?UTF-8?B?w7w=?=" },
	{ "=?koi8-r?B?8NI=?= =?UTF-8?Q?=C3=BC?=!",
	    "=?koi8-r?B?8NI=?= =?UTF-8?Q?_=C3=BC!?=" },
	{ "=?koi8-r?B?8NI=?=x",
	    NULL },
	{ "=?UTF-8?Q?a=0D=0AX:_1=00=7F=C2=85=C3=BC?=",
	    "=?UTF-8?B?YSAgWDogMSAgIMO8?=" },
	{ "a\015\012 b\001\033=?UTF-8?Q?=C3=BC?=\011c",
	    "a  b  =?UTF-8?B?w7w=?= c" },
	{ "=?UTF-8?Q?a=09=C3=BC?=",
	    NULL },
	{ "=?UTF-8?Q?a=09=C3=BC?=!",
	    "=?UTF-8?B?YSDDvCE=?=" },
	{ "(=?UTF-8?Q?=C3=BC?=)",
	    "=?UTF-8?B?KMO8KQ==?=" },
	{ "=?UTF-8?Q?=3D=3FUTF-8=3FQ=3Fx=3F=3D?=!",
	    "=?UTF-8?B?PT9VVEYtOD9RP3g/PSE=?=" },
	{ "a=?UTF-8?Q?=ZZ?=b",
	    NULL },
	{ "a=?UTF-8?B?w7w?=b",
	    NULL },
	{ "a=?UTF-8?Q?\?=b",
	    NULL },
	{ "a=?UTF-8?Q?b c?=d",
	    NULL },
	{ "a=?UTF-8?X?bc?=d",
	    NULL },
	{ "=?=?UTF-8?Q?=C3=BC?=",
	    "=?UTF-8?B?PT/DvA==?=" },
	{ "=?UTF-8?Q?=C3=BC?= \303\266 =?UTF-8?Q?=C3=BC?=x",
	    "=?UTF-8?B?w7wgw7Ygw7x4?=" },
	{ "\377=?UTF-8?Q?=C3=BC?=",
	    "=?UTF-8?B?P8O8?=" },
	{ "=\377UTF-8?Q?x?= =?UTF-8?Q?=C3=BC?=!",
	    "=?UTF-8?B?PT9VVEYtOD9RP3g/PSDDvCE=?=" },
	{ "=?UTF-8?Q?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	    "aaaaaaaaaaaaa?=",
	    NULL },
	{ "=?UTF-8?Q?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	    "aaaaaaaaaaaaaa?=",
	    "=?UTF-8?Q?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	    "aaaaaaaaaaaaa?= =?UTF-8?Q?a?=" },
	{ "=?UTF-8?Q?=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C"
	    "3=BC=C3=BC=C3=BC?= =?UTF-8?Q?=C3=BC?=",
	    "=?UTF-8?B?w7zDvMO8w7zDvMO8w7zDvMO8w7zDvMO8?=" },
	{ "*** =?UTF-8?Q?=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3=BC=C3="
	    "BC=C3=BC=C3=BC=C3=BC?= =?UTF-8?Q?=C3=BC?=",
	    "*** =?UTF-8?B?w7zDvMO8w7zDvMO8w7zDvMO8w7zDvCDDvA==?=" },
};

/* Fails unless the LEN bytes at IN become OUT; NULL is unchanged. */
static void
mends(const char *in, size_t len, const char *out)
{
	char *copy = unit_exact(in, len);
	struct text t;

	text_init(&t, ENCODED_WORD_MENDED_MAX(len) + 1);
	text_puts(&t, "<");
	ck_assert_int_eq(encoded_word_mend(&t, copy, len), out != NULL);
	ck_assert_str_eq(text_string(&t) + 1, out != NULL ? out : "");
	text_free(&t);
	free(copy);
}

START_TEST(subjects_of_rspamd)
{
	const struct sample *s = &samples[_i];

	mends(s->in, strlen(s->in), s->out);
}
END_TEST

START_TEST(what_is_mended_is_right)
{
	const struct sample *s = &samples[_i];

	if (s->out != NULL)
		mends(s->out, strlen(s->out), NULL);
}
END_TEST

START_TEST(other_texts)
{
	const struct sample *s = &cases[_i];

	mends(s->in, strlen(s->in), s->out);
}
END_TEST

START_TEST(nul_is_a_blank)
{
	mends(BYTES("a\0b =?UTF-8?Q?a=00=C3=BC?="),
	    "a b =?UTF-8?Q?a_=C3=BC?=");
}
END_TEST

/* Words of the longest and the shortest characters are filled, not cut. */
START_TEST(words_end_with_a_character)
{
	static const char *const characters[] = { "=C3=BC", "=E9=87=8D",
	    "=F0=9F=8E=89", "a", "=3D" };
	const char *p, *end;
	char *in;
	struct text t, words;
	size_t i;

	text_init(&words, 8192);
	text_puts(&words, "x=?UTF-8?Q?");
	for (i = 0; i < 200; i++)
		text_puts(&words, characters[_i]);
	text_puts(&words, "?=");
	in = unit_exact(words.buf, words.len);
	text_init(&t, ENCODED_WORD_MENDED_MAX(words.len));
	ck_assert(encoded_word_mend(&t, in, words.len));
	for (p = t.buf; p != NULL; p = end == NULL ? NULL : end + 1) {
		end = strchr(p, ' ');
		ck_assert_uint_le(end == NULL ? strlen(p) : (size_t)(end - p),
		    ENCODED_WORD_MAX);
		if (end != NULL)
			ck_assert_uint_gt((size_t)(end - p),
			    ENCODED_WORD_MAX - 16);
	}
	/* a second time there is nothing to do */
	text_rewind(&words, 0);
	ck_assert(!encoded_word_mend(&words, t.buf, t.len));
	text_free(&words);
	text_free(&t);
	free(in);
}
END_TEST

START_TEST(longer_than_the_limit_stays)
{
	char *in = unit_repeat('a', ENCODED_WORD_TEXT_MAX + 1);
	struct text t;

	memcpy(in, BYTES("=?UTF-8?Q?=C3=BC?="));
	text_init(&t, ENCODED_WORD_MENDED_MAX(ENCODED_WORD_TEXT_MAX));
	ck_assert(!encoded_word_mend(&t, in, ENCODED_WORD_TEXT_MAX + 1));
	ck_assert_uint_eq(t.len, 0);
	ck_assert(encoded_word_mend(&t, in, ENCODED_WORD_TEXT_MAX));
	ck_assert_uint_gt(t.len, ENCODED_WORD_TEXT_MAX);
	text_free(&t);
	free(in);
}
END_TEST

/* What takes the most room for its size: short words, words between text. */
START_TEST(writer_has_room)
{
	static const char *const pieces[] = { "=?UTF-8?Q?=C3=BC?=",
	    "=?UTF-8?Q?a?= ", "a=?UTF-8?Q?=C3=BC?= b ", "\303\274 b ",
	    "\303\274 bb ", "=?a?b?c?=\303\274" };
	char *in = malloc(ENCODED_WORD_TEXT_MAX);
	size_t n = strlen(pieces[_i]), len;
	struct text t;

	memcpy(in, BYTES("=?UTF-8?Q?a?=b "));
	for (len = 15; len + n <= ENCODED_WORD_TEXT_MAX; len += n)
		memcpy(in + len, pieces[_i], n);
	text_init(&t, ENCODED_WORD_MENDED_MAX(len));
	ck_assert(encoded_word_mend(&t, in, len));
	text_free(&t);
	/* one without it is left as it was */
	text_init(&t, 40);
	text_puts(&t, "before");
	ck_assert(!encoded_word_mend(&t, in, len));
	unit_text(&t, "before");
	text_free(&t);
	free(in);
}
END_TEST

Suite *
encoded_word_suite(void)
{
	Suite *s = suite_create("encoded_word");
	TCase *tc = unit_case(s, "mending");

	tcase_add_loop_test(tc, subjects_of_rspamd, 0, COUNT(samples));
	tcase_add_loop_test(tc, what_is_mended_is_right, 0, COUNT(samples));
	tcase_add_loop_test(tc, other_texts, 0, COUNT(cases));
	tcase_add_test(tc, nul_is_a_blank);
	tc = unit_case(s, "limits");
	tcase_add_loop_test(tc, words_end_with_a_character, 0, 5);
	tcase_add_test(tc, longer_than_the_limit_stays);
	tcase_add_loop_test(tc, writer_has_room, 0, 6);
	return s;
}

/*
 * The wire strings are what Exim 4.70 to 4.99 handed to a spamd client, or
 * for TLS, what their default received_header_text makes of the names that
 * OpenSSL and GnuTLS give.
 */
#include "config.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "envelope.h"
#include "unit.h"

Suite	*envelope_suite(void);

#define MBOX	"From MAILER-DAEMON Mon Nov 23 06:05:49 2026\n"
#define SENDER	"X-Envelope-From: <s@x.example>\n"
#define RCPT	"X-Envelope-To: a@y.example\n"
#define RCPTS	"X-Envelope-To: a@y.example, b@y.example\n"
#define ADDRS	MBOX SENDER RCPT

#define ID	"1xVNBV-0006sL-2I"
#define NEW_ID	"1xVNCO-000000007Ke-2uRW"
#define DATE	"Mon, 23 Nov 2026 06:05:49 +0000"
#define FROM	"\t(envelope-from <s@x.example>)\n"
#define BY	"\tby mx.example.org with esmtp (Exim 4.96)\n"
#define TAIL	"\n\tfor a@y.example;\n\t" DATE "\n"
#define TAIL_OLD "\n\tfor a@y.example; " DATE "\n"
#define REST	FROM "\tid " ID TAIL
#define IP	"192.0.2.1"
#define IP6	"2001:db8::1"

/* What the author of the mail wrote: it follows each of the wire strings. */
static const char forged[] =
    MBOX "X-Envelope-From: <forged@evil.example>\n"
    "X-Envelope-To: forged@evil.example\n"
    "Received: from forged.example ([127.0.0.1] helo=forged.example)\n"
    "\tby forged.example with esmtp (Exim 4.96)\n" REST
    "Subject: x\n\nbody\n";

struct sample {
	const char		*name;
	const char		*wire;
	enum envelope_result	 result;
	const char		*sender;
	const char		*rcpts;		/* one after the other, with | */
	const char		*ip;
	const char		*helo;
	const char		*hostname;
	const char		*queue_id;
	bool			 authenticated;
};

#define FULL(name, wire, ip, helo, hostname) \
	{ name, wire, ENVELOPE_FULL, "s@x.example", "a@y.example", \
	    ip, helo, hostname, ID, false }
#define CLIENT(name, client, ip, helo, hostname) \
	FULL(name, ADDRS "Received: from " client "\n" BY REST, \
	    ip, helo, hostname)
#define LOCAL(name, by, helo) \
	FULL(name, ADDRS "Received: " by " (Exim 4.96)\n" REST, \
	    NULL, helo, NULL)
#define SUBMITTED(name, by) \
	{ name, ADDRS "Received: " by " (Exim 4.96)\n" REST, ENVELOPE_FULL, \
	    "s@x.example", "a@y.example", NULL, NULL, NULL, ID, true }
#define PROTOCOL(name, protocol, auth) \
	{ name, ADDRS "Received: from [" IP "] (helo=h)\n" \
	    "\tby mx.example.org with " protocol REST, ENVELOPE_FULL, \
	    "s@x.example", "a@y.example", IP, "h", NULL, ID, auth }

/* The forms of the client, of local users, of protocol and TLS, of the end. */
static const struct sample forms[] = {
	CLIENT("no name", "[" IP "] (helo=h.example)", IP, "h.example", NULL),
	CLIENT("no name, IPv6", "[" IP6 "] (helo=h)", IP6, "h", NULL),
	CLIENT("no name, ident", "[" IP "] (helo=h.example ident=joe)",
	    IP, "h.example", NULL),
	CLIENT("no name, port", "[" IP "] (port=1234 helo=h.example)",
	    IP, "h.example", NULL),
	CLIENT("no name, port, ident",
	    "[" IP "] (port=1234 helo=h.example ident=joe)",
	    IP, "h.example", NULL),
	CLIENT("literal", "[" IP "]", IP, "[" IP "]", NULL),
	CLIENT("literal, IPv6", "[" IP6 "]", IP6, "[IPv6:" IP6 "]", NULL),
	CLIENT("literal, ident", "[" IP "] (ident=joe)", IP, "[" IP "]", NULL),
	CLIENT("literal, port", "[" IP "] (port=1234)", IP, "[" IP "]", NULL),
	CLIENT("literal, port, ident", "[" IP "] (port=1234 ident=joe)",
	    IP, "[" IP "]", NULL),
	CLIENT("name", "c.example ([" IP "])", IP, "c.example", "c.example"),
	CLIENT("name, IPv6", "c.example ([" IP6 "])",
	    IP6, "c.example", "c.example"),
	CLIENT("name, ident", "c.example ([" IP "] ident=joe)",
	    IP, "c.example", "c.example"),
	CLIENT("name, HELO", "c.example ([" IP "] helo=other.example)",
	    IP, "other.example", "c.example"),
	CLIENT("name, HELO, ident",
	    "c.example\n\t([" IP "] helo=other.example ident=joe)",
	    IP, "other.example", "c.example"),
	CLIENT("name, port", "c.example ([" IP "]:1234)",
	    IP, "c.example", "c.example"),
	CLIENT("name, port, HELO", "c.example ([" IP "]:1234 helo=o.example)",
	    IP, "o.example", "c.example"),
	CLIENT("name, IPv6, port, HELO, ident",
	    "c.example\n\t([" IP6 "]:1234 helo=o.example ident=joe)",
	    IP6, "o.example", "c.example"),
	CLIENT("odd name", "x_1/2-3.c.example ([" IP "])",
	    IP, "x_1/2-3.c.example", "x_1/2-3.c.example"),

	FULL("HELO that is not shown, if there was one", ADDRS
	    "Received: from [" IP "]\n"
	    "\tby mx.example.org with smtp (Exim 4.96)\n" REST,
	    IP, NULL, NULL),
	FULL("the same with a name", ADDRS
	    "Received: from c.example ([" IP "])\n"
	    "\tby mx.example.org with smtp (Exim 4.96)\n" REST,
	    IP, NULL, "c.example"),

	FULL("HELO that is not shown, TLS on connect", ADDRS
	    "Received: from [" IP "]\n"
	    "\tby mx.example.org with essmtp (Exim 4.99)\n" REST,
	    IP, "[" IP "]", NULL),

	SUBMITTED("user", "from root by mx.example.org with local"),
	SUBMITTED("quoted user",
	    "from \"a \\\"b\\\\ by c (helo=d\" by mx.example.org with local"),
	SUBMITTED("nobody", "by mx.example.org with local"),
	LOCAL("user with HELO",
	    "from root (helo=h.example)\n\tby mx.example.org with local-esmtp",
	    "h.example"),
	LOCAL("HELO alone",
	    "(helo=h.example)\n\tby mx.example.org with local-smtp",
	    "h.example"),
	LOCAL("batch", "from uucp by mx.example.org with local-bsmtp", NULL),
	LOCAL("protocol of the caller",
	    "from amavis by mx.example.org with scanned-ok", NULL),
	LOCAL("no protocol, 4.93 on", "from root by mx.example.org", NULL),
	LOCAL("no protocol, to 4.92", "from root by mx.example.org ", NULL),

	PROTOCOL("HELO", "smtp (Exim 4.96)\n", false),
	PROTOCOL("authenticated", "esmtpa (Exim 4.96)\n", true),
	PROTOCOL("TLS, OpenSSL, 4.70",
	    "esmtps (TLSv1:AES256-SHA:256)\n\t(Exim 4.70)\n", false),
	PROTOCOL("TLS, GnuTLS, 4.70",
	    "esmtpsa (TLS-1.0:RSA_AES_256_CBC_SHA1:32)\n\t(Exim 4.70)\n", true),
	PROTOCOL("TLS, GnuTLS, 4.80",
	    "esmtps (TLS1.2:RSA_AES_256_CBC_SHA256:256)\n\t(Exim 4.80)\n",
	    false),
	PROTOCOL("TLS, GnuTLS, 4.92",
	    "esmtps (TLS1.3:ECDHE_X25519__RSA_PSS_RSAE_SHA256__AES_256_GCM:256)"
	    "\n\t(Exim 4.92)\n", false),
	PROTOCOL("TLS, 4.93 on",
	    "esmtpsa  (TLS1.3) tls TLS_AES_256_GCM_SHA384\n\t(Exim 4.96)\n",
	    true),
	PROTOCOL("TLS, 4.93 on, cipher without a name",
	    "esmtps  (TLS1.2)(Exim 4.93)\n", false),
	PROTOCOL("TLS, 4.93 on, no version",
	    "esmtps  tls TLS_RSA_WITH_AES_128_CBC_SHA\n\t(Exim 4.93)\n", false),
	PROTOCOL("TLS on connect, 4.99", "essmtpa (Exim 4.99)\n", true),
	PROTOCOL("SMTPUTF8", "utf8esmtpsa (Exim 4.96)\n", true),
	PROTOCOL("SMTPUTF8, second mail of a connection, 4.91",
	    "utf8utf8esmtpa (Exim 4.91)\n", true),
	PROTOCOL("a version of one's own", "esmtp (Exim 4.97-RC1_x+y-dirty)\n",
	    false),
	{ "local and authenticated", ADDRS
	    "Received: from root (helo=h)\n"
	    "\tby mx.example.org with utf8local-esmtpa (Exim 4.96)\n" REST,
	    ENVELOPE_FULL, "s@x.example", "a@y.example", NULL, "h", NULL, ID,
	    true },

	FULL("date in line, to 4.94", ADDRS
	    "Received: from [" IP "] (helo=h)\n" BY FROM "\tid " ID TAIL_OLD,
	    IP, "h", NULL),
	FULL("date west of Greenwich", ADDRS
	    "Received: from [" IP "] (helo=h)\n" BY FROM "\tid " ID
	    "\n\tfor a@y.example; Fri, 01 Jan 2027 00:00:60 -0330\n",
	    IP, "h", NULL),
	{ "queue id of 4.97 on", ADDRS
	    "Received: from [" IP "] (helo=h)\n" BY FROM "\tid " NEW_ID TAIL,
	    ENVELOPE_FULL, "s@x.example", "a@y.example", IP, "h", NULL, NEW_ID,
	    false },
	{ "null sender", MBOX RCPT
	    "Received: from [" IP "] (helo=h)\n" BY "\tid " ID TAIL,
	    ENVELOPE_FULL, "", "a@y.example", IP, "h", NULL, ID, false },
	{ "two recipients", MBOX SENDER RCPTS
	    "Received: from [" IP "] (helo=h)\n" BY FROM
	    "\tid " ID ";\n\t" DATE "\n", ENVELOPE_FULL,
	    "s@x.example", "a@y.example|b@y.example", IP, "h", NULL, ID,
	    false },
	{ "two recipients, to 4.94", MBOX SENDER RCPTS
	    "Received: from [" IP "] (helo=h)\n" BY FROM
	    "\tid " ID "; " DATE "\n", ENVELOPE_FULL,
	    "s@x.example", "a@y.example|b@y.example", IP, "h", NULL, ID,
	    false },
};

#define ADDRESS(name, sender, clean) \
	{ name, MBOX "X-Envelope-From: <" sender ">\n" RCPT \
	    "Received: from [" IP "] (helo=h)\n" BY \
	    "\t(envelope-from <" sender ">)\n\tid " ID TAIL, \
	    ENVELOPE_FULL, clean, "a@y.example", IP, "h", NULL, ID, false }
#define PATH(name, path) \
	FULL(name, "From " path " Mon Nov 23 06:05:49 2026\n" SENDER RCPT \
	    "Received: from [" IP "] (helo=h)\n" BY REST, IP, "h", NULL)

/* What clients may write, and Exim passes on. */
static const struct sample addresses[] = {
	ADDRESS("quoted", "\"x> y\"@x.example", "\"x> y\"@x.example"),
	ADDRESS("quotes in quotes", "\"\\\"\\\\>)\"@x.example",
	    "\"\\\"\\\\>)\"@x.example"),
	ADDRESS("at sign in quotes", "\"a@b.example>\"@x.example",
	    "\"a@b.example>\"@x.example"),
	ADDRESS("control bytes in quotes", "\"x\t\r\x1b\x7f\"@x.example",
	    "\"x????\"@x.example"),
	ADDRESS("quoted pairs", "a\\,b\\ c\\>@x.example",
	    "a\\,b\\ c\\>@x.example"),
	ADDRESS("control byte in a quoted pair", "a\\\rb@x.example",
	    "a\\?b@x.example"),
	ADDRESS("dots everywhere", ".a..b.@x.example", ".a..b.@x.example"),
	ADDRESS("quotes and atoms", "a.\"b c\".d@x.example",
	    "a.\"b c\".d@x.example"),
	ADDRESS("all atom characters", "!#$%&'*+-/=?^_`{|}~@x.example",
	    "!#$%&'*+-/=?^_`{|}~@x.example"),
	ADDRESS("literal", "a@[192.0.2.9]", "a@[192.0.2.9]"),
	ADDRESS("IPv6 literal", "a@[IPv6:2001:db8::9]",
	    "a@[IPv6:2001:db8::9]"),
	ADDRESS("literal of any text, 4.95", "a@[x,y@z>\"(;:]",
	    "a@[x,y@z>\"(;:]"),
	ADDRESS("empty literal", "a@[]", "a@[]"),
	ADDRESS("UTF-8", "j\xc3\xb6rg@ex\xc3\xa4mple.org",
	    "j\xc3\xb6rg@ex\xc3\xa4mple.org"),

	PATH("return path left by verification", "s@x.example"),
	PATH("other return path", "owner@lists.example"),
	PATH("quoted return path",
	    "\"x> Mon Nov 23 06:05:49 2026\\\"\"@x.example"),
	PATH("return path of whatever stood in memory",
	    "\xff\"a b Mon Nov 23 06:05:49 2026\r"),

	{ "recipients that imitate the list", MBOX SENDER
	    "X-Envelope-To: \"a@b.example, c\"@y.example, d\\,@y.example, "
	    "\", \\\"\"@y.example\n"
	    "Received: from [" IP "] (helo=h)\n" BY FROM
	    "\tid " ID "; " DATE "\n", ENVELOPE_FULL, "s@x.example",
	    "\"a@b.example, c\"@y.example|d\\,@y.example|"
	    "\", \\\"\"@y.example", IP, "h", NULL, ID, false },
	{ "recipient that imitates the end", MBOX SENDER
	    "X-Envelope-To: \"a; " DATE "\"@y.example\n"
	    "Received: from [" IP "] (helo=h)\n" BY FROM
	    "\tid " ID "\n\tfor \"a; " DATE "\"@y.example; " DATE "\n",
	    ENVELOPE_FULL, "s@x.example", "\"a; " DATE "\"@y.example",
	    IP, "h", NULL, ID, false },
	{ "recipient with a carriage return", MBOX SENDER
	    "X-Envelope-To: \"a\rX-Envelope-To: b@c\"@y.example\n"
	    "Received: from [" IP "] (helo=h)\n" BY FROM
	    "\tid " ID "\n\tfor \"a\rX-Envelope-To: b@c\"@y.example; "
	    DATE "\n", ENVELOPE_FULL, "s@x.example",
	    "\"a?X-Envelope-To: b@c\"@y.example", IP, "h", NULL, ID, false },

	/* The address of the client stands, whatever HELO and ident say. */
	CLIENT("HELO that closes", "[" IP "] (helo=x) by y (1.2.3.4)",
	    IP, "x) by y (1.2.3.4", NULL),
	CLIENT("HELO that opens", "[" IP "] (helo=c.example ([127.0.0.1]))",
	    IP, "c.example ([127.0.0.1])", NULL),
	CLIENT("HELO with a port", "[" IP "] (helo=port=1 helo=x)",
	    IP, "port=1 helo=x", NULL),
	CLIENT("HELO with an ident, perhaps", "[" IP "] (helo=x ident=y)",
	    IP, "x", NULL),
	CLIENT("HELO that nobody can tell from the ident",
	    "[" IP "] (helo=x y ident=z)", IP, NULL, NULL),
	CLIENT("the same with a name",
	    "c.example\n\t([" IP "] helo=x y ident=z)", IP, NULL, "c.example"),
	CLIENT("HELO with an ident, but there is none on such a line",
	    "c.example ([" IP "] helo=x ident=y)", IP, "x ident=y",
	    "c.example"),
	CLIENT("empty HELO", "[" IP "] (helo=)", IP, NULL, NULL),
	CLIENT("HELO with control bytes", "[" IP "] (helo=x\ry\x01z)",
	    IP, "x?y?z", NULL),
	CLIENT("ident with a HELO",
	    "[" IP "] (helo=h.example ident=x helo=evil) by y (z)",
	    IP, "h.example", NULL),
	CLIENT("ident with an ident",
	    "c.example\n\t([" IP "] helo=h ident=x ident=y)",
	    IP, "h", "c.example"),
	CLIENT("ident without HELO", "[" IP "] (ident=x helo=evil)",
	    IP, "[" IP "]", NULL),
	CLIENT("ident without HELO, name",
	    "c.example ([" IP "] ident=x helo=evil)",
	    IP, "c.example", "c.example"),
	FULL("local HELO", ADDRS "Received: from root (helo=x) by y ([1.2.3.4])"
	    "\n\tby mx.example.org with local-esmtp (Exim 4.96)\n" REST,
	    NULL, "x) by y ([1.2.3.4]", NULL),
};

#define RECEIVED(name, received) \
	{ name, ADDRS received, ENVELOPE_ADDRESSES, \
	    "s@x.example", "a@y.example", NULL, NULL, NULL, NULL, false }
#define NO_CLIENT(name, client) \
	RECEIVED(name, "Received: from " client "\n" BY REST)
#define NO_BY(name, by) \
	RECEIVED(name, "Received: from [" IP "] (helo=h)\n" by REST)
#define NO_REST(name, rest) \
	RECEIVED(name, "Received: from [" IP "] (helo=h)\n" BY rest)

/* Not Exim's Received: addresses only. */
static const struct sample refused[] = {
	RECEIVED("no Received", ""),
	RECEIVED("a line above it",
	    "X-Added: x\nReceived: from [" IP "] (helo=h)\n" BY REST),
	RECEIVED("an empty line above it",
	    "\nReceived: from [" IP "] (helo=h)\n" BY REST),
	RECEIVED("other case", "received: from [" IP "] (helo=h)\n" BY REST),
	RECEIVED("other space", "Received:  from [" IP "] (helo=h)\n" BY REST),
	RECEIVED("of Postfix", "Received: from c.example (c.example [" IP "])\n"
	    "\tby mx.example.org (Postfix) with ESMTP id 4D3C2B1A09\n"
	    "\tfor <a@y.example>; " DATE "\n"),
	RECEIVED("only the date", "Received: ; " DATE "\n"),

	NO_CLIENT("no address", "[]"),
	NO_CLIENT("no bracket", "[" IP),
	NO_CLIENT("three bytes", "[192.0.2]"),
	NO_CLIENT("large byte", "[192.0.2.256]"),
	NO_CLIENT("octal", "[192.0.2.01]"),
	NO_CLIENT("IPv6 with a zone", "[fe80::1%lo]"),
	NO_CLIENT("long IPv6",
	    "[2001:db8:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:1]"),
	NO_CLIENT("two colons twice", "[2001::db8::1]"),
	NO_CLIENT("text after the address", "[" IP "] x"),
	NO_CLIENT("port in the wrong form", "[" IP "]:25 (helo=h)"),
	NO_CLIENT("empty parentheses", "[" IP "] ()"),
	NO_CLIENT("no parenthesis", "[" IP "] (helo=h"),
	NO_CLIENT("unknown word", "[" IP "] (name=h)"),
	NO_CLIENT("order", "[" IP "] (helo=h) (port=1)x"),
	NO_CLIENT("port without digits", "[" IP "] (port= helo=h)"),
	NO_CLIENT("port too long", "[" IP "] (port=123456 helo=h)"),
	NO_CLIENT("port and no space", "[" IP "] (port=1helo=h)"),
	NO_CLIENT("line break in the middle", "[" IP "]\n\t(helo=h)"),
	NO_CLIENT("HELO with a line break", "[" IP "] (helo=x\n\ty)"),
	NO_CLIENT("HELO with a line", "[" IP "] (helo=x)\n" BY
	    "\tby y (helo=z)"),
	NO_CLIENT("name in brackets", "[c.example] ([" IP "])"),
	NO_CLIENT("name with a backslash", "c\\032x ([" IP "])"),
	NO_CLIENT("name with an at sign", "a@c.example ([" IP "])"),
	NO_CLIENT("name with an at sign, folded",
	    "a@c.example\n\t([" IP "] helo=h ident=i)"),
	NO_CLIENT("quoted name", "\"c.example\" ([" IP "])"),
	NO_CLIENT("two names", "c.example d.example ([" IP "])"),
	NO_CLIENT("two spaces", "c.example  ([" IP "])"),
	NO_CLIENT("no name", " ([" IP "])"),
	NO_CLIENT("name without an address", "c.example"),
	NO_CLIENT("name and parentheses", "c.example (" IP ")"),
	NO_CLIENT("name and text after the address",
	    "c.example ([" IP "]x helo=h)"),
	NO_CLIENT("name and port without digits", "c.example ([" IP "]:)"),
	NO_CLIENT("name, HELO, ident on one line that is folded",
	    "c.example\n\t([" IP "] helo=h)"),
	NO_CLIENT("name and ident that is folded",
	    "c.example\n\t([" IP "] ident=h)"),
	NO_CLIENT("text after the parenthesis", "c.example ([" IP "]) x"),
	NO_CLIENT("user with a comma", "a,b"),
	NO_CLIENT("user with a quote", "\"a"),
	RECEIVED("user with a comma, in line",
	    "Received: from a,b by mx.example.org with local (Exim 4.96)\n"
	    REST),
	RECEIVED("user with a comma, HELO",
	    "Received: from a,b (helo=h)\n" BY REST),
	RECEIVED("user with text after the quotes",
	    "Received: from \"a\"by mx.example.org with local (Exim 4.96)\n"
	    REST),
	RECEIVED("user and a line break",
	    "Received: from \"a\"\n\t([" IP "] helo=h ident=i)\n" BY REST),
	NO_CLIENT("user and HELO that is open", "a (helo=x"),
	NO_CLIENT("nobody", ""),

	NO_BY("no by", ""),
	NO_BY("no by, no host", "\twith esmtp (Exim 4.96)\n"),
	NO_BY("no space", "\tby mx.example.org\twith esmtp (Exim 4.96)\n"),
	NO_BY("space for tab", " by mx.example.org with esmtp (Exim 4.96)\n"),
	NO_BY("no host", "\tby  with esmtp (Exim 4.96)\n"),
	NO_BY("odd host", "\tby mx,example with esmtp (Exim 4.96)\n"),
	NO_BY("no protocol", "\tby mx.example.org with  (Exim 4.96)\n"),
	NO_BY("odd protocol", "\tby mx.example.org with (x) (Exim 4.96)\n"),
	NO_BY("cipher for protocol",
	    "\tby mx.example.org with (TLSv1:X:1)\n\t(Exim 4.92)\n"),
	NO_BY("version for protocol", "\tby mx.example.org with (Exim 4.96)\n"),
	NO_BY("no space after protocol",
	    "\tby mx.example.org with esmtp(Exim 4.96)\n"),
	NO_BY("no Exim", "\tby mx.example.org with esmtp\n"),
	NO_BY("not Exim", "\tby mx.example.org with esmtp (Exam 4.96)\n"),
	NO_BY("no version", "\tby mx.example.org with esmtp (Exim )\n"),
	NO_BY("odd version", "\tby mx.example.org with esmtp (Exim 4 96)\n"),
	NO_BY("text after it", "\tby mx.example.org with esmtp (Exim 4.96) x\n"),
	NO_BY("cipher and version in a line",
	    "\tby mx.example.org with esmtps (TLSv1:X:1) (Exim 4.92)\n"),
	NO_BY("cipher alone", "\tby mx.example.org with esmtps (TLSv1:X:1)\n"),
	NO_BY("cipher open, to 4.92",
	    "\tby mx.example.org with esmtps (TLSv1:X:1\n\t(Exim 4.92)\n"),
	NO_BY("no cipher, to 4.92",
	    "\tby mx.example.org with esmtps ()\n\t(Exim 4.92)\n"),
	NO_BY("version open",
	    "\tby mx.example.org with esmtps  (TLS1.3(Exim 4.93)\n"),
	NO_BY("no version",
	    "\tby mx.example.org with esmtps  ()(Exim 4.93)\n"),
	NO_BY("cipher in two forms", "\tby mx.example.org with esmtps"
	    "  (TLS1.3)(TLSv1:X:1)\n\t(Exim 4.93)\n"),
	NO_BY("cipher open", "\tby mx.example.org with esmtps  (TLS1.3"
	    "\n\t(Exim 4.93)\n"),
	NO_BY("cipher without a name", "\tby mx.example.org with esmtps"
	    "  (TLS1.3) tls \n\t(Exim 4.93)\n"),
	NO_BY("cipher with text after it", "\tby mx.example.org with esmtps"
	    "  (TLS1.3) tls X x\n\t(Exim 4.93)\n"),
	NO_BY("two of them", BY BY),

	NO_REST("no envelope-from", "\tid " ID TAIL),
	NO_REST("null sender", "\t(envelope-from <>)\n\tid " ID TAIL),
	NO_REST("other sender", "\t(envelope-from <t@x.example>)\n"
	    "\tid " ID TAIL),
	NO_REST("longer sender", "\t(envelope-from <s@x.example.org>)\n"
	    "\tid " ID TAIL),
	NO_REST("sender and text", "\t(envelope-from <s@x.example>) x\n"
	    "\tid " ID TAIL),
	NO_REST("no id", FROM "\tfor a@y.example; " DATE "\n"),
	NO_REST("short id", FROM "\tid 1xVNBV-0006sL-2" TAIL),
	NO_REST("long id", FROM "\tid 1xVNBV-0006sL-2Ix" TAIL),
	NO_REST("mixed id", FROM "\tid 1xVNBV-000000007Ke-2u" TAIL),
	NO_REST("odd id", FROM "\tid 1xVNBV_0006sL_2I" TAIL),
	NO_REST("foreign id", FROM "\tid 4D3C2B1A09" TAIL),
	NO_REST("text after the id", FROM "\tid " ID " x" TAIL),
	NO_REST("no for", FROM "\tid " ID "; " DATE "\n"),
	NO_REST("other recipient", FROM "\tid " ID
	    "\n\tfor b@y.example; " DATE "\n"),
	NO_REST("recipient in brackets", FROM "\tid " ID
	    "\n\tfor <a@y.example>; " DATE "\n"),
	NO_REST("no date", FROM "\tid " ID "\n\tfor a@y.example\n"),
	NO_REST("no semicolon", FROM "\tid " ID
	    "\n\tfor a@y.example " DATE "\n"),
	NO_REST("no semicolon, date in its own line", FROM "\tid " ID
	    "\n\tfor a@y.example\n\t" DATE "\n"),
	NO_REST("no space before the date", FROM "\tid " ID
	    "\n\tfor a@y.example;" DATE "\n"),
	NO_REST("no weekday", FROM "\tid " ID
	    "\n\tfor a@y.example; , 23 Nov 2026 06:05:49 +0000\n"),
	NO_REST("no day", FROM "\tid " ID
	    "\n\tfor a@y.example; Mon,  Nov 2026 06:05:49 +0000\n"),
	NO_REST("letters for the day", FROM "\tid " ID
	    "\n\tfor a@y.example; Mon, xx Nov 2026 06:05:49 +0000\n"),
	NO_REST("empty date", FROM "\tid " ID "\n\tfor a@y.example; \n"),
	NO_REST("no such weekday", FROM "\tid " ID
	    "\n\tfor a@y.example; Mom, 23 Nov 2026 06:05:49 +0000\n"),
	NO_REST("no such day", FROM "\tid " ID
	    "\n\tfor a@y.example; Mon, 32 Nov 2026 06:05:49 +0000\n"),
	NO_REST("day of one digit", FROM "\tid " ID
	    "\n\tfor a@y.example; Mon, 3 Nov 2026 06:05:49 +0000\n"),
	NO_REST("no such month", FROM "\tid " ID
	    "\n\tfor a@y.example; Mon, 23 Nob 2026 06:05:49 +0000\n"),
	NO_REST("no such time", FROM "\tid " ID
	    "\n\tfor a@y.example; Mon, 23 Nov 2026 24:05:49 +0000\n"),
	NO_REST("no zone", FROM "\tid " ID
	    "\n\tfor a@y.example; Mon, 23 Nov 2026 06:05:49\n"),
	NO_REST("half a zone", FROM "\tid " ID
	    "\n\tfor a@y.example; Mon, 23 Nov 2026 06:05:49 +00\n"),
	NO_REST("named zone", FROM "\tid " ID
	    "\n\tfor a@y.example; Mon, 23 Nov 2026 06:05:49 GMT\n"),
	NO_REST("text after the date", FROM "\tid " ID
	    "\n\tfor a@y.example; " DATE " (UTC)\n"),
	{ "for, with two recipients", MBOX SENDER RCPTS
	    "Received: from [" IP "] (helo=h)\n" BY REST, ENVELOPE_ADDRESSES,
	    "s@x.example", "a@y.example|b@y.example", NULL, NULL, NULL, NULL,
	    false },
	{ "envelope-from of a null sender", MBOX RCPT
	    "Received: from [" IP "] (helo=h)\n" BY REST, ENVELOPE_ADDRESSES,
	    "", "a@y.example", NULL, NULL, NULL, NULL, false },
};

#define NONE(name, wire) \
	{ name, wire "Received: from [" IP "] (helo=h)\n" BY REST, \
	    ENVELOPE_NONE, NULL, "", NULL, NULL, NULL, NULL, false }
#define NO_MBOX(name, mbox)	NONE(name, mbox "\n" SENDER RCPT)
#define NO_SENDER(name, sender)	NONE(name, MBOX sender "\n" RCPT)
#define NO_RCPT(name, rcpt)	NONE(name, MBOX SENDER rcpt "\n")

/* Not Exim's lines at all: nothing is known. */
static const struct sample unknown[] = {
	NONE("only Received", ""),
	NONE("an empty line above", "\n" ADDRS),
	NONE("a header above", "Subject: x\n" ADDRS),
	NONE("no From_", SENDER RCPT),
	NONE("CRLF", "From MAILER-DAEMON Mon Nov 23 06:05:49 2026\r\n"
	    SENDER RCPT),
	NO_MBOX("no path", "From Mon Nov 23 06:05:49 2026"),
	NO_MBOX("no space", "From MAILER-DAEMONMon Nov 23 06:05:49 2026"),
	NO_MBOX("no date", "From MAILER-DAEMON"),
	NO_MBOX("date and path", "From Mon Nov 23 06:05:49 2026 MAILER-DAEMON"),
	NO_MBOX("path of two lines",
	    "From a\nb Mon Nov 23 06:05:49 2026"),
	NO_MBOX("day padded with a space", "From MAILER-DAEMON Mon Nov  3"
	    " 06:05:49 2026"),
	NO_MBOX("date with a zone", "From MAILER-DAEMON Mon Nov 23 06:05:49"
	    " +0000 2026"),
	NO_MBOX("text after the date", "From MAILER-DAEMON Mon Nov 23 06:05:49"
	    " 2026 "),
	NO_MBOX("year long ago", "From MAILER-DAEMON Mon Nov 23 06:05:49 0202"),
	NO_MBOX("year of three digits", "From MAILER-DAEMON Mon Nov 23 06:05:49"
	    " 202"),
	NO_SENDER("null sender shown", "X-Envelope-From: <>"),
	NO_SENDER("no brackets", "X-Envelope-From: s@x.example"),
	NO_SENDER("no space", "X-Envelope-From:<s@x.example>"),
	NO_SENDER("other case", "X-envelope-from: <s@x.example>"),
	NO_SENDER("no domain", "X-Envelope-From: <s>"),
	NO_SENDER("empty domain", "X-Envelope-From: <s@>"),
	NO_SENDER("no local part", "X-Envelope-From: <@x.example>"),
	NO_SENDER("route", "X-Envelope-From: <@y.example:s@x.example>"),
	NO_SENDER("two at signs", "X-Envelope-From: <s@y@x.example>"),
	NO_SENDER("space", "X-Envelope-From: <s x@x.example>"),
	NO_SENDER("open quote", "X-Envelope-From: <\"s@x.example>"),
	NO_SENDER("quote that ends in a backslash",
	    "X-Envelope-From: <\"s\\\"@x.example>"),
	NO_SENDER("word against quotes", "X-Envelope-From: <s\"t\"@x.example>"),
	NO_SENDER("quotes against a word", "X-Envelope-From: <\"s\"t@x.example>"),
	NO_SENDER("line break in quotes", "X-Envelope-From: <\"s\n\"@x.example>"),
	NO_SENDER("line break in a quoted pair",
	    "X-Envelope-From: <s\\\n@x.example>"),
	NO_SENDER("control byte", "X-Envelope-From: <s\r@x.example>"),
	NO_SENDER("delete", "X-Envelope-From: <s\x7f@x.example>"),
	NO_SENDER("control byte in the domain",
	    "X-Envelope-From: <s@x.example\r>"),
	NO_SENDER("open literal", "X-Envelope-From: <s@[192.0.2.9>"),
	NO_SENDER("literal with a space", "X-Envelope-From: <s@[x y]>"),
	NO_SENDER("literal with a backslash", "X-Envelope-From: <s@[x\\]y]>"),
	NO_SENDER("literal and text", "X-Envelope-From: <s@[192.0.2.9]x>"),
	NO_SENDER("text after it", "X-Envelope-From: <s@x.example> x"),
	NO_SENDER("two senders", SENDER "X-Envelope-From: <t@x.example>"),
	NO_RCPT("no recipients", ""),
	NO_RCPT("empty list", "X-Envelope-To: "),
	NO_RCPT("empty element", "X-Envelope-To: a@y.example, "),
	NO_RCPT("empty first element", "X-Envelope-To: , a@y.example"),
	NO_RCPT("no space in the list", "X-Envelope-To: a@y.example,b@y.example"),
	NO_RCPT("space before the comma",
	    "X-Envelope-To: a@y.example , b@y.example"),
	NO_RCPT("brackets", "X-Envelope-To: <a@y.example>"),
	NO_RCPT("line break in quotes",
	    "X-Envelope-To: \"a\nReceived: from [127.0.0.1]\"@y.example"),
	NO_RCPT("folded list", "X-Envelope-To: a@y.example,\n b@y.example"),
	NO_RCPT("a line between", "X-Added: x\n" RCPT),
};

/* As ck_assert_msg(), which takes its time when all is well. */
#define REQUIRE(condition, ...) do {	\
	if (!(condition))		\
		ck_abort_msg(__VA_ARGS__);	\
} while (0)

static char *
whole_mail(const struct sample *s)
{
	size_t n = strlen(s->wire);
	char *mail = malloc(n + sizeof(forged));

	REQUIRE(mail != NULL, "no memory");
	memcpy(mail, s->wire, n);
	memcpy(mail + n, forged, sizeof(forged));
	return mail;
}

static size_t
own_lines(const char *wire)
{
	return (size_t)(strchr(strstr(wire, "X-Envelope-To"), '\n') + 1 - wire);
}

static void
check_string(const struct sample *s, const char *what, const char *is,
    const char *want)
{
	if (want == NULL)
		REQUIRE(is == NULL, "%s: %s is %s", s->name, what, is);
	else
		REQUIRE(is != NULL && strcmp(is, want) == 0,
		    "%s: %s is %s, not %s", s->name, what,
		    is != NULL ? is : "unknown", want);
}

static void
check_envelope(const struct sample *s, const struct envelope *e)
{
	char rcpts[512] = "";
	size_t i;

	for (i = 0; i < e->nrcpt; i++)
		snprintf(rcpts + strlen(rcpts), sizeof(rcpts) - strlen(rcpts),
		    "%s%s", i > 0 ? "|" : "", e->rcpt[i]);
	check_string(s, "recipients", rcpts, s->rcpts);
	check_string(s, "sender", e->sender, s->sender);
	check_string(s, "ip", e->ip, s->ip);
	check_string(s, "helo", e->helo, s->helo);
	check_string(s, "hostname", e->hostname, s->hostname);
	check_string(s, "queue id", e->queue_id, s->queue_id);
	check_string(s, "user", e->user, NULL);
	/* it stands in all of the forms that are Exim's own */
	check_string(s, "mail server's name", e->mta_name,
	    s->result == ENVELOPE_FULL ? "mx.example.org" : NULL);
	REQUIRE(e->authenticated == s->authenticated,
	    "%s: authenticated", s->name);
}

/* Parses the first LEN bytes from memory that ends there, and checks. */
static enum envelope_result
check_parse(const struct sample *s, const char *mail, size_t len, bool eom,
    enum envelope_result want)
{
	struct envelope *e = envelope_new();
	char *copy = malloc(len > 0 ? len : 1);
	enum envelope_result r;
	size_t skip = 12345;

	REQUIRE(e != NULL && copy != NULL, "no memory");
	memcpy(copy, mail, len);
	r = envelope_parse(copy, len, eom, e, &skip);
	free(copy);	/* nothing in E may point to it */

	if (r == want && r == s->result) {
		check_envelope(s, e);
		REQUIRE(skip == (r == ENVELOPE_NONE ? 0 : own_lines(s->wire)),
		    "%s: %zu bytes to skip", s->name, skip);
	} else if (r == ENVELOPE_NONE || r == ENVELOPE_MORE) {
		REQUIRE(skip == 0 && e->sender == NULL && e->nrcpt == 0 &&
		    e->ip == NULL && e->helo == NULL && e->queue_id == NULL,
		    "%s: result %d, but not empty", s->name, (int)r);
	}
	envelope_free(e);
	return r;
}

static void
check_sample(const struct sample *s)
{
	char *mail = whole_mail(s);
	enum envelope_result r;

	r = check_parse(s, mail, strlen(mail), true, s->result);
	REQUIRE(r == s->result, "%s: result %d, not %d", s->name,
	    (int)r, (int)s->result);
	free(mail);
}

/* However much has come, the answer is the final one or MORE. */
static void
check_splits(const struct sample *s)
{
	char *mail = whole_mail(s);
	size_t len = strlen(mail), n;
	enum envelope_result r;
	bool decided = false;

	for (n = 0; n <= len; n++) {
		r = check_parse(s, mail, n, false, s->result);
		if (!decided && r == ENVELOPE_MORE)
			continue;
		decided = true;
		REQUIRE(r == s->result, "%s: result %d after %zu bytes",
		    s->name, (int)r, n);
	}
	REQUIRE(decided, "%s: never decided", s->name);
	free(mail);
}

/* A mail that ends early: the most that its whole lines say. */
static void
check_ends(const struct sample *s)
{
	size_t len = strlen(s->wire), lines, n;
	enum envelope_result r, want;

	lines = s->result == ENVELOPE_NONE ? len + 1 : own_lines(s->wire);
	for (n = 0; n <= len; n++) {
		r = check_parse(s, s->wire, n, true, s->result);
		want = n < lines ? ENVELOPE_NONE :
		    n < len ? ENVELOPE_ADDRESSES : s->result;
		REQUIRE(r == want, "%s: result %d for %zu bytes, not %d",
		    s->name, (int)r, n, (int)want);
	}
}

static void
check_all_ways(const struct sample *s)
{
	check_sample(s);
	check_splits(s);
	check_ends(s);
}


START_TEST(test_forms)
{
	check_all_ways(&forms[_i]);
}
END_TEST

START_TEST(test_addresses)
{
	check_all_ways(&addresses[_i]);
}
END_TEST

START_TEST(test_refused)
{
	check_all_ways(&refused[_i]);
}
END_TEST

START_TEST(test_unknown)
{
	check_all_ways(&unknown[_i]);
}
END_TEST

START_TEST(test_nul)
{
	static const char in_sender[] =
	    MBOX "X-Envelope-From: <\"a\0b\"@x.example>\n" RCPT;
	static const char in_helo[] = ADDRS
	    "Received: from [" IP "] (helo=a\0b)\n" BY REST;
	static const char in_ip[] = ADDRS
	    "Received: from [" IP "\0] (helo=h)\n" BY REST;
	struct envelope *e = envelope_new();
	size_t skip;

	ck_assert_int_eq(envelope_parse(in_sender, sizeof(in_sender) - 1, true,
	    e, &skip), ENVELOPE_ADDRESSES);
	ck_assert_str_eq(e->sender, "\"a?b\"@x.example");
	envelope_free(e);

	e = envelope_new();
	ck_assert_int_eq(envelope_parse(in_helo, sizeof(in_helo) - 1, true,
	    e, &skip), ENVELOPE_FULL);
	ck_assert_str_eq(e->helo, "a?b");
	envelope_free(e);

	e = envelope_new();
	ck_assert_int_eq(envelope_parse(in_ip, sizeof(in_ip) - 1, true,
	    e, &skip), ENVELOPE_ADDRESSES);
	ck_assert_ptr_null(e->ip);
	envelope_free(e);
}
END_TEST

START_TEST(test_nothing)
{
	struct envelope *e = envelope_new();
	size_t skip = 1;

	ck_assert_int_eq(envelope_parse(NULL, 0, false, e, &skip),
	    ENVELOPE_MORE);
	ck_assert_int_eq(envelope_parse(NULL, 0, true, e, &skip),
	    ENVELOPE_NONE);
	ck_assert_uint_eq(skip, 0);
	envelope_free(e);
	envelope_free(NULL);
}
END_TEST

/* A mail to 1000 recipients; the last name is LAST bytes long. */
static char *
many_recipients(size_t last, size_t *lines)
{
	char *mail = malloc(3 * ENVELOPE_MAX), *p = mail;
	int i;

	ck_assert_ptr_nonnull(mail);
	p += sprintf(p, MBOX SENDER "X-Envelope-To: ");
	for (i = 0; i < 999; i++)
		p += sprintf(p, "recipient.number.%d@recipients.example, ", i);
	memset(p, 'x', last);
	p += last;
	p += sprintf(p, "@y.example\n");
	*lines = (size_t)(p - mail);
	sprintf(p, "Received: from [" IP "] (helo=h)\n" BY FROM "\tid " ID ";"
	    "\n\t" DATE "\n%s", forged);
	return mail;
}

static enum envelope_result
parse_many(size_t last, size_t cut, bool eom, size_t *nrcpt)
{
	size_t lines, skip, len;
	char *mail = many_recipients(last, &lines);
	struct envelope *e = envelope_new();
	enum envelope_result r;

	len = cut > 0 ? cut : strlen(mail);
	r = envelope_parse(mail, len, eom, e, &skip);
	if (r == ENVELOPE_FULL || r == ENVELOPE_ADDRESSES)
		ck_assert_uint_eq(skip, lines);
	*nrcpt = e->nrcpt;
	envelope_free(e);
	free(mail);
	return r;
}

START_TEST(test_many_recipients)
{
	size_t n;

	ck_assert_int_eq(parse_many(1, 0, true, &n), ENVELOPE_FULL);
	ck_assert_uint_eq(n, 1000);
}
END_TEST

/* The bound is in bytes, whatever comes after it and however it comes. */
START_TEST(test_max)
{
	size_t lines, len, n, fill;
	char *mail = many_recipients(0, &lines);

	len = (size_t)(strstr(mail + lines, forged) - mail);
	free(mail);

	fill = ENVELOPE_MAX - len;	/* Received ends at the bound */
	ck_assert_int_eq(parse_many(fill, 0, false, &n), ENVELOPE_FULL);
	ck_assert_int_eq(parse_many(fill, ENVELOPE_MAX, false, &n),
	    ENVELOPE_FULL);
	ck_assert_int_eq(parse_many(fill, ENVELOPE_MAX - 1, false, &n),
	    ENVELOPE_MORE);
	ck_assert_int_eq(parse_many(fill + 1, 0, false, &n),
	    ENVELOPE_ADDRESSES);
	ck_assert_uint_eq(n, 1000);
	ck_assert_int_eq(parse_many(fill + 1, ENVELOPE_MAX, false, &n),
	    ENVELOPE_ADDRESSES);

	fill = ENVELOPE_MAX - lines;	/* X-Envelope-To ends at the bound */
	ck_assert_int_eq(parse_many(fill, 0, false, &n), ENVELOPE_ADDRESSES);
	ck_assert_int_eq(parse_many(fill + 1, 0, false, &n), ENVELOPE_NONE);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(parse_many(fill + 1, ENVELOPE_MAX, true, &n),
	    ENVELOPE_NONE);
}
END_TEST

START_TEST(test_add_rcpt)
{
	struct envelope *e = envelope_new();
	char addr[32];
	int i;

	for (i = 0; i < 100; i++) {
		snprintf(addr, sizeof(addr), "%d@\r\n\x7f.example", i);
		ck_assert_int_eq(envelope_add_rcpt(e, addr, strlen(addr) - 1),
		    0);
	}
	ck_assert_uint_eq(e->nrcpt, 100);
	for (i = 0; i < 100; i++) {
		snprintf(addr, sizeof(addr), "%d@???.exampl", i);
		ck_assert_str_eq(e->rcpt[i], addr);
	}
	envelope_free(e);
}
END_TEST

START_TEST(test_set)
{
	struct envelope *e = envelope_new();

	ck_assert_ptr_null(e->helo);
	ck_assert_int_eq(envelope_set(&e->helo, "one\ntwo", 7), 0);
	ck_assert_str_eq(e->helo, "one?two");
	ck_assert_int_eq(envelope_set(&e->helo, "three\0four", 10), 0);
	ck_assert_str_eq(e->helo, "three?four");
	ck_assert_int_eq(envelope_set(&e->helo, "\xc3\xa4", 2), 0);
	ck_assert_str_eq(e->helo, "\xc3\xa4");
	ck_assert_int_eq(envelope_set(&e->helo, NULL, 0), 0);
	ck_assert_str_eq(e->helo, "");
	envelope_free(e);
}
END_TEST

START_TEST(test_forget_client)
{
	static const char mail[] = ADDRS
	    "Received: from c.example ([" IP "] helo=h.example)\n"
	    "\tby mx.example.org with esmtpsa (Exim 4.96)\n" REST;
	struct envelope *e = envelope_new();
	size_t skip;

	ck_assert_int_eq(envelope_parse(mail, sizeof(mail) - 1, true, e,
	    &skip), ENVELOPE_FULL);
	ck_assert_int_eq(envelope_set(&e->user, "joe", 3), 0);
	ck_assert_str_eq(e->ip, IP);
	ck_assert_str_eq(e->helo, "h.example");
	ck_assert_str_eq(e->hostname, "c.example");
	ck_assert_str_eq(e->queue_id, ID);
	ck_assert(e->authenticated);

	envelope_forget_client(e);
	ck_assert_ptr_null(e->ip);
	ck_assert_ptr_null(e->helo);
	ck_assert_ptr_null(e->hostname);
	ck_assert_ptr_null(e->queue_id);
	ck_assert(!e->authenticated);
	ck_assert_str_eq(e->sender, "s@x.example");
	ck_assert_uint_eq(e->nrcpt, 1);
	ck_assert_str_eq(e->rcpt[0], "a@y.example");
	ck_assert_str_eq(e->user, "joe");

	envelope_forget_client(e);	/* nothing is freed twice */
	envelope_free(e);
}
END_TEST

/*
 * What Exim writes of one recipient: the value of Rcpt: in its request, and
 * X-Envelope-To: in the body.  As recorded.
 */
static const struct wire {
	const char *rcpt, *line;
} wires[] = {
	/* Exim 4.100.1 */
	{ "<\"\\\"a b\\\"\"@x.example>", "\"a b\"@x.example" },
	{ "<\"\\\"\\\"\"@x.example>", "\"\"@x.example" },
	{ "<\"\\\"\\\\\\\"a=b\\\\\\\"\\\"\"@x.example>", "\"\\\"a=b\\\"\"@x.example" },
	{ "<\"\\\"q\\\\\\\"q\\\"\"@x.example>", "\"q\\\"q\"@x.example" },
	{ "<\"\\\"b\\\\\\\\s\\\"\"@x.example>", "\"b\\\\s\"@x.example" },
	{ "<\"\\\"<x>\\\"\"@x.example>", "\"<x>\"@x.example" },
	{ "<\"\\\"a@b\\\"\"@x.example>", "\"a@b\"@x.example" },
	{ "<\"\\\"a\\rb\\\"\"@x.example>", "\"a\015b\"@x.example" },
	{ "<\"\\\"a\001b\\\"\"@x.example>", "\"a\001b\"@x.example" },
	{ "<\"\\\"a\\\\\\rb\\\"\"@x.example>", "\"a\\\015b\"@x.example" },
	{ "<\"\\\"a\011b\\\"\"@x.example>", "\"a\011b\"@x.example" },
	{ "<\"j\303\266rg\"@x.example>", "j\303\266rg@x.example" },
	{ "<\"\347\224\250\346\210\267\"@x.example>",
	    "\347\224\250\346\210\267@x.example" },
	{ "<\"\\\"j\303\266rg\\\"\"@x.example>", "\"j\303\266rg\"@x.example" },
	{ "<\"\\\"\\\\\\\"\303\266\\\\\\\"\\\"\"@x.example>",
	    "\"\\\"\303\266\\\"\"@x.example" },
	{ "<a.b@x.example>", "a.b@x.example" },
	{ "<a..b@x.example>", "a..b@x.example" },
	{ "<a.@x.example>", "a.@x.example" },
	{ "<\"\\\"a\\\".b\"@x.example>", "\"a\".b@x.example" },
	{ "<\"\\\"a\\\".\\\"b c\\\"\"@x.example>", "\"a\".\"b c\"@x.example" },
	{ "<\"a\\\\=b\"@x.example>", "a\\=b@x.example" },
	{ "<\"\\\"plain\\\"\"@x.example>", "\"plain\"@x.example" },
	{ "<o'n/e=1{x}@x.example>", "o'n/e=1{x}@x.example" },
	{ "<\"\\\"a, b\\\"\"@x.example>", "\"a, b\"@x.example" },
	{ "<\"\\\"\\\\a\\\"\"@x.example>", "\"\\a\"@x.example" },
	{ "<\"\\\"x\177y\\\"\"@x.example>", "\"x\177y\"@x.example" },
	{ "<\"\377\"@x.example>", "\377@x.example" },
	{ "<\"\\\"\351 a\\\"\"@x.example>", "\"\351 a\"@x.example" },
	{ "<\"\\\"a\\\\\\\\\\\\\\\"b\\\"\"@x.example>", "\"a\\\\\\\"b\"@x.example" },
	/* Exim 4.98.2 */
	{ "<\"a b\"@x.example>", "\"a b\"@x.example" },
	{ "<\"\"@x.example>", "\"\"@x.example" },
	{ "<\"\\\"a=b\\\"\"@x.example>", "\"\\\"a=b\\\"\"@x.example" },
	{ "<\"q\\\"q\"@x.example>", "\"q\\\"q\"@x.example" },
	{ "<\"b\\\\s\"@x.example>", "\"b\\\\s\"@x.example" },
	{ "<\"<x>\"@x.example>", "\"<x>\"@x.example" },
	{ "<\"a@b\"@x.example>", "\"a@b\"@x.example" },
	{ "<\"a\015b\"@x.example>", "\"a\015b\"@x.example" },
	{ "<\"a\001b\"@x.example>", "\"a\001b\"@x.example" },
	{ "<\"a\\\015b\"@x.example>", "\"a\\\015b\"@x.example" },
	{ "<\"a\011b\"@x.example>", "\"a\011b\"@x.example" },
	{ "<j\303\266rg@x.example>", "j\303\266rg@x.example" },
	{ "<\347\224\250\346\210\267@x.example>", "\347\224\250\346\210\267@x.example" },
	{ "<\"j\303\266rg\"@x.example>", "\"j\303\266rg\"@x.example" },
	{ "<\"\\\"\303\266\\\"\"@x.example>", "\"\\\"\303\266\\\"\"@x.example" },
	{ "<a.b@x.example>", "a.b@x.example" },
	{ "<a..b@x.example>", "a..b@x.example" },
	{ "<a.@x.example>", "a.@x.example" },
	{ "<\"a\".b@x.example>", "\"a\".b@x.example" },
	{ "<\"a\".\"b c\"@x.example>", "\"a\".\"b c\"@x.example" },
	{ "<a\\=b@x.example>", "a\\=b@x.example" },
	{ "<\"plain\"@x.example>", "\"plain\"@x.example" },
	{ "<o'n/e=1{x}@x.example>", "o'n/e=1{x}@x.example" },
	{ "<\"a, b\"@x.example>", "\"a, b\"@x.example" },
	{ "<\"\\a\"@x.example>", "\"\\a\"@x.example" },
	{ "<\"x\177y\"@x.example>", "\"x\177y\"@x.example" },
	{ "<\377@x.example>", "\377@x.example" },
	{ "<\"\351 a\"@x.example>", "\"\351 a\"@x.example" },
	{ "<\"a\\\\\\\"b\"@x.example>", "\"a\\\\\\\"b\"@x.example" },
};

/* The envelope of a body that begins with the lines of Exim for RCPTS. */
static struct envelope *
lines_of(const char *sender, const char *rcpts)
{
	struct envelope *e = envelope_new();
	char *body = unit_format(MBOX "X-Envelope-From: <%s>\n"
	    "X-Envelope-To: %s\n\ntext\n", sender, rcpts);
	size_t skip;

	ck_assert_int_eq(envelope_parse(body, strlen(body), true, e, &skip),
	    ENVELOPE_ADDRESSES);
	free(body);
	return e;
}

static void
add_rcpt(struct envelope *e, const char *address)
{
	ck_assert_int_eq(envelope_add_rcpt(e, address, strlen(address)), 0);
}

static void
set_sender(struct envelope *e, const char *address)
{
	ck_assert_int_eq(envelope_set(&e->sender, address, strlen(address)), 0);
}

START_TEST(test_unquote)
{
	const struct wire *w = &wires[_i];
	struct envelope *e = envelope_new();
	struct envelope *lines = lines_of("s@x.example", w->line);

	/* as spamd_request keeps it, without the brackets */
	ck_assert_int_eq(envelope_add_rcpt(e, w->rcpt + 1,
	    strlen(w->rcpt) - 2), 0);
	ck_assert_int_eq(envelope_unquote(e, lines), 0);
	ck_assert_str_eq(e->rcpt[0], lines->rcpt[0]);
	/* and it is as it was, a second time, too */
	ck_assert_int_eq(envelope_unquote(e, lines), 0);
	ck_assert_str_eq(e->rcpt[0], lines->rcpt[0]);
	envelope_free(lines);
	envelope_free(e);
}
END_TEST

/* An address that is not the one of Exim's line, quoted, stays. */
static const struct wire others[] = {
	{ "\"\\\"a b\\\"\"@x", "\"a c\"@x" },
	{ "\"\\\"a b\\\"\"@x", "\"a b\"@y" },
	{ "\"\\\"a b\\\"\"@x", "\"\\\"a b\\\"\"@x" },
	{ "\"\\\"a b\"@x", "\"a b\"@x" },
	{ "\"a\"@x", "\"a\"@x" },
	{ "\"a\"@x", "b@x" },
	{ "\"a\\b\"@x", "a@x" },
	{ "\"\\a\"@x", "a@x" },
	{ "\"a\\?\"@x", "a?@x" },
	{ "\"a", "a@x" },
	{ "\"a\\", "a@x" },
	{ "\"", "a@x" },
	{ "\"a\"", "a@x" },
	{ "\"a\"@x.y", "a@x" },
	{ "a@x", "\"a\"@x" },
	{ "", "a@x" },
};

START_TEST(test_unquote_others)
{
	const struct wire *w = &others[_i];
	struct envelope *e = envelope_new();
	struct envelope *lines = lines_of(w->line, w->line);

	add_rcpt(e, w->rcpt);
	set_sender(e, w->rcpt);
	ck_assert_int_eq(envelope_unquote(e, lines), 0);
	ck_assert_str_eq(e->rcpt[0], w->rcpt);
	ck_assert_str_eq(e->sender, w->rcpt);
	envelope_free(lines);
	envelope_free(e);
}
END_TEST

START_TEST(test_unquote_many)
{
	struct envelope *e = envelope_new(), *none = envelope_new();
	struct envelope *lines = lines_of("\"s s\"@x", "\"a b\"@x, b@x, \"\"@x");

	/* nothing is known of the sender, and two recipients were cut */
	add_rcpt(e, "\"\\\"a b\\\"\"@x");
	ck_assert_int_eq(envelope_unquote(e, none), 0);
	ck_assert_str_eq(e->rcpt[0], "\"\\\"a b\\\"\"@x");
	ck_assert_int_eq(envelope_unquote(e, lines), 0);
	ck_assert_str_eq(e->rcpt[0], "\"a b\"@x");
	ck_assert_ptr_null(e->sender);
	/* one that its line does not have; the sender */
	add_rcpt(e, "b@x");
	add_rcpt(e, "\"\\\"\\\"\"@x");
	add_rcpt(e, "\"\\\"c\\\"\"@x");
	set_sender(e, "\"\\\"s s\\\"\"@x");
	ck_assert_int_eq(envelope_unquote(e, lines), 0);
	ck_assert_str_eq(e->rcpt[1], "b@x");
	ck_assert_str_eq(e->rcpt[2], "\"\"@x");
	ck_assert_str_eq(e->rcpt[3], "\"\\\"c\\\"\"@x");
	ck_assert_str_eq(e->sender, "\"s s\"@x");
	envelope_free(lines);
	envelope_free(none);
	envelope_free(e);
}
END_TEST

/* Those that rspamd cannot be told of are missing in front, between, behind. */
START_TEST(test_unquote_some)
{
	struct envelope *lines = lines_of("s@x",
	    "\"a a\"@x, b@x, \"c c\"@x, d@x, \"e e\"@x, f@x");
	struct envelope *e = envelope_new();

	add_rcpt(e, "\"\\\"c c\\\"\"@x");
	add_rcpt(e, "\"\\\"e e\\\"\"@x");
	ck_assert_int_eq(envelope_unquote(e, lines), 0);
	ck_assert_str_eq(e->rcpt[0], "\"c c\"@x");
	ck_assert_str_eq(e->rcpt[1], "\"e e\"@x");
	envelope_free(e);
	/* not their order, or another's: they stay */
	e = envelope_new();
	add_rcpt(e, "\"\\\"c c\\\"\"@x");
	add_rcpt(e, "\"\\\"a a\\\"\"@x");
	add_rcpt(e, "\"\\\"e e\\\"\"@x");
	ck_assert_int_eq(envelope_unquote(e, lines), 0);
	ck_assert_str_eq(e->rcpt[0], "\"c c\"@x");
	ck_assert_str_eq(e->rcpt[1], "\"\\\"a a\\\"\"@x");
	ck_assert_str_eq(e->rcpt[2], "\"\\\"e e\\\"\"@x");
	envelope_free(e);
	envelope_free(lines);
}
END_TEST

Suite *
envelope_suite(void)
{
	Suite *s = suite_create("envelope");
	TCase *tc = tcase_create("parse");

	tcase_add_loop_test(tc, test_forms, 0, COUNT(forms));
	tcase_add_loop_test(tc, test_addresses, 0, COUNT(addresses));
	tcase_add_loop_test(tc, test_refused, 0, COUNT(refused));
	tcase_add_loop_test(tc, test_unknown, 0, COUNT(unknown));
	tcase_add_test(tc, test_nul);
	tcase_add_test(tc, test_nothing);
	tcase_add_test(tc, test_many_recipients);
	tcase_add_test(tc, test_max);
	suite_add_tcase(s, tc);

	tc = tcase_create("struct");
	tcase_add_test(tc, test_add_rcpt);
	tcase_add_test(tc, test_set);
	tcase_add_test(tc, test_forget_client);
	tcase_add_loop_test(tc, test_unquote, 0, COUNT(wires));
	tcase_add_loop_test(tc, test_unquote_others, 0, COUNT(others));
	tcase_add_test(tc, test_unquote_many);
	tcase_add_test(tc, test_unquote_some);
	suite_add_tcase(s, tc);
	return s;
}

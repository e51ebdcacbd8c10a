#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spamd_request.h"
#include "unit.h"

/*
 * Gives R the LEN bytes at BUF in pieces: up to CUT, then the rest; or, if
 * CUT is above LEN, byte by byte.  Each piece is an allocation of its own.
 * Returns the last answer; *USED counts what was taken.
 */
static enum spamd_progress
feed(struct spamd_request *r, const char *buf, size_t len, size_t cut,
    bool eom, size_t *used)
{
	enum spamd_progress pr = SPAMD_MORE;
	size_t at = 0, n, u;
	char *piece;

	*used = 0;
	do {
		n = cut > len ? len != 0 : at < cut ? cut : len - at;
		piece = unit_exact(buf + at, n);
		pr = spamd_request_feed(r, piece, n, eom && at + n == len, &u);
		free(piece);
		ck_assert_uint_le(u, n);
		if (pr == SPAMD_MORE)
			ck_assert_uint_eq(u, n);
		at += n;
		*used += u;
	} while (pr == SPAMD_MORE && at < len);
	return pr;
}

static const char *
or_null(const char *s)
{
	return s != NULL ? s : "(null)";
}

/* All that a caller can know of R, as one string to be freed. */
static char *
summary(const struct spamd_request *r, enum spamd_progress pr, size_t used)
{
	const struct envelope *e = r->envelope;
	char *s;
	size_t size, i;
	FILE *f = open_memstream(&s, &size);

	if (pr == SPAMD_BAD) {
		/* what was taken of a bad head is of no use to anybody */
		fprintf(f, "bad %d: %s", r->dialect, or_null(
		    spamd_request_error(r)));
		fclose(f);
		return s;
	}
	fprintf(f, "%s used=%zu %d %s %d", pr == SPAMD_MORE ? "more" : "done",
	    used, r->dialect, spamd_command_name(r->command), r->version);
	if (r->has_length)
		fprintf(f, " length=%" PRIu64, r->length);
	fprintf(f, " user=%s to=%s compress=%s rcpt_seen=%zu class=%d "
	    "set=%u remove=%u\n", or_null(r->user), or_null(r->deliver_to),
	    or_null(r->compress), r->rcpt_seen, r->message_class, r->set,
	    r->remove);
	fprintf(f, "from=%s ip=%s helo=%s host=%s id=%s auth=%d as=%s",
	    or_null(e->sender), or_null(e->ip), or_null(e->helo),
	    or_null(e->hostname), or_null(e->queue_id), e->authenticated,
	    or_null(e->user));
	for (i = 0; i < e->nrcpt; i++)
		fprintf(f, " rcpt=%s", e->rcpt[i]);
	fclose(f);
	return s;
}

static char *
result(const char *buf, size_t len, size_t cut, bool eom)
{
	struct spamd_request *r = spamd_request_new();
	enum spamd_progress pr;
	size_t used;
	char *s;

	ck_assert_ptr_nonnull(r);
	pr = feed(r, buf, len, cut, eom, &used);
	ck_assert((spamd_request_error(r) != NULL) == (pr == SPAMD_BAD));
	s = summary(r, pr, used);
	spamd_request_free(r);
	return s;
}

/* The request that IN, all of which must be a head and BODY, is. */
static struct spamd_request *
good(const char *in, size_t len, size_t body)
{
	struct spamd_request *r = spamd_request_new();
	size_t used;
	enum spamd_progress pr = feed(r, in, len, len, false, &used);

	ck_assert_msg(pr == SPAMD_HEAD_DONE, "%d: %s: %s", pr,
	    or_null(spamd_request_error(r)), in);
	ck_assert_uint_eq(used, len - body);
	ck_assert_ptr_null(spamd_request_error(r));
	return r;
}

static void
refused(const char *in, size_t len, bool eom, const char *why)
{
	struct spamd_request *r = spamd_request_new();
	size_t used;
	enum spamd_progress pr = feed(r, in, len, len, eom, &used);

	ck_assert_msg(pr == SPAMD_BAD, "%d: %s", pr, in);
	unit_holds(spamd_request_error(r), why);
	spamd_request_free(r);
}

/*
 * Inputs for the splits: whole heads, with a body after them or not, heads
 * that are cut off and heads that are wrong.
 */
static const struct {
	const char *in;
	size_t len;
} inputs[] = {
	{ BYTES("CHECK SPAMC/1.2\r\nContent-length: 4\r\n\r\nbody") },
	{ BYTES("REPORT SPAMC/1.2\r\nUser: nobody\r\nContent-length: 7\r\n"
	    "\r\nFrom a\n") },
	{ BYTES("SYMBOLS SPAMC/1.3\nuser: x\ncontent-LENGTH:9\n\n\n\n") },
	{ BYTES("REPORT_IFSPAM SPAMC/1.5\r\n\r\nSubject: x\r\n\r\n") },
	{ BYTES("CHECK SPAMC/1.0\r\nSubject: this is the message\r\n\r\n") },
	{ BYTES("TELL SPAMC/1.0\r\nSet: local\r\nMessage-class: spam\r\n\r\n") },
	{ BYTES("TELL SPAMC/1.5\r\nMessage-class: ham\r\nSet: local, remote"
	    "\r\nRemove: remote\r\nContent-length: 1\r\n\r\nx") },
	{ BYTES("PING SPAMC/1.2\r\n") },
	{ BYTES("PING SPAMC/1.5\r\nUser: x\r\n\r\n") },
	{ BYTES("PING SPAMC/1.5\r\n") },
	{ BYTES("SKIP SPAMC/1.0\r\n") },
	{ BYTES("PROCESS SPAMC/1.5\r\nCompress: ZLIB\r\nUser: \r\n\r\nx") },
	{ BYTES("CHECK RSPAMC/1.3\r\nContent-length: 352\r\n"
	    "Queue-Id: 1xVA4m-0004UG-OO\r\nFrom: <s@client.example>\r\n"
	    "Recipient-Number: 2\r\nRcpt: <u1@x>\r\nRcpt: <u2@x>\r\n"
	    "Helo: h\r\nHostname: c\r\nIP: 127.0.0.9\r\nUser: alice\r\n\r\n"
	    "From MAILER-DAEMON\n") },
	{ BYTES("SYMBOLS RSPAMC/1.3\nFrom: <>\nIP: 2001:db8::1\nRcpt: a\rb@x\n"
	    "Helo: \xc3\xa9 \0 \nDeliver-To: me\nUser:\n\n") },
	{ BYTES("") },
	{ BYTES("\r\n") },
	{ BYTES("CHECK") },
	{ BYTES("CHECK SPAMC/1.2\r\nUser: x") },
	{ BYTES("CHECK SPAMC/1.2\r\nUser: x\r\n") },
	{ BYTES("GET / HTTP/1.1\r\nHost: x\r\n\r\n") },
	{ BYTES("EHLO there\r\n") },
	{ BYTES("check SPAMC/1.2\r\n\r\n") },
	{ BYTES("CHECK SPAMC/999999999999999999999.1\r\n\r\n") },
	{ BYTES("CHECK SPAMC/1.2\r\nno colon here\r\n\r\n") },
	{ BYTES("CHECK SPAMC/1.2\r\n: no name\r\n\r\n") },
	{ BYTES("CHECK SPAMC/1.2\r\nContent-length: -1\r\n\r\n") },
	{ BYTES("PROCESS RSPAMC/1.3\r\n\r\n") },
};

START_TEST(every_split_is_alike)
{
	const char *in = inputs[_i].in;
	size_t len = inputs[_i].len, cut;
	char *whole, *split;
	int eom;

	for (eom = 0; eom <= 1; eom++) {
		whole = result(in, len, len, eom);
		/* LEN + 1 stands for byte by byte */
		for (cut = 0; cut <= len + 1; cut++) {
			split = result(in, len, cut, eom);
			ck_assert_msg(strcmp(whole, split) == 0,
			    "whole: %s\ncut at %zu: %s", whole, cut, split);
			free(split);
		}
		free(whole);
	}
}
END_TEST

/* The half-close may come in a packet of its own. */
START_TEST(late_eom_is_alike)
{
	const char *in = inputs[_i].in;
	size_t len = inputs[_i].len, used, none;
	struct spamd_request *r = spamd_request_new();
	enum spamd_progress pr;
	char *whole = result(in, len, len, true), *late;

	pr = feed(r, in, len, len, false, &used);
	if (pr == SPAMD_MORE)
		pr = spamd_request_feed(r, "", 0, true, &none);
	late = summary(r, pr, used);
	ck_assert_str_eq(late, whole);
	spamd_request_free(r);
	free(late);
	free(whole);
}
END_TEST

START_TEST(commands_and_versions)
{
	static const struct {
		const char *line;
		enum spamd_command command;
		int version;
		bool message;
	} t[] = {
		{ "CHECK SPAMC/1.1", SPAMD_CHECK, 101, true },
		{ "SYMBOLS SPAMC/1.2", SPAMD_SYMBOLS, 102, true },
		{ "REPORT SPAMC/1.3", SPAMD_REPORT, 103, true },
		{ "REPORT_IFSPAM SPAMC/1.4", SPAMD_REPORT_IFSPAM, 104, true },
		{ "PROCESS SPAMC/1.5", SPAMD_PROCESS, 105, true },
		{ "HEADERS SPAMC/1.6", SPAMD_HEADERS, 106, true },
		{ "TELL SPAMC/1.5", SPAMD_TELL, 105, true },
		{ "PING SPAMC/1.5", SPAMD_PING, 105, false },
		{ "SKIP SPAMC/1.5", SPAMD_SKIP, 105, false },
		{ "CHECK SPAMC/2.10", SPAMD_CHECK, 210, true },
	};
	struct spamd_request *r;
	size_t i;
	char *in;

	for (i = 0; i < COUNT(t); i++) {
		in = unit_format("%s\r\n\r\n", t[i].line);
		r = good(in, strlen(in), 0);
		ck_assert_int_eq(r->dialect, SPAMD_SPAMC);
		ck_assert_int_eq(r->command, t[i].command);
		ck_assert_int_eq(r->version, t[i].version);
		ck_assert(spamd_request_has_message(r) == t[i].message);
		ck_assert(strncmp(spamd_command_name(r->command), t[i].line,
		    strcspn(t[i].line, " ")) == 0);
		spamd_request_free(r);
		free(in);
	}
	ck_assert_str_eq(spamd_command_name(SPAMD_NONE), "-");
}
END_TEST

/* Headers are there if the version is above 1.0; TELL: always; PING, SKIP:
   from 1.5 on. */
START_TEST(who_has_headers)
{
	static const struct {
		const char *line;
		bool headers;
	} t[] = {
		{ "CHECK SPAMC/1.0", false }, { "CHECK SPAMC/1.1", true },
		{ "SYMBOLS SPAMC/1.0", false }, { "PROCESS SPAMC/1.0", false },
		{ "TELL SPAMC/1.0", true }, { "TELL SPAMC/1.5", true },
		{ "PING SPAMC/1.4", false }, { "PING SPAMC/1.5", true },
		{ "SKIP SPAMC/1.4", false }, { "SKIP SPAMC/1.5", true },
		{ "CHECK RSPAMC/1.0", true }, { "CHECK RSPAMC/1.3", true },
	};
	static const char rest[] = "Content-length: 5\r\n\r\n";
	struct spamd_request *r;
	size_t i;
	char *in;

	for (i = 0; i < COUNT(t); i++) {
		in = unit_format("%s\r\n%s", t[i].line, rest);
		r = good(in, strlen(in), t[i].headers ? 0 : sizeof(rest) - 1);
		ck_assert(r->has_length == t[i].headers);
		if (r->has_length)
			ck_assert_uint_eq(r->length, 5);
		spamd_request_free(r);
		free(in);
	}
}
END_TEST

START_TEST(headers_are_read)
{
	struct spamd_request *r;

	r = good(BYTES("CHECK SPAMC/1.5\r\nUSER :\t alice \t\r\n"
	    "content-LENGTH:12\nX-Unknown: y\r\nUser: bob\r\n"
	    "Compress: ZLib\r\nEmpty:\r\n\r\n"), 0);
	ck_assert_str_eq(r->user, "alice");
	ck_assert(r->has_length);
	ck_assert_uint_eq(r->length, 12);
	/* the header file promises lower case */
	ck_assert_str_eq(r->compress, "zlib");
	spamd_request_free(r);

	r = good(BYTES("CHECK SPAMC/1.2\r\nUser:\r\n\r\n"), 0);
	ck_assert_ptr_null(r->user);
	ck_assert_ptr_null(r->compress);
	ck_assert(!r->has_length);
	spamd_request_free(r);
}
END_TEST

#define L	SPAMD_LOCAL
#define R	SPAMD_REMOTE

/* TELL's headers, in every form that clients write. */
static const struct {
	const char *headers;
	enum spamd_class class;
	unsigned int set, remove;
} tells[] = {
	{ "", SPAMD_CLASS_NONE, 0, 0 },
	{ "Message-class: spam\r\nSet: local\r\n", SPAMD_CLASS_SPAM, L, 0 },
	{ "Message-class: ham\r\nSet: local\r\n", SPAMD_CLASS_HAM, L, 0 },
	{ "Remove: local\r\n", SPAMD_CLASS_NONE, 0, L },
	{ "Message-class: spam\r\nSet: local,remote\r\n",
	    SPAMD_CLASS_SPAM, L | R, 0 },
	{ "Message-class: ham\r\nSet: local\r\nRemove: remote\r\n",
	    SPAMD_CLASS_HAM, L, R },
	/* James */
	{ "Message-class: spam\r\nSet: local, remote\r\n",
	    SPAMD_CLASS_SPAM, L | R, 0 },
	{ "Remove:remote ,\tlocal\r\n", SPAMD_CLASS_NONE, 0, L | R },
	{ "MESSAGE-CLASS: SPAM\r\nset: LOCAL\r\nremove: Remote\r\n",
	    SPAMD_CLASS_SPAM, L, R },
	{ "Set: remote\r\nSet: local\r\n", SPAMD_CLASS_NONE, L | R, 0 },
	/* what is none of these is nothing */
	{ "Message-class: \r\nSet:\r\nRemove: ,, ,\r\n", SPAMD_CLASS_NONE,
	    0, 0 },
	{ "Message-class: spammy\r\nSet: locally,remot,xlocal\r\n",
	    SPAMD_CLASS_NONE, 0, 0 },
	{ "Message-class: ham spam\r\nSet: elsewhere,local\r\n",
	    SPAMD_CLASS_NONE, L, 0 },
	{ "Message: spam\r\nSets: local\r\nX-Remove: local\r\n",
	    SPAMD_CLASS_NONE, 0, 0 },
};

START_TEST(tell_says_what_to_do)
{
	static const char *const firsts[] = { "TELL SPAMC/1.0\r\n",
	    "TELL SPAMC/1.5\r\n", "CHECK SPAMC/1.5\r\n",
	    "PROCESS SPAMC/1.5\r\n", "CHECK RSPAMC/1.3\r\n" };
	struct spamd_request *r;
	bool tell;
	size_t i;
	char *in;

	for (i = 0; i < COUNT(firsts); i++) {
		tell = i < 2;
		in = unit_format("%s%s\r\n", firsts[i], tells[_i].headers);
		r = good(in, strlen(in), 0);
		ck_assert_int_eq(r->message_class, tell ? tells[_i].class :
		    SPAMD_CLASS_NONE);
		ck_assert_uint_eq(r->set, tell ? tells[_i].set : 0);
		ck_assert_uint_eq(r->remove, tell ? tells[_i].remove : 0);
		spamd_request_free(r);
		free(in);
	}
}
END_TEST

/* SPAMC's headers know nothing of an envelope, RSPAMC's User is not SPAMC's. */
START_TEST(dialects_do_not_mix)
{
	struct spamd_request *r;

	r = good(BYTES("CHECK SPAMC/1.5\r\nIP: 1.2.3.4\r\nFrom: a@b\r\n"
	    "Rcpt: c@d\r\nHelo: h\r\nHostname: n\r\nQueue-Id: q\r\n"
	    "Deliver-To: d\r\nUser: u\r\n\r\n"), 0);
	ck_assert_ptr_null(r->envelope->ip);
	ck_assert_ptr_null(r->envelope->sender);
	ck_assert_ptr_null(r->envelope->helo);
	ck_assert_ptr_null(r->envelope->hostname);
	ck_assert_ptr_null(r->envelope->queue_id);
	ck_assert_ptr_null(r->envelope->user);
	ck_assert(!r->envelope->authenticated);
	ck_assert_uint_eq(r->envelope->nrcpt, 0);
	ck_assert_uint_eq(r->rcpt_seen, 0);
	ck_assert_ptr_null(r->deliver_to);
	spamd_request_free(r);

	r = good(BYTES("CHECK RSPAMC/1.3\r\nUser: u\r\n\r\n"), 0);
	ck_assert_ptr_null(r->user);
	ck_assert_str_eq(r->envelope->user, "u");
	ck_assert(r->envelope->authenticated);
	spamd_request_free(r);
}
END_TEST

START_TEST(rspamc_envelope)
{
	struct spamd_request *r;
	struct envelope *e;

	r = good(BYTES("CHECK RSPAMC/1.3\r\nContent-length: 352\r\n"
	    "Queue-Id: 1xVA4m-0004UG-OO\r\nFrom: <s@client.example>\r\n"
	    "Recipient-Number: 2\r\nRcpt: <u1@x>\r\nRcpt: u2@x\r\n"
	    "Helo: h\r\nHostname: c.example\r\nIP: 127.0.0.9\r\n"
	    "User: alice\r\nDeliver-To: box\r\n\r\n"), 0);
	e = r->envelope;
	ck_assert_int_eq(r->dialect, SPAMD_RSPAMC);
	ck_assert_int_eq(r->version, 103);
	ck_assert_uint_eq(r->length, 352);
	ck_assert_str_eq(e->queue_id, "1xVA4m-0004UG-OO");
	ck_assert_str_eq(e->sender, "s@client.example");
	ck_assert_uint_eq(e->nrcpt, 2);
	ck_assert_uint_eq(r->rcpt_seen, 2);
	ck_assert_str_eq(e->rcpt[0], "u1@x");
	ck_assert_str_eq(e->rcpt[1], "u2@x");
	ck_assert_str_eq(e->helo, "h");
	ck_assert_str_eq(e->hostname, "c.example");
	ck_assert_str_eq(e->ip, "127.0.0.9");
	ck_assert_str_eq(e->user, "alice");
	ck_assert(e->authenticated);
	ck_assert_str_eq(r->deliver_to, "box");
	spamd_request_free(r);
}
END_TEST

START_TEST(null_sender_is_known)
{
	struct spamd_request *r;

	r = good(BYTES("CHECK RSPAMC/1.3\r\nFrom: <>\r\n\r\n"), 0);
	ck_assert_str_eq(r->envelope->sender, "");
	spamd_request_free(r);
	r = good(BYTES("CHECK RSPAMC/1.3\r\n\r\n"), 0);
	ck_assert_ptr_null(r->envelope->sender);
	ck_assert(!r->envelope->authenticated);
	spamd_request_free(r);
}
END_TEST

/* What Exim passes on from an attacker: a bare CR in a quoted local part. */
START_TEST(values_are_cleaned)
{
	struct spamd_request *r;

	r = good(BYTES("CHECK RSPAMC/1.3\r\nRcpt: <\"a\rIP: 127.0.0.1\"@x>\r\n"
	    "From: <\"x\0y\"@x>\r\nHelo: \x1b[2J\r\nUser: a\tb\x7f\r\n"
	    "Hostname: \xc3\xa9.example\r\n\r\n"), 0);
	ck_assert_str_eq(r->envelope->rcpt[0], "\"a?IP: 127.0.0.1\"@x");
	ck_assert_ptr_null(r->envelope->ip);
	ck_assert_str_eq(r->envelope->sender, "\"x?y\"@x");
	ck_assert_str_eq(r->envelope->helo, "?[2J");
	ck_assert_str_eq(r->envelope->user, "a?b?");
	ck_assert_str_eq(r->envelope->hostname, "\xc3\xa9.example");
	spamd_request_free(r);
}
END_TEST

/* A NUL must not make another name of a header. */
START_TEST(nul_in_a_name_is_no_end)
{
	struct spamd_request *r;

	r = good(BYTES("CHECK RSPAMC/1.3\r\nIP\0X: 127.0.0.1\r\n"
	    "Content-length\0: 5\r\n\r\n"), 0);
	ck_assert_ptr_null(r->envelope->ip);
	ck_assert(!r->has_length);
	spamd_request_free(r);
}
END_TEST

START_TEST(ip_must_be_one)
{
	static const char *const no[] = { "localhost", "127.1", "1.2.3.4.5",
	    "[127.0.0.1]", "1.2.3.4:25", "::g", "1.2.3.4 5", "127.0.0.1, x" };
	static const char *const yes[] = { "1.2.3.4", "::1", "2001:db8::25",
	    "::ffff:1.2.3.4" };
	struct spamd_request *r;
	size_t i;
	char *in;

	for (i = 0; i < COUNT(no); i++) {
		in = unit_format("CHECK RSPAMC/1.3\r\nIP: %s\r\n\r\n", no[i]);
		r = good(in, strlen(in), 0);
		ck_assert_msg(r->envelope->ip == NULL, "%s", no[i]);
		spamd_request_free(r);
		free(in);
	}
	for (i = 0; i < COUNT(yes); i++) {
		in = unit_format("CHECK RSPAMC/1.3\r\nIP: %s\r\n\r\n", yes[i]);
		r = good(in, strlen(in), 0);
		ck_assert_str_eq(r->envelope->ip, yes[i]);
		spamd_request_free(r);
		free(in);
	}
}
END_TEST

START_TEST(first_of_a_name_counts)
{
	struct spamd_request *r;

	r = good(BYTES("CHECK RSPAMC/1.3\r\nIP: 1.2.3.4\r\nIP: 127.0.0.1\r\n"
	    "From: <>\r\nFrom: <a@b>\r\nUser: a\r\nUser: b\r\n"
	    "Helo: a\r\nHelo: b\r\n\r\n"), 0);
	ck_assert_str_eq(r->envelope->ip, "1.2.3.4");
	ck_assert_str_eq(r->envelope->sender, "");
	ck_assert_str_eq(r->envelope->user, "a");
	ck_assert_str_eq(r->envelope->helo, "a");
	spamd_request_free(r);
}
END_TEST

/* rspamd's dangerous headers have no place to go to. */
START_TEST(other_names_are_ignored)
{
	struct spamd_request *r;

	r = good(BYTES("CHECK RSPAMC/1.3\r\nFile: /etc/passwd\r\n"
	    "Path: /etc/passwd\r\nShm: x\r\nShm-Offset: 1\r\nShm-Length: 1\r\n"
	    "Settings: {}\r\nCompression: zstd\r\nContent-Encoding: zstd\r\n"
	    "Dictionary: 1\r\nCompress: zlib\r\n"
	    "A-name-that-is-far-too-long-for-any-that-is-known: x\r\n\r\n"), 0);
	ck_assert_ptr_null(r->deliver_to);
	ck_assert_ptr_null(r->user);
	ck_assert_ptr_null(r->compress);
	ck_assert_ptr_null(r->envelope->user);
	ck_assert_ptr_null(r->envelope->queue_id);
	spamd_request_free(r);
}
END_TEST

static const struct {
	const char *in;
	size_t len;
	const char *why;
} wrong[] = {
	{ BYTES("\r\n\r\n"), "not a spamd request" },
	{ BYTES("CHECK\r\n\r\n"), "not a spamd request" },
	{ BYTES("CHECK SPAMC\r\n\r\n"), "not a spamd request" },
	{ BYTES("CHECK spamc/1.2\r\n\r\n"), "not a spamd request" },
	{ BYTES("CHECK HTTP/1.0\r\n\r\n"), "HTTP" },
	{ BYTES("POST /checkv2 HTTP/1.1\r\n\r\n"), "HTTP" },
	{ BYTES("CHECK SPAMC/\r\n\r\n"), "" },
	{ BYTES("CHECK SPAMC/1\r\n\r\n"), "version" },
	{ BYTES("CHECK SPAMC/1.\r\n\r\n"), "version" },
	{ BYTES("CHECK SPAMC/.2\r\n\r\n"), "version" },
	{ BYTES("CHECK SPAMC/-1.2\r\n\r\n"), "version" },
	{ BYTES("CHECK SPAMC/1.2x\r\n\r\n"), "version" },
	{ BYTES("CHECK SPAMC/1.234\r\n\r\n"), "version" },
	{ BYTES("CHECK SPAMC/99999999999999999999.2\r\n\r\n"), "version" },
	{ BYTES("CHECK SPAMC/1.99999999999999999999\r\n\r\n"), "version" },
	{ BYTES("CHECK SPAMC/1.2 x\r\n\r\n"), "version" },
	{ BYTES("check SPAMC/1.2\r\n\r\n"), "unknown command" },
	{ BYTES("CHECKS SPAMC/1.2\r\n\r\n"), "unknown command" },
	{ BYTES(" SPAMC/1.2\r\n\r\n"), "unknown command" },
	{ BYTES("CHECK\0 SPAMC/1.2\r\n\r\n"), "unknown command" },
	{ BYTES("PING RSPAMC/1.3\r\n\r\n"), "RSPAMC" },
	{ BYTES("REPORT RSPAMC/1.3\r\n\r\n"), "RSPAMC" },
	{ BYTES("CHECK SPAMC/1.2\r\nno colon\r\n\r\n"), "colon" },
	{ BYTES("CHECK SPAMC/1.2\r\n  \r\n\r\n"), "colon" },
	{ BYTES("CHECK SPAMC/1.2\r\n: x\r\n\r\n"), "name" },
	{ BYTES("CHECK SPAMC/1.2\r\nContent-length:\r\n\r\n"),
	    "Content-length" },
	{ BYTES("CHECK SPAMC/1.2\r\nContent-length: -5\r\n\r\n"),
	    "Content-length" },
	{ BYTES("CHECK SPAMC/1.2\r\nContent-length: +5\r\n\r\n"),
	    "Content-length" },
	{ BYTES("CHECK SPAMC/1.2\r\nContent-length: 5 5\r\n\r\n"),
	    "Content-length" },
	{ BYTES("CHECK SPAMC/1.2\r\nContent-length: 0x5\r\n\r\n"),
	    "Content-length" },
	{ BYTES("CHECK SPAMC/1.2\r\nContent-length: 18446744073709551621\r\n"
	    "\r\n"), "Content-length" },
	{ BYTES("CHECK SPAMC/1.2\r\nContent-length: 5\r\n"
	    "Content-length: 6\r\n\r\n"), "Content-length" },
};

START_TEST(wrong_requests_are_refused)
{
	refused(wrong[_i].in, wrong[_i].len, false, wrong[_i].why);
}
END_TEST

START_TEST(same_length_twice_is_no_harm)
{
	struct spamd_request *r;

	r = good(BYTES("CHECK SPAMC/1.2\r\nContent-length: 5\r\n"
	    "Content-Length: 5\r\n\r\n"), 0);
	ck_assert_uint_eq(r->length, 5);
	spamd_request_free(r);
}
END_TEST

/* A dialect that has been understood stays known: the error line needs it. */
START_TEST(bad_request_keeps_its_dialect)
{
	struct spamd_request *r = spamd_request_new();
	size_t used;

	(void)spamd_request_feed(r, BYTES("TELL RSPAMC/1.3\r\n"), false, &used);
	ck_assert_int_eq(r->dialect, SPAMD_RSPAMC);
	spamd_request_free(r);
	r = spamd_request_new();
	(void)spamd_request_feed(r, BYTES("HELO x\r\n"), false, &used);
	ck_assert_int_eq(r->dialect, SPAMD_DIALECT_UNKNOWN);
	spamd_request_free(r);
}
END_TEST

/* The error goes to the wire and to the log: one clean line. */
START_TEST(error_text_is_clean)
{
	struct spamd_request *r = spamd_request_new();
	const char *p;
	size_t used;

	(void)spamd_request_feed(r, BYTES("\x1b[31m\xff\rSPAMD/1.1 0 EX_OK\0x\n"),
	    false, &used);
	for (p = spamd_request_error(r); *p != '\0'; p++)
		ck_assert_msg(*p >= ' ' && *p < 0x7f, "%s",
		    spamd_request_error(r));
	spamd_request_free(r);
}
END_TEST

START_TEST(cut_short)
{
	refused(BYTES(""), true, "no request");
	refused(BYTES("CHECK SPAMC/1.2"), true, "ends before");
	refused(BYTES("CHECK SPAMC/1.2\r\n"), true, "ends before");
	refused(BYTES("CHECK SPAMC/1.2\r\nUser: x\r\n"), true, "ends before");
	refused(BYTES("PING SPAMC/1.5\r\nUser: x"), true, "ends before");
	refused(BYTES("PING"), true, "ends before");
	/* without a message nothing can be missing */
	spamd_request_free(good(BYTES("PING SPAMC/1.2\r\n"), 0));
}
END_TEST

START_TEST(ping_may_end_without_empty_line)
{
	struct spamd_request *r = spamd_request_new();
	size_t used;

	ck_assert_int_eq(spamd_request_feed(r, BYTES("PING SPAMC/1.5\r\n"),
	    true, &used), SPAMD_HEAD_DONE);
	spamd_request_free(r);
}
END_TEST

/* A line may have LINE_MAX bytes, its CR counted, its LF not. */
START_TEST(line_limit)
{
	char *x, *in, *a, *b;
	size_t fixed = sizeof("User: ") - 1, over;

	for (over = 0; over <= 1; over++) {
		x = unit_repeat('x', SPAMD_REQUEST_LINE_MAX - fixed + over);
		in = unit_format("CHECK SPAMC/1.2\r\nUser: %s\n\n", x);
		if (over != 0) {
			refused(in, strlen(in), false, "line is too long");
			/* and it does not wait for the line to end */
			refused(in, strlen(in) - 2, false, "line is too long");
			refused(in, strlen(in), true, "line is too long");
		} else
			spamd_request_free(good(in, strlen(in), 0));
		a = result(in, strlen(in), strlen(in), false);
		b = result(in, strlen(in), strlen(in) + 1, false);
		ck_assert_str_eq(a, b);
		free(a);
		free(b);
		a = result(in, strlen(in), 20, false);
		b = result(in, strlen(in), 8200, false);
		ck_assert_str_eq(a, b);
		free(a);
		free(b);
		free(x);
		free(in);
	}
}
END_TEST

/* A head of exactly SIZE bytes. */
static char *
head_of(size_t size)
{
	static const char first[] = "CHECK RSPAMC/1.3\r\n";
	char *in = unit_repeat('x', size);
	size_t at = sizeof(first) - 1, line, left;

	memcpy(in, first, at);
	while ((left = size - at - 2) > 0) {
		line = left > 5000 ? 4000 : left;
		memcpy(in + at, "X: ", 3);
		memcpy(in + at + line - 2, "\r\n", 2);
		at += line;
	}
	memcpy(in + at, "\r\n", 2);
	return in;
}

START_TEST(head_limit)
{
	size_t over;
	char *in, *a, *b;

	for (over = 0; over <= 1; over++) {
		in = head_of(SPAMD_REQUEST_HEAD_MAX + over);
		if (over != 0)
			refused(in, SPAMD_REQUEST_HEAD_MAX + over, false,
			    "head is too long");
		else
			spamd_request_free(good(in, SPAMD_REQUEST_HEAD_MAX, 0));
		a = result(in, SPAMD_REQUEST_HEAD_MAX + over, 0, false);
		b = result(in, SPAMD_REQUEST_HEAD_MAX + over,
		    SPAMD_REQUEST_HEAD_MAX - 3, false);
		ck_assert_str_eq(a, b);
		free(a);
		free(b);
		free(in);
	}
}
END_TEST

/* Where a line would break both limits, the one that is met first counts. */
START_TEST(limits_do_not_depend_on_splits)
{
	size_t base = SPAMD_REQUEST_HEAD_MAX - 4000, len = base + 9000;
	char *in = unit_repeat('x', len), *head = head_of(base), *a, *b;

	memcpy(in, head, base - 2);
	a = result(in, len, len, false);
	b = result(in, len, base + 3000, false);
	ck_assert_str_eq(a, b);
	free(b);
	b = result(in, len, base + 5000, false);
	ck_assert_str_eq(a, b);
	free(b);
	free(a);
	free(head);
	free(in);
}
END_TEST

static char *
with_headers(const char *first, const char *line, size_t n)
{
	char *s;
	size_t size;
	FILE *f = open_memstream(&s, &size);

	fputs(first, f);
	while (n-- > 0)
		fputs(line, f);
	fputs("\r\n", f);
	fclose(f);
	return s;
}

START_TEST(header_limit)
{
	char *in;

	in = with_headers("CHECK SPAMC/1.2\r\n", "X-H: 1\r\n",
	    SPAMD_REQUEST_HEADERS_MAX);
	spamd_request_free(good(in, strlen(in), 0));
	free(in);
	in = with_headers("CHECK SPAMC/1.2\r\n", "X-H: 1\r\n",
	    SPAMD_REQUEST_HEADERS_MAX + 1);
	refused(in, strlen(in), false, "too many headers");
	free(in);
	/* a header too long to be known counts as well */
	in = with_headers("CHECK SPAMC/1.2\r\n",
	    "A-name-that-is-far-too-long-for-any-that-is-known: x\r\n",
	    SPAMD_REQUEST_HEADERS_MAX + 1);
	refused(in, strlen(in), false, "too many headers");
	free(in);
}
END_TEST

START_TEST(recipient_limit)
{
	struct spamd_request *r;
	char *in;

	in = with_headers("CHECK RSPAMC/1.3\r\n", "Rcpt: <a@b>\r\n",
	    SPAMD_REQUEST_RCPT_MAX);
	r = good(in, strlen(in), 0);
	ck_assert_uint_eq(r->envelope->nrcpt, SPAMD_REQUEST_RCPT_MAX);
	ck_assert_uint_eq(r->rcpt_seen, SPAMD_REQUEST_RCPT_MAX);
	spamd_request_free(r);
	free(in);
	in = with_headers("CHECK RSPAMC/1.3\r\n", "Rcpt: <a@b>\r\n",
	    SPAMD_REQUEST_RCPT_MAX + 7);
	r = good(in, strlen(in), 0);
	ck_assert_uint_eq(r->envelope->nrcpt, SPAMD_REQUEST_RCPT_MAX);
	ck_assert_uint_eq(r->rcpt_seen, SPAMD_REQUEST_RCPT_MAX + 7);
	spamd_request_free(r);
	free(in);
}
END_TEST

/* A RSPAMC head with N recipients of LEN bytes each, and what is kept of it. */
static struct spamd_request *
recipients(size_t n, size_t len)
{
	char *line = unit_format("Rcpt: <%0*d>\r\n", (int)len, 0);
	char *in = with_headers("CHECK RSPAMC/1.3\r\n", line, n);
	struct spamd_request *r = good(in, strlen(in), 0);

	ck_assert_uint_eq(r->rcpt_seen, n);
	free(line);
	free(in);
	return r;
}

/* What rspamd cannot be told of is counted, and not kept: a long one, and those
   beyond what its head takes. */
START_TEST(recipient_size_limit)
{
	const size_t more = sizeof("Rcpt: <>\r\n") - 1;
	const size_t fit = RSPAMD_REQUEST_HEAD_MAX / (1000 + more);
	struct spamd_request *r;

	r = recipients(3, RSPAMD_REQUEST_VALUE_MAX);
	ck_assert_uint_eq(r->envelope->nrcpt, 3);
	spamd_request_free(r);
	r = recipients(3, RSPAMD_REQUEST_VALUE_MAX + 1);
	ck_assert_uint_eq(r->envelope->nrcpt, 0);
	spamd_request_free(r);
	r = recipients(fit, 1000);
	ck_assert_uint_eq(r->envelope->nrcpt, fit);
	spamd_request_free(r);
	r = recipients(fit + 1, 1000);
	ck_assert_uint_eq(r->envelope->nrcpt, fit);
	spamd_request_free(r);
}
END_TEST

/* The memory that it takes grows with what is kept alone, and goes with it. */
START_TEST(memory)
{
	struct spamd_request *none = recipients(0, 1), *r;
	size_t empty = spamd_request_kept(none);

	r = recipients(1000, RSPAMD_REQUEST_VALUE_MAX + 1);
	ck_assert_uint_le(spamd_request_kept(r), empty +
	    SPAMD_REQUEST_LINE_MAX);
	spamd_request_free(r);
	r = recipients(50, 1000);
	ck_assert_uint_ge(spamd_request_kept(r), empty + 50 * 1000);
	spamd_request_drop(r);
	ck_assert_uint_le(spamd_request_kept(r), empty);
	ck_assert_uint_eq(r->envelope->nrcpt, 50);
	spamd_request_free(r);
	spamd_request_free(none);
}
END_TEST

START_TEST(length_limit)
{
	struct spamd_request *r;

	r = good(BYTES("CHECK SPAMC/1.2\r\nContent-length: "
	    "999999999999999999\r\n\r\n"), 0);
	ck_assert_uint_eq(r->length, UINT64_C(999999999999999999));
	spamd_request_free(r);
	refused(BYTES("CHECK SPAMC/1.2\r\nContent-length: "
	    "9999999999999999999\r\n\r\n"), false, "Content-length");
	r = good(BYTES("CHECK SPAMC/1.2\r\nContent-length: 0\r\n\r\n"), 0);
	ck_assert(r->has_length);
	ck_assert_uint_eq(r->length, 0);
	spamd_request_free(r);
}
END_TEST

START_TEST(free_takes_null)
{
	spamd_request_free(NULL);
}
END_TEST

Suite *
spamd_request_suite(void)
{
	Suite *s = suite_create("spamd_request");
	TCase *tc = unit_case(s, "splits");

	tcase_add_loop_test(tc, every_split_is_alike, 0, COUNT(inputs));
	tcase_add_loop_test(tc, late_eom_is_alike, 0, COUNT(inputs));
	tc = unit_case(s, "grammar");
	tcase_add_test(tc, commands_and_versions);
	tcase_add_test(tc, who_has_headers);
	tcase_add_test(tc, headers_are_read);
	tcase_add_loop_test(tc, tell_says_what_to_do, 0, COUNT(tells));
	tcase_add_test(tc, dialects_do_not_mix);
	tcase_add_test(tc, rspamc_envelope);
	tcase_add_test(tc, null_sender_is_known);
	tcase_add_test(tc, values_are_cleaned);
	tcase_add_test(tc, nul_in_a_name_is_no_end);
	tcase_add_test(tc, ip_must_be_one);
	tcase_add_test(tc, first_of_a_name_counts);
	tcase_add_test(tc, other_names_are_ignored);
	tc = unit_case(s, "refusals");
	tcase_add_loop_test(tc, wrong_requests_are_refused, 0, COUNT(wrong));
	tcase_add_test(tc, same_length_twice_is_no_harm);
	tcase_add_test(tc, bad_request_keeps_its_dialect);
	tcase_add_test(tc, error_text_is_clean);
	tcase_add_test(tc, cut_short);
	tcase_add_test(tc, ping_may_end_without_empty_line);
	tcase_add_test(tc, free_takes_null);
	tc = unit_case(s, "limits");
	tcase_add_test(tc, line_limit);
	tcase_add_test(tc, head_limit);
	tcase_add_test(tc, limits_do_not_depend_on_splits);
	tcase_add_test(tc, header_limit);
	tcase_add_test(tc, recipient_limit);
	tcase_add_test(tc, recipient_size_limit);
	tcase_add_test(tc, memory);
	tcase_add_test(tc, length_limit);
	return s;
}

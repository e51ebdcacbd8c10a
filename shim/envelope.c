/*
 * envelope: what is known of the SMTP transaction that a message came by.
 *
 * The parser accepts exactly what Exim 4.70 to 4.99 can write, and is
 * anchored at byte 0; doc/envelope.md has the forms.  Two facts make that
 * grammar safe although much of the text comes from the client:
 *
 *  - no text of a SMTP client can hold a line feed, so what a client wrote
 *    never reaches beyond its line, and each line is read from its start;
 *  - what is free text in a line (HELO, ident) comes after all that matters
 *    there (host name, address), and addresses are read by their own
 *    grammar, quotes and all.
 *
 * Other control bytes are let through by Exim in places (a bare carriage
 * return in a quoted local part).  They are not refused here: a client could
 * then hide its address by writing one.  They become '?' in the copy.
 */
#include "config.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "envelope.h"
#include "text.h"

/* A part of the caller's bytes; the readers below take it from its front. */
struct slice {
	const char	*p;
	size_t		 len;
};

enum scan {
	SCAN_OK,
	SCAN_BAD,		/* no byte to come can make it right */
	SCAN_MORE		/* the line is not complete yet */
};

/* All that the lines said, as parts of the caller's bytes. */
struct seen {
	struct slice	sender;		/* empty: the null sender */
	struct slice	rcpts;		/* the list as it stands there */
	struct slice	rcpt;		/* the first of them */
	size_t		nrcpt;
	struct slice	ip;
	bool		ipv6;
	struct slice	helo;
	bool		helo_shown;
	struct slice	hostname;
	struct slice	protocol;
	struct slice	queue_id;
};

/* ---- the struct ---- */

struct envelope *
envelope_new(void)
{
	return calloc(1, sizeof(struct envelope));
}

/* Frees what E owns and makes it empty. */
static void
reset(struct envelope *e)
{
	size_t i;

	for (i = 0; i < e->nrcpt; i++)
		free(e->rcpt[i]);
	free(e->rcpt);
	free(e->sender);
	free(e->ip);
	free(e->helo);
	free(e->hostname);
	free(e->queue_id);
	free(e->user);
	memset(e, 0, sizeof(*e));
}

void
envelope_free(struct envelope *e)
{
	if (e == NULL)
		return;
	reset(e);
	free(e);
}

static bool
is_control(unsigned char c)
{
	return c < 0x20 || c == 0x7f;
}

int
envelope_set(char **field, const char *value, size_t len)
{
	char *copy;

	if ((copy = text_dup_clean(value, len)) == NULL)
		return -1;
	free(*field);
	*field = copy;
	return 0;
}

int
envelope_add_rcpt(struct envelope *e, const char *addr, size_t len)
{
	char **grown, *copy;
	size_t n = e->nrcpt;

	/* The array is full whenever its use is 0 or a power of two. */
	if ((n & (n - 1)) == 0) {
		if (n > SIZE_MAX / 2 / sizeof(*grown))
			return -1;
		grown = realloc(e->rcpt, (n == 0 ? 1 : 2 * n) * sizeof(*grown));
		if (grown == NULL)
			return -1;
		e->rcpt = grown;
	}
	if ((copy = text_dup_clean(addr, len)) == NULL)
		return -1;
	e->rcpt[e->nrcpt++] = copy;
	return 0;
}

/* ---- reading a slice from its front ---- */

static void
advance(struct slice *s, size_t n)
{
	s->p += n;
	s->len -= n;
}

static bool
next_is(const struct slice *s, char c)
{
	return s->len > 0 && s->p[0] == c;
}

static bool
equal(const struct slice *a, const struct slice *b)
{
	return a->len == b->len && memcmp(a->p, b->p, a->len) == 0;
}

static bool
equals_text(const struct slice *s, const char *text)
{
	return s->len == strlen(text) && memcmp(s->p, text, s->len) == 0;
}

/* Takes TEXT, or nothing. */
static bool
take(struct slice *s, const char *text)
{
	size_t n = strlen(text);

	if (s->len < n || memcmp(s->p, text, n) != 0)
		return false;
	advance(s, n);
	return true;
}

/* Takes all bytes of a class, at least one, as *WORD; or nothing. */
static bool
take_word(struct slice *s, bool (*class)(unsigned char), struct slice *word)
{
	*word = *s;
	word->len = 0;
	while (word->len < s->len && class((unsigned char)s->p[word->len]))
		word->len++;
	advance(s, word->len);
	return word->len > 0;
}

/* Takes C off the end, or nothing. */
static bool
take_end(struct slice *s, char c)
{
	if (s->len == 0 || s->p[s->len - 1] != c)
		return false;
	s->len--;
	return true;
}

/* Takes PREFIX and the line after it, without its line feed, as *LINE. */
static enum scan
take_line(struct slice *s, const char *prefix, struct slice *line)
{
	size_t n = strlen(prefix);
	const char *lf;

	if (memcmp(s->p, prefix, s->len < n ? s->len : n) != 0)
		return SCAN_BAD;
	if (s->len < n ||
	    (lf = memchr(s->p + n, '\n', s->len - n)) == NULL)
		return SCAN_MORE;
	line->p = s->p + n;
	line->len = (size_t)(lf - line->p);
	advance(s, n + line->len + 1);
	return SCAN_OK;
}

/* ---- classes of bytes; not isalnum(), which knows locales ---- */

static bool
is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_alnum(unsigned char c)
{
	return is_digit(c) || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool
is_one_of(unsigned char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

/* Of a client's address, before inet_pton() looks at it. */
static bool
is_ip(unsigned char c)
{
	return is_digit(c) || (c >= 'A' && c <= 'F') ||
	    (c >= 'a' && c <= 'f') || is_one_of(c, ".:");
}

/* What Exim takes for a host name (dns_check_names_pattern). */
static bool
is_host(unsigned char c)
{
	return is_alnum(c) || is_one_of(c, "._-/");
}

/* Of an unquoted local user's name, as Exim decides what needs no quotes. */
static bool
is_ident(unsigned char c)
{
	return is_alnum(c) || is_one_of(c, "!#$%&'*+-/=?^_`{|}~.");
}

/* A protocol, version or cipher: names that the program or its owner chose. */
static bool
is_name(unsigned char c)
{
	return is_alnum(c) || is_one_of(c, "._+:/-");
}

static bool
is_atom(unsigned char c)
{
	return !is_control(c) && !is_one_of(c, " ()<>@,;:\\\".[]");
}

static bool
is_domain(unsigned char c)
{
	return is_alnum(c) || c >= 0x80 || is_one_of(c, "._-");
}

static bool
is_literal(unsigned char c)
{
	return c > 0x20 && c < 0x7f && !is_one_of(c, "[\\]");
}

static bool
is_not_space(unsigned char c)
{
	return c != ' ';
}

/* ---- addresses ---- */

/* Takes "...", with its quotes; a backslash covers the byte after it. */
static bool
take_quoted(struct slice *s)
{
	size_t i;

	for (i = 1; i < s->len && s->p[i] != '"'; i++)
		if (s->p[i] == '\\')
			i++;
	if (i >= s->len)
		return false;
	advance(s, i + 1);
	return true;
}

/*
 * Takes a word of a local part outside quotes, where a backslash covers the
 * byte after it too.  The word may be empty: Exim allows dots anywhere.
 */
static bool
take_atom(struct slice *s)
{
	struct slice word;

	for (;;) {
		(void)take_word(s, is_atom, &word);
		if (!next_is(s, '\\'))
			return true;
		if (s->len < 2)
			return false;
		advance(s, 2);
	}
}

static bool
take_local_part(struct slice *s)
{
	const char *start = s->p;

	do {
		if (next_is(s, '"') ? !take_quoted(s) : !take_atom(s))
			return false;
	} while (take(s, "."));
	return s->p > start;
}

/* Takes a domain or a literal, of which Exim asks no more than its end. */
static bool
take_domain(struct slice *s)
{
	struct slice word;

	if (!take(s, "["))
		return take_word(s, is_domain, &word);
	(void)take_word(s, is_literal, &word);
	return take(s, "]");
}

/* Takes an address as Exim stores it: no route, no comment, with a domain. */
static bool
take_address(struct slice *s, struct slice *address)
{
	*address = *s;
	if (!take_local_part(s) || !take(s, "@") || !take_domain(s))
		return false;
	address->len = (size_t)(s->p - address->p);
	return true;
}

/* ---- dates ---- */

/* Takes one of the three-letter names in NAMES. */
static bool
take_abbreviation(struct slice *s, const char *names)
{
	for (; *names != '\0'; names += 3) {
		if (s->len >= 3 && memcmp(s->p, names, 3) == 0) {
			advance(s, 3);
			return true;
		}
	}
	return false;
}

/* Takes a number of N digits from MIN to MAX. */
static bool
take_number(struct slice *s, size_t n, int min, int max)
{
	int value = 0;
	size_t i;

	if (s->len < n)
		return false;
	for (i = 0; i < n; i++) {
		if (!is_digit((unsigned char)s->p[i]))
			return false;
		value = value * 10 + (s->p[i] - '0');
	}
	advance(s, n);
	return value >= min && value <= max;
}

static bool
take_weekday(struct slice *s)
{
	return take_abbreviation(s, "SunMonTueWedThuFriSat");
}

static bool
take_month(struct slice *s)
{
	return take_abbreviation(s, "JanFebMarAprMayJunJulAugSepOctNovDec");
}

static bool
take_time(struct slice *s)
{
	return take_number(s, 2, 0, 23) && take(s, ":") &&
	    take_number(s, 2, 0, 59) && take(s, ":") &&
	    take_number(s, 2, 0, 60);
}

/* Takes "Mon Nov 23 05:52:33 2026". */
static bool
take_mbox_date(struct slice *s)
{
	return take_weekday(s) && take(s, " ") && take_month(s) &&
	    take(s, " ") && take_number(s, 2, 1, 31) && take(s, " ") &&
	    take_time(s) && take(s, " ") && take_number(s, 4, 1970, 9999);
}

/* Takes "Mon, 23 Nov 2026 05:52:33 +0000". */
static bool
take_full_date(struct slice *s)
{
	return take_weekday(s) && take(s, ", ") &&
	    take_number(s, 2, 1, 31) && take(s, " ") && take_month(s) &&
	    take(s, " ") && take_number(s, 4, 1970, 9999) && take(s, " ") &&
	    take_time(s) && take(s, " ") && (take(s, "+") || take(s, "-")) &&
	    take_number(s, 2, 0, 15) && take_number(s, 2, 0, 59);
}

/* ---- From_ and X-Envelope-* ---- */

/*
 * "From PATH DATE".  Verifying an address in an ACL leaves its return path
 * behind, and Exim shows it here: the sender, some errors_to, before 4.90 even
 * what has come to stand in memory that was freed.  So PATH says nothing and
 * may be anything.  Without such a verification it is MAILER-DAEMON.
 */
static bool
read_from_line(struct slice line)
{
	if (line.len <= sizeof(" Mon Nov 23 05:52:33 2026") - 1)
		return false;
	advance(&line, line.len - (sizeof(" Mon Nov 23 05:52:33 2026") - 1));
	return take(&line, " ") && take_mbox_date(&line) && line.len == 0;
}

/* "a@x, b@y": counts them, and keeps the list to be read again. */
static bool
read_rcpts(struct slice line, struct seen *seen)
{
	struct slice address;

	seen->rcpts = line;
	do {
		if (!take_address(&line, &address))
			return false;
		if (seen->nrcpt++ == 0)
			seen->rcpt = address;
	} while (take(&line, ", "));
	return line.len == 0;
}

/* All lines of Exim's that are no part of the mail. */
static enum scan
read_addresses(struct slice *s, struct seen *seen)
{
	struct slice line;
	enum scan r;

	if ((r = take_line(s, "From ", &line)) != SCAN_OK)
		return r;
	if (!read_from_line(line))
		return SCAN_BAD;

	/* A null sender has no line. */
	if ((r = take_line(s, "X-Envelope-From: <", &line)) == SCAN_MORE)
		return r;
	if (r == SCAN_OK && !(take_address(&line, &seen->sender) &&
	    equals_text(&line, ">")))
		return SCAN_BAD;

	if ((r = take_line(s, "X-Envelope-To: ", &line)) != SCAN_OK)
		return r;
	return read_rcpts(line, seen) ? SCAN_OK : SCAN_BAD;
}

/* ---- Received ---- */

/* Takes "[ADDRESS]". */
static bool
take_client_ip(struct slice *s, struct seen *seen)
{
	char text[INET6_ADDRSTRLEN];
	unsigned char binary[sizeof(struct in6_addr)];

	if (!take(s, "[") || !take_word(s, is_ip, &seen->ip) ||
	    !take(s, "]") || seen->ip.len >= sizeof(text))
		return false;
	memcpy(text, seen->ip.p, seen->ip.len);
	text[seen->ip.len] = '\0';
	seen->ipv6 = memchr(text, ':', seen->ip.len) != NULL;
	return inet_pton(seen->ipv6 ? AF_INET6 : AF_INET, text, binary) == 1;
}

static bool
take_port(struct slice *s)
{
	struct slice digits;

	return take_word(s, is_digit, &digits) && digits.len <= 5;
}

/* Finds TEXT in S; false if it is not there. */
static bool
find(const struct slice *s, const char *text, size_t *at)
{
	size_t n = strlen(text), i;

	for (i = 0; i + n <= s->len; i++) {
		if (memcmp(s->p + i, text, n) == 0) {
			*at = i;
			return true;
		}
	}
	return false;
}

/*
 * "HELO" or "HELO ident=IDENT", up to the end of S.  A HELO holds no space
 * unless Exim is told to accept junk, so that the first " ident=" is the one.
 * With junk this cuts short a HELO that imitates an ident: what is left is
 * a HELO that the client could have sent.  Where spaces show that it is junk,
 * nobody can say which part is whose, and it counts as unknown.
 */
static void
read_helo(struct slice s, struct seen *seen)
{
	size_t at;

	seen->helo_shown = true;
	seen->helo = s;
	if (!find(&s, " ident=", &at))
		return;
	seen->helo.len = at;
	if (memchr(seen->helo.p, ' ', at) != NULL)
		seen->helo.len = 0;
}

/* "from [IP]", "from [IP] (port=N helo=HELO ident=IDENT)" and less of it. */
static bool
read_unnamed_client(struct slice s, struct seen *seen)
{
	bool port;

	if (!take_client_ip(&s, seen))
		return false;
	if (s.len == 0)
		return true;
	if (!take(&s, " (") || !take_end(&s, ')'))
		return false;
	port = take(&s, "port=");
	if (port) {
		if (!take_port(&s))
			return false;
		if (s.len == 0)
			return true;
		if (!take(&s, " "))
			return false;
	}
	if (take(&s, "helo=")) {
		read_helo(s, seen);
		return true;
	}
	return take(&s, "ident=");
}

/*
 * "([IP]:PORT helo=HELO ident=IDENT)" and less of it, after a host name.
 * HELO and IDENT together are on a line of their own (FOLDED).
 */
static bool
read_named_client(struct slice s, bool folded, struct seen *seen)
{
	size_t at;

	if (!take(&s, "(") || !take_end(&s, ')') || !take_client_ip(&s, seen))
		return false;
	if (take(&s, ":") && !take_port(&s))
		return false;
	if (folded) {
		if (!take(&s, " helo=") || !find(&s, " ident=", &at))
			return false;
		read_helo(s, seen);
		return true;
	}
	if (take(&s, " helo=")) {
		seen->helo_shown = true;
		seen->helo = s;
		return true;
	}
	return s.len == 0 || take(&s, " ident=");
}

/* "(helo=HELO)" of mail without a client's address. */
static bool
read_local_helo(struct slice s, struct seen *seen)
{
	if (!take(&s, "(helo=") || !take_end(&s, ')'))
		return false;
	seen->helo_shown = true;
	seen->helo = s;
	return true;
}

/* A local user's name, in quotes where it needs them. */
static bool
is_local_user(struct slice s)
{
	struct slice word;

	if (next_is(&s, '"'))
		return take_quoted(&s) && s.len == 0;
	return take_word(&s, is_ident, &word) && s.len == 0;
}

static bool
is_host_name(struct slice s)
{
	struct slice word;

	return take_word(&s, is_host, &word) && s.len == 0;
}

/*
 * What follows "from ": a client's address, its verified name, or a local
 * user.  Leaves in *LINE the text from "by " on: of the same line for a user
 * without HELO, else of the next.
 */
static enum scan
read_from(struct slice *s, struct slice *line, struct seen *seen)
{
	struct slice name = *line, word;
	enum scan r;

	if (next_is(line, '[')) {
		if (!read_unnamed_client(*line, seen))
			return SCAN_BAD;
		return take_line(s, "\t", line);
	}

	if (next_is(line, '"') ? !take_quoted(line) :
	    !take_word(line, is_not_space, &word))
		return SCAN_BAD;
	name.len = (size_t)(line->p - name.p);

	if (line->len == 0) {
		if (!is_host_name(name))
			return SCAN_BAD;
		if ((r = take_line(s, "\t", line)) != SCAN_OK)
			return r;
		if (!read_named_client(*line, true, seen))
			return SCAN_BAD;
		seen->hostname = name;
		return take_line(s, "\t", line);
	}
	if (!take(line, " "))
		return SCAN_BAD;
	if (line->len > 1 && memcmp(line->p, "([", 2) == 0) {
		if (!is_host_name(name) ||
		    !read_named_client(*line, false, seen))
			return SCAN_BAD;
		seen->hostname = name;
		return take_line(s, "\t", line);
	}
	if (!is_local_user(name))
		return SCAN_BAD;
	if (!next_is(line, '('))
		return SCAN_OK;
	if (!read_local_helo(*line, seen))
		return SCAN_BAD;
	return take_line(s, "\t", line);
}

/*
 * "by HOST with PROTOCOL TLS(Exim VERSION)", where TLS is empty or, to 4.92,
 * "(CIPHER)" or, from 4.93 on, " (VERSION) tls CIPHER" of which one may be
 * missing.  A line ends after the cipher.
 */
static enum scan
read_by(struct slice *s, struct slice *line, struct seen *seen)
{
	struct slice word, ahead;
	bool folded = false;
	enum scan r;

	if (!take(line, "by ") || !take_word(line, is_host, &word) ||
	    !take(line, " "))
		return SCAN_BAD;
	if (take(line, "with ")) {
		if (!take_word(line, is_name, &seen->protocol) ||
		    !take(line, " "))
			return SCAN_BAD;
	} else
		(void)take(line, " ");

	ahead = *line;
	if (take(line, " (") &&
	    !(take_word(line, is_name, &word) && take(line, ")")))
		return SCAN_BAD;
	if (take(line, " tls ")) {
		if (!take_word(line, is_name, &word))
			return SCAN_BAD;
		folded = true;
	} else if (next_is(&ahead, '(') && !take(&ahead, "(Exim ")) {
		if (!take(line, "(") || !take_word(line, is_name, &word) ||
		    !take(line, ")"))
			return SCAN_BAD;
		folded = true;
	}
	if (folded) {
		if (line->len != 0)
			return SCAN_BAD;
		if ((r = take_line(s, "\t", line)) != SCAN_OK)
			return r;
	}
	return take(line, "(Exim ") && take_word(line, is_name, &word) &&
	    take(line, ")") && line->len == 0 ? SCAN_OK : SCAN_BAD;
}

static bool
take_base62(struct slice *s, size_t n)
{
	struct slice word;

	return take_word(s, is_alnum, &word) && word.len == n;
}

/* Takes 1xVA4m-0004UG-OO, or from 4.97 on 1xVA4m-00000004UGx-1OOx. */
static bool
take_queue_id(struct slice *s, struct slice *id)
{
	struct slice old = *s;

	*id = *s;
	if (take_base62(&old, 6) && take(&old, "-") &&
	    take_base62(&old, 6) && take(&old, "-") && take_base62(&old, 2))
		*s = old;
	else if (!take_base62(s, 6) || !take(s, "-") ||
	    !take_base62(s, 11) || !take(s, "-") || !take_base62(s, 4))
		return false;
	id->len = (size_t)(s->p - id->p);
	return true;
}

/* All after "(Exim VERSION)".  The addresses are those of X-Envelope-*. */
static enum scan
read_trailer(struct slice *s, struct seen *seen)
{
	struct slice line, address;
	enum scan r;

	if (seen->sender.len > 0) {
		r = take_line(s, "\t(envelope-from <", &line);
		if (r != SCAN_OK)
			return r;
		if (!take_address(&line, &address) ||
		    !equal(&address, &seen->sender) ||
		    !equals_text(&line, ">)"))
			return SCAN_BAD;
	}

	if ((r = take_line(s, "\tid ", &line)) != SCAN_OK)
		return r;
	if (!take_queue_id(&line, &seen->queue_id))
		return SCAN_BAD;
	if (seen->nrcpt == 1) {
		if (line.len != 0)
			return SCAN_BAD;
		if ((r = take_line(s, "\tfor ", &line)) != SCAN_OK)
			return r;
		if (!take_address(&line, &address) ||
		    !equal(&address, &seen->rcpt))
			return SCAN_BAD;
	}

	/* From 4.95 on the date has a line of its own. */
	if (!take(&line, ";"))
		return SCAN_BAD;
	if (line.len == 0) {
		if ((r = take_line(s, "\t", &line)) != SCAN_OK)
			return r;
	} else if (!take(&line, " "))
		return SCAN_BAD;
	return take_full_date(&line) && line.len == 0 ? SCAN_OK : SCAN_BAD;
}

static enum scan
read_received(struct slice *s, struct seen *seen)
{
	struct slice line;
	enum scan r;

	if ((r = take_line(s, "Received: ", &line)) != SCAN_OK)
		return r;
	if (take(&line, "from "))
		r = read_from(s, &line, seen);
	else if (next_is(&line, '('))
		r = read_local_helo(line, seen) ? take_line(s, "\t", &line) :
		    SCAN_BAD;
	if (r != SCAN_OK)
		return r;
	if ((r = read_by(s, &line, seen)) != SCAN_OK)
		return r;
	return read_trailer(s, seen);
}

/* ---- from what was seen to the envelope ---- */

/* The protocol's name as it is without the marks that Exim puts before it. */
static struct slice
plain_protocol(struct slice s)
{
	/* Up to 4.91 each SMTPUTF8 mail of a connection adds one. */
	while (take(&s, "utf8"))
		continue;
	(void)take(&s, "local-");
	return s;
}

static bool
is_authenticated(const struct seen *seen)
{
	struct slice s = plain_protocol(seen->protocol);

	return equals_text(&s, "esmtpa") || equals_text(&s, "esmtpsa") ||
	    equals_text(&s, "essmtpa");
}

static int
set_slice(char **field, const struct slice *s)
{
	return s->len == 0 ? 0 : envelope_set(field, s->p, s->len);
}

/*
 * Exim leaves the HELO out if it is the verified name or the address in
 * brackets.  Only EHLO tells that there was one at all.
 */
static int
set_helo(struct envelope *e, const struct seen *seen)
{
	char literal[INET6_ADDRSTRLEN + sizeof("[IPv6:]")] = "[";
	struct slice s = plain_protocol(seen->protocol);

	if (seen->helo_shown)
		return set_slice(&e->helo, &seen->helo);
	if (e->ip == NULL || !(take(&s, "esmtp") || take(&s, "essmtp")))
		return 0;
	if (seen->hostname.len > 0)
		return set_slice(&e->helo, &seen->hostname);
	if (seen->ipv6)
		strcat(literal, "IPv6:");
	strcat(literal, e->ip);
	strcat(literal, "]");
	return envelope_set(&e->helo, literal, strlen(literal));
}

static int
set_addresses(struct envelope *e, const struct seen *seen)
{
	struct slice list = seen->rcpts, address;

	if (envelope_set(&e->sender, seen->sender.p, seen->sender.len) != 0)
		return -1;
	do {
		if (!take_address(&list, &address) ||
		    envelope_add_rcpt(e, address.p, address.len) != 0)
			return -1;
	} while (take(&list, ", "));
	return 0;
}

static int
set_client(struct envelope *e, const struct seen *seen)
{
	e->authenticated = is_authenticated(seen);
	if (set_slice(&e->ip, &seen->ip) != 0 ||
	    set_slice(&e->hostname, &seen->hostname) != 0 ||
	    set_slice(&e->queue_id, &seen->queue_id) != 0)
		return -1;
	return set_helo(e, seen);
}

enum envelope_result
envelope_parse(const char *buf, size_t len, bool eom, struct envelope *e,
    size_t *skip)
{
	struct slice s = { buf, len };
	struct seen seen = { .nrcpt = 0 };
	enum scan r;

	*skip = 0;
	if (s.len >= ENVELOPE_MAX) {
		s.len = ENVELOPE_MAX;
		eom = true;
	}
	if (s.len == 0)
		return eom ? ENVELOPE_NONE : ENVELOPE_MORE;

	r = read_addresses(&s, &seen);
	if (r != SCAN_OK)
		return r == SCAN_MORE && !eom ? ENVELOPE_MORE : ENVELOPE_NONE;
	len = (size_t)(s.p - buf);
	r = read_received(&s, &seen);
	if (r == SCAN_MORE && !eom)
		return ENVELOPE_MORE;

	if (set_addresses(e, &seen) != 0 ||
	    (r == SCAN_OK && set_client(e, &seen) != 0)) {
		reset(e);
		return ENVELOPE_NONE;
	}
	*skip = len;
	return r == SCAN_OK ? ENVELOPE_FULL : ENVELOPE_ADDRESSES;
}

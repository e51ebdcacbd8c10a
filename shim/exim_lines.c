/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * exim_lines: the lines that Exim itself writes above a mail.
 *
 * The grammar is what Exim 4.70 to 4.99 can write, and no more;
 * doc/envelope.md has the forms.  Two facts make it safe although much of
 * the text comes from the client:
 *
 *  - no text of a SMTP client can hold a line feed, so what a client wrote
 *    never reaches beyond its line, and each line is read from its start;
 *  - what is free text in a line (HELO, ident) comes after all that matters
 *    there (host name, address), and addresses are read by their own
 *    grammar, quotes and all.
 *
 * Other control bytes are let through by Exim in places (a bare carriage
 * return in a quoted local part).  They are not refused here: a client could
 * then hide its address by writing one.  They become '?' in the envelope.
 */
#include "config.h"

#include <stdbool.h>
#include <string.h>

#include "address.h"
#include "date.h"
#include "exim_client.h"
#include "exim_lines.h"
#include "slice.h"

/* A protocol, version or cipher: names that the program or its owner chose. */
static bool
is_name(unsigned char c)
{
	return slice_is_alnum(c) || slice_is_one_of(c, "._+:/-");
}

static bool
is_not_space(unsigned char c)
{
	return c != ' ';
}

/* Takes PREFIX and the line after it, without its line feed, as *LINE. */
static enum exim_lines_result
take_line(struct slice *s, const char *prefix, struct slice *line)
{
	size_t n = strlen(prefix);
	const char *lf;

	if (memcmp(s->p, prefix, s->len < n ? s->len : n) != 0)
		return EXIM_LINES_BAD;
	if (s->len < n ||
	    (lf = memchr(s->p + n, '\n', s->len - n)) == NULL)
		return EXIM_LINES_MORE;
	line->p = s->p + n;
	line->len = (size_t)(lf - line->p);
	slice_advance(s, n + line->len + 1);
	return EXIM_LINES_OK;
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
	static const size_t end = sizeof(" Mon Nov 23 05:52:33 2026") - 1;

	if (line.len <= end)
		return false;
	slice_advance(&line, line.len - end);
	return slice_take(&line, " ") && date_take_mbox(&line) && line.len == 0;
}

/* "a@x, b@y": counts them, and keeps the list to be read again. */
static bool
read_rcpts(struct slice line, struct exim_lines *seen)
{
	struct slice address;

	seen->rcpts = line;
	do {
		if (!address_take(&line, &address))
			return false;
		if (seen->nrcpt++ == 0)
			seen->rcpt = address;
	} while (slice_take(&line, ", "));
	return line.len == 0;
}

enum exim_lines_result
exim_lines_addresses(struct slice *s, struct exim_lines *seen)
{
	struct slice line;
	enum exim_lines_result r;

	if ((r = take_line(s, "From ", &line)) != EXIM_LINES_OK)
		return r;
	if (!read_from_line(line))
		return EXIM_LINES_BAD;

	/* A null sender has no line. */
	if ((r = take_line(s, "X-Envelope-From: <", &line)) == EXIM_LINES_MORE)
		return r;
	if (r == EXIM_LINES_OK && !(address_take(&line, &seen->sender) &&
	    slice_equals_text(&line, ">")))
		return EXIM_LINES_BAD;

	if ((r = take_line(s, "X-Envelope-To: ", &line)) != EXIM_LINES_OK)
		return r;
	return read_rcpts(line, seen) ? EXIM_LINES_OK : EXIM_LINES_BAD;
}

bool
exim_lines_next_rcpt(struct slice *rcpts, struct slice *rcpt)
{
	(void)slice_take(rcpts, ", ");
	return address_take(rcpts, rcpt);
}

/* ---- Received ---- */

/*
 * What follows "from ": a client's address, its verified name, or a local
 * user.  Leaves in *LINE the text from "by " on: of the same line for a user
 * without HELO, else of the next.
 */
static enum exim_lines_result
read_from(struct slice *s, struct slice *line, struct exim_lines *seen)
{
	struct slice name = *line, word;
	enum exim_lines_result r;

	if (slice_next_is(line, '[')) {
		if (!exim_client_unnamed(*line, &seen->client))
			return EXIM_LINES_BAD;
		return take_line(s, "\t", line);
	}

	if (slice_next_is(line, '"') ? !slice_take_quoted(line) :
	    !slice_take_word(line, is_not_space, &word))
		return EXIM_LINES_BAD;
	name.len = (size_t)(line->p - name.p);

	if (line->len == 0) {
		if (!exim_client_is_host(name))
			return EXIM_LINES_BAD;
		if ((r = take_line(s, "\t", line)) != EXIM_LINES_OK)
			return r;
		if (!exim_client_named(*line, true, &seen->client))
			return EXIM_LINES_BAD;
		seen->client.hostname = name;
		return take_line(s, "\t", line);
	}
	if (!slice_take(line, " "))
		return EXIM_LINES_BAD;
	if (line->len > 1 && memcmp(line->p, "([", 2) == 0) {
		if (!exim_client_is_host(name) ||
		    !exim_client_named(*line, false, &seen->client))
			return EXIM_LINES_BAD;
		seen->client.hostname = name;
		return take_line(s, "\t", line);
	}
	if (!exim_client_is_user(name))
		return EXIM_LINES_BAD;
	if (!slice_next_is(line, '('))
		return EXIM_LINES_OK;
	if (!exim_client_local_helo(*line, &seen->client))
		return EXIM_LINES_BAD;
	return take_line(s, "\t", line);
}

/*
 * "by HOST with PROTOCOL TLS(Exim VERSION)", where TLS is empty or, to 4.92,
 * "(CIPHER)" or, from 4.93 on, " (VERSION) tls CIPHER" of which one may be
 * missing.  A line ends after the cipher.
 */
static enum exim_lines_result
read_by(struct slice *s, struct slice *line, struct exim_lines *seen)
{
	struct slice word, ahead;
	bool folded = false;
	enum exim_lines_result r;

	if (!slice_take(line, "by ") || !exim_client_take_host(line, &seen->by) ||
	    !slice_take(line, " "))
		return EXIM_LINES_BAD;
	if (slice_take(line, "with ")) {
		if (!slice_take_word(line, is_name, &seen->protocol) ||
		    !slice_take(line, " "))
			return EXIM_LINES_BAD;
	} else
		(void)slice_take(line, " ");

	ahead = *line;
	if (slice_take(line, " (") &&
	    !(slice_take_word(line, is_name, &word) && slice_take(line, ")")))
		return EXIM_LINES_BAD;
	if (slice_take(line, " tls ")) {
		if (!slice_take_word(line, is_name, &word))
			return EXIM_LINES_BAD;
		folded = true;
	} else if (slice_next_is(&ahead, '(') &&
	    !slice_take(&ahead, "(Exim ")) {
		if (!slice_take(line, "(") ||
		    !slice_take_word(line, is_name, &word) ||
		    !slice_take(line, ")"))
			return EXIM_LINES_BAD;
		folded = true;
	}
	if (folded) {
		if (line->len != 0)
			return EXIM_LINES_BAD;
		if ((r = take_line(s, "\t", line)) != EXIM_LINES_OK)
			return r;
	}
	if (!slice_take(line, "(Exim ") ||
	    !slice_take_word(line, is_name, &word) ||
	    !slice_take(line, ")") || line->len != 0)
		return EXIM_LINES_BAD;
	return EXIM_LINES_OK;
}

static bool
take_base62(struct slice *s, size_t n)
{
	struct slice word;

	return slice_take_word(s, slice_is_alnum, &word) && word.len == n;
}

/* Takes 1xVA4m-0004UG-OO, or from 4.97 on 1xVA4m-00000004UGx-1OOx. */
static bool
take_queue_id(struct slice *s, struct slice *id)
{
	struct slice old = *s;

	*id = *s;
	if (take_base62(&old, 6) && slice_take(&old, "-") &&
	    take_base62(&old, 6) && slice_take(&old, "-") &&
	    take_base62(&old, 2))
		*s = old;
	else if (!take_base62(s, 6) || !slice_take(s, "-") ||
	    !take_base62(s, 11) || !slice_take(s, "-") || !take_base62(s, 4))
		return false;
	id->len = (size_t)(s->p - id->p);
	return true;
}

/* All after "(Exim VERSION)".  The addresses are those of X-Envelope-*. */
static enum exim_lines_result
read_trailer(struct slice *s, struct exim_lines *seen)
{
	struct slice line, address;
	enum exim_lines_result r;

	if (seen->sender.len > 0) {
		r = take_line(s, "\t(envelope-from <", &line);
		if (r != EXIM_LINES_OK)
			return r;
		if (!address_take(&line, &address) ||
		    !slice_equal(&address, &seen->sender) ||
		    !slice_equals_text(&line, ">)"))
			return EXIM_LINES_BAD;
	}

	if ((r = take_line(s, "\tid ", &line)) != EXIM_LINES_OK)
		return r;
	if (!take_queue_id(&line, &seen->queue_id))
		return EXIM_LINES_BAD;
	if (seen->nrcpt == 1) {
		if (line.len != 0)
			return EXIM_LINES_BAD;
		if ((r = take_line(s, "\tfor ", &line)) != EXIM_LINES_OK)
			return r;
		if (!address_take(&line, &address) ||
		    !slice_equal(&address, &seen->rcpt))
			return EXIM_LINES_BAD;
	}

	/* From 4.95 on the date has a line of its own. */
	if (!slice_take(&line, ";"))
		return EXIM_LINES_BAD;
	if (line.len == 0) {
		if ((r = take_line(s, "\t", &line)) != EXIM_LINES_OK)
			return r;
	} else if (!slice_take(&line, " "))
		return EXIM_LINES_BAD;
	if (!date_take_full(&line) || line.len != 0)
		return EXIM_LINES_BAD;
	return EXIM_LINES_OK;
}

enum exim_lines_result
exim_lines_received(struct slice *s, struct exim_lines *seen)
{
	struct slice line;
	enum exim_lines_result r;

	if ((r = take_line(s, "Received: ", &line)) != EXIM_LINES_OK)
		return r;
	if (slice_take(&line, "from "))
		r = read_from(s, &line, seen);
	else if (slice_next_is(&line, '('))
		r = exim_client_local_helo(line, &seen->client) ?
		    take_line(s, "\t", &line) : EXIM_LINES_BAD;
	if (r != EXIM_LINES_OK)
		return r;
	if ((r = read_by(s, &line, seen)) != EXIM_LINES_OK)
		return r;
	return read_trailer(s, seen);
}

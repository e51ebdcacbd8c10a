/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * envelope: what is known of the SMTP transaction that a message came by.
 *
 * It is filled from one of two sources: the headers of a RSPAMC request
 * (by spamd_request), or the lines that Exim itself writes at byte 0 of what
 * it hands to a spamd client (by envelope_parse()).  No other text of a
 * message is ever looked at: its author writes it.
 */
#ifndef ENVELOPE_H_
#define ENVELOPE_H_

#include <stdbool.h>
#include <stddef.h>

/* Exim's own lines are looked for in this many bytes at most: the recipients
   are the client's choice, and must not hide its address by their number. */
#define ENVELOPE_MAX	1048576

/*
 * All strings are NUL-terminated, free of control bytes, without the angle
 * brackets of addresses, and owned by the envelope; NULL means not known.
 * Bytes above 0x7f may occur (SMTPUTF8).
 */
struct envelope {
	char	 *sender;	/* "" is the null sender */
	char	**rcpt;		/* NULL after envelope_drop_rcpts() */
	size_t	  nrcpt;
	char	 *ip;		/* client's address, inet_pton() takes it */
	char	 *helo;		/* as said; what Exim left out, filled in */
	char	 *hostname;	/* verified name of the client */
	char	 *queue_id;
	char	 *user;		/* the SMTP-authenticated name */
	char	 *mta_name;	/* of the mail server itself, by Exim's Received: */
	bool	  authenticated;	/* the client was, perhaps as nobody knows whom */
};

enum envelope_result {
	ENVELOPE_NONE,		/* not Exim's lines: nothing is known */
	ENVELOPE_ADDRESSES,	/* sender and recipients only */
	ENVELOPE_FULL,		/* these, and all that Exim's Received: says */
	ENVELOPE_MORE		/* undecided: call again with more bytes */
};

/* A new empty envelope, or NULL without memory. */
struct envelope *envelope_new(void);

/* Frees E and all it owns; NULL is allowed. */
void	envelope_free(struct envelope *e);

/*
 * Appends a copy of LEN bytes at ADDR to the recipients.  Bytes that are
 * control characters become '?'.  Returns 0, or -1 without memory.
 */
int	envelope_add_rcpt(struct envelope *e, const char *addr, size_t len);

/* Frees the recipients, which are still counted: NRCPT stays. */
void	envelope_drop_rcpts(struct envelope *e);

/*
 * Replaces the string at *FIELD, one of E's, by a cleaned copy of LEN bytes
 * at VALUE.  Returns 0, or -1 without memory (the old value stays).
 */
int	envelope_set(char **field, const char *value, size_t len);

/*
 * Exim 4.100 puts a local part that is no plain atom in quotes, once more if
 * it has some, when it writes a RSPAMC request: <"\"a b\""@x> is "a b"@x.  Each
 * address of E with such quotes becomes that of LINES, which Exim's own lines
 * above the message tell.  E's recipients are those of LINES in their order, of
 * which some may be missing; behind one that is none of them all stay.
 * Returns 0, or -1 without memory.
 */
int	envelope_unquote(struct envelope *e, const struct envelope *lines);

/*
 * Makes E forget all that Exim's Received: tells: the client's address, HELO
 * and name, the queue id, the server's name, and that it was authenticated.
 */
void	envelope_forget_client(struct envelope *e);

/*
 * Reads Exim's own lines from the LEN bytes at BUF, the start of a message;
 * EOM says that no more bytes follow.  On ENVELOPE_ADDRESSES and
 * ENVELOPE_FULL fills E (which must be empty) and sets *SKIP to the length
 * of the lines that are not part of the mail (From_ and X-Envelope-*; Exim's
 * Received: is part of it).  Otherwise E stays empty and *SKIP is 0.
 * Never answers ENVELOPE_MORE when EOM is true or LEN >= ENVELOPE_MAX.
 * Without memory the answer is ENVELOPE_NONE.
 */
enum envelope_result envelope_parse(const char *buf, size_t len, bool eom,
	    struct envelope *e, size_t *skip);

#endif

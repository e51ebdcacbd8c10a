/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * spamd_request: the head of a request as spamd's clients send it (SPAMC),
 * or as Exim's variant=rspamd does (RSPAMC).
 *
 * A push parser: it is fed the client's bytes as they come, and any split of
 * them gives the same result.  The body is not its business; it says how
 * long the body is.
 */
#ifndef SPAMD_REQUEST_H_
#define SPAMD_REQUEST_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "envelope.h"
#include "rspamd_request.h"

/* Limits of a head: bytes of a line and of all, and headers (spamd's own). */
#define SPAMD_REQUEST_LINE_MAX		8192
#define SPAMD_REQUEST_HEAD_MAX		(4 * 1024 * 1024)
#define SPAMD_REQUEST_HEADERS_MAX	255	/* SPAMC; RSPAMC is bounded by bytes */
/* rspamd reads no more recipients, none longer and no longer head; those
   beyond are counted, not kept */
#define SPAMD_REQUEST_RCPT_MAX		RSPAMD_REQUEST_RCPT_MAX

enum spamd_dialect {
	SPAMD_DIALECT_UNKNOWN,	/* the first line has not been understood */
	SPAMD_SPAMC,
	SPAMD_RSPAMC
};

enum spamd_command {
	SPAMD_NONE,
	SPAMD_CHECK,
	SPAMD_SYMBOLS,
	SPAMD_REPORT,
	SPAMD_REPORT_IFSPAM,
	SPAMD_PROCESS,
	SPAMD_HEADERS,
	SPAMD_TELL,
	SPAMD_PING,
	SPAMD_SKIP
};

/* TELL's Message-class:. */
enum spamd_class {
	SPAMD_CLASS_NONE,
	SPAMD_CLASS_SPAM,
	SPAMD_CLASS_HAM
};

/* TELL's Set: and Remove: the local databases, and those shared by many. */
#define SPAMD_LOCAL	1U
#define SPAMD_REMOTE	2U

enum spamd_progress {
	SPAMD_MORE,		/* the head goes on */
	SPAMD_HEAD_DONE,	/* what follows is the body, if there is one */
	SPAMD_BAD		/* see spamd_request_error() */
};

struct spamd_request {
	enum spamd_dialect dialect;
	enum spamd_command command;
	int		 version;	/* 105 is 1.5: major * 100 + minor */
	bool		 has_length;
	uint64_t	 length;	/* Content-length in bytes */
	char		*user;		/* SPAMC's User:, cleaned; NULL if none */
	char		*deliver_to;	/* RSPAMC's Deliver-To:, likewise */
	struct envelope	*envelope;	/* what RSPAMC's headers say */
	size_t		 rcpt_seen;	/* Rcpt: headers, kept or not */
	/* Compress: was given; the body is not the message (lower case) */
	char		*compress;
	/* TELL: what the message is, and what is to be done about it */
	enum spamd_class message_class;
	unsigned int	 set, remove;	/* of SPAMD_LOCAL, SPAMD_REMOTE */
	struct spamd_parser *parser;	/* private */
};

/* A new request, owned by the caller, or NULL without memory. */
struct spamd_request *spamd_request_new(void);

/* Frees R; NULL is allowed. */
void	spamd_request_free(struct spamd_request *r);

/*
 * Takes the LEN bytes at BUF that follow those already given; EOM says that
 * the client has half-closed and nothing follows.  *USED is set to the
 * number of bytes that belong to the head.  After SPAMD_HEAD_DONE or
 * SPAMD_BAD it is not to be called again.
 */
enum spamd_progress spamd_request_feed(struct spamd_request *r,
	    const char *buf, size_t len, bool eom, size_t *used);

/* Why the head was refused: a short English text; NULL if it was not. */
const char *spamd_request_error(const struct spamd_request *r);

/* Bytes of memory that R takes, about: more than its strings have. */
size_t	spamd_request_kept(const struct spamd_request *r);

/* The recipients are not needed any longer, only their number is; nor is what
   was to follow. */
void	spamd_request_drop(struct spamd_request *r);

/* Does the command come with a message?  (PING and SKIP do not.) */
bool	spamd_request_has_message(const struct spamd_request *r);

/* The command's name as on the wire; "-" for SPAMD_NONE. */
const char *spamd_command_name(enum spamd_command c);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rspamd_request: the HTTP head of a check, from a whitelist of headers.
 *
 * Everything that a client or a mail can influence comes in as a field of
 * struct rspamd_request; no header's name ever does.  (Some of rspamd's
 * headers make it read local files or change its settings.)
 */
#ifndef RSPAMD_REQUEST_H_
#define RSPAMD_REQUEST_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "envelope.h"
#include "text.h"

/* rspamd 3.4 reads heads of up to 80 KiB and 1024 recipients. */
#define RSPAMD_REQUEST_HEAD_MAX		(80 * 1024)
#define RSPAMD_REQUEST_RCPT_MAX		1024
/* A value longer than this is left out: no address or name is so long. */
#define RSPAMD_REQUEST_VALUE_MAX	1024

struct rspamd_request {
	const char		*host;		/* of the Host: header */
	uint64_t		 length;	/* of the message, in bytes */
	const struct envelope	*envelope;	/* NULL: nothing is known */
	bool			 keep;		/* the connection is to stay open */
	const char		*user;		/* instead of the envelope's */
	const char		*deliver_to;
	const char		*settings_id;	/* which of rspamd's settings */
	const char		*mta_name;	/* what Authentication-Results is of */
};

/* What did not fit; for the log. */
struct rspamd_request_left {
	size_t	rcpt;
	size_t	values;		/* other fields: too long */
};

/*
 * Writes the head, through its empty line, to OUT and what it left out to
 * LEFT.  Returns 0, or -1 where OUT failed.
 */
int	rspamd_request_head(struct text *out, const struct rspamd_request *rq,
	    struct rspamd_request_left *left);

/*
 * Writes the request for a sign of life from HOST to OUT, which every worker
 * of rspamd gives.  Returns 0, or -1 where OUT failed.
 */
int	rspamd_ping_head(struct text *out, const char *host);

/* What a controller can be asked to do with a message. */
enum rspamd_learn {
	RSPAMD_LEARN_SPAM,
	RSPAMD_LEARN_HAM,
	RSPAMD_FUZZY_ADD,
	RSPAMD_FUZZY_DEL
};

struct rspamd_learn_request {
	enum rspamd_learn	 what;
	const char		*host;		/* of the Host: header */
	uint64_t		 length;	/* of the message, in bytes */
	const char		*password;	/* NULL: none */
	const char		*deliver_to;	/* NULL: nobody's own learning */
	int			 flag;		/* of the fuzzy storage */
	int			 weight;	/* likewise; rspamd takes one
						   with a fraction for 1 */
};

/*
 * Writes the head of a learning request, through its empty line, to OUT.
 * Returns 0, or -1 where OUT failed.
 */
int	rspamd_learn_head(struct text *out,
	    const struct rspamd_learn_request *rq);

/* The action's name, as in the path: "learnspam". */
const char *rspamd_learn_name(enum rspamd_learn what);

#endif

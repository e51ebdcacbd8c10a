/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * verdict: what rspamd's JSON reply to /checkv2 says, checked and capped.
 *
 * verdict.c is the only file that knows the JSON library.  Strings are as
 * rspamd sent them (the mail's author wrote parts of some): they are NUL-
 * terminated but may hold control characters and bytes that are not UTF-8.
 * Only subjects are mended: rspamd's encoded words (encoded_word.h).
 */
#ifndef VERDICT_H_
#define VERDICT_H_

#include <stdbool.h>
#include <stddef.h>

/* More of a kind than this are counted, not kept. */
#define VERDICT_SYMBOLS_MAX	4096
#define VERDICT_OPTIONS_MAX	64	/* of one symbol */
#define VERDICT_MESSAGES_MAX	16
#define VERDICT_MILTER_MAX	256
#define VERDICT_THRESHOLDS_MAX	64

struct verdict_symbol {
	const char	 *name;
	const char	 *description;	/* NULL if there is none */
	double		  score;	/* finite */
	const char	**options;
	size_t		  noptions;	/* kept */
	size_t		  options_seen;
};

struct verdict_milter {
	const char	*name;
	const char	*value;		/* NULL: the header is to be removed */
	int		 index;		/* add: insert there if > 0;
					   remove: that one only if != 0 */
};

struct verdict_threshold {
	const char	*action;
	double		 score;		/* finite */
};

/* Owned by the caller of verdict_parse(); its strings belong to it. */
struct verdict {
	const char	*action;	/* never empty */
	double		 score;		/* finite */
	double		 required;	/* required_score; NAN if null */
	double		 time_real;	/* seconds; NAN if not given */
	bool		 skipped;	/* is_skipped */
	const char	*subject;	/* NULL if there is none */
	const char	*message_id;	/* likewise */
	const char	*reject;	/* likewise: what milters are to do in place
					   of the action: "discard", "quarantine" */

	const char	**messages;	/* smtp_message is the first */
	size_t		 nmessages;
	size_t		 messages_seen;

	struct verdict_symbol *symbols;	/* the weightiest first, then by name */
	size_t		 nsymbols;
	size_t		 symbols_seen;

	struct verdict_milter *milter;	/* signatures, then in rspamd's order,
					   adds first; those whose name is one
					   of a header */
	size_t		 nmilter;
	size_t		 milter_seen;

	struct verdict_threshold *thresholds;	/* rspamd 3.5 and later */
	size_t		 nthresholds;

	void		*doc;		/* private */
	void		*memory;	/* likewise */
};

/*
 * Reads the LEN bytes of JSON at BUF, of which BUF[LEN] is a NUL.  Returns
 * a verdict, or NULL if it is none: then WHY, of SIZE bytes, says in words
 * what is wrong with it or what error rspamd reports.
 */
struct verdict *verdict_parse(const char *buf, size_t len, char *why,
	    size_t size);

/*
 * All that rspamd said, symbols and their options included, as compact JSON;
 * its bytes need not be UTF-8.  To be freed; NULL without memory.
 */
char	*verdict_json(const struct verdict *v);

/* Frees V; NULL is allowed. */
void	verdict_free(struct verdict *v);

/*
 * If the LEN bytes at BUF are a JSON object with an "error", puts its text,
 * cleaned, into WHY of SIZE bytes and returns true.
 */
bool	verdict_error(const char *buf, size_t len, char *why, size_t size);

/* Are the LEN bytes at BUF a controller's word that it has done something? */
bool	verdict_success(const char *buf, size_t len);

#endif

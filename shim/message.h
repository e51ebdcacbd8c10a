/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * message: the body of a request, kept once, as it comes from the client.
 *
 * A message far above the size limit is read to its end (its client writes
 * all of it before it reads) but not kept.
 */
#ifndef MESSAGE_H_
#define MESSAGE_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "envelope.h"
#include "spamd_request.h"

struct evbuffer;
struct message;

enum message_progress {
	MESSAGE_MORE,
	MESSAGE_WHOLE,		/* all of it has come */
	MESSAGE_BAD		/* see message_error() */
};

/* A new message of at most MAX bytes; NULL without memory. */
struct message *message_new(uint64_t max);

/* Frees M; NULL is allowed. */
void	message_free(struct message *m);

/*
 * Says what the head of the request, R, tells of the message.  Returns 0, or
 * -1 where it cannot be read (message_error()).
 */
int	message_expect(struct message *m, const struct spamd_request *r);

/*
 * Takes what belongs to the message from IN, MOST bytes of it at most.  EOM:
 * the client has half-closed, nothing follows IN.  Not to be called after
 * MESSAGE_WHOLE.
 */
enum message_progress message_take(struct message *m, struct evbuffer *in,
	    size_t most, bool eom);

/*
 * After MESSAGE_WHOLE: takes away all of IN, which came behind the message.
 * Returns false, with message_error(), if that and what came before it is more
 * than the one line end, LF or CRLF, that some clients send: then the client
 * has counted wrong, and the message is not all of its mail.  LAST: this is
 * looked at for the last time, a CR alone is no line end.  A compressed message
 * has an end of its own, and one without a length has nothing behind it.
 */
bool	message_ends(struct message *m, struct evbuffer *in, bool last);

/* Why it was refused; a static or owned text. */
const char *message_error(const struct message *m);

/*
 * Looks for Exim's own lines at the start of a whole message.  Those that
 * are not part of the mail are moved from the message to its prefix, and E,
 * which must be empty, is filled.  Without memory: ENVELOPE_NONE.
 */
enum envelope_result message_envelope(struct message *m, struct envelope *e);

/* Is the message, without its prefix, above the limit? */
bool	message_too_large(const struct message *m);

/* Bytes on the wire so far; bytes of the mail, 0 for one that is not kept. */
uint64_t message_received(const struct message *m);
uint64_t message_size(const struct message *m);

/*
 * Bytes on the wire that are still to come, UINT64_MAX where that is not
 * known; bytes of memory that it takes; is it so large that it takes none?
 */
uint64_t message_room(const struct message *m);
uint64_t message_kept(const struct message *m);
bool	message_discards(const struct message *m);

/* The bytes of the message are not needed any longer. */
void	message_drop(struct message *m);

/* The mail, and what Exim put before it; owned by M. */
struct evbuffer *message_body(const struct message *m);
struct evbuffer *message_prefix(const struct message *m);

#endif

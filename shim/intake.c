/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <stdlib.h>

#include <event2/buffer.h>

#include "intake.h"
#include "stream.h"

/* So much of a request is read before memory is asked for; then the message
   in steps, each of which one read can fill. */
#define READ_AHEAD	(16384 - 64)
#define STEP		(131072 - 64)
/* A compressed message is inflated in pieces of so many bytes, of each of
   which zlib makes no more than so many. */
#define PIECE		256
#define PIECE_INFLATED	(PIECE * 1032)

struct intake {
	struct stream	*stream;
	struct budget	*budget;
	intake_cb	*cb;
	void		*arg;
	uint64_t	 max;
	struct spamd_request *request;
	struct message	*message;
	const char	*error;
	bool		 begun;
	bool		 in_message;
	struct budget_holder memory;	/* what head and message take */
	size_t		 asked;		/* to be read when that is granted */
};

static void on_memory(void *);

struct intake *
intake_new(struct stream *s, struct budget *b, uint64_t max, intake_cb *cb,
    void *arg)
{
	struct intake *i;

	if ((i = calloc(1, sizeof(*i))) == NULL)
		return NULL;
	i->stream = s;
	i->budget = b;
	i->max = max;
	i->cb = cb;
	i->arg = arg;
	i->memory.cb = on_memory;
	i->memory.arg = i;
	i->request = spamd_request_new();
	i->message = message_new(max);
	if (i->request == NULL || i->message == NULL) {
		intake_free(i);
		return NULL;
	}
	stream_allow(s, READ_AHEAD);
	return i;
}

void
intake_free(struct intake *i)
{
	if (i == NULL)
		return;
	budget_release(i->budget, &i->memory);
	message_free(i->message);
	spamd_request_free(i->request);
	free(i);
}

/* Bytes that the request takes: its head and, as far as there is one, its
   message. */
static uint64_t
kept(const struct intake *i)
{
	return spamd_request_kept(i->request) + message_kept(i->message);
}

/*
 * Lets the client send more of its head, once there is memory for it: of a
 * long one not all is kept.
 */
static void
read_more_head(struct intake *i)
{
	uint64_t n = spamd_request_kept(i->request) + READ_AHEAD;

	if (stream_allowance(i->stream) > 0)
		return;
	i->asked = READ_AHEAD;
	if (n <= i->memory.held ||
	    budget_ask(i->budget, &i->memory, n - i->memory.held))
		stream_allow(i->stream, i->asked);
}

/* Gives what has come to the parser of the head. */
static enum intake_progress
take_head(struct intake *i, bool eom)
{
	struct evbuffer *in = stream_input(i->stream);
	enum spamd_progress pr = SPAMD_MORE;
	struct evbuffer_iovec v;
	size_t used;

	/* the length is asked too: a peek finds the space that is reserved */
	while (pr == SPAMD_MORE && evbuffer_get_length(in) > 0 &&
	    evbuffer_peek(in, -1, NULL, &v, 1) > 0) {
		i->begun = true;
		pr = spamd_request_feed(i->request, v.iov_base, v.iov_len,
		    false, &used);
		(void)evbuffer_drain(in, used);
	}
	if (pr == SPAMD_MORE && eom && i->begun)
		pr = spamd_request_feed(i->request, "", 0, true, &used);
	if (pr == SPAMD_BAD) {
		i->error = spamd_request_error(i->request);
		return INTAKE_BAD;
	}
	if (pr == SPAMD_HEAD_DONE)
		return INTAKE_HEAD;
	if (eom)
		return INTAKE_CUT;
	read_more_head(i);
	return INTAKE_MORE;
}

/* What was read without asking counts, too. */
static void
charge(struct intake *i)
{
	uint64_t n = kept(i);

	if (n > i->memory.held)
		budget_charge(i->budget, &i->memory, n - i->memory.held);
}

/*
 * How much of the message is to be read next: not more than has come already,
 * or who announces a lot and sends nothing would take the memory of others.
 */
static size_t
next_step(const struct intake *i)
{
	uint64_t room = message_room(i->message);
	uint64_t kept = message_kept(i->message), n = STEP;

	if (kept < READ_AHEAD)
		kept = READ_AHEAD;
	if (n > kept)
		n = kept;
	return (size_t)(n < room ? n : room);
}

/*
 * Lets the client send more of its message, once there is memory for it;
 * until then what it writes stays with the kernel.
 */
static void
read_more(struct intake *i)
{
	if (stream_allowance(i->stream) > 0 || intake_waits(i))
		return;
	if (message_discards(i->message)) {
		budget_keep(i->budget, &i->memory, kept(i));
		stream_allow(i->stream, SIZE_MAX);
		return;
	}
	i->asked = next_step(i);
	if (budget_ask(i->budget, &i->memory, i->asked))
		stream_allow(i->stream, i->asked);
}

static enum intake_progress
take_plain(struct intake *i, bool eom)
{
	enum message_progress pr = message_take(i->message,
	    stream_input(i->stream), SIZE_MAX, eom);

	if (pr == MESSAGE_BAD)
		return INTAKE_BAD;
	charge(i);
	if (pr == MESSAGE_WHOLE)
		return INTAKE_WHOLE;
	read_more(i);
	return INTAKE_MORE;
}

/* Is there memory for what may become of the next piece?  Or it waits. */
static bool
inflatable(struct intake *i)
{
	uint64_t n = kept(i) + PIECE_INFLATED;

	return message_discards(i->message) || n <= i->memory.held ||
	    budget_ask(i->budget, &i->memory, n - i->memory.held);
}

/* Of a compressed message nobody knows what it comes to: piece by piece. */
static enum intake_progress
take_compressed(struct intake *i, bool eom)
{
	struct evbuffer *in = stream_input(i->stream);
	enum message_progress pr;

	do {
		if (!inflatable(i))
			return INTAKE_MORE;
		pr = message_take(i->message, in, PIECE, eom);
	} while (pr == MESSAGE_MORE && evbuffer_get_length(in) > 0);
	/* what did not come of it has no room until the next piece */
	budget_keep(i->budget, &i->memory, kept(i));
	if (pr == MESSAGE_BAD)
		return INTAKE_BAD;
	if (pr == MESSAGE_WHOLE)
		return INTAKE_WHOLE;
	if (stream_allowance(i->stream) == 0)
		stream_allow(i->stream, READ_AHEAD);
	return INTAKE_MORE;
}

static enum intake_progress
take_message(struct intake *i, bool eom)
{
	enum intake_progress pr = i->request->compress != NULL ?
	    take_compressed(i, eom) : take_plain(i, eom);

	if (pr == INTAKE_BAD)
		i->error = message_error(i->message);
	return pr;
}

enum intake_progress
intake_take(struct intake *i, bool eom)
{
	if (intake_waits(i))
		return INTAKE_MORE;
	return i->in_message ? take_message(i, eom) : take_head(i, eom);
}

enum intake_progress
intake_message(struct intake *i)
{
	if (message_expect(i->message, i->request) == -1) {
		i->error = message_error(i->message);
		return INTAKE_BAD;
	}
	i->in_message = true;
	return take_message(i, false);
}

/* There is memory now for what was asked for. */
static void
on_memory(void *arg)
{
	struct intake *i = arg;

	if (!i->in_message || i->request->compress == NULL)
		stream_allow(i->stream, i->asked);
	else
		/* of a compressed message something is here already */
		i->cb(take_message(i, stream_eof(i->stream)), i->arg);
}

const char *
intake_error(const struct intake *i)
{
	return i->error;
}

bool
intake_begun(const struct intake *i)
{
	return i->begun;
}

bool
intake_waits(const struct intake *i)
{
	return i->memory.wanted > 0;
}

void
intake_settle(struct intake *i)
{
	budget_keep(i->budget, &i->memory, kept(i));
	/* from now on it is the client's end that is read */
	stream_allow(i->stream, SIZE_MAX);
	stream_enough(i->stream);
}

void
intake_drop(struct intake *i)
{
	message_drop(i->message);
	spamd_request_drop(i->request);
	budget_release(i->budget, &i->memory);
	/* some of the head is needed for the log */
	charge(i);
	stream_allow(i->stream, SIZE_MAX);
}

struct spamd_request *
intake_request(struct intake *i)
{
	return i->request;
}

struct message *
intake_body(struct intake *i)
{
	return i->message;
}

/*
 * All that one client sends, head and message, through every module that
 * reads it, to the reply: any split of the bytes gives the same reply; of a
 * message that is given back, nothing is lost; and what rspamd would be told
 * is a well-formed head.
 *
 * What rspamd would have said, the bytes of the input choose.
 */
#include "config.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <event2/buffer.h>

#include "answer.h"
#include "message.h"
#include "rspamd_request.h"
#include "spamd_request.h"

/* Small, so that the fuzzer finds both of its sides. */
#define MESSAGE_LIMIT	400

int	LLVMFuzzerInitialize(int *argc, char ***argv);
int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *actions[] = { "reject", "rewrite subject", "add header" };
static const struct outcome_policy policy = { .spam_actions = actions,
	.nspam_actions = 3, .spam_threshold = NAN };

/* NULL: a message that passes unscanned */
static const char *const replies[] = {
	"{\"action\":\"no action\",\"score\":0.5,\"required_score\":15,"
	    "\"message-id\":\"m@x\"}",
	"{\"action\":\"reject\",\"score\":20,\"required_score\":15,"
	    "\"symbols\":{\"A\":{\"score\":20,\"description\":\"is bad\"}}}",
	"{\"action\":\"rewrite subject\",\"score\":8,\"required_score\":15,"
	    "\"subject\":\"[SPAM] much\",\"milter\":{\"add_headers\":{\"X-A\":"
	    "{\"value\":\"1\",\"order\":1},\"X-B\":\"2\"},"
	    "\"remove_headers\":{\"Received\":0,\"To\":-1}}}",
	NULL
};
#define NREPLIES	(sizeof(replies) / sizeof(replies[0]))
static struct verdict *verdicts[NREPLIES];

/* One client, from its first byte to its reply. */
struct client {
	struct evbuffer	*in;		/* what has come */
	struct evbuffer	*out;		/* the reply, or notes without one */
	struct spamd_request *request;
	struct message	*message;
	struct envelope	*exim;
	bool		 in_message, whole, over;
	size_t		 surplus;	/* bytes behind the message */
	char		 tail[2];	/* the first of them */
};

static void
require(bool truth)
{
	if (!truth)
		abort();
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char why[100];
	size_t i;

	(void)argc;
	(void)argv;
	for (i = 0; i < NREPLIES; i++)
		if (replies[i] != NULL)
			require((verdicts[i] = verdict_parse(replies[i],
			    strlen(replies[i]), why, sizeof(why))) != NULL);
	return 0;
}

/* A copy of all bytes of BUF, with a NUL behind them. */
static char *
all_of(struct evbuffer *buf, size_t *len)
{
	char *s;

	*len = evbuffer_get_length(buf);
	require((s = malloc(*len + 1)) != NULL);
	require(evbuffer_copyout(buf, s, *len) == (ev_ssize_t)*len);
	s[*len] = '\0';
	return s;
}

/* Are all of the N bytes at P among those at Q, in their order? */
static bool
contains_all(const char *p, size_t n, const char *q, size_t m)
{
	size_t i = 0, k;

	for (k = 0; i < n && k < m; k++)
		i += p[i] == q[k];
	return i == n;
}

/* May there be a name that begins with X-Spam?  What is no printing ASCII is no
   part of a name: removal.h. */
static bool
has_mark(const char *p, size_t len)
{
	static const char mark[] = "x-spam";
	size_t i, j, found;

	for (i = 0; i < len; i++) {
		for (j = i, found = 0; j < len && mark[found] != '\0'; j++) {
			if (p[j] < '!' || p[j] > '~')
				continue;
			if (tolower((unsigned char)p[j]) != mark[found])
				break;
			found++;
		}
		if (mark[found] == '\0')
			return true;
	}
	return false;
}

/* The reply to PROCESS, of LEN bytes at P: the message is WAS, and more. */
static void
check_processed(const char *p, size_t len, int version, const char *was,
    size_t n)
{
	const char *end = strstr(p, version < 102 ? "\r\n" : "\r\n\r\n");
	unsigned long length;

	require(strncmp(p, "SPAMD/1.", 8) == 0 && end != NULL);
	end += version < 102 ? 2 : 4;
	len -= (size_t)(end - p);
	if (version >= 102) {
		require(sscanf(p, "SPAMD/1.1 0 EX_OK\r\nContent-length: %lu\r\n",
		    &length) == 1);
		require(length == len);
	}
	require(contains_all(was, n, end, len));
}

static void
answer(struct client *c, const struct outcome *o, const struct verdict *v,
    size_t which)
{
	const struct answer a = { .request = c->request, .outcome = o,
	    .verdict = v, .message = c->message, .rewrite = { .headers =
	    which % 2 == 0 ? REWRITE_SPAMASSASSIN : REWRITE_RSPAMC,
	    .report = true, .scanner = "rspamd/4.1" } };

	require(answer_write(c->out, &a) == 0);
	require(evbuffer_get_length(c->out) > 0);
	c->over = true;
}

static void
fail(struct client *c, enum failure f, const char *why)
{
	struct outcome o;
	char *reply;
	size_t len;

	require(why != NULL && *why != '\0');
	outcome_failed(&o, f, why);
	answer(c, &o, NULL, 0);
	reply = all_of(c->out, &len);
	require(strlen(reply) == len && strcspn(reply, "\r\n") == len - 2);
	require(strncmp(reply + strcspn(reply, " "), " 0 ", 3) != 0);
	free(reply);
}

/* The reply to a message that is whole. */
static void
reply(struct client *c, size_t which)
{
	const struct verdict *v = verdicts[which % NREPLIES];
	struct outcome o;
	char *was, *is;
	size_t n, m, len;

	if (v != NULL)
		outcome_verdict(&o, v, &policy);
	else
		outcome_pass(&o, &policy, FAILURE_TIMEOUT, "slow");
	require(v == NULL || o.kind == OUTCOME_VERDICT);
	was = all_of(message_prefix(c->message), &n);
	is = all_of(message_body(c->message), &m);
	require((was = realloc(was, n + m + 1)) != NULL);
	memcpy(was + n, is, m + 1);
	free(is);
	answer(c, &o, v, which / NREPLIES);
	is = all_of(c->out, &len);
	/* what rspamd or a mark of another filter takes away, may be missing */
	if (c->request->command == SPAMD_PROCESS && which % NREPLIES != 2 &&
	    !has_mark(was, n + m))
		check_processed(is, len, c->request->version, was, n + m);
	free(is);
	free(was);
}

/* What rspamd is told of E: lines of text, one empty one, its end. */
static void
check_head(const struct client *c, const struct envelope *e)
{
	const struct rspamd_request rq = { .host = "h",
	    .length = message_size(c->message), .envelope = e,
	    .user = c->request->user, .deliver_to = c->request->deliver_to };
	struct rspamd_request_left left;
	const char *p, *lf;
	struct text out;

	text_init(&out, RSPAMD_REQUEST_HEAD_MAX);
	require(rspamd_request_head(&out, &rq, &left) == 0);
	p = text_string(&out);
	require(strlen(p) == out.len);
	require(strncmp(p, "POST /checkv2 HTTP/1.1\r\n", 24) == 0);
	for (; *p != '\r'; p = lf + 1) {
		for (lf = p; (unsigned char)*lf >= 0x20 && *lf != 0x7f; lf++)
			continue;
		require(*lf++ == '\r' && *lf == '\n');
	}
	require(strcmp(p, "\r\n") == 0);
	text_free(&out);
}

/* As sessions do: the envelope, then the limits. */
static void
message_complete(struct client *c, size_t which)
{
	uint64_t size = message_size(c->message);
	enum envelope_result res;
	bool rspamc = c->request->dialect == SPAMD_RSPAMC;

	res = message_envelope(c->message, c->exim);
	require(res != ENVELOPE_MORE);
	require(message_kept(c->message) == size);
	require((evbuffer_get_length(message_prefix(c->message)) > 0) ==
	    (res != ENVELOPE_NONE));
	check_head(c, rspamc ? c->request->envelope : c->exim);
	if (message_too_large(c->message))
		fail(c, FAILURE_TOO_LARGE, "too large");
	else if (message_size(c->message) == 0)
		fail(c, FAILURE_EMPTY, "empty");
	else
		reply(c, which);
}

/*
 * What comes behind the message, while rspamd has it.  At the end (EOM) there
 * is the reply: an error, unless that was one line end at most.
 */
static void
take_surplus(struct client *c, bool eom, size_t which)
{
	const struct spamd_request *r = c->request;
	size_t n = evbuffer_get_length(c->in);
	bool plain = r->has_length && r->compress == NULL, ends, so_far;

	if (c->surplus < sizeof(c->tail))
		(void)evbuffer_copyout(c->in, c->tail + c->surplus,
		    sizeof(c->tail) - c->surplus);
	c->surplus += n;
	ends = !plain || c->surplus == 0 ||
	    (c->surplus == 1 && c->tail[0] == '\n') ||
	    (c->surplus == 2 && memcmp(c->tail, "\r\n", 2) == 0);
	so_far = ends || (c->surplus == 1 && c->tail[0] == '\r');
	require(message_ends(c->message, c->in, eom) == (eom ? ends : so_far));
	require(evbuffer_get_length(c->in) == 0);
	if (eom && ends)
		message_complete(c, which);
	else if (eom)
		fail(c, FAILURE_REQUEST, message_error(c->message));
}

static void
take_message(struct client *c, bool eom, size_t which)
{
	const size_t most = which % 2 == 0 ? SIZE_MAX : 1 + which % 31;
	enum message_progress pr;

	/* as there is memory for it */
	do {
		pr = message_take(c->message, c->in, most, eom);
	} while (pr == MESSAGE_MORE && evbuffer_get_length(c->in) > 0);
	require(pr != MESSAGE_MORE || !eom);
	if (pr == MESSAGE_BAD)
		fail(c, FAILURE_REQUEST, message_error(c->message));
	else if (pr == MESSAGE_WHOLE) {
		c->whole = true;
		take_surplus(c, eom, which);
	}
}

static void
head_done(struct client *c)
{
	struct outcome o;

	c->in_message = true;
	if (!spamd_request_has_message(c->request)) {
		outcome_done(&o, "");
		if (c->request->command != SPAMD_SKIP)
			answer(c, &o, NULL, 0);
		c->over = true;
	} else if (message_expect(c->message, c->request) == -1)
		fail(c, FAILURE_REQUEST, message_error(c->message));
}

static void
take_head(struct client *c, bool eom)
{
	enum spamd_progress pr = SPAMD_MORE;
	struct evbuffer_iovec v;
	size_t used;

	while (pr == SPAMD_MORE && evbuffer_get_length(c->in) > 0 &&
	    evbuffer_peek(c->in, -1, NULL, &v, 1) > 0) {
		pr = spamd_request_feed(c->request, v.iov_base, v.iov_len,
		    false, &used);
		require(evbuffer_drain(c->in, used) == 0);
	}
	if (pr == SPAMD_MORE && eom)
		pr = spamd_request_feed(c->request, "", 0, true, &used);
	require(pr != SPAMD_MORE || !eom);
	if (pr == SPAMD_BAD)
		fail(c, FAILURE_REQUEST, spamd_request_error(c->request));
	else if (pr == SPAMD_HEAD_DONE)
		head_done(c);
}

/* The client sends N bytes at P; EOM: and half-closes. */
static void
take(struct client *c, const uint8_t *p, size_t n, bool eom, size_t which)
{
	/* a chain of its own: reading beyond it is seen */
	require(evbuffer_add(c->in, p, n) == 0);
	if (!c->over && !c->in_message)
		take_head(c, eom);
	if (!c->over && c->whole)
		take_surplus(c, eom, which);
	else if (!c->over && c->in_message)
		take_message(c, eom, which);
}

/*
 * The reply to all, sent in a first piece of CUT bytes, then in pieces of STEP
 * bytes.
 */
static char *
serve(const uint8_t *p, size_t size, size_t cut, size_t step, size_t which,
    size_t *len)
{
	struct client c = { .in = evbuffer_new(), .out = evbuffer_new(),
	    .request = spamd_request_new(),
	    .message = message_new(MESSAGE_LIMIT), .exim = envelope_new() };
	size_t at, n;
	char *s;

	for (at = 0; at < size && !c.over; at += n) {
		n = at < cut ? cut : step;
		n = n < size - at ? n : size - at;
		take(&c, p + at, n, false, which);
	}
	if (!c.over)
		take(&c, NULL, 0, true, which);
	require(c.over);
	s = all_of(c.out, len);
	envelope_free(c.exim);
	message_free(c.message);
	spamd_request_free(c.request);
	evbuffer_free(c.out);
	evbuffer_free(c.in);
	return s;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t which = size, cut = 0, step = 1, len, n, i;
	char *whole, *s;

	for (i = 0; i < size; i++)
		which += data[i];
	/* in two pieces, or in many */
	if (which % 3 == 0)
		cut = which % (size + 1), step = size + 1;
	else
		step += which % 13;
	whole = serve(data, size, size, 1, which / 3, &len);
	s = serve(data, size, cut, step, which / 3, &n);
	require(n == len && memcmp(s, whole, n) == 0);
	free(s);
	free(whole);
	return 0;
}

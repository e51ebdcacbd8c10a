/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <arpa/inet.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "spamd_request.h"
#include "text.h"

/* What a string takes beside its bytes: malloc()'s part, and a pointer twice. */
#define STRING_COST	48
/* What a request takes that has none. */
#define EMPTY_COST	1024

struct spamd_parser {
	struct text	 line;		/* an unfinished one */
	size_t		 nhead;		/* bytes of the head so far */
	size_t		 nheaders;
	size_t		 room;		/* for recipients in rspamd's head */
	size_t		 kept;		/* see spamd_request_kept() */
	size_t		 kept_rcpts;	/* of these, by recipients */
	bool		 first_done;
	char		 error[160];
};

static const struct {
	const char *name;
	enum spamd_command command;
} commands[] = {
	{ "CHECK", SPAMD_CHECK },
	{ "SYMBOLS", SPAMD_SYMBOLS },
	{ "REPORT", SPAMD_REPORT },
	{ "REPORT_IFSPAM", SPAMD_REPORT_IFSPAM },
	{ "PROCESS", SPAMD_PROCESS },
	{ "HEADERS", SPAMD_HEADERS },
	{ "TELL", SPAMD_TELL },
	{ "PING", SPAMD_PING },
	{ "SKIP", SPAMD_SKIP },
};
#define NCOMMANDS	(sizeof(commands) / sizeof(commands[0]))

const char *
spamd_command_name(enum spamd_command c)
{
	size_t i;

	for (i = 0; i < NCOMMANDS; i++)
		if (commands[i].command == c)
			return commands[i].name;
	return "-";
}

struct spamd_request *
spamd_request_new(void)
{
	struct spamd_request *r;

	if ((r = calloc(1, sizeof(*r))) == NULL)
		return NULL;
	r->parser = calloc(1, sizeof(*r->parser));
	r->envelope = envelope_new();
	if (r->parser == NULL || r->envelope == NULL) {
		spamd_request_free(r);
		return NULL;
	}
	text_init(&r->parser->line, SPAMD_REQUEST_LINE_MAX);
	r->parser->room = RSPAMD_REQUEST_HEAD_MAX;
	r->parser->kept = EMPTY_COST;
	return r;
}

void
spamd_request_free(struct spamd_request *r)
{
	if (r == NULL)
		return;
	free(r->user);
	free(r->deliver_to);
	free(r->compress);
	if (r->parser != NULL)
		text_free(&r->parser->line);
	free(r->parser);
	envelope_free(r->envelope);
	free(r);
}

const char *
spamd_request_error(const struct spamd_request *r)
{
	return r->parser->error[0] != '\0' ? r->parser->error : NULL;
}

size_t
spamd_request_kept(const struct spamd_request *r)
{
	return r->parser->kept + r->parser->line.size;
}

void
spamd_request_drop(struct spamd_request *r)
{
	envelope_drop_rcpts(r->envelope);
	text_free(&r->parser->line);
	r->parser->kept -= r->parser->kept_rcpts;
	r->parser->kept_rcpts = 0;
}

bool
spamd_request_has_message(const struct spamd_request *r)
{
	return r->command != SPAMD_NONE && r->command != SPAMD_PING &&
	    r->command != SPAMD_SKIP;
}

/* Refuses the request because of WHY; shows the start of LINE if not NULL. */
static enum spamd_progress
bad(struct spamd_request *r, const char *why, const char *line, size_t len)
{
	struct text t;

	text_init(&t, sizeof(r->parser->error) - 1);
	text_puts(&t, why);
	if (line != NULL) {
		text_puts(&t, ": ");
		text_clean(&t, line, len, 60);
	}
	(void)snprintf(r->parser->error, sizeof(r->parser->error), "%s",
	    t.len > 0 ? text_string(&t) : "out of memory");
	text_free(&t);
	return SPAMD_BAD;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Reads one or two digits at *AT and moves it on; -1 where there are none. */
static int
two_digits(const char *p, size_t len, size_t *at)
{
	size_t start = *at;
	int v = 0;

	for (; *at < len && *at - start < 2 && p[*at] >= '0' && p[*at] <= '9';
	    (*at)++)
		v = v * 10 + (p[*at] - '0');
	return *at > start ? v : -1;
}

/* Reads "1.5" from the LEN bytes at P; returns 105, or -1. */
static int
parse_version(const char *p, size_t len)
{
	size_t at = 0;
	int major, minor;

	if ((major = two_digits(p, len, &at)) < 0 || at == len ||
	    p[at++] != '.' || (minor = two_digits(p, len, &at)) < 0 ||
	    at != len)
		return -1;
	return major * 100 + minor;
}

/* Are there headers after the first line?  (spamd's own rule.) */
static bool
has_headers(const struct spamd_request *r)
{
	if (r->dialect == SPAMD_RSPAMC || r->command == SPAMD_TELL)
		return true;
	if (!spamd_request_has_message(r))
		return r->version >= 105;
	return r->version > 100;
}

/* Does the line end in HTTP/N.N?  Somebody took this port for rspamd's. */
static bool
is_http(const char *p, size_t len)
{
	return len > 8 && memcmp(p + len - 8, "HTTP/", 5) == 0;
}

static enum spamd_progress
first_line(struct spamd_request *r, const char *p, size_t len)
{
	static const char spamc[] = "SPAMC/", rspamc[] = "RSPAMC/";
	size_t i, n, at;

	for (n = 0; n < len && !is_blank(p[n]); n++)
		continue;
	for (at = n; at < len && is_blank(p[at]); at++)
		continue;
	while (len > at && is_blank(p[len - 1]))
		len--;
	if (len - at > sizeof(spamc) - 1 &&
	    memcmp(p + at, spamc, sizeof(spamc) - 1) == 0) {
		r->dialect = SPAMD_SPAMC;
		at += sizeof(spamc) - 1;
	} else if (len - at > sizeof(rspamc) - 1 &&
	    memcmp(p + at, rspamc, sizeof(rspamc) - 1) == 0) {
		r->dialect = SPAMD_RSPAMC;
		at += sizeof(rspamc) - 1;
	} else if (is_http(p, len))
		return bad(r, "HTTP is not spoken here, use rspamd's own port",
		    p, len);
	else
		return bad(r, "not a spamd request", p, len);
	if ((r->version = parse_version(p + at, len - at)) < 0)
		return bad(r, "bad protocol version", p, len);
	for (i = 0; i < NCOMMANDS; i++)
		if (strlen(commands[i].name) == n &&
		    memcmp(commands[i].name, p, n) == 0)
			r->command = commands[i].command;
	if (r->command == SPAMD_NONE)
		return bad(r, "unknown command", p, len);
	if (r->dialect == SPAMD_RSPAMC && r->command != SPAMD_CHECK &&
	    r->command != SPAMD_SYMBOLS)
		return bad(r, "not a command of RSPAMC", p, len);
	return has_headers(r) ? SPAMD_MORE : SPAMD_HEAD_DONE;
}

static enum spamd_progress
content_length(struct spamd_request *r, const char *p, size_t len)
{
	uint64_t v = 0;
	size_t i;

	if (len == 0 || len > 18)
		return bad(r, "bad Content-length", p, len);
	for (i = 0; i < len; i++) {
		if (p[i] < '0' || p[i] > '9')
			return bad(r, "bad Content-length", p, len);
		v = v * 10 + (uint64_t)(p[i] - '0');
	}
	if (r->has_length && r->length != v)
		return bad(r, "two Content-length headers that differ", NULL, 0);
	r->has_length = true;
	r->length = v;
	return SPAMD_MORE;
}

/* Takes the angle brackets off an address. */
static void
unbracket(const char **p, size_t *len)
{
	if (*len >= 2 && (*p)[0] == '<' && (*p)[*len - 1] == '>') {
		(*p)++;
		*len -= 2;
	}
}

static bool
is_ip(const char *p, size_t len)
{
	unsigned char addr[16];
	char s[64];

	if (len >= sizeof(s) || memchr(p, '\0', len) != NULL)
		return false;
	memcpy(s, p, len);
	s[len] = '\0';
	return inet_pton(AF_INET, s, addr) == 1 ||
	    inet_pton(AF_INET6, s, addr) == 1;
}

/* The first header of a name counts: later ones are not Exim's. */
static int
set_once(struct spamd_request *r, char **field, const char *p, size_t len)
{
	if (*field != NULL)
		return 0;
	r->parser->kept += len + STRING_COST;
	return envelope_set(field, p, len);
}

/* One recipient more, which is kept if rspamd can be told of it. */
static int
add_rcpt(struct spamd_request *r, const char *p, size_t len)
{
	size_t size = len + sizeof("Rcpt: <>\r\n") - 1;

	if (len == 0)
		return 0;
	r->rcpt_seen++;
	if (r->envelope->nrcpt >= SPAMD_REQUEST_RCPT_MAX ||
	    len > RSPAMD_REQUEST_VALUE_MAX || size > r->parser->room)
		return 0;
	r->parser->room -= size;
	r->parser->kept += len + STRING_COST;
	r->parser->kept_rcpts += len + STRING_COST;
	return envelope_add_rcpt(r->envelope, p, len);
}

static int
rspamc_header(struct spamd_request *r, const char *name, const char *p,
    size_t len)
{
	struct envelope *e = r->envelope;

	if (strcasecmp(name, "From") == 0) {
		unbracket(&p, &len);
		return set_once(r, &e->sender, p, len);
	}
	if (strcasecmp(name, "Rcpt") == 0) {
		unbracket(&p, &len);
		return add_rcpt(r, p, len);
	}
	if (len == 0)
		return 0;
	if (strcasecmp(name, "IP") == 0)
		return is_ip(p, len) ? set_once(r, &e->ip, p, len) : 0;
	if (strcasecmp(name, "Helo") == 0)
		return set_once(r, &e->helo, p, len);
	if (strcasecmp(name, "Hostname") == 0)
		return set_once(r, &e->hostname, p, len);
	if (strcasecmp(name, "Queue-Id") == 0)
		return set_once(r, &e->queue_id, p, len);
	if (strcasecmp(name, "Deliver-To") == 0)
		return set_once(r, &r->deliver_to, p, len);
	if (strcasecmp(name, "User") == 0) {
		e->authenticated = true;
		return set_once(r, &e->user, p, len);
	}
	return 0;
}

static bool
is_word(const char *p, size_t len, const char *word)
{
	return strlen(word) == len && strncasecmp(p, word, len) == 0;
}

/* "local, remote": the places that TELL's Set: or Remove: names. */
static unsigned int
places(const char *p, size_t len)
{
	unsigned int found = 0;
	size_t i, start;

	for (i = 0; i < len; i++) {
		for (; i < len && (is_blank(p[i]) || p[i] == ','); i++)
			continue;
		for (start = i; i < len && !is_blank(p[i]) && p[i] != ','; i++)
			continue;
		if (is_word(p + start, i - start, "local"))
			found |= SPAMD_LOCAL;
		else if (is_word(p + start, i - start, "remote"))
			found |= SPAMD_REMOTE;
	}
	return found;
}

/* The headers of TELL; others are not looked at. */
static void
tell_header(struct spamd_request *r, const char *name, const char *p,
    size_t len)
{
	if (strcasecmp(name, "Set") == 0)
		r->set |= places(p, len);
	else if (strcasecmp(name, "Remove") == 0)
		r->remove |= places(p, len);
	else if (strcasecmp(name, "Message-class") == 0 &&
	    is_word(p, len, "spam"))
		r->message_class = SPAMD_CLASS_SPAM;
	else if (strcasecmp(name, "Message-class") == 0 &&
	    is_word(p, len, "ham"))
		r->message_class = SPAMD_CLASS_HAM;
}

static int
spamc_header(struct spamd_request *r, const char *name, const char *p,
    size_t len)
{
	char *c;

	if (r->command == SPAMD_TELL)
		tell_header(r, name, p, len);
	if (strcasecmp(name, "User") == 0 && len != 0)
		return set_once(r, &r->user, p, len);
	if (strcasecmp(name, "Compress") == 0) {
		if (set_once(r, &r->compress, p, len) == -1)
			return -1;
		for (c = r->compress; *c != '\0'; c++)
			if (*c >= 'A' && *c <= 'Z')
				*c += 'a' - 'A';
	}
	return 0;
}

static enum spamd_progress
header_line(struct spamd_request *r, const char *p, size_t len)
{
	const char *colon, *value = p;
	char name[32];
	size_t n;
	int rc;

	if ((colon = memchr(p, ':', len)) == NULL)
		return bad(r, "a header without a colon", p, len);
	if (r->dialect == SPAMD_SPAMC &&
	    ++r->parser->nheaders > SPAMD_REQUEST_HEADERS_MAX)
		return bad(r, "too many headers", NULL, 0);
	n = (size_t)(colon - p);
	while (n > 0 && is_blank(p[n - 1]))
		n--;
	if (n == 0)
		return bad(r, "a header without a name", p, len);
	/* no name that is looked for is as long as this, or has a NUL */
	if (n >= sizeof(name) || memchr(p, '\0', n) != NULL)
		return SPAMD_MORE;
	memcpy(name, p, n);
	name[n] = '\0';
	value = colon + 1;
	len -= (size_t)(value - p);
	while (len > 0 && is_blank(*value))
		value++, len--;
	while (len > 0 && is_blank(value[len - 1]))
		len--;
	if (strcasecmp(name, "Content-length") == 0)
		return content_length(r, value, len);
	rc = r->dialect == SPAMD_RSPAMC ? rspamc_header(r, name, value, len) :
	    spamc_header(r, name, value, len);
	return rc == -1 ? bad(r, "out of memory", NULL, 0) : SPAMD_MORE;
}

/* One line of LEN bytes, its LF taken off. */
static enum spamd_progress
take_line(struct spamd_request *r, const char *p, size_t len)
{
	if (len > 0 && p[len - 1] == '\r')
		len--;
	if (!r->parser->first_done) {
		r->parser->first_done = true;
		return first_line(r, p, len);
	}
	return len == 0 ? SPAMD_HEAD_DONE : header_line(r, p, len);
}

/* The client half-closed in mid-head. */
static enum spamd_progress
cut_short(struct spamd_request *r)
{
	struct spamd_parser *ps = r->parser;

	/* a PING or SKIP is complete without the empty line */
	if (ps->first_done && ps->line.len == 0 && !spamd_request_has_message(r))
		return SPAMD_HEAD_DONE;
	return bad(r, ps->nhead == 0 ? "no request" :
	    "the request ends before its empty line", NULL, 0);
}

enum spamd_progress
spamd_request_feed(struct spamd_request *r, const char *buf, size_t len,
    bool eom, size_t *used)
{
	struct spamd_parser *ps = r->parser;
	enum spamd_progress pr = SPAMD_MORE;
	const char *nl, *line;
	size_t n, line_room, head_room;

	*used = 0;
	while (pr == SPAMD_MORE && *used < len) {
		nl = memchr(buf + *used, '\n', len - *used);
		n = nl != NULL ? (size_t)(nl - buf) - *used : len - *used;
		/* the limit that is met first, however the bytes are split */
		line_room = ps->line.max - ps->line.len;
		head_room = SPAMD_REQUEST_HEAD_MAX - ps->nhead;
		if (n > line_room && line_room < head_room)
			return bad(r, "a line is too long", NULL, 0);
		if (n >= head_room)
			return bad(r, "the head is too long", NULL, 0);
		line = buf + *used;
		*used += nl != NULL ? n + 1 : n;
		ps->nhead += nl != NULL ? n + 1 : n;
		if (nl != NULL && ps->line.len == 0) {
			pr = take_line(r, line, n);
			continue;
		}
		text_put(&ps->line, line, n);
		if (text_failed(&ps->line))
			return bad(r, "out of memory", NULL, 0);
		if (nl != NULL) {
			pr = take_line(r, ps->line.buf, ps->line.len);
			text_rewind(&ps->line, 0);
		}
	}
	if (pr == SPAMD_MORE && eom)
		pr = cut_short(r);
	return pr;
}

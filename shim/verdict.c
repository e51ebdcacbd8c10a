/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cjson/cJSON.h>

#include "arena.h"
#include "encoded_word.h"
#include "text.h"
#include "verdict.h"

/* The arena of a reply of LEN bytes, which fits with what is made of it. */
#define ARENA_SIZE(len)		(8 * (len) + 1024)

/*
 * The JSON library takes a piece of memory for each value: while a verdict is
 * read, from here, its arena.  There is one thread.
 */
static struct arena *reading;

static void *
from_arena(size_t n)
{
	return arena_get(reading, n);
}

static void
not_yet(void *p)
{
	(void)p;
}

/* Copies the string S, cleaned, into WHY. */
static void
explain(char *why, size_t size, const char *s)
{
	struct text t;

	text_init(&t, size - 1);
	text_clean(&t, s, strlen(s), size - 1);
	(void)snprintf(why, size, "%s", text_string(&t));
	text_free(&t);
}

/* The non-empty string called NAME in OBJ, or NULL. */
static const char *
string_of(const cJSON *obj, const char *name)
{
	const char *s;

	s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(obj, name));
	return s != NULL && *s != '\0' ? s : NULL;
}

/*
 * S, a subject, with encoded words that every mail program reads.  Without
 * memory it is S itself.
 */
static const char *
mended_subject(const struct verdict *v, const char *s)
{
	size_t len = s != NULL ? strlen(s) : 0;
	const char *mended = s;
	struct text t;
	char *copy;

	if (len == 0)
		return s;
	text_init(&t, ENCODED_WORD_MENDED_MAX(len));
	if (encoded_word_mend(&t, s, len) &&
	    (copy = arena_get(v->memory, t.len + 1)) != NULL)
		mended = memcpy(copy, t.buf, t.len + 1);
	text_free(&t);
	return mended;
}

/* The finite number called NAME in OBJ, or NAN. */
static double
number_of(const cJSON *obj, const char *name)
{
	const cJSON *n = cJSON_GetObjectItemCaseSensitive(obj, name);

	return cJSON_IsNumber(n) && isfinite(n->valuedouble) ?
	    n->valuedouble : NAN;
}

/* Room for the members of LIST, MAX at most; NULL if there are none. */
static void *
room_for(struct verdict *v, const cJSON *list, size_t max, size_t size,
    bool *failed)
{
	size_t n = 0;
	const cJSON *c;
	void *p;

	cJSON_ArrayForEach(c, list)
		if (++n == max)
			break;
	if (n == 0)
		return NULL;
	if ((p = arena_get(v->memory, n * size)) == NULL)
		*failed = true;
	else
		memset(p, 0, n * size);
	return p;
}

/* Is C a text in which there is something to read? */
static bool
is_text(const cJSON *c)
{
	return cJSON_IsString(c) &&
	    c->valuestring[strspn(c->valuestring, " \t\r\n")] != '\0';
}

static bool
take_messages(struct verdict *v, const cJSON *list)
{
	const cJSON *c, *first;
	bool failed = false;

	first = cJSON_GetObjectItemCaseSensitive(list, "smtp_message");
	v->messages = room_for(v, list, VERDICT_MESSAGES_MAX,
	    sizeof(*v->messages), &failed);
	if (v->messages == NULL)
		return !failed;
	if (is_text(first)) {
		v->messages[v->nmessages++] = first->valuestring;
		v->messages_seen++;
	} else
		first = NULL;
	cJSON_ArrayForEach(c, list) {
		if (c == first || !is_text(c))
			continue;
		v->messages_seen++;
		if (v->nmessages < VERDICT_MESSAGES_MAX)
			v->messages[v->nmessages++] = c->valuestring;
	}
	return true;
}

static bool
take_options(struct verdict *v, struct verdict_symbol *s, const cJSON *list)
{
	const cJSON *c;
	bool failed = false;

	if (!cJSON_IsArray(list))
		return true;
	s->options = room_for(v, list, VERDICT_OPTIONS_MAX, sizeof(*s->options),
	    &failed);
	if (s->options == NULL)
		return !failed;
	cJSON_ArrayForEach(c, list) {
		if (!cJSON_IsString(c))
			continue;
		s->options_seen++;
		if (s->noptions < VERDICT_OPTIONS_MAX)
			s->options[s->noptions++] = c->valuestring;
	}
	return true;
}

static int
by_weight(const void *a, const void *b)
{
	const struct verdict_symbol *x = a, *y = b;

	if (fabs(x->score) != fabs(y->score))
		return fabs(x->score) > fabs(y->score) ? -1 : 1;
	return strcmp(x->name, y->name);
}

static bool
take_symbols(struct verdict *v, const cJSON *list)
{
	const cJSON *c;
	struct verdict_symbol *s;
	bool failed = false;

	if (!cJSON_IsObject(list))
		return true;
	v->symbols = room_for(v, list, VERDICT_SYMBOLS_MAX, sizeof(*v->symbols),
	    &failed);
	if (v->symbols == NULL)
		return !failed;
	cJSON_ArrayForEach(c, list) {
		if (!cJSON_IsObject(c) || c->string == NULL || *c->string == '\0')
			continue;
		v->symbols_seen++;
		if (v->nsymbols == VERDICT_SYMBOLS_MAX)
			continue;
		s = &v->symbols[v->nsymbols++];
		s->name = c->string;
		s->description = string_of(c, "description");
		s->score = number_of(c, "score");
		if (isnan(s->score))
			s->score = 0.0;
		if (!take_options(v, s,
		    cJSON_GetObjectItemCaseSensitive(c, "options")))
			return false;
	}
	qsort(v->symbols, v->nsymbols, sizeof(*v->symbols), by_weight);
	return true;
}

/* Is N a number that a header's position can be? */
static bool
is_index(const cJSON *n)
{
	return cJSON_IsNumber(n) && n->valuedouble > -1e6 &&
	    n->valuedouble < 1e6;
}

/*
 * Is S a header's name (RFC 5322, 3.6.8)?  Without brackets: those mark a
 * position in the report.
 */
static bool
is_header_name(const char *s)
{
	const char *p;

	for (p = s; *p > ' ' && *p < 0x7f && *p != ':' && *p != '[' &&
	    *p != ']'; p++)
		continue;
	return *p == '\0' && p != s;
}

static void
add_milter(struct verdict *v, const char *name, const char *value, int index)
{
	struct verdict_milter *m;

	if (name == NULL || *name == '\0')
		return;
	v->milter_seen++;
	if (v->nmilter == VERDICT_MILTER_MAX || !is_header_name(name))
		return;
	m = &v->milter[v->nmilter++];
	m->name = name;
	m->value = strcasecmp(name, "Subject") == 0 ?
	    mended_subject(v, value) : value;
	m->index = index;
}

/* One header to add: "v", {value, order}, or an array of these. */
static void
milter_add(struct verdict *v, const char *name, const cJSON *c, bool nested)
{
	const cJSON *m, *value, *order;

	if (cJSON_IsString(c))
		add_milter(v, name, c->valuestring, 0);
	else if (cJSON_IsObject(c)) {
		value = cJSON_GetObjectItemCaseSensitive(c, "value");
		order = cJSON_GetObjectItemCaseSensitive(c, "order");
		if (cJSON_IsString(value))
			add_milter(v, name, value->valuestring,
			    is_index(order) ? (int)order->valuedouble : 0);
	} else if (cJSON_IsArray(c) && !nested)
		cJSON_ArrayForEach(m, c)
			milter_add(v, name, m, true);
}

/* Headers to remove: a position, 0 for all of that name, or an array. */
static void
milter_remove(struct verdict *v, const char *name, const cJSON *c, bool nested)
{
	const cJSON *m;

	/* what is no position must not come to mean all */
	if (is_index(c) && c->valuedouble == (int)c->valuedouble)
		add_milter(v, name, NULL, (int)c->valuedouble);
	else if (cJSON_IsArray(c) && !nested)
		cJSON_ArrayForEach(m, c)
			milter_remove(v, name, m, true);
}

/*
 * What the mail is to be signed with, one or an array: header lines to insert
 * at the top, as rspamd's own milter does.
 */
static void
take_signatures(struct verdict *v, const cJSON *signature)
{
	static const char name[] = "DKIM-Signature";
	const cJSON *c;
	int index = 1;

	if (cJSON_IsString(signature) && *signature->valuestring != '\0')
		add_milter(v, name, signature->valuestring, index);
	else if (cJSON_IsArray(signature))
		cJSON_ArrayForEach(c, signature)
			if (cJSON_IsString(c) && *c->valuestring != '\0')
				add_milter(v, name, c->valuestring, index++);
}

static bool
take_milter(struct verdict *v, const cJSON *milter, const cJSON *signature)
{
	const cJSON *c, *add, *del;

	add = cJSON_GetObjectItemCaseSensitive(milter, "add_headers");
	del = cJSON_GetObjectItemCaseSensitive(milter, "remove_headers");
	if (!cJSON_IsObject(add) && !cJSON_IsObject(del) && signature == NULL)
		return true;
	v->milter = arena_get(v->memory, VERDICT_MILTER_MAX *
	    sizeof(*v->milter));
	if (v->milter == NULL)
		return false;
	take_signatures(v, signature);
	if (cJSON_IsObject(add))
		cJSON_ArrayForEach(c, add)
			milter_add(v, c->string, c, false);
	if (cJSON_IsObject(del))
		cJSON_ArrayForEach(c, del)
			milter_remove(v, c->string, c, false);
	return true;
}

/*
 * An action that the configuration gives to milters ("milter = discard") says
 * so beside itself; what a rule says among the header lines counts with action
 * reject alone.
 */
static void
take_reject(struct verdict *v, const cJSON *doc, const cJSON *milter)
{
	v->reject = string_of(doc, "reject");
	if (v->reject == NULL && strcmp(v->action, "reject") == 0)
		v->reject = string_of(milter, "reject");
}

static bool
take_thresholds(struct verdict *v, const cJSON *list)
{
	const cJSON *c;
	bool failed = false;

	if (!cJSON_IsObject(list))
		return true;
	v->thresholds = room_for(v, list, VERDICT_THRESHOLDS_MAX,
	    sizeof(*v->thresholds), &failed);
	if (v->thresholds == NULL)
		return !failed;
	cJSON_ArrayForEach(c, list) {
		if (!cJSON_IsNumber(c) || !isfinite(c->valuedouble) ||
		    v->nthresholds == VERDICT_THRESHOLDS_MAX)
			continue;
		v->thresholds[v->nthresholds].action = c->string;
		v->thresholds[v->nthresholds++].score = c->valuedouble;
	}
	return true;
}

/* Fills V from its document; returns what is wrong, or NULL. */
static const char *
take_all(struct verdict *v)
{
	const cJSON *doc = v->doc, *milter, *signature;

	if ((v->action = string_of(doc, "action")) == NULL)
		return "rspamd's reply has no action";
	v->score = number_of(doc, "score");
	if (isnan(v->score))
		return "rspamd's reply has no score, or one that is not a number";
	v->required = number_of(doc, "required_score");
	v->time_real = number_of(doc, "time_real");
	v->skipped = cJSON_IsTrue(
	    cJSON_GetObjectItemCaseSensitive(doc, "is_skipped"));
	v->subject = mended_subject(v, string_of(doc, "subject"));
	v->message_id = string_of(doc, "message-id");
	milter = cJSON_GetObjectItemCaseSensitive(doc, "milter");
	take_reject(v, doc, milter);
	signature = cJSON_GetObjectItemCaseSensitive(doc, "dkim-signature");
	if (!take_messages(v, cJSON_GetObjectItemCaseSensitive(doc, "messages")) ||
	    !take_symbols(v, cJSON_GetObjectItemCaseSensitive(doc, "symbols")) ||
	    !take_milter(v, milter, signature) || !take_thresholds(v,
	    cJSON_GetObjectItemCaseSensitive(doc, "thresholds")))
		return "out of memory";
	return NULL;
}

/* The object that the LEN bytes at BUF are, and nothing else; or NULL. */
static cJSON *
parse_object(const char *buf, size_t len)
{
	const char *end;
	cJSON *doc;

	if ((doc = cJSON_ParseWithLengthOpts(buf, len, &end, 0)) == NULL)
		return NULL;
	while (end < buf + len && (*end == ' ' || *end == '\t' ||
	    *end == '\r' || *end == '\n'))
		end++;
	if (cJSON_IsObject(doc) && end == buf + len)
		return doc;
	cJSON_Delete(doc);
	return NULL;
}

/* Puts the text of the error that DOC reports into WHY, if it does. */
static bool
error_of(const cJSON *doc, char *why, size_t size)
{
	const char *s;

	if ((s = string_of(doc, "error")) == NULL)
		return false;
	explain(why, size, s);
	return true;
}

/* As parse_object(), in the memory of A, which is not to be deleted. */
static cJSON *
parse_in(struct arena *a, const char *buf, size_t len)
{
	cJSON_Hooks hooks = { from_arena, not_yet };
	cJSON *doc;

	reading = a;
	cJSON_InitHooks(&hooks);
	doc = parse_object(buf, len);
	cJSON_InitHooks(NULL);
	reading = NULL;
	return doc;
}

/* verdict_parse() in the memory of A; NULL after WHY. */
static struct verdict *
parse_verdict(struct arena *a, const char *buf, size_t len, char *why,
    size_t size)
{
	struct verdict *v;
	const char *wrong;
	cJSON *doc;

	if ((doc = parse_in(a, buf, len)) == NULL) {
		explain(why, size, len == 0 ? "rspamd's reply is empty" :
		    "rspamd's reply is not a JSON object");
		return NULL;
	}
	if (error_of(doc, why, size))
		return NULL;
	if ((v = arena_get(a, sizeof(*v))) == NULL) {
		explain(why, size, "out of memory");
		return NULL;
	}
	memset(v, 0, sizeof(*v));
	v->doc = doc;
	v->memory = a;
	if ((wrong = take_all(v)) == NULL)
		return v;
	explain(why, size, wrong);
	return NULL;
}

struct verdict *
verdict_parse(const char *buf, size_t len, char *why, size_t size)
{
	struct arena *a = arena_new(ARENA_SIZE(len));
	struct verdict *v;

	if (a == NULL) {
		explain(why, size, "out of memory");
		return NULL;
	}
	if ((v = parse_verdict(a, buf, len, why, size)) == NULL)
		arena_free(a);
	return v;
}

char *
verdict_json(const struct verdict *v)
{
	return cJSON_PrintUnformatted(v->doc);
}

void
verdict_free(struct verdict *v)
{
	if (v != NULL)
		arena_free(v->memory);
}

bool
verdict_error(const char *buf, size_t len, char *why, size_t size)
{
	cJSON *doc;
	bool found;

	if ((doc = parse_object(buf, len)) == NULL)
		return false;
	found = error_of(doc, why, size);
	cJSON_Delete(doc);
	return found;
}

bool
verdict_success(const char *buf, size_t len)
{
	cJSON *doc;
	bool success;

	if ((doc = parse_object(buf, len)) == NULL)
		return false;
	success = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(doc, "success"));
	cJSON_Delete(doc);
	return success;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <string.h>

#include "counters.h"

const char *const counters_outcome_names[COUNTERS_OUTCOMES] = { "verdict",
    "unscanned", "error", "client-gone", "ok" };

const char *const counters_action_names[COUNTERS_ACTIONS] = { "no action",
    "greylist", "add header", "rewrite subject", "soft reject", "reject",
    "other" };

const char *const counters_envelope_names[COUNTERS_ENVELOPES] = { "exim",
    "exim-addresses", "rspamc", "none", "off" };

const char *const counters_circuit_names[COUNTERS_CIRCUITS] = { "closed",
    "open", "half-open" };

const double counters_bounds[COUNTERS_BUCKETS - 1] = { 0.001, 0.0025, 0.005,
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60 };

/* The structures are added up as arrays of counters. */
_Static_assert(sizeof(_Atomic uint64_t) == sizeof(uint64_t) &&
    sizeof(struct counters) % sizeof(uint64_t) == 0 &&
    sizeof(struct counters_backend) % sizeof(uint64_t) == 0,
    "nothing but counters");

/* The index of S in LIST; that of the last of its N for what is not there. */
static size_t
find(const char *const *list, size_t n, const char *s)
{
	size_t i;

	for (i = 0; i + 1 < n; i++)
		if (strcmp(list[i], s) == 0)
			break;
	return i;
}

static enum counters_outcome
ending(const struct account *a)
{
	const struct outcome *o = a->outcome;

	if (a->ending == ACCOUNT_GONE || (o == NULL &&
	    a->ending != ACCOUNT_SKIPPED))
		return COUNTERS_GONE;
	if (o == NULL || o->kind == OUTCOME_DONE)
		return COUNTERS_OK;
	if (o->kind == OUTCOME_VERDICT)
		return COUNTERS_VERDICT;
	return o->kind == OUTCOME_PASS ? COUNTERS_UNSCANNED : COUNTERS_ERROR;
}

void
counters_request(struct counters *c, const struct account *a)
{
	const struct spamd_request *r = a->request;
	enum counters_outcome o = ending(a);
	const struct account_times *t = &a->times;

	c->request[r->dialect][r->command][o]++;
	if (o == COUNTERS_VERDICT)
		c->action[find(counters_action_names, COUNTERS_ACTIONS,
		    a->outcome->action)]++;
	if (o == COUNTERS_UNSCANNED || o == COUNTERS_ERROR)
		c->failure[a->outcome->failure]++;
	if (a->envelope_from != NULL)
		c->envelope[find(counters_envelope_names, COUNTERS_ENVELOPES,
		    a->envelope_from)]++;
	if (o == COUNTERS_GONE || !spamd_request_has_message(r))
		return;
	counters_observe(&c->total, t->total);
	if (t->read > 0)
		counters_observe(&c->read, t->read);
	if (a->backend != NULL)
		counters_observe(&c->wait, t->total - t->read);
}

void
counters_exchange(struct counters_backend *b, enum failure f, double seconds)
{
	b->result[f]++;
	counters_observe(&b->seconds, seconds);
}

void
counters_observe(struct counters_histogram *h, double seconds)
{
	size_t i;

	if (!(seconds > 0))
		seconds = 0;
	for (i = 0; i < COUNTERS_BUCKETS - 1; i++)
		if (seconds <= counters_bounds[i])
			break;
	h->bucket[i]++;
	h->usec += (uint64_t)(seconds * 1e6 + 0.5);
}

uint64_t
counters_observed(const struct counters_histogram *h)
{
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < COUNTERS_BUCKETS; i++)
		n += h->bucket[i];
	return n;
}

uint64_t
counters_ended(const struct counters *c, enum counters_outcome o)
{
	uint64_t n = 0;
	size_t i, k;

	for (i = 0; i < COUNTERS_DIALECTS; i++)
		for (k = 0; k < COUNTERS_COMMANDS; k++)
			n += c->request[i][k][o];
	return n;
}

static void
add(_Atomic uint64_t *sum, const _Atomic uint64_t *v, size_t size)
{
	size_t i;

	for (i = 0; i < size / sizeof(*v); i++)
		sum[i] += v[i];
}

void
counters_add(struct counters *sum, const struct counters *c)
{
	add((_Atomic uint64_t *)sum, (const _Atomic uint64_t *)c, sizeof(*c));
}

void
counters_add_backend(struct counters_backend *sum,
    const struct counters_backend *b)
{
	add((_Atomic uint64_t *)sum, (const _Atomic uint64_t *)b, sizeof(*b));
}

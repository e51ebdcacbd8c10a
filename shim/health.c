/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <inttypes.h>

#include "health.h"

/* How the workers see a backend, the best of them; NULL if none does. */
static const char *
circuit(const struct counters_snapshot_backend *b)
{
	if (b->circuit[COUNTERS_CLOSED] > 0)
		return counters_circuit_names[COUNTERS_CLOSED];
	if (b->circuit[COUNTERS_HALF_OPEN] > 0)
		return counters_circuit_names[COUNTERS_HALF_OPEN];
	if (b->circuit[COUNTERS_OPEN] > 0)
		return counters_circuit_names[COUNTERS_OPEN];
	return NULL;
}

/* May it have mail? */
static bool
is_usable(const struct counters_snapshot_backend *b)
{
	return b->circuit[COUNTERS_CLOSED] > 0 ||
	    b->circuit[COUNTERS_HALF_OPEN] > 0;
}

const char *
health_fault(const struct counters_snapshot *s)
{
	size_t i;

	if (s->daemon.stopping)
		return "the daemon is stopping";
	if (s->serving == 0)
		return "no worker is running";
	for (i = 0; i < s->nbackend; i++)
		if (s->backend[i].configured && !s->backend[i].learns &&
		    is_usable(&s->backend[i]))
			return NULL;
	return "no rspamd can take mail";
}

void
health_text(struct text *t, const struct counters_snapshot *s)
{
	const struct counters_snapshot_backend *b;
	const char *fault = health_fault(s), *c;
	size_t i;

	if (fault == NULL)
		text_puts(t, "ok\n");
	else
		text_printf(t, "unavailable: %s\n", fault);
	text_printf(t, "workers: %" PRIu64 "\n", s->serving);
	for (i = 0; i < s->nbackend; i++) {
		b = &s->backend[i];
		if (!b->configured)
			continue;
		c = circuit(b);
		text_printf(t, "%s %s: %s", b->learns ? "controller" :
		    "backend", b->url, c == NULL ? "unknown" :
		    is_usable(b) ? "in use" : "failing");
		if (c != NULL)
			text_printf(t, " (circuit %s)", c);
		text_puts(t, "\n");
	}
}

/* S, printing ASCII, as a string of JSON. */
static void
json_string(struct text *t, const char *s)
{
	text_puts(t, "\"");
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			text_puts(t, "\\");
		text_put(t, s, 1);
	}
	text_puts(t, "\"");
}

void
health_json(struct text *t, const struct counters_snapshot *s)
{
	const struct counters_snapshot_backend *b;
	const char *fault = health_fault(s), *c, *comma = "";
	size_t i;

	text_printf(t, "{\"status\":\"%s\"",
	    fault == NULL ? "ok" : "unavailable");
	if (fault != NULL)
		text_printf(t, ",\"reason\":\"%s\"", fault);
	text_printf(t, ",\"workers\":%" PRIu64 ",\"backends\":[", s->serving);
	for (i = 0; i < s->nbackend; i++) {
		b = &s->backend[i];
		if (!b->configured)
			continue;
		c = circuit(b);
		text_printf(t, "%s{\"url\":", comma);
		json_string(t, b->url);
		text_printf(t, ",\"role\":\"%s\",\"usable\":%s,\"circuit\":"
		    "\"%s\"}", b->learns ? "learn" : "scan",
		    is_usable(b) ? "true" : "false",
		    c != NULL ? c : "unknown");
		comma = ",";
	}
	text_puts(t, "]}\n");
}

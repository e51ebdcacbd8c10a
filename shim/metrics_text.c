/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>

#include "metrics_text.h"

#define PREFIX	"rspamd_shim_"

/* The head of the metric NAME; its samples follow. */
static void
family(struct text *t, const char *name, const char *type, const char *help)
{
	text_printf(t, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n",
	    name, help, name, type);
}

/* A metric with one sample. */
static void
single(struct text *t, const char *name, const char *type, uint64_t value,
    const char *help)
{
	family(t, name, type, help);
	text_printf(t, PREFIX "%s %" PRIu64 "\n", name, value);
}

/* A sample with one label, whose value is a word of ours. */
static void
labelled(struct text *t, const char *name, const char *label,
    const char *value, uint64_t n)
{
	text_printf(t, PREFIX "%s{%s=\"%s\"} %" PRIu64 "\n", name, label,
	    value, n);
}

/* The samples of a histogram; LABELS are those of it, without braces. */
static void
histogram(struct text *t, const char *name, const char *labels,
    const struct counters_histogram *h)
{
	uint64_t sum = h->usec, n = 0;
	char bound[32];
	size_t i;

	for (i = 0; i < COUNTERS_BUCKETS; i++) {
		n += h->bucket[i];
		(void)snprintf(bound, sizeof(bound), "+Inf");
		if (i < COUNTERS_BUCKETS - 1)
			(void)snprintf(bound, sizeof(bound), "%g",
			    counters_bounds[i]);
		text_printf(t, PREFIX "%s_bucket{%s,le=\"%s\"} %" PRIu64 "\n",
		    name, labels, bound, n);
	}
	text_printf(t, PREFIX "%s_sum{%s} %" PRIu64 ".%06" PRIu64 "\n", name,
	    labels, sum / 1000000, sum % 1000000);
	text_printf(t, PREFIX "%s_count{%s} %" PRIu64 "\n", name, labels, n);
}

static void
put_daemon(struct text *t, const struct counters_snapshot *s,
    const char *version)
{
	const struct counters_daemon *d = &s->daemon;

	family(t, "build_info", "gauge", "The running program; always 1.");
	text_printf(t, PREFIX "build_info{version=\"%s\"} 1\n", version);
	single(t, "start_time_seconds", "gauge", d->started,
	    "When the daemon was started, in seconds since 1970.");
	single(t, "stopping", "gauge", d->stopping,
	    "Whether the daemon is finishing what is running, to stop.");
	family(t, "workers", "gauge", "Worker processes now.");
	labelled(t, "workers", "state", "serving", s->serving);
	labelled(t, "workers", "state", "finishing", s->finishing);
	single(t, "workers_started_total", "counter", d->workers_started,
	    "Worker processes that were started.");
	single(t, "workers_died_total", "counter", d->workers_died,
	    "Worker processes that ended by a signal or with an error.");
	family(t, "reloads_total", "counter", "Reloads of the configuration.");
	labelled(t, "reloads_total", "result", "done", d->reloads);
	labelled(t, "reloads_total", "result", "refused", d->reloads_failed);
	single(t, "log_lines_lost_total", "counter", s->sum.log_lost,
	    "Lines of the log that nobody read.");
	single(t, "log_lines_repeated_total", "counter", s->sum.log_repeated,
	    "Lines of the log that were held back and told of by their number.");
}

static void
put_clients(struct text *t, const struct counters *c)
{
	single(t, "connections", "gauge", c->now.connections,
	    "Clients that are connected.");
	single(t, "connections_total", "counter", c->accepted,
	    "Clients that were served.");
	single(t, "connections_refused_total", "counter", c->refused,
	    "Clients that were turned away.");
	single(t, "received_bytes_total", "counter", c->received,
	    "Bytes from clients, without those of TLS.");
	single(t, "sent_bytes_total", "counter", c->sent,
	    "Bytes to clients, without those of TLS.");
	single(t, "queued_requests", "gauge", c->now.queued,
	    "Requests that wait for a backend.");
	single(t, "held_bytes", "gauge", c->now.held,
	    "Bytes of messages in memory.");
}

/*
 * Is there such a command in this dialect?  Its counters are shown from the
 * start, so that the first increase is seen; others, once they count.
 */
static bool
is_usual(size_t dialect, size_t command)
{
	if (dialect == SPAMD_SPAMC)
		return command != SPAMD_NONE;
	if (dialect == SPAMD_RSPAMC)
		return command == SPAMD_CHECK || command == SPAMD_SYMBOLS;
	return command == SPAMD_NONE;
}

static void
put_requests(struct text *t, const struct counters *c)
{
	static const char *const dialects[COUNTERS_DIALECTS] = { "unknown",
	    "spamc", "rspamc" };
	size_t i, k, o;

	family(t, "requests_total", "counter", "Requests by their end.");
	for (i = 0; i < COUNTERS_DIALECTS; i++)
		for (k = 0; k < COUNTERS_COMMANDS; k++)
			for (o = 0; o < COUNTERS_OUTCOMES; o++)
				if (is_usual(i, k) || c->request[i][k][o] > 0)
					text_printf(t, PREFIX "requests_total{"
					    "dialect=\"%s\",command=\"%s\","
					    "outcome=\"%s\"} %" PRIu64 "\n",
					    dialects[i], k == SPAMD_NONE ?
					    "unknown" : spamd_command_name(
					    (enum spamd_command)k),
					    counters_outcome_names[o],
					    c->request[i][k][o]);
}

static void
put_kinds(struct text *t, const struct counters *c)
{
	size_t i;

	family(t, "actions_total", "counter", "Verdicts by rspamd's action.");
	for (i = 0; i < COUNTERS_ACTIONS; i++)
		labelled(t, "actions_total", "action",
		    counters_action_names[i], c->action[i]);
	family(t, "failures_total", "counter", "Requests without a verdict, "
	    "errors and unscanned messages, by the reason.");
	for (i = FAILURE_NONE + 1; i < COUNTERS_FAILURES; i++)
		labelled(t, "failures_total", "failure",
		    failure_name((enum failure)i), c->failure[i]);
	family(t, "envelopes_total", "counter",
	    "Messages by where their envelope came from.");
	for (i = 0; i < COUNTERS_ENVELOPES; i++)
		labelled(t, "envelopes_total", "source",
		    counters_envelope_names[i], c->envelope[i]);
}

static void
put_times(struct text *t, const struct counters *c)
{
	static const char name[] = "request_duration_seconds";

	family(t, name, "histogram", "Answered requests with a message: "
	    "seconds to read it, to wait for rspamd, and in all.");
	histogram(t, name, "phase=\"read\"", &c->read);
	histogram(t, name, "phase=\"wait\"", &c->wait);
	histogram(t, name, "phase=\"total\"", &c->total);
}

/* The labels of a backend, into T, which is emptied before. */
static const char *
labels(struct text *t, const struct counters_snapshot_backend *b)
{
	const char *p;

	text_rewind(t, 0);
	text_puts(t, "backend=\"");
	for (p = b->url; *p != '\0'; p++) {
		if (*p == '\\' || *p == '"')
			text_puts(t, "\\");
		text_put(t, p, 1);
	}
	text_printf(t, "\",role=\"%s\"", b->learns ? "learn" : "scan");
	return text_string(t);
}

static void
put_results(struct text *t, const struct counters_snapshot *s,
    struct text *scratch)
{
	const struct counters_snapshot_backend *b;
	const char *l;
	size_t i, k;

	family(t, "backend_requests_total", "counter",
	    "Exchanges with a rspamd by their result.");
	for (i = 0; i < s->nbackend; i++) {
		b = &s->backend[i];
		l = labels(scratch, b);
		for (k = 0; k <= FAILURE_OVERLOAD; k++)
			text_printf(t, PREFIX "backend_requests_total{%s,"
			    "result=\"%s\"} %" PRIu64 "\n", l,
			    k == FAILURE_NONE ? "answered" :
			    failure_name((enum failure)k), b->sum.result[k]);
		text_printf(t, PREFIX "backend_requests_total{%s,"
		    "result=\"cancelled\"} %" PRIu64 "\n", l,
		    b->sum.cancelled);
	}
	family(t, "backend_duration_seconds", "histogram",
	    "Exchanges with a rspamd that were not cancelled.");
	for (i = 0; i < s->nbackend; i++)
		histogram(t, "backend_duration_seconds",
		    labels(scratch, &s->backend[i]), &s->backend[i].sum.seconds);
}

/* What is so now, of the backends that are configured now. */
static void
put_backends(struct text *t, const struct counters_snapshot *s,
    struct text *scratch)
{
	const struct counters_snapshot_backend *b;
	size_t i, k;

	family(t, "backend_active_requests", "gauge",
	    "Exchanges with a rspamd that are under way.");
	for (i = 0; i < s->nbackend; i++)
		if ((b = &s->backend[i])->configured)
			text_printf(t, PREFIX "backend_active_requests{%s} %"
			    PRIu64 "\n", labels(scratch, b), b->sum.now.active);
	family(t, "backend_circuit", "gauge", "In how many workers a rspamd is "
	    "used (closed), shunned (open), or tried again (half-open).");
	for (i = 0; i < s->nbackend; i++)
		for (k = 0; k < COUNTERS_CIRCUITS; k++)
			if ((b = &s->backend[i])->configured)
				text_printf(t, PREFIX "backend_circuit{%s,"
				    "state=\"%s\"} %" PRIu64 "\n",
				    labels(scratch, b),
				    counters_circuit_names[k], b->circuit[k]);
	family(t, "backend_weight", "gauge",
	    "A rspamd's share of the load; lower after it failed.");
	for (i = 0; i < s->nbackend; i++)
		if ((b = &s->backend[i])->configured && !b->learns)
			text_printf(t, PREFIX "backend_weight{%s} %g\n",
			    labels(scratch, b),
			    (double)b->sum.now.weight / 1000.0);
}

void
metrics_text(struct text *t, const struct counters_snapshot *s,
    const char *version)
{
	struct text scratch;

	put_daemon(t, s, version);
	put_clients(t, &s->sum);
	put_requests(t, &s->sum);
	put_kinds(t, &s->sum);
	put_times(t, &s->sum);
	text_init(&scratch, 4 * COUNTERS_URL_MAX);
	put_results(t, s, &scratch);
	put_backends(t, s, &scratch);
	if (text_failed(&scratch))
		t->failed = true;
	text_free(&scratch);
}

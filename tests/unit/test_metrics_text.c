#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "health.h"
#include "metrics_text.h"
#include "page.h"
#include "unit.h"

/* Two rspamds and a controller; one worker serves. */
static struct counters_snapshot *
snapshot(void)
{
	struct counters_snapshot *s = calloc(1, sizeof(*s));
	static const char *const urls[] = { "http://a:1", "unix:/b \"\\",
	    "http://c:3" };
	size_t i;

	ck_assert_ptr_nonnull(s);
	s->serving = 1;
	s->nbackend = COUNT(urls);
	for (i = 0; i < COUNT(urls); i++) {
		strcpy(s->backend[i].url, urls[i]);
		s->backend[i].configured = true;
		s->backend[i].circuit[COUNTERS_CLOSED] = 1;
	}
	s->backend[2].learns = true;
	return s;
}

static void
fails(struct counters_snapshot *s, size_t i)
{
	s->backend[i].circuit[COUNTERS_CLOSED] = 0;
	s->backend[i].circuit[COUNTERS_OPEN] = 1;
}

static char *
metrics(const struct counters_snapshot *s)
{
	struct text t;

	text_init(&t, METRICS_TEXT_MAX);
	metrics_text(&t, s, "1.2.3");
	ck_assert(!text_failed(&t));
	return t.buf;
}

START_TEST(samples)
{
	struct counters_snapshot *s = snapshot();
	char *text;

	s->daemon.reloads_failed = 3;
	s->sum.now.held = UINT64_MAX;
	s->sum.request[SPAMD_RSPAMC][SPAMD_CHECK][COUNTERS_ERROR] = 5;
	s->sum.action[4] = 6;
	s->sum.failure[FAILURE_UNREADABLE] = 7;
	s->backend[1].sum.result[FAILURE_TIMEOUT] = 8;
	s->backend[0].sum.now.weight = 2500;
	fails(s, 0);
	text = metrics(s);
	unit_holds(text, "\nrspamd_shim_build_info{version=\"1.2.3\"} 1\n");
	unit_holds(text, "\nrspamd_shim_reloads_total{result=\"refused\"} 3\n");
	unit_holds(text, "\n# HELP rspamd_shim_held_bytes Bytes of messages in "
	    "memory.\n# TYPE rspamd_shim_held_bytes gauge\n"
	    "rspamd_shim_held_bytes 18446744073709551615\n");
	unit_holds(text, "\nrspamd_shim_requests_total{dialect=\"rspamc\","
	    "command=\"CHECK\",outcome=\"error\"} 5\n");
	unit_holds(text, "\nrspamd_shim_actions_total{action=\"soft reject\"} "
	    "6\n");
	unit_holds(text, "\nrspamd_shim_failures_total{failure="
	    "\"unreadable-reply\"} 7\n");
	unit_holds(text, "\nrspamd_shim_backend_requests_total{backend="
	    "\"unix:/b \\\"\\\\\",role=\"scan\",result=\"timeout\"} 8\n");
	unit_holds(text, "\nrspamd_shim_backend_circuit{backend="
	    "\"http://a:1\",role=\"scan\",state=\"open\"} 1\n");
	unit_holds(text, "\nrspamd_shim_backend_weight{backend="
	    "\"http://a:1\",role=\"scan\"} 2.5\n");
	unit_ends(text, "\n");
	free(text);
	free(s);
}
END_TEST

/* The buckets of the text format hold what the smaller ones hold, too. */
START_TEST(histograms)
{
	struct counters_snapshot *s = snapshot();
	char *text;

	counters_observe(&s->sum.wait, 0.0005);
	counters_observe(&s->sum.wait, 0.002);
	counters_observe(&s->sum.wait, 1000);
	text = metrics(s);
#define W "rspamd_shim_request_duration_seconds"
	unit_holds(text, "\n" W "_bucket{phase=\"wait\",le=\"0.001\"} 1\n"
	    W "_bucket{phase=\"wait\",le=\"0.0025\"} 2\n"
	    W "_bucket{phase=\"wait\",le=\"0.005\"} 2\n");
	unit_holds(text, "\n" W "_bucket{phase=\"wait\",le=\"60\"} 2\n"
	    W "_bucket{phase=\"wait\",le=\"+Inf\"} 3\n"
	    W "_sum{phase=\"wait\"} 1000.002500\n"
	    W "_count{phase=\"wait\"} 3\n");
	free(text);
	free(s);
}
END_TEST

/* What was counted of a backend stays when it is no longer configured. */
START_TEST(former_backends)
{
	struct counters_snapshot *s = snapshot();
	char *text;

	s->backend[0].configured = false;
	s->backend[0].sum.result[FAILURE_NONE] = 4;
	text = metrics(s);
	unit_holds(text, "{backend=\"http://a:1\",role=\"scan\","
	    "result=\"answered\"} 4\n");
	ck_assert_ptr_null(strstr(text, "circuit{backend=\"http://a:1\""));
	ck_assert_ptr_null(strstr(text, "weight{backend=\"http://a:1\""));
	unit_holds(text, "circuit{backend=\"http://c:3\",role=\"learn\"");
	/* controllers do not share their load */
	ck_assert_ptr_null(strstr(text, "weight{backend=\"http://c:3\""));
	free(text);
	free(s);
}
END_TEST

/* What can be asked for is there from the start, the rest when it counts. */
START_TEST(unusual_requests)
{
	struct counters_snapshot *s = snapshot();
	const char *odd = "{dialect=\"rspamc\",command=\"TELL\",";
	char *text = metrics(s);

	unit_holds(text, "{dialect=\"spamc\",command=\"TELL\","
	    "outcome=\"error\"} 0\n");
	ck_assert_ptr_null(strstr(text, odd));
	free(text);
	s->sum.request[SPAMD_RSPAMC][SPAMD_TELL][COUNTERS_ERROR] = 1;
	text = metrics(s);
	unit_holds(text, odd);
	free(text);
	free(s);
}
END_TEST

/* All that there can be fits. */
START_TEST(the_largest)
{
	struct counters_snapshot *s = snapshot();
	char *text;
	size_t i;

	memset(&s->sum, 0xff, sizeof(s->sum));
	s->nbackend = COUNTERS_BACKENDS;
	for (i = 0; i < COUNTERS_BACKENDS; i++) {
		memset(&s->backend[i], 0xff, sizeof(s->backend[i]));
		memset(s->backend[i].url, '"', COUNTERS_URL_MAX - 1);
		s->backend[i].url[COUNTERS_URL_MAX - 1] = '\0';
		s->backend[i].learns = s->backend[i].configured = true;
	}
	text = metrics(s);
	unit_ends(text, "\n");
	free(text);
	free(s);
}
END_TEST

START_TEST(faults)
{
	struct counters_snapshot *s = snapshot();

	ck_assert_ptr_null(health_fault(s));
	fails(s, 0);
	ck_assert_ptr_null(health_fault(s));
	fails(s, 1);
	/* the controller cannot scan */
	ck_assert_str_eq(health_fault(s), "no rspamd can take mail");
	s->backend[1].circuit[COUNTERS_HALF_OPEN] = 1;
	ck_assert_ptr_null(health_fault(s));
	s->backend[1].configured = false;
	ck_assert_str_eq(health_fault(s), "no rspamd can take mail");
	s->serving = 0;
	ck_assert_str_eq(health_fault(s), "no worker is running");
	s->daemon.stopping = 1;
	ck_assert_str_eq(health_fault(s), "the daemon is stopping");
	free(s);
}
END_TEST

START_TEST(health_for_people)
{
	struct counters_snapshot *s = snapshot();
	struct text t;

	s->backend[1].configured = false;
	text_init(&t, 1000);
	health_text(&t, s);
	unit_text(&t, "ok\nworkers: 1\n"
	    "backend http://a:1: in use (circuit closed)\n"
	    "controller http://c:3: in use (circuit closed)\n");
	text_rewind(&t, 0);
	fails(s, 0);
	memset(s->backend[2].circuit, 0, sizeof(s->backend[2].circuit));
	health_text(&t, s);
	unit_text(&t, "unavailable: no rspamd can take mail\nworkers: 1\n"
	    "backend http://a:1: failing (circuit open)\n"
	    "controller http://c:3: unknown\n");
	text_free(&t);
	free(s);
}
END_TEST

START_TEST(health_for_programs)
{
	struct counters_snapshot *s = snapshot();
	struct text t;

	s->nbackend = 2;
	text_init(&t, 1000);
	health_json(&t, s);
	unit_text(&t, "{\"status\":\"ok\",\"workers\":1,\"backends\":["
	    "{\"url\":\"http://a:1\",\"role\":\"scan\",\"usable\":true,"
	    "\"circuit\":\"closed\"},"
	    "{\"url\":\"unix:/b \\\"\\\\\",\"role\":\"scan\",\"usable\":true,"
	    "\"circuit\":\"closed\"}]}\n");
	text_rewind(&t, 0);
	s->serving = 0;
	s->nbackend = 0;
	health_json(&t, s);
	unit_text(&t, "{\"status\":\"unavailable\",\"reason\":\"no worker is "
	    "running\",\"workers\":0,\"backends\":[]}\n");
	text_free(&t);
	free(s);
}
END_TEST

Suite *
metrics_text_suite(void)
{
	Suite *s = suite_create("metrics_text");
	TCase *tc = unit_case(s, "metrics");

	tcase_add_test(tc, samples);
	tcase_add_test(tc, histograms);
	tcase_add_test(tc, former_backends);
	tcase_add_test(tc, unusual_requests);
	tcase_add_test(tc, the_largest);
	tc = unit_case(s, "health");
	tcase_add_test(tc, faults);
	tcase_add_test(tc, health_for_people);
	tcase_add_test(tc, health_for_programs);
	return s;
}

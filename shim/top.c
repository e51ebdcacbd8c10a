/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "conf_value.h"
#include "counters.h"
#include "probe_wire.h"
#include "text.h"
#include "timer.h"
#include "top.h"

#define MARK		"\nrspamd_shim_"	/* before the name of a sample */
#define START		"start_time_seconds"
#define LOOKS		11	/* a second apart: rates are those of 10 s */

struct top {
	struct sample {
		double	 when;		/* as timer_now() */
		char	*page;		/* /metrics; owned */
	}	 past[LOOKS];		/* the latest first */
	size_t	 n;			/* of them, of the same daemon */
	double	 start;			/* of that, in seconds since 1970 */
	double	 seconds;		/* that grown() is about */
	char	 failure[80];		/* seen last, cut to fit; or "" */
	double	 failed;		/* when that was */
	bool	 found;			/* the page, just now */
	char	 why[200];		/* not, if so */
	const char *home, *end;		/* go to the first line, to the next */
};

static volatile sig_atomic_t stopped;

static void
on_signal(int sig)
{
	stopped = sig;
}

/* The value of SERIES, of N bytes, on PAGE; 0 if it is not there. */
static double
value(const char *page, const char *series, size_t n)
{
	const char *p = page;
	double x;

	while ((p = strstr(p, MARK)) != NULL) {
		p += sizeof(MARK) - 1;
		if (strncmp(p, series, n) != 0 || p[n] != ' ')
			continue;
		/* ours are neither negative nor endless */
		x = strtod(p + n, NULL);
		return x >= 0 && x < 1e15 ? x : 0;
	}
	return 0;
}

/* By how much SERIES has grown; since the start, at the first look. */
static double
grown(const struct top *t, const char *series, size_t n)
{
	return value(t->past[0].page, series, n) - (t->n == 1 ? 0 :
	    value(t->past[t->n - 1].page, series, n));
}

/* Keeps PAGE, of a daemon started at START, as the latest; owned from now. */
static void
keep(struct top *t, char *page, double start)
{
	/* one that was started again counts anew */
	if (start != t->start)
		t->n = 0;
	free(t->past[LOOKS - 1].page);
	memmove(t->past + 1, t->past, (LOOKS - 1) * sizeof(t->past[0]));
	t->past[0] = (struct sample){ timer_now(), page };
	t->n += t->n < LOOKS;
	t->start = start;
	t->found = true;
	t->seconds = t->n > 1 ? t->past[0].when - t->past[t->n - 1].when :
	    difftime(time(NULL), 0) - start;
	if (t->seconds < 1)
		t->seconds = 1;
}

/* Looks at the page at one address, unless another had it. */
static void
look(const struct sockaddr *sa, socklen_t len, void *arg)
{
	static const char ask[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
	static const struct probe_wire_question q = { ask, sizeof(ask) - 1,
	    false, PROBE_WIRE_HTTP };
	static const struct conf_timeouts patience = { .connect = 1,
	    .send = 1, .wait = 1, .receive = 1 };
	const struct probe_wire_peer peer = { .addr = sa, .len = len,
	    .timeout = &patience };
	struct top *t = arg;
	struct probe_wire_answer a;
	double start = 0;
	char *page;
	size_t n;

	if (t->found)
		return;
	probe_wire_ask(&peer, &q, &a);
	if (a.fault == PROBE_WIRE_OK && http_response_status(a.http) == 200 &&
	    http_response_error(a.http) == NULL)
		start = value(http_response_body(a.http, &n),
		    START, sizeof(START) - 1);
	(void)snprintf(t->why, sizeof(t->why), "%s", a.timed_out ?
	    "no answer" : a.fault != PROBE_WIRE_OK ? a.why : a.nraw == 0 ?
	    "closed without a word: is this host in allow?" :
	    "this is not the page of a rspamd-shim");
	if (start > 0 && (page = strdup(http_response_body(a.http, &n))) != NULL)
		keep(t, page, start);
	probe_wire_free(&a);
}

/* The values of the labels from P to END, without their names. */
static void
put_words(struct text *t, const char *p, const char *end)
{
	const char *close;

	for (; (p = memchr(p, '"', (size_t)(end - p))) != NULL && (close =
	    memchr(p + 1, '"', (size_t)(end - p) - 1)) != NULL; p = close + 1) {
		text_puts(t, " ");
		(void)text_clean(t, p + 1, (size_t)(close - p) - 1, SIZE_MAX);
	}
}

/* A line for each sample of FAMILY; with labels, for those that are not 0. */
static void
put(struct top *t, const char *family)
{
	const char *p = t->past[0].page, *end;
	size_t len = strlen(family), n, rows = 0;
	struct text what;
	double x;

	text_init(&what, COUNTERS_URL_MAX + 100);
	while (rows < COUNTERS_BACKENDS && (p = strstr(p, MARK)) != NULL) {
		p += sizeof(MARK) - 1;
		end = memrchr(p, ' ', strcspn(p, "\n"));
		if (end == NULL || strncmp(p, family, len) != 0 ||
		    (p[len] != '{' && p[len] != ' '))
			continue;
		n = (size_t)(end - p);
		x = value(p - sizeof(MARK) + 1, p, n);
		if (x == 0 && p[len] == '{')
			continue;
		rows++;
		text_rewind(&what, 0);
		text_puts(&what, family);
		put_words(&what, p + len, end);
		printf("%s%9.0f ", t->end, x);
		if (strstr(family, "_total") != NULL)
			printf("%8.1f/s ", grown(t, p, n) / t->seconds);
		fputs(text_string(&what), stdout);
		if (strcmp(family, "failures_total") == 0 && t->n > 1 &&
		    x > value(t->past[1].page, p, n)) {
			(void)snprintf(t->failure, sizeof(t->failure), "%s",
			    text_string(&what));
			t->failed = t->past[0].when;
		}
	}
	text_free(&what);
}

/* The times of requests: their mean, and what shares of them were within. */
static void
put_times(struct top *t, const char *phase)
{
	static const double shares[] = { 0.5, 0.95, 0.99 };
	char s[100];
	double n, within;
	size_t i = 0, k;

#define GROWN(...)	grown(t, s, (size_t)snprintf(s, sizeof(s), \
	"request_duration_seconds_" __VA_ARGS__))
	n = GROWN("count{phase=\"%s\"}", phase);
	printf("%s%-12s %8.1f", t->end, phase, n > 0 ?
	    GROWN("sum{phase=\"%s\"}", phase) / n * 1e3 : 0);
	for (k = 0; n > 0 && k < COUNTERS_BUCKETS - 1; k++) {
		within = GROWN("bucket{phase=\"%s\",le=\"%g\"}", phase,
		    counters_bounds[k]);
		for (; i < 3 && within >= shares[i] * n; i++)
			printf("%9g", counters_bounds[k] * 1e3);
	}
}

static void
put_screen(struct top *t, const char *address)
{
	static const char *const families[] = { "workers", "connections",
	    "queued_requests", "backend_circuit", "backend_active_requests",
	    "failures_total", "requests_total", "actions_total",
	    "backend_requests_total" };
	size_t i;

	printf("%srspamd-shim at %s: %s", t->home, address,
	    t->found ? "running" : t->why);
	if (!t->found)
		return;
	printf("; %s %.0f s%smilliseconds     mean    50%% <    95%% <"
	    "    99%% <", t->n == 1 ? "since its start," : "in the last",
	    t->seconds, t->end);
	put_times(t, "read");
	put_times(t, "wait");
	put_times(t, "total");
	for (i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		put(t, families[i]);
	if (t->failure[0] != '\0')
		printf("%s%9.0f s ago: %s", t->end, t->past[0].when -
		    t->failed, t->failure);
}

/* Looks and shows, as top_run() says; KEYS: there may be a q. */
static void
watch(struct top *t, const char *address, bool live, bool keys)
{
	struct pollfd p = { .fd = keys ? STDIN_FILENO : -1, .events = POLLIN };
	const char *why;
	char c = '\0';

	do {
		t->found = false;
		if ((why = probe_wire_each(address, look, t)) != NULL)
			(void)snprintf(t->why, sizeof(t->why), "%s", why);
		if (live || t->found)
			put_screen(t, address);
		(void)fflush(stdout);
		/* any other key looks at once */
	} while (live && !stopped && !ferror(stdout) &&
	    (poll(&p, 1, 1000) < 1 || (read(p.fd, &c, 1) == 1 && c != 'q')));
}

int
top_run(const char *address)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	struct top t = { .home = "", .end = "\n" };
	struct termios saved, raw;
	bool live = isatty(STDOUT_FILENO);
	bool keys = live && tcgetattr(STDIN_FILENO, &saved) == 0;
	size_t i;

	if (conf_unix_path(address) == NULL &&
	    !conf_host_port(address, NULL, NULL)) {
		fprintf(stderr, "rspamd-shim: %s: not an address\n", address);
		return EX_USAGE;
	}
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)signal(signals[i], on_signal);
	if (keys) {
		raw = saved;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		raw.c_cc[VSUSP] = _POSIX_VDISABLE;	/* it would lie about */
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	if (live) {
		/* another screen, without a cursor; lines are cut to fit */
		fputs("\033[?1049h\033[?25l\033[?7l", stdout);
		t.home = "\033[H\033[J";
		t.end = "\r\033[B\033[K";
	}
	watch(&t, address, live, keys);
	fputs(live ? "\033[?7h\033[?25h\033[?1049l" : t.found ? "\n" : "", stdout);
	(void)fflush(stdout);
	if (keys)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &saved);
	if (!t.found)
		fprintf(stderr, "rspamd-shim: %s: %s\n", address, t.why);
	for (i = 0; i < LOOKS; i++)
		free(t.past[i].page);
	return ferror(stdout) ? EX_IOERR : t.found ? EX_OK : EX_UNAVAILABLE;
}

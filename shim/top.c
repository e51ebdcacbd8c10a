/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/ioctl.h>

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

#define PREFIX		"rspamd_shim_"
#define DURATION	"request_duration_seconds"
#define EXCHANGES	"backend_requests_total"
#define WINDOW		10	/* looks back, a second each: for rates */

struct top {
	struct sample {
		double	 when;		/* as timer_now() */
		char	*page;		/* /metrics; owned */
	}	 past[WINDOW + 1];	/* the latest first */
	size_t	 n;
	bool	 found;			/* the page, just now */
	char	 why[200];		/* not, if so */
	struct text screen;		/* not cleaned: others had a say in it */
};

static volatile sig_atomic_t stopped;

static void
on_signal(int sig)
{
	stopped |= sig != SIGWINCH;
}

/* The sum of the samples of NAME on PAGE that have the labels A and B. */
static double
sum(const char *page, const char *name, const char *a, const char *b)
{
	size_t n = strlen(name), len;
	const char *p, *key;
	double all = 0;

	for (p = page; *p != '\0'; p += len + (p[len] != '\0')) {
		len = strcspn(p, "\n");
		key = p + sizeof(PREFIX) - 1;
		if (strncmp(p, PREFIX, sizeof(PREFIX) - 1) == 0 &&
		    strncmp(key, name, n) == 0 &&
		    (key[n] == '{' || key[n] == ' ') &&
		    memmem(p, len, a, strlen(a)) != NULL &&
		    memmem(p, len, b, strlen(b)) != NULL)
			all += strtod((char *)memrchr(p, ' ', len) + 1, NULL);
	}
	return all;
}

/* The same, of the latest page. */
static double
now(const struct top *t, const char *name, const char *a, const char *b)
{
	return sum(t->past[0].page, name, a, b);
}

/* By how much it has grown; since the daemon's start, at the first look. */
static double
grown(const struct top *t, const char *name, const char *a, const char *b)
{
	return now(t, name, a, b) - (t->n == 1 ? 0 :
	    sum(t->past[t->n - 1].page, name, a, b));
}

/* The seconds that grown() is about. */
static double
window(const struct top *t)
{
	double s = t->n > 1 ? t->past[0].when - t->past[t->n - 1].when :
	    difftime(time(NULL), 0) - now(t, "start_time_seconds", "", "");

	return s > 1 ? s : 1;
}

static void
forget(struct top *t)
{
	while (t->n > 0)
		free(t->past[--t->n].page);
}

/* Looks at the page at one address, unless another had it. */
static void
look(const struct sockaddr *sa, socklen_t len, void *arg)
{
	static const char start[] = "start_time_seconds";
	static const char ask[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
	static const struct probe_wire_question q = { ask, sizeof(ask) - 1,
	    false, PROBE_WIRE_HTTP };
	static const struct conf_timeouts patience = { .connect = 1,
	    .send = 1, .wait = 1, .receive = 1 };
	const struct probe_wire_peer peer = { .addr = sa, .len = len,
	    .timeout = &patience };
	struct top *t = arg;
	struct probe_wire_answer a;
	char *page = NULL;
	size_t n;

	if (t->found)
		return;
	probe_wire_ask(&peer, &q, &a);
	if (a.fault == PROBE_WIRE_OK && a.http != NULL)
		page = strdup(http_response_body(a.http, &n));
	t->found = page != NULL && sum(page, start, "", "") > 0;
	(void)snprintf(t->why, sizeof(t->why), "%s", a.timed_out ?
	    "no answer" : a.fault != PROBE_WIRE_OK ? a.why : a.nraw == 0 ?
	    "closed without a word: is this host in allow?" : "another server");
	probe_wire_free(&a);
	if (!t->found) {
		free(page);
		return;
	}
	/* one that was started again counts anew */
	if (t->n > 0 && now(t, start, "", "") != sum(page, start, "", ""))
		forget(t);
	if (t->n == WINDOW + 1)
		free(t->past[--t->n].page);
	memmove(t->past + 1, t->past, t->n++ * sizeof(t->past[0]));
	t->past[0] = (struct sample){ timer_now(), page };
}

/* What has happened, by KINDS of a label: two in a line, rate and sum. */
static void
put_kinds(struct top *t, const char *name, const char *label,
    const char *const *kinds, size_t n)
{
	char key[80];
	size_t i, shown = 0;
	double all;

	for (i = 0; i < n; i++) {
		(void)snprintf(key, sizeof(key), "%s=\"%s\"", label, kinds[i]);
		if ((all = now(t, name, key, "")) == 0)
			continue;
		if (shown++ % 2 == 0)
			text_printf(&t->screen, "\n%-8.*s", (int)strcspn(name,
			    "_"), shown == 1 ? name : "");
		text_printf(&t->screen, "  %-15s %7.1f/s %8.0f", kinds[i],
		    grown(t, name, key, "") / window(t), all);
	}
}

/* The times of requests: their mean, and what shares of them were within. */
static void
put_times(struct top *t, const char *phase)
{
	static const double shares[] = { 0.5, 0.95, 0.99 };
	double n = grown(t, DURATION "_count", phase, ""), within;
	char le[32];
	size_t i, k;

	text_printf(&t->screen, "\n%-16.*s", (int)strcspn(phase + 7, "\""),
	    phase + 7);
	if (n == 0)
		return;
	text_printf(&t->screen, "%9.1f", grown(t, DURATION "_sum", phase, "") /
	    n * 1e3);
	for (i = k = 0; i < 3 && k < COUNTERS_BUCKETS - 1; k += i < 3) {
		(void)snprintf(le, sizeof(le), "le=\"%g\"", counters_bounds[k]);
		within = grown(t, DURATION "_bucket", phase, le);
		for (; i < 3 && within >= shares[i] * n; i++)
			text_printf(&t->screen, "%9.*f", k < 2 ? 1 : 0,
			    counters_bounds[k] * 1e3);
	}
}

/* A line for each rspamd that is configured now. */
static void
put_backends(struct top *t)
{
	static const char mark[] = "\n" PREFIX "backend_active_requests{";
	const char *p = t->past[0].page;
	char key[3 * COUNTERS_URL_MAX];
	double failed, open;

	while ((p = strstr(p, mark)) != NULL) {
		p += sizeof(mark) - 1;
		(void)snprintf(key, sizeof(key), "%.*s", (int)strcspn(p, "}\n"), p);
		open = now(t, "backend_circuit", key, "\"open\"");
		failed = now(t, EXCHANGES, key, "") -
		    now(t, EXCHANGES, key, "\"answered\"") -
		    now(t, EXCHANGES, key, "\"cancelled\"");
		p += strcspn(p, "\"\n") + 1;
		text_printf(&t->screen, "\n%-36.*s %-8s %7.0f %7.1f/s %8.0f",
		    (int)strcspn(p, "\"\n"), p, open == 0 ? "in use" : open <
		    now(t, "backend_circuit", key, "") ? "wavering" : "failing",
		    now(t, "backend_active_requests", key, ""),
		    grown(t, EXCHANGES, key, "") / window(t), failed);
	}
}

/* What the page's /health says, from the same numbers. */
static const char *
state(const struct top *t)
{
	if (!t->found)
		return t->why;
	if (now(t, "stopping", "", "") > 0)
		return "the daemon is stopping";
	if (now(t, "workers", "\"serving\"", "") == 0)
		return "no worker is running";
	return now(t, "backend_circuit", "\"scan\"", "") >
	    now(t, "backend_circuit", "\"scan\"", "\"open\"") ?
	    "running" : "no rspamd can take mail";
}

static void
put_screen(struct top *t, const char *address)
{
	const char *failures[FAILURE_COUNT];
	size_t i;

	text_rewind(&t->screen, 0);
	text_printf(&t->screen, "rspamd-shim at %s: %s\n", address, state(t));
	if (!t->found)
		return;
	for (i = 0; i < FAILURE_COUNT; i++)
		failures[i] = failure_name((enum failure)i);
	text_printf(&t->screen, "%.0f workers, %.0f clients, %.0f turned away, "
	    "%.0f in the queue, %.1f MB held\n\n%s %.0f s",
	    now(t, "workers", "serving", ""), now(t, "connections", "", ""),
	    now(t, "connections_refused_total", "", ""),
	    now(t, "queued_requests", "", ""), now(t, "held_bytes", "", "") /
	    1e6, t->n == 1 ? "since its start," : "in the last", window(t));
	put_kinds(t, "requests_total", "outcome", counters_outcome_names,
	    COUNTERS_OUTCOMES);
	put_kinds(t, "actions_total", "action", counters_action_names,
	    COUNTERS_ACTIONS);
	put_kinds(t, "failures_total", "failure", failures, FAILURE_COUNT);
	text_puts(&t->screen, "\n\nmilliseconds         mean    50% <    95% <"
	    "    99% <");
	put_times(t, "phase=\"read\"");
	put_times(t, "phase=\"wait\"");
	put_times(t, "phase=\"total\"");
	text_printf(&t->screen, "\n\n%-36s %-8s  active  requests   failed",
	    "rspamd", "state");
	put_backends(t);
}

/* Writes the screen; LIVE: as much of it as the terminal has room for. */
static bool
show(const struct top *t, bool live)
{
	struct winsize w = { .ws_row = 0 };
	const char *p = text_string(&t->screen);
	struct text out;
	size_t len, row;
	bool ok;

	if (live)
		(void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &w);
	text_init(&out, SIZE_MAX / 2);
	for (row = 0; *p != '\0' && (w.ws_row == 0 || row < w.ws_row); row++) {
		len = strcspn(p, "\n");
		text_puts(&out, !live ? "" : row == 0 ? "\033[H" : "\r\n");
		(void)text_clean(&out, p, len, w.ws_col ? w.ws_col : SIZE_MAX);
		text_puts(&out, live ? "\033[K" : "\n");
		p += len + (p[len] != '\0');
	}
	text_puts(&out, live ? "\033[J" : "");
	ok = fputs(text_string(&out), stdout) != EOF && fflush(stdout) != EOF;
	text_free(&out);
	return ok;
}

/* Looks and shows, as top_run() says; KEYS: there may be a q. */
static bool
watch(struct top *t, const char *address, bool live, bool keys)
{
	struct pollfd p = { .fd = keys ? STDIN_FILENO : -1, .events = POLLIN };
	const char *why;
	char c = '\0';

	do {
		t->found = false;
		if ((why = probe_wire_each(address, look, t)) != NULL)
			(void)snprintf(t->why, sizeof(t->why), "%s", why);
		if (!t->found)
			forget(t);
		put_screen(t, address);
		if (!show(t, live))
			return false;
		/* a new size of the terminal is a signal, which ends poll() */
	} while (live && !stopped && (poll(&p, 1, 1000) < 1 ||
	    (read(p.fd, &c, 1) == 1 && c != 'q')));
	return true;
}

int
top_run(const char *address)
{
	static const int signals[] = { SIGWINCH, SIGINT, SIGTERM, SIGHUP };
	struct sigaction sa = { .sa_handler = on_signal };
	struct top t = { .n = 0 };
	struct termios saved, raw;
	bool live = isatty(STDOUT_FILENO), ok;
	bool keys = live && tcgetattr(STDIN_FILENO, &saved) == 0;
	size_t i;

	if (conf_unix_path(address) == NULL &&
	    !conf_host_port(address, NULL, NULL)) {
		fprintf(stderr, "rspamd-shim: %s: not an address\n", address);
		return EX_USAGE;
	}
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		(void)sigaction(signals[i], &sa, NULL);
	text_init(&t.screen, SIZE_MAX / 2);
	if (keys) {
		raw = saved;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		raw.c_cc[VSUSP] = _POSIX_VDISABLE;	/* it would lie about */
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	fputs(live ? "\033[?1049h\033[?25l" : "", stdout);
	ok = watch(&t, address, live, keys);
	fputs(live ? "\033[?25h\033[?1049l" : "", stdout);
	if (keys)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &saved);
	forget(&t);
	text_free(&t.screen);
	return !ok ? EX_IOERR : t.found ? EX_OK : EX_UNAVAILABLE;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bench-load: sends mail to be judged, each on a connection of its own, and
 * looks at every byte of what comes back.
 *
 *	bench-load [-x] [-p spamc|rspamc|http] [-s SIZE] [-c CONNECTIONS]
 *	    [-n COUNT] [-r RECIPIENTS] [-t SECONDS] HOST:PORT | unix:/path
 *
 * spamc is Exim's REPORT SPAMC/1.2 with its half-close, rspamc its CHECK
 * RSPAMC/1.3, both to a rspamd-shim in front of null-rspamd; http is the
 * request that rspamd-shim would send, to null-rspamd or through a proxy.  SIZE
 * is that of the mail.  With -x reports may be cut.  No more mail is begun
 * after COUNT or SECONDS.
 *
 * The first reply must have all that is known of it, the others must be the
 * same bytes but for the mail's own Message-ID (of HTTP, the bodies).  One line
 * on stdout has the account and the figures; the exit code is 1 if any reply
 * was wrong.
 */
#include "config.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "address.h"
#include "verdict.h"

#define HEAD_MAX	131072		/* request's and mail's head */
#define REPLY_MAX	32768
#define SHOWN_MAX	1000		/* of a wrong reply */
#define RECIPIENTS_MAX	1024
#define RECIPIENT_SIZE	40		/* of one in the request */
#define ID_SIZE		sizeof("00000000@bench.example")
#define CONNECTIONS_MAX	1000
#define COUNT_MAX	10000000UL
/* A mail that has no reply after so many more seconds will not get one. */
#define PATIENCE	20

enum protocol { SPAMC, RSPAMC, HTTP, NPROTOCOLS };

static const char *const protocol_names[] = { "spamc", "rspamc", "http" };

/* How the replies begin, and how reports end. */
static const char *const reply_begin[] = {
	"SPAMD/1.1 0 EX_OK\r\nSpam: False ; 2.3 / 6.0\r\n\r\n"
	    "Action: no action\r\n",
	"RSPAMD/1.3 0 EX_OK\r\nMetric: default; False; 2.30 / 15.00 / 0.0\r\n"
	    "Action: no action\r\n",
	"HTTP/1.1 200 OK\r\n"
};
static const char cut_begin[] = "\r\nReport-End: cut, ";
static const char reply_end[] = "\r\nReport-End: complete\r\n";

/* What Exim puts before a mail for a scanner, and at its start. */
static const char exim_lines[] =
    "From MAILER-DAEMON Mon Nov 23 06:05:49 2026\n"
    "X-Envelope-From: <sender@sender.example>\n"
    "X-Envelope-To: ";
static const char one_rcpt[] = "rcpt0@rcpt.example\n";
/* In the Received header, where there is no other recipient. */
static const char for_rcpt[] = "\n\tfor rcpt0@rcpt.example";
static const char mail_head[] =
    "Received: from client.sender.example ([192.0.2.7] "
    "helo=mail.sender.example)\n"
    "\tby mx.rcpt.example with esmtp (Exim 4.96)\n"
    "\t(envelope-from <sender@sender.example>)\n"
    "\tid 1xVA4m-0004UG-OO%s;\n"
    "\tMon, 23 Nov 2026 06:05:49 +0000\n"
    "From: A Sender <sender@sender.example>\n"
    "To: A Recipient <rcpt@rcpt.example>\n"
    "Date: Mon, 23 Nov 2026 06:05:48 +0000\n"
    "Message-ID: <%s>\n"
    "Subject: a mail of the benchmark\n\n";
static const char mail_line[] =
    "The quick brown fox jumps over the lazy dog, and so it goes on and on.\n";

struct load {
	struct event_base *base;
	struct address	 address;
	enum protocol	 protocol;
	size_t		 size;		/* of a mail */
	unsigned long	 connections, count, recipients;
	bool		 cut;		/* may reports be? */
	double		 seconds;
	double		 begun;

	char		*rcpts;		/* as the protocol has them */
	size_t		 nrcpts;
	char		*rest;		/* what all mails have in common */
	size_t		 nrest;
	unsigned long	 sent;		/* mails begun */
	unsigned long	 active;
	unsigned long	 right, wrong;
	double		*latency;	/* of each right one, in seconds */

	char		 first[REPLY_MAX];	/* the first reply that counts */
	size_t		 nfirst, id_at;
};

/* A connection; there is one for each that may be open at a time. */
struct client {
	struct load	*load;
	struct event	*ev;		/* NULL: not connected */
	int		 fd;
	double		 begun;
	char		 id[ID_SIZE];
	char		 head[HEAD_MAX];
	size_t		 nhead;
	size_t		 sent;		/* bytes of head and rest */
	char		 reply[REPLY_MAX];
	size_t		 got;
};

static void start(struct client *);

static double
now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Where in a reply begins what is the same for all: a proxy has its own head. */
static const char *
constant_part(const struct client *c)
{
	const char *body;

	if (c->load->protocol != HTTP)
		return c->reply;
	body = strstr(c->reply, "\r\n\r\n");
	return body == NULL ? c->reply : body + 4;
}

/* Does the reply begin and end as it should, with what is due in it? */
static const char *
check_first(const struct client *c)
{
	const struct load *l = c->load;
	const char *begin = reply_begin[l->protocol];
	char length[40], body[REPLY_MAX];

	if (strncmp(c->reply, begin, strlen(begin)) != 0)
		return "it begins otherwise";
	if (l->protocol == HTTP) {
		(void)snprintf(body, sizeof(body), bench_verdict, "",
		    (uint64_t)l->size, (int)strlen(c->id), c->id);
		return strcmp(constant_part(c), body) == 0 ? NULL :
		    "the verdict is another";
	}
	(void)snprintf(length, sizeof(length), "[%zu]\r\n", l->size);
	if ((c->got < sizeof(reply_end) ||
	    strcmp(c->reply + c->got - (sizeof(reply_end) - 1), reply_end) != 0) &&
	    (!l->cut || strstr(c->reply, cut_begin) == NULL))
		return "it ends otherwise";
	if (strstr(c->reply, length) == NULL)
		return "the length of the mail is another";
	if (strstr(c->reply, c->id) == NULL)
		return "the Message-ID is another";
	return NULL;
}

/* What is wrong with the reply, or NULL. */
static const char *
check(struct client *c)
{
	struct load *l = c->load;
	const char *begin = reply_begin[l->protocol], *part, *why;
	size_t n, after = l->id_at + ID_SIZE - 1;

	if (c->got == 0)
		return "no reply";
	c->reply[c->got] = '\0';
	part = constant_part(c);
	n = c->got - (size_t)(part - c->reply);
	if (l->nfirst == 0) {
		if ((why = check_first(c)) != NULL)
			return why;
		memcpy(l->first, part, n);
		l->nfirst = n;
		l->id_at = (size_t)(strstr(part, c->id) - part);
		return NULL;
	}
	if (n != l->nfirst || strncmp(c->reply, begin, strlen(begin)) != 0 ||
	    memcmp(part, l->first, l->id_at) != 0 ||
	    memcmp(part + after, l->first + after, n - after) != 0)
		return "it is not like the first";
	if (memcmp(part + l->id_at, c->id, ID_SIZE - 1) != 0)
		return "it is for another mail";
	return NULL;
}

/* The end of one mail; WHY it failed, or NULL where a reply has come. */
static void
finish(struct client *c, const char *why)
{
	struct load *l = c->load;

	if (why == NULL)
		why = check(c);
	if (why == NULL)
		l->latency[l->right++] = now() - c->begun;
	else if (l->wrong++ == 0)
		fprintf(stderr, "bench-load: mail %s: %s; its reply:\n%.*s\n",
		    c->id, why, c->got < SHOWN_MAX ? (int)c->got : SHOWN_MAX,
		    c->reply);
	if (c->ev != NULL)
		event_free(c->ev);
	if (c->fd != -1)
		(void)close(c->fd);
	c->ev = NULL;
	c->fd = -1;
	l->active--;
	if (why == NULL)
		start(c);
	if (l->active == 0)
		(void)event_base_loopbreak(l->base);
}

static void
on_read(struct client *c)
{
	ssize_t n;

	/* one byte is kept for a NUL */
	n = recv(c->fd, c->reply + c->got, REPLY_MAX - 1 - c->got,
	    MSG_DONTWAIT);
	if (n > 0)
		c->got += (size_t)n;
	else if (n == 0)
		finish(c, c->got == REPLY_MAX - 1 ? "it is too long" : NULL);
	else if (errno != EAGAIN && errno != EINTR)
		finish(c, strerror(errno));
}

/* Sends what is left; 1 when all is sent, 0 when not yet, -1 on failure. */
static int
send_rest(struct client *c)
{
	const struct load *l = c->load;
	struct iovec iov[2];
	struct msghdr m;
	size_t at;
	ssize_t n;

	while (c->sent < c->nhead + l->nrest) {
		memset(&m, 0, sizeof(m));
		m.msg_iov = iov;
		if (c->sent < c->nhead) {
			iov[m.msg_iovlen].iov_base = c->head + c->sent;
			iov[m.msg_iovlen++].iov_len = c->nhead - c->sent;
		}
		at = c->sent > c->nhead ? c->sent - c->nhead : 0;
		iov[m.msg_iovlen].iov_base = l->rest + at;
		iov[m.msg_iovlen++].iov_len = l->nrest - at;
		n = sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n == -1)
			return errno == EAGAIN || errno == EINTR ? 0 : -1;
		c->sent += (size_t)n;
	}
	return 1;
}

static void on_event(evutil_socket_t, short, void *);

/* Sends on, and once all is sent waits for the reply. */
static void
advance(struct client *c)
{
	int rc = send_rest(c);
	short what = rc == 0 ? EV_WRITE : EV_READ;

	if (rc == -1) {
		finish(c, strerror(errno));
		return;
	}
	if (rc == 1 && c->load->protocol == SPAMC)
		(void)shutdown(c->fd, SHUT_WR);
	if (c->ev != NULL && rc == 0)
		return;
	if (c->ev != NULL)
		event_free(c->ev);
	c->ev = event_new(c->load->base, c->fd, what | EV_PERSIST, on_event, c);
	if (c->ev == NULL || event_add(c->ev, NULL) == -1)
		finish(c, "out of memory");
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;

	(void)fd;
	if (what & EV_WRITE)
		advance(c);
	else
		on_read(c);
}

/* Writes the bytes that this mail does not share with the others. */
static void
make_head(struct client *c)
{
	const struct load *l = c->load;
	size_t length = l->size + sizeof(exim_lines) - 1;
	int n = 0;

	switch (l->protocol) {
	case SPAMC:
		n = snprintf(c->head, HEAD_MAX, "REPORT SPAMC/1.2\r\n"
		    "User: nobody\r\nContent-length: %zu\r\n\r\n%s%s",
		    length + l->nrcpts, exim_lines, l->rcpts);
		break;
	case RSPAMC:
		n = snprintf(c->head, HEAD_MAX, "CHECK RSPAMC/1.3\r\n"
		    "Content-length: %zu\r\nQueue-Id: 1xVA4m-0004UG-OO\r\n"
		    "From: <sender@sender.example>\r\n"
		    "Recipient-Number: %lu\r\n%sHelo: mail.sender.example\r\n"
		    "Hostname: client.sender.example\r\nIP: 192.0.2.7\r\n\r\n"
		    "%s%s", length + sizeof(one_rcpt) - 1,
		    l->recipients, l->rcpts, exim_lines, one_rcpt);
		break;
	default:
		n = snprintf(c->head, HEAD_MAX, "POST /checkv2 HTTP/1.1\r\n"
		    "Host: localhost\r\nUser-Agent: bench-load\r\n"
		    "Connection: close\r\nContent-Length: %zu\r\n"
		    "Queue-Id: 1xVA4m-0004UG-OO\r\n"
		    "From: <sender@sender.example>\r\nIP: 192.0.2.7\r\n"
		    "Helo: mail.sender.example\r\n"
		    "Hostname: client.sender.example\r\n"
		    "%s\r\n", l->size, l->rcpts);
		break;
	}
	n += snprintf(c->head + n, HEAD_MAX - (size_t)n, mail_head,
	    l->recipients == 1 ? for_rcpt : "", c->id);
	c->nhead = (size_t)n;
}

/* Begins the next mail, if there is to be one. */
static void
start(struct client *c)
{
	struct load *l = c->load;

	c->begun = now();
	if (l->sent == l->count || c->begun - l->begun >= l->seconds)
		return;
	(void)snprintf(c->id, ID_SIZE, "%08lu@bench.example", l->sent++);
	c->sent = c->got = 0;
	make_head(c);
	l->active++;
	c->fd = socket(l->address.ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* on the same machine this is over at once */
	if (c->fd == -1 || connect(c->fd, (struct sockaddr *)&l->address.ss,
	    l->address.len) == -1) {
		finish(c, strerror(errno));
		return;
	}
	advance(c);
}

static void
on_patience(evutil_socket_t fd, short what, void *arg)
{
	struct load *l = arg;

	(void)fd;
	(void)what;
	fprintf(stderr, "bench-load: %lu mails got no reply in time\n",
	    l->active);
	l->wrong += l->active;
	(void)event_base_loopbreak(l->base);
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The latency that the fraction Q of the mails kept to, in microseconds. */
static double
percentile(const struct load *l, double q)
{
	if (l->right == 0)
		return 0.0;
	return l->latency[(size_t)(q * (double)(l->right - 1) + 0.5)] * 1e6;
}

static void
report(struct load *l, double seconds)
{
	struct rusage ru;
	double cpu;

	(void)getrusage(RUSAGE_SELF, &ru);
	cpu = (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1e6 +
	    (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec);
	qsort(l->latency, l->right, sizeof(*l->latency), compare);
	printf("sent=%lu right=%lu wrong=%lu seconds=%.3f rate=%.1f "
	    "p50_us=%.1f p99_us=%.1f p999_us=%.1f cpu_us=%.0f\n", l->sent,
	    l->right, l->wrong, seconds, (double)l->right / seconds,
	    percentile(l, 0.5), percentile(l, 0.99), percentile(l, 0.999), cpu);
}

/* All mails, from the first to the last reply. */
static int
run(struct load *l)
{
	struct timeval patience = { (time_t)l->seconds + PATIENCE, 0 };
	struct client *clients;
	unsigned long i;
	struct event *timer;

	clients = calloc(l->connections, sizeof(*clients));
	timer = event_new(l->base, -1, EV_TIMEOUT, on_patience, l);
	if (clients == NULL || timer == NULL ||
	    event_add(timer, &patience) == -1)
		return -1;
	l->begun = now();
	for (i = 0; i < l->connections; i++) {
		clients[i].load = l;
		clients[i].fd = -1;
		start(&clients[i]);
	}
	if (l->active > 0)
		(void)event_base_dispatch(l->base);
	report(l, now() - l->begun);
	event_free(timer);
	for (i = 0; i < l->connections; i++) {
		if (clients[i].ev != NULL)
			event_free(clients[i].ev);
		if (clients[i].fd != -1)
			(void)close(clients[i].fd);
	}
	free(clients);
	return l->sent == l->right && l->wrong == 0 ? 0 : 1;
}

/* Makes what all mails share: lines of text up to the size. */
static int
make_rest(struct load *l)
{
	size_t head, i;

	head = sizeof(mail_head) - 1 - 2 * 2 + ID_SIZE - 1;
	if (l->recipients == 1)
		head += sizeof(for_rcpt) - 1;
	if (l->size <= head)
		return -1;
	l->nrest = l->size - head;
	if ((l->rest = malloc(l->nrest)) == NULL)
		return -1;
	for (i = 0; i < l->nrest; i++)
		l->rest[i] = mail_line[i % (sizeof(mail_line) - 1)];
	l->rest[l->nrest - 1] = '\n';
	return 0;
}

/* Writes the recipients as the protocol has them: HTTP and RSPAMC as header
 * lines, SPAMC as the end of Exim's own line. */
static int
make_recipients(struct load *l)
{
	size_t most = l->recipients * RECIPIENT_SIZE + 2;
	unsigned long i;

	if ((l->rcpts = malloc(most)) == NULL)
		return -1;
	for (i = 0; i < l->recipients; i++)
		l->nrcpts += (size_t)snprintf(l->rcpts + l->nrcpts,
		    most - l->nrcpts, l->protocol == SPAMC ?
		    "%srcpt%lu@rcpt.example" : "%sRcpt: <rcpt%lu@rcpt.example>\r\n",
		    l->protocol == SPAMC && i > 0 ? ", " : "", i);
	if (l->protocol == SPAMC) {
		(void)strcpy(l->rcpts + l->nrcpts, "\n");
		l->nrcpts++;
	}
	return 0;
}

static bool
take_options(struct load *l, int argc, char **argv)
{
	int opt, i;

	while ((opt = getopt(argc, argv, "c:n:p:r:s:t:x")) != -1)
		switch (opt) {
		case 'p':
			for (i = 0; i < NPROTOCOLS &&
			    strcmp(optarg, protocol_names[i]) != 0; i++)
				continue;
			l->protocol = (enum protocol)i;
			break;
		case 's':
			l->size = strtoul(optarg, NULL, 10);
			break;
		case 'c':
			l->connections = strtoul(optarg, NULL, 10);
			break;
		case 'n':
			l->count = strtoul(optarg, NULL, 10);
			break;
		case 'r':
			l->recipients = strtoul(optarg, NULL, 10);
			break;
		case 't':
			l->seconds = strtod(optarg, NULL);
			break;
		case 'x':
			l->cut = true;
			break;
		default:
			return false;
		}
	return optind == argc - 1 && l->protocol < NPROTOCOLS &&
	    l->size > 0 && l->connections > 0 &&
	    l->connections <= CONNECTIONS_MAX && l->count > 0 &&
	    l->recipients > 0 && l->recipients <= RECIPIENTS_MAX &&
	    l->count <= COUNT_MAX && l->seconds > 0.0 && l->seconds < 86400.0 &&
	    address_parse(&l->address, argv[optind]) == 0;
}

int
main(int argc, char **argv)
{
	struct load l = { .protocol = SPAMC, .size = 4096, .connections = 1,
	    .count = 100000, .recipients = 1, .seconds = 10.0 };
	int rc = EX_OSERR;

	if (!take_options(&l, argc, argv)) {
		fputs("usage: bench-load [-x] [-p spamc|rspamc|http] [-s SIZE] "
		    "[-c CONNECTIONS]\n\t[-n COUNT] [-r RECIPIENTS] "
		    "[-t SECONDS] HOST:PORT | unix:/path\n", stderr);
		return EX_USAGE;
	}
	l.latency = malloc(l.count * sizeof(*l.latency));
	l.base = event_base_new();
	if (l.latency == NULL || l.base == NULL || make_recipients(&l) == -1 ||
	    make_rest(&l) == -1)
		fputs("bench-load: out of memory, or SIZE is too small\n",
		    stderr);
	else
		rc = run(&l);
	if (rc == -1)
		rc = EX_OSERR;
	free(l.rcpts);
	free(l.rest);
	free(l.latency);
	if (l.base != NULL)
		event_base_free(l.base);
	return rc;
}

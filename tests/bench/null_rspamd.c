/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * null-rspamd: a rspamd that costs nothing.
 *
 *	null-rspamd [-s SYMBOLS] HOST[:PORT] | unix:/path
 *
 * It takes POST /checkv2 and answers a fixed verdict of about 1.5 KiB, in
 * which stand the mail's Message-ID and how many bytes of it came; then it
 * closes, as rspamd's scan workers do.  SYMBOLS are so many more than its 11.
 * The mail may also be in shared memory, which the headers Shm, Shm-Offset and
 * Shm-Length name: so rspamd_proxy hands it to a rspamd of its own host, in a
 * GET /checkv2.  GET /ping gets its pong, which does not count.  Anything else
 * is refused: a request without one of the envelope's headers is too.  Without
 * PORT it takes any free one: its address is written to stdout once it listens.
 * SIGTERM ends it, with the counts on stdout.
 */
#include "config.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/listener.h>

#include "address.h"
#include "verdict.h"

/* The head of the request must end within START_MAX bytes, and within MAIL_MAX
 * more the Message-ID. */
#define START_MAX	131072
#define MAIL_MAX	2048
#define READ_MAX	262144
#define HEAD_ROOM	256		/* for the reply's head */
#define SYMBOLS_MAX	1000
#define SYMBOL_SIZE	160		/* of one in the verdict */

struct server {
	struct event_base *base;
	uint64_t	 answered, refused;
	char		*symbols;		/* what -s adds */
	char		*body;			/* room for a verdict */
	size_t		 size;			/* of it */
	char		 scratch[READ_MAX];	/* what nobody looks at */
};

/* One connection; freed by close_client(). */
struct client {
	struct server	*server;
	struct event	*ev;
	uint64_t	 got;		/* bytes of the request */
	uint64_t	 due;		/* its length; 0: not known yet */
	size_t		 head;		/* length of its head */
	uint64_t	 mail;		/* length of the mail */
	bool		 ping;
	char		 start[START_MAX + MAIL_MAX + 1];	/* its first bytes, and a NUL */
};

static void
close_client(struct client *c)
{
	(void)close(event_get_fd(c->ev));
	event_free(c->ev);
	free(c);
}

/* Sends N bytes; waits where a socket's buffer has no room for them. */
static bool
send_all(int fd, const char *p, size_t n)
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };
	ssize_t sent;

	while (n > 0) {
		sent = send(fd, p, n, MSG_NOSIGNAL);
		if (sent == -1 && errno == EAGAIN && poll(&pfd, 1, -1) == 1)
			continue;
		if (sent == -1)
			return false;
		p += sent;
		n -= (size_t)sent;
	}
	return true;
}

/* Sends STATUS and the N bytes at BODY, which has HEAD_ROOM before them. */
static bool
respond(struct client *c, const char *status, char *body, int n)
{
	char head[HEAD_ROOM];
	int nhead;

	nhead = snprintf(head, sizeof(head), "HTTP/1.1 %s\r\n"
	    "Connection: close\r\nServer: null-rspamd\r\n"
	    "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n",
	    status, n);
	memcpy(body - nhead, head, (size_t)nhead);
	return send_all(event_get_fd(c->ev), body - nhead,
	    (size_t)nhead + (size_t)n);
}

static void
refuse(struct client *c, const char *why)
{
	char *body = c->server->body + HEAD_ROOM;
	int n;

	n = snprintf(body, c->server->size, "{\"error\":\"%s\"}", why);
	(void)respond(c, "400 Bad Request", body, n);
	c->server->refused++;
	close_client(c);
}

/* The whole request has come. */
static void
answer(struct client *c)
{
	static const char name[] = "\nMessage-ID: <";
	struct server *s = c->server;
	char *body = s->body + HEAD_ROOM;
	const char *id;
	int n;

	if (c->ping) {
		n = snprintf(body, s->size, "pong\r\n");
		(void)respond(c, "200 OK", body, n);
		close_client(c);
		return;
	}
	if ((id = strstr(c->start + c->head, name)) == NULL) {
		refuse(c, "no Message-ID");
		return;
	}
	id += sizeof(name) - 1;
	n = snprintf(body, s->size, bench_verdict, s->symbols, c->mail,
	    (int)strcspn(id, ">\n"), id);
	if (n < (int)s->size && respond(c, "200 OK", body, n))
		s->answered++;
	else
		s->refused++;
	close_client(c);
}

/* The value of a header in the head, which ends with a NUL, or NULL. */
static const char *
header(const struct client *c, const char *name)
{
	char line[32];
	int n = snprintf(line, sizeof(line), "\r\n%s: ", name);
	/* proxies may write names in their own way */
	const char *p = strcasestr(c->start, line);

	return p == NULL ? NULL : p + n;
}

/* The mail is in shared memory: looks at its start.  What is wrong, or NULL. */
static const char *
read_shared(struct client *c)
{
	const char *name = header(c, "Shm"), *at = header(c, "Shm-Offset");
	const char *length = header(c, "Shm-Length");
	char path[NAME_MAX];
	struct stat st;
	off_t offset = at == NULL ? 0 : strtoll(at, NULL, 10);
	ssize_t n = -1;
	int fd;

	if (name == NULL || length == NULL)
		return "there is no mail";
	(void)snprintf(path, sizeof(path), "%.*s", (int)strcspn(name, "\r"),
	    name);
	c->mail = strtoull(length, NULL, 10);
	if ((fd = shm_open(path, O_RDONLY, 0)) == -1)
		return "no such shared memory";
	if (fstat(fd, &st) == 0 &&
	    (uint64_t)st.st_size >= (uint64_t)offset + c->mail)
		n = pread(fd, c->start + c->head,
		    c->mail < MAIL_MAX ? c->mail : MAIL_MAX, offset);
	(void)close(fd);
	if (n == -1)
		return "the shared memory is too short";
	c->start[c->head + (size_t)n] = '\0';
	return NULL;
}

/* Reads the head that ends at END; returns what is wrong, or NULL. */
static const char *
read_head(struct client *c, char *end)
{
	static const char *const wanted[] = { "Queue-Id", "From", "Rcpt", "IP",
	    "Helo", "Hostname" };
	const char *length, *why = NULL;
	size_t i;

	c->head = (size_t)(end - c->start) + 4;
	*end = '\0';
	if ((c->ping = strncmp(c->start, "GET /ping ", 10) == 0)) {
		c->due = c->head;
		return NULL;
	}
	length = header(c, "Content-Length");
	for (i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
		if (header(c, wanted[i]) == NULL)
			why = "the envelope is not whole";
	if (strncmp(c->start, "GET /checkv2 HTTP/1.1\r\n", 23) == 0) {
		c->due = c->head;
		return why != NULL ? why : read_shared(c);
	}
	if (strncmp(c->start, "POST /checkv2 HTTP/1.1\r\n", 24) != 0 ||
	    length == NULL)
		return "not a POST /checkv2 with Content-Length";
	*end = '\r';
	c->mail = strtoull(length, NULL, 10);
	c->due = c->head + c->mail;
	return why;
}

/* Keeps what belongs to the start of the request. */
static void
keep_start(struct client *c, const char *p, size_t n)
{
	size_t most = START_MAX;

	if (c->head != 0 && c->head + MAIL_MAX < most)
		most = c->head + MAIL_MAX;
	if (c->got >= most)
		return;
	if (n > most - c->got)
		n = most - c->got;
	memcpy(c->start + c->got, p, n);
	c->start[c->got + n] = '\0';
}

/* Takes N more bytes.  Returns false when the client is done with. */
static bool
take(struct client *c, size_t n)
{
	const char *why = NULL;
	char *end;

	keep_start(c, c->server->scratch, n);
	c->got += n;
	if (c->due == 0) {
		end = strstr(c->start, "\r\n\r\n");
		if (end != NULL)
			why = read_head(c, end);
		else if (c->got >= START_MAX)
			why = "the head is too long";
		if (why == NULL && end == NULL)
			return true;
	}
	if (why == NULL && c->got > c->due)
		why = "more bytes than Content-Length says";
	if (why != NULL)
		refuse(c, why);
	else if (c->got == c->due)
		answer(c);
	else
		return true;
	return false;
}

static void
on_read(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	ssize_t n;

	(void)what;
	do {
		n = recv(fd, c->server->scratch, READ_MAX, MSG_DONTWAIT);
		if (n > 0 && !take(c, (size_t)n))
			return;
	} while (n == READ_MAX);
	if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR)) {
		/* rspamd gives a client that half-closes no answer either;
		 * who says nothing at all only looked whether it listens */
		if (c->got > 0)
			c->server->refused++;
		close_client(c);
	}
}

static void
on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa,
    int len, void *arg)
{
	struct server *s = arg;
	struct client *c;

	(void)l;
	(void)sa;
	(void)len;
	if ((c = malloc(sizeof(*c))) == NULL) {
		(void)close(fd);
		return;
	}
	c->server = s;
	c->got = c->due = 0;
	c->head = 0;
	c->mail = 0;
	c->ping = false;
	c->start[0] = '\0';
	c->ev = event_new(s->base, fd, EV_READ | EV_PERSIST, on_read, c);
	if (c->ev == NULL || event_add(c->ev, NULL) == -1) {
		(void)close(fd);
		if (c->ev != NULL)
			event_free(c->ev);
		free(c);
	}
}

static void
on_sigterm(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	(void)event_base_loopbreak(arg);
}

/* Says where L listens, which ADDRESS may not tell. */
static void
announce(struct evconnlistener *l, const char *address)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);

	if (strchr(address, ':') == NULL &&
	    getsockname(evconnlistener_get_fd(l), (struct sockaddr *)&sin,
	    &len) == 0 && sin.sin_family == AF_INET)
		printf("%s:%d\n", address, ntohs(sin.sin_port));
	else
		printf("%s\n", address);
	(void)fflush(stdout);
}

static int
serve(struct server *s, const char *address)
{
	struct evconnlistener *l = NULL;
	struct event *term;
	struct address a;
	int code = EX_OSERR;

	if (address_parse(&a, address) == -1) {
		fprintf(stderr, "null-rspamd: %s: not an address\n", address);
		return EX_USAGE;
	}
	term = evsignal_new(s->base, SIGTERM, on_sigterm, s->base);
	l = evconnlistener_new_bind(s->base, on_accept, s,
	    LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, SOMAXCONN,
	    (struct sockaddr *)&a.ss, (int)a.len);
	if (term == NULL || l == NULL || event_add(term, NULL) == -1) {
		perror(address);
		goto done;
	}
	announce(l, address);
	code = event_base_dispatch(s->base) == -1 ? EX_OSERR : EX_OK;
	printf("answered=%" PRIu64 " refused=%" PRIu64 "\n", s->answered,
	    s->refused);
done:
	if (l != NULL)
		evconnlistener_free(l);
	if (term != NULL)
		event_free(term);
	return code;
}

/* Writes N symbols, and makes room for a verdict with them. */
static int
prepare(struct server *s, unsigned long n)
{
	size_t at = 0, most = n * SYMBOL_SIZE + 1;
	unsigned long i;

	s->size = most + sizeof(bench_verdict) + MAIL_MAX;
	s->symbols = malloc(most);
	s->body = malloc(HEAD_ROOM + s->size);
	if (s->symbols == NULL || s->body == NULL)
		return -1;
	s->symbols[0] = '\0';
	for (i = 0; i < n; i++)
		at += (size_t)snprintf(s->symbols + at, most - at,
		    "\"TEST_%03lu\":{\"name\":\"TEST_%03lu\",\"score\":0.0,"
		    "\"metric_score\":0.0,\"description\":\"A symbol more\","
		    "\"options\":[\"one\",\"two\"]},", i, i);
	return 0;
}

int
main(int argc, char **argv)
{
	struct server *s;
	unsigned long symbols = 0;
	int opt, code = EX_OSERR;

	while ((opt = getopt(argc, argv, "s:")) != -1)
		symbols = opt == 's' ? strtoul(optarg, NULL, 10) : ULONG_MAX;
	if (optind != argc - 1 || symbols > SYMBOLS_MAX) {
		fputs("usage: null-rspamd [-s SYMBOLS] "
		    "HOST[:PORT] | unix:/path\n", stderr);
		return EX_USAGE;
	}
	if ((s = calloc(1, sizeof(*s))) == NULL ||
	    (s->base = event_base_new()) == NULL || prepare(s, symbols) == -1)
		fputs("null-rspamd: out of memory\n", stderr);
	else
		code = serve(s, argv[optind]);
	if (s != NULL) {
		if (s->base != NULL)
			event_base_free(s->base);
		free(s->symbols);
		free(s->body);
	}
	free(s);
	return code;
}

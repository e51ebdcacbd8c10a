/*
 * stream: what it asks of the kernel, seen by a setsockopt() of this program's
 * own, and what it learns from it.  Both ends of each connection are streams
 * of one event loop.
 */
#include "config.h"

#include <sys/socket.h>
#include <sys/syscall.h>

#include <check.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "stream.h"
#include "tls.h"

#define REQUEST	"a request"
#define REPLY	"a reply"
/* Descriptors of a test are far below. */
#define FDS_MAX	1024

/* How often a quick ACK was asked for, by descriptor; and what comes of it. */
static unsigned int asked[FDS_MAX];
static int	quickack_result;

int
setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
#ifdef TCP_QUICKACK
	if (level == IPPROTO_TCP && name == TCP_QUICKACK && fd >= 0 &&
	    fd < FDS_MAX && len == sizeof(int) && *(const int *)value == 1) {
		asked[fd]++;
		return quickack_result;
	}
#endif
	return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
}

struct end {
	struct stream	*stream;
	int		 fd;
	bool		 connected, gone;
	unsigned int	 at_read;	/* quick ACKs asked for before it was told */
};

static void
on_stream(struct stream *s, enum stream_event ev, void *arg)
{
	struct end *e = arg;

	(void)s;
	e->connected |= ev == STREAM_CONNECTED;
	e->gone |= ev == STREAM_GONE;
	if (ev == STREAM_READ)
		e->at_read = asked[e->fd];
}

/* A context for a server with a certificate that nobody vouches for. */
static SSL_CTX *
server_context(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	EVP_PKEY_CTX *kc = EVP_PKEY_CTX_new_id(EVP_PKEY_ED25519, NULL);
	EVP_PKEY *key = NULL;
	X509 *cert = X509_new();

	ck_assert(ctx != NULL && kc != NULL && cert != NULL);
	ck_assert_int_eq(EVP_PKEY_keygen_init(kc), 1);
	ck_assert_int_eq(EVP_PKEY_keygen(kc, &key), 1);
	(void)X509_gmtime_adj(X509_getm_notBefore(cert), -60);
	(void)X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	ck_assert_int_eq(X509_set_pubkey(cert, key), 1);
	ck_assert_int_ne(X509_sign(cert, key, NULL), 0);
	ck_assert_int_eq(SSL_CTX_use_certificate(ctx, cert), 1);
	ck_assert_int_eq(SSL_CTX_use_PrivateKey(ctx, key), 1);
	X509_free(cert);
	EVP_PKEY_free(key);
	EVP_PKEY_CTX_free(kc);
	return ctx;
}

/* Two connected non-blocking sockets of FAMILY. */
static void
pair(int family, int fd[2])
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int listener, i;

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (family == AF_UNIX)
		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	else {
		listener = socket(AF_INET, SOCK_STREAM, 0);
		fd[0] = socket(AF_INET, SOCK_STREAM, 0);
		ck_assert_int_eq(bind(listener, (struct sockaddr *)&sin,
		    sizeof(sin)), 0);
		ck_assert_int_eq(listen(listener, 1), 0);
		ck_assert_int_eq(getsockname(listener,
		    (struct sockaddr *)&sin, &len), 0);
		ck_assert_int_eq(connect(fd[0], (struct sockaddr *)&sin, len),
		    0);
		fd[1] = accept(listener, NULL, NULL);
		(void)close(listener);
	}
	for (i = 0; i < 2; i++) {
		ck_assert(fd[i] >= 0 && fd[i] < FDS_MAX);
		(void)fcntl(fd[i], F_SETFL, O_NONBLOCK);
	}
}

static void
send_text(struct end *e, const char *text)
{
	ck_assert_int_eq(evbuffer_add(stream_output(e->stream), text,
	    strlen(text)), 0);
	ck_assert_int_eq(stream_flush(e->stream), 1);
}

static void
await_text(struct event_base *base, struct end *e, const char *text)
{
	struct evbuffer *in = stream_input(e->stream);

	while (evbuffer_get_length(in) < strlen(text)) {
		ck_assert(!e->gone);
		ck_assert_int_eq(event_base_loop(base, EVLOOP_ONCE), 0);
	}
	ck_assert_uint_eq(evbuffer_get_length(in), strlen(text));
	ck_assert_mem_eq(evbuffer_pullup(in, -1), text, strlen(text));
}

/* Two connected ends, and what is theirs. */
struct ends {
	struct event_base *base;
	SSL_CTX		*theirs, *ours;
	struct end	 client, server;
};

static void
open_ends(struct ends *e, int family, bool tls)
{
	const char *why;
	int fd[2];

	memset(e, 0, sizeof(*e));
	e->base = event_base_new();
	e->theirs = server_context();
	e->ours = tls_client(false, NULL, &why);
	ck_assert(e->base != NULL && e->ours != NULL);
	pair(family, fd);
	memset(asked, 0, sizeof(asked));
	e->client.fd = fd[0];
	e->server.fd = fd[1];
	e->client.stream = stream_new(e->base, fd[0], family, on_stream,
	    &e->client);
	e->server.stream = stream_new(e->base, fd[1], family, on_stream,
	    &e->server);
	ck_assert(e->client.stream != NULL && e->server.stream != NULL);
	if (tls) {
		stream_tls(e->client.stream, tls_connection(e->ours,
		    "127.0.0.1"));
		stream_tls(e->server.stream, tls_accept(e->theirs));
	}
	ck_assert_int_eq(stream_start(e->client.stream, false), 0);
	ck_assert_int_eq(stream_start(e->server.stream, false), 0);
	while (tls && !(e->client.connected && e->server.connected)) {
		ck_assert(!e->client.gone && !e->server.gone);
		ck_assert_int_eq(event_base_loop(e->base, EVLOOP_ONCE), 0);
	}
}

static void
close_ends(struct ends *e)
{
	stream_free(e->client.stream);
	stream_free(e->server.stream);
	SSL_CTX_free(e->theirs);
	tls_free(e->ours);
	event_base_free(e->base);
}

/* What one exchange asked for: on sending, on receiving, on the other side. */
struct seen {
	unsigned int	sent, received, server;
};

static struct seen
exchange(int family, bool tls)
{
	struct seen seen;
	struct ends e;

	open_ends(&e, family, tls);
	seen.sent = asked[e.client.fd];
	send_text(&e.client, REQUEST);
	seen.sent = asked[e.client.fd] - seen.sent;
	await_text(e.base, &e.server, REQUEST);
	seen.received = asked[e.client.fd];
	send_text(&e.server, REPLY);
	await_text(e.base, &e.client, REPLY);
	seen.received = e.client.at_read - seen.received;
	seen.server = asked[e.server.fd];
	close_ends(&e);
	return seen;
}

/* rspamd waits for the acknowledgement of what it has sent. */
START_TEST(test_quick_ack)
{
	struct seen seen;

	quickack_result = _i;
	seen = exchange(AF_INET, true);
#ifdef TCP_QUICKACK
	ck_assert_uint_ge(seen.sent, 1);
	ck_assert_uint_ge(seen.received, 1);
#endif
	ck_assert_uint_eq(seen.server, 0);
}
END_TEST

static void
is_not_asked_for(int family, bool tls)
{
	struct seen seen;

	quickack_result = 0;
	seen = exchange(family, tls);
	ck_assert_uint_eq(seen.sent, 0);
	ck_assert_uint_eq(seen.received, 0);
	ck_assert_uint_eq(seen.server, 0);
}

START_TEST(test_quick_ack_of_a_unix_socket)
{
	is_not_asked_for(AF_UNIX, true);
}
END_TEST

START_TEST(test_quick_ack_without_tls)
{
	is_not_asked_for(AF_INET, false);
}
END_TEST

/* Bytes that no event has told of, as they come before the loop is asked. */
static void
await_bytes(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	ck_assert_int_eq(poll(&p, 1, 120000), 1);
}

static const struct {
	int family;
	bool tls;
} kinds[] = {
	{ AF_INET, false }, { AF_UNIX, false }, { AF_INET, true },
	{ AF_UNIX, true }
};

/* What has come is seen at once: a reply, or the end. */
START_TEST(test_quiet)
{
	struct evbuffer *in;
	struct ends e;
	int ending;

	for (ending = 0; ending < 2; ending++) {
		open_ends(&e, kinds[_i].family, kinds[_i].tls);
		in = stream_input(e.client.stream);
		/* of TLS, session tickets may be there already */
		ck_assert(stream_is_quiet(e.client.stream));
		send_text(&e.server, REPLY);
		await_text(e.base, &e.client, REPLY);
		/* nobody has taken it */
		ck_assert(!stream_is_quiet(e.client.stream));
		(void)evbuffer_drain(in, evbuffer_get_length(in));
		ck_assert(stream_is_quiet(e.client.stream));
		if (ending == 1)
			stream_shutdown(e.server.stream);
		else
			send_text(&e.server, REPLY);
		await_bytes(e.client.fd);
		ck_assert(!stream_is_quiet(e.client.stream));
		close_ends(&e);
	}
}
END_TEST

int
main(void)
{
	Suite *s = suite_create("stream");
	TCase *tc = tcase_create("quick ACK"), *quiet = tcase_create("quiet");
	SRunner *sr;
	int failed;

	(void)setenv("CK_DEFAULT_TIMEOUT", "240", 0);
	suite_add_tcase(s, tc);
	/* where the kernel takes the option, and where it does not */
	tcase_add_loop_test(tc, test_quick_ack, -1, 1);
	tcase_add_test(tc, test_quick_ack_of_a_unix_socket);
	tcase_add_test(tc, test_quick_ack_without_tls);
	suite_add_tcase(s, quiet);
	tcase_add_loop_test(quiet, test_quiet, 0,
	    sizeof(kinds) / sizeof(kinds[0]));
	sr = srunner_create(s);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

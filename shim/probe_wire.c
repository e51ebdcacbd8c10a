/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/un.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "exchange.h"
#include "probe_wire.h"
#include "timer.h"
#include "tls.h"

/* A connection while it lasts. */
struct wire {
	const struct probe_wire_peer *peer;
	struct probe_wire_answer *a;
	int	 fd;
	SSL	*ssl;
	int	 send_flags;
	double	 until;		/* when the phase is over, as of timer_now() */
	const char *key;	/* which deadline that is */
	double	 limit;
};

static void
enter(struct wire *w, const char *key, double limit)
{
	if (w->peer->brief && limit > w->peer->timeout->connect) {
		key = "timeout_connect";
		limit = w->peer->timeout->connect;
	}
	w->key = key;
	w->limit = limit;
	w->until = timer_now() + limit;
}

static bool
fail(struct wire *w, enum probe_wire_fault f, const char *why)
{
	struct probe_wire_answer *a = w->a;

	a->fault = f;
	if (a->timed_out)
		(void)snprintf(a->why, sizeof(a->why), "%s = %g s is over",
		    w->key, w->limit);
	else
		(void)snprintf(a->why, sizeof(a->why), "%s", why);
	return false;
}

/* Fails for the reason that errno or, where it has none, OpenSSL names. */
static bool
fail_errno(struct wire *w, enum probe_wire_fault f)
{
	const char *why = NULL;

	w->a->error = errno;
	if (errno != 0)
		return fail(w, f, strerror(errno));
	why = ERR_reason_error_string(ERR_peek_last_error());
	return fail(w, f, why != NULL ? why : "the connection was closed");
}

/* Waits for EVENTS of poll(); false, and errno set, when time is up. */
static bool
wait_for(struct wire *w, short events)
{
	struct pollfd p = { .fd = w->fd, .events = events };
	double left;
	int rc;

	do {
		left = w->until - timer_now();
		rc = left <= 0 ? 0 : poll(&p, 1, (int)(left * 1000) + 1);
	} while (rc == -1 && errno == EINTR);
	if (rc > 0)
		return true;
	if (rc == 0) {
		w->a->timed_out = true;
		errno = ETIMEDOUT;
	}
	return false;
}

static bool
connect_socket(struct wire *w)
{
	const struct sockaddr *sa = w->peer->addr;
	socklen_t len = sizeof(int);
	int rc, error = 0, one = 1;

	w->fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK |
	    SOCK_CLOEXEC, 0);
	if (w->fd == -1)
		return false;
	if (sa->sa_family != AF_UNIX)
		(void)setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &one,
		    sizeof(one));
	rc = connect(w->fd, sa, w->peer->len);
	if (rc == 0)
		return true;
	if (errno != EINPROGRESS || !wait_for(w, POLLOUT) ||
	    getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &len) == -1)
		return false;
	errno = error;
	return error == 0;
}

/*
 * An operation of OpenSSL has returned RC.  Returns 1 if it is to be tried
 * again, 0 at the end of the stream, -1 on a failure.
 */
static int
retry(struct wire *w, int rc)
{
	int e = errno;

	switch (SSL_get_error(w->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return wait_for(w, POLLIN) ? 1 : -1;
	case SSL_ERROR_WANT_WRITE:
		return wait_for(w, POLLOUT) ? 1 : -1;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		/* closed without TLS's own goodbye */
		errno = e;
		return e == 0 ? 0 : -1;
	default:
		errno = 0;
#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
		/* the same, as OpenSSL 3 says it */
		if (ERR_GET_REASON(ERR_peek_last_error()) ==
		    SSL_R_UNEXPECTED_EOF_WHILE_READING)
			return 0;
#endif
		return -1;
	}
}

/* The whole days until CERT expires; negative if it has. */
static int
days_left(const X509 *cert)
{
	int days, seconds;

	if (cert == NULL ||
	    ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(cert)) != 1)
		return PROBE_WIRE_NO_DAYS;
	return days > 0 || (days == 0 && seconds > 0) ? days :
	    days < 0 ? days : -1;
}

int
probe_wire_days(struct ssl_ctx_st *ctx)
{
	return days_left(SSL_CTX_get0_certificate(ctx));
}

static bool
fail_tls(struct wire *w)
{
	long verify = SSL_get_verify_result(w->ssl);

	if (verify == X509_V_OK ||
	    SSL_get_verify_mode(w->ssl) == SSL_VERIFY_NONE)
		return fail_errno(w, PROBE_WIRE_TLS);
	w->a->error = (int)verify;
	return fail(w, PROBE_WIRE_CERTIFICATE,
	    X509_verify_cert_error_string(verify));
}

static bool
shake_hands(struct wire *w)
{
	X509 *cert;
	int rc, again = 1;

	if (w->peer->host != NULL)
		w->ssl = tls_connection(w->peer->tls, w->peer->host);
	else if ((w->ssl = SSL_new(w->peer->tls)) != NULL)
		SSL_set_connect_state(w->ssl);
	if (w->ssl == NULL || SSL_set_fd(w->ssl, w->fd) != 1)
		return fail(w, PROBE_WIRE_TLS, "out of memory");
	do {
		ERR_clear_error();
		errno = 0;
		rc = SSL_do_handshake(w->ssl);
	} while (rc != 1 && (again = retry(w, rc)) == 1);
	if (rc != 1)
		return fail_tls(w);
	cert = SSL_get_peer_certificate(w->ssl);
	w->a->days = days_left(cert);
	X509_free(cert);
	return true;
}

/* Sends or receives some bytes.  Returns how many, 0 at the end, or -1. */
static ssize_t
move(struct wire *w, bool out, char *buf, size_t len)
{
	ssize_t n;
	int rc, again;

	for (;;) {
		ERR_clear_error();
		errno = 0;
		if (w->ssl == NULL) {
			n = out ? send(w->fd, buf, len, w->send_flags) :
			    recv(w->fd, buf, len, 0);
			if (n >= 0 || (errno != EAGAIN && errno != EINTR))
				return n;
			again = wait_for(w, out ? POLLOUT : POLLIN) ? 1 : -1;
		} else {
			rc = out ? SSL_write(w->ssl, buf, (int)len) :
			    SSL_read(w->ssl, buf, (int)len);
			if (rc > 0)
				return rc;
			again = retry(w, rc);
		}
		if (again != 1)
			return again;
	}
}

/* A server may answer, and close, before it has read all: that is no fault. */
static bool
send_question(struct wire *w, const struct probe_wire_question *q)
{
	char part[1024];
	size_t at, n;
	ssize_t sent;

	/* the half-close goes out with the last bytes: a scan that was faster
	   than it would be answered by any rspamd */
	w->send_flags = MSG_NOSIGNAL | (q->half_close ? MSG_MORE : 0);
	enter(w, "timeout_send", w->peer->timeout->send);
	for (at = 0; at < q->len; at += (size_t)sent) {
		n = q->len - at < sizeof(part) ? q->len - at : sizeof(part);
		memcpy(part, q->text + at, n);
		if ((sent = move(w, true, part, n)) <= 0)
			return !w->a->timed_out || fail(w, PROBE_WIRE_LOST, "");
	}
	if (q->half_close && w->ssl == NULL)
		(void)shutdown(w->fd, SHUT_WR);
	return true;
}

/* Keeps the first bytes of an answer. */
static void
keep(struct probe_wire_answer *a, const char *buf, size_t n)
{
	size_t room = sizeof(a->raw) - 1 - a->nraw;

	if (n > room)
		n = room;
	memcpy(a->raw + a->nraw, buf, n);
	a->nraw += n;
}

static bool
is_over(const struct probe_wire_answer *a, enum probe_wire_end end,
    enum http_progress pr)
{
	switch (end) {
	case PROBE_WIRE_HTTP:
		return pr != HTTP_MORE;
	case PROBE_WIRE_LINE:
		return memchr(a->raw, '\n', a->nraw) != NULL;
	default:
		return false;
	}
}

static bool
receive_answer(struct wire *w, enum probe_wire_end end)
{
	struct probe_wire_answer *a = w->a;
	enum http_progress pr = HTTP_MORE;
	char buf[4096];
	ssize_t n;

	enter(w, "timeout_wait", w->peer->timeout->wait);
	do {
		n = move(w, false, buf, sizeof(buf));
		if (n > 0 && a->nraw == 0)
			enter(w, "timeout_receive", w->peer->timeout->receive);
		if (n > 0)
			keep(a, buf, (size_t)n);
		if (n >= 0 && pr == HTTP_MORE)
			pr = http_response_feed(a->http, buf, (size_t)n,
			    n == 0);
	} while (n > 0 && !is_over(a, end, pr));
	if (n == -1)
		return fail_errno(w, PROBE_WIRE_LOST);
	return true;
}

void
probe_wire_ask(const struct probe_wire_peer *peer,
    const struct probe_wire_question *q, struct probe_wire_answer *a)
{
	struct wire w = { .peer = peer, .a = a, .fd = -1 };
	double start = timer_now();
	bool connected;

	memset(a, 0, sizeof(*a));
	a->days = PROBE_WIRE_NO_DAYS;
	a->http = http_response_new(EXCHANGE_REPLY_MAX);
	enter(&w, "timeout_connect", peer->timeout->connect);
	if (a->http == NULL)
		(void)fail(&w, PROBE_WIRE_LOST, "out of memory");
	else if (!connect_socket(&w))
		(void)fail_errno(&w, PROBE_WIRE_CONNECT);
	else {
		connected = peer->tls == NULL || shake_hands(&w);
		a->connect = timer_now() - start;
		if (connected && send_question(&w, q))
			(void)receive_answer(&w, q->end);
	}
	a->total = timer_now() - start;
	if (w.ssl != NULL)
		(void)SSL_shutdown(w.ssl);
	SSL_free(w.ssl);
	if (w.fd != -1)
		(void)close(w.fd);
}

void
probe_wire_free(struct probe_wire_answer *a)
{
	http_response_free(a->http);
	a->http = NULL;
}

const char *
probe_wire_line(const struct probe_wire_answer *a, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%.*s", (int)strcspn(a->raw, "\r\n"),
	    a->raw);
	return buf;
}

/* All addresses of HOST:PORT. */
static const char *
each_of_host(const char *address, void (*fn)(const struct sockaddr *,
    socklen_t, void *), void *arg)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list, *ai;
	const char *port = strrchr(address, ':') + 1, *h;
	char host[256];
	int rc;

	(void)snprintf(host, sizeof(host), "%.*s", (int)(port - address) - 1,
	    address);
	host[strcspn(host, "]")] = '\0';
	h = host[0] == '[' ? host + 1 : host;
	/* without a name the addresses are this host's own */
	rc = getaddrinfo(strcmp(h, "*") == 0 ? NULL : h, port, &hints, &list);
	if (rc != 0)
		return gai_strerror(rc);
	for (ai = list; ai != NULL; ai = ai->ai_next)
		fn(ai->ai_addr, ai->ai_addrlen, arg);
	freeaddrinfo(list);
	return NULL;
}

const char *
probe_wire_each(const char *address, void (*fn)(const struct sockaddr *,
    socklen_t, void *), void *arg)
{
	const char *path = conf_unix_path(address);
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	if (path == NULL)
		return each_of_host(address, fn, arg);
	/* the caller has seen to its length */
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	fn((const struct sockaddr *)&sun, sizeof(sun), arg);
	return NULL;
}

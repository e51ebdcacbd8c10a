/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * probe_wire: one question to one server and its answer, with deadlines, and
 * what went wrong in which phase.
 *
 * It is for --probe: it blocks, it can half-close, and it keeps what the
 * server said, whether that is HTTP or not.
 */
#ifndef PROBE_WIRE_H_
#define PROBE_WIRE_H_

#include <sys/socket.h>

#include <stdbool.h>
#include <stddef.h>

#include "conf.h"
#include "http_response.h"

struct ssl_ctx_st;

/* Whom to ask.  Nothing in it is owned. */
struct probe_wire_peer {
	const struct sockaddr *addr;
	socklen_t	 len;
	struct ssl_ctx_st *tls;		/* NULL: plain */
	const char	*host;		/* the certificate's name; NULL: any */
	const struct conf_timeouts *timeout;
	bool		 brief;		/* wait for no longer than
					   timeout->connect in any phase */
};

enum probe_wire_end {
	PROBE_WIRE_HTTP,	/* when the response is whole, or is none */
	PROBE_WIRE_LINE,	/* after one line */
	PROBE_WIRE_CLOSE	/* when the server closes */
};

/* What to ask, and when the answer is over. */
struct probe_wire_question {
	const char	*text;
	size_t		 len;
	bool		 half_close;	/* after it; not over TLS */
	enum probe_wire_end end;
};

enum probe_wire_fault {
	PROBE_WIRE_OK,		/* the answer came, or the server closed */
	PROBE_WIRE_CONNECT,	/* no connection: see error, timed_out */
	PROBE_WIRE_TLS,		/* the handshake failed */
	PROBE_WIRE_CERTIFICATE,	/* its certificate was refused */
	PROBE_WIRE_LOST		/* the connection broke, or took too long */
};

struct probe_wire_answer {
	enum probe_wire_fault fault;
	int		 error;		/* an errno, 0: none; or, of
					   PROBE_WIRE_CERTIFICATE, OpenSSL's
					   X509_V_ERR_ code */
	bool		 timed_out;
	char		 why[200];	/* a fault's reason, for people */
	double		 connect;	/* seconds, TLS included */
	double		 total;		/* seconds, connect included */
	int		 days;		/* the certificate is still valid for;
					   PROBE_WIRE_NO_DAYS: there is none */
	struct http_response *http;	/* what has come, as HTTP */
	char		 raw[512];	/* and its first bytes, with a NUL */
	size_t		 nraw;
};

#define PROBE_WIRE_NO_DAYS	99999

/*
 * Asks PEER the question Q.  A must be freed with probe_wire_free() whatever
 * has come of it.
 */
void	probe_wire_ask(const struct probe_wire_peer *peer,
	    const struct probe_wire_question *q, struct probe_wire_answer *a);
void	probe_wire_free(struct probe_wire_answer *a);

/*
 * Calls FN with each socket address of ADDRESS, which has the form of one to
 * listen on, found as listener.c finds them.  Returns why it has none, or NULL.
 */
const char *probe_wire_each(const char *address, void (*fn)(
	    const struct sockaddr *sa, socklen_t len, void *arg), void *arg);

/* The days that the certificate of the context CTX is still valid for. */
int	probe_wire_days(struct ssl_ctx_st *ctx);

/* Puts the first line that the server sent into BUF of SIZE, cut to fit. */
const char *probe_wire_line(const struct probe_wire_answer *a, char *buf,
	    size_t size);

#endif

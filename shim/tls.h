/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tls: OpenSSL's side of connections: to a rspamd that speaks https, and of
 * clients.
 */
#ifndef TLS_H_
#define TLS_H_

#include <stdbool.h>

struct ssl_ctx_st;
struct ssl_st;

/*
 * A context for connections to a rspamd, owned by the caller: TLS 1.2 or
 * later, and unless VERIFY is false a certificate that CA_FILE (NULL: the
 * system's store) vouches for.  NULL, and *WHY set to a static text, on
 * failure.
 */
struct ssl_ctx_st *tls_client(bool verify, const char *ca_file,
	    const char **why);

/*
 * A context for clients, owned by the caller: TLS 1.2 or later, with the
 * certificate chain and the key of these PEM files; with CLIENT_CA (NULL: no
 * client is asked) only clients with a certificate that it vouches for.
 * NULL, and *WHY set to a static text, on failure.
 */
struct ssl_ctx_st *tls_server(const char *certificate, const char *key,
	    const char *client_ca, const char **why);

/* One client's state, for stream_tls().  NULL without memory. */
struct ssl_st *tls_accept(struct ssl_ctx_st *ctx);

/* Frees CTX; NULL is allowed. */
void	tls_free(struct ssl_ctx_st *ctx);

/*
 * One connection's state, for stream_tls(): SNI and, where the context
 * verifies, the certificate's name are HOST, a name or an IP address.
 * NULL without memory.
 */
struct ssl_st *tls_connection(struct ssl_ctx_st *ctx, const char *host);

#endif

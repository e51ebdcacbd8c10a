/*
 * tls: OpenSSL's side of connections to a rspamd that speaks https.
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

/* Frees CTX; NULL is allowed. */
void	tls_free(struct ssl_ctx_st *ctx);

/*
 * One connection's state, for stream_tls(): SNI and, where the context
 * verifies, the certificate's name are HOST, a name or an IP address.
 * NULL without memory.
 */
struct ssl_st *tls_connection(struct ssl_ctx_st *ctx, const char *host);

#endif

#include "config.h"

#include <arpa/inet.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "tls.h"

struct ssl_ctx_st *
tls_client(bool verify, const char *ca_file, const char **why)
{
	SSL_CTX *ctx;

	*why = "OpenSSL gives no context";
	if ((ctx = SSL_CTX_new(TLS_client_method())) == NULL)
		return NULL;
	(void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_verify(ctx, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
	    NULL);
	*why = "no CA certificates could be read";
	if (ca_file != NULL ?
	    SSL_CTX_load_verify_locations(ctx, ca_file, NULL) == 1 :
	    SSL_CTX_set_default_verify_paths(ctx) == 1)
		return ctx;
	ERR_clear_error();
	SSL_CTX_free(ctx);
	return NULL;
}

void
tls_free(struct ssl_ctx_st *ctx)
{
	SSL_CTX_free(ctx);
}

static bool
is_ip(const char *host)
{
	unsigned char a[16];

	return inet_pton(AF_INET, host, a) == 1 ||
	    inet_pton(AF_INET6, host, a) == 1;
}

struct ssl_st *
tls_connection(struct ssl_ctx_st *ctx, const char *host)
{
	SSL *ssl;
	int ok;

	if ((ssl = SSL_new(ctx)) == NULL)
		return NULL;
	/* SNI is for names only (RFC 6066, 3) */
	if (is_ip(host))
		ok = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host);
	else
		ok = SSL_set1_host(ssl, host) &&
		    SSL_set_tlsext_host_name(ssl, host) == 1;
	if (ok)
		return ssl;
	SSL_free(ssl);
	return NULL;
}

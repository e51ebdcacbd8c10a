/* SPDX-License-Identifier: GPL-2.0-or-later */
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

/* Loads what a server has; returns what cannot be loaded, or NULL. */
static const char *
load_server(SSL_CTX *ctx, const char *certificate, const char *key,
    const char *client_ca)
{
	STACK_OF(X509_NAME) *names;

	if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1)
		return "the certificate cannot be used";
	if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		return "the key cannot be used, or is not the certificate's";
	if (client_ca == NULL)
		return NULL;
	if (SSL_CTX_load_verify_locations(ctx, client_ca, NULL) != 1 ||
	    (names = SSL_load_client_CA_file(client_ca)) == NULL)
		return "client_ca cannot be used";
	SSL_CTX_set_client_CA_list(ctx, names);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER |
	    SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return NULL;
}

struct ssl_ctx_st *
tls_server(const char *certificate, const char *key, const char *client_ca,
    const char **why)
{
	static const unsigned char id[] = PACKAGE_NAME;
	SSL_CTX *ctx;

	*why = "OpenSSL gives no context";
	if ((ctx = SSL_CTX_new(TLS_server_method())) == NULL)
		return NULL;
	(void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	/* sessions that are resumed need it where clients are verified */
	(void)SSL_CTX_set_session_id_context(ctx, id, sizeof(id) - 1);
	if ((*why = load_server(ctx, certificate, key, client_ca)) == NULL)
		return ctx;
	ERR_clear_error();
	SSL_CTX_free(ctx);
	return NULL;
}

struct ssl_st *
tls_accept(struct ssl_ctx_st *ctx)
{
	SSL *ssl;

	if ((ssl = SSL_new(ctx)) != NULL)
		SSL_set_accept_state(ssl);
	return ssl;
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
	SSL_set_connect_state(ssl);
	if (ok)
		return ssl;
	SSL_free(ssl);
	return NULL;
}

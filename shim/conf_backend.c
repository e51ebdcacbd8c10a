/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf_backend.h"
#include "conf_value.h"
#include "password_guard.h"
#include "tls.h"

static bool
parse_url(struct conf_backend *b)
{
	static const char http[] = "http://", https[] = "https://";
	const char *path = conf_unix_path(b->url), *rest;
	char *copied;
	size_t n;
	bool ok;

	if (path != NULL) {
		b->path = conf_copy(path);
		return conf_fits_unix(path);
	}
	if (strncmp(b->url, http, sizeof(http) - 1) == 0)
		rest = b->url + sizeof(http) - 1;
	else if (strncmp(b->url, https, sizeof(https) - 1) == 0) {
		rest = b->url + sizeof(https) - 1;
		b->tls = true;
	} else
		return false;
	n = strcspn(rest, "/");
	if (rest[n] == '/' && rest[n + 1] != '\0')
		return false;		/* there is one path, /checkv2 */
	if ((copied = strndup(rest, n)) == NULL)
		return false;
	ok = conf_host_port(copied, &b->host, &b->port);
	free(copied);
	return ok;
}

void
conf_backend_load(struct conf_backend *b, const char *url, cfg_t *sec)
{
	const char *why;

	b->verify = true;
	if ((b->url = conf_copy(url)) == NULL) {
		conf_bad("backend", "an empty URL");
		return;
	}
	if (!parse_url(b))
		conf_bad(url, "not the URL of a rspamd; write http://HOST:PORT, "
		    "https://HOST:PORT or unix:/path");
	if (sec != NULL) {
		b->verify = cfg_getbool(sec, "verify") == cfg_true;
		b->ca_file = conf_copy(cfg_getstr(sec, "ca_file"));
	}
	conf_readable(url, "ca_file", b->ca_file);
	if (conf_faulty() || !b->tls)
		return;
	b->ctx = tls_client(b->verify, b->ca_file, &why);
	if (b->ctx == NULL)
		conf_bad(url, "TLS: %s", why);
}

/* An integer of SEC from LEAST to MOST. */
static unsigned int
whole(const char *url, cfg_t *sec, const char *key, long least, long most)
{
	long n = cfg_getint(sec, key);

	if (n < least || n > most)
		conf_bad(url, "%s: %ld is not between %ld and %ld", key, n, least,
		    most);
	return (unsigned int)n;
}

void
conf_backend_share(struct conf_backend *b, cfg_t *sec)
{
	b->weight = 1;
	b->keep_alive = true;
	/* without a URL it is at fault already */
	if (sec == NULL || b->url == NULL)
		return;
	b->weight = whole(b->url, sec, "weight", 1, 1000);
	b->priority = whole(b->url, sec, "priority", 0, 1000);
	b->max_requests = whole(b->url, sec, "max_requests", 0, 1000000);
	b->keep_alive = cfg_getbool(sec, "keep_alive") == cfg_true;
}

void
conf_backend_password(struct conf_backend *b)
{
	const char *file = b->password_file;
	char line[258];
	struct stat st;
	size_t n;
	FILE *f;

	if ((f = fopen(file, "re")) == NULL) {
		conf_bad(file, "the password file cannot be read: %s",
		    strerror(errno));
		return;
	}
	if (fstat(fileno(f), &st) == -1 || !S_ISREG(st.st_mode))
		conf_bad(file, "the password file is not a regular file");
	else if ((st.st_mode & S_IROTH) != 0)
		conf_bad(file, "the password file can be read by everybody; chmod "
		    "it to 0640 or less");
	else if (fgets(line, sizeof(line), f) == NULL ||
	    (n = strcspn(line, "\r\n")) == 0)
		conf_bad(file, "the password file is empty");
	else if (n > 255)
		conf_bad(file, "the password is longer than 255 bytes");
	else {
		line[n] = '\0';
		b->password = conf_copy(line);
	}
	(void)fclose(f);
}

void
conf_backend_guard(struct conf_backend *b)
{
	void *p;

	p = mmap(NULL, sizeof(*b->guard), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		conf_bad(b->url, "out of memory");
	else
		b->guard = p;
}

void
conf_backend_free(struct conf_backend *b)
{
	if (b->guard != NULL)
		(void)munmap(b->guard, sizeof(*b->guard));
	free(b->url);
	free(b->host);
	free(b->port);
	free(b->path);
	tls_free(b->ctx);
	free(b->ca_file);
	free(b->password_file);
	if (b->password != NULL)
		explicit_bzero(b->password, strlen(b->password));
	free(b->password);
}

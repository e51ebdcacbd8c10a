/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf.h"
#include "conf_value.h"

#define UNIX_PREFIX	"unix:"

/* No size is larger, so that it has at most 19 digits when it is written. */
#define SIZE_VALUE_MAX	(UINT64_MAX / 4)

/* libconfuse's error function has no argument of ours. */
static void (*say_line)(const char *);
static const char *in_file;
static bool is_faulty;

void
conf_begin(void (*say)(const char *), const char *file)
{
	say_line = say;
	in_file = file;
	is_faulty = false;
}

bool
conf_faulty(void)
{
	return is_faulty;
}

/* Tells the fault LINE, as one line of text: what it quotes may be more. */
static void
tell(char *line)
{
	char *p;

	is_faulty = true;
	for (p = line; *p != '\0'; p++)
		if (iscntrl((unsigned char)*p))
			*p = '?';
	say_line(line);
}

void
conf_complain(cfg_t *cfg, const char *fmt, va_list ap)
{
	char what[512], line[768];

	(void)vsnprintf(what, sizeof(what), fmt, ap);
	if (cfg != NULL && cfg->filename != NULL && cfg->line > 0)
		(void)snprintf(line, sizeof(line), "%s:%d: %s", cfg->filename,
		    cfg->line, what);
	else
		(void)snprintf(line, sizeof(line), "%s", what);
	tell(line);
}

/*
 * The number of the first line of the file that has WORD and is no comment;
 * 0 if there is none.
 */
static unsigned int
find_line(const char *word)
{
	char *line = NULL;
	unsigned int n = 0, found = 0;
	size_t size = 0;
	FILE *f;

	if ((f = fopen(in_file, "re")) == NULL)
		return 0;
	while (found == 0 && getline(&line, &size, f) != -1) {
		n++;
		if (line[strspn(line, " \t")] != '#' &&
		    strstr(line, word) != NULL)
			found = n;
	}
	free(line);
	(void)fclose(f);
	return found;
}

void
conf_bad(const char *where, const char *fmt, ...)
{
	char what[512], line[768];
	unsigned int n;
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	/* what is not in the file comes from the command line or defaults */
	if (in_file != NULL && (n = find_line(where)) > 0)
		(void)snprintf(line, sizeof(line), "%s:%u: %s: %s", in_file, n,
		    where, what);
	else
		(void)snprintf(line, sizeof(line), "%s: %s", where, what);
	tell(line);
}

const char *
conf_unix_path(const char *s)
{
	return strncmp(s, UNIX_PREFIX, sizeof(UNIX_PREFIX) - 1) == 0 ?
	    s + sizeof(UNIX_PREFIX) - 1 : NULL;
}

bool
conf_is_host_name(const char *s)
{
	static const char fit[] = "abcdefghijklmnopqrstuvwxyz"
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";
	size_t n;

	if (strlen(s) > 253)
		return false;
	for (;; s += n + 1) {
		n = strspn(s, fit);
		if (n < 1 || n > 63 || s[0] == '-' || s[n - 1] == '-')
			return false;
		if (s[n] == '\0')
			return true;
		if (s[n] != '.')
			return false;
	}
}

bool
conf_fits_unix(const char *path)
{
	return *path == '/' &&
	    strlen(path) < sizeof(((struct sockaddr_un *)NULL)->sun_path);
}

char *
conf_copy(const char *s)
{
	char *p;

	if (s == NULL || *s == '\0')
		return NULL;
	if ((p = strdup(s)) == NULL)
		conf_bad("configuration", "out of memory");
	return p;
}

uint64_t
conf_size(const char *s)
{
	unsigned int shift = 0;
	uint64_t v = 0;
	size_t n;

	/* 19 digits always fit, and are more than any memory has bytes */
	for (n = 0; s[n] >= '0' && s[n] <= '9' && n < 19; n++)
		v = v * 10 + (uint64_t)(s[n] - '0');
	if (n == 0)
		return 0;
	switch (s[n]) {
	case 'G': case 'g':
		shift += 10;	/* FALLTHROUGH */
	case 'M': case 'm':
		shift += 10;	/* FALLTHROUGH */
	case 'K': case 'k':
		shift += 10;
		n++;
	}
	return s[n] == '\0' && v <= SIZE_VALUE_MAX >> shift ? v << shift : 0;
}

int
conf_choice(const char *where, const char *key, const char *s,
    const char *const *names, int n)
{
	char all[200];
	size_t len = 0;
	int i;

	for (i = 0; i < n; i++)
		if (strcmp(s, names[i]) == 0)
			return i;
	all[0] = '\0';
	for (i = 0; i < n && len < sizeof(all); i++)
		len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%s",
		    i > 0 ? ", " : "", names[i]);
	conf_bad(where, "%s = \"%s\" is not known; one of: %s", key, s, all);
	return -1;
}

void
conf_readable(const char *where, const char *key, const char *file)
{
	if (file != NULL && access(file, R_OK) == -1)
		conf_bad(where, "%s %s cannot be read: %s", key, file,
		    strerror(errno));
}

bool
conf_host_port(const char *s, char **host, char **port)
{
	const char *colon = strrchr(s, ':'), *end = colon;
	const char *start = s;
	long n;
	char *rest;

	if (colon == NULL || colon == s || colon[1] == '\0')
		return false;
	if (*s == '[') {
		start++;
		end--;
		if (*end != ']')
			return false;
	} else if (memchr(s, ':', (size_t)(colon - s)) != NULL)
		return false;		/* IPv6 goes in brackets */
	n = strtol(colon + 1, &rest, 10);
	if (colon[1] < '0' || colon[1] > '9' || *rest != '\0' || n < 1 ||
	    n > 65535 || end == start)
		return false;
	if (host != NULL) {
		if ((*host = strndup(start, (size_t)(end - start))) == NULL)
			conf_bad(s, "out of memory");
		*port = conf_copy(colon + 1);
	}
	return true;
}

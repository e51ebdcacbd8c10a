/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * conf_value: what the readers of the configuration's parts share: telling
 * faults, and reading values.  Only they include it.
 */
#ifndef CONF_VALUE_H_
#define CONF_VALUE_H_

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include <confuse.h>

/*
 * Faults go to SAY from now on; none was seen yet.  FILE is named in them;
 * NULL: there is none.
 */
void	conf_begin(void (*say)(const char *line), const char *file);

/* Was a fault told since conf_begin()? */
bool	conf_faulty(void);

/* A fault of the setting called WHERE; its line in the file is told, too. */
void	conf_bad(const char *where, const char *fmt, ...)
	    __attribute__((format(printf, 2, 3)));

/* The same as libconfuse's error function, with the file and line. */
void	conf_complain(cfg_t *cfg, const char *fmt, va_list ap)
	    __attribute__((format(printf, 2, 0)));

/* A copy of S; NULL for NULL and ""; without memory it is a fault. */
char	*conf_copy(const char *s);

/* "50M" in bytes; 0 for what is no size, or more than 4 EiB. */
uint64_t conf_size(const char *s);

/* The index of S, the value of KEY, among N names; or a fault and -1. */
int	conf_choice(const char *where, const char *key, const char *s,
	    const char *const *names, int n);

/*
 * Is S HOST:PORT or [HOST]:PORT?  Copies both parts, owned by the caller, if
 * HOST is not NULL.
 */
bool	conf_host_port(const char *s, char **host, char **port);

/*
 * Is S a host name (RFC 1123, 2.1): labels of letters, digits and hyphens, of
 * 63 bytes at most and without a hyphen at either end, with dots between, and
 * of 253 bytes in all?
 */
bool	conf_is_host_name(const char *s);

/* Is PATH absolute, and not longer than a socket's address can be? */
bool	conf_fits_unix(const char *path);

/* A fault if FILE, the value of KEY, cannot be read; NULL is allowed. */
void	conf_readable(const char *where, const char *key, const char *file);

#endif

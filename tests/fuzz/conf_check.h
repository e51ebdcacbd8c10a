/*
 * conf_check: what must be true of every configuration, wherever it comes
 * from.  For the fuzz targets of the file and of the command line.
 *
 * TLS contexts and the users of the machine are stubs: the first take a
 * millisecond each, the second are not the same everywhere.  The one user and
 * group is "nobody".
 */
#ifndef CONF_CHECK_H_
#define CONF_CHECK_H_

#include <stdbool.h>
#include <stddef.h>

#include "conf.h"

/* A file that can be a password file, certificate, key or CA file. */
#define CONF_CHECK_SECRET	"/proc/self/fd/100"

/* Makes the file of CONF_CHECK_SECRET; to be called first. */
void	conf_check_init(void);

/* The path of a file of the LEN bytes at P, the caller's, until the next call. */
const char *conf_check_file(const void *p, size_t len);

/*
 * Loads what ARGS ask for.  It is either refused, with faults of one line
 * each, or, looked at if DUMP, its dump means the same.  Aborts where that is
 * not so.
 */
void	conf_check(const struct conf_args *args, bool dump);

#endif

#include "config.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <ctype.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf_check.h"
#include "tls.h"

#define SECRET_FD	100	/* of CONF_CHECK_SECRET */
/* Of the configuration.  It is longer than what the fuzzer takes from the
   comparisons that it sees (64 bytes): an address that begins with it would
   look like a fault in a line of the file. */
#define FILE_NAME	"/the/file/of/the/configuration/" \
	"that/is/in/memory/and/has/a/name/which/no/input/will/hold"

static const void *text;	/* of the file of that name */
static size_t text_len;

static unsigned long nlines;	/* of the file that is loaded */
static size_t nfaults;

static void
require(bool truth)
{
	if (!truth)
		abort();
}

/* ---- stubs ---- */

/*
 * libconfuse compares each key with each option.  The sanitizer's own strcmp()
 * would tell the fuzzer of each of them, at half the time of a run; this one
 * is checked as all code is.
 */
int
strcmp(const char *a, const char *b)
{
	for (; *a != '\0' && *a == *b; a++)
		b++;
	return (unsigned char)*a - (unsigned char)*b;
}

struct passwd *
getpwnam(const char *name)
{
	static struct passwd nobody;

	return strcmp(name, "nobody") == 0 ? &nobody : NULL;
}

struct group *
getgrnam(const char *name)
{
	static struct group nobody;

	return strcmp(name, "nobody") == 0 ? &nobody : NULL;
}

/* Something that must be freed; or nothing, for CA files without use. */
struct ssl_ctx_st *
tls_client(bool verify, const char *ca_file, const char **why)
{
	*why = "no use";
	return verify || ca_file == NULL ? malloc(1) : NULL;
}

struct ssl_ctx_st *
tls_server(const char *certificate, const char *key, const char *client_ca,
    const char **why)
{
	require(certificate != NULL && key != NULL);
	return tls_client(client_ca == NULL, key, why);
}

void
tls_free(struct ssl_ctx_st *ctx)
{
	free(ctx);
}

/*
 * The configuration file is memory: a real one, of a descriptor even, takes a
 * fifth of a run.
 */
FILE *
fopen(const char *path, const char *mode)
{
	static FILE *(*real)(const char *, const char *);

	if (strcmp(path, FILE_NAME) == 0)
		/* fmemopen() does not say const */
		return fmemopen((void *)(uintptr_t)text, text_len, mode);
	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "fopen");
	return real(path, mode);
}

/* What has no descriptor is that file. */
int
fstat(int fd, struct stat *st)
{
	if (fd != -1)
		return fstatat(fd, "", st, AT_EMPTY_PATH);
	memset(st, 0, sizeof(*st));
	st->st_mode = S_IFREG;
	st->st_size = (off_t)text_len;
	return 0;
}

/* ---- files ---- */

void
conf_check_init(void)
{
	int fd = memfd_create("secret", MFD_CLOEXEC);

	require(fd != -1 && dup2(fd, SECRET_FD) == SECRET_FD);
	require(close(fd) == 0);
	require(fchmod(SECRET_FD, 0600) == 0);
	require(write(SECRET_FD, "secret\n", 7) == 7);
}

const char *
conf_check_file(const void *p, size_t len)
{
	size_t i;

	text = p;
	text_len = len;
	nlines = 1;
	for (i = 0; i < len; i++)
		nlines += ((const char *)p)[i] == '\n';
	return FILE_NAME;
}

/* ---- the checks ---- */

/* A fault is one line, and if it names the file's line, that is there. */
static void
on_fault(const char *line)
{
	static const char file[] = FILE_NAME ":";
	const char *p;

	nfaults++;
	require(*line != '\0');
	for (p = line; *p != '\0'; p++)
		require(!iscntrl((unsigned char)*p));
	p = line + sizeof(file) - 1;
	if (strncmp(line, file, sizeof(file) - 1) == 0 &&
	    isdigit((unsigned char)*p))
		require(strtoul(p, NULL, 10) - 1 < nlines);
}

static void
same_string(const char *a, const char *b)
{
	require(a == NULL || b == NULL ? a == b : strcmp(a, b) == 0);
}

static void
same_strings(char *const *a, char *const *b, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		same_string(a[i], b[i]);
}

/*
 * Says of two pointers that what they point to has been compared: in the
 * copies of two structs X and Y they are no difference any more.
 */
#define COMPARED(field)	((void)(x.field = NULL, y.field = NULL))
#define SAME_STRING(field) \
	(same_string(x.field, y.field), COMPARED(field))
#define SAME_IF_SET(field) \
	(require((x.field == NULL) == (y.field == NULL)), COMPARED(field))

static void
same_listen(const struct conf_listen *a, const struct conf_listen *b)
{
	struct conf_listen x, y;

	/* the bytes between the fields, too: they are zero */
	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	SAME_STRING(address);
	SAME_STRING(owner);
	SAME_STRING(group);
	SAME_STRING(certificate);
	SAME_STRING(key);
	SAME_STRING(client_ca);
	SAME_STRING(unnamed_user);
	SAME_STRING(mta_name);
	SAME_IF_SET(tls);
	require(x.nallow == y.nallow);
	same_strings(x.allow_text, y.allow_text, x.nallow);
	require(memcmp(x.allow, y.allow, x.nallow * sizeof(*x.allow)) == 0);
	COMPARED(allow_text);
	COMPARED(allow);
	require(x.policy.nspam_actions == y.policy.nspam_actions);
	same_strings((char *const *)x.policy.spam_actions,
	    (char *const *)y.policy.spam_actions, x.policy.nspam_actions);
	COMPARED(policy.spam_actions);
	require(memcmp(&x, &y, sizeof(x)) == 0);
}

static void
same_backend(const struct conf_backend *a, const struct conf_backend *b)
{
	struct conf_backend x, y;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	SAME_STRING(url);
	SAME_STRING(host);
	SAME_STRING(port);
	SAME_STRING(path);
	SAME_STRING(ca_file);
	SAME_STRING(password_file);
	SAME_STRING(password);
	SAME_IF_SET(ctx);
	SAME_IF_SET(guard);
	require(memcmp(&x, &y, sizeof(x)) == 0);
}

static void
same(const struct conf *a, const struct conf *b)
{
	struct conf x, y;
	size_t i;

	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	require(x.nlisten == y.nlisten && x.nstatus == y.nstatus);
	require(x.nbackend == y.nbackend && x.ncontroller == y.ncontroller);
	for (i = 0; i < x.nlisten; i++)
		same_listen(&x.listen[i], &y.listen[i]);
	for (i = 0; i < x.nstatus; i++)
		same_listen(&x.status[i], &y.status[i]);
	for (i = 0; i < x.nbackend; i++)
		same_backend(&x.backend[i], &y.backend[i]);
	for (i = 0; i < x.ncontroller; i++)
		same_backend(&x.controller[i], &y.controller[i]);
	COMPARED(file);
	COMPARED(listen);
	COMPARED(status);
	COMPARED(backend);
	COMPARED(controller);
	SAME_STRING(user);
	SAME_STRING(group);
	SAME_STRING(chroot);
	SAME_STRING(pid_file);
	require(memcmp(&x, &y, sizeof(x)) == 0);
}

static struct conf *
load(const struct conf_args *args)
{
	struct conf *c;

	nfaults = 0;
	c = conf_load(args, on_fault);
	require((c == NULL) == (nfaults > 0));
	return c;
}

/* What is dumped of C means the same. */
static void
check_dump(const struct conf *c)
{
	struct conf_args again = { .file = NULL };
	struct conf *d;
	size_t len;
	char *s;
	FILE *f;

	require((f = open_memstream(&s, &len)) != NULL);
	conf_dump(c, f);
	require(fclose(f) == 0);
	again.file = conf_check_file(s, len);
	require((d = load(&again)) != NULL);
	same(c, d);
	conf_free(d);
	free(s);
}

void
conf_check(const struct conf_args *args, bool dump)
{
	struct conf *c = load(args);

	if (c != NULL && dump)
		check_dump(c);
	conf_free(c);
}

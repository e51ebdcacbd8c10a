/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "inherited.h"
#include "listener.h"
#include "log.h"

#define SOCKETS_MAX	256

struct listener {
	char	*address;	/* as configured: what a reload goes by */
	int	 fd;
	bool	 kept;		/* inherited: it outlives us */
	size_t	 section;
	char	*path;		/* of a unix socket, else NULL */
	dev_t	 dev;		/* and which file it is */
	ino_t	 ino;
};

/* First those of listen sections, then those of the page's: these sections
   are numbered on from the listen sections. */
struct listeners {
	struct listener	 list[SOCKETS_MAX];
	size_t		 n, nmail;
	size_t		 nlisten;	/* listen sections */
	struct inherited *inherited;	/* handed on at a reload */
};

size_t
listeners_count(const struct listeners *ls)
{
	return ls->nmail;
}

size_t
listeners_status_count(const struct listeners *ls)
{
	return ls->n - ls->nmail;
}

int
listeners_status_fd(const struct listeners *ls, size_t i)
{
	return ls->list[ls->nmail + i].fd;
}

size_t
listeners_status_section(const struct listeners *ls, size_t i)
{
	return ls->list[ls->nmail + i].section - ls->nlisten;
}

int
listeners_fd(const struct listeners *ls, size_t i)
{
	return ls->list[i].fd;
}

size_t
listeners_section(const struct listeners *ls, size_t i)
{
	return ls->list[i].section;
}

bool
listeners_kept(const struct listeners *ls, size_t i)
{
	return ls->list[i].kept;
}

/* What to do about a bind() that failed because of E. */
static const char *
advice(int e)
{
	switch (e) {
	case EACCES:
		return "; ports below 1024 need root or CAP_NET_BIND_SERVICE, "
		    "or choose another with -l";
	case EADDRINUSE:
		return "; another program has it (SpamAssassin's spamd, or a "
		    "second rspamd-shim?): stop that, or choose another with -l";
	case EADDRNOTAVAIL:
		return "; this machine does not have that address";
	default:
		return "";
	}
}

static int
bind_error_code(int e)
{
	return e == EACCES || e == EPERM ? EX_NOPERM : EX_OSERR;
}

/* ST is the file of a unix socket at PATH; both NULL for another. */
static bool
add(struct listeners *ls, const char *address, size_t section, int fd,
    const char *path, const struct stat *st)
{
	struct listener *l;

	if (ls->n == SOCKETS_MAX) {
		log_msg(LOG_ERR, "%s: more than %d listening sockets", address,
		    SOCKETS_MAX);
		return false;
	}
	l = &ls->list[ls->n];
	memset(l, 0, sizeof(*l));
	l->fd = fd;
	l->section = section;
	l->address = strdup(address);
	if (path != NULL)
		l->path = strdup(path);
	if (l->address == NULL || (path != NULL && l->path == NULL)) {
		log_msg(LOG_ERR, "%s: out of memory", address);
		free(l->address);
		free(l->path);
		return false;
	}
	if (path != NULL) {
		l->dev = st->st_dev;
		l->ino = st->st_ino;
	}
	ls->n++;
	return true;
}

/* The entry with the socket FD, or NULL; LS may be NULL. */
static const struct listener *
entry_of(const struct listeners *ls, int fd)
{
	size_t i;

	for (i = 0; ls != NULL && i < ls->n; i++)
		if (ls->list[i].fd == fd)
			return &ls->list[i];
	return NULL;
}

/* Lets SECTION, for ADDRESS, have the inherited socket IS. */
static bool
use_inherited(struct listeners *ls, const char *address, size_t section,
    const struct inherited_socket *is, int *code)
{
	const struct listener *l = entry_of(ls, is->fd);

	if (l != NULL && l->section == section)
		return true;		/* it is both 0.0.0.0 and [::] */
	if (l != NULL) {
		log_msg(LOG_ERR, "%s: cannot listen: the socket that systemd "
		    "hands over serves listen \"%s\" already", address,
		    l->address);
		*code = EX_CONFIG;
		return false;
	}
	if (!add(ls, address, section, is->fd, NULL, NULL))
		return false;
	ls->list[ls->n - 1].kept = true;
	return true;
}

/*
 * Has each inherited socket a section?  If not, its clients would wait for
 * ever, or be trusted in a way that nobody has chosen.
 */
static bool
all_used(const struct listeners *ls, int *code)
{
	const struct inherited_socket *is;
	bool ok = true;
	size_t i;

	for (i = 0; (is = inherited_get(ls->inherited, i)) != NULL; i++) {
		if (entry_of(ls, is->fd) != NULL)
			continue;
		log_msg(LOG_ERR, "%s: systemd hands over a socket%s%s for which "
		    "there is no listen section: add listen \"%s\" { }, or "
		    "take the address out of the socket unit", is->address,
		    is->name[0] != '\0' ? " of " : "", is->name, is->address);
		*code = EX_CONFIG;
		ok = false;
	}
	return ok;
}

/* Binds and listens at one of the addresses of a name. */
static int
open_tcp(const char *address, const struct addrinfo *a)
{
	int fd, one = 1, e;

	fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1) {
		e = errno;
		log_msg(LOG_ERR, "%s: cannot listen: socket(): %s", address,
		    strerror(e));
		errno = e;
		return -1;
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	/* clients inherit it: replies go out in one piece */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (a->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one,
		    sizeof(one));
	if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 &&
	    listen(fd, SOMAXCONN) == 0)
		return fd;
	e = errno;
	log_msg(LOG_ERR, "%s: cannot listen: %s%s", address, strerror(e),
	    advice(e));
	(void)close(fd);
	errno = e;
	return -1;
}

/* The addresses of ADDRESS; NULL after a line in the log. */
static struct addrinfo *
resolve(const char *address)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
	    .ai_flags = AI_PASSIVE }, *list = NULL;
	char host[256];
	const char *port = strrchr(address, ':') + 1, *h = host;
	size_t n = (size_t)(port - address) - 1;
	int rc;

	if (n >= sizeof(host))
		n = sizeof(host) - 1;
	memcpy(host, address, n);
	host[n] = '\0';
	if (host[0] == '[') {
		host[n - 1] = '\0';
		h = host + 1;
	}
	rc = getaddrinfo(strcmp(h, "*") == 0 ? NULL : h, port, &hints, &list);
	if (rc == 0)
		return list;
	log_msg(LOG_ERR, "%s: cannot listen: %s", address, gai_strerror(rc));
	return NULL;
}

/*
 * Opens one address of a name.  Returns 1, or 0 for one that this machine
 * does not have, or -1.
 */
static int
open_address(struct listeners *ls, const char *address, size_t section,
    const struct addrinfo *a, int *code)
{
	const struct inherited_socket *is;
	int fd;

	if ((is = inherited_at(ls->inherited, a->ai_addr)) != NULL)
		return use_inherited(ls, address, section, is, code) ? 1 : -1;
	if ((fd = open_tcp(address, a)) == -1) {
		*code = bind_error_code(errno);
		/* localhost is ::1 too, even where there is no IPv6 */
		return errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT ? 0 : -1;
	}
	if (add(ls, address, section, fd, NULL, NULL))
		return 1;
	(void)close(fd);
	return -1;
}

static bool
open_host(struct listeners *ls, const char *address, size_t section, int *code)
{
	struct addrinfo *list, *a;
	bool opened = false;
	int rc = 0;

	if ((list = resolve(address)) == NULL) {
		*code = EX_NOHOST;
		return false;
	}
	for (a = list; a != NULL && rc != -1; a = a->ai_next) {
		rc = open_address(ls, address, section, a, code);
		opened |= rc == 1;
	}
	freeaddrinfo(list);
	return opened && rc != -1;
}

/*
 * Makes room for a socket at SUN: a file that nobody listens on any more is
 * removed.  Returns 0, or an errno.
 */
static int
remove_stale(const struct sockaddr_un *sun)
{
	struct stat st;
	int fd, e = 0;

	if (lstat(sun->sun_path, &st) == -1)
		return errno == ENOENT ? 0 : errno;
	if (!S_ISSOCK(st.st_mode))
		return EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return errno;
	/* EAGAIN: its queue is full, so somebody has it */
	if (connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 ||
	    errno == EAGAIN)
		e = EADDRINUSE;
	else if (errno != ECONNREFUSED)
		e = errno;
	(void)close(fd);
	if (e == 0 && unlink(sun->sun_path) == -1 && errno != ENOENT)
		e = errno;
	return e;
}

/* The socket file at PATH, as a descriptor that only names it; or -1. */
static int
open_file(const char *path, struct stat *st)
{
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd == -1)
		return -1;
	if (fstat(fd, st) == 0 && S_ISSOCK(st->st_mode))
		return fd;
	(void)close(fd);
	errno = EEXIST;
	return -1;
}

/*
 * Gives the socket file that FILE names its mode and owner.  It goes by the
 * file, not by its path: whoever owns the directory could put another there.
 * Returns what failed, or NULL.
 */
static const char *
set_access(const struct conf_listen *l, int file)
{
	struct passwd *pw = NULL;
	struct group *gr = NULL;
	char proc[64];

	errno = 0;
	if (l->owner != NULL && (pw = getpwnam(l->owner)) == NULL)
		return "its owner is not a user of this machine";
	if (l->group != NULL && (gr = getgrnam(l->group)) == NULL)
		return "its group is not a group of this machine";
	if ((pw != NULL || gr != NULL) && fchownat(file, "",
	    pw != NULL ? pw->pw_uid : (uid_t)-1,
	    gr != NULL ? gr->gr_gid : (gid_t)-1, AT_EMPTY_PATH) == -1)
		return "its owner cannot be set";
	(void)snprintf(proc, sizeof(proc), "/proc/self/fd/%d", file);
	if (chmod(proc, l->mode) == -1)
		return "its mode cannot be set";
	return NULL;
}

/* Binds a socket at SUN, as yet without access for anybody. */
static int
bind_unix(const struct sockaddr_un *sun)
{
	int fd, e;
	mode_t mask;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	mask = umask(0777);
	e = bind(fd, (const struct sockaddr *)sun, sizeof(*sun)) == -1 ?
	    errno : 0;
	(void)umask(mask);
	if (e == 0)
		return fd;
	(void)close(fd);
	errno = e;
	return -1;
}

static bool
cannot(const char *address, const char *why, int e, int code, int *exit_code)
{
	log_msg(LOG_ERR, "%s: cannot listen: %s%s%s", address,
	    why != NULL ? why : "", why != NULL && e != 0 ? ": " : "",
	    e != 0 ? strerror(e) : "");
	*exit_code = e == EACCES || e == EPERM ? EX_NOPERM : code;
	return false;
}

static bool
open_unix(struct listeners *ls, const struct conf_listen *l, size_t section,
    int *code)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const char *path = conf_unix_path(l->address), *why = NULL;
	struct stat st;
	const struct inherited_socket *is;
	int fd, file, e;

	/* conf has looked at its length */
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	is = inherited_at(ls->inherited, (const struct sockaddr *)&sun);
	if (is != NULL)
		return use_inherited(ls, l->address, section, is, code);
	e = remove_stale(&sun);
	if (e == EADDRINUSE)
		return cannot(l->address, "another process listens there", 0,
		    EX_OSERR, code);
	if (e == EEXIST)
		return cannot(l->address, "the file there is not a socket", 0,
		    EX_CANTCREAT, code);
	if (e != 0 || (fd = bind_unix(&sun)) == -1)
		return cannot(l->address, NULL, e != 0 ? e : errno,
		    EX_CANTCREAT, code);
	file = open_file(path, &st);
	if (file == -1)
		why = "its file cannot be found again";
	else if ((why = set_access(l, file)) == NULL) {
		if (listen(fd, SOMAXCONN) == -1)
			why = "listen()";
		else if (!add(ls, l->address, section, fd, path, &st))
			why = "out of memory";
	}
	e = errno;
	if (file != -1)
		(void)close(file);
	if (why == NULL)
		return true;
	(void)unlink(path);
	(void)close(fd);
	return cannot(l->address, why, e, EX_CONFIG, code);
}

/* Is the file at L's path still the one that it bound? */
static bool
is_ours(const struct listener *l)
{
	struct stat st;

	return lstat(l->path, &st) == 0 && st.st_dev == l->dev &&
	    st.st_ino == l->ino;
}

/*
 * Takes the sockets of ADDRESS over from OLD; false if it has none, or if
 * the file of its socket is gone and a new one is to be bound.
 */
static bool
take_over(struct listeners *ls, const struct listeners *old,
    const char *address, size_t section)
{
	const struct listener *l;
	struct stat st = { .st_dev = 0 };
	bool found = false;
	size_t i;

	for (i = 0; old != NULL && i < old->n; i++) {
		l = &old->list[i];
		if (strcmp(l->address, address) != 0 ||
		    (l->path != NULL && !is_ours(l)))
			continue;
		st.st_dev = l->dev;
		st.st_ino = l->ino;
		if (!add(ls, address, section, l->fd, l->path, &st))
			continue;
		ls->list[ls->n - 1].kept = l->kept;
		found = true;
	}
	return found;
}

/*
 * Closes those sockets of LS that KEEP does not hold, but not inherited ones,
 * and frees LS.
 */
static void
discard(struct listeners *ls, const struct listeners *keep, bool remove_files)
{
	struct listener *l;
	size_t i;

	for (i = 0; i < ls->n; i++) {
		l = &ls->list[i];
		if (l->fd == -1 || entry_of(keep, l->fd) == NULL) {
			if (l->fd != -1 && !l->kept)
				(void)close(l->fd);
			if (remove_files && l->path != NULL && is_ours(l))
				(void)unlink(l->path);
		}
		free(l->address);
		free(l->path);
	}
	if (keep == NULL || keep->inherited != ls->inherited)
		inherited_free(ls->inherited);
	free(ls);
}

/* The access to unix sockets that were taken over may have been changed. */
static void
update_access(const struct listeners *ls, const struct conf *conf)
{
	const struct conf_listen *section;
	const struct listener *l;
	const char *why;
	struct stat st;
	size_t i;
	int file;

	for (i = 0; i < ls->n; i++) {
		l = &ls->list[i];
		section = i < ls->nmail ? &conf->listen[l->section] :
		    &conf->status[l->section - ls->nlisten];
		if (l->path == NULL)
			continue;
		why = "its file cannot be found";
		if ((file = open_file(l->path, &st)) != -1) {
			if (st.st_dev == l->dev && st.st_ino == l->ino)
				why = set_access(section, file);
			(void)close(file);
		}
		if (why != NULL)
			log_msg(LOG_WARNING, "%s: its access was not changed: "
			    "%s", l->address, why);
	}
}

/* Opens what L, section number I, asks for, or takes it over from OLD. */
static bool
open_section(struct listeners *ls, const struct conf_listen *l, size_t i,
    const struct listeners *old, int *exit_code)
{
	if (take_over(ls, old, l->address, i))
		return true;
	return conf_unix_path(l->address) != NULL ?
	    open_unix(ls, l, i, exit_code) :
	    open_host(ls, l->address, i, exit_code);
}

/* Opens what CONF's sections name.  Returns whether all of it worked. */
static bool
open_all(struct listeners *ls, const struct conf *conf,
    const struct listeners *old, int *exit_code)
{
	bool ok = true;
	size_t i;

	for (i = 0; ok && i < conf->nlisten; i++)
		ok = open_section(ls, &conf->listen[i], i, old, exit_code);
	ls->nlisten = i;
	ls->nmail = ls->n;
	for (i = 0; ok && i < conf->nstatus; i++)
		ok = open_section(ls, &conf->status[i], ls->nlisten + i, old,
		    exit_code);
	return ok && all_used(ls, exit_code);
}

struct listeners *
listeners_open(const struct conf *conf, struct listeners *old, int *exit_code)
{
	struct listeners *ls;

	*exit_code = EX_OSERR;
	if ((ls = calloc(1, sizeof(*ls))) == NULL) {
		log_msg(LOG_ERR, "listening: out of memory");
		return NULL;
	}
	ls->inherited = old != NULL ? old->inherited :
	    inherited_take(exit_code);
	if (ls->inherited == NULL || !open_all(ls, conf, old, exit_code)) {
		discard(ls, old, true);
		return NULL;
	}
	if (old != NULL) {
		discard(old, ls, true);
		update_access(ls, conf);
	}
	return ls;
}

/* Closes the sockets from number I up to N. */
static void
stop_range(struct listeners *ls, size_t i, size_t n)
{
	for (; i < n; i++)
		if (ls->list[i].fd != -1) {
			(void)close(ls->list[i].fd);
			ls->list[i].fd = -1;
		}
}

void
listeners_stop(struct listeners *ls)
{
	stop_range(ls, 0, ls->nmail);
}

void
listeners_stop_status(struct listeners *ls)
{
	stop_range(ls, ls->nmail, ls->n);
}

void
listeners_close(struct listeners *ls)
{
	discard(ls, NULL, true);
}

void
listeners_forget(struct listeners *ls)
{
	discard(ls, NULL, false);
}

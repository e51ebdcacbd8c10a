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

#include "listener.h"
#include "log.h"

#define SOCKETS_MAX	256

struct listener {
	char	*address;	/* as configured: what a reload goes by */
	int	 fd;
	size_t	 section;
	char	*path;		/* of a unix socket, else NULL */
	dev_t	 dev;		/* and which file it is */
	ino_t	 ino;
};

struct listeners {
	struct listener	 list[SOCKETS_MAX];
	size_t		 n;
};

size_t
listeners_count(const struct listeners *ls)
{
	return ls->n;
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

/* What to do about a bind() that failed because of E. */
static const char *
advice(int e)
{
	switch (e) {
	case EACCES:
		return "; ports below 1024 need root or CAP_NET_BIND_SERVICE, "
		    "or choose another with -l";
	case EADDRINUSE:
		return "; another program has it (SpamAssassin's spamd?): stop "
		    "that, or choose another with -l";
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

static bool
add(struct listeners *ls, const char *address, size_t section, int fd,
    const char *path)
{
	struct listener *l;
	struct stat st;

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
	if (path != NULL && lstat(path, &st) == 0) {
		l->dev = st.st_dev;
		l->ino = st.st_ino;
	}
	ls->n++;
	return true;
}

/* Binds and listens at one of the addresses of a name. */
static int
open_tcp(const char *address, const struct addrinfo *a)
{
	int fd, one = 1, e;

	fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
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

static bool
open_host(struct listeners *ls, const char *address, size_t section, int *code)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
	    .ai_flags = AI_PASSIVE }, *list, *a;
	char host[256];
	const char *port = strrchr(address, ':') + 1, *h = host;
	size_t n = (size_t)(port - address) - 1;
	bool opened = false;
	int rc, fd;

	if (n >= sizeof(host))
		n = sizeof(host) - 1;
	memcpy(host, address, n);
	host[n] = '\0';
	if (host[0] == '[') {
		host[n - 1] = '\0';
		h = host + 1;
	}
	if ((rc = getaddrinfo(strcmp(h, "*") == 0 ? NULL : h, port, &hints,
	    &list)) != 0) {
		log_msg(LOG_ERR, "%s: cannot listen: %s", address,
		    gai_strerror(rc));
		*code = EX_NOHOST;
		return false;
	}
	for (a = list; a != NULL; a = a->ai_next) {
		if ((fd = open_tcp(address, a)) == -1) {
			*code = bind_error_code(errno);
			/* localhost is ::1 too, even where there is no IPv6 */
			if (errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT)
				continue;
			opened = false;
			break;
		}
		opened = add(ls, address, section, fd, NULL);
		if (!opened) {
			(void)close(fd);
			break;
		}
	}
	freeaddrinfo(list);
	return opened;
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
	if ((fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) == -1)
		return errno;
	if (connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0)
		e = EADDRINUSE;
	else if (errno != ECONNREFUSED)
		e = errno;
	(void)close(fd);
	if (e == 0 && unlink(sun->sun_path) == -1 && errno != ENOENT)
		e = errno;
	return e;
}

/* Gives a unix socket its mode and owner.  Returns what failed, or NULL. */
static const char *
set_access(const struct conf_listen *l, const char *path)
{
	struct passwd *pw = NULL;
	struct group *gr = NULL;

	errno = 0;
	if (l->owner != NULL && (pw = getpwnam(l->owner)) == NULL)
		return "its owner is not a user of this machine";
	if (l->group != NULL && (gr = getgrnam(l->group)) == NULL)
		return "its group is not a group of this machine";
	if ((pw != NULL || gr != NULL) && chown(path,
	    pw != NULL ? pw->pw_uid : (uid_t)-1,
	    gr != NULL ? gr->gr_gid : (gid_t)-1) == -1)
		return "its owner cannot be set";
	if (chmod(path, l->mode) == -1)
		return "its mode cannot be set";
	return NULL;
}

static bool
open_unix(struct listeners *ls, const struct conf_listen *l, size_t section,
    int *code)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const char *path = conf_unix_path(l->address), *why;
	mode_t mask;
	int fd = -1, e;

	if (strlen(path) >= sizeof(sun.sun_path)) {
		log_msg(LOG_ERR, "%s: the path is longer than %zu bytes",
		    l->address, sizeof(sun.sun_path) - 1);
		*code = EX_CONFIG;
		return false;
	}
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	if ((e = remove_stale(&sun)) != 0) {
		log_msg(LOG_ERR, "%s: cannot listen: %s", l->address,
		    e == EADDRINUSE ? "another process listens there" :
		    e == EEXIST ? "the file there is not a socket" :
		    strerror(e));
		*code = bind_error_code(e);
		return false;
	}
	/* nobody gets in before the mode is set */
	mask = umask(0777);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	e = fd == -1 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1 ?
	    errno : 0;
	(void)umask(mask);
	if (e == 0 && (why = set_access(l, path)) != NULL) {
		log_msg(LOG_ERR, "%s: %s%s%s", l->address, why,
		    errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
		*code = EX_CONFIG;
	} else if (e == 0 && listen(fd, SOMAXCONN) == 0 &&
	    add(ls, l->address, section, fd, path))
		return true;
	else {
		e = e != 0 ? e : errno;
		log_msg(LOG_ERR, "%s: cannot listen: %s", l->address,
		    strerror(e));
		*code = e == EACCES || e == EPERM ? EX_NOPERM : EX_CANTCREAT;
	}
	if (fd != -1) {
		if (e == 0)
			(void)unlink(path);
		(void)close(fd);
	}
	return false;
}

/* Takes the sockets of ADDRESS over from OLD; false if it has none. */
static bool
take_over(struct listeners *ls, const struct listeners *old,
    const char *address, size_t section)
{
	bool found = false;
	size_t i;

	for (i = 0; old != NULL && i < old->n; i++)
		if (strcmp(old->list[i].address, address) == 0)
			found |= add(ls, address, section, old->list[i].fd,
			    old->list[i].path);
	return found;
}

static bool
holds(const struct listeners *ls, int fd)
{
	size_t i;

	for (i = 0; ls != NULL && i < ls->n; i++)
		if (ls->list[i].fd == fd)
			return true;
	return false;
}

/* Closes those sockets of LS that KEEP does not hold, and frees LS. */
static void
discard(struct listeners *ls, const struct listeners *keep, bool remove_files)
{
	struct listener *l;
	struct stat st;
	size_t i;

	for (i = 0; i < ls->n; i++) {
		l = &ls->list[i];
		if (!holds(keep, l->fd)) {
			(void)close(l->fd);
			/* only our own file: another may stand there by now */
			if (remove_files && l->path != NULL &&
			    lstat(l->path, &st) == 0 &&
			    st.st_dev == l->dev && st.st_ino == l->ino)
				(void)unlink(l->path);
		}
		free(l->address);
		free(l->path);
	}
	free(ls);
}

/* The access to a taken-over unix socket may have been changed. */
static void
update_access(const struct conf_listen *l)
{
	const char *path = conf_unix_path(l->address), *why;

	if (path != NULL && (why = set_access(l, path)) != NULL)
		log_msg(LOG_WARNING, "%s: %s", l->address, why);
}

struct listeners *
listeners_open(const struct conf *conf, struct listeners *old, int *exit_code)
{
	const struct conf_listen *l;
	struct listeners *ls;
	bool ok = true;
	size_t i;

	*exit_code = EX_OSERR;
	if ((ls = calloc(1, sizeof(*ls))) == NULL) {
		log_msg(LOG_ERR, "listening: out of memory");
		return NULL;
	}
	for (i = 0; ok && i < conf->nlisten; i++) {
		l = &conf->listen[i];
		if (take_over(ls, old, l->address, i)) {
			update_access(l);
			continue;
		}
		ok = conf_unix_path(l->address) != NULL ?
		    open_unix(ls, l, i, exit_code) :
		    open_host(ls, l->address, i, exit_code);
	}
	if (!ok) {
		discard(ls, old, true);
		return NULL;
	}
	if (old != NULL)
		discard(old, ls, true);
	return ls;
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

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "config.h"

#include <sys/prctl.h>
#include <sys/stat.h>

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "privilege.h"

int
privilege_check(const struct conf *c)
{
	struct stat st;

	if (c->chroot == NULL)
		return EX_OK;
	if (geteuid() != 0) {
		log_msg(LOG_ERR, "chroot = \"%s\": only a daemon started by "
		    "root can do that", c->chroot);
		return EX_NOPERM;
	}
	if (stat(c->chroot, &st) == -1) {
		log_msg(LOG_ERR, "chroot = \"%s\": %s", c->chroot,
		    strerror(errno));
		return EX_CONFIG;
	}
	/* whoever can write there could plant a resolv.conf or a library */
	if (!S_ISDIR(st.st_mode) || st.st_uid != 0 ||
	    (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
		log_msg(LOG_ERR, "chroot = \"%s\": not a directory that is "
		    "root's and that nobody else can write to", c->chroot);
		return EX_CONFIG;
	}
	return EX_OK;
}

/*
 * syslog's lines have the local time: the C library is not to look for
 * /etc/localtime again inside the chroot.
 */
static void
keep_time_zone(void)
{
	if (getenv("TZ") == NULL)
		(void)setenv("TZ", ":/etc/localtime", 1);
	tzset();
}

static int
enter_chroot(const char *dir)
{
	keep_time_zone();
	if (chroot(dir) == 0 && chdir("/") == 0)
		return 0;
	log_msg(LOG_ERR, "chroot = \"%s\": %s", dir, strerror(errno));
	return -1;
}

/* Root's part of privilege_drop(). */
static int
drop_root(const struct conf *c)
{
	struct passwd *pw;
	struct group *gr = NULL;
	gid_t gid;

	if ((pw = getpwnam(c->user)) == NULL) {
		log_msg(LOG_ERR, "user = \"%s\" is not a user of this machine",
		    c->user);
		return -1;
	}
	if (c->group != NULL && (gr = getgrnam(c->group)) == NULL) {
		log_msg(LOG_ERR, "group = \"%s\" is not a group of this machine",
		    c->group);
		return -1;
	}
	gid = gr != NULL ? gr->gr_gid : pw->pw_gid;
	/* the user's groups are read from a file, too: not after chroot() */
	if (initgroups(c->user, gid) == -1) {
		log_msg(LOG_ERR, "cannot become user %s: %s", c->user,
		    strerror(errno));
		return -1;
	}
	if (c->chroot != NULL && enter_chroot(c->chroot) == -1)
		return -1;
	if (setgid(gid) == -1 || setuid(pw->pw_uid) == -1 ||
	    (pw->pw_uid != 0 && setuid(0) != -1)) {
		log_msg(LOG_ERR, "cannot become user %s: %s", c->user,
		    strerror(errno));
		return -1;
	}
	return 0;
}

int
privilege_drop(const struct conf *c)
{
	/* root's workers have a user: conf sees to it */
	if (geteuid() == 0 && c->user != NULL && drop_root(c) == -1)
		return -1;
	/* an old kernel may not know it */
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	return 0;
}

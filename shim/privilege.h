/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * privilege: what a worker gives up before it talks to anybody.
 */
#ifndef PRIVILEGE_H_
#define PRIVILEGE_H_

#include "conf.h"

/*
 * Can workers of C give up what C asks for?  Returns EX_OK, or another of
 * sysexits after a line in the log.
 */
int	privilege_check(const struct conf *c);

/*
 * Shuts this process into C's chroot, makes it C's user and group, and keeps
 * it from ever getting privileges again.  Whatever needs files outside of the
 * chroot is to be opened before.  Where root did not start the daemon, only
 * the last of these is done.  Returns 0, or -1 after a line in the log.
 */
int	privilege_drop(const struct conf *c);

#endif

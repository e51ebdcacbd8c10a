# A mail was moved or copied out of Junk.  Into Trash: that says nothing.
# SPDX-License-Identifier: GPL-2.0-or-later
require ["vnd.dovecot.pipe", "copy", "imapsieve", "environment"];
if not environment :is "imap.mailbox" ["Trash", "Junk"] {
	pipe :copy "learn" ["ham"];
}

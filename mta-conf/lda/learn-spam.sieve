# A mail was moved or copied into Junk.
# SPDX-License-Identifier: GPL-2.0-or-later
require ["vnd.dovecot.pipe", "copy"];
pipe :copy "learn" ["spam"];

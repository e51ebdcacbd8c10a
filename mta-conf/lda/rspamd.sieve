# Files mail by the headers of rspamd-shim or rspamc: see README.md.
# SPDX-License-Identifier: GPL-2.0-or-later
require ["fileinto", "mailbox", "imap4flags"];

# X-Spam-Action is in the headers of both.  X-Spam-Flag and X-Spam-Status are
# rspamd-shim's (headers = spamassassin) and also tell what its spam_actions
# say of actions of your own; X-Spam is in rspamc's (headers = rspamc).
# rspamc itself calls "soft reject" spam, too: it means "later", and mail that
# is here has come.
if anyof (header :is "X-Spam-Action" ["add header", "rewrite subject", "reject"],
          header :is "X-Spam-Flag" "YES",
          header :matches "X-Spam-Status" "Yes,*",
          allof (header :is "X-Spam" "yes",
                 not header :is "X-Spam-Action" "soft reject")) {
	# What nobody need look at is not shown as new: mail that rspamd would
	# have rejected, and 15 or more stars.
	if anyof (header :is "X-Spam-Action" "reject",
	          header :contains "X-Spam-Level" "***************") {
		fileinto :create :flags "\\Seen" "Junk";
	} else {
		fileinto :create "Junk";
	}
	stop;
}

# All the rest, and mail without a verdict: into INBOX.

"""What differs between the peers' releases, as far as a test needs to know.

Each fact stands here and nowhere else.  A release is a tuple, (3, 12, 1).
"""

# The thresholds of tests/rspamd/rspamd.conf.
REJECT, ADD_HEADER = 15.0, 6.0


class RspamdFacts:
	def __init__(self, release):
		self.release = release
		# Its reply has the thresholds of the actions.
		self.sends_thresholds = release >= (3, 5)
		# What an SPAMC client is shown as the threshold of ham: of the first action that is spam where rspamd tells
		# it, else of reject.
		self.shown_threshold = ADD_HEADER if self.sends_thresholds else REJECT
		# Its replies to SPAMC and RSPAMC have X-Milter lines (those of header lines that are tables, not strings).
		self.reports_milter_lines = release >= (4, 0)
		# Its report on 900 symbols, which it names twice, is longer than Exim keeps.
		self.long_report_is_cut = release >= (4, 0)
		# A wrong Shm-Length or Shm-Offset is an error; before, a clean verdict.
		self.checks_shm_bounds = release >= (4, 1, 3)
		# It copies what is in shared memory; before, it mapped it, and died when it shrank.
		self.copies_shm = release >= (4, 1, 5)
		# Encoded words of a rewritten subject begin within a word (caf=?UTF-8?…): no reader need decode them. RFC 2047.
		self.encodes_within_words = release >= (3, 11)
		# As a milter it answers "no action", without a look, for a message above max_message; before it scanned that.
		self.milter_skips_large = release >= (4, 1, 3)
		# Its controller takes no password for a while from an address that sent ten wrong ones in a minute.
		self.locks_out = release >= (4, 1)
		# bind_socket = "… ssl": scan workers that speak TLS themselves.
		self.has_tls = release >= (4,)

	def threshold_beside(self, score, spam):
		"""The threshold that an SPAMC client is shown: it moves where it and the action would disagree."""
		return min(score, self.shown_threshold) if spam else self.shown_threshold


class EximFacts:
	def __init__(self, release, patched=False):
		"""patched: by patches/exim of this project."""
		self.release = release
		# $spam_score_int of -3.4 is -33: a thousandth is added and the rest cut off.
		self.cuts_negative_tenths = release < (4, 100) and not patched


class SpamcFacts:
	def __init__(self, release):
		self.release = release
		# As a filter (no -c, -y, -R …) it writes the mail with -z, too; before, nothing.
		self.filters_compressed = release > (4, 0, 1)


class HaproxyFacts:
	def __init__(self, release):
		self.release = release
		# A kept connection over which a request failed is closed without a word; a 502 from this release on.
		self.reports_failure_on_kept = release >= (3, 0)

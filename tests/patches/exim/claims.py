"""What the Exim under test says that it can do.

By default a test of what a patch brings is skipped for an Exim without that
patch; with CLAIMS=all no test is, to see how such an Exim fails.
"""

import os
import unittest

# Topic, and the first release that has the same without a patch.
BUILT_IN = {"variant": (4, 86), "shutdown": (4, 88), "reply_safety": None, "request": None, "addresses": (4, 86)}
# What else brings it.
IMPLIED = {"shutdown": "Rspamd_variant", "request": "Rspamd_variant", "addresses": "Rspamd_variant"}


def has(exim, topic):
	"""Does this harness.Exim have the topic?"""
	features = exim._exim("-bV", conf="probe.conf").stdout.decode(errors="replace").split()
	if f"Rspamd_{topic}" in features or IMPLIED.get(topic) in features:
		return True
	first = BUILT_IN[topic]
	return first is not None and (exim.version() or (0, 0)) >= first


def need(exim, *topics):
	"""Raise SkipTest unless exim has the topics.

	CLAIMS=all skips only what cannot be written down for this Exim.
	"""
	for topic in topics:
		if has(exim, topic):
			continue
		if topic in ("variant", "addresses"):
			raise unittest.SkipTest("this Exim has no variant=rspamd")
		if os.environ.get("CLAIMS") != "all":
			raise unittest.SkipTest(f"this Exim lacks the patch for it ({topic.replace('_', '-')})")

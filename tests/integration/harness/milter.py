"""rspamd as a milter, with the files of mta-conf/postfix."""

import socket

from . import packages, process
from .rspamd import Rspamd

EXAMPLES = packages.SOURCE_TREE / "mta-conf" / "postfix"

# As Debian's rspamd.conf has it: the package's own file, then that of local.d.
CONFIGURATION = """
worker "rspamd_proxy" {
	bind_socket = "127.0.0.1:@MILTER@";
	.include "@STOCK@/worker-proxy.inc"
	.include(try=false; priority=1, duplicate=merge) "@LOCAL@/worker-proxy.inc"
}
milter_headers {
	use = [];
	.include(try=false; priority=1, duplicate=merge) "@LOCAL@/milter_headers.conf"
}
"""


class MilterRspamd(Rspamd):
	"""A real rspamd; milter: the port where it speaks the milter protocol.

	changes: {old: new} texts of worker-proxy.inc, which must be in it.
	Other options are Rspamd's.
	"""

	def __init__(self, folder, changes=None, extra="", **options):
		self.milter = process.free_port()
		text = CONFIGURATION
		stock = packages.need("rspamd").path("etc/rspamd")
		for word, value in (("MILTER", self.milter), ("LOCAL", folder), ("STOCK", stock)):
			text = text.replace(f"@{word}@", str(value))
		super().__init__(folder, extra=text + extra, **options)
		proxy = (EXAMPLES / "worker-proxy.inc").read_text()
		for old, new in (changes or {}).items():
			assert old in proxy, f"worker-proxy.inc does not say {old!r}"
			proxy = proxy.replace(old, new)
		(self.dir / "worker-proxy.inc").write_text(proxy)
		(self.dir / "milter_headers.conf").write_text((EXAMPLES / "milter_headers.conf").read_text())

	def ping(self):
		if not super().ping():
			return False
		try:
			socket.create_connection(("127.0.0.1", self.milter), timeout=2).close()
		except OSError:
			return False
		return True

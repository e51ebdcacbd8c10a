"""A real Haraka, from npm, with a configuration of its own in a temporary folder.

It takes mail for every address and keeps each as a file.
"""

import email
import email.policy
import json
import re

from . import npm, process, smtp

# Asks no DNS; takes every recipient; writes the message to delivered/UUID, and beside it
# what the other plugins have noted about it.
PLUGIN = """
const fs = require('node:fs')
exports.hook_lookup_rdns = (next) => next(OK, 'rdns.client.example')
exports.hook_rcpt = (next) => next(OK)
exports.hook_queue = (next, connection) => {
	const txn = connection.transaction
	const path = `${process.env.HARAKA}/delivered/${txn.uuid}`
	fs.writeFileSync(`${path}.json`, JSON.stringify(txn.results.get_all()))
	const file = fs.createWriteStream(path)
	file.once('close', () => next(OK))
	txn.message_stream.pipe(file, { line_endings: '\\n' })
}
"""


class Haraka(process.Party):
	"""Haraka on a free port.  start() returns when it greets.

	plugins: names of those that see the message before it is queued.
	config: {file below config/: text}, besides what it needs to run.
	"""

	def __init__(self, folder, plugins, config):
		super().__init__("haraka", folder)
		self.node = npm.need("haraka")
		self.port = process.free_port()
		for name in ("config", "plugins", "queue", "delivered"):
			process.sub_dir(self.dir, name)
		# connection.ini is what `haraka -i` installs: it cannot do without.
		installed = self.node.modules / "Haraka/config/connection.ini"
		files = {"smtp.ini": f"listen=127.0.0.1:{self.port}\nnodes=0\n", "me": "mx.test.example\n",
		         "log.ini": "level=info\n", "plugins": "\n".join([*plugins, "test_mailbox", ""]),
		         "connection.ini": installed.read_text(), **config}
		for name, text in files.items():
			(self.dir / "config" / name).write_text(text)
		(self.dir / "plugins" / "test_mailbox.js").write_text(PLUGIN)

	def start(self):
		self.spawn([self.node.node, self.node.modules / "Haraka/bin/haraka", "-c", self.dir],
		           self.node.environment({"HOME": str(self.dir)}))
		self.await_ready(self._greets)
		return self

	def _greets(self):
		try:
			smtp.Smtp(self.port, helo=None).close()
		except OSError:
			return False
		return True

	def send(self, message, **envelope):
		"""Send one message; the reply to its end (smtp.Reply)."""
		with smtp.Smtp(self.port) as client:
			return client.send(message, **envelope)

	def delivered(self, reply):
		"""(message as bytes with LF, notes of each plugin) of what reply accepted."""
		uuid = re.search(r"\(([0-9A-F.-]+)\)", reply.text)
		assert reply.code == 250 and uuid, f"not an acceptance: {reply}"
		path = self.dir / "delivered" / uuid[1]
		return path.read_bytes(), json.loads(path.with_name(f"{uuid[1]}.json").read_text())


def headers(message):
	"""The header lines of a message: an email.message.Message that keeps their text."""
	return email.message_from_bytes(message, policy=email.policy.compat32)

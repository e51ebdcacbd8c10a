"""The sample of the configuration has every key, with its true default."""

import re
import subprocess

from harness import Case, packages, shim

SAMPLE = packages.SOURCE_TREE / "shim" / "rspamd-shim.conf.sample"
SOURCE = packages.SOURCE_TREE / "shim" / "conf.c"


class Sample(Case):
	def setUp(self):
		super().setUp()
		self.sample = re.findall(r"^#\t?([a-z_]+) = ([^\t\n]+)", SAMPLE.read_text(), re.M)

	def test_every_key(self):
		keys = set(re.findall(r'CFG_(?:STR|BOOL|INT|FLOAT|STR_LIST)\("([a-z_]+)"', SOURCE.read_text()))
		self.assertEqual({key for key, _ in self.sample}, keys)

	def test_defaults(self):
		run = subprocess.run([str(shim.binary()), "-c", str(SAMPLE), "--dump-config"], capture_output=True, text=True, check=True)
		dump = dict(re.findall(r"^\t?([a-z_]+) = (.*)$", run.stdout, re.M))

		def plain(value):
			return re.sub(r"[\"' ]", "", value).replace("50M", "52428800")
		for key, value in self.sample:
			# what is not set by default has an example in the sample
			if key in dump and key != "user":
				self.assertEqual(plain(dump[key]), plain(value), key)

	def test_all_of_it_is_right(self):
		"""Each key with the value that the sample shows, but for files."""
		text = re.sub(r"^#(\t?(?:[a-z_]+ = |[a-z]+ \"|\}|#))", r"\1", SAMPLE.read_text(), flags=re.M)
		text = re.sub(r"^\t?(?:certificate|key|client_ca|ca_file|password_file|owner|group|user) = .*$", "", text, flags=re.M)
		path = self.folder("sample") / "rspamd-shim.conf"
		path.write_text(text)
		run = subprocess.run([str(shim.binary()), "-c", str(path), "--check-config"], capture_output=True, text=True)
		self.assertEqual((run.returncode, run.stderr), (0, ""))

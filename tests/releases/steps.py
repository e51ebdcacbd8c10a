"""What is done in a fresh tree of a release: each step returns the text of its cell in the table.

A step raises release.Failed, or AssertionError.
"""

import pathlib
import re
import shutil

from common import counts
from harness import packages

from releases.release import SOURCE, Failed, folder

HERE = pathlib.Path(__file__).resolve().parent
UNITS_ALONE = ("bullseye", "i386")		# README says what else they have not


class Job:
	"""One step of one release: where its logs are, and what it tells."""

	def __init__(self, release, step, logs):
		self.release = release
		self.title = f"{release.name}/{step}"
		self.logs = logs
		self.last = ""

	def log(self, name):
		return self.logs / f"{self.release.name}-{name}.log"

	def tell(self, line):
		"""A line of what runs: what is progress or a failure is shown."""
		if line.strip():
			self.last = line
		if re.match(r"(run-tests|quickstart|test-deps|tree|installed-daemon): |\+ |FAIL\b|failed: |releases: ", line):
			print(f"    {self.title}: {line}", flush=True)

	def run(self, tree, name, *command, **options):
		tree.run(*command, log=self.log(name), tell=self.tell, **options)
		return self.log(name).read_text(errors="replace")


def quickstart(job):
	with job.release.fresh() as tree:
		said = job.run(tree, "quickstart", "./quickstart")
	found = re.search(r"^quickstart: (\d+) of (\d+) actions reached Exim$", said, re.M)
	if not found or found[1] != found[2]:
		raise Failed("quickstart ended well, and did not say that all actions reached Exim")
	return f"{found[1]} of {found[2]}"


def run_tests(job):
	"""All tests, or the units where there is no more."""
	units = job.release.name in UNITS_ALONE
	with job.release.fresh() as tree:
		job.run(tree, "run-tests", "./run-tests", *(["--only", "units"] if units else []), environment={"IN_TREE": "1"})
	sums = counts.parse(job.last)
	if not sums:
		raise Failed("run-tests ended without a line of counts")
	return ("units: " if units else "") + counts.line(*sums)


def readme_commands():
	"""What README says about making and installing a package, as a list of lines."""
	text = (packages.SOURCE_TREE / "README.md").read_text()
	block = re.search(r"^\*\*As a package\*\*.*?^```\n(.*?)^```$", text, re.M | re.S)[1]
	return [re.sub(r"^apt ", "apt-get -q -y --no-install-recommends ", line)
	        for line in re.sub(r"\\\n\s*", "", block).splitlines()]


def deb(job):
	"""README's way to the packages, and what lintian says of them.  They are kept for the next step."""
	*build, _install = readme_commands()
	script = ["set -e", "apt-get -q update", *build, "apt-get -q -y --no-install-recommends install lintian",
	          "lintian --fail-on error,warning --tag-display-limit 0 deb/*.changes", 'echo "lintian: $(lintian --version)"']
	with job.release.fresh() as tree:
		said = job.run(tree, "deb", "bash", "-xc", "\n".join(script))
		keep = folder() / f"{job.release.name}-packages"
		shutil.rmtree(keep, ignore_errors=True)
		shutil.copytree(tree.root / SOURCE.lstrip("/") / "deb", keep)
	tags = re.findall(r"^[EWM]: .*", said, re.M)
	if tags:
		raise Failed("lintian: " + "; ".join(tags))
	names = sorted(path.name.split("_")[0] for path in keep.glob("*.deb") if "-dbgsym" not in path.name)
	return f"{len(names)} packages, lintian {re.search(r'^lintian: .* v([0-9.]+)', said, re.M)[1]} finds nothing"


def daemon(job):
	"""README's packages and the release's own rspamd and spamc, installed and at work."""
	keep = folder() / f"{job.release.name}-packages"
	if not list(keep.glob("rspamd-shim_*.deb")):
		deb(job)
	with job.release.fresh() as tree:
		shutil.copytree(keep, tree.root / SOURCE.lstrip("/") / "deb")
		said = job.run(tree, "install", "tests/releases/installed-daemon", "install", readme_commands()[-1])
		said += job.run(tree, "daemon", "tests/releases/installed-daemon", "check", alone=True)
	passed = len(re.findall(r"^installed-daemon: ok: ", said, re.M))
	version = re.search(r"^installed-daemon: rspamd (\S+)", said, re.M)[1]
	return f"{passed} of {passed}, rspamd {version}"


STEPS = {"quickstart": quickstart, "run-tests": run_tests, ".deb with lintian": deb, "installed daemon": daemon}

# shellcheck shell=bash
#
# What ./quickstart and ./run-tests share: the tools they need, and the build.
# The caller's working directory is the top of the source tree.

# say WORD...: a line of progress.
say() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

die() {
	say "$*"
	exit 1
}

# Packages of Debian and Ubuntu: to build rspamd-shim, and to test it.  A bar
# stands between the names that a package has in the several releases.
# shellcheck disable=SC2034
BUILD_PACKAGES=(autoconf automake libtool 'pkgconf|pkg-config' gcc make libc6-dev libevent-dev
	libssl-dev zlib1g-dev libconfuse-dev libcjson-dev check python3)
# shellcheck disable=SC2034
TEST_PACKAGES=(clang 'libclang-rt-dev|libclang-rt-14-dev|libclang-common-11-dev' llvm valgrind
	xz-utils shellcheck openssl patch git ca-certificates mandoc bash-completion build-essential
	debhelper dh-apparmor dpkg-dev lintian mmdebstrap arch-test rpm elfutils)

# installed PACKAGE|PACKAGE...: is one of them?
installed() {
	local name
	for name in ${1//|/ }; do
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null)" = installed ] && return
	done
	return 1
}

# named PACKAGE|PACKAGE...: the first of the names that this release knows; the
# first of all where it knows none, so that apt-get says so.
named() {
	local name
	for name in ${1//|/ }; do
		apt-cache show "$name" >/dev/null 2>&1 && echo "$name" && return
	done
	echo "${1%%|*}"
}

# install_packages PACKAGE|PACKAGE...: as root.
install_packages() {
	local package names=()
	for package in "$@"; do
		names+=("$(named "$package")")
	done
	say "installing build tools and libraries: ${names[*]}"
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
		--no-install-recommends install "${names[@]}" </dev/null >&2
}

# need_packages PACKAGE...: installs those that are missing (build tools and
# libraries only, never a server), or tells what to install and ends.
need_packages() {
	local package missing=() as_root=()

	if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
		need_elsewhere
		return
	fi
	for package in "$@"; do
		installed "$package" || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0

	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null ||
			die "packages are missing; as root, run: apt-get install$(for package in "${missing[@]}"; do printf ' %s' "$(named "$package")"; done)"
		as_root=(sudo)
	fi
	install_packages "${missing[@]}" ||
		{ "${as_root[@]}" apt-get -q update </dev/null >&2 && install_packages "${missing[@]}"; } ||
		die "apt-get could not install: ${missing[*]}"
}

# need_elsewhere: on other systems nothing is installed; says what is missing.
need_elsewhere() {
	local missing=() word

	for word in autoreconf automake libtoolize pkg-config cc make python3; do
		command -v "$word" >/dev/null || missing+=("$word")
	done
	for word in libevent_core openssl libconfuse libcjson zlib check; do
		pkg-config --exists "$word" 2>/dev/null || missing+=("$word (with its headers)")
	done
	[ ${#missing[@]} -eq 0 ] ||
		die "please install, by your system's means: $(printf '%s, ' "${missing[@]}" | sed 's/, $//')"
}

# logged LOG COMMAND...: output goes to LOG; its end is shown on failure.
logged() {
	local log=$1
	shift
	"$@" >"$log" 2>&1 </dev/null && return
	tail -n 40 "$log" >&2
	say "failed: $* (all of its output is in $log)"
	return 1
}

# bootstrap: makes ./configure where it is missing or older than its sources.
bootstrap() {
	[ ! -e config.status ] || die "this source tree is configured itself: run make distclean first"
	if [ ! -e configure ] || [ ! -e Makefile.in ] || [ configure.ac -nt configure ] ||
		[ Makefile.am -nt Makefile.in ]; then
		say "making ./configure"
		logged "$1/autoreconf.log" autoreconf -fi || exit 1
	fi
}

# build FOLDER [VARIABLE=VALUE...] [--enable-...]: configures and builds there.
build() {
	local folder=$1 source=$PWD jobs
	shift
	jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
	mkdir -p "$folder" || return 1
	if [ "$(cat "$folder/configured-with" 2>/dev/null)" != "$*" ] || [ ! -e "$folder/config.status" ]; then
		(cd "$folder" && logged configure.log "$source/configure" "$@") || return 1
		printf '%s\n' "$*" >"$folder/configured-with"
	fi
	logged "$folder/make.log" make -C "$folder" -j "$jobs"
}

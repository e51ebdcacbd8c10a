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

# Packages of Debian and Ubuntu: to build rspamd-shim, and to test it.
# shellcheck disable=SC2034
BUILD_PACKAGES=(autoconf automake libtool pkg-config gcc make libc6-dev libevent-dev
	libssl-dev zlib1g-dev libconfuse-dev libcjson-dev check python3)
# shellcheck disable=SC2034
TEST_PACKAGES=(clang libclang-rt-14-dev llvm valgrind xz-utils shellcheck openssl patch mandoc
	bash-completion debhelper dh-apparmor dpkg-dev lintian mmdebstrap rpm)

# installed PACKAGE
installed() {
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
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
		# the compiler's runtime is numbered as the release's clang is
		if [ "$package" = libclang-rt-14-dev ] && ! apt-cache show "$package" >/dev/null 2>&1; then
			package=libclang-rt-dev
		fi
		installed "$package" || missing+=("$package")
	done
	[ ${#missing[@]} -gt 0 ] || return 0

	if [ "$(id -u)" -ne 0 ]; then
		command -v sudo >/dev/null ||
			die "packages are missing; as root, run: apt-get install ${missing[*]}"
		as_root=(sudo)
	fi
	say "installing build tools and libraries: ${missing[*]}"
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive bash -s -- "${missing[@]}" >&2 <<-'END' ||
		install() {
			apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends install "$@" </dev/null
		}
		install "$@" || { apt-get -q update </dev/null && install "$@"; }
	END
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

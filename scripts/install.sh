#!/usr/bin/env bash
# Installs what is named and missing: go compiler node chromium nginx haproxy redis modules linter.
# What only the system can give comes from Debian's packages if that is possible here;
# if not, it is named and this fails.
set -euo pipefail
cd "$(dirname "$0")/.."

linter_version=2.15.0
node_major=18       # the oldest that everything in e2e/ runs on
packages=()         # of Debian
wanted=()           # what they are for

say() { echo "install: $*"; }
have() { command -v "$1" >/dev/null 2>&1; }
want() { # what it is for, then Debian's packages
	wanted+=("$1")
	packages+=("${@:2}")
}

need_go() {
	have go && return
	echo "install: Go is missing: install it from https://go.dev/dl and put it into PATH" >&2
	exit 1
}
need_compiler() { have gcc || have clang || want "a C compiler (for the race detector)" gcc libc6-dev; }
need_node() {
	have node || want "Node.js $node_major or newer" nodejs
	have npm || want npm npm
}
need_nginx() { have nginx || [ -x /usr/sbin/nginx ] || want nginx nginx-light; }
need_haproxy() { have haproxy || [ -x /usr/sbin/haproxy ] || want haproxy haproxy; }
need_redis() { { have redis-server && have redis-cli; } || want Redis redis-server redis-tools; }
need_chromium() { [ -x "${CHROMIUM:-/usr/bin/chromium}" ] || want chromium chromium fonts-dejavu-core; }

# system installs all packages at once, or names them.
system() {
	if [ "$(id -u)" != 0 ] || ! have apt-get; then
		{
			echo "install: missing, and not to be installed without root and apt-get:"
			printf '  - %s\n' "${wanted[@]}"
			echo "On Debian, as root: apt-get install ${packages[*]}"
		} >&2
		exit 1
	fi
	say "with apt-get: ${packages[*]}"
	export DEBIAN_FRONTEND=noninteractive
	timeout 180 apt-get update -qq
	keep_services_down
	timeout 420 apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
	allow_services
}

# Debian starts the services it installs, such as those of Redis and nginx, and at each boot again;
# the tests start what they need themselves.
policy=/usr/sbin/policy-rc.d
own_policy=
keep_services_down() {
	[ ! -e "$policy" ] || return 0 # somebody else's
	own_policy=yes
	trap allow_services EXIT
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod +x "$policy"
}
allow_services() {
	[ -z "$own_policy" ] || rm -f "$policy"
	own_policy=
	local service
	for service in redis-server nginx haproxy; do
		[[ " ${packages[*]} " != *" $service"* ]] || ! have systemctl || systemctl disable --now --quiet "$service" 2>/dev/null || true
	done
}

check_node() {
	local version
	version=$(node --version)
	version=${version#v}
	[ "${version%%.*}" -ge "$node_major" ] && return
	echo "install: Node.js $version is too old, $node_major or newer is needed" >&2
	exit 1
}

# modules are as the lock file says; a copy of it tells for which one they were installed.
modules() {
	cmp -s e2e/package-lock.json e2e/node_modules/.installed-lock.json && return
	say "the Node modules of e2e/, with npm ci"
	(cd e2e && timeout 300 npm ci --no-fund --no-audit --loglevel=error)
	cp e2e/package-lock.json e2e/node_modules/.installed-lock.json
}

# linter goes to .bin, unless nothing is there and PATH has the right version.
linter() {
	local tool=golangci-lint
	[ ! -x .bin/golangci-lint ] || tool=.bin/golangci-lint
	if have "$tool" && "$tool" version 2>/dev/null | grep -q "version v\?$linter_version "; then return; fi
	say "golangci-lint $linter_version into .bin; building it takes minutes"
	GOBIN="$PWD/.bin" go install "github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$linter_version"
}

# check asks for all that is named and comes from the system.
check() {
	packages=() wanted=()
	local name
	for name in "$@"; do
		case $name in
		go | compiler | node | chromium | nginx | haproxy | redis) "need_$name" ;;
		modules | linter) ;;
		*)
			echo "install: what is $name?" >&2
			exit 2
			;;
		esac
	done
}

check "$@"
if [ ${#packages[@]} -gt 0 ]; then
	system
	check "$@"
	if [ ${#packages[@]} -gt 0 ]; then
		echo "install: still missing: ${wanted[*]}" >&2
		exit 1
	fi
fi
for name in "$@"; do
	case $name in
	node) check_node ;;
	modules | linter) "$name" ;;
	esac
done

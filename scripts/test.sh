#!/usr/bin/env bash
# Everything that has to pass. Nothing is skipped: what is missing is installed, or
# named, and then this fails.
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p build
step() { printf '\n=== %s (after %d s)\n' "$*" "$SECONDS"; }

step "install what is missing"
scripts/install.sh go compiler node chromium redis nginx haproxy modules

# The linter takes minutes to build the first time, and so does the standard library of each system: beside the tests, at
# low priority. What systems.sh finds is shown by lint.sh, which runs it again.
linter_pid=
nice -n 15 bash -c 'scripts/install.sh go linter && { scripts/systems.sh || true; }' >build/linter.log 2>&1 &
linter_pid=$!
# Tests mostly wait, so three parts run at the same time, each in a process group of its own.
parts=()
part() { # name, command
	setsid "${@:2}" >"build/$1.log" 2>&1 &
	parts+=("$!")
}
cleanup() {
	local pid
	[ -z "$linter_pid" ] || kill "$linter_pid" 2>/dev/null || true
	for pid in "${parts[@]}"; do kill -- "-$pid" 2>/dev/null || true; done
}
trap cleanup EXIT
finish() { # the first part
	local status=0
	wait "${parts[0]}" || status=$?
	parts=("${parts[@]:1}")
	cat "build/$1.log"
	[ "$status" = 0 ] || failed "$1"
}
# A failure does not keep the rest from running, so that one run shows all of them.
failures=()
failed() { failures+=("$1"); }
part e2e scripts/e2e.sh

step "go test; real clients and a browser beside it, in build/e2e.log"
go test -race -shuffle=on -timeout 40m ./... || failed "go test"

step "real clients and a browser"
finish e2e

step "what hostile clients make the server hold, without the race detector"
go test -run HostileMemory -timeout 25m . || failed "hostile memory"

step "the benchmarks' own tests"
(cd bench && go test -timeout 30m ./...) || failed bench

step "format, vet and lint"
if ! wait "$linter_pid"; then
	linter_pid=
	cat build/linter.log >&2
	exit 1
fi
linter_pid=
cat build/linter.log
scripts/lint.sh || failed lint

if [ ${#failures[@]} -gt 0 ]; then
	step "failed: ${failures[*]}"
	exit 1
fi
step "all passed"

#!/usr/bin/env bash
# Everything that has to pass. Nothing is skipped: what is missing is installed, or
# named, and then this fails.
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p build
step() { printf '\n=== %s (after %d s)\n' "$*" "$SECONDS"; }

step "install what is missing"
scripts/install.sh go compiler node chromium redis nginx haproxy modules

# The linter takes minutes to build the first time: beside the tests, at low priority.
linter_pid=
nice -n 15 scripts/install.sh go linter >build/linter.log 2>&1 &
linter_pid=$!
cleanup() { [ -z "$linter_pid" ] || kill "$linter_pid" 2>/dev/null || true; }
trap cleanup EXIT

step "go test"
go test -race -shuffle=on -timeout 25m ./...
go test -race -shuffle=on -timeout 25m -skip Stress . -parked # the same with connections parked

step "what hostile clients make the server hold, without the race detector"
go test -run HostileMemory -timeout 25m .

step "real clients and a browser"
scripts/e2e.sh

step "the benchmarks' own tests"
(cd bench && go test -timeout 15m ./...)

step "format, vet and lint"
if ! wait "$linter_pid"; then
	linter_pid=
	cat build/linter.log >&2
	exit 1
fi
linter_pid=
cat build/linter.log
scripts/lint.sh

step "all passed"

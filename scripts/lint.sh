#!/usr/bin/env bash
# Format, vet for every system, and lint. scripts/install.sh go linter goes before.
set -euo pipefail
cd "$(dirname "$0")/.."

unformatted=$(find . -name '*.go' -not -path '*/node_modules/*' -not -path './.bin/*' -exec gofmt -l {} +)
if [ -n "$unformatted" ]; then
	echo "gofmt would change:" >&2
	echo "$unformatted" >&2
	exit 1
fi
go vet ./...
(cd bench && go vet ./...)
(cd e2e/middleware && go vet ./...)
scripts/systems.sh
linter=golangci-lint
[ ! -x .bin/golangci-lint ] || linter=.bin/golangci-lint
"$linter" run --timeout 8m ./...

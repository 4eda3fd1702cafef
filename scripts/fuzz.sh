#!/usr/bin/env bash
# Runs every fuzz target of the module, each for as long as the first argument says.
set -euo pipefail
cd "$(dirname "$0")/.."

fuzztime=${1:-30s}
count=0
for package in $(go list ./...); do
	for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		echo "--- $package $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$fuzztime" "$package"
		count=$((count + 1))
	done
done
echo "$count fuzz targets, each ran clean for $fuzztime"
[ "$count" -gt 0 ]

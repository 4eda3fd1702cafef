#!/usr/bin/env bash
# Runs every fuzz target of the module, each for as long as the first argument says. Some
# compare with Node: scripts/install.sh go node modules goes before.
set -euo pipefail
cd "$(dirname "$0")/.."

fuzztime=${1:-30s}
count=0
for package in $(go list ./...); do
	for target in $(go test -tags node -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		echo "--- $package $target"
		go test -tags node -run '^$' -fuzzminimizetime 2s -fuzz "^$target\$" -fuzztime "$fuzztime" "$package"
		count=$((count + 1))
	done
done
echo "$count fuzz targets, each ran clean for $fuzztime"
[ "$count" -gt 0 ]

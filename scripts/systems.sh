#!/usr/bin/env bash
# Builds and vets everything, tests included, for every system that the library runs on. bench/ is for Linux only.
# The first run compiles the standard library for each of them; after that only what has changed is compiled.
set -euo pipefail
cd "$(dirname "$0")/.."

systems=({linux,darwin,windows,freebsd}/{amd64,arm64} linux/{386,arm})
# The results of the compiler do not run, so it need not optimize: that halves the first run.
flags=(-gcflags='all=-N -l -dwarf=false')
export CGO_ENABLED=0

check() { # one system
	export GOOS=${1%/*} GOARCH=${1#*/}
	# Vet compiles all packages that others import and checks the types of the rest. A program that imports the whole
	# library is linked, too.
	go vet "${flags[@]}" -tags node,variants ./... &&
		(cd e2e/middleware && go vet "${flags[@]}" ./...) &&
		go build "${flags[@]}" -ldflags='-s -w' -o /dev/null ./examples/cluster
}

bench() { (cd bench && GOOS=linux GOARCH=$1 go vet "${flags[@]}" ./...); }

failed=()
for system in "${systems[@]}"; do
	(check "$system") || failed+=("$system")
done
for arch in amd64 arm64; do
	bench "$arch" || failed+=("bench on linux/$arch")
done
echo "systems: ${#systems[@]} built and vetted in $SECONDS s"
if [ ${#failed[@]} -gt 0 ]; then
	echo "systems: failed: ${failed[*]}" >&2
	exit 1
fi

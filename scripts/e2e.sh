#!/usr/bin/env bash
# Real clients and a real browser against programs built with the race detector.
# scripts/install.sh go compiler node chromium redis nginx haproxy modules goes before.
set -euo pipefail
cd "$(dirname "$0")/.."

export GORACE=halt_on_error=1 # a data race ends the program, and with it the tests
export PATH="$PATH:/usr/sbin" # nginx and HAProxy
root=$PWD
logs=$root/build/e2e
rm -rf "$logs"
mkdir -p "$logs"
go build -race -o build/e2e-server ./e2e/server
go build -race -o build/cluster-node ./e2e/cluster-node
go build -race -o build/chat ./examples/chat
go build -race -o build/e2e-node ./e2e/node
go build -race -o build/protocol-server ./e2e/protocol/server
go build -C e2e/middleware -race -o "$root/build/middleware" . # a module of its own, for what it needs

# Scenarios mostly wait, so some run at a time. Each has ports and processes of its own, and prints
# what it has to say when it ends. Ten minutes are for a machine that is busy with other things.
at_once=3
running=0
failed=0
scenario() { # what it shows, then the command, run in e2e/
	local title=$1
	shift
	[ "$running" -lt "$at_once" ] || await
	(
		log=$(mktemp "$logs/XXXXXX.log")
		status=0
		(cd e2e && timeout 600 "$@") >"$log" 2>&1 || status=$?
		flock "$logs" bash -c 'printf -- "--- %s\n" "$1"; cat "$2"' - "$title" "$log"
		[ "$status" = 0 ] || echo "--- failed with status $status: $title"
		exit "$status"
	) &
	running=$((running + 1))
}
await() { # the end of one scenario
	wait -n || failed=$((failed + 1))
	running=$((running - 1))
}

server=$root/build/e2e-server
scenario "three nodes behind nginx, HAProxy and the dispatcher; kill -9" node sticky.js --node "$root/build/e2e-node"
scenario "three servers behind CORS, security headers, cookies and compression: each header once, in Chromium too" node middleware.js --server "$root/build/middleware"
scenario "a cluster of Go's and Node's nodes on one Redis" node cluster.js --node "$root/build/cluster-node"
for form in single sentinel cluster; do
	scenario "traffic among servers of Go and Node.js while Redis fails: $form" node failover.js --node "$root/build/cluster-node" --form $form --rate 50
done
scenario "every scenario with socket.io-client 4 and 2, compared with Node's own server" node run.js --server "$server"
for suite in engineio socketio sockjs beyond; do
	scenario "the steps of the official suites, and what is beyond them: $suite" node protocol/$suite.js --server "$root/build/protocol-server"
	scenario "the same with the server of Node.js, which shows that the steps are right: $suite" node protocol/$suite.js --oracle
done
scenario "JSON over plain WebSocket, and all kinds of clients in one hub" node plain.js --server "$server"
scenario "every scenario with sockjs-client 1.6 and 1.1, compared with npm's own server" node sockjs.js --server "$server"
scenario "clients of every kind in one room" node together.js --server "$server"
scenario "SockJS from pages of other origins, in Chromium" node sockjs-browser.js --server "$server"
scenario "nginx and HAProxy with their defaults: clients of npm, and a page with a session cookie in Chromium" node proxy.js --server "$server"
scenario "the chat and a page of another origin, in Chromium" node browser.js --chat "$root/build/chat" --out "$root/build"
scenario "packets and payloads, decoded by us and by Node's own parsers" go -C .. test -count=1 -tags node -run Node ./internal/engineio ./internal/socketio
while [ "$running" -gt 0 ]; do await; done
[ "$failed" = 0 ] || {
	echo "$failed scenarios failed" >&2
	exit 1
}

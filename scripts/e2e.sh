#!/usr/bin/env bash
# Real clients and a real browser against programs built with the race detector.
# scripts/install.sh go compiler node chromium redis nginx haproxy modules goes before.
set -euo pipefail
cd "$(dirname "$0")/.."

export GORACE=halt_on_error=1 # a data race ends the program, and with it the tests
mkdir -p build
go build -race -o build/e2e-server ./e2e/server
go build -race -o build/cluster-node ./e2e/cluster-node
go build -race -o build/chat ./examples/chat
go build -race -o build/e2e-node ./e2e/node
go build -race -o build/protocol-server ./e2e/protocol/server

echo "--- packets and payloads, decoded by us and by Node's own parsers"
timeout 900 go test -count=1 -tags node -run Node ./internal/engineio ./internal/socketio

cd e2e
echo "--- every scenario with socket.io-client 4 and 2, compared with Node's own server"
timeout 240 node run.js --server ../build/e2e-server
echo "--- the same with connections parked"
THINKWS_PARKED=1 timeout 240 node run.js --server ../build/e2e-server
for suite in engineio socketio sockjs beyond; do
	echo "--- the steps of the official suites, and what is beyond them: $suite"
	timeout 120 node protocol/$suite.js --server ../build/protocol-server
	echo "--- the same with the server of Node.js, which shows that the steps are right"
	timeout 120 node protocol/$suite.js --oracle
done
echo "--- JSON over plain WebSocket, and all kinds of clients in one hub"
timeout 120 node plain.js --server ../build/e2e-server
echo "--- every scenario with sockjs-client 1.6 and 1.1, compared with npm's own server"
timeout 120 node sockjs.js --server ../build/e2e-server
echo "--- the same over WebSocket, with connections parked"
THINKWS_PARKED=1 timeout 60 node sockjs.js --server ../build/e2e-server --transport websocket
echo "--- clients of every kind in one room"
timeout 60 node together.js --server ../build/e2e-server
echo "--- a cluster of Go's and Node's nodes on one Redis"
timeout 300 node cluster.js --node ../build/cluster-node
echo "--- SockJS from pages of other origins, in Chromium"
timeout 180 node sockjs-browser.js --server ../build/e2e-server
echo "--- the chat and a page of another origin, in Chromium"
timeout 180 node browser.js --chat ../build/chat --out ../build
echo "--- three nodes behind nginx, HAProxy and the dispatcher; kill -9"
PATH="$PATH:/usr/sbin" timeout 240 node sticky.js --node ../build/e2e-node

# The two commands that a fresh machine needs are `make demo` and `make test`.
# Both install what is missing, and say so. Go itself has to be there.

FUZZTIME ?= 30s
ADDR ?= :8360
FOR ?= 30m

.PHONY: help demo cluster test unit e2e lint variants fuzz bench bench-full abuse failover soak clean

help:
	@echo "make demo    the chat with all kinds of clients, on http://localhost:8360 (ADDR=:8360)"
	@echo "make cluster three nodes behind nginx with one Redis, on http://127.0.0.1:8360"
	@echo "make test    everything that has to pass: format, vet, lint, tests, real clients, a browser"
	@echo "make unit    of these, the Go tests"
	@echo "make e2e     of these, the real clients and the browser"
	@echo "make lint    of these, format, vet and lint"
	@echo "make variants  tests of connections over TLS, unix sockets and more, without this and that, in some hour"
	@echo "make fuzz    every fuzz target for FUZZTIME=30s"
	@echo "make bench   this library beside its peers, the main table in under ten minutes"
	@echo "make bench-full  all of it, into bench/README.md"
	@echo "make abuse   deaf, half-open, slow and leaving clients by the thousand, against bounds, then make failover; in some 20 minutes"
	@echo "make failover  traffic among four servers while Redis fails in every way, 30 s each"
	@echo "make soak    mixed load with faults for half an hour (FOR=30m)"
	@echo "make clean   removes what these commands have left"

demo:
	@scripts/install.sh go node modules
	go run ./examples/chat -addr "$(ADDR)" -clients e2e/node_modules

cluster:
	@scripts/install.sh go node nginx redis modules
	PATH="$$PATH:/usr/sbin" go run ./examples/cluster

test:
	@scripts/test.sh

unit:
	@scripts/install.sh go compiler redis nginx haproxy
	go test -race -shuffle=on ./...

e2e:
	@scripts/install.sh go compiler node chromium redis nginx haproxy modules
	@scripts/e2e.sh

lint:
	@scripts/install.sh go linter
	@scripts/lint.sh

variants:
	@scripts/install.sh go compiler node modules
	@scripts/variants.sh

fuzz:
	@scripts/install.sh go node modules
	@scripts/fuzz.sh "$(FUZZTIME)"

bench:
	@scripts/install.sh go node
	cd bench && go run . -quick

bench-full:
	@scripts/install.sh go node
	cd bench && go run . -full -readme README.md

abuse:
	@scripts/install.sh go
	cd bench && go run ./soak
	@$(MAKE) --no-print-directory failover

failover:
	@scripts/install.sh go node redis modules
	go build -o build/failover-node ./e2e/cluster-node
	cd e2e && node failover.js --node ../build/failover-node --seconds 30 --strict

soak:
	@scripts/install.sh go
	cd bench && go run ./soak -for "$(FOR)"

clean:
	rm -rf build .bin e2e/node_modules bench/node/node_modules

# Composure. `make help` lists the targets.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null)
DATE    ?= $(shell TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd 2>/dev/null)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.built=$(DATE)
SCRIPTS := $(wildcard hack/*.sh) .ci/run hack/images/postgres/entrypoint
# The faults on the real engine, the browser and the long proofs have targets of their own.
PACKAGES ?= $(shell go list ./... | grep -vE "/test/(heal|chaos|limits|browser|unit)$$")

# Test binaries of this many packages run at once: the end-to-end tests share one engine.
PARALLEL ?= 2
TIMEOUT  ?= 40m
FUZZTIME ?= 30s
SEEDS    ?= 1000
SEED     ?=
BUG      ?=
MINUTES  ?= 30

.PHONY: help build dist reproducible image check test test-image test-proxy test-unit test-engines browser faults crash chaos limits sim planted race bench fuzz demo setup images clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

build: ## build the static binary: bin/composure
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/composure ./cmd/composure

dist: ## static binaries for amd64 and arm64 with their sums: dist/
	@hack/dist.sh

image: ## the container image composure:latest, from scratch, for the engine's platform
	@hack/image.sh

reproducible: ## build dist/ twice, the second time elsewhere and from nothing, and compare the bytes
	@hack/dist.sh verify

check: ## formatting, vet, staticcheck, syntax of the scripts
	@unformatted=$$(gofmt -l cmd controller hack spec test); \
	if [ -n "$$unformatted" ]; then printf 'not formatted, run gofmt -w:\n%s\n' "$$unformatted"; exit 1; fi
	@for script in $(SCRIPTS); do bash -n "$$script"; done
	go vet ./...
	go tool -modfile=hack/tools.mod staticcheck ./...

setup: ## make an engine answer and get what the tests use (make test does it)
	@hack/engine.sh
	@hack/images.sh
	@hack/registry.sh
	@hack/peers.sh >/dev/null || echo 'docker compose is not available: the tests compare with recorded data instead'

images: ## build the images of the demo and the tests, where their sources changed
	@hack/engine.sh
	@hack/images.sh

test: setup ## everything, unit to end-to-end on the real engine (PACKAGES=./spec/... for a part)
	@go run ./hack/testsum -count=1 -p $(PARALLEL) -timeout $(TIMEOUT) $(PACKAGES)

test-image: setup ## the end-to-end tests with Composure running from its own container image
	@hack/image.sh composure-test/composure:test
	@COMPOSURE_TEST_IMAGE=composure-test/composure:test go run ./hack/testsum -count=1 -timeout 30m ./test/e2e

test-proxy: setup ## what runs on the real engine, behind an allow-list of the listed endpoints; each must be called
	@go run ./test/endpoints

test-unit: setup ## the systemd unit under a real systemd, in a container
	@hack/images.sh systemd:1
	@go run ./hack/testsum -count=1 -timeout 30m ./test/unit

test-engines: setup ## the end-to-end tests against newer engines, in a chroot (as root; ENGINES="trixie forky")
	@go run ./test/engines $(ENGINES)

browser: setup ## the dashboard in a real browser: a fault heals, keyboard only, accessibility (installs Chromium)
	@hack/browser.sh
	@go run ./hack/testsum -count=1 -timeout 15m ./test/browser

faults: setup ## forty faults on the real engine with the remediator running
	@FAULTS=whole go run ./hack/testsum -count=1 -timeout 20m ./test/heal

crash: setup ## every fault at every call of every remedy, and of the daemon itself (as root; the better part of an hour)
	@CRASH=whole go run ./hack/testsum -count=1 -timeout 3h ./test/crash

chaos: setup ## anything happens to a stack on a daemon of its own, for MINUTES (30), SEED=n (as root)
	@MINUTES=$(MINUTES) SEED=$(SEED) go test -count=1 -timeout 0 ./test/chaos

limits: setup ## a log of 4 GB, a line of 100 MB, 500 kill -9 of a writer on each store (as root)
	@go test -count=1 -v -timeout 30m ./test/limits
	@STORE_TEST_KILLS=500 go test -count=1 -timeout 60m -run 'TestStore/.*/kill' ./controller/store

race: setup ## the same under the race detector (needs a C compiler)
	@CGO_ENABLED=1 go run ./hack/testsum -race -count=1 -p $(PARALLEL) -timeout 40m $(PACKAGES)

sim: ## seeds of the simulation under virtual time: SEEDS=1000 of them, or SEED=n, printed in full
	@if [ -z "$(SEED)" ]; then exec go run ./test/seeds -seeds $(SEEDS); fi; \
	go test -c -o bin/sim.test ./cmd/composure; cd cmd/composure; SIM_SEED=$(SEED) GOMAXPROCS=1 ../../bin/sim.test -test.run 'TestSimulation$$'

planted: ## mistakes put into Composure one after the other: each is found within SEEDS=1000 seeds (BUG=name for one)
	@go run ./test/seeds -planted -seeds $(SEEDS) -bug "$(BUG)"

bench: setup ## benchmarks, as ratios measured in one run
	@go run ./test/bench

fuzz: ## each fuzz target for FUZZTIME (30s)
	@go run ./test/fuzz -time $(FUZZTIME)

demo: build images ## the runbook's stack: brought up, broken by hand, reported, healed
	@hack/demo.sh

clean: ## remove what the build made (images and caches stay)
	rm -rf bin dist

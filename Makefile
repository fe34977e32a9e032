# Everything here works on a machine that has only Go (and bash, for the shell tests that then skip and say so).
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS  = -s -w -X main.buildVersion=$(VERSION)
FUZZTIME ?= 20s

.PHONY: build run demo test race check fmt fuzz bench h2spec cover e2e e2e-all golden clean

build: ## build bin/detour
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/detour ./cmd/detour

run: build ## build, then open both doors
	./bin/detour serve --with-proxy

demo: build ## build, then watch the main job on the embedded simulated upstream
	./bin/detour demo

test: ## all tests that take seconds
	$(GO) test -shuffle=on ./...

race: ## the same under the race detector
	CGO_ENABLED=1 $(GO) test -race -shuffle=on ./...

check: ## formatting, vet, static analysis where it is installed
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	@if command -v golangci-lint >/dev/null; then golangci-lint run; else echo "check: golangci-lint is not installed, its rules were not run"; fi

fmt: ## format
	gofmt -w $$(git ls-files '*.go')

fuzz: ## every fuzz target for FUZZTIME each
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; done

e2e: build ## the real binary with real shells and clients
	$(GO) test -count=1 -timeout 20m -tags e2e ./internal/e2e/...

e2e-all: build ## the same with every agent that is known to run, about 20 minutes
	DETOUR_E2E_ALL=1 $(GO) test -count=1 -timeout 60m -tags e2e ./internal/e2e/...

BENCH ?= # -quick, -only TEXT, -system TEXT, -json FILE
bench: build ## detour beside its peers, about 7 minutes; BENCH=-quick for 90 seconds
	$(GO) run ./internal/bench $(BENCH)

h2spec: ## HTTP/2 conformance through an interception, beside plain net/http
	$(GO) test -count=1 -timeout 5m -v -tags e2e -run TestHTTP2Conformance ./internal/bench

golden: ## rewrite golden files from what the code does now; review the diff
	$(GO) test $$(grep -rl --include=*_test.go 'flag.Bool("update"' . | xargs -n1 dirname | sort -u) -update

cover: ## coverage of all packages by all tests
	$(GO) test -coverpkg=./... -coverprofile=coverage.out ./... && $(GO) tool cover -func=coverage.out | tail -1

clean:
	rm -rf bin coverage.out

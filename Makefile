# What a person runs here. `make` alone prints this list.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo docs bench test test-gitops image test-image soak coverage mutants lint generate

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
# One profile and one set of packages, so that demo and tests share the build.
BUILD := $(CARGO) build -p orion-operator -p devkit -p receiver --bins

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

demo: ## A Webhook from kubectl to a delivered event, on this machine: nothing needed but Rust and Go
	@$(BUILD)
	@exec "$(TARGET)/debug/demo" --operator "$(TARGET)/debug/orion-operator"

# As it is shipped, unless OPERATOR says where another build is. Beside it, with PEER="$(hack/tools provider-http)": provider-http
# (PEER_CRDS, PEER_FLAGS); with SHARDS=2: itself as two processes. CONCURRENCY=8,16,32,64: nothing but the cold sync with each.
bench: ## The operator beside the smallest program that does its job, measured: make bench N=10000 ROUNDS=3; results in target/bench
	@[ -n "$(OPERATOR)" ] || $(CARGO) build --release -p orion-operator
	@$(CARGO) build --profile harness -p devkit --bin bench
	@"$(TARGET)/harness/bench" run --operator "$(or $(OPERATOR),$(TARGET)/release/orion-operator)" \
	  --webhooks $(or $(N),1000) --rounds $(or $(ROUNDS),3) --out "$(TARGET)/bench" \
	  $(if $(PEER),--peer "$(PEER)") $(if $(PEER_CRDS),--peer-crds "$(PEER_CRDS)") $(if $(PEER_FLAGS),--peer-flags="$(PEER_FLAGS)") \
	  $(if $(SHARDS),--shards $(SHARDS)) $(if $(CONCURRENCY),--concurrency "$(CONCURRENCY)")

test: ## Every test that can run here, those on a real kube-apiserver too; last line: N passed, N failed
	@hack/test

# What its tests need; Argo CD and Flux's controllers take minutes to make, once.
GITOPS_TOOLS := kstatus argocd redis source-controller kustomize-controller helm-controller crane helm3 helm4
test-gitops: ## Flux and Argo CD themselves with the operator, and how GitOps tools read the status: nothing skipped
	@hack/tools $(GITOPS_TOOLS) >/dev/null
	@NOTHING_SKIPPED=yes $(CARGO) test -p orion-operator --test gitops --test flux --test argocd

image: ## The OCI image, without a container engine, in target/image: the same commit gives the same digest (a quarter of an hour)
	@hack/image

test-image: ## Makes the image and tests it: what is in it, and that it does the main job; as root, nothing skipped
	@hack/image
	@NOTHING_SKIPPED=yes $(CARGO) test -p orion-operator --test image

soak: ## Worlds by chance, as many as SEEDS says: make soak SEEDS=1000000
	@SEEDS=$(or $(SEEDS),100000) $(CARGO) test --profile simulation -p orion-operator --test simulation every_seed_ends_well -- --nocapture

coverage: ## Lines and branches of src/plan that its table tests do not run: there must be none
	@hack/coverage

mutants: ## Small changes of src/plan that its table tests let pass: there must be none (an hour)
	@hack/mutants

docs: ## docs/ as a book in target/book; makes mdbook first, once (some minutes)
	@hack/book

lint: ## Formatting, clippy, generated files, paths of one machine
	@hack/lint

generate: ## Write the generated files: crds/, parts of the chart, examples/install*, docs/fields.md, the table of rights in docs/security.md
	@$(CARGO) run --quiet -p orion-operator --example generate
	@hack/manifests

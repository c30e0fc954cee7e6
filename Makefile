# Every target is one script or one command; the scripts are in make/. `make` alone lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

cache := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/fairlead
# Builds are kept outside the checkout, so that a fresh clone does not begin from nothing.
export CARGO_TARGET_DIR ?= $(cache)/target

# Only a KUBECONFIG that is said on the command line means the cluster of your own: one that happens to be set in the
# environment must not become the place of a demo.
ifeq ($(origin KUBECONFIG),command line)
demo: export DEMO_KUBECONFIG := $(KUBECONFIG)
endif
unexport KUBECONFIG

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: demo
demo: ## see it work: a rollout, a refusal, a repair (KUBECONFIG=... uses a cluster of yours, CI=1 asks nothing)
	@make/demo.sh

.PHONY: test
test: ## run every test
	@make/test.sh

.PHONY: backup-test
backup-test: ## back up and restore a million rows, and everything that can go wrong with that
	@tests/backup/run.sh

.PHONY: infra-test
infra-test: ## judge the infra tree: kustomize, charts, alerts, an API server, an agent that brings it all up (ONLY=... takes parts)
	@tests/infra/run.sh

.PHONY: faults
faults: ## a fault at every request of a story: an hour (FAIRLEAD_SEED=... or FAIRLEAD_FAULT='Write 3': only those)
	@make/faults.sh

.PHONY: simulate
simulate: ## tell stories to what decides a delivery until Ctrl-C (FAIRLEAD_SEED=...: one of them, aloud)
	@make/simulate.sh

.PHONY: simulate-regions
simulate-regions: ## run the regions of an environment against each other until Ctrl-C (FAIRLEAD_SEED=...: one story, aloud)
	@make/simulate-regions.sh

.PHONY: fuzz
fuzz: ## throw what a fuzzer makes up at the readers, a minute each (FAIRLEAD_FUZZ=seconds, ONLY=... takes one)
	@make/fuzz.sh

.PHONY: sabotage
sabotage: ## break each guarantee on purpose and see its test turn red (ONLY=... takes patches of that name)
	@make/sabotage.sh

.PHONY: cluster
cluster: ## keep a control plane up until Ctrl-C, and print its kubeconfig
	@make/cluster.sh

.PHONY: bench
bench: ## measure against kubectl and a bare client
	@make/bench.sh

.PHONY: build
build: ## build the release binary, and write what it is made of
	@source make/tools.sh; cargo build --locked --release; echo "$$CARGO_TARGET_DIR/release/fairlead"
	@make/sbom.sh

.PHONY: fmt
fmt: ## format the sources
	@cargo fmt
	@gofmt -w tests/controlplane

.PHONY: lint
lint: ## what `make test` says about style, alone
	@make/test.sh style

.PHONY: deny
deny: ## licences, advisories and bans of the dependencies
	@source make/tools.sh; need deny; "$$FAIRLEAD_CARGO_DENY" --all-features check

.PHONY: generate
generate: ## write the files that are made from the sources: the chart's CRD
	@make/chart.sh write

.PHONY: install-tools
install-tools: ## install what all of these need
	@make/tools.sh helm moto postgres

.PHONY: clean
clean: ## remove what was built; tools and the control plane stay
	@cargo clean

# Every target sets up what it needs and says so. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CLUSTER ?= auto
MODE ?= quick
NODES ?= 1
BASE ?= auto

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: venv
venv: $(READY) ## Make the virtual environment with pinned packages

$(READY): pyproject.toml constraints.txt
	@echo "==> virtual environment in $(VENV), packages as pinned in constraints.txt"
	$(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@if [ -z "$$CI" ] && [ -e .git ]; then git config core.hooksPath tools/hooks; fi
	@touch $(READY)

.PHONY: pins
pins: ## Renew constraints.txt with the newest packages that fit pyproject.toml
	rm -rf build/pins
	$(PYTHON) -m venv build/pins
	build/pins/bin/pip install --quiet --disable-pip-version-check '.[dev]' hatchling
	sed -n 1p constraints.txt > build/constraints.txt
	build/pins/bin/pip freeze --all --exclude pip --exclude metrics-storage-operator | sort -f >> build/constraints.txt
	mv build/constraints.txt constraints.txt

.PHONY: protocol
protocol: $(READY) ## Generate the messages of agents and controller from channel.proto
	$(BIN)/python -m tools.protocol

.PHONY: lint
lint: $(READY) ## Style, types and import contracts
	$(BIN)/ruff check operator tests tools
	$(BIN)/ruff format --check operator tests tools
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: $(READY) ## Bring the code into its format
	$(BIN)/ruff check --fix operator tests tools
	$(BIN)/ruff format operator tests tools

.PHONY: test-unit
test-unit: $(READY) ## Tests that need no cluster; a minute (as root on real file systems, too)
	@$(MAKE) --silent file-systems || echo "==> tests on these file systems are skipped"
	$(BIN)/pytest tests/unit

.PHONY: test-e2e
test-e2e: $(READY) ## Tests on a real Kubernetes API (CLUSTER=auto|local|kind|kubeconfig)
	$(BIN)/pytest tests/crd tests/policies tests/e2e --cluster=$(CLUSTER)

.PHONY: test-faults
test-faults: $(READY) file-systems ## Deaths, errors, power cuts, hostile directories, mutants (MODE=quick|full)
	$(BIN)/pytest tests/faults
	$(BIN)/python -m tests.faults --mode $(MODE)

.PHONY: file-systems
file-systems:
	@missing=; export PATH="$$PATH:/usr/sbin:/sbin"; \
	for pair in strace:strace mkfs.ext4:e2fsprogs mkfs.xfs:xfsprogs mkfs.btrfs:btrfs-progs unshare:util-linux; do \
		command -v "$${pair%%:*}" >/dev/null || missing="$$missing $${pair#*:}"; \
	done; \
	if [ -n "$$missing" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "==> installing$$missing for tests on real file systems (apt-get)"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing >/dev/null; \
	elif [ -n "$$missing" ]; then \
		echo "tests on real file systems need root and these packages:$$missing" >&2; exit 1; \
	fi

.PHONY: test-node
test-node: $(READY) ## The image and the manifests as shipped, on nodes that run Pods (CLUSTER=auto|local|kind)
	$(BIN)/pytest tests/node --cluster=$(CLUSTER)

.PHONY: test
test: lint test-unit ## Everything; what waits more than it computes at the same time
	@$(BIN)/python -m tools.cluster build || echo "==> tests that need these programs say so"
	@MAKE="$(MAKE)" CLUSTER=$(CLUSTER) MODE=$(MODE) $(BIN)/python -m tests e2e node faults

.PHONY: image
image: $(READY) ## The image as build/image.tar, with docker, podman or buildah (BASE=auto|debian|IMAGE)
	@$(BIN)/python -m tools.image --base=$(BASE)

.PHONY: cluster-up
cluster-up: $(READY) ## A cluster that runs Pods and stays, with NODES=1 (CLUSTER=auto|local|kind)
	@$(BIN)/python -m tools.cluster up --cluster=$(CLUSTER) --nodes=$(NODES)
	@echo "then: kubectl get nodes; an image for them: $(BIN)/python -m tools.cluster load IMAGE.tar; end: make cluster-down"

.PHONY: cluster-down
cluster-down: $(READY) ## End that cluster and delete everything that it stored
	@$(BIN)/python -m tools.cluster down --cluster=$(CLUSTER)

.PHONY: demo
demo: $(READY) ## Everything shown on this machine, step by step (CLUSTER=auto|local|kind)
	@$(BIN)/python -m tools.demo up --cluster=$(CLUSTER)

.PHONY: demo-down
demo-down: $(READY) ## Remove the demo: cluster, operator, directories
	@$(BIN)/python -m tools.demo down

.PHONY: bench
bench: $(READY) ## Measure claims against the cluster's own binder, and Pods from apply to first byte; minutes
	$(BIN)/python -m tools.bench

.DEFAULT_GOAL := help
SHELL := /bin/sh
BIN := .venv/bin
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PYTHONWARNINGS ?=
unexport PYTHONDONTWRITEBYTECODE

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Make .venv with everything that is locked, and fetch Prometheus
	@./scripts/setup
	@$(BIN)/python -m coalmine.stack.prometheus_binary

demo: setup ## Release three versions of a model on this machine: promoted, promoted, rolled back
	@$(BIN)/coalmine demo

test: setup ## Run the tests
	@$(BIN)/pytest -n 4 --dist worksteal --durations=10 --durations-min=5

soak: setup ## Run the long fault tests
	@$(BIN)/pytest -m soak

check: setup lint types imports fresh ## Lint, format, types, import contracts, compiled/ fresh

lint:
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types:
	@$(BIN)/mypy

imports:
	@$(BIN)/lint-imports --no-logo

format: setup ## Format the code and mend what can be mended
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

compile: setup ## Write compiled/ anew from pipelines/
	@$(MAKE) --no-print-directory compiled OUT=compiled

compiled:
	@for target in kfp tekton argo; do for name in release progressive; do \
	  $(BIN)/coalmine compile pipelines/$$name.py --target $$target -o $(OUT)/$$target/$$name.yaml || exit 1; \
	done; done
	@for target in kfp tekton argo; do for builder in buildah buildkit kaniko; do \
	  $(BIN)/coalmine compile pipelines/full_builds.py --pipeline release-$$builder --target $$target \
	    -o $(OUT)/$$target/release-$$builder.yaml 2> /dev/null || exit 1; \
	done; done
	@for target in tekton argo; do \
	  $(BIN)/coalmine compile pipelines/release.py --target $$target --with rbac,triggers \
	    --namespace coalmine -o $(OUT)/$$target/release-with-events.yaml 2> /dev/null || exit 1; \
	  printf 'resources:\n  - release-with-events.yaml\n' > $(OUT)/$$target/kustomization.yaml; \
	done

fresh:
	@rm -rf .coalmine/fresh && $(MAKE) --no-print-directory compiled OUT=.coalmine/fresh
	@diff -ru compiled .coalmine/fresh || { echo "compiled/ is stale; fix: make compile"; exit 1; }

compat: setup ## Hold kfp 1.8 and kfp-tekton against Coalmine, in an environment of their own (downloads it)
	@$(BIN)/uv run --isolated --no-project --quiet --python $(BIN)/python --with kfp==1.8.22 \
	  --with 'setuptools<81' python -W ignore tests/compat/load_with_kfp_1_8.py
	@PYTHONPATH=. $(BIN)/python tests/compat/compare.py

bench: setup ## Measure; prints ratios taken side by side in one run
	@for script in benchmarks/bench_*.py; do PYTHONPATH=$(CURDIR)/tests/servers $(BIN)/python $$script || exit 1; done

lock: ## Resolve requirements.lock anew from pyproject.toml
	@$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-emit-index-url --quiet -o requirements.lock

clean: ## Remove .venv and all state
	rm -rf .venv .coalmine dist

.PHONY: help setup demo test soak compat check lint types imports format compile compiled fresh bench lock clean

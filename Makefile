# What can be done here. `make` alone lists it; each line below comes from a "##" comment.
PYTHON ?=
PORT ?= 8080
DATA ?= var/demo
SEED ?= 1
COUNT ?= 1
JOBS ?= 2
MINUTES ?= 3
BIN := .venv/bin
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help demo setup test check lint format simulate bench compiled lab reference lifecycle lock clean

help: ## list what can be done here
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## start a server with people in it, and print links that sign you in (PORT=8080)
	@.ci/setup server $(PORT)
	@exec $(BIN)/contact-router demo --port $(PORT) --data $(DATA)

setup: ## make .venv with everything that tests and checks need
	@.ci/setup test

test: setup ## run every test; install the servers they talk to where that is allowed (ARGS=...)
	@.ci/servers
	@$(BIN)/pytest -n $(JOBS) --dist worksteal --timeout 240 $(ARGS)

check: lint ## format, lint, types, imports, quick tests: under two minutes
	@$(BIN)/pytest -q -n $(JOBS) --dist worksteal -m "not slow and not peer" $(ARGS)

lint: setup ## format, lint, types and imports alone
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: setup ## put the code into its form, and mend what can be mended without thinking
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

simulate: setup ## run the engine on a drawn day with faults, audited (SEED=7 COUNT=100)
	@$(BIN)/python -m router.testing.simulator --seed $(SEED) --count $(COUNT) $(ARGS)

bench: setup ## measure: matching, throughput, latency, restart, agent freed, pages (minutes, a quiet machine)
	@status=0; for part in matching throughput latency restart "run freed" pages; do \
	    $(BIN)/python -m loadtest $$part || status=1; done; exit $$status

lab: setup ## three nodes in network namespaces, faults, robots, an auditor; root (SEED=1 MINUTES=3)
	@$(BIN)/python -m tests.lab --seed $(SEED) --minutes $(MINUTES) $(ARGS)

compiled: setup ## a copy whose core is machine code, into build/compiled (needs a C compiler)
	@$(BIN)/python -m router.compiled build/compiled
	@cd build/compiled && ../../$(BIN)/python -m router.testing.simulator --count 200
	@cp -r tests loadtest config pyproject.toml build/compiled/
	@cd build/compiled && ../../$(BIN)/python -m pytest -q -p no:cacheprovider tests/core tests/simulation/test_golden.py

reference: setup ## write config/contact-router.yaml anew from the types
	@$(BIN)/python -m router.config.reference

lifecycle: setup ## draw the state machines of ARCHITECTURE.md anew from their tables
	@$(BIN)/python -m tests.architecture.diagrams

lock: setup ## pin what pyproject.toml asks for, with hashes, into requirements/
	@.ci/lock

clean: ## remove the environment and all caches; contacts in var/ stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist

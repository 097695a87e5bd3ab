.DEFAULT_GOAL := help
SECONDS ?= 1800
SEED ?= 1
REPORTS ?= .fleetpulse/bench-fleet-reports

.PHONY: help setup kernel demo test check bench bench-fleet bench-smoke chaos format generate
SHELL := bash
BIN := .venv/bin
READY := .venv/.ready

help:  ## list the words
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s%s\n", $$1, $$2 }' Makefile

setup: $(READY)  ## make .venv from the locked packages (seconds when nothing changed)
	@echo "ready: $(BIN)/fleetpulse --help"

kernel: $(READY)  ## compile fleetpulse/kernel here, if its sources changed
	@$(BIN)/python build_kernel.py

$(READY): setup.sh build_kernel.py pyproject.toml operator/pyproject.toml $(wildcard requirements/*.txt)
	@./setup.sh && touch $@

demo: $(READY)  ## start everything with 100 simulated devices; ctrl-C stops it
	@$(BIN)/fleetpulse demo

test: kernel  ## run all tests
	@$(BIN)/pytest

check: kernel  ## format, lint, types, layers, generated files: what CI checks before the tests
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	.ci/lock --check
	$(BIN)/python .ci/generate.py --check

bench: $(READY)  ## measure: samples/s, latency, CPU, and the bare loop's limit in the same run
	@$(BIN)/fleetpulse bench e2e && $(BIN)/fleetpulse bench limit

bench-fleet: $(READY)  ## one job on our engine and all its alternatives: table and plot, an hour
	@mkdir -p $(REPORTS); failed=0; \
	run() { $(BIN)/fleetpulse bench fleet --json "$(REPORTS)/$$@" || failed=1; }; \
	run model.json; \
	run no-model.json --no-model; \
	run single.json --job fleet-200-1; \
	run disorder.json --job fleet-200-disorder; \
	run paced-50000.json --paced 50000; \
	run paced-200000.json --paced 200000; \
	$(BIN)/python -m benchmarks.fleet.plot docs $(REPORTS)/*.json && exit $$failed

bench-smoke: $(READY)  ## has anything lost more than 25 % of its speed? ratios to bare loops, not seconds
	@$(BIN)/fleetpulse bench smoke

chaos: $(READY)  ## strike every part of a stack under load: make chaos SECONDS=1800 SEED=1
	@$(BIN)/fleetpulse chaos --seconds $(SECONDS) --seed $(SEED)

format: $(READY)  ## format and fix what can be fixed
	$(BIN)/ruff check --fix --quiet || true
	$(BIN)/ruff format --quiet

generate: $(READY)  ## rewrite what is made from other files: locks, protobuf code, CRD, settings table
	.ci/lock
	$(BIN)/python .ci/generate.py

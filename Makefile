# `make demo` shows the platform at work, `make test` proves it; both do the set-up first.
# PYTHON=python3.12 chooses the interpreter of .venv (3.10 to 3.13; 3.11 where there is a choice).
PYTHON ?=
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
# Tests wait for most of their time. A file's tests stay in one process, with its broker and its Spark; the files are
# taken in the order of their names, in which the longest come first.
TEST_PROCESSES ?= 3
SIDE_BY_SIDE := -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup demo dev up dashboard test test-chaos test-fast test-full check bench soak lock clean

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## .venv with the pinned packages, this package and the jars; nothing where they are there
	@PYTHON="$(PYTHON)" scripts/setup.sh

demo: setup ## simulate a week of music, run the pipeline, show the tables
	@$(BIN)/music-lakehouse demo

dev: setup ## Kafka broker and Dagster's UI
	@$(BIN)/music-lakehouse dev

up: setup ## everything, kept running: Kafka, live events, Spark, Dagster and the dashboard, on one screen
	@$(BIN)/music-lakehouse up

dashboard: setup ## the lake in a browser: what is listened to, and whether the platform is well
	@$(BIN)/music-lakehouse dashboard

test: setup ## all tests but the long histories and the many more seeds and kill points of test-full
	@$(PYTEST) $(SIDE_BY_SIDE) -m "not slow" --durations=20

test-chaos: setup ## tests that kill processes, fill disks and lose checkpoints
	@$(PYTEST) -m "chaos and not slow"

test-fast: setup ## tests that need neither Spark nor Kafka nor time, under a minute
	@$(PYTEST) $(SIDE_BY_SIDE) -m "not spark and not kafka and not slow and not thorough"

test-full: setup ## every test: all seeds, kill points and faults
	@$(PYTEST) $(SIDE_BY_SIDE) -v --timeout=1800 -m "not alone"
	@$(PYTEST) -v -m alone

check: setup ## lint, format, types, Dagster's definitions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/dg check defs

bench: setup ## measure, and write docs/benchmarks.md
	@$(BIN)/python -m music_lakehouse_tests.benchmarks

soak: setup ## let it run for MINUTES=60 at RATE=500 events a second, break it every minute, compare every cell
	@$(BIN)/python -m music_lakehouse_tests.soak --minutes $(or $(MINUTES),60) --rate $(or $(RATE),500)

lock: ## requirements.lock anew; UPGRADE=--upgrade renews the pins that are there
	@scripts/lock.sh $(UPGRADE)

clean: ## remove all data and caches; .venv stays
	@if [ -x $(BIN)/music-lakehouse ]; then $(BIN)/music-lakehouse broker stop || true; fi
	rm -rf data build dist *.egg-info spark-warehouse metastore_db derby.log .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

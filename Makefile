# `make demo` shows the platform at work, `make test` proves it; both do the set-up first.
# PYTHON=python3.12 chooses the interpreter of .venv (3.10 to 3.13; 3.11 where there is a choice).
PYTHON ?=
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup demo dev test test-fast test-full check bench lock clean

help: ## what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## .venv with the pinned packages, this package and the jars; nothing where they are there
	@PYTHON="$(PYTHON)" scripts/setup.sh

demo: setup ## simulate a week of music, run the pipeline, show the tables
	@$(BIN)/music-lakehouse demo

dev: setup ## Kafka broker and Dagster's UI
	@$(BIN)/music-lakehouse dev

test: setup ## all tests but the slow ones
	@$(PYTEST) -m "not slow"

test-fast: setup ## tests that need neither Spark nor Kafka, under 30 seconds
	@$(PYTEST) -m "not spark and not kafka and not slow"

test-full: setup ## every test: all seeds, kill points and faults
	@$(PYTEST)

check: setup ## lint, format, types, Dagster's definitions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/dg check defs

bench: setup ## measure, and write docs/benchmarks.md
	@$(BIN)/python -m music_lakehouse_tests.benchmarks

# The pins that are there are kept: `make lock UPGRADE=--upgrade` renews them all, `UPGRADE="-P duckdb"` one.
# One lock serves Python 3.10 to 3.13, which pip-compile can't write; uv reads pip's own formats.
lock: ## requirements.lock anew from pyproject.toml
	@test -x build/lock/bin/uv || { .venv/bin/python -m venv build/lock && build/lock/bin/pip install --quiet uv==0.13.8; }
	@build/lock/bin/uv pip compile --quiet pyproject.toml --extra dev --universal --python-version 3.10 --generate-hashes \
		--no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(UPGRADE) \
		--output-file requirements.lock

clean: ## remove all data and caches; .venv stays
	@if [ -x $(BIN)/music-lakehouse ]; then $(BIN)/music-lakehouse broker stop || true; fi
	rm -rf data build dist *.egg-info spark-warehouse metastore_db derby.log .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

# Needs Python 3.11 or newer, git and make.  Every target makes .venv first if it is
# missing or out of date: scripts/make_venv.py downloads the versions pinned in
# constraints.txt into .venv/wheelhouse and installs from there.

PYTHON ?= python3
# Test processes at a time.
JOBS ?= 2
# More arguments for pytest: make test PYTEST_ARGS="-k journal"
PYTEST_ARGS ?=

BIN := .venv/bin
READY := .venv/ready

MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test soak check bench pins clean

help:  ## List what can be made
	@sed -n 's/^\([a-z]*\):.*  ## \(.*\)/make \1\t\2/p' Makefile

demo: $(READY)  ## Run a real workflow, print its report and the next three commands
	$(BIN)/auditfold demo

test: $(READY)  ## Run every test
	$(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=worksteal $(PYTEST_ARGS)

soak: $(READY)  ## Run the whole of the reliability tests: hours, as root with power cuts
	AUDITFOLD_SOAK=1 $(BIN)/python -m pytest --numprocesses=$(JOBS) --dist=worksteal \
	  -o faulthandler_timeout=0 tests/reliability $(PYTEST_ARGS)

check: $(READY)  ## Lint, format, types, layers, doctests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest --doctest-modules --quiet observability replay

bench: $(READY)  ## Run the benchmarks and print their ratios
	$(BIN)/python -m benchmarks.run

pins: $(READY)  ## Write constraints.txt anew: the versions it has, and what is missing
	$(BIN)/python scripts/pin_versions.py

clean:  ## Remove .venv, caches and build products
	rm -rf .venv build dist .coverage .coverage.* htmlcov
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt scripts/make_venv.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "auditfold needs Python 3.11 or newer, and '$(PYTHON)' is:" \
	    "$$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) scripts/make_venv.py

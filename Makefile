# One command each. `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(INSTALLED) ## Play two cycles of three sample laundromats (KEEP=1 leaves the servers up)
	@"$(BIN)/vmhub" demo $(if $(KEEP),--keep)

.PHONY: test
test: $(INSTALLED) ## Run everything: lint, types, dbt, unit tests, end to end
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .
	"$(BIN)/mypy"
	"$(BIN)/python" -m pytest

.PHONY: docs-cli
docs-cli: $(INSTALLED) ## Write docs/cli.md anew from the commands' help
	"$(BIN)/typer" loader.cli utils docs --name vmhub --output docs/cli.md

.PHONY: install
install: $(INSTALLED) ## Set up .venv from the lock

# Installed again whenever what it is made from changes; otherwise nothing is fetched, so that
# everything works without a network.
$(INSTALLED): requirements.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "vmhub needs Python 3.11 or newer; name one with: make PYTHON=python3.12" >&2; exit 2; }
	"$(PYTHON)" -m venv --clear $(VENV)
	"$(BIN)/python" -m pip install --quiet --disable-pip-version-check --require-hashes \
	    --requirement requirements.lock
	"$(BIN)/python" -m pip install --quiet --disable-pip-version-check --no-deps \
	    --no-build-isolation --editable .
	@touch $(INSTALLED)

.PHONY: lock
lock: $(INSTALLED) ## Resolve the newest allowed versions into requirements.lock
	"$(BIN)/uv" pip compile pyproject.toml --extra local --extra dev --quiet --universal \
	    --python-version 3.11 --upgrade --generate-hashes --no-strip-extras --no-emit-index-url \
	    --no-header --no-annotate --output-file requirements.lock

.PHONY: clean
clean: ## Remove what the commands made
	rm -rf $(VENV) .vmhub target logs .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info

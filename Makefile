# `make` lists what there is. Everything lives in .venv and needs nothing beforehand but Python >= 3.11.
PYTHON ?= python3
UV_VERSION := 0.13.9
WORKERS ?= 2
# 1: a test server that is not installed fails its tests. 0: they are skipped with the reason.
export DVENGINE_REQUIRE_SERVICES ?= 1
# Trust what the machine trusts: an organisation's own certificate authority is usual where this runs.
export UV_SYSTEM_CERTS ?= 1

VENV := .venv
BIN := $(VENV)/bin
INPUTS := $(shell cat pyproject.toml constraints.txt | cksum | tr ' ' '-')
FULL := $(VENV)/.full-$(INPUTS)
DEMO := $(VENV)/.demo-$(INPUTS)
TESTS ?= dvengine tests
SOURCES := tests/postgres
STORES := tests/stores/test_store_contract.py tests/stores/test_commit_log.py
# A server that is named has its own kind's suite run on it, and no other kind's.
CONTRACT = $(if $(POSTGRES_URL),$(SOURCES)) $(if $(S3_URL)$(S3_ENDPOINT),$(STORES))
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --doctest-modules $(TESTS)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help sync lint format type test quick contract bench demo docs pins clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

sync: $(FULL) ## Make .venv with everything, at the versions of constraints.txt

lint: $(FULL) ## Check style and format (ruff)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: $(FULL) ## Mend style and format where a machine can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

type: $(FULL) ## Check types (mypy --strict)
	@$(BIN)/mypy

test: $(FULL) ## Run every test and doctest against real servers; says at the end what could not run [TESTS=folders]
	@.ci/system-packages
	@$(PYTEST) -q

quick: export DVENGINE_REQUIRE_SERVICES := 0
quick: lint type ## Check style and types, run the tests that need no server (a minute or two)
	@$(PYTEST) -q -m "not slow and not service"

contract: $(FULL) ## Run the contract suites of sources and stores [POSTGRES_URL=url] [S3_URL=s3://bucket/prefix S3_ENDPOINT=url]
	@$(BIN)/python -m pytest -q $(if $(strip $(CONTRACT)),$(CONTRACT),$(SOURCES) $(STORES))

bench: $(FULL) ## Measure against the other ways of doing it; writes benchmarks/results/
	@$(BIN)/python -m benchmarks

demo: $(DEMO) ## Run the main job on a registry of its own [PERSONS=n] [STORE=url] [SEARCH=url]
	@$(BIN)/dvengine demo $(if $(PERSONS),--persons "$(PERSONS)") $(if $(STORE),--store "$(STORE)") $(if $(SEARCH),--search "$(SEARCH)")

docs: $(FULL) ## Build the documentation into site/
	@$(BIN)/python docs/build.py

pins: $(BIN)/uv ## Choose the versions in constraints.txt anew
	@$(BIN)/uv pip compile -q --upgrade pyproject.toml --all-extras --universal --python-version 3.11 \
		--no-emit-index-url --no-annotate --no-header -o constraints.txt

clean: ## Remove what was built and cached, but not .venv
	@rm -rf build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .demo *.egg-info
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# The stamps carry a checksum of what was asked for, so a second call does nothing, and a changed file does something.
$(FULL): | $(BIN)/uv
	@echo 'installing into $(VENV) …'
	@$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -e '.[all,dev,bench]'
	@rm -f $(VENV)/.full-* $(VENV)/.demo-*
	@touch $(FULL) $(DEMO)

$(DEMO): | $(BIN)/uv
	@echo 'installing into $(VENV) …'
	@$(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt -e '.[demo]'
	@rm -f $(VENV)/.full-* $(VENV)/.demo-*
	@touch $(DEMO)

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is too old or not there: dvengine needs Python >= 3.11 (make PYTHON=/path/to/python3.11)" >&2; exit 1; }
	@echo 'making $(VENV) …'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv==$(UV_VERSION)

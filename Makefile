# make demo: set up and run the main job. make test: set up and run every check.
# Another interpreter: make demo PYTHON=python3.12
# A CPU-only PyTorch:  make demo TORCH_INDEX=<the --index-url that pytorch.org's install page shows for CPU>

SUPPORTED := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10 python; do \
    $$p -c '$(SUPPORTED)' >/dev/null 2>&1 && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2

.PHONY: demo test lint types fast slow clean

demo: $(STAMP)
	$(BIN)/python src/find_lr.py

test: lint types fast slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: $(STAMP)
	$(BIN)/mypy

fast: $(STAMP)
	$(BIN)/pytest -q -n $(WORKERS) -m "not slow"

slow: $(STAMP)
	$(BIN)/pytest -q -n $(WORKERS) -m slow

$(STAMP): pyproject.toml
	@test -n "$(PYTHON)" || { echo "steadylr needs Python 3.10 to 3.13; name one: make demo PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c '$(SUPPORTED)' || { echo "steadylr needs Python 3.10 to 3.13; $(PYTHON) is another"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -z "$(TORCH_INDEX)" || $(BIN)/python -m pip install --quiet --index-url "$(TORCH_INDEX)" torch torchvision
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV)

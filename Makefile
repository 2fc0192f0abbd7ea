# `make demo` and `make test` do all the set-up on a fresh machine: Python 3.11 or newer is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# without the notices of pip: they hide what matters
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test test-all lint types docs wheel-check format clean

$(VENV)/core: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "hwprofile needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade pip
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/dev: $(VENV)/core
	$(PIP) install --constraint constraints.txt --editable '.[fleet,litert,pytorch,search,tables]' --group test --group lint --group docs --group build
	@touch $@

# bench this computer's CPU, find the best network that takes 60 % of the most accurate one's time, measure it
demo: $(VENV)/core
	HWPROFILE_HOME=demo/home $(BIN)/hwprofile specialize --budget 60% --out demo

# two at a time, on any machine: tests measure too, and more of them would measure each other
test: $(VENV)/dev
	$(BIN)/python -m pytest -n 2

test-all: $(VENV)/dev
	$(BIN)/python -m pytest -n 2 -m ""

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev
	$(BIN)/mypy

# the documentation as a site: open site/index.html; a warning is an error
docs: $(VENV)/dev
	$(BIN)/python -m mkdocs build --strict --quiet

# the wheel works away from the checkout
wheel-check: $(VENV)/dev
	PATH="$(CURDIR)/$(BIN):$$PATH" sh .ci/wheel-check

format: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) demo dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Everything a newcomer or a maintainer runs. `make demo` and `make test` start from a bare checkout.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint types tests docs format clean

demo: .venv/demo
	$(BIN)/cxrgan demo

test: lint types tests

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev
	$(BIN)/mypy

tests: .venv/dev
	$(BIN)/pytest

docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv site .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/demo: pyproject.toml
	@echo "Making .venv and installing cxrgan into it (a minute or two)"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable .
	@touch $@

.venv/dev: pyproject.toml
	@echo "Making .venv and installing cxrgan and its tools into it (a minute or two)"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@

.venv/docs: pyproject.toml
	@echo "Making .venv and installing cxrgan and what its docs site needs into it (a minute or two)"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[docs]'
	@touch $@

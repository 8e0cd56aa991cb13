# Two commands to begin with: `make demo` and `make test`. Both install what they need into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := elector,test

.PHONY: help demo test lint unit test-cluster bench mutants clean

help:
	@echo 'make demo     see distributed locks work, and survive a crash, in under a minute'
	@echo 'make test     install what the tests need, and run all of them'
	@echo 'make test-cluster  only those on a real Kubernetes API server; builds one with Go, once'
	@echo 'make bench    measure, and print a table'
	@echo 'make mutants  break the rules one by one, and see each caught'
	@echo 'make clean    remove what the other commands made'

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed; say which one with: make PYTHON=python3.12'; exit 1; }
	@test -x $(BIN)/python || { echo 'making $(VENV) ...'; $(PYTHON) -m venv $(VENV); }
	@echo 'installing into $(VENV) (once) ...'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]'
	@touch $@

demo: $(VENV)/installed
	@$(BIN)/python examples/demo.py

test: lint unit

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Those on a real API server are among them: where Go is, the first run builds one, for some four minutes.
unit: $(VENV)/installed
	$(BIN)/python -m pytest

test-cluster: $(VENV)/installed
	$(BIN)/python -m pytest tests/cluster

bench: $(VENV)/installed
	@$(BIN)/python -m benchmarks

mutants: $(VENV)/installed
	@$(BIN)/python -m tests.mutants

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# Two commands to begin with: `make demo` and `make test`. Both install what they need into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := elector,test

.PHONY: help demo test lint unit test-cluster bench mutants clean image image-test image-requirements e2e

help:
	@echo 'make demo     see distributed locks work, and survive a crash, in under a minute'
	@echo 'make test     install what the tests need, and run all of them'
	@echo 'make test-cluster  only those on a real Kubernetes API server; builds one with Go, once'
	@echo 'make e2e      pods, sidecars and examples on a real node, in a box of its own; needs root'
	@echo 'make bench    measure, and print a table'
	@echo 'make mutants  break the rules one by one, and see each caught'
	@echo 'make image    build the container image of the elector with docker, or BUILDER=podman'
	@echo 'make image-test  build it without docker, and take a lock through it; needs root'
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
	$(BIN)/python -m pytest --ignore=tests/image --ignore=tests/node

test-cluster: $(VENV)/installed
	$(BIN)/python -m pytest tests/cluster

bench: $(VENV)/installed
	@$(BIN)/python -m benchmarks

mutants: $(VENV)/installed
	@$(BIN)/python -m tests.mutants

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

BUILDER ?= docker
BUILD_ARGUMENTS ?=
IMAGE ?= elector:$(shell sed -n 's/^VERSION.*= "\(.*\)"/\1/p' metaparticle_sync/wire.py)

image:
	$(BUILDER) build --build-arg REVISION="$$(git rev-parse HEAD)" --tag $(IMAGE) $(BUILD_ARGUMENTS) .

image-test: $(VENV)/installed
	$(BIN)/python -m pytest tests/image

# The pinned packages of the image, each at the newest version that pyproject.toml allows.
image-requirements:
	PYTHON=$(PYTHON) deploy/image/pin-requirements.sh

# Whatever of it needs a network or takes minutes is done before the first test: packages, programs, the image.
e2e: $(VENV)/installed
	$(BIN)/python -m tests.node

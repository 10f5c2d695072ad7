# Everything here works on a machine with Python 3.10 or newer, git and make, and nothing else.
#
#   make bench   environment, then the seed suite on the best device, table, stored run, report/
#   make test    environment, then the project's own tests
#   make perf    the project's own figures of speed
#   make sweep   every architecture built both ways and run once; docs/sweep.md
#   make gallery the pictures and tables of docs/gallery.md
#
# PYTHON=python3.12 chooses the interpreter of the environment; BENCH="--quick --models=resnet18"
# adds options to the run.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
BENCH ?=
TEST ?=
PERF ?=
SWEEP ?=
STAMP := $(VENV)/.installed
TEST_STAMP := $(VENV)/.installed-test

.DEFAULT_GOAL := help
.PHONY: help bench test lint perf sweep gallery clean

help:
	@sed -n 's/^#   \(make .*\)/  \1/p' Makefile

# `make PYTHON=python3.12` on an environment of another version would measure with the wrong one.
ifeq ($(filter clean help,$(MAKECMDGOALS)),)
ifneq ($(origin PYTHON),file)
ifneq ($(wildcard $(BIN)/python),)
VERSION := import sys; print(*sys.version_info[:2], sep=".")
ifneq ($(shell $(PYTHON) -c '$(VERSION)'),$(shell $(BIN)/python -c '$(VERSION)'))
$(error $(VENV) holds Python $(shell $(BIN)/python -c '$(VERSION)'), not that of $(PYTHON). \
  Run `make clean` first, or keep both: make PYTHON=$(PYTHON) VENV=.venv-$(notdir $(PYTHON)))
endif
endif
endif
endif

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "archbench needs Python 3.10 or newer; found `$(PYTHON) --version`. Run: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# A package installed for tests serves for benchmarks too, so the two stamps do not undo each other.
$(STAMP): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(TEST_STAMP): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(STAMP)

bench: $(STAMP)
	@$(BIN)/python -m pytest benchmarks $(BENCH); status=$$?; \
	case $$status in 0|1) $(BIN)/archbench report ;; esac; exit $$status

test: $(TEST_STAMP) lint
	$(BIN)/python -m pytest $(TEST)

lint: $(TEST_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

perf: $(TEST_STAMP)
	$(BIN)/python tools/perf.py $(PERF)

sweep: $(TEST_STAMP)
	$(BIN)/python tools/sweep.py $(SWEEP)

gallery: $(TEST_STAMP)
	$(BIN)/python tools/gallery.py

clean:
	rm -rf $(VENV) .archbench .benchmarks report dist build

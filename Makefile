# Everything here works on a machine with Python 3.10 or newer, git and make, and nothing else.
#
#   make bench   environment, then the seed suite on the best device, table, stored run, report/
#   make test    environment, then the project's own tests
#   make check   before each commit: lint, types, and the tests that take no minute
#   make test-lowest  the tests with the oldest versions that pyproject.toml allows
#   make test-latest  the tests with the newest ones
#   make perf    the project's own figures of speed
#   make house   how large the code is, and how it hangs together
#   make sweep   every architecture built both ways and run once; docs/sweep.md
#   make exports which architectures engines run, and what they return; docs/exports.md
#   make gallery the pictures and tables of docs/gallery.md
#   make docs    docs/ as a site in site/, with the API from docstrings; a dead link ends it
#
# TORCH_INDEX=URL takes torch and torchvision from that package index. torch's installation page
# (pytorch.org/get-started/locally) gives the URL for each CUDA; a V100 needs the builds for CUDA 12.6.
# RUNTIMES=eager,onnxruntime,openvino measures by these runtimes, and installs the engines among them.
# PYTHON=python3.12 chooses the interpreter of the environment; BENCH="--quick --models=resnet18"
# adds options to the run. The last two have environments of their own, with Python 3.10 and the newest
# Python of pyenv, else python3; LOWEST_PYTHON and LATEST_PYTHON choose others.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
BENCH ?=
RUNTIMES ?=
TEST ?=
PERF ?=
# A worker that has nothing left takes tests of another one, so that no core waits for the other.
WORKERS ?= -n logical --maxprocesses=4 --dist=worksteal
PYENV := $(HOME)/.pyenv/versions
LOWEST_PYTHON ?= $(firstword $(wildcard $(PYENV)/3.10.*/bin/python) python3.10)
LATEST_PYTHON ?= $(lastword python3 $(sort $(wildcard $(PYENV)/3.1[1-9].*/bin/python)))
EXPORTS ?=
SWEEP ?=
TORCH_INDEX ?=
STAMP := $(VENV)/.installed$(addprefix -,$(notdir $(patsubst %/,%,$(TORCH_INDEX))))
TEST_STAMP := $(VENV)/.installed-test

.DEFAULT_GOAL := help
.PHONY: help bench test check test-lowest test-latest lint perf house exports sweep gallery docs clean

help:
	@sed -n 's/^#   \(make .*\)/  \1/p' Makefile

ifneq ($(TORCH_INDEX),)
ifeq ($(findstring ://,$(TORCH_INDEX)),)
$(error TORCH_INDEX=$(TORCH_INDEX) is no URL. Give the one that torch's installation page, \
  pytorch.org/get-started/locally, shows behind --index-url)
endif
endif

# `make PYTHON=python3.12` on an environment of another version would measure with the wrong one.
ifeq ($(filter clean help test-lowest test-latest,$(MAKECMDGOALS)),)
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
	$(if $(TORCH_INDEX),$(BIN)/python -m pip install --quiet --disable-pip-version-check --force-reinstall \
	  --index-url $(TORCH_INDEX) torch torchvision)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(TEST_STAMP): pyproject.toml $(if $(TORCH_INDEX),$(STAMP)) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,docs]'
	@touch $@ $(STAMP)

# RUNTIMES=onnxruntime,openvino installs these engines as well, each once.
comma := ,
ENGINES := $(filter onnxruntime openvino tensorrt onnxruntime-tensorrt,$(subst $(comma), ,$(RUNTIMES)))
ENGINE_STAMPS := $(addprefix $(VENV)/.installed-,$(ENGINES))

$(ENGINE_STAMPS): $(VENV)/.installed-%: pyproject.toml $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@

bench: $(STAMP) $(ENGINE_STAMPS)
	@$(BIN)/python -m pytest benchmarks $(addprefix --runtime=,$(RUNTIMES)) $(BENCH); status=$$?; \
	case $$status in 0|1) page=$$($(BIN)/archbench report) && \
	  echo "Charts and table of this run, for a browser: $$page" ;; esac; exit $$status

# Tests write no bytecode: what hundreds of processes import is compiled once before.
test: $(TEST_STAMP) lint
	$(BIN)/python -m compileall -q plugin
	$(BIN)/python -m pytest $(WORKERS) $(TEST)

# Whole runs on simulated devices are among the tests of `make test`.
check: $(TEST_STAMP) lint
	$(BIN)/python -m compileall -q plugin
	$(BIN)/python -m pytest -q $(WORKERS) tests/core tests/store tests/devices tests/catalog \
	  --ignore=tests/devices/sim $(TEST)

house: $(TEST_STAMP)
	$(BIN)/python tools/house.py

# Each process of these starts as a user's does, with nothing imported: tests/preloaded is left out.
test-lowest: .venv-lowest/.installed
	ARCHBENCH_TESTS_WITHOUT_TEMPLATE=1 .venv-lowest/bin/python -m pytest $(TEST)

test-latest: .venv-latest/.installed
	ARCHBENCH_TESTS_WITHOUT_TEMPLATE=1 .venv-latest/bin/python -m pytest $(TEST)

# Of what the project itself requires the oldest versions that fit together; of what its tests require
# besides the newest that go with these.
.venv-lowest/.installed: pyproject.toml
	rm -rf .venv-lowest
	$(LOWEST_PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-lowest/bin/uv pip compile --quiet --python .venv-lowest/bin/python \
	  --resolution lowest-direct --output-file .venv-lowest/lowest.txt pyproject.toml
	.venv-lowest/bin/uv pip install --quiet --python .venv-lowest/bin/python \
	  --constraint .venv-lowest/lowest.txt --editable '.[test]'
	@touch $@

.venv-latest/.installed: pyproject.toml
	rm -rf .venv-latest
	$(LATEST_PYTHON) -m venv .venv-latest
	.venv-latest/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

lint: $(TEST_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

perf: $(TEST_STAMP)
	$(BIN)/python tools/perf.py $(PERF)

exports: $(TEST_STAMP)
	$(BIN)/python tools/exports.py $(EXPORTS)

sweep: $(TEST_STAMP)
	$(BIN)/python tools/sweep.py $(SWEEP)

gallery: $(TEST_STAMP)
	$(BIN)/python tools/gallery.py

# What zensical does not look at, pictures, the navigation and what a page asks for, is the test's.
docs: $(TEST_STAMP)
	$(BIN)/zensical build --clean --strict
	$(BIN)/python -m pytest -q tests/test_site.py
	@echo 'To read it with its search: $(BIN)/python -m http.server --directory site'

clean:
	rm -rf $(VENV) .venv-lowest .venv-latest .archbench .benchmarks .cache report site dist build

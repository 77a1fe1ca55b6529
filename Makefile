# Works from a fresh clone with Python >= 3.11, git and make. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := protocol config plugins dispatch engine client tests bench tools
# `make setup PYTHON=/opt/python3.12/bin/python3` takes that one; else the first of these that is new enough.
PYTHON ?=
PYTHONS := $(or $(PYTHON),python3.13 python3.12 python3.11 python3)

.PHONY: help setup fmt docs lint test trust sim integration bench clips demo

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

setup: $(STAMP)  ## make .venv with the package, FFmpeg and the tools, where it is missing or older than pyproject.toml

# A Python without ensurepip (Debian without python3-venv) may still have a pip that can fill another environment.
$(STAMP): pyproject.toml
	@set -e; found=; \
	for python in $(PYTHONS); do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "setup: no Python >= 3.11 among: $(PYTHONS). Install one, or name it: make setup PYTHON=/path/to/python3" >&2; exit 1; \
	fi; \
	if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	  rm -rf $(VENV); \
	  if "$$found" -c 'import ensurepip, venv' 2>/dev/null; then "$$found" -m venv $(VENV); \
	  elif "$$found" -m pip --version >/dev/null 2>&1; then \
	    "$$found" -m venv --without-pip $(VENV); "$$found" -m pip --python $(BIN)/python install -qq pip; \
	  else \
	    echo "setup: $$found can make no environment: it has neither ensurepip nor pip. On Debian or Ubuntu:" \
	      "apt install python3-venv; or name another: make setup PYTHON=/path/to/python3" >&2; exit 1; \
	  fi; \
	fi; \
	echo "setup: installing into $(VENV); the first time takes about half a minute"; \
	$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[ffmpeg,dev]'; \
	touch $@

fmt: setup  ## format, and repair what ruff can repair
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: setup  ## draw docs/errors.md, docs/states.md, docs/openapi.json and config/examples/ anew
	$(BIN)/python -m tools.docs

lint: setup  ## style, format, types, contracts between packages, size of modules and functions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/shape.py $(PACKAGES)
	$(BIN)/python -m tools.docs --check

# Names of programs some tests use, and of the packages that bring them.
TEST_TOOLS := bwrap=bubblewrap HandBrakeCLI=handbrake-cli espeak-ng=espeak-ng chromium=chromium nginx=nginx-light
APT := timeout 240 apt-get install -y -qq --no-install-recommends

.PHONY: tools
tools:  ## what some tests use and pip cannot bring, by apt for root; without it those tests are skipped and say so
	@lacking=; for pair in $(TEST_TOOLS); do \
	  command -v "$${pair%%=*}" >/dev/null || lacking="$$lacking $${pair##*=}"; \
	done; \
	if [ -n "$$lacking" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "tools: installing$$lacking"; export DEBIAN_FRONTEND=noninteractive; \
	  $(APT) $$lacking >/dev/null 2>&1 || { timeout 120 apt-get update -qq >/dev/null 2>&1 && $(APT) $$lacking >/dev/null 2>&1; } \
	    || echo "tools: apt could not install them; their tests are skipped"; \
	fi

test: setup tools lint  ## lint, then the tests; what kills under load or measures comes last and has the machine to itself
	$(BIN)/pytest -q -n 2 --dist worksteal -m "not trust" --ignore=tests/integration tests
	$(BIN)/pytest -q -n 2 --dist worksteal -m "not trust and not alone" tests/integration
	$(BIN)/pytest -q -m "alone and not trust" tests/integration

trust: setup tools  ## the long rest of what `make test` holds slices of: hostile files, worlds
	$(BIN)/pytest -q -n 2 --dist worksteal -m trust tests

sim: setup  ## the simulation alone
	$(BIN)/pytest tests/sim -q

integration: setup  ## real servers, real FFmpeg, real files, alone
	$(BIN)/pytest -q tests/integration

bench: setup  ## measure; prints a table, writes JSON to bench/results/
	$(BIN)/python -m bench

clips: setup  ## fetch real footage for the benches into a cache outside the tree
	$(BIN)/python -m bench.clips

demo: setup  ## transcode a clip, or VIDEO=path, with a dispatch and an engine of its own
	@$(BIN)/python -m client.demo $${VIDEO:+--video "$$VIDEO"}

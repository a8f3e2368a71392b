# The house's commands. `make help` lists them; CI runs the same (.ci/run).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help wheel setup ui packages lock check test unit sim ui-test lab-test bench adopt-check demo demo-stop install-check clean

VENV := .venv
BIN := $(VENV)/bin
SEEDS ?= 500
NAME ?= create
DATA ?= ../shared/data/libvirt-domains
# Debian's own Python where there is one: its headers are those that python3-dev brings
PYTHON = $(shell [ -x /usr/bin/python3 ] && echo /usr/bin/python3 || echo python3)
PIP = $(BIN)/python -m pip --disable-pip-version-check -qq

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1\t/' | \
	  awk -F'\t' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: packages $(VENV)/.installed ui  ## install what is missing: system packages, virtual environment, dependencies

packages:
	@packaging/install-packages

$(VENV)/.installed: requirements/build.lock requirements/dev.lock pyproject.toml | packages
	@echo "Setting up $(VENV) (once; a few minutes)"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements/build.lock
	@echo "  $$(grep -c '==' requirements/dev.lock) locked dependencies …"
	@$(PIP) install --require-hashes --no-build-isolation -r requirements/dev.lock
	@echo "  Corral itself …"
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

ui: $(VENV)/.installed  ## build the web console into the package
	@$(BIN)/python tools/ui.py build

lock: setup  ## renew requirements/*.lock from pyproject.toml (needs the network)
	@tools/lock

check: setup  ## format, lint, types, layers and the project's own rules
	@$(BIN)/python tools/check.py

test: setup  ## every test; with CI=true a lab test that is skipped counts as failed
	@$(BIN)/python tools/test.py --seeds $(SEEDS) check unit contract sim ui lab

unit: setup  ## the quick tests: unit and contract
	@$(BIN)/python tools/test.py unit contract

sim: setup  ## SEEDS=500 simulated histories with faults; SEED=7: this one again, with its story
	@$(BIN)/python -m tests.sim $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

ui-test: setup  ## the web console, in a real browser
	@$(BIN)/python tools/test.py ui

lab-test: setup  ## real guests on a lab of real libvirts (root)
	@$(BIN)/python tools/test.py lab

bench: setup  ## NAME=api|console|create|twin …: a figure of the README (bench/README.md)
	@$(BIN)/python -m bench.$(NAME)

adopt-check: setup  ## DATA=folder: domain XML of any origin through the hands that adopt domains
	@$(BIN)/python tools/adopt_check.py "$(DATA)"

demo: setup  ## three nodes, a guest, a live migration; leaves the lab running
	@$(BIN)/python -m corral.lab.demo

demo-stop:  ## end the demo and leave nothing behind
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m corral.lab.demo --stop; else echo "No demo here."; fi

wheel: setup  ## dist/: Corral and all that it needs, as wheels for other machines
	@rm -rf dist build
	@$(PIP) wheel --no-deps --no-build-isolation -w dist .
	@$(PIP) wheel --require-hashes --no-deps --no-build-isolation -r requirements/runtime.lock -w dist
	@ls dist | wc -l | xargs -I{} echo "{} wheels in dist/"

install-check: setup  ## install the wheel in a Debian guest booted for it (slow)
	@packaging/install-check

clean:  ## remove the virtual environment and caches
	@rm -rf $(VENV) .cache build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

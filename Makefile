# What people type; `make` alone lists it. Needs Python 3.11 or newer and nothing else.

PYTHON ?= python3
BIN := .venv/bin
# uv where there is one (quicker), else what comes with Python. Both check every hash.
UV := $(shell command -v uv 2>/dev/null)
ifdef UV
MAKE_VENV = $(UV) venv --quiet --allow-existing --python $(PYTHON) .venv
INSTALL = VIRTUAL_ENV=.venv $(UV) pip install --quiet --require-hashes --requirement
else
MAKE_VENV = $(PYTHON) -m venv .venv
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement
endif
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url
# Side by side, one process more than there are cores, since each often waits for its servers; five at most, for
# each has five servers, often a browser or a JVM.
SIDE_BY_SIDE = -n $(shell $(PYTHON) -c 'import os; print(min((os.cpu_count() or 1) + 1, 5))')
# Tools that load Django's settings without a server. No address here: nothing is connected to.
CHECK_ENV = WAQITI_ENV=test

# One kind of check: says its name before, and again if it fails.
define check
	@printf '\n== %s\n' '$(1)'
	@$(2) || { printf '\nFailed: %s\n' '$(1)' >&2; exit 1; }
endef

.PHONY: help demo demo-reset tour screenshots test test-fast test-flyway lint lock bench

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

demo: .venv/installed ## start everything with demo data and print the address; Ctrl-C stops it
	@$(BIN)/python -m waqiti_rollback.demo

demo-reset: .venv/installed ## the same, from scratch: the demo's servers and data are deleted first
	@$(BIN)/python -m waqiti_rollback.demo --reset

tour: .venv/installed ## the main job on real servers without a browser, as a timeline to read
	@$(BIN)/python -m waqiti_rollback.tour

screenshots: .venv/installed-dev ## take pictures of every page of the demo into docs/screenshots; needs Chromium
	@$(BIN)/python -m waqiti_rollback.screenshots --reset

test: lint ## every check and every test; browser tests need Chromium
	$(call check,pytest,$(BIN)/python -m pytest $(SIDE_BY_SIDE))

test-fast: .venv/installed-dev ## the tests that need no server and no browser
	@$(BIN)/python -m pytest -m 'not integration and not browser'

test-flyway: .venv/installed-dev ## the same answers as the real Flyway? needs Java 17 and Maven (part of test)
	$(call check,the real Flyway,$(BIN)/python -m pytest tests/differential)

lint: .venv/installed-dev ## ruff, mypy, import-linter, missing migrations
	$(call check,ruff check,$(BIN)/ruff check)
	$(call check,ruff format --check,$(BIN)/ruff format --check)
	$(call check,mypy,$(CHECK_ENV) $(BIN)/mypy approvals executor waqiti_rollback)
	$(call check,import-linter,$(BIN)/lint-imports)
	$(call check,missing migrations,$(CHECK_ENV) $(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run)

bench: .venv/installed-dev ## measure execution against psql, pages against an empty one, with DIR= analysis
	@$(BIN)/python -m benchmarks.execution
	@$(BIN)/python -m benchmarks.pages
	@if [ -n '$(DIR)' ]; then $(BIN)/python -m benchmarks.analysis '$(DIR)'; fi

lock: .venv/installed-dev ## write requirements*.txt anew from requirements*.in
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(LOCK) requirements.in --output-file requirements.txt
	@$(LOCK) requirements-dev.in --constraint requirements.txt --output-file requirements-dev.txt

.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  printf '%s\n' 'Python 3.11 or newer is needed; "$(PYTHON)" is not. Say which: make PYTHON=/path/to/python3.12 …' >&2; \
	  exit 1; }
	@echo 'Making .venv …'
	@$(MAKE_VENV) || { rm -rf .venv; \
	  echo 'Python cannot make a virtual environment. Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@touch $@

.venv/installed: requirements.txt | .venv/made
	@echo 'Installing what it runs on (about 50 packages, only the first time takes long) …'
	@$(INSTALL) requirements.txt
	@touch $@

.venv/installed-dev: requirements-dev.txt | .venv/made
	@echo 'Installing what it runs on and is tested with (about 80 packages, only the first time takes long) …'
	@$(INSTALL) requirements-dev.txt
	@touch $@

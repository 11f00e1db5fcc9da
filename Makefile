# What a person types. Everything that is made is remembered by a stamp under .make/, so that a
# second start installs nothing, asks no index and probes no Node.
#
# Needed on the machine: Python >= 3.11, make and git. Works with GNU make 3.81 and newer.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
SHELL := /bin/sh

python := .venv/bin/python
pip := $(python) -m pip install -q --disable-pip-version-check --require-hashes

# Arguments for `mooring up`: make run ARGS="--port 9000"
ARGS ?=
# Arguments for pytest: make test PYTEST="-k outbox"
PYTEST ?=

page := mooring/server/page/index.html
page_sources := $(filter-out web/openapi.json %.gen.ts,$(shell \
	find web -name node_modules -prune -o -type f -print 2>/dev/null))
api_sources := $(shell find mooring/server mooring/model mooring/cli -name '*.py' 2>/dev/null)

.PHONY: help
help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: .make/project $(page) ## start the server and this machine's agent (ARGS="--port 8930")
	@exec .venv/bin/mooring up $(ARGS)

.PHONY: setup
setup: .make/dev .make/project $(page) ## make ready for work: environment, tools, page

.PHONY: test
test: parts .make/dev .make/project $(page) lint types contracts web-test ## everything, with real parts and a browser
	@tools/run_tests all $(PYTEST)

.PHONY: test-vm
test-vm: parts .make/dev .make/project ## CAN on a real kernel: a virtual machine, booted and ended hard (20 minutes)
	@$(python) -m pytest -m vm $(PYTEST)

.PHONY: check
check: .make/dev lint types contracts ## what runs within a minute: no real parts, no browser
	@tools/run_tests quick $(PYTEST)

.PHONY: lint
lint: .make/dev ## ruff: rules and format; changes nothing
	@$(python) -m ruff check .
	@$(python) -m ruff format --check .

.PHONY: types
types: .make/dev ## mypy, strict
	@$(python) -m mypy

.PHONY: contracts
contracts: .make/dev ## import-linter: floors and confined libraries
	@.venv/bin/lint-imports --no-logo

.PHONY: web
web: $(page) ## build the page

.PHONY: web-test
web-test: $(page) ## the page's types and unit tests
	@tools/with_node npm run --silent check
	@tools/with_node npm run --silent test

.PHONY: bench
bench: .make/dev .make/project $(page) ## run every measurement in bench/
	@PATH="$(CURDIR)/.venv/bin:$$PATH"; export PATH; status=0; for bench in bench/*; do \
		if [ -f "$$bench" ] && [ -x "$$bench" ]; then \
			echo "== $$bench"; "$$bench" || status=1; \
		fi; \
	done; exit $$status

.PHONY: parts
parts:
	@tools/install_parts

.PHONY: lock
lock: ## write requirements/*.txt again (UPGRADE=1: with newer versions)
	@tools/lock

.PHONY: clean
clean: ## remove what make has made
	rm -rf .venv .make dist build bench/out mooring/server/page
	rm -rf web/node_modules web/openapi.json
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find web/src -name '*.gen.ts' -exec rm -f {} +
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- how things are made -------------------------------------------------------------------------

.PHONY: FORCE
FORCE:

# Looked at every time (some ms): the folder may have moved, the system's Python may have gone.
.venv/pyvenv.cfg: FORCE
	@tools/make_venv

.make/deps: requirements/run.txt requirements/build.txt .venv/pyvenv.cfg
	@echo "mooring: installing the locked dependencies"
	@$(pip) -r requirements/run.txt -r requirements/build.txt
	@mkdir -p .make && touch $@

.make/dev: requirements/dev.txt .venv/pyvenv.cfg
	@echo "mooring: installing the locked development tools"
	@$(pip) -r requirements/dev.txt
	@mkdir -p .make && touch $@

.make/project: .make/deps pyproject.toml tools/hatch_build.py
	@$(python) -m pip install -q --disable-pip-version-check \
		--no-deps --no-build-isolation --no-index -e .
	@touch $@

# The API's description changes far less often than the code that it is taken from: it is only
# written when it differs, so the page is not built again for nothing.
.make/openapi: .make/project $(api_sources)
	@.venv/bin/mooring openapi >.make/openapi.json
	@cmp -s .make/openapi.json web/openapi.json || cp .make/openapi.json web/openapi.json
	@touch $@

web/openapi.json: .make/openapi ;

# The file in which npm itself notes what it installed.
installed := web/node_modules/.package-lock.json

$(installed): web/package.json web/package-lock.json | .venv/pyvenv.cfg
	@echo "mooring: installing the page's locked packages"
	@tools/with_node npm ci --ignore-scripts --loglevel=error >/dev/null
	@touch $@

$(page): $(page_sources) web/openapi.json $(installed)
	@echo "mooring: building the page"
	@tools/with_node npm run --silent gen >/dev/null
	@tools/with_node npm run --silent build -- --logLevel warn
	@touch $@

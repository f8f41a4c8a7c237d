# ScaiSend: `make up` brings everything up on this machine, `make test` proves it. `make help` lists the rest.
SHELL := /bin/bash
# A distribution's Python before one on the PATH: those of pyenv lack the compiler's optimisations, a tenth of all CPU (bench/README.md).
PYTHON ?= $(or $(lastword $(sort $(wildcard /usr/bin/python3.1[1-9]))),python3)
VENV := .venv
RUN := PYTHONPATH=tools $(VENV)/bin/python
PACKAGES := libs/common $(addprefix services/,api scheduler deliverer bounce-inbound webhook-fanout)
WORKERS ?= 2
.DEFAULT_GOAL := help

.PHONY: help
help:  ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(VENV)/.installed: locks/dev.txt $(addsuffix /pyproject.toml,$(PACKAGES))
	@PYTHONPATH=tools $(PYTHON) -m devstack.virtualenv

.PHONY: setup
setup: $(VENV)/.installed  ## Make the virtual environment

.PHONY: up down clean status logs demo
up: setup  ## Bring up servers, the five services and a small internet, all on this machine
	@$(RUN) -m devstack up

# These never set anything up: where nothing is set up, nothing runs.
down:  ## End every process of `make up`
clean:  ## End them and remove their data
status:  ## Show what runs
logs:  ## Follow the logs
demo:  ## Send a mail with the official sendgrid package, show it and its timeline
down clean status logs demo:
	@test -e $(VENV)/.installed || { echo "nothing is up; make up"; exit 0; }; $(RUN) -m devstack $@

.PHONY: check
check: setup  ## Format, lint, types, import contracts, fast tests
	$(VENV)/bin/ruff format --check --quiet .
	$(VENV)/bin/ruff check --quiet .
	$(VENV)/bin/mypy $(PACKAGES) tools/devstack tools/sandbox
	$(VENV)/bin/lint-imports
	$(VENV)/bin/pytest -q -n $(WORKERS) -m "not e2e and not faults" tests

.PHONY: peers
peers: setup  ## Install Postfix and OpenDKIM for the tests and the bench, starting no service (root only)
	@$(RUN) -m devstack.peers

.PHONY: test
test: setup peers  ## Everything: checks and all tests, on servers of their own
	$(VENV)/bin/ruff format --check --quiet .
	$(VENV)/bin/ruff check --quiet .
	$(VENV)/bin/mypy $(PACKAGES) tools/devstack tools/sandbox
	$(VENV)/bin/lint-imports
	$(VENV)/bin/pytest -q -n $(WORKERS) --dist loadgroup -m "not faults" tests

.PHONY: faults
faults: setup  ## The long fault tests: kills of everything under a flood
	$(VENV)/bin/pytest -q -m faults tests

.PHONY: bench
bench: setup peers  ## Measure the line beside Postfix and Haraka; PARTS="line latency …" runs some of it
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r locks/bench.txt
	@$(RUN) -m bench $(PARTS)

.PHONY: fresh
fresh:  ## Prove the README on a clone with nothing cached and nothing installed
	@bash tools/fresh.sh

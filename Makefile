# agi-sms. `make` alone prints what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.complete

.PHONY: help venv check test test-fast demo bench chaos soak fuzz mutation lock images clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP) ## the virtual environment in .venv, from tests/requirements.lock

$(STAMP): tests/requirements.lock pyproject.toml
	@docker/make-venv $(PYTHON) .venv tests/requirements.lock
	@touch $@

check: $(STAMP) ## ruff, mypy, import-linter, and `agi-sms check` over the examples
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/agi-sms check --config config/agi-sms.yaml

test: $(STAMP) ## every test, real calls through Asterisk in Docker included
	docker/with-engine $(BIN)/pytest -n 3 --dist loadfile $(ARGS)

test-fast: $(STAMP) ## the tests that need no Docker
	$(BIN)/pytest -n 2 --dist loadfile -m "not asterisk" $(ARGS)

demo: $(STAMP) ## a real SIP call through a real Asterisk, and the SMS it makes
	docker/with-engine $(BIN)/python docker/demo/demo.py

bench: $(STAMP) ## what calls and messages cost, beside the least that anybody could do (ARGS=--quick: 1 minute)
	PYTHONPATH=docker docker/with-engine $(BIN)/python -m tests.bench $(ARGS)

chaos: $(STAMP) ## real calls while everything goes wrong: nothing lost, doubled or kept waiting? (3 minutes)
	PYTHONPATH=docker docker/with-engine $(BIN)/python -m tests.chaos $(ARGS)

soak: $(STAMP) ## 30 minutes of 50 real calls a second: are memory and open files flat?
	PYTHONPATH=docker docker/with-engine $(BIN)/python -m tests.soak $(ARGS)

fuzz: $(STAMP) ## anything at every edge, with 20 times the examples of `make test` (an hour)
	PYTHONPATH=docker $(BIN)/python -m tests.fuzz $(ARGS)

MUTATION := .cache/mutation
mutation: $(STAMP) ## small faults in the pure files: does a test notice each of them? (an hour; ARGS=agi_sms/FILE.py: that one)
	@test -x $(MUTATION)/bin/mutmut || ($(PYTHON) -m venv $(MUTATION) && $(MUTATION)/bin/pip install -q mutmut==3.8.1)
	@echo $(CURDIR)/.venv/lib/python3.*/site-packages > $$(echo $(MUTATION)/lib/python3.*/site-packages)/borrowed.pth
	$(MUTATION)/bin/python -m tests.mutation $(ARGS)

images: $(STAMP) ## build the Docker images of Asterisk, sipp and the gateway
	docker/with-engine $(BIN)/python -m rig.images

COMPILE := $(BIN)/pip-compile -q --generate-hashes --strip-extras --allow-unsafe \
  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-header --no-annotate

lock: ## renew requirements.lock and tests/requirements.lock from pyproject.toml
	$(BIN)/pip install -q pip-tools
	$(COMPILE) -o requirements.lock pyproject.toml
	$(COMPILE) --extra dev -c requirements.lock -o tests/requirements.lock pyproject.toml

clean: ## remove the virtual environment and caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info

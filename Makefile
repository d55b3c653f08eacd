# Everything from a bare clone: `make quickstart`, `make test`. Needs Python 3.11 or later, make and git.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

TRAINED := runs/demo-infonce/checkpoint-300 runs/demo/checkpoint-300

.DEFAULT_GOAL := help
.PHONY: help install quickstart test check format clean

help:  ## say what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/.installed  ## make the environment in .venv

quickstart: $(VENV)/.installed  ## train two small models, evaluate and compare them, with three others, on the demo suite
	$(BIN)/llave train demo-infonce --resume
	$(BIN)/llave train demo --resume
	$(BIN)/llave run null/constant null/random classical $(TRAINED) --suite demo
	$(BIN)/llave compare $(TRAINED)
	$(BIN)/llave diagnose $(TRAINED) --tasks demo-object,demo-color,demo-caption-t2i --plot runs/similarity.png
	@echo "Results: $(CURDIR)/runs/results. Look further: $(BIN)/llave board --html board.html --html-queries 10"

test: $(VENV)/.installed-dev  ## run all tests
	$(BIN)/python -m pytest -n 2

check: $(VENV)/.installed-dev  ## linter, formatter, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev  ## let the formatter and the linter mend what they can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove the environment and what tools leave behind
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "llave-bench needs Python 3.11 or later: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt 'torch==2.13.0'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[plot]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

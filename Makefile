# The commands of the README. Each makes the environment first where it is missing.
PYTHON ?= python3
VENV ?= .venv
# Asked for before anything that depends on torch, so that a small CPU build is taken where the index offers one.
TORCH ?= torch==2.13.0
OUT ?= demo-out

BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint types check docs clean help

demo: $(VENV)/.ready  ## sweep tiny models over infusion frequencies, then predict: under 6 minutes on two cores
	$(BIN)/kis demo --out $(OUT)

test: $(VENV)/.ready  ## all tests, the slow ones too
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --durations 25 $(TESTS)

lint: $(VENV)/.ready
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/.ready
	$(BIN)/mypy

docs: $(VENV)/.docs  ## the documentation as a site in build/site, strictly; open build/site/index.html
	$(BIN)/python docs/scripts/doc_reference.py --check
	$(BIN)/python -m mkdocs build --quiet --strict

check: lint types test  ## what a commit must pass

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 10) else 'KIS needs Python 3.10 or newer: make PYTHON=python3.12')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "$(TORCH)"
	$(BIN)/python -m pip install --quiet -e ".[hf,plot,dev]"
	touch $@

$(VENV)/.docs: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet -e ".[docs]"
	touch $@

clean:  ## remove environment and demo output
	rm -rf $(VENV) $(OUT) build/site

help:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/:/'

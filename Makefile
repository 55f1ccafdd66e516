# The book's commands; `make help` lists them. Each sets up what it needs in .venv and node_modules first.

PYTHON ?= python3
PORT ?= 8000
WORKERS ?= 2
PYTEST_ARGS ?=
RUNS ?= 1
PAGES ?=

# Relative paths, so that a folder with a space in its name will do.
RUN := .venv/bin/python
BOOK := .venv/bin/jupyter-book build book --config _config.yml --toc _toc.yml --path-output . -W -n --keep-going --quiet
PYTEST := $(RUN) -m pytest --nbval --nbval-current-env --nbval-cell-timeout=300 tests book

export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help book build dist launch lighthouse test test-browser test-gpu execute record lint setup gpu clean clean-all

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

book: build ## build the site and serve it (PORT=8000)
	@$(RUN) tools/serve.py _build/html $(PORT)

build: setup ## build the site into _build/html; any warning is an error
	@test -e _build/complete || rm -rf _build/.doctrees  # else a build that failed would hide its warnings from the next
	@rm -f _build/complete
	@$(BOOK) >/dev/null || { echo "The site is not built: mend the warnings above." >&2; exit 1; }
	@touch _build/complete
	@echo "The site is in _build/html."

launch: build ## write what the launch buttons open: the wheel, and copies of the notebooks for Colab and Binder
	@$(RUN) tools/colab.py

dist: build ## pack the site into dist/ as a zip that opens from any disk
	@$(RUN) tools/make_zip.py

lighthouse: build tools/lighthouse/node_modules/.package-lock.json ## measure pages in Chromium (RUNS=1, PAGES=)
	@$(RUN) -m tools.measure_pages $(RUNS) $(PAGES)

test: setup build ## run every test, every notebook and the checks of the site (WORKERS=2, PYTEST_ARGS=)
	@OMP_NUM_THREADS=1 $(PYTEST) -n $(WORKERS) --dist loadscope $(PYTEST_ARGS)

test-browser: setup build ## drive the site in Chromium, axe-core on every page; skips, saying so, where there is none
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -m browser tests $(PYTEST_ARGS)

test-gpu: setup gpu build ## the same on a GPU; fails where there is none
	@$(PYTEST) --require-gpu $(PYTEST_ARGS)

execute: setup ## run notebooks top to bottom and store their outputs (NOTEBOOK=book/part/chapter.ipynb, or all)
	@$(RUN) tools/execute.py $(NOTEBOOK)

record: setup ## keep the last complete, green test run for the page "Tested on"
	@$(RUN) tools/record.py

lint: setup ## check the style
	@$(RUN) -m ruff check --output-format=concise .

clean: ## remove what was built
	rm -rf _build dist .pytest_cache .ruff_cache .hypothesis

clean-all: clean ## remove .venv and node_modules too
	rm -rf .venv node_modules tools/lighthouse/node_modules

setup:
	@command -v $(PYTHON) >/dev/null || { echo "There is no $(PYTHON) here. Name a Python from 3.11 on: make book PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) tools/setup_environment.py

gpu:
	@$(RUN) tools/device.py --require-gpu

# Lighthouse is large and needed by no other command: it is installed when first asked for.
tools/lighthouse/node_modules/.package-lock.json: tools/lighthouse/package-lock.json
	@cd tools/lighthouse && npm ci --no-audit --no-fund --silent
	@touch $@

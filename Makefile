# All targets work in a fresh clone with Python 3.11 or newer, git and make. They install their dependencies once.

PYTHONS := python3 python3.14 python3.13 python3.12 python3.11
BIN := .venv/bin
NOTEBOOK := out/01_quickstart.ipynb
BUNDLE := agno_nb/widgets/static

.DEFAULT_GOAL := help
.NOTPARALLEL:

# One test process per CPU, at most four, because many tests start kernels and servers.
AT_ONCE := --numprocesses auto --maxprocesses 4

.PHONY: help demo lab test kernels browser js pictures lint format docs bench clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile

demo: .venv/.installed-demo ## run the quickstart notebook with the demo model and print the stored rows
	@$(BIN)/python notebooks/run_demo.py

lab: .venv/.installed-lab $(NOTEBOOK) ## open the executed quickstart in JupyterLab
	@$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) $(NOTEBOOK)

$(NOTEBOOK): | .venv/.installed-demo
	@$(BIN)/python notebooks/run_demo.py

test: .venv/.installed-test ## run all tests except those that need a browser or node
	@$(BIN)/python -m pytest -q -m "not browser and not node" $(AT_ONCE)

kernels: .venv-kernels/.installed-test ## run the kernel tests with other versions of IPython and ipykernel
	$(call in_kernels,ipython~=8.31 ipykernel~=6.29.0,-m kernel)
	$(call in_kernels,ipython~=9.0 ipykernel~=7.3.0,-m versions)
	$(call in_kernels,ipython~=7.34.0 ipykernel~=6.29.0,-m versions -k "not completion")

browser: .venv/.installed-browser ## run the tests in JupyterLab and Chromium, which has to be installed
	@$(BIN)/python -m pytest -q -m browser

js: js/node_modules/.installed .venv/.installed-test ## check, test and build the TypeScript, and test with an npm server
	@npm --prefix js run --silent check
	@npm --prefix js run --silent test
	@npm --prefix js run --silent build
	@git diff --exit-code --stat -- $(BUNDLE) || { \
	  echo "$(BUNDLE) was out of date; commit the new build" >&2; exit 1; }
	@$(BIN)/python -m pytest -q -m node tests/models

js/node_modules/.installed: js/package.json js/package-lock.json
	@npm --prefix js ci --silent
	@touch $@

pictures: .venv/.installed-browser ## create the screenshots in docs/images, with JupyterLab and Chromium
	@$(BIN)/python -m tests.browser.pictures

lint: .venv/.installed-dev ## run ruff, mypy, import-linter and codespell
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/codespell

format: .venv/.installed-dev ## format the code, and apply ruff's fixes
	@$(BIN)/ruff check --quiet --fix
	@$(BIN)/ruff format --quiet

docs: .venv/.installed-dev ## generate docs/frames.md and the tables of docs/coming_from_agno.md
	@$(BIN)/python docs/make_frames.py
	@$(BIN)/python docs/make_agno_tables.py

bench: .venv-bench/.installed-bench ## compare with agno; `make bench ARGS=--quick` takes a minute
	@.venv-bench/bin/python -m benchmarks $(ARGS)

clean: ## remove environments, caches and outputs
	@rm -rf .venv .venv-bench .venv-kernels js/node_modules out build dist benchmarks/results.json
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find agno_nb contract tests benchmarks notebooks -name __pycache__ -type d -prune -exec rm -rf {} +

# `make test` uses the newest versions. Completion is not supported in IPython 7.
define in_kernels
	@echo "Testing with $(1)"
	@.venv-kernels/bin/python -m pip install --quiet --quiet --disable-pip-version-check $(1)
	@.venv-kernels/bin/python -m pytest -q $(2) $(AT_ONCE)
endef

# One stamp file for each installed extra. A newer pyproject.toml triggers another installation.
define install
	@echo "Installing agno_nb[$*] into $(@D) (this takes a minute the first time)"
	@$(@D)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@
endef

.venv/.installed-%: pyproject.toml | .venv/bin/python
	$(install)

.venv-bench/.installed-%: pyproject.toml | .venv-bench/bin/python
	$(install)

.venv-kernels/.installed-%: pyproject.toml | .venv-kernels/bin/python
	$(install)

.venv/bin/python .venv-bench/bin/python .venv-kernels/bin/python:
	@for python in $(PYTHONS); do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    if ! $$python -c 'import ensurepip, venv' >/dev/null 2>&1; then \
	      echo "$$python cannot create virtual environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; \
	    fi; \
	    $$python -m venv $(@D:/bin=) || { rm -rf $(@D:/bin=); exit 1; }; \
	    exit 0; \
	  fi; \
	done; \
	echo "agno_nb needs Python 3.11 or newer, but found none of: $(PYTHONS). Install it and run make again." >&2; \
	exit 1

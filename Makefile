# Everything here works in a fresh clone with Python 3.11 or newer, git and make, and installs what it needs once.

PYTHONS := python3 python3.14 python3.13 python3.12 python3.11
BIN := .venv/bin
NOTEBOOK := out/01_quickstart.ipynb
BUNDLE := agno_nb/widgets/static

.DEFAULT_GOAL := help
.NOTPARALLEL:

# As many tests at once as there are CPUs, but no more than kernels and servers can be started for.
AT_ONCE := --numprocesses auto --maxprocesses 4

.PHONY: help demo lab test kernels browser js pictures lint format docs bench clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' Makefile

demo: .venv/.installed-demo ## run the quickstart notebook with the demo model and show what it left in the store
	@$(BIN)/python notebooks/run_demo.py

lab: .venv/.installed-lab $(NOTEBOOK) ## open the executed quickstart in JupyterLab
	@$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) $(NOTEBOOK)

$(NOTEBOOK): | .venv/.installed-demo
	@$(BIN)/python notebooks/run_demo.py

test: .venv/.installed-test ## run the tests, but for those that need a browser
	@$(BIN)/python -m pytest -q -m "not browser" $(AT_ONCE)

kernels: .venv-kernels/.installed-test ## run the tests in kernels with the other IPythons and ipykernels that people have
	$(call in_kernels,ipython~=8.31 ipykernel~=6.29.0,-m kernel)
	$(call in_kernels,ipython~=9.0 ipykernel~=7.3.0,-m versions)
	$(call in_kernels,ipython~=7.34.0 ipykernel~=6.29.0,-m versions -k "not completion")

browser: .venv/.installed-browser ## run the tests in JupyterLab and Chromium (which has to be installed)
	@$(BIN)/python -m pytest -q -m browser

js: js/node_modules/.installed ## check and test what runs in the browser, and build it; needs node 18 or newer
	@npm --prefix js run --silent check
	@npm --prefix js run --silent test
	@npm --prefix js run --silent build
	@git diff --exit-code --stat -- $(BUNDLE) || { \
	  echo "$(BUNDLE) was not what js/ builds; it is now, so commit it" >&2; exit 1; }

js/node_modules/.installed: js/package.json js/package-lock.json
	@npm --prefix js ci --silent
	@touch $@

pictures: .venv/.installed-browser ## make the pictures of the documents again, in JupyterLab and Chromium
	@$(BIN)/python -m tests.browser.pictures

lint: .venv/.installed-dev ## ruff, mypy and import-linter
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache

format: .venv/.installed-dev ## let ruff fix what it can
	@$(BIN)/ruff check --quiet --fix
	@$(BIN)/ruff format --quiet

docs: .venv/.installed-dev ## write what in the documents is made from the code: docs/frames.md
	@$(BIN)/python docs/make_frames.py

bench: .venv-bench/.installed-bench ## measure against agno; `make bench ARGS=--quick` takes a minute
	@.venv-bench/bin/python -m benchmarks $(ARGS)

clean: ## remove the environments, caches and everything that was made
	@rm -rf .venv .venv-bench .venv-kernels js/node_modules out build dist benchmarks/results.json
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find agno_nb contract tests benchmarks notebooks -name __pycache__ -type d -prune -exec rm -rf {} +

# The newest pair is tested by `make test`. IPython 7 has no place for our completion.
define in_kernels
	@echo "Testing with $(1)"
	@.venv-kernels/bin/python -m pip install --quiet --quiet --disable-pip-version-check $(1)
	@.venv-kernels/bin/python -m pytest -q $(2) $(AT_ONCE)
endef

# One stamp for each extra that is installed; pyproject.toml is newer than the stamp when it has to be done again.
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
	      echo "$$python cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; \
	    fi; \
	    $$python -m venv $(@D:/bin=) || { rm -rf $(@D:/bin=); exit 1; }; \
	    exit 0; \
	  fi; \
	done; \
	echo "agno_nb needs Python 3.11 or newer, and none of these is one: $(PYTHONS). Install it and run make again." >&2; \
	exit 1

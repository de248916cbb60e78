# The commands of this project; `make` alone lists them. A command that takes more than a line is a script in tests/.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help venv acts demo test soak lint format docs recording bench cluster-up cluster-down clean

PYTHON ?= python3
export PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1 /p' Makefile | awk '{ printf "  %s %-13s", $$1, $$2; $$1 = $$2 = ""; print }'

venv: .venv/installed-dev ## make .venv, with this checkout and the development tools

demo: .venv/installed-demo acts ## run a small detector simulation as a sweep on this machine, and plot it
	@tests/demo

test: .venv/installed-dev acts ## run all checks and tests, on a real cluster if this machine can have one
	@tests/prepare
	@tests/run

soak: .venv/installed-dev ## run thousands of campaigns with faults, and the tests on other versions of Slurm (tests/soak)
	@tests/soak

lint: .venv/installed-dev ## check format, lint, types and shell scripts
	@tests/run lint

format: .venv/installed-dev ## format the code, and fix what ruff can fix
	.venv/bin/ruff format
	.venv/bin/ruff check --fix

docs: .venv/installed-dev ## build the documentation as a website, in site/
	.venv/bin/mkdocs build --strict -f docs/mkdocs.yml

recording: .venv/installed-dev acts ## record the terminal pictures of README and docs from real runs
	.venv/bin/python docs/record.py

bench: .venv/installed-dev ## compare with a hand-written pipeline; writes docs/pages/performance.md (BENCH="--quick")
	@tests/cluster/up >/dev/null
	.venv/bin/python -m benchmarks --write $(BENCH)

cluster-up: ## start the test cluster (tests/cluster/README.md)
	@tests/cluster/up
	@tests/cluster/image

cluster-down: ## stop the test cluster
	@tests/cluster/down

clean: ## remove everything that these commands have made in this folder
	rm -rf .venv dist build site demo-output .hypothesis .mypy_cache .pytest_cache .ruff_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The simulation of the example. Its packages have wheels for some machines only.
acts: .venv/bin/python
	@$(MAKE) --silent .venv/installed-acts || echo 'pyacts and uproot cannot be installed on this machine (see above). They are optional.'

.venv/bin/python:
	@tests/prepare python
	$(PYTHON) -m venv --clear .venv

# A stamp file for each extra of pyproject.toml.
.venv/installed-%: pyproject.toml | .venv/bin/python
	@echo 'Installing scheduler[$*] into .venv; the first time takes a minute.'
	@.venv/bin/python -m pip install -qq $(PIP_OPTIONS) --editable '.[$*]'
	@touch $@

.venv/installed-acts: PIP_OPTIONS := --only-binary :all:

# What is done to this project by command; `make` alone lists it. What takes more than a line is a script in tests/.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help venv acts demo test soak lint format docs recording bench cluster-up cluster-down clean

PYTHON ?= python3
export PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1 /p' Makefile | awk '{ printf "  %s %-13s", $$1, $$2; $$1 = $$2 = ""; print }'

venv: .venv/installed-dev ## .venv with this checkout and all that developing it needs

demo: .venv/installed-demo acts ## a small detector simulation as a sweep on this machine, and a picture of it
	@tests/demo

test: .venv/installed-dev acts ## every check and every test, on a real cluster where this machine can have one
	@tests/prepare
	@tests/run

soak: .venv/installed-dev ## thousands of faulted campaigns; SCHEDULER_SOAK_CAMPAIGNS and _SEED say how many, and which
	SCHEDULER_SOAK_CAMPAIGNS=$${SCHEDULER_SOAK_CAMPAIGNS:-3000} SCHEDULER_SOAK_SEED=$${SCHEDULER_SOAK_SEED:-$$(date +%s)} \
	  .venv/bin/pytest tests/faults/test_random_campaigns.py

lint: .venv/installed-dev ## format, lint, types, shell scripts
	@tests/run lint

format: .venv/installed-dev ## rewrite the code as `make lint` wants it
	.venv/bin/ruff format
	.venv/bin/ruff check --fix

docs: .venv/installed-dev ## the documentation as a website, in site/
	.venv/bin/mkdocs build --strict -f docs/mkdocs.yml

recording: .venv/installed-dev acts ## the pictures of the terminal in README and docs, from real runs
	.venv/bin/python docs/record.py

bench: .venv/installed-dev ## ours beside the hand-written pipeline; tables in docs/pages/performance.md (BENCH="--quick")
	@tests/cluster/up >/dev/null
	.venv/bin/python -m benchmarks --write $(BENCH)

cluster-up: ## start the test cluster (tests/cluster/README.md)
	@tests/cluster/up
	@tests/cluster/image

cluster-down: ## stop the test cluster
	@tests/cluster/down

clean: ## remove what the above have made in this folder
	rm -rf .venv dist build site demo-output .hypothesis .mypy_cache .pytest_cache .ruff_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The simulation of the example. It has wheels for some machines only.
acts: .venv/bin/python
	@$(MAKE) --silent .venv/installed-acts || echo 'pyacts and uproot cannot be installed here: see above. They can be done without.'

.venv/bin/python:
	@tests/prepare python
	$(PYTHON) -m venv --clear .venv

# A stamp for each extra of pyproject.toml.
.venv/installed-%: pyproject.toml | .venv/bin/python
	@echo 'Installing scheduler[$*] into .venv; the first time takes a minute.'
	@.venv/bin/python -m pip install -qq $(PIP_OPTIONS) --editable '.[$*]'
	@touch $@

.venv/installed-acts: PIP_OPTIONS := --only-binary :all:

# The commands of the project. Each installs what it needs; only the first call takes a while.

PYTHON := .venv/bin/python
CODE := $(wildcard src tests lab bench tools)
COMPILE := .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header

.PHONY: run test lint lab bench setup lock clean

run: ## start a backend at http://127.0.0.1:8080; ISTHMUS_* variables reach it
	@tools/setup run && tools/ui build && exec .venv/bin/isthmus up

test: lint ## linters, all tests, and how much of the conformance catalogue they prove
	@tools/ui build && exec $(PYTHON) -m tools.suite

lint: setup ## style, types, import contracts, size budget
	@.venv/bin/ruff check $(CODE)
	@.venv/bin/ruff format --check $(CODE)
	@$(PYTHON) -m tools.budget $(CODE)
	@PYTHONPATH=. .venv/bin/lint-imports --no-logo
	@$(PYTHON) -m tools.federated_api --check
	@$(PYTHON) -m tools.bridge_states --check
	@$(PYTHON) -m tools.proxy_guide --check
	@.venv/bin/mypy $(CODE)
	@tools/ui check

lab: setup ## whole meshes on this machine, in network namespaces, step by step
	@exec $(PYTHON) -m lab

bench: setup ## measure against the goals; writes bench/results/latest.json
	@exec $(PYTHON) -m bench

setup:
	@tools/setup test

lock: setup ## pin what pyproject.toml asks for; "make lock UPGRADE=--upgrade" takes the newest
	$(COMPILE) $(UPGRADE) pyproject.toml --all-extras --group dev -o requirements/dev.txt
	$(COMPILE) $(UPGRADE) pyproject.toml --all-extras -c requirements/dev.txt -o requirements/run.txt
	$(COMPILE) $(UPGRADE) requirements/bootstrap.in -c requirements/dev.txt -o requirements/bootstrap.txt
	$(COMPILE) $(UPGRADE) requirements/node.in -o requirements/node.txt

clean: ## remove what the commands above made, except data
	rm -rf .venv .build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	rm -rf web/node_modules src/isthmus/server/ui
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

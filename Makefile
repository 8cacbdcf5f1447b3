# make install      the environment in .venv, about 3 minutes
# make quickstart   install, make the embedded dataset, train, test, draw
# make example      install, train a tree detector on aerial photographs (docs/own_data.md, 6 CPU minutes)
# make test         install, run the default test suite
# make test-slow    run the slow tests: large variants, training runs (about an hour)
# make test-lora    run the tests of LoRA adapters, with peft installed outside the environment
# make test-openvino  run the tests of OpenVINO files, with OpenVINO installed outside the environment
# make test-matrix  run the core's tests with the oldest, a middle and the newest Python and PyTorch, and
#                   with OpenMMLab's own packages (docs/compatibility.md; 16 GB in .matrix, an hour)
# make test-gpu     compare every operator, backbone and quickstart config on a GPU with the CPU
#                   (DEVICE=cpu runs the same tests on small sizes, without a GPU)
# make lint         run ruff and mypy
# make docs         build the documentation site in site/; make docs-serve shows it while you write
# make benchmark    measure what docs/performance.json lacks and write docs/performance.md
#                   (a full run takes about an hour; AGAIN=--again repeats all measurements)
# make benchmark-gpu    time operators and backbones on a GPU: gpu.json, and a table
# make messages     update the tables of docs/troubleshooting.md from the messages in the code
# make docker       build an image with everything; BASE=... chooses the base image (Dockerfile)
# make zoo          update docs/model_zoo.md and README's variants from the configs and the code
# make mmcv         build mmcv with compiled operators (optional; needs a C++ compiler, 20 CPU minutes)
# make test-mmcv    compare the torchvision stand-in with compiled mmcv

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BACKBONE ?= dilateformer
DEVICE ?= cuda
INSTALLED := $(VENV)/installed
DOCS := $(VENV)/docs
BASE ?= python:3.11-slim

install: $(INSTALLED)

quickstart: $(INSTALLED)
	$(BIN)/python tools/quickstart.py --backbone $(BACKBONE)

# --resume continues an interrupted training run; without one, it starts from scratch
example: $(INSTALLED)
	$(BIN)/python tools/make_example.py trees
	$(BIN)/python tools/check_data.py data/trees --pictures work_dirs/trees/labels
	$(BIN)/python tools/new_config.py data/trees --base gfl_cloformer_nano_small --flips all --epochs 16 --out work_dirs/trees.py
	$(BIN)/python tools/train.py work_dirs/trees.py --resume
	rm -rf work_dirs/trees/found
	$(BIN)/python tools/predict.py work_dirs/trees.py work_dirs/trees/best.pth data/trees/held_out.png --tile 320 --score 0.3 --out work_dirs/trees/found

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -q

test-slow: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -q -m slow

# installed outside the environment, because MMEngine would import transformers in every process,
# which takes five seconds
test-lora: $(INSTALLED)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt --no-deps --upgrade \
		--target $(VENV)/lora peft transformers accelerate tokenizers psutil
	OMP_NUM_THREADS=1 PYTHONPATH=$(VENV)/lora $(BIN)/python -m pytest -q -m lora

test-openvino: $(INSTALLED)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt --no-deps --upgrade \
		--target $(VENV)/openvino openvino openvino-telemetry nncf networkx ninja psutil pydot tabulate
	OMP_NUM_THREADS=1 PYTHONPATH=$(VENV)/openvino $(BIN)/python -m pytest -q -m 'slow or not slow' \
		tests/deploy/test_formats.py tests/deploy/test_quantise.py tests/inference/test_exported.py \
		tests/inference/test_runtimes.py

test-matrix: $(INSTALLED)
	$(BIN)/python tests/support/matrix.py

test-gpu: $(INSTALLED)
	$(BIN)/python -m pytest -q -m gpu --device $(DEVICE) tests/gpu

benchmark: $(INSTALLED)
	$(BIN)/python benchmarks/performance.py measure $(AGAIN)

benchmark-gpu: $(INSTALLED)
	$(BIN)/python benchmarks/gpu.py --device $(DEVICE) --json gpu.json

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# without --quiet, which would hide warnings from --strict; the variable silences the theme's notice at
# every build that mkdocs has a successor (Zensical)
docs docs-serve: export NO_MKDOCS_2_WARNING = 1
docs: $(DOCS)/installed
	$(DOCS)/bin/mkdocs build --strict

docs-serve: $(DOCS)/installed
	$(DOCS)/bin/mkdocs serve --strict

messages: $(INSTALLED)
	$(BIN)/python docs/generate/messages.py

docker:
	@command -v docker > /dev/null || { echo 'error: docker is not installed, or not on PATH' >&2; exit 1; }
	@docker info > /dev/null 2>&1 || { echo 'error: docker is installed, but its daemon does not answer: docker info' >&2; exit 1; }
	docker build --build-arg BASE=$(BASE) --tag dense-backbones .

zoo: $(INSTALLED)
	$(BIN)/python benchmarks/model_zoo.py

mmcv: $(INSTALLED)
	PYTHON=$(BIN)/python bash tools/build_mmcv.sh

test-mmcv: mmcv
	PYTHONPATH=$$(PYTHON=$(BIN)/python bash tools/build_mmcv.sh) \
		$(BIN)/python -m pytest -q -m compiled_mmcv

# the site reads docstrings as text, so its environment has neither PyTorch nor this package
$(DOCS)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["docs"], sep="\n")' > $(DOCS)/requirements.txt
	$(DOCS)/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt -r $(DOCS)/requirements.txt
	touch $@

# the marker file contains the seconds that the installation took
$(INSTALLED): pyproject.toml setup.py constraints.txt
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 13) else f"Python {v.major}.{v.minor} found; 3.11 or 3.12 is needed: make PYTHON=python3.11 ...")'
	date +%s > $(VENV).start
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[test]'
	$(BIN)/python -m pip check
	echo $$(($$(date +%s) - $$(cat $(VENV).start))) > $@
	rm $(VENV).start

.PHONY: install quickstart example test test-slow test-lora test-openvino test-matrix test-gpu benchmark benchmark-gpu lint docs docs-serve messages docker zoo mmcv test-mmcv

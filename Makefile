# Every target sets up what it needs, and does nothing where there is nothing to do.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# A Spark, a Python or a library path from elsewhere would quietly replace the locked one.
unexport SPARK_HOME PYSPARK_PYTHON PYSPARK_DRIVER_PYTHON PYTHONPATH

python := .venv/bin/python
pip := $(python) -m pip --disable-pip-version-check --no-input install --quiet
# Pins stay as they are; `make lock UPGRADE=1` moves them.
resolve := .venv/bin/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 \
	--no-emit-index-url --no-annotate --no-header $(if $(UPGRADE),--upgrade)
training := PYTHONPATH="$(CURDIR)/.train" $(python)
# What Spark's workers, jobs and notebooks use.
with_spark := pyproject.toml $(foreach extra,aws onnxruntime pandas spark,--extra $(extra))
# What the cluster unpacks: the same versions for one kind of machine, without what a cluster brings.
resolve_archive := $(filter-out --universal,$(resolve)) $(with_spark) \
	--constraints requirements/dev.lock \
	$(foreach name,pyspark py4j,--no-emit-package $(name))
# What its machines install besides: the same versions again; no package differs by processor.
resolve_machine := $(filter-out --universal,$(resolve)) --python-platform x86_64-manylinux_2_28 \
	$(foreach name,dev build notebook,--constraints requirements/$(name).lock)
# Two at a time, a file in one process: each starts a Spark that takes two cores by itself.
test_in_parallel := -m pytest -n 2 --dist loadfile --no-loadscope-reorder
with_java := JAVA_HOME="$$(sh scripts/setup-java.sh)" && export JAVA_HOME &&

.PHONY: help demo check test test-long test-spark35 lint lint-cloud lock bench soak soak-images train build notebook clean

help: ## print this list
	@awk -F ': .*## ' '/^[a-z0-9-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' Makefile

demo: .venv/.base demo/.stamp ## draw a small set of pictures, run the main job on it, say where the report is
	@.venv/bin/featuremill run demo/images demo/out \
		--model embedded --components 20

test: lint lint-cloud .venv/.stamp .simulator/.stamp ## run every check: lint, the tests, and the small suite on Spark 3.5
	@sh scripts/setup-viewers.sh || true
	@$(with_java) $(python) $(test_in_parallel) -m "not long"
	@$(MAKE) --no-print-directory test-spark35

check: lint ## run lint and the tests that start neither Java nor a browser, in under two minutes
	@$(with_java) $(python) $(test_in_parallel) -m "not slow and not long"

test-long: .venv/.stamp ## run the tests that make test leaves out for their time
	@$(with_java) $(python) $(test_in_parallel) -m long

test-spark35: .spark35/.stamp ## run the tests marked spark35 on Spark 3.5
	@$(with_java) PYTHONPATH="$(CURDIR)/.spark35" $(python) $(test_in_parallel) -m spark35 -k "not local"

lint: .venv/.stamp ## ruff check, ruff format, mypy
	@$(python) -m ruff check .
	@$(python) -m ruff format --check .
	@$(python) -m mypy

lint-cloud: .checkov/.stamp ## checkov, without a network: the template for AWS, Terraform, the Dockerfile
	@.checkov/bin/checkov --skip-download --quiet --compact \
		--framework cloudformation terraform dockerfile \
		--file src/featuremill/cloud/stack/templates/featuremill.yaml Dockerfile \
		$(wildcard infra/terraform/*.tf infra/terraform/examples/*/*.tf)

lock: .venv/.stamp ## resolve all lock files again, and check that what the cluster unpacks runs there
	$(resolve) pyproject.toml --extra all --group dev --output-file requirements/dev.lock
	$(resolve) pyproject.toml --constraints requirements/dev.lock \
		--output-file requirements/base.lock
	$(resolve) --no-deps --group assets --constraints requirements/dev.lock \
		--output-file requirements/assets.lock
	$(resolve) --group build --constraints requirements/dev.lock --output-file requirements/build.lock
	$(resolve) --group spark35 --output-file requirements/spark35.lock
	$(resolve) --group checkov --output-file requirements/checkov.lock
	$(resolve) $(with_spark) --group notebook --constraints requirements/dev.lock \
		--output-file requirements/notebook.lock
	$(resolve) benchmarks/requirements/keras.in --output-file benchmarks/requirements/keras.lock
	$(resolve) --constraints requirements/dev.lock training/requirements/torch.in \
		--output-file training/requirements/torch.lock
	$(foreach machine,x86_64 aarch64,$(resolve_archive) --python-platform $(machine)-manylinux_2_28 \
		--output-file src/featuremill/cloud/packaging/locks/$(machine).lock &&) :
	$(foreach name,figures server setuptools,$(resolve_machine) --group $(name) \
		--output-file src/featuremill/cloud/jobs/bootstrap/$(name).lock &&) :
	$(python) scripts/check_locks.py
	$(foreach name,ray torch,$(resolve) --constraints requirements/dev.lock \
		benchmarks/requirements/$(name).in --output-file benchmarks/requirements/$(name).lock &&) :
	@# Daft takes no pyarrow as new as ours
	awk '/^[^ ]/ { ours = !/^pyarrow==/ } ours' requirements/dev.lock > .venv/daft.constraints
	$(resolve) --constraints .venv/daft.constraints benchmarks/requirements/daft.in \
		--output-file benchmarks/requirements/daft.lock

bench: .venv/.stamp ## measure everything (hours); BENCH="whole_job --quick" says what and how
	@$(with_java) $(python) -m benchmarks $(BENCH)

soak: .venv/.stamp ## run, kill and audit at random (30 minutes); SOAK="--minutes 5 --seed 2" says how
	@$(with_java) $(python) -m soak $(SOAK)

soak-images: .venv/.stamp ## decode 20,000 damaged files of each format (10 minutes); SOAK="--seed 2" says how
	@$(python) -m soak.images $(SOAK)

# WEIGHTS: the teacher's, a Keras .h5. DATA: pictures to measure with. OUT: photographs, crops and
# checkpoints, 20 GB. What is there already is not done again.
train: .venv/.stamp .train/.stamp ## train the embedded network anew (hours): WEIGHTS=… DATA=… OUT=…
	@: $${WEIGHTS:?} $${DATA:?} $${OUT:?}
	$(training) training/collect.py --out "$(OUT)/photographs" \
		--exclude "$(DATA)/photos" --exclude "$(DATA)/shapes"
	$(training) training/teach.py --photographs "$(OUT)/photographs" --weights "$(WEIGHTS)" \
		--out "$(OUT)/crops"
	$(training) training/distil.py --crops "$(OUT)/crops" --out "$(OUT)/run"
	$(training) training/export.py --run "$(OUT)/run" --out src/featuremill/models/embedded.safetensors
	$(training) training/evaluate.py --photographs "$(OUT)/photographs" --data "$(DATA)" \
		--weights "$(WEIGHTS)" --out training/results.json

notebook: .venv/.stamp ## write both notebooks from their source and run them; WEIGHTS= a Keras .h5 of MobileNetV2
	@$(with_java) WEIGHTS="$(WEIGHTS)" $(python) scripts/notebooks.py --execute

build: .venv/.stamp ## build the wheel and the source archive into dist/
	@$(python) -m hatchling build

clean: ## remove what make itself made
	@test ! -e .venv/.base -a ! -e .venv/.stamp || rm -rf .venv
	@test ! -e .spark35/.stamp || rm -rf .spark35
	@test ! -e .checkov/.stamp || rm -rf .checkov
	@test ! -e .train/.stamp || rm -rf .train
	@test ! -e .simulator/.stamp || rm -rf .simulator
	@rm -f src/featuremill/report/script/plotly.min.js
	@rm -rf demo/images demo/.stamp demo/out dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find src tests -type d -name __pycache__ -prune -exec rm -rf {} +
	@test ! -d demo || rmdir demo

demo/.stamp: | .venv/.base
	@rm -rf demo/images
	@.venv/bin/featuremill synth demo/images --classes 12 --per-class 50 --seed 1
	@touch $@

# What the main job on one machine needs. What builds it is pinned too, so pip may not fetch a build
# environment; the package of plotly.js is needed while this one is built, and never again.
.venv/.base: requirements/build.lock requirements/assets.lock requirements/base.lock pyproject.toml
	@sh scripts/setup-venv.sh .venv
	@echo "Installing the main job's locked packages into .venv (a minute, the first time)"
	@$(pip) --only-binary :all: --require-hashes -r requirements/build.lock
	@$(pip) --only-binary :all: --require-hashes -r requirements/base.lock
	@$(pip) --only-binary :all: --require-hashes --no-deps --no-compile --upgrade \
		--target .venv/assets -r requirements/assets.lock
	@PYTHONPATH="$(CURDIR)/.venv/assets" $(pip) --no-build-isolation --no-deps --editable .
	@rm -rf .venv/assets
	@touch $@

# All extras, and what tests and tools need. Spark comes as source.
.venv/.stamp: requirements/dev.lock .venv/.base
	@echo "Installing all other locked packages into .venv (minutes, the first time)"
	@$(pip) --no-build-isolation --require-hashes -r requirements/dev.lock
	@touch $@

.spark35/.stamp: requirements/spark35.lock | .venv/.stamp
	@rm -rf .spark35
	@echo "Installing Spark 3.5 into .spark35"
	@$(pip) --no-build-isolation --no-deps --require-hashes --target .spark35 -r $<
	@touch $@

# It needs older versions of packages that .venv has too. What it loads is compiled then.
.checkov/.stamp: requirements/checkov.lock | .venv/.stamp
	@sh scripts/setup-venv.sh .checkov
	@echo "Installing checkov into .checkov"
	@PIP_PYTHON=.checkov/bin/python $(pip) --only-binary :all: --no-deps --no-compile \
		--require-hashes -r $<
	@touch $@

# Another simulator of IAM, for the tests of policies, where there is npm; the lock file has its hashes.
.simulator/.stamp: tests/cloud/simulator/package.json tests/cloud/simulator/package-lock.json
	@rm -rf .simulator && mkdir .simulator && cp $^ .simulator/
	@! command -v npm >/dev/null || npm ci --prefix .simulator --ignore-scripts --silent \
		|| echo "npm could not install the simulator of IAM: its test skips"
	@touch $@

# No hash fits all builds of PyTorch; everything that comes with it is locked.
.train/.stamp: training/requirements/torch.lock | .venv/.stamp
	@rm -rf .train
	@echo "Installing PyTorch into .train"
	@$(pip) --no-deps --require-hashes --target .train -r $<
	@$(pip) --no-deps --target .train torch==2.13.0
	@touch $@

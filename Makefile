# `make` alone prints this list. CI runs nothing but these targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

COMPOSE = docker compose $(if $(GPU)$(PYTHON_BACKEND),-f compose.yaml) $(if $(GPU),-f compose.gpu.yaml) $(if $(PYTHON_BACKEND),-f compose.python.yaml)
# The tests have a stack of their own, beside one that may be running.
export REPO := $(CURDIR)
TEST_COMPOSE = HTTP_PORT=$(TEST_PORT) docker compose -p $(TEST_PROJECT) -f compose.yaml -f compose.test.yaml $(OVERLAY:%=-f %)
export BENCH_IMAGE = cliplane-bench:$(TAG)
CHAOS_COMPOSE = SHM_SIZE=256m HTTP_PORT=0 docker compose -p $(TEST_PROJECT)-chaos -f compose.yaml -f compose.test.yaml -f compose.chaos.yaml
TEST_PROJECT ?= cliplane-test
TEST_PORT ?= 18080
# Real clips beside the checkout are used where they are.
export VIDEOS ?= $(CURDIR)/$(firstword $(wildcard ../shared/videos) tests)
# ruff, mypy, pytest, … of the locked requirements, without an image.
TOOLS = .ci/tools
TAG := $(shell host/setting IMAGE_TAG dev)
export IMAGE_TAG := $(TAG)
# What every image is built on; `--build-arg BASE_IMAGE` takes it from here.
export BASE_IMAGE := $(shell host/setting BASE_IMAGE debian:trixie-slim)
BUILD = docker build -q --build-arg BASE_IMAGE -f docker/$(1).Dockerfile -t cliplane-$(1):$(TAG) . >/dev/null
# An image that was loaded (`docker load`) is not built anew without internet.
BUILD_OR_HAVE = $(BUILD) || { docker image inspect cliplane-$(1):$(TAG) >/dev/null && echo "cliplane-$(1):$(TAG) is used as it is"; }
SHELLS = examples/batch/slurm.sh .ci/run .ci/engine .ci/engine-dies .ci/tools .ci/readme .ci/bundle .ci/gpu-image deploy/kubernetes/rehearsal/run host/* services/triton/export/run
PY = examples services/web/src services/client/src services/web/gunicorn.conf.py supervisor docker tests services/triton bench deploy
UV = uv pip compile -q --generate-hashes --python-version 3.13 --python-platform x86_64-manylinux_2_39 --no-annotate

.PHONY: help up upgrade rollback certificate key webhook-secret doctor down logs ps test chaos fuzz bench model engines model-rm test-models test-bench test-readme test-bundle bundle study smoke lint fmt unit shell clean lock sbom abandoned test-backend test-upgrade test-gpu-image gpu-check rehearse-pods kubernetes-rules

help: ## print this list
	@sed -nE 's/^##@ (.*)/\n\1/p; s/^([a-z-]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

##@ Run the stack

up: ## build and start the stack, and wait until it can answer (GPU=1: on a GPU host; PYTHON_BACKEND=1: with it)
	@host/up

upgrade: ## as `make up`, but the new release is tried beside the old one, and takes over without an interruption
	@host/upgrade

rollback: ## the release before the last upgrade takes over again, without a build
	@host/upgrade --back

doctor: ## what is wrong with this host, and with the stack on it (ARGS=--json)
	@host/doctor $(ARGS)

down: ## stop the stack and remove it; its jobs stay
	$(COMPOSE) rm --stop --force --volumes
	$(COMPOSE) down --remove-orphans
	@rm -rf services/triton/.models.$(shell host/setting COMPOSE_PROJECT_NAME cliplane)-[abc]
	@# Compose does not know /dev/shm's volume by another size or colour than the default.
	@docker volume ls -q --filter label=com.docker.compose.project=$(shell host/setting COMPOSE_PROJECT_NAME cliplane) | grep -v _jobs$$ | xargs -r docker volume rm >/dev/null

logs: ## follow the logs
	@$(COMPOSE) logs -f --no-log-prefix --no-color | sed -u "s/^\x1b\[2K//"  # Compose clears the line, even in a pipe

ps: ## what runs, and how it is
	$(COMPOSE) ps

smoke: ## check a running stack over HTTP alone: make smoke BASE=https://host (or HTTP_PORT=8080)
	@BASE=$(or $(BASE),http://127.0.0.1:$(shell host/setting HTTP_PORT 8080)) $(TOOLS) pytest $(or $(T),tests/e2e) $(ARGS)

certificate: ## show TLS_CERT and TLS_KEY as they are now, after a renewal, without a restart
	@host/certificate

key: ## make an API key and print it, once: NAME=camera-7 (AT_ONCE=4 RATE=10 PRIORITY=interactive|batch)
	@host/key "$(NAME)" "$(AT_ONCE)" "$(RATE)" "$(PRIORITY)"

webhook-secret: ## make the secret that webhooks are signed with, and print it
	@host/webhook-secret

shell: ## a shell in the web container
	$(COMPOSE) exec web bash

clean: down ## remove the stack, its jobs, its images and what the tests left
	-docker volume rm $(shell host/setting COMPOSE_PROJECT_NAME cliplane)_jobs
	-docker image rm $(foreach name,web triton test,cliplane-$(name):$(TAG))
	-docker image ls --format '{{.Repository}}:{{.Tag}}' | grep -E '^cliplane-[a-z-]+:[0-9]+\.[0-9]+\.[0-9]+-' | xargs -r docker image rm
	rm -rf .venv artifacts

bundle: ## all that a host without internet needs, in one file (SIGN_KEY=key.pem signs it)
	$(COMPOSE) build -q
	@host/bundle

##@ Models

model: ## bring a model, or a new version: NAME=x3d_s, FROM=folder, ONNX= or TORCH=file (CHECKPOINT= LABELS= AS= SAMPLING= CHECK= …)
	@$(call BUILD_OR_HAVE,exporter)
	@$(call BUILD_OR_HAVE,triton)
	@services/triton/export/run model

engines: ## measure every engine on a model, and let the fastest good one serve it: NAME=x3d_s (CHECKPOINT= ROUNDS=)
	@$(call BUILD_OR_HAVE,exporter)
	@services/triton/export/run engines

model-rm: ## take a model away: NAME=x3d_s
	@test "$(NAME)" = "$(notdir $(NAME))" -a -f "services/triton/models/$(NAME)/config.pbtxt" || { echo "make model-rm: there is no model '$(NAME)'"; exit 1; }
	mkdir -p services/triton/.models.old && mv "services/triton/models/$(NAME)" services/triton/.models.old/ && rm -rf services/triton/.models.old
	@host/model "$(NAME)"

##@ Change the code

unit: ## unit tests, in seconds and without an image: T=tests/unit/policy/test_sampling.py ARGS="-k name"
	@$(TOOLS) pytest $(or $(T),tests/unit) $(ARGS)

fmt: ## format the code, without an image
	@$(TOOLS) sh -c 'ruff format $(PY) && ruff check --fix $(PY)'

lint: ## ruff, mypy, import rules, shellcheck, hadolint, without an image
	@$(TOOLS) sh -c 'ruff format --check $(PY) && ruff check $(PY) && mypy && lint-imports && shellcheck $(SHELLS) && hadolint docker/*.Dockerfile'

lock: ## pin the dependencies again, with hashes (needs uv)
	cd services/web && $(UV) pyproject.toml -o requirements.txt && $(UV) pyproject.toml --group test -o requirements-test.txt && $(UV) pyproject.toml --group lint -o requirements-lint.txt && $(UV) build.in -o build.txt
	cd services/triton && $(UV) requirements.in -o requirements.txt && $(UV) --no-deps tritonserver.in -o tritonserver.txt && $(UV) --no-deps onnxruntime.in -o onnxruntime.txt && $(UV) onnxruntime_gpu.in -o onnxruntime_gpu.txt
	$(UV) tests/security/gateways.in -o tests/security/gateways.txt
	$(UV) bench/requirements.in -o bench/requirements.txt
	$(UV) bench/gpu/requirements.in -o bench/gpu/requirements.txt
	cd services/triton/export/exporter && $(UV) requirements.in -o requirements.txt

sbom: ## what the images are made of, Python, Debian, npm, CycloneDX: artifacts/*.cdx.json (needs uv and the images)
	mkdir -p artifacts
	cat services/web/requirements.txt | $(SBOM) | docker/sbom.py cliplane-web:$(TAG) --npm services/web/package-lock.json >artifacts/web.cdx.json
	cat services/triton/requirements.txt services/triton/tritonserver.txt | $(SBOM) | docker/sbom.py cliplane-triton:$(TAG) >artifacts/triton.cdx.json
	$(SBOM) </dev/null | docker/sbom.py cliplane-prometheus:$(TAG) >artifacts/prometheus.cdx.json
	$(SBOM) <services/triton/export/exporter/requirements.txt | docker/sbom.py cliplane-exporter:$(TAG) >artifacts/exporter.cdx.json
SBOM = uvx -q --from cyclonedx-bom==7.5.0 cyclonedx-py requirements --output-reproducible --of JSON - -o -

##@ Test everything

test: ## build, start a stack for the tests, run all of them in their container, stop it (T=tests/e2e ARGS="-k name")
	$(TEST_COMPOSE) --profile tests --profile python build -q
	$(TEST_COMPOSE) up -d
	code=0; $(TEST_COMPOSE) run --rm tests pytest $(T) $(ARGS) || code=$$?; \
	  $(TEST_COMPOSE) down --volumes --remove-orphans -t 5 2>/dev/null; exit $$code

test-backend: ## the backend of GPU hosts in the tests' stack, on ONNX Runtime's CPU provider
	$(MAKE) test OVERLAY=compose.onnxruntime.yaml T="tests/backend tests/integration/test_handoff.py"

test-gpu-image: ## the image of GPU hosts: nothing is missing but the driver, and without a GPU it says so (a download of 1.4 GB)
	@.ci/gpu-image

test-readme: ## run README's commands, as they stand, in a clean clone
	@.ci/readme

test-bundle: ## a bundle is made, refused where a byte is flipped, and installed without a network
	@.ci/bundle

test-upgrade: ## so many upgrades under load, a rollback, and one that is taken back: UPGRADES=10
	UPGRADES=$(or $(UPGRADES),10) $(MAKE) test T=tests/integration/test_upgrade.py ARGS=-s

test-models: ## export X3D-S and Swin-T and serve them in the tests' stack (builds an image of 7 GB)
	$(call BUILD,exporter)
	$(MAKE) test ARGS="tests/models $(ARGS)"

test-bench: ## a short run of every benchmark (builds an image of 2 GB)
	docker compose -f bench/compose.yaml build -q
	$(PYTHON_IMAGE)
	$(MAKE) test ARGS="tests/bench $(ARGS)"

chaos: ## clients of every kind and a fault every few seconds, then the bill (MINUTES=5 SEED=n ONLY=name; ENGINE=1: the engine too)
	rm -rf artifacts/chaos && mkdir -p artifacts/chaos && cp -R services/triton/models artifacts/chaos/ && chmod -R a+rX artifacts
	$(CHAOS_COMPOSE) --profile tests build -q
	@# What receives the logs first: the others are not even created without it.
	code=0; { $(CHAOS_COMPOSE) up -d --wait logs && $(CHAOS_COMPOSE) up -d && \
	  $(CHAOS_COMPOSE) run --rm -e BASE=http://listener:8000 -e CHAOS_MODELS=$(CURDIR)/artifacts/chaos/models tests python -m tests.chaos \
	  --minutes $(or $(MINUTES),5) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only "$(ONLY)"); } || code=$$?; \
	  $(CHAOS_COMPOSE) down --volumes --remove-orphans -t 5 2>/dev/null; rm -rf artifacts/chaos; exit $$code
	$(if $(ENGINE),HTTP_PORT=$(TEST_PORT) .ci/engine-dies)

fuzz: ## ten thousand mutated videos of each kind against a decoder, ten thousand against the stack, ten thousand re-muxed ones (MUTANTS=n REMUXED=n)
	$(MAKE) test ARGS="tests/integration/test_fuzz.py tests/integration/test_remuxed.py -s" MUTANTS=$(or $(MUTANTS),10000) REMUXED=$(or $(REMUXED),10000)

abandoned: ## twenty thousand requests of which half are given up: does Triton live on? (ABANDONED=n)
	$(MAKE) test T=tests/integration/test_abandoned.py ARGS="-s" ABANDONED=$(or $(ABANDONED),20000)

rehearse-pods: ## two pods of deploy/kubernetes by podman, rolled and killed under load, and two halves against a whole (ARGS="--requests 1000")
	docker compose build -q
	deploy/kubernetes/rehearsal/run $(ARGS)

kubernetes-rules: ## write the Prometheus operator's rules and Grafana's dashboard from observability/
	@$(TOOLS) python deploy/kubernetes/components/monitoring/write.py

##@ Measure

gpu-check: ## does this host serve by its GPU, how fast, and what is to be set? Without one, all that needs none (ARGS="--quick")
	@host/gpu-check $(ARGS)

# With Triton's Python backend, which bench/overlap takes for its model of a fixed time.
PYTHON_IMAGE = docker compose -f compose.yaml -f compose.python.yaml build -q triton

bench: ## measure, and write docs/benchmarks.md from it (ONLY="handoff floor peers upload growth length segments jobs start readers overlap views")
	docker compose build -q
	$(PYTHON_IMAGE)
	$(call BUILD,exporter)
	EXPORTER=cliplane-exporter:$(TAG) docker compose -f bench/compose.yaml run --rm --build bench python -m bench.run $(ONLY)

study: ## is shrinking before the upload worth it? Measure, and write docs/shrinking.md (ONLY="encode send_20")
	docker compose build -q
	docker compose -f bench/compose.yaml run --rm --build bench python -m bench.study $(ONLY)

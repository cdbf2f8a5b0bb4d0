# Two commands do all the set-up: `make run` and `make test`. `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/sh
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell sh devstack/find-python)

## run: run the whole system here, on embedded PostgreSQL and NATS (PORT=3000; DEMO=0 leaves the simulator out, NATS=0 NATS)
.PHONY: run
run: $(BIN)/sluice
	@exec $(BIN)/python -m devstack

## test: run all tests, on the same embedded parts; two files at a time, then those that want the machine to themselves
WORKERS ?= 2
.PHONY: test
test: $(BIN)/sluice $(VENV)/.test
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not alone and not long" $(ARGS) || [ $$? -eq 5 ]
	@$(BIN)/python -m pytest -m alone $(ARGS) || [ $$? -eq 5 ]

## check: format, lint, types, layers, spelling, prose, generated code
.PHONY: check
check: $(VENV)/.test
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/codespell
	@$(BIN)/sqlfluff lint --processes 1 --disable-progress-bar .
	@$(BIN)/python -m devstack.prose_check

## fix: format and repair what can be repaired automatically
.PHONY: fix
fix: $(VENV)/.test
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

## bench: measure ingest against a textbook handler, in one run on the same PostgreSQL and NATS
.PHONY: bench
bench: $(BIN)/sluice $(VENV)/.test
	@$(BIN)/python -m bench $(ARGS)

## soak: a million webhooks through ingest and processor: does cost or memory grow? (ARGS="--rows 100000" for a look)
.PHONY: soak
soak: $(BIN)/sluice $(VENV)/.test
	@$(BIN)/python -m bench.soak $(ARGS)

## growth: what looks at the log cost at a million webhooks, and beside a long transaction (ARGS="--rows 100000")
.PHONY: growth
growth: $(BIN)/sluice $(VENV)/.test
	@$(BIN)/python -m bench.growth $(ARGS)

## pages: each page of the console at a million webhooks, 10,000 of them dead; none over 300 ms (ARGS="--rows 100000")
.PHONY: pages
pages: $(BIN)/sluice $(VENV)/.test
	@$(BIN)/python -m bench.console $(ARGS)

## reconcile: find a thousand webhooks that never arrived among a million (ARGS="--events 100000 --missing 100" for a look)
.PHONY: reconcile
reconcile: $(BIN)/sluice $(VENV)/.test
	@$(BIN)/python -m bench.reconcile $(ARGS)

## recovery: how long after each fault's end the backlog is empty, under load (ARGS="'nats stopped'", "--without-nats")
.PHONY: recovery
recovery: $(BIN)/sluice $(VENV)/.test
	@$(BIN)/python -m tests.system.recovery $(ARGS)

## outage: how soon webhooks that met no ingest for 30 s have their effect, if Stripe repeats after an hour (ARGS="--seconds 5")
.PHONY: outage
outage: $(BIN)/sluice $(VENV)/.test
	@$(BIN)/python -m tests.system.outage $(ARGS)

## rehearse-restore: restore PostgreSQL to before a mistake, and count what is missing without Stripe's list and with it
.PHONY: rehearse-restore
rehearse-restore: $(BIN)/sluice $(VENV)/.test
	@$(BIN)/python -m tests.restore.rehearsal $(ARGS)

## trouble: 10,000 dead of three causes among a million, and what operators do about them (ARGS="--rows 100000" for a look)
.PHONY: trouble
trouble: $(BIN)/sluice $(VENV)/.test
	@$(BIN)/python -m tests.system.trouble $(ARGS)

## proto: generate the message's code from proto/
.PHONY: proto
proto: $(VENV)/.test
	@$(BIN)/python -m grpc_tools.protoc -Iproto --python_out=. --pyi_out=. proto/sluice/contract/v1/event.proto

## docs: write docs/settings.md, docs/state-machine.md, and the types in docs/event-types.md, from the code
.PHONY: docs
docs: $(VENV)/.stack
	@$(BIN)/python -m devstack.settings_page
	@$(BIN)/python -m devstack.event_types_page
	@$(BIN)/python -m devstack.state_machine_page

## schema: write functions.sql, schema.sql and the foundation's preflight in sluice/migrations/ from their sources
.PHONY: schema
schema: $(VENV)/.stack
	@$(BIN)/python -m devstack.schema_files

## lock: pin what pyproject.toml asks for, with hashes, for every platform
LOCK := $(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 --no-annotate --custom-compile-command "make lock"
.PHONY: lock
lock: $(VENV)/.test
	@$(LOCK) pyproject.toml -o requirements/run.txt
	@$(LOCK) --group stack -c requirements/run.txt -o requirements/stack.txt
	@$(LOCK) --group test -c requirements/run.txt -c requirements/stack.txt -o requirements/test.txt
	@$(LOCK) --group build -c requirements/test.txt -o requirements/build.txt

## image: build the container image with docker, podman or buildah (IMAGE=name:tag, BASE=image, TARGET=run or dev)
IMAGE ?= sluice:dev
TARGET ?= run
BUILDER ?= $(shell for tool in docker podman buildah; do $$tool info >/dev/null 2>&1 && echo $$tool && break; done)
BUILD = $(if $(filter buildah,$(BUILDER)),buildah build --layers,$(BUILDER) build)
.PHONY: image
image:
	@test -n "$(BUILDER)" || { echo "Nothing here can build an image: start docker, or install podman or buildah (apt-get install buildah)." >&2; exit 1; }
	@$(BUILD) --target $(TARGET) $(if $(BASE),--build-arg BASE=$(BASE)) $(if $(BUILD_BASE),--build-arg BUILD_BASE=$(BUILD_BASE)) --tag $(IMAGE) .

## chart: write the chart's README from its values and its dashboards from their source, and test the chart
.PHONY: chart
chart: $(VENV)/.test
	@$(BIN)/python -m tests.chart.readme
	@$(BIN)/python -m charts.dashboards
	@$(BIN)/python -m pytest -q tests/chart $(ARGS)

## clean: remove the environment; data under .local/ stays
.PHONY: clean
clean:
	@rm -rf $(VENV) build ./*.egg-info

## help: show this list
.PHONY: help
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST) | awk -F': ' '{ printf "  make %-8s %s\n", $$1, $$2 }'

PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

$(VENV)/.made:
	@test -n "$(PYTHON)" || { sh devstack/find-python --explain; exit 1; }
	@echo "Making an environment in $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.stack: $(VENV)/.made requirements/run.txt requirements/stack.txt
	@echo "Installing what Sluice runs on (once; under two minutes)"
	@$(PIP) -r requirements/run.txt -r requirements/stack.txt
	@touch $@

# The commands `sluice`, `sluice-ingest`, ..., which run this folder's code
$(BIN)/sluice: $(VENV)/.stack pyproject.toml requirements/build.txt
	@$(PIP) -r requirements/build.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.stack requirements/test.txt
	@echo "Installing the tools for tests and checks (once)"
	@$(PIP) -r requirements/test.txt
	@touch $@

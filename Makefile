# make demo · make test · make check · make bench · make soak · make fuzz · make docs · make clean
# Options of the program behind a target: make demo ARGS="--exit-after 10"
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin
FUZZ_SECONDS ?= 60

.PHONY: demo test test-virtual test-real check bench soak fuzz docs clean

# Made anew when the metadata changes, so that nothing stays that is no longer asked for.
$(VENV)/.installed: pyproject.toml setup.py
	$(PYTHON) -m venv --clear $(VENV)
	$(RUN)/pip install -qq --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: $(VENV)/.installed
	$(RUN)/tagmesh demo $(ARGS)

# What has real sockets, processes and times runs one after the other, and mostly waits; meanwhile what
# runs on virtual time, on nothing but rules, or on databases fills all cores, and gives way to it.
# make test ARGS="tests/protocol -k link" runs just that.
VIRTUAL := $(addprefix tests/,protocol simulation scenarios capabilities golden fuzz storage)
test: $(VENV)/.installed
ifdef ARGS
	$(RUN)/pytest $(ARGS)
else
	$(MAKE) --jobs 2 --output-sync=target test-virtual test-real
endif

test-virtual: $(VENV)/.installed
	nice -n 19 $(RUN)/pytest -n auto --dist worksteal $(VIRTUAL)

test-real: $(VENV)/.installed
	$(RUN)/pytest $(addprefix --ignore=,$(VIRTUAL))

check: $(VENV)/.installed
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports
	$(RUN)/pytest -q tests/test_layout.py tests/test_style.py

bench: $(VENV)/.installed
	$(RUN)/python -m benchmarks $(ARGS)

# Histories of the simulator beyond those of make test: make soak SEEDS=3000- MINUTES=30
# With sharing tags and wrong clocks: make soak SEEDS=0-999 ARGS=--tags
# Before them the fuzz targets, processes that fight for one tag in each kind of database (P4), and
# 25,000 dialogs that come to a joiner while they change.
soak: $(VENV)/.installed
	$(MAKE) fuzz
	$(RUN)/python -m tests.storage.tag_race
	$(RUN)/python -m tests.integration.dialog_runs --runs 20
	$(RUN)/python -m tests.simulation.soak $(if $(SEEDS),--seeds $(SEEDS)) \
		$(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

# Each fuzz target for FUZZ_SECONDS; one of them alone: .venv/bin/python -m tests.fuzz wire
fuzz: $(VENV)/.installed
	$(RUN)/pip install -qq --disable-pip-version-check --editable '.[fuzz]'
	$(RUN)/python -m tests.fuzz --all --seconds $(FUZZ_SECONDS)

# What is derived from the declarations in the code.
docs: $(VENV)/.installed
	$(RUN)/python docs/generate.py

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

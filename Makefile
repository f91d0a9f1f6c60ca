# Two commands do everything on a fresh Debian or Ubuntu machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH := torch==2.13.0

.PHONY: demo test test-real lint bench screenshots clean
.DEFAULT_GOAL := demo

demo: $(VENV)/.run
	$(BIN)/python Testing/demo.py demo-output

test: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# On the real images in ../shared/data; skipped with a reason where they are absent.
test-real: $(VENV)/.test
	$(BIN)/python -m pytest -m real

lint: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.test
	$(BIN)/python Testing/benchmarks/spleen.py
	$(BIN)/python Testing/benchmarks/ich.py
	$(BIN)/python Testing/benchmarks/stiffness.py
	$(BIN)/python Testing/benchmarks/fibrosis.py
	$(BIN)/python Testing/benchmarks/hepato.py
	$(BIN)/python Testing/benchmarks/batch.py

screenshots: $(VENV)/.test
	$(BIN)/python Testing/screenshots.py

$(VENV)/.run: requirements/run.txt pyproject.toml
	sh Testing/system-packages.sh
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/run.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

$(VENV)/.test: requirements/test.txt $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/test.txt
	touch $@

clean:
	rm -rf $(VENV) demo-output

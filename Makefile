# make run · make test · make faults · make check · make bench · make install

PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test faults check bench install screenshots lock

run: .venv/installed
	@exec $(BIN)/python manage.py up

install: .venv/installed

test: .venv/installed-test
	$(BIN)/python tests/browser.py
	$(BIN)/python -m pytest

# Processes killed at random moments, as `make test` does for a minute or two: make faults FAULT_SEED=7 (ten minutes)
faults: export FAULT_UPLOADS ?= 200
faults: export FAULT_KILLS ?= 30
faults: .venv/installed-test
	$(BIN)/python -m pytest -s tests/faults

check: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/djlint --check --lint templates
	$(BIN)/python manage.py makemigrations --check --dry-run

# Searches beside numpy and FAISS, a table and a plot: make bench ROWS=1000000 (40 minutes, 20 GB of memory and disk)
ROWS ?= 13503
bench: .venv/installed
	$(BIN)/python benchmarks/search.py --rows $(ROWS) --growth --json search-$(ROWS).json --plot search-$(ROWS).png

# Wide and narrow pictures of every page, taken from the running product: make screenshots PHOTOS=folder
screenshots: .venv/installed-test
	$(BIN)/python docs/take_screenshots.py $(PHOTOS)

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, not " + sys.version if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

.venv/installed: requirements.lock .venv/bin/python
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --requirement requirements.lock
	@touch $@

.venv/installed-test: requirements-test.lock .venv/installed
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --requirement requirements-test.lock
	@touch $@

# Pin anew what pyproject.toml asks for. What PyTorch needs of CUDA differs by build and is left to it.
COMPILE := $(BIN)/pip-compile --quiet --upgrade --strip-extras --allow-unsafe --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host
lock: .venv/installed-test
	$(COMPILE) --output-file requirements.lock pyproject.toml
	$(COMPILE) --extra test --extra check --constraint requirements.lock --output-file requirements-test.lock pyproject.toml
	sed -i 's/^\(torch==[0-9.]*\)+.*/\1/' requirements.lock requirements-test.lock

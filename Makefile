# make run · make test · make faults · make check · make bench · make assets · make install

PYTHON ?= python3
BIN := .venv/bin
COMPRESSED := assetsearch/static/dist/manifest.json.gz

# The environment of some containers forbids it. Compiled once, sources need not be compiled by each process that starts.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test faults check bench assets messages install screenshots lock

run: .venv/installed $(COMPRESSED)
	@exec $(BIN)/python manage.py up

install: .venv/installed

# Several processes share the cores; on busy ones, threads of linear algebra spend most of their time waiting for each other.
test: .venv/installed-test $(COMPRESSED)
	$(BIN)/python tests/browser.py
	$(BIN)/python -m pytest -m alone
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not alone" --numprocesses auto --dist loadscope --no-loadscope-reorder

# Processes killed at random moments, as `make test` does for a minute or two: make faults FAULT_SEED=7 (ten minutes)
faults: export FAULT_UPLOADS ?= 200
faults: export FAULT_KILLS ?= 30
faults: .venv/installed-test
	$(BIN)/python -m pytest -s tests/faults

check: .venv/installed-test frontend/node_modules/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/djlint --check --lint templates
	$(BIN)/python manage.py makemigrations --check --dry-run
	cd frontend && node_modules/.bin/eslint .
	@built=$$(mktemp -d) && node frontend/build.mjs "$$built" && diff -r --exclude='*.gz' --exclude='*.br' "$$built" assetsearch/static/dist \
		|| { echo "assetsearch/static/dist is not what frontend/ builds to: run make assets"; exit 1; }

# What browsers load, built from frontend/ and committed. It and `make check` need Node.js 20 or newer; nothing else does.
assets: frontend/node_modules/installed
	node frontend/build.mjs

frontend/node_modules/installed: frontend/package-lock.json
	cd frontend && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

# Texts that sources mark and locale/ lacks are added there, to be translated; all are compiled.
messages: .venv/installed-test
	$(BIN)/python -m tests.messages

# Searches beside numpy and FAISS, a table and a plot: make bench ROWS=1000000 (an hour, 12 GB of memory, 25 of disk)
ROWS ?= 13503
bench: .venv/installed
	$(BIN)/python benchmarks/search.py --rows $(ROWS) --growth --json search-$(ROWS).json --plot search-$(ROWS).png

# Pictures of every page, wide and narrow, light and dark, taken from the running product: make screenshots PHOTOS=folder
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

# Scripts and styles as browsers ask for them, beside themselves; those of Django's admin as well.
$(COMPRESSED): assetsearch/static/dist/manifest.json .venv/installed
	$(BIN)/python -m whitenoise.compress --quiet assetsearch/static/dist
	$(BIN)/python -m whitenoise.compress --quiet $$($(BIN)/python -c 'from django.contrib import admin; print(*admin.__path__)')/static
	@touch $@

# Pin anew what pyproject.toml asks for. What PyTorch needs of CUDA differs by build and is left to it.
COMPILE := $(BIN)/pip-compile --quiet --upgrade --strip-extras --allow-unsafe --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host
lock: .venv/installed-test
	$(COMPILE) --output-file requirements.lock pyproject.toml
	$(COMPILE) --extra test --extra check --constraint requirements.lock --output-file requirements-test.lock pyproject.toml
	sed -i 's/^\(torch==[0-9.]*\)+.*/\1/' requirements.lock requirements-test.lock

# make app    the page on http://127.0.0.1:7860 (PORT= changes it)
# make test   style, types, every test, a real browser among them
# make style  format and check
# make bench  the figures of the README, on this machine
# make screenshots  every state of the page to build/screenshots, the README's pictures among them
# make clean  what these made

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PORT   ?= 7860
VENV   := .venv
BIN    := $(VENV)/bin
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile

.PHONY: app test style bench screenshots clean

app: $(VENV)/.runtime
	@$(BIN)/python app.py --port $(PORT)

test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	CHROMIUM="$$($(BIN)/python tests/browser/find_chromium.py)" && export CHROMIUM OMP_NUM_THREADS=1 && \
	$(BIN)/pytest $(SIDE_BY_SIDE) --ignore=tests/browser && $(BIN)/pytest $(SIDE_BY_SIDE) tests/browser
	@if command -v node >/dev/null && ls tests/stage/*.test.mjs >/dev/null 2>&1; \
	then node --test tests/stage/*.test.mjs; fi

style: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

bench: $(VENV)/.runtime
	$(BIN)/python -m explorer bench

screenshots: $(VENV)/.dev
	CHROMIUM="$$($(BIN)/python tests/browser/find_chromium.py)" && export CHROMIUM && $(BIN)/python -m assets.screenshots

clean:
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is newer than the lists it was installed from: nothing is installed twice.
$(VENV)/.runtime: requirements.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements.txt requirements-dev.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements-dev.txt
	@touch $@ $(VENV)/.runtime

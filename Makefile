# Two commands do everything: `make lab` opens the course, `make test` tests it.
# Each makes .venv by itself. On Windows, see the plain lines in README.md.
PYTHON ?= python3
BIN := .venv/bin
ROOT_FLAG := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lab test test-portable test-browser test-slow build check figures bench \
	clean

lab: .venv/.lab
	$(BIN)/jupyter lab $(ROOT_FLAG) notebooks/00_start_here.ipynb

# Tests: threads that wait sleep instead of spinning, which on a busy machine is
# many times as fast, and on a free one up to half as slow again.
test test-portable test-browser test-slow: export OMP_WAIT_POLICY ?= PASSIVE

# Two files at a time, on one thread each: faster than one on two threads.
test test-browser: export OMP_NUM_THREADS ?= 1
PARALLEL := -n 2 --dist loadfile

test: .venv/.test
	$(BIN)/python -m pytest $(PARALLEL)

# The notebooks once more, on 1 and 2 threads, without and with AVX2.
test-portable: .venv/.test
	$(BIN)/python -m tests.portable $(LESSON)

# Every lesson in JupyterLab in Chromium; screenshots in build/screenshots.
test-browser: .venv/.browser
	$(BIN)/python -m pytest -m browser tests

# Lessons that train, with five seeds each; prints their verdicts. Many minutes.
test-slow: .venv/.test
	$(BIN)/python -m pytest -m slow -s tests

build: .venv/.test
	$(BIN)/python -m attn_course.notebooks build $(LESSON)

check: .venv/.test
	$(BIN)/python -m attn_course.notebooks check

figures: .venv/.test
	$(BIN)/python -m figures.draw

bench: .venv/.test
	$(BIN)/python -m benchmarks.run

clean:
	rm -rf .venv

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.lab: .venv/bin/python requirements.txt constraints.txt pyproject.toml
	$(BIN)/python -m pip install -r requirements.txt
	touch $@

.venv/.test: .venv/bin/python requirements.txt requirements-test.txt \
		constraints.txt pyproject.toml
	$(BIN)/python -m pip install -r requirements-test.txt
	touch $@ .venv/.lab

.venv/.browser: .venv/.test requirements-browser.txt
	$(BIN)/python -m pip install -r requirements-browser.txt
	command -v chromium || command -v google-chrome || \
		(apt-get update && apt-get install -y chromium)
	touch $@

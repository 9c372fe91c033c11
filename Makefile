# Two commands do everything: `make lab` opens the course, `make test` tests it.
# Each makes .venv by itself. On Windows, see the plain lines in README.md.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: lab test test-portable build check figures bench clean

lab: .make/lab
	$(BIN)/jupyter lab notebooks/00_start_here.ipynb

test: .make/test
	$(BIN)/python -m pytest

# The notebooks once more, with 1 and 2 threads, without and with AVX2.
test-portable: .make/test
	$(BIN)/python -m tests.portable

build: .make/test
	$(BIN)/python -m attn_course.notebooks build $(LESSON)

check: .make/test
	$(BIN)/python -m attn_course.notebooks check

figures: .make/test
	$(BIN)/python -m figures.draw

bench: .make/test
	$(BIN)/python -m benchmarks.run

clean:
	rm -rf .venv .make

.make/venv:
	$(PYTHON) -m venv .venv
	mkdir -p .make && touch $@

.make/lab: .make/venv requirements.txt pyproject.toml
	$(BIN)/python -m pip install -r requirements.txt
	touch $@

.make/test: .make/venv requirements.txt requirements-test.txt pyproject.toml
	$(BIN)/python -m pip install -r requirements-test.txt
	touch $@ .make/lab

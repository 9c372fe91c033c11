# Two commands do everything: `make lab` opens the course, `make test` tests it.
# Each makes .venv by itself. On Windows, see the plain lines in README.md.
PYTHON ?= python3
BIN := .venv/bin
ROOT_FLAG := $(if $(filter 0,$(shell id -u)),--allow-root)
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: lab lint test test-portable test-browser test-slow test-site test-gpu \
	test-device coverage mutants build check evidence \
	figures bench site site-pdf assignments grade slides cheatsheet \
	test-classroom clean

lab: .venv/.lab
	$(BIN)/jupyter lab $(ROOT_FLAG) notebooks/00_start_here.ipynb

# Tests: threads that wait sleep instead of spinning, which on a busy machine is
# many times as fast, and on a free one up to half as slow again.
test test-portable test-browser test-slow test-gpu test-device coverage: \
	export OMP_WAIT_POLICY ?= PASSIVE

# Outputs are stored, and compared, on the CPU.
test test-portable test-browser coverage build: export ATTN_DEVICE ?= cpu

# Two files at a time, on one thread each: faster than one on two threads.
test test-browser test-device coverage: export OMP_NUM_THREADS ?= 1
PARALLEL := -n 2 --dist loadfile

# What belongs to one lesson: `make test LESSON=07`. (The name of 01 is a part of
# the name of 02.)
NAME = $(basename $(notdir $(wildcard notebooks/source/$(LESSON)*.py)))
SLUG = $(shell echo "$(NAME)" | cut -d _ -f 2-)
ONE_LESSON = $(if $(filter 1,$(words $(NAME))),,$(error no lesson $(LESSON))) \
	$(wildcard tests/test_$(SLUG)*.py) tests/test_checks.py \
	tests/test_documents.py notebooks/$(NAME).ipynb \
	-k "$(SLUG) and not scaled_$(SLUG)"

test: .venv/.test lint
	$(BIN)/python -m pytest $(PARALLEL) $(if $(LESSON),$(ONE_LESSON))

# Layout, usual slips, types: seconds.
lint: .venv/.test
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyrefly check

# Which lines no test of the package runs. Not a part of `make test`: on Python
# 3.11 tracing costs two fifths more time.
coverage: .venv/.test
	$(BIN)/python -m pytest $(PARALLEL) tests --cov

# A random sample of small changes, and whether a test notices. About an hour.
mutants: .venv/.test
	$(BIN)/python -m pip install -r requirements-mutants.txt
	$(BIN)/python -m tools.mutants

# On a machine with a GPU: every test that takes a device, on the GPU too, then
# every lesson from start to end; its assertions have to hold.
# A table: seconds on the CPU and the GPU, verdicts that held.
test-gpu: .venv/.test
	$(BIN)/python -m tests.gpu

# The same without one: a pretended NVIDIA card, then a pretended Mac, refuse what
# the real ones refuse. It takes long.
test-device: .venv/.test
	$(BIN)/python -m tests.pretended $(LESSON)

# The notebooks once more, on 1 and 2 threads, without and with AVX2.
test-portable: .venv/.test
	$(BIN)/python -m tests.portable $(LESSON)

# Every lesson in JupyterLab in Chromium, two pages at a time; screenshots and
# the views' times in build/screenshots. What failed is tried once more, alone: a
# busy machine may be late for a page, but not twice.
test-browser: .venv/.browser
	$(BIN)/python -m pytest -m browser -n 2 tests || \
		$(BIN)/python -m pytest -m browser --last-failed \
		--last-failed-no-failures none tests

# Lessons that train, with five seeds each; prints their verdicts. Many minutes.
test-slow: .venv/.test
	$(BIN)/python -m pytest -m slow -s tests

# The site: links, pictures, search, accessibility; workflows and other files.
test-site: .venv/.site .venv/.browser node_modules/.package-lock.json
	$(BIN)/python -m pytest -m site -n0 tests

# A class of thirty, honest and not, every assignment, live slides. Some minutes.
test-classroom: .venv/.teaching .venv/.browser
	$(BIN)/python -m pytest -m classroom -n0 tests

build: .venv/.test
	$(BIN)/python -m tools.notebooks build $(LESSON)

check: .venv/.test
	$(BIN)/python -m tools.notebooks check

figures: .venv/.test
	$(BIN)/python -m figures.draw

# What the comparisons of the lessons rest on: trains every arm with its settings
# and seeds, two at a time; what is finished is kept. Up to 40 minutes a lesson.
evidence: .venv/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m experiments $(LESSON)

bench: .venv/.test
	$(BIN)/python -m benchmarks.run

# The course as pages that work from the file system: build/site/index.html.
site: .venv/.site node_modules/.package-lock.json
	$(BIN)/python -m docs.build html

# The same as one PDF, printed by Chromium: build/attention-course.pdf.
site-pdf: .venv/.site .venv/.browser .venv/.fonts node_modules/.package-lock.json
	$(BIN)/python -m docs.build pdf

# nbgrader assignments of every lesson: notebooks/exercises.
assignments: .venv/.teaching
	$(BIN)/python -m teaching.assignments
	$(BIN)/python -m teaching.handbook

# Points of a whole class: COURSE/submitted/STUDENT/NN_slug/NN_slug.ipynb.
grade: .venv/.teaching
	$(BIN)/python -m teaching.grade "$(COURSE)" --lesson "$(LESSON)"

# Slides that need no network: build/slides/index.html.
slides: .venv/.test node_modules/.package-lock.json
	$(BIN)/python -m teaching.slides $(LESSON)

cheatsheet: .venv/.test
	$(BIN)/python -m teaching.cheatsheet

clean:
	rm -rf .venv node_modules

.venv/bin/python:
	$(PYTHON) -m venv .venv

# What is said before anything is loaded. Without torch's own index, pip takes the
# build for NVIDIA cards on Linux, whether there is one or not.
define SIZE
	@echo "Installs about 2.5 GB into .venv, once."
	@if [ "$$(uname)" = Linux ] && [ -z "$$PIP_EXTRA_INDEX_URL" ]; then \
		echo "On Linux several GB more, for NVIDIA cards. You have none? Stop" \
			"(Ctrl+C), and see PIP_EXTRA_INDEX_URL in README.md."; fi
endef

# JupyterLab would ask each new learner about its news.
NO_NEWS = $(BIN)/jupyter labextension disable \
	@jupyterlab/apputils-extension:announcements

.venv/.lab: .venv/bin/python requirements.txt constraints.txt pyproject.toml
	$(SIZE)
	$(BIN)/python -m pip install -r requirements.txt
	$(NO_NEWS)
	touch $@

.venv/.test: .venv/bin/python requirements.txt requirements-test.txt \
		constraints.txt pyproject.toml
	$(SIZE)
	$(BIN)/python -m pip install -r requirements-test.txt
	$(NO_NEWS)
	touch $@ .venv/.lab

.venv/.browser: .venv/.test requirements-browser.txt
	$(BIN)/python -m pip install -r requirements-browser.txt
	command -v chromium || command -v google-chrome || \
		($(SUDO) apt-get update && $(SUDO) apt-get install -y chromium)
	touch $@

# What lets widgets be drawn in jupyterlab-rise lies beside it. Bubblewrap fences
# off learners' code; where it cannot be installed, grading says what is open.
.venv/.teaching: EXTENSIONS := \
	.venv/share/jupyter/labextensions/attn-course-live-slides
.venv/.teaching: .venv/.test requirements-teaching.txt \
		$(wildcard teaching/live_slides/*.json teaching/live_slides/static/*)
	$(BIN)/python -m pip install -r requirements-teaching.txt
	command -v bwrap || ! command -v apt-get || \
		($(SUDO) apt-get update && $(SUDO) apt-get install -y bubblewrap)
	mkdir -p $(EXTENSIONS)
	cp -R teaching/live_slides/. $(EXTENSIONS)
	touch $@

.venv/.site: .venv/.test requirements-site.txt
	$(BIN)/python -m pip install -r requirements-site.txt
	touch $@

# The glossary needs a font with Chinese signs.
.venv/.fonts: .venv/bin/python
	fc-list :lang=zh | grep -q . || \
		($(SUDO) apt-get update && \
		$(SUDO) apt-get install -y fonts-wqy-microhei)
	touch $@

node_modules/.package-lock.json: package.json package-lock.json
	npm ci --no-audit --no-fund

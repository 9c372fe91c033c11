# Two commands do everything: `make lab` opens the course, `make test` tests it.
# Each makes .venv by itself. On Windows, see the plain lines in README.md.
PYTHON ?= python3
BIN := .venv/bin
ROOT_FLAG := $(if $(filter 0,$(shell id -u)),--allow-root)
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: lab test test-portable test-browser test-slow test-site build check \
	figures bench site site-pdf assignments grade slides cheatsheet \
	test-classroom clean

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
		($(SUDO) apt-get update && $(SUDO) apt-get install -y chromium)
	touch $@

# What lets widgets be drawn in jupyterlab-rise lies beside it.
.venv/.teaching: EXTENSIONS := \
	.venv/share/jupyter/labextensions/attn-course-live-slides
.venv/.teaching: .venv/.test requirements-teaching.txt \
		$(wildcard teaching/live_slides/*.json teaching/live_slides/static/*)
	$(BIN)/python -m pip install -r requirements-teaching.txt
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

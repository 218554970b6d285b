# Everything lives in .venv; nothing needs root or a system package.
# Another Python: make quickstart PYTHON=python3.12
PYTHON ?= python3
IN_VENV := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help quickstart test lint

help:  ## list these targets
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile | expand -t 13

quickstart: .venv/installed  ## speak a corpus, train on it, read unseen voices, score: 5 minutes
	$(IN_VENV) -m scripts.quickstart

test: .venv/installed-dev  ## run the test suite on two cores
	OMP_NUM_THREADS=1 $(IN_VENV) -m pytest -n 2

lint: .venv/installed-dev  ## check style and format
	$(IN_VENV) -m ruff check .
	$(IN_VENV) -m ruff format --check .

# The stamps are newer than the lists they were installed from.
.venv/installed: requirements.txt
	$(make_venv)
	$(IN_VENV) -m pip install --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/installed-dev: requirements.txt requirements-extra.txt requirements-dev.txt
	$(make_venv)
	$(IN_VENV) -m pip install --disable-pip-version-check -r requirements-dev.txt
	@touch .venv/installed $@

# A virtual environment without pip is one whose making was interrupted.
define make_venv
@test -x .venv/bin/pip || { \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or later is needed, but $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
			"Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }; \
	$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) lacks ensurepip, which makes virtual environments. Install it (Debian," \
			"Ubuntu: apt install python3-venv) or name a Python that has it, such as one of" \
			"conda or uv: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 1; }; \
	echo "$(PYTHON) -m venv .venv"; \
	$(PYTHON) -m venv .venv; }
endef

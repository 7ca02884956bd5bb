# Works with GNU make 3.81 (macOS) and later. Everything is installed into .venv, nothing elsewhere: first what running the
# app needs, the rest with the first command that needs it.

# The newest Python that is whole: what is packed apart by Debian, or left out by who builds it without a library, is there.
# Of those of one version the system's own, which it keeps up to date and has built to be fast: in pyenv's, as it builds them
# by itself, the tests take a quarter longer. Another one: make PYTHON=/path/to/python3
USABLE = import sys; sys.version_info < (3, 11) and sys.exit(1); import ctypes, ensurepip, sqlite3, ssl, venv
SYSTEM = /usr/bin
PYTHON ?= $(shell for name in python3.14 python3.13 python3.12 python3.11 python3; do for python in $(SYSTEM)/$$name $$name; do \
	$$python -c '$(USABLE)' >/dev/null 2>&1 && echo $$python && exit; done; done)

# What somebody has set for other programs would install elsewhere, or have Python find other modules.
unexport PIP_CONSTRAINT PIP_PREFIX PIP_TARGET PYTHONPATH PYTHONSAFEPATH
export PIP_USER = 0

.DEFAULT_GOAL := help
.PHONY: help run dev test test-quick proof check format translations screenshots lock clean

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s%s\n", $$1, $$2 }' Makefile

run: .venv/app ## Start the app and the sandbox, a Misskey server to try it with (PORT=8000 SANDBOX_PORT=3000)
	@.venv/bin/python -m sandbox.run

dev: .venv/app ## As run, for developing: the app starts anew when a file changes, and has the debugger
	@.venv/bin/python -m sandbox.run --dev

# One more at once than there are cores, as many tests wait for a time limit, a disk or a process; up to eight, as each has
# a browser. Who has nothing left takes tests from the others: the slowest ones, which begin first, are in a few files.
AT_ONCE = $$(cores=$$(getconf _NPROCESSORS_ONLN) && echo $$((cores < 7 ? cores + 1 : 8)))
PARALLEL = --numprocesses $(AT_ONCE) --dist worksteal --durations 10
# What is compiled once is there for all processes, and for the next run: make clean removes it.
test test-quick: export PYTHONDONTWRITEBYTECODE =
test: .venv/installed ## Run every test, those in a browser included (or some: ARGS="-k callback")
	@.venv/bin/python tests/find_browser.py >/dev/null
	@.venv/bin/python -m pytest $(or $(ARGS),-p tests.coverage --coverage-least 95 $(PARALLEL))

test-quick: .venv/installed ## Run the tests that need no browser
	@.venv/bin/python -m pytest -m 'not browser' $(PARALLEL)

proof: .venv/proof ## Measure what the tests of the sign-in are worth; wants Node.js, takes an hour or two (or ARGS="web.accounts*")
	@set -f; .venv/bin/python -m tests.proof $(ARGS)

check: .venv/installed ## Check the code: lint, formatting, types
	@.venv/bin/python -m ruff check --quiet .
	@.venv/bin/python -m ruff format --quiet --check . || { echo 'Some files are not formatted: make format' >&2; exit 1; }
	@.venv/bin/python -m mypy --no-error-summary

format: .venv/installed ## Format the code, and correct what the linter can
	@.venv/bin/python -m ruff check --quiet --fix-only .
	@.venv/bin/python -m ruff format --quiet .

BABEL = .venv/bin/pybabel --quiet
translations: .venv/installed ## Collect new texts for translations/*/LC_MESSAGES/messages.po, and compile these
	@$(BABEL) extract -F translations/babel.cfg -k _l -k _ln:1,2 --no-location --sort-output \
		-o translations/messages.pot .
	@$(BABEL) update -i translations/messages.pot -d translations --no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date \
		--width 120
	@rm translations/messages.pot
	@$(BABEL) compile -d translations

# demonstration
.PHONY: bench picture own
bench: .venv/installed ## Measure the app, for a quarter of an hour, and write that down in bench/RESULTS.md
	@.venv/bin/python -u -m bench | tee bench/RESULTS.md

picture: .venv/installed ## Take the picture of the README anew
	@.venv/bin/python -m tests.demo.pictures

own: export NAME := $(NAME)
own: .venv/app ## Turn a fresh clone into an app of your own, without the demonstration (NAME="Kaede Notes")
	@.venv/bin/python -m tests.demo.make_own
# end of the demonstration

screenshots: .venv/installed ## Take pictures of every page and state into screenshots/, to look at in a browser: index.html
	@rm -rf screenshots
	@SCREENSHOTS=screenshots .venv/bin/python -m pytest tests/*/test_access.py

LOCK = .venv/bin/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-strip-extras --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)

lock: .venv/installed ## Write requirements*.txt anew after a change of requirements*.in (newest of all: UPGRADE=1)
	@$(LOCK) requirements.in --output-file requirements.txt
	@$(LOCK) requirements-sandbox.in --output-file requirements-sandbox.txt
	@$(LOCK) requirements-dev.in --output-file requirements-dev.txt
	@$(LOCK) requirements-proof.in --output-file requirements-proof.txt

clean: ## Remove what make and the tests made (your settings and data stay)
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis test-results screenshots mutants .fuzz \
		tests/sandbox/foreign_clients/node_modules
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment whose Python has gone, as after an upgrade of the system, counts as not installed.
ifneq ($(shell .venv/bin/python -c 'print("works")' 2>/dev/null),works)
.PHONY: .venv/app .venv/installed
endif

# What a package index refuses is asked for again by pip, and once more after a pause.
PAUSE = 5
INSTALL = echo 'Installing into .venv ...'; \
	install() { .venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes "$$@"; }; \
	set -- $(patsubst %,-r %,$(filter %.txt,$^)); install "$$@" || \
	{ echo 'That failed; once more in a moment ...' >&2; sleep $(PAUSE); install "$$@"; } || \
	{ echo 'Not everything could be fetched. Is there a way to the package index? Then: make $(MAKECMDGOALS)' >&2; exit 1; }

.venv/app: requirements.txt requirements-sandbox.txt
	@if ! $(or $(PYTHON),false) -c '$(USABLE)' >/dev/null 2>&1; then \
		found=$$($(or $(PYTHON),python3) -c 'import sys; print(sys.version.split()[0])' 2>/dev/null); \
		case "$$found" in \
		'') echo 'Python was not found$(if $(PYTHON), at $(PYTHON)): this needs Python 3.11 or later.' ;; \
		3.[0-9].*|3.10.*|2.*) echo "Python $$found is too old: this needs Python 3.11 or later." ;; \
		*) echo "Python $$found is not whole: $$($(or $(PYTHON),python3) -c '$(USABLE)' 2>&1 | tail -n 1)."; \
			echo 'On Debian and Ubuntu: apt install python3-venv. One that was built here, as by pyenv, needs that library and another build.' ;; \
		esac >&2; \
		echo 'If it is somewhere else: make PYTHON=/path/to/python3' >&2; exit 1; \
	fi
	@.venv/bin/python -c '$(USABLE)' 2>/dev/null || $(PYTHON) -m venv --clear .venv || { \
		echo 'In this folder no virtual environment can be made. Shared folders and some drives have no symbolic links: move it.' >&2; exit 1; }
	@$(INSTALL)
	@touch $@

.venv/installed: requirements-dev.txt .venv/app
	@$(INSTALL)
	@touch $@

.venv/proof: requirements-proof.txt .venv/installed
	@$(INSTALL)
	@touch $@

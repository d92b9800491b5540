# make run      install what is missing and start everything
# make test     install what is missing and run the tests
# make faults   run the tests that break things for minutes: kill sweep, restarts, reconnects, a random soak
# make attacks  try long what the tests try shortly: every request in many forms, every door from outside
# make lint     formatting, types, import directions, templates
# make install  only install, into .venv
# make lock     write the lock files anew from pyproject.toml
# make clean    remove .venv (the data directory stays)

PYTHON ?= python3
VENV := .venv
UV := $(VENV)/tools/bin/uv
RUNTIME := $(VENV)/.runtime-installed
DEVELOPMENT := $(VENV)/.development-installed
ARGS ?=

# Where the machine says whom it trusts, that holds for uv too: a company's own certificates are only there.
ifneq ($(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt),)
export UV_SYSTEM_CERTS ?= true
endif

.PHONY: run test faults attacks lint install install-dev lock project messages clean

run: $(RUNTIME) messages
	@exec $(VENV)/bin/python manage.py up $(ARGS)

# The browser's driver keeps an event loop in its thread, where Django refuses queries: its tests run by themselves.
test: $(DEVELOPMENT) messages
	$(VENV)/bin/python -m pytest $(or $(ARGS),--ignore=tests/browser)
	$(if $(ARGS),,$(VENV)/bin/python -m pytest tests/browser)

# What each case promises, and where it is tested, is in docs/faults.md.
faults: $(DEVELOPMENT) messages
	OPENINTERN_REQUIRE_STRACE=1 $(VENV)/bin/python -m pytest -m faults -s tests/faults tests/runs tests/teams $(ARGS)

# What each attack meets, and where it is tested, is in docs/attacks.md.
attacks: $(DEVELOPMENT) messages
	OPENINTERN_ATTACKS=$${OPENINTERN_ATTACKS:-50} $(VENV)/bin/python -m pytest tests/api/test_schemathesis.py tests/api/test_attacks.py \
		tests/api/test_edge.py tests/tenancy tests/tools/test_confinement.py $(ARGS)

lint: $(DEVELOPMENT)
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	find templates -name '*.html' -exec $(VENV)/bin/djade --target-version 5.2 --check {} +

install: $(RUNTIME) messages

install-dev: $(DEVELOPMENT) messages

# uv itself is pinned by hash too; it lives beside the packages, where a sync doesn't remove it.
$(UV): requirements-uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "OpenIntern needs Python 3.11 or newer; name one: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv --without-pip $(VENV)
	@echo "Installing uv"
	@$(PYTHON) -m pip --version >/dev/null 2>&1 || $(VENV)/bin/python -m ensurepip >/dev/null
	@pip=$$($(PYTHON) -m pip --version >/dev/null 2>&1 && echo $(PYTHON) || echo $(VENV)/bin/python); \
	$$pip -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --upgrade --require-hashes \
		--target $(VENV)/tools -r requirements-uv.lock
	@touch $@

# A machine that tests keeps the test packages: `make run` there must not remove them again.
$(RUNTIME): requirements.lock pyproject.toml $(UV)
	@if test -f $(DEVELOPMENT); then $(MAKE) --no-print-directory $(DEVELOPMENT); \
	else echo "Installing packages (a minute or so)"; $(UV) pip sync -q -p $(VENV)/bin/python --require-hashes --compile-bytecode requirements.lock; fi
	@$(MAKE) --no-print-directory project
	@touch $@

$(DEVELOPMENT): requirements-dev.lock pyproject.toml $(UV)
	@echo "Installing packages (a minute or so)"
	@$(UV) pip sync -q -p $(VENV)/bin/python --require-hashes --compile-bytecode requirements-dev.lock
	@$(MAKE) --no-print-directory project
	@touch $@ $(RUNTIME)

# Where Python is told to write no bytecode, every process would compile our own modules again.
project:
	@$(UV) pip install -q -p $(VENV)/bin/python --no-deps --no-build-isolation -e .
	@$(VENV)/bin/python -m compileall -q openintern memory runs teams connectors

CATALOGUES := $(shell find locale -name '*.po' 2>/dev/null)

messages: $(CATALOGUES:.po=.mo)

%.mo: %.po | $(RUNTIME)
	@$(VENV)/bin/python -m babel.messages.frontend -q compile -i $< -o $@

COMPILE = --quiet --upgrade --universal --generate-hashes --python-version 3.11 --no-header --no-annotate
HEADER = The exact packages, by content. Written by make lock, not by hand.

lock: $(UV)
	$(UV) pip compile $(COMPILE) pyproject.toml --extra install --extra otel -o requirements.lock
	$(UV) pip compile $(COMPILE) pyproject.toml --extra install --extra otel --extra dev -c requirements.lock -o requirements-dev.lock
	echo uv | $(UV) pip compile $(COMPILE) - -o requirements-uv.lock
	sed -i '1i # $(HEADER)' requirements.lock requirements-dev.lock requirements-uv.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache *.egg-info

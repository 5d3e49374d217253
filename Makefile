# serve          start the server on loopback; PORT in the environment says where
# chat           talk to that server on a terminal; PORT as above
# check          the fast checks before a commit: format, lint, types, import contracts, unit tests
# test           the gate of every change: all checks and tests except the long ones, and the docs; WORKERS=N at once
# docs           build the documentation as a site, in build/docs
# chaos          the long tests; CHAOS=ci runs a sample of them
# chaos-control  the long tests of control over sessions
# bench          measure, next to a bare echo server; ROWS=NAME,… chooses; AGAINST=REV compares, RUNS=N times
# bench-peers    measure the library next to others, which it installs into .venv-peers
# images         build the images that sandboxes run in; takes a Docker engine
# server-image   build the server's own image
# wheels         fetch the packages of that image beforehand, for a build without a network
# lock           write the lock files; UPGRADE=--upgrade takes the newest versions
# clean          remove what the others have made; stored conversations stay

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
UV := uv==0.13.8
BUILD := 'hatchling>=1.27\neditables>=0.5\n'

# Most tests wait for servers, containers and browsers: twice as many run as the smallest machine has cores.
WORKERS ?= 4

VENV := .venv
PEERS := .venv-peers
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
BUILDKIT := DOCKER_BUILDKIT=$${DOCKER_BUILDKIT:-0}
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes $(UPGRADE) \
	--no-emit-index-url --no-annotate --no-header pyproject.toml -

.PHONY: help serve chat check test docs chaos chaos-control bench bench-peers images server-image wheels lock clean

help:
	@sed -n 's/^# \([a-z-]*  \)/make \1/p' Makefile

serve: $(VENV)/.runtime
	@exec $(BIN)/openhands-sessions serve --host 127.0.0.1 $(if $(PORT),--port $(PORT))

chat: $(VENV)/.runtime
	@exec $(BIN)/openhands-sessions chat --server http://127.0.0.1:$(or $(PORT),3000)

define STATIC_CHECKS
$(BIN)/ruff format --check --quiet .
$(BIN)/ruff check --quiet .
$(BIN)/mypy
$(BIN)/lint-imports --no-logo
endef

check: $(VENV)/.test
	$(STATIC_CHECKS)
	$(BIN)/python -m pytest -q -m "not long and not slow" -n $(WORKERS) --dist worksteal tests/house tests/unit

test: $(VENV)/.test docs
	$(STATIC_CHECKS)
	@$(BIN)/python -m tests.support.docker_prepare
	@$(BIN)/python -m tests.support.browser
	@$(BIN)/python -m tests.support.nginx
	$(BIN)/python -m pytest -q -m "not long" -n $(WORKERS) --dist worksteal --durations=10

docs: $(VENV)/.test
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

chaos: $(VENV)/.test
	@CHAOS=$(CHAOS) $(BIN)/python -m pytest -q -m "long and beside" & beside=$$!; \
	CHAOS=$(CHAOS) $(BIN)/python -m pytest -q -m "long and not beside and not control"; others=$$?; \
	wait $$beside && exit $$others

chaos-control: $(VENV)/.test
	CHAOS=$(CHAOS) $(BIN)/python -m pytest -q -m "long and control"

bench: $(VENV)/.test
	$(BIN)/python -m tests.bench $(if $(ROWS),--rows $(ROWS)) $(if $(AGAINST),--against $(AGAINST) --runs $(or $(RUNS),5))

bench-peers: $(VENV)/.test
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@for peer in openai-agents praisonaiagents "langgraph langgraph-checkpoint-sqlite"; do \
		$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-input $$peer || \
		echo "$$peer cannot be installed, and is left out." >&2; done
	$(BIN)/python -m tests.bench --rows library --peers $(PEERS)/bin/python

images:
	for image in base python node; do \
		$(BUILDKIT) docker build --tag openhands-sessions-$$image runtime_images/$$image || exit; done

server-image:
	@$(BUILDKIT) docker build $(if $(BASE),--build-arg BASE=$(BASE)) --tag openhands-sessions-server \
		--file runtime_images/server/Dockerfile . || { \
		echo "The build needs a Docker engine, and fetches packages of Debian and of PyPI. Without a network in it:" >&2; \
		echo "make wheels fetches those of PyPI beforehand, and BASE=IMAGE names an image that has python3 and" >&2; \
		echo "python3-venv. See docs/howto/run-with-compose.md." >&2; exit 1; }

wheels: $(VENV)/.made
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
		echo "The image has Python 3.11, and so must have what fetches its packages; set PYTHON." >&2; exit 1; }
	rm -f runtime_images/server/wheels/*.whl
	$(PIP) download --require-hashes --only-binary :all: --requirement requirements.lock --dest runtime_images/server/wheels

lock: $(VENV)/.runtime
	$(PIP) install $(UV)
	printf $(BUILD) | $(COMPILE) --extra fast --extra mcp --extra otel --output-file requirements.lock
	printf $(BUILD) | $(COMPILE) --extra fast --extra mcp --extra otel --extra docs --extra test --constraint requirements.lock --output-file requirements-test.lock

clean:
	rm -rf $(VENV) $(PEERS) build dist bench.json runtime_images/server/wheels/*.whl .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp says that the environment holds what its lock names.

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; set PYTHON to where it is." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed; $(PYTHON) is not. Set PYTHON to one that is." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
		echo "$(PYTHON) cannot make an environment; on Debian and Ubuntu, install python3-venv." >&2; exit 1; }
	@touch $@

$(VENV)/.runtime: $(VENV)/.made requirements.lock pyproject.toml
	@echo "Installing into $(VENV); the first time takes one to three minutes, and prints nothing meanwhile."
	@$(PIP) install --require-hashes --requirement requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.runtime requirements-test.lock
	@echo "Installing what the tests need."
	@$(PIP) install --require-hashes --requirement requirements-test.lock
	@touch $@

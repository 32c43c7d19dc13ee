# One command each. `make` alone lists them in the order of this file: first what newcomers want.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z0-9.-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(INSTALLED) ## Play two cycles of three sample laundromats (KEEP=1 leaves the servers up)
	@"$(BIN)/vmhub" demo $(if $(KEEP),--keep)

.PHONY: test
test: $(INSTALLED) ## Run everything: lint, types, dbt, unit tests, end to end
	"$(BIN)/ruff" check .
	"$(BIN)/ruff" format --check .
	"$(BIN)/mypy"
	"$(BIN)/lint-imports" --no-cache
	"$(BIN)/python" -m pytest

SITE := target/docs

.PHONY: docs
docs: $(INSTALLED) ## Write the site of all models and columns, one file: target/docs/index.html
	@mkdir -p "$(SITE)"
	@work=$$(mktemp -d) && trap 'rm -rf "$$work"' EXIT && \
	    cp profiles.yml.example "$$work/profiles.yml" && \
	    DBT_TARGET=local "$(BIN)/dbt" --no-send-anonymous-usage-stats docs generate --static \
	        --empty-catalog --no-populate-cache --profiles-dir "$$work" --target-path "$$work" \
	        --log-path "$$work" && \
	    mv "$$work/static_index.html" "$(SITE)/index.html"

.PHONY: install
install: $(INSTALLED) ## Set up .venv from the lock

.PHONY: clean
clean: ## Remove what the commands made
	rm -rf $(VENV) .vmhub target logs .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info

.PHONY: test-large
test-large: $(INSTALLED) ## Run the slow tests: large laundromats, a fleet of 200, processes that are killed
	VMHUB_JOB_TIMEOUT_SECONDS=1200 \
	    "$(BIN)/python" -m pytest --numprocesses=0 -m large --durations=2

.PHONY: soak
soak: $(INSTALLED) ## Play six weeks of three laundromats, hour by hour; takes hours
	"$(BIN)/python" -m pytest --numprocesses=0 -m soak --log-cli-level=INFO

# A second environment, with the oldest dbt that is supported. uv keeps the versions of the lock
# except those that this dbt does not work with.
OLD_DBT := 1.11
OLD := target/dbt-$(OLD_DBT)

.PHONY: test-dbt-1.11
test-dbt-1.11: $(OLD)/.installed ## Run the tests around dbt with dbt-core 1.11 (installs it: needs a network)
	"$(OLD)/bin/python" -m pytest --numprocesses=0 tests/e2e/test_dbt_project.py \
	    tests/e2e/test_pipeline.py tests/e2e/test_docs.py tests/loader/dbt/test_patches.py \
	    tests/loader/dbt/test_manifest.py tests/loader/dbt/test_build.py

$(OLD)/.installed: $(INSTALLED)
	"$(PYTHON)" -m venv --clear "$(OLD)"
	cp requirements.lock "$(OLD)/requirements.lock"
	echo "dbt-core~=$(OLD_DBT).0" > "$(OLD)/constraints.txt"
	$(LOCK) --extra local --extra dev --constraints "$(OLD)/constraints.txt" \
	    --output-file "$(OLD)/requirements.lock"
	$(call install,$(OLD)/bin/python,$(OLD)/requirements.lock)
	@touch "$@"

# The tools have an environment and a lock of their own, so `make test` stays as small as it is.
AUDIT := target/audit
SECRETS := .secrets.baseline

.PHONY: audit
audit: $(AUDIT)/.installed ## Look for insecure code, secrets and vulnerable packages; write the SBOM
	"$(BIN)/python" -m pytest --quiet --numprocesses=0 tests/loader/test_source_rules.py
	@# bandit warns about every part of a marked line in which it finds nothing.
	"$(AUDIT)/bin/bandit" --quiet --recursive --configfile pyproject.toml --severity-level medium \
	    bench console loader seeds tools whatsapp \
	    2> >(grep --invert-match "nosec encountered .* but no failed test" >&2)
	@# The hook brings the line numbers of its baseline up to date and ends with 3 if that was all; so
	@# it gets a copy. It ends with 1 if there is a secret that the baseline does not have.
	@cp "$(SECRETS)" "$(AUDIT)/secrets.json"
	"$(AUDIT)/bin/detect-secrets-hook" --baseline "$(AUDIT)/secrets.json" $$(git ls-files ':!$(SECRETS)') || \
	    [ $$? -eq 3 ]
	@# A lock does not say which package needs which, and cyclonedx warns about that.
	PYTHONWARNINGS=ignore::UserWarning "$(AUDIT)/bin/cyclonedx-py" requirements requirements-run.lock \
	    --pyproject pyproject.toml --output-reproducible --output-file target/sbom.json
	PYTHONWARNINGS=ignore::UserWarning "$(AUDIT)/bin/cyclonedx-py" requirements requirements.lock \
	    --pyproject pyproject.toml --output-reproducible --output-file target/sbom-development.json
	"$(AUDIT)/bin/python" tools/known_vulnerabilities.py requirements.lock requirements-audit.lock

.PHONY: audit-secrets
audit-secrets: $(AUDIT)/.installed ## Take today's findings into the baseline of the secret scan: look at its diff
	"$(AUDIT)/bin/detect-secrets" scan --baseline "$(SECRETS)"

$(AUDIT)/.installed: requirements-audit.lock $(INSTALLED)
	"$(PYTHON)" -m venv --clear "$(AUDIT)"
	"$(BIN)/uv" pip install --quiet --system-certs --python "$(AUDIT)/bin/python" --no-deps \
	    --require-hashes --requirement requirements-audit.lock || \
	    "$(AUDIT)/bin/python" $(PIP_INSTALL) --require-hashes --requirement requirements-audit.lock
	@touch "$@"

.PHONY: bench-sync
bench-sync: $(INSTALLED) ## Compare sync with other ways of writing (QUICK=1 for small sizes)
	@"$(BIN)/python" bench/sync.py $(if $(QUICK),--quick) $(if $(JSON),--json "$(JSON)")

.PHONY: bench-track
bench-track: $(INSTALLED) ## Measure track on 200 laundromats with 100,000 changes (QUICK=1, JSON=…)
	@"$(BIN)/python" bench/track.py $(if $(QUICK),--quick) $(if $(JSON),--json "$(JSON)")

.PHONY: bench-fleet
bench-fleet: $(INSTALLED) ## Measure the hourly run of 50, 200 and 1,000 laundromats (QUICK=1, JSON=…)
	@"$(BIN)/python" bench/fleet.py $(if $(QUICK),--quick) $(if $(JSON),--json "$(JSON)")

.PHONY: bench-send
bench-send: $(INSTALLED) ## Compare the sender with one call after another (QUICK=1, PYWA=python, JSON=…)
	@"$(BIN)/python" bench/send.py $(if $(QUICK),--quick) $(if $(PYWA),--pywa "$(PYWA)") \
	    $(if $(JSON),--json "$(JSON)")

.PHONY: bench-privacy
bench-privacy: $(INSTALLED) ## Measure erasing one person among many (QUICK=1, JSON=…)
	@"$(BIN)/python" bench/privacy.py $(if $(QUICK),--quick) $(if $(JSON),--json "$(JSON)")

.PHONY: bench-webhook
bench-webhook: $(INSTALLED) ## Measure the webhook: POSTs of 1 and 100 statuses (QUICK=1, JSON=…)
	@"$(BIN)/python" bench/webhook.py $(if $(QUICK),--quick) $(if $(JSON),--json "$(JSON)")

DEMO := .vmhub/demo
URL_OF_CHATS := import json, sys; print(json.load(sys.stdin)["WHATSAPP_API_URL"])

.PHONY: picture
picture: $(INSTALLED) ## Take the README's picture of the demo's chats anew (needs Chromium)
	"$(BIN)/vmhub" demo --keep > /dev/null
	@trap '"$(BIN)/vmhub" local down --state-dir "$(DEMO)"' EXIT && \
	    url=$$("$(BIN)/vmhub" local env --json --state-dir "$(DEMO)" | \
	        "$(BIN)/python" -c '$(URL_OF_CHATS)') && \
	    chromium --headless --no-sandbox --disable-gpu --hide-scrollbars \
	        --window-size=1000,980 --screenshot=docs/chats.png "$$url" 2> /dev/null

.PHONY: docs-cli
docs-cli: $(INSTALLED) ## Generate docs/cli.md again from the commands' help
	"$(BIN)/typer" loader.cli.app utils docs --name vmhub --output docs/cli.md

.PHONY: holidays
holidays: $(INSTALLED) ## Generate the national holidays again from the package holidays
	"$(BIN)/python" seeds/national_holidays.py > macros/clock/is_national_holiday.sql

# Installed again only when the lock or pyproject.toml changes. Otherwise nothing is fetched, so that
# everything works without a network.
$(INSTALLED): requirements.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "vmhub needs Python 3.11 or newer; name one with: make PYTHON=python3.12" >&2; exit 2; }
	"$(PYTHON)" -m venv --clear $(VENV)
	$(call install,$(BIN)/python,requirements.lock)
	@touch $(INSTALLED)

# uv is in the lock, too, and installs the rest in a tenth of pip's time. It does not read pip's
# settings; so if packages come from an index that only pip knows, pip installs them. Compiled once,
# a server of the local stack starts in 1.0 instead of 2.5 s of CPU where Python may not write.
# The lock is complete, so nothing is resolved: pip's resolver would find newer releases of packages
# that are locked with an extra, and fail since they lack a hash.
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check --no-deps

define install
@awk '/^[^ \#]/ { is_uv = /^uv==/ } is_uv' "$(2)" > "$(1).uv.lock"
"$(1)" $(PIP_INSTALL) --require-hashes --requirement "$(1).uv.lock"
"$(1)" -m uv pip install --quiet --system-certs --compile-bytecode --python "$(1)" --no-deps \
    --require-hashes --requirement "$(2)" || \
    "$(1)" $(PIP_INSTALL) --require-hashes --requirement "$(2)"
"$(1)" $(PIP_INSTALL) --no-build-isolation --editable .
endef

# requirements-run.lock is the part of requirements.lock that runs need: the image is made from it.
# requirements-audit.lock has only the tools of `make audit`.
COMPILE := "$(BIN)/uv" pip compile --quiet --universal --python-version 3.11 \
    --generate-hashes --strip-extras --no-emit-index-url --no-header --no-annotate
LOCK := $(COMPILE) pyproject.toml

.PHONY: lock
lock: $(INSTALLED) ## Resolve the newest allowed versions into requirements.lock
	$(LOCK) --extra local --extra dev --upgrade --output-file requirements.lock
	$(LOCK) --constraints requirements.lock --upgrade --output-file requirements-run.lock
	$(COMPILE) --group audit --upgrade --output-file requirements-audit.lock

"""The dbt project as analysts and `vmhub` use it: from dbt's command line."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from loader.dbt.setting_rules import setting_problem, shown
from loader.dbt.spec import BuildSpec
from loader.sync.run import SyncOptions
from tests.support import (
    ALPHANUMERIC_CNPJ,
    AS_OF,
    SCRIPTS,
    make_laundromat,
    run_script,
    targets,
)

if TYPE_CHECKING:
    from pathlib import Path

    from loader.base.environment import Environment
    from loader.dbt.project import Project
    from loader.local.stack import LocalStack
    from loader.services import Services

_VARS = json.dumps({"cnpj": ALPHANUMERIC_CNPJ, "as_of": AS_OF.isoformat()})


def dbt(services: Services, *arguments: str) -> str:
    target = str(services.state_dir / "dbt")
    return run_script(services, "dbt", *arguments, "--target-path", target, "--log-path", target)


def _parsed(root: Path, environment: Environment, target: Path) -> subprocess.CompletedProcess[str]:
    """Parse a project anew, warnings being errors: what dbt deprecates is a warning."""
    return subprocess.run(
        [
            *(SCRIPTS / "dbt", "--warn-error", "--no-use-colors", "parse"),
            *("--target-path", str(target), "--log-path", str(target)),
        ],
        cwd=root,
        env={**os.environ, **environment.variables()},
        capture_output=True,
        text=True,
        check=False,
    )


@dataclass(frozen=True)
class Parse:
    """A parse by dbt's command line, and the environment in which another can start from it."""

    environment: Environment
    target: Path
    process: subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def fresh_parse(
    project: Project, stack: LocalStack, tmp_path_factory: pytest.TempPathFactory
) -> Parse:
    environment, target = stack.environment(), tmp_path_factory.mktemp("fresh parse")
    return Parse(environment, target, _parsed(project.root, environment, target))


def test_the_project_uses_nothing_that_dbt_deprecates(fresh_parse: Parse) -> None:
    assert fresh_parse.process.returncode == 0, fresh_parse.process.stdout


# sqlfluff's command. With Python's own thresholds, a quarter of the time would go into searching
# its large trees for garbage.
_LINT = """
import gc
gc.set_threshold(100_000, 20, 20)
from sqlfluff.cli.commands import cli
cli()
"""


def test_all_sql_is_linted(project: Project, fresh_parse: Parse) -> None:
    variables = {
        **fresh_parse.environment.variables(),
        # sqlfluff's dbt starts from the parse that is there.
        "DBT_TARGET_PATH": str(fresh_parse.target),
        "NO_COLOR": "1",
    }
    linted = subprocess.run(
        [sys.executable, "-c", _LINT, "lint", "--nocolor", "models", "tests/dbt"],
        cwd=project.root,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_what_dbt_deprecates_is_an_error(
    project: Project, environment: Environment, tmp_path: Path
) -> None:
    root = tmp_path / "project"
    # What no model needs is parsed fast.
    for part in ("macros", "seeds"):
        shutil.copytree(project.root / part, root / part)
    for file in ("dbt_project.yml", "selectors.yml"):
        shutil.copy(project.root / file, root / file)
    model = root / "models" / "campaigns" / "loyalty.sql"
    model.parent.mkdir(parents=True)
    model.write_text("{{ config(surprise=1) }}\nselect 1 as customer_id", encoding="utf-8")
    parsed = _parsed(root, environment, tmp_path / "target")
    assert parsed.returncode != 0
    assert "CustomKeyInConfigDeprecation" in parsed.stdout


def test_a_plain_dbt_build_passes_all_tests_and_gives_the_same_tables(services: Services) -> None:
    make_laundromat(
        services,
        ALPHANUMERIC_CNPJ,
        clientes=[
            {
                "id": "a",
                "nome": "Ana Exemplo",
                "dataNascimento": "1990-11-23T00:00:00Z",
                "telefone": "11900000001",
                "dataCadastro": "2025-01-10T12:00:00Z",
            }
        ],
    )
    output = dbt(services, "--warn-error", "build", "--vars", _VARS)
    assert re.search(r"PASS=[1-9]\d* WARN=0 ERROR=0 SKIP=0", output)
    assert re.search(r"[1-9]\d+ unit tests", output)
    by_dbt = targets(services, ALPHANUMERIC_CNPJ)
    assert [target.customer_id for target in by_dbt] == ["a"]

    services.build(services.laundromat(ALPHANUMERIC_CNPJ), as_of=AS_OF)
    assert targets(services, ALPHANUMERIC_CNPJ) == by_dbt
    services.sync(services.laundromat(ALPHANUMERIC_CNPJ), as_of=AS_OF, options=SyncOptions())


_EXPRESSION = re.compile(r"{{(.*?)}}", re.DOTALL)
_TEXT = re.compile(r"'[^']*'")
_CALL = re.compile(r"(\w+)\(")


def macros_of(sql: str) -> set[str]:
    """Return the names of the macros that a model calls."""
    expressions = [_TEXT.sub("", expression) for expression in _EXPRESSION.findall(sql)]
    called = {name for expression in expressions for name in _CALL.findall(expression)}
    return called - {"ref", "var", "setting"}


def test_whoever_reads_a_campaign_knows_who_is_in_it(project: Project) -> None:
    campaigns = {path.stem: path for path in (project.root / "models" / "campaigns").glob("*.sql")}
    assert set(campaigns) == set(project.variables()["campaigns"])
    for path in campaigns.values():
        sql = path.read_text(encoding="utf-8")
        assert "{%" not in sql, path
        assert "first_name" in macros_of(sql), path
        assert len(macros_of(sql)) <= 4, path


def test_the_hourly_selector_is_the_tables_and_the_gate(services: Services) -> None:
    spec = BuildSpec({"cnpj": ALPHANUMERIC_CNPJ}, AS_OF)
    nodes = [result.node for result in services.dbt.run(spec, ["compile", "--selector", "hourly"])]
    assert sorted(node.name for node in nodes if node.resource_type != "operation") == [
        "assert_nobody_is_messaged_twice",
        "campaign_decisions",
        "campaign_targets",
        "customer_facts",
        "target_publication",
    ]


# One value for each setting: every rule and limit, and values that are just valid.
_VALUES: dict[str, Any] = {
    "send_from_hour": 18,
    "send_until_hour": 19.0,
    "send_weekdays": ["MON", "mon"],
    "blackout_dates": ["2026-12-24", "24/12"],
    "sends_on_national_holidays": "no",
    "stale_sales_hours": -1,
    "max_customers_per_phone": 0,
    "max_customers_per_cpf": 100_000,
    "max_birth_date_percent": 5.5,
    "min_placeholder_birth_dates": "20",
    "name_placeholders": ["Cliente"],
    "voucher_placeholders": "SEM CUPOM",
    "max_attempts": True,
    "frequency_cap_days": "1",
    "conversion_days": 0,
    "figures_lookback_days": 365,
    "texts_kept_days": 0,
    "phones_kept_days": 399,
    "targets_kept_days": 44,
    "sends_kept_days": "90",
    "rejects_kept_days": 3651,
    "previews_kept_days": 8,
    "logs_kept_days": 1,
    "birthday_send_from_hour": 24,
    "birthday_rollout_percent": -1,
    "birthday_holdout_percent": 101,
    "birthday_voucher_prefix": "a'b",
    "birthday_voucher_valid_days": 0,
    "birthday_feb29": "FEB_29",
    "welcome_send_from_hour": None,
    "welcome_rollout_percent": None,
    "welcome_holdout_percent": 100,
    "welcome_voucher_prefix": "VOLTA10",
    "welcome_voucher_valid_days": 365,
    "welcome_delay_days": -1,
    "welcome_catch_up_days": 366,
    "reactivation_send_from_hour": "9",
    "reactivation_rollout_percent": [50],
    "reactivation_holdout_percent": {},
    "reactivation_voucher_prefix": "ABCDEFGHIJKLM",
    "reactivation_voucher_valid_days": 1,
    "reactivation_start_day": 32,
    "reactivation_inactive_days": 90,
    "reactivation_max_inactive_days": 90,
    "reactivation_voucher_cooldown_days": 0,
    "reactivation_stage_days": [60, 30],
    "reactivation_max_unanswered": 0,
    "loyalty_send_from_hour": 0,
    "loyalty_rollout_percent": 0,
    "loyalty_holdout_percent": False,
    "loyalty_voucher_prefix": 10,
    "loyalty_voucher_valid_days": None,
    "loyalty_min_visits": "many",
    "loyalty_months": 25,
    "loyalty_tiers": {"BRONZE": 10, "GOLD": 10},
}


# What a plain `dbt build` must refuse.
_WRONG = {
    "cnpj": ALPHANUMERIC_CNPJ,
    **_VALUES,
    "loyalty_min_visit": 8,
    "enabled_campaigns": ["BIRTHDAY", "XMAS"],
    "deferrable_campaigns": "LOYALTY",
    "personal_campaigns": [],
}


@pytest.fixture(scope="module")
def refused(
    project: Project, stack: LocalStack, tmp_path_factory: pytest.TempPathFactory
) -> subprocess.CompletedProcess[str]:
    """Run a plain `dbt build` with every wrong var."""
    target = str(tmp_path_factory.mktemp("refused"))
    return subprocess.run(
        [
            *(SCRIPTS / "dbt", "build", "--vars", json.dumps(_WRONG)),
            *("--target-path", target, "--log-path", target),
        ],
        cwd=project.root,
        env={**os.environ, **stack.environment().variables(), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_build_with_a_bad_setting_is_refused_before_anything_runs(
    refused: subprocess.CompletedProcess[str],
) -> None:
    assert refused.returncode != 0
    assert "created sql table" not in refused.stdout
    # While it parses: the hook runs only after datasets were made.
    assert "Concurrency" not in refused.stdout
    assert "loyalty_min_visits=a text takes a whole number from 1 to 1000" in refused.stdout


def test_dbt_alone_refuses_what_vmhub_refuses_and_says_all_of_it(
    project: Project, refused: subprocess.CompletedProcess[str]
) -> None:
    variables = project.variables()
    defaults, rules = variables["settings"], variables["setting_rules"]
    assert set(_VALUES) == set(defaults)
    problems = {name: setting_problem(name, _VALUES, defaults, rules) for name in defaults}
    assert 20 < sum(map(bool, problems.values())) < len(problems) - 5

    lines = refused.stdout.splitlines()
    [said] = [line.strip() for line in lines if "there is no setting" in line]
    types = "a list of BIRTHDAY, WELCOME, REACTIVATION, LOYALTY"
    assert said.split("; ") == [
        f"there is no setting 'loyalty_min_visit', only {', '.join(sorted(defaults))}",
        f"enabled_campaigns=a list takes {types}",
        f"deferrable_campaigns=a text takes {types}",
        *(f"{name}={shown(_VALUES[name])} takes {text}" for name, text in problems.items() if text),
    ]

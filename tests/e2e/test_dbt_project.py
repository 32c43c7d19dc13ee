"""The dbt project as analysts and `vmhub` use it: from its own command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from loader.sync import SyncOptions
from tests.support import ALPHANUMERIC_CNPJ, AS_OF, make_laundromat

if TYPE_CHECKING:
    from loader.session import Session

# Scripts of the same environment: its folder need not be on the PATH.
_SCRIPTS = Path(sys.executable).parent

_VARS = json.dumps({"cnpj": ALPHANUMERIC_CNPJ, "as_of": AS_OF.isoformat()})


def run(session: Session, script: str, *arguments: str) -> str:
    """Run a script in the project and return its output; fail with it when the script does."""
    finished = subprocess.run(
        [_SCRIPTS / script, *arguments],
        cwd=session.project.root,
        env={**os.environ, **session.environment.variables(), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def dbt(session: Session, *arguments: str) -> str:
    target = str(session.state_dir / "dbt")
    return run(session, "dbt", *arguments, "--target-path", target, "--log-path", target)


def test_dbt_parses_without_a_warning(session: Session) -> None:
    dbt(session, "--warn-error", "parse")


def test_all_sql_is_linted(session: Session) -> None:
    run(session, "sqlfluff", "lint", "--nocolor", "models", "tests/dbt")


# In parts, for the two workers: each unit test takes the emulator a second or two.
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "part",
    ["models/targets", "models/campaigns", "models/customers models/staging"],
)
def test_the_unit_tests_beside_the_models_pass(session: Session, part: str) -> None:
    make_laundromat(session, ALPHANUMERIC_CNPJ)
    # A unit test looks up the columns of its inputs.
    dbt(session, "build", "--exclude-resource-type", "unit_test", "--vars", _VARS)
    selected = [f"test_type:unit,path:{folder}" for folder in part.split()]
    output = dbt(session, "test", "--select", *selected, "--vars", _VARS)
    assert re.search(r"PASS=[1-9]\d* WARN=0 ERROR=0 SKIP=0", output)


def test_a_plain_dbt_build_gives_the_same_tables(session: Session) -> None:
    make_laundromat(
        session,
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
    dbt(session, "build", "--exclude-resource-type", "unit_test", "--vars", _VARS)
    by_dbt = list(session.warehouse.targets(ALPHANUMERIC_CNPJ))
    assert [target.customer_id for target in by_dbt] == ["a"]

    session.build(ALPHANUMERIC_CNPJ, as_of=AS_OF)
    assert list(session.warehouse.targets(ALPHANUMERIC_CNPJ)) == by_dbt
    session.sync(ALPHANUMERIC_CNPJ, as_of=AS_OF, options=SyncOptions())


def test_the_hourly_selector_is_the_tables_and_the_gate(session: Session) -> None:
    listed = dbt(session, "ls", "--quiet", "--selector", "hourly", "--output", "name")
    assert sorted(listed.split()) == [
        "assert_nobody_is_messaged_twice",
        "campaign_decisions",
        "campaign_targets",
        "customer_facts",
        "target_publication",
    ]


def test_a_build_without_a_cnpj_is_refused_before_anything_runs(session: Session) -> None:
    finished = subprocess.run(
        [_SCRIPTS / "dbt", "build", "--target-path", str(session.state_dir / "dbt")],
        cwd=session.project.root,
        env={**os.environ, **session.environment.variables(), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode != 0
    assert "'00000000000000' is not a CNPJ: pass --vars" in finished.stdout

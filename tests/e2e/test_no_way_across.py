"""Whatever stands in SQL, macros, hooks or vars: another laundromat's data stays theirs."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlglot.dialects import BigQuery

from loader.base.errors import ConfigurationError
from loader.dbt.boundary import REFUSED
from loader.dbt.runner import ParsedProject
from loader.dbt.spec import BuildSpec
from loader.laundromat import resolve
from tests.support import (
    ALPHANUMERIC_CNPJ,
    AS_OF,
    NUMERIC_CNPJ,
    SCRIPTS,
    bigquery_client,
    copy_project,
    make_laundromat,
)

if TYPE_CHECKING:
    from pathlib import Path

    from loader.dbt.project import Project
    from loader.services import Services

# As an attacker writes it: no check of the written text finds the name.
FOREIGN = f"`{{{{ target.project }}}}`.`{{{{ '{NUMERIC_CNPJ}' ~ '_RAW' }}}}`.`clientes`"
DYNAMIC = "execute immediate concat('drop table `', '1', '_RAW.clientes`')"
FOREIGN_RELATION = (
    "api.Relation.create(database=target.project, "
    f"schema='{NUMERIC_CNPJ}' ~ '_RAW', identifier='clientes')"
)

# Models that reach across, by name: what they say, and what is said of them.
ACROSS = {
    "across_read": (f"select * from {FOREIGN}", f"{NUMERIC_CNPJ}_RAW"),
    "across_subquery": (
        f"select array(select nome from {FOREIGN}) as names",
        f"{NUMERIC_CNPJ}_RAW",
    ),
    "across_macro": (
        f'{{% set rows = run_query("select * from " ~ {FOREIGN_RELATION}) %}} select 1 as x',
        f"{NUMERIC_CNPJ}_RAW",
    ),
    "across_hook": (
        f'{{{{ config(pre_hook="drop table {FOREIGN}") }}}} select 1 as x',
        f"{NUMERIC_CNPJ}_RAW",
    ),
    "across_dynamic": (
        f'{{{{ config(pre_hook="{DYNAMIC}") }}}} select 1 as x',
        "EXECUTE",
    ),
    "across_schema": (
        "select * from `region-us`.INFORMATION_SCHEMA.TABLES",
        "INFORMATION_SCHEMA",
    ),
}
# dbt's own adapter, past all macros: the boundary of `vmhub` alone sees these.
PAST_MACROS = {
    "across_adapter": (
        (
            "{% if execute %}{% do adapter.execute('drop table ' ~ "
            f"{FOREIGN_RELATION}) %}}{{% endif %}} select 1 as x"
        ),
        f"{NUMERIC_CNPJ}_RAW",
    ),
    "across_columns": (
        (
            f"{{% if execute %}}{{% do adapter.get_columns_in_relation({FOREIGN_RELATION}) %}}"
            "{% endif %} select 1 as x"
        ),
        f"{NUMERIC_CNPJ}_RAW",
    ),
    "across_ops": ("select * from {{ source('ops', 'runs') }}", "without asking for its own cnpj"),
    "across_ops_by_name": ("select * from VMHUB_OPS.runs", "VMHUB_OPS.runs"),
    "across_raw": (
        "{{ config(post_hook=\"truncate table {{ source('raw', 'clientes') }}\") }} select 1 as x",
        "which is not in",
    ),
}


@pytest.fixture(scope="module")
def planted(project: Project, tmp_path_factory: pytest.TempPathFactory) -> ParsedProject:
    folder = tmp_path_factory.mktemp("planted")
    copy = copy_project(project, folder / "project")
    for name, (sql, _) in {**ACROSS, **PAST_MACROS}.items():
        (copy.root / "models" / "operations" / f"{name}.sql").write_text(sql, encoding="utf-8")
    return ParsedProject(copy, folder / "parse")


@pytest.fixture
def neighbours(services: Services, planted: ParsedProject) -> Services:
    make_laundromat(services, NUMERIC_CNPJ, clientes=[{"id": "theirs", "nome": "Ana Exemplo"}])
    make_laundromat(services, ALPHANUMERIC_CNPJ)
    return replace(services, project=planted.project, parsed=planted)


def datasets(services: Services) -> set[str]:
    client = bigquery_client(services.environment)
    return {dataset.dataset_id for dataset in client.list_datasets()}


def is_theirs_untouched(services: Services) -> bool:
    rows = services.warehouse.query(
        f"select id from `{NUMERIC_CNPJ}_RAW`.`clientes`", doing="looking at the neighbour"
    )
    return rows == [{"id": "theirs"}]


def plain_dbt(services: Services, command: list[str], variables: dict[str, Any]) -> str:
    target = str(services.state_dir / "dbt")
    finished = subprocess.run(
        [
            *(str(SCRIPTS / "dbt"), *command, "--vars", json.dumps(variables)),
            *("--target-path", target, "--log-path", target),
        ],
        cwd=services.project.root,
        env={**os.environ, **services.environment.variables(), "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode != 0
    return finished.stdout


@pytest.mark.timeout(600)
def test_no_statement_of_a_build_by_vmhub_reaches_another_laundromat(neighbours: Services) -> None:
    spec = BuildSpec(neighbours.laundromat(ALPHANUMERIC_CNPJ).settings, AS_OF)
    results = neighbours.dbt.run(spec, ["run", "--select", "across_*"])
    said = {
        result.node.name: (str(result.status), str(result.message))
        for result in results
        if result.node.resource_type == "model"
    }
    for name, (_, reason) in {**ACROSS, **PAST_MACROS}.items():
        status, message = said[name]
        assert status == "error", name
        assert REFUSED in message, name
        assert reason in message, name
    assert is_theirs_untouched(neighbours)


@pytest.mark.timeout(600)
def test_no_statement_of_a_plain_dbt_build_names_another_laundromat(neighbours: Services) -> None:
    output = plain_dbt(
        neighbours,
        ["run", "--select", *ACROSS],
        {"cnpj": ALPHANUMERIC_CNPJ, "as_of": AS_OF.isoformat()},
    )
    assert f"PASS=0 WARN=0 ERROR={len(ACROSS)} SKIP=0" in output.replace("NO-OP", "")
    assert output.count(REFUSED) >= len(ACROSS)
    assert is_theirs_untouched(neighbours)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"cnpj": 191}, "cnpj=191 is not a CNPJ"),
        ({}, "cnpj=the placeholder 00000000000000 is not a CNPJ"),
        (
            {"cnpj": f"x`; drop table `{NUMERIC_CNPJ}_RAW`.`clientes`; --"},
            "cnpj=a text is not a CNPJ",
        ),
        (
            {
                "cnpj": ALPHANUMERIC_CNPJ,
                "welcome_voucher_prefix": "{{ run_query('drop table "
                f"`{NUMERIC_CNPJ}_RAW`.`clientes`') }}}}",
            },
            "leave { and } out of welcome_voucher_prefix",
        ),
        ({"cnpj": ALPHANUMERIC_CNPJ, "with_non_candidates": "false"}, "takes true or false"),
        ({"cnpj": ALPHANUMERIC_CNPJ, "with_non_candidates": True}, "qualify for nothing"),
        ({"cnpj": ALPHANUMERIC_CNPJ, "timezone": "America/Sao Paulo"}, "timezone=a text is not an"),
        ({"cnpj": ALPHANUMERIC_CNPJ, "as_of": "0001-01-01T00:00:00Z"}, "of the years 1900 to 2100"),
        ({"cnpj": ALPHANUMERIC_CNPJ, "as_of": "2026-02-30T10:00:00Z"}, "a day that its month"),
        ({"cnpj": ALPHANUMERIC_CNPJ, "preview": "x"}, "preview=a text takes"),
        ({"cnpj": ALPHANUMERIC_CNPJ, "settings": {}}, "settings is not passed"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_what_a_plain_dbt_build_refuses_leaves_no_trace(
    neighbours: Services, variables: dict[str, Any], said: str
) -> None:
    before = datasets(neighbours)
    assert said in " ".join(plain_dbt(neighbours, ["build"], variables).split())
    assert datasets(neighbours) == before
    assert is_theirs_untouched(neighbours)


@pytest.mark.parametrize("name", ["welcome_voucher_prefix", "timezone", "enabled_campaigns"])
def test_vmhub_hands_no_jinja_to_dbt(services: Services, name: str) -> None:
    laundromat = resolve(services.project, services_entry(services), {})
    value = "{{ env_var('HOME') }}"
    settings = {**laundromat.settings, name: [value] if name == "enabled_campaigns" else value}
    with pytest.raises(ConfigurationError, match=f"{name} has a brace"):
        services.dbt.run(BuildSpec(settings, AS_OF), ["compile"])


def services_entry(services: Services) -> Any:
    make_laundromat(services, ALPHANUMERIC_CNPJ)
    return services.registry.entry(ALPHANUMERIC_CNPJ)


HOSTILE = "a'b\"c\\d\n$;--/*`#\u2028ã😀"


def shape(sql: str) -> list[str]:
    """Return the kinds of a statement's tokens; texts in it do not count."""
    return [str(token.token_type) for token in BigQuery().tokenize(sql)]


@pytest.mark.timeout(600)
def test_a_text_of_a_setting_never_changes_the_shape_of_a_statement(
    services: Services, project: Project, tmp_path: Path
) -> None:
    # As if all rules were lifted, but for the one that keeps Jinja out.
    copy = copy_project(project, tmp_path / "project")
    path = copy.root / "dbt_project.yml"
    text = path.read_text(encoding="utf-8")
    lifted = re.sub(r'(pattern|key_pattern): "[^"\n]*\}"', r'\1: "(?s)[^{}]*"', text)
    assert lifted.count("(?s)") == 2
    path.write_text(lifted, encoding="utf-8")
    dbt = replace(services, project=copy, parsed=ParsedProject(copy, tmp_path / "parse")).dbt
    make_laundromat(services, ALPHANUMERIC_CNPJ)
    settings = resolve(copy, services.registry.entry(ALPHANUMERIC_CNPJ)).settings
    compiled = []
    for value in ("A", HOSTILE):
        own: dict[str, Any] = {f"{name}_voucher_prefix": value for name in settings["campaigns"]}
        own["loyalty_tiers"] = {value: 10}
        results = dbt.run(BuildSpec({**settings, **own}, AS_OF), ["compile", "--no-introspect"])
        compiled.append(
            {result.node.name: getattr(result.node, "compiled_code", "") for result in results}
        )
    harmless, hostile = compiled
    changed = {name for name, sql in hostile.items() if sql != harmless[name]}
    assert {"campaign_decisions", "voucher_redemptions"} <= changed
    for name in changed:
        assert shape(hostile[name]) == shape(harmless[name]), name

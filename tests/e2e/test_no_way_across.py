"""Whatever stands in SQL, macros, hooks or vars: another laundromat's data stays theirs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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
    bigquery_client,
    copy_project,
    make_laundromat,
)

if TYPE_CHECKING:
    from pathlib import Path

    from loader.dbt.project import Project
    from loader.services import Services
    from tests.plain_dbt import PlainDbt

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


def refusal(
    plain_dbt: PlainDbt, services: Services, command: list[str], variables: dict[str, Any]
) -> str:
    ended = plain_dbt.run(services, *command, "--vars", json.dumps(variables))
    assert ended.code != 0
    return ended.output


@pytest.mark.timeout(600)
def test_a_plain_dbt_build_as_of_tomorrow_is_refused_where_messages_are_real(
    neighbours: Services, plain_dbt: PlainDbt
) -> None:
    # Said while dbt parses: nobody asks for credentials, and there are none here.
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    variables = {"cnpj": ALPHANUMERIC_CNPJ, "as_of": tomorrow}
    output = refusal(plain_dbt, neighbours, ["build", "--target", "prod"], variables)
    assert "as_of has not come yet" in " ".join(output.split())


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
def test_no_statement_of_a_plain_dbt_build_names_another_laundromat(
    neighbours: Services, plain_dbt: PlainDbt
) -> None:
    output = refusal(
        plain_dbt,
        neighbours,
        ["run", "--select", *ACROSS],
        {"cnpj": ALPHANUMERIC_CNPJ, "as_of": AS_OF.isoformat()},
    )
    # What passes is the hook that checks the vars.
    assert f"PASS=1 WARN=0 ERROR={len(ACROSS)} SKIP=0" in output
    assert output.count(REFUSED) >= len(ACROSS)
    assert is_theirs_untouched(neighbours)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"cnpj": 191}, ["cnpj=191 is not a CNPJ"]),
        ({}, ["cnpj=the placeholder 00000000000000 is not a CNPJ"]),
        (
            {"cnpj": f"x`; drop table `{NUMERIC_CNPJ}_RAW`.`clientes`; --"},
            ["cnpj=a text is not a CNPJ"],
        ),
        (
            {
                "cnpj": ALPHANUMERIC_CNPJ,
                "welcome_voucher_prefix": "{{ run_query('drop table "
                f"`{NUMERIC_CNPJ}_RAW`.`clientes`') }}}}",
                "loyalty_tiers": {"{% x %}": 1},
                "settings": {},
            },
            [
                "leave { and } out of welcome_voucher_prefix",
                "leave { and } out of loyalty_tiers",
                "settings is not passed",
            ],
        ),
        (
            {
                "cnpj": ALPHANUMERIC_CNPJ,
                "with_non_candidates": "false",
                "timezone": "America/Sao Paulo",
                "as_of": "0001-01-01T00:00:00Z",
                "preview": "x",
                "send_weekdays": ["MON"] * 51,
            },
            [
                "with_non_candidates=a text takes true or false",
                "timezone=a text is not an IANA time zone",
                "as_of=a text: write an instant with its offset, of the years 1900 to 2100",
                "preview=a text takes preview, baseline or nothing",
                "send_weekdays=a list takes at most 50 entries",
            ],
        ),
        (
            {
                "cnpj": ALPHANUMERIC_CNPJ,
                "with_non_candidates": True,
                "as_of": "2026-02-30T10:00:00Z",
            },
            ["a build with it would publish people", "as_of names a day that its month"],
        ),
    ],
    ids=["a number", "none", "SQL", "Jinja", "other types", "with non-candidates"],
)
def test_what_a_plain_dbt_build_refuses_leaves_no_trace(
    neighbours: Services, plain_dbt: PlainDbt, variables: dict[str, Any], said: list[str]
) -> None:
    before = datasets(neighbours)
    output = " ".join(refusal(plain_dbt, neighbours, ["build"], variables).split())
    for sentence in said:
        assert sentence in output
    assert datasets(neighbours) == before
    assert is_theirs_untouched(neighbours)


@pytest.mark.parametrize("name", ["welcome_voucher_prefix", "timezone", "enabled_campaigns"])
def test_vmhub_hands_no_jinja_to_dbt(services: Services, name: str) -> None:
    make_laundromat(services, ALPHANUMERIC_CNPJ)
    laundromat = services.laundromat(ALPHANUMERIC_CNPJ)
    value = "{{ env_var('HOME') }}"
    settings = {**laundromat.settings, name: [value] if name == "enabled_campaigns" else value}
    with pytest.raises(ConfigurationError, match=f"{name} has a brace"):
        services.dbt.run(BuildSpec(settings, AS_OF), ["compile"])


HOSTILE = "a'b\"c\\d\n$;--/*`#ã😀"


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
    assert lifted.count("(?s)") == 4
    path.write_text(lifted, encoding="utf-8")
    dbt = replace(services, project=copy, parsed=ParsedProject(copy, tmp_path / "parse")).dbt
    make_laundromat(services, ALPHANUMERIC_CNPJ)
    settings = resolve(copy, services.registry.entry(ALPHANUMERIC_CNPJ)).settings
    compiled = []
    for value in ("A", HOSTILE):
        own: dict[str, Any] = {f"{name}_voucher_prefix": value for name in settings["campaigns"]}
        own["loyalty_tiers"] = {value: 10}
        own["name_placeholders"] = own["voucher_placeholders"] = [value, "A"]
        results = dbt.run(BuildSpec({**settings, **own}, AS_OF), ["compile", "--no-introspect"])
        compiled.append(
            {result.node.name: getattr(result.node, "compiled_code", "") for result in results}
        )
    harmless, hostile = compiled
    changed = {name for name, sql in hostile.items() if sql != harmless[name]}
    assert {"campaign_decisions", "voucher_redemptions"} <= changed
    for name in changed:
        assert shape(hostile[name]) == shape(harmless[name]), name

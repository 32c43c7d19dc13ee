"""The patched dbt functions give the same results as dbt's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from dbt import compilation
from dbt.adapters.base import impl
from dbt.artifacts.resources.v1.components import InjectedCTE
from dbt_common import behavior_flags
from dbt_common.clients import jinja

from loader.dbt.patches import apply_patches
from loader.dbt.settings import effective_settings
from loader.dbt.spec import BuildSpec
from tests.support import ALPHANUMERIC_CNPJ, AS_OF, make_laundromat

if TYPE_CHECKING:
    from loader.services import Services

CTES = [
    InjectedCTE(id="a", sql=" __dbt__cte__a as (\nselect 1\n)"),
    InjectedCTE(id="b", sql=" __dbt__cte__b as (\nselect 2\n)"),
]


@pytest.fixture(autouse=True)
def patched() -> None:
    apply_patches()


@pytest.mark.parametrize(
    "sql",
    [
        "select 1",
        "\n  select 1\n",
        "SELECT 1",
        "with x as (select 1) select * from x",
        "\n\nWITH x as (select 1) select * from x",
        "with recursive x as (select 1) select * from x",
        "with\n\n-- one\nx as (select 1) select * from x",
        "-- with y\nwith x as (select 1) select * from x",
        "/* with y as */ select 1",
        "\n/* select */ -- one\n/* two */ with x as (select 1) select * from x",
        "/* one */ (select 1) /* two */ union all (with x as (select 2) select * from x)",
        "(with x as (select 1) select * from x)",
        "select * from (with x as (select 1) select * from x)",
        "select 'with x as'",
        "with x as (select ';') select * from x",
        "select 'a;b', \"c;d\" /* e; f */ -- g; h\n",
        "with x as (select r'\\';') select * from x -- i; j\n",
        "select 1; select 2",
        "select ';'; select 2",
        "withdrawals as (select 1)",
        "from t |> select a",
    ],
)
def test_ephemeral_models_are_injected_as_by_dbt(sql: str) -> None:
    ours: Any = compilation.inject_ctes_into_sql
    assert ours(sql, list(CTES)) == ours.__wrapped__(sql, list(CTES))
    assert ours(sql, []) == sql


def test_a_with_behind_the_query_is_no_place_for_models() -> None:
    # dbt's own function would insert them before `offset`.
    sql = "select x, n from unnest([1]) as x with offset as n"
    assert compilation.inject_ctes_into_sql(sql, CTES[:1]) == (
        f"with __dbt__cte__a as (\nselect 1\n) {sql}"
    )


def test_the_projects_own_models_are_injected_as_by_dbt(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_laundromat(services, ALPHANUMERIC_CNPJ)
    ours: Any = compilation.inject_ctes_into_sql
    differing, compared = [], 0

    def both(sql: str, ctes: Any) -> str:
        nonlocal compared
        injected: str = ours(sql, ctes)
        if injected != ours.__wrapped__(sql, ctes):
            differing.append(sql)
        compared += 1
        return injected

    monkeypatch.setattr(compilation, "inject_ctes_into_sql", both)
    settings = effective_settings(services.project, services.registry.entry(ALPHANUMERIC_CNPJ))
    services.dbt.run(BuildSpec(settings, AS_OF), ["compile", "--no-introspect"])
    assert compared > 5
    assert not differing


def test_the_flags_of_many_adapters_are_those_of_one() -> None:
    flags = impl.DEFAULT_BASE_BEHAVIOR_FLAGS
    of_one = list(flags)
    flags.extend(of_one)
    apply_patches()
    assert flags == of_one


def test_a_template_that_is_compiled_once_is_rendered_each_time() -> None:
    source = "{{ x }}{# of this test alone #}"

    def rendered(value: Any, *, native: bool) -> Any:
        template = jinja.get_template(source, {}, native=native)
        return jinja.render_template(template, {"x": value})

    assert rendered(1, native=False) == "1"
    assert rendered(2, native=False) == "2"
    # Values of dbt_project.yml do not change.
    assert rendered([3], native=True) == [3]
    assert rendered([4], native=False) == "[4]"


def test_a_template_that_does_not_compile_says_so_each_time() -> None:
    for _ in range(2):
        with pytest.raises(Exception, match="Expected an expression"):
            jinja.get_template("{% if %}", {})


def test_a_flag_comes_from_the_module_that_makes_it_as_by_dbt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flags: Any = behavior_flags.BehaviorFlagRendered

    def source() -> str:
        made: Any = behavior_flags.Behavior([{"name": "x", "default": True, "docs_url": "y"}], {})
        return str(made.x._behavior_change_event.flag_source)  # noqa: SLF001 - shown in a warning

    ours = source()
    dbts = flags._default_source.__wrapped__  # noqa: SLF001 - what the patch replaces
    monkeypatch.setattr(flags, "_default_source", staticmethod(dbts))
    assert ours == source() == __name__

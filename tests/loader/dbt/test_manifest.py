"""A parse that is shared never lets one laundromat read or write another's tables."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from loader.base.errors import RunError
from loader.dbt.manifest import check_no_literals, check_relations, manifest_for
from loader.dbt.runner import ParsedProject
from loader.dbt.spec import BuildSpec, Side
from tests.support import ALPHANUMERIC_CNPJ, AS_OF, NUMERIC_CNPJ

if TYPE_CHECKING:
    from loader.base.environment import Environment


@pytest.fixture
def manifest(parsed: ParsedProject, environment: Environment) -> Any:
    return parsed.manifest(environment)


def spec(side: Side = Side.LIVE) -> BuildSpec:
    return BuildSpec({"cnpj": ALPHANUMERIC_CNPJ}, AS_OF, side)


def relations(manifest: Any) -> set[str]:
    nodes = (*manifest.nodes.values(), *manifest.sources.values())
    return {node.relation_name for node in nodes if node.relation_name}


def test_every_relation_is_the_laundromats_own(manifest: Any) -> None:
    found = relations(manifest_for(manifest, spec(), "p"))
    assert "`p`.`12ABC34501DE35_CAMPAIGN`.`campaign_targets`" in found
    assert "`p`.`12ABC34501DE35_RAW`.`vendas`" in found
    others = {name for name in found if not name.startswith("`p`.`12ABC34501DE35_")}
    # Tables that all laundromats share have the CNPJ in each row.
    assert {name.split("`")[3] for name in others} == {"VMHUB_OPS"}


def test_a_baseline_has_datasets_and_names_of_its_own_and_reads_the_live_history(
    manifest: Any,
) -> None:
    found = relations(manifest_for(manifest, spec(Side.BASELINE), "p"))
    assert "`p`.`12ABC34501DE35_PREVIEW`.`campaign_targets__baseline`" in found
    assert "`p`.`12ABC34501DE35_CAMPAIGN`.`message_history`" in found
    assert "`p`.`12ABC34501DE35_CAMPAIGN`.`campaign_targets`" not in found


def test_a_saved_parse_serves_another_project_and_another_emulator(
    parsed: ParsedProject, manifest: Any, environment: Environment
) -> None:
    other = replace(environment, project="another", bigquery_url="http://127.0.0.1:1")
    loaded = ParsedProject(parsed.project, parsed.folder).manifest(other)
    assert relations(manifest_for(loaded, spec(), "p")) == relations(
        manifest_for(manifest, spec(), "p")
    )
    work = json.loads((parsed.folder / "perf_info.json").read_text(encoding="utf-8"))
    assert (work["path_count"] > 100, work["parsed_path_count"]) == (True, 0)


def test_what_dbt_compiles_into_a_copy_stays_out_of_the_next(manifest: Any) -> None:
    first = manifest_for(manifest, spec(), "p")
    for node in first.nodes.values():
        node.compiled = True
        node.compiled_code = "select 'somebody else'"
    second = manifest_for(manifest, spec(), "p")
    assert not any(getattr(node, "compiled_code", None) for node in second.nodes.values())
    assert not any(getattr(node, "compiled_code", None) for node in manifest.nodes.values())


@pytest.mark.parametrize("kind", ["nodes", "sources"])
@pytest.mark.parametrize("part", ["schema", "relation_name"])
def test_a_planted_relation_of_another_laundromat_is_refused(
    manifest: Any, kind: str, part: str
) -> None:
    planted = manifest_for(manifest, spec(), "p")
    node = next(node for node in getattr(planted, kind).values() if node.relation_name)
    setattr(node, part, getattr(node, part).replace(ALPHANUMERIC_CNPJ, NUMERIC_CNPJ))
    with pytest.raises(RunError, match="would touch others' tables") as caught:
        check_relations(planted, spec())
    assert node.unique_id in str(caught.value)


def test_a_model_with_a_dataset_of_its_own_is_refused(manifest: Any) -> None:
    parsed = copy.copy(manifest.__dict__)
    planted = object.__new__(type(manifest))
    planted.__dict__.update(parsed)
    planted.nodes = {id_: copy.deepcopy(node) for id_, node in manifest.nodes.items()}
    planted.nodes["model.vmhub_campaigns.customer_facts"].schema = f"{NUMERIC_CNPJ}_CAMPAIGN"
    with pytest.raises(RunError, match="customer_facts is in 11222333000181_CAMPAIGN"):
        manifest_for(planted, spec(), "p")


@pytest.mark.parametrize("kind", ["nodes", "macros"])
def test_a_dataset_that_is_written_out_in_sql_is_refused(manifest: Any, kind: str) -> None:
    check_no_literals(manifest)
    parsed = object.__new__(type(manifest))
    parsed.__dict__.update(manifest.__dict__)
    units = {id_: copy.copy(unit) for id_, unit in getattr(manifest, kind).items()}
    setattr(parsed, kind, units)
    unit = next(unit for id_, unit in units.items() if "vmhub_campaigns" in id_)
    sql = f"select * from `{ALPHANUMERIC_CNPJ}_RAW`.`clientes`"
    setattr(unit, "raw_code" if kind == "nodes" else "macro_sql", sql)
    with pytest.raises(RunError, match=f"names {ALPHANUMERIC_CNPJ}_RAW") as caught:
        check_no_literals(parsed)
    assert unit.original_file_path in str(caught.value)

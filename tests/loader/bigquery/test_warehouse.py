"""Datasets and tables on the BigQuery emulator, and reading campaign_targets."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from google.cloud import bigquery

from loader.base.errors import ConfigurationError, VmhubError
from loader.base.pseudonyms import pseudonym
from loader.bigquery.declaration import Column, SourceTable
from loader.bigquery.secret_keys import PERSON_KEY, VOUCHER_KEY, ensure_keys, person_key
from loader.bigquery.warehouse import Warehouse
from loader.bigquery.warehouse_probe import WarehouseProbe
from tests.loader.fakes import make_target
from tests.loader.published import publish
from tests.support import ALPHANUMERIC_CNPJ, AS_OF, NUMERIC_CNPJ

if TYPE_CHECKING:
    from collections.abc import Callable

    from loader.base.environment import Environment
    from loader.dbt.project import Project
    from loader.sync.model import Target

DATASET = f"{NUMERIC_CNPJ}_CAMPAIGN"


def _declare(**columns: str) -> SourceTable:
    return SourceTable(
        dataset_suffix="CAMPAIGN",
        name="sample",
        description="A table of the tests.",
        columns=tuple(Column(name, type_, f"The {name}.") for name, type_ in columns.items()),
        partition_by=None,
        cluster_by=(),
    )


@pytest.fixture
def warehouse(environment: Environment) -> Warehouse:
    warehouse = Warehouse(environment)
    warehouse.create_dataset(DATASET, description="Test rows.")
    return warehouse


def _targets(warehouse: Warehouse) -> list[Target]:
    return [target for part in warehouse.targets(NUMERIC_CNPJ) for target in part]


def _keys(warehouse: Warehouse) -> dict[str, Any]:
    [row] = warehouse.query(
        f"select `{DATASET}`.voucher_key() as {VOUCHER_KEY}, "
        f"`{DATASET}`.person_key() as {PERSON_KEY}",
        doing="reading the keys",
    )
    return row


def _rows(warehouse: Warehouse, table: str = "sample") -> list[dict[str, Any]]:
    return warehouse.query(f"select * from `{DATASET}`.`{table}`", doing="reading back")


# Datasets and tables


def test_a_laundromat_keeps_its_keys(warehouse: Warehouse) -> None:
    assert ensure_keys(warehouse, NUMERIC_CNPJ) == (VOUCHER_KEY, PERSON_KEY)
    keys = _keys(warehouse)
    assert len(set(keys.values())) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", key) for key in keys.values())
    assert ensure_keys(warehouse, NUMERIC_CNPJ) == ()
    assert _keys(warehouse) == keys
    assert person_key(warehouse, NUMERIC_CNPJ) == keys[PERSON_KEY]


def test_sql_and_python_make_the_same_pseudonym(warehouse: Warehouse) -> None:
    key = person_key(warehouse, NUMERIC_CNPJ)
    [row] = warehouse.query(
        f"""
        select concat('person-', left(to_hex(sha256(concat(
            `{DATASET}`.person_key(), '|', 'Lê-011'))), 32)) as it
        """,
        doing="making a pseudonym",
    )
    assert row["it"] == pseudonym(key, "Lê-011")


def test_a_dataset_is_created_once(environment: Environment) -> None:
    warehouse = Warehouse(environment)
    probe = WarehouseProbe(environment)
    assert probe.location(DATASET) is None
    assert warehouse.create_dataset(DATASET, description="First.")
    assert not warehouse.create_dataset(DATASET, description="Second.")
    assert probe.location(DATASET) == environment.location
    assert probe.location(f"{ALPHANUMERIC_CNPJ}_CAMPAIGN") is None


def _noted(monkeypatch: pytest.MonkeyPatch, of: Callable[[bigquery.Dataset], Any]) -> list[Any]:
    """Return the list to which each dataset that BigQuery is asked for adds a value."""
    asked: list[Any] = []

    def spy(method: str) -> None:
        call = getattr(bigquery.Client, method)

        def noted(client: bigquery.Client, dataset: bigquery.Dataset, *args: Any, **kw: Any) -> Any:
            asked.append(of(dataset))
            return call(client, dataset, *args, **kw)

        monkeypatch.setattr(bigquery.Client, method, noted)

    spy("create_dataset")
    spy("update_dataset")
    return asked


def test_a_dataset_shows_erased_rows_for_48_hours_also_one_that_was_made_before(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bqemulator 1.4.0 always says 168, so the test looks at what it was asked for."""
    asked = _noted(monkeypatch, lambda dataset: int(dataset.max_time_travel_hours))
    warehouse = Warehouse(environment)
    warehouse.create_dataset(DATASET, description="New.")
    warehouse.create_dataset(DATASET, description="Known.")
    assert asked == [48, 48, 48]


def test_a_dataset_gets_the_key_that_the_environment_names_also_one_that_was_made_before(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(dataset: bigquery.Dataset) -> str | None:
        encryption = dataset.default_encryption_configuration
        return str(encryption.kms_key_name) if encryption else None

    asked = _noted(monkeypatch, key)
    name = "projects/p/locations/southamerica-east1/keyRings/r/cryptoKeys/k"
    Warehouse(environment).create_dataset(DATASET, description="Without a key.")
    assert asked == [None]
    with_key = Warehouse(replace(environment, kms_key=name))
    with_key.create_dataset(DATASET, description="Known.")
    with_key.create_dataset(f"{ALPHANUMERIC_CNPJ}_CAMPAIGN", description="New.")
    assert set(asked[1:]) == {name}
    assert len(asked) >= 4


def test_a_table_is_created_once_and_its_rows_stay(warehouse: Warehouse) -> None:
    declared = _declare(id="STRING", count="INT64")
    assert warehouse.create_table(declared, NUMERIC_CNPJ)
    warehouse.append(declared, NUMERIC_CNPJ, [{"id": "a", "count": 1}])
    assert not warehouse.create_table(declared, NUMERIC_CNPJ)
    assert _rows(warehouse) == [{"id": "a", "count": 1}]


def _complete_a_table_with_a_row(warehouse: Warehouse) -> None:
    old = _declare(id="STRING", extra="FLOAT64")
    warehouse.create_table(old, NUMERIC_CNPJ)
    warehouse.append(old, NUMERIC_CNPJ, [{"id": "a", "extra": 1.5}])
    declared = _declare(id="STRING", count="INT64", seen_at="TIMESTAMP")
    assert warehouse.schema_problems(declared, NUMERIC_CNPJ) != []
    assert not warehouse.create_table(declared, NUMERIC_CNPJ)
    assert warehouse.schema_problems(declared, NUMERIC_CNPJ) == []


def test_a_table_gets_the_columns_it_lacks_and_keeps_its_rows_and_further_columns(
    warehouse: Warehouse,
) -> None:
    _complete_a_table_with_a_row(warehouse)
    assert warehouse.schema_problems(_declare(extra="FLOAT64"), NUMERIC_CNPJ) == []
    found = warehouse.query(f"select id, extra from `{DATASET}`.`sample`", doing="reading back")
    assert found == [{"id": "a", "extra": 1.5}]


def test_a_column_that_was_added_can_be_queried_and_is_null_in_old_rows(
    warehouse: Warehouse,
) -> None:
    _complete_a_table_with_a_row(warehouse)
    assert _rows(warehouse) == [{"id": "a", "extra": 1.5, "count": None, "seen_at": None}]


def test_every_declared_source_table_can_be_created_and_is_then_fit(
    warehouse: Warehouse, project: Project
) -> None:
    for dataset in {table.dataset(NUMERIC_CNPJ) for table in project.source_tables()}:
        warehouse.create_dataset(dataset, description="Test rows.")
    for table in project.source_tables():
        assert warehouse.create_table(table, NUMERIC_CNPJ)
        assert warehouse.schema_problems(table, NUMERIC_CNPJ) == []


def test_a_missing_table_is_named_whether_or_not_its_dataset_is_there(
    warehouse: Warehouse,
) -> None:
    declared = _declare(id="STRING")
    expected = f"table {DATASET}.sample is missing"
    assert warehouse.schema_problems(declared, NUMERIC_CNPJ) == [expected]
    elsewhere = f"table {ALPHANUMERIC_CNPJ}_CAMPAIGN.sample is missing"
    assert warehouse.schema_problems(declared, ALPHANUMERIC_CNPJ) == [elsewhere]


def test_missing_and_wrongly_typed_columns_are_all_named(warehouse: Warehouse) -> None:
    found = _declare(id="INT64", at="DATE", right="BOOL", further="STRING")
    warehouse.create_table(found, NUMERIC_CNPJ)
    declared = _declare(id="STRING", at="TIMESTAMP", right="BOOL", gone="FLOAT64")
    assert warehouse.schema_problems(declared, NUMERIC_CNPJ) == [
        f"column {DATASET}.sample.id is INT64 instead of STRING",
        f"column {DATASET}.sample.at is DATE instead of TIMESTAMP",
        f"column {DATASET}.sample.gone (FLOAT64) is missing",
    ]


def test_further_columns_and_letter_case_are_no_problem(warehouse: Warehouse) -> None:
    columns = {
        "ID": "STRING",
        "count": "INT64",
        "amount": "FLOAT64",
        "is_new": "BOOL",
        "at": "TIMESTAMP",
    }
    warehouse.create_table(_declare(**columns, further="STRING"), NUMERIC_CNPJ)
    declared = {name.swapcase(): type_ for name, type_ in columns.items()}
    assert warehouse.schema_problems(_declare(**declared), NUMERIC_CNPJ) == []


# Rows


def test_rows_are_appended_with_none_and_absent_cells_as_null(warehouse: Warehouse) -> None:
    declared = _declare(id="STRING", count="INT64", is_new="BOOL", at="TIMESTAMP")
    warehouse.create_table(declared, NUMERIC_CNPJ)
    first = [{"id": "a 🎂", "count": 2**53 + 1, "is_new": False, "at": "2026-11-23T13:00:00Z"}]
    assert warehouse.append(declared, NUMERIC_CNPJ, first) == 1
    assert warehouse.append(declared, NUMERIC_CNPJ, [dict.fromkeys(first[0]), {"id": "c"}]) == 2
    found = _rows(warehouse)
    assert len(found) == 3
    assert {"id": "a 🎂", "count": 2**53 + 1, "is_new": False, "at": AS_OF} in found
    assert {"id": None, "count": None, "is_new": None, "at": None} in found
    assert {"id": "c", "count": None, "is_new": None, "at": None} in found


def test_no_rows_are_no_load_job(warehouse: Warehouse) -> None:
    # The table does not exist, so a job would fail.
    assert warehouse.append(_declare(id="STRING"), NUMERIC_CNPJ, []) == 0


def test_a_query_that_fails_says_what_was_done_and_quotes_no_cell(warehouse: Warehouse) -> None:
    with pytest.raises(VmhubError, match="counting sheep") as failed:
        warehouse.query("select cast('Ana Exemplo' as int64) as n", doing="counting sheep")
    assert "Ana" not in str(failed.value)


# What was published


def test_nothing_published_has_no_instant(warehouse: Warehouse) -> None:
    assert warehouse.published_at(NUMERIC_CNPJ) is None
    assert warehouse.published_at(ALPHANUMERIC_CNPJ) is None


def test_the_instant_of_the_last_publication_is_read_in_utc(warehouse: Warehouse) -> None:
    instant = AS_OF + timedelta(microseconds=123456)
    publish(warehouse, NUMERIC_CNPJ, [], built_at=instant)
    found = warehouse.published_at(NUMERIC_CNPJ)
    assert found == instant
    assert found.tzinfo is UTC


def test_rows_are_read_as_targets(warehouse: Warehouse) -> None:
    data = {
        "message": "Olá 🎂",
        "template": {"parameters": ["Ana"]},
        "age": 36,
        "quote": 'it\'s \\ "so"',
    }
    targets = [
        make_target("a", data=data, expires_at=datetime(2026, 11, 23, 23, 0, 0, 5, tzinfo=UTC)),
        make_target("b", campaign_type="WELCOME", cycle_start=datetime(1, 1, 1, tzinfo=UTC)),
    ]
    publish(warehouse, NUMERIC_CNPJ, targets)
    found = sorted(_targets(warehouse), key=lambda target: target.customer_id)
    assert [target._replace(data="") for target in found] == [
        target._replace(data="") for target in targets
    ]
    assert [json.loads(target.data) for target in found] == [
        json.loads(target.data) for target in targets
    ]


def test_further_columns_of_campaign_targets_are_not_read(warehouse: Warehouse) -> None:
    publish(warehouse, NUMERIC_CNPJ, [make_target()], further="42 as analysts_own")
    assert [target.customer_id for target in _targets(warehouse)] == ["c1"]


def test_no_targets_are_an_empty_result(warehouse: Warehouse) -> None:
    publish(warehouse, NUMERIC_CNPJ, [])
    assert _targets(warehouse) == []


def test_more_rows_than_an_arrow_batch_are_all_read(warehouse: Warehouse) -> None:
    publish(warehouse, NUMERIC_CNPJ, [make_target()])
    table = f"`{DATASET}`.`campaign_targets`"
    warehouse.query(
        f"create or replace table {table} as select t.* replace (cast(n as string) as customer_id) "
        f"from {table} as t cross join unnest(generate_array(1, 5000)) as n",
        doing="multiplying rows",
    )
    rows = warehouse.targets(NUMERIC_CNPJ)
    found = [target.customer_id for part in rows for target in part]
    assert sorted(found, key=int) == [str(number) for number in range(1, 5001)]
    assert [target.customer_id for part in rows for target in part] == found


def test_rows_that_are_read_again_are_those_of_the_first_time(warehouse: Warehouse) -> None:
    publish(warehouse, NUMERIC_CNPJ, [make_target("first")])
    rows = warehouse.targets(NUMERIC_CNPJ)
    publish(warehouse, NUMERIC_CNPJ, [make_target("later")])
    assert [[target.customer_id for target in part] for part in rows] == [["first"]]
    assert [target.customer_id for target in _targets(warehouse)] == ["later"]


def test_a_cell_that_is_null_is_read_as_none(warehouse: Warehouse) -> None:
    publish(warehouse, NUMERIC_CNPJ, [make_target()])
    table = f"`{DATASET}`.`campaign_targets`"
    warehouse.query(
        f"create or replace table {table} as select * replace "
        f"(cast(null as timestamp) as expires_at, cast(null as string) as name) from {table}",
        doing="emptying cells",
    )
    (target,) = _targets(warehouse)
    assert target.customer_id == "c1"
    assert {target.expires_at, target.name} == {None}


def test_missing_campaign_targets_are_refused_with_the_commands_that_make_them(
    warehouse: Warehouse,
) -> None:
    with pytest.raises(ConfigurationError, match=f"{DATASET}.campaign_targets") as refused:
        warehouse.targets(NUMERIC_CNPJ)
    assert "vmhub build" in refused.value.hint


def test_campaign_targets_without_an_agreed_column_are_refused(warehouse: Warehouse) -> None:
    publish(warehouse, NUMERIC_CNPJ, [make_target()])
    table = f"`{DATASET}`.`campaign_targets`"
    warehouse.query(
        f"create or replace table {table} as select * except (expires_at) from {table}",
        doing="dropping a column",
    )
    with pytest.raises(
        ConfigurationError, match=f"{DATASET}.campaign_targets .*: expires_at is missing"
    ):
        warehouse.targets(NUMERIC_CNPJ)


def test_campaign_targets_with_a_column_of_another_type_are_refused(warehouse: Warehouse) -> None:
    publish(warehouse, NUMERIC_CNPJ, [make_target()])
    table = f"`{DATASET}`.`campaign_targets`"
    warehouse.query(
        f"create or replace table {table} as "
        f"select * replace ('2026-11-23' as built_at, 1 as customer_id) from {table}",
        doing="changing columns",
    )
    with pytest.raises(
        ConfigurationError, match=r"customer_id is int\d+, built_at is string"
    ) as refused:
        warehouse.targets(NUMERIC_CNPJ)
    assert "vmhub build" in refused.value.hint


def test_the_decisions_that_an_opt_out_blocks_are_read(warehouse: Warehouse) -> None:
    warehouse.query(
        f"create or replace table `{NUMERIC_CNPJ}_CAMPAIGN`.`campaign_decisions` as "
        "select 'BIRTHDAY' as campaign_type, 'a' as customer_id, 'OPTED_OUT' as first_blocker "
        "union all select 'BIRTHDAY', 'b', 'ALREADY_MESSAGED' "
        "union all select 'LOYALTY', 'c', cast(null as string) "
        "union all select 'LOYALTY', 'd', 'OPTED_OUT'",
        doing="writing decisions",
    )
    assert warehouse.opted_out(NUMERIC_CNPJ) == {("BIRTHDAY", "a"), ("LOYALTY", "d")}

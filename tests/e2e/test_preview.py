"""`preview` shows what the live run would do, and changes nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from loader.base.errors import ConfigurationError
from loader.bigquery.warehouse_probe import WarehouseProbe
from loader.cli.preview import preview_laundromat, show_preview
from loader.local.sample import SAMPLE_AS_OF, sample_laundromats
from loader.questions.preview import TargetChange
from tests.support import documents

if TYPE_CHECKING:
    from loader.base.cnpj import Cnpj
    from loader.services import Services


@pytest.fixture
def services(sample_session: Services) -> Services:
    return sample_session


@pytest.fixture
def cnpj(services: Services) -> Cnpj:
    return sample_laundromats(services.project)[0].cnpj


def content(services: Services, table: str) -> list[str]:
    rows = services.warehouse.query(f"select * from `{table}`", doing=f"reading {table}")
    return sorted(repr(row) for row in rows)


def live_state(services: Services, cnpj: Cnpj) -> dict[str, Any]:
    """Every live table with its rows and the time of its last change, and every document."""
    client = services.warehouse._client  # noqa: SLF001 - the port lists no tables
    tables = {
        item.table_id: client.get_table(item.reference).modified
        for item in client.list_tables(f"{cnpj}_CAMPAIGN")
    }
    return {
        "modified": tables,
        "rows": {name: content(services, f"{cnpj}_CAMPAIGN.{name}") for name in tables},
        "documents": documents(services.environment, cnpj),
    }


def test_a_preview_of_today_equals_the_live_targets_and_changes_nothing(
    services: Services, cnpj: Cnpj
) -> None:
    before = live_state(services, cnpj)
    assert before["rows"]["campaign_targets"]
    assert before["documents"]

    report = preview_laundromat(services, cnpj, as_of=SAMPLE_AS_OF, changes={}, compare_to="live")

    for table in ("campaign_targets", "campaign_decisions", "customer_facts"):
        assert content(services, f"{cnpj}_PREVIEW.{table}") == before["rows"][table]
    assert report.comparison is not None
    assert report.comparison.is_live
    assert (report.comparison.comes, report.comparison.goes) == ((), ())
    assert report.comparison.funnels == report.funnels
    assert len(report.targets) == len(before["rows"]["campaign_targets"])
    assert live_state(services, cnpj) == before


def test_another_setting_shows_who_comes_and_who_goes_and_why(
    services: Services, cnpj: Cnpj, capsys: pytest.CaptureFixture[str]
) -> None:
    before = live_state(services, cnpj)

    report = preview_laundromat(
        services, cnpj, as_of=SAMPLE_AS_OF, changes={"loyalty_min_visits": 3}, compare_to=None
    )

    assert report.comparison is not None
    assert (report.comparison.as_of, report.comparison.is_live) == (SAMPLE_AS_OF, False)
    assert report.comparison.comes == (
        TargetChange(
            "LOYALTY",
            "ipe-008",
            "not a candidate: number of visits within 3 months is 4, needed: at least 10",
        ),
    )
    assert report.comparison.goes == (
        TargetChange("REACTIVATION", "ipe-008", "FREQUENCY_CAP: another message goes out today"),
    )
    assert live_state(services, cnpj) == before
    show_preview(report)
    shown = capsys.readouterr().out
    assert "LOYALTY ipe-008: not a candidate: number of visits within 3 months is 4" in shown
    people = services.warehouse.query(
        f"select name, phone, cpf from `{cnpj}_PREVIEW`.`customer_facts`", doing="reading people"
    )
    secrets = {secret for person in people for secret in person.values() if secret}
    assert len(secrets) > 20
    assert not [secret for secret in secrets if secret in shown]


def test_another_instant_is_compared_with_the_settings_as_they_are(
    services: Services, cnpj: Cnpj
) -> None:
    tomorrow = SAMPLE_AS_OF + timedelta(days=1)

    report = preview_laundromat(services, cnpj, as_of=tomorrow, changes={}, compare_to=SAMPLE_AS_OF)

    assert report.comparison is not None
    assert (report.comparison.as_of, report.comparison.is_live) == (SAMPLE_AS_OF, False)
    gone = {(change.campaign_type, change.customer_id): change for change in report.comparison.goes}
    assert gone["BIRTHDAY", "ipe-001"].reason == (
        "not a candidate: birthday is on 23 November, needed: on 24 November"
    )


def test_a_setting_that_does_not_take_its_value_is_refused_before_anything_is_built(
    services: Services,
) -> None:
    other = sample_laundromats(services.project)[1].cnpj
    with pytest.raises(ConfigurationError, match="--set has loyalty_min_visits=a text"):
        preview_laundromat(
            services,
            other,
            as_of=SAMPLE_AS_OF,
            changes={"loyalty_min_visits": "many"},
            compare_to=None,
        )
    with pytest.raises(ConfigurationError, match="--set has an unknown setting 'preview'"):
        preview_laundromat(
            services, other, as_of=SAMPLE_AS_OF, changes={"preview": ""}, compare_to=None
        )
    assert WarehouseProbe(services.environment).location(f"{other}_PREVIEW") is None

"""A text that cannot be sent fails a dbt test, and the last good targets stay."""

from __future__ import annotations

import csv
import re
import secrets
import shlex
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from loader.dbt.build import BuildError
from loader.services import Services
from tests.cases.rows import YESTERDAY, born_today, purchases, somebody
from tests.support import (
    ALPHANUMERIC_CNPJ,
    AS_OF,
    FIRST_BUILD,
    HOURLY_BUILD,
    copy_project,
    make_laundromat,
    targets,
)

if TYPE_CHECKING:
    from pathlib import Path

    from loader.dbt.project import Project
    from loader.dbt.runner import ParsedProject
    from loader.local.stack import LocalStack
    from tests.plain_dbt import PlainDbt

CNPJ = ALPHANUMERIC_CNPJ
LATER = AS_OF + timedelta(hours=1)
TEMPLATES = f"`{CNPJ}_CAMPAIGN`.`message_templates`"


@pytest.fixture(scope="module")
def services(
    project: Project,
    stack: LocalStack,
    parsed: ParsedProject,
    tmp_path_factory: pytest.TempPathFactory,
) -> Services:
    """A laundromat with a published target for each text that is broken below."""
    environment = replace(stack.environment(), project=f"test-{secrets.token_hex(6)}")
    services = Services(project, environment, tmp_path_factory.mktemp("state"), parsed)
    loyal = {"BRONZE": 10, "SILVER": 15, "GOLD": 20}
    away = {"STAGE_1": "2026-10-20T12:00:00Z", "STAGE_2": "2026-09-10T12:00:00Z"}
    customers = {name: somebody(name) for name in (*loyal, *away)}
    make_laundromat(
        services,
        CNPJ,
        clientes=[
            born_today("BIRTHDAY"),
            somebody("WELCOME", dataCadastro=YESTERDAY),
            *customers.values(),
        ],
        vendas=[
            # A sale of another customer, so that sales are not late.
            *purchases("90000009900", 1, last_at=YESTERDAY),
            *(row for tier, n in loyal.items() for row in purchases(customers[tier]["cpf"], n)),
            *(
                row
                for stage, last_at in away.items()
                for row in purchases(customers[stage]["cpf"], 1, last_at=last_at)
            ),
        ],
    )
    services.build(services.laundromat(CNPJ), as_of=AS_OF, arguments=FIRST_BUILD)
    assert published(services) == {"BIRTHDAY", "WELCOME", *customers}
    return services


def published(services: Services) -> set[str]:
    """Return the customers of campaign_targets, which must still be those of the first build."""
    rows = targets(services, CNPJ)
    assert {target.built_at for target in rows} == {AS_OF}
    return {target.customer_id for target in rows}


def test_the_gate_stops_every_kind_of_broken_text(
    services: Services, plain_dbt: PlainDbt, tmp_path: Path
) -> None:
    before = published(services)
    for change in (
        # A placeholder that the campaign does not offer, one that is empty since there is no
        # voucher, and one that never ends.
        "update {} set body = 'Oi, {{nickname}}!' where campaign_type = 'BIRTHDAY'",
        "update {} set body = 'Oi, {{voucher_code}}!' where variant = 'GOLD'",
        "update {} set body = 'Oi, {{first_name!' where variant = 'STAGE_1'",
        # A campaign, a tier and a stage without a text, and a text in two languages.
        "delete from {} where campaign_type = 'WELCOME' or variant in ('SILVER', 'STAGE_2')",
        "insert into {} values ('LOYALTY', 'BRONZE', 'en_US', 'loyal', 'Hi, {{first_name}}!')",
    ):
        services.warehouse.query(change.format(TEMPLATES), doing="breaking a text")

    with pytest.raises(BuildError, match="assert_nobody_is_messaged_twice") as failure:
        services.build(services.laundromat(CNPJ), as_of=LATER, arguments=HOURLY_BUILD)

    # What the person is told to do shows the rows.
    assert "tests/dbt/assert_nobody_is_messaged_twice.sql: Got 9 results" in failure.value.in_full
    [command] = re.findall(r"see the rows: dbt (.*)", failure.value.in_full)
    copy = replace(services, project=copy_project(services.project, tmp_path / "project"))
    shown = plain_dbt.run(copy, *shlex.split(command))
    assert shown.code == 0, shown.output
    assert "two targets of one campaign share a phone" in shown.output

    compiled = services.state_dir / "dbt" / CNPJ / "compiled" / "vmhub_campaigns" / "tests" / "dbt"
    gate = (compiled / "assert_nobody_is_messaged_twice.sql").read_text(encoding="utf-8")
    found = {
        (row["rule"], row["customer_id"])
        for row in services.warehouse.query(gate, doing="asking the gate")
    }
    silent = {"BIRTHDAY", "WELCOME", "SILVER", "GOLD", "STAGE_1", "STAGE_2"}
    assert found == {
        *(("a candidate has no message", name) for name in silent),
        ("a customer has two decisions in one campaign", "BRONZE"),
        ("two targets of one campaign share a phone", "BRONZE"),
        ("two targets of one campaign share a cpf", "BRONZE"),
    }
    assert published(services) == before


def test_texts_are_tested_before_a_candidate_needs_them(services: Services, tmp_path: Path) -> None:
    before = published(services)
    copy = copy_project(services.project, tmp_path / "project")
    file = copy.root / "seeds" / "message_templates.csv"
    with file.open(encoding="utf-8", newline="") as opened:
        texts = {row["variant"]: row for row in csv.DictReader(opened) if row["variant"] != "GOLD"}
    # WELCOME has the variant DEFAULT as BIRTHDAY has, and comes after it.
    welcome = texts.pop("DEFAULT")
    texts["STAGE_1"]["language"] = "portuguese"
    texts["STAGE_2"]["template_name"] = "Saudade 2"
    texts["STAGE_3"]["body"] = "Oi, first_name}!"
    texts["BRONZE"]["body"] = "{first_name}, obrigado!"
    broken = [*texts.values(), {**welcome, "campaign_type": "BIRTHDAY"}, texts["SILVER"]]
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, list(welcome))
        writer.writeheader()
        writer.writerows(broken)

    changed = replace(services, project=copy, state_dir=tmp_path / "state")
    with pytest.raises(BuildError) as failure:
        changed.build(changed.laundromat(CNPJ), as_of=LATER)

    message = str(failure.value)
    for test in (
        "matches_message_templates_language",
        "matches_message_templates_template_name",
        "matches_message_templates_body",
        "message_templates_body_begins_and_ends_with_words: seeds/_seeds.yml: Got 1 result",
        "unique_together_message_templates",
        # WELCOME and GOLD.
        "tests/dbt/assert_every_campaign_has_its_texts.sql: Got 2 results",
    ):
        assert test in message
    assert published(services) == before

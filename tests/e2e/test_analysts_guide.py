"""The guide's worked campaign: what stands there, added to a copy of the project, does it all."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import pytest

from loader.cli.explain import explain_customer
from loader.dbt.runner import ParsedProject
from loader.dbt.spec import BuildSpec
from loader.questions.explain import Blocker, Trigger
from loader.sync.model import Outcome
from loader.sync.run import SyncOptions
from tests.descriptions import missing_descriptions
from tests.googlesql import analyze_project
from tests.support import (
    ALPHANUMERIC_CNPJ,
    AS_OF,
    copy_project,
    decisions,
    documents,
    make_laundromat,
    official_client,
)

if TYPE_CHECKING:
    from pathlib import Path

    from loader.dbt.project import Project
    from loader.services import Services

CNPJ = ALPHANUMERIC_CNPJ

_BLOCK = re.compile(r"^```(\w+) (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def follow_the_guide(project: Project, folder: Path) -> Project:
    """Return a copy of the project with what the guide's code blocks say, file by file."""
    guide = (project.root / "docs" / "analysts-guide.md").read_text(encoding="utf-8")
    blocks = _BLOCK.findall(guide)
    assert {name for _, name, _ in blocks} == {
        "models/campaigns/anniversary.sql",
        "models/campaigns/_anniversary.yml",
        "seeds/message_templates.csv",
        "dbt_project.yml",
    }
    copy = copy_project(project, folder)
    for language, name, content in blocks:
        path = copy.root / name
        if language == "diff":
            path.write_text(changed(path.read_text(encoding="utf-8"), content), encoding="utf-8")
        else:
            assert not path.exists()
            path.write_text(content, encoding="utf-8")
    return copy


def changed(text: str, diff: str) -> str:
    """Apply a diff without line numbers; what has no line to find goes to the end."""
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        old = "".join(line[1:] or "\n" for line in lines if not line.startswith("+"))
        new = "".join(line[1:] or "\n" for line in lines if not line.startswith("-"))
        if old:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        else:
            text += new
    return text


def customer(customer_id: str, number: int, first_purchase_at: str) -> dict[str, str]:
    return {
        "id": customer_id,
        "nome": "Ana Exemplo",
        "telefone": f"119000000{number:02d}",
        "dataCadastro": "2023-01-10T12:00:00Z",
        "primeiraCompra": first_purchase_at,
    }


@pytest.fixture(scope="module")
def guide_parse(project: Project, tmp_path_factory: pytest.TempPathFactory) -> ParsedProject:
    folder = tmp_path_factory.mktemp("guide")
    return ParsedProject(follow_the_guide(project, folder / "project"), folder / "parse")


@pytest.fixture
def guided(services: Services, guide_parse: ParsedProject) -> Services:
    return replace(services, project=guide_parse.project, parsed=guide_parse)


def test_the_campaign_of_the_guide_works_from_raw_rows_to_document_with_those_files_alone(
    guided: Services,
) -> None:
    # 22:30 of the 23rd in São Paulo.
    years_ago = "2024-11-24T01:30:00Z"
    make_laundromat(
        guided,
        CNPJ,
        clientes=[
            customer("of 2024", 1, years_ago),
            customer("one year", 2, "2025-11-23T15:00:00Z"),
            customer("today", 3, "2026-11-23T12:00:00Z"),
            customer("opted out", 4, years_ago),
            customer("got it", 5, years_ago),
            customer("held out", 6, years_ago),
        ],
        opt_outs=[{"user_id": "opted out", "opted_out_at": "2026-11-01T12:00:00Z"}],
        message_history=[
            {
                "campaign_type": "ANNIVERSARY",
                "user_id": "got it",
                "sent_at": "2026-11-23T12:05:00Z",
                "status": "SENT",
                "cycle_key": "2026",
            }
        ],
    )
    # By its hash, "held out" is among these and no other is.
    settings = {"anniversary_holdout_percent": 40, "anniversary_voucher_prefix": "ANOS"}
    official_client(guided.environment).document("users", CNPJ).set(
        {"settings": settings}, merge=True
    )

    guided.build(guided.laundromat(CNPJ), as_of=AS_OF)
    report = guided.sync(guided.laundromat(CNPJ), as_of=AS_OF, options=SyncOptions())

    blockers = {key: list(row["blockers"]) for key, row in decisions(guided, CNPJ).items()}
    assert blockers == {
        ("ANNIVERSARY", "of 2024"): [],
        ("ANNIVERSARY", "one year"): [],
        ("ANNIVERSARY", "opted out"): ["OPTED_OUT"],
        ("ANNIVERSARY", "got it"): ["ALREADY_MESSAGED"],
        ("ANNIVERSARY", "held out"): ["HOLDOUT"],
    }
    assert report.total(Outcome.CREATED) == 2
    written = documents(guided.environment, CNPJ)
    assert set(written) == {("ANNIVERSARY", "of 2024"), ("ANNIVERSARY", "one year")}
    data = written["ANNIVERSARY", "of 2024"]["data"]
    assert data["message"].startswith("Oi, Ana! Hoje faz 2 anos da sua primeira lavagem")
    assert data["template"]["name"] == "vmhub_anos_v1"
    assert (data["years"], data["first_purchase_on"]) == (2, "2024-11-23")
    assert data["voucher_code"].startswith("ANOS-")
    first = written["ANNIVERSARY", "one year"]["data"]
    assert first["message"].startswith("Oi, Ana! Hoje faz um ano da sua primeira lavagem")

    explanation = explain_customer(guided, CNPJ, "got it")
    assert explanation.is_current
    [explained] = [item for item in explanation.campaigns if item.campaign_type == "ANNIVERSARY"]
    assert explained.verdict is not None
    assert explained.verdict.triggers == (
        Trigger(
            "anniversary of the first purchase",
            "on 23 November",
            "on 23 November",
            is_met=True,
            changes_on=date(2026, 11, 24),
        ),
        Trigger(
            "number of years since the first purchase",
            "2",
            "at least 1",
            is_met=True,
            changes_on=None,
        ),
    )
    assert explained.verdict.blockers == (
        Blocker(
            "ALREADY_MESSAGED",
            "a message of this cycle went out at 2026-11-23 09:05",
            date(2027, 1, 1),
        ),
    )


def test_the_readme_shows_the_condition_of_loyalty_as_it_is(project: Project) -> None:
    readme = (project.root / "README.md").read_text(encoding="utf-8")
    [shown] = re.findall(r"^```sql\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    loyalty = project.root / "models" / "campaigns" / "loyalty.sql"
    assert shown in loyalty.read_text(encoding="utf-8")


def test_dbt_and_googlesql_take_the_campaign_of_the_guide_and_all_of_it_is_described(
    guided: Services, guide_parse: ParsedProject
) -> None:
    make_laundromat(guided, CNPJ)
    spec = BuildSpec({"cnpj": CNPJ}, AS_OF)
    built = guided.dbt.run(
        spec, ["build", "--indirect-selection", "buildable", "--select", "customer_facts"]
    )
    # dbt runs these unit tests in `dbt test`, as the guide says; `dbt build` selects none of them.
    tested = guided.dbt.run(spec, ["test", "--select", "anniversary,test_type:unit"])
    assert [result.node.resource_type for result in tested].count("unit_test") == 3
    assert {result.status for result in (*built, *tested)} == {"success", "pass"}

    analysis = analyze_project(guide_parse, guided.environment, CNPJ, guided.state_dir / "dbt")
    assert analysis.errors == {}
    assert "anniversary" in analysis.columns
    assert missing_descriptions(guided.project, analysis) == []

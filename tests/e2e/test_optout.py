"""`vmhub optout` over both emulators: people and lists, in any form of a phone."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from loader.base.persons import person_keys
from loader.cli import optout
from loader.cli.optout import optout_app
from loader.operations.optouts.lists import read_list
from tests.support import (
    ALPHANUMERIC_CNPJ,
    AS_OF,
    NUMERIC_CNPJ,
    make_laundromat,
    official_client,
)

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

    from loader.base.cnpj import Cnpj
    from loader.services import Services

HOUR = timedelta(hours=1)
FORMS = [
    "(11) 90000-0001",
    "+55 11 90000-0002",
    "0055 11 90000 0003",
    "011 90000-0004",
    "11 8000-0005",
    "5511900000006.0",
    "11 90000-0007 / 11 90000-0008",
]
PHONES = [
    *(f"+551190000000{digit}" for digit in (1, 2, 3, 4, 6, 7, 8)),
    "+5511980000005",
]


@pytest.fixture
def laundromats(services: Services, monkeypatch: pytest.MonkeyPatch) -> Services:
    for cnpj in (NUMERIC_CNPJ, ALPHANUMERIC_CNPJ):
        make_laundromat(services, cnpj)
    monkeypatch.setattr(optout, "open_services", lambda: services)
    return services


def run(*arguments: str) -> Result:
    return CliRunner().invoke(optout_app, list(arguments))


def done(*arguments: str) -> list[dict[str, Any]]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.exception
    assert "90000" not in result.output
    laundromats: list[dict[str, Any]] = json.loads(result.stdout)["laundromats"]
    return laundromats


def suppressions(services: Services, cnpj: Cnpj = NUMERIC_CNPJ) -> list[dict[str, Any]]:
    collection = official_client(services.environment).collection("users", cnpj, "suppressions")
    found = [document.to_dict() or {} for document in collection.stream()]
    return sorted(found, key=lambda fields: str(fields.get("phone")))


def opt_outs(services: Services) -> list[dict[str, Any]]:
    return services.warehouse.query(
        f"select * from `{NUMERIC_CNPJ}_CAMPAIGN`.`opt_outs` order by phone",
        doing="reading opt-outs",
    )


def test_a_list_in_any_form_reaches_all_laundromats_and_opt_outs_once(
    laundromats: Services, tmp_path: Path
) -> None:
    file = tmp_path / "procon.csv"
    lines = ["nome;Telefone", *(f"Ana Exemplo;{form}" for form in FORMS), "", ";" + FORMS[0]]
    file.write_bytes("\r\n".join(lines).encode("latin-1"))

    [dry, _] = done("import", str(file), "--all", "--dry-run")
    assert (dry["people"], dry["written"], dry["is_dry_run"]) == (8, 8, True)
    assert suppressions(laundromats) == []

    first = done("import", str(file), "--all")
    assert {report["cnpj"]: report["written"] for report in first} == {
        NUMERIC_CNPJ: 8,
        ALPHANUMERIC_CNPJ: 8,
    }
    again = done("import", str(file), "--all")
    assert [(report["written"], report["unchanged"]) for report in again] == [(0, 8)] * 2
    for cnpj in (NUMERIC_CNPJ, ALPHANUMERIC_CNPJ):
        found = suppressions(laundromats, cnpj)
        assert [fields["phone"] for fields in found] == PHONES
        assert {fields["source"] for fields in found} == {"PROCON"}
        assert [fields["keys"] for fields in found] == [person_keys(phone=p) for p in PHONES]
    now = max(fields["updatedAt"] for fields in suppressions(laundromats))
    laundromats.track([NUMERIC_CNPJ], as_of=now + HOUR)
    assert [row["phone"] for row in opt_outs(laundromats)] == PHONES


def test_a_list_with_a_row_that_cannot_be_read_is_refused_by_its_lines(
    laundromats: Services, tmp_path: Path
) -> None:
    file = tmp_path / "list.csv"
    content = [
        "telefone,nota",
        *(f"{form},x" for form in FORMS),
        "90000-0009,",
        ",",
        "11 3123-4567",
    ]
    file.write_text("\n".join([*content, "11 90000-0001 e 3123-4567,", ',"sem número"']))
    result = run("import", str(file), "--cnpj", NUMERIC_CNPJ)
    assert result.exit_code != 0
    text = str(result.exception)
    assert "4 of 11 rows" in text
    assert "line 9, 11, 12, 13," in text
    assert "90000" not in text
    assert suppressions(laundromats) == []


def test_a_person_is_kept_from_messages_and_may_want_them_again(laundromats: Services) -> None:
    [added] = done(
        *("add", "--cnpj", NUMERIC_CNPJ, "--phone", "11 8000-0005", "--customer", "a"),
        *("--at", AS_OF.isoformat()),
    )
    assert added["written"] == 1
    [fields] = suppressions(laundromats)
    assert fields["keys"] == ["phone:551180000005", "customer:a"]
    assert (fields["optedOutAt"], fields["source"]) == (AS_OF, "OPERATOR")
    done("add", "--cnpj", NUMERIC_CNPJ, "--phone", "11980000005", "--source", "procon")
    assert suppressions(laundromats, ALPHANUMERIC_CNPJ) == []

    # By either form, and whatever the source.
    [removed] = done("remove", "--cnpj", NUMERIC_CNPJ, "--phone", "+55 11 98000-0005")
    assert removed["written"] == 2
    assert all("resumedAt" in fields for fields in suppressions(laundromats))
    assert run("remove", "--cnpj", NUMERIC_CNPJ, "--customer", "a").exit_code != 0

    done("add", "--cnpj", NUMERIC_CNPJ, "--phone", "11980000005", "--customer", "a")
    assert sum("resumedAt" not in fields for fields in suppressions(laundromats)) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "--cnpj", NUMERIC_CNPJ),
        ("add", "--cnpj", NUMERIC_CNPJ, "--phone", "90000-0001"),
        ("add", "--cnpj", NUMERIC_CNPJ, "--customer", "a", "--source", "a list"),
        ("import", "/nowhere.csv", "--all"),
        ("import", "/nowhere.csv"),
        ("remove", "--cnpj", NUMERIC_CNPJ, "--customer", "nobody"),
    ],
)
def test_what_names_nobody_is_refused(laundromats: Services, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code != 0
    assert suppressions(laundromats) == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"11 90000-0001\n\n11 90000-0002\n", {1: "11 90000-0001", 3: "11 90000-0002"}),
        (b"telefone\n11 90000-0001\n", {2: "11 90000-0001"}),
        ("\ufeffNúmero\tUF\n11\tSP\n".encode(), {2: "11"}),
        (b'"telefone","nome"\n"11 90000-0001","Ana, a primeira"\n', {2: "11 90000-0001"}),
    ],
)
def test_lists_are_read_as_spreadsheets_write_them(
    tmp_path: Path, content: bytes, expected: dict[int, str]
) -> None:
    file = tmp_path / "list.csv"
    file.write_bytes(content)
    assert read_list(file, None) == expected

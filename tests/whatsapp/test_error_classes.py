"""The codes of WhatsApp have one meaning in the whole project."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from loader.base.errors import ConfigurationError
from whatsapp.error_classes import UNSETTLED_CODES, ErrorClass, read_error_classes

if TYPE_CHECKING:
    from pathlib import Path

    from loader.dbt.project import Project

SEED = "whatsapp_error_classes.csv"
HEADER = "code,class,counts_as_attempt\n"


@pytest.mark.parametrize(
    ("error_class", "codes", "counts"),
    [
        (
            ErrorClass.TEMPORARY,
            [4, 80007, 80008, 130429, 131000, 131016, 131057, 133004, *UNSETTLED_CODES],
            True,
        ),
        (ErrorClass.PAIR, [131056], True),
        (ErrorClass.DEFERRED, [131049, 130472], True),
        (ErrorClass.OPTED_OUT, [131050], True),
        (ErrorClass.UNREACHABLE, [131026, 131021, 130403, 131030], True),
        (
            ErrorClass.CONTENT,
            [
                *(100, 131008, 131009, 131051, 131062, 135000),
                *(132000, 132005, 132007, 132008, 132012, 132018),
            ],
            True,
        ),
        (ErrorClass.TEMPLATE, [132001, 132015, 132016, 134011], False),
        (ErrorClass.ROUTE, [131063], False),
        (
            ErrorClass.LAUNDROMAT,
            [
                *(10, 33, *range(200, 300), 368, 130497, 131005, 131031, 131037, 131042),
                *(131045, 131061, 131064, 133010, 137000),
            ],
            False,
        ),
        (ErrorClass.TOKEN, [0, 190], False),
        (ErrorClass.PORTFOLIO, [131048], False),
        (ErrorClass.SENDER, [3, 99_999], False),
    ],
)
def test_every_code_has_its_class(
    project: Project,
    error_class: ErrorClass,
    codes: list[int],
    counts: bool,  # noqa: FBT001 - a parameter of the table
) -> None:
    classes = read_error_classes(project.root / "seeds" / SEED)

    meanings = {code: classes.of(code) for code in codes}

    assert {code: meaning.error_class for code, meaning in meanings.items()} == dict.fromkeys(
        codes, error_class
    )
    assert {meaning.counts_as_attempt for meaning in meanings.values()} == {counts}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("code,class\n1,temporary\n", "has the columns"),
        (HEADER + "x,temporary,true\n", "line 2 cannot be read"),
        (HEADER + "1,nice,true\n", "line 2 cannot be read"),
        (HEADER + "1,temporary,yes\n", "line 2 cannot be read"),
        (HEADER + "1,temporary\n", "line 2 cannot be read"),
        (HEADER + "1,temporary,true\n1,content,true\n", "line 3 has the code 1 again"),
        (HEADER + "1,temporary,true\n2,temporary,false\n", "line 3 contradicts"),
    ],
)
def test_a_seed_that_cannot_be_read_is_named_with_its_line(
    tmp_path: Path, text: str, reason: str
) -> None:
    file = tmp_path / SEED
    file.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigurationError, match=reason):
        read_error_classes(file)


def test_a_missing_seed_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=SEED):
        read_error_classes(tmp_path / SEED)


def test_the_macro_of_the_decisions_counts_the_codes_that_the_seed_counts(
    project: Project,
) -> None:
    classes = read_error_classes(project.root / "seeds" / SEED)
    macro = (project.root / "macros" / "campaigns" / "failure_counts.sql").read_text("utf-8")
    listed = {int(code) for code in re.findall(r"'([0-9]+)'", macro)}
    assert listed == {
        code for code, meaning in classes.by_code.items() if meaning.counts_as_attempt
    }

"""Text from outside does nothing to a terminal, a log or a table."""

from __future__ import annotations

import io
import json
import logging
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from loader.base.errors import ConfigurationError
from loader.base.logs import LogFormat, configure_logs
from loader.base.text import safe_text
from loader.cli.output import line_console, print_json, result_console

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTILE = "Lava\x1b[31mBem\nvmhub: ERROR: all is well\x9b2J\u202eabc"
SAFE = "Lava\N{REPLACEMENT CHARACTER}[31mBem\N{REPLACEMENT CHARACTER}vmhub: ERROR: all is well"


@pytest.fixture
def restored_logs() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@given(st.text())
def test_safe_text_has_one_line_and_only_printable_characters(text: str) -> None:
    safe = safe_text(text)
    assert len(safe.splitlines()) <= 1
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in safe)
    assert safe_text(safe) == safe


@pytest.mark.parametrize("text", ["Lavanderia Ipê Amarelo 🎂", "São João, nº 7, 10 %", ""])
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert safe_text(text) == text


@pytest.mark.parametrize("log_format", LogFormat)
def test_a_name_cannot_forge_a_line_of_the_log(
    log_format: LogFormat, capsys: pytest.CaptureFixture[str], restored_logs: None
) -> None:
    configure_logs(log_format)
    logging.getLogger("loader").error("the name is %s", HOSTILE)
    [line] = capsys.readouterr().err.splitlines()
    assert SAFE in (json.loads(line)["message"] if log_format is LogFormat.JSON else line)
    assert "\x1b" not in line


def test_a_name_cannot_forge_a_line_of_an_error() -> None:
    error = ConfigurationError(f"users/{HOSTILE} is not active", hint=HOSTILE)
    assert SAFE in error.message
    assert "\n" not in str(error)


def test_a_name_is_text_in_a_table_and_in_a_line() -> None:
    with redirect_stdout(io.StringIO()) as out:
        table = Table("name")
        table.add_row(HOSTILE)
        result_console().print(table)
        line_console().print(HOSTILE, markup=False)
    assert "\x1b" not in out.getvalue()
    assert "\u202e" not in out.getvalue()


def test_a_name_is_escaped_in_json_and_read_back_as_it_was() -> None:
    with redirect_stdout(io.StringIO()) as out:
        print_json({"name": HOSTILE})
    text = out.getvalue()
    assert not any(character in text for character in "\x1b\x9b\u202e")
    assert json.loads(text) == {"name": HOSTILE}

"""Takes an error message of dbt, BigQuery or its emulator apart."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Complaint", "Position", "word"]

_COLORS = re.compile(r"\x1b\[[0-9;]*m")
# dbt's own words around a message: what failed (before it), and the call path (after it).
_HEADING = re.compile(r"(?:[A-Z]\w* )+Error(?: in .+)?")
_TAIL = re.compile(r"> (?:in|called by) |compiled code at |Vars supplied to ")
_FILE_OF_CALLER = re.compile(r"> (?:in|called by) \w+ \S+ \((?P<path>[^)]+)\)")
_FILE = re.compile(r"\b(?:models|macros|seeds|tests)/[\w/.-]+\.(?:sql|yml)\b")

# The name that a message is about, found by the words before it. The messages are those of
# GoogleSQL, of DuckDB (inside the emulator), of our own check of statements, of Jinja and of dbt.
# None of these messages holds a value.
_NAME = re.compile(
    r"""(?:
        Unrecognized\ name: | Function\ not\ found: | \bName(?=\ \S+\ not\ found)
        | Field\ name(?=\ \S+\ does\ not\ exist) | Unexpected\ (?:identifier|keyword)
        | required\ but\ found | Table\ not\ found: | Table(?=\ \S+\ must\ be\ qualified)
        | it\ names(?=\ \S+\ without)
        | Referenced\ column | does\ not\ have\ a\ column\ named | Could\ not\ find\ key
        | Scalar\ Function\ with\ name | syntax\ error\ at\ or\ near | extract\ specifier
        | Referenced\ table
        | (?=\S+\ is\ undefined) | has\ no\ attribute | No\ (?:filter|test)\ named
        | Required\ var | (?=\S+\ takes\ (?:no|not)\ ) | a\ (?:node|source)\ named
    )\s*["'`]?(?:dbt_macro__)?(?:\w+\.)*(?P<name>\w+)""",
    re.VERBOSE,
)
# GoogleSQL writes [line:column]; the emulator's parser uses the other form.
_POSITION = re.compile(r"\[(?:at )?(\d+):(\d+)\]|\bLine (\d+), Col: (\d+)")
_POSITION_TEXT = re.compile(r"\s*(?:(?:\bat )?\[(?:at )?\d+:\d+\]|\bLine \d+, Col: \d+\.?)")
# DuckDB quotes the place in its own SQL, Jinja the line of the template.
_QUOTED_SQL = re.compile(r"^LINE \d+: (.+)$", re.MULTILINE)
_QUOTED_TEMPLATE = re.compile(r"^line \d+\n(.+)$", re.MULTILINE)


class Position(NamedTuple):
    """A line and a column of a statement, from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Complaint:
    """A message, and what it says about the place of the mistake."""

    text: str
    """The message without dbt's words around it."""
    is_about_sql: bool
    """True: the database refused the SQL. False: dbt could not make the SQL."""
    names: tuple[str, ...]
    positions: tuple[Position, ...]
    quoted_sql: str
    """A quoted part of the SQL that the database ran; the emulator may have rewritten it."""
    quoted_template: str
    files: tuple[str, ...]
    """Files of the project; the file of the macro that ran last comes first."""

    @classmethod
    def of(cls, message: str) -> Complaint:
        """Take dbt's message apart."""
        lines = [line.strip() for line in _COLORS.sub("", message).strip().splitlines()]
        heading = lines.pop(0) if lines and _HEADING.fullmatch(lines[0]) else ""
        end = next((i for i, line in enumerate(lines) if _TAIL.match(line)), len(lines))
        text = "\n".join(line for line in lines[:end] if line and set(line) != {"^"})
        callers = _FILE_OF_CALLER.findall("\n".join(lines))
        quoted_sql, quoted_template = _QUOTED_SQL.search(text), _QUOTED_TEMPLATE.search(text)
        return cls(
            text=text or "no message",
            is_about_sql=heading.startswith(("Database Error", "Runtime Error")),
            names=tuple(dict.fromkeys(_NAME.findall(text))),
            positions=tuple(
                Position(*(int(number) for number in found if number))
                for found in _POSITION.findall(text)
            ),
            quoted_sql=quoted_sql[1] if quoted_sql else "",
            quoted_template=quoted_template[1].strip() if quoted_template else "",
            files=tuple(dict.fromkeys([*callers, *_FILE.findall(f"{heading}\n{text}")])),
        )

    @property
    def without_position(self) -> str:
        """The text without positions, which refer to the SQL that ran and not to a source file."""
        return _POSITION_TEXT.sub("", self.text)


def word(name: str) -> re.Pattern[str]:
    """Return a pattern for a name as a whole word; case is ignored, as in SQL."""
    return re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)

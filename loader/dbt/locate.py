"""Finds the place of a mistake in the project's files.

BigQuery only sees the statement that ran. It is made of a model's SQL, of the ephemeral models
inlined into it, and of the output of macros. So the mistake can be in another file than that of the
model that failed. The search goes back in three steps: the line of the statement, the part of the
statement that has this line, and the line in that part's source or in one of its macros.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

from loader.dbt.complaint import word

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from loader.dbt.complaint import Complaint

__all__ = ["Place", "SentStatements", "Source", "Sources"]

_JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Place:
    """A place in a file of the project; line and column start at 1, if they are known."""

    path: str
    line: int | None = None
    column: int | None = None
    text: str = ""
    """The text of the line."""

    def __str__(self) -> str:
        """Return it in words."""
        line = f", line {self.line}" if self.line else ""
        column = f", column {self.column}" if self.column else ""
        return f"{self.path}{line}{column}"


@dataclass(frozen=True)
class Source:
    """A model, a test or a macro as it is written in its file."""

    path: str
    lines: tuple[str, ...]
    first_line: int
    """Its first line in its file, from 1."""
    macros: tuple[str, ...]
    """The unique ids of the macros that it calls."""

    def place(self, index: int, column: int | None = None) -> Place:
        """Return the place of one of its lines, from 0."""
        return Place(self.path, self.first_line + index, column, self.lines[index].rstrip())


@dataclass(frozen=True)
class _Line:
    source: Source
    index: int

    @property
    def text(self) -> str:
        return self.source.lines[self.index]


class SentStatements:
    """Keeps the last statement of each node, exactly as it was sent; receives dbt's events."""

    def __init__(self) -> None:
        """Begin without statements."""
        self._by_node: dict[str, str] = {}

    def __call__(self, event: Any) -> None:
        """Take note of an event of dbt."""
        if event.info.name == "SQLQuery":
            self._by_node[event.data.node_info.unique_id] = event.data.sql

    def of(self, node: Any) -> str:
        """Return a node's last statement, or its compiled SQL if it sent none."""
        return self._by_node.get(node.unique_id) or getattr(node, "compiled_code", None) or ""


class Sources:
    """The project's sources, by the unique id of the node or macro."""

    def __init__(self, sources: dict[str, Source]) -> None:
        """Search these sources; macros come before the models that call them."""
        self._sources = sources

    @classmethod
    def of_manifest(cls, manifest: Any, root: Path) -> Sources:
        """Return the sources of a parsed project."""
        package = manifest.metadata.project_name
        macros = [item for item in manifest.macros.values() if item.package_name == package]
        nodes = [item for item in manifest.nodes.values() if item.path.endswith(".sql")]
        return cls(
            {
                **{macro.unique_id: _source_of(macro, macro.macro_sql, root) for macro in macros},
                **{node.unique_id: _source_of(node, node.raw_code, root) for node in nodes},
            }
        )

    @classmethod
    def of_files(cls, root: Path) -> Sources:
        """Return the sources of a project that dbt cannot parse: whole files."""
        files = [
            path for folder in ("macros", "models", "tests") for path in (root / folder).rglob("*")
        ]
        paths = sorted(path for path in files if path.suffix in {".sql", ".yml"})
        return cls(
            {
                name: Source(name, tuple(path.read_text(encoding="utf-8").splitlines()), 1, ())
                for path in paths
                for name in (path.relative_to(root).as_posix(),)
            }
        )

    def find(self, complaint: Complaint, node: Any = None, statement: str = "") -> Place | None:
        """Return the place of the mistake that a message is about; None: unknown.

        Args:
            complaint: The message.
            node: dbt's node that failed, perhaps not fully compiled; None: no node failed.
            statement: The statement that the database refused.

        """
        place = (
            self._in_statement(complaint, node, statement)
            if complaint.is_about_sql and node
            else self._in_template(complaint, node)
        )
        if place is not None:
            return place
        path = node.original_file_path if node else next(iter(complaint.files), None)
        return Place(path) if path else None

    # Mistakes in Jinja: no SQL was made

    def _in_template(self, complaint: Complaint, node: Any) -> Place | None:
        called = [source for source in self._sources.values() if source.path in complaint.files]
        called.sort(key=lambda source: complaint.files.index(source.path))
        own = [self._sources[node.unique_id]] if node and node.unique_id in self._sources else []
        # dbt names the callers of a macro, but often not the macro that it failed in.
        order = [*called, *own, *self._macros([*called, *own]), *self._sources.values()]
        lines = [line for source in dict.fromkeys(order) for line in _lines(source)]
        if complaint.quoted_template:
            for line in lines:
                if line.text.strip() == complaint.quoted_template:
                    return line.source.place(line.index)
        for name in complaint.names:
            for source in dict.fromkeys(order):
                if (place := _in_jinja(source, name)) is not None:
                    return place
        return None

    # Mistakes in SQL

    def _in_statement(self, complaint: Complaint, node: Any, statement: str) -> Place | None:
        lines = statement.splitlines()
        found = _row_of(complaint, lines)
        if found is None:
            return None
        row, column = found
        # Each part of the statement and its lines; all other lines are the node's own.
        own = list(lines)
        for cte in getattr(node, "extra_ctes", ()):
            begins = statement.find(cte.sql)
            if begins < 0 or cte.id not in self._sources:
                continue
            first = statement.count("\n", 0, begins)
            count = cte.sql.count("\n") + 1
            if first <= row < first + count - 1:
                part = lines[first : first + count]
                return self._in_source(complaint, cte.id, part, row - first, column)
            own[first : first + count - 1] = [""] * (count - 1)
        return self._in_source(complaint, node.unique_id, own, row, column)

    def _in_source(
        self, complaint: Complaint, unique_id: str, made: list[str], row: int, column: int | None
    ) -> Place | None:
        """Return the line of a source, or of one of its macros, that a line of SQL comes from."""
        source = self._sources.get(unique_id)
        if source is None:
            return None
        exact, block = _aligned(source.lines, made, row)
        if exact is not None:
            return source.place(exact, _column(source.lines[exact], complaint, made[row], column))
        near = [_Line(source, index) for index in block]
        macro_lines = [line for macro in self._macros([source]) for line in _lines(macro)]
        naming = [
            line for line in (*near, *macro_lines, *_lines(source)) if _names(complaint, line.text)
        ]
        best = max(
            naming or [*near, *macro_lines],
            key=lambda line: _match(line.text, made[row], column),
            default=None,
        )
        if best is None or not (naming or any(_match(best.text, made[row], column))):
            return None
        return best.source.place(best.index, _column(best.text, complaint, "", None))

    def _macros(self, sources: Iterable[Source]) -> list[Source]:
        """Return the project's macros that these call, directly or not."""
        found: dict[str, Source] = {}
        waiting = [unique_id for source in sources for unique_id in source.macros]
        while waiting:
            unique_id = waiting.pop(0)
            macro = self._sources.get(unique_id)
            if macro is not None and unique_id not in found:
                found[unique_id] = macro
                waiting.extend(macro.macros)
        return list(found.values())


def _source_of(item: Any, text: str, root: Path) -> Source:
    """Return a node or macro with the line of its file that it begins at."""
    macros = tuple(item.depends_on.macros)
    if not item.original_file_path.endswith(".sql"):
        # A generic test: all its SQL comes from a macro; its own file only says what is tested.
        return Source(item.original_file_path, (), 1, macros)
    path = root / item.original_file_path
    content = path.read_text(encoding="utf-8") if path.is_file() else text
    # dbt keeps a file without blank lines at both ends, and of a macro the text between its tags.
    name = re.escape(item.name.removeprefix("test_"))
    begins = (
        re.search(rf"\{{%-?\s*(?:macro|test)\s+{name}\s*\(", content)
        if item.resource_type == "macro"
        else re.search(r"\S", content)
    )
    first_line = content.count("\n", 0, begins.start()) + 1 if begins else 1
    return Source(
        item.original_file_path,
        tuple(text.strip().splitlines()),
        first_line,
        macros,
    )


def _lines(source: Source) -> Iterator[_Line]:
    return (_Line(source, index) for index in range(len(source.lines)))


def _names(complaint: Complaint, text: str) -> bool:
    return any(word(name).search(text) for name in complaint.names)


def _in_jinja(source: Source, name: str) -> Place | None:
    """Return where a source has a name in its Jinja, and not in the SQL around it."""
    text = "\n".join(source.lines)
    for jinja in _JINJA.finditer(text):
        found = word(name).search(text, jinja.start(), jinja.end())
        if found:
            begins = text.rfind("\n", 0, found.start()) + 1
            return source.place(text.count("\n", 0, begins), found.start() - begins + 1)
    return None


def _row_of(complaint: Complaint, lines: list[str]) -> tuple[int, int | None] | None:
    """Return the line of a statement (from 0) that a message is about, and the column."""
    for line, column in complaint.positions:
        # The emulator's positions can refer to its own SQL. Then the statement has another text
        # at this position, or dbt's comment.
        if (
            line <= len(lines)
            and not lines[line - 1].startswith("/*")
            and (not complaint.names or _names(complaint, lines[line - 1][column - 1 :]))
        ):
            return line - 1, column - 1
    code = [line.split("--")[0] for line in lines]
    rows = [row for row, text in enumerate(code) if _names(complaint, text)]
    if not rows and complaint.quoted_sql:
        rows = list(range(len(code)))
    if not rows:
        return None
    # Choose the line that has the most words of the quote; rare words count more.
    words = [set(_WORD.findall(text.lower())) for text in code]
    frequency = Counter(found for line in words for found in line)
    quoted = set(_WORD.findall(complaint.quoted_sql.lower()))
    return max(rows, key=lambda row: sum(1 / frequency[w] for w in words[row] & quoted)), None


def _aligned(source: tuple[str, ...], made: list[str], row: int) -> tuple[int | None, range]:
    """Return the same line in the source; if there is none, the lines it may come from."""
    matcher = SequenceMatcher(
        None, [line.strip() for line in source], [line.strip() for line in made], autojunk=False
    )
    for tag, source_from, source_to, made_from, made_to in matcher.get_opcodes():
        if made_from <= row < made_to:
            exact = source_from + row - made_from if tag == "equal" else None
            return exact, range(source_from, source_to)
    return None, range(0)


def _match(text: str, made: str, column: int | None) -> tuple[bool, int]:
    """Return how well a source line matches a line of SQL; larger is better.

    First counts whether the column is in text that both lines have, and not in the output of Jinja.
    Then counts how much text both have in the same order.
    """
    at = length = 0
    has_column = False
    for literal in (part.strip() for part in _JINJA.split(text)):
        at = made.find(literal, at)
        if at < 0:
            return False, 0
        # A message can point to the word after the mistake.
        ends = at + len(literal) + 1
        has_column = has_column or (column is not None and at <= column <= ends)
        at += len(literal)
        length += len(literal)
    return has_column, length


def _column(text: str, complaint: Complaint, made: str, column: int | None) -> int | None:
    """Return the column of the mistake in a source line, from 1."""
    if column is not None:
        indents = [len(line) - len(line.lstrip()) for line in (text, made)]
        return column + indents[0] - indents[1] + 1
    found = [match for name in complaint.names if (match := word(name).search(text))]
    return found[0].start() + 1 if found else None

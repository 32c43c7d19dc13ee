"""One mistake for each model, macro and dbt test of the project, as an analyst would make it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dbt_common.clients.jinja import template_cache

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loader.dbt.project import Project


@dataclass(frozen=True)
class Mistake:
    """Text of a file, and what somebody typed in its place."""

    file: str
    right: str
    wrong: str
    run: str
    """The model or test that runs into it, or the macro of a generic test."""
    reason: str
    """What the message about it says."""


@contextmanager
def planted(manifest: Any, mistake: Mistake) -> Iterator[Any]:
    """Make a mistake in dbt's parse of the project, for the block; yields the node or macro."""
    units = [
        (unit, attribute)
        for found, attribute in ((manifest.macros, "macro_sql"), (manifest.nodes, "raw_code"))
        for unit in found.values()
        if unit.original_file_path == mistake.file and mistake.right in getattr(unit, attribute)
    ]
    assert units, f"{mistake.file} has no {mistake.right}"
    unit, attribute = units[0]
    right = getattr(unit, attribute)
    setattr(unit, attribute, right.replace(mistake.right, mistake.wrong, 1))
    template_cache.clear()
    try:
        yield unit
    finally:
        setattr(unit, attribute, right)
        template_cache.clear()


def place_of(project: Project, mistake: Mistake) -> str:
    """Return the file and the line of a mistake, as messages name them."""
    text = (project.root / mistake.file).read_text(encoding="utf-8")
    before = text[: text.index(mistake.right)]
    same = [a == b for a, b in zip(mistake.right, mistake.wrong, strict=False)]
    changed = before + mistake.right[: same.index(False) if False in same else len(same)]
    return f"{mistake.file}, line {changed.count(chr(10)) + 1}"

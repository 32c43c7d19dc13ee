"""How results look: Rich tables for people, plain dictionaries for ``--json``."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress
from rich.table import Table

from loader.base.text import escaped_json, safe_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rich.text import Text

    from loader.questions.decisions import Funnel

__all__ = [
    "counts_in_words",
    "funnel_table",
    "line_console",
    "list_lines",
    "plain",
    "print_json",
    "print_result",
    "progress_bar",
    "result_console",
]

# Results wrap at the terminal's width; in a pipe or file they are not wrapped.
_PIPE_WIDTH = 160
# --json shows the rest of a longer list.
_LISTED = 50


class _SafeConsole(Console):
    """A console that never interprets text from outside, such as a customer's id, as markup."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(safe_text(text, keeps_lines=True), **options)


@contextmanager
def progress_bar(doing: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on a terminal; yields a function that takes done and total."""
    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, whole: bar.update(task, completed=done, total=whole)


def print_json(result: Any) -> None:
    """Print one JSON object."""
    content = asdict(result) if is_dataclass(result) and not isinstance(result, type) else result
    text = json.dumps(plain(content), ensure_ascii=False)
    print(escaped_json(text))  # noqa: T201 - the command's result


def print_result(report: Any, show: Callable[[Any], None], *, as_json: bool) -> None:
    """Print a result for people, or as one JSON object."""
    if as_json:
        print_json(report)
    else:
        show(report)


def result_console() -> Console:
    """Return the console for results; it does not wrap lines in a pipe or a file."""
    console = _SafeConsole(highlight=False)
    return console if console.is_terminal else _SafeConsole(highlight=False, width=_PIPE_WIDTH)


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: instants, dates and enums as text."""
    match value:
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case date() | Decimal():
            return str(value)
        case Path() | Enum():
            return str(value.value if isinstance(value, Enum) else value)
        case dict():
            return {str(plain(key)): plain(item) for key, item in value.items()}
        case list() | tuple() | frozenset():
            return [plain(item) for item in value]
        case _:
            return value


def funnel_table(title: str, funnels: Iterable[Funnel]) -> Table:
    """Return a table of candidates, blockers and targets, a row per campaign."""
    table = Table(title=title, title_justify="left")
    table.add_column("campaign")
    table.add_column("candidates", justify="right")
    table.add_column("blocked, by first reason")
    table.add_column("targets", justify="right")
    for funnel in funnels:
        table.add_row(
            funnel.campaign_type,
            str(funnel.candidates),
            counts_in_words(funnel.blocked),
            str(funnel.targets),
        )
    return table


def list_lines(console: Console, lines: Sequence[str]) -> None:
    """Print indented lines; of a long list, only the first ones."""
    for line in lines[:_LISTED]:
        console.print(f"  {line}", markup=False, soft_wrap=True)
    if len(lines) > _LISTED:
        console.print(f"  … and {len(lines) - _LISTED} more; --json lists all")


def counts_in_words(counts: Mapping[Any, int]) -> str:
    """Return counts as one phrase, such as ``3 created, 1 updated``."""
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "-"


def line_console() -> Console:
    """Return the console for results of one line each."""
    # Never wrap: one result stays on one line, so that grep works and the states line up.
    return _SafeConsole(highlight=False, soft_wrap=True)

"""How the results of operators' commands look to people; `loader.show` has the others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from loader.check.checklist import State

if TYPE_CHECKING:
    from loader.check.checklist import CheckReport
    from loader.settings import SettingsReport

__all__ = ["show_check", "show_settings"]

_STYLES = {
    State.OK: "green",
    State.WARNING: "yellow",
    State.MEND: "bold red",
    State.FAILED: "bold red",
    State.SKIPPED: "dim",
}


def show_settings(report: SettingsReport) -> None:
    """Print one setting a line: name, value as JSON, origin."""
    console = _console()
    values = {
        setting.name: json.dumps(setting.value, ensure_ascii=False) for setting in report.settings
    }
    name_width = max(map(len, values))
    value_width = max(map(len, values.values()))
    for setting in report.settings:
        value = values[setting.name]
        console.print(
            f"{setting.name:<{name_width}}  {value:<{value_width}}  {setting.origin}", markup=False
        )


def show_check(report: CheckReport) -> None:
    """Print one check a line, and how many there are of each state."""
    console = _console()
    counts: dict[State, int] = {}
    for check in report.checks:
        counts[check.state] = counts.get(check.state, 0) + 1
        mend = f"; {check.mend}" if check.mend else ""
        console.print(
            Text(f"{check.state:<8}", style=_STYLES[check.state]),
            f"{check.name} {check.about}: {check.found}{mend}",
            markup=False,
        )
    summary = ", ".join(f"{counts[state]} {state}" for state in State if state in counts)
    console.print(f"{report.cnpj} as of {report.as_of:%Y-%m-%d %H:%M:%SZ}: {summary}")


def _console() -> Console:
    # A line stays a line, however long, for grep and for reading down the states.
    return Console(highlight=False, soft_wrap=True)

"""Shared by the benches: the machine they run on, and how figures are printed and kept."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import psutil
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from rich.console import Console

    from loader.local.stack import LocalStack

__all__ = ["Goal", "at_most", "emulators_cpu", "machine", "show_goals", "write_json"]


@dataclass(frozen=True)
class Goal:
    """A figure with its goal, and whether it meets the goal."""

    name: str
    wanted: str
    found: float
    is_met: bool


def at_most(name: str, limit: float, found: float) -> Goal:
    """Return the goal that a figure does not exceed a limit."""
    return Goal(name, f"≤ {limit:g}", found, found <= limit)


def show_goals(console: Console, goals: Iterable[Goal]) -> None:
    """Print the goals, both met and missed."""
    table = Table("goal", "wanted", "found", "")
    for goal in goals:
        table.add_row(
            goal.name, goal.wanted, f"{goal.found:.2f}", "met" if goal.is_met else "MISSED"
        )
    console.print(table)


def emulators_cpu(stack: LocalStack) -> float:
    """Return the CPU seconds that both emulators of a stack have used."""
    guards = [server.process() for server in stack.servers]
    servers = [child for guard in guards if guard for child in guard.children(recursive=True)]
    times = [server.cpu_times() for server in servers]
    return sum(spent.user + spent.system for spent in times)


def machine() -> dict[str, Any]:
    """Return the properties of the machine that figures depend on."""
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        "google-cloud-firestore": version("google-cloud-firestore"),
        "grpcio": version("grpcio"),
        "load_before": round(os.getloadavg()[0], 1),
    }


def write_json(figures: dict[str, Any], path: Path | None) -> None:
    """Print figures as one JSON object, and write them to a file if one is given."""
    text = json.dumps(figures, indent=1, ensure_ascii=False) + "\n"
    sys.stdout.write(text)
    if path:
        path.write_text(text, encoding="utf-8")

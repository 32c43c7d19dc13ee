"""`vmhub demo`: what a new user sees."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from loader.dbt.project import Project


# What it printed when somebody last looked at it: `vmhub demo > tests/e2e/demo.txt`.
EXPECTED = Path(__file__).with_name("demo.txt")


def play() -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loader", "demo"],
        env={**os.environ, "FIRESTORE_EMULATOR_HOST": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def servers(state_dir: Path) -> list[str]:
    """Return the running processes whose variables point into a stack's folder."""
    found = []
    for process in psutil.process_iter(["name", "environ"]):
        variables = (process.info["environ"] or {}).values()
        if any(value.startswith(str(state_dir)) for value in variables):
            found.append(process.info["name"])
    return found


def test_the_demo_prints_the_same_every_time_and_leaves_nothing_running(project: Project) -> None:
    played = play()
    assert played.returncode == 0, played.stderr
    assert servers(project.root / ".vmhub" / "demo") == []
    assert played.stdout == EXPECTED.read_text(encoding="utf-8")

"""`vmhub demo`: what a new user sees."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from pathlib import Path

    from loader.dbt.project import Project


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


def test_the_demo_shows_two_cycles_alike_every_time_and_leaves_nothing_running(
    project: Project,
) -> None:
    first = play()
    assert first.returncode == 0, first.stderr
    assert servers(project.root / ".vmhub" / "demo") == []

    assert "CNPJ 12ABC34501DE35" in first.stdout
    blockers = set(re.findall(r"\b1 ([A-Z_]{8,})", first.stdout))
    assert blockers == {
        "ALREADY_MESSAGED",
        "ATTEMPTS_EXHAUSTED",
        "DUPLICATE_PERSON",
        "INVALID_CUSTOMER_ID",
        "INVALID_PHONE",
        "OPTED_OUT",
        "RECENT_VOUCHER",
    }
    assert "Feliz aniversário, Ana!" in first.stdout
    assert "7 sent, 2 failed and may be retried" in first.stdout
    assert "vmhub webhook heard of them: 17 delivered, 17 read." in first.stdout
    assert "Customer ipe-009 writes SAIR, and reads: Pronto! Você não vai mais" in first.stdout
    assert (
        "In the second cycle 0 documents were created, and 17 customers were left alone because "
        "their message had gone out." in first.stdout
    )
    assert "The second hour of the sender sent 1 message." in first.stdout
    assert play().stdout == first.stdout

"""`vmhub demo`: what a new user sees."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import psutil


def play() -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loader", "demo"],
        env={**os.environ, "FIRESTORE_EMULATOR_HOST": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def servers() -> set[int]:
    """Return the processes of local stacks, this test run's own among them."""
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if "loader.local" in line or "cloud-firestore-emulator" in line:
            found.add(process.pid)
    return found


def test_the_demo_shows_two_cycles_alike_every_time_and_leaves_nothing_running() -> None:
    before = servers()
    first = play()
    assert first.returncode == 0, first.stderr
    assert servers() <= before

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
    assert "8 sent, 1 failed and may be retried" in first.stdout
    assert (
        "In the second cycle 0 documents were created, 18 customers were left alone because their "
        "message had gone out, and 1 failed message was queued again." in first.stdout
    )
    assert play().stdout == first.stdout

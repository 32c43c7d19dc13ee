"""The fake as a process of its own, whose clock runs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.whatsapp.calls import ACCOUNTS, Fake

if TYPE_CHECKING:
    from pathlib import Path


def test_a_process_serves_until_it_is_told_to_end(tmp_path: Path) -> None:
    address, accounts = tmp_path / "address", tmp_path / "accounts.json"
    accounts.write_text(json.dumps(ACCOUNTS), encoding="utf-8")
    command = [sys.executable, "-m", "whatsapp.fake", str(address), str(accounts)]
    with subprocess.Popen(command) as process:
        try:
            while not address.exists():
                assert process.poll() is None
                time.sleep(0.02)
            with Fake(address.read_text(encoding="utf-8")) as fake:
                fake.approve_templates()
                assert fake.send().status_code == 200
                (row,) = fake.ledger()
                age = datetime.now(UTC) - datetime.fromisoformat(row["at"])
                assert timedelta() <= age < timedelta(minutes=1)
                fake.advance(3600)
                now = datetime.fromisoformat(fake.control("GET", "clock")["now"])
                assert now - datetime.now(UTC) > timedelta(minutes=59)
                fake.control("POST", "reset", {})
                assert fake.ledger() == []
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)
    assert process.returncode in {0, -signal.SIGTERM}


def test_an_answer_takes_as_long_as_it_is_told(fake: Fake) -> None:
    fake.set(latency_seconds=0.1)
    begun = time.monotonic()
    assert fake.send().status_code == 200

    assert time.monotonic() - begun >= 0.1

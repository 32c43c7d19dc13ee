"""Sender, webhook, sync, tracking and faults together: nobody gets a message after SAIR.

`pytest --schedules 20000 tests/e2e/test_webhook_interleavings.py` plays a twentieth; a
failing one is printed with its seed and all that led to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.hook_schedule import HookSchedule
from tests.whatsapp.sending.virtual_time import run_in_virtual_time

if TYPE_CHECKING:
    import pytest

_PORTION = 10


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seeds" in metafunc.fixturenames:
        count = metafunc.config.getoption("--schedules") // 20
        portions = [range(i, min(i + _PORTION, count)) for i in range(0, count, _PORTION)]
        metafunc.parametrize("seeds", portions, ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")


def test_nobody_gets_a_message_after_sair_and_documents_say_what_was_told(seeds: range) -> None:
    opted_out = 0
    for seed in seeds:
        schedule = HookSchedule(seed)
        run_in_virtual_time(schedule.play())
        opted_out += len(schedule._opted_out)  # noqa: SLF001 - what its judge looked at
    assert opted_out > 0

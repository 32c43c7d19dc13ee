"""Real senders that die and freeze, among sync, tracking and faults: at most one message a cycle.

`pytest --schedules 20000 tests/e2e/test_send_interleavings.py` plays more of them; a failing one
is printed with its seed and all that led to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults.send_schedule import SendSchedule
from tests.whatsapp.sending.virtual_time import run_in_virtual_time

if TYPE_CHECKING:
    import pytest

_PORTION = 25


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seeds" in metafunc.fixturenames:
        count = metafunc.config.getoption("--schedules")
        portions = [range(i, min(i + _PORTION, count)) for i in range(0, count, _PORTION)]
        metafunc.parametrize("seeds", portions, ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")


def test_nobody_is_messaged_twice_late_or_against_their_will(seeds: range) -> None:
    accepted = 0
    for seed in seeds:
        schedule = SendSchedule(seed)
        run_in_virtual_time(schedule.play())
        accepted += len(schedule.world.accepted)
    # The schedules are not so hard that nothing gets through.
    assert accepted > len(seeds)

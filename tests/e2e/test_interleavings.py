"""Real senders that die and freeze, among sync, tracking and faults: at most one message a cycle.

`pytest --schedules 20000 tests/e2e/test_interleavings.py` plays more schedules; a failing one is
printed with its seed and all that led to it.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Any

from tests.faults.backends import EmulatorBackend
from tests.faults.schedule import Schedule
from tests.whatsapp.sending.virtual_time import run_in_virtual_time

if TYPE_CHECKING:
    import pytest

    from loader.base.environment import Environment
    from tests.faults.backends import Backend

_PORTION = 100
_ON_THE_EMULATOR = range(4)
_SITUATIONS = {
    "a budget is used up",
    "the portfolio is full",
    "the token died and came back",
    "two birthdays on one phone",
    "two laundromats on one number",
    "two syncs at a time",
    "sync met faults",
    "sync failed",
    "tracking failed",
    "is delivered",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seeds" in metafunc.fixturenames:
        count = metafunc.config.getoption("--schedules")
        portions = [range(i, min(i + _PORTION, count)) for i in range(0, count, _PORTION)]
        metafunc.parametrize("seeds", portions, ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")


def test_nobody_is_messaged_twice_late_or_against_their_will(seeds: range) -> None:
    accepted, seen = 0, Counter[str]()
    for seed in seeds:
        schedule = _played(seed)
        accepted += len(schedule.world.accepted)
        seen += schedule.seen
    # The schedules are not so hard that nothing gets through, and not so easy that nothing happens.
    assert accepted > len(seeds)
    assert len(seeds) < _PORTION or seen.keys() >= _SITUATIONS, _SITUATIONS - seen.keys()


def test_schedules_end_alike_on_googles_emulator(
    environment: Environment, google_firestore: str
) -> None:
    with closing(EmulatorBackend(google_firestore)) as emulator:
        for seed in _ON_THE_EMULATOR:
            google = _played(seed, emulator, f"{environment.project}-{seed}")
            assert _left(google) == _left(_played(seed))


def _played(seed: int, backend: Backend | None = None, project: str = "test") -> Schedule:
    schedule = Schedule(seed, backend, project)
    run_in_virtual_time(schedule.play())
    return schedule


def _left(schedule: Schedule) -> list[Any]:
    """Return all targets and attempts at the end, and what WhatsApp has accepted."""
    documents = [
        (found.name.split("/documents/")[-1], found.fields)
        for laundromat in schedule.documents.values()
        for found in [*laundromat.all(["BIRTHDAY", "REACTIVATION"]), *laundromat.sends()]
    ]
    return [*documents, *((message.at, message.to) for message in schedule.world.accepted)]

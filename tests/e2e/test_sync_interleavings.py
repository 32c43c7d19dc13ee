"""A sender acts at any point of a sync, hour after hour, with faults: nobody gets two messages.

`pytest --schedules 20000 tests/e2e/test_sync_interleavings.py` plays more schedules; a failing one
is printed with its seed and the events that led to it.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from loader.base.environment import Environment
from loader.firestore.client import connect
from tests.faults.backends import EmulatorBackend
from tests.faults.memory import MemoryBackend
from tests.faults.schedule import Schedule
from tests.faults.server import serving

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pytest

    from tests.faults.backends import Backend
    from tests.faults.sender import Found

_PORTION = 25
_ON_THE_EMULATOR = range(6)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seeds" in metafunc.fixturenames:
        count = metafunc.config.getoption("--schedules")
        portions = [range(i, min(i + _PORTION, count)) for i in range(0, count, _PORTION)]
        metafunc.parametrize("seeds", portions, ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")


def test_no_interleaving_of_sync_and_sender_breaks_a_promise(seeds: range) -> None:
    for _ in _played((seed, MemoryBackend(), "test-memory") for seed in seeds):
        pass


def test_the_same_schedules_end_alike_on_googles_emulator(environment: Environment) -> None:
    assert environment.firestore_host is not None
    with closing(EmulatorBackend(environment.firestore_host)) as emulator:
        googles = _played(
            (seed, emulator, f"{environment.project}-{seed}") for seed in _ON_THE_EMULATOR
        )
        ours = _played((seed, MemoryBackend(), "test-memory") for seed in _ON_THE_EMULATOR)
        for google, our in zip(googles, ours, strict=True):
            assert [(found.customer_id, found.fields) for found in google] == [
                (found.customer_id, found.fields) for found in our
            ]


def _played(settings: Iterable[tuple[int, Backend, str]]) -> Iterator[list[Found]]:
    """Play schedules, each with a backend and a project; yield the remaining documents."""
    nothing = MemoryBackend()
    with serving(nothing, is_split=True) as server, serving(nothing, is_split=True) as other:
        for seed, backend, project in settings:
            server.backend = other.backend = backend
            first, second = (
                connect(Environment(project, firestore_host=host))
                for host in (server.host, other.host)
            )
            yield Schedule(seed, server, first, other, second).play()

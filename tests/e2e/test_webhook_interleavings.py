"""Sender, webhook, sync, tracking and faults together: nobody gets a message after SAIR.

`pytest --schedules 20000 tests/e2e/test_webhook_interleavings.py` plays a twentieth; a
failing one is printed with its seed and all that led to it.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.faults.hook_schedule import HookSchedule
from tests.whatsapp.sending.virtual_time import run_in_virtual_time

_PORTION = 25
_SITUATIONS = {
    "is sent",
    "is read",
    "a webhook comes again",
    "arrives after it failed",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seeds" in metafunc.fixturenames:
        count = metafunc.config.getoption("--schedules") // 20
        portions = [range(i, min(i + _PORTION, count)) for i in range(0, count, _PORTION)]
        metafunc.parametrize("seeds", portions, ids=lambda seeds: f"{seeds[0]}-{seeds[-1]}")


def test_nobody_gets_a_message_after_sair_and_documents_say_what_was_told(seeds: range) -> None:
    opted_out, accepted, seen = 0, 0, Counter[str]()
    for seed in seeds:
        schedule = HookSchedule(seed)
        run_in_virtual_time(schedule.play())
        opted_out += len(schedule.warehouse.opted_out)
        accepted += len(schedule.world.accepted)
        seen += schedule.seen
    # The schedules are not so hard that nothing gets through, and not so easy that nothing happens.
    assert opted_out > 0
    assert accepted > len(seeds)
    assert len(seeds) < _PORTION or seen.keys() >= _SITUATIONS, _SITUATIONS - seen.keys()


@pytest.mark.parametrize("seed", [562, 2547, 3302])
def test_schedules_that_once_broke_a_promise_keep_it(seed: int) -> None:
    # 562: a sender that was frozen for eight hours wrote SENT behind tracking's watermark.
    # 2547: one POST told of two attempts of one target, and was refused for ever.
    # 3302: a target named one attempt's message, and had the receipts of another.
    run_in_virtual_time(HookSchedule(seed).play())

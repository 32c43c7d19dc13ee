"""The rate of writes over time: Firestore's 500/50/5 rule, and a fixed bound."""

from __future__ import annotations

import pytest

from loader.base.pace import Pace
from tests.loader.fakes import FakeClock

MINUTE = 60


def _written_by(pace: Pace, clock: FakeClock, minutes: float, batch: int = 500) -> int:
    """Write continuously for these minutes; return how much was written."""
    end = clock.now + minutes * MINUTE
    written = 0
    while clock.now < end:
        pace.wait(batch)
        written += batch
    return written


def test_the_first_request_goes_at_once_and_the_second_waits_for_its_time() -> None:
    clock = FakeClock()
    pace = Pace(clock=clock, sleep=clock.sleep)
    pace.wait(500)
    assert clock.sleeps == []
    pace.wait(250)
    pace.wait(500)
    assert clock.sleeps == pytest.approx([1.0, 0.5])


def test_the_ramp_grows_by_half_every_five_minutes() -> None:
    clock = FakeClock()
    pace = Pace(clock=clock, sleep=clock.sleep)
    rates = []
    for _ in range(5):
        rates.append(pace.rate())
        clock.now += 5 * MINUTE - 1
        assert pace.rate() == rates[-1]
        clock.now += 1
    assert rates == [500, 750, 1125, 1687.5, 2531.25]


@pytest.mark.parametrize(("minutes", "rate"), [(5, 500), (15, (500 + 750 + 1125) / 3)])
def test_no_stretch_of_a_run_writes_more_than_the_rule_allows(minutes: int, rate: float) -> None:
    clock = FakeClock()
    written = _written_by(Pace(clock=clock, sleep=clock.sleep), clock, minutes)
    assert written == pytest.approx(rate * minutes * MINUTE, rel=0.01)


def test_a_break_does_not_let_more_be_written_afterwards() -> None:
    clock = FakeClock()
    pace = Pace(100, clock=clock, sleep=clock.sleep)
    pace.wait(100)
    clock.now += MINUTE
    assert _written_by(pace, clock, 1, batch=10) <= 100 * MINUTE + 20


def test_a_fixed_rate_does_not_grow() -> None:
    clock = FakeClock()
    pace = Pace(20, clock=clock, sleep=clock.sleep)
    clock.now += 60 * MINUTE
    assert pace.rate() == 20
    assert _written_by(pace, clock, 10, batch=7) == pytest.approx(20 * 10 * MINUTE, rel=0.01)

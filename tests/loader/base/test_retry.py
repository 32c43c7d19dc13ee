"""Retries: for which errors, how long, and with which pauses."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from loader.base.errors import ServiceError
from loader.base.retry import Retry, Spell, resumed
from tests.loader.fakes import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class _Longest(Random):
    """The worst case of chance: always the longest pause."""

    def uniform(self, a: float, b: float) -> float:  # noqa: ARG002 - the parent names it
        return b


def _passing() -> ServiceError:
    return ServiceError("does not answer", is_transient=True)


def _fails(times: int, error: Callable[[], ServiceError] = _passing) -> Callable[[], str]:
    errors = [error() for _ in range(times)]

    def function() -> str:
        if errors:
            raise errors.pop()
        return "an answer"

    return function


def _retry(clock: FakeClock, rng: Random | None = None) -> Retry:
    return Retry(60, clock=clock, sleep=clock.sleep, rng=rng or Random(1))


def test_what_fails_for_a_moment_is_tried_again() -> None:
    clock = FakeClock()
    assert _retry(clock).call(_fails(5)) == "an answer"
    assert len(clock.sleeps) == 5


def test_what_fails_for_good_is_not_tried_again() -> None:
    clock = FakeClock()
    with pytest.raises(ServiceError, match="refused"):
        _retry(clock).call(_fails(1, lambda: ServiceError("refused")))
    assert clock.sleeps == []


def test_what_goes_on_failing_is_given_up_when_the_patience_is_over() -> None:
    clock = FakeClock()
    with pytest.raises(ServiceError, match="does not answer"):
        _retry(clock, _Longest()).call(_fails(1000))
    assert 60 <= sum(clock.sleeps) <= 70


def test_pauses_double_up_to_the_longest() -> None:
    clock = FakeClock()
    _retry(clock, _Longest()).call(_fails(9))
    assert clock.sleeps == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10]


def test_a_pause_may_be_of_any_length_up_to_its_longest() -> None:
    clock = FakeClock()
    retry = _retry(clock)
    for _ in range(1000):
        retry.pause(4)
    assert max(clock.sleeps) <= 1.6
    shares = [sum(low <= pause < low + 0.4 for pause in clock.sleeps) for low in (0, 0.4, 0.8, 1.2)]
    assert all(200 <= share <= 300 for share in shares)


def test_a_success_ends_the_spell_and_the_patience_begins_anew() -> None:
    clock = FakeClock()
    spell = Spell(_retry(clock))
    for _ in range(10):
        spell.failed(_passing())
        clock.now += 50
        spell.succeeded()
    spell.failed(_passing())
    clock.now += 60
    with pytest.raises(ServiceError):
        spell.failed(_passing())


def _broken_stream(length: int, breaks: list[int]) -> Callable[[int | None], Iterator[int]]:
    """Numbers below a length; each break ends one stream before that number."""

    def stream(last: int | None) -> Iterator[int]:
        for number in range(0 if last is None else last + 1, length):
            if breaks and breaks[0] == number:
                breaks.pop(0)
                raise _passing()
            yield number

    return stream


def test_a_stream_goes_on_behind_its_last_item_however_often_it_breaks() -> None:
    clock = FakeClock()
    breaks = [0, 0, 3, 4, 4, 9]
    assert list(resumed(_broken_stream(10, breaks), _retry(clock))) == list(range(10))
    assert breaks == []
    assert len(clock.sleeps) == 6


def test_a_stream_that_does_not_get_on_ends_with_its_error() -> None:
    items = resumed(_broken_stream(10, [5] * 1000), _retry(FakeClock()))
    assert [next(items) for _ in range(5)] == list(range(5))
    with pytest.raises(ServiceError):
        next(items)

"""Workers that answer, hang, die or do not start: each laundromat has exactly one result."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from loader.base.interrupts import Interrupts
from loader.fleet.pool import Pool
from loader.fleet.result import HourOutcome
from tests.loader.fleet.workers import (
    CNPJS,
    ODD,
    answer,
    answer_late,
    cannot_start,
    die,
    finish_when_told,
    hang,
    hang_when_told,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from loader.base.cnpj import Cnpj
    from loader.fleet.result import HourResult

ALL_OK = dict.fromkeys(CNPJS, HourOutcome.OK)


def pool(
    work: Any, *, jobs: int = 2, limit: float = 60, grace: float = 0.5, **options: Any
) -> Pool:
    told = {"setup": None, "interrupts": Interrupts(), **options}
    return Pool(jobs=jobs, limit_seconds=limit, grace_seconds=grace, work=work, **told)


def told_to_end(
    work: Any, order: list[Cnpj], waiting: Path, *, limit: float, **options: Any
) -> list[HourResult]:
    """Serve with one worker, and ask the run to stop once the worker says that it waits."""
    interrupts = Interrupts()
    with interrupts.held_back():
        # These workers only need the path.
        stopped = pool(
            work, jobs=1, limit=limit, setup=str(waiting), interrupts=interrupts, **options
        )
        end_when(waiting.exists)
        served = list(stopped.serve(order))
    assert interrupts.received is signal.SIGTERM
    return served


def outcomes(served: list[HourResult]) -> dict[str, HourOutcome]:
    assert len({item.cnpj for item in served}) == len(served)
    return {item.cnpj: item.outcome for item in served}


@pytest.mark.parametrize("jobs", [1, 2, 9])
def test_every_laundromat_is_served_once(jobs: int) -> None:
    assert outcomes(list(pool(answer, jobs=jobs).serve(CNPJS))) == ALL_OK


def test_without_laundromats_nothing_is_started() -> None:
    assert list(pool(cannot_start).serve([])) == []


def test_one_that_hangs_is_ended_and_the_others_are_served() -> None:
    served = list(pool(hang, limit=3).serve(CNPJS))
    assert outcomes(served) == ALL_OK | {ODD: HourOutcome.TIMED_OUT}
    [hung] = [item for item in served if item.cnpj == ODD]
    assert (hung.step, hung.error) == ("BUILD", "TimeLimitError")
    assert hung.reason == "ended after 3 seconds, the limit, at BUILD"


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_whose_process_is_killed_fails_alone(jobs: int) -> None:
    served = list(pool(die, jobs=jobs).serve(CNPJS))
    assert outcomes(served) == ALL_OK | {ODD: HourOutcome.FAILED}
    [dead] = [item for item in served if item.cnpj == ODD]
    assert (dead.step, dead.error) == ("BUILD", "WorkerDiedError")
    assert dead.reason == "its process was ended by SIGKILL at BUILD"


def test_when_no_worker_starts_nobody_is_started_and_the_pool_says_why() -> None:
    broken = pool(cannot_start)
    assert outcomes(list(broken.serve(CNPJS))) == dict.fromkeys(CNPJS, HourOutcome.NOT_STARTED)
    assert broken.problem == "no worker starts: dbt parse: it does not compile"


def test_one_that_answers_when_its_time_is_over_has_the_end_that_it_recorded() -> None:
    served = list(pool(answer_late, limit=2, grace=30).serve(CNPJS))
    assert outcomes(served) == ALL_OK
    [late] = [item for item in served if item.cnpj == ODD]
    assert not late.is_lost


def test_a_run_that_is_told_to_end_finishes_what_is_under_way_and_begins_nothing(
    tmp_path: Path,
) -> None:
    order = [ODD, *(cnpj for cnpj in CNPJS if cnpj != ODD)]
    served = told_to_end(finish_when_told, order, tmp_path / "waiting", limit=60, grace=10)
    assert outcomes(served) == dict.fromkeys(CNPJS, HourOutcome.NOT_STARTED) | {
        ODD: HourOutcome.INTERRUPTED
    }


def test_one_that_hangs_does_not_keep_a_run_from_ending_that_is_told_to(tmp_path: Path) -> None:
    served = told_to_end(
        hang_when_told,
        [ODD, CNPJS[0]],
        tmp_path / "waiting",
        limit=3600,
        grace=10,
        drain_seconds=0.5,
    )
    assert outcomes(served) == {ODD: HourOutcome.INTERRUPTED, CNPJS[0]: HourOutcome.NOT_STARTED}
    assert served[0].reason == "asked to stop, but did not in time, at BUILD"
    assert served[0].is_lost


def end_when(is_time: Callable[[], bool]) -> None:
    """Send this process a SIGTERM once a condition is true."""

    def send() -> None:
        while not is_time():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=send, daemon=True).start()

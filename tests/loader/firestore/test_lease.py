"""A laundromat is served by one run at a time, on Google's emulator."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from loader.firestore.lease import Lease, LeaseLostError, Leases, Refusal
from tests.support import AS_OF, NUMERIC_CNPJ, official_client

if TYPE_CHECKING:
    from datetime import datetime

    from loader.services import Services

LONG = timedelta(minutes=2)
SHORT = timedelta(milliseconds=300)


@pytest.fixture
def since(services: Services) -> datetime:
    return Leases(services.database, "clock", lasts=LONG).now()


def leases(services: Services, holder: str, lasts: timedelta = LONG) -> Leases:
    return Leases(services.database, holder, lasts=lasts)


def taken(leases: Leases, since: datetime) -> Lease:
    lease = leases.take(NUMERIC_CNPJ, since=since)
    assert isinstance(lease, Lease)
    return lease


def test_what_one_run_holds_another_does_not_get(services: Services, since: datetime) -> None:
    taken(leases(services, "a"), since)
    assert leases(services, "b").take(NUMERIC_CNPJ, since=since) is Refusal.HELD


def test_the_same_run_may_take_it_again(services: Services, since: datetime) -> None:
    taken(leases(services, "a"), since)
    taken(leases(services, "a"), since)


def test_what_was_given_back_unserved_is_free(services: Services, since: datetime) -> None:
    taken(leases(services, "a"), since).give_back(is_served=False)
    taken(leases(services, "b"), since)


def test_what_was_served_since_a_run_began_is_not_served_again(
    services: Services, since: datetime
) -> None:
    taken(leases(services, "a"), since).give_back(is_served=True)
    other = leases(services, "b")
    assert other.take(NUMERIC_CNPJ, since=since) is Refusal.SERVED
    # The next hour's run began later.
    taken(other, other.now())


def test_the_lease_of_a_dead_holder_is_taken_over_once_it_has_expired(
    services: Services, since: datetime
) -> None:
    taken(leases(services, "dead", SHORT), since)
    other = leases(services, "b")
    end = time.monotonic() + 30
    while other.take(NUMERIC_CNPJ, since=since) is Refusal.HELD:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_renewed_lease_outlasts_its_first_time(services: Services, since: datetime) -> None:
    # Valid for a very short time when taken, and for minutes when renewed.
    short, long = leases(services, "a", SHORT), leases(services, "a")
    taken(short, since)
    long.change(NUMERIC_CNPJ)
    time.sleep(SHORT.total_seconds())
    assert leases(services, "b").take(NUMERIC_CNPJ, since=since) is Refusal.HELD


def test_a_holder_that_was_taken_over_is_told(services: Services, since: datetime) -> None:
    lease = taken(leases(services, "a", timedelta()), since)
    taken(leases(services, "b"), since)
    for change in (lease.renew, lambda: lease.give_back(is_served=True)):
        with pytest.raises(LeaseLostError, match="another run has taken over 11222333000181"):
            change()
    assert leases(services, "c").take(NUMERIC_CNPJ, since=since) is Refusal.HELD


def test_of_many_who_want_it_at_once_one_gets_it(services: Services, since: datetime) -> None:
    results: list[Lease | Refusal] = []

    def take(holder: str) -> None:
        results.append(leases(services, holder).take(NUMERIC_CNPJ, since=since))

    threads = [threading.Thread(target=take, args=(f"run {number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert sum(isinstance(result, Lease) for result in results) == 1


def test_what_a_run_notes_the_next_one_reads(services: Services, since: datetime) -> None:
    lease = taken(leases(services, "a"), since)
    assert (lease.figures_as_of, lease.deployed) == (None, None)
    lease.note_figures(AS_OF)
    lease.note_deployed("v1")
    lease.give_back(is_served=True)
    after = leases(services, "b")
    lease = taken(after, after.now())
    assert (lease.figures_as_of, lease.deployed) == (AS_OF, "v1")


# What another program wrote


@pytest.mark.parametrize(
    "fields",
    [
        {"expiresAt": AS_OF.replace(year=9998), "holder": "x"},
        {"expiresAt": AS_OF.replace(year=2098), "holder": "x"},
        {"expiresAt": "tomorrow", "holder": "x"},
        {"servedAt": AS_OF.replace(year=9998)},
        {"holder": 7, "expiresAt": None, "deployed": {"a": 1}, "figuresAsOf": "text"},
    ],
    ids=repr,
)
def test_a_lease_that_no_run_can_have_taken_keeps_nobody_out(
    services: Services, since: datetime, fields: dict[str, Any]
) -> None:
    path = f"users/{NUMERIC_CNPJ}/operations/run"
    official_client(services.environment).document(path).set(fields)
    lease = taken(leases(services, "a"), since)
    assert (lease.figures_as_of, lease.deployed) == (None, None)

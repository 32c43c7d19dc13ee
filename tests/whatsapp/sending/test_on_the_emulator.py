"""The sender's calls against Google's Firestore emulator, and leases of portfolios."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from loader.firestore.aio import LostRaceError, connect_async
from loader.firestore.client import connect
from loader.firestore.lease import LeaseLostError, Leases, Refusal, portfolio_place
from tests.support import NUMERIC_CNPJ, official_client
from tests.whatsapp.sending.world import phone_of
from whatsapp.attempts import Attempt, result_fields, send_result
from whatsapp.outcomes import Accepted
from whatsapp.ownership import Ownership
from whatsapp.store import Store

if TYPE_CHECKING:
    from loader.base.environment import Environment
    from whatsapp.targets import SendState

NOW = datetime(2026, 11, 23, 13, tzinfo=UTC)
CNPJ = str(NUMERIC_CNPJ)


@pytest.fixture
def documents(environment: Environment) -> Environment:
    client = official_client(environment)
    client.document("users", CNPJ).set(
        {
            "whatsapp": {
                "phoneNumberId": "1",
                "wabaId": "2",
                "portfolioId": "3",
                "tokenSecret": "T",
                "enabled": True,
            }
        }
    )
    target = client.document("users", CNPJ, "campaigns", "BIRTHDAY", "targets", "c1")
    target.set(
        {
            "status": "PENDING",
            "attempts": 0,
            "phone": phone_of(1),
            "cycleKey": "2026",
            "expiresAt": NOW + timedelta(hours=5),
            "createdAt": NOW,
            "lastError": {"code": "190"},
            "data": {"message": "m", "template": {"name": "t", "language": "pt_BR"}},
        }
    )
    client.document("users", CNPJ, "suppressions", "s1").set(
        {"keys": ["phone:551190000002"], "resumedAt": NOW}
    )
    return environment


def check_written(found: SendState | None, send: SendState) -> None:
    """Check that an attempt is as it was written, with Firestore's own time in updatedAt."""
    assert found is not None
    updated_at = dict(found.fields)["updatedAt"]
    assert abs(updated_at - found.update_time) < timedelta(seconds=1)
    assert found == replace(send, fields={**send.fields, "updatedAt": updated_at})


def test_an_attempt_from_poll_to_record(documents: Environment) -> None:
    async def play() -> None:
        database = connect_async(documents)
        store = Store(database)
        try:
            accounts, broken = await store.accounts()
            assert accounts[CNPJ].portfolio_id == "3"
            assert not broken
            for cnpj in (None, CNPJ):
                (waiting,) = await store.waiting(cnpj)
                assert waiting.template == ("t", "pt_BR")
                assert waiting.open_since is None
            target = await store.target(waiting.name)
            assert target is not None
            assert not await store.is_suppressed(target)
            attempt = Attempt("a1", 1, NOW, "key", "3", "MARKETING")
            _, send = await store.claim(target, attempt)
            check_written((await store.both(target, attempt))[1], send)
            with pytest.raises(LostRaceError):
                await store.claim(target, Attempt("a2", 1, NOW, "key", "3"))
            assert await store.sent_people("3", NOW - timedelta(hours=1)) == [("key", NOW)]
            assert await store.sent_people("4", NOW - timedelta(hours=1)) == []
            assert await store.billed_sends(CNPJ, NOW) == {"MARKETING": 1}
            claimed = await store.target(waiting.name)
            assert claimed is not None
            assert claimed.has_open_attempt
            (waiting,) = await store.waiting()
            assert waiting.open_since == NOW
            result = Accepted("wamid.1")
            suppression = {"keys": ["customer:c1"], "optedOutAt": NOW}
            for _ in range(2):
                # Written again after a lost answer, it changes nothing.
                current, now = await store.both(target, attempt)
                assert current is not None
                assert now is not None
                said = send_result(result, now.fields)
                await store.record(
                    current,
                    attempt,
                    fields=result_fields(current, attempt, result),
                    send=(now, said) if said is not None else None,
                    suppression=suppression,
                )
            assert await store.waiting() == []
            assert await store.is_suppressed(claimed)
        finally:
            await database.close()

    asyncio.run(play())
    client = official_client(documents)
    target = client.document("users", CNPJ, "campaigns", "BIRTHDAY", "targets", "c1").get()
    fields = target.to_dict() or {}
    assert fields["status"] == "SENT"
    assert "claimedUntil" not in fields
    assert "lastError" not in fields
    assert fields["attemptLog"][0]["messageId"] == "wamid.1"
    send = client.document("users", CNPJ, "sends", "a1").get().to_dict() or {}
    assert (send["status"], send["phoneKey"]) == ("SENT", "key")


def test_one_process_sends_for_a_portfolio_and_the_next_takes_over(
    environment: Environment,
) -> None:
    database = connect(environment)

    def leases(holder: str) -> Leases:
        lasts = timedelta(seconds=3)
        return Leases(database, holder, lasts=lasts, place=portfolio_place)

    async def play() -> None:
        first = Ownership(leases("a"), clock=time.monotonic)
        second = Ownership(leases("b"), clock=time.monotonic)
        await first.take(["p"])
        assert await second.take(["p"]) == set()
        await first.give_back()
        assert not first.holds("p")
        await second.take(["p", "q"])
        assert leases("c").take("q", since=leases("c").now()) is Refusal.HELD
        await second.give_back()

    asyncio.run(play())


def test_a_lease_that_ran_out_is_another_ones(environment: Environment) -> None:
    database = connect(environment)
    lasts = timedelta(milliseconds=200)
    held = Leases(database, "a", lasts=lasts, place=portfolio_place)
    lease = held.take("p", since=held.now())
    assert not isinstance(lease, Refusal)
    time.sleep(0.4)
    other = Leases(database, "b", lasts=timedelta(seconds=30), place=portfolio_place)
    assert not isinstance(other.take("p", since=other.now()), Refusal)
    with pytest.raises(LeaseLostError):
        lease.renew()

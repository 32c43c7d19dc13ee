"""Receipts: to the attempt, to its target, forward only, in any order."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from typing import Any

import pytest

from loader.messages import TrackedDocument, history_rows
from tests.support import ALPHANUMERIC_CNPJ
from tests.whatsapp.calls import OTHER_NUMBER
from tests.whatsapp.sending.virtual_time import run_in_virtual_time
from tests.whatsapp.sending.world import CNPJ, phone_of
from tests.whatsapp.webhook.world import Hooked, body, status

OTHER = str(ALPHANUMERIC_CNPJ)
TARGET = f"users/{CNPJ}/campaigns/BIRTHDAY/targets/c1"
PRICING = {
    "billable": True,
    "pricing_model": "PMP",
    "type": "regular",
    "category": "marketing_lite",
}


@pytest.fixture
def world() -> Hooked:
    world = Hooked()
    world.laundromat()
    return world


def tell(world: Hooked, *bodies: dict[str, Any]) -> list[int]:
    async def play() -> list[int]:
        return await world.posted(await world.service(), *bodies)

    return run_in_virtual_time(play())


def after(world: Hooked, minutes: float) -> Any:
    return world.began + timedelta(minutes=minutes)


def test_a_message_is_sent_delivered_and_read(world: Hooked) -> None:
    world.under_way()
    answers = tell(
        world,
        body(statuses=[status("sent", after(world, 1), pricing=PRICING)]),
        body(statuses=[status("delivered", after(world, 2), pricing=PRICING)]),
        body(statuses=[status("read", after(world, 3), recipient_user_id="BR.1")]),
    )
    assert answers == [200, 200, 200]
    send = world.send()
    assert send["status"] == "READ"
    assert (send["deliveredAt"], send["readAt"]) == (after(world, 2), after(world, 3))
    assert (send["messageId"], send["userId"]) == ("wamid.1", "BR.1")
    assert send["pricing"] == {
        "billable": True,
        "model": "PMP",
        "type": "regular",
        "category": "marketing_lite",
    }
    target = world.get(TARGET)
    assert (target["status"], target["attempts"], target["messageId"]) == (
        "DELIVERED",
        1,
        "wamid.1",
    )
    assert (target["deliveredAt"], target["readAt"]) == (after(world, 2), after(world, 3))
    assert "claimedUntil" not in target
    (entry,) = target["attemptLog"]
    assert (entry["status"], entry["messageId"]) == ("READ", "wamid.1")


@pytest.mark.parametrize(
    ("contacts", "named"),
    [
        ([{"wa_id": "551190000001"}], {"recipient_id": "551190000001"}),
        (None, {"recipient_id": "5511990000001"}),
        (None, {"recipient_user_id": "BR.1"}),
        ([{"user_id": "BR.1"}], {"recipient_user_id": "BR.1"}),
        (None, {}),
    ],
    ids=["contacts", "no contacts", "user id", "user id in contacts", "nobody"],
)
@pytest.mark.parametrize("said", ["delivered", "failed"])
def test_a_status_is_applied_whoever_it_names(
    world: Hooked, said: str, contacts: Any, named: dict[str, str]
) -> None:
    world.under_way()
    code = 131026 if said == "failed" else None
    told = body(statuses=[status(said, after(world, 1), code=code, **named)])
    if contacts is not None:
        told["entry"][0]["changes"][0]["value"]["contacts"] = contacts
    assert tell(world, told) == [200]
    send = world.send()
    assert (send["status"], world.get(TARGET)["status"]) == (said.upper(), said.upper())
    assert send.get("userId") == named.get("recipient_user_id")


def test_read_alone_sets_delivered_too_and_the_earliest_instant_wins(world: Hooked) -> None:
    world.under_way()
    tell(world, body(statuses=[status("read", after(world, 3))]))
    assert world.get(TARGET)["deliveredAt"] == after(world, 3)
    tell(world, body(statuses=[status("delivered", after(world, 2))]))
    assert world.get(TARGET)["deliveredAt"] == after(world, 2)
    assert world.send()["status"] == "READ"
    tell(world, body(statuses=[status("delivered", after(world, 9))]))
    assert world.send()["deliveredAt"] == after(world, 2)


def test_what_is_repeated_writes_nothing(world: Hooked) -> None:
    world.under_way()
    told = body(statuses=[status("delivered", after(world, 2))])
    tell(world, told)
    before = world.get(TARGET), world.send()
    world.pass_time(timedelta(hours=1))
    assert tell(world, told, told) == [200, 200]
    assert (world.get(TARGET), world.send()) == before


@pytest.mark.parametrize("said", ["sent", "delivered", "read", "failed"])
def test_a_status_settles_an_attempt_of_unknown_outcome_whatever_it_says(
    world: Hooked, said: str
) -> None:
    world.under_way()
    world.sent(status="UNKNOWN")
    tell(world, body(statuses=[status(said, after(world, 1), code=131026)]))
    target = world.get(TARGET)
    assert target["attemptLog"][0]["status"] == said.upper()
    assert world.send()["status"] == said.upper()
    assert target["status"] == {"read": "DELIVERED"}.get(said, said.upper())
    assert target["attempts"] == 1


def test_failed_then_delivered_is_delivered_in_either_order() -> None:
    found = []
    for step in (1, -1):
        world = Hooked()
        world.laundromat()
        world.under_way()
        told = [
            body(statuses=[status("failed", after(world, 1), code=131026)]),
            body(statuses=[status("delivered", after(world, 2))]),
        ]
        tell(world, *told[::step])
        found.append((world.get(TARGET), world.send()))
    for target, send in found:
        del target["updatedAt"], send["updatedAt"]
    assert found[0] == found[1]
    target, send = found[0]
    assert (target["status"], target["attempts"]) == ("DELIVERED", 1)
    assert "lastError" not in target
    assert "error" not in send


@pytest.mark.parametrize(
    ("code", "becomes", "attempts", "hours"),
    [
        (131000, "FAILED", 1, 0.25),
        (131049, "FAILED", 1, 24),
        (131026, "FAILED", 1, None),
        (132012, "FAILED", 1, None),
        (132015, "PENDING", 0, None),
        (131042, "PENDING", 0, None),
        (999_999, "FAILED", 0, None),
        (None, "FAILED", 0, None),
    ],
)
def test_a_failed_status_is_what_the_same_answer_to_the_post_would_be(
    world: Hooked, code: int | None, becomes: str, attempts: int, hours: float | None
) -> None:
    world.under_way()
    sent = body(statuses=[status("sent", after(world, 1))])
    tell(world, sent, body(statuses=[status("failed", after(world, 2), code=code)]))
    target = world.get(TARGET)
    assert target["status"] == becomes
    assert target["attempts"] == attempts
    assert target["lastError"]["code"] == (str(code) if code else "no_code")
    assert world.send()["error"] == target["lastError"]
    again = target.get("nextAttemptAt")
    if hours is None:
        assert again is None
    else:
        wanted = timedelta(hours=hours)
        assert 0.79 * wanted <= again - after(world, 2) <= 1.21 * wanted


def test_who_stopped_marketing_is_suppressed_before_the_failure_is_written(world: Hooked) -> None:
    world.under_way()
    told = status(
        "failed", after(world, 1), code=131050, recipient_id="551190000001", recipient_user_id="B"
    )
    tell(world, body(statuses=[told]), body(statuses=[told]))
    (found,) = world.suppressions()
    assert found["source"] == "WHATSAPP_PREFERENCES"
    assert found["keys"] == ["customer:c1", "phone:551190000001", "user:B"]
    assert found["phone"] == phone_of(1) == "+5511990000001"
    assert found["optedOutAt"] == after(world, 1)
    assert world.get(TARGET)["status"] == "FAILED"


# Two attempts


def two_attempts(world: Hooked, **changes: Any) -> None:
    """Attempt 1 has failed, and the target waits for attempt 2."""
    error = {"code": "131000", "message": "m", "recoverable": True}
    entry = {"attempt": 1, "attemptId": "a1", "at": world.began, "status": "FAILED"}
    world.sent(status="FAILED", error=error)
    world.target(attempts=1, attemptLog=[entry | {"error": error}], **changes)


def test_a_receipt_of_an_earlier_attempt_cancels_the_one_that_waits(world: Hooked) -> None:
    two_attempts(world, nextAttemptAt=world.began)
    tell(world, body(statuses=[status("delivered", after(world, 2))]))
    target = world.get(TARGET)
    assert (target["status"], target["attempts"]) == ("DELIVERED", 1)
    assert target["deliveredAt"] == after(world, 2)
    assert "nextAttemptAt" not in target

    async def send() -> None:
        await world.once()

    run_in_virtual_time(send())
    assert world.accepted == ()


def test_an_attempt_under_way_is_not_cancelled_but_its_failure_ends_nothing(world: Hooked) -> None:
    two_attempts(world)
    log = world.get(TARGET)["attemptLog"]
    second = {"attempt": 2, "attemptId": "a2", "at": world.began, "status": "SENDING"}
    world.put(TARGET, {"attemptLog": [*log, second]})
    world.sent("a2", attempt=2)
    tell(world, body(statuses=[status("delivered", after(world, 2))]))
    target = world.get(TARGET)
    assert target["status"] == "PENDING"
    assert [entry["status"] for entry in target["attemptLog"]] == ["DELIVERED", "SENDING"]
    failed = status("failed", after(world, 3), attempt="a2", message_id="wamid.2", code=131000)
    tell(world, body(statuses=[failed]))
    target = world.get(TARGET)
    assert target["status"] == "DELIVERED"
    assert [entry["status"] for entry in target["attemptLog"]] == ["DELIVERED", "FAILED"]


@pytest.mark.parametrize("order", [1, -1])
def test_two_attempts_of_one_target_may_be_told_of_in_one_post(world: Hooked, order: int) -> None:
    failed = {"attempt": 1, "attemptId": "a1", "at": world.began, "status": "FAILED"}
    failed["error"] = {"code": "131042", "recoverable": True}
    sending = {"attempt": 2, "attemptId": "a2", "at": world.began, "status": "SENDING"}
    world.sent("a1", status="FAILED", error=failed["error"], messageId="wamid.1")
    world.sent("a2", attempt=2)
    world.target(attemptLog=[failed, sending])
    told = [
        status("read", after(world, 1), attempt="a1"),
        status("failed", after(world, 2), attempt="a2", message_id="wamid.2", code=131026),
    ]
    assert tell(world, body(statuses=told[::order])) == [200]
    assert (world.send("a1")["status"], world.send("a2")["status"]) == ("READ", "FAILED")
    target = world.get(TARGET)
    assert [entry["status"] for entry in target["attemptLog"]] == ["READ", "FAILED"]
    # The person has a message, so no other is sent; the target is about that message.
    assert (target["status"], target["messageId"]) == ("DELIVERED", "wamid.1")


@pytest.mark.parametrize("second", ["sent", "failed", "read"])
@pytest.mark.parametrize("seed", range(6))
def test_receipts_on_a_target_are_those_of_the_message_that_it_names(
    world: Hooked, second: str, seed: int
) -> None:
    two_attempts(world)
    log = world.get(TARGET)["attemptLog"]
    sending = {"attempt": 2, "attemptId": "a2", "at": world.began, "status": "SENDING"}
    world.put(TARGET, {"attemptLog": [*log, sending]})
    world.sent("a2", attempt=2)
    code = 131026 if second == "failed" else None
    told = [
        status("delivered", after(world, 1)),
        status("read", after(world, 2)),
        status("sent", after(world, 3), attempt="a2", message_id="wamid.2"),
        status(second, after(world, 4), attempt="a2", message_id="wamid.2", code=code),
    ]
    random.Random(seed).shuffle(told)
    tell(world, *(body(statuses=[one]) for one in told))
    target = world.get(TARGET)
    assert target["status"] == "DELIVERED"
    document = TrackedDocument(CNPJ, "BIRTHDAY", "c1", world.now(), target)
    first, newest = history_rows(document, world.now())[0]
    assert (first.status, newest.status) == ("READ", second.upper())
    if second == "read":
        assert (newest.delivered_at, newest.read_at) == (after(world, 4), after(world, 4))
        assert (first.delivered_at, first.read_at) == (None, None)
    else:
        assert (newest.delivered_at, newest.read_at) == (None, None)
        assert first.read_at in {None, after(world, 2)}


def test_a_target_of_another_cycle_is_left_alone(world: Hooked) -> None:
    world.sent()
    world.target(cycleKey="2027")
    before = world.get(TARGET)
    tell(world, body(statuses=[status("delivered", after(world, 2))]))
    assert world.get(TARGET) == before
    assert world.send()["status"] == "DELIVERED"


def test_the_attempt_alone_is_written_when_the_target_is_gone(world: Hooked) -> None:
    world.sent()
    assert tell(world, body(statuses=[status("delivered", after(world, 2))])) == [200]
    assert world.send()["status"] == "DELIVERED"


# Whose it is


def test_without_callback_data_the_message_id_tells(world: Hooked) -> None:
    world.under_way()
    world.sent(messageId="wamid.1", status="SENT")
    tell(world, body(statuses=[status("delivered", after(world, 2), attempt=None)]))
    assert world.get(TARGET)["status"] == "DELIVERED"


def test_another_number_tells_nothing_about_a_laundromats_attempt(world: Hooked) -> None:
    world.laundromat(OTHER, phoneNumberId=OTHER_NUMBER)
    world.under_way()
    world.sent(messageId="wamid.1")
    before = world.get(TARGET), world.send()
    for attempt in ("a1", None):
        told = status("delivered", after(world, 2), attempt=attempt)
        assert tell(world, body(statuses=[told], number=OTHER_NUMBER)) == [200]
    assert (world.get(TARGET), world.send()) == before
    assert len(world.all_below("unmatched")) == 1


def test_several_laundromats_in_one_post(world: Hooked) -> None:
    world.laundromat(OTHER, phoneNumberId=OTHER_NUMBER, wabaId="3002")
    world.sent()
    world.sent("b1", cnpj=OTHER)
    one = body(statuses=[status("delivered", after(world, 1))])
    two = body(
        statuses=[
            status("read", after(world, 2), attempt="b1", cnpj=OTHER, message_id="wamid.2"),
            status("delivered", after(world, 2), attempt="a1", message_id="wamid.3"),
        ],
        number=OTHER_NUMBER,
    )
    assert tell(world, {**one, "entry": one["entry"] + two["entry"]}) == [200]
    assert world.send()["deliveredAt"] == after(world, 1)
    assert world.send("b1", cnpj=OTHER)["status"] == "READ"


def test_an_inactive_laundromat_still_gets_its_receipts(world: Hooked) -> None:
    user = world.get(f"users/{CNPJ}")
    world.put(f"users/{CNPJ}", {**user, "active": False})
    world.sent()
    tell(world, body(statuses=[status("delivered", after(world, 1))]))
    assert world.send()["status"] == "DELIVERED"


def test_an_unknown_message_waits_without_personal_data_and_is_tried_again(world: Hooked) -> None:
    told = status(
        "delivered",
        after(world, 1),
        attempt=None,
        recipient_id="5511990000001",
        recipient_user_id="BR.1",
        pricing=PRICING,
    )

    async def play() -> None:
        service = await world.service()
        assert await world.posted(service, body(statuses=[told]), body(statuses=[told])) == [
            200,
            200,
        ]
        (kept,) = world.all_below("unmatched").values()
        assert "5511990000001" not in json.dumps(kept, default=str)
        assert "BR.1" not in json.dumps(kept, default=str)
        world.under_way()
        await service.try_again()
        assert len(world.all_below("unmatched")) == 1
        world.sent(messageId="wamid.1", status="SENT")
        world.pass_time(timedelta(hours=1))
        await service.try_again()
        assert world.all_below("unmatched") == {}
        assert service.matched_late == 1

    run_in_virtual_time(play())
    assert world.get(TARGET)["status"] == "DELIVERED"
    assert world.send()["pricing"]["category"] == "marketing_lite"


def test_after_eight_days_an_unknown_message_is_dropped_and_counted(world: Hooked) -> None:
    async def play() -> None:
        service = await world.service()
        told = status("delivered", after(world, 1), attempt=None)
        await world.posted(service, body(statuses=[told]))
        for _ in range(40):
            world.pass_time(timedelta(hours=6))
            await service.try_again()
        assert (service.matched_late, service.dropped) == (0, 1)

    run_in_virtual_time(play())
    assert world.all_below("unmatched") == {}


def test_another_programs_messages_and_other_statuses_are_ignored(world: Hooked) -> None:
    async def play() -> None:
        service = await world.service()
        told = [
            status("delivered", after(world, 1), attempt=None)
            | {"biz_opaque_callback_data": "order 7"},
            status("deleted", after(world, 1)),
        ]
        assert await world.posted(service, body(statuses=told)) == [200]
        assert service.counts()["items"] == {"ignored": 2}

    run_in_virtual_time(play())
    assert world.all_below("unmatched") == {}


# The sender, at the same time


def test_the_webhook_may_come_before_the_posts_answer(world: Hooked) -> None:
    """Between the acceptance and the answer, everything is told already."""
    world.target()

    async def play() -> None:
        service = await world.service()

        async def tell_all(_what: str, moment: str) -> None:
            if moment == "after" and world.accepted:
                (message,) = world.accepted
                data = message.callback_data
                told = [
                    status(said, world.now(), attempt=None, message_id=message.id)
                    | {"biz_opaque_callback_data": data}
                    for said in ("sent", "delivered")
                ]
                assert await world.posted(service, body(statuses=told), rest=False) == [200]

        world.transport.hook = tell_all
        await world.once()

    run_in_virtual_time(play())
    target = world.get(TARGET)
    (send,) = world.sends()
    assert (target["status"], target["attempts"], send["status"]) == ("DELIVERED", 1, "DELIVERED")
    assert target["attemptLog"][0]["status"] == "DELIVERED"
    assert "claimedUntil" not in target


@pytest.mark.parametrize("kind", ["accept_and_reset", "accept_and_gateway_error"])
def test_an_unknown_answer_does_not_take_back_what_a_webhook_said(world: Hooked, kind: str) -> None:
    world.target()
    world.rule(kind)

    async def play() -> None:
        service = await world.service()

        async def tell_all(_what: str, moment: str) -> None:
            if moment == "before":
                return
            for message in world.accepted:
                told = status("read", world.now(), attempt=None, message_id=message.id)
                told["biz_opaque_callback_data"] = message.callback_data
                await world.posted(service, body(statuses=[told]), rest=False)

        world.channel.hook = tell_all
        await world.once()

    run_in_virtual_time(play())
    (send,) = world.sends()
    assert send["status"] == "READ"
    assert world.get(TARGET)["status"] == "DELIVERED"


# Races


def test_a_lost_race_is_decided_anew_and_loses_nothing(world: Hooked) -> None:
    for number in range(5):
        world.under_way(f"a{number}", customer_id=f"c{number}")
    raced: list[int] = []

    async def somebody_is_faster(what: str, moment: str) -> None:
        if what == "Commit" and moment == "before" and not raced:
            raced.append(1)
            world.put(f"users/{CNPJ}/campaigns/BIRTHDAY/targets/c3", {"expiresAt": world.began})

    world.hook_channel.hook = somebody_is_faster
    told = [
        status("delivered", after(world, 1), attempt=f"a{number}", message_id=f"wamid.{number}")
        for number in range(5)
    ]
    assert tell(world, body(statuses=told)) == [200]
    for number in range(5):
        target = world.get(f"users/{CNPJ}/campaigns/BIRTHDAY/targets/c{number}")
        assert target["status"] == "DELIVERED"
    assert world.get(f"users/{CNPJ}/campaigns/BIRTHDAY/targets/c3")["expiresAt"] == world.began

"""Events of templates, numbers and limits, and failures that are not one customer's."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import AS_OF
from tests.whatsapp.calls import NUMBER, WABA
from tests.whatsapp.sending.virtual_time import run_in_virtual_time
from tests.whatsapp.sending.world import CNPJ, phone_of
from tests.whatsapp.webhook.world import Hooked, body, status, whole
from whatsapp.fake.config import Portfolio
from whatsapp.news import read_news

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from whatsapp.sender import Sender
    from whatsapp.webhook.process import Service

    Steps = Callable[[Sender, Service], Awaitable[None]]

SCOPE = f"{WABA}/vmhub_test_v1/pt_BR"


@pytest.fixture
def world() -> Hooked:
    world = Hooked()
    world.laundromat()
    return world


def news(world: Hooked, field: str, **value: Any) -> dict[str, Any]:
    return whole({"field": field, "value": value}, at=int(world.now().timestamp()))


def template(world: Hooked, event: str, **more: Any) -> dict[str, Any]:
    named = {
        "message_template_id": 1,
        "message_template_name": "vmhub_test_v1",
        "message_template_language": "pt_BR",
    }
    return news(world, "message_template_status_update", event=event, **named, **more)


def while_sending(world: Hooked, steps: Steps) -> None:
    """Let a sender run, that has sent one message, while something happens."""
    world.target()

    async def play() -> None:
        sender, service = await world.sender(), await world.service()
        running = asyncio.create_task(sender.run(once=False))
        await asyncio.sleep(10)
        assert len(world.accepted) == 1
        await steps(sender, service)
        sender.stop()
        await running

    run_in_virtual_time(play())


def test_a_template_that_is_paused_stops_at_once_and_goes_on_when_it_is_approved(
    world: Hooked,
) -> None:
    async def steps(_sender: Sender, service: Service) -> None:
        assert await world.posted(service, template(world, "PAUSED", reason="NONE")) == [200]
        await asyncio.sleep(5)
        world.target("c2", phone=phone_of(2))
        await asyncio.sleep(30)
        assert len(world.accepted) == 1
        assert await world.posted(service, template(world, "APPROVED")) == [200]
        await asyncio.sleep(40)
        assert len(world.accepted) == 2

    while_sending(world, steps)
    # The fake's list said APPROVED all the time: it was the event that stopped it.


def test_an_event_is_recorded_once_and_an_older_one_changes_nothing(world: Hooked) -> None:
    async def steps(sender: Sender, service: Service) -> None:
        before = template(world, "APPROVED")
        await asyncio.sleep(10)
        paused = template(world, "PAUSED", reason="NONE")
        assert await world.posted(service, paused, paused, before) == [200, 200, 200]
        world.target("c2", phone=phone_of(2))
        await asyncio.sleep(5)
        (pause,) = sender._desk.pauses.current(world.now())  # noqa: SLF001
        assert (pause.key, pause.reason) == (SCOPE, "PAUSED")
        rows = service.log._rows["webhook_events"]  # noqa: SLF001
        assert [(row["event"], row["template"]) for row in rows] == [
            ("PAUSED", "vmhub_test_v1 pt_BR")
        ]

    while_sending(world, steps)


def test_a_category_that_changes_is_read_anew_before_the_next_message(world: Hooked) -> None:
    async def steps(_sender: Sender, service: Service) -> None:
        known = next(one for one in world.state.templates.values() if one.waba_id == WABA)
        world.state.change_template(known.id, category="UTILITY")
        named = {
            "message_template_name": "vmhub_test_v1",
            "message_template_language": "pt_BR",
        }
        told = news(world, "template_category_update", new_category="UTILITY", **named)
        await world.posted(service, told)
        await asyncio.sleep(5)
        world.target("c2", phone=phone_of(2))
        await asyncio.sleep(10)
        assert [message.endpoint for message in world.accepted] == [
            "marketing_messages",
            "messages",
        ]
        assert "131063" not in {call.outcome for call in world.state.ledger.calls}

    while_sending(world, steps)


def test_a_limit_that_changes_is_heeded_at_once(world: Hooked) -> None:
    async def steps(sender: Sender, service: Service) -> None:
        world.state.portfolios["1001"] = Portfolio(id="1001", people_in_24_hours=2000)
        assert sender._desk.people["1001"].left(world.now()) == 224  # noqa: SLF001
        told = news(world, "business_capability_update", max_daily_conversations_per_business=2000)
        await world.posted(service, told)
        world.target("c2", template="none")
        await asyncio.sleep(5)
        assert sender._desk.people["1001"].left(world.now()) == 1799  # noqa: SLF001

    while_sending(world, steps)


def test_a_restricted_account_pauses_its_numbers_until_it_is_reinstated(world: Hooked) -> None:
    async def steps(_sender: Sender, service: Service) -> None:
        restriction = [{"restriction_type": "RESTRICTED_BIZ_INITIATED_MESSAGING"}]
        told = news(
            world, "account_update", event="ACCOUNT_RESTRICTION", restriction_info=restriction
        )
        await world.posted(service, told)
        await asyncio.sleep(5)
        world.target("c2", phone=phone_of(2))
        await asyncio.sleep(60)
        assert len(world.accepted) == 1
        ban = {"waba_ban_state": "REINSTATE"}
        told = news(world, "account_update", event="DISABLED_UPDATE", ban_info=ban)
        await world.posted(service, told)
        await asyncio.sleep(60)
        assert len(world.accepted) == 2

    while_sending(world, steps)


@pytest.mark.parametrize(
    ("code", "kind", "key"),
    [
        (131042, "number", NUMBER),
        (132015, "template", SCOPE),
        (190, "token", "TOKEN_A"),
        (131048, "portfolio", "1001"),
    ],
)
def test_a_failed_status_pauses_what_the_same_answer_would(
    world: Hooked, code: int, kind: str, key: str
) -> None:
    async def steps(sender: Sender, service: Service) -> None:
        (message,) = world.accepted
        told = status("failed", world.now(), attempt=None, message_id=message.id, code=code)
        told["biz_opaque_callback_data"] = message.callback_data
        await world.posted(service, body(statuses=[told]))
        await asyncio.sleep(5)
        assert [
            (pause.kind.value, pause.key)
            for pause in sender._desk.pauses.current(world.now())  # noqa: SLF001
        ] == [(kind, key)]
        # It waits, and is not counted.
        target = world.get(f"users/{CNPJ}/campaigns/BIRTHDAY/targets/c1")
        assert (target["status"], target["attempts"]) == ("PENDING", 0)
        await asyncio.sleep(30)
        assert len(world.accepted) == 1

    while_sending(world, steps)


def test_news_of_hours_ago_pause_nothing(world: Hooked) -> None:
    async def steps(sender: Sender, service: Service) -> None:
        at = int((world.now() - timedelta(hours=4)).timestamp())
        old = template(world, "PAUSED")
        old["entry"][0]["time"] = at
        await world.posted(service, old)
        world.target("c2", phone=phone_of(2))
        await asyncio.sleep(5)
        assert sender._desk.pauses.current(world.now()) == []  # noqa: SLF001

    while_sending(world, steps)


def test_an_announced_category_and_other_fields_are_ignored_and_strangers_rejected(
    world: Hooked,
) -> None:
    async def play() -> None:
        service = await world.service()
        named = {"message_template_name": "t", "message_template_language": "pt_BR"}
        told = [
            news(world, "template_category_update", correct_category="UTILITY", **named),
            news(world, "flows", event="X"),
            template(world, "PAUSED") | {},
            news(world, "message_template_status_update", event="paused!"),
        ]
        told[2]["entry"][0]["id"] = "9999"
        assert await world.posted(service, *told) == [200] * 4
        assert service.counts()["items"] == {"ignored": 2, "rejected": 2}

    run_in_virtual_time(play())


@pytest.mark.parametrize(
    "changes",
    [{"at": "yesterday"}, {"at": None}, {"event": "x"}, {"reason": "weather"}, {"reason": None}],
)
def test_a_document_that_somebody_has_changed_is_no_news(changes: dict[str, Any]) -> None:
    fields = {"kind": "failure", "at": AS_OF, "event": "131042", "reason": "laundromat"}
    assert read_news(fields) is not None
    assert read_news(fields | changes) is None

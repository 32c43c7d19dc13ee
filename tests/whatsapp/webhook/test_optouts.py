"""Opt-outs: committed before the 200, respected by the sender, confirmed once at most."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from tests.support import ALPHANUMERIC_CNPJ
from tests.whatsapp.calls import NUMBER
from tests.whatsapp.sending.connections import rpc_error
from tests.whatsapp.sending.virtual_time import run_in_virtual_time
from tests.whatsapp.sending.world import CNPJ, phone_of
from tests.whatsapp.webhook.world import Hooked, body, inbound
from whatsapp.fake.config import Recipient
from whatsapp.fake.events import webhook_event
from whatsapp.fake.payloads import body as fake_body
from whatsapp.fake.telling import happen

if TYPE_CHECKING:
    from datetime import datetime

OTHER = str(ALPHANUMERIC_CNPJ)
ANA = phone_of(1).removeprefix("+")


@pytest.fixture
def world() -> Hooked:
    world = Hooked()
    world.laundromat()
    world.put(f"users/{CNPJ}", {"name": "Lavanderia Ipê"})
    return world


def tell(world: Hooked, *bodies: Any) -> list[int]:
    async def play() -> list[int]:
        return await world.posted(await world.service(), *bodies)

    return run_in_virtual_time(play())


def happened(world: Hooked, kind: str, **event: Any) -> list[bytes]:
    """Let something happen at WhatsApp, and return its webhooks."""
    world.state.clock.set(world.now())
    told = {"kind": kind, "number_id": NUMBER, "sender": ANA} | event
    happen(world.state, webhook_event.validate_python(told))
    found = []
    while world.state.webhooks._queue:  # noqa: SLF001 - what a delivery would take
        item: Any = world.state.webhooks._queue.pop(0).what  # noqa: SLF001
        found.append(fake_body([item]))
    return found


def confirmations(world: Hooked) -> list[str]:
    return [message.text for message in world.accepted if message.template is None]


def test_sair_suppresses_the_person_and_is_confirmed_once(world: Hooked) -> None:
    world.target()
    told = happened(world, "reply", text="Sair!")
    assert tell(world, *told, *told) == [200, 200]
    (found,) = world.suppressions()
    assert found["source"] == "WHATSAPP_TEXT"
    assert found["keys"] == ["phone:551190000001"]
    assert found["phone"] == "+5511990000001"
    assert found["optedOutAt"] == world.began
    assert found["messageId"].startswith("wamid")
    (text,) = confirmations(world)
    assert text == (
        "Pronto! Você não vai mais receber promoções da Lavanderia Ipê por aqui. "
        "Se mudar de ideia, é só avisar a nossa equipe."
    )

    async def send() -> None:
        await world.once()

    run_in_virtual_time(send())
    assert len(world.accepted) == 1


def test_the_suppression_stands_before_the_answer_and_the_confirmation_holds_nothing_back(
    world: Hooked,
) -> None:
    world.rule("accept_and_hang")
    told = happened(world, "reply", text="sair")

    async def play() -> None:
        service = await world.service()
        began = world.now()
        assert await world.posted(service, *told, rest=False) == [200]
        assert world.now() - began < timedelta(seconds=1)
        assert len(world.suppressions()) == 1
        await service.confirmations.drain(60)
        assert service.counts()["confirmations"] == {"unknown": 1}

    run_in_virtual_time(play())
    # Of a confirmation of which nobody knows there is no second one.
    assert tell(world, *told) == [200]
    assert len(confirmations(world)) == 1


@pytest.mark.parametrize("call", [1, 2, 3, 4])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_without_firestore_there_is_no_200_and_the_repetition_completes_all(
    world: Hooked, moment: str, call: int
) -> None:
    world.under_way()
    told = happened(world, "reply", text="sair")
    calls = 0

    async def fail(what: str, when: str) -> None:
        nonlocal calls
        if what == "Commit" and when == moment:
            calls += 1
            if calls == call:
                raise rpc_error(grpc.StatusCode.UNAVAILABLE)

    world.hook_channel.hook = fail
    answers = tell(world, *told)
    if answers == [200]:
        assert len(world.suppressions()) == 1
    world.hook_channel.hook = _nothing
    assert tell(world, *told) == [200]
    assert len(world.suppressions()) == 1
    assert len(confirmations(world)) <= 1


async def _nothing(_what: str, _moment: str) -> None:
    pass


def test_firestore_down_for_an_hour(world: Hooked) -> None:
    told = happened(world, "reply", text="sair")

    async def down(_what: str, _moment: str) -> None:
        raise rpc_error(grpc.StatusCode.UNAVAILABLE)

    world.hook_channel.hook = down
    for _ in range(4):
        assert tell(world, *told) == [500]
        world.pass_time(timedelta(minutes=15))
    world.hook_channel.hook = _nothing
    assert tell(world, *told) == [200]
    assert len(world.suppressions()) == 1
    assert len(confirmations(world)) == 1


def test_a_button_names_the_customer_by_the_message_it_belongs_to(world: Hooked) -> None:
    world.sent(messageId="wamid.7", status="SENT")
    tell(world, *happened(world, "button", text="Parar promoções", context_id="wamid.7"))
    (found,) = world.suppressions()
    assert (found["source"], found["customerId"]) == ("WHATSAPP_BUTTON", "c1")
    assert found["keys"] == ["customer:c1", "phone:551190000001"]


def test_either_form_of_the_ninth_digit_is_one_person(world: Hooked) -> None:
    world.target()
    world.state.set_recipient(Recipient(phone=ANA, loses_ninth_digit=True))
    tell(world, *happened(world, "reply", text="sair"))
    (found,) = world.suppressions()
    assert found["phone"] == "+5511990000001"

    async def send() -> None:
        await world.once()

    run_in_virtual_time(send())
    assert [message for message in world.accepted if message.template] == []


def test_a_hidden_phone_is_found_by_the_user_id_of_what_was_sent(world: Hooked) -> None:
    world.sent(userId="BR.1", status="READ", messageId="wamid.1")
    world.sent("a2", customer_id="c2", userId="BR.2", status="READ", messageId="wamid.2")
    world.state.set_recipient(Recipient(phone=ANA, user_id="BR.1", hides_phone=True))
    tell(world, *happened(world, "reply", text="sair"))
    (found,) = world.suppressions()
    assert found["keys"] == ["customer:c1", "user:BR.1"]
    assert (found["customerId"], found["userId"]) == ("c1", "BR.1")
    assert "phone" not in found
    assert confirmations(world) == []


def test_a_user_id_that_nobody_knows_is_written_down_and_never_silent(world: Hooked) -> None:
    world.state.set_recipient(Recipient(phone=ANA, user_id="BR.1", hides_phone=True))

    async def play() -> None:
        service = await world.service()
        assert await world.posted(service, *happened(world, "reply", text="sair")) == [200]
        (row,) = service.log._rows["webhook_rejects"]  # noqa: SLF001
        assert row["kind"] == "opt_out"
        assert "BR.1" not in str(row)

    run_in_virtual_time(play())
    (found,) = world.suppressions()
    assert found["keys"] == ["user:BR.1"]


# Numbers that are shared


def test_on_a_shared_number_the_quoted_message_tells_whose_customer_it_is(world: Hooked) -> None:
    world.laundromat(OTHER)
    world.sent("b1", cnpj=OTHER, messageId="wamid.9", customer_id="x")
    tell(world, *happened(world, "reply", text="sair", context_id="wamid.9"))
    assert world.suppressions() == []
    (found,) = world.suppressions(OTHER)
    assert found["customerId"] == "x"


def test_without_one_all_laundromats_of_the_number_leave_the_person_alone(world: Hooked) -> None:
    world.laundromat(OTHER)
    world.laundromat("11444777000161", phoneNumberId="5002", wabaId="3002")
    told = happened(world, "reply", text="sair", context_id="wamid.unknown")
    tell(world, *told)
    assert len(world.suppressions()) == len(world.suppressions(OTHER)) == 1
    assert world.suppressions("11444777000161") == []
    (text,) = confirmations(world)
    assert "nossas promoções" in text


def test_a_number_that_nobody_has_is_rejected_without_what_was_said(world: Hooked) -> None:
    async def play() -> None:
        service = await world.service()
        told = body(messages=[inbound("sair", world.now())], number="9999")
        assert await world.posted(service, told) == [200]
        assert service.counts()["items"] == {"rejected": 1, "ignored": 0}
        (row,) = service.log._rows["webhook_rejects"]  # noqa: SLF001
        assert (row["kind"], row["phone_number_id"]) == ("message", "9999")
        assert "sair" not in str(row)
        assert ANA not in str(row)

    run_in_virtual_time(play())


# Confirmations


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [({"enabled": False}, "no_account"), ({"testPhones": ["+5511900000000"]}, "no_account")],
)
def test_who_must_not_be_written_to_gets_no_confirmation(
    world: Hooked, changes: dict[str, Any], outcome: str
) -> None:
    world.laundromat(**changes)

    async def play() -> None:
        service = await world.service()
        await world.posted(service, *happened(world, "reply", text="sair"))
        assert service.counts()["confirmations"] == {outcome: 1}

    run_in_virtual_time(play())
    assert len(world.suppressions()) == 1
    assert confirmations(world) == []


def test_a_confirmation_is_tried_again_while_nothing_was_sent_for_sure(world: Hooked) -> None:
    world.rule("error", 131056, times=2)
    tell(world, *happened(world, "reply", text="sair"))
    assert len(confirmations(world)) == 1


def test_a_webhook_that_comes_after_the_window_is_not_confirmed(world: Hooked) -> None:
    told = happened(world, "reply", text="sair")
    world.pass_time(timedelta(hours=24))
    tell(world, *told)
    assert len(world.suppressions()) == 1
    assert confirmations(world) == []


def test_whoever_repeats_it_within_a_day_reads_one_confirmation(world: Hooked) -> None:
    for text in ("sair", "SAIR", "Parar"):
        told = happened(world, "reply", text=text)
        world.pass_time(timedelta(minutes=10))
        tell(world, *told)
    assert len(world.suppressions()) == 3
    assert len(confirmations(world)) == 1


# stop and resume


def choices(world: Hooked, *values: tuple[str, datetime]) -> list[bytes]:
    return [
        one for value, at in values for one in happened(world, "preference", value=value, at=at)
    ]


@pytest.mark.parametrize("step", [1, -1])
def test_resume_ends_what_was_chosen_before_in_any_order(step: int) -> None:
    world = Hooked()
    world.laundromat()
    at = world.began
    told = choices(
        world,
        ("stop", at),
        ("resume", at + timedelta(minutes=5)),
        ("stop", at + timedelta(minutes=9)),
    )
    assert tell(world, *told[::step]) == [200, 200, 200]
    first, last = sorted(world.suppressions(), key=lambda found: found["optedOutAt"])
    assert first["source"] == last["source"] == "WHATSAPP_PREFERENCES"
    assert first["resumedAt"] == at + timedelta(minutes=5)
    assert "resumedAt" not in last
    assert confirmations(world) == []


def test_resume_ends_no_word_that_was_written(world: Hooked) -> None:
    tell(world, *happened(world, "reply", text="sair"))
    later = world.began + timedelta(minutes=5)
    tell(world, *choices(world, ("resume", later)))
    (found,) = world.suppressions()
    assert "resumedAt" not in found


# Other answers


def test_an_answer_sets_replied_at_and_its_words_are_not_kept(world: Hooked) -> None:
    world.under_way()
    world.sent(messageId="wamid.1")
    at = world.began + timedelta(minutes=3)
    for minutes, text in ((3, "vou sair agora"), (9, "obrigado")):
        told = inbound(text, world.began + timedelta(minutes=minutes), message_id=text)
        tell(world, body(messages=[told]))
    assert world.send()["repliedAt"] == at
    assert world.get(f"users/{CNPJ}/campaigns/BIRTHDAY/targets/c1")["repliedAt"] == at
    assert "replyText" not in world.send()
    assert world.suppressions() == []


def test_an_answer_to_an_earlier_attempt_is_none_to_the_newest(world: Hooked) -> None:
    began = world.began
    log = [
        {"attempt": number, "attemptId": f"a{number}", "at": began, "status": status}
        for number, status in ((1, "FAILED"), (2, "SENDING"))
    ]
    path = world.target("c1", status="PENDING", attemptLog=log)
    world.sent("a1", messageId="wamid.1", status="FAILED")
    world.sent("a2")
    told = inbound("oi", began + timedelta(minutes=3), context={"id": "wamid.1"})
    tell(world, body(messages=[told]))
    assert world.send("a1")["repliedAt"] == began + timedelta(minutes=3)
    assert "repliedAt" not in world.get(path)


def test_a_laundromat_may_keep_the_words_of_the_first_answer(world: Hooked) -> None:
    world.laundromat(keepReplies=True)
    world.sent(messageId="wamid.1")
    for minutes, text in ((9, "obrigada"), (3, "que bom")):
        at = world.began + timedelta(minutes=minutes)
        told = inbound(text, at, message_id=text, context={"id": "wamid.1"})
        tell(world, body(messages=[told]))
    assert world.send()["replyText"] == "que bom"


def test_an_answer_belongs_to_the_newest_message_before_it(world: Hooked) -> None:
    world.sent("old", at=world.began - timedelta(days=3))
    world.sent("new", at=world.began - timedelta(days=1))
    world.sent("later", at=world.began + timedelta(days=1))
    world.sent("ancient", number=2, at=world.began - timedelta(days=9))
    tell(world, body(messages=[inbound("oi", world.began)]))
    tell(world, body(messages=[inbound("oi", world.began, sender=phone_of(2), message_id="2")]))
    answered = [
        name for name in ("old", "new", "later", "ancient") if "repliedAt" in world.send(name)
    ]
    assert answered == ["new"]

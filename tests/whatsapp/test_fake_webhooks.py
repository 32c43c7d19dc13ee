"""The fake tells what became of messages by signed webhooks, in all the forms WhatsApp has."""

from __future__ import annotations

import hashlib
import hmac
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.whatsapp.calls import ANA, BIA, NOW, NUMBER, OTHER_NUMBER, WABA, message

if TYPE_CHECKING:
    from tests.whatsapp.calls import Fake
    from tests.whatsapp.receiver import Receiver

FOLLOW_UP = [
    {"status": "sent"},
    {"status": "delivered", "after_seconds": 2},
    {"status": "read", "after_seconds": 60},
]
SECONDS = int(NOW.timestamp())


def webhooks(fake: Fake, receiver: Receiver, **settings: Any) -> None:
    fake.set(webhooks={"url": receiver.url, **settings})


def test_a_message_is_sent_delivered_and_read(fake: Fake, receiver: Receiver) -> None:
    webhooks(fake, receiver, follow_up=FOLLOW_UP)
    message_id = fake.send().json()["messages"][0]["id"]

    for seconds, told in ((0, "sent"), (2, "delivered"), (58, "read")):
        fake.advance(seconds)
        assert [one["status"] for one in fake.deliver()] == [200]
        assert receiver.statuses_told()[-1]["status"] == told
    assert fake.deliver() == []

    pricing = {
        "billable": True,
        "pricing_model": "PMP",
        "type": "regular",
        "category": "marketing_lite",
    }
    common = {
        "id": message_id,
        "recipient_id": "5511990000001",
        "biz_opaque_callback_data": "v1.12ABC34501DE35.a1",
    }
    assert receiver.statuses_told() == [
        common | {"status": "sent", "timestamp": str(SECONDS), "pricing": pricing},
        common | {"status": "delivered", "timestamp": str(SECONDS + 2), "pricing": pricing},
        common | {"status": "read", "timestamp": str(SECONDS + 60)},
    ]
    assert receiver.bodies[1]["object"] == "whatsapp_business_account"
    assert receiver.values()[1]["metadata"] == {
        "display_phone_number": "551140000001",
        "phone_number_id": NUMBER,
    }
    assert receiver.values()[1]["contacts"] == [
        {"profile": {"name": "Cliente"}, "wa_id": "5511990000001"}
    ]
    assert [event["status"] for event in fake.ledger()[0]["events"]] == [
        "sent",
        "delivered",
        "read",
    ]


def test_a_webhook_waits_until_it_is_answered(fake: Fake, receiver: Receiver) -> None:
    webhooks(fake, receiver)
    fake.happen("reply", number_id=NUMBER, sender="5511990000001", text="oi")
    fake.happen("reply", number_id=NUMBER, sender="5511990000002", text="oi")
    waiting: list[int] = []
    receiver.before_answer = lambda: waiting.append(fake.waiting())

    fake.deliver()

    assert waiting == [2, 1]
    assert fake.waiting() == 0


def test_a_post_is_signed_over_its_raw_bytes(fake: Fake, receiver: Receiver) -> None:
    for signature in ("right", "wrong", "missing"):
        webhooks(fake, receiver, app_secret="segredo", signature=signature)
        fake.happen("reply", number_id=NUMBER, sender="5511990000001", text="Olá, tudo bem? 🎉")
        fake.deliver()

    right, wrong, missing = receiver.posts
    expected = "sha256=" + hmac.new(b"segredo", right[0], hashlib.sha256).hexdigest()
    assert right[1] == expected
    assert wrong[1] is not None
    assert wrong[1] != "sha256=" + hmac.new(b"segredo", wrong[0], hashlib.sha256).hexdigest()
    assert missing[1] is None


def test_a_failure_has_its_code_and_no_contacts(fake: Fake, receiver: Receiver) -> None:
    webhooks(fake, receiver, follow_up=FOLLOW_UP)
    rule = {"fault": {"kind": "failed_later", "code": 131049}}
    fake.control("POST", "rules", rule)

    assert fake.send().status_code == 200
    fake.deliver()

    (value,) = receiver.values()
    assert "contacts" not in value
    (status,) = value["statuses"]
    assert status["status"] == "failed"
    assert "pricing" not in status
    assert [error["code"] for error in status["errors"]] == [131049]
    assert fake.ledger()[0]["events"] == [
        {"status": "failed", "at": NOW.isoformat(), "error_code": 131049}
    ]


def test_who_stops_marketing_gets_none_until_they_resume(fake: Fake, receiver: Receiver) -> None:
    webhooks(fake, receiver, follow_up=[{"status": "sent"}])
    person = {"number_id": NUMBER, "sender": "5511990000001"}

    fake.happen("preference", **person, value="stop")
    fake.send()
    fake.happen("preference", **person, value="resume")
    fake.advance(6)
    fake.send()
    fake.deliver()

    stop, failed, resume, sent = receiver.values()
    assert stop["user_preferences"] == [
        {
            "detail": "User requested to stop marketing messages",
            "category": "marketing_messages",
            "value": "stop",
            "timestamp": SECONDS,
            "wa_id": "5511990000001",
        }
    ]
    assert failed["statuses"][0]["errors"][0]["code"] == 131050
    assert resume["user_preferences"][0]["value"] == "resume"
    assert sent["statuses"][0]["status"] == "sent"


def test_people_answer_with_words_and_with_buttons(fake: Fake, receiver: Receiver) -> None:
    webhooks(fake, receiver)
    message_id = fake.send().json()["messages"][0]["id"]
    person = {"number_id": NUMBER, "sender": "5511990000001"}

    fake.happen("reply", **person, text="SAIR")
    fake.happen("button", **person, text="Parar promoções", context_id=message_id)
    fake.deliver()

    reply, button = [value["messages"][0] for value in receiver.values()]
    assert reply == {
        "id": reply["id"],
        "timestamp": str(SECONDS),
        "type": "text",
        "text": {"body": "SAIR"},
        "from": "5511990000001",
    }
    assert button == {
        "id": button["id"],
        "timestamp": str(SECONDS),
        "type": "button",
        "button": {"payload": "Parar promoções", "text": "Parar promoções"},
        "context": {"from": "551140000001", "id": message_id},
        "from": "5511990000001",
    }


def test_a_person_with_a_user_name_is_told_by_user_id_only(fake: Fake, receiver: Receiver) -> None:
    webhooks(fake, receiver)
    hidden = {"phone": "5511990000001", "user_id": "BR.77", "hides_phone": True}
    fake.control("POST", "recipients", hidden)
    message_id = fake.send().json()["messages"][0]["id"]
    person = {"number_id": NUMBER, "sender": "5511990000001"}

    fake.happen("status", message_id=message_id, status="delivered")
    fake.happen("reply", **person, text="Oi")
    fake.happen("preference", **person, value="stop")
    fake.deliver()

    assert all("5511990000001" not in raw.decode() for raw, _ in receiver.posts)
    status, reply, preference = receiver.values()
    assert status["statuses"][0]["recipient_user_id"] == "BR.77"
    assert status["contacts"] == [{"profile": {"name": "Cliente"}, "user_id": "BR.77"}]
    assert reply["messages"][0]["from_user_id"] == "BR.77"
    assert preference["user_preferences"][0]["user_id"] == "BR.77"


def test_the_ninth_digit_may_be_gone(fake: Fake, receiver: Receiver) -> None:
    webhooks(fake, receiver)
    fake.control("POST", "recipients", {"phone": "5511990000001", "loses_ninth_digit": True})
    message_id = fake.send().json()["messages"][0]["id"]

    fake.happen("status", message_id=message_id, status="read")
    fake.happen("reply", number_id=NUMBER, sender="5511990000001", text="Oi")
    fake.deliver()

    status, reply = receiver.values()
    assert status["statuses"][0]["recipient_id"] == "551190000001"
    assert reply["messages"][0]["from"] == "551190000001"


def test_one_post_holds_items_of_several_laundromats(fake: Fake, receiver: Receiver) -> None:
    webhooks(fake, receiver, follow_up=FOLLOW_UP, batch_size=100, without_contacts=True)
    fake.send(message(ANA))
    fake.send(message(BIA))
    fake.send(message(ANA), number=OTHER_NUMBER)
    fake.advance(60)
    fake.deliver()

    (body,) = receiver.bodies
    assert [entry["id"] for entry in body["entry"]] == [WABA, "3002"]
    assert [len(value["statuses"]) for value in receiver.values()] == [6, 3]
    assert all("contacts" not in value for value in receiver.values())


def test_chance_shuffles_doubles_and_drops_by_its_seed(fake: Fake, receiver: Receiver) -> None:
    webhooks(fake, receiver, shuffles=True, doubles_percent=30, drops_percent=30, batch_size=7)
    for n in range(40):
        fake.happen("reply", number_id=NUMBER, sender="5511990000001", text=str(n))
    fake.deliver()

    told = [item["text"]["body"] for value in receiver.values() for item in value["messages"]]
    once = set(told)
    assert len(told) > len(once)  # doubled
    assert once < set(map(str, range(40)))  # dropped
    assert told != sorted(told, key=int)  # out of order
    # By the seed of the fixture, so the same in every run.
    assert (len(told), len(once)) == (32, 23)


def test_a_post_comes_again_until_200_for_seven_days(fake: Fake, receiver: Receiver) -> None:
    webhooks(fake, receiver)
    fake.happen("reply", number_id=NUMBER, sender="5511990000001", text="Oi")
    receiver.statuses = [500, 503]

    assert [one["status"] for one in fake.deliver()] == [500]
    assert fake.deliver() == []
    fake.advance(1)
    assert [one["status"] for one in fake.deliver()] == [503]
    fake.advance(2)
    assert fake.deliver()[0] | {"at": ""} == {"at": "", "items": 1, "tries": 3, "status": 200}
    assert len({raw for raw, _ in receiver.posts}) == 1
    assert fake.waiting() == 0

    fake.happen("reply", number_id=NUMBER, sender="5511990000001", text="Oi")
    receiver.statuses = [500] * 1000
    while fake.waiting():
        fake.advance(3600)
        fake.deliver()
    # 1 s to 2048 s fit into the hours above; then one an hour.
    assert len(receiver.posts) == 3 + 7 * 24 + 1


def test_a_webhook_that_does_not_answer_is_tried_again(fake: Fake) -> None:
    fake.set(webhooks={"url": "http://127.0.0.1:1/webhook"})
    fake.happen("reply", number_id=NUMBER, sender="5511990000001", text="Oi")

    assert [one["status"] for one in fake.deliver()] == [None]
    assert fake.waiting() == 1


def test_webhooks_go_out_by_themselves_when_told_to(fake: Fake, receiver: Receiver) -> None:
    webhooks(fake, receiver, automatically=True, follow_up=[{"status": "sent"}])
    fake.send()
    deadline = time.monotonic() + 10
    while not receiver.posts and time.monotonic() < deadline:
        time.sleep(0.01)

    assert [status["status"] for status in receiver.statuses_told()] == ["sent"]


@pytest.mark.parametrize(
    ("event", "field", "expected"),
    [
        (
            {"kind": "template_status", "status": "PAUSED", "title": "FIRST_PAUSE"},
            "message_template_status_update",
            {"event": "PAUSED", "reason": "NONE", "message_template_category": "MARKETING"},
        ),
        (
            {"kind": "template_category", "new_category": "UTILITY"},
            "template_category_update",
            {"previous_category": "MARKETING", "new_category": "UTILITY"},
        ),
        (
            {"kind": "template_category", "new_category": "UTILITY", "is_impending": True},
            "template_category_update",
            {
                "new_category": "MARKETING",
                "correct_category": "UTILITY",
                "category_update_timestamp": SECONDS + 86_400,
            },
        ),
        (
            {"kind": "template_quality", "previous": "GREEN", "new": "RED"},
            "message_template_quality_update",
            {"previous_quality_score": "GREEN", "new_quality_score": "RED"},
        ),
        (
            {
                "kind": "number_quality",
                "number_id": NUMBER,
                "event": "THROUGHPUT_UPGRADE",
                "current_limit": "TIER_UNLIMITED",
            },
            "phone_number_quality_update",
            {"display_phone_number": "551140000001", "event": "THROUGHPUT_UPGRADE"},
        ),
        (
            {"kind": "capability", "waba_id": WABA, "people_in_24_hours": 2000},
            "business_capability_update",
            {"max_daily_conversations_per_business": 2000},
        ),
        (
            {"kind": "raw", "waba_id": WABA, "field": "messages", "value": {"statuses": "x"}},
            "messages",
            {"statuses": "x"},
        ),
    ],
)
def test_accounts_tell_what_changes(
    fake: Fake,
    receiver: Receiver,
    event: dict[str, Any],
    field: str,
    expected: dict[str, Any],
) -> None:
    webhooks(fake, receiver)
    if event["kind"].startswith("template"):
        template_id = fake.template_id()
        event = event | {"template_id": template_id}
        expected = expected | {
            "message_template_id": int(template_id),
            "message_template_name": "vmhub_test_v1",
            "message_template_language": "pt_BR",
        }

    fake.control("POST", "events", event)
    fake.deliver()

    (body,) = receiver.bodies
    (entry,) = body["entry"]
    assert (entry["id"], entry["time"]) == (WABA, SECONDS)
    (change,) = entry["changes"]
    assert change["field"] == field
    assert change["value"] | expected == change["value"]


@pytest.mark.parametrize("setting", ["dropped", "echoed"])
def test_callback_data_may_be_missing_of_marketing_messages(
    fake: Fake, receiver: Receiver, setting: str
) -> None:
    fake.set(marketing_callback_data=setting)
    webhooks(fake, receiver, follow_up=[{"status": "sent"}])
    fake.send()
    fake.send(message(BIA, template="vmhub_utility_v1"), endpoint="messages")
    fake.deliver()

    marketing, utility = receiver.statuses_told()
    assert ("biz_opaque_callback_data" in marketing) is (setting == "echoed")
    assert "biz_opaque_callback_data" in utility
    assert utility["pricing"]["category"] == "utility"

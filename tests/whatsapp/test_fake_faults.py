"""The fake breaks on demand: what is accepted stands in the ledger, whatever the caller learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from tests.whatsapp.calls import ANA, BIA, NUMBER, OTHER_NUMBER, message

if TYPE_CHECKING:
    from tests.whatsapp.calls import Fake

CODES = {
    **dict.fromkeys([0, 190], 401),
    **dict.fromkeys([10, 200, 299, 368, 130497, 131005, 131031], 403),
    **dict.fromkeys([3, 131000, 131016, 131045, 131057], 500),
    **dict.fromkeys([2, 133004], 503),
    132001: 404,
    **dict.fromkeys([1, 4, 33, 100, 80007, 80008, 130403, 130429, 130472], 400),
    **dict.fromkeys([131008, 131009, 131021, 131026, 131030, 131037, 131042], 400),
    **dict.fromkeys([131047, 131048, 131049, 131050, 131051, 131056, 131061], 400),
    **dict.fromkeys([131062, 131063, 131064, 132000, 132005, 132007, 132008], 400),
    **dict.fromkeys([132012, 132015, 132016, 132018, 133010, 134011, 135000], 400),
    **dict.fromkeys([137000, 99_999], 400),
}


def add(fake: Fake, kind: str, **rule: Any) -> None:
    fault = {"kind": kind} | ({"code": rule.pop("code")} if "code" in rule else {})
    fake.control("POST", "rules", {"fault": fault, **rule})


def test_every_error_code_comes_with_metas_status(fake: Fake) -> None:
    for code in CODES:
        add(fake, "error", code=code, times=1)

    met = [fake.error(fake.send()) for _ in CODES]

    assert met == [(status, code) for code, status in CODES.items()]
    assert fake.ledger() == []
    assert fake.send().status_code == 200


def test_a_gateway_error_is_html_and_accepts_nothing(fake: Fake) -> None:
    add(fake, "gateway_error", times=1)
    add(fake, "accept_and_gateway_error", times=1)

    for accepted in (0, 1):
        answer = fake.send()
        assert (answer.status_code, answer.headers["content-type"]) == (
            502,
            "text/html; charset=utf-8",
        )
        assert "Bad Gateway" in answer.text
        assert len(fake.ledger()) == accepted


def test_a_hanging_call_was_accepted(fake: Fake) -> None:
    add(fake, "accept_and_hang")

    with pytest.raises(httpx2.ReadTimeout):
        fake.send(timeout=0.5)

    assert [row["answer"] for row in fake.ledger()] == ["accept_and_hang"]


@pytest.mark.parametrize(("kind", "accepted"), [("accept_and_reset", 1), ("reset_unread", 0)])
def test_a_reset_proves_nothing(fake: Fake, kind: str, accepted: int) -> None:
    add(fake, kind)

    with pytest.raises((httpx2.ReadError, httpx2.RemoteProtocolError)):
        fake.send()

    assert len(fake.ledger()) == accepted
    (call,) = fake.control("GET", "calls")["calls"]
    assert call["outcome"] == ("accepted" if accepted else kind)


def test_a_truncated_answer_was_accepted(fake: Fake) -> None:
    add(fake, "truncated")

    with pytest.raises(httpx2.RemoteProtocolError):
        fake.send()

    assert len(fake.ledger()) == 1


def test_an_answer_without_an_id_was_accepted(fake: Fake) -> None:
    add(fake, "no_id")

    assert "id" not in fake.send().json()["messages"][0]

    assert len(fake.ledger()) == 1


@pytest.mark.parametrize(
    ("kind", "status"), [("held", "held_for_quality_assessment"), ("paused", "paused")]
)
def test_a_held_message_is_accepted_and_nothing_follows(fake: Fake, kind: str, status: str) -> None:
    fake.set(webhooks={"follow_up": [{"status": "sent"}]})
    add(fake, kind)

    assert fake.send().json()["messages"][0]["message_status"] == status

    (row,) = fake.ledger()
    assert (row["message_status"], row["events"]) == (status, [])


def test_a_rule_is_for_a_person_a_number_and_the_nth_call(fake: Fake) -> None:
    add(fake, "error", code=131026, to="551190000001")  # the old form of Ana's number
    add(fake, "error", code=131042, number_id=OTHER_NUMBER)
    add(fake, "error", code=131000, call=2, number_id=NUMBER, to=BIA.removeprefix("+"))

    assert fake.error(fake.send())[1] == 131026
    assert fake.error(fake.send(message(BIA), number=OTHER_NUMBER))[1] == 131042
    assert fake.send(message(BIA)).status_code == 200
    assert fake.error(fake.send(message(BIA)))[1] == 131000
    fake.advance(6)
    assert fake.send(message(BIA)).status_code == 200

    fake.control("DELETE", "rules")
    assert fake.send(message(ANA)).status_code == 200


def test_a_blocked_number_refuses_everything_and_says_so(fake: Fake) -> None:
    number = {"id": NUMBER, "waba_id": "3001", "display_phone_number": "551140000001"}
    fake.control("POST", "accounts", {"numbers": [number | {"blocked_by": 131042}]})

    assert fake.error(fake.send()) == (400, 131042)
    health = fake.api("GET", f"{NUMBER}?fields=health_status").json()["health_status"]
    assert health["can_send_message"] == "BLOCKED"
    assert health["entities"][0]["errors"][0]["error_code"] == 131042


def test_a_control_request_that_cannot_be_read_is_refused(fake: Fake) -> None:
    for path, body in (
        ("rules", {"fault": {"kind": "magic"}}),
        ("rules", {"fault": {"kind": "error"}, "call": 0}),
        ("accounts", {"nubmers": []}),
        ("accounts", {"wabas": [{"id": "3009", "portfolio_id": "1009"}]}),
        ("accounts", {"tokens": [{"token": "x", "waba_ids": ["3009"]}]}),
        ("events", {"kind": "status", "message_id": "wamid.none", "status": "read"}),
        ("clock", {"at": "2026-11-23T13:00:00"}),
    ):
        answer = fake.http.post(f"/_fake/{path}", json=body)
        assert answer.status_code == 422, path
        assert answer.json()["error"]

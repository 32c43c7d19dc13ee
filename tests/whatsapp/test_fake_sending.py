"""The fake accepts what WhatsApp accepts, and writes it down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.whatsapp.calls import ANA, BIA, NUMBER, body_part, message

if TYPE_CHECKING:
    from tests.whatsapp.calls import Fake


def with_template(**changes: Any) -> dict[str, Any]:
    whole = message()
    return whole | {"template": whole["template"] | changes}


def with_parameters(*parameters: dict[str, Any]) -> dict[str, Any]:
    return with_template(components=[{"type": "body", "parameters": list(parameters)}])


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in message().items() if name != key}


def test_an_accepted_message_stands_in_the_ledger(fake: Fake) -> None:
    answer = fake.send()

    assert answer.status_code == 200
    whole = answer.json()
    assert whole == {
        "messaging_product": "whatsapp",
        "contacts": [{"input": ANA, "wa_id": "5511990000001"}],
        "messages": [{"id": whole["messages"][0]["id"], "message_status": "accepted"}],
    }
    (row,) = fake.ledger()
    assert row == {
        "id": whole["messages"][0]["id"],
        "at": "2026-11-23T13:00:00+00:00",
        "number_id": NUMBER,
        "waba_id": "3001",
        "portfolio_id": "1001",
        "endpoint": "marketing_messages",
        "to": "5511990000001",
        "text": "Oi, Ana! Já são 10 visitas. Responda SAIR para parar.",
        "callback_data": "v1.12ABC34501DE35.a1",
        "cnpj": "12ABC34501DE35",
        "attempt_id": "a1",
        "template": "vmhub_test_v1",
        "language": "pt_BR",
        "category": "MARKETING",
        "parameters": {"first_name": "Ana", "visit_count": "10"},
        "buttons": ["Parar promoções"],
        "message_status": "accepted",
        "answer": "ok",
        "events": [],
    }


def test_there_is_no_idempotency(fake: Fake) -> None:
    first = fake.send()
    fake.advance(6)
    second = fake.send()

    ids = [answer.json()["messages"][0]["id"] for answer in (first, second)]
    assert [row["id"] for row in fake.ledger("?attempt_id=a1")] == ids
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (without("messaging_product"), (400, 100)),
        (without("to"), (400, 100)),
        (without("template"), (400, 100)),
        (message(extra=1), (400, 100)),
        (message(biz_opaque_callback_data=5), (400, 100)),
        (message() | {"to": 5}, (400, 131009)),
        (message(to="+55 11 telefone"), (400, 131009)),
        (message(to="+551140000001"), (400, 131021)),
        (message(recipient_type="group"), (400, 131009)),
        (message(type="image"), (400, 100)),
        (message(product_policy="ANY"), (400, 131009)),
        (message(message_activity_sharing="no"), (400, 131009)),
        (with_template(name="vmhub_other_v1"), (404, 132001)),
        (with_template(language={"code": "en_US"}), (404, 132001)),
        (with_template(language="pt_BR"), (400, 100)),
        (with_template(components={}), (400, 100)),
        (with_template(components=[]), (400, 132000)),
        (with_template(components=[body_part(first_name="Ana")]), (400, 132000)),
        (with_template(components=[body_part(first_name="Ana", age="36")]), (400, 132018)),
        (with_template(components=[body_part(first_name="", visit_count="1")]), (400, 131008)),
        (with_template(components=[body_part(first_name="A\nB", visit_count="1")]), (400, 132018)),
        (
            with_template(components=[body_part(first_name="A     B", visit_count="1")]),
            (400, 132018),
        ),
        (
            with_template(components=[body_part(first_name="A" * 1020, visit_count="1")]),
            (400, 132005),
        ),
        (with_template(components=[body_part(first_name="A", visit_count="1")] * 2), (400, 132012)),
        (with_template(components=[{"type": "header"}]), (400, 132012)),
        (with_parameters({"type": "text", "text": "Ana"}), (400, 100)),
        (
            with_parameters({"type": "currency", "parameter_name": "first_name", "text": "1"}),
            (400, 132012),
        ),
        (
            with_template(
                components=[
                    body_part(first_name="Ana", visit_count="1"),
                    {"type": "button", "sub_type": "quick_reply", "index": "1"},
                ]
            ),
            (400, 132012),
        ),
        ([], (400, 100)),
    ],
)
def test_a_wrong_request_is_refused_with_its_code(
    fake: Fake, body: object, expected: tuple[int, int]
) -> None:
    assert fake.error(fake.send(body)) == expected
    assert fake.ledger() == []
    (call,) = fake.control("GET", "calls")["calls"]
    assert call["outcome"] == str(expected[1])


def test_a_refusal_has_the_shape_of_metas_errors(fake: Fake) -> None:
    error = fake.send(with_template(components=[])).json()["error"]

    assert error.pop("fbtrace_id").startswith("A")
    assert error == {
        "message": "(#132000) Number of parameters does not match the expected number of params",
        "type": "OAuthException",
        "code": 132000,
        "error_data": {
            "messaging_product": "whatsapp",
            "details": "body: number of localizable_params (0) does not match the expected "
            "number of params (2)",
        },
    }


def test_each_category_has_its_endpoint(fake: Fake) -> None:
    utility = message(template="vmhub_utility_v1")
    assert fake.error(fake.send(endpoint="messages")) == (400, 131063)
    assert fake.error(fake.send(utility)) == (400, 131063)
    assert fake.send(utility, endpoint="messages").status_code == 200

    changes = {"template_id": fake.template_id(), "new_category": "UTILITY"}
    fake.happen("template_category", **changes, is_impending=True)
    assert fake.error(fake.send(message(BIA), endpoint="messages")) == (400, 131063)
    fake.happen("template_category", **changes)
    assert fake.send(message(BIA), endpoint="messages").status_code == 200


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("PENDING", (404, 132001)),
        ("REJECTED", (404, 132001)),
        ("PAUSED", (400, 132015)),
        ("DISABLED", (400, 132016)),
    ],
)
def test_a_template_is_sent_only_while_it_is_approved(
    fake: Fake, status: str, expected: tuple[int, int]
) -> None:
    fake.happen("template_status", template_id=fake.template_id(), status=status)
    assert fake.error(fake.send()) == expected

    fake.happen("template_status", template_id=fake.template_id(), status="APPROVED")
    assert fake.send().status_code == 200


def test_tokens_open_their_own_accounts_only(fake: Fake) -> None:
    fake.control(
        "POST",
        "accounts",
        {
            "tokens": [
                {"token": "another", "waba_ids": ["3002"]},
                {"token": "expired", "waba_ids": ["3001"], "is_valid": False},
            ]
        },
    )

    assert fake.error(fake.send(token=None)) == (401, 0)
    assert fake.error(fake.send(token="unknown")) == (401, 190)
    assert fake.error(fake.send(token="expired")) == (401, 190)
    assert fake.error(fake.send(token="another")) == (403, 10)
    assert fake.error(fake.send(number="5999")) == (400, 33)
    assert fake.ledger() == []


def test_a_number_without_plus_sign_becomes_another_one(fake: Fake) -> None:
    fake.send(message("11 99000-0001"))
    fake.advance(6)
    fake.send(message("5511990000001"))

    assert [row["to"] for row in fake.ledger()] == ["5511990000001", "555511990000001"]


def test_free_text_needs_a_window_that_the_person_opened(fake: Fake) -> None:
    text = without("template") | {"type": "text", "text": {"body": "Pronto."}}
    assert fake.error(fake.send(text, endpoint="messages")) == (400, 131047)

    fake.happen("reply", number_id=NUMBER, sender="551190000001", text="sair")
    assert fake.send(text, endpoint="messages").status_code == 200
    fake.advance(24 * 3600)
    assert fake.error(fake.send(text, endpoint="messages")) == (400, 131047)
    assert fake.error(fake.send(text)) == (400, 100)


@pytest.mark.parametrize(
    ("setting", "expected"), [("refused", 400), ("dropped", 200), ("echoed", 200)]
)
def test_the_marketing_endpoint_may_refuse_callback_data(
    fake: Fake, setting: str, expected: int
) -> None:
    fake.set(marketing_callback_data=setting)

    assert fake.send().status_code == expected
    fake.advance(6)
    assert fake.send(without("biz_opaque_callback_data")).status_code == 200


def test_people_with_another_number_or_a_user_name_are_told_so(fake: Fake) -> None:
    fake.control("POST", "recipients", {"phone": "5511990000001", "loses_ninth_digit": True})
    fake.control(
        "POST",
        "recipients",
        {"phone": "5511990000002", "user_id": "BR.1", "hides_phone": True},
    )

    assert fake.send().json()["contacts"] == [{"input": ANA, "wa_id": "551190000001"}]
    assert fake.send(message(BIA)).json()["contacts"] == [{"input": BIA, "user_id": "BR.1"}]

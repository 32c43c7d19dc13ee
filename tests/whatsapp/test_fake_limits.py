"""The fake keeps the rates and limits of numbers, people and portfolios, by its own clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.whatsapp.calls import ANA, NUMBER, OTHER_NUMBER, message

if TYPE_CHECKING:
    from tests.whatsapp.calls import Fake


def person(number: int) -> str:
    return f"+55119{number:08d}"


def limit_to(fake: Fake, people: int | None) -> None:
    fake.control("POST", "accounts", {"portfolios": [{"id": "1001", "people_in_24_hours": people}]})


def test_a_number_sends_so_many_a_second(fake: Fake) -> None:
    number = {"id": NUMBER, "waba_id": "3001", "display_phone_number": "551140000001"}
    fake.control("POST", "accounts", {"numbers": [number | {"messages_per_second": 3}]})
    # What comes in is part of the rate.
    fake.happen("reply", number_id=NUMBER, sender="5511990000099", text="Oi")

    met = [fake.send(message(person(n))).status_code for n in range(2)]

    assert met == [200, 200]
    assert fake.error(fake.send(message(person(3)))) == (400, 130429)
    assert fake.send(message(person(3)), number=OTHER_NUMBER).status_code == 200
    fake.advance(1)
    assert fake.send(message(person(3))).status_code == 200


def test_one_person_gets_one_message_in_six_seconds(fake: Fake) -> None:
    assert fake.send().status_code == 200
    fake.advance(5.9)
    assert fake.error(fake.send(message("+551190000001"))) == (400, 131056)
    assert fake.send(number=OTHER_NUMBER).status_code == 200
    fake.advance(0.1)
    assert fake.send().status_code == 200


def test_a_portfolio_reaches_so_many_people_in_a_moving_day(fake: Fake) -> None:
    for n in range(250):
        fake.advance(1)
        number = (NUMBER, OTHER_NUMBER)[n % 2]
        assert fake.send(message(person(n)), number=number).status_code == 200

    assert fake.error(fake.send(message(ANA))) == (400, 131048)
    # Who was reached already is no further person, and keeps the place longer.
    fake.advance(6)
    assert fake.send(message(person(0))).status_code == 200
    # The first second's person is free again after a day, but was written to again since.
    fake.advance(24 * 3600 - 256)
    assert fake.error(fake.send(message(ANA))) == (400, 131048)
    fake.advance(2)
    assert fake.send(message(ANA)).status_code == 200


def test_the_limit_can_be_read_and_changes_by_webhook(fake: Fake) -> None:
    field = "whatsapp_business_manager_messaging_limit"
    read: list[str] = []
    for people in (250, 2_000, 10_000, 100_000, None):
        fake.happen("capability", waba_id="3001", people_in_24_hours=people)
        answer = fake.api("GET", f"{NUMBER}?fields={field}").json()
        assert answer["id"] == NUMBER
        read.append(answer[field])

    assert read == ["TIER_250", "TIER_2K", "TIER_10K", "TIER_100K", "TIER_UNLIMITED"]
    assert fake.api("GET", f"{NUMBER}?fields=nothing").json()["error"]["code"] == 100


def test_without_a_limit_only_the_rate_holds(fake: Fake) -> None:
    limit_to(fake, None)
    for n in range(251):
        fake.advance(1)
        assert fake.send(message(person(n))).status_code == 200

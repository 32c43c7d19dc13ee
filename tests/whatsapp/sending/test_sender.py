"""The sender against Firestore in memory and the fake WhatsApp, in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from loader.base.cnpj import with_check_digits
from tests.faults.documents import Documents
from tests.support import ALPHANUMERIC_CNPJ, AS_OF
from tests.whatsapp.calls import TOKEN, WABA, creation
from tests.whatsapp.sending.connections import rpc_error
from tests.whatsapp.sending.virtual_time import run_in_virtual_time
from tests.whatsapp.sending.world import CNPJ, World, phone_of
from whatsapp.fake.config import Accounts, Settings

if TYPE_CHECKING:
    from whatsapp.report import SendReport

OTHER = str(ALPHANUMERIC_CNPJ)


def test_a_target_is_sent_once_and_says_so() -> None:
    world = World()
    world.laundromat()
    path = world.target()
    report = run_in_virtual_time(world.once())
    (message,) = world.accepted
    fields = world.get(path)
    assert report.sent == 1
    assert report.exit_code == 0
    assert fields["status"] == "SENT"
    assert fields["attempts"] == 1
    assert fields["messageId"] == message.id
    assert "claimedUntil" not in fields
    (entry,) = fields["attemptLog"]
    assert (entry["attempt"], entry["status"], entry["messageId"]) == (1, "SENT", message.id)
    (send,) = world.sends()
    assert (send["status"], send["messageId"], send["cycleKey"]) == ("SENT", message.id, "2026")
    assert message.callback_data == f"v1.{fields['cnpj']}.{entry['attemptId']}"
    assert run_in_virtual_time(world.once()).sent == 0


@pytest.mark.parametrize(
    ("kind", "code", "status", "error", "attempts", "accepted"),
    [
        # Refused: WhatsApp does not have it.
        ("error", 131026, "FAILED", "131026", 1, 0),
        ("error", 131049, "FAILED", "131049", 1, 0),
        ("error", 132012, "FAILED", "132012", 1, 0),
        ("error", 131050, "FAILED", "131050", 1, 0),
        ("error", 131016, "FAILED", "131016", 1, 0),
        ("error", 131056, "FAILED", "131056", 1, 0),
        # Refused, and not the customer's fault: it waits.
        ("error", 190, "PENDING", "190", 0, 0),
        ("error", 131042, "PENDING", "131042", 0, 0),
        ("error", 132015, "PENDING", "132015", 0, 0),
        ("error", 131048, "PENDING", "131048", 0, 0),
        ("error", 131063, "PENDING", "131063", 0, 0),
        # Our own fault: it is listed for review.
        ("error", 3, "FAILED", "3", 0, 0),
        # Nobody knows.
        ("error", 2, "PENDING", None, 0, 0),
        ("gateway_error", None, "PENDING", None, 0, 0),
        ("reset_unread", None, "PENDING", None, 0, 0),
        ("accept_and_hang", None, "PENDING", None, 0, 1),
        ("accept_and_reset", None, "PENDING", None, 0, 1),
        ("accept_and_gateway_error", None, "PENDING", None, 0, 1),
        ("truncated", None, "PENDING", None, 0, 1),
        ("no_id", None, "PENDING", None, 0, 1),
        # Accepted.
        ("held", None, "SENT", None, 1, 1),
    ],
)
def test_each_answer_ends_as_the_contract_says(  # noqa: PLR0917 - a table
    kind: str, code: int | None, status: str, error: str | None, attempts: int, accepted: int
) -> None:
    world = World()
    world.laundromat()
    path = world.target()
    world.rule(kind, code)
    run_in_virtual_time(world.once())
    fields = world.get(path)
    assert (fields["status"], fields["attempts"]) == (status, attempts)
    assert (fields.get("lastError") or {}).get("code") == error
    assert len(world.accepted) == accepted
    is_unknown = error is None and status == "PENDING"
    (entry,) = fields["attemptLog"]
    assert (entry["status"] == "SENDING") is is_unknown
    (send,) = world.sends()
    assert send["status"] == ("UNKNOWN" if is_unknown else "SENT" if status == "SENT" else "FAILED")
    # An unknown outcome is never sent again by a machine; what waits is, once the way is free.
    world.state.faults.clear()
    world.pass_time(timedelta(hours=7))
    report = run_in_virtual_time(world.once())
    assert report.sent == (status == "PENDING" and not is_unknown)
    assert len(world.accepted) == accepted + report.sent


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "SENT"}, None),
        ({"expiresAt": AS_OF + timedelta(seconds=20)}, "expired"),
        ({"expiresAt": None}, "expired"),
        ({"attemptLog": [{"attempt": 1, "status": "SENDING", "at": AS_OF}]}, "open_attempt"),
        ({"claimedUntil": AS_OF + timedelta(minutes=1)}, "claimed"),
        ({"phone": "11990000001"}, "unfit"),
        ({"data": {}}, "unfit"),
        ({"attempts": 3, "attemptLog": [{"status": "FAILED"}] * 3}, "exhausted"),
    ],
)
def test_nothing_is_sent_that_the_document_speaks_against(
    changes: dict[str, Any], reason: str | None
) -> None:
    world = World()
    world.laundromat()
    world.target(**changes)
    report = run_in_virtual_time(world.once())
    assert not world.state.ledger.calls
    assert not world.sends()
    counted = {name for name, count in (report.waiting | report.stopped).items() if count}
    assert counted - {"next"} == ({reason} if reason else set())


@pytest.mark.parametrize(
    "changes",
    [
        {"enabled": False},
        {"testPhones": [phone_of(7)]},
        {"monthlyBudgetBrl": 0.30},
        {"wabaId": "3002", "phoneNumberId": "5002", "tokenSecret": "UNSET"},
    ],
)
def test_nothing_is_sent_that_the_account_speaks_against(changes: dict[str, Any]) -> None:
    world = World()
    world.laundromat(**changes)
    path = world.target()
    run_in_virtual_time(world.once())
    assert not world.state.ledger.calls
    assert world.get(path)["status"] == "PENDING"
    assert "attemptLog" not in world.get(path)


@pytest.mark.parametrize("phone", [phone_of(1), "+551190000001"])
def test_nobody_is_written_to_who_opted_out_by_either_form_of_the_number(phone: str) -> None:
    world = World()
    world.laundromat()
    world.target()
    world.suppress(phone)
    assert run_in_virtual_time(world.once()).stopped == {"suppressed": 1}
    assert not world.sends()


def test_who_resumed_is_written_to() -> None:
    world = World()
    world.laundromat()
    world.target()
    world.suppress(phone_of(1), resumedAt=AS_OF)
    assert run_in_virtual_time(world.once()).sent == 1


def test_an_opt_out_between_claim_and_post_stops_the_message() -> None:
    world = World()
    world.laundromat()
    path = world.target()

    async def opt_out(method: str, moment: str) -> None:
        if (method, moment) == ("Commit", "after"):
            world.suppress(phone_of(1))

    world.channel.hook = opt_out
    report = run_in_virtual_time(world.once())
    assert report.stopped == {"suppressed": 1}
    assert not world.state.ledger.calls
    fields = world.get(path)
    assert fields["status"] == "PENDING"
    assert [entry["status"] for entry in fields["attemptLog"]] == ["FAILED"]
    assert fields["attempts"] == 0


def test_a_worker_that_was_frozen_beyond_the_expiry_does_not_send() -> None:
    world = World()
    world.laundromat()
    path = world.target(expiresAt=AS_OF + timedelta(minutes=10))

    async def freeze(method: str, moment: str) -> None:
        if (method, moment) == ("Commit", "after") and not world.state.ledger.calls:
            await asyncio.sleep(3600)

    world.channel.hook = freeze
    report = run_in_virtual_time(world.once())
    assert report.stopped == {"expired": 1}
    assert not world.state.ledger.calls
    assert world.get(path)["attemptLog"][-1]["status"] == "FAILED"


def test_what_somebody_else_began_after_the_poll_is_left_alone() -> None:
    world = World()
    world.laundromat()
    path = world.target()
    entry = {"attempt": 1, "attemptId": "other", "status": "SENDING", "at": AS_OF}

    async def overtake(method: str, moment: str) -> None:
        if (method, moment) == ("BatchGetDocuments", "before"):
            world.put(path, {"attemptLog": [entry]})

    world.channel.hook = overtake
    report = run_in_virtual_time(world.once())
    assert report.stopped == {"open_attempt": 1}
    assert not world.state.ledger.calls


def test_a_refusal_for_who_stopped_marketing_becomes_a_suppression() -> None:
    world = World()
    world.laundromat()
    world.target()
    world.rule("error", 131050)
    run_in_virtual_time(world.once())
    world.state.faults.clear()
    # The same person, as a customer of another campaign.
    world.target("c2", campaign_type="WELCOME")
    assert run_in_virtual_time(world.once()).stopped == {"suppressed": 1}


def test_a_suppression_that_is_written_hours_late_is_news_then() -> None:
    """Tracking and sync ask for what was written since, and would never see it otherwise."""
    world = World()
    world.laundromat()
    world.target()
    world.rule("error", 131050)

    async def be_ill(method: str, moment: str) -> None:
        asked_at = world.began + timedelta(seconds=5)
        is_ill = bool(world.state.ledger.calls) and world.now() < asked_at + timedelta(hours=3)
        if is_ill and (method, moment) == ("Commit", "before"):
            raise rpc_error(grpc.StatusCode.UNAVAILABLE)

    async def play() -> None:
        sender = await world.sender()
        running = asyncio.create_task(sender.run(once=False))
        await asyncio.sleep(4 * 3600)
        sender.stop()
        await running

    world.channel.hook = be_ill
    run_in_virtual_time(play())
    (found,) = Documents(world.backend, "test", CNPJ).suppressions()
    assert found.fields["optedOutAt"] < AS_OF + timedelta(minutes=5)
    assert found.fields["updatedAt"] >= AS_OF + timedelta(hours=3)


@pytest.mark.parametrize("which", [1, 2], ids=["the claim", "the result"])
def test_what_a_frozen_sender_writes_late_has_the_time_at_which_it_is_written(which: int) -> None:
    world = World()
    world.laundromat()
    path = world.target()
    commits = 0

    async def freeze(method: str, moment: str) -> None:
        nonlocal commits
        commits += (method, moment) == ("Commit", "before")
        if (method, moment, commits) == ("Commit", "before", which):
            await asyncio.sleep(9 * 3600)

    world.channel.hook = freeze
    run_in_virtual_time(world.once())
    (send,) = world.sends()
    assert send["at"] < AS_OF + timedelta(hours=1)
    # Otherwise tracking, which has looked meanwhile, would not look there again.
    for written in (world.get(path), send):
        assert written["updatedAt"] >= AS_OF + timedelta(hours=9)


def test_a_passing_refusal_is_posted_again_within_the_same_attempt() -> None:
    world = World()
    world.laundromat()
    path = world.target()
    world.rule("error", 131016, times=2)
    assert run_in_virtual_time(world.once()).sent == 1
    fields = world.get(path)
    assert (fields["attempts"], len(fields["attemptLog"]), len(world.sends())) == (1, 1, 1)
    times = [call.at for call in world.state.ledger.calls]
    assert [round((at - times[0]).total_seconds()) for at in times] == [0, 1, 5]


def test_an_answer_to_a_failed_attempt_does_not_become_one_to_the_next() -> None:
    world = World()
    world.laundromat()
    began = world.now()
    failed = {"attempt": 1, "attemptId": "a1", "at": began, "status": "FAILED"}
    path = world.target(attempts=1, attemptLog=[failed], repliedAt=began)
    assert run_in_virtual_time(world.once()).sent == 1
    assert "repliedAt" not in world.get(path)


def test_what_never_left_is_not_an_attempt_and_goes_out_later() -> None:
    world = World()
    world.laundromat()
    path = world.target()
    world.transport.is_reachable = False
    run_in_virtual_time(world.once())
    assert world.get(path)["attempts"] == 0
    assert world.get(path)["lastError"]["code"] == "not_sent"
    world.transport.is_reachable = True
    world.pass_time(timedelta(minutes=2))
    assert run_in_virtual_time(world.once()).sent == 1
    assert [entry["attempt"] for entry in world.get(path)["attemptLog"]] == [1, 2]


@pytest.mark.parametrize("is_replaced", [True, False])
def test_a_token_that_dies_under_500_targets_costs_few_attempts_and_comes_back(
    *, is_replaced: bool
) -> None:
    world = World()
    world.laundromat()
    world.laundromat(OTHER, phoneNumberId="5002", wabaId="3002")
    world.state.add_accounts(
        Accounts.model_validate({"portfolios": [{"id": "1001", "people_in_24_hours": 2_000}]})
    )
    for number in range(500):
        world.target(f"c{number}", phone=phone_of(number), cnpj=(CNPJ, OTHER)[number % 2])

    async def play() -> SendReport:
        sender = await world.sender()
        running = asyncio.create_task(sender.run(once=False))
        await asyncio.sleep(2)
        assert 0 < len(world.accepted) < 400
        world.state.add_accounts(_token(TOKEN, is_valid=False))
        await asyncio.sleep(50)
        before = len(world.accepted)
        await asyncio.sleep(5)
        assert len(world.accepted) == before < 400
        world.state.add_accounts(_token("new" if is_replaced else TOKEN, is_valid=True))
        if is_replaced:
            world.tokens["TOKEN_A"] = "new"
        await asyncio.sleep(120)
        sender.stop()
        return await running

    report = run_in_virtual_time(play())
    refused = [call for call in world.state.ledger.calls if call.outcome == "190"]
    assert 0 < len(refused) <= 4
    assert len({message.to for message in world.accepted}) == report.sent == 500
    assert {send["status"] for send in world.sends()} == {"SENT", "FAILED"}
    paths = [f"users/{(CNPJ, OTHER)[n % 2]}/campaigns/BIRTHDAY/targets/c{n}" for n in range(500)]
    # What the customers had no part in is not counted.
    assert {(world.get(path)["status"], world.get(path)["attempts"]) for path in paths} == {
        ("SENT", 1)
    }


def test_a_token_that_is_dead_from_the_beginning_costs_one_attempt() -> None:
    world = World()
    world.laundromat()
    for number in range(50):
        world.target(f"c{number}", phone=phone_of(number))

    async def play() -> SendReport:
        sender = await world.sender()
        running = asyncio.create_task(sender.run(once=False))
        # The templates were read while it was still good.
        await asyncio.sleep(0)
        await asyncio.sleep(30)
        sender.stop()
        return await running

    async def die(method: str, moment: str) -> None:
        if (method, moment) == ("Commit", "before"):
            world.state.add_accounts(_token(TOKEN, is_valid=False))

    world.channel.hook = die
    report = run_in_virtual_time(play())
    assert report.failed == {"token": 1}
    assert [pause.kind for pause in report.pauses] == ["token"]
    assert sum(len(world.sends(cnpj)) for cnpj in (CNPJ,)) == 1


def test_the_tenth_of_a_portfolio_is_left_free_and_birthdays_come_first() -> None:
    world = World()
    world.laundromat()
    for number in range(240):
        campaign = "REACTIVATION" if number < 120 else "BIRTHDAY"
        world.target(f"c{number}", campaign_type=campaign, phone=phone_of(number))
    report = run_in_virtual_time(world.once())
    assert report.sent == 225
    assert report.waiting["next"] == 240
    rest = run_in_virtual_time(world.once())
    assert rest.sent == 0
    assert rest.waiting == {"budget": 15}
    birthdays = {phone_of(number).removeprefix("+") for number in range(120, 240)}
    assert {message.to for message in world.accepted[:80]} < birthdays
    assert {message.to for message in world.accepted} > birthdays
    world.pass_time(timedelta(hours=24))
    for number in range(240):
        if number < 120:
            path = f"users/{CNPJ}/campaigns/REACTIVATION/targets/c{number}"
            if world.get(path)["status"] == "PENDING":
                world.put(path, {"expiresAt": world.now() + timedelta(hours=5)})
    assert run_in_virtual_time(world.once()).sent == 15


def test_a_months_money_is_not_overrun() -> None:
    world = World()
    world.laundromat(monthlyBudgetBrl=1.10)
    for number in range(5):
        world.target(f"c{number}", phone=phone_of(number))
    world.rule("error", 131026, to=phone_of(0).removeprefix("+"))
    # Three at 0.35; the failed one costs nothing.
    assert run_in_virtual_time(world.once()).sent == 3
    assert run_in_virtual_time(world.once()).sent == 0


def test_the_category_of_the_template_decides_what_a_message_costs() -> None:
    world = World()
    world.state.templates.clear()
    world.state.create_template(WABA, creation(category="UTILITY"))
    world.laundromat(monthlyBudgetBrl=0.5)
    known: dict[str, dict[str, Any]] = {
        # 0.04, as WhatsApp billed it; 0.35; nothing; 0.04 as nobody knows better.
        "s1": {"category": "MARKETING", "pricing": {"category": "utility", "billable": True}},
        "s2": {"category": "MARKETING"},
        "s3": {"category": "MARKETING", "pricing": {"category": "marketing", "billable": False}},
    }
    for name, fields in known.items():
        sent = {"status": "DELIVERED", "at": world.began, "portfolioId": "1001"}
        world.put(f"users/{CNPJ}/sends/{name}", sent | fields | {"phoneKey": name})
    for number in range(5):
        world.target(f"c{number}", phone=phone_of(number))
    assert run_in_virtual_time(world.once()).sent == 2
    mine = [send for send in world.sends() if send["status"] == "SENT"]
    assert {send["category"] for send in mine} == {"UTILITY"}
    assert {message.endpoint for message in world.accepted} == {"messages"}


def test_what_somebody_else_was_faster_with_costs_nothing() -> None:
    world = World()
    world.laundromat(monthlyBudgetBrl=0.36)
    for number in range(2):
        world.target(f"c{number}", phone=phone_of(number))
    paths = [f"users/{CNPJ}/campaigns/BIRTHDAY/targets/c{number}" for number in range(2)]

    async def take(method: str, moment: str) -> None:
        if (method, moment) == ("Commit", "before"):
            while paths:
                path = paths.pop()
                world.put(path, world.get(path) | {"note": "somebody else"})

    world.channel.hook = take

    async def play() -> SendReport:
        sender = await world.sender()
        running = asyncio.create_task(sender.run(once=False))
        await asyncio.sleep(20)
        sender.stop()
        return await running

    report = run_in_virtual_time(play())
    assert report.stopped == {"taken": 1}
    assert report.sent == 1


def test_a_number_keeps_to_its_rate_and_a_family_to_its_six_seconds() -> None:
    world = World()
    world.laundromat(messagesPerSecond=20)
    for number in range(100):
        world.target(f"c{number}", phone=phone_of(number))
    world.target("child", campaign_type="WELCOME", phone=phone_of(1))
    report = run_in_virtual_time(world.once())
    assert report.sent == 101
    assert not report.failed
    times = [message.at.timestamp() for message in world.accepted]
    busiest = max(sum(start <= at < start + 1 for at in times) for start in times)
    assert 15 <= busiest <= 20


def test_many_numbers_share_what_one_process_can_have_under_way() -> None:
    world = World()
    world.state.settings = Settings(review="APPROVED", latency_seconds=1.0)
    cnpjs = [str(with_check_digits(f"{index:012}")) for index in range(1, 7)]
    world.state.add_accounts(
        Accounts.model_validate(
            {
                "portfolios": [{"id": f"7{index}"} for index in range(6)],
                "wabas": [{"id": f"9{index}", "portfolio_id": f"7{index}"} for index in range(6)],
                "numbers": [
                    {
                        "id": f"8{index}",
                        "waba_id": f"9{index}",
                        "display_phone_number": f"55113000000{index}",
                    }
                    for index in range(6)
                ],
                "tokens": [{"token": TOKEN, "waba_ids": [f"9{index}" for index in range(6)]}],
            }
        )
    )
    for index, cnpj in enumerate(cnpjs):
        world.state.create_template(f"9{index}", creation())
        ids = {"phoneNumberId": f"8{index}", "wabaId": f"9{index}", "portfolioId": f"7{index}"}
        world.laundromat(cnpj, **ids)
        for number in range(20):
            world.target(f"c{number}", cnpj=cnpj, phone=phone_of(20 * index + number))

    async def play() -> SendReport:
        return await (await world.sender(most_under_way=4)).run(once=True)

    assert run_in_virtual_time(play()).sent == 120
    times = [message.at.timestamp() for message in world.accepted]
    # A call takes a second, so what begins within one is under way together.
    assert max(sum(start <= at < start + 1 for at in times) for start in times) == 4
    # And each portfolio has its share from the beginning.
    for first in range(0, 90, 30):
        served = Counter(message.number_id for message in world.accepted[first : first + 30])
        assert min(served[f"8{index}"] for index in range(6)) >= 3


def test_a_lost_lease_stops_it_before_the_next_post() -> None:
    world = World()
    world.laundromat()
    path = world.target()

    async def lose(method: str, moment: str) -> None:
        if (method, moment) == ("Commit", "after"):
            world.owner.has_lost = True

    world.channel.hook = lose
    report = run_in_virtual_time(world.once())
    assert not world.state.ledger.calls
    assert report.stopped == {"paused": 1}
    assert world.get(path)["status"] == "PENDING"
    assert world.get(path)["attemptLog"][-1]["status"] == "FAILED"


def test_a_stop_lets_what_is_under_way_end_and_records_it() -> None:
    world = World()
    world.laundromat()
    world.state.settings = world.state.settings.model_copy(update={"latency_seconds": 5})
    paths = [world.target(f"c{number}", phone=phone_of(number)) for number in range(10)]

    async def play() -> SendReport:
        sender = await world.sender()
        running = asyncio.create_task(sender.run(once=False))
        await asyncio.sleep(8)
        sender.stop()
        return await running

    report = run_in_virtual_time(play())
    assert 0 < report.sent < 10
    assert len(world.accepted) == report.sent
    statuses = [world.get(path)["status"] for path in paths]
    assert statuses.count("SENT") == report.sent
    assert all(send["status"] != "SENDING" for send in world.sends())


def test_three_alike_pause_the_template_and_the_rest_waits() -> None:
    world = World()
    world.laundromat()
    for number in range(10):
        world.target(f"c{number}", phone=phone_of(number))
    world.rule("error", 132012)
    report = run_in_virtual_time(world.once())
    assert report.failed == {"content": 3}
    assert [(pause.kind, pause.reason) for pause in report.pauses] == [("template", "132012")]


def test_half_of_the_answers_unknown_stop_everything_but_a_probe_a_minute() -> None:
    world = World()
    world.laundromat()
    for number in range(100):
        world.target(f"c{number}", phone=phone_of(number))
    world.rule("gateway_error")

    async def play(minutes: int) -> SendReport:
        sender = await world.sender()
        running = asyncio.create_task(sender.run(once=False))
        await asyncio.sleep(minutes * 60)
        sender.stop()
        return await running

    report = run_in_virtual_time(play(5))
    assert 20 <= report.unknown <= 27
    assert {pause.kind for pause in report.pauses} == {"breaker"}


def test_an_attempt_of_which_nobody_heard_for_eight_days_becomes_a_final_failure() -> None:
    world = World()
    world.laundromat()
    path = world.target()
    world.rule("accept_and_reset")
    run_in_virtual_time(world.once())
    world.state.faults.clear()
    world.pass_time(timedelta(days=7))
    assert run_in_virtual_time(world.once()).open_attempts == 1
    world.pass_time(timedelta(days=1, minutes=1))
    assert run_in_virtual_time(world.once()).given_up == 1
    fields = world.get(path)
    assert fields["status"] == "FAILED"
    assert fields["lastError"] == {
        "code": "unknown_outcome",
        "message": "its outcome was never learned",
        "recoverable": False,
    }
    assert len(world.accepted) == 1


def test_a_template_that_whatsapp_does_not_have_costs_no_attempt() -> None:
    world = World()
    world.laundromat()
    path = world.target(template="vmhub_other_v1")
    assert run_in_virtual_time(world.once()).waiting == {"template": 1}
    assert "attemptLog" not in world.get(path)


def test_whether_the_marketing_endpoint_takes_callback_data_does_not_matter() -> None:
    world = World()
    world.laundromat()
    for number in range(3):
        world.target(f"c{number}", phone=phone_of(number))
    world.state.settings = world.state.settings.model_copy(
        update={"marketing_callback_data": "refused"}
    )
    assert run_in_virtual_time(world.once()).sent == 3
    # One refusal teaches it.
    assert len(world.state.ledger.calls) == 4


def _token(token: str, *, is_valid: bool) -> Accounts:
    return Accounts.model_validate(
        {"tokens": [{"token": token, "waba_ids": ["3001", "3002"], "is_valid": is_valid}]}
    )

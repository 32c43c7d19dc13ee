"""`explain` agrees with the decisions, and gives the numbers behind them."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from loader.base.errors import ConfigurationError
from loader.cli.explain import explain_customer, show_explanation
from loader.cli.output import print_json
from loader.dbt.settings import effective_settings
from loader.dbt.spec import BuildSpec
from loader.local.sample import SAMPLE_AS_OF, sample_laundromats
from loader.questions.explain import Blocker, Explainer, Trigger
from tests.support import (
    FIRST_BUILD,
    NUMERIC_CNPJ,
    change_settings,
    decisions,
    make_laundromat,
    official_client,
)

if TYPE_CHECKING:
    from loader.services import Services


@pytest.mark.parametrize("position", range(3))
def test_it_agrees_with_the_decisions_for_every_sample_customer(
    sample_session: Services, position: int
) -> None:
    services = sample_session
    cnpj = sample_laundromats(services.project)[position].cnpj
    decided = decisions(services, cnpj)
    settings = effective_settings(services.project, services.registry.entry(cnpj))
    customers = [
        row["customer_id"]
        for row in services.warehouse.query(
            f"select customer_id from `{cnpj}_CAMPAIGN`.`customer_facts`", doing="listing customers"
        )
    ]

    verdicts = Explainer(services.dbt, services.warehouse).verdicts(
        BuildSpec(settings, SAMPLE_AS_OF), customers
    )

    assert len(verdicts) == len(customers) * len(settings["enabled_campaigns"])
    for key, verdict in verdicts.items():
        decision = decided.get(key)
        assert verdict.is_candidate == (decision is not None)
        assert verdict.is_current
        assert verdict.cycle_key == (decision["cycle_key"] if decision else None)
        assert [blocker.name for blocker in verdict.blockers] == (
            list(decision["blockers"]) if decision else []
        )
        assert all(blocker.fact for blocker in verdict.blockers)
        today = SAMPLE_AS_OF.date()
        dates = [
            *(trigger.changes_on for trigger in verdict.triggers),
            *(blocker.changes_on for blocker in verdict.blockers),
        ]
        assert all(day is None or day > today for day in dates)


def test_one_customer_is_explained_with_numbers_dates_and_the_document_and_nobody_named(
    sample_session: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    services = sample_session
    cnpj = sample_laundromats(services.project)[0].cnpj

    recent = explain_customer(services, cnpj, "ipe-011")
    campaigns = {campaign.campaign_type: campaign for campaign in recent.campaigns}
    assert (recent.built_at, recent.is_current) == (SAMPLE_AS_OF, True)
    reactivation = campaigns["REACTIVATION"].verdict
    assert reactivation is not None
    assert reactivation.triggers == (
        Trigger("day of the month", "23", "at least 20", is_met=True, changes_on=date(2026, 12, 1)),
        Trigger(
            "number of days since the last purchase",
            "49",
            "more than 30",
            is_met=True,
            changes_on=None,
        ),
    )
    assert reactivation.blockers == (
        Blocker("RECENT_VOUCHER", "a voucher was used on 2026-10-05", date(2026, 12, 5)),
    )
    birthday = campaigns["BIRTHDAY"].verdict
    assert birthday is not None
    assert birthday.triggers == (
        Trigger(
            "birthday",
            "on 7 January",
            "on 23 November",
            is_met=False,
            changes_on=date(2027, 1, 7),
        ),
    )
    assert birthday.why_not() == (
        "not a candidate: birthday is on 7 January, needed: on 23 November"
    )

    target = explain_customer(services, cnpj, "ipe-001")
    [born_today] = [item for item in target.campaigns if item.campaign_type == "BIRTHDAY"]
    assert born_today.verdict is not None
    assert born_today.verdict.blockers == ()
    assert born_today.document["status"] == "PENDING"

    show_explanation(target)
    print_json(target)
    shown = capsys.readouterr().out
    assert json.loads(shown.splitlines()[-1])["customer_id"] == "ipe-001"
    [person] = services.warehouse.query(
        f"select name, phone, cpf from `{cnpj}_CAMPAIGN`.`customer_facts` "
        "where customer_id = 'ipe-001'",
        doing="reading a customer",
    )
    for secret in person.values():
        assert secret
        assert secret not in shown

    with pytest.raises(ConfigurationError, match="no customer 'nobody'"):
        explain_customer(services, cnpj, "nobody")


def test_a_changed_setting_and_a_campaign_that_is_switched_off_are_said(
    sample_session: Services,
) -> None:
    cnpj = sample_laundromats(sample_session.project)[0].cnpj
    user = official_client(sample_session.environment).collection("users").document(cnpj)
    loyalty = user.collection("campaigns").document("LOYALTY")
    before = user.get().to_dict()
    assert before is not None
    user.set({"settings": {"reactivation_inactive_days": 60}}, merge=True)
    loyalty.set({"enabled": False})
    try:
        explanation = explain_customer(sample_session, cnpj, "ipe-011")
    finally:
        user.set(before)
        loyalty.delete()

    assert not explanation.is_current
    assert [
        campaign.campaign_type for campaign in explanation.campaigns if campaign.verdict is None
    ] == ["LOYALTY"]


def test_every_condition_is_a_sentence_with_the_day_on_which_time_changes_the_answer(
    services: Services,
) -> None:
    people = {
        "a": {
            "cpf": "11111111011",
            "dataNascimento": "2000-02-29T00:00:00Z",
            "dataCadastro": "2026-11-18T15:00:00Z",
        },
        "b": {
            "cpf": "22222222022",
            "dataNascimento": "1990-12-06T00:00:00Z",
            "dataCadastro": "2026-11-16T15:00:00Z",
        },
        "c": {},
    }
    bought = {"11111111011": "2026-10-20T15:00:00Z", "22222222022": "2026-08-21T15:00:00Z"}
    make_laundromat(
        services,
        NUMERIC_CNPJ,
        clientes=[{"id": customer_id, **person} for customer_id, person in people.items()],
        vendas=[
            {"cpfCliente": cpf, "data": sold_at, "valor": 20.0, "status": "COMPLETED"}
            for cpf, sold_at in bought.items()
        ],
    )
    as_of = datetime.fromisoformat("2026-11-19T10:00:00-03:00")
    changed = {"welcome_delay_days": 2, "reactivation_max_inactive_days": 90}
    change_settings(services, NUMERIC_CNPJ, **changed)
    services.build(services.laundromat(NUMERIC_CNPJ), as_of=as_of, arguments=FIRST_BUILD)
    settings = effective_settings(services.project, services.registry.entry(NUMERIC_CNPJ))

    verdicts = Explainer(services.dbt, services.warehouse).verdicts(
        BuildSpec(settings, as_of), list(people)
    )

    said = {
        key: [
            (trigger.sentence, trigger.is_met, trigger.changes_on) for trigger in verdict.triggers
        ]
        for key, verdict in verdicts.items()
    }
    birthday = "birthday is {}, needed: on 19 November"
    assert [said["BIRTHDAY", customer_id] for customer_id in people] == [
        [(birthday.format("on 28 February"), False, date(2027, 2, 28))],
        [(birthday.format("on 6 December"), False, date(2026, 12, 6))],
        [(birthday.format("unknown"), False, None)],
    ]
    registration = "number of days since registration is {}, needed: {}"
    assert [said["WELCOME", customer_id] for customer_id in people] == [
        [
            (registration.format(1, "at least 2"), False, date(2026, 11, 20)),
            (registration.format(1, "at most 2"), True, date(2026, 11, 21)),
        ],
        [
            (registration.format(3, "at least 2"), True, None),
            (registration.format(3, "at most 2"), False, None),
        ],
        [
            (registration.format("unknown", "at least 2"), False, None),
            (registration.format("unknown", "at most 2"), False, None),
        ],
    ]
    day = ("day of the month is 19, needed: at least 20", False, date(2026, 11, 20))
    purchase = "number of days since the last purchase is {}, needed: more than 30, at most 90"
    assert [said["REACTIVATION", customer_id] for customer_id in people] == [
        [day, (purchase.format(30), False, date(2026, 11, 20))],
        [day, (purchase.format(90), True, date(2026, 11, 20))],
        [day, (purchase.format("unknown"), False, None)],
    ]
    visits = "number of visits within 3 months is {}, needed: at least 10"
    assert [said["LOYALTY", customer_id] for customer_id in people] == [
        [(visits.format(1), False, None)],
        [(visits.format(1), False, None)],
        [(visits.format(0), False, None)],
    ]

    # February has no 31st.
    later = BuildSpec(
        {**settings, "reactivation_start_day": 31},
        datetime.fromisoformat("2027-02-01T10:00:00-03:00"),
    )
    [first, _] = (
        Explainer(services.dbt, services.warehouse)
        .verdicts(later, ["a"])["REACTIVATION", "a"]
        .triggers
    )
    assert first.sentence == "day of the month is 1, needed: at least 31"
    assert first.changes_on == date(2027, 3, 31)


_WEEK = ["MON", "TUE", "WED", "THU", "FRI"]


@pytest.mark.parametrize(
    ("local", "settings", "next_send_on"),
    [
        ("2026-11-23T08:59", {}, date(2026, 11, 23)),
        ("2026-11-23T20:00", {}, date(2026, 11, 24)),
        ("2026-11-23T10:00", {"birthday_send_from_hour": 14}, date(2026, 11, 23)),
        ("2026-11-27T20:00", {"send_weekdays": _WEEK}, date(2026, 11, 30)),
        ("2026-11-28T08:00", {"send_weekdays": _WEEK}, date(2026, 11, 30)),
    ],
    ids=["before it opens", "after it closed", "before its own hour", "on Friday", "on Saturday"],
)
def test_the_next_day_of_sending_follows_hours_and_weekdays(
    services: Services, local: str, settings: dict[str, Any], next_send_on: date
) -> None:
    as_of = datetime.fromisoformat(f"{local}:00-03:00")
    sql = services.dbt.compile_sql(
        BuildSpec({"cnpj": NUMERIC_CNPJ, **settings}, as_of),
        "select {{ next_send_day('birthday') }} as next_send_on",
    )
    [row] = services.warehouse.query(sql, doing="asking for the next day of sending")
    assert row["next_send_on"] == next_send_on

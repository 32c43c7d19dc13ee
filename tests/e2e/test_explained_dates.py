"""On the day that `explain` names, the answer changes, and not before."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from loader.dbt.spec import BuildSpec
from loader.questions.explain import Explainer, Verdict
from tests.support import NUMERIC_CNPJ, change_settings, make_laundromat

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from loader.services import Services

SAO_PAULO = ZoneInfo("America/Sao_Paulo")
CUSTOMERS = 250
# Around the ends of months and of a year; 20 November and 1 January are holidays.
DAYS = [
    *(date(2026, 11, 20), date(2026, 11, 23), date(2026, 11, 30), date(2026, 12, 1)),
    *(date(2026, 12, 30), date(2026, 12, 31), date(2027, 1, 1), date(2027, 1, 4)),
    *(date(2027, 2, 28), date(2027, 3, 1)),
]
SETTINGS = {
    "send_weekdays": ["MON", "TUE", "WED", "THU", "FRI"],
    "blackout_dates": ["2026-12-31"],
    "sends_on_national_holidays": False,
    "max_attempts": 2,
    "frequency_cap_days": 3,
    "stale_sales_hours": 0,
    "birthday_holdout_percent": 40,
    "loyalty_holdout_percent": 40,
    "welcome_delay_days": 2,
    "welcome_catch_up_days": 2,
    "reactivation_max_inactive_days": 60,
    "reactivation_voucher_cooldown_days": 40,
    "loyalty_min_visits": 1,
}
# What must have changed on the named day at least once, so that the test shows something.
SHOWN = {
    "birthday",
    "number of days since registration",
    "day of the month",
    "number of days since the last purchase",
    "ALREADY_MESSAGED",
    "ATTEMPTS_EXHAUSTED",
    "HOLDOUT",
    "FREQUENCY_CAP",
    "OUTSIDE_SEND_WINDOW",
    "RECENT_VOUCHER",
}


@dataclass
class _Rows:
    """Random rows of the source tables; no two customers share anything."""

    clientes: list[dict[str, Any]] = field(default_factory=list)
    vendas: list[dict[str, Any]] = field(default_factory=list)
    message_history: list[dict[str, Any]] = field(default_factory=list)
    known_at: dict[str, datetime] = field(default_factory=dict)
    """When the last row of a customer came in: from then on only time changes the answers."""


def _rows(chance: random.Random) -> _Rows:
    rows = _Rows()

    for number in range(CUSTOMERS):
        # What a customer did lies before the same day: on all later ones only time changes answers.
        first_day = chance.choice(DAYS)

        def instant(*days_before: int, first_day: date = first_day) -> datetime:
            """Return an instant so many days before the first day; near midnight, too."""
            hour = chance.choice([0, 2, 3, 4, 12, 23])
            day = first_day - timedelta(chance.choice(days_before) + chance.randint(-2, 2))
            return datetime.combine(day, time(hour, chance.randint(0, 59)), UTC)

        name, cpf = f"customer {number}", f"8{number:010d}"
        registered = instant(0, 2, 4, 200)
        # Leap years have all days.
        birthday = chance.choice([*DAYS, date(2024, 2, 29)]) + timedelta(days=chance.randint(-1, 1))
        born = birthday.replace(year=1932 + 4 * chance.randint(0, 18))
        customer = {
            "id": name,
            "telefone": f"119{number:08d}",
            "cpf": cpf,
            "dataNascimento": f"{born}T00:00:00Z",
            "dataCadastro": registered,
        }
        bought = [instant(30, 41, 41, 61) for _ in range(chance.randint(0, 2))]
        sent = [instant(1, 3, 30, 90, 91, 92) for _ in range(chance.randint(0, 3))]
        sales = [
            {
                "cpfCliente": cpf,
                "data": bought_at,
                "valor": 20.0,
                "status": "COMPLETED",
                "cupom": chance.choice([None, "VOLTA10", "VOLTA10"]),
            }
            for bought_at in bought
        ]
        messages = [
            {
                "user_id": name,
                "campaign_type": chance.choice(["BIRTHDAY", "LOYALTY", "LOYALTY", "REACTIVATION"]),
                "sent_at": sent_at,
                "status": chance.choice(["SENT", "FAILED"]),
                "recoverable": chance.choice([True, True, False]),
            }
            for sent_at in sent
        ]
        rows.known_at[name] = max([registered, *bought, *sent])
        rows.clientes.append(customer)
        rows.vendas += sales
        rows.message_history += messages
    return rows


def _texts(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in row.items()
        }
        for row in rows
    ]


def _answers(verdict: Verdict) -> Iterator[tuple[str, Any, date | None]]:
    """Yield each condition and blocker, its answer, and the day on which it is to change."""
    for position, trigger in enumerate(verdict.triggers):
        yield f"{trigger.fact}, condition {position}", trigger.is_met, trigger.changes_on
    for blocker in verdict.blockers:
        # Its day counts from a message that is to go out today, and here none goes out.
        if blocker.fact != "another message goes out today":
            yield blocker.name, True, blocker.changes_on


def _is_to_change(
    verdict: Verdict, later: Iterable[tuple[date, Verdict]]
) -> Iterator[tuple[str, date, date, bool]]:
    """Yield what is to change, when, each later day until then, and if the answer changed."""
    for name, answer, changes_on in _answers(verdict):
        for day, then in later:
            # Who is no candidate any more has no blockers.
            is_asked = ", condition" in name or then.is_candidate
            if changes_on and day <= changes_on and is_asked:
                answers = {key: value for key, value, _ in _answers(then)}
                yield name, changes_on, day, answers.get(name) != answer


def test_on_the_day_that_is_named_the_answer_changes_and_not_before(services: Services) -> None:
    rows = _rows(random.Random(14))
    make_laundromat(
        services,
        NUMERIC_CNPJ,
        clientes=_texts(rows.clientes),
        vendas=_texts(rows.vendas),
        message_history=_texts(rows.message_history),
    )
    change_settings(services, NUMERIC_CNPJ, **SETTINGS)
    laundromat = services.laundromat(NUMERIC_CNPJ)
    models = ["customer_facts", "campaign_decisions"]
    arguments = ["--exclude-resource-type", "test", "unit_test", "--select", *models]
    explainer = Explainer(services.dbt, services.warehouse)
    verdicts: dict[date, dict[tuple[str, str], Verdict]] = {}
    for day in DAYS:
        as_of = datetime.combine(day, time(12), SAO_PAULO)
        seed = [] if verdicts else ["message_templates"]
        services.build(laundromat, as_of=as_of, arguments=[*arguments, *seed])
        spec = BuildSpec(laundromat.settings, as_of)
        verdicts[day] = explainer.verdicts(spec, list(rows.known_at))

    shown, wrong = set(), []
    for day, of_day in verdicts.items():
        for (campaign, customer), verdict in of_day.items():
            if rows.known_at[customer].astimezone(SAO_PAULO).date() >= day:
                continue
            later = [
                (that_day, then[campaign, customer])
                for that_day, then in verdicts.items()
                if that_day > day
            ]
            for name, changes_on, that_day, has_changed in _is_to_change(verdict, later):
                if has_changed != (that_day == changes_on):
                    wrong.append((campaign, customer, name, day, changes_on, that_day))
                elif has_changed:
                    shown.add(name.split(",")[0])
    assert wrong == []
    assert shown == SHOWN

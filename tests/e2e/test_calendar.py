"""Edge cases of dates in the built tables: leap days, month ends, time zones, new year."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.cases.rows import born_today, purchases, somebody
from tests.support import (
    ALPHANUMERIC_CNPJ,
    FIRST_BUILD,
    HOURLY_BUILD,
    NUMERIC_CNPJ,
    change_settings,
    decisions,
    make_laundromat,
    targets,
)

if TYPE_CHECKING:
    from loader.base.cnpj import Cnpj
    from loader.services import Services

CNPJ = ALPHANUMERIC_CNPJ


def candidates(services: Services, cnpj: Cnpj, campaign_type: str) -> set[str]:
    return {
        customer_id
        for campaign, customer_id in decisions(services, cnpj)
        if campaign == campaign_type
    }


def test_leap_days_and_month_ends(services: Services) -> None:
    birth_dates = {
        "born on 28 February": "1990-02-28T00:00:00Z",
        "born on 29 February": "1992-02-29T00:00:00Z",
        "born on 1 March": "1990-03-01T00:00:00Z",
    }
    # Three months before 31 May is the end of February: ten visits just in the loyalty window and
    # ten with one of them just outside. São Paulo is three hours behind UTC.
    visits = {
        "since 28 February 2026": ("80000009001", "2026-02-28T03:00:00Z", "2026-03-05T12:00:00Z"),
        "since 27 February 2026": ("80000009002", "2026-02-28T02:59:59Z", "2026-03-05T12:00:00Z"),
        "since 29 February 2028": ("80000009003", "2028-02-29T03:00:00Z", "2028-03-05T12:00:00Z"),
        "since 28 February 2028": ("80000009004", "2028-02-29T02:59:59Z", "2028-03-05T12:00:00Z"),
    }
    make_laundromat(
        services,
        CNPJ,
        clientes=[
            *(born_today(name, dataNascimento=born) for name, born in birth_dates.items()),
            *(
                somebody(name, cpf=cpf, dataNascimento="1990-07-07T00:00:00Z")
                for name, (cpf, _, _) in visits.items()
            ),
        ],
        vendas=[
            sale
            for cpf, first_at, then in visits.values()
            for sale in (
                *purchases(cpf, 1, last_at=first_at),
                *purchases(cpf, 9, last_at=then),
            )
        ],
    )

    def on(day: str, *, arguments: list[str] = HOURLY_BUILD) -> tuple[set[str], set[str]]:
        instant = datetime.fromisoformat(f"{day}T15:00:00+00:00")
        services.build(services.laundromat(CNPJ), as_of=instant, arguments=arguments)
        return candidates(services, CNPJ, "BIRTHDAY"), candidates(services, CNPJ, "LOYALTY")

    assert on("2026-05-31", arguments=FIRST_BUILD) == (set(), {"since 28 February 2026"})
    assert on("2028-05-31") == (set(), {"since 29 February 2028"})
    assert on("2027-02-28")[0] == {"born on 28 February", "born on 29 February"}
    change_settings(services, CNPJ, birthday_feb29="MAR_01")
    assert on("2027-03-01")[0] == {"born on 1 March", "born on 29 February"}


NORONHA, RIO_BRANCO = ALPHANUMERIC_CNPJ, NUMERIC_CNPJ


def test_one_instant_is_new_year_in_noronha_and_the_old_year_in_rio_branco(
    services: Services,
) -> None:
    # 00:30 on 1 January in Noronha (UTC-2), 21:30 on 31 December in Rio Branco (UTC-5).
    instant = datetime(2027, 1, 1, 2, 30, tzinfo=UTC)
    people: list[dict[str, Any]] = [
        born_today("born on 31 December", dataNascimento="1990-12-31T00:00:00Z"),
        born_today("born on 1 January", dataNascimento="1990-01-01T00:00:00Z"),
        # 22:30 on the 30th in Noronha, 19:30 in Rio Branco.
        somebody("registered on the 30th", dataCadastro="2026-12-31T00:30:00Z"),
        # 01:30 on the 31st in Noronha, 22:30 on the 30th in Rio Branco.
        somebody("registered at night", dataCadastro="2026-12-31T03:30:00Z"),
        somebody("registered on the 31st", dataCadastro="2026-12-31T15:00:00Z"),
        somebody("inactive", cpf="80000009101"),
    ]
    # Noon of 30 November: 32 days before 1 January, 31 before 31 December.
    sales = purchases("80000009101", 1, last_at="2026-11-30T15:00:00Z")
    # A sale of another customer, so that sales are not late.
    sales += purchases("80000009199", 1, last_at="2026-12-31T15:00:00Z")
    # On 31 December at 23:30 in Noronha: last year's there, this year's in Rio Branco.
    history = [
        {
            "user_id": name,
            "campaign_type": "BIRTHDAY",
            "status": "SENT",
            "sent_at": "2027-01-01T01:30:00Z",
        }
        for name in ("born on 31 December", "born on 1 January")
    ]
    for cnpj, timezone in ((NORONHA, "America/Noronha"), (RIO_BRANCO, "America/Rio_Branco")):
        make_laundromat(
            services,
            cnpj,
            timezone=timezone,
            clientes=people,
            vendas=sales,
            message_history=history,
        )
        change_settings(services, cnpj, send_until_hour=24)
        services.build(services.laundromat(cnpj), as_of=instant, arguments=FIRST_BUILD)

    found = {
        cnpj: {
            key: (row["cycle_key"], row["cycle_start"], list(row["blockers"]))
            for key, row in decisions(services, cnpj).items()
        }
        for cnpj in (NORONHA, RIO_BRANCO)
    }
    ever = datetime(1, 1, 1, tzinfo=UTC)
    new_year_in_noronha = datetime(2027, 1, 1, 2, tzinfo=UTC)
    outside = ["OUTSIDE_SEND_WINDOW"]
    assert found == {
        NORONHA: {
            ("BIRTHDAY", "born on 1 January"): ("2027", new_year_in_noronha, outside),
            ("WELCOME", "registered at night"): ("ONCE", ever, outside),
            ("WELCOME", "registered on the 31st"): ("ONCE", ever, outside),
        },
        RIO_BRANCO: {
            ("BIRTHDAY", "born on 31 December"): (
                "2026",
                datetime(2026, 1, 1, 5, tzinfo=UTC),
                ["ALREADY_MESSAGED"],
            ),
            ("WELCOME", "registered on the 30th"): ("ONCE", ever, []),
            ("WELCOME", "registered at night"): ("ONCE", ever, []),
            ("REACTIVATION", "inactive"): ("2026-12", datetime(2026, 12, 1, 5, tzinfo=UTC), []),
        },
    }
    # Until midnight in Rio Branco.
    assert {target.expires_at for target in targets(services, RIO_BRANCO)} == {
        datetime(2027, 1, 1, 5, tzinfo=UTC)
    }
    assert {target.cnpj for target in targets(services, RIO_BRANCO)} == {RIO_BRANCO}
    assert targets(services, NORONHA) == []

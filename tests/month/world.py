"""The laundromats of the month: customers and sales, generated from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from loader.base.cnpj import Cnpj

__all__ = ["Laundromat", "Sale", "make_laundromats"]

Row = dict[str, Any]

_SETTINGS: dict[str, Any] = {
    "reactivation_voucher_prefix": "VOLTA",
    "loyalty_voucher_prefix": "FIEL",
    "birthday_voucher_prefix": "NIVER",
    "loyalty_min_visits": 6,
    "loyalty_tiers": {"BRONZE": 6, "SILVER": 12, "GOLD": 18},
    "welcome_catch_up_days": 2,
    "conversion_days": 7,
    # There are so few customers that days pass without a sale.
    "stale_sales_hours": 0,
    "send_from_hour": 9,
    # Long enough to retry failed messages.
    "send_until_hour": 12,
}
# So that neighbours have different ones: WhatsApp's side must know whom a message means.
_FIRST_NAMES = ("Ana", "Bia", "Caio", "Davi", "Eva")
_HOLDOUT = {"reactivation_holdout_percent": 30, "loyalty_holdout_percent": 30}


@dataclass(frozen=True)
class Sale:
    """One row of vendas."""

    at: datetime
    cpf: str
    amount_brl: float
    voucher_code: str | None = None

    def row(self) -> Row:
        return {
            "data": self.at.isoformat(),
            "cpfCliente": self.cpf,
            "valor": self.amount_brl,
            "status": "COMPLETED",
            # As people type it at the till.
            "cupom": None if self.voucher_code is None else f" {self.voucher_code.lower()} ",
        }


@dataclass
class Laundromat:
    """One laundromat with all rows of its RAW dataset; rows of later instants are invisible."""

    cnpj: Cnpj
    timezone: str
    settings: dict[str, Any]
    customers: dict[str, Row] = field(default_factory=dict)
    """By id."""
    sales: list[Sale] = field(default_factory=list)

    def local(self, instant: datetime) -> datetime:
        return instant.astimezone(ZoneInfo(self.timezone))

    def is_building(self, instant: datetime) -> bool:
        """Return whether the hourly run does more than track: the window is open, or just closed.

        When it has just closed, the run withdraws what was not sent.
        """
        first, last = self.settings["send_from_hour"], self.settings["send_until_hour"]
        return bool(first <= self.local(instant).hour <= last)


def make_laundromats(first_day: date, days: int, customers: int) -> list[Laundromat]:
    """Return three laundromats for these days, each in another time zone."""
    places = [
        Laundromat(Cnpj("11222333000181"), "America/Sao_Paulo", _SETTINGS | _HOLDOUT),
        Laundromat(
            Cnpj("12ABC34501DE35"),
            "America/Noronha",
            _SETTINGS | {"frequency_cap_days": 3, "send_until_hour": 11},
        ),
        Laundromat(
            Cnpj("00000000000191"),
            "America/Rio_Branco",
            _SETTINGS | {"max_attempts": 2, "send_from_hour": 13, "send_until_hour": 15},
        ),
    ]
    for number, laundromat in enumerate(places):
        for index in range(customers):
            rng = random.Random(f"{laundromat.cnpj} {index}")
            _add_customer(laundromat, (number, index), rng, first_day, days)
    return places


def _add_customer(
    laundromat: Laundromat,
    numbers: tuple[int, int],
    rng: random.Random,
    first_day: date,
    days: int,
) -> None:
    number, index = numbers
    # Early in the morning of the first day, UTC: evening in Brazil.
    start = datetime(first_day.year, first_day.month, first_day.day, tzinfo=UTC)
    born = first_day + timedelta(days=rng.randrange(days if rng.random() < 0.5 else 365))
    phone = index - 1 if index % 9 == 8 else index
    registered = start - timedelta(days=rng.randrange(100, 400))
    if rng.random() < 0.3:
        registered = start + timedelta(minutes=rng.randrange(days * 24 * 60))
    cpf = f"7{number}{index:09d}"
    customer_id = f"c{index:03d}"
    laundromat.customers[customer_id] = {
        "id": customer_id,
        "nome": f"{_FIRST_NAMES[index % len(_FIRST_NAMES)]} Exemplo",
        "dataNascimento": born.replace(year=1985).isoformat() + "T00:00:00Z",
        "cpf": cpf,
        "telefone": "12345" if index % 17 == 16 else f"11990{number}0{phone:04d}",
        "dataCadastro": registered.isoformat(),
    }
    # They come every few days until the end, or until they stay away.
    step, until = rng.choice([(6, days), (9, days), (14, rng.randrange(-70, 5)), (25, days)])
    at = max(registered, start - timedelta(days=120)) + timedelta(minutes=rng.randrange(9000))
    while at < start + timedelta(days=until):
        laundromat.sales.append(Sale(at, cpf, rng.randrange(500, 9000) / 100))
        at += timedelta(days=step, minutes=rng.randrange(-2000, 2000))

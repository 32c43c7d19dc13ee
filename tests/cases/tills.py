"""What tills write where they know nothing, and phones and CPFs as they come."""

from __future__ import annotations

from tests.cases.rows import Case, birthdays, born_today, purchases, somebody

__all__ = ["TILL_CASES"]


def _phones() -> Case:
    read = {
        "leading 0 behind the country code": "+55 (011) 99999-1024",
        "a float": "1199991007.0",
        "a float with a comma": "551199991010,0",
        "an extension": "(11) 98765-1001 x136",
        "the second of two": "11 3333-1002 / 11 98765-1002",
    }
    refused = {
        "from Peru": "+51 987 651 012",
        "from Peru with 00": "0051 987 651 013",
        "with ramal": "(11) 9876-1005 ramal 1",
        "with x2": "1198761006 x2",
        "nines": "(11) 99999-9999",
    }
    shared = {f"one of eleven {number}": "11 95555-0001" for number in range(11)}
    return birthdays(
        "a phone that is somebody else's is none",
        {name: [] for name in read} | {name: ["INVALID_PHONE"] for name in {**refused, **shared}},
        [born_today(name, telefone=phone) for name, phone in {**read, **refused, **shared}.items()],
    )


def _cpfs() -> Case:
    """Each has ten sales of the CPF beside theirs."""
    customers = {
        "a float for a cpf": ("1234567890.0", "012.345.678-90"),
        "masked": ("***.456.789-**", "***.456.789-**"),
        "masked, too": ("***.456.789-**", None),
        "scientific": ("1,23457E+10", "1,23457E+10"),
        "a passport": ("FZ123456", "AB123456"),
        "zeros that are not believed": ("12345678", "12345678"),
        **{f"a cpf for everybody {number}": ("12345678909", None) for number in range(11)},
        "the cpf for everybody": ("12345678909", "123.456.789-09"),
    }
    return Case(
        "what is no cpf makes nobody loyal",
        {("LOYALTY", "a float for a cpf"): []},
        [somebody(name, cpf=own) for name, (own, _) in customers.items()],
        [row for _, sold in customers.values() if sold for row in purchases(sold, 10)],
    )


def _birth_dates() -> Case:
    return birthdays(
        "a birth date that too many have is no birthday",
        {},
        [
            born_today(f"of a till {number}", dataNascimento="1920-11-23T00:00:00Z")
            for number in range(40)
        ],
    )


def _instants() -> Case:
    odd = {"in the year 1": "0001-01-01T00:00:00Z", "in 9999": "9999-12-31T23:59:59Z"}
    customers = [born_today(name, dataCadastro=instant) for name, instant in odd.items()]
    return Case(
        "an instant that cannot be is none",
        {("BIRTHDAY", name): [] for name in odd},
        [{**row, "primeiraCompra": row["dataCadastro"]} for row in customers],
        [sale for row in customers for sale in purchases(row["cpf"], 10, last_at=odd["in 9999"])]
        + [sale for row in customers for sale in purchases(row["cpf"], 9)],
        [
            {"user_id": row["id"], "campaign_type": "WELCOME", "sent_at": "0001-01-01T00:00:00Z"}
            for row in customers
        ],
    )


def _coupons() -> Case:
    coupons = ["0", "-", "null", "SEM CUPOM", "\u200b"]
    customers = [somebody(f"away with coupon {coupon!r}") for coupon in coupons]
    return Case(
        "a coupon that says there was none is none",
        {("REACTIVATION", row["id"]): [] for row in customers},
        customers,
        [
            sale
            for row, coupon in zip(customers, coupons, strict=True)
            for sale in purchases(row["cpf"], 1, last_at="2026-10-20T12:00:00Z", cupom=coupon)
        ],
    )


def _repeated_sales() -> Case:
    """Nothing tells two machines that were paid at once from a row that was delivered twice."""
    customers = {number: somebody(f"{number} equal sales") for number in (9, 10)}
    return Case(
        "each row of vendas is a sale, even if it repeats another",
        {("LOYALTY", "10 equal sales"): []},
        list(customers.values()),
        [
            sale
            for number, row in customers.items()
            for sale in purchases(row["cpf"], number, tipoPagamento="PIX")
        ],
    )


TILL_CASES = [_phones(), _cpfs(), _birth_dates(), _instants(), _coupons(), _repeated_sales()]

"""Edge cases of dates, ids, phones, sales, messages and opt-outs."""

from __future__ import annotations

from tests.cases.rows import (
    IN_WINDOW,
    YESTERDAY,
    Case,
    Row,
    birthdays,
    born_today,
    purchases,
    somebody,
)

__all__ = ["AWKWARD_CASES", "NAMES"]


def _registrations() -> Case:
    welcomed = {
        "at midnight yesterday": "2026-11-22T03:00:00Z",
        "at 21:00 yesterday": "2026-11-23T00:00:01Z",
        "at 23:59 yesterday": "2026-11-23T02:59:59Z",
        # A till that knows only the date.
        "yesterday": "2026-11-22T00:00:00Z",
    }
    not_welcomed = {
        "at 23:59 the day before": "2026-11-22T02:59:59Z",
        "at midnight today": "2026-11-23T03:00:00Z",
        "the day before yesterday": "2026-11-21T00:00:00Z",
        "today": "2026-11-23T00:00:00Z",
    }
    return Case(
        "a registration late in the evening belongs to that day",
        {("WELCOME", customer_id): [] for customer_id in welcomed},
        [
            somebody(customer_id, dataCadastro=instant)
            for customer_id, instant in {**welcomed, **not_welcomed}.items()
        ],
    )


def _birth_dates() -> Case:
    born = {
        "born in 1901": "1901-11-23T00:00:00Z",
        "born today": "2026-11-23T00:00:00Z",
        "born at noon": "1990-11-23T12:00:00Z",
        "born in 1900": "1900-11-23T00:00:00Z",
        "till default": "1900-01-01T00:00:00Z",
        "not born yet": "2027-11-23T00:00:00Z",
        "born on the 22nd": "1990-11-22T00:00:00Z",
        "born on the 24th": "1990-11-24T00:00:00Z",
    }
    return birthdays(
        "a placeholder is not a birth date",
        {"born in 1901": [], "born today": [], "born at noon": []},
        [born_today(name, dataNascimento=instant) for name, instant in born.items()],
    )


def _ids() -> Case:
    legal = ["🌻", '"it\'s" `so`', "new\nline", "back\\slash", " spaces ", "...", "a" * 1500]
    illegal = ["a/b", ".", "..", "__x__", "____", "__new\nline__", "é" * 751, "🌻" * 400]
    return birthdays(
        "an id that cannot name a document blocks its customer and nobody else",
        {name: [] for name in legal} | {name: ["INVALID_CUSTOMER_ID"] for name in illegal},
    )


def _duplicate_ids() -> Case:
    newer = "2026-02-01T12:00:00Z"
    return birthdays(
        "the newest registration of an id counts",
        {"became a birthday": [], "twice the same": []},
        [
            born_today("was a birthday"),
            somebody("was a birthday", dataCadastro=newer),
            somebody("became a birthday"),
            born_today("became a birthday", dataCadastro=newer),
            *2 * [born_today("twice the same")],
            # Any order of the rows gives the same of the two.
            somebody("at one instant", nome="Ana Exemplo"),
            somebody("at one instant", nome="Bia Exemplo"),
        ],
    )


def _families() -> Case:
    phone, newer = "11988880001", "2026-02-01T12:00:00Z"
    return birthdays(
        "a family on one phone has a birthday each, twins on one phone one message",
        {"child": [], "twin 1": [], "twin 2": ["DUPLICATE_PERSON"], "newer twin": []}
        | {"older twin": ["DUPLICATE_PERSON"], "same cpf": [], "same cpf too": ["DUPLICATE_PERSON"]}
        | {"area code 55": [], "area code 55 too": ["DUPLICATE_PERSON"]},
        [
            somebody("parent", telefone=phone, dataNascimento="1960-11-22T00:00:00Z"),
            born_today("child", telefone=phone),
            somebody("sibling", telefone=phone, dataNascimento="1990-11-24T00:00:00Z"),
            born_today("twin 1", telefone="11988880002"),
            born_today("twin 2", telefone="+55 (11) 98888-0002"),
            born_today("older twin", telefone="11988880003"),
            born_today("newer twin", telefone="011988880003", dataCadastro=newer),
            born_today("same cpf", cpf="900.000.001-00"),
            born_today("same cpf too", cpf="90000000100"),
            born_today("area code 55", telefone="55988880004"),
            born_today("area code 55 too", telefone="5555988880004"),
        ],
        message_history=[
            {
                "user_id": "parent",
                "campaign_type": "BIRTHDAY",
                "sent_at": YESTERDAY,
                "status": "SENT",
                "phone": phone,
            }
        ],
    )


def _cpfs() -> Case:
    customers = {
        "with dots": ("900.000.002-00", "90000000200"),
        "lost zeros": ("272", "00000000272"),
        "lost zeros in sales": ("000.000.003-53", "353"),
    }
    return Case(
        "a cpf is the same however it is written",
        {("LOYALTY", customer_id): [] for customer_id in customers},
        [
            *(somebody(name, cpf=own) for name, (own, _) in customers.items()),
            somebody("placeholder cpf", cpf="111.111.111-11"),
        ],
        [
            *(row for _, sold in customers.values() for row in purchases(sold, 10)),
            *purchases("11111111111", 10),
            # No customer has this cpf.
            *purchases("90000009900", 10),
            *purchases("", 10),
        ],
    )


def _sales() -> Case:
    cases: dict[str, tuple[str, list[Row]]] = {
        "lower case": ("90000000301", [{"status": " completed "}]),
        "unknown status": ("90000000302", [{"status": "DONE?"}]),
        "negative amount": ("90000000303", [{"valor": -5.0}]),
        "no amount": ("90000000304", [{"valor": None}]),
        "beyond NUMERIC": ("90000000305", [{"valor": 1e300}]),
        "at the window's first instant": ("90000000306", [{"data": "2026-08-23T03:00:00Z"}]),
        "before the window": ("90000000307", [{"data": "2026-08-23T02:59:59Z"}]),
        "at this instant": ("90000000308", [{"data": "2026-11-23T13:00:00Z"}]),
        "after this instant": ("90000000309", [{"data": "2026-11-23T13:00:01Z"}]),
    }
    loyal = set(cases) - {"unknown status", "before the window", "after this instant"}
    return Case(
        "a sale counts when it is complete, whatever it cost",
        {("LOYALTY", customer_id): [] for customer_id in loyal},
        [somebody(name, cpf=cpf) for name, (cpf, _) in cases.items()],
        [
            row
            for cpf, odd in cases.values()
            for row in (
                *purchases(cpf, 10 - len(odd), valor=10.1),
                *(purchases(cpf, 1, **{"valor": 10.1, **columns})[0] for columns in odd),
            )
        ],
    )


def _history() -> Case:
    """Old rows have only the first six columns."""
    statuses: dict[str, list[str | None]] = {
        "old SENT": ["SENT"],
        "old sent": ["sent"],
        "old unknown": ["on its way"],
        "old without status": [None],
        "old blank status": [" "],
        "old FAILED": ["FAILED"],
        "old failed": [" Failed "],
        "old FAILED twice": ["FAILED", "failed"],
        "old FAILED three times": ["FAILED", "failed", "Failed "],
        "old FAILED, then sent": ["FAILED", "DELIVERED"],
    }
    messaged = {"old SENT", "old sent", "old unknown", "old without status", "old blank status"}
    return birthdays(
        "rows of the old system count, and only FAILED is a failure",
        {
            name: ["ALREADY_MESSAGED"] if name in messaged | {"old FAILED, then sent"} else []
            for name in statuses
        }
        | {"old FAILED three times": ["ATTEMPTS_EXHAUSTED"]},
        message_history=[
            {
                "user_id": name,
                "campaign_type": "birthday",
                "sent_at": f"2026-11-2{day}T12:00:00Z",
                "status": status,
                "message_content": "Feliz aniversário!",
                "phone": "(11) 90000-0000",
            }
            for name, found in statuses.items()
            for day, status in enumerate(found)
        ],
    )


def _messages_by_phone() -> Case:
    """Both got a message of each campaign on their phone, under an id that no longer exists."""
    customers = [
        born_today("loyal under a new id", telefone="11966660001", cpf="90000000501"),
        born_today("born under a new id", telefone="11966660002"),
    ]
    return Case(
        "a message to the phone counts under another id, but for a birthday",
        {
            ("LOYALTY", "loyal under a new id"): ["ALREADY_MESSAGED", "FREQUENCY_CAP"],
            ("BIRTHDAY", "loyal under a new id"): [],
            ("BIRTHDAY", "born under a new id"): [],
        },
        customers,
        purchases("90000000501", 10),
        [
            {
                "user_id": "an old id",
                "campaign_type": campaign_type,
                "sent_at": IN_WINDOW,
                "status": "SENT",
                "phone": f"55 11 {row['telefone'][2:]}",
            }
            for row in customers
            for campaign_type in ("LOYALTY", "BIRTHDAY")
        ],
    )


def _inactivity() -> Case:
    """31 days before the 23rd of November is the 23rd of October."""
    last_sales: dict[str, Row] = {
        "away since 23:59 on the 23rd": {"last_at": "2026-10-24T02:59:59Z"},
        "away since midnight": {"last_at": "2026-10-24T03:00:00Z"},
        "with a voucher": {"last_at": "2026-10-20T12:00:00Z", "cupom": " VOLTA "},
        "with a blank voucher": {"last_at": "2026-10-20T12:00:00Z", "cupom": "  "},
        "with a voucher 60 days ago": {"last_at": "2026-09-25T02:59:59Z", "cupom": "VOLTA"},
        "with a voucher 61 days ago": {"last_at": "2026-09-24T02:59:59Z", "cupom": "VOLTA"},
    }
    customers = {name: somebody(name) for name in last_sales}
    blocked = {"with a voucher", "with a voucher 60 days ago"}
    return Case(
        "inactivity and vouchers are counted in business days",
        {
            ("REACTIVATION", name): ["RECENT_VOUCHER"] if name in blocked else []
            for name in set(last_sales) - {"away since midnight"}
        },
        list(customers.values()),
        [
            sale
            for name, columns in last_sales.items()
            for sale in purchases(customers[name]["cpf"], 1, **columns)
        ],
    )


def _opt_outs() -> Case:
    earlier, later = "2026-10-01T12:00:00Z", "2026-11-01T12:00:00Z"
    now, future = "2026-11-23T13:00:00Z", "2026-11-23T13:00:01Z"
    wishes: dict[str, list[tuple[str, str | None]]] = {
        "opted out": [(earlier, None)],
        "opted out now": [(now, None)],
        "opts out later": [(future, None)],
        "resumed": [(earlier, later)],
        "resumed now": [(earlier, now)],
        "resumes later": [(earlier, future)],
        "again in the same row": [(later, earlier)],
        "again in another row": [(earlier, later), (later, None)],
        "again and resumed": [(earlier, later), (later, now)],
    }
    free = {"opts out later", "resumed", "resumed now", "again and resumed"}
    phones = {name: f"1197777000{number}" for number, name in enumerate(wishes)}
    return birthdays(
        "an opt-out holds for its phone under another id until it is resumed",
        {name: [] if name in free else ["OPTED_OUT"] for name in wishes}
        | {"by id only": ["OPTED_OUT"]},
        [
            *(born_today(name, telefone=phone) for name, phone in phones.items()),
            born_today("by id only"),
        ],
        opt_outs=[
            {
                "user_id": "an id nobody has",
                "phone": f"+55{phones[name]}",
                "opted_out_at": opted_out_at,
                "resumed_at": resumed_at,
            }
            for name, found in wishes.items()
            for opted_out_at, resumed_at in found
        ]
        + [{"user_id": "by id only", "opted_out_at": earlier}],
    )


def _all_campaigns() -> Case:
    """Ten purchases in the loyalty window, the last of them 34 days ago."""
    away = "2026-10-20T12:00:00Z"
    cpfs = {"all four": "90000000401", "both that wait": "90000000402"}
    cpfs |= {"greeted yesterday": "90000000403", "greeted today": "90000000404"}
    greeting = {"campaign_type": "WELCOME", "status": "SENT", "cycle_key": "ONCE"}
    capped = {
        (campaign, name): ["FREQUENCY_CAP"]
        for campaign in ("LOYALTY", "REACTIVATION")
        for name in cpfs
    }
    return Case(
        "a customer who qualifies for everything gets the greetings, and the rest waits",
        {
            **capped,
            ("BIRTHDAY", "all four"): [],
            ("WELCOME", "all four"): [],
            ("LOYALTY", "both that wait"): [],
            ("LOYALTY", "greeted yesterday"): [],
        },
        [
            born_today("all four", cpf=cpfs["all four"], dataCadastro=YESTERDAY),
            *(somebody(name, cpf=cpf) for name, cpf in cpfs.items() if name != "all four"),
        ],
        [row for cpf in cpfs.values() for row in purchases(cpf, 10, last_at=away)],
        [
            {"user_id": "greeted yesterday", "sent_at": "2026-11-23T02:59:59Z", **greeting},
            {"user_id": "greeted today", "sent_at": "2026-11-23T03:00:00Z", **greeting},
        ],
    )


NAMES = {
    'D\'Ávila "Zé" 🌻\nde\tSouza    e   Silva': "D'ávila",
    "\nana": "Ana",
    "🌻 Ana": "🌻",
    "{days_inactive} {{1}}": "{Days_Inactive}",
    "back\\slash": "Back\\Slash",
    "ana\u00a0maria": "Ana",
    "bia\u2028\u200bmaria": "Bia",
    "\ufeffMARIA": "Maria",
    "\u202eAna": "Ana",
    "Jose\u0301 Silva": "José",
    "\u200b": "cliente",
    "\u3164\u2800\u2060\ufe0f": "cliente",
    "-- Ana": "cliente",
    "https://evil.example/pix?x=1 Silva": "cliente",
    "ana@example.com": "cliente",
    "11987654321": "cliente",
    "João2": "cliente",
    "CONSUMIDOR FINAL": "cliente",
    "Não  Informado": "cliente",
    "cliente 12": "cliente",
    "Clientina": "Clientina",
}
"""Names as typed, and the first name in the message."""


def _names() -> Case:
    return birthdays(
        "names survive",
        {f"name {number}": [] for number, _ in enumerate(NAMES)},
        [born_today(f"name {number}", nome=name) for number, name in enumerate(NAMES)],
    )


AWKWARD_CASES = [
    _registrations(),
    _birth_dates(),
    _ids(),
    _duplicate_ids(),
    _families(),
    _cpfs(),
    _sales(),
    _history(),
    _messages_by_phone(),
    _inactivity(),
    _opt_outs(),
    _all_campaigns(),
    _names(),
]

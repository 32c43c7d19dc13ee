"""One person under several ids: their messages, attempts and opt-outs."""

from __future__ import annotations

from tests.cases.rows import Case, birthdays, born_today, purchases, somebody

__all__ = ["PEOPLE_CASES"]

_LATER = "2026-11-23T12:20:00Z"


def _second_ids() -> Case:
    """Each has got its messages under another id, an hour before the run."""
    person = {
        "telefone": "11966670001",
        "cpf": "90000000601",
        "dataNascimento": "1988-11-23T00:00:00Z",
    }
    phone = {"telefone": "11966670002"}
    born = {"cpf": None, "dataNascimento": "1987-11-23T00:00:00Z"}
    cpf = {"cpf": "90000000603"}
    customers = [
        born_today("messaged person", **person),
        born_today("messaged person again", dataCadastro=_LATER, **person),
        born_today("messaged phone and birth date", **born, **phone),
        born_today("messaged phone and birth date again", dataCadastro=_LATER, **born, **phone),
        born_today("another birth date", dataNascimento="2015-11-23T00:00:00Z", **phone),
        somebody("messaged cpf", **cpf),
        somebody("messaged cpf, new phone", dataCadastro=_LATER, **cpf),
        born_today("its id was replaced", telefone="11966670004"),
    ]
    sent = {"sent_at": "2026-11-23T12:10:00Z", "status": "SENT"}
    birthday = {"campaign_type": "BIRTHDAY", "cycle_key": "2026", **sent}
    return Case(
        "a message counts for the person under every id",
        {
            ("BIRTHDAY", "messaged person"): ["ALREADY_MESSAGED", "DUPLICATE_PERSON"],
            ("BIRTHDAY", "messaged person again"): ["ALREADY_MESSAGED"],
            ("BIRTHDAY", "messaged phone and birth date"): [
                "ALREADY_MESSAGED",
                "DUPLICATE_PERSON",
            ],
            # The family's other birthday of this day gets none, as before: one phone, one message.
            ("BIRTHDAY", "another birth date"): ["DUPLICATE_PERSON"],
            ("BIRTHDAY", "messaged phone and birth date again"): ["ALREADY_MESSAGED"],
            ("LOYALTY", "messaged cpf"): [
                "ALREADY_MESSAGED",
                "DUPLICATE_PERSON",
                "FREQUENCY_CAP",
            ],
            ("LOYALTY", "messaged cpf, new phone"): ["ALREADY_MESSAGED", "FREQUENCY_CAP"],
            ("BIRTHDAY", "its id was replaced"): ["ALREADY_MESSAGED"],
        },
        customers,
        purchases("90000000603", 10),
        [
            {"user_id": "messaged person", "phone": "+5511966670001", **birthday},
            # Of the old system: no phone, and the id has no CPF.
            {"user_id": "messaged phone and birth date", **birthday},
            {"user_id": "messaged cpf", "campaign_type": "LOYALTY", "cycle_key": "R1", **sent},
            {"user_id": "a replaced id", "phone": "+5511966670004", **birthday},
        ],
    )


def _failures() -> Case:
    """Attempts are the person's, too."""
    failed = {"campaign_type": "BIRTHDAY", "cycle_key": "2026", "status": "FAILED"}
    return birthdays(
        "attempts are counted for the person under every id",
        {"failed twice": ["ATTEMPTS_EXHAUSTED", "DUPLICATE_PERSON"]}
        | {"failed a third time": ["ATTEMPTS_EXHAUSTED"]},
        [
            born_today("failed twice", cpf="90000000604"),
            born_today("failed a third time", cpf="90000000604", dataCadastro=_LATER),
        ],
        message_history=[
            {"user_id": name, "sent_at": f"2026-11-23T12:{minute}:00Z", **failed}
            for minute, name in [
                (10, "failed twice"),
                (15, "failed twice"),
                (25, "failed a third time"),
            ]
        ],
    )


def _opt_outs() -> Case:
    phones = {
        "by JID": ("11966661003", "5511966661003:23@s.whatsapp.net"),
        "by the first of two": ("11966661004", "11 96666-1004 / 11 96666-1005"),
        "by the second of two": ("11966661005", None),
        "without the area code": ("11966661006", "96666-1006"),
        "by a float": ("11966661007", "5511966661007.0"),
        "with a 0": ("11966661008", "+55 (011) 96666-1008"),
        "by lid": ("11966661009", "511966661009@lid"),
    }
    person = {"telefone": "11966661010", "cpf": "90000000605"}
    other_id = {"user_id": "old id", "opted_out_at": "2026-11-01T12:00:00Z"}
    return birthdays(
        "an opt-out holds for the person, however its number is written",
        {name: [] if name == "by lid" else ["OPTED_OUT"] for name in phones}
        | {"old id": ["OPTED_OUT", "DUPLICATE_PERSON"], "new id": ["OPTED_OUT"]}
        | {"only the cpf": ["OPTED_OUT", "DUPLICATE_PERSON"]},
        [
            *(born_today(name, telefone=phone) for name, (phone, _) in phones.items()),
            born_today("old id", **person),
            born_today("new id", dataCadastro=_LATER, **person),
            born_today("only the cpf", cpf=person["cpf"]),
        ],
        opt_outs=[{"phone": written} for _, written in phones.values() if written] + [other_id],
    )


PEOPLE_CASES = [_second_ids(), _failures(), _opt_outs()]

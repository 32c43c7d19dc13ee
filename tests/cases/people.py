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
    cpf = {"cpf": "90000000603"}
    customers = [
        born_today("messaged person", **person),
        born_today("messaged person again", dataCadastro=_LATER, **person),
        born_today("messaged phone and birth date", cpf=None, **phone),
        born_today("messaged phone and birth date again", cpf=None, dataCadastro=_LATER, **phone),
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


PEOPLE_CASES = [_second_ids(), _failures()]

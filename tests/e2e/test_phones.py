"""Phones as people and tills write them, read as Google's own parser of phone numbers reads them.

Both sides are Google's: the SQL is evaluated by GoogleSQL's evaluator, the other reading is
libphonenumber's (https://github.com/google/libphonenumber). Where they differ, a reason says why.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import TYPE_CHECKING, Protocol

import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from loader.dbt.runner import Dbt
from loader.dbt.spec import BuildSpec
from tests.googlesql import evaluate, string_array
from tests.support import ALPHANUMERIC_CNPJ, AS_OF

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loader.dbt.runner import ParsedProject
    from loader.local.stack import LocalStack

AREA_CODES = ["11", "12", "15", "21", "24", "31", "38", "41", "47", "51", "55", "61", "69", "71"]
AREA_CODES += ["79", "82", "89", "91", "99"]
NO_AREA_CODES = ["10", "20", "23", "25", "36", "50", "72", "78", "90"]
PREFIXES = [
    *("", "", "", "55 ", "+55 ", "+55", "0055 ", "00 55 ", "0", "015 ", "0 41 ", "+55 0", "55 0"),
    *("+55 (0) ", "+55 015 ", "(0)"),
]
# What stands behind a number and is none of it.
ENDINGS = [" ", "\n", ".0", ",0", " ramal 12", " x136", "x2", " ext. 5", " r. 3", " #4", "O"]
ENDINGS += [" (Maria)", " / 1", "/22", " cel"]
OTHER = "+5511912345678"
OTHERS = [" 11 91234-5678", " / 11 91234-5678", "; 11912345678", " ou 11 9 1234 5678"]


class Read(Protocol):
    """Reads phones by the SQL of `normalize_phone`."""

    def __call__(self, phones: Sequence[str]) -> list[str | None]: ...


@pytest.fixture(scope="module")
def read(
    parsed: ParsedProject, stack: LocalStack, tmp_path_factory: pytest.TempPathFactory
) -> Read:
    dbt = Dbt(parsed, stack.environment(), tmp_path_factory.mktemp("phones"))
    spec = BuildSpec({"cnpj": ALPHANUMERIC_CNPJ}, AS_OF)
    sql = dbt.compile_sql(
        spec,
        "select {{ normalize_phone('phone') }} from unnest(@phones) as phone with offset as place "
        "order by place",
    )

    def by_sql(phones: Sequence[str]) -> list[str | None]:
        return [row[0] for row in evaluate(sql.replace("@phones", string_array(phones)))]

    return by_sql


def generated_forms(count: int) -> list[str]:
    """Return numbers as they are written, most of them right; the same on every run."""
    chance = random.Random(14)
    forms = []
    for _ in range(count):
        area = chance.choice(AREA_CODES if chance.random() < 0.9 else NO_AREA_CODES)
        head = chance.choices(["9", "", ""], [6, 1, 1])[0] + chance.choice("23456789")
        local = head + "".join(chance.choices("0123456789", k=7))
        gap = chance.choice(["", " ", "-", ".", ") ", "  "])
        middle = chance.choice(["", "-", " ", "."])
        opening = "(" if gap == ") " else ""
        prefix = chance.choice(PREFIXES)
        forms.append(f"{prefix}{opening}{area}{gap}{local[:-4]}{middle}{local[-4:]}")
    return forms


def libphonenumber(form: str, reasons: Counter[str]) -> str | None:
    """Return a form's number in E.164 when libphonenumber reads it as a mobile.

    What it reads otherwise than we do is changed before or after, and counted by its reason.
    """
    if form.startswith("00"):
        # It wants a carrier behind the 00 of a call abroad, as it is dialled from Brazil.
        reasons["00 without a carrier"] += 1
        form = "+" + re.sub(r"^00 ?", "", form)
    number = phonenumbers.parse(form, "BR")
    if re.fullmatch(r"\d{2}[6-9]\d{7}", str(number.national_number)):
        # It has no mobiles of eight digits any more, but for some that begin with 7.
        reasons["before the ninth digit"] += 1
        text = str(number.national_number)
        number.national_number = int(f"{text[:2]}9{text[2:]}")
    if number.country_code != 55 or phonenumbers.number_type(number) != PhoneNumberType.MOBILE:
        return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


def test_generated_forms_are_read_as_libphonenumber_reads_them(read: Read) -> None:
    forms, reasons = generated_forms(6000), Counter[str]()
    expected = [libphonenumber(form, reasons) for form in forms]
    assert min(reasons.values()) > 100
    assert Counter(phone is None for phone in expected)[False] > 4000
    found = zip(forms, read(forms), expected, strict=True)
    assert [row for row in found if row[1] != row[2]] == []


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_stands_behind_a_number_is_never_read_as_a_part_of_it(read: Read, ending: str) -> None:
    forms = generated_forms(1000)
    plain, ended = read(forms), read([form + ending for form in forms])
    assert all(phone in {None, before} for before, phone in zip(plain, ended, strict=True))
    # Numbers with nine digits are read all the same, but for a float that is none.
    assert sum(phone is not None for phone in ended) > 600


@pytest.mark.parametrize("other", OTHERS)
def test_of_two_numbers_in_a_field_the_first_mobile_counts(read: Read, other: str) -> None:
    forms = generated_forms(1000)
    plain, both = read(forms), read([form + other for form in forms])
    assert both == [phone or OTHER for phone in plain]


def test_mobiles_of_other_countries_are_none_of_ours(read: Read) -> None:
    chance = random.Random(14)
    forms = []
    for region in sorted(phonenumbers.SUPPORTED_REGIONS - {"BR"}):
        example = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
        if example is None:
            continue
        for _ in range(40):
            head, tail = str(example.national_number)[:2], str(example.national_number)[2:]
            digits = head + "".join(chance.choices("0123456789", k=len(tail)))
            number = phonenumbers.PhoneNumber(example.country_code, int(digits))
            if phonenumbers.is_valid_number(number):
                written = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
                forms.append(chance.choice(["+", "00 "]) + written.removeprefix("+"))
    assert len(forms) > 5000
    accepted = zip(forms, read(forms), strict=True)
    assert [form for form, phone in accepted if phone is not None] == []


@pytest.mark.parametrize(
    ("written", "phone"),
    [
        ("+51 987 651 012", None),
        ("0051 987 651 013", None),
        ("1199991007.0", "+5511999991007"),
        ("551199991010.0", "+5511999991010"),
        ("1199991035,0", "+5511999991035"),
        ("1,1987654E+10", None),
        ("(11) 9876-1005 ramal 1", None),
        ("1198761006 x2", None),
        ("+55 (011) 99999-1024", "+5511999991024"),
        ("(11) 98765-4321 x136", "+5511987654321"),
        ("(0xx11) 98765-4321", "+5511987654321"),
        ("(11) 9876-5432/33", "+5511998765432"),
        ("11/98765-4321", "+5511987654321"),
        ("11 98765-432O", None),
        ("5511966661003:23@s.whatsapp.net", "+5511966661003"),
        ("123456789012345@lid", None),
        ("ana11987654321@example.com", None),
        ("\u202a+55 11 98765\u20114321\u202c", "+5511987654321"),
        ("\uff15\uff15\uff11\uff11987654321", "+5511987654321"),
        ("(11) 99999-9999", None),
        ("11 9999-9999", None),
        ("(11) 99999-9999 / 11 98765-4321", "+5511987654321"),
        ("+55 11 98765-4321\n+55 11 91234-5678", "+5511987654321"),
    ],
)
def test_a_phone_is_read_or_refused(read: Read, written: str, phone: str | None) -> None:
    assert read([written]) == [phone]

"""What is a CNPJ, and the error for a text that is not."""

from __future__ import annotations

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from loader.base.cnpj import parse_cnpj
from loader.base.errors import ConfigurationError, ExitCode

_WEIGHTS = (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
_BODIES = st.text(alphabet=string.digits + string.ascii_uppercase, min_size=12, max_size=12)

# Official old and new numbers of Receita Federal, and two computed elsewhere.
VALID = (
    "12ABC34501DE35",
    "11222333000181",
    "00000000000191",
    "A1B2C3D4000193",
    "ABCDEFGH000195",
)


def _digits(body: str) -> str:
    """Compute the check digits as in the ministry's leaflet: with columns of weights."""
    digits = ""
    for _ in range(2):
        text = body + digits
        columns = zip(text, _WEIGHTS[-len(text) :], strict=True)
        remainder = sum((ord(sign) - ord("0")) * weight for sign, weight in columns) % 11
        digits += "0" if remainder in (0, 1) else str(11 - remainder)
    return digits


@pytest.mark.parametrize("text", VALID)
def test_published_cnpjs_are_accepted(text: str) -> None:
    assert parse_cnpj(text) == text


@pytest.mark.parametrize(
    ("text", "cnpj"),
    [
        ("11.222.333/0001-81", "11222333000181"),
        ("12.ABC.345/01DE-35", "12ABC34501DE35"),
        ("12.abc.345/01de-35", "12ABC34501DE35"),
        ("  11 222 333 0001 81\n", "11222333000181"),
        ("abcdefgh000195", "ABCDEFGH000195"),
    ],
)
def test_punctuation_and_letter_case_do_not_matter(text: str, cnpj: str) -> None:
    assert parse_cnpj(text) == cnpj


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1122233300018",
        "112223330001811",
        "1122233300018A",
        "11222333000_81",
        "11222333,000181",
        "112223330001AB",
        "12ABC34501DE3\u0665",
    ],
)
def test_another_form_is_refused_and_the_right_one_described(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a CNPJ") as refused:
        parse_cnpj(text)
    assert "14 characters" in refused.value.hint
    assert refused.value.exit_code == ExitCode.CONFIGURATION


def test_letters_that_only_become_ascii_in_upper_case_are_refused() -> None:
    # upper() turns the long s and the sharp s into S and SS; then the check digits would be right.
    for body, typed in (("S" * 12, "\u017f" + "S" * 11), ("SS" + "A" * 10, "\u00df" + "A" * 10)):
        digits = _digits(body)
        assert parse_cnpj(body + digits)
        with pytest.raises(ConfigurationError, match="is not a CNPJ"):
            parse_cnpj(typed + digits)


@pytest.mark.parametrize("digit", string.digits)
def test_fourteen_equal_digits_are_a_placeholder(digit: str) -> None:
    with pytest.raises(ConfigurationError, match="is a placeholder"):
        parse_cnpj(digit * 14)


@pytest.mark.parametrize(
    ("text", "right"),
    [("11222333000182", "81"), ("11222333000191", "81"), ("12ABC34501DE53", "35")],
)
def test_wrong_check_digits_are_named_with_the_right_ones(text: str, right: str) -> None:
    with pytest.raises(ConfigurationError, match="wrong check digits") as refused:
        parse_cnpj(text)
    assert f"{text[:12]} would end in {right}" in refused.value.hint


@given(body=_BODIES)
def test_any_body_is_accepted_with_its_computed_check_digits(body: str) -> None:
    assume(body != "0" * 12)
    assert parse_cnpj(body + _digits(body)) == body + _digits(body)


@given(body=_BODIES, place=st.integers(0, 1), digit=st.sampled_from(string.digits))
def test_any_other_check_digit_is_refused_with_a_hint(body: str, place: int, digit: str) -> None:
    right = _digits(body)
    wrong = right[:place] + digit + right[place + 1 :]
    assume(wrong != right)
    with pytest.raises(ConfigurationError) as refused:
        parse_cnpj(body + wrong)
    assert refused.value.hint

"""Whatever text a till writes, Google and the emulator read the same in it, and no text fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loader.dbt.runner import Dbt
from loader.dbt.spec import BuildSpec
from tests.googlesql import evaluate, string_array
from tests.support import ALPHANUMERIC_CNPJ, AS_OF

if TYPE_CHECKING:
    from pathlib import Path

    from loader.base.environment import Environment
    from loader.dbt.runner import ParsedProject
    from loader.services import Services

_READ = {
    "phone": "{{ normalize_phone('written') }}",
    "numbers": "{{ numbers_in_text('written') }}",
    "cpf": "{{ normalize_cpf('written') }}",
    "name": "{{ visible_text('written') }}",
    "first_name": "{{ first_name('written') }}",
    "coupon": "{{ voucher_in_text('written') }}",
    "plain": "{{ plain_text('written') }}",
}
# The emulator takes no escapes in a literal, so characters that need one are left out.
# So is ß: a name that begins with it begins with SS in the emulator, and with ß in Google's SQL.
_ANY = st.text(st.characters(exclude_categories=["Cc", "Cs", "Cn", "Co"], exclude_characters="\\ß"))
_LIKELY = st.text("0123456789 ()+-./,;xXeEoOáÁãçABCabcr@:#*\u200b\u00a0\u2013\ufeff", max_size=30)
_WORDS = st.lists(
    st.sampled_from(
        [
            *("+55", "55", "0055", "(011)", "11", "98765-4321", "3333-4444", "ramal 1", "x2"),
            *(".0", "/", "0xx", "@s.whatsapp.net", "@lid", "***.456.789-**", "012.345.678-90"),
            *("1,2E+10", "CONSUMIDOR FINAL", "José", "null", "SEM CUPOM", "🌻", "e\u0301"),
            "\u3164",
        ]
    ),
    max_size=6,
).map(" ".join)
TEXTS = st.lists(st.one_of(_ANY, _LIKELY, _WORDS), min_size=40, max_size=80)


@pytest.fixture
def query(parsed: ParsedProject, environment: Environment, tmp_path: Path) -> str:
    """Return a query that reads an array of texts, to be put in for `TEXTS`, in every way."""
    dbt = Dbt(parsed, environment, tmp_path)
    spec = BuildSpec({"cnpj": ALPHANUMERIC_CNPJ}, AS_OF)
    columns = ", ".join(f"{sql} as {name}" for name, sql in _READ.items())
    return dbt.compile_sql(
        spec,
        f"select written, {columns} from unnest(TEXTS) as written with offset as position "
        "order by position",
    )


def drawn_texts() -> list[str | None]:
    """Return the texts of all examples, for one statement: to analyze it takes most of the time."""
    texts: list[str | None] = [None]

    @settings(
        max_examples=40,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(drawn=TEXTS)
    def draw(drawn: list[str]) -> None:
        texts.extend(drawn)

    draw()
    return list(dict.fromkeys(texts))


def test_google_and_the_emulator_read_the_same_in_every_text(
    services: Services, query: str
) -> None:
    texts = drawn_texts()
    assert len(texts) > 500
    sql = query.replace("TEXTS", string_array(texts))
    by_google = evaluate(sql)
    rows = services.warehouse.query(sql, doing="reading texts")
    by_emulator = [tuple(row[name] for name in ("written", *_READ)) for row in rows]
    assert len(by_google) == len(by_emulator) == len(texts)
    pairs = zip(by_google, by_emulator, strict=True)
    assert [(google, emulator) for google, emulator in pairs if google != emulator] == []

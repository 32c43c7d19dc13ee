"""The error of a failed build: enough to fix it, and nothing that can quote a customer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from loader.dbt.build import BuildError, build
from loader.dbt.spec import BuildSpec
from tests.support import AS_OF, NUMERIC_CNPJ

if TYPE_CHECKING:
    from loader.bigquery.warehouse import Warehouse


class OneFailure:
    """A dbt whose only node fails."""

    def __init__(self, status: str, message: str | None) -> None:
        node = SimpleNamespace(name="customer_facts")
        self._result = SimpleNamespace(status=status, message=message, node=node)

    def run(self, *_: Any) -> list[Any]:
        return [self._result]

    def target_path(self, _: Any) -> Path:
        return Path("target")


def told(status: str, message: str | None) -> str:
    project = cast("Any", SimpleNamespace(source_tables=tuple))
    dbt = cast("Any", OneFailure(status, message))
    spec = BuildSpec({"cnpj": NUMERIC_CNPJ}, AS_OF)
    with pytest.raises(BuildError) as caught:
        build(dbt, project, cast("Warehouse", None), spec)
    return caught.value.message


PLACE = "Database Error in model customer_facts (models/customers/customer_facts.sql)"


@pytest.mark.parametrize(
    "message",
    [
        "Could not parse 'Ana Exemplo' as TIMESTAMP for field dataCadastro",
        "Bad int64 value: 11900000001",
        "Bad double value: Ana Exemplo; while executing",
        "Not foundling: Ana Exemplo",
    ],
)
def test_a_message_that_can_quote_a_row_is_left_out(message: str) -> None:
    text = told("error", f"{PLACE}\n  {message}\n  compiled code at target/x.sql")
    assert PLACE in text
    assert "Exemplo" not in text
    assert "11900000001" not in text
    assert "BigQuery's own message, which may quote a row, is in its list of jobs" in text


@pytest.mark.parametrize(
    "message",
    [
        "Not found: Table p:11222333000181_RAW.clientes was not found",
        "Access Denied: Table p:d.t: User does not have permission",
        "Unrecognized name: telefone at [3:5]",
        "Query exceeded limit for bytes billed: 1",
    ],
)
def test_a_message_about_tables_names_and_rights_is_told(message: str) -> None:
    assert message in told("error", f"{PLACE}\n  {message}")


@pytest.mark.parametrize(
    ("message", "text"),
    [("Got 2 results, configured to fail if != 0", "Got 2 results"), (None, "no message")],
)
def test_what_a_test_found_is_told(message: str | None, text: str) -> None:
    assert f"customer_facts: {text}" in told("fail", message)

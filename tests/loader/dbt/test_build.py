"""The error of a failed build: enough to fix it, and nothing that can quote a customer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from loader.dbt.build import BuildError, build
from loader.dbt.locate import Sources
from loader.dbt.spec import BuildSpec
from tests.support import AS_OF, NUMERIC_CNPJ

if TYPE_CHECKING:
    from loader.bigquery.warehouse import Warehouse


FILE = "models/customers/customer_facts.sql"
HEADING = f"Database Error in model customer_facts ({FILE})"


class OneFailure:
    """A dbt whose only node fails."""

    def __init__(self, status: str, message: str | None) -> None:
        node = SimpleNamespace(
            name="customer_facts",
            unique_id="model.vmhub_campaigns.customer_facts",
            resource_type="model",
            original_file_path=FILE,
        )
        self._result = SimpleNamespace(status=status, message=message, node=node)

    def run(self, *_: Any, **_options: Any) -> list[Any]:
        return [self._result]

    def sources(self) -> Sources:
        return Sources({})

    def target_path(self, _: Any) -> Path:
        return Path("target")


def failure(status: str, message: str | None) -> BuildError:
    project = cast("Any", SimpleNamespace(source_tables=tuple, variables=dict))
    dbt = cast("Any", OneFailure(status, message))
    warehouse = cast("Warehouse", SimpleNamespace(create_function=lambda *_, **__: False))
    spec = BuildSpec({"cnpj": NUMERIC_CNPJ}, AS_OF)
    with pytest.raises(BuildError) as caught:
        build(dbt, project, warehouse, spec)
    return caught.value


@pytest.mark.parametrize(
    "message",
    [
        "Could not parse 'Ana Exemplo' as TIMESTAMP for field dataCadastro",
        "Bad int64 value: 11900000001",
        "Bad double value: Ana Exemplo; while executing",
        "Not foundling: Ana Exemplo",
    ],
)
def test_a_message_that_can_quote_a_row_is_for_the_person_alone(message: str) -> None:
    error = failure("error", f"{HEADING}\n  {message}\n  compiled code at target/x.sql")
    assert f"{FILE}: {message}\n" in error.in_full
    assert f"{FILE}: the message, which may quote a row, is left out" in error.message
    assert "Exemplo" not in str(error)
    assert "11900000001" not in str(error)


@pytest.mark.parametrize(
    "message",
    [
        "Not found: Table p:11222333000181_RAW.clientes was not found",
        "Access Denied: Table p:d.t: User does not have permission",
        "Unrecognized name: telefone",
        "Query exceeded limit for bytes billed: 1",
    ],
)
def test_a_message_about_tables_names_and_rights_is_told(message: str) -> None:
    error = failure("error", f"{HEADING}\n  {message} at [3:5]\n  Ana Exemplo")
    assert f"customer_facts: {FILE}: {message}" in error.message
    assert "Exemplo" not in str(error)


@pytest.mark.parametrize(
    ("message", "text"),
    [("Got 2 results, configured to fail if != 0", "Got 2 results"), (None, "no message")],
)
def test_what_a_test_found_is_told_and_how_to_see_it(message: str | None, text: str) -> None:
    error = failure("fail", message)
    assert f"{FILE}: {text}" in error.message
    assert f"{FILE}: {text}" in error.in_full
    command = "dbt show --select customer_facts --output json --limit 50 --vars"
    assert f'{command} \'{{"cnpj": "{NUMERIC_CNPJ}"' in error.in_full

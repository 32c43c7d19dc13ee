"""Raw rows to documents, over the real adapter and both emulators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loader.sync.model import Outcome
from loader.sync.run import SyncOptions
from tests.support import (
    ALPHANUMERIC_CNPJ,
    AS_OF,
    NUMERIC_CNPJ,
    decisions,
    documents,
    make_laundromat,
)

if TYPE_CHECKING:
    from loader.services import Services


def test_two_laundromats_reach_firestore_with_nothing_of_one_in_the_other(
    services: Services,
) -> None:
    # Both have a customer 1, and each has one of its own: a mix-up gives a wrong name or id.
    for cnpj, name, own_id in (
        (NUMERIC_CNPJ, "Ana Exemplo", "only-numeric"),
        (ALPHANUMERIC_CNPJ, "Bia Exemplo", "only-alphanumeric"),
    ):
        make_laundromat(
            services,
            cnpj,
            clientes=[
                {
                    "id": customer_id,
                    "nome": name,
                    "dataNascimento": "1990-11-23T00:00:00Z",
                    "telefone": phone,
                    "dataCadastro": "2025-01-10T12:00:00Z",
                }
                for customer_id, phone in (("1", "11900000001"), (own_id, "11900000002"))
            ],
        )
    for cnpj in (NUMERIC_CNPJ, ALPHANUMERIC_CNPJ):
        services.build(services.laundromat(cnpj), as_of=AS_OF)
    reports = {
        cnpj: services.sync(services.laundromat(cnpj), as_of=AS_OF, options=SyncOptions())
        for cnpj in (NUMERIC_CNPJ, ALPHANUMERIC_CNPJ)
    }

    assert reports[NUMERIC_CNPJ].total(Outcome.CREATED) == 2
    assert reports[ALPHANUMERIC_CNPJ].total(Outcome.CREATED) == 2
    numeric = documents(services.environment, NUMERIC_CNPJ)
    alphanumeric = documents(services.environment, ALPHANUMERIC_CNPJ)
    assert set(numeric) == {("BIRTHDAY", "1"), ("BIRTHDAY", "only-numeric")}
    assert set(alphanumeric) == {("BIRTHDAY", "1"), ("BIRTHDAY", "only-alphanumeric")}
    assert {fields["name"] for fields in numeric.values()} == {"Ana Exemplo"}
    assert {fields["cnpj"] for fields in alphanumeric.values()} == {ALPHANUMERIC_CNPJ}
    assert {row["cnpj"] for row in decisions(services, NUMERIC_CNPJ).values()} == {NUMERIC_CNPJ}
    assert numeric["BIRTHDAY", "1"]["createdAt"] == AS_OF
    assert numeric["BIRTHDAY", "1"]["data"]["message"].startswith("Feliz aniversário, Ana!")

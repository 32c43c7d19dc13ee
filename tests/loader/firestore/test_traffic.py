"""Reads and writes are counted as Firestore bills them, on Google's emulator."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from loader.base.retry import Retry
from loader.firestore.changes import ChangeReader
from loader.firestore.lease import Lease, Leases
from loader.firestore.traffic import TrafficCount
from tests.support import ALPHANUMERIC_CNPJ as CNPJ
from tests.support import AS_OF, put_document

if TYPE_CHECKING:
    from collections.abc import Callable

    from loader.services import Services


def spent(services: Services, do: Callable[[], object]) -> TrafficCount:
    """Return what a call read and wrote."""
    before = services.database.traffic.count()
    do()
    return services.database.traffic.count().since(before)


def test_a_query_that_finds_nothing_is_one_read(services: Services) -> None:
    reader = ChangeReader(services.database, Retry())
    found = spent(services, lambda: list(reader.changed_of(CNPJ, "REACTIVATION", None)))
    assert found == TrafficCount(1, 0)
    assert reader.documents_read == 0
    for number in range(3):
        put_document(services, f"c{number}", cnpj=CNPJ, updatedAt=AS_OF)
    found = spent(services, lambda: list(reader.changed_of(CNPJ, "REACTIVATION", None)))
    assert found == TrafficCount(3, 0)
    # One query for instants, and one each for texts and numbers, which find nothing.
    found = spent(services, lambda: list(reader.changed_of(CNPJ, "REACTIVATION", AS_OF)))
    assert found == TrafficCount(5, 0)
    assert spent(services, lambda: reader.has_changed(CNPJ, "REACTIVATION", AS_OF)).reads == 1


def test_a_lease_costs_a_read_and_a_write_for_each_of_its_changes(services: Services) -> None:
    leases = Leases(services.database, "a", lasts=timedelta(minutes=2))
    since = leases.now()
    lease: Lease | object = None

    def take() -> None:
        nonlocal lease
        lease = leases.take(CNPJ, since=since)

    assert spent(services, take) == TrafficCount(1, 1)
    assert isinstance(lease, Lease)
    assert spent(services, lease.renew) == TrafficCount(1, 1)
    # A refusal writes nothing.
    other = Leases(services.database, "b", lasts=timedelta(minutes=2))
    assert spent(services, lambda: other.take(CNPJ, since=since)) == TrafficCount(1, 0)


def test_the_registry_costs_a_read_for_the_laundromat_and_one_for_each_campaign(
    services: Services,
) -> None:
    types = sorted(services.project.campaign_types())
    registry = services.registry
    written = spent(
        services,
        lambda: registry.register(CNPJ, name="Lava Exemplo", timezone=None, campaign_types=types),
    )
    assert written == TrafficCount(2, 1 + len(types))
    assert spent(services, lambda: registry.entry(CNPJ)).reads == 1 + len(types)
    assert spent(services, lambda: registry.set_tracked({CNPJ: None}, until=AS_OF)).writes == 1

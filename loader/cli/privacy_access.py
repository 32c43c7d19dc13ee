"""What the commands of `vmhub privacy` need of one laundromat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loader.base.errors import ConfigurationError
from loader.base.pseudonyms import is_pseudonym, pseudonym
from loader.cli.options import parse_instant

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.bigquery.audit import AuditAction, AuditLog
    from loader.dbt.spec import BuildSpec
    from loader.firestore.people import PeopleStore
    from loader.laundromat import Laundromat
    from loader.operations.privacy.erase import Erasing
    from loader.operations.privacy.person import PersonFinder
    from loader.services import Services

__all__ = ["Access"]


@dataclass(frozen=True)
class Access:
    """One laundromat's stores, for a person's rights; also of one that is not served any more."""

    services: Services
    laundromat: Laundromat
    now: datetime
    key: str
    """The laundromat's key of pseudonyms."""

    @classmethod
    def of(cls, services: Services, cnpj: Cnpj) -> Access:
        """Return the access to a registered laundromat."""
        from loader.bigquery.secret_keys import person_key  # noqa: PLC0415
        from loader.laundromat import resolve  # noqa: PLC0415

        entry = services.registry.entry(cnpj, even_inactive=True)
        laundromat = resolve(services.project, entry)
        return cls(services, laundromat, parse_instant(None), person_key(services.warehouse, cnpj))

    @property
    def spec(self) -> BuildSpec:
        """Return what dbt resolves macros for."""
        from loader.dbt.spec import BuildSpec  # noqa: PLC0415

        return BuildSpec(self.laundromat.settings, self.now)

    def pseudonym(self, customer_id: str) -> str:
        """Return a customer's pseudonym."""
        return pseudonym(self.key, customer_id)

    def record(self, audit: AuditLog, action: AuditAction, customer_id: str) -> None:
        """Record in a command's audit log what is about to be done to a person."""
        from loader.bigquery.audit import AuditEntry  # noqa: PLC0415

        subject = f"customer {self.pseudonym(customer_id)}"
        entry = AuditEntry(action, subject, self.laundromat.cnpj)
        audit.record([entry])

    def finder(self, store: PeopleStore | None = None) -> PersonFinder:
        """Return what finds people."""
        from loader.operations.privacy.person import PersonFinder  # noqa: PLC0415

        services = self.services
        return PersonFinder(services.dbt, services.warehouse, store or self.store(), self.spec)

    def eraser(self, customer_id: str, on_step: Callable[[str], None] = lambda _: None) -> Erasing:
        """Return the erasure of a person, planned and ready."""
        from loader.firestore.suppressions import SuppressionStore  # noqa: PLC0415
        from loader.operations.privacy.erase import Eraser, Erasing  # noqa: PLC0415

        services, cnpj = self.services, self.laundromat.cnpj
        if is_pseudonym(customer_id):
            message = "that is the pseudonym of a person who was erased"
            raise ConfigurationError(message, hint="give an id of clientes.id")
        store = self.store()
        finder = self.finder(store)
        person = finder.find(customer_id, self.laundromat.campaign_types)
        eraser = Eraser(
            services.warehouse,
            store,
            SuppressionStore(services.database, cnpj),
            cnpj,
            person,
            self.key,
            self.laundromat.campaign_types,
            lambda: parse_instant(None),
            on_step,
        )
        return Erasing(eraser, eraser.plan(finder.raw_counts(person)))

    def store(self) -> PeopleStore:
        """Return the documents about the laundromat's customers."""
        from loader.base.retry import Retry  # noqa: PLC0415
        from loader.firestore.people import PeopleStore  # noqa: PLC0415

        return PeopleStore(self.services.database, self.laundromat.cnpj, Retry())

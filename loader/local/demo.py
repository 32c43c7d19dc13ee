"""The demo: two cycles, the sender after each of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from loader.dbt.spec import BuildSpec
from loader.firestore.targets import TargetStore
from loader.local.sample import SAMPLE_AS_OF, load_sample, sample_laundromats
from loader.local.stack import WHATSAPP_ACCOUNT
from loader.questions.decisions import funnels, read_decisions
from loader.sync.run import SyncOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.local.sample import SampleLaundromat
    from loader.questions.decisions import Funnel
    from loader.services import Services
    from loader.sync.run import SyncReport

__all__ = ["Cycle", "DemoReport", "Sent", "run_demo"]

_SHOWN_DOCUMENTS = (("BIRTHDAY", "ipe-001"), ("REACTIVATION", "ipe-009"), ("LOYALTY", "ipe-016"))


@dataclass(frozen=True)
class Cycle:
    """The result of one laundromat's cycle."""

    laundromat: SampleLaundromat
    as_of: datetime
    funnels: tuple[Funnel, ...]
    sync: SyncReport


@dataclass(frozen=True)
class Sent:
    """What the sender did for one laundromat."""

    cnpj: str
    sent: int
    failed: int


@dataclass(frozen=True)
class DemoReport:
    """Everything that the demo shows."""

    rows: dict[str, dict[str, int]]
    first: tuple[Cycle, ...]
    documents: tuple[dict[str, Any], ...]
    first_sent: tuple[Sent, ...]
    second: tuple[Cycle, ...]
    second_sent: tuple[Sent, ...]


def run_demo(
    services: Services,
    progress: Callable[[str], None],
    send: Callable[[Cnpj, datetime], Sent],
) -> DemoReport:
    """Play the demo on a fresh local stack.

    Args:
        services: Connected to the stack.
        progress: Called with a short text when a part begins.
        send: Sends what waits of a laundromat, as if it were that instant.

    """
    laundromats = sample_laundromats(services.project)
    progress("creating three laundromats")
    rows: dict[str, dict[str, int]] = {
        laundromat.cnpj: load_sample(
            services.project, services.warehouse, services.registry, laundromat
        )
        for laundromat in laundromats
    }
    first = tuple(
        # The figures are a daily step, and there are no messages yet.
        _cycle(services, laundromat, SAMPLE_AS_OF, progress, arguments=("--exclude", "tag:daily"))
        for laundromat in laundromats
    )
    store = TargetStore(services.database, laundromats[0].cnpj)
    documents = tuple(
        store.fields(campaign_type, customer_id) for campaign_type, customer_id in _SHOWN_DOCUMENTS
    )
    for laundromat in laundromats:
        services.registry.set_whatsapp(laundromat.cnpj, WHATSAPP_ACCOUNT)

    def send_all(at: datetime) -> tuple[Sent, ...]:
        progress(f"sending as of {at:%H:%M} UTC; one message fails, which is tried for a while")
        return tuple(send(laundromat.cnpj, at) for laundromat in laundromats)

    first_sent = send_all(SAMPLE_AS_OF + timedelta(minutes=20))
    next_hour = SAMPLE_AS_OF + timedelta(hours=1)
    second = tuple(
        _cycle(services, laundromat, next_hour, progress, arguments=("--selector", "hourly"))
        for laundromat in laundromats
    )
    second_sent = send_all(next_hour + timedelta(minutes=20))
    return DemoReport(rows, first, documents, first_sent, second, second_sent)


def _cycle(
    services: Services,
    laundromat: SampleLaundromat,
    as_of: datetime,
    progress: Callable[[str], None],
    *,
    arguments: Sequence[str],
) -> Cycle:
    progress(f"building and syncing {laundromat.cnpj} as of {as_of:%H:%M} UTC")
    served = services.laundromat(laundromat.cnpj)
    services.build(served, as_of=as_of, arguments=arguments)
    report = services.sync(served, as_of=as_of, options=SyncOptions())
    spec = BuildSpec(served.settings, as_of)
    decided = read_decisions(services.warehouse, spec)
    return Cycle(laundromat, as_of, funnels(decided), report)

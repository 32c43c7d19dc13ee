"""The demo: two cycles, with one hour of a sender between them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from loader.dbt.spec import BuildSpec
from loader.firestore.targets import TargetStore
from loader.local.sample import SAMPLE_AS_OF, load_sample, sample_laundromats
from loader.local.sender import PlayedMessage, play_sender
from loader.questions.decisions import funnels, read_decisions
from loader.sync.run import SyncOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from loader.local.sample import SampleLaundromat
    from loader.questions.decisions import Funnel
    from loader.services import Services
    from loader.sync.run import SyncReport

__all__ = ["Cycle", "DemoReport", "run_demo"]

# One message that fails and is tried again in the second cycle.
_FAILING = frozenset({"ipe-008"})
_SHOWN_DOCUMENTS = (("BIRTHDAY", "ipe-001"), ("REACTIVATION", "ipe-009"), ("LOYALTY", "ipe-016"))


@dataclass(frozen=True)
class Cycle:
    """The result of one laundromat's cycle."""

    laundromat: SampleLaundromat
    as_of: datetime
    funnels: tuple[Funnel, ...]
    sync: SyncReport


@dataclass(frozen=True)
class DemoReport:
    """Everything that the demo shows."""

    rows: dict[str, dict[str, int]]
    first: tuple[Cycle, ...]
    documents: tuple[dict[str, Any], ...]
    deliveries: dict[str, list[PlayedMessage]]
    second: tuple[Cycle, ...]


def run_demo(services: Services, progress: Callable[[str], None]) -> DemoReport:
    """Play the demo on a fresh local stack.

    Args:
        services: Connected to the stack.
        progress: Called with a short text when a part begins.

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
    progress("playing an hour of the sender")
    deliveries: dict[str, list[PlayedMessage]] = {
        laundromat.cnpj: play_sender(
            services.environment,
            laundromat.cnpj,
            at=SAMPLE_AS_OF + timedelta(minutes=20),
            failing=_FAILING,
        )
        for laundromat in laundromats
    }
    next_hour = SAMPLE_AS_OF + timedelta(hours=1)
    second = tuple(
        _cycle(services, laundromat, next_hour, progress, arguments=("--selector", "hourly"))
        for laundromat in laundromats
    )
    return DemoReport(rows, first, documents, deliveries, second)


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

"""The demo: two cycles, each followed by sender and webhook, and a person who opts out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from loader.base.retry import Retry
from loader.dbt.spec import BuildSpec
from loader.firestore.changes import ChangeReader
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

__all__ = ["SENDING_AT", "Cycle", "DemoReport", "OptedOut", "Sent", "run_demo"]

# A customer with a phone, and what they write.
_OPTS_OUT = ("ipe-009", "5511900000009")
_TEXT = "SAIR"
SENDING_AT = SAMPLE_AS_OF + timedelta(minutes=20)
"""When the first cycle's messages are sent."""

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
class OptedOut:
    """A person who opts out."""

    customer_id: str
    text: str
    """What they write."""
    answer: str
    """The answer that they read."""


class Phones(Protocol):
    """The demo's WhatsApp: `loader.cli.demo_sending.DemoWhatsApp`."""

    def set_clock(self, at: datetime) -> None:
        """Let WhatsApp's clock run on from an instant."""

    def send(self, cnpj: Cnpj, at: datetime) -> Sent:
        """Send a laundromat's waiting targets as if it were that instant."""

    def told(self) -> None:
        """Wait until the webhook has committed all events."""

    def writes(self, phone: str, text: str) -> str:
        """Let a person write to the laundromats; return the answer that they read."""


@dataclass(frozen=True)
class DemoReport:
    """Everything that the demo shows."""

    rows: dict[str, dict[str, int]]
    first: tuple[Cycle, ...]
    documents: tuple[dict[str, Any], ...]
    first_sent: tuple[Sent, ...]
    receipts: dict[str, int]
    """Documents by their status, after the first cycle's receipts."""
    opted_out: OptedOut
    second: tuple[Cycle, ...]
    second_sent: tuple[Sent, ...]


def run_demo(
    services: Services,
    progress: Callable[[str], None],
    phones: Phones,
) -> DemoReport:
    """Play the demo on a fresh local stack.

    Args:
        services: Connected to the stack.
        progress: Called with a short text when a part begins.
        phones: Sends messages, and plays what people do.

    """
    laundromats = sample_laundromats(services.project)
    progress("creating three laundromats")
    audit = services.new_audit_log("vmhub demo")
    rows: dict[str, dict[str, int]] = {
        laundromat.cnpj: load_sample(
            services.project, services.warehouse, services.registry, laundromat, audit
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
        progress(f"sending as of {at:%H:%M} UTC; a message that fails is tried for a while")
        phones.set_clock(at)
        sent = tuple(phones.send(laundromat.cnpj, at) for laundromat in laundromats)
        phones.told()
        return sent

    first_sent = send_all(SENDING_AT)
    receipts = _receipts(services, laundromats)
    progress(f"{_OPTS_OUT[0]} writes {_TEXT}")
    opted_out = OptedOut(_OPTS_OUT[0], _TEXT, phones.writes(_OPTS_OUT[1], _TEXT))
    next_hour = SAMPLE_AS_OF + timedelta(hours=1)
    second = tuple(
        _cycle(services, laundromat, next_hour, progress, arguments=("--selector", "hourly"))
        for laundromat in laundromats
    )
    second_sent = send_all(SENDING_AT + timedelta(hours=1))
    return DemoReport(rows, first, documents, first_sent, receipts, opted_out, second, second_sent)


def _receipts(services: Services, laundromats: Sequence[SampleLaundromat]) -> dict[str, int]:
    """Return the number of documents per status, and the number of messages read."""
    changes = ChangeReader(services.database, Retry())
    found: Counter[str] = Counter()
    for laundromat in laundromats:
        for campaign_type in services.project.campaign_types():
            for document in changes.changed_of(laundromat.cnpj, campaign_type, None):
                found[str(document.fields.get("status"))] += 1
                found["read"] += "readAt" in document.fields
    return dict(found)


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

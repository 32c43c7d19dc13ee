"""What is wrong with the webhook; pure. docs/alerts.md has a section for each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loader.base.clock import minute_text
from loader.operations.status.kinds import Kind
from loader.operations.status.lives import HOUR
from loader.operations.status.webhook import WEBHOOK_SILENCE

if TYPE_CHECKING:
    from datetime import datetime

    from loader.operations.status.webhook import WebhookStatus

__all__ = ["check_webhook"]

# Fewer are no rate: seven messages with three receipts each make as many.
_FEWEST_POSTS = 20
# With a wrong app secret all of WhatsApp's POSTs are refused. Some are always: every address on the
# Internet gets POSTs from somebody.
_REFUSED_PERCENT = 50
# WhatsApp repeats a POST for seven days, so a few are no loss; one in ten is more than an instant.
_FAILED_PERCENT = 10


def check_webhook(
    webhook: WebhookStatus | None, as_of: datetime, wrong: dict[str, str], undecided: set[str]
) -> None:
    """Add what is wrong with the webhook, by the name of the alert.

    A fleet without a `vmhub webhook` has no such alerts: another program receives there.

    Args:
        webhook: Its state; None: it has written nothing within a day.
        as_of: The instant of the state.
        wrong: Takes what is wrong.
        undecided: Takes the alerts whose state is unknown.

    """
    if webhook is None:
        undecided.update((Kind.WEBHOOK_SILENT, Kind.WEBHOOK_FAILING, Kind.WEBHOOK_REFUSED))
        return
    if webhook.recorded_at < as_of - WEBHOOK_SILENCE:
        minutes = WEBHOOK_SILENCE.total_seconds() / 60
        wrong[Kind.WEBHOOK_SILENT] = (
            f"No `vmhub webhook` has written a record in the last {minutes:.0f} minutes; "
            f"the last one came {minute_text(webhook.recorded_at)}"
        )
        # The last record is too old to be true.
        undecided.update((Kind.WEBHOOK_FAILING, Kind.WEBHOOK_REFUSED))
        return
    since = minute_text(as_of - HOUR)
    failed, answered = sum(webhook.failed.values()), webhook.taken_or_failed
    shares = {
        Kind.WEBHOOK_FAILING: _is_beyond(_FAILED_PERCENT, failed, answered),
        Kind.WEBHOOK_REFUSED: _is_beyond(_REFUSED_PERCENT, webhook.refused, webhook.posts),
    }
    undecided.update(kind for kind, is_beyond in shares.items() if is_beyond is None)
    if shares[Kind.WEBHOOK_FAILING]:
        wrong[Kind.WEBHOOK_FAILING] = (
            f"{failed} of {answered} POSTs since {since} failed, with {', '.join(webhook.failed)}: "
            "Firestore, a secret or the webhook has a problem"
        )
    if shares[Kind.WEBHOOK_REFUSED]:
        wrong[Kind.WEBHOOK_REFUSED] = (
            f"{webhook.refused} of {webhook.posts} POSTs since {since} had no valid signature: "
            "the app secret is wrong, or somebody else posts"
        )


def _is_beyond(percent: int, part: int, whole: int) -> bool | None:
    """Return whether a share is too large; None: too few POSTs to begin or to end an alert."""
    if whole and 100 * part < percent * whole:
        return False
    return True if whole >= _FEWEST_POSTS else None

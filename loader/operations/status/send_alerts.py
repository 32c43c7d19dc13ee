"""What is wrong with sending; pure. docs/alerts.md has a section for each kind."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from loader.base.clock import minute_text
from loader.operations.status.facts import SILENCE
from loader.operations.status.kinds import Kind

if TYPE_CHECKING:
    from datetime import datetime

    from loader.operations.status.facts import Facts, Limits
    from loader.operations.status.sending import SendStatus

__all__ = ["check_sending"]

_SEND_KINDS = (
    Kind.SEND_PAUSED,
    Kind.SEND_SILENT,
    Kind.SEND_WAITING,
    Kind.SEND_FAILING,
    Kind.SEND_UNKNOWN,
)
# A shorter pause is over before somebody has read the alert.
_SHORTEST_TOLD = timedelta(minutes=15)
_FEWEST_FAILED = 5
# Classes of seeds/whatsapp_error_classes.csv for which the customer is the reason.
_CUSTOMERS_OWN = frozenset({"deferred", "opted_out", "pair", "unreachable"})


def check_sending(facts: Facts, limits: Limits, wrong: dict[str, str], undecided: set[str]) -> None:
    """Add what is wrong with sending, by the name of the alert.

    A fleet without a `vmhub send` has no such alerts: another program sends there.

    Args:
        facts: What is known.
        limits: Limits beyond which something is wrong.
        wrong: Takes what is wrong.
        undecided: Takes the alerts whose state is unknown.

    """
    sending = facts.sending
    if sending is None:
        undecided.update(_SEND_KINDS)
        return
    if sending.recorded_at < facts.as_of - SILENCE:
        hours = SILENCE.total_seconds() / 3600
        wrong[Kind.SEND_SILENT] = (
            f"No `vmhub send` has written a record in the last {hours:.0f} hours; "
            f"the last one came {minute_text(sending.recorded_at)}"
        )
        # The last record is too old to be true.
        undecided.update(kind for kind in _SEND_KINDS if kind is not Kind.SEND_SILENT)
        return
    _check_waiting(sending, facts.as_of, limits, wrong)
    _check_outcomes(sending, limits, wrong)
    for pause in sending.pauses:
        if pause.until - pause.begun_at >= _SHORTEST_TOLD:
            wrong[f"{Kind.SEND_PAUSED}:{pause.kind}:{pause.key}"] = (
                f"Nothing is sent by {pause.kind} {pause.key} "
                f"from {minute_text(pause.begun_at)} to {minute_text(pause.until)}: {pause.reason}"
            )


def _check_waiting(
    sending: SendStatus, as_of: datetime, limits: Limits, wrong: dict[str, str]
) -> None:
    oldest = sending.oldest_waiting_at
    if oldest is None or as_of - oldest <= timedelta(minutes=limits.waiting_minutes):
        return
    reasons = ", ".join(f"{count} {why}" for why, count in sorted(sending.waiting.items()))
    wrong[Kind.SEND_WAITING] = (
        f"A target waits since {minute_text(oldest)} to be sent; at the last poll: {reasons}"
    )


def _check_outcomes(sending: SendStatus, limits: Limits, wrong: dict[str, str]) -> None:
    ours = {
        name: count
        for name, count in sending.failed_last_hour.items()
        if name not in _CUSTOMERS_OWN
    }
    failed = sum(ours.values())
    share = 100 * failed / (failed + sending.sent_last_hour) if failed else 0.0
    if failed >= _FEWEST_FAILED and share > limits.send_failed_percent:
        classes = ", ".join(f"{count} {name}" for name, count in ours.items())
        wrong[Kind.SEND_FAILING] = (
            f"{failed} attempts failed within an hour, {sending.sent_last_hour} were accepted: "
            f"{classes}"
        )
    if sending.open_attempts >= limits.unknown_attempts:
        wrong[Kind.SEND_UNKNOWN] = (
            f"{sending.open_attempts} attempts have an unknown outcome; no machine sends them again"
        )

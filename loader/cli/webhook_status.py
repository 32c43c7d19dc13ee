"""The part of `vmhub status` about the webhook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loader.base.clock import minute_text
from loader.cli.output import result_console

if TYPE_CHECKING:
    from loader.operations.status.webhook import WebhookStatus

__all__ = ["show_webhook"]


def show_webhook(webhook: WebhookStatus | None) -> None:
    """Print what the webhook received within an hour and a day."""
    console = result_console()
    if webhook is None:
        console.print("\nNo `vmhub webhook` has written a record within a day.")
        return
    answers = ", ".join(
        f"{count} with {status}" for status, count in webhook.answers_last_hour.items()
    )
    console.print(
        f"\nWebhook, last hour: {webhook.posts} POSTs{f', answered {answers}' if answers else ''}"
    )
    console.print(
        f"24 hours: {webhook.receipts} receipts, {webhook.opt_outs} opt-outs, "
        f"{webhook.unmatched} unmatched, {webhook.rejected} rejected; "
        f"last record {minute_text(webhook.recorded_at)}, {webhook.processes} at work"
    )

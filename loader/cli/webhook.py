"""`vmhub webhook`: receive WhatsApp's events."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from loader.base.clock import now as machine_now
from loader.base.errors import ConfigurationError
from loader.cli.options import JsonOption, open_services, parse_instant
from loader.cli.output import counts_in_words, print_json, result_console
from whatsapp.process import Seeds
from whatsapp.webhook.process import receive
from whatsapp.webhook.records import WebhookLog

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

__all__ = ["webhook_command"]


def webhook_command(
    *,
    host: Annotated[
        str, typer.Option(help="The address to listen on; in a container 0.0.0.0.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="PORT", min=0, max=65535, help="The port to listen on.")
    ] = 8080,
    as_of: Annotated[str | None, typer.Option(hidden=True)] = None,
    as_json: JsonOption = False,
) -> None:
    """Receive receipts, replies, opt-outs and events of WhatsApp, until SIGINT or SIGTERM.

    Meta must reach it at https://…/webhook; docs/webhook.md says how to set that up. After a signal
    it takes no new POST, and commits and answers those under way. The exit code is then 130 or 143.

    Example: vmhub webhook --port 8080
    """
    services = open_services()
    now = _clock(as_of, is_local=services.environment.is_local)
    counts, received = receive(
        services.environment,
        Seeds(services.project.root / "seeds").error_classes,
        host=host,
        port=port,
        log=WebhookLog(services.new_ops_log, now=now),
        now=now,
    )
    if as_json:
        print_json(counts)
    else:
        console = result_console()
        for name in ("answers", "items", "confirmations"):
            if counts[name]:
                console.print(f"{name}: {counts_in_words(counts[name])}")
    if received is not None:
        raise typer.Exit(128 + received)


def _clock(as_of: str | None, *, is_local: bool) -> Callable[[], datetime]:
    """Return the clock; the demo's clock starts at --as-of."""
    if as_of is None:
        return machine_now
    if not is_local:
        message = "--as-of is for the local stack"
        raise ConfigurationError(message, hint="leave it out")
    began, ticks = parse_instant(as_of), time.monotonic()
    return lambda: began + timedelta(seconds=time.monotonic() - ticks)

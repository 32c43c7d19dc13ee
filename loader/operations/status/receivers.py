"""Who is told, through the library apprise: chats, e-mail, webhooks, each by a URL.

The URLs hold secrets, and so can what apprise logs: neither appears in a log or an error. A
receiver is named by its place in the list and its kind, such as "2 (Slack)".
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from loader.base.environment import ALERT_URLS_VARIABLE
from loader.base.errors import ConfigurationError

if TYPE_CHECKING:
    from apprise import Apprise

    from loader.operations.status.alerts import Notice

__all__ = ["Receivers"]


_log = logging.getLogger(__name__)


class Receivers:
    """Everybody who is told of alerts."""

    def __init__(self, urls: str) -> None:
        """Read the receivers' URLs; nothing is sent yet.

        Args:
            urls: As in the environment variable: apprise's URLs, separated by spaces or commas.

        Raises:
            ConfigurationError: There is none, or one that apprise does not know.

        """
        if not urls.strip():
            message = f"{ALERT_URLS_VARIABLE} is not set, so that nobody would be told"
            raise ConfigurationError(message, hint="docs/alerts.md says how to write it")
        # Imported here: it takes long, and nothing else needs it.
        from apprise import Apprise, AppriseAsset  # noqa: PLC0415

        # Its log can quote URLs, and hosts that did not answer.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        everybody = Apprise(asset=AppriseAsset(app_id="vmhub", app_desc="VMHub campaigns"))
        if not everybody.add(urls):
            message = f"{ALERT_URLS_VARIABLE} holds something that is no URL of apprise"
            raise ConfigurationError(
                message,
                hint="it is not shown, since it can hold a secret; docs/alerts.md has examples",
            )
        self._receivers: dict[str, Apprise] = {}
        for number, service in enumerate(everybody, 1):
            receiver = Apprise(asset=everybody.asset)
            receiver.add(service)
            self._receivers[f"{number} ({service.service_name})"] = receiver

    def send(self, notice: Notice) -> tuple[str, ...]:
        """Send a message to everybody; return the names of those that did not take it."""
        from apprise import NotifyType  # noqa: PLC0415

        kind = NotifyType.FAILURE if notice.is_open else NotifyType.SUCCESS
        refused = tuple(
            name
            for name, receiver in self._receivers.items()
            if not receiver.notify(notice.body, title=notice.title, notify_type=kind)
        )
        for name in refused:
            _log.error("receiver %s did not take the message %r", name, notice.title)
        return refused

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._receivers)

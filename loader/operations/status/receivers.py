"""The receivers of alerts, by the library apprise: chats, e-mail, webhooks, each by a URL.

The URLs hold secrets, and so can apprise's own log: neither appears in a log or an error. A
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
    """All receivers of alerts."""

    def __init__(self, urls: str) -> None:
        """Read the receivers' URLs; nothing is sent yet.

        Args:
            urls: The environment variable's value: apprise URLs, separated by spaces or commas.

        Raises:
            ConfigurationError: There is no URL, or apprise does not know one.

        """
        if not urls.strip():
            message = f"{ALERT_URLS_VARIABLE} is not set, so nobody would get an alert"
            raise ConfigurationError(message, hint="docs/alerts.md says how to write it")
        # Imported here: the import is slow, and nothing else needs it.
        from apprise import Apprise, AppriseAsset  # noqa: PLC0415

        # Its log can quote URLs, and hosts that did not answer.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        everybody = Apprise(asset=AppriseAsset(app_id="vmhub", app_desc="VMHub campaigns"))
        if not everybody.add(urls):
            message = f"{ALERT_URLS_VARIABLE} holds something that is not an apprise URL"
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
        """Send a message to all receivers; return the names of those that did not take it."""
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
        """Return the number of receivers."""
        return len(self._receivers)
